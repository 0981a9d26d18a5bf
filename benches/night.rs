//! What a night costs the engine: cutover, freeze and seal with ten million
//! accounts in memory, and payments while the follower writes the extract of a
//! million accounts, beside the same payments before, in the same run.
//!
//! CPU time of the engine's thread. `cargo bench --bench night`, in seconds with
//! `GAPLESS_BENCH_QUICK=1`; `GAPLESS_BENCH_ACCOUNTS` sets the accounts of the steps,
//! `GAPLESS_BENCH_DIR` the disk that the extracts are written to.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::float_arithmetic,
    missing_docs,
    reason = "a benchmark may fail loudly"
)]

#[path = "support/bank.rs"]
#[allow(dead_code)] // Shared with the other benches.
mod bank;
#[path = "support/goals.rs"]
#[allow(dead_code)]
mod goals;
#[path = "support/process.rs"]
mod process;

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bank::{Bank, House, KRW};
use gapless_engine::command::{Command, Genesis, Request};
use gapless_engine::date::Date;
use gapless_engine::ids::NetworkId;
use gapless_engine::{Capacity, Engine, Options};
use gapless_store::{ExtractState, FollowerHandle};
use goals::Goals;
use process::cpu_ns;

/// Goal for a step, in microseconds of CPU time.
const STEP_US: f64 = 1_000.0;
/// Goal for the engine's share lost to an extract, in percent.
const SHARE_PERCENT: f64 = 5.0;

fn main() {
    let quick = goals::quick();
    let mut goals = Goals::new();
    steps(quick, &mut goals);
    extract(quick, &mut goals);
    goals.finish();
}

fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}

/// An engine alone.
struct Core {
    engine: Engine,
    log: Vec<u8>,
    time_us: u64,
}

impl Core {
    /// CPU time of one command.
    fn run(&mut self, request: Request) -> u64 {
        self.time_us += 10;
        self.log.clear();
        let command = Command {
            time_us: self.time_us,
            day: Date(20_500),
            request,
        };
        let before = self.engine.last_seq();
        let start = cpu_ns();
        black_box(self.engine.execute(&command, &mut self.log));
        let took = cpu_ns() - start;
        assert_eq!(self.engine.last_seq(), before + 1, "{request:?}");
        took
    }
}

/// Cutover, freeze and seal, with postings on both dates in between.
fn steps(quick: bool, goals: &mut Goals) {
    let asked = std::env::var("GAPLESS_BENCH_ACCOUNTS").ok();
    let asked = asked.and_then(|number| number.parse().ok());
    let accounts: u64 = asked.unwrap_or(if quick { 100_000 } else { 10_000_000 });
    let cards = accounts.min(1_000_000);
    let capacity = Capacity {
        accounts: u32::try_from(accounts).unwrap() + 64,
        cards: u32::try_from(cards).unwrap(),
        remembered: 1 << 20,
    };
    let mut core = Core {
        engine: Engine::new(Options {
            indexed: true,
            capacity,
        }),
        log: Vec::new(),
        time_us: 1_795_000_000_000_000,
    };
    core.run(Request::Genesis(Genesis {
        business_date: Date::from_ymd(2026, 11, 22).unwrap(),
        key_check: 7,
    }));
    core.run(Request::OpenInternal {
        network: NetworkId(0),
        currency: KRW,
    });
    for n in 0..accounts {
        core.run(bank::put_account(n));
    }
    for n in 0..cards {
        core.run(bank::put_card(n));
    }
    let nights = 6;
    let mut number = 0;
    let mut payments = Vec::new();
    let mut pay = |core: &mut Core, count: u64, times: &mut Vec<u64>| {
        for _ in 0..count {
            number += 1;
            times.push(core.run(bank::purchase(number, cards)));
        }
    };
    let mut taken: [Vec<u64>; 3] = Default::default();
    for _ in 0..nights {
        let date = core.engine.business().closing;
        pay(&mut core, 10_000, &mut payments);
        taken[0].push(core.run(Request::Cutover { date }));
        pay(&mut core, 10_000, &mut payments);
        taken[1].push(core.run(Request::Freeze { date }));
        pay(&mut core, 10_000, &mut payments);
        let entries = core.engine.entries(date);
        taken[2].push(core.run(Request::Seal { date, entries }));
    }
    payments.sort_unstable();
    let median = payments[payments.len() / 2].max(1);
    println!(
        "night: {accounts} accounts in memory, {nights} nights; a purchase takes {:.2} us",
        us(median)
    );
    for (name, mut times) in ["cutover", "freeze", "seal"].into_iter().zip(taken) {
        times.sort_unstable();
        let longest = times[times.len() - 1];
        println!(
            "{name}: {:.1} us at most, {:.1} us in the middle, {:.1} purchases",
            us(longest),
            us(times[times.len() / 2]),
            times[times.len() / 2] as f64 / median as f64
        );
        let what = format!("night: {name} with {accounts} accounts, the longest of {nights}");
        goals.at_most(&what, us(longest), STEP_US, "us of CPU time");
    }
}

/// Purchases of one window.
const WINDOW: u64 = 8_192;

/// Mean CPU time of a purchase, and how many a second by the wall's clock.
fn window(bank: &mut Bank) -> (f64, f64) {
    let (wall, start) = (Instant::now(), cpu_ns());
    bank.purchases(WINDOW);
    let cpu = (cpu_ns() - start) as f64 / WINDOW as f64;
    (cpu, WINDOW as f64 / wall.elapsed().as_secs_f64())
}

fn middle(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn caught_up(bank: &Bank, follower: &FollowerHandle, sealed: u64) {
    if sealed > 0 {
        follower.wait_base(sealed).unwrap();
    }
    follower.wait_applied(bank.head()).unwrap();
}

/// Payments while an extract is written, beside payments while none is.
fn extract(quick: bool, goals: &mut Goals) {
    let accounts: u64 = if quick { 20_000 } else { 1_000_000 };
    let nights = if quick { 1 } else { 3 };
    let base = std::env::var_os("GAPLESS_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let room = tempfile::tempdir_in::<PathBuf>(base).unwrap();
    let mut house = House::new(room.path(), accounts);
    house.capacity.remembered = 8 << 20;
    let mut bank = Bank::start(&house);
    let follower = bank.follow();
    bank.found(accounts);
    let extracts = follower.extracts().unwrap();
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let mut took = Vec::new();
    let mut sealed = 0;
    for _ in 0..nights {
        caught_up(&bank, &follower, sealed);
        (0..12).for_each(|_| without.push(window(&mut bank)));
        let date = bank.live.business().closing;
        bank.command(Request::Cutover { date });
        caught_up(&bank, &follower, 0);
        let begun = Instant::now();
        bank.command(Request::Freeze { date });
        loop {
            with.push(window(&mut bank));
            if matches!(extracts.state(date), Some(ExtractState::Ready(_))) {
                break;
            }
            // A day's worth is remembered; no more is paid than there is room for.
            if with.len() > 300 {
                std::thread::sleep(Duration::from_millis(20));
                with.pop();
            }
        }
        took.push(begun.elapsed().as_secs_f64());
        let Some(ExtractState::Ready(manifest)) = extracts.state(date) else {
            panic!("the extract is there");
        };
        let rows: u64 = manifest.csv.iter().map(|entry| entry.rows).sum();
        let bytes: u64 = manifest.csv.iter().map(|entry| entry.bytes).sum();
        println!(
            "extract of {accounts} accounts: {rows} rows, {:.0} MB as CSV, written and read back in {:.1} s",
            bytes as f64 / 1e6,
            begun.elapsed().as_secs_f64()
        );
        // As many after it: tables grow meanwhile, and a purchase waits longer for memory.
        caught_up(&bank, &follower, 0);
        (0..12).for_each(|_| without.push(window(&mut bank)));
        let entries = bank.live.entries(date);
        bank.command(Request::Seal { date, entries });
        sealed = bank.head();
    }
    follower.stop(false).unwrap();
    let cpu = |windows: &[(f64, f64)]| middle(windows.iter().map(|(cpu, _)| *cpu));
    let rate = |windows: &[(f64, f64)]| middle(windows.iter().map(|(_, rate)| *rate));
    println!(
        "a purchase with its journal: {:.0} ns of CPU time without, {:.0} ns while an extract is written ({} windows); \
         {:.0} and {:.0} a second by the wall's clock",
        cpu(&without),
        cpu(&with),
        with.len(),
        rate(&without),
        rate(&with),
    );
    let share = (cpu(&with) / cpu(&without) - 1.0).max(0.0) * 100.0;
    let what = format!("night: engine's share lost to an extract of {accounts} accounts");
    goals.at_most(&what, share, SHARE_PERCENT, "%");
}
