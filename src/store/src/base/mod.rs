//! Base files: the whole state at one sequence, from which everything else
//! (sled's rows, the journal before it) may be thrown away.
//!
//! A base file is a chain of blocks: header, account rows, card rows, records
//! of each generation, residue, end. Each block's CRC32C is seeded with its
//! predecessor's, so the last one stands for the whole file; the end block
//! repeats counts and hash totals. Big-endian throughout.

mod dir;
mod format;
mod read;
mod write;

pub(crate) use dir::{BaseName, list, set_aside};
pub(crate) use format::{Counts, Header, MAX_BLOCK};
pub(crate) use read::{BaseError, header, read};
pub(crate) use write::{BaseWriter, Kind};
