//! Encoding, length prefix, padding and class of a field: one line each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use gapless_iso8583::{BuildReason, Class, Dialect, Mti, Scratch, Side};

/// A dialect of nothing but field 2, on top of a base without other fields.
fn dialect(row: &str) -> Dialect {
    let text = format!(
        r#"
[semantics]
version = "1987"
action_code_digits = 2
original_data = {{ field = 90, time_digits = 10, fixed_institutions = true }}
network_code = 70
local_time_digits = 6
settlement_date_digits = 4
[encoding]
mti = "packed"
bitmap = "binary"
[fields]
2 = {{ {row} }}
"#
    );
    Dialect::parse("rule", &text).unwrap_or_else(|error| panic!("{row}: {error}"))
}

/// The field's bytes on the wire: what follows MTI and bitmap.
fn written(dialect: &Dialect, value: &[u8]) -> Result<Vec<u8>, BuildReason> {
    let mut out = b"before".to_vec();
    let mut builder = dialect.builder(&mut out, Mti::new(200).unwrap());
    let built = builder.text(2, value).finish();
    drop(builder);
    match built {
        Ok(bytes) => {
            assert_eq!(bytes, out.len() - 6);
            Ok(out[16..].to_vec())
        }
        Err(error) => {
            assert_eq!(out, b"before", "a failed build leaves nothing");
            assert_eq!(error.field, 2);
            Err(error.reason)
        }
    }
}

fn framed(wire: &[u8]) -> Vec<u8> {
    [&[2, 0, 0x40, 0, 0, 0, 0, 0, 0, 0], wire].concat()
}

#[test]
fn values_on_the_wire() {
    // row | value in | wire | value out
    for (row, value, wire, back) in [
        (
            r#"type="n6", encoding="ascii""#,
            "123456",
            "313233343536",
            "123456",
        ),
        (
            r#"type="n6", encoding="ascii""#,
            "12",
            "303030303132",
            "000012",
        ),
        (
            r#"type="n6", encoding="ebcdic""#,
            "12",
            "f0f0f0f0f1f2",
            "000012",
        ),
        (r#"type="n6", encoding="packed""#, "12", "000012", "000012"),
        (r#"type="n3", encoding="packed""#, "410", "0410", "410"),
        (
            r#"type="n3", encoding="packed", pad="right-f""#,
            "410",
            "410f",
            "410",
        ),
        (
            r#"type="n3", encoding="packed", pad="right-zero""#,
            "410",
            "4100",
            "410",
        ),
        (
            r#"type="n..19", encoding="ascii", length="ascii""#,
            "12345",
            "30353132333435",
            "12345",
        ),
        (
            r#"type="n..19", encoding="ascii", length="ebcdic""#,
            "12345",
            "f0f53132333435",
            "12345",
        ),
        (
            r#"type="n..19", encoding="ascii", length="packed""#,
            "12345",
            "053132333435",
            "12345",
        ),
        (
            r#"type="n..19", encoding="ascii", length="binary""#,
            "12345",
            "053132333435",
            "12345",
        ),
        (
            r#"type="n..19", encoding="ebcdic", length="ebcdic""#,
            "12345",
            "f0f5f1f2f3f4f5",
            "12345",
        ),
        (
            r#"type="n..19", encoding="packed", length="packed""#,
            "12345",
            "0512345f",
            "12345",
        ),
        (
            r#"type="n..19", encoding="packed", length="packed""#,
            "1234",
            "041234",
            "1234",
        ),
        (
            r#"type="n..19", encoding="packed", length="packed", pad="left-zero""#,
            "12345",
            "05012345",
            "12345",
        ),
        (
            r#"type="n..19", encoding="packed", length="packed", length_counts="bytes""#,
            "12345",
            "0312345f",
            "12345",
        ),
        (
            r#"type="n..19", encoding="packed", length="ascii""#,
            "12345",
            "303512345f",
            "12345",
        ),
        (
            r#"type="n...999", encoding="packed", length="packed""#,
            "12",
            "000212",
            "12",
        ),
        (
            r#"type="z..37", encoding="packed", length="packed""#,
            "12=34",
            "0512d34f",
            "12=34",
        ),
        (
            r#"type="z..37", encoding="packed", length="packed""#,
            "12D34",
            "0512d34f",
            "12=34",
        ),
        (
            r#"type="z..37", encoding="ascii", length="ascii""#,
            "12D34",
            "30353132443334",
            "12D34",
        ),
        (
            r#"type="ans8", encoding="ascii""#,
            "AB 1",
            "4142203120202020",
            "AB 1    ",
        ),
        (
            r#"type="ans8", encoding="ascii", pad="left-blank""#,
            "AB",
            "2020202020204142",
            "      AB",
        ),
        (
            r#"type="ans8", encoding="ebcdic""#,
            "Ab.=",
            "c1824b7e40404040",
            "Ab.=    ",
        ),
        (
            r#"type="ans..40", encoding="ascii", length="ascii""#,
            "AB",
            "30324142",
            "AB",
        ),
        (
            r#"type="ans..40", encoding="ascii", length="ascii""#,
            "",
            "3030",
            "",
        ),
        (
            r#"type="ans...999", encoding="ebcdic", length="ebcdic""#,
            "AB",
            "f0f0f2c1c2",
            "AB",
        ),
        (
            r#"type="ans...999", encoding="ascii", length="binary""#,
            "AB",
            "00024142",
            "AB",
        ),
        (
            r#"type="ans....1200", encoding="ascii", length="ascii""#,
            "AB",
            "303030324142",
            "AB",
        ),
        (
            r#"type="x+n8", encoding="ascii""#,
            "C25",
            "433030303030303235",
            "C00000025",
        ),
        (
            r#"type="x+n8", encoding="ebcdic""#,
            "D25",
            "c4f0f0f0f0f0f0f2f5",
            "D00000025",
        ),
        (
            r#"type="x+n8", encoding="packed""#,
            "D25",
            "4400000025",
            "D00000025",
        ),
        (
            r#"type="x+n7", encoding="packed""#,
            "D25",
            "4400000025",
            "D0000025",
        ),
    ] {
        let dialect = dialect(row);
        let bytes = written(&dialect, value.as_bytes());
        assert_eq!(bytes.map(hex::encode).as_deref(), Ok(wire), "{row}");
        let frame = framed(&hex::decode(wire).unwrap());
        let message = dialect.decode(&frame).expect(row);
        let mut scratch = Scratch::new();
        let text = message.text(2, &mut scratch).unwrap().unwrap();
        assert_eq!(std::str::from_utf8(text).unwrap(), back, "{row}");
        // Copied as it stands, it is the same again.
        let mut echoed = Vec::new();
        dialect
            .builder(&mut echoed, message.mti())
            .echo(&message, 2)
            .finish()
            .unwrap();
        assert_eq!(echoed, frame, "{row}");
    }
}

#[test]
fn bytes_on_the_wire() {
    for (row, value, wire) in [
        (r#"type="b2", encoding="binary""#, "01ff", "01ff"),
        (r#"type="b2", encoding="hex""#, "01ff", "30314646"),
        (r#"type="b2", encoding="hex-ebcdic""#, "01ff", "f0f1c6c6"),
        (
            r#"type="b..9", encoding="binary", length="ascii""#,
            "01ff",
            "303201ff",
        ),
        (
            r#"type="b..9", encoding="hex", length="ascii""#,
            "01ff",
            "303230314646",
        ),
        (
            r#"type="b..9", encoding="hex", length="ascii", length_counts="bytes""#,
            "01ff",
            "303430314646",
        ),
        (
            r#"type="b...255", encoding="binary", length="packed""#,
            "01ff",
            "000201ff",
        ),
    ] {
        let dialect = dialect(row);
        let value = hex::decode(value).unwrap();
        let mut out = Vec::new();
        let bytes = dialect
            .builder(&mut out, Mti::new(200).unwrap())
            .bytes(2, &value)
            .finish();
        assert_eq!(bytes, Ok(out.len()), "{row}");
        assert_eq!(hex::encode(&out[10..]), wire, "{row}");
        let message = dialect.decode(&out).expect(row);
        let mut scratch = Scratch::new();
        assert_eq!(
            message.text(2, &mut scratch).unwrap(),
            Some(&value[..]),
            "{row}"
        );
        assert_eq!(
            hex::encode(message.raw(2).unwrap()),
            wire[wire.len() - message.raw(2).unwrap().len() * 2..]
        );
    }
}

#[test]
fn hex_digits_of_either_case_are_read() {
    let dialect = dialect(r#"type="b2", encoding="hex""#);
    let mut scratch = Scratch::new();
    for wire in [b"AbfF", b"aBFf"] {
        let frame = framed(wire);
        let message = dialect.decode(&frame).unwrap();
        assert_eq!(
            message.text(2, &mut scratch).unwrap(),
            Some(&[0xab, 0xff][..])
        );
    }
}

#[test]
fn either_pad_nibble_is_read() {
    let dialect = dialect(r#"type="n..19", encoding="packed", length="packed""#);
    let mut scratch = Scratch::new();
    for wire in ["0512345f", "05123450"] {
        let frame = framed(&hex::decode(wire).unwrap());
        let message = dialect.decode(&frame).unwrap();
        assert_eq!(message.text(2, &mut scratch).unwrap(), Some(&b"12345"[..]));
        assert_eq!(message.number(2), Ok(Some(12345)));
    }
}

#[test]
fn values_that_are_refused() {
    let long = |max, got| BuildReason::TooLong { max, got };
    for (row, value, reason) in [
        (r#"type="n6", encoding="ascii""#, "1234567", long(6, 7)),
        (
            r#"type="n6", encoding="ascii""#,
            "12a",
            BuildReason::Class(Class::N),
        ),
        (
            r#"type="n6", encoding="packed""#,
            "12a",
            BuildReason::Class(Class::N),
        ),
        (
            r#"type="n6", encoding="ascii", pad="none""#,
            "12",
            BuildReason::TooShort { length: 6, got: 2 },
        ),
        (
            r#"type="an2", encoding="ascii""#,
            "0.",
            BuildReason::Class(Class::An),
        ),
        (
            r#"type="a2", encoding="ascii""#,
            "A1",
            BuildReason::Class(Class::A),
        ),
        (
            r#"type="ns2", encoding="ascii""#,
            "A1",
            BuildReason::Class(Class::Ns),
        ),
        (
            r#"type="ans2", encoding="ascii""#,
            "\u{7f}",
            BuildReason::Class(Class::Ans),
        ),
        (
            r#"type="ans2", encoding="ebcdic""#,
            "\n",
            BuildReason::Class(Class::Ans),
        ),
        (
            r#"type="ans..4", encoding="ascii", length="ascii""#,
            "12345",
            long(4, 5),
        ),
        (
            r#"type="z..4", encoding="ascii", length="ascii""#,
            "12E",
            BuildReason::Class(Class::Z),
        ),
        (
            r#"type="x+n4", encoding="ascii""#,
            "25",
            BuildReason::Class(Class::Xn),
        ),
        (r#"type="x+n4", encoding="ascii""#, "C12345", long(4, 5)),
        (
            r#"type="x+n4", encoding="ascii""#,
            "",
            BuildReason::Class(Class::Xn),
        ),
        (r#"type="b2", encoding="binary""#, "12", BuildReason::Kind),
    ] {
        assert_eq!(
            written(&dialect(row), value.as_bytes()),
            Err(reason),
            "{row} {value}"
        );
    }
}

#[test]
fn numbers_and_amounts() {
    let dialect = Dialect::builtin("iso87-ascii").unwrap();
    let mut out = Vec::new();
    dialect
        .builder(&mut out, Mti::new(500).unwrap())
        .number(4, 0)
        .number(32, 12345)
        .signed(97, Side::Debit, 700)
        .finish()
        .unwrap();
    let message = dialect.decode(&out).unwrap();
    assert_eq!(message.number(4), Ok(Some(0)));
    assert_eq!(message.raw(4), Some(&b"000000000000"[..]));
    assert_eq!(message.raw(32), Some(&b"12345"[..]));
    assert_eq!(
        message.number(97).unwrap_err().to_string(),
        "DE 97 is not a number"
    );
    assert_eq!(message.signed(97), Ok(Some((Side::Debit, 700))));
    assert_eq!(
        message.signed(4).unwrap_err().to_string(),
        "DE 4 is not a signed amount"
    );
    assert_eq!(message.number(5), Ok(None));
    assert_eq!(message.signed(28), Ok(None));
    let mut other = Vec::new();
    let refused = dialect
        .builder(&mut other, Mti::new(500).unwrap())
        .number(4, 1_000_000_000_000)
        .finish();
    assert_eq!(
        refused.unwrap_err().to_string(),
        "DE 4: 13 units, at most 12 fit"
    );
}

#[test]
fn numbers_are_read_exactly_or_not_at_all() {
    // Every encoding of digits, at every length around words and limits.
    for units in [
        r#"encoding="ascii", length="ascii""#,
        r#"encoding="ebcdic", length="ebcdic""#,
        r#"encoding="packed", length="packed""#,
        r#"encoding="packed", length="packed", pad="left-zero""#,
    ] {
        let dialect = dialect(&format!(r#"type="n..42", {units}"#));
        for digits in [
            "0",
            "7",
            "12",
            "1234567",
            "12345678",
            "123456789",
            "1234567890123456",
            "9999999999999999999",
            "18446744073709551615",
            "18446744073709551616",
            "00000000000000000000000000000000000000000042",
            "99999999999999999999999",
        ] {
            let digits = &digits[..digits.len().min(42)];
            let wire = written(&dialect, digits.as_bytes()).unwrap();
            let frame = framed(&wire);
            let message = dialect.decode(&frame).unwrap();
            match digits.parse::<u64>() {
                Ok(number) => assert_eq!(message.number(2), Ok(Some(number)), "{units} {digits}"),
                Err(_) => assert_eq!(
                    message.number(2).unwrap_err().to_string(),
                    "DE 2 is larger than 64 bits"
                ),
            }
        }
        let frame = framed(&written(&dialect, b"").unwrap());
        let message = dialect.decode(&frame).unwrap();
        assert_eq!(
            message.number(2).unwrap_err().to_string(),
            "DE 2 is not a number"
        );
    }
}

#[test]
fn order_dialect_and_limits_of_a_build() {
    let dialect = Dialect::builtin("iso87-ascii").unwrap();
    let other = Dialect::builtin("iso87-bcd").unwrap();
    let mut request = Vec::new();
    other
        .builder(&mut request, Mti::new(200).unwrap())
        .number(11, 7)
        .finish()
        .unwrap();
    let request = other.decode(&request).unwrap();
    let set = gapless_iso8583::FieldSet::of(&[11]);
    let build = |run: &dyn Fn(&mut gapless_iso8583::Builder)| {
        let mut out = b"kept".to_vec();
        let mut builder = dialect.builder(&mut out, Mti::new(200).unwrap());
        run(&mut builder);
        let error = builder.finish().unwrap_err();
        drop(builder);
        assert_eq!(out, b"kept");
        error.to_string()
    };
    for (error, expected) in [
        (
            build(&|b| {
                b.number(4, 1).number(3, 1);
            }),
            "DE 3: fields must come in ascending order",
        ),
        (
            build(&|b| {
                b.number(4, 1).number(4, 1);
            }),
            "DE 4: fields must come in ascending order",
        ),
        (
            build(&|b| {
                b.number(4, 1).number(3, 1).number(90, 1);
            }),
            "DE 3: fields must come in ascending order",
        ),
        (
            build(&|b| {
                b.text(1, b"1");
            }),
            "DE 1: not a field of the dialect",
        ),
        (
            build(&|b| {
                b.text(65, b"1");
            }),
            "DE 65: not a field of the dialect",
        ),
        (
            build(&|b| {
                b.text(0, b"1");
            }),
            "DE 0: not a field of the dialect",
        ),
        (
            build(&|b| {
                b.text(193, b"1");
            }),
            "DE 193: not a field of the dialect",
        ),
        (
            build(&|b| {
                b.bytes(193, b"1");
            }),
            "DE 193: not a field of the dialect",
        ),
        (
            build(&|b| {
                b.bytes(4, b"1");
            }),
            "DE 4: text for a binary field, or bytes for another",
        ),
        (
            build(&|b| {
                b.text(52, b"12345678");
            }),
            "DE 52: text for a binary field, or bytes for another",
        ),
        (
            build(&|b| {
                b.bytes(52, b"1234567");
            }),
            "DE 52: 7 units, exactly 8 are needed",
        ),
        (
            build(&|b| {
                b.echo(&request, 11);
            }),
            "DE 11: echoed from a message of another dialect",
        ),
        (
            build(&|b| {
                b.echo_rest(&request, &set);
            }),
            "DE 11: echoed from a message of another dialect",
        ),
        (
            build(&|b| {
                b.signed(4, Side::Credit, 1);
            }),
            "DE 4: text for a binary field, or bytes for another",
        ),
        (
            build(&|b| {
                for n in (56..=63).chain(105..=127).chain(129..=192) {
                    b.text(n, &[b'x'; 999]);
                }
            }),
            "DE 192: the message is too long",
        ),
    ] {
        assert_eq!(error, expected);
    }
    let mut out = b"kept".to_vec();
    dialect
        .builder(&mut out, Mti::new(200).unwrap())
        .number(4, 1);
    assert_eq!(out, b"kept", "an unfinished message leaves nothing");
}

#[test]
fn bitmaps_grow_with_the_fields() {
    for (fields, bitmaps) in [
        (&[2_u8, 64][..], 1),
        (&[2, 64, 66][..], 2),
        (&[2, 128][..], 2),
        (&[129][..], 3),
        (&[2, 70, 192][..], 3),
        (&[][..], 1),
    ] {
        for name in Dialect::BUILTIN_NAMES {
            let dialect = Dialect::builtin(name).unwrap();
            let mut out = Vec::new();
            let mut builder = dialect.builder(&mut out, Mti::new(200).unwrap());
            for &field in fields {
                match field {
                    64 | 128 => builder.bytes(field, &[1, 2, 3, 4, 5, 6, 7, 8]),
                    _ => builder.text(field, b"1"),
                };
            }
            builder.finish().unwrap();
            drop(builder);
            let message = dialect.decode(&out).unwrap();
            assert_eq!(message.fields().collect::<Vec<_>>(), fields, "{name}");
            let bytes: usize = fields.iter().map(|&f| message.raw(f).unwrap().len()).sum();
            let each = if name.ends_with("hex") { 16 } else { 8 };
            assert!(out.len() >= 2 + bitmaps * each + bytes, "{name}");
            if name == "iso87-ascii" {
                assert_eq!(out[4] >> 7 == 1, bitmaps > 1);
                assert_eq!(
                    bitmaps > 2,
                    out.get(12).is_some_and(|b| bitmaps > 1 && b >> 7 == 1)
                );
            }
        }
    }
}

#[test]
fn echoes_copy_what_is_there() {
    use gapless_iso8583::FieldSet;
    for name in Dialect::BUILTIN_NAMES {
        let dialect = Dialect::builtin(name).unwrap();
        let mut frame = Vec::new();
        dialect
            .builder(&mut frame, Mti::new(200).unwrap())
            .text(2, b"9410000000000018")
            .number(3, 1)
            .number(4, 2)
            .number(11, 3)
            .text(41, b"TERM0001")
            .text(43, b"SHOP")
            .number(70, 301)
            .text(102, b"1000000001")
            .text(150, b"private")
            .finish()
            .unwrap();
        let request = dialect.decode(&frame).unwrap();
        const ECHO: FieldSet = FieldSet::of(&[2, 3, 7, 11, 41, 102, 103, 150]);
        let mut one_by_one = Vec::new();
        let mut builder = dialect.builder(&mut one_by_one, request.mti().response());
        for field in [2, 3, 7, 11] {
            builder.echo(&request, field);
        }
        builder.text(38, b"A00001");
        for field in [41, 102, 103, 150] {
            builder.echo(&request, field);
        }
        builder.finish().unwrap();
        drop(builder);
        let mut together = Vec::new();
        dialect
            .builder(&mut together, request.mti().response())
            .echo_until(&request, &ECHO, 38)
            .text(38, b"A00001")
            .echo_rest(&request, &ECHO)
            .finish()
            .unwrap();
        assert_eq!(together, one_by_one, "{name}");
        let response = dialect.decode(&together).unwrap();
        assert_eq!(response.mti().value(), 210);
        assert_eq!(
            response.fields().collect::<Vec<_>>(),
            [2, 3, 11, 38, 41, 102, 150]
        );
        for field in [2, 3, 11, 41, 102, 150] {
            assert_eq!(response.raw(field), request.raw(field), "{name} {field}");
        }
    }
}
