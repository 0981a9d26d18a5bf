//! The dialects that come with the product.
#![allow(clippy::unwrap_used, clippy::panic)]

use gapless_iso8583::{Dialect, Mti, Scratch};

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
