//! What is wrong with a message that the codec could read.

use std::fmt;

/// A field that is missing or does not say what it must: answered 30, format
/// error. Names the field and never shows what stood in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("DE {field}: {what}")]
pub struct Fault {
    /// Number of the data element.
    pub field: u8,
    /// What is wrong with it.
    pub what: FaultKind,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The message type needs it.
    Missing,
    /// It is there, but says nothing that it may say.
    Invalid,
}

impl Fault {
    pub(super) const fn missing(field: u8) -> Self {
        Self {
            field,
            what: FaultKind::Missing,
        }
    }

    pub(super) const fn invalid(field: u8) -> Self {
        Self {
            field,
            what: FaultKind::Invalid,
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Invalid => "not a value that it may have",
        })
    }
}
