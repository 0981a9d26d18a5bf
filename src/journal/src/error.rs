//! What can go wrong, with the place where it did.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::port::Seq;

/// An error of the journal. Cheap to clone, since a journal that failed once
/// answers with the same error for ever.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Another process (or another handle) holds the directory.
    #[error("journal directory {} is in use by another process", dir.display())]
    Locked {
        /// The journal's directory.
        dir: PathBuf,
    },
    /// The operating system refused an operation.
    #[error("cannot {action} {}: {source}", file.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or directory.
        file: PathBuf,
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// Durable bytes are damaged: nothing after `offset` may be trusted.
    #[error("journal file {} is damaged at offset {offset}: {what}", file.display())]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// Offset of the first bad byte's frame or header.
        offset: u64,
        /// What did not hold.
        what: &'static str,
    },
    /// A segment that must exist does not.
    #[error("journal segment {} is missing", file.display())]
    MissingSegment {
        /// The file that should be there.
        file: PathBuf,
    },
    /// A file was written by a version that this one does not know.
    #[error("{} has format version {found}; this build knows version {known}", file.display())]
    UnknownVersion {
        /// The file.
        file: PathBuf,
        /// Version found.
        found: u16,
        /// Version known.
        known: u16,
    },
    /// A file belongs to another journal.
    #[error("{} belongs to another journal", file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
    },
    /// Options that cannot work.
    #[error("journal options: {what}")]
    BadOptions {
        /// The rule that they break.
        what: &'static str,
    },
    /// Events from `from` on were asked for, but the oldest kept is `first`.
    #[error("journal keeps events from {first} on; {from} was asked for")]
    Released {
        /// The sequence asked for.
        from: Seq,
        /// The oldest sequence kept.
        first: Seq,
    },
    /// There was no segment for a group, and none came within the time set.
    #[error("no space for the next journal segment in {}", dir.display())]
    NoSpace {
        /// The journal's directory.
        dir: PathBuf,
    },
    /// A group is longer than the options allow.
    #[error("a group of {bytes} bytes exceeds the limit of {limit}")]
    GroupTooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Another writer is ahead: this one is no longer the log's owner.
    #[error("the log's head is {head}: another writer came first")]
    Rejected {
        /// The head that the log reported.
        head: Seq,
    },
    /// Nobody could say what became of a batch before the committer stopped.
    #[error("the fate of batch {batch_id} is unknown")]
    Undecided {
        /// The batch.
        batch_id: u64,
    },
    /// The journal thread ended without saying why (a hook panicked).
    #[error("the journal thread ended unexpectedly")]
    ThreadEnded,
}

impl JournalError {
    /// An [`Io`](Self::Io) error with its place.
    pub(crate) fn io(action: &'static str, file: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            file: file.to_path_buf(),
            source: Arc::new(source),
        }
    }

    /// Whether more disk space would help.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::NoSpace { .. } => true,
            Self::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ),
            _ => false,
        }
    }
}

/// Adds action and place to an I/O result.
pub(crate) trait IoContext<T> {
    /// Maps the error to [`JournalError::Io`].
    fn at(self, action: &'static str, file: &Path) -> Result<T, JournalError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn at(self, action: &'static str, file: &Path) -> Result<T, JournalError> {
        self.map_err(|source| JournalError::io(action, file, source))
    }
}
