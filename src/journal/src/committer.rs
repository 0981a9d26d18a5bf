//! Group commit: many events, one write, one sync.
//!
//! Producers encode events straight into the open group's buffer, and say when it
//! should go ([`Appender::kick`]). The journal thread then swaps that buffer for its
//! own, so what gathers while one sync runs is the next group. No timer is involved.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use crate::error::JournalError;
use crate::limits::{DEFAULT_MAX_PENDING_BYTES, MAX_GROUP_BYTES};
use crate::port::{Batch, Port, Seq, Verdict};
use crate::recent::Recent;

/// First and longest pause between two questions about a batch of unknown
/// fate.
const RESOLVE_PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// What the journal thread calls.
pub struct Hooks {
    /// Called once per durable group, with its last sequence, after
    /// [`Committer::durable`] shows it.
    pub on_durable: Box<dyn FnMut(Seq) + Send>,
    /// Called once when the log has failed: nothing more becomes durable.
    pub on_fatal: Box<dyn FnMut(JournalError) + Send>,
}

impl Hooks {
    /// Hooks from two closures.
    pub fn new(
        on_durable: impl FnMut(Seq) + Send + 'static,
        on_fatal: impl FnMut(JournalError) + Send + 'static,
    ) -> Self {
        Self {
            on_durable: Box::new(on_durable),
            on_fatal: Box::new(on_fatal),
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooks")
    }
}

/// Bounds of a committer.
#[derive(Clone, Copy, Debug)]
pub struct CommitterOptions {
    /// Largest group in bytes; the port's own limit holds as well.
    pub max_group_bytes: usize,
    /// Bytes that may wait for durability, gathering and in flight together.
    /// Two buffers of this size are allocated and touched at the start.
    pub max_pending_bytes: usize,
    /// Bytes of durable groups that are held for whoever follows ([`Recent`]).
    pub recent_bytes: usize,
}

impl Default for CommitterOptions {
    fn default() -> Self {
        Self {
            max_group_bytes: MAX_GROUP_BYTES,
            max_pending_bytes: DEFAULT_MAX_PENDING_BYTES,
            recent_bytes: 0,
        }
    }
}

/// Why an event was not taken. It left no trace in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The bound on what may wait is reached.
    #[error("too much is waiting for the journal")]
    Full,
    /// The event alone is longer than a group may be.
    #[error("the event is longer than a group")]
    TooLarge,
    /// Its sequence is not above the last one's.
    #[error("the event's sequence is out of order")]
    OutOfOrder,
    /// The committer was stopped, or its log failed.
    #[error("the journal is closed")]
    Closed,
}

/// A boundary between events: bytes before it, and the last sequence there.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    end: usize,
    last: Seq,
}

/// The open group, possibly longer than one frame.
#[derive(Debug)]
struct Gathering {
    buf: Vec<u8>,
    /// Where the buffer must be split because a group would grow too long.
    /// Found while appending, so that no other boundary need be kept.
    cuts: Vec<Mark>,
    /// Start of the group that is growing.
    group_start: usize,
    /// The last event's end.
    mark: Mark,
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    gathering: Mutex<Gathering>,
    durable: AtomicU64,
    pending_bytes: AtomicUsize,
    durable_bytes: AtomicU64,
    stopping: AtomicBool,
    /// Somebody wants what has gathered to go.
    kicked: AtomicBool,
    recent: Recent,
    options: CommitterOptions,
}

impl Shared {
    fn gathering(&self) -> MutexGuard<'_, Gathering> {
        self.gathering
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The journal thread and its buffers.
#[derive(Debug)]
pub struct Committer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<Seq, JournalError>>>,
    waker: Option<Thread>,
}

impl Committer {
    /// Starts the thread `journal` with default bounds. `head` is the log's
    /// last sequence; the next event is `head + 1`.
    #[must_use]
    pub fn start(port: Box<dyn Port>, head: Seq, hooks: Hooks) -> Self {
        Self::start_with(port, head, hooks, CommitterOptions::default())
    }

    /// As [`start`](Self::start), with bounds. If the thread cannot be
    /// started, `on_fatal` is called at once and nothing is taken.
    #[must_use]
    pub fn start_with(
        port: Box<dyn Port>,
        head: Seq,
        hooks: Hooks,
        options: CommitterOptions,
    ) -> Self {
        let worker = Worker::new(port, head, hooks, options);
        let shared = Arc::clone(&worker.shared);
        // The hooks stay reachable if the thread does not start.
        let hooks = Arc::clone(&worker.hooks);
        let spawned = thread::Builder::new()
            .name("journal".into())
            .spawn(move || worker.run());
        let thread = match spawned {
            Ok(thread) => Some(thread),
            Err(error) => {
                shared.gathering().closed = true;
                let mut hooks = hooks.lock().unwrap_or_else(PoisonError::into_inner);
                (hooks.on_fatal)(JournalError::io(
                    "start",
                    "the journal thread".as_ref(),
                    error,
                ));
                None
            }
        };
        Self {
            waker: thread.as_ref().map(|thread| thread.thread().clone()),
            shared,
            thread,
        }
    }

    /// A handle for producers.
    #[must_use]
    pub fn appender(&self) -> Appender {
        Appender {
            shared: Arc::clone(&self.shared),
            waker: self.waker.clone(),
        }
    }

    /// The last durable sequence.
    #[must_use]
    pub fn durable(&self) -> Seq {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// A cheap handle to [`durable`](Self::durable).
    #[must_use]
    pub fn durable_handle(&self) -> DurableHandle {
        DurableHandle(Arc::clone(&self.shared))
    }

    /// The newest durable groups, for a [`Tail`](crate::Tail).
    #[must_use]
    pub fn recent(&self) -> Recent {
        self.shared.recent.clone()
    }

    /// Takes nothing more, makes durable what was taken, and joins the thread.
    /// Returns the last durable sequence.
    ///
    /// # Errors
    /// The error that ended the log, if one did.
    pub fn stop(mut self) -> Result<Seq, JournalError> {
        self.finish()
    }

    fn finish(&mut self) -> Result<Seq, JournalError> {
        self.shared.gathering().closed = true;
        self.shared.stopping.store(true, Ordering::Release);
        if let Some(waker) = &self.waker {
            waker.unpark();
        }
        match self.thread.take() {
            Some(thread) => thread.join().unwrap_or(Err(JournalError::ThreadEnded)),
            None => Err(JournalError::ThreadEnded),
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        if self.thread.is_some() {
            // The error was given to `on_fatal` already.
            drop(self.finish());
        }
    }
}

/// The same without a thread: a group becomes durable when it is told to, so that a
/// simulation's order of operations follows from its seed. Never for production.
pub struct InlineCommitter(Worker);

impl fmt::Debug for InlineCommitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InlineCommitter")
    }
}

impl InlineCommitter {
    /// As [`Committer::start_with`].
    #[must_use]
    pub fn new(port: Box<dyn Port>, head: Seq, hooks: Hooks, options: CommitterOptions) -> Self {
        Self(Worker::new(port, head, hooks, options))
    }

    /// A handle for producers; its [`Appender::kick`] does nothing.
    #[must_use]
    pub fn appender(&self) -> Appender {
        Appender {
            shared: Arc::clone(&self.0.shared),
            waker: None,
        }
    }

    /// A cheap handle to the last durable sequence.
    #[must_use]
    pub fn durable_handle(&self) -> DurableHandle {
        DurableHandle(Arc::clone(&self.0.shared))
    }

    /// As [`Committer::recent`].
    #[must_use]
    pub fn recent(&self) -> Recent {
        self.0.shared.recent.clone()
    }

    /// Writes and syncs what gathered; whether there was anything.
    ///
    /// # Errors
    /// The log failed, and nothing more is taken.
    pub fn commit(&mut self) -> Result<bool, JournalError> {
        self.0.turn()
    }
}

/// Reads the last durable sequence from any thread.
#[derive(Clone, Debug)]
pub struct DurableHandle(Arc<Shared>);

impl DurableHandle {
    /// The last durable sequence.
    #[must_use]
    pub fn get(&self) -> Seq {
        self.0.durable.load(Ordering::Acquire)
    }
}

/// Appends events.
#[derive(Clone, Debug)]
pub struct Appender {
    shared: Arc<Shared>,
    waker: Option<Thread>,
}

impl Appender {
    /// Appends one event that ends at sequence `last`, encoded by `encode`.
    /// Call [`kick`](Self::kick) afterwards.
    ///
    /// # Errors
    /// [`AppendError`]; the event left no trace.
    pub fn append(&self, last: Seq, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), AppendError> {
        let mut guard = self.lock();
        encode(guard.buf());
        guard.appended(last)
    }

    /// Locks the open group for several events.
    #[must_use]
    pub fn lock(&self) -> GroupGuard<'_> {
        GroupGuard {
            gathering: self.shared.gathering(),
            shared: &self.shared,
            added: 0,
        }
    }

    /// Has the journal thread write and sync what has gathered, as soon as it is done
    /// with the group before. A system call only if it sleeps.
    pub fn kick(&self) {
        self.shared.kicked.store(true, Ordering::Release);
        if let Some(waker) = &self.waker {
            waker.unpark();
        }
    }

    /// Bytes that wait for durability, gathering and in flight.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.shared.pending_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that have become durable since the start: how fast the log is.
    #[must_use]
    pub fn durable_bytes(&self) -> u64 {
        self.shared.durable_bytes.load(Ordering::Relaxed)
    }

    /// Whether `bytes` more may wait. Ask before deciding a command: an event
    /// that was applied and is then refused here cannot be taken back.
    #[must_use]
    pub fn fits(&self, bytes: usize) -> bool {
        self.pending_bytes().saturating_add(bytes) <= self.shared.options.max_pending_bytes
    }
}

/// The open group, locked. Bytes that were not confirmed by
/// [`appended`](Self::appended) vanish when it is dropped.
#[derive(Debug)]
pub struct GroupGuard<'a> {
    gathering: MutexGuard<'a, Gathering>,
    shared: &'a Shared,
    added: usize,
}

impl GroupGuard<'_> {
    /// The buffer: append one event's bytes to it, and touch nothing before
    /// them.
    pub fn buf(&mut self) -> &mut Vec<u8> {
        &mut self.gathering.buf
    }

    /// Confirms that the bytes since the last call are whole events, the last
    /// of which is `last`.
    ///
    /// # Errors
    /// [`AppendError`]; the bytes since the last call are gone.
    pub fn appended(&mut self, last: Seq) -> Result<(), AppendError> {
        let options = self.shared.options;
        let gathering = &mut *self.gathering;
        let (end, mark) = (gathering.buf.len(), gathering.mark);
        let bytes = end.saturating_sub(mark.end);
        let pending = self.shared.pending_bytes.load(Ordering::Relaxed) + self.added;
        let refused = if gathering.closed {
            Some(AppendError::Closed)
        } else if last <= mark.last || end <= mark.end {
            Some(AppendError::OutOfOrder)
        } else if bytes > options.max_group_bytes {
            Some(AppendError::TooLarge)
        } else if pending.saturating_add(bytes) > options.max_pending_bytes {
            Some(AppendError::Full)
        } else {
            None
        };
        if let Some(refused) = refused {
            gathering.buf.truncate(mark.end);
            return Err(refused);
        }
        if end - gathering.group_start > options.max_group_bytes {
            gathering.cuts.push(mark);
            gathering.group_start = mark.end;
        }
        gathering.mark = Mark { end, last };
        self.added += bytes;
        Ok(())
    }
}

impl Drop for GroupGuard<'_> {
    fn drop(&mut self) {
        let end = self.gathering.mark.end;
        self.gathering.buf.truncate(end);
        // Before the lock goes, so that the journal thread never subtracts
        // what has not been added yet.
        self.shared
            .pending_bytes
            .fetch_add(self.added, Ordering::Relaxed);
    }
}

/// An empty buffer whose memory the system has already handed out.
fn touched(bytes: usize) -> Vec<u8> {
    let mut buf = vec![1; bytes];
    buf.clear();
    buf
}

/// Two neighbouring groups are together longer than one may be.
fn cuts_capacity(options: CommitterOptions) -> usize {
    (2 * options.max_pending_bytes / options.max_group_bytes).saturating_add(1)
}

/// Closes the committer when the thread ends, however it does.
struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.gathering().closed = true;
    }
}

struct Worker {
    shared: Arc<Shared>,
    port: Box<dyn Port>,
    hooks: Arc<Mutex<Hooks>>,
    head: Seq,
    batch_id: u64,
    buf: Vec<u8>,
    cuts: Vec<Mark>,
}

impl Worker {
    fn new(port: Box<dyn Port>, head: Seq, hooks: Hooks, options: CommitterOptions) -> Self {
        let options = CommitterOptions {
            max_group_bytes: options.max_group_bytes.min(port.max_group_bytes()).max(1),
            ..options
        };
        let shared = Arc::new(Shared {
            gathering: Mutex::new(Gathering {
                buf: touched(options.max_pending_bytes),
                cuts: Vec::with_capacity(cuts_capacity(options)),
                group_start: 0,
                mark: Mark { end: 0, last: head },
                closed: false,
            }),
            durable: AtomicU64::new(head),
            pending_bytes: AtomicUsize::new(0),
            durable_bytes: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            kicked: AtomicBool::new(false),
            recent: Recent::new(options.recent_bytes),
            options,
        });
        Self {
            shared,
            port,
            hooks: Arc::new(Mutex::new(hooks)),
            head,
            batch_id: 0,
            buf: touched(options.max_pending_bytes),
            cuts: Vec::with_capacity(cuts_capacity(options)),
        }
    }

    /// Makes durable what gathered, if anything did.
    fn turn(&mut self) -> Result<bool, JournalError> {
        let Some(mark) = self.take() else {
            return Ok(false);
        };
        if let Err(error) = self.commit(mark) {
            self.shared.gathering().closed = true;
            (self.hooks().on_fatal)(error.clone());
            return Err(error);
        }
        Ok(true)
    }

    fn run(mut self) -> Result<Seq, JournalError> {
        let _close = CloseOnDrop(Arc::clone(&self.shared));
        loop {
            // Read before the buffer: after the flag nothing is added.
            let stopping = self.shared.stopping.load(Ordering::Acquire);
            // Taken before the buffer, so that no kick is lost: what it was about is in.
            if !self.shared.kicked.swap(false, Ordering::AcqRel) && !stopping {
                thread::park();
                continue;
            }
            if !self.turn()? && stopping {
                return Ok(self.head);
            }
        }
    }

    fn hooks(&self) -> MutexGuard<'_, Hooks> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Swaps buffers with the producers if they wrote anything.
    fn take(&mut self) -> Option<Mark> {
        let mut gathering = self.shared.gathering();
        let mark = gathering.mark;
        if mark.end == 0 {
            return None;
        }
        self.buf.clear();
        self.cuts.clear();
        std::mem::swap(&mut gathering.buf, &mut self.buf);
        std::mem::swap(&mut gathering.cuts, &mut self.cuts);
        gathering.group_start = 0;
        gathering.mark.end = 0;
        Some(mark)
    }

    fn commit(&mut self, mark: Mark) -> Result<(), JournalError> {
        self.cuts.push(mark);
        let mut start = 0;
        let mut next = 0;
        while let Some(cut) = self.cuts.get(next).copied() {
            let events = self.buf.get(start..cut.end).unwrap_or_default();
            self.batch_id += 1;
            let batch = Batch {
                term: self.port.term(),
                expected_head: self.head,
                batch_id: self.batch_id,
                first: self.head + 1,
                last: cut.last,
                events,
            };
            let mut verdict = self.port.submit(batch);
            if matches!(verdict, Verdict::Unknown) {
                verdict = self.resolve();
            }
            match verdict {
                Verdict::Durable => {}
                Verdict::Rejected { head } => return Err(JournalError::Rejected { head }),
                Verdict::Failed(error) => return Err(error),
                Verdict::Unknown => {
                    return Err(JournalError::Undecided {
                        batch_id: self.batch_id,
                    });
                }
            }
            let events = self.buf.get(start..cut.end).unwrap_or_default();
            // Before it is published: who knows of it finds it there.
            self.shared.recent.push(self.head + 1, cut.last, events);
            self.head = cut.last;
            self.shared.durable.store(cut.last, Ordering::Release);
            self.shared
                .pending_bytes
                .fetch_sub(cut.end - start, Ordering::Relaxed);
            self.shared
                .durable_bytes
                .fetch_add((cut.end - start) as u64, Ordering::Relaxed);
            (self.hooks().on_durable)(cut.last);
            start = cut.end;
            next += 1;
        }
        Ok(())
    }

    /// Asks until somebody knows, or the committer is stopped.
    fn resolve(&mut self) -> Verdict {
        let (mut pause, longest) = RESOLVE_PAUSE;
        loop {
            let verdict = self.port.resolve(self.batch_id);
            if !matches!(verdict, Verdict::Unknown) {
                return verdict;
            }
            if self.shared.stopping.load(Ordering::Acquire) {
                return Verdict::Unknown;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(longest);
        }
    }
}
