//! Extracts: what a frozen date was at the exact sequence of its freeze, as files
//! for the bank's batch.
//!
//! `extracts/YYYY-MM-DD/` holds a CSV file for each [`Table`], and a manifest with
//! counts, sums and SHA-256, which is written last: without it there is no extract.
//! JSON lines are rendered from the CSV lines on the way out; the manifest names
//! their length and SHA-256 as well. All of it follows from the journal up to the
//! freeze, so that an extract made anew is the same to the byte.

mod check;
mod job;
mod manifest;
mod read;
mod render;
mod shelf;
mod table;
mod write;

pub(crate) use check::Check;
pub(crate) use job::{Fault, Job, Target};
pub(crate) use manifest::MANIFEST;
pub use manifest::{BalanceSum, FileEntry, Manifest, Sums};
pub use read::ExtractReader;
pub(crate) use shelf::dir_of;
pub use shelf::{ExtractState, Extracts};
pub use table::{Format, Table};
pub(crate) use write::{Out, temporary};
