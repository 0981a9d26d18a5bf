//! Where the store's files are, and how much it may do at a time.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The store's directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirs {
    /// The journal's segments.
    pub journal: PathBuf,
    /// Base files.
    pub bases: PathBuf,
    /// sled's directory, on a real file system; `None` works without sled (a
    /// restart then starts from the newest base).
    pub rows: Option<PathBuf>,
    /// Extracts, a directory for each date.
    pub extracts: PathBuf,
    /// Remembered transactions that have left memory.
    pub remembered: PathBuf,
}

impl Dirs {
    /// The usual names within a data directory.
    #[must_use]
    pub fn within(data_dir: &Path) -> Self {
        Self {
            journal: data_dir.join("journal"),
            bases: data_dir.join("base"),
            rows: Some(data_dir.join("sled")),
            extracts: data_dir.join("extracts"),
            remembered: data_dir.join("remembered"),
        }
    }
}

/// Bounds and pace of the follower's writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Shortest time between the starts of two checkpoints.
    pub checkpoint_every: Duration,
    /// A checkpoint starts at once after so many events since the last mark,
    /// and goes on without a pace after twice as many: this bounds what the next start
    /// posts again (what is remembered it takes from behind the newest base file).
    pub checkpoint_after_events: u64,
    /// Pace of a checkpoint in bytes of rows a second.
    pub checkpoint_bytes_per_s: u64,
    /// A base file is written after so many bytes of journal since the last one.
    pub base_after_bytes: u64,
    /// A base file is written after so many events since the last one.
    pub base_after_events: u64,
    /// Either way not before the journal has grown by the size of the last one, or by so
    /// many bytes: this bounds the replay behind a base file of a large state.
    pub base_after_growth: u64,
    /// Pace of a base file in bytes a second.
    pub base_bytes_per_s: u64,
    /// sled's page cache in bytes.
    pub sled_cache_bytes: u64,
    /// sled is closed and opened again after so many bytes written, which
    /// alone holds its memory.
    pub sled_reopen_bytes: u64,
    /// A call of sled's that takes longer counts as a hang.
    pub sled_patience: Duration,
    /// Below so many free bytes neither checkpoints nor base files are begun:
    /// the journal needs the rest.
    pub min_free_bytes: u64,
    /// How long to wait before trying again after something failed.
    pub retry_after: Duration,
    /// Remembered transactions in the memory of each instance: the oldest of what is
    /// more goes to files, in time for this bound not to be reached.
    pub remembered_in_memory: u32,
    /// Remembered transactions in each such file; a multiple of 32.
    pub remembered_per_file: u32,
    /// Longest time that the last checkpoint of an orderly stop may take; what is
    /// missing then is replayed at the next start. Container engines kill after
    /// ten seconds.
    pub stop_within: Duration,
}

impl StoreOptions {
    /// Holds memory to so many of `all` remembered transactions. Files get so few that
    /// each date's newest, which stay in memory until a file is full, leave room there.
    pub fn hold_in_memory(&mut self, in_memory: u32, all: u32) {
        self.remembered_in_memory = if in_memory < all { in_memory } else { u32::MAX };
        let most = (in_memory / 16).clamp(32, 1 << 16);
        self.remembered_per_file = 1 << most.ilog2();
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            checkpoint_every: Duration::from_secs(10),
            checkpoint_after_events: 500_000,
            checkpoint_bytes_per_s: 16 << 20,
            base_after_bytes: 1 << 30,
            base_after_events: 10_000_000,
            base_after_growth: 2 << 30,
            base_bytes_per_s: 64 << 20,
            sled_cache_bytes: 1 << 20,
            sled_reopen_bytes: 512 << 20,
            sled_patience: Duration::from_secs(60),
            min_free_bytes: 192 << 20,
            retry_after: Duration::from_secs(10),
            remembered_in_memory: u32::MAX,
            remembered_per_file: 1 << 16,
            stop_within: Duration::from_secs(4),
        }
    }
}
