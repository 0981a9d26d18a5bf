//! ISO 8583 frames and messages: dialects as data, borrowed views, a builder, redaction.
//!
//! Three steps carry a message in and out:
//!
//! 1. [`Framing::cut`] finds one frame in the bytes that a link has read.
//! 2. [`Dialect::decode`] turns the frame's body into a [`Message`]: spans into
//!    the frame, each checked against its field's rule. Nothing is copied.
//! 3. [`Dialect::builder`] writes an answer, most of it echoed from the request.
//!
//! What differs between networks is data: a [`Dialect`] is a TOML file of
//! encodings, length prefixes, paddings, character classes and maximum lengths.
//! [`dump()`] shows a frame to people and never more than may be seen.

mod build;
mod classes;
mod decode;
mod dialect;
mod dump;
mod ebcdic;
mod error;
mod field_set;
mod framing;
mod message;
mod mti;
mod redact;
mod rule;
mod semantics;
mod span;

pub use build::Builder;
pub use dialect::Dialect;
pub use dump::{Dump, dump, dump_message};
pub use error::{
    BuildError, BuildReason, DecodeError, DecodeFailure, DialectError, Expected, FieldError,
    FrameError,
};
pub use field_set::{FieldSet, Fields};
pub use framing::{Cut, FrameMark, Framing, LengthForm, Tpdu, swap_tpdu};
pub use message::{Layout, Message, Scratch, Side};
pub use mti::Mti;
pub use redact::{MaskedPan, Show, masked_pan};
pub use rule::Class;
pub use semantics::{OriginalData, Semantics, Version};

/// The highest field number: three bitmaps of 64.
pub const LAST_FIELD: u8 = 192;

/// The longest message body, in bytes. Offsets inside a message are 16 bits
/// wide, as the longest frame of a two-byte length is.
pub const MAX_MESSAGE_BYTES: usize = 65_535;
