//! The follower's side: sled rows behind the cache, base files, loading and verification.
//!
//! The journal is the truth. What this crate writes only makes the next start
//! faster and lets the journal be cut: [`load`] recovers two instances of the
//! core from the newest usable source and the journal behind it; the
//! [`Follower`] applies the durable groups to the second of them, and writes
//! sled rows of accounts and cards (checkpoints) and base files of everything from it;
//! [`verify`] recomputes everything from the oldest base and the journal.
//!
//! # What may be relied on
//! - Nothing here ever holds what the journal does not: only durable groups
//!   are applied to the second instance.
//! - sled and any base file but one may be damaged or deleted at any time, and
//!   nothing is lost.
//! - Records that have left memory are in files that bases and sled's mark name; what
//!   names a damaged one is of no use, and the journal makes it anew.

mod base;
mod codec;
mod dirty;
mod extract;
mod follower;
mod format;
mod load;
mod nice;
mod options;
mod remembered;
mod replica;
mod rows;
mod state;
#[cfg(test)]
mod tests;
mod verify;

pub use extract::{
    BalanceSum, ExtractReader, ExtractState, Extracts, FileEntry, Format, Manifest, Sums, Table,
};
pub use follower::{
    Follower, FollowerError, FollowerHandle, FollowerOptions, InlineFollower, RowsState, Status,
};
pub use load::{LoadOptions, LoadStateError, Loaded, Source, load};
pub use options::{Dirs, StoreOptions};
pub use remembered::{Archive, FetchedBlock, RecordReader, Records, RememberedError};
pub use replica::Replica;
pub use verify::{Report, VerifyError, verify};
