//! Accounts and cards files, and the batch's entries (CSV with a header), to
//! engine requests.
//!
//! [`Parser`] and [`EntryParser`] do no I/O: bytes go in as they come, rows come out, so that a
//! file of any size passes through a few kilobytes. A bad row is refused by its
//! line with a reason that shows nothing of what stood there (it may hold a
//! PAN); the rows after it go on.

mod entries;
mod files;
mod lines;
mod parser;
mod rows;

pub use entries::{ENTRIES_HEADER, Entry, EntryParser};
pub use files::{FileError, Rows, load_demo};
pub use lines::MAX_LINE_BYTES;
pub use parser::{HeaderError, Kind, Parsed, Parser, Refused};
pub use rows::RowError;

#[cfg(test)]
mod tests;
