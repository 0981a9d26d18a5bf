//! `gapless dump FRAMEHEX --dialect NAME`

use std::io::Read;

use clap::ValueEnum;
use gapless_iso8583::{Cut, Framing, LengthForm};

use super::{Dump, Failure, say};
use crate::config::read_dialect;

/// The longest text that is read: a longest frame in hexadecimal, with blanks.
const MAX_TEXT_BYTES: u64 = 512 << 10;

/// How the frame's length is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Length {
    /// Two bytes, big-endian
    Binary2,
    /// Four ASCII digits
    Ascii4,
    /// Two bytes of packed digits
    Bcd2,
}

impl Length {
    const fn form(self) -> LengthForm {
        match self {
            Self::Binary2 => LengthForm::Binary2,
            Self::Ascii4 => LengthForm::Ascii4,
            Self::Bcd2 => LengthForm::Bcd2,
        }
    }
}

/// What could be read is printed even of a damaged message; the status is 65 then.
pub(super) fn dump(arguments: &Dump) -> Result<(), Failure> {
    let dialect = read_dialect(&arguments.dialects, &arguments.dialect).map_err(Failure::usage)?;
    let bytes = bytes(&arguments.frame_hex)?;
    let body = body(arguments, &bytes)?;
    say(format_args!("{}", gapless_iso8583::dump(&dialect, body))
        .to_string()
        .trim_end());
    match dialect.decode(body) {
        Ok(_) => Ok(()),
        Err(failure) => Err(Failure::data(failure.error)),
    }
}

/// Never shows what stood there: it may be a card's number.
fn bytes(text: &str) -> Result<Vec<u8>, Failure> {
    let mut read = String::new();
    let text = if text == "-" {
        std::io::stdin()
            .take(MAX_TEXT_BYTES)
            .read_to_string(&mut read)
            .map_err(|why| Failure::data(format_args!("standard input: {why}")))?;
        &read
    } else {
        text
    };
    let digits: String = text.split_whitespace().collect();
    hex::decode(digits)
        .map_err(|_| Failure::data("FRAMEHEX: an even number of hexadecimal digits expected"))
}

/// The message without its length and TPDU.
fn body<'a>(arguments: &Dump, bytes: &'a [u8]) -> Result<&'a [u8], Failure> {
    let Some(length) = arguments.framed else {
        return Ok(bytes);
    };
    let length = length.form();
    let framing = Framing {
        tpdu: arguments.tpdu,
        inclusive: arguments.inclusive,
        max_frame_bytes: length.max(),
        ..Framing::new(length)
    };
    match framing.cut(bytes).map_err(Failure::data)? {
        Cut::Frame { body, consumed, .. } if consumed == bytes.len() => {
            Ok(bytes.get(body).unwrap_or_default())
        }
        Cut::Frame { consumed, .. } => Err(Failure::data(format_args!(
            "{} bytes follow the frame",
            bytes.len() - consumed
        ))),
        Cut::KeepAlive { .. } => Err(Failure::data("a keep-alive: there is no message in it")),
        Cut::NeedMore { at_least } => Err(Failure::data(format_args!(
            "the frame ends early: at least {at_least} bytes are missing"
        ))),
    }
}
