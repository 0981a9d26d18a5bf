//! Write-ahead journal: append, group commit, segments, recovery.
//!
//! It knows bytes and sequence numbers, not events. [`Journal::open`] recovers
//! a directory and begins a segment of its own; a [`Committer`] feeds the
//! resulting [`Port`] from a thread, one write and one sync per group; a
//! [`Reader`] reads the durable groups, and a [`Tail`] follows them, out of memory as
//! far as they are [`Recent`]. Behind the port the log could live
//! elsewhere: nothing outside [`FileJournal`] knows that it is a file.
//!
//! # What may be relied on
//! - A group whose sequence was published as durable survives any crash.
//! - After a restart the head is at least the last published sequence, and
//!   what the log holds is what was appended, in order.
//! - Damage to durable groups is an error that names file and offset, unless
//!   it hits the very last group, which cannot be told from one that was
//!   being written.

mod committer;
mod disk;
mod error;
mod format;
mod frames;
mod helper;
mod journal;
mod layout;
mod limits;
mod open;
mod pool;
mod port;
mod reader;
mod recent;
mod scan;
pub mod sim;
mod spare;
mod tail;

pub use committer::{
    AppendError, Appender, Committer, CommitterOptions, DurableHandle, GroupGuard, Hooks,
    InlineCommitter,
};
pub use disk::{Disk, DiskDir, DiskFile, DiskLock, OpenMode, RealDisk};
pub use error::JournalError;
pub use journal::FileJournal;
pub use limits::*;
pub use open::{Journal, Recovered, ScanReport, scan};
pub use pool::{RetentionHandle, Room, RoomHandle};
pub use port::{Batch, Port, Seq, Verdict};
pub use reader::{Group, Reader};
pub use recent::Recent;
pub use scan::TornTail;
pub use tail::Tail;
