//! Dialect files: what they may not say, with line and key; what they mean.
#![allow(clippy::unwrap_used, clippy::panic)]

use gapless_iso8583::{Dialect, Mti, Scratch, Show, Version};

const WHOLE: &str = r#"extends = "iso87-ascii"
"#;

#[test]
fn faults_of_files() {
    // text after `extends = "iso87-ascii"` on line 1 | line | key | reason
    for (text, line, key, reason) in [
        (
            "[fields]\n2 = { type = \"q6\" }",
            3,
            "fields.2.type",
            "must begin with a class",
        ),
        (
            "[fields]\n2 = { type = \"n\" }",
            3,
            "fields.2.type",
            "must be a class, dots and a length",
        ),
        (
            "[fields]\n2 = { type = \"n..\" }",
            3,
            "fields.2.type",
            "must be a class, dots and a length",
        ),
        (
            "[fields]\n2 = { type = \"n.6x\" }",
            3,
            "fields.2.type",
            "must be a class, dots and a length",
        ),
        (
            "[fields]\n2 = { type = \"n..100\" }",
            3,
            "fields.2.type",
            "a length that its dots cannot say",
        ),
        (
            "[fields]\n2 = { type = \"n.....9\" }",
            3,
            "fields.2.type",
            "more than four dots",
        ),
        (
            "[fields]\n2 = { type = \"n70000\" }",
            3,
            "fields.2.type",
            "is too long a field",
        ),
        (
            "[fields]\n\n193 = { type = \"n6\" }",
            4,
            "fields.193",
            "must be a field 1 to 192",
        ),
        (
            "[fields]\nfour = { type = \"n6\" }",
            3,
            "fields.four",
            "must be a field 1 to 192",
        ),
        (
            "[fields]\n9-4 = { type = \"n6\" }",
            3,
            "fields.9-4",
            "must be a field 1 to 192",
        ),
        (
            "[fields]\n1 = { type = \"b8\" }",
            3,
            "fields.1",
            "is a bitmap, not a field",
        ),
        (
            "[fields]\n65 = { type = \"b8\" }",
            3,
            "fields.65",
            "is a bitmap, not a field",
        ),
        (
            "[fields]\n60-62 = { type = \"n6\" }\n61 = { type = \"n6\" }",
            4,
            "fields.61",
            "is described twice",
        ),
        (
            "[fields]\n2 = { show = \"clear\" }",
            3,
            "fields.2.show",
            "DE 2 may not be shown so",
        ),
        (
            "[fields]\n50-56 = { show = \"clear\" }",
            3,
            "fields.50-56.show",
            "DE 52 may not be shown so",
        ),
        (
            "[fields]\n102 = { show = \"clear\" }",
            3,
            "fields.102.show",
            "DE 102 may not be shown so",
        ),
        (
            "[fields]\n4 = { shown = \"clear\" }",
            3,
            "4",
            "unknown field `shown`",
        ),
        (
            "[fields]\n4 = { show = \"all\" }",
            3,
            "4",
            "unknown variant `all`",
        ),
        (
            "[fields]\n4 = { encoding = \"hex\" }",
            3,
            "fields.4.encoding",
            "class n cannot be written so",
        ),
        (
            "[fields]\n52 = { encoding = \"ascii\" }",
            3,
            "fields.52.encoding",
            "class b cannot be written so",
        ),
        (
            "[fields]\n4 = { pad = \"right-f\" }",
            3,
            "fields.4.pad",
            "does not fit",
        ),
        (
            "[fields]\n41 = { pad = \"left-zero\" }",
            3,
            "fields.41.pad",
            "does not fit",
        ),
        ("[fields]\n200 = {", 3, "200", ""),
        (
            "[fields]\n4 = { undefined = true, type = \"n6\" }",
            3,
            "fields.4",
            "both described and undefined",
        ),
        (
            "[encoding]\ndigits = \"binary\"",
            1,
            "fields.2.encoding",
            "class n cannot be written so",
        ),
        (
            "[encoding]\ndigits = \"morse\"",
            3,
            "digits",
            "unknown variant `morse`",
        ),
        ("[encoding]\nspeed = 1", 3, "speed", "unknown field `speed`"),
        (
            "[semantics]\nversion = \"2003\"",
            3,
            "version",
            "unknown variant `2003`",
        ),
        (
            "[semantics]\nversion = \"1987\"",
            2,
            "[semantics]",
            "missing field `action_code_digits`",
        ),
        ("name = 1", 2, "name", "unknown field `name`"),
        ("x", 2, "x", ""),
    ] {
        let text = format!("{WHOLE}{text}");
        let Err(error) = Dialect::parse("mine", &text) else {
            panic!("{text}\nwas taken");
        };
        assert_eq!(
            (error.line, error.key.as_str()),
            (line, key),
            "{text}\n{error}"
        );
        assert!(error.reason.contains(reason), "{text}\n{error}");
        assert_eq!(error.dialect, "mine");
        let place = format!("dialect mine, line {line}, key {key}: ");
        assert!(error.to_string().starts_with(&place), "{error}");
    }
}

#[test]
fn files_that_lack_something() {
    for (text, key, reason) in [
        ("", "semantics", "is missing"),
        ("extends = \"iso87\"", "encoding.mti", "is missing"),
        (
            "extends = \"iso87\"\n[encoding]\nmti = \"ascii\"",
            "encoding.bitmap",
            "is missing",
        ),
        (
            "extends = \"iso87\"\n[encoding]\nmti = \"ascii\"\nbitmap = \"hex\"",
            "fields.2.encoding",
            "class n has no encoding",
        ),
        (
            "extends = \"iso87\"\n[encoding]\nmti = \"ascii\"\nbitmap = \"hex\"\ndigits = \"ascii\"",
            "fields.2.length",
            "no length encoding",
        ),
        (
            "extends = \"iso86\"",
            "extends",
            "is not a dialect of the product",
        ),
        (
            "extends = \"../iso87\"",
            "extends",
            "is not a dialect of the product",
        ),
    ] {
        let error = Dialect::parse("mine", text).unwrap_err();
        assert_eq!((error.line, error.key.as_str()), (1, key), "{error}");
        assert!(error.reason.contains(reason), "{error}");
    }
}

#[test]
fn a_file_says_only_what_differs() {
    let text = r#"extends = "iso87-bcd"
[fields]
37 = { encoding = "ebcdic" }
48 = { length = "ascii" }
60 = { type = "b..20", name = "Token" }
61 = { undefined = true }
44 = { type = "ans..99" }
"#;
    let dialect = Dialect::parse("mine", text).unwrap();
    assert_eq!(dialect.field_name(37), "Retrieval reference number");
    assert_eq!(dialect.field_name(60), "Token");
    assert_eq!(dialect.attribute(60), "b..20");
    assert_eq!(dialect.attribute(44), "ans..99");
    assert_eq!(dialect.show(37), Show::Clear);
    assert_eq!(
        dialect.show(44),
        Show::Never,
        "a new type is shown to nobody"
    );
    assert!(dialect.defines(60) && !dialect.defines(61));
    let mut out = Vec::new();
    dialect
        .builder(&mut out, Mti::new(200).unwrap())
        .text(37, b"ABC")
        .text(48, b"x")
        .bytes(60, &[0xff])
        .finish()
        .unwrap();
    assert_eq!(out.get(10..14), Some(&[0xc1, 0xc2, 0xc3, 0x40][..]));
    assert_eq!(out.get(22..), Some(&b"001x\x01\xff"[..]));
    let mut scratch = Scratch::new();
    let message = dialect.decode(&out).unwrap();
    assert_eq!(
        message.text(37, &mut scratch),
        Ok(Some(&b"ABC         "[..]))
    );
    let frame = [&[2, 0, 0, 0, 0, 0, 0, 0, 0, 8][..], b"\0\x01x"].concat();
    let error = dialect.decode(&frame).unwrap_err().error;
    assert_eq!(
        error.to_string(),
        "DE 61, offset 10: expected a field that the dialect defines"
    );
}

#[test]
fn a_dialect_without_a_third_bitmap_has_field_65() {
    let text = r#"extends = "iso87-ascii"
[encoding]
tertiary_bitmap = false
[fields]
65 = { type = "n1" }
"#;
    let dialect = Dialect::parse("mine", text).unwrap();
    let mut out = Vec::new();
    dialect
        .builder(&mut out, Mti::new(200).unwrap())
        .number(65, 7)
        .number(70, 301)
        .finish()
        .unwrap();
    let error = Dialect::parse("mine", &format!("{text}129 = {{ type = \"n1\" }}")).unwrap_err();
    assert_eq!(
        (error.line, error.reason.as_str()),
        (6, "needs a third bitmap")
    );
    let message = dialect.decode(&out).unwrap();
    assert_eq!(message.fields().collect::<Vec<_>>(), [65, 70]);
    assert_eq!(message.number(65), Ok(Some(7)));
    let refused = dialect
        .builder(&mut out, Mti::new(200).unwrap())
        .text(129, b"x")
        .finish();
    assert_eq!(
        refused.unwrap_err().to_string(),
        "DE 129: not a field of the dialect"
    );
}

#[test]
fn versions_differ_where_their_semantics_say_so() {
    for name in Dialect::BUILTIN_NAMES {
        let dialect = Dialect::builtin(name).unwrap();
        let semantics = dialect.semantics();
        let (version, action, original, network) = match name {
            "iso93-ascii" => (Version::V1993, "n3", 56, 24),
            _ => (Version::V1987, "an2", 90, 70),
        };
        assert_eq!(semantics.version, version);
        assert_eq!(dialect.attribute(39), action);
        assert!(action.ends_with(&semantics.action_code_digits.to_string()));
        assert_eq!(semantics.original_data.field, original);
        assert_eq!(semantics.network_code, network);
        assert_eq!(
            dialect.attribute(12),
            format!("n{}", semantics.local_time_digits)
        );
        assert_eq!(
            dialect.attribute(15),
            format!("n{}", semantics.settlement_date_digits)
        );
        for field in (2..=192).filter(|&field| field != 65) {
            assert!(dialect.defines(field), "{name} {field}");
            assert!(!dialect.field_name(field).is_empty(), "{name} {field}");
        }
        assert!(!dialect.defines(0) && !dialect.defines(1) && !dialect.defines(65));
        assert!(!dialect.defines(193) && !dialect.defines(255));
    }
}

#[test]
fn iso87_dialects_differ_by_encoding_only() {
    let plain = Dialect::builtin("iso87-ascii").unwrap();
    for name in ["iso87-ascii-hex", "iso87-bcd", "iso87-ebcdic"] {
        let dialect = Dialect::builtin(name).unwrap();
        for field in 0..=255 {
            if name == "iso87-bcd" && (49..=51).contains(&field) {
                assert_eq!(dialect.attribute(field), "n3");
                continue;
            }
            assert_eq!(
                dialect.attribute(field),
                plain.attribute(field),
                "{name} {field}"
            );
            assert_eq!(dialect.show(field), plain.show(field), "{name} {field}");
            assert_eq!(
                dialect.field_name(field),
                plain.field_name(field),
                "{name} {field}"
            );
        }
    }
}
