//! Errors. Each says where, and none shows what stood there.

use std::fmt;

use crate::message::Message;
use crate::rule::Class;

/// What the decoder needed to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expected {
    /// So many bytes, where only `left` were left.
    Bytes {
        /// Bytes that the element takes.
        needed: usize,
        /// Bytes left in the frame.
        left: usize,
    },
    /// A length in digits of the dialect's encoding.
    LengthDigits,
    /// A length of at most `max` units.
    Length {
        /// The most that the field may hold.
        max: usize,
        /// What the length prefix said.
        got: usize,
    },
    /// A length of whole units: an even number of hexadecimal digits.
    WholeUnits,
    /// Four digits of a message type indicator.
    MtiDigits,
    /// A character of this class.
    Class(Class),
    /// C or D, the sign of an amount.
    Sign,
    /// A hexadecimal digit.
    HexDigit,
    /// Zero or F in the pad nibble of an odd number of packed digits.
    PadNibble,
    /// A field that the dialect defines.
    DefinedField,
    /// The end of the message, where `trailing` bytes were left.
    End {
        /// Bytes after the last field.
        trailing: usize,
    },
    /// A message of at most this many bytes.
    MessageOfAtMost(usize),
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expected::Bytes { needed, left } => write!(f, "{needed} bytes, {left} are left"),
            Expected::LengthDigits => f.write_str("a length in digits"),
            Expected::Length { max, got } => write!(f, "a length of at most {max}, not {got}"),
            Expected::WholeUnits => f.write_str("an even number of hexadecimal digits"),
            Expected::MtiDigits => f.write_str("the four digits of an MTI"),
            Expected::Class(class) => write!(f, "characters of class {class}"),
            Expected::Sign => f.write_str("the sign C or D"),
            Expected::HexDigit => f.write_str("hexadecimal digits"),
            Expected::PadNibble => f.write_str("0 or F in the pad nibble"),
            Expected::DefinedField => f.write_str("a field that the dialect defines"),
            Expected::End { trailing } => {
                write!(f, "the end of the message, {trailing} bytes follow")
            }
            Expected::MessageOfAtMost(limit) => write!(f, "a message of at most {limit} bytes"),
        }
    }
}

/// Where a message stopped making sense, and what should have stood there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: expected {expected}", Place(*field, *offset))]
pub struct DecodeError {
    /// The field; 0 for the MTI, 1 and 65 for bitmaps. Trailing bytes carry
    /// the last field that was read.
    pub field: u8,
    /// Offset of the fault from the start of the message body, in bytes.
    pub offset: usize,
    /// What should have stood there.
    pub expected: Expected,
}

struct Place(u8, usize);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => write!(f, "MTI, offset {}", self.1),
            field => write!(f, "DE {field}, offset {}", self.1),
        }
    }
}

/// A message that could not be read to its end, and what was read of it.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct DecodeFailure<'a> {
    /// Where and why reading stopped.
    pub error: DecodeError,
    /// Every field before the fault, so that a format error (39=30) can be
    /// answered with what the sender needs to match it. Its MTI is
    /// [`Mti::UNKNOWN`](crate::Mti::UNKNOWN) if not even that could be read.
    pub partial: Box<Message<'a>>,
}

/// Why a field that is present has no value of the kind asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// Something else than digits, or nothing at all.
    #[error("DE {0} is not a number")]
    NotNumeric(u8),
    /// More than 64 bits hold.
    #[error("DE {0} is larger than 64 bits")]
    TooLarge(u8),
    /// No sign C or D, or no such field.
    #[error("DE {0} is not a signed amount")]
    NotSigned(u8),
}

impl FieldError {
    /// The field that was asked for.
    pub const fn field(&self) -> u8 {
        match *self {
            FieldError::NotNumeric(field)
            | FieldError::TooLarge(field)
            | FieldError::NotSigned(field) => field,
        }
    }
}

/// Why a value cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildReason {
    /// It comes after a field with the same or a higher number.
    Order,
    /// The dialect does not define it, or reserves it for a bitmap.
    Undefined,
    /// Longer than the field's most.
    TooLong {
        /// The most units that the field may hold.
        max: usize,
        /// The units given.
        got: usize,
    },
    /// Shorter than a field that has no padding.
    TooShort {
        /// The field's length.
        length: usize,
        /// The units given.
        got: usize,
    },
    /// A character outside its class.
    Class(Class),
    /// Text for a binary field or bytes for another.
    Kind,
    /// The message to echo from was read with another dialect.
    OtherDialect,
    /// The whole message would be longer than
    /// [`MAX_MESSAGE_BYTES`](crate::MAX_MESSAGE_BYTES).
    MessageTooLong,
}

/// A field that could not be written. The buffer is as it was before the
/// message was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("DE {field}: {reason}")]
pub struct BuildError {
    /// The field.
    pub field: u8,
    /// Why it could not be written.
    pub reason: BuildReason,
}

impl fmt::Display for BuildReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildReason::Order => f.write_str("fields must come in ascending order"),
            BuildReason::Undefined => f.write_str("not a field of the dialect"),
            BuildReason::TooLong { max, got } => write!(f, "{got} units, at most {max} fit"),
            BuildReason::TooShort { length, got } => {
                write!(f, "{got} units, exactly {length} are needed")
            }
            BuildReason::Class(class) => write!(f, "a character outside class {class}"),
            BuildReason::Kind => f.write_str("text for a binary field, or bytes for another"),
            BuildReason::OtherDialect => f.write_str("echoed from a message of another dialect"),
            BuildReason::MessageTooLong => f.write_str("the message is too long"),
        }
    }
}

/// A dialect file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("dialect {dialect}, line {line}, key {key}: {reason}")]
pub struct DialectError {
    /// The dialect's name as the caller gave it.
    pub dialect: String,
    /// Line in the file, from 1.
    pub line: usize,
    /// The key, dotted: `fields.2.type`.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Bytes that cannot be a frame; the link must be closed, since nothing tells
/// where the next frame begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The length is above the link's limit.
    #[error("a frame of {announced} bytes, the limit is {limit}")]
    TooLong {
        /// Bytes that the length announced (or that were to be sent).
        announced: usize,
        /// The most that the link allows.
        limit: usize,
    },
    /// The length is no number in its encoding.
    #[error("a frame length that is not in digits")]
    LengthDigits,
    /// The length does not even hold itself or the TPDU.
    #[error("a frame of {announced} bytes, at least {least} are needed")]
    TooShort {
        /// Bytes that the length announced.
        announced: usize,
        /// The least that the framing needs.
        least: usize,
    },
    /// The frame to end was never begun in this buffer.
    #[error("a frame mark of another buffer")]
    Mark,
}
