//! The port behind which the log lives. Nothing outside its implementation
//! knows whether the log is a file or a replicated engine.

use crate::error::JournalError;
use crate::limits::MAX_GROUP_BYTES;

/// Sequence number of an event. The first event is 1; 0 means none.
pub type Seq = u64;

/// A group of events to append.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The writer's term: a log that has seen a later term refuses it.
    pub term: u64,
    /// The sequence that the writer believes to be the log's last
    /// (compare-and-append).
    pub expected_head: Seq,
    /// Names the batch when its fate must be asked for; rises within a term.
    pub batch_id: u64,
    /// Sequence of the first event; `expected_head + 1`.
    pub first: Seq,
    /// Sequence of the last event.
    pub last: Seq,
    /// The encoded events, one after the other.
    pub events: &'a [u8],
}

/// What became of a batch.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It is in the log and survives a crash.
    Durable,
    /// It is not in the log and never will be: the head or the term differs.
    Rejected {
        /// The log's last sequence.
        head: Seq,
    },
    /// Nobody knows yet; ask [`Port::resolve`].
    Unknown,
    /// The log failed, for ever as far as this port is concerned.
    Failed(JournalError),
}

/// A log to which one writer appends groups.
pub trait Port: Send {
    /// The term under which this port accepts batches.
    fn term(&self) -> u64;

    /// Bytes of the largest group that it takes.
    fn max_group_bytes(&self) -> usize {
        MAX_GROUP_BYTES
    }

    /// Appends a batch and waits for its fate.
    fn submit(&mut self, batch: Batch<'_>) -> Verdict;

    /// Asks again for the fate of a batch that was [`Verdict::Unknown`].
    fn resolve(&mut self, batch_id: u64) -> Verdict;
}
