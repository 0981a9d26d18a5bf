//! Random messages and random bytes, for every dialect.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use gapless_iso8583::{
    Class, Cut, Dialect, FieldSet, Framing, Layout, LengthForm, Mti, Scratch, dump,
};
use proptest::prelude::*;

/// A field's attribute taken apart: class, whether its length varies, most
/// units.
fn attribute(dialect: &Dialect, field: u8) -> Option<(Class, bool, usize)> {
    let attribute = dialect.attribute(field);
    let digits = attribute.find(|c: char| c.is_ascii_digit() || c == '.')?;
    let class = match &attribute[..digits] {
        "n" => Class::N,
        "a" => Class::A,
        "an" => Class::An,
        "ns" => Class::Ns,
        "ans" => Class::Ans,
        "b" => Class::B,
        "z" => Class::Z,
        "x+n" => Class::Xn,
        other => panic!("{other}"),
    };
    let rest = &attribute[digits..];
    let max = rest.trim_start_matches('.');
    Some((class, max.len() != rest.len(), max.parse().unwrap()))
}

/// A value that fills a field whole, if its length is fixed, made from a seed.
fn value(class: Class, varies: bool, max: usize, seed: &[u8]) -> Vec<u8> {
    let units = if varies { seed.len().min(max) } else { max };
    let alphabet: Vec<u8> = (0..=255)
        .filter(|&byte| class.holds(byte) && (class != Class::Z || byte != b'D'))
        .collect();
    let pick = |at: usize| {
        let byte = seed.get(at % seed.len().max(1)).copied().unwrap_or(7);
        alphabet[(usize::from(byte) + at) % alphabet.len()]
    };
    let sign = (class == Class::Xn).then_some(if seed.len() % 2 == 1 { b'D' } else { b'C' });
    sign.into_iter().chain((0..units).map(pick)).collect()
}

/// Builds a message of these fields; what each was given.
fn build(dialect: &Dialect, mti: Mti, seeds: &[(u8, Vec<u8>)]) -> (Vec<u8>, Vec<(u8, Vec<u8>)>) {
    let mut frame = Vec::new();
    let mut values = Vec::new();
    let mut builder = dialect.builder(&mut frame, mti);
    let mut last = 0;
    for (field, seed) in seeds {
        let Some((class, varies, max)) = attribute(dialect, *field) else {
            continue;
        };
        if *field == last {
            continue;
        }
        last = *field;
        let value = value(class, varies, max, seed);
        match class {
            Class::B => builder.bytes(*field, &value),
            _ => builder.text(*field, &value),
        };
        values.push((*field, value));
    }
    builder.finish().unwrap();
    drop(builder);
    (frame, values)
}

fn seeds() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    let field = (2..=192_u8, proptest::collection::vec(any::<u8>(), 0..60));
    proptest::collection::vec(field, 0..40).prop_map(|mut fields| {
        fields.sort_by_key(|(field, _)| *field);
        fields
    })
}

fn every_dialect() -> impl Iterator<Item = std::sync::Arc<Dialect>> {
    Dialect::BUILTIN_NAMES
        .into_iter()
        .map(|name| Dialect::builtin(name).unwrap())
}

proptest! {
    #[test]
    fn what_was_built_is_read(seeds in seeds(), mti in 0..=9999_u16) {
        let mti = Mti::new(mti).unwrap();
        for dialect in every_dialect() {
            let (frame, values) = build(&dialect, mti, &seeds);
            let message = dialect.decode(&frame).unwrap();
            prop_assert_eq!(message.mti(), mti);
            let fields: Vec<u8> = values.iter().map(|(field, _)| *field).collect();
            prop_assert_eq!(message.fields().collect::<Vec<_>>(), &fields[..]);
            prop_assert_eq!(message.present(), FieldSet::of(&fields));
            let mut scratch = Scratch::new();
            for (field, value) in &values {
                let text = message.text(*field, &mut scratch).unwrap();
                prop_assert_eq!(text, Some(&value[..]), "{} DE {}", dialect.name(), field);
                let digits = value.iter().all(u8::is_ascii_digit) && !value.is_empty();
                let class = attribute(&dialect, *field).unwrap().0;
                if class == Class::N {
                    let number = std::str::from_utf8(value).unwrap().parse().ok();
                    prop_assert_eq!(message.number(*field).ok().flatten(), number);
                } else if !digits {
                    prop_assert!(message.number(*field).is_err());
                }
                if class == Class::Xn {
                    let (side, magnitude) = message.signed(*field).unwrap().unwrap();
                    prop_assert_eq!(side.letter(), value[0]);
                    let digits = format!("{magnitude:0w$}", w = value.len() - 1);
                    prop_assert_eq!(digits.as_bytes(), &value[1..]);
                }
            }
            // Echoed whole, one by one and together, it is the same message.
            let all = FieldSet::of(&(1..=192).collect::<Vec<_>>());
            let (mut one_by_one, mut together) = (Vec::new(), Vec::new());
            let mut builder = dialect.builder(&mut one_by_one, mti);
            for field in message.fields() {
                builder.echo(&message, field);
            }
            builder.finish().unwrap();
            drop(builder);
            dialect.builder(&mut together, mti).echo_rest(&message, &all).finish().unwrap();
            prop_assert_eq!(&one_by_one, &frame);
            prop_assert_eq!(&together, &frame);
        }
    }

    #[test]
    fn a_layout_shows_the_message_again_over_a_copy(
        seeds in seeds(),
        mti in 0..=9999_u16,
        other in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut layout = Layout::default();
        for dialect in every_dialect() {
            let (frame, _) = build(&dialect, Mti::new(mti).unwrap(), &seeds);
            let message = dialect.decode(&frame).unwrap();
            message.layout(&mut layout);
            let copy = frame.clone();
            let again = layout.of(&copy);
            prop_assert_eq!(again.mti(), message.mti());
            prop_assert_eq!(again.present(), message.present());
            for field in message.fields() {
                prop_assert_eq!(again.raw(field), message.raw(field));
                prop_assert_eq!(again.number(field), message.number(field));
            }
            let (mut first, mut second) = (Vec::new(), Vec::new());
            let all = message.present();
            dialect.builder(&mut first, message.mti()).echo_rest(&message, &all).finish().unwrap();
            dialect.builder(&mut second, again.mti()).echo_rest(&again, &all).finish().unwrap();
            prop_assert_eq!(&first, &second);
            // Over other bytes it shows nonsense, and never fails.
            let stranger = layout.of(&other);
            for field in stranger.fields() {
                let _ = (stranger.raw(field), stranger.number(field));
            }
        }
        prop_assert!(Layout::default().of(&other).present().is_empty());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for dialect in every_dialect() {
            read_everything(&dialect, &bytes);
        }
    }

    #[test]
    fn no_damage_makes_it_panic(
        seeds in seeds(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6),
    ) {
        for dialect in every_dialect() {
            let (mut frame, _) = build(&dialect, Mti::new(200).unwrap(), &seeds);
            for (place, byte, how) in &damage {
                let at = place.index(frame.len());
                match how {
                    0 => frame[at] = *byte,
                    1 => frame[at] ^= 1 << (byte % 8),
                    2 => frame.truncate(at + 1),
                    _ => frame.insert(at, *byte),
                }
            }
            read_everything(&dialect, &frame);
        }
    }

    #[test]
    fn a_cut_message_is_an_error_at_its_end(seeds in seeds(), cut in any::<prop::sample::Index>()) {
        for dialect in every_dialect() {
            let (frame, _) = build(&dialect, Mti::new(200).unwrap(), &seeds);
            let short = &frame[..cut.index(frame.len())];
            let error = dialect.decode(short).unwrap_err().error;
            prop_assert!(error.offset <= short.len());
            let mut long = frame.clone();
            long.push(b'0');
            let error = dialect.decode(&long).unwrap_err().error;
            prop_assert_eq!(error.offset, frame.len());
        }
    }

    #[test]
    fn frames_come_back_from_a_stream(
        bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..5),
        length in prop::sample::select(vec![LengthForm::Binary2, LengthForm::Ascii4, LengthForm::Bcd2]),
        tpdu in any::<Option<[u8; 5]>>(),
        inclusive in any::<bool>(),
    ) {
        let framing = Framing { length, tpdu: tpdu.is_some(), inclusive, max_frame_bytes: 205 };
        let mut stream = Vec::new();
        for body in &bodies {
            let mark = framing.begin(&mut stream, tpdu);
            stream.extend_from_slice(body);
            framing.end(&mut stream, mark).unwrap();
        }
        let mut rest = &stream[..];
        for body in &bodies {
            match framing.cut(rest).unwrap() {
                Cut::KeepAlive { consumed } => {
                    prop_assert!(body.is_empty());
                    rest = &rest[consumed..];
                }
                Cut::Frame { tpdu: got, body: place, consumed } => {
                    prop_assert_eq!(got, tpdu);
                    prop_assert_eq!(&rest[place], &body[..]);
                    rest = &rest[consumed..];
                }
                Cut::NeedMore { at_least } => prop_assert!(false, "{at_least} more"),
            }
        }
        prop_assert!(rest.is_empty());
    }
}

/// Reads whatever can be read, and checks that what is there holds together.
fn read_everything(dialect: &Dialect, frame: &[u8]) {
    let (message, offset) = match dialect.decode(frame) {
        Ok(message) => (message, frame.len()),
        Err(failure) => (*failure.partial, failure.error.offset),
    };
    assert!(offset <= frame.len());
    let mut scratch = Scratch::new();
    for field in message.fields() {
        assert!(message.raw(field).is_some());
        assert!(message.text(field, &mut scratch).unwrap().is_some());
        let _ = message.number(field);
        let _ = message.signed(field);
    }
    let _ = dump(dialect, frame).to_string();
}
