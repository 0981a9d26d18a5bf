//! Restart and replay: how long a start takes with a million accounts and a
//! million remembered transactions, and how fast events are replayed beside a
//! mere read and checksum of the same bytes.
//!
//! `cargo bench --bench replay`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::float_arithmetic,
    missing_docs
)]

#[path = "support/bank.rs"]
#[allow(dead_code)] // Shared with the other benches.
mod bank;
#[path = "support/goals.rs"]
#[allow(dead_code)]
mod goals;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bank::{Bank, House};
use gapless_engine::{Engine, Event, Options};
use gapless_journal::Reader;
use goals::Goals;

fn main() {
    let n: u64 = if goals::quick() { 20_000 } else { 1_000_000 };
    let mut goals = Goals::new();
    let room = tempfile::tempdir().unwrap();
    let house = House::new(room.path(), n);

    let mut bank = Bank::start(&house);
    let follower = bank.follow();
    bank.found(n);
    println!("{n} accounts, {n} cards, {n} transactions");
    bank.purchases(n);
    let head = bank.head();

    let started = Instant::now();
    follower.request_base(head).unwrap();
    println!(
        "base file written and verified: {:.2} s",
        started.elapsed().as_secs_f64()
    );
    follower.wait_checkpoint(head).unwrap();
    follower.stop(true).unwrap();
    drop(bank);

    replay(&house, head, &mut goals);

    // As after a crash at the worst moment: the mark as far behind as it may be.
    let mut bank = Bank::start(&house);
    report("from rows, nothing to replay", &bank, &mut goals);
    bank.purchases((n / 2).min(500_000));
    drop(bank);
    let bank = Bank::start(&house);
    report("from rows and the journal behind", &bank, &mut goals);
    drop(bank);
    std::fs::remove_dir_all(house.dirs.rows.as_ref().unwrap()).unwrap();
    let bank = Bank::start(&house);
    report("from base file and journal", &bank, &mut goals);
    goals.finish();
}

fn report(what: &str, bank: &Bank, goals: &mut Goals) {
    let (open, load) = (bank.open_time.as_secs_f64(), bank.load_time.as_secs_f64());
    let seconds = open + load;
    println!(
        "restart: journal {open:.2} s, state {load:.2} s: {}, {} events into both instances",
        bank.source, bank.replayed
    );
    goals.at_most(&format!("restart {what}"), seconds, 5.0, "s");
}

/// Replays the whole journal into one instance, beside reading and checking it only.
fn replay(house: &House, head: u64, goals: &mut Goals) {
    let (bytes, read) = walk(house, head, |_| ());
    let mut engine = Engine::new(Options {
        indexed: false,
        capacity: house.capacity,
    });
    let (_, replayed) = walk(house, head, |events| {
        let mut rest = events;
        while !rest.is_empty() {
            let (event, after) = Event::decode(rest).unwrap();
            engine.apply(&event);
            rest = after;
        }
    });
    assert_eq!(engine.last_seq(), head);
    assert_eq!(engine.divergence(), None);
    let rate = head as f64 / replayed.as_secs_f64();
    println!(
        "journal: {head} events, {} MB ({} bytes an event)",
        bytes >> 20,
        bytes / head.max(1)
    );
    println!("read and checksum alone: {:.2} s", read.as_secs_f64());
    println!(
        "replay: {:.2} s, {:.1} times the mere reading",
        replayed.as_secs_f64(),
        replayed.as_secs_f64() / read.as_secs_f64()
    );
    goals.at_least("replay of the journal", rate / 1e6, 1.0, "M events/s");
}

fn walk(house: &House, head: u64, mut each: impl FnMut(&[u8])) -> (u64, Duration) {
    let started = cpu();
    let mut reader = Reader::open(Arc::clone(&house.disk), house.dirs.journal.clone(), 1).unwrap();
    let mut bytes = 0;
    while let Some(group) = reader.next(head).unwrap() {
        bytes += group.events.len() as u64;
        each(group.events);
    }
    (bytes, cpu() - started)
}

/// CPU time of this thread, so that a neighbour's work does not count.
fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.try_into().unwrap()
}
