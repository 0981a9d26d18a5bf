//! The helper: prepares segments ahead of use, and releases old ones, so that
//! the journal thread never waits for either. A thread of its own as a rule;
//! simulations take its steps within the journal's calls instead.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};

use crate::error::{IoContext, JournalError};
use crate::layout;
use crate::pool::{Draft, Kept, Pool, Prepared, Shared};
use crate::spare::{Made, SpareMaker};

/// By how much slices grow when the segment in use is half full and the next
/// is not ready: a slower commit is better than a refused request.
const HURRY: usize = 4;

/// Starts the thread.
pub(crate) fn start(shared: Arc<Shared>) -> Result<JoinHandle<()>, JournalError> {
    let dir = shared.options.dir.clone();
    thread::Builder::new()
        .name("journal-ahead".into())
        .spawn(move || run(&shared))
        .at("start the helper thread for", &dir)
}

/// What is being done: where between two operations on the disk.
#[derive(Debug)]
enum Task {
    /// To give a spare the next segment's name. Its header stays zero until
    /// the journal thread writes it along with the first frame.
    Promote { spare: Prepared, number: u64 },
    /// The spare has the name, until the power goes.
    Promoted { spare: Prepared },
    /// To give up the oldest segment.
    Release { oldest: Kept },
    /// Its name is gone, until the power goes. A segment of zeros with a
    /// successor would look like damage, so nothing touches its bytes yet.
    Released {
        oldest: Kept,
        recycled: Option<PathBuf>,
    },
    /// To make one more spare.
    Prepare(SpareMaker),
}

/// What a step was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Done,
    /// There is nothing to do.
    Idle,
    Failed,
}

/// The helper without a thread: its caller takes the steps.
#[derive(Debug, Default)]
pub(crate) struct Helper {
    task: Option<Task>,
}

impl Helper {
    /// Whether it is within a job, between two of its steps.
    pub(crate) fn is_busy(&self) -> bool {
        self.task.is_some()
    }

    /// Goes on with its job, or begins the most urgent one.
    pub(crate) fn step(&mut self, shared: &Shared) -> Step {
        let task = (self.task.take()).or_else(|| next_task(shared, &mut shared.pool()));
        let Some(task) = task else { return Step::Idle };
        match advance(shared, task) {
            Ok(next) => self.task = next,
            Err(error) => {
                shared.pool().fault = Some(error);
                shared.ready.notify_all();
                return Step::Failed;
            }
        }
        if self.task.is_none() {
            shared.ready.notify_all();
        }
        Step::Done
    }

    /// Works until the room is normal, or it is clear that it cannot be.
    pub(crate) fn settle(&mut self, shared: &Shared) {
        loop {
            let settled = shared.is_settled(&shared.pool());
            if settled || self.step(shared) != Step::Done {
                return;
            }
        }
    }

    /// Works until the next segment has its name.
    pub(crate) fn bring_next(&mut self, shared: &Shared) {
        loop {
            let there = shared.pool().next.is_some();
            if there || self.step(shared) != Step::Done {
                return;
            }
        }
    }

    /// Ends the job that it is within.
    pub(crate) fn finish(&mut self, shared: &Shared) {
        while self.is_busy() {
            self.step(shared);
        }
    }

    /// Does all that there is to do, up to the first failure.
    pub(crate) fn run(&mut self, shared: &Shared) {
        while self.step(shared) == Step::Done {}
    }
}

fn run(shared: &Shared) {
    while let Some(task) = wait_for_task(shared) {
        let mut helper = Helper { task: Some(task) };
        let mut last = Step::Done;
        while helper.is_busy() {
            last = helper.step(shared);
        }
        if last == Step::Failed {
            // Nothing may be tried again at once: wait, unless stopped or
            // asked to release something, which makes space.
            let pool = shared.pool();
            if !shared.stopping.load(Ordering::Acquire) {
                drop(
                    shared
                        .work
                        .wait_timeout(pool, shared.options.retry_interval)
                        .unwrap_or_else(PoisonError::into_inner),
                );
            }
        }
    }
}

fn wait_for_task(shared: &Shared) -> Option<Task> {
    let mut pool = shared.pool();
    loop {
        if shared.stopping.load(Ordering::Acquire) {
            return None;
        }
        if let Some(task) = next_task(shared, &mut pool) {
            return Some(task);
        }
        pool = shared
            .work
            .wait(pool)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

/// The most urgent job.
fn next_task(shared: &Shared, pool: &mut Pool) -> Option<Task> {
    if shared.fatal().is_some() {
        return None;
    }
    if pool.next.is_none()
        && let Some(spare) = pool.spares.pop_front()
    {
        return Some(Task::Promote {
            spare,
            number: pool.taken + 1,
        });
    }
    let wanted = shared.options.reserve_segments + usize::from(pool.next.is_none());
    let short = pool.spares.len() < wanted;
    let release_before = shared.release_before.load(Ordering::Acquire);
    if !(short && pool.release_put_off)
        && let Some(follower) = pool.kept.get(1)
        && follower.first <= release_before
        && let Some(oldest) = pool.kept.pop_front()
    {
        return Some(Task::Release { oldest });
    }
    if short {
        pool.release_put_off = false;
        pool.last_spare += 1;
        return Some(Task::Prepare(SpareMaker::new(
            &shared.options,
            pool.drafts.pop_front(),
            pool.last_spare,
        )));
    }
    // All that failed before has been done since.
    pool.fault = None;
    None
}

/// Takes one step; returns the job's rest.
fn advance(shared: &Shared, task: Task) -> Result<Option<Task>, JournalError> {
    match task {
        Task::Promote { spare, number } => promote(shared, spare, number).map(Some),
        Task::Promoted { spare } => {
            sync_names(shared)?;
            shared.pool().next = Some(spare);
            Ok(None)
        }
        Task::Release { oldest } => release(shared, oldest).map(Some),
        Task::Released { oldest, recycled } => {
            // One at a time, so that no gap is left if the power goes.
            sync_names(shared)?;
            released(shared, &oldest, recycled);
            Ok(None)
        }
        Task::Prepare(maker) => prepare(shared, maker),
    }
}

/// Syncs the directory. If that fails, nobody knows which names are still
/// there after a power loss, and a later sync that succeeds may not mean what
/// it says: the journal ends here, and the next start looks afresh.
fn sync_names(shared: &Shared) -> Result<(), JournalError> {
    let dir = &shared.options.dir;
    let synced = shared.names.sync().at("sync", dir);
    if let Err(error) = &synced {
        shared.fail(error.clone());
    }
    synced
}

fn promote(shared: &Shared, spare: Prepared, number: u64) -> Result<Task, JournalError> {
    let path = layout::segment_path(&shared.options.dir, number);
    let renamed = shared.disk.rename(&spare.path, &path);
    if let Err(error) = renamed.at("rename", &spare.path) {
        // Which name it has is unknown, so the file is not used again; a
        // later one takes the segment's name.
        shared.lose_ready(spare.file_bytes);
        return Err(error);
    }
    Ok(Task::Promoted {
        spare: Prepared { path, ..spare },
    })
}

/// Takes a segment's name away, to recycle or to remove the file.
fn release(shared: &Shared, oldest: Kept) -> Result<Task, JournalError> {
    let dir = &shared.options.dir;
    let disk = &*shared.disk;
    let path = layout::segment_path(dir, oldest.number);
    let recycled = {
        let mut pool = shared.pool();
        let waiting = pool.drafts.len() + pool.spares.len();
        let wanted = waiting <= shared.options.reserve_segments
            && oldest.file_bytes == shared.options.segment_bytes;
        wanted.then(|| {
            pool.last_spare += 1;
            layout::draft_path(dir, pool.last_spare)
        })
    };
    let moved = match &recycled {
        Some(draft) => disk.rename(&path, draft),
        None => disk.remove(&path),
    };
    match moved {
        Ok(()) => Ok(Task::Released { oldest, recycled }),
        // Somebody else has removed it: nothing is left to recycle.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Task::Released {
            oldest,
            recycled: None,
        }),
        Err(error) => {
            let mut pool = shared.pool();
            pool.kept.push_front(oldest);
            pool.release_put_off = true;
            Err(error).at("release", &path)
        }
    }
}

fn released(shared: &Shared, oldest: &Kept, recycled: Option<PathBuf>) {
    match recycled {
        Some(path) => shared.pool().drafts.push_back(Draft {
            path,
            file_bytes: oldest.file_bytes,
            whole: true,
        }),
        None => {
            shared
                .disk_bytes
                .fetch_sub(oldest.file_bytes, Ordering::Relaxed);
        }
    }
}

fn prepare(shared: &Shared, maker: SpareMaker) -> Result<Option<Task>, JournalError> {
    let pace = || {
        if shared.stopping.load(Ordering::Acquire) {
            None
        } else if shared.half_used() {
            Some(shared.options.zero_slice_bytes * HURRY)
        } else {
            Some(shared.options.zero_slice_bytes)
        }
    };
    let held = maker.held;
    match maker.step(&*shared.disk, &shared.options, &pace) {
        Ok(Made::Part(maker)) => Ok(Some(Task::Prepare(maker))),
        Ok(Made::Stopped) => Ok(None),
        Ok(Made::Spare(spare)) => {
            shared.disk_bytes.fetch_add(
                spare.file_bytes - held.min(spare.file_bytes),
                Ordering::Relaxed,
            );
            shared.add_ready(spare.file_bytes);
            shared.pool().spares.push_back(spare);
            Ok(None)
        }
        Err(error) => {
            shared.disk_bytes.fetch_sub(held, Ordering::Relaxed);
            Err(error)
        }
    }
}
