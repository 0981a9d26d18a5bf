//! The journal against the disk itself: group commit of 160-byte records
//! beside a bare pre-zeroed file with pwrite and fdatasync, in the same run,
//! as ratios; and how fast a reader replays.
//!
//! `cargo bench --bench journal` prints the table. The directory is
//! `GAPLESS_BENCH_DIR`, or the system's temporary one: it must lie on the kind
//! of disk that is to be judged.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::float_arithmetic,
    missing_docs,
    reason = "a benchmark may fail loudly, and ratios are fractions"
)]

#[path = "support/goals.rs"]
#[allow(dead_code)] // Shared with the other benches.
mod goals;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use gapless_journal::{
    Batch, Committer, Disk, Hooks, Journal, JournalOptions, OpenMode, Port, Reader, RealDisk,
    Verdict,
};

const RECORD_BYTES: usize = 160;
const GROUPS: [usize; 4] = [1, 16, 128, 1024];
const ROUNDS: usize = 400;
const REPLAY_EVENTS: u64 = 3_000_000;

fn main() {
    let quick = goals::quick();
    let base = std::env::var_os("GAPLESS_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(base).unwrap();
    commit(dir.path(), if quick { 5 } else { ROUNDS });
    replay(dir.path(), if quick { 20_000 } else { REPLAY_EVENTS });
}

/// A file of zeros, and where the next write goes.
struct Bare {
    file: Box<dyn gapless_journal::DiskFile>,
    offset: u64,
    bytes: u64,
}

impl Bare {
    fn new(path: &Path, bytes: u64) -> Self {
        let file = RealDisk.open(path, OpenMode::CreateNew).unwrap();
        let zeros = vec![0; 1 << 20];
        for offset in (0..bytes).step_by(zeros.len()) {
            file.write_at(&zeros, offset).unwrap();
            file.sync_data().unwrap();
        }
        file.sync_all().unwrap();
        Self {
            file,
            offset: 0,
            bytes,
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.offset + bytes.len() as u64 > self.bytes {
            self.offset = 0;
        }
        self.file.write_at(bytes, self.offset).unwrap();
        self.file.sync_data().unwrap();
        self.offset += bytes.len() as u64;
    }
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn percentile(times: &mut [Duration], of_100: usize) -> f64 {
    times.sort_unstable();
    let at = (times.len() * of_100 / 100).min(times.len() - 1);
    times.get(at).unwrap().as_secs_f64() * 1e6
}

/// The three ways take turns, so that what else the machine does hits all.
fn commit(dir: &Path, rounds: usize) {
    let mut bare = Bare::new(&dir.join("bare"), 64 << 20);
    let options = JournalOptions::new(dir.join("port"));
    let mut port = Journal::open(Arc::new(RealDisk), options).unwrap().journal;
    let options = JournalOptions::new(dir.join("committer"));
    let opened = Journal::open(Arc::new(RealDisk), options).unwrap();
    let (sender, durable) = channel();
    let hooks = Hooks::new(
        move |seq| sender.send(seq).unwrap_or_default(),
        |error| eprintln!("{error}"),
    );
    let committer = Committer::start(Box::new(opened.journal), 0, hooks);
    let appender = committer.appender();
    let mut seq = 0;
    println!("append and commit, p50 (p99) in microseconds, {RECORD_BYTES}-byte records");
    println!("| group | bare file | journal | ratio | with thread and wake-ups | ratio |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for group in GROUPS {
        let record = [0x5A; RECORD_BYTES];
        let events = vec![0x5A; RECORD_BYTES * group];
        let (mut bares, mut ports, mut threads) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            bares.push(time(|| bare.append(&events)));
            ports.push(time(|| {
                let head = port.head();
                let verdict = port.submit(Batch {
                    term: port.term(),
                    expected_head: head,
                    batch_id: round as u64,
                    first: head + 1,
                    last: head + group as u64,
                    events: &events,
                });
                assert!(matches!(verdict, Verdict::Durable), "{verdict:?}");
            }));
            threads.push(time(|| {
                let mut open = appender.lock();
                for _ in 0..group {
                    seq += 1;
                    open.buf().extend_from_slice(&record);
                    open.appended(seq).unwrap();
                }
                drop(open);
                appender.kick();
                while durable.recv().unwrap() < seq {}
            }));
        }
        let p50 = |times: &mut Vec<Duration>| percentile(times, 50);
        let (b, p, t) = (p50(&mut bares), p50(&mut ports), p50(&mut threads));
        println!(
            "| {group} | {b:.0} ({:.0}) | {p:.0} ({:.0}) | {:.2} | {t:.0} ({:.0}) | {:.2} |",
            percentile(&mut bares, 99),
            percentile(&mut ports, 99),
            p / b,
            percentile(&mut threads, 99),
            t / b,
        );
    }
    let start = Instant::now();
    let mut guard_ns = Duration::ZERO;
    let events = if rounds < ROUNDS { 1000 } else { 1_000_000 };
    for _ in 0..events {
        while !appender.fits(RECORD_BYTES) {
            appender.kick();
            durable.recv().unwrap();
        }
        seq += 1;
        let at = (seq % 1000 == 0).then(Instant::now);
        appender
            .append(seq, |buf| buf.extend_from_slice(&[0x5A; RECORD_BYTES]))
            .unwrap();
        if let Some(at) = at {
            guard_ns += at.elapsed();
        }
        appender.kick();
    }
    committer.stop().unwrap();
    let per_append = guard_ns.as_nanos() / u128::max(1, u128::from(seq / 1000));
    println!(
        "saturated: {:.0} events/s through one thread; one append under its own lock ~{per_append} ns",
        f64::from(events) / start.elapsed().as_secs_f64()
    );
}

/// Groups of 128 events, read from the page cache as the follower would.
fn replay(dir: &Path, events: u64) {
    let options = JournalOptions::new(dir.join("replay"));
    let mut journal = Journal::open(Arc::new(RealDisk), options.clone())
        .unwrap()
        .journal;
    let group = vec![0x5A; RECORD_BYTES * 128];
    while journal.head() < events {
        let head = journal.head();
        let verdict = journal.submit(Batch {
            term: journal.term(),
            expected_head: head,
            batch_id: head,
            first: head + 1,
            last: head + 128,
            events: &group,
        });
        assert!(matches!(verdict, Verdict::Durable), "{verdict:?}");
    }
    let head = journal.head();
    let mut best = Duration::MAX;
    let mut bytes = 0;
    for _ in 0..5 {
        let took = time(|| {
            bytes = 0;
            let mut reader = Reader::open(Arc::new(RealDisk), &options.dir, 1).unwrap();
            while let Some(group) = reader.next(head).unwrap() {
                bytes += group.events.len();
            }
        });
        best = best.min(took);
    }
    assert_eq!(bytes as u64, head * RECORD_BYTES as u64);
    println!(
        "replay: {:.2} GB/s, {:.1} M events/s ({} MB in segments of 64 MiB)",
        bytes as f64 / best.as_secs_f64() / 1e9,
        head as f64 / best.as_secs_f64() / 1e6,
        bytes / 1_000_000,
    );
    drop(journal);
    let took = time(|| {
        drop(Journal::open(Arc::new(RealDisk), options.clone()).unwrap());
    });
    println!(
        "open with everything verified: {:.0} ms",
        took.as_secs_f64() * 1e3
    );
}
