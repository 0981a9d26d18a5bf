//! The engine as other threads see it (admin, import): bounded jobs that run
//! between payments and are answered when what they saw is durable.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use gapless_engine::command::{PostEntry, Request};
use gapless_engine::date::Date;
use gapless_engine::ids::{Seq, TimeUs};
use gapless_engine::outcome::{NightOutcome, PutOutcome, PutRefusal};
use gapless_engine::{Answer, BusinessDates, Engine, EntrySums};
use gapless_journal::{DurableHandle, Room, RoomHandle};
use tokio::sync::{mpsc, oneshot};

use super::clock::{self, Clock, ClockView};
use super::core::{EngineHandle, Wake};

/// Rows that one job may touch, so that payments wait for microseconds only.
pub const MAX_ROWS: usize = 256;

/// Jobs that may wait; askers beyond it wait for a place.
const MAX_JOBS: usize = 64;

type Job = Box<dyn FnOnce(&EngineHandle) + Send>;

/// The daemon has stopped, or will not come up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the daemon is stopping")]
pub struct Stopped;

/// Where the daemon is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Reading base, rows and journal.
    Recovering = 0,
    /// Links are open.
    Ready = 1,
    /// Answers what is in flight, takes nothing new.
    Draining = 2,
}

/// Figures that any thread may read at any time.
#[derive(Debug, Default)]
pub struct Gauges {
    phase: AtomicU8,
    head: AtomicU64,
    clock_jumps: AtomicU64,
    clock_is_off: AtomicBool,
    cutover_overdue_s: AtomicU64,
    fetched: AtomicU64,
    unreadable: AtomicU64,
}

impl Gauges {
    pub(super) fn set_cutover_overdue_s(&self, overdue_s: u64) {
        self.cutover_overdue_s.store(overdue_s, Ordering::Relaxed);
    }

    pub(super) fn add_fetched(&self, blocks: u64, unreadable: u64) {
        self.fetched.fetch_add(blocks, Ordering::Relaxed);
        self.unreadable.fetch_add(unreadable, Ordering::Relaxed);
    }

    /// Blocks of remembered transactions that were fetched from files since start, and
    /// those that could not be read.
    #[must_use]
    pub fn fetched(&self) -> (u64, u64) {
        (
            self.fetched.load(Ordering::Relaxed),
            self.unreadable.load(Ordering::Relaxed),
        )
    }

    pub(super) fn set_head(&self, seq: Seq) {
        self.head.store(seq, Ordering::Relaxed);
    }

    pub(super) fn set_clock(&self, clock: &Clock) {
        self.clock_jumps.store(clock.jumps(), Ordering::Relaxed);
        self.clock_is_off
            .store(!clock.is_steady(), Ordering::Relaxed);
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// Where the daemon is in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Recovering,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }

    /// Sequence of the newest event decided.
    #[must_use]
    pub fn head(&self) -> Seq {
        self.head.load(Ordering::Relaxed)
    }
}

/// What [`Control::status`] shows.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// Where the daemon is in its life.
    pub phase: Phase,
    /// Newest event decided.
    pub head: Seq,
    /// Newest event that is durable.
    pub durable: Seq,
    /// How the follower is doing.
    pub follower: Following,
    /// Space for more.
    pub room: Room,
    /// Jumps of the wall clock since start.
    pub clock_jumps: u64,
    /// The wall clock is not believed: timed steps wait.
    pub clock_is_off: bool,
    /// Seconds since the next cutover was due; 0 when it is not due yet.
    pub cutover_overdue_s: u64,
    /// See [`Gauges::fetched`].
    pub fetched: (u64, u64),
}

/// The follower, as whoever started it tells of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Following {
    /// Newest event that it has applied.
    pub applied: Seq,
    /// Newest event that its rows on disk hold.
    pub checkpoint: Seq,
    /// Newest event of its newest base file.
    pub base: Seq,
    /// It has stopped, or its state differs from the live one: it stores nothing
    /// more, and the journal grows until somebody looks into it.
    pub is_faulty: bool,
}

/// What a command of the night came to.
#[derive(Clone, Copy, Debug)]
pub struct Night {
    /// Done, now or before, or refused.
    pub outcome: NightOutcome,
    /// The dates after it.
    pub dates: BusinessDates,
}

/// What became of some of the batch's entries.
#[derive(Clone, Debug)]
pub struct Entries {
    /// In their order.
    pub outcomes: Vec<NightOutcome>,
    /// All entries of the date so far.
    pub totals: EntrySums,
    /// The dates after them.
    pub dates: BusinessDates,
}

/// Handles that exist once recovery is done.
struct Recovered {
    durable: DurableHandle,
    room: RoomHandle,
    following: Box<dyn Fn() -> Following + Send + Sync>,
}

/// The engine as other threads see it. Exists before recovery is done, so that
/// readiness can be asked for; until then reads and imports wait.
#[derive(Clone)]
pub struct Control {
    jobs: mpsc::Sender<Job>,
    gauges: Arc<Gauges>,
    recovered: Arc<OnceLock<Recovered>>,
}

/// The runner's end of [`Control`].
pub(crate) struct Jobs(mpsc::Receiver<Job>);

impl Control {
    /// The two ends.
    pub(crate) fn new() -> (Self, Jobs) {
        let (sender, receiver) = mpsc::channel(MAX_JOBS);
        let control = Self {
            jobs: sender,
            gauges: Arc::default(),
            recovered: Arc::default(),
        };
        (control, Jobs(receiver))
    }

    /// Recovery is done: status can be told from now on.
    pub(crate) fn recovered(
        &self,
        durable: DurableHandle,
        room: RoomHandle,
        following: impl Fn() -> Following + Send + Sync + 'static,
    ) {
        // Set once per daemon; a second time would be the same handles.
        let _ = self.recovered.set(Recovered {
            durable,
            room,
            following: Box::new(following),
        });
    }

    /// Figures shared with the runner.
    pub(crate) fn gauges(&self) -> Arc<Gauges> {
        Arc::clone(&self.gauges)
    }

    /// Whether recovery is done and links are open.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.gauges.phase() == Phase::Ready
    }

    /// Where the daemon is.
    #[must_use]
    pub fn status(&self) -> Status {
        let recovered = self.recovered.get();
        Status {
            phase: self.gauges.phase(),
            head: self.gauges.head(),
            durable: recovered.map_or(0, |ends| ends.durable.get()),
            follower: recovered.map_or_else(Following::default, |ends| (ends.following)()),
            room: recovered.map_or(Room::Normal, |ends| ends.room.room()),
            clock_jumps: self.gauges.clock_jumps.load(Ordering::Relaxed),
            clock_is_off: self.gauges.clock_is_off.load(Ordering::Relaxed),
            cutover_overdue_s: self.gauges.cutover_overdue_s.load(Ordering::Relaxed),
            fetched: self.gauges.fetched(),
        }
    }

    /// Reads from the live engine, between two payments. Sees every answer given
    /// before it was asked, and is answered when all that it saw is durable. `f`
    /// must be bounded: at most [`MAX_ROWS`] rows.
    ///
    /// # Errors
    /// [`Stopped`] when the daemon has stopped.
    pub async fn read<R: Send + 'static>(
        &self,
        f: impl FnOnce(&Engine) -> R + Send + 'static,
    ) -> Result<R, Stopped> {
        self.run(move |engine| engine.look(|core| (f(core), core.last_seq())))
            .await
    }

    /// Opens or changes accounts and cards, at most [`MAX_ROWS`] of them; answered
    /// in their order, when they are durable.
    ///
    /// # Errors
    /// [`Stopped`] when the daemon has stopped; rows may have had their effect.
    pub async fn put(&self, rows: Vec<Request>) -> Result<Vec<PutOutcome>, Stopped> {
        debug_assert!(rows.len() <= MAX_ROWS);
        self.run(move |engine| {
            let (answers, seq) = engine.put(&rows);
            let outcomes = answers.into_iter().map(put_outcome).collect();
            (outcomes, seq)
        })
        .await
    }

    /// A command of the night (cutover, freeze, seal): what it came to and the dates
    /// after it, when that is durable.
    ///
    /// # Errors
    /// [`Stopped`] when the daemon has stopped; the command may have had its effect.
    pub async fn night(&self, request: Request) -> Result<Night, Stopped> {
        self.run(move |engine| engine.night(&request)).await
    }

    /// Posts entries of one date, at most [`MAX_ROWS`] of them; answered in their
    /// order, when they are durable. `None`, and no effect, while payments need the
    /// journal for themselves: ask again.
    ///
    /// # Errors
    /// [`Stopped`] when the daemon has stopped; entries may have had their effect.
    pub async fn entries(
        &self,
        date: Date,
        entries: Vec<PostEntry>,
    ) -> Result<Option<Entries>, Stopped> {
        debug_assert!(entries.len() <= MAX_ROWS);
        self.run(move |engine| engine.entries(date, &entries)).await
    }

    /// Engine time beside the wall clock, after somebody has named the time if
    /// `named_us` says so; whether the wall clock shows that.
    ///
    /// # Errors
    /// [`Stopped`] when the daemon has stopped.
    pub async fn clock(&self, named_us: Option<TimeUs>) -> Result<(bool, ClockView), Stopped> {
        self.run(move |engine| {
            let wall_us = clock::wall_us();
            let fits = named_us.is_none_or(|named_us| engine.confirm_clock(named_us, wall_us));
            ((fits, engine.clock(wall_us)), engine.look(Engine::last_seq))
        })
        .await
    }

    async fn run<R: Send + 'static>(
        &self,
        job: impl FnOnce(&EngineHandle) -> (R, Seq) + Send + 'static,
    ) -> Result<R, Stopped> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |engine| {
            let (result, seq) = job(engine);
            let answer = Box::new(move || {
                // An asker that has gone away is owed nothing.
                let _ = sender.send(result);
            });
            engine.shared.wake_at(seq, Wake::Job(answer));
        });
        self.jobs.send(job).await.map_err(|_| Stopped)?;
        receiver.await.map_err(|_| Stopped)
    }
}

/// An administrative request answered as a message would be a fault of ours;
/// it is told as a refusal rather than as success.
fn put_outcome(answer: Answer) -> PutOutcome {
    match answer {
        Answer::Put(outcome) => outcome,
        Answer::Done => PutOutcome::Unchanged,
        Answer::Message(_) | Answer::Night(_) | Answer::Wanting => {
            PutOutcome::Refused(PutRefusal::Malfunction)
        }
    }
}

/// Runs the jobs of other threads, one at a time, payments between them.
pub(crate) async fn run_jobs(engine: EngineHandle, mut jobs: Jobs) {
    while let Some(job) = jobs.0.recv().await {
        job(&engine);
        tokio::task::yield_now().await;
    }
}
