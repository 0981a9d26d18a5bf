//! The follower's loop.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use gapless_engine::date::Date;
use gapless_engine::ids::Seq;
use gapless_engine::{Body, Engine, Event};
use gapless_journal::{Disk, RealDisk, Tail};

use super::base_due::BaseDue;
use super::base_job::BaseJob;
use super::bases::Bases;
use super::extracts::Desk;
use super::handle::{FollowerError, FollowerOptions, Shared, io_error};
use super::pace::Pace;
use super::rows::{Driven, Rows};
use crate::dirty::Dirty;
use crate::options::{Dirs, StoreOptions};
use crate::remembered::{Archive, Remembered};

/// So many events are applied before anything else gets its turn.
const EVENTS_AT_ONCE: u64 = 2_000;
/// Events looked at ahead of the one that is applied: the rows that they change are on
/// their way from memory meanwhile.
const EVENTS_AHEAD: usize = 8;
/// How often it looks for more while it has nothing to do. Nobody wakes it for a
/// group: a wake-up for each would take a processor from the payment behind it
/// (docs/performance.md), and nobody waits for the follower.
const NAP: Duration = Duration::from_millis(20);

/// What a turn came to.
pub(crate) struct Turn {
    /// Whether there was anything to do.
    pub worked: bool,
    /// Now, and what is due when, if there is time for a nap.
    rest: Option<(Instant, [Driven; 4])>,
}

/// Durable events that are being applied.
#[derive(Debug, Default)]
struct Taken {
    events: Vec<u8>,
    /// Where the first that is not applied begins.
    begin: usize,
}

impl Taken {
    fn rest(&self) -> &[u8] {
        self.events.get(self.begin..).unwrap_or_default()
    }

    const fn is_empty(&self) -> bool {
        self.begin >= self.events.len()
    }
}

pub(crate) struct Worker {
    disk: Arc<dyn Disk>,
    dirs: Dirs,
    limits: StoreOptions,
    uuid: [u8; 16],
    durable: Box<dyn Fn() -> Seq + Send>,
    release_before: Box<dyn Fn(Seq) + Send>,
    spilled: Box<dyn Fn(Date, u32) + Send>,
    remembered: Remembered,
    spill_retry_at: Option<Instant>,
    shared: Arc<Shared>,
    engine: Engine,
    tail: Tail,
    taken: Taken,
    rows: Rows,
    bases: Bases,
    extracts: Desk,
    base: Option<BaseJob>,
    base_pace: Pace,
    base_due: BaseDue,
    written_bases: u64,
    written_bytes: u64,
    journal_from: Seq,
}

impl Worker {
    pub(crate) fn new(
        options: FollowerOptions,
        shared: Arc<Shared>,
    ) -> Result<Self, FollowerError> {
        let FollowerOptions {
            disk,
            dirs,
            store: limits,
            uuid,
            replica,
            durable,
            recent,
            release_before,
            spilled,
        } = options;
        let remembered = replica.remembered;
        let archive = &remembered.archive;
        let now = Instant::now();
        let bases = Bases::open(&disk, &dirs.bases, uuid, archive)
            .map_err(|error| io_error("list the base files", error))?;
        let applied = replica.engine.last_seq();
        let (journal, from) = (dirs.journal.clone(), applied + 1);
        let tail = Tail::open(Arc::clone(&disk), journal, from, recent)?;
        let rows = Rows::new(
            &dirs,
            &limits,
            uuid,
            replica.rows,
            replica.dirty,
            (replica.mark, replica.mark_files),
            now,
        );
        let newest_base = bases.newest().unwrap_or_default();
        let base_due = BaseDue::new(&bases, applied, replica.base);
        // A seal whose base file a crash has prevented.
        let last_seal = replica.engine.day_ends().iter().map(|day| day.seal).max();
        if let Some(seal) = last_seal.filter(|seal| *seal > newest_base) {
            shared.base_wanted.fetch_max(seal, Ordering::AcqRel);
        }
        let extracts = Desk::new(&disk, &dirs, &limits, uuid, &replica.engine, archive, now);
        shared.set_extracts(extracts.shelf());
        let mut worker = Self {
            base_pace: Pace::new(limits.base_bytes_per_s, now),
            disk,
            dirs,
            limits,
            uuid,
            durable,
            release_before,
            spilled,
            remembered,
            spill_retry_at: None,
            shared,
            engine: replica.engine,
            tail,
            taken: Taken::default(),
            rows,
            bases,
            extracts,
            base: None,
            base_due,
            written_bases: 0,
            written_bytes: 0,
            journal_from: 1,
        };
        worker.tidy_remembered();
        worker.publish();
        Ok(worker)
    }

    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn run(mut self) -> Result<(), FollowerError> {
        while !self.shared.stop.load(Ordering::Acquire) {
            if let Some((now, due)) = self.turn()?.rest {
                self.nap(now, &due);
            }
        }
        if self.shared.checkpoint_at_stop.load(Ordering::Acquire) {
            self.last_checkpoint()?;
        }
        self.publish();
        self.rows.close();
        Ok(())
    }

    /// One turn of everything.
    pub(crate) fn turn(&mut self) -> Result<Turn, FollowerError> {
        let applied = if self.is_held() {
            0
        } else {
            self.apply_some()?
        };
        let now = Instant::now();
        let spill = self.drive_spill(now);
        let rows = self.drive_rows(now, false);
        let base = self.drive_base(now);
        let durable = (self.durable)();
        let extracts = self.extracts.drive(&self.engine, durable, now);
        self.publish();
        let due = [spill, rows, base, extracts];
        let wrote = due.iter().any(|driven| matches!(driven, Driven::Wrote(_)));
        // What is durable comes in many small groups: it gathers during a nap.
        let busy = wrote || applied >= EVENTS_AT_ONCE;
        Ok(Turn {
            worked: wrote || applied > 0,
            rest: (!busy).then_some((now, due)),
        })
    }

    /// Whether the instance must stand still for what is written from it.
    const fn is_held(&self) -> bool {
        self.base.is_some() || self.extracts.holds()
    }

    /// Applies what is durable, up to a bound, or to a freeze or a seal: what is
    /// written of them is the state at exactly that event. How many events.
    fn apply_some(&mut self) -> Result<u64, FollowerError> {
        let durable = (self.durable)();
        let from = self.engine.last_seq();
        let until = from.saturating_add(EVENTS_AT_ONCE);
        while self.engine.last_seq() < until {
            if self.taken.is_empty() && !self.take(durable)? {
                break;
            }
            if self.apply_taken(until)? {
                break;
            }
        }
        let applied = self.engine.last_seq();
        self.shared.applied.store(applied, Ordering::Release);
        Ok(applied - from)
    }

    /// Takes the next durable groups; whether there are any.
    fn take(&mut self, durable: Seq) -> Result<bool, FollowerError> {
        if !self.tail.next(durable, &mut self.taken.events)? {
            return Ok(false);
        }
        self.taken.begin = 0;
        self.base_due.group(self.taken.events.len() as u64);
        Ok(true)
    }

    /// Applies events off the front of what is taken, up to number `until`; whether
    /// something is to be written of the state before the others.
    fn apply_taken(&mut self, until: Seq) -> Result<bool, FollowerError> {
        let mut rest = self.taken.rest();
        let mut ahead = rest;
        for _ in 0..EVENTS_AHEAD {
            ahead = self.engine.expect(ahead).unwrap_or_default();
        }
        let mut event = Event::BLANK;
        let mut stop = false;
        while !stop && !rest.is_empty() && self.engine.last_seq() < until {
            ahead = self.engine.expect(ahead).unwrap_or_default();
            rest = event
                .decode_from(rest)
                .map_err(|error| FollowerError::NoEvent {
                    seq: self.engine.last_seq() + 1,
                    what: error.to_string(),
                })?;
            if event.seq <= self.engine.last_seq() {
                // A group that the replica has in part.
                continue;
            }
            let dirty = self.rows.dirty();
            apply_one(&mut self.engine, &self.remembered.archive, &event, dirty)?;
            self.base_due.event();
            match event.body {
                Body::Freeze { date } => {
                    self.extracts.frozen(&self.engine, date);
                    stop = true;
                }
                Body::Seal(_) => {
                    self.extracts.sealed(&self.engine);
                    self.shared
                        .base_wanted
                        .fetch_max(event.seq, Ordering::AcqRel);
                    stop = true;
                }
                _ => {}
            }
        }
        self.taken.begin = self.taken.events.len() - rest.len();
        Ok(stop)
    }

    /// Writes the oldest records of what is more than memory may hold to a file, and
    /// lets go of them.
    fn drive_spill(&mut self, now: Instant) -> Driven {
        if let Some(retry_at) = self.spill_retry_at.filter(|at| now < *at) {
            return Driven::Idle(Some(retry_at));
        }
        let Some(next) = self.remembered.next(&self.engine) else {
            return Driven::Idle(None);
        };
        let written = if has_room(&*self.disk, &self.dirs, &self.limits, 0) {
            self.remembered.write(&self.engine, next)
        } else {
            Err(io::ErrorKind::StorageFull.into())
        };
        match written {
            Ok((until, bytes)) => {
                drop(self.engine.spill(next.date, until, u32::MAX));
                (self.spilled)(next.date, until);
                self.written_bytes += bytes;
                Driven::Wrote(bytes)
            }
            Err(error) => {
                tracing::error!(%error, "old remembered transactions cannot be written to a file and stay in memory");
                self.spill_retry_at = now.checked_add(self.limits.retry_after);
                Driven::Idle(self.spill_retry_at)
            }
        }
    }

    /// Removes files of remembered transactions that nothing refers to any more: no
    /// base, no mark, and not this instance.
    fn tidy_remembered(&mut self) {
        if self.extracts.is_rebuilding() {
            return;
        }
        let Some(mut kept) = self.bases.dates_in_files() else {
            tracing::warn!("the header of a base file cannot be read: what it refers to is kept");
            return;
        };
        self.remembered.forget(&self.engine);
        kept.extend(self.remembered.extents.dates());
        kept.extend(self.rows.dates_in_files());
        if let Err(error) = self.remembered.archive.tidy(&kept) {
            tracing::warn!(%error, "old files of remembered transactions cannot be removed");
        }
    }

    fn drive_rows(&mut self, now: Instant, hurry: bool) -> Driven {
        let (dirs, limits) = (&self.dirs, &self.limits);
        let base = self.bases.newest().unwrap_or_default();
        let driven = self
            .rows
            .drive(&self.engine, &self.remembered, base, now, hurry, || {
                rows_have_room(dirs, limits)
            });
        if let Driven::Wrote(bytes) = driven {
            self.written_bytes += bytes;
        }
        driven
    }

    fn drive_base(&mut self, now: Instant) -> Driven {
        if let Some(retry_at) = self.base_due.waits_until(now) {
            return Driven::Idle(Some(retry_at));
        }
        let wanted = self.shared.base_wanted.load(Ordering::Acquire);
        let applied = self.engine.last_seq();
        if self.base.is_none()
            && !self
                .base_due
                .is_due(&self.bases, &self.limits, applied, wanted)
        {
            return Driven::Idle(None);
        }
        if now < self.base_pace.free_at() {
            return Driven::Idle(Some(self.base_pace.free_at()));
        }
        match self.advance_base() {
            Ok(bytes) => {
                self.base_pace.spent(bytes, now);
                self.written_bytes += bytes;
                Driven::Wrote(bytes)
            }
            Err(error) => {
                tracing::error!(%error, "a base file could not be written; the older ones and the journal stay");
                self.base = None;
                // Its temporary file takes space that others need.
                if let Err(error) = crate::base::list(&*self.disk, &self.dirs.bases, true) {
                    tracing::warn!(%error, "the unfinished base file cannot be removed");
                }
                Driven::Idle(self.base_due.failed(now, self.limits.retry_after))
            }
        }
    }

    fn advance_base(&mut self) -> io::Result<u64> {
        let job = match &mut self.base {
            Some(job) => job,
            slot @ None => {
                let bytes = BaseJob::bytes(&self.engine);
                if !has_room(&*self.disk, &self.dirs, &self.limits, bytes) {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                let (dir, remembered) = (&self.dirs.bases, &self.remembered);
                slot.insert(BaseJob::begin(
                    &self.disk,
                    dir,
                    self.uuid,
                    &self.engine,
                    remembered,
                )?)
            }
        };
        if let Some(bytes) = job.step(&self.engine)? {
            return Ok(bytes);
        }
        let seq = job.seq();
        if let Some(job) = self.base.take() {
            job.finish()?;
        }
        let unverified = self.extracts.unverified(&self.engine);
        let needed_after = self.bases.settle(seq, &unverified)?;
        self.base_due.written();
        self.written_bases += 1;
        tracing::info!(seq, "base file written and verified");
        self.tidy_remembered();
        if let Some(older) = needed_after {
            // Extracts of kept dates, and of the one that ends next, hold postings
            // from their first event on.
            let first_dated = self
                .engine
                .kept_day_ends()
                .map(|day| day.date)
                .chain([self.engine.business().closing])
                .map(|date| self.engine.first_dated(date))
                .min()
                .unwrap_or(1);
            self.journal_from = first_dated.min(older + 1);
            (self.release_before)(self.journal_from);
        }
        Ok(0)
    }

    /// Applies all that is durable and sets a mark there, without a pace.
    fn last_checkpoint(&mut self) -> Result<(), FollowerError> {
        self.base = None;
        // The next start makes it from a base file.
        self.extracts.let_go();
        let began = Instant::now();
        let within = self.limits.stop_within;
        let late = || began.elapsed() > within;
        while !late() && self.apply_some()? > 0 {
            self.extracts.let_go();
        }
        let target = self.engine.last_seq();
        while self.rows.mark < target {
            if late() {
                tracing::info!(
                    mark = self.rows.mark,
                    "the last checkpoint would take too long; the next start replays the rest"
                );
                break;
            }
            match self.drive_rows(Instant::now(), true) {
                Driven::Wrote(_) => {}
                // sled is at work on the last batch.
                Driven::Idle(Some(until)) if self.rows.is_under_way() => {
                    std::thread::sleep(until.saturating_duration_since(Instant::now()).min(NAP));
                }
                // No sled, or it waits for better times: the start will replay more.
                Driven::Idle(_) => break,
            }
        }
        Ok(())
    }

    fn publish(&self) {
        let durable = (self.durable)();
        let applied = self.engine.last_seq();
        self.shared.applied.store(applied, Ordering::Release);
        self.shared.update(|status| {
            status.applied = applied;
            status.lag = durable.saturating_sub(applied);
            status.checkpoint = self.rows.mark;
            status.checkpoints = self.rows.checkpoints;
            status.rows = self.rows.state();
            status.rows_set_aside = self.rows.set_aside;
            status.base = self.bases.newest().unwrap_or_default();
            status.bases = self.written_bases;
            status.journal_from = self.journal_from;
            status.written_bytes = self.written_bytes;
            status.divergence = self.engine.divergence();
            status.remembered_in_files = u64::from(self.engine.counts().remembered)
                - u64::from(self.engine.records_in_memory());
        });
    }

    /// Sleeps until something is due, or until asked for something.
    fn nap(&self, now: Instant, due: &[Driven]) {
        let mut nap = NAP;
        for driven in due {
            if let Driven::Idle(Some(until)) = driven {
                nap = nap.min(until.saturating_duration_since(now));
            }
        }
        if !self.shared.stop.load(Ordering::Acquire) {
            std::thread::park_timeout(nap);
        }
    }
}

/// Applies one event to a replica, which proves on the way that it keeps the
/// invariants and that replay equals live. What does not is never stored.
pub(crate) fn apply_one(
    engine: &mut Engine,
    archive: &Archive,
    event: &Event,
    dirty: &mut Dirty,
) -> Result<(), FollowerError> {
    let next = engine.last_seq() + 1;
    if event.seq != next {
        let what = format!("it is number {}", event.seq);
        return Err(FollowerError::NoEvent { seq: next, what });
    }
    // Rows that were loaded ahead of the mark already hold what is checked.
    let check = next > engine.consistent_from();
    let checked = if engine.has_spilled() {
        archive.checked(engine, event, check)?
    } else if check {
        engine.check(event)
    } else {
        Ok(())
    };
    if let Err(breach) = checked {
        return Err(FollowerError::Breach {
            seq: next,
            what: breach.to_string(),
        });
    }
    crate::state::apply(engine, event, dirty);
    match engine.divergence() {
        Some(seq) => Err(FollowerError::Diverged(seq)),
        None => Ok(()),
    }
}

/// sled is always on a real file system.
fn rows_have_room(dirs: &Dirs, limits: &StoreOptions) -> bool {
    let parent = dirs.rows.as_deref().and_then(Path::parent);
    parent.is_some_and(|parent| {
        let parent = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        // What cannot be asked is found out by writing.
        RealDisk
            .free_bytes(parent)
            .map_or(true, |free| free >= limits.min_free_bytes)
    })
}

/// Whether so many bytes can be written without taking what the journal needs.
pub(super) fn has_room(disk: &dyn Disk, dirs: &Dirs, limits: &StoreOptions, bytes: u64) -> bool {
    // A directory that is not there yet is on the journal's file system.
    let free = disk
        .free_bytes(&dirs.bases)
        .or_else(|_| disk.free_bytes(&dirs.journal));
    free.is_ok_and(|free| free >= limits.min_free_bytes.saturating_add(bytes))
}
