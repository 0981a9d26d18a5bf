//! A run against a host, in an open loop (or a closed one): threads, each with a
//! runtime of its own and a share of the connections, and a look at the whole ten
//! times a second.
//!
//! ```no_run
//! use std::time::Duration;
//! use gapless_loadtest::{open_loop, plan::Plan};
//!
//! let address = "127.0.0.1:8583".parse()?;
//! let plan = Plan::open(address, 2_000, Duration::from_secs(10));
//! let control = open_loop::Control::new(&plan);
//! let outcome = open_loop::run(&plan, &control, |now| {
//!     println!("{} answered, p99 {:?} us", now.sums.answered_all(), now.p99_us);
//! })?;
//! println!("p99.9 {} ns", outcome.total()?.latency_ns(0.999));
//! # Ok::<(), anyhow::Error>(())
//! ```

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use tokio::task::LocalSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::board::Board;
pub use crate::board::Snapshot;
use crate::connection::{self, Connection, Shared};
use crate::cpu;
use crate::ledger::Ledger;
use crate::pace::Alarm;
use crate::phases::WARM_UP;
use crate::plan::{Load, Plan};
use crate::request;
use crate::rng::Rng;
use crate::schedule::{Arrivals, ns_of};
use crate::stats::{Counts, Stats, Wire};
use crate::stream::Stream;
use crate::tally::{PUBLISH_EVERY, Tally};
use crate::timeline::Timeline;

/// A hand on a run from another thread.
#[derive(Clone)]
pub struct Control(Arc<Board>);

impl Control {
    /// For a run of this plan; for one run only.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self(Arc::new(Board::new(
            plan.phases(),
            plan.threads,
            plan.slice,
        )))
    }

    /// The next phase begins now: the night, or what follows it. Without effect
    /// when there is none.
    pub fn mark(&self) {
        self.0.phases.mark(self.0.now_ns());
    }

    /// Nothing more is sent; the run ends when what is in flight is answered or
    /// given up.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// A look at the run, as its caller gets them.
    #[must_use]
    pub fn look(&self) -> Snapshot {
        self.0.snapshot(None)
    }

    /// How long the run has been under way; zero before it began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.0.now_ns())
    }

    /// When the run began; before that, now.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.0.began()
    }
}

/// A part of a run, judged apart.
#[derive(Clone, Debug)]
pub struct Phase {
    /// `warm-up`, `measured`, `before`, `night`, `after`, or a step's rate.
    pub label: String,
    /// Begin and end since the run began; `None`: it never began.
    pub span_ns: Option<(u64, u64)>,
    /// What became of the requests that were to be sent in it.
    pub stats: Stats,
}

impl Phase {
    /// How long it was.
    #[must_use]
    pub fn lasted(&self) -> Duration {
        let (begin, end) = self.span_ns.unwrap_or_default();
        Duration::from_nanos(end.saturating_sub(begin))
    }
}

/// What a run brought.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its phases, in order.
    pub phases: Vec<Phase>,
    /// What happened to connections.
    pub wire: Wire,
    /// Its own books, if the plan asked for them.
    pub ledger: Ledger,
    /// What happened when.
    pub timeline: Timeline,
    /// All phases together, the warm-up too.
    pub sums: Counts,
    /// How long it was sending.
    pub sending: Duration,
    /// From the beginning until nothing was in flight.
    pub elapsed: Duration,
    /// Processor time that the generator used, all its threads together.
    pub cpu: Duration,
    /// Digits of DE 39 in the dialect.
    pub code_digits: usize,
}

impl Outcome {
    /// All phases but the warm-up together.
    ///
    /// # Errors
    /// None: all histograms have the same bounds.
    pub fn total(&self) -> anyhow::Result<Stats> {
        let mut total = Stats::new()?;
        for phase in self.phases.iter().filter(|phase| phase.label != WARM_UP) {
            total.add(&phase.stats)?;
        }
        Ok(total)
    }

    /// How long all phases but the warm-up lasted together.
    #[must_use]
    pub fn measured(&self) -> Duration {
        let counted = self.phases.iter().filter(|phase| phase.label != WARM_UP);
        counted.map(Phase::lasted).sum()
    }
}

/// What one thread brought.
struct Share {
    phases: Vec<Stats>,
    wire: Wire,
    ledger: Ledger,
    sent_until_ns: u64,
}

/// How often the caller gets a look.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Runs to the end, and hands the caller a look ten times a second.
///
/// # Errors
/// The dialect cannot carry the requests, or the machine gives no thread, runtime
/// or timer. What the host does is counted, and is no error.
pub fn run(
    plan: &Plan,
    control: &Control,
    mut look: impl FnMut(&Snapshot),
) -> anyhow::Result<Outcome> {
    let plan = Arc::new(plan.clone());
    request::try_out(&plan)?;
    let board = &control.0;
    let cpu_before = cpu::own();
    let shares: Vec<anyhow::Result<Share>> = thread::scope(|scope| {
        let (ended, waiting) = channel::<()>();
        let threads: Vec<_> = (0..plan.threads)
            .map(|thread| {
                let (plan, board, ended) = (Arc::clone(&plan), Arc::clone(board), ended.clone());
                scope.spawn(move || {
                    let share = work(&plan, &board, thread);
                    // Dropped when the thread has ended, however it did.
                    drop(ended);
                    share
                })
            })
            .collect();
        drop(ended);
        // Nobody ever sends: the channel breaks when the last thread has ended.
        while waiting.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
            look(&board.snapshot(plan.lasts()));
        }
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a thread has died"))?)
            .collect()
    });
    let elapsed = board.began().elapsed();
    let cpu = cpu::own().saturating_sub(cpu_before);
    let outcome = gather(&plan, board, shares, elapsed, cpu)?;
    look(&board.snapshot(plan.lasts()));
    Ok(outcome)
}

fn gather(
    plan: &Plan,
    board: &Board,
    shares: Vec<anyhow::Result<Share>>,
    elapsed: Duration,
    cpu: Duration,
) -> anyhow::Result<Outcome> {
    let mut wire = Wire::new()?;
    let accounts = if plan.ledger {
        plan.cards.accounts()
    } else {
        0
    };
    let mut ledger = Ledger::new(accounts);
    let mut phases: Vec<Stats> = (0..board.phases.count())
        .map(|_| Stats::new())
        .collect::<anyhow::Result<_>>()?;
    let mut sent_until_ns = 0;
    for share in shares {
        let share = share?;
        wire.add(&share.wire)?;
        ledger.add(&share.ledger);
        sent_until_ns = sent_until_ns.max(share.sent_until_ns);
        for (sum, part) in phases.iter_mut().zip(&share.phases) {
            sum.add(part)?;
        }
    }
    let spans = board.phases.spans(sent_until_ns);
    let labels = board.phases.labels().iter().cloned();
    let phases = labels
        .zip(spans)
        .zip(phases)
        .map(|((label, span_ns), stats)| Phase {
            label,
            span_ns,
            stats,
        })
        .collect();
    let (timeline, sums) = board.read();
    Ok(Outcome {
        phases,
        wire,
        ledger,
        timeline,
        sums,
        sending: Duration::from_nanos(sent_until_ns),
        elapsed,
        cpu,
        code_digits: usize::from(plan.dialect.semantics().action_code_digits),
    })
}

/// Every `threads`th connection, from `thread` on.
fn work(plan: &Arc<Plan>, board: &Arc<Board>, thread: u32) -> anyhow::Result<Share> {
    let prepared = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("runtime")
        .and_then(|runtime| Ok((runtime, Tally::new(plan, board)?)));
    let (runtime, tally) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            // The other threads wait for this one.
            board.stop();
            board.begin();
            return Err(error);
        }
    };
    let tally = Rc::new(RefCell::new(tally));
    let sent_until_ns =
        runtime.block_on(LocalSet::new().run_until(send_all(plan, board, thread, &tally)));
    drop(runtime);
    let sent_until_ns = sent_until_ns?;
    let mut tally = tally.borrow_mut();
    tally.publish();
    Ok(Share {
        phases: std::mem::take(&mut tally.phases),
        wire: tally.wire.clone(),
        ledger: std::mem::take(&mut tally.ledger),
        sent_until_ns,
    })
}

/// Makes the connections, begins with all other threads, and returns when
/// nothing is in flight any more: until when it was sending.
async fn send_all(
    plan: &Arc<Plan>,
    board: &Arc<Board>,
    thread: u32,
    tally: &Rc<RefCell<Tally>>,
) -> anyhow::Result<u64> {
    let numbers = (thread..plan.connections).step_by(plan.threads as usize);
    let attempts: Vec<_> = numbers
        .map(|number| {
            let shared = Rc::new(RefCell::new(Connection::new(plan, board, number, tally)));
            let (plan, tally) = (Arc::clone(plan), Rc::clone(tally));
            let first =
                tokio::task::spawn_local(async move { connection::connect(&plan, &tally).await });
            (shared, first)
        })
        .collect();
    let mut made: Vec<(Shared, Option<Stream>)> = Vec::with_capacity(attempts.len());
    for (shared, first) in attempts {
        made.push((shared, first.await.unwrap_or(None)));
    }
    let alarm = Alarm::new();
    board.begin();
    let alarm = alarm.context("timer")?;
    let mut all = Vec::with_capacity(made.len());
    let mut ends = Vec::with_capacity(made.len());
    for (shared, first) in made {
        if first.is_some() {
            shared.borrow_mut().connected();
        }
        all.push(Rc::clone(&shared));
        ends.push(tokio::task::spawn_local(connection::drive(shared, first)));
    }
    let all = Rc::new(all);
    let keeper = tokio::task::spawn_local(keep(
        Arc::clone(plan),
        Arc::clone(board),
        Rc::clone(&all),
        Rc::clone(tally),
    ));
    let sent_until_ns = match plan.load {
        Load::Open { .. } => pace(plan, board, thread, &all, tally, &alarm).await,
        Load::Closed { .. } => Ok(None),
    };
    if sent_until_ns.is_err() {
        for connection in all.iter() {
            connection.borrow_mut().finish();
        }
    }
    for end in ends {
        end.await.context("a connection has died")?;
    }
    keeper.abort();
    // A closed loop ends when it has sent enough, or its time is over.
    let now_ns = board.now_ns();
    let lasts_ns = plan.lasts().map_or(u64::MAX, ns_of);
    Ok(sent_until_ns?.unwrap_or(now_ns).min(now_ns).min(lasts_ns))
}

/// Ten times a second: publishes, gives up what is overdue, and ends the closed
/// loop when its time is over.
async fn keep(plan: Arc<Plan>, board: Arc<Board>, all: Rc<Vec<Shared>>, tally: Rc<RefCell<Tally>>) {
    let period = (plan.timeout / 4).clamp(Duration::from_millis(1), PUBLISH_EVERY);
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let closed_until_ns = match plan.load {
        Load::Closed { .. } => plan.lasts().map_or(u64::MAX, ns_of),
        Load::Open { .. } => u64::MAX,
    };
    let give_up_after_ns = ns_of(plan.timeout).saturating_mul(2);
    let end = tokio::time::Instant::now() + Duration::from_nanos(closed_until_ns.min(NEVER_NS));
    let mut over = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = tokio::time::sleep_until(end), if !over && closed_until_ns != u64::MAX => {}
        }
        let now_ns = board.now_ns();
        let overdue_ns = now_ns.saturating_sub(give_up_after_ns);
        let ends = !over && (now_ns >= closed_until_ns || board.is_stopped());
        over |= ends;
        for connection in all.iter() {
            let mut connection = connection.borrow_mut();
            if overdue_ns > 0 {
                connection.give_up(overdue_ns);
            }
            if ends {
                connection.finish();
            }
        }
        tally.borrow_mut().publish();
    }
}

/// Thirty years: what tokio's clock can add.
const NEVER_NS: u64 = 1_000_000_000 * 3_600 * 24 * 365 * 30;

/// How often a pacer that finds no room looks again.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// Puts each request into a connection when it is due; until when there were
/// arrivals.
async fn pace(
    plan: &Arc<Plan>,
    board: &Arc<Board>,
    thread: u32,
    all: &[Shared],
    tally: &Rc<RefCell<Tally>>,
    alarm: &Alarm,
) -> anyhow::Result<Option<u64>> {
    let Load::Open { spacing, .. } = plan.load else {
        return Ok(None);
    };
    let rng = Rng::new(plan.seed ^ (u64::from(thread) << 48));
    let mut pacer = Pacer {
        arrivals: Arrivals::new(&plan.steps(), spacing, (thread, plan.threads), rng),
        all,
        tally,
        next: 0,
        expire_after_ns: ns_of(plan.timeout).saturating_mul(2),
    };
    let mut ends_ns = plan.lasts().map_or(0, ns_of);
    while let Some(due) = pacer.arrivals.peek() {
        let now_ns = board.now_ns();
        if board.is_stopped() && ends_ns > now_ns {
            ends_ns = now_ns;
            pacer.arrivals.end_at(now_ns);
            continue;
        }
        if due > now_ns {
            let wait = Duration::from_nanos(due - now_ns).min(PUBLISH_EVERY);
            alarm.after(wait).await.context("timer")?;
            continue;
        }
        if !pacer.put_due(now_ns)? {
            alarm.after(LOOK_AGAIN).await.context("timer")?;
        }
        // The connections take their turns, so that the next answers are read
        // before the next requests are written.
        tokio::task::yield_now().await;
    }
    for connection in all {
        connection.borrow_mut().finish();
    }
    Ok(Some(ends_ns))
}

struct Pacer<'a> {
    arrivals: Arrivals,
    all: &'a [Shared],
    tally: &'a Rc<RefCell<Tally>>,
    /// The connection whose turn is next.
    next: usize,
    expire_after_ns: u64,
}

impl Pacer<'_> {
    /// Puts all that is due into connections; `false`: none has room.
    fn put_due(&mut self, now_ns: u64) -> anyhow::Result<bool> {
        let (mut room, mut batch) = (true, 0);
        while let Some(due) = self.arrivals.peek().filter(|due| *due <= now_ns) {
            if !self.put(due, now_ns, batch)? {
                room = false;
                break;
            }
            batch += 1;
            self.arrivals.pop();
        }
        if room {
            return Ok(true);
        }
        if self.all.iter().all(|one| one.borrow().is_gone()) {
            let count = self.arrivals.abandon();
            self.tally.borrow_mut().not_sent(now_ns, count);
        }
        // What no connection could take for so long, no customer waits for.
        let overdue = now_ns.saturating_sub(self.expire_after_ns);
        while let Some(due) = self.arrivals.peek().filter(|due| *due < overdue) {
            self.tally.borrow_mut().not_sent(due, 1);
            self.arrivals.pop();
        }
        Ok(false)
    }

    /// Into the next connection that has room; `false`: none has.
    fn put(&mut self, due: u64, now_ns: u64, batch: usize) -> anyhow::Result<bool> {
        for _ in 0..self.all.len() {
            let place = self.next;
            self.next = (self.next + 1) % self.all.len();
            let Some(connection) = self.all.get(place) else {
                continue;
            };
            let mut connection = connection.borrow_mut();
            // Once a round is often enough for a clock of seconds.
            if batch < self.all.len() {
                connection.begin_batch();
            }
            if connection.put(due, now_ns).map_err(|why| anyhow!(why))? {
                connection.wake();
                return Ok(true);
            }
        }
        Ok(false)
    }
}
