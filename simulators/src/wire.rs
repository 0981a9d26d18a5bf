//! Encoding and decoding through the crate `iso8583_rs`.
//!
//! Dialect: ISO 8583:1987, ASCII, binary bitmaps. The crate has its habits, and
//! this is the one module that knows them:
//! - It reads one specification, from the file that the environment names, when
//!   it is first asked for it, and prints two lines to standard output. The file
//!   is made here from [`ELEMENTS`].
//! - It panics on a length that is not a number, on text that is not UTF-8, and
//!   accepts trailing bytes. So a frame is walked and checked here before the
//!   crate sees it, and a panic is caught besides.
//! - It does not fill fixed fields; [`Element::normalise`](crate::fields::Element::normalise) does.
//! - Its client prints the raw message with the PAN in clear and knows no
//!   timeout, so the socket work is in [`connection`](crate::connection).
//!
//! The environment is process-wide, and changing it is `unsafe` for that reason;
//! iso8583_rs offers no other way in, hence the exception to the workspace's lint.
#![allow(unsafe_code)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use iso8583_rs::iso8583::iso_spec::{self, Spec};
use thiserror::Error;

use crate::fields::{Class, ELEMENTS, Element, Length, element};
use crate::message::Message;

const SPEC_VARIABLE: &str = "SPEC_FILE";
const BITMAP_BYTES: usize = 8;
const MTI_DIGITS: usize = 4;

/// A message that cannot be put on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// The message type is not four digits, or not of the 1987 version (0xxx).
    #[error("the message type must be four digits, the first of them 0")]
    Mti,
    /// An element that does not exist, or binary content that is not hex.
    #[error("DE {0} cannot be sent")]
    Field(u8),
    /// iso8583_rs refused or could not be set up.
    #[error("iso8583_rs: {0}")]
    Library(String),
}

/// A frame that is not a message. Says where, and shows nothing of the content.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The frame breaks the specification.
    #[error("{place} at offset {offset}: expected {expected}")]
    Malformed {
        /// The element, or the part of the message.
        place: String,
        /// Bytes from the start of the message (after the length prefix).
        offset: usize,
        /// What should stand there.
        expected: String,
    },
    /// The frame looked well to us, and iso8583_rs refused it or panicked.
    #[error("iso8583_rs cannot parse this message: {0}")]
    Library(String),
}

/// Sets iso8583_rs up if that has not happened yet. Every function here does so
/// by itself; a program may call it first, while it has a single thread.
///
/// # Errors
/// A text that says what failed (no place for a temporary file, for instance).
pub fn prepare() -> Result<(), String> {
    spec().map(|_| ())
}

/// Encodes a message, without length prefix.
///
/// # Errors
/// [`EncodeError`]; nothing has been sent then.
pub fn encode(message: &Message) -> Result<Vec<u8>, EncodeError> {
    if message.mti().len() != MTI_DIGITS || !message.mti().bytes().all(|b| b.is_ascii_digit()) {
        return Err(EncodeError::Mti);
    }
    for (de, value) in message.fields() {
        let row = element(de).map_err(|_| EncodeError::Field(de))?;
        if row.class == Class::Binary && hex::decode(value).is_err() {
            return Err(EncodeError::Field(de));
        }
    }
    let spec = spec().map_err(EncodeError::Library)?;
    let segment = spec
        .get_message_from_header(message.mti())
        .map_err(|_| EncodeError::Mti)?;
    guarded(|| {
        let mut iso = iso_spec::new_msg(spec, segment);
        iso.set("message_type", message.mti()).map_err(|e| e.msg)?;
        for (de, value) in message.fields() {
            iso.set_on(u32::from(de), value).map_err(|e| e.msg)?;
        }
        iso.assemble().map_err(|e| e.msg)
    })
    .map_err(EncodeError::Library)
}

/// Decodes a message, without length prefix.
///
/// # Errors
/// [`DecodeError`] names element and offset.
pub fn decode(frame: &[u8]) -> Result<Message, DecodeError> {
    let present = walk(frame)?;
    let spec = spec().map_err(DecodeError::Library)?;
    guarded(|| {
        let mut data = frame.to_vec();
        let iso = spec.parse(&mut data).map_err(|e| e.msg)?;
        let text = |bytes: &[u8], class| match class {
            Class::Binary => Ok(hex::encode(bytes)),
            _ => String::from_utf8(bytes.to_vec()).map_err(|_| "text is not ASCII".to_owned()),
        };
        let raw = |key: &str| iso.fd_map.get(key).ok_or_else(|| format!("no {key} found"));
        let mut message = Message::new(&text(raw("message_type")?, Class::Digits)?);
        for row in present {
            message.set_unchecked(row.de, &text(raw(&key(row.de))?, row.class)?);
        }
        Ok(message)
    })
    .map_err(DecodeError::Library)
}

/// Walks a frame over the element table, and returns the elements present.
fn walk(frame: &[u8]) -> Result<Vec<&'static Element>, DecodeError> {
    let mut reader = Reader { frame, offset: 0 };
    if frame.first() != Some(&b'0') {
        return Err(reader.malformed("message type", "four digits, the first of them 0"));
    }
    reader.take(MTI_DIGITS, "message type", "four digits", Class::Digits)?;
    let mut bitmap = reader
        .take(BITMAP_BYTES, "bitmap", "8 bytes", Class::Binary)?
        .to_vec();
    if bitmap.first().is_some_and(|b| b & 0x80 != 0) {
        let second = reader.take(BITMAP_BYTES, "secondary bitmap", "8 bytes", Class::Binary)?;
        bitmap.extend_from_slice(second);
    }
    let mut present = Vec::new();
    for (byte, first_de) in bitmap.iter().zip((1u8..).step_by(8)) {
        for bit in 0..8u8 {
            let de = first_de + bit;
            if byte & (0x80 >> bit) == 0 || de == 1 {
                continue;
            }
            let row = element(de).map_err(|_| DecodeError::Malformed {
                place: "bitmap".to_owned(),
                offset: MTI_DIGITS,
                expected: "elements of 1987 only (DE 65 opens a third bitmap)".to_owned(),
            })?;
            reader.take_element(row)?;
            present.push(row);
        }
    }
    if reader.offset != frame.len() {
        return Err(reader.malformed("end of message", "no further bytes"));
    }
    Ok(present)
}

struct Reader<'a> {
    frame: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    fn take(
        &mut self,
        len: usize,
        place: &str,
        expected: &str,
        class: Class,
    ) -> Result<&'a [u8], DecodeError> {
        let end = self.offset.saturating_add(len);
        match self.frame.get(self.offset..end) {
            Some(bytes) if class.allows(bytes) => {
                self.offset = end;
                Ok(bytes)
            }
            _ => Err(self.malformed(place, expected)),
        }
    }

    fn take_element(&mut self, row: &Element) -> Result<(), DecodeError> {
        let place = format!("DE {}", row.de);
        let len = match row.length {
            Length::Fixed(n) => n,
            Length::Ll(_) | Length::Lll(_) => {
                let digits = row.length.prefix_digits();
                let expected = format!("{digits} digits of length");
                let prefix = self.take(digits, &place, &expected, Class::Digits)?;
                prefix.iter().fold(0, |n, b| n * 10 + usize::from(b - b'0'))
            }
        };
        if !row.allows_len(len) {
            return Err(self.malformed(&place, &row.describe()));
        }
        self.take(len, &place, &row.describe(), row.class)
            .map(|_| ())
    }

    fn malformed(&self, place: &str, expected: &str) -> DecodeError {
        DecodeError::Malformed {
            place: place.to_owned(),
            offset: self.offset,
            expected: expected.to_owned(),
        }
    }
}

/// Runs a call into iso8583_rs so that a panic in there is an error here.
fn guarded<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    // The panic's own text may hold message bytes, so it is not passed on.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err("it panicked".to_owned()))
}

fn spec() -> Result<&'static Spec, String> {
    static SPEC: OnceLock<Result<&'static Spec, String>> = OnceLock::new();
    SPEC.get_or_init(load_spec).clone()
}

fn load_spec() -> Result<&'static Spec, String> {
    let mut file = tempfile::NamedTempFile::new()
        .map_err(|e| format!("no temporary file for the specification: {e}"))?;
    file.write_all(spec_yaml().as_bytes())
        .and_then(|()| file.flush())
        .map_err(|e| format!("cannot write the specification: {e}"))?;
    let before = std::env::var_os(SPEC_VARIABLE);
    // SAFETY: std's own readers and writers of the environment share a lock, so
    // only a C function that reads it at this very moment could race. Nothing in
    // this crate calls one before this has run (names are resolved afterwards),
    // and the OnceLock above lets one thread in, once.
    unsafe { std::env::set_var(SPEC_VARIABLE, file.path()) };
    let loaded = guarded(|| Ok(iso_spec::spec("")));
    // SAFETY: as above.
    unsafe {
        match before {
            Some(value) => std::env::set_var(SPEC_VARIABLE, value),
            None => std::env::remove_var(SPEC_VARIABLE),
        }
    }
    loaded.map_err(|e| format!("cannot load the specification: {e}"))
}

fn key(de: u8) -> String {
    format!("de{de:03}")
}

/// The specification in iso8583_rs's own form.
fn spec_yaml() -> String {
    let mut yaml = String::from(
        "name: gapless-iso87-ascii\nid: 1\nheader_fields:\n\
         - {name: mti, id: 1, type: Fixed, len: 4, data_encoding: ASCII}\n\
         messages:\n- name: iso87\n  id: 1\n  selector:\n",
    );
    for mti in 0..1000 {
        let _ = writeln!(yaml, "  - \"{mti:04}\"");
    }
    yaml.push_str(
        "  fields:\n\
         \x20 - {name: message_type, id: 1, type: Fixed, len: 4, data_encoding: ASCII}\n\
         \x20 - name: bitmap\n    id: 2\n    type: Bitmapped\n    len: 0\n\
         \x20   data_encoding: BINARY\n    children:\n",
    );
    for row in ELEMENTS {
        let encoding = match row.class {
            Class::Binary => "BINARY",
            _ => "ASCII",
        };
        let layout = match row.length {
            Length::Fixed(n) => format!("type: Fixed, len: {n}"),
            Length::Ll(_) => "type: Variable, len: 2, len_encoding: ASCII".to_owned(),
            Length::Lll(_) => "type: Variable, len: 3, len_encoding: ASCII".to_owned(),
        };
        let _ = writeln!(
            yaml,
            "    - {{name: {}, id: {}, {layout}, data_encoding: {encoding}, position: {}}}",
            key(row.de),
            row.de,
            row.de,
        );
    }
    yaml
}

#[cfg(test)]
mod tests;
