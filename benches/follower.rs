//! What the follower takes of a processor for an event: the whole of its turn, without
//! sled, over a journal of purchases.
//!
//! `cargo bench --bench follower`
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

use std::time::Duration;

use bank::{Bank, House};
use gapless_store::InlineFollower;

fn main() {
    let (customers, events) = if goals::quick() {
        (1_000, 20_000)
    } else {
        (10_000, 1_000_000)
    };
    let room = tempfile::tempdir().unwrap();
    let mut house = House::new(room.path(), 2 * events);
    house.dirs.rows = None;
    house.recent_bytes = gapless_journal::RECENT_BYTES;
    house.options.base_after_events = u64::MAX;
    house.options.base_after_bytes = u64::MAX;
    let mut bank = Bank::start(&house);
    let mut follower = bank.follow_inline();
    bank.found(customers);
    catch_up(&mut follower);
    let mut rounds = Vec::new();
    for _ in 0..4 {
        let before = bank.head();
        let mut spent = Duration::ZERO;
        // As under load: what a nap lets gather is not yet out of the caches.
        while bank.head() - before < events / 4 {
            bank.purchases(8_192.min(events / 4));
            let begun = cpu();
            catch_up(&mut follower);
            spent += cpu() - begun;
        }
        assert_eq!(follower.status().applied, bank.head());
        rounds.push(spent.as_secs_f64() * 1e9 / (bank.head() - before) as f64);
    }
    println!("follower: {rounds:.0?} ns of processor an event");
}

/// A function of its own, for profilers to start and stop at.
#[inline(never)]
fn catch_up(follower: &mut InlineFollower) {
    while follower.turn().unwrap() {}
}

/// CPU time of this thread, so that a neighbour's work does not count.
fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.try_into().unwrap()
}
