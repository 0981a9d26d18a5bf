//! The dialects that come with the product.
#![allow(clippy::unwrap_used, clippy::panic)]

use gapless_iso8583::{Dialect, Message, Mti, Scratch};

#[test]
fn every_builtin_parses_and_is_the_same_each_time() {
    for name in Dialect::BUILTIN_NAMES {
        let dialect = Dialect::builtin(name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(dialect.name(), name);
        let again = Dialect::builtin(name).unwrap();
        assert!(std::sync::Arc::ptr_eq(&dialect, &again));
    }
    assert!(Dialect::builtin("iso87").is_none());
}

#[test]
fn a_message_goes_out_and_comes_back() {
    for name in Dialect::BUILTIN_NAMES {
        let dialect = Dialect::builtin(name).unwrap();
        let mut out = Vec::new();
        dialect
            .builder(&mut out, Mti::new(200).unwrap())
            .text(2, b"9410000000000000009")
            .number(4, 1250)
            .number(11, 7)
            .text(41, b"TERM1")
            .bytes(52, &[1, 2, 3, 4, 5, 6, 7, 8])
            .text(102, b"1000000000")
            .finish()
            .unwrap();
        let message = dialect.decode(&out).unwrap();
        let mut scratch = Scratch::new();
        assert_eq!(message.mti().value(), 200);
        assert_eq!(
            message.number(2),
            Ok(Some(9_410_000_000_000_000_009)),
            "{name}"
        );
        assert_eq!(message.number(4), Ok(Some(1250)));
        assert_eq!(message.text(41, &mut scratch), Ok(Some(&b"TERM1   "[..])));
        assert_eq!(
            message.text(52, &mut scratch),
            Ok(Some(&[1, 2, 3, 4, 5, 6, 7, 8][..]))
        );
        assert_eq!(
            message.text(102, &mut scratch),
            Ok(Some(&b"1000000000"[..]))
        );
        assert_eq!(
            message.fields().collect::<Vec<_>>(),
            [2, 4, 11, 41, 52, 102]
        );
    }
}

/// Nothing is left of the message that was there before, good or bad.
#[test]
fn a_message_is_read_into_the_place_of_another() {
    let dialect = Dialect::builtin("iso87-ascii").unwrap();
    let frame = |fields: &[(u8, &[u8])]| {
        let mut frame = Vec::new();
        let mut builder = dialect.builder(&mut frame, Mti::new(200).unwrap());
        for (field, value) in fields {
            builder.text(*field, value);
        }
        builder.finish().unwrap();
        drop(builder);
        frame
    };
    let many = frame(&[
        (3, b"000000"),
        (4, b"000000000100"),
        (11, b"000001"),
        (100, b"7"),
    ]);
    let few = frame(&[(11, b"000002")]);
    let mut bad = many.clone();
    bad.pop();
    let mut message = Message::default();
    assert_eq!(message.fields().count(), 0);
    for _ in 0..2 {
        dialect.decode_into(&many, &mut message).unwrap();
        assert_eq!(message.fields().collect::<Vec<_>>(), [3, 4, 11, 100]);
        dialect.decode_into(&few, &mut message).unwrap();
        assert_eq!(message.fields().collect::<Vec<_>>(), [11]);
        assert_eq!((message.raw(4), message.raw(100)), (None, None));
        assert_eq!(message.number(11), Ok(Some(2)));
        let failure = dialect.decode_into(&bad, &mut message).unwrap_err();
        assert!(failure.partial.has(4) && !failure.partial.has(100));
        assert_eq!((message.fields().count(), message.raw(11)), (0, None));
    }
}
