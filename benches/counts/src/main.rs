//! The same messages over and over, one way of handling them a run, for
//! callgrind to count: `tests/instructions.rs` runs this and says what it cost.
//!
//! `gapless-counts SUBJECT` prints how many messages the function
//! `counted_SUBJECT` has handled; callgrind counts within that function alone.
//!
//! Adapter and session come by their sources, as the daemon has them: as a
//! dependency they would bring the whole daemon, minutes of optimised build.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a program for measuring: whatever goes wrong ends it"
)]

#[path = "../../../src/adapter/mod.rs"]
#[allow(dead_code, unused_imports)] // The daemon uses the rest.
mod adapter;
#[path = "../../../src/link"]
#[allow(dead_code, unused_imports)]
mod link {
    mod in_flight;
    pub mod session;
}
#[path = "../../../src/telemetry/labels.rs"]
#[allow(dead_code, unused_imports)]
mod telemetry;
#[path = "../../support/till.rs"]
mod till;
#[path = "../../support/typical.rs"]
#[allow(dead_code)] // Shared with a bench.
mod typical;

use std::hint::black_box;
use std::process::ExitCode;

use gapless_engine::Engine;
use gapless_engine::command::Request;
use gapless_iso8583::Dialect;
use till::Bank;

/// Handled within the counted function.
const MESSAGES: u64 = 2_048;
/// Handled before it, so that what is set up at first use is not counted.
const WARM_UP: u64 = 512;
/// So few that nothing depends on a table's size.
const CARDS: u64 = 1_000;

fn main() -> ExitCode {
    let subject = std::env::args().nth(1);
    match subject.as_deref() {
        Some("by_hand") => by_hand(),
        Some("codec") => codec(),
        Some("engine") => engine(),
        Some("hot_path") => hot_path(),
        _ => {
            eprintln!("usage: gapless-counts by_hand|codec|engine|hot_path");
            return ExitCode::from(64);
        }
    }
    println!("{MESSAGES}");
    ExitCode::SUCCESS
}

// A counted function is never inlined and is called once, so that its beginning
// and end are those of the count.

fn by_hand() {
    let frame = typical::request(&Dialect::builtin("iso87-ascii").unwrap()).unwrap();
    let mut out = Vec::with_capacity(1024);
    typical::hand_written(&frame, &mut out).unwrap();
    counted_by_hand(&frame, &mut out);
}

#[inline(never)]
fn counted_by_hand(frame: &[u8], out: &mut Vec<u8>) {
    for _ in 0..MESSAGES {
        out.clear();
        black_box(typical::hand_written(black_box(frame), out));
    }
}

fn codec() {
    let dialect = Dialect::builtin("iso87-ascii").unwrap();
    let frame = typical::request(&dialect).unwrap();
    let (mut by_hand, mut out) = (Vec::new(), Vec::with_capacity(1024));
    typical::hand_written(&frame, &mut by_hand).unwrap();
    typical::codec(&dialect, &frame, &mut out).unwrap();
    assert!(out == by_hand, "both build the same response");
    counted_codec(&dialect, &frame, &mut out);
}

#[inline(never)]
fn counted_codec(dialect: &Dialect, frame: &[u8], out: &mut Vec<u8>) {
    for _ in 0..MESSAGES {
        out.clear();
        black_box(typical::codec(dialect, black_box(frame), out));
    }
}

fn engine() {
    let mut bank = Bank::open(CARDS, MESSAGES + WARM_UP);
    let frames = bank.frames(MESSAGES + WARM_UP);
    let requests = bank.requests(&frames);
    let (first, counted) = requests.split_at(WARM_UP as usize);
    till::engine_alone(&mut bank.engine, first);
    let before = bank.engine.last_seq();
    counted_engine(&mut bank.engine, counted);
    assert_eq!(bank.engine.last_seq() - before, MESSAGES, "one event each");
}

#[inline(never)]
fn counted_engine(engine: &mut Engine, requests: &[Request]) {
    till::engine_alone(engine, black_box(requests));
    black_box(engine);
}

fn hot_path() {
    let mut bank = Bank::open(CARDS, MESSAGES + WARM_UP);
    let frames = bank.frames(MESSAGES + WARM_UP);
    let (first, counted) = frames.split_at(WARM_UP as usize);
    till::whole_way(&mut bank, first);
    counted_hot_path(&mut bank, counted);
}

#[inline(never)]
fn counted_hot_path(bank: &mut Bank, frames: &[Vec<u8>]) {
    till::whole_way(bank, black_box(frames));
    black_box(bank);
}
