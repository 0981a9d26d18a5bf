//! Accounts and cards files (CSV with a header) to engine requests.
//!
//! [`Parser`] does no I/O: bytes go in as they come, rows come out, so that a
//! file of any size passes through a few kilobytes. A bad row is refused by its
//! line with a reason that shows nothing of what stood there (it may hold a
//! PAN); the rows after it go on.

mod files;
mod parser;
mod rows;

pub use files::{FileError, Rows, load_demo};
pub use parser::{HeaderError, Kind, MAX_LINE_BYTES, Parsed, Parser, Refused};
pub use rows::RowError;

#[cfg(test)]
mod tests;
