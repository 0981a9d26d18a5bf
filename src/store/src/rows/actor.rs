//! The one thread that calls sled, and the handle to it.
//!
//! sled 0.34.7 panics on damaged files, hangs when one of its own threads has
//! died, and stays unusable after a full disk. So nobody else ever calls it:
//! each call is caught on its own thread, waits have a limit, and a handle that
//! failed once is abandoned, never dropped (dropping flushes, and may hang).

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::quiet;

/// Something sled did. It is not used again after one of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SledError {
    #[error("it panicked")]
    Panicked,
    #[error("it did not answer within {0:?}")]
    Hung(Duration),
    #[error("{0}")]
    Failed(String),
}

/// How sled is used.
#[derive(Clone, Debug)]
pub(crate) struct SledOptions {
    /// Page cache in bytes.
    pub(crate) cache_bytes: u64,
    /// Dropped and opened again after so many bytes of values, which alone
    /// holds its memory.
    pub(crate) reopen_after_bytes: u64,
    /// Longer than this without an answer counts as a hang.
    pub(crate) patience: Duration,
}

/// One write of a batch: key, and value or removal.
pub(crate) type Write = (Vec<u8>, Option<Vec<u8>>);
/// Entries read, in one go.
pub(crate) type Entries = Vec<(sled::IVec, sled::IVec)>;

/// Entries sent at once while reading.
const READ_BATCH: usize = 128;
/// Bytes of values after which reading closes and opens the database: its
/// cache takes no notice of what is only read.
const REOPEN_AFTER_READING: u64 = 32 << 20;

enum Job {
    /// All or nothing.
    Batch(Vec<Write>),
    /// Everything so far becomes durable.
    Sync,
    /// All entries in key order.
    Read,
    /// Closes properly.
    Close,
}

enum Reply {
    Done,
    Entries(Entries),
    Failed(SledError),
}

/// Handle to the thread. One job is under way at a time.
pub(crate) struct SledActor {
    jobs: SyncSender<Job>,
    replies: Receiver<Reply>,
    patience: Duration,
    /// When the job under way was sent.
    busy_since: Option<Instant>,
    /// Nothing is asked of it any more: it failed, or it is closed.
    ended: bool,
}

impl std::fmt::Debug for SledActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledActor")
            .field("busy_since", &self.busy_since)
            .finish_non_exhaustive()
    }
}

impl SledActor {
    /// Opens or creates the database in `dir`.
    pub(crate) fn open(dir: &Path, options: &SledOptions) -> Result<Self, SledError> {
        quiet::install();
        let (jobs, inbox) = sync_channel(1);
        let (outbox, replies) = sync_channel(2);
        let worker = Worker {
            dir: dir.to_path_buf(),
            options: options.clone(),
            written: 0,
        };
        thread::Builder::new()
            .name(quiet::ROWS_THREAD.to_owned())
            .spawn(move || {
                crate::nice::lower();
                worker.run(&inbox, &outbox);
            })
            .map_err(|error| SledError::Failed(error.to_string()))?;
        let mut actor = Self {
            jobs,
            replies,
            patience: options.patience,
            busy_since: Some(Instant::now()),
            ended: false,
        };
        actor.wait()?;
        Ok(actor)
    }

    /// Starts an atomic batch; ask [`Self::poll`] or [`Self::wait`] for its end.
    pub(crate) fn batch(&mut self, writes: Vec<Write>) -> Result<(), SledError> {
        self.send(Job::Batch(writes))
    }

    /// Starts a sync.
    pub(crate) fn sync(&mut self) -> Result<(), SledError> {
        self.send(Job::Sync)
    }

    /// Gives every entry to `each`, in key order, until it refuses one.
    pub(crate) fn read<E>(
        &mut self,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<Result<(), E>, SledError> {
        self.send(Job::Read)?;
        let mut result = Ok(());
        loop {
            match self.receive()? {
                Reply::Entries(entries) => {
                    for (key, value) in &entries {
                        if result.is_ok() {
                            result = each(key, value);
                        }
                    }
                }
                Reply::Done => {
                    self.busy_since = None;
                    return Ok(result);
                }
                Reply::Failed(error) => return Err(self.end(error)),
            }
        }
    }

    /// Whether the job under way has ended.
    pub(crate) fn poll(&mut self) -> Result<bool, SledError> {
        let Some(since) = self.busy_since else {
            return Ok(true);
        };
        match self.replies.try_recv() {
            Ok(reply) => self.settle(reply).map(|()| true),
            Err(TryRecvError::Empty) if since.elapsed() > self.patience => {
                Err(self.end(SledError::Hung(self.patience)))
            }
            Err(TryRecvError::Empty) => Ok(false),
            Err(TryRecvError::Disconnected) => Err(self.end(SledError::Panicked)),
        }
    }

    /// Waits for the job under way.
    pub(crate) fn wait(&mut self) -> Result<(), SledError> {
        if self.busy_since.is_none() {
            return Ok(());
        }
        let reply = self.receive()?;
        self.settle(reply)
    }

    /// Closes the database properly.
    pub(crate) fn close(mut self) -> Result<(), SledError> {
        self.close_once()
    }

    fn close_once(&mut self) -> Result<(), SledError> {
        if self.ended {
            return Ok(());
        }
        self.wait()?;
        self.send(Job::Close)?;
        self.wait()?;
        self.ended = true;
        Ok(())
    }

    fn end(&mut self, error: SledError) -> SledError {
        self.ended = true;
        error
    }

    fn settle(&mut self, reply: Reply) -> Result<(), SledError> {
        self.busy_since = None;
        match reply {
            Reply::Done | Reply::Entries(_) => Ok(()),
            Reply::Failed(error) => Err(self.end(error)),
        }
    }

    fn send(&mut self, job: Job) -> Result<(), SledError> {
        self.wait()?;
        self.busy_since = Some(Instant::now());
        self.jobs
            .try_send(job)
            .map_err(|_| self.end(SledError::Panicked))
    }

    fn receive(&mut self) -> Result<Reply, SledError> {
        let patience = self.patience;
        self.replies.recv_timeout(patience).map_err(|error| {
            self.end(match error {
                RecvTimeoutError::Timeout => SledError::Hung(patience),
                RecvTimeoutError::Disconnected => SledError::Panicked,
            })
        })
    }
}

impl Drop for SledActor {
    /// A database in order is closed before anybody opens it again; one that
    /// failed is left to its thread.
    fn drop(&mut self) {
        let _ = self.close_once();
    }
}

struct Worker {
    dir: PathBuf,
    options: SledOptions,
    /// Bytes of values since the database was opened.
    written: u64,
}

/// An open database with its own handle on the file that sled never syncs.
struct Open {
    db: sled::Db,
    file: File,
}

impl Worker {
    fn run(mut self, inbox: &Receiver<Job>, outbox: &SyncSender<Reply>) {
        let mut open = match isolated(|| self.open()) {
            Ok(open) => Some(open),
            Err(error) => {
                let _ = outbox.send(Reply::Failed(error));
                return;
            }
        };
        if outbox.send(Reply::Done).is_err() {
            return;
        }
        while let Ok(job) = inbox.recv() {
            let closing = matches!(job, Job::Close);
            let reply = match isolated(|| self.work(job, &mut open, outbox)) {
                Ok(()) => Reply::Done,
                Err(error) => Reply::Failed(error),
            };
            let failed = matches!(reply, Reply::Failed(_));
            let gone = outbox.send(reply).is_err();
            if failed {
                std::mem::forget(open.take());
            }
            if failed || gone || closing {
                break;
            }
        }
        // The owner has gone without closing: nothing unsynced is owed to anybody.
        let _ = isolated(|| {
            drop(open);
            Ok(())
        });
    }

    fn open(&mut self) -> Result<Open, sled::Error> {
        self.written = 0;
        let db = sled::Config::new()
            .path(&self.dir)
            .cache_capacity(self.options.cache_bytes)
            .flush_every_ms(None)
            .use_compression(false)
            .open()?;
        let file = File::open(self.dir.join("db"))?;
        Ok(Open { db, file })
    }

    /// Gives all entries away, a few at a time. An iterator that lives long
    /// keeps every page that it has seen, hence many short ones.
    fn read_all(
        &mut self,
        slot: &mut Option<Open>,
        outbox: &SyncSender<Reply>,
    ) -> Result<(), sled::Error> {
        let mut from: Vec<u8> = Vec::new();
        let mut read = 0;
        while let Some(open) = slot.as_ref() {
            let mut entries = Vec::with_capacity(READ_BATCH);
            for entry in open.db.range(from.clone()..).take(READ_BATCH) {
                entries.push(entry?);
            }
            let Some((last, _)) = entries.last() else {
                break;
            };
            // The least key above it.
            from.clear();
            from.extend_from_slice(last);
            from.push(0);
            read += entries
                .iter()
                .map(|(_, value)| value.len() as u64)
                .sum::<u64>();
            if outbox.send(Reply::Entries(entries)).is_err() {
                break;
            }
            if read >= REOPEN_AFTER_READING {
                read = 0;
                drop(slot.take());
                *slot = Some(self.open()?);
            }
        }
        Ok(())
    }

    fn work(
        &mut self,
        job: Job,
        slot: &mut Option<Open>,
        outbox: &SyncSender<Reply>,
    ) -> Result<(), sled::Error> {
        let Some(open) = slot.as_ref() else {
            return Err(sled::Error::Unsupported("closed".to_owned()));
        };
        match job {
            Job::Batch(writes) => {
                let mut batch = sled::Batch::default();
                for (key, value) in writes {
                    match value {
                        Some(value) => {
                            self.written += value.len() as u64;
                            batch.insert(key, value);
                        }
                        None => batch.remove(key),
                    }
                }
                open.db.apply_batch(batch)?;
                // sled queues half a megabyte for each write that its own
                // threads have not come to yet: waiting here holds its memory.
                open.db.flush().map(|_| ())
            }
            Job::Sync => {
                open.db.flush()?;
                open.file.sync_data()?;
                if self.written >= self.options.reopen_after_bytes {
                    drop(slot.take());
                    *slot = Some(self.open()?);
                }
                Ok(())
            }
            Job::Read => self.read_all(slot, outbox),
            Job::Close => {
                open.db.flush()?;
                open.file.sync_data()?;
                drop(slot.take());
                Ok(())
            }
        }
    }
}

/// Runs one call of sled's, a panic becoming an error.
fn isolated<T>(call: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, SledError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(SledError::Failed(error.to_string())),
        Err(_) => Err(SledError::Panicked),
    }
}
