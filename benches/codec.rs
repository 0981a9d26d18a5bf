//! The codec against code written for one layout: read a typical 0200 of
//! seventeen fields, and build its 0210 from it.
//!
//! The goal is at most twice the hand-written time, measured in the same run.
//! The ratio stands on the last line.

#![allow(clippy::float_arithmetic, reason = "a ratio is a fraction")]

#[path = "support/goals.rs"]
#[allow(dead_code)] // Shared with the other benches.
mod goals;
#[path = "support/typical.rs"]
mod typical;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use gapless_iso8583::{Dialect, Scratch};
use goals::Goals;
use typical::{REQUEST, codec, hand_written, request};

fn dialects(criterion: &mut Criterion) {
    let mut out = Vec::with_capacity(1024);
    for name in Dialect::BUILTIN_NAMES {
        let Some(dialect) = Dialect::builtin(name) else {
            continue;
        };
        // ISO 8583:1993 has other lengths; it shows with what fits both.
        let Some(frame) = request(&dialect) else {
            continue;
        };
        criterion.bench_function(&format!("{name}: 0200 in, 0210 out"), |bencher| {
            bencher.iter(|| {
                out.clear();
                codec(&dialect, black_box(&frame), &mut out)
            });
        });
        criterion.bench_function(&format!("{name}: decode alone"), |bencher| {
            bencher.iter(|| dialect.decode(black_box(&frame)).is_ok());
        });
        let mut scratch = Scratch::new();
        criterion.bench_function(&format!("{name}: decode, every value as text"), |bencher| {
            bencher.iter(|| {
                let Ok(message) = dialect.decode(black_box(&frame)) else {
                    return 0;
                };
                let mut bytes = 0;
                for (field, _) in REQUEST {
                    if let Ok(Some(text)) = message.text(field, &mut scratch) {
                        bytes += text.len();
                    }
                }
                bytes
            });
        });
    }
}

fn by_hand(criterion: &mut Criterion) {
    let Some(frame) = Dialect::builtin("iso87-ascii").and_then(|dialect| request(&dialect)) else {
        return;
    };
    let mut out = Vec::with_capacity(1024);
    criterion.bench_function("by hand: 0200 in, 0210 out", |bencher| {
        bencher.iter(|| {
            out.clear();
            hand_written(black_box(&frame), &mut out)
        });
    });
}

/// Nanoseconds for so many runs.
fn time(runs: u32, mut run: impl FnMut() -> Option<u64>) -> Duration {
    let begin = Instant::now();
    for _ in 0..runs {
        black_box(run());
    }
    begin.elapsed()
}

/// Both in turn, many times, so that whatever else the machine does meets
/// both; the median round of each.
fn ratio() -> Option<f64> {
    const ROUNDS: usize = 101;
    const RUNS: u32 = 20_000;
    let dialect = Dialect::builtin("iso87-ascii")?;
    let frame = request(&dialect)?;
    let (mut by_codec, mut by_hand) = (Vec::new(), Vec::new());
    hand_written(&frame, &mut by_hand)?;
    codec(&dialect, &frame, &mut by_codec)?;
    assert!(by_codec == by_hand, "both build the same response");
    let mut out = Vec::with_capacity(1024);
    let mut codec_times = Vec::with_capacity(ROUNDS);
    let mut hand_times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        codec_times.push(time(RUNS, || {
            out.clear();
            codec(&dialect, black_box(&frame), &mut out)
        }));
        hand_times.push(time(RUNS, || {
            out.clear();
            hand_written(black_box(&frame), &mut out)
        }));
    }
    codec_times.sort_unstable();
    hand_times.sort_unstable();
    let codec = codec_times.get(ROUNDS / 2)?.as_nanos();
    let hand = hand_times.get(ROUNDS / 2)?.as_nanos();
    let each = |nanoseconds: u128| nanoseconds / u128::from(RUNS);
    println!(
        "codec {} ns, hand-written {} ns a message, the median of {ROUNDS} rounds",
        each(codec),
        each(hand),
    );
    Some(codec as f64 / hand.max(1) as f64)
}

/// The dialects beside one another are no goal: a moment for each will do.
fn short() -> Criterion {
    let (samples, ms) = if goals::quick() {
        (10, 100)
    } else {
        (50, 1_000)
    };
    Criterion::default()
        .sample_size(samples)
        .warm_up_time(Duration::from_millis(ms / 2))
        .measurement_time(Duration::from_millis(ms))
}

criterion_group!(name = benches; config = short(); targets = by_hand, dialects);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    let mut goals = Goals::new();
    let Some(ratio) = ratio() else {
        eprintln!("the codec could not read or build the messages of this benchmark");
        std::process::exit(1);
    };
    let what = "codec: a 0200 read and its 0210 built, against code for one layout";
    goals.at_most(what, ratio, 2.0, "times");
    goals.finish();
}
