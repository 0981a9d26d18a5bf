//! The codec against code written for one layout: read a typical 0200 of
//! seventeen fields, and build its 0210 from it.
//!
//! The goal is at most twice the hand-written time, measured in the same run.
//! The ratio stands on the last line.

#![allow(clippy::float_arithmetic, reason = "a ratio is a fraction")]

#[path = "support/goals.rs"]
#[allow(dead_code)] // Shared with the other benches.
mod goals;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use gapless_iso8583::{Dialect, FieldSet, Mti, Scratch};
use goals::Goals;

/// The request, as field and value in ASCII.
const REQUEST: [(u8, &[u8]); 17] = [
    (2, b"9410000000000018"),
    (3, b"000000"),
    (4, b"000000012500"),
    (7, b"1122104530"),
    (11, b"000123"),
    (12, b"194530"),
    (13, b"1122"),
    (14, b"3012"),
    (18, b"5411"),
    (22, b"051"),
    (25, b"00"),
    (32, b"12345678901"),
    (37, b"632610000123"),
    (41, b"TERM0001"),
    (42, b"MERCHANT0000001"),
    (43, b"CORNER SHOP            SEOUL          KR"),
    (49, b"410"),
];

/// What the response returns as it came.
const ECHO: FieldSet = FieldSet::of(&[2, 3, 4, 7, 11, 12, 13, 32, 37, 41, 42, 49]);
const SETTLEMENT_DATE: &[u8] = b"1122";
const APPROVAL: &[u8] = b"A00042";
const APPROVED: &[u8] = b"00";

fn request(dialect: &Dialect) -> Option<Vec<u8>> {
    let mut frame = Vec::new();
    let mut builder = dialect.builder(&mut frame, Mti::new(200)?);
    for (field, value) in REQUEST {
        builder.text(field, value);
    }
    builder.finish().ok()?;
    drop(builder);
    Some(frame)
}

/// Reads a request and builds its response with the codec.
fn codec(dialect: &Dialect, frame: &[u8], out: &mut Vec<u8>) -> Option<u64> {
    let message = dialect.decode(frame).ok()?;
    let amount = message.number(4).ok()??;
    dialect
        .builder(out, message.mti().response())
        .echo_until(&message, &ECHO, 15)
        .text(15, SETTLEMENT_DATE)
        .echo_until(&message, &ECHO, 38)
        .text(38, APPROVAL)
        .text(39, APPROVED)
        .echo_rest(&message, &ECHO)
        .finish()
        .ok()?;
    Some(amount)
}

/// The same by hand, for exactly this layout in ASCII with binary bitmaps:
/// every value is located, and checked for its class.
mod by_hand {
    pub struct Request<'a> {
        pan: &'a [u8],
        processing_code: &'a [u8],
        amount: &'a [u8],
        transmitted: &'a [u8],
        stan: &'a [u8],
        time: &'a [u8],
        date: &'a [u8],
        acquirer: &'a [u8],
        reference: &'a [u8],
        terminal: &'a [u8],
        merchant: &'a [u8],
        currency: &'a [u8],
    }

    fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
        let (taken, after) = rest.split_at_checked(bytes)?;
        *rest = after;
        Some(taken)
    }

    fn digits<'a>(rest: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
        take(rest, bytes).filter(|value| value.iter().all(u8::is_ascii_digit))
    }

    fn text<'a>(rest: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
        take(rest, bytes).filter(|value| value.iter().all(|byte| matches!(byte, b' '..=b'~')))
    }

    fn alphanumeric<'a>(rest: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
        take(rest, bytes).filter(|value| {
            value
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || *byte == b' ')
        })
    }

    fn counted<'a>(rest: &mut &'a [u8], max: usize) -> Option<&'a [u8]> {
        let [tens, ones] = take(rest, 2)? else {
            return None;
        };
        if !tens.is_ascii_digit() || !ones.is_ascii_digit() {
            return None;
        }
        let length = usize::from(tens - b'0') * 10 + usize::from(ones - b'0');
        if length > max {
            return None;
        }
        digits(rest, length)
    }

    const fn bitmap(fields: &[u8]) -> [u8; 8] {
        super::FieldSet::of(fields).words()[0].to_be_bytes()
    }

    const REQUEST_BITMAP: [u8; 8] = bitmap(&[
        2, 3, 4, 7, 11, 12, 13, 14, 18, 22, 25, 32, 37, 41, 42, 43, 49,
    ]);
    const RESPONSE_BITMAP: [u8; 8] =
        bitmap(&[2, 3, 4, 7, 11, 12, 13, 15, 32, 37, 38, 39, 41, 42, 49]);

    pub fn scan(frame: &[u8]) -> Option<Request<'_>> {
        let mut rest = frame;
        if take(&mut rest, 4)? != b"0200" || take(&mut rest, 8)? != REQUEST_BITMAP {
            return None;
        }
        let rest = &mut rest;
        let pan = counted(rest, 19)?;
        let processing_code = digits(rest, 6)?;
        let amount = digits(rest, 12)?;
        let transmitted = digits(rest, 10)?;
        let stan = digits(rest, 6)?;
        let time = digits(rest, 6)?;
        let date = digits(rest, 4)?;
        digits(rest, 4)?;
        digits(rest, 4)?;
        digits(rest, 3)?;
        digits(rest, 2)?;
        let acquirer = counted(rest, 11)?;
        let reference = alphanumeric(rest, 12)?;
        let terminal = text(rest, 8)?;
        let merchant = text(rest, 15)?;
        text(rest, 40)?;
        let currency = alphanumeric(rest, 3)?;
        rest.is_empty().then_some(Request {
            pan,
            processing_code,
            amount,
            transmitted,
            stan,
            time,
            date,
            acquirer,
            reference,
            terminal,
            merchant,
            currency,
        })
    }

    pub fn amount(request: &Request<'_>) -> u64 {
        request
            .amount
            .iter()
            .fold(0, |amount, digit| amount * 10 + u64::from(digit - b'0'))
    }

    fn put_counted(value: &[u8], out: &mut Vec<u8>) {
        let length = value.len() as u8;
        out.extend_from_slice(&[b'0' + length / 10, b'0' + length % 10]);
        out.extend_from_slice(value);
    }

    pub fn build(request: &Request<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"0210");
        out.extend_from_slice(&RESPONSE_BITMAP);
        put_counted(request.pan, out);
        out.extend_from_slice(request.processing_code);
        out.extend_from_slice(request.amount);
        out.extend_from_slice(request.transmitted);
        out.extend_from_slice(request.stan);
        out.extend_from_slice(request.time);
        out.extend_from_slice(request.date);
        out.extend_from_slice(super::SETTLEMENT_DATE);
        put_counted(request.acquirer, out);
        out.extend_from_slice(request.reference);
        out.extend_from_slice(super::APPROVAL);
        out.extend_from_slice(super::APPROVED);
        out.extend_from_slice(request.terminal);
        out.extend_from_slice(request.merchant);
        out.extend_from_slice(request.currency);
    }
}

fn hand_written(frame: &[u8], out: &mut Vec<u8>) -> Option<u64> {
    let request = by_hand::scan(frame)?;
    by_hand::build(&request, out);
    Some(by_hand::amount(&request))
}

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
