//! Frames, byte by byte.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use gapless_iso8583::{Cut, FrameError, Framing, LengthForm, swap_tpdu};
use serde::Deserialize;

fn framing(text: &str) -> Framing {
    #[derive(Deserialize)]
    struct Link {
        framing: Framing,
    }
    let link: Link = toml::from_str(&format!("framing = {text}")).unwrap_or_else(|e| panic!("{e}"));
    link.framing
}

fn refused(text: &str) -> String {
    #[derive(Debug, Deserialize)]
    struct Link {
        #[serde(rename = "framing")]
        _framing: Framing,
    }
    let error = toml::from_str::<Link>(&format!("framing = {text}")).unwrap_err();
    error.message().to_owned()
}

#[test]
fn one_frame_in_each_framing() {
    let tpdu = [0x60, 0, 1, 0, 2];
    for (text, with_tpdu, wire) in [
        (r#""binary2""#, false, "0003616263"),
        (r#""ascii4""#, false, "30303033616263"),
        (r#""bcd2""#, false, "0003616263"),
        (
            r#"{ length = "binary2", inclusive = true }"#,
            false,
            "0005616263",
        ),
        (
            r#"{ length = "ascii4", inclusive = true }"#,
            false,
            "30303037616263",
        ),
        (
            r#"{ length = "bcd2", inclusive = true }"#,
            false,
            "0005616263",
        ),
        (
            r#"{ length = "binary2", tpdu = true }"#,
            true,
            "00086000010002616263",
        ),
        (
            r#"{ length = "bcd2", tpdu = true, inclusive = true }"#,
            true,
            "00106000010002616263",
        ),
        (
            r#"{ length = "ascii4", tpdu = true, max_frame_bytes = 8 }"#,
            true,
            "303030386000010002616263",
        ),
    ] {
        let framing = framing(text);
        let bytes = hex::decode(wire).unwrap();
        let mut out = b"before".to_vec();
        let mark = framing.begin(&mut out, with_tpdu.then_some(tpdu));
        assert_eq!(mark.start(), 6);
        out.extend(b"abc");
        framing.end(&mut out, mark).unwrap();
        assert_eq!(hex::encode(&out[6..]), wire, "{text}");
        // It comes byte by byte: each time it says how much is missing at least.
        for have in 0..bytes.len() {
            match framing.cut(&bytes[..have]) {
                Ok(Cut::NeedMore { at_least }) => {
                    assert!(
                        (1..=bytes.len() - have).contains(&at_least),
                        "{text} {have}"
                    );
                    if have >= framing.length.bytes() {
                        assert_eq!(at_least, bytes.len() - have, "{text} {have}");
                    }
                }
                other => panic!("{text} {have}: {other:?}"),
            }
        }
        let mut more = bytes.clone();
        more.extend(b"next");
        let body = bytes.len() - 3..bytes.len();
        let consumed = bytes.len();
        let tpdu = with_tpdu.then_some(tpdu);
        assert_eq!(
            framing.cut(&more),
            Ok(Cut::Frame {
                tpdu,
                body,
                consumed
            }),
            "{text}"
        );
    }
}

#[test]
fn bytes_that_are_no_frame_of_a_message() {
    let alive = |consumed| Ok(Cut::KeepAlive { consumed });
    let long = |announced, limit| Err(FrameError::TooLong { announced, limit });
    let short = |announced, least| Err(FrameError::TooShort { announced, least });
    for (text, wire, result) in [
        (r#""binary2""#, "0000", alive(2)),
        (r#""ascii4""#, "30303030", alive(4)),
        (r#""bcd2""#, "0000ff", alive(2)),
        (
            r#"{ length = "binary2", inclusive = true }"#,
            "0002",
            alive(2),
        ),
        (
            r#"{ length = "binary2", inclusive = true }"#,
            "0000",
            alive(2),
        ),
        (
            r#"{ length = "binary2", inclusive = true }"#,
            "0001",
            short(1, 2),
        ),
        (
            r#"{ length = "ascii4", inclusive = true }"#,
            "30303033",
            short(3, 4),
        ),
        (r#"{ length = "binary2", tpdu = true }"#, "0000", alive(2)),
        (
            r#"{ length = "binary2", tpdu = true }"#,
            "00056000010002",
            alive(7),
        ),
        (
            r#"{ length = "binary2", tpdu = true }"#,
            "0004",
            short(4, 5),
        ),
        (r#""binary2""#, "ffff", long(65_535, 4096)),
        (r#""binary2""#, "1001", long(4097, 4096)),
        (
            r#"{ length = "ascii4", max_frame_bytes = 99 }"#,
            "30313030",
            long(100, 99),
        ),
        (
            r#"{ length = "bcd2", max_frame_bytes = 99 }"#,
            "0100",
            long(100, 99),
        ),
        (r#""ascii4""#, "3030303a", Err(FrameError::LengthDigits)),
        (r#""ascii4""#, "20303030", Err(FrameError::LengthDigits)),
        (r#""bcd2""#, "000a", Err(FrameError::LengthDigits)),
        (r#""bcd2""#, "f000", Err(FrameError::LengthDigits)),
        (r#""binary2""#, "1000", Ok(Cut::NeedMore { at_least: 4096 })),
        (r#""ascii4""#, "", Ok(Cut::NeedMore { at_least: 4 })),
        (r#""ascii4""#, "3030", Ok(Cut::NeedMore { at_least: 2 })),
    ] {
        assert_eq!(
            framing(text).cut(&hex::decode(wire).unwrap()),
            result,
            "{text} {wire}"
        );
    }
}

#[test]
fn frames_too_long_to_send_are_taken_back() {
    for (text, bytes, limit) in [
        (r#"{ length = "binary2", max_frame_bytes = 10 }"#, 11, 10),
        (
            r#"{ length = "ascii4", max_frame_bytes = 9999, inclusive = true }"#,
            9996,
            9995,
        ),
        (
            r#"{ length = "binary2", max_frame_bytes = 65535, inclusive = true }"#,
            65_534,
            65_533,
        ),
    ] {
        let framing = framing(text);
        let mut out = b"before".to_vec();
        let mark = framing.begin(&mut out, None);
        out.resize(out.len() + bytes - 1, 0);
        framing.end(&mut out, mark).unwrap();
        out.truncate(6);
        let mark = framing.begin(&mut out, None);
        out.resize(out.len() + bytes, 0);
        let announced = bytes;
        assert_eq!(
            framing.end(&mut out, mark),
            Err(FrameError::TooLong { announced, limit })
        );
        assert_eq!(out, b"before");
    }
    let framing = Framing::new(LengthForm::Binary2);
    let mut out = Vec::new();
    let mark = framing.begin(&mut out, None);
    assert_eq!(framing.end(&mut Vec::new(), mark), Err(FrameError::Mark));
}

#[test]
fn framings_that_are_refused() {
    for (text, says) in [
        (r#""binary4""#, "unknown variant `binary4`"),
        (r#"{ tpdu = true }"#, "missing field `length`"),
        (
            r#"{ length = "binary2", limit = 3 }"#,
            "unknown field `limit`",
        ),
        (
            r#"{ length = "bcd2", max_frame_bytes = 10000 }"#,
            "max_frame_bytes must be 1 to 9999",
        ),
        (
            r#"{ length = "binary2", max_frame_bytes = 0 }"#,
            "max_frame_bytes must be 1 to 65535",
        ),
        ("3", "invalid type: integer `3`"),
    ] {
        let error = refused(text);
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn an_answer_goes_back_where_it_came_from() {
    assert_eq!(swap_tpdu([0x60, 1, 2, 3, 4]), [0x60, 3, 4, 1, 2]);
}
