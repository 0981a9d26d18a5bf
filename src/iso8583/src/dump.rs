//! A message for people: one line a field, masked.

use std::fmt;

use crate::dialect::Dialect;
use crate::error::DecodeError;
use crate::message::{Message, Scratch};
use crate::mti::Mti;
use crate::redact::{Show, holds_card_number, masked_pan, put_ascii};
use crate::rule::Class;

/// A frame as people may see it. Display writes one line for the MTI, one a
/// field (number, name, bytes on the wire, value as far as it may be shown),
/// and, for a damaged frame, a last one with field and offset of the fault.
#[derive(Debug)]
pub struct Dump<'a> {
    dialect: &'a Dialect,
    message: Message<'a>,
    error: Option<DecodeError>,
}

/// Decodes a message body and shows it. A damaged one shows what could be read.
pub fn dump<'a>(dialect: &'a Dialect, frame: &'a [u8]) -> Dump<'a> {
    match dialect.decode(frame) {
        Ok(message) => dump_message(dialect, &message),
        Err(failure) => Dump {
            dialect,
            message: *failure.partial,
            error: Some(failure.error),
        },
    }
}

/// Shows a message that was decoded with the same dialect.
pub fn dump_message<'a>(dialect: &'a Dialect, message: &Message<'a>) -> Dump<'a> {
    Dump {
        dialect,
        message: message.clone(),
        error: None,
    }
}

impl fmt::Display for Dump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mti = self.message.mti();
        if self.error.is_none() || mti != Mti::UNKNOWN {
            writeln!(f, "MTI {mti}  {}", self.dialect.name())?;
        }
        let mut scratch = Scratch::new();
        for field in self.message.fields() {
            let bytes = self.message.raw(field).map_or(0, <[u8]>::len);
            let name = self.dialect.field_name(field);
            write!(f, "{field:>3}  {name:<40} {bytes:>3}  ")?;
            self.value(f, field, &mut scratch)?;
            writeln!(f)?;
        }
        match &self.error {
            Some(error) => writeln!(f, "error: {error}"),
            None => Ok(()),
        }
    }
}

impl Dump<'_> {
    fn value(&self, f: &mut fmt::Formatter<'_>, field: u8, scratch: &mut Scratch) -> fmt::Result {
        let Ok(Some(value)) = self.message.text(field, scratch) else {
            return f.write_str(HIDDEN);
        };
        match self.dialect.show(field) {
            Show::Never => f.write_str(HIDDEN),
            Show::Pan => write!(f, "{}", masked_pan(value)),
            Show::Account => put_account(f, value),
            Show::Clear if self.dialect.rule(field).class == Class::B => {
                value.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
            }
            // A card number in a merchant's name or a reference.
            Show::Clear if self.is_text(field) && holds_card_number(value) => f.write_str(HIDDEN),
            Show::Clear if value.iter().all(|byte| matches!(byte, b' '..=b'~')) => {
                f.write_str("[")?;
                put_ascii(f, value)?;
                f.write_str("]")
            }
            Show::Clear => f.write_str(HIDDEN),
        }
    }

    fn is_text(&self, field: u8) -> bool {
        !matches!(self.dialect.rule(field).class, Class::N | Class::Xn)
    }
}

const HIDDEN: &str = "****";

/// The last four characters of an account, and nothing of one that is not
/// longer than that.
fn put_account(f: &mut fmt::Formatter<'_>, value: &[u8]) -> fmt::Result {
    f.write_str(HIDDEN)?;
    let value = value.trim_ascii();
    match value.last_chunk::<4>() {
        Some(last) if value.len() > 4 && last.iter().all(u8::is_ascii_alphanumeric) => {
            put_ascii(f, last)
        }
        _ => Ok(()),
    }
}
