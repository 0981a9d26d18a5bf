//! The one writer: stamps commands, lets the engine decide, and appends the
//! event to the journal's open group. Lives on the link runtime's thread.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gapless_engine::code::ResponseCode;
use gapless_engine::command::{Command, PostEntry, Request, Reversal, Transaction};
use gapless_engine::date::Date;
use gapless_engine::ids::{NetworkId, Seq, TimeUs};
use gapless_engine::outcome::{NightOutcome, NightRefusal, Outcome};
use gapless_engine::{Answer, BusinessDates, DateState, Engine, Event};
use gapless_journal::{Appender, DurableHandle, RoomHandle};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::backlog::Backlog;
use super::calendar::{Calendar, CalendarDay};
use super::clock::{CONFIRMED_WITHIN_US, Clock, ClockView};
use super::control::Gauges;
use super::fatal::Fatal;
use super::fetching::Fetching;
use super::link_port::{LinkPort, LinkSignal};

/// What the runner takes from the configuration.
#[derive(Clone, Copy, Debug)]
pub struct RunnerOptions {
    /// Bytes that may wait for the journal before requests are refused with 91.
    pub max_pending_journal_bytes: usize,
    /// Reversals and advices are let through up to this; above the other limit by
    /// so much that they find room when requests no longer do.
    pub max_pending_reserved_bytes: usize,
    /// The longest time that an accepted request may wait for the journal; requests
    /// that would wait longer are refused with 91. `None`: as long as it takes.
    pub max_pending_wait: Option<Duration>,
    /// Events between two attestations of the state hash.
    pub attest_every: u64,
}

/// So many bytes are enough for a group: the journal thread is told at once, so that it
/// works while the next ones are decided. Some 700 payments.
const GROUP_BYTES: usize = 64 << 10;
/// So long is spent on gathering at most, for the same reason: less than a sync takes.
const GATHER_US: TimeUs = 100;
/// So many bytes of events go to the open group at once; a group takes more.
const HAND_OVER_BYTES: usize = 64 << 10;
const _: () = assert!(HAND_OVER_BYTES + 2 * Event::MAX_BYTES <= gapless_journal::MAX_GROUP_BYTES);

/// Who is woken when a sequence has become durable.
pub(super) enum Wake {
    /// A link that has answers to write.
    Link(Rc<LinkSignal>),
    /// The asker of an administrative command.
    Job(Box<dyn FnOnce()>),
}

/// Everything that only the engine's thread touches.
pub struct Core {
    pub(super) engine: Engine,
    pub(super) appender: Appender,
    pub(super) room: RoomHandle,
    pub(super) backlog: Backlog,
    clock: Clock,
    pub(super) ticks: Ticks,
    /// The clock as it was last looked at.
    pub(super) seen: Instant,
    pub(super) options: RunnerOptions,
    attested_at: Seq,
    waiting: VecDeque<(Seq, Wake)>,
    pub(super) fatal: Fatal,
    opens_early: OpensEarly,
    calendar: Calendar,
    /// Events of one read, on their way to the open group.
    events: Vec<u8>,
    /// Bytes handed to the open group since the journal thread was last told to take it.
    gathered_bytes: usize,
    /// When the first of them were decided.
    gathered_from: TimeUs,
    /// Requests of all links that are admitted and not decided: those of a read that is
    /// being taken in, and those that wait for what is in files.
    pub(super) undecided: usize,
}

/// From when on a network may open the date after this one.
type OpensEarly = Box<dyn Fn(Date) -> TimeUs>;

/// The monotonic clock.
type Ticks = Box<dyn Fn() -> Instant>;

/// What the tasks of the engine's thread share.
pub(super) struct Shared {
    pub(super) core: RefCell<Core>,
    pub(super) durable: DurableHandle,
    /// Links have handed over events that are not on their way to the disk yet.
    pub(super) gathered: Notify,
    pub(super) stopping: CancellationToken,
    /// Networks that a connection sees to: told what they are owed by one only.
    pub(super) claims: RefCell<Vec<NetworkId>>,
    pub(super) fetching: RefCell<Fetching>,
    pub(super) gauges: Arc<Gauges>,
}

/// The engine as links see it; `!Send`, cheap to clone.
#[derive(Clone)]
pub struct EngineHandle {
    pub(super) shared: Rc<Shared>,
}

/// The journal's ends that the runner holds.
pub struct JournalEnds {
    /// Where events are appended.
    pub appender: Appender,
    /// How far the journal is durable.
    pub durable: DurableHandle,
    /// Whether there is space for more.
    pub room: RoomHandle,
}

impl EngineHandle {
    /// Takes over a recovered engine.
    pub fn new(
        engine: Engine,
        journal: JournalEnds,
        clock: Clock,
        options: RunnerOptions,
        stopping: CancellationToken,
        fatal: Fatal,
        gauges: Arc<Gauges>,
    ) -> Self {
        let attested_at = engine.last_seq();
        gauges.set_head(engine.last_seq());
        gauges.set_clock(&clock);
        let core = Core {
            engine,
            appender: journal.appender,
            room: journal.room,
            backlog: Backlog::new(options.max_pending_wait),
            clock,
            ticks: Box::new(Instant::now),
            seen: Instant::now(),
            options,
            attested_at,
            waiting: VecDeque::new(),
            fatal,
            // Never, until the bank's hours are known.
            opens_early: Box::new(|_| TimeUs::MAX),
            // Until the bank's zone is known.
            calendar: Calendar::new(CalendarDay::utc),
            events: Vec::new(),
            gathered_bytes: 0,
            gathered_from: 0,
            undecided: 0,
        };
        Self {
            shared: Rc::new(Shared {
                core: RefCell::new(core),
                durable: journal.durable,
                gathered: Notify::new(),
                stopping,
                claims: RefCell::default(),
                fetching: RefCell::default(),
                gauges,
            }),
        }
    }

    /// The port of one connection.
    #[must_use]
    pub fn connect(&self) -> LinkPort {
        LinkPort::new(Rc::clone(&self.shared))
    }

    /// Cancelled when the daemon drains: links stop reading and answer what is in flight.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.shared.stopping.clone()
    }

    /// The open business dates.
    #[must_use]
    pub fn business(&self) -> BusinessDates {
        self.shared.core.borrow().engine.business()
    }

    /// Engine time, microseconds since the Unix epoch.
    #[must_use]
    pub fn now_us(&self) -> TimeUs {
        self.shared.core.borrow_mut().now_us()
    }

    /// Says from when on networks may open the date after the closing one.
    pub fn opens_early(&self, from: impl Fn(Date) -> TimeUs + 'static) {
        self.shared.core.borrow_mut().opens_early = Box::new(from);
    }

    /// Says which calendar day it is at the bank: cards expire by it.
    pub fn calendar(&self, day_of: impl Fn(TimeUs) -> CalendarDay + 'static) {
        self.shared.core.borrow_mut().calendar = Calendar::new(day_of);
    }

    /// Takes the monotonic clock from elsewhere: a simulation has its own.
    pub fn ticks_from(&self, ticks: impl Fn() -> Instant + 'static) {
        self.shared.core.borrow_mut().ticks = Box::new(ticks);
    }

    /// Whether the clock can be trusted to fire timed commands.
    #[must_use]
    pub fn clock_is_steady(&self) -> bool {
        self.shared.core.borrow().clock.is_steady()
    }

    /// Tells by how many seconds the next cutover is overdue; 0 when it is not.
    pub(crate) fn tell_overdue(&self, overdue_s: u64) {
        self.shared.gauges.set_cutover_overdue_s(overdue_s);
    }

    /// Compares engine time with the wall clock; how far it jumped, if it did.
    pub fn look_at_wall_clock(&self, wall_us: TimeUs) -> super::clock::WallClock {
        let mut core = self.shared.core.borrow_mut();
        let now = (core.ticks)();
        let seen = core.clock.look(wall_us, now);
        self.shared.gauges.set_clock(&core.clock);
        seen
    }

    /// Engine time beside the wall clock.
    #[must_use]
    pub fn clock(&self, wall_us: TimeUs) -> ClockView {
        let mut core = self.shared.core.borrow_mut();
        ClockView {
            engine_us: core.now_us(),
            wall_us,
            is_steady: core.clock.is_steady(),
            jumps: core.clock.jumps(),
        }
    }

    /// Takes the wall clock for right, if it shows what somebody has named; whether
    /// it does.
    pub fn confirm_clock(&self, named_us: TimeUs, wall_us: TimeUs) -> bool {
        if wall_us.abs_diff(named_us) > CONFIRMED_WITHIN_US {
            return false;
        }
        let mut core = self.shared.core.borrow_mut();
        let engine_us = core.now_us();
        let now = (core.ticks)();
        core.clock.confirm(wall_us, now);
        self.shared.gauges.set_clock(&core.clock);
        tracing::warn!(wall_us, engine_us, "the wall clock is confirmed");
        true
    }

    /// Runs administrative commands (at most 256) and hands their events to the journal.
    pub fn put(&self, requests: &[Request]) -> (Vec<Answer>, Seq) {
        let mut core = self.shared.core.borrow_mut();
        let answers = requests
            .iter()
            .map(|request| core.execute(request))
            .collect();
        core.flush(&self.shared.gauges);
        (answers, core.engine.last_seq())
    }

    /// Runs a command of the night and hands its event to the journal.
    pub fn night(&self, request: &Request) -> (super::Night, Seq) {
        let mut core = self.shared.core.borrow_mut();
        let before = core.engine.last_seq();
        let answer = core.execute(request);
        if core.engine.last_seq() != before {
            tracing::info!(command = ?request, state = ?core.engine.business().state, "business date");
            // What is written of these states is proven before anybody builds on it.
            if matches!(request, Request::Freeze { .. } | Request::Seal { .. }) {
                core.attest();
            }
        }
        core.flush(&self.shared.gauges);
        let dates = core.engine.business();
        let outcome = night_outcome(answer, dates.state);
        (super::Night { outcome, dates }, core.engine.last_seq())
    }

    /// Posts entries of the batch (at most 256), unless requests would be refused
    /// for want of space now: then payments need what there is. `None` as well while
    /// what was posted before is fetched from files.
    pub(crate) fn entries(
        &self,
        date: Date,
        entries: &[PostEntry],
    ) -> (Option<super::Entries>, Seq) {
        let mut core = self.shared.core.borrow_mut();
        if !core.has_room_for_entries(entries.len()) {
            return (None, core.engine.last_seq());
        }
        let mut outcomes = Vec::with_capacity(entries.len());
        for (at, entry) in entries.iter().enumerate() {
            let answer = core.execute(&Request::PostEntry(*entry));
            if answer == Answer::Wanting {
                // Those before it are posted, and repeat their first result.
                let rest = entries.iter().skip(at + 1);
                let rest = rest.map(|entry| Request::PostEntry(*entry));
                let wanted = core.wanted(rest);
                core.flush(&self.shared.gauges);
                let seq = core.engine.last_seq();
                drop(core);
                self.shared.fetch(wanted, None);
                return (None, seq);
            }
            outcomes.push(night_outcome(answer, core.engine.business().state));
        }
        core.flush(&self.shared.gauges);
        let told = super::Entries {
            outcomes,
            totals: core.engine.entries(date),
            dates: core.engine.business(),
        };
        (Some(told), core.engine.last_seq())
    }

    /// Looks at the engine, between two commands.
    pub fn look<R>(&self, f: impl FnOnce(&Engine) -> R) -> R {
        f(&self.shared.core.borrow().engine)
    }

    /// Waits until everything up to `seq` is durable.
    pub(crate) async fn durable_at(&self, seq: Seq) {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.shared.wake_at(
            seq,
            Wake::Job(Box::new(move || {
                // The asker may have gone away; nothing is owed to it then.
                let _ = sender.send(());
            })),
        );
        let _ = receiver.await;
    }
}

/// Another answer would be a fault of ours, and is told as a refusal.
const fn night_outcome(answer: Answer, state: DateState) -> NightOutcome {
    match answer {
        Answer::Night(outcome) => outcome,
        Answer::Message(_) | Answer::Put(_) | Answer::Done | Answer::Wanting => {
            NightOutcome::Refused {
                why: NightRefusal::Malfunction,
                state,
            }
        }
    }
}

impl Shared {
    /// Wakes now or when `seq` has become durable.
    pub(super) fn wake_at(&self, seq: Seq, wake: Wake) {
        self.core.borrow_mut().waiting.push_back((seq, wake));
        // It may have become durable before it was queued.
        self.release();
    }

    /// Wakes whoever waited for what is durable by now.
    pub(super) fn release(&self) {
        let durable = self.durable.get();
        self.core.borrow_mut().heed_backlog(durable);
        loop {
            let wake = {
                let waiting = &mut self.core.borrow_mut().waiting;
                match waiting.front() {
                    Some((seq, _)) if *seq <= durable => waiting.pop_front(),
                    _ => None,
                }
            };
            // Woken outside the borrow: a job may come back to the core.
            match wake {
                Some((_, Wake::Link(signal))) => signal.wake(),
                Some((_, Wake::Job(done))) => done(),
                None => return,
            }
        }
    }
}

impl Core {
    /// Decides, checks, applies, and appends the event to the open group.
    pub(super) fn execute(&mut self, request: &Request) -> Answer {
        let time_us = self.now_us();
        let answer = self.decide_at(time_us, request);
        self.hand_over();
        answer
    }

    fn decide_at(&mut self, time_us: TimeUs, request: &Request) -> Answer {
        let command = Command {
            time_us,
            day: self.calendar.at(time_us),
            request: *request,
        };
        self.engine.execute(&command, &mut self.events)
    }

    /// Decides what one read of a socket brought, in order: with one look at the
    /// clock, and with one hold of the journal's lock, which its thread must not be
    /// kept waiting for while the engine decides.
    ///
    /// Returns the place of the first that needs what is in files; it and those behind it
    /// are not decided. Commands stay where they are: each is some 240 bytes.
    pub(super) fn execute_read(
        &mut self,
        read: &mut [(u32, Command)],
        mut told: impl FnMut(u32, Outcome),
    ) -> Option<usize> {
        let time_us = self.now_us();
        let day = self.calendar.at(time_us);
        for (at, (tag, command)) in read.iter_mut().enumerate() {
            (command.time_us, command.day) = (time_us, day);
            self.mind_networks(&mut command.request, time_us);
            let outcome = match self.engine.execute(command, &mut self.events) {
                Answer::Message(outcome) => outcome,
                Answer::Night(outcome) => self.cutover_outcome(outcome),
                // Only messages come from links; another answer would be a fault of ours.
                Answer::Put(_) | Answer::Done => self.malfunction(),
                Answer::Wanting => {
                    self.hand_over();
                    return Some(at);
                }
            };
            told(*tag, outcome);
            if self.events.len() >= HAND_OVER_BYTES {
                self.hand_over();
            }
        }
        self.hand_over();
        None
    }

    /// Appends the events that were applied to the open group.
    ///
    /// An event that was applied and that the journal then doesn't take leaves
    /// memory ahead of the log: nothing that was decided since may be answered,
    /// so the process stops, and recovers from the log.
    fn hand_over(&mut self) {
        if self.events.is_empty() {
            return;
        }
        let last = self.engine.last_seq();
        let appended = self
            .appender
            .append(last, |group| group.extend_from_slice(&self.events));
        if self.gathered_bytes == 0 {
            self.gathered_from = self.engine.last_time_us();
        }
        self.gathered_bytes += self.events.len();
        self.events.clear();
        if let Err(error) = appended {
            self.fatal
                .happened(format!("event {last} could not be journaled: {error}"));
        }
    }

    /// What networks have a say in, before their message is decided: their cutover,
    /// and their first message of the next date, open that date when it is near enough.
    fn mind_networks(&mut self, request: &mut Request, now_us: TimeUs) {
        match request {
            Request::NetworkCutover { not_before_us, .. } => *not_before_us = self.not_before_us(),
            Request::Transaction(Transaction { settlement, .. })
            | Request::Reversal(Reversal { settlement, .. }) => {
                if let Some(sent) = *settlement
                    && let DateState::Open { date } = self.engine.business().state
                    && date.next().month_day() == sent
                {
                    let not_before_us = self.not_before_us();
                    // Refused while it is too early: the message finds the state as it is.
                    if now_us >= not_before_us {
                        let request = Request::OpenEarly {
                            date,
                            not_before_us,
                        };
                        self.decide_at(now_us, &request);
                    }
                }
            }
            _ => {}
        }
    }

    /// Engine time.
    pub(super) fn now_us(&mut self) -> TimeUs {
        self.seen = (self.ticks)();
        self.clock.at(self.seen)
    }

    /// Timed steps wait while the clock is not to be trusted.
    fn not_before_us(&self) -> TimeUs {
        if self.clock.is_steady() {
            (self.opens_early)(self.engine.business().closing)
        } else {
            TimeUs::MAX
        }
    }

    /// The answer to a network's cutover: 00, or 12 when it cannot have that date.
    fn cutover_outcome(&self, outcome: NightOutcome) -> Outcome {
        let (code, seq) = match outcome {
            NightOutcome::Done { seq, .. } => (ResponseCode::Approved, seq),
            NightOutcome::Refused { why, .. } => {
                tracing::warn!(%why, "a network's cutover is refused");
                (ResponseCode::InvalidTransaction, 0)
            }
        };
        Outcome {
            code,
            seq,
            ..self.malfunction()
        }
    }

    /// What a message is answered that the engine took for something else.
    fn malfunction(&self) -> Outcome {
        let date = self.engine.business().default;
        Outcome {
            code: ResponseCode::Malfunction,
            seq: 0,
            durable_at: self.engine.last_seq(),
            business_date: date,
            settlement_date: date,
            balances: None,
            is_repeat: false,
        }
    }

    /// Journals a hash of the whole state, for the follower and each replay to compare.
    fn attest(&mut self) {
        self.execute(&Request::Attest);
        self.attested_at = self.engine.last_seq();
    }

    const fn attest_is_due(&self) -> bool {
        self.engine.last_seq() - self.attested_at >= self.options.attest_every
    }

    /// Hands what was appended to the journal thread.
    pub(super) fn flush(&mut self, gauges: &Gauges) {
        if self.attest_is_due() {
            self.attest();
        }
        gauges.set_head(self.engine.last_seq());
        self.kick();
    }

    /// As [`Self::flush`], for what one read of a link brought: whether all of it is on its
    /// way, since it was enough for a group or nothing. Else others that are ready now may
    /// join it.
    pub(super) fn flush_read(&mut self, gauges: &Gauges) -> bool {
        gauges.set_head(self.engine.last_seq());
        if self.gathered_bytes == 0 {
            return true;
        }
        let now_us = self.engine.last_time_us();
        let gathering_us = now_us.saturating_sub(self.gathered_from);
        let enough =
            self.gathered_bytes >= GROUP_BYTES || gathering_us >= GATHER_US || self.attest_is_due();
        if enough {
            self.flush(gauges);
        }
        enough
    }

    /// Tells the journal thread to take what has gathered.
    pub(super) fn kick(&mut self) {
        self.gathered_bytes = 0;
        self.appender.kick();
    }
}
