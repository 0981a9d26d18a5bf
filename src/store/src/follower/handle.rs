//! The follower as others see it.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{JoinHandle, Thread};

use gapless_engine::date::Date;
use gapless_engine::ids::Seq;
use gapless_journal::{Disk, JournalError, Recent};

use super::worker::Worker;
use crate::extract::Extracts;
use crate::options::{Dirs, StoreOptions};
use crate::remembered::RememberedError;
use crate::replica::Replica;

/// What a follower needs.
pub struct FollowerOptions {
    /// For base files and the journal's segments.
    pub disk: Arc<dyn Disk>,
    /// Where they are.
    pub dirs: Dirs,
    /// Bounds and pace.
    pub store: StoreOptions,
    /// The journal's identity.
    pub uuid: [u8; 16],
    /// The recovered replica.
    pub replica: Replica,
    /// The last durable sequence ([`gapless_journal::DurableHandle::get`]).
    pub durable: Box<dyn Fn() -> Seq + Send>,
    /// The groups that became so lately ([`gapless_journal::Committer::recent`]).
    pub recent: Recent,
    /// Told from which sequence on the journal is still needed
    /// ([`gapless_journal::RetentionHandle::release_before`]).
    pub release_before: Box<dyn Fn(Seq) + Send>,
    /// Told that the records of a date below a position are in files: the live engine
    /// may let go of them ([`gapless_engine::Engine::spill`]).
    pub spilled: Box<dyn Fn(Date, u32) + Send>,
}

impl fmt::Debug for FollowerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FollowerOptions")
            .field("dirs", &self.dirs)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// Why the follower stopped, or did not do as asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowerError {
    /// A file operation failed.
    #[error("the follower cannot {action}: {source}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// Durable groups cannot be read.
    #[error("the follower cannot read the journal: {0}")]
    Journal(#[from] JournalError),
    /// A durable group holds something that is no event, or one out of order.
    #[error("the journal holds no event {seq} where it should: {what}")]
    NoEvent {
        /// The sequence expected.
        seq: Seq,
        /// What does not fit.
        what: String,
    },
    /// State replayed from the journal is not the live state.
    #[error("replay and live state differ at event {0}")]
    Diverged(Seq),
    /// An event in the journal breaks an invariant.
    #[error("event {seq} breaks an invariant: {what}")]
    Breach {
        /// The event.
        seq: Seq,
        /// Which invariant.
        what: String,
    },
    /// A file of remembered transactions cannot be read.
    #[error("the follower cannot read {0}")]
    Remembered(#[from] RememberedError),
    /// It was told to stop, or has stopped.
    #[error("the follower has stopped")]
    Stopped,
}

/// What has become of sled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowsState {
    /// Checkpoints are written.
    On,
    /// It was damaged or gave up; it is being rebuilt, or waits for its next try.
    Rebuilding,
    /// Not used: not configured, or given up on until the next start.
    #[default]
    Off,
}

/// How the follower is doing.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The last sequence applied to the second instance.
    pub applied: Seq,
    /// Durable events that are not applied yet.
    pub lag: u64,
    /// Replay starts behind this sequence if sled is used; 0 = no mark yet.
    pub checkpoint: Seq,
    /// Checkpoints finished since the start.
    pub checkpoints: u64,
    /// Sequence of the newest base file; 0 = none.
    pub base: Seq,
    /// Base files written since the start.
    pub bases: u64,
    /// The journal is needed from here on.
    pub journal_from: Seq,
    /// What has become of sled.
    pub rows: RowsState,
    /// How often sled was set aside since the start.
    pub rows_set_aside: u64,
    /// Bytes of rows, bases and remembered transactions written since the start.
    pub written_bytes: u64,
    /// Remembered transactions in files.
    pub remembered_in_files: u64,
    /// The attested event at which replay and live state differed.
    pub divergence: Option<Seq>,
    /// Why the follower has stopped, if it was not asked to.
    pub failure: Option<FollowerError>,
}

/// What the thread and its owner share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    status: Mutex<Status>,
    changed: Condvar,
    /// Those who wait for a change, from before they look: mostly none, and to wake
    /// nobody is a system call as well.
    waiting: AtomicUsize,
    /// Status as atomics, for those who only want a number.
    pub(crate) applied: AtomicU64,
    pub(crate) stop: AtomicBool,
    pub(crate) checkpoint_at_stop: AtomicBool,
    /// A base is wanted at this sequence or later; 0 = none.
    pub(crate) base_wanted: AtomicU64,
    ended: AtomicBool,
    extracts: OnceLock<Arc<Extracts>>,
}

impl Shared {
    pub(crate) fn set_extracts(&self, extracts: Arc<Extracts>) {
        // Set once, when the worker is made.
        let _ = self.extracts.set(extracts);
    }

    pub(crate) fn extracts(&self) -> Option<Arc<Extracts>> {
        self.extracts.get().cloned()
    }

    pub(crate) fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status());
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.changed.notify_all();
        }
    }

    /// Waits until `done` gives something or the thread has ended.
    fn wait<T>(&self, done: impl FnMut(&Status) -> Option<T>) -> Result<T, FollowerError> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let waited = self.wait_for(done);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        waited
    }

    fn wait_for<T>(&self, mut done: impl FnMut(&Status) -> Option<T>) -> Result<T, FollowerError> {
        let mut status = self.status();
        loop {
            if let Some(value) = done(&status) {
                return Ok(value);
            }
            if self.ended.load(Ordering::Acquire) {
                return Err(status.failure.clone().unwrap_or(FollowerError::Stopped));
            }
            status = self
                .changed
                .wait(status)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Marks the end, however the thread comes to it.
struct EndGuard(Arc<Shared>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.update(|_| ());
        self.0.ended.store(true, Ordering::Release);
        self.0.update(|_| ());
    }
}

/// Starts followers.
#[derive(Clone, Copy, Debug)]
pub struct Follower;

impl Follower {
    /// Starts the thread `follower`.
    ///
    /// # Errors
    /// If base files cannot be listed, the journal cannot be read from where
    /// the replica stands, or the thread does not start.
    pub fn start(options: FollowerOptions) -> Result<FollowerHandle, FollowerError> {
        let shared = Arc::new(Shared::default());
        let worker = Worker::new(options, Arc::clone(&shared))?;
        let guard = EndGuard(Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("follower".to_owned())
            .spawn(move || {
                let guard = guard;
                crate::nice::lower();
                if let Err(error) = worker.run() {
                    tracing::error!(
                        %error,
                        "the follower has stopped; payments go on without checkpoints"
                    );
                    guard.0.update(|status| {
                        if let FollowerError::Diverged(seq) = error {
                            status.divergence = Some(seq);
                        }
                        status.failure = Some(error);
                    });
                }
            })
            .map_err(|error| io_error("start its thread", error))?;
        Ok(FollowerHandle {
            shared,
            waker: thread.thread().clone(),
            thread: Some(thread),
        })
    }
}

pub(crate) fn io_error(action: &'static str, source: io::Error) -> FollowerError {
    FollowerError::Io {
        action,
        source: Arc::new(source),
    }
}

/// The owner's handle. Dropping it stops the thread without a last checkpoint.
#[derive(Debug)]
pub struct FollowerHandle {
    shared: Arc<Shared>,
    waker: Thread,
    thread: Option<JoinHandle<()>>,
}

impl FollowerHandle {
    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status().clone()
    }

    /// The last sequence applied to the second instance.
    #[must_use]
    pub fn applied(&self) -> Seq {
        self.shared.applied.load(Ordering::Acquire)
    }

    /// The extracts that are kept.
    #[must_use]
    pub fn extracts(&self) -> Option<Arc<Extracts>> {
        self.shared.extracts()
    }

    /// Writes a base file of the state at `seq` or later, and waits until it is
    /// written and verified. Returns its sequence.
    ///
    /// # Errors
    /// If the follower stops before that.
    pub fn request_base(&self, seq: Seq) -> Result<Seq, FollowerError> {
        self.nudge_base(seq);
        self.wait_base(seq.max(1))
    }

    /// Asks for a base file of the state at `seq` or later, and does not wait for it.
    pub fn nudge_base(&self, seq: Seq) {
        self.shared
            .base_wanted
            .fetch_max(seq.max(1), Ordering::AcqRel);
        self.waker.unpark();
    }

    /// Waits until there is a verified base file of the state at `seq` or later.
    ///
    /// # Errors
    /// If the follower stops before that.
    pub fn wait_base(&self, seq: Seq) -> Result<Seq, FollowerError> {
        self.shared
            .wait(|status| (status.base >= seq).then_some(status.base))
    }

    /// Waits until everything up to `seq` is applied.
    ///
    /// # Errors
    /// If the follower stops before that.
    pub fn wait_applied(&self, seq: Seq) -> Result<(), FollowerError> {
        self.shared
            .wait(|status| (status.applied >= seq).then_some(()))
    }

    /// Waits until a checkpoint's mark stands at `seq` or later.
    ///
    /// # Errors
    /// If the follower stops before that.
    pub fn wait_checkpoint(&self, seq: Seq) -> Result<Seq, FollowerError> {
        self.shared
            .wait(|status| (status.checkpoint >= seq).then_some(status.checkpoint))
    }

    /// Stops the thread and waits for it. With `checkpoint`, it first applies
    /// all that is durable and sets a last mark, as far as
    /// [`StoreOptions::stop_within`] lets it; the next start replays the rest.
    ///
    /// # Errors
    /// Why the follower had stopped before, if it had.
    pub fn stop(mut self, checkpoint: bool) -> Result<Status, FollowerError> {
        self.shared
            .checkpoint_at_stop
            .store(checkpoint, Ordering::Release);
        self.join();
        let status = self.status();
        match &status.failure {
            Some(error) => Err(error.clone()),
            None => Ok(status),
        }
    }

    fn join(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.waker.unpark();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            self.shared.update(|status| {
                status.failure.get_or_insert(FollowerError::Stopped);
            });
        }
    }
}

impl Drop for FollowerHandle {
    fn drop(&mut self) {
        self.join();
    }
}
