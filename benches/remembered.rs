//! Many remembered transactions in little memory: resident bytes for each that lies in
//! files, the longest that the engine's thread does anything in one go while they are
//! filled, and what a request about an old one takes.
//!
//! `cargo bench --bench remembered`: three million, 500,000 of them in memory, in a
//! minute. `GAPLESS_BENCH_REMEMBERED=100000000 GAPLESS_BENCH_IN_MEMORY=4000000` is the
//! whole size, with 25 GB below `GAPLESS_BENCH_DIR` or the system's temporary
//! directory. Every figure comes from a process of its own, so that nothing freed before
//! is counted or reused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
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

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bank::{Bank, House, purchase};
use gapless_engine::{Answer, Capacity};
use process::{Steps, cpu_ns, resident};

/// Accounts, with a card each.
const CUSTOMERS: u64 = 10_000;
/// Old ones that are asked about again.
const REPEATS: u64 = 2_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|arg| arg == "--child") {
        let size = |at: usize| args[at].parse().unwrap();
        child(
            size(at + 1),
            size(at + 2),
            size(at + 3),
            Path::new(&args[at + 4]),
        );
        return;
    }
    let quick = goals::quick();
    let all = number("GAPLESS_BENCH_REMEMBERED").unwrap_or(if quick { 300_000 } else { 3_000_000 });
    let in_memory = number("GAPLESS_BENCH_IN_MEMORY").unwrap_or(all / 6);
    println!("remembered: {all} transactions, records of at most {in_memory} in memory");
    // With as many as memory holds, and with all: the look-up tables are laid out for all
    // in both, and touched.
    let few = in_memory / 2;
    let few = measure(few, all, in_memory);
    let many = measure(all, all, in_memory);
    println!(
        "resident {} MB with few, {} MB with all",
        few[0] >> 20,
        many[0] >> 20
    );
    // Records in memory are there twice, 44 bytes each.
    let records = 2 * 44 * (many[1] as i64 - few[1] as i64);
    let beyond = (many[0] as i64 - few[0] as i64 - records) as f64;
    // The look-up table, eight bytes an entry, is there in both.
    let each = 8.0 + beyond / (all - many[1]) as f64;
    let longest_ns = many[2];
    let mut goals = goals::Goals::new();
    let what = "remembered: resident for each that is in a file";
    goals.at_most(what, each, 20.0, "bytes");
    let what = "remembered: longest that the engine does in one go";
    goals.at_most(what, longest_ns as f64 / 1_000.0, 1_000.0, "us CPU");
    goals.finish();
}

/// Resident bytes of a process that remembers `fill`, its records in memory, and its
/// longest step in nanoseconds.
fn measure(fill: u64, all: u64, in_memory: u64) -> [u64; 3] {
    let base = std::env::var_os("GAPLESS_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let room = tempfile::tempdir_in::<&PathBuf>(&base).unwrap();
    let numbers = [fill, all, in_memory].map(|number| number.to_string());
    let args = numbers.iter().map(AsRef::as_ref);
    let text = process::child(args.chain([room.path().as_os_str()]));
    let mut lines: Vec<&str> = text.lines().collect();
    let last = lines.pop().unwrap();
    lines.iter().for_each(|line| println!("  {line}"));
    let mut figures = last.split(' ').map(|figure| figure.parse().unwrap());
    std::array::from_fn(|_| figures.next().unwrap())
}

/// By what was done.
type Seen = BTreeMap<&'static str, Steps>;

fn child(fill: u64, all: u64, in_memory: u64, dir: &Path) {
    let mut house = House::new(dir, CUSTOMERS);
    // What is resident is the core's: sled has a bench of its own.
    house.dirs.rows = None;
    let held = u32::try_from(in_memory).unwrap();
    let remembered = u32::try_from(all).unwrap() + 4_096;
    house.options.hold_in_memory(held, remembered);
    house.options.base_after_events = u64::MAX;
    house.options.base_after_bytes = u64::MAX;
    let rows = u32::try_from(CUSTOMERS).unwrap() + 64;
    house.capacity = Capacity {
        accounts: rows,
        cards: rows,
        remembered,
    };
    let mut bank = Bank::start(&house);
    let follower = bank.follow();
    bank.found(CUSTOMERS);
    let first = bank.head();
    let longest: Rc<RefCell<Seen>> = Rc::default();
    let (seen, mut began) = (Rc::clone(&longest), 0);
    bank.watch = Some(Box::new(move |begins, what| {
        if begins {
            began = cpu_ns();
            return;
        }
        let took = cpu_ns() - began;
        seen.borrow_mut().entry(what).or_default().add(took);
    }));
    let mut filled = 0;
    let mut alone = Steps::default();
    while filled < fill {
        // The follower is not left so far behind that requests would be refused.
        let some = (in_memory / 16).min(fill - filled);
        bank.purchases(some);
        filled += some;
        follower.wait_applied(bank.head()).unwrap();
        while u64::from(bank.live.records_in_memory()) > in_memory * 7 / 8 {
            bank.let_go();
            std::thread::yield_now();
        }
        // As long in all as the steps have taken.
        alone.arithmetic(longest.borrow().values().map(|steps| steps.sum).sum());
    }
    let fetched = bank.fetched;
    let counts = bank.live.counts();
    assert!(u64::from(counts.remembered) >= fill);
    let (resident, held) = (resident(), bank.live.records_in_memory());
    println!(
        "{} remembered, {} of them in memory; {fetched} blocks fetched for {fill} new purchases",
        counts.remembered, held,
    );
    // Repeats of the oldest, each of which lies in a file if anything does.
    if fill > in_memory {
        let mut events = Vec::new();
        let mut blocks = 0;
        let began = std::time::Instant::now();
        for at in 0..REPEATS {
            let old = purchase(first + at * (fill - in_memory) / REPEATS, CUSTOMERS);
            let (answer, fetched) = bank.execute(&old, &mut events);
            blocks += fetched;
            assert!(matches!(answer, Answer::Message(outcome) if outcome.is_repeat));
        }
        let each = began.elapsed().as_secs_f64() * 1e6 / REPEATS as f64;
        println!("{REPEATS} repeats of old ones: {blocks} blocks fetched, {each:.1} us each");
    }
    let longest = longest.borrow();
    for (what, steps) in longest.iter().chain([(&"arithmetic alone", &alone)]) {
        println!(
            "{what}: {} times, {:.2} us CPU on average, {:.1} at most",
            steps.count,
            steps.sum as f64 / steps.count as f64 / 1e3,
            steps.most as f64 / 1e3
        );
    }
    let most = longest.values().map(|steps| steps.most).max().unwrap();
    println!("{resident} {held} {most}");
    bank.watch = None;
    follower.stop(false).unwrap();
}
