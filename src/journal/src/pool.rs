//! Segments ahead of use and behind it, shared by the journal, its helper
//! thread and the handles that other threads hold.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use crate::disk::{Disk, DiskDir, DiskFile};
use crate::error::JournalError;
use crate::limits::JournalOptions;
use crate::port::Seq;

/// How much may still be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Everything is taken.
    Normal,
    /// The next segment cannot be had: refuse new requests (91); reversals
    /// and advices go on in the reserved segments.
    Reserved,
    /// The reserve is used up as well: take nothing.
    Full,
}

/// A zeroed and synced file that can become a segment.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub file: Box<dyn DiskFile>,
    pub path: PathBuf,
    pub file_bytes: u64,
}

/// A file that may become a spare.
#[derive(Debug)]
pub(crate) struct Draft {
    pub path: PathBuf,
    pub file_bytes: u64,
    /// All of it was durable once, so that it need not be written again. What
    /// an earlier process left half-way may have lost anything, even if it
    /// still reads back.
    pub whole: bool,
}

/// A segment that holds events, or the current one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub number: u64,
    /// First sequence that it may hold.
    pub first: Seq,
    pub file_bytes: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// The file that bears the next segment's name already.
    pub next: Option<Prepared>,
    pub spares: VecDeque<Prepared>,
    /// Files to be prepared again.
    pub drafts: VecDeque<Draft>,
    /// Segments from the oldest kept to the current one.
    pub kept: VecDeque<Kept>,
    /// Number of the segment taken last: in use, or about to be.
    pub taken: u64,
    pub last_spare: u64,
    /// The oldest segment could not be released just now: a spare that is
    /// wanted comes first, so that one failure does not bring on another.
    pub release_put_off: bool,
    /// Why the helper could not do its work, until it can again.
    pub fault: Option<JournalError>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub disk: Arc<dyn Disk>,
    /// The journal's directory, open from the start on: a sync of it neither
    /// needs a free file descriptor nor misses an error of before.
    pub names: Box<dyn DiskDir>,
    pub options: JournalOptions,
    pool: Mutex<Pool>,
    /// The helper has work.
    pub work: Condvar,
    /// A segment became ready, or cannot be had.
    pub ready: Condvar,
    /// Bytes that the prepared segments are sure to take.
    ready_bytes: AtomicU64,
    /// Bytes that the current segment is sure to take.
    current_bytes: AtomicU64,
    pub disk_bytes: AtomicU64,
    pub release_before: AtomicU64,
    /// The failure that ended the journal, which no later success undoes.
    fatal: OnceLock<JournalError>,
    pub stopping: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        names: Box<dyn DiskDir>,
        options: JournalOptions,
    ) -> Self {
        Self {
            disk,
            names,
            options,
            pool: Mutex::default(),
            work: Condvar::new(),
            ready: Condvar::new(),
            ready_bytes: AtomicU64::new(0),
            current_bytes: AtomicU64::new(0),
            disk_bytes: AtomicU64::new(0),
            release_before: AtomicU64::new(0),
            fatal: OnceLock::new(),
            stopping: AtomicBool::new(false),
        }
    }

    /// Held for moments only, never during I/O.
    pub(crate) fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the journal. The first failure stays.
    pub(crate) fn fail(&self, error: JournalError) {
        // Whoever failed before has said why.
        drop(self.fatal.set(error));
        // Under the lock, so that nobody who waits can miss it.
        let pool = self.pool();
        self.ready.notify_all();
        drop(pool);
    }

    pub(crate) fn fatal(&self) -> Option<&JournalError> {
        self.fatal.get()
    }

    pub(crate) fn room(&self) -> Room {
        let current = self.current_bytes.load(Ordering::Acquire);
        let usable = current + self.ready_bytes.load(Ordering::Acquire);
        let options = &self.options;
        let reserve = options.sure_bytes(options.segment_bytes) * options.reserve_segments as u64;
        if usable >= reserve + options.headroom() {
            Room::Normal
        } else if usable >= options.headroom() {
            Room::Reserved
        } else {
            Room::Full
        }
    }

    /// The journal has `free` bytes left in its current segment.
    pub(crate) fn set_current(&self, free: u64) {
        let sure = free.saturating_sub(self.options.max_frame_bytes());
        self.current_bytes.store(sure, Ordering::Release);
    }

    /// Whether less than half of the current segment is left.
    pub(crate) fn half_used(&self) -> bool {
        self.current_bytes.load(Ordering::Relaxed) < self.options.segment_bytes / 2
    }

    pub(crate) fn add_ready(&self, file_bytes: u64) {
        self.ready_bytes
            .fetch_add(self.options.sure_bytes(file_bytes), Ordering::AcqRel);
    }

    /// A prepared segment became the current one, which takes nothing yet
    /// from its bytes. The current one's bytes go up first: the sum may be
    /// too high for a moment, but never too low, or a request would be
    /// refused without need.
    pub(crate) fn begin_segment(&self, file_bytes: u64, free: u64) {
        self.set_current(free);
        self.ready_bytes
            .fetch_sub(self.options.sure_bytes(file_bytes), Ordering::AcqRel);
    }

    /// A prepared segment turned out to be of no use.
    pub(crate) fn lose_ready(&self, file_bytes: u64) {
        self.ready_bytes
            .fetch_sub(self.options.sure_bytes(file_bytes), Ordering::AcqRel);
    }

    /// Waits until the room is normal, or the helper says that it cannot be.
    pub(crate) fn wait_for_room(&self) {
        let mut pool = self.pool();
        while !self.is_settled(&pool) {
            pool = self
                .ready
                .wait(pool)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether the room is normal, or it is clear that it cannot be.
    pub(crate) fn is_settled(&self, pool: &Pool) -> bool {
        self.room() == Room::Normal || pool.fault.is_some() || self.fatal().is_some()
    }

    /// Takes the next segment; waits for it up to the time set if a helper
    /// thread may bring it.
    pub(crate) fn take_next(&self, waits: bool) -> Result<Prepared, JournalError> {
        let deadline = Instant::now() + self.options.full_wait;
        let mut pool = self.pool();
        loop {
            if let Some(fatal) = self.fatal() {
                return Err(fatal.clone());
            }
            if let Some(next) = pool.next.take() {
                pool.taken += 1;
                return Ok(next);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !waits {
                return Err(pool.fault.clone().unwrap_or_else(|| JournalError::NoSpace {
                    dir: self.options.dir.clone(),
                }));
            }
            self.work.notify_all();
            pool = self
                .ready
                .wait_timeout(pool, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// Asks how much may still be written, from any thread.
#[derive(Clone, Debug)]
pub struct RoomHandle(pub(crate) Arc<Shared>);

impl RoomHandle {
    /// The room now: two atomic loads.
    #[must_use]
    pub fn room(&self) -> Room {
        self.0.room()
    }

    /// Why the journal ended, or why the next segment cannot be had, if it
    /// cannot: for logs and alarms.
    #[must_use]
    pub fn fault(&self) -> Option<JournalError> {
        (self.0.fatal().cloned()).or_else(|| self.0.pool().fault.clone())
    }
}

/// Gives up old segments, from any thread.
#[derive(Clone, Debug)]
pub struct RetentionHandle(pub(crate) Arc<Shared>);

impl RetentionHandle {
    /// Nobody will read an event before `seq` again. Segments that hold only
    /// such are recycled or removed by the helper thread; the current one
    /// never is. A lower `seq` than before changes nothing.
    pub fn release_before(&self, seq: Seq) {
        self.0.release_before.fetch_max(seq, Ordering::AcqRel);
        // Under the lock, so that the helper cannot miss it.
        let pool = self.0.pool();
        self.0.work.notify_all();
        drop(pool);
    }

    /// Bytes that the journal's files take, those ahead of use included.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.0.disk_bytes.load(Ordering::Relaxed)
    }

    /// The oldest sequence kept.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.0.pool().kept.front().map_or(1, |kept| kept.first)
    }
}
