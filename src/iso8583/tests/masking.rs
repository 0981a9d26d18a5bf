//! What a dump shows, and what it never does.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use gapless_iso8583::{Dialect, Mti, dump, dump_message};

/// The line of one field in the dump of a message that has it alone.
fn line(dialect: &Dialect, field: u8, value: &[u8]) -> String {
    let mut frame = Vec::new();
    let mut builder = dialect.builder(&mut frame, Mti::new(200).unwrap());
    match dialect.attribute(field).starts_with('b') {
        true => builder.bytes(field, value),
        false => builder.text(field, value),
    };
    builder.finish().unwrap();
    drop(builder);
    let text = dump(dialect, &frame).to_string();
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some(format!("MTI 0200  {}", dialect.name()).as_str())
    );
    let line = lines.next().unwrap().to_owned();
    assert_eq!(lines.next(), None);
    line
}

#[test]
fn values_as_they_are_shown() {
    for (field, value, shown) in [
        (2, "9410000000001234", "941000******1234"),
        (2, "9410000000000001234", "941000*********1234"),
        (2, "94100000123", "****"),
        (2, "", "****"),
        (34, "9410000000001234", "941000******1234"),
        (34, "9410 00000001234", "****"),
        (3, "401000", "[401000]"),
        (4, "000000012500", "[000000012500]"),
        (14, "3012", "****"),
        (35, "9410000000001234=30121010000000000", "****"),
        (36, "019410000000001234=1", "****"),
        (37, "632610000123", "[632610000123]"),
        (39, "00", "[00]"),
        (41, "TERM0001", "[TERM0001]"),
        (43, "CORNER SHOP 4111111111111111 SEOUL    KR", "****"),
        (
            43,
            "CORNER SHOP            SEOUL          KR",
            "[CORNER SHOP            SEOUL          KR]",
        ),
        (44, "4111111111111111", "****"),
        (45, "B9410000000001234^NAME", "****"),
        (46, "anything", "****"),
        (48, "anything", "****"),
        (52, "12345678", "****"),
        (53, "1234567890123456", "****"),
        (54, "0001410C000000012500", "[0001410C000000012500]"),
        (55, "chip", "****"),
        (60, "private", "****"),
        (63, "private", "****"),
        (64, "12345678", "****"),
        (
            90,
            "020000012311221045300000000000000000000000",
            "[020000012311221045300000000000000000000000]",
        ),
        (97, "C0000000000012500", "[C0000000000012500]"),
        (102, "1000000042", "****0042"),
        (103, "1234", "****"),
        (103, "", "****"),
        (102, "KR 12", "****"),
        (120, "private", "****"),
        (127, "private", "****"),
        (128, "12345678", "****"),
        (150, "private", "****"),
    ] {
        for name in [
            "iso87-ascii",
            "iso87-ascii-hex",
            "iso87-bcd",
            "iso87-ebcdic",
        ] {
            let dialect = Dialect::builtin(name).unwrap();
            let line = line(&dialect, field, value.as_bytes());
            assert!(
                line.ends_with(&format!("  {shown}")),
                "{name} DE {field}: {line}"
            );
            assert!(line.starts_with(&format!("{field:>3}  ")), "{line}");
            assert!(line.contains(dialect.field_name(field)), "{line}");
        }
    }
}

#[test]
fn a_line_has_number_name_and_length() {
    let dialect = Dialect::builtin("iso87-bcd").unwrap();
    assert_eq!(
        line(&dialect, 2, b"9410000000001234"),
        "  2  Primary account number                     8  941000******1234"
    );
}

#[test]
fn a_damaged_frame_shows_what_was_read_and_the_fault() {
    let dialect = Dialect::builtin("iso87-ascii").unwrap();
    let mut frame = b"0200\x50\0\0\0\0\0\0\x00169410000000001234".to_vec();
    frame.extend(b"00000001250x");
    let text = dump(&dialect, &frame).to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[0], "MTI 0200  iso87-ascii");
    assert!(lines[1].ends_with("  941000******1234"), "{text}");
    assert_eq!(
        lines[2],
        "error: DE 4, offset 41: expected characters of class n"
    );
    assert!(!text.contains("1250x"));
    assert_eq!(
        dump(&dialect, b"").to_string(),
        "error: MTI, offset 0: expected 4 bytes, 0 are left\n"
    );
}

#[test]
fn a_message_and_its_frame_show_the_same() {
    let dialect = Dialect::builtin("iso87-ascii").unwrap();
    let frame = b"0800\x80\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\x00301";
    let message = dialect.decode(frame).unwrap();
    let text = dump_message(&dialect, &message).to_string();
    assert_eq!(text, dump(&dialect, frame).to_string());
    assert!(
        text.contains("Network management information code"),
        "{text}"
    );
    assert!(text.ends_with("  [301]\n"), "{text}");
}

/// Whatever digits stand in a secret field, none of them may be seen.
#[test]
fn nothing_of_a_secret_is_ever_shown() {
    let secret = b"98765432109876543210";
    for name in Dialect::BUILTIN_NAMES {
        let dialect = Dialect::builtin(name).unwrap();
        for field in [
            35, 36, 45, 48, 52, 53, 55, 60, 61, 62, 63, 64, 96, 120, 127, 128,
        ] {
            let attribute = dialect.attribute(field);
            let units: usize = attribute
                .trim_start_matches(|c: char| !c.is_ascii_digit())
                .parse()
                .unwrap();
            let line = line(&dialect, field, &secret[..units.min(secret.len())]);
            assert!(line.ends_with("  ****"), "{name} {line}");
            assert!(!line.contains("9876"), "{name} {line}");
        }
    }
}
