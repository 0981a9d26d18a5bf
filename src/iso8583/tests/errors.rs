//! What is wrong with a message, where, and what should have stood there.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use gapless_iso8583::{Class as C, Dialect, Expected, FieldSet, Mti};

#[test]
fn faults_of_messages() {
    use Expected::*;
    // dialect | frame as text, with bytes in hex between < and > | field |
    // offset | expected
    for (name, frame, field, offset, expected) in [
        ("iso87-ascii", "", 0, 0, Bytes { needed: 4, left: 0 }),
        ("iso87-ascii", "020", 0, 0, Bytes { needed: 4, left: 3 }),
        ("iso87-ascii", "02x0<0000000000000000>", 0, 0, MtiDigits),
        (
            "iso87-ascii",
            "0200<00000000>",
            1,
            4,
            Bytes { needed: 8, left: 4 },
        ),
        (
            "iso87-ascii",
            "0200<8000000000000000>",
            1,
            12,
            Bytes { needed: 8, left: 0 },
        ),
        (
            "iso87-ascii",
            "0200<80000000000000008000000000000000>1",
            65,
            20,
            Bytes { needed: 8, left: 1 },
        ),
        (
            "iso87-ascii",
            "0200<0000000000000000>x",
            1,
            12,
            End { trailing: 1 },
        ),
        (
            "iso87-ascii",
            "0200<2000000000000000>123456xy",
            3,
            18,
            End { trailing: 2 },
        ),
        (
            "iso87-ascii",
            "0200<2000000000000000>12345",
            3,
            12,
            Bytes { needed: 6, left: 5 },
        ),
        (
            "iso87-ascii",
            "0200<2000000000000000>12a456",
            3,
            14,
            Expected::Class(C::N),
        ),
        (
            "iso87-ascii",
            "0200<3000000000000000>1234560000000000 1",
            4,
            28,
            Expected::Class(C::N),
        ),
        (
            "iso87-ascii",
            "0200<4000000000000000>1",
            2,
            12,
            Bytes { needed: 2, left: 1 },
        ),
        (
            "iso87-ascii",
            "0200<4000000000000000>1x",
            2,
            12,
            LengthDigits,
        ),
        (
            "iso87-ascii",
            "0200<4000000000000000>20",
            2,
            12,
            Length { max: 19, got: 20 },
        ),
        (
            "iso87-ascii",
            "0200<4000000000000000>1212345678901",
            2,
            14,
            Bytes {
                needed: 12,
                left: 11,
            },
        ),
        (
            "iso87-ascii",
            "0200<0000000000800000>TERM<00>001",
            41,
            16,
            Expected::Class(C::Ans),
        ),
        (
            "iso87-ascii",
            "0200<0000000002000000>.0",
            39,
            12,
            Expected::Class(C::An),
        ),
        (
            "iso87-ascii",
            "0200<0000000020000000>0212E",
            35,
            16,
            End { trailing: 1 },
        ),
        (
            "iso87-ascii",
            "0200<0000000020000000>021E",
            35,
            15,
            Expected::Class(C::Z),
        ),
        (
            "iso87-ascii",
            "0200<0000001000000000>X00000001",
            28,
            12,
            Sign,
        ),
        (
            "iso87-ascii",
            "0200<0000001000000000>C0000000x",
            28,
            20,
            Expected::Class(C::Xn),
        ),
        ("iso87-ascii-hex", "02000000000000000g00", 1, 17, HexDigit),
        (
            "iso87-ascii-hex",
            "020000000000000010000123456789ABCDEX",
            52,
            35,
            HexDigit,
        ),
        (
            "iso87-ascii-hex",
            "02000000000000000200001",
            55,
            23,
            Bytes { needed: 2, left: 0 },
        ),
        ("iso87-bcd", "<02>", 0, 0, Bytes { needed: 2, left: 1 }),
        ("iso87-bcd", "<0a000000000000000000>", 0, 0, MtiDigits),
        (
            "iso87-bcd",
            "<02002000000000000000><12345a>",
            3,
            12,
            Expected::Class(C::N),
        ),
        (
            "iso87-bcd",
            "<02000000040000000000><1123>",
            22,
            10,
            PadNibble,
        ),
        (
            "iso87-bcd",
            "<02004000000000000000><1a>",
            2,
            10,
            LengthDigits,
        ),
        (
            "iso87-bcd",
            "<02004000000000000000><20>",
            2,
            10,
            Length { max: 19, got: 20 },
        ),
        (
            "iso87-bcd",
            "<02004000000000000000><051234>",
            2,
            11,
            Bytes { needed: 3, left: 2 },
        ),
        (
            "iso87-bcd",
            "<02004000000000000000><05123451>",
            2,
            13,
            PadNibble,
        ),
        (
            "iso87-bcd",
            "<02004000000000000000><0512a45f>",
            2,
            12,
            Expected::Class(C::N),
        ),
        (
            "iso87-bcd",
            "<02000000001000000000><4300000a01>",
            28,
            13,
            Expected::Class(C::Xn),
        ),
        (
            "iso87-ebcdic",
            "<f0f2f0f0><2000000000000000><f1f2f3f4f5c1>",
            3,
            17,
            Expected::Class(C::N),
        ),
        (
            "iso87-ebcdic",
            "<f0f2f030><2000000000000000>",
            0,
            0,
            MtiDigits,
        ),
        (
            "iso87-ebcdic",
            "<f0f2f0f0><0000000000800000><c1c2c3c4ffc1c1c1>",
            41,
            16,
            Expected::Class(C::Ans),
        ),
        (
            "iso87-ebcdic",
            "<f0f2f0f0><4000000000000000><f030>",
            2,
            12,
            LengthDigits,
        ),
        (
            "iso93-ascii",
            "1200<0010000000000000>22112210453x",
            12,
            23,
            Expected::Class(C::N),
        ),
    ] {
        let dialect = Dialect::builtin(name).unwrap();
        let bytes = bytes(frame);
        let result = dialect.decode(&bytes);
        let Err(failure) = result else {
            panic!("{name} {frame}: was read");
        };
        let error = failure.error;
        assert_eq!(
            (error.field, error.offset, error.expected),
            (field, offset, expected),
            "{name} {frame}"
        );
    }
}

#[test]
fn messages_at_the_edge_are_read() {
    for (name, frame) in [
        ("iso87-ascii", "0200<0000000000000000>"),
        ("iso87-ascii", "0200<80000000000000000000000000000000>"),
        (
            "iso87-ascii",
            "0200<800000000000000080000000000000000000000000000000>",
        ),
        ("iso87-ascii", "0200<4000000000000000>00"),
        ("iso87-ascii", "0200<0000000020000000>0212"),
        ("iso87-ascii", "0200<0000000002000000>  "),
        ("iso87-ascii-hex", "02000000000000001000abcdefABCDEF0123"),
        ("iso87-bcd", "<02004000000000000000><0512345f>"),
        ("iso87-bcd", "<02004000000000000000><05123450>"),
        ("iso87-bcd", "<02000000040000000000><0051>"),
    ] {
        let dialect = Dialect::builtin(name).unwrap();
        let bytes = bytes(frame);
        assert!(dialect.decode(&bytes).is_ok(), "{name} {frame}");
    }
}

#[test]
fn what_could_be_read_beside_the_fault_is_there() {
    let dialect = Dialect::builtin("iso87-ascii").unwrap();
    let frame = bytes("0200<7020000000000000>16941000000000001800000000000001250x000123");
    let failure = dialect.decode(&frame).unwrap_err();
    assert_eq!(
        failure.error.to_string(),
        "DE 4, offset 47: expected characters of class n"
    );
    assert_eq!(failure.to_string(), failure.error.to_string());
    assert_eq!(failure.partial.mti(), Mti::new(200).unwrap());
    assert_eq!(failure.partial.fields().collect::<Vec<_>>(), [2, 3, 11]);
    assert_eq!(failure.partial.raw(2), Some(&b"9410000000000018"[..]));
    assert_eq!(failure.partial.raw(4), None);
    assert_eq!(failure.partial.number(11), Ok(Some(123)));
    // Behind a length that cannot be read nothing can be found; of two faults the first is told.
    let frame = bytes("0200<7020000000000000>1694100000000000180x000000000000125x000123");
    let failure = dialect.decode(&frame).unwrap_err();
    assert_eq!(failure.error.field, 3);
    assert_eq!(failure.partial.fields().collect::<Vec<_>>(), [2, 11]);
    // What is echoed of such a message leaves the wrong field out.
    let mut answer = Vec::new();
    let mut builder = dialect.builder(&mut answer, Mti::from_ascii(*b"0210").unwrap());
    builder.echo_rest(&failure.partial, &FieldSet::of(&[2, 3, 4, 11]));
    builder.finish().unwrap();
    drop(builder);
    assert_eq!(
        answer,
        bytes("0210<4020000000000000>169410000000000018000123")
    );
    let frame = bytes("0200<7020000000000000>1x941000000000001800000000000001250000123");
    let failure = dialect.decode(&frame).unwrap_err();
    assert_eq!(failure.error.field, 2);
    assert!(failure.partial.fields().next().is_none());
    let nothing = dialect.decode(b"x").unwrap_err();
    assert_eq!(nothing.partial.mti(), Mti::UNKNOWN);
    assert_eq!(
        nothing.error.to_string(),
        "MTI, offset 0: expected 4 bytes, 1 are left"
    );
}

#[test]
fn errors_and_debug_output_show_no_content() {
    let dialect = Dialect::builtin("iso87-ascii").unwrap();
    let frame = bytes("0200<5000000000000000>16941000000000001800000001250x");
    let failure = dialect.decode(&frame).unwrap_err();
    for text in [
        format!("{failure:?}"),
        format!("{failure}"),
        format!("{dialect:?}"),
    ] {
        assert!(!text.contains("9410"), "{text}");
    }
}

#[test]
fn a_message_longer_than_offsets_reach_is_refused() {
    for name in Dialect::BUILTIN_NAMES {
        let dialect = Dialect::builtin(name).unwrap();
        let frame = vec![b'0'; gapless_iso8583::MAX_MESSAGE_BYTES + 1];
        let error = dialect.decode(&frame).unwrap_err().error;
        assert_eq!(error.expected, Expected::MessageOfAtMost(65_535));
    }
}

/// Text with bytes in hex between `<` and `>`.
fn bytes(frame: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for part in frame.split('<') {
        match part.split_once('>') {
            Some((hexes, text)) => {
                out.extend(hex::decode(hexes).unwrap());
                out.extend(text.bytes());
            }
            None => out.extend(part.bytes()),
        }
    }
    out
}
