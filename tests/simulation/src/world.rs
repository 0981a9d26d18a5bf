//! The simulated world: one queue of things that happen, in the order of their time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use gapless_journal::sim::SimDisk;

use crate::auditor::model::{Dates, Day, Effect};
use crate::auditor::{Auditor, Expected, Failure, failure};
use crate::bank::Batch;
use crate::coverage::{Coverage, FETCHED};
use crate::message::Msg;
use crate::node::{Node, Ticks};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::traffic::{Sent, Traffic};

/// One second, in microseconds.
pub const S: u64 = 1_000_000;

/// Something that happens.
#[derive(Clone, Debug)]
pub enum Happening {
    /// Peers send something.
    Act,
    /// Messages reach the switch on a connection: what was sent, and how it reads now.
    Arrive(u64, Vec<(usize, Msg)>),
    /// An answer reaches its peer.
    Answer(u64, usize, u8),
    /// A peer has waited long enough.
    TimeOut(usize),
    /// The journal thread's turn.
    Commit,
    /// The daemon looks at its clocks.
    Tick,
    /// A network's date ends.
    NetworkDay(usize),
    /// The bank's batch does its next step.
    Batch(Day),
    /// Somebody gives a command of the night.
    Operator,
    /// A network compares the figures of a date that has ended.
    Reconcile(usize, Day),
    /// A peer signs on again.
    SignOn(usize),
    /// A connection is made.
    Connect(usize),
    /// The switch is started.
    Start,
    /// Something goes wrong.
    Trouble,
    /// What went wrong with the disk or the clock is over.
    Mended,
}

/// A link's connection.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// Its number; 0 while there is none.
    pub id: u64,
    /// Whether transactions are taken from it.
    pub signed: bool,
    /// Requests whose answers are still to come.
    pub waiting: u32,
    /// What a network stood in for while there was none.
    pub stored: Vec<usize>,
}

/// The world of one seed.
pub struct World {
    pub(crate) plan: Plan,
    pub(crate) rng: Rng,
    pub(crate) traffic: Traffic,
    pub(crate) disk: SimDisk,
    pub(crate) ticks: Ticks,
    /// Time that passes, whatever clocks show.
    pub(crate) now_us: u64,
    /// How far the wall clock is off.
    pub(crate) wall_off_us: i64,
    /// When engine time was last taken from somewhere, and what it was then.
    pub(crate) clock: (u64, u64),
    pub(crate) node: Option<Node>,
    /// Starts of the switch.
    pub(crate) lives: u64,
    pub(crate) down_since: Option<u64>,
    pub(crate) auditor: Auditor,
    /// What the runner attested last.
    pub(crate) attested_at: u64,
    /// The newest event read back from the journal's files.
    pub(crate) read_to: u64,
    /// State hashes by sequence.
    pub(crate) hashes: BTreeMap<u64, u64>,
    pub(crate) connections: Vec<Connection>,
    last_connection: u64,
    /// What the core has taken, by connection and tag.
    pub(crate) pending: BTreeMap<(u64, u32), (usize, Expected)>,
    pub(crate) sent: Vec<Sent>,
    /// Networks' settlement dates, as they see them.
    pub(crate) network_days: Vec<Day>,
    pub(crate) batch: Option<Batch>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    scheduled: u64,
    pub(crate) commit_due: bool,
    /// Things that went wrong and are to be mended.
    pub(crate) disk_troubled: bool,
    /// The next commit with something in it will not end.
    pub(crate) doomed: bool,
    pub(crate) coverage: Coverage,
    pub(crate) trace: Option<Vec<String>>,
    steps: u64,
}

/// What a run without a failure comes to.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was exercised.
    pub coverage: Coverage,
    /// Things that happened.
    pub steps: u64,
    /// A hash of the end: equal for the same seed.
    pub hash: u64,
    /// Every step, if they were written down.
    pub trace: Vec<String>,
}

/// A run with a failure.
#[derive(Clone, Debug, thiserror::Error)]
#[error("step {step}: {failure}")]
pub struct Failed {
    /// The seed.
    pub seed: u64,
    /// Where.
    pub step: u64,
    /// What.
    pub failure: Failure,
    /// The last steps, if they were written down.
    pub trace: Vec<String>,
}

/// Runs a seed. With `trace`, what happens is written down.
///
/// # Errors
/// The first thing that does not hold.
pub fn run(seed: u64, steps: u64, trace: bool) -> Result<Report, Box<Failed>> {
    let mut world = World::new(seed, trace);
    let result = world.run(steps);
    let (coverage, steps) = (world.coverage.clone(), world.steps);
    match result {
        Ok(hash) => Ok(Report {
            coverage,
            steps,
            hash,
            trace: world.trace.take().unwrap_or_default(),
        }),
        Err(failure) => Err(Box::new(Failed {
            seed,
            step: steps,
            failure,
            trace: world.trace.take().unwrap_or_default(),
        })),
    }
}

impl World {
    fn new(seed: u64, trace: bool) -> Self {
        let plan = Plan::new(seed);
        let start_us = plan.start_us;
        let today = plan.hours.today(start_us);
        let ticks = Ticks::default();
        ticks.set(0);
        let mut world = Self {
            rng: Rng::new(seed, 3),
            traffic: Traffic::new(seed),
            disk: SimDisk::new(seed),
            ticks,
            now_us: start_us,
            wall_off_us: 0,
            clock: (0, 0),
            node: None,
            lives: 0,
            down_since: None,
            auditor: Auditor::default(),
            attested_at: 0,
            read_to: 0,
            hashes: BTreeMap::new(),
            connections: vec![Connection::default(); plan.links.len()],
            last_connection: 0,
            pending: BTreeMap::new(),
            sent: Vec::new(),
            network_days: vec![today; plan.networks.len()],
            batch: None,
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            scheduled: 0,
            commit_due: false,
            disk_troubled: false,
            doomed: false,
            coverage: Coverage::default(),
            trace: trace.then(Vec::new),
            steps: 0,
            plan,
        };
        world.after(0, Happening::Start);
        world.after(S, Happening::Act);
        world.after(10 * S, Happening::Operator);
        world.after(5 * S, Happening::Trouble);
        for network in 0..world.plan.networks.len() {
            world.next_network_day(network);
        }
        world
    }

    fn run(&mut self, steps: u64) -> Result<u64, Failure> {
        while self.steps < steps {
            let Some(Reverse((at_us, id))) = self.queue.pop() else {
                break;
            };
            let Some(happening) = self.happenings.remove(&id) else {
                continue;
            };
            self.now_us = self.now_us.max(at_us);
            self.ticks.set(self.now_us - self.plan.start_us);
            self.steps += 1;
            self.tell(|world| format!("{happening:?}, {:?}", world.auditor.model.dates));
            self.step(happening)?;
            self.look_for_batch();
        }
        self.finish()
    }

    fn step(&mut self, happening: Happening) -> Result<(), Failure> {
        match happening {
            Happening::Act => self.act(),
            Happening::Arrive(connection, messages) => self.arrive(connection, messages),
            Happening::Answer(connection, sent, code) => {
                self.answered(connection, sent, code);
                Ok(())
            }
            Happening::TimeOut(sent) => {
                self.time_out(sent);
                Ok(())
            }
            Happening::Commit => {
                self.commit_due = false;
                if self.doomed && self.auditor.model.seq > self.auditor.durable {
                    return self.crash_in_commit();
                }
                self.commit()
            }
            Happening::Tick => {
                self.tick()?;
                self.schedule_tick();
                Ok(())
            }
            Happening::NetworkDay(network) => {
                self.network_day(network);
                Ok(())
            }
            Happening::Batch(day) => self.batch_step(day),
            Happening::Operator => self.operator(),
            Happening::Reconcile(network, day) => {
                self.reconcile(network, day);
                Ok(())
            }
            Happening::SignOn(link) => {
                self.manage(link, 1);
                Ok(())
            }
            Happening::Connect(link) => {
                self.connect(link);
                Ok(())
            }
            Happening::Start => self.start(),
            Happening::Trouble => self.trouble(),
            Happening::Mended => {
                self.mend();
                Ok(())
            }
        }
    }

    /// Has something happen in so many microseconds.
    pub(crate) fn after(&mut self, us: u64, happening: Happening) {
        self.at(self.now_us + us, happening);
    }

    /// Has something happen at a time.
    pub(crate) fn at(&mut self, at_us: u64, happening: Happening) {
        self.scheduled += 1;
        self.happenings.insert(self.scheduled, happening);
        self.queue.push(Reverse((at_us, self.scheduled)));
    }

    /// Writes down what happens, if anybody wants to know.
    pub(crate) fn tell(&mut self, what: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let line = format!(
                "{:>6} {} {}",
                self.steps,
                crate::auditor::calendar::transmission(self.now_us),
                what(self)
            );
            if let Some(trace) = &mut self.trace {
                trace.push(line);
            }
        }
    }

    /// What the wall clock shows.
    pub(crate) fn wall_us(&self) -> u64 {
        self.now_us.saturating_add_signed(self.wall_off_us)
    }

    /// A number for a connection.
    pub(crate) fn new_connection(&mut self) -> u64 {
        self.last_connection += 1;
        self.last_connection
    }

    /// The next look at the clocks: soon after something is due, or after a while.
    pub(crate) fn schedule_tick(&mut self) {
        let hours = &self.plan.hours;
        let model = &self.auditor.model;
        let closing = model.dates.closing();
        let due = match model.dates {
            Dates::Open(_) | Dates::Early(_) => Some(hours.cutover_us(closing)),
            Dates::Grace(_) => model
                .days
                .get(&closing)
                .and_then(|day| day.cutover_us)
                .map(|us| us + hours.grace_s * S),
            Dates::Frozen(_) => None,
        };
        let jitter = self.rng.below(S);
        let later = self.now_us + self.rng.within(30, 1_500) * S * self.plan.sparse;
        let at = due
            .map(|us| us + jitter)
            .filter(|us| *us > self.now_us)
            .map_or(later, |us| us.min(later));
        self.at(at, Happening::Tick);
    }

    pub(crate) fn next_network_day(&mut self, network: usize) {
        let due = self.plan.hours.cutover_us(self.network_days[network]);
        let at = due.saturating_add_signed(self.plan.networks[network].offset_s * S as i64);
        self.at(at.max(self.now_us), Happening::NetworkDay(network));
    }

    /// The batch begins when the date is frozen, soon or very late.
    fn look_for_batch(&mut self) {
        let Dates::Frozen(day) = self.auditor.model.dates else {
            return;
        };
        if self.batch.as_ref().is_some_and(|batch| batch.day == day) {
            return;
        }
        let wait_s = match self.rng.below(12) {
            0 => 25 * 3_600,
            1 => 2 * 3_600,
            _ => 1 + self.rng.below(120),
        };
        self.batch = Some(Batch::new(&mut self.rng, &self.plan, day));
        self.after(wait_s * S, Happening::Batch(day));
    }

    /// The core took something outside of messages.
    pub(crate) fn happened(&mut self, effect: Effect) {
        self.auditor.happened(effect);
    }

    /// The runner attests every so many events, at the end of what it took.
    pub(crate) fn attest(&mut self) {
        if self.auditor.model.seq - self.attested_at >= self.plan.attest_every {
            self.attest_now();
        }
    }

    pub(crate) fn attest_now(&mut self) {
        self.auditor.happened(Effect::Attest);
        self.attested_at = self.auditor.model.seq;
    }

    /// After each step that the core had a part in.
    pub(crate) fn compare(&mut self) -> Result<(), Failure> {
        let Some(node) = &self.node else {
            return Ok(());
        };
        node.look(|engine| self.auditor.compare(engine))?;
        let (seq, hash) = node.look(|engine| (engine.last_seq(), engine.state_hash()));
        self.hashes.insert(seq, hash);
        self.commit_soon();
        Ok(())
    }

    /// The journal thread wakes when something gathered.
    pub(crate) fn commit_soon(&mut self) {
        if self.commit_due || self.auditor.model.seq <= self.auditor.durable {
            return;
        }
        self.commit_due = true;
        let sync_us = match self.rng.below(200) {
            0 => self.rng.within(1, 20) * S,
            1..=20 => self.rng.within(5_000, 200_000),
            _ => self.rng.within(150, 5_000),
        };
        self.after(sync_us, Happening::Commit);
    }

    fn finish(&mut self) -> Result<u64, Failure> {
        self.disk.disarm();
        self.disk.set_capacity(None);
        if self.node.is_none() {
            self.start()?;
        }
        if self.node.is_none() {
            return failure(9, "it does not start on a good disk");
        }
        self.commit()?;
        self.audit()?;
        self.lose(false);
        self.start()?;
        self.audit()?;
        self.verify()?;
        let Some(node) = &self.node else {
            return failure(9, "it does not start again");
        };
        self.coverage.add(FETCHED, node.fetched());
        let rolled = node.look(gapless_engine::Engine::rolled_forward);
        self.coverage.add("rolled forward", rolled);
        Ok(node.look(gapless_engine::Engine::state_hash))
    }
}
