//! The engine's longest pause from empty to full tables, with everything else at
//! work: the journal on a real disk, its thread, and a follower that writes
//! checkpoints and base files. Import and payments of all kinds take turns, as the
//! daemon's runner gives them, until accounts, cards and remembered transactions
//! have reached their capacity, and a little beyond.
//!
//! The limit is 1 ms of CPU time of the engine's thread for anything that the
//! engine does in one go. Whatever interrupts a thread (other guests of the same
//! machine, the kernel's own work) counts as its CPU time too, so two things stand
//! beside the figures: pure arithmetic in slices of the same run, which shows what
//! the machine takes from any program; and a second pass of the same commands, in a
//! process of its own, since a pause of the engine's making comes again at the
//! same command, and one that its neighbours in the process cause comes again
//! somewhere. So the pass that was held up least is the one that is judged.
//!
//! `cargo bench --bench pauses`, in seconds with `GAPLESS_BENCH_QUICK=1`. The
//! directory is `GAPLESS_BENCH_DIR`, or the system's temporary one; a pass takes
//! `GAPLESS_BENCH_SECONDS`, and remembers `GAPLESS_BENCH_REMEMBERED` transactions.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::float_arithmetic,
    missing_docs,
    reason = "a benchmark may fail loudly"
)]

#[path = "support/goals.rs"]
#[allow(dead_code)] // Shared with the other benches.
mod goals;
#[path = "support/process.rs"]
mod process;
#[path = "support/slices.rs"]
mod slices;
#[path = "support/trace.rs"]
mod trace;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gapless::config::EngineConfig;
use gapless::runner::clock::{Clock, wall_us};
use gapless_engine::command::{Command, Request};
use gapless_engine::{Capacity, Engine, Event};
use gapless_journal::{
    Appender, Committer, CommitterOptions, Hooks, Journal, JournalOptions, MAX_GROUP_BYTES,
    RECENT_BYTES, RealDisk,
};
use gapless_store::{Dirs, Follower, FollowerHandle, FollowerOptions, LoadOptions, StoreOptions};
use goals::Goals;
use process::cpu_ns;
use slices::{KINDS, Kind, Slices, us};
use trace::Payments;

/// A third pass only if both others were held up beyond the limit.
const MAX_PASSES: usize = 3;
/// Rows of one import command, and messages of one read of a busy link.
const BATCH: u64 = 256;
const READ: usize = 16;
/// Payments after the tables are full: requests refused, reversals and advices not.
const BEYOND: usize = 20_000;
/// Rounds of arithmetic after each read: about as long as the read.
const ARITHMETIC: u64 = 3_000;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let plan = Plan::new();
    if let Some(at) = args.iter().position(|arg| arg == "--pass") {
        pass(&plan, Path::new(&args[at + 1]));
        return;
    }
    let base = std::env::var_os("GAPLESS_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let Capacity {
        accounts,
        cards,
        remembered,
    } = plan.capacity;
    println!(
        "pauses: from empty to {accounts} accounts, {cards} cards, {remembered} remembered \
         transactions, {} s a pass",
        plan.seconds
    );
    let mut passes: Vec<Slices> = Vec::new();
    while passes.len() < 2
        || (passes.len() < MAX_PASSES && slices::quietest(&passes) > slices::LIMIT_NS)
    {
        let room = tempfile::tempdir_in::<&PathBuf>(&base).unwrap();
        let status = Process::new(std::env::current_exe().unwrap())
            .arg(if plan.quick { "--quick" } else { "--bench" })
            .arg("--pass")
            .arg(room.path())
            .status()
            .unwrap();
        assert!(status.success(), "a pass failed: {status}");
        passes.push(Slices::load(&slices_path(room.path())));
    }
    let mut goals = Goals::new();
    slices::report(&passes, &mut goals);
    goals.finish();
}

fn slices_path(room: &Path) -> PathBuf {
    room.join("slices")
}

fn number<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// How much is done.
struct Plan {
    quick: bool,
    capacity: Capacity,
    seconds: f64,
    store: StoreOptions,
}

impl Plan {
    fn new() -> Self {
        let quick = goals::quick();
        let rows: u32 = if quick { 100_000 } else { 1 << 20 };
        let capacity = Capacity {
            accounts: rows,
            cards: rows,
            remembered: number("GAPLESS_BENCH_REMEMBERED").unwrap_or(2 * rows),
        };
        let seconds = number("GAPLESS_BENCH_SECONDS").unwrap_or(if quick { 3.0 } else { 45.0 });
        let store = StoreOptions {
            // Both far more often than shipped: a step that they hold up is to be met.
            checkpoint_every: Duration::from_millis(if quick { 100 } else { 1_000 }),
            base_after_events: u64::from(rows) / 2,
            base_after_growth: 0,
            ..StoreOptions::default()
        };
        Self {
            quick,
            capacity,
            seconds,
            store,
        }
    }

    fn events(&self) -> u64 {
        let Capacity {
            accounts,
            cards,
            remembered,
        } = self.capacity;
        u64::from(accounts) + u64::from(cards) + u64::from(remembered)
    }
}

/// One pass, in a process of its own: memory is fresh, and stays the system's
/// until rows arrive.
fn pass(plan: &Plan, room: &Path) {
    let mut bank = Bank::open(plan, &room.join("data"));
    for request in trace::founding() {
        bank.execute(&request);
    }
    bank.fill();
    let (head, status) = (bank.engine.last_seq(), bank.follower.status());
    println!(
        "pass: {head} events; meanwhile {} checkpoints and {} base files, the follower {} behind; \
         the longest slice by the wall's clock {:.1} ms; waited {:.1} s for the journal",
        status.checkpoints,
        status.bases,
        status.lag,
        bank.wall_longest.as_secs_f64() * 1e3,
        bank.waited.as_secs_f64(),
    );
    for (ns, what) in &bank.slowest {
        println!("  {:.1} us: {what}", us(*ns));
    }
    bank.execute(&Request::Attest);
    let Bank {
        committer,
        follower,
        engine,
        slices,
        ..
    } = bank;
    committer.stop().unwrap();
    follower.wait_applied(engine.last_seq()).unwrap();
    assert_eq!(follower.status().divergence, None, "replay equals live");
    follower.stop(false).unwrap();
    slices.save(&slices_path(room));
}

/// The daemon's parts but links and admin.
struct Bank {
    engine: Engine,
    appender: Appender,
    committer: Committer,
    follower: FollowerHandle,
    clock: Clock,
    failed: Arc<AtomicBool>,
    max_pending: usize,
    attest_every: u64,
    attested_at: u64,
    started: Instant,
    events_per_s: f64,
    slices: Slices,
    slowest: Vec<(u32, String)>,
    wall_longest: Duration,
    waited: Duration,
}

impl Bank {
    /// As the daemon starts them.
    fn open(plan: &Plan, data: &Path) -> Self {
        let disk: Arc<dyn gapless_journal::Disk> = Arc::new(RealDisk);
        std::fs::create_dir_all(data).unwrap();
        let dirs = Dirs::within(data);
        let options = JournalOptions::new(&dirs.journal);
        let recovered = Journal::open(Arc::clone(&disk), options).unwrap();
        let options = LoadOptions::new(&recovered, plan.capacity, plan.store.clone());
        let loaded = gapless_store::load(&disk, &dirs, &options).unwrap();
        let retention = recovered.journal.retention();
        let failed = Arc::new(AtomicBool::new(false));
        let hooks = Hooks::new(|_| (), {
            let failed = Arc::clone(&failed);
            move |_| failed.store(true, Ordering::Release)
        });
        let shipped = EngineConfig::default();
        let max_pending = usize::try_from(shipped.max_pending_journal_bytes).unwrap();
        let committer = Committer::start_with(
            Box::new(recovered.journal),
            recovered.head,
            hooks,
            CommitterOptions {
                max_group_bytes: MAX_GROUP_BYTES,
                max_pending_bytes: max_pending + (1 << 20),
                recent_bytes: RECENT_BYTES,
            },
        );
        let durable = committer.durable_handle();
        let follower = Follower::start(FollowerOptions {
            disk,
            dirs,
            store: plan.store.clone(),
            uuid: recovered.uuid,
            replica: loaded.follower,
            durable: Box::new(move || durable.get()),
            recent: committer.recent(),
            release_before: Box::new(move |seq| retention.release_before(seq)),
            spilled: Box::new(|_, _| ()),
        })
        .unwrap();
        let now = Instant::now();
        let slices = Slices::with_room(plan.events() as usize * 3 / 2);
        Self {
            engine: loaded.live,
            appender: committer.appender(),
            committer,
            follower,
            clock: Clock::start(wall_us(), 0, now).0,
            failed,
            max_pending,
            attest_every: shipped.attest_every,
            attested_at: 0,
            started: now,
            events_per_s: plan.events() as f64 / plan.seconds,
            slices,
            slowest: Vec::new(),
            wall_longest: Duration::ZERO,
            waited: Duration::ZERO,
        }
    }

    /// Import and payments in turn, so that all tables become full together.
    fn fill(&mut self) {
        let mut payments = Payments::new();
        let capacity = self.engine.options().capacity;
        let (mut accounts, mut cards) = (0, 0);
        loop {
            let counts = self.engine.counts();
            if counts.accounts < capacity.accounts {
                self.import(Kind::Accounts, |n| trace::put_account(accounts + n));
                accounts += BATCH;
            }
            if counts.cards < capacity.cards {
                self.import(Kind::Cards, |n| trace::put_card(cards + n, accounts));
                cards += BATCH;
                self.scan(cards);
            }
            let rows = u64::from(self.engine.counts().cards);
            let share = u64::from(capacity.remembered) * rows / u64::from(capacity.cards);
            while u64::from(self.engine.counts().remembered) < share {
                self.read(&mut payments);
            }
            if rows >= u64::from(capacity.cards) {
                break;
            }
        }
        for _ in 0..BEYOND / READ {
            self.read(&mut payments);
        }
        self.import(Kind::Accounts, |n| trace::put_account(accounts + n));
        self.import(Kind::Cards, |n| trace::put_card(cards + n, accounts));
    }

    /// What the runner does for one read of a link, and a slice of nothing.
    fn read(&mut self, payments: &mut Payments) {
        self.keep_pace();
        let customers = u64::from(self.engine.cards_len());
        let payments: [_; READ] = std::array::from_fn(|_| payments.next(customers));
        let mut whole = 0;
        let prepare = self.measured(|bank| {
            let requests = payments.iter().map(|(request, _)| request);
            bank.engine.prepare(requests);
        });
        whole += prepare;
        for (request, name) in &payments {
            let took = self.measured(|bank| bank.execute(request));
            self.note(Kind::Payment, took, name);
            whole += took;
        }
        whole += self.flush();
        self.note(Kind::Read, whole, "of payments");
        let took = self.measured(|_| {
            black_box((0..ARITHMETIC).fold(0, |sum, n| trace::scatter(sum ^ n)));
        });
        self.slices.add(Kind::Arithmetic, took);
    }

    /// One import command.
    fn import(&mut self, kind: Kind, row: impl Fn(u64) -> Request) {
        self.keep_pace();
        let rows: Vec<Request> = (0..BATCH).map(row).collect();
        let took = self.measured(|bank| {
            for row in &rows {
                bank.execute(row);
            }
        });
        let whole = took + self.flush();
        self.note(kind, whole, "of an import");
    }

    /// One look of the admin side.
    fn scan(&mut self, cards: u64) {
        let from = trace::scatter(cards) % cards;
        let range = from as u32..(from + BATCH) as u32;
        let took = self.measured(|bank| {
            black_box(bank.engine.cards(range).filter(|c| c.last4 == 1).count());
        });
        self.note(Kind::Scan, took, "for the admin side");
    }

    /// The runner's step for one command.
    fn execute(&mut self, request: &Request) {
        let command = Command {
            time_us: self.clock.at(Instant::now()),
            day: gapless_engine::date::Date(20_500),
            request: *request,
        };
        let mut group = self.appender.lock();
        let before = self.engine.last_seq();
        black_box(self.engine.execute(&command, group.buf()));
        let after = self.engine.last_seq();
        if after != before {
            group.appended(after).unwrap();
        }
    }

    /// The end of a turn: the state attested when it is time, the journal woken.
    fn flush(&mut self) -> u32 {
        let mut took = 0;
        if self.engine.last_seq() - self.attested_at >= self.attest_every {
            took += self.measured(|bank| bank.execute(&Request::Attest));
            self.note(Kind::Attest, took, "");
            self.attested_at = self.engine.last_seq();
        }
        took + self.measured(|bank| bank.appender.kick())
    }

    fn measured(&mut self, work: impl FnOnce(&mut Self)) -> u32 {
        let (wall, start) = (Instant::now(), cpu_ns());
        work(self);
        let took = cpu_ns() - start;
        self.wall_longest = self.wall_longest.max(wall.elapsed());
        u32::try_from(took).unwrap_or(u32::MAX)
    }

    fn note(&mut self, kind: Kind, took: u32, what: &str) {
        self.slices.add(kind, took);
        let least = self.slowest.last().map_or(0, |(ns, _)| *ns);
        if took <= least && self.slowest.len() >= SLOWEST {
            return;
        }
        let (counts, status) = (self.engine.counts(), self.follower.status());
        let (_, name) = KINDS[kind as usize];
        let what = format!(
            "{name} ({what}), event {}, {} accounts, {} cards, {} remembered; {} checkpoints and \
             {} bases before",
            self.engine.last_seq(),
            counts.accounts,
            counts.cards,
            counts.remembered,
            status.checkpoints,
            status.bases,
        );
        self.slowest.push((took, what));
        self.slowest.sort_by_key(|(ns, _)| std::cmp::Reverse(*ns));
        self.slowest.truncate(SLOWEST);
    }

    /// An even load; and what waits for the journal stays below its limit, where
    /// the daemon would refuse.
    fn keep_pace(&mut self) {
        assert!(!self.failed.load(Ordering::Acquire), "the journal failed");
        let due = self.engine.last_seq() as f64 / self.events_per_s;
        let ahead = due - self.started.elapsed().as_secs_f64();
        if ahead > 0.001 {
            std::thread::sleep(Duration::from_secs_f64(ahead));
        }
        let begun = Instant::now();
        let turn = BATCH as usize * Event::MAX_BYTES;
        while self.appender.pending_bytes() + turn > self.max_pending {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.waited += begun.elapsed();
    }
}

/// Slowest slices that are told one by one.
const SLOWEST: usize = 5;
