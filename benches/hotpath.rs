//! A message's way without socket and journal: an approved 0200 from its frame
//! to its 0210, beside the codec alone (decode, and build the same answer).
//!
//! Plain measurements of thread CPU time, the median of a few rounds. What the
//! session adds to the codec and the engine must stay small: both are printed,
//! and the sum has a limit.
//!
//! `cargo bench --bench hotpath`

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::float_arithmetic
)]

#[path = "support/goals.rs"]
#[allow(dead_code)] // Shared with the other benches.
mod goals;

#[path = "support/till.rs"]
mod till;

use std::hint::black_box;

use gapless::{adapter, link};
use gapless_iso8583::{FieldSet, Scratch};
use till::{Bank, engine_alone, whole_way};

const CARDS: u64 = 10_000;
const ROUNDS: usize = 7;
/// Issue 2's figures are per step; this one is the sum, with room for a slow machine.
const LIMIT_NS: f64 = 3_000.0;
const ECHO: FieldSet = FieldSet::of(&[2, 3, 4, 7, 11, 12, 13, 32, 37, 41, 42, 49]);

fn main() {
    let messages = if goals::quick() { 2_000 } else { 100_000 };
    let mut bank = Bank::open(CARDS, messages * (ROUNDS as u64 + 1));
    let mut figures = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        let frames = bank.frames(messages);
        figures[0].push(per_message(messages, || codec_alone(&bank, &frames)));
        figures[1].push(per_message(messages, || intake_alone(&bank, &frames)));
        let requests = bank.requests(&frames);
        // The engine alone must not decide what the whole way decides later.
        let mut apart = Bank::open(CARDS, messages);
        figures[2].push(per_message(messages, || {
            engine_alone(&mut apart.engine, &requests)
        }));
        figures[3].push(per_message(messages, || whole_way(&mut bank, &frames)));
    }
    let [codec, intake, engine, whole] = figures.map(median);
    println!("hotpath: codec alone (decode, build the answer)  {codec:7.0} ns a message");
    println!("hotpath: decode and intake                       {intake:7.0} ns");
    println!("hotpath: engine alone (10,000 accounts)          {engine:7.0} ns");
    println!("hotpath: frame to framed answer, with the engine {whole:7.0} ns");
    println!(
        "hotpath: the session and the adapter add         {:7.0} ns; whole to codec {:.1}",
        whole - codec - engine,
        whole / codec
    );
    let mut goals = goals::Goals::new();
    goals.at_most("hotpath: frame to framed answer", whole, LIMIT_NS, "ns");
    goals.finish();
}

/// Nanoseconds of this thread's CPU time per message.
fn per_message(messages: u64, work: impl FnOnce()) -> f64 {
    let now = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let start = now();
    work();
    (now() - start) / messages as f64
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn codec_alone(bank: &Bank, frames: &[Vec<u8>]) {
    let mut out = Vec::with_capacity(4096);
    for frame in frames {
        out.clear();
        let message = bank.dialect.decode(frame).unwrap();
        bank.dialect
            .builder(&mut out, message.mti().response())
            .echo_until(&message, &ECHO, 15)
            .text(15, b"1122")
            .echo_until(&message, &ECHO, 38)
            .text(38, b"000042")
            .text(39, b"00")
            .echo_rest(&message, &ECHO)
            .finish()
            .unwrap();
        black_box(&out);
    }
}

fn intake_alone(bank: &Bank, frames: &[Vec<u8>]) {
    let mut scratch = Scratch::new();
    for frame in frames {
        let message = bank.dialect.decode(frame).unwrap();
        black_box(bank.adapter.intake(&message, &mut scratch));
    }
}
