//! The helper thread: prepares segments ahead of use, and releases old ones,
//! so that the journal thread never waits for either.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{IoContext, JournalError};
use crate::layout;
use crate::limits::JournalOptions;
use crate::pool::{Draft, Kept, Pool, Prepared, Shared};

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

/// What there is to do, most urgent first.
enum Job {
    /// Give a spare the next segment's name.
    Promote { spare: Prepared, number: u64 },
    /// Give up the oldest segment.
    Release { oldest: Kept },
    /// Zero a file.
    Prepare { recycled: Option<Draft>, spare: u64 },
}

fn run(shared: &Shared) {
    while let Some(job) = wait_for_job(shared) {
        if !work(shared, job) {
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

/// Does all that there is to do, without a thread, up to the first failure.
pub(crate) fn run_inline(shared: &Shared) {
    loop {
        let job = next_job(shared, &mut shared.pool());
        let Some(job) = job else { return };
        if !work(shared, job) {
            return;
        }
    }
}

/// Does one job and says how it went; `false` is a failure.
fn work(shared: &Shared, job: Job) -> bool {
    let done = match job {
        Job::Promote { spare, number } => promote(shared, spare, number),
        Job::Release { oldest } => release(shared, oldest),
        Job::Prepare { recycled, spare } => prepare(shared, recycled, spare),
    };
    let fine = done.is_ok();
    if let Err(error) = done {
        shared.pool().fault = Some(error);
    }
    shared.ready.notify_all();
    fine
}

fn wait_for_job(shared: &Shared) -> Option<Job> {
    let mut pool = shared.pool();
    loop {
        if shared.stopping.load(Ordering::Acquire) {
            return None;
        }
        if let Some(job) = next_job(shared, &mut pool) {
            return Some(job);
        }
        pool = shared
            .work
            .wait(pool)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

fn next_job(shared: &Shared, pool: &mut Pool) -> Option<Job> {
    if pool.next.is_none()
        && let Some(spare) = pool.spares.pop_front()
    {
        return Some(Job::Promote {
            spare,
            number: pool.taken + 1,
        });
    }
    let release_before = shared.release_before.load(Ordering::Acquire);
    if !shared.release_stopped.load(Ordering::Acquire)
        && let Some(follower) = pool.kept.get(1)
        && follower.first <= release_before
        && let Some(oldest) = pool.kept.pop_front()
    {
        return Some(Job::Release { oldest });
    }
    let wanted = shared.options.reserve_segments + usize::from(pool.next.is_none());
    if pool.spares.len() < wanted {
        pool.last_spare += 1;
        return Some(Job::Prepare {
            recycled: pool.drafts.pop_front(),
            spare: pool.last_spare,
        });
    }
    // All that failed before has been done since.
    pool.fault = None;
    None
}

/// Renames a spare to the next segment's name. Its header stays zero until
/// the journal thread writes it along with the first frame.
fn promote(shared: &Shared, spare: Prepared, number: u64) -> Result<(), JournalError> {
    let dir = &shared.options.dir;
    let path = layout::segment_path(dir, number);
    let renamed = shared
        .disk
        .rename(&spare.path, &path)
        .at("rename", &spare.path)
        .and_then(|()| shared.disk.sync_dir(dir).at("sync", dir));
    if let Err(error) = renamed {
        // What the directory holds now is unknown, so the file is not used
        // again; a later one takes its name.
        shared.lose_ready(spare.file_bytes);
        return Err(error);
    }
    shared.pool().next = Some(Prepared { path, ..spare });
    Ok(())
}

/// Recycles or removes a segment. Its name must be gone for good before its
/// bytes are touched: a segment of zeros with a successor would look like
/// damage.
fn release(shared: &Shared, oldest: Kept) -> Result<(), JournalError> {
    let dir = &shared.options.dir;
    let disk = &*shared.disk;
    let path = layout::segment_path(dir, oldest.number);
    let recycle = {
        let mut pool = shared.pool();
        let waiting = pool.drafts.len() + pool.spares.len();
        let wanted = waiting <= shared.options.reserve_segments
            && oldest.file_bytes == shared.options.segment_bytes;
        wanted.then(|| {
            pool.last_spare += 1;
            layout::draft_path(dir, pool.last_spare)
        })
    };
    let moved = match &recycle {
        Some(draft) => disk.rename(&path, draft).at("rename", &path),
        None => disk.remove(&path).at("remove", &path),
    };
    if let Err(error) = moved {
        shared.pool().kept.push_front(oldest);
        return Err(error);
    }
    // One at a time, so that no gap is left if the power goes.
    if let Err(error) = disk.sync_dir(dir).at("sync", dir) {
        shared.release_stopped.store(true, Ordering::Release);
        return Err(error);
    }
    match recycle {
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
    Ok(())
}

/// Makes one more spare.
fn prepare(shared: &Shared, recycled: Option<Draft>, spare: u64) -> Result<(), JournalError> {
    let pace = || {
        if shared.stopping.load(Ordering::Acquire) {
            None
        } else if shared.half_used() {
            Some(shared.options.zero_slice_bytes * HURRY)
        } else {
            Some(shared.options.zero_slice_bytes)
        }
    };
    let held = recycled.as_ref().map_or(0, |draft| draft.file_bytes);
    let made = make_spare(&*shared.disk, &shared.options, recycled, spare, &pace);
    let made = match made {
        Ok(Some(made)) => made,
        // Stopped half-way: the draft stays, as it would after a crash.
        Ok(None) => return Ok(()),
        Err(error) => {
            shared.disk_bytes.fetch_sub(held, Ordering::Relaxed);
            return Err(error);
        }
    };
    shared.disk_bytes.fetch_add(
        made.file_bytes - held.min(made.file_bytes),
        Ordering::Relaxed,
    );
    shared.add_ready(made.file_bytes);
    shared.pool().spares.push_back(made);
    Ok(())
}

/// Zeroes a recycled or a new file in small synced slices and names it a
/// spare. `pace` is asked for each slice's bytes; `None` stops, and then
/// `None` is returned. A file on which anything failed is
/// removed, never tried again.
pub(crate) fn make_spare(
    disk: &dyn Disk,
    options: &JournalOptions,
    recycled: Option<Draft>,
    number: u64,
    pace: &dyn Fn() -> Option<usize>,
) -> Result<Option<Prepared>, JournalError> {
    let dir = &options.dir;
    let file_bytes = options.segment_bytes;
    let (draft, fresh, whole) = match recycled {
        Some(draft) => (draft.path, false, draft.whole),
        None => (layout::draft_path(dir, number), true, false),
    };
    // Asked before a byte is written, so that a full disk is not stirred at
    // every attempt.
    if fresh && disk.free_bytes(dir).at("measure", dir)? < file_bytes {
        return Err(JournalError::NoSpace { dir: dir.clone() });
    }
    let mode = if fresh {
        OpenMode::CreateNew
    } else {
        OpenMode::Write
    };
    let zeroed = (|| {
        let file = disk.open(&draft, mode).at("open", &draft)?;
        if (options.zero_recycled || !whole) && !zero(&*file, &draft, file_bytes, pace)? {
            return Ok(None);
        }
        let path = layout::spare_path(dir, number);
        disk.rename(&draft, &path).at("rename", &draft)?;
        Ok(Some(Prepared {
            file,
            path,
            file_bytes,
        }))
    })();
    if zeroed.is_err()
        && let Err(error) = disk.remove(&draft)
        && error.kind() != io::ErrorKind::NotFound
    {
        // The first error matters more; the next start removes the draft.
        return zeroed;
    }
    zeroed
}

fn zero(
    file: &dyn DiskFile,
    path: &Path,
    bytes: u64,
    pace: &dyn Fn() -> Option<usize>,
) -> Result<bool, JournalError> {
    let mut zeros = Vec::new();
    let mut at = 0;
    while at < bytes {
        let Some(slice) = pace() else {
            return Ok(false);
        };
        let n = usize::try_from(bytes - at).map_or(slice, |left| left.min(slice));
        zeros.resize(n.max(1), 0);
        file.write_at(&zeros, at).at("write", path)?;
        file.sync_data().at("sync", path)?;
        at += zeros.len() as u64;
    }
    file.sync_all().at("sync", path)?;
    Ok(true)
}
