//! What must hold for any bytes. Included by the fuzz targets, and by the
//! ordinary test that replays their corpus.

use gapless_iso8583::{Cut, Dialect, FieldSet, Framing, LengthForm, Message, Scratch, dump};

/// The first byte chooses among `ways`; the rest is input.
fn choose(data: &[u8], ways: usize) -> Option<(usize, &[u8])> {
    let (&first, rest) = data.split_first()?;
    Some((usize::from(first) % ways, rest))
}

/// Cuts a stream into frames: nothing is lost, and asking again with what was
/// said to be missing goes on.
pub fn frame(data: &[u8]) {
    let Some((way, stream)) = choose(data, 12) else {
        return;
    };
    let framing = Framing {
        length: match way % 3 {
            0 => LengthForm::Binary2,
            1 => LengthForm::Ascii4,
            _ => LengthForm::Bcd2,
        },
        tpdu: way / 3 % 2 == 1,
        inclusive: way / 6 == 1,
        max_frame_bytes: 600,
    };
    let mut rest = stream;
    loop {
        match framing.cut(rest) {
            Ok(Cut::NeedMore { at_least }) => {
                assert!(at_least > 0 && at_least <= 604);
                return;
            }
            Ok(Cut::KeepAlive { consumed }) => {
                assert!(consumed >= framing.length.bytes());
                rest = rest.get(consumed..).expect("within the stream");
            }
            Ok(Cut::Frame {
                tpdu,
                body,
                consumed,
            }) => {
                assert!(body.end == consumed && !body.is_empty());
                let message = rest.get(body).expect("within the stream");
                let mut again = Vec::new();
                let mark = framing.begin(&mut again, tpdu);
                again.extend_from_slice(message);
                framing.end(&mut again, mark).expect("as long as it was");
                assert_eq!(rest.get(..consumed), Some(&again[..]));
                rest = rest.get(consumed..).expect("within the stream");
            }
            Err(_) => return,
        }
    }
}

fn dialect_of(way: usize) -> std::sync::Arc<Dialect> {
    let name = Dialect::BUILTIN_NAMES.get(way).expect("one for each way");
    Dialect::builtin(name).expect("it comes with the product")
}

/// Decodes a message; every value can be read, and echoed whole it is a
/// message with the same values.
pub fn message(data: &[u8]) {
    let Some((way, frame)) = choose(data, Dialect::BUILTIN_NAMES.len()) else {
        return;
    };
    let dialect = dialect_of(way);
    match dialect.decode(frame) {
        Ok(message) => {
            read(&message);
            echo(&dialect, &message);
        }
        Err(failure) => {
            assert!(failure.error.offset <= frame.len());
            assert!(
                !failure.partial.has(failure.error.field)
                    || failure.error.to_string().contains("end")
            );
            read(&failure.partial);
            echo(&dialect, &failure.partial);
        }
    }
}

fn read(message: &Message<'_>) {
    let mut scratch = Scratch::new();
    for field in message.fields() {
        assert!(message.has(field) && message.raw(field).is_some());
        let number = message.number(field);
        let signed = message.signed(field);
        let text = message.text(field, &mut scratch).expect("it was decoded");
        let text = text.expect("it is present");
        if let (Ok(Some(number)), Ok(digits)) = (number, std::str::from_utf8(text)) {
            assert_eq!(digits.parse(), Ok(number));
        }
        if let Ok(Some((side, _))) = signed {
            assert_eq!(text.first(), Some(&side.letter()));
        }
    }
}

fn echo(dialect: &Dialect, message: &Message<'_>) {
    let mut out = Vec::new();
    dialect
        .builder(&mut out, message.mti())
        .echo_rest(message, &message.present())
        .finish()
        .expect("what was read can be written");
    let again = dialect.decode(&out).expect("what was written can be read");
    assert_eq!(again.present(), message.present());
    for field in message.fields() {
        assert_eq!(again.raw(field), message.raw(field));
    }
    let none = FieldSet::EMPTY;
    assert_eq!(again.present() == none, message.present() == none);
}

/// Reads a dialect file, and with it a message.
pub fn dialect(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Dialect::parse("fuzz", text) {
        Ok(dialect) => {
            let _ = dialect.decode(b"0200\x70\0\0\0\0\0\0\0");
            for field in 0..=255 {
                let mut out = Vec::new();
                let mti = gapless_iso8583::Mti::UNKNOWN;
                let built = dialect.builder(&mut out, mti).text(field, b"1").finish();
                if built.is_ok() {
                    let message = dialect.decode(&out).expect("what was written can be read");
                    assert!(message.has(field));
                } else {
                    assert!(out.is_empty());
                }
            }
        }
        Err(error) => assert!(error.line >= 1 && error.line <= text.lines().count().max(1) + 1),
    }
}

/// Dumps a frame: whatever it holds, the digits that a card number hides are
/// not shown.
pub fn dumped(data: &[u8]) {
    let Some((way, frame)) = choose(data, Dialect::BUILTIN_NAMES.len()) else {
        return;
    };
    let dialect = dialect_of(way);
    let text = dump(&dialect, frame).to_string();
    assert!(text.is_ascii() && text.ends_with('\n'));
    let lines: Vec<&str> = text.lines().collect();
    let message = match dialect.decode(frame) {
        Ok(message) => message,
        Err(failure) => *failure.partial,
    };
    let shown = |field: u8| {
        let number = format!("{field:>3}  ");
        lines.iter().find(|line| line.starts_with(&number)).copied()
    };
    for field in message.fields() {
        let line = shown(field).expect("a line a field");
        let secret = matches!(field, 35 | 36 | 45 | 48 | 52 | 53 | 55 | 60..=64 | 120..=128);
        assert!(!secret || line.ends_with("  ****"), "DE {field} is shown");
        let card = matches!(field, 2 | 34);
        let digits = line.rsplit(' ').next().unwrap_or_default();
        assert!(!card || digits.bytes().filter(u8::is_ascii_digit).count() <= 10);
    }
}
