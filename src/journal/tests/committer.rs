//! Group commit: order, bounds, hooks, failures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use common::{DIR, read_all, sim_options};
use gapless_journal::sim::{Fault, SimDisk};
use gapless_journal::{
    AppendError, Batch, Committer, CommitterOptions, Disk, HelperMode, Hooks, Journal,
    JournalError, JournalOptions, Port, Seq, Tail, Verdict,
};

/// A port that reports each batch and answers when and what it is told.
struct Scripted {
    seen: Sender<(u64, Seq, Seq, Vec<u8>)>,
    answers: Receiver<Verdict>,
}

impl Port for Scripted {
    fn term(&self) -> u64 {
        7
    }

    fn submit(&mut self, batch: Batch<'_>) -> Verdict {
        assert_eq!((batch.term, batch.expected_head + 1), (7, batch.first));
        let events = batch.events.to_vec();
        self.seen
            .send((batch.batch_id, batch.first, batch.last, events))
            .unwrap();
        self.answers.recv().unwrap()
    }

    fn resolve(&mut self, batch_id: u64) -> Verdict {
        self.seen.send((batch_id, 0, 0, Vec::new())).unwrap();
        self.answers.recv().unwrap()
    }
}

struct Bench {
    committer: Committer,
    seen: Receiver<(u64, Seq, Seq, Vec<u8>)>,
    answers: Sender<Verdict>,
    durable: Receiver<Seq>,
    fatal: Receiver<JournalError>,
}

fn scripted(head: Seq, options: CommitterOptions) -> Bench {
    let (seen_tx, seen) = channel();
    let (answers, answers_rx) = channel();
    let (durable_tx, durable) = channel();
    let (fatal_tx, fatal) = channel();
    let port = Scripted {
        seen: seen_tx,
        answers: answers_rx,
    };
    let hooks = Hooks::new(
        move |seq| durable_tx.send(seq).unwrap_or_default(),
        move |error| drop(fatal_tx.send(error)),
    );
    Bench {
        committer: Committer::start_with(Box::new(port), head, hooks, options),
        seen,
        answers,
        durable,
        fatal,
    }
}

#[test]
fn what_gathers_during_a_sync_is_the_next_group() {
    let bench = scripted(10, CommitterOptions::default());
    let appender = bench.committer.appender();
    appender.append(11, |buf| buf.push(1)).unwrap();
    appender.kick();
    assert_eq!(bench.seen.recv().unwrap(), (1, 11, 11, vec![1]));
    // The first sync is running.
    for seq in 12..=20 {
        appender.append(seq, |buf| buf.push(seq as u8)).unwrap();
        appender.kick();
    }
    assert_eq!(bench.committer.durable(), 10);
    assert_eq!(appender.pending_bytes(), 10);
    bench.answers.send(Verdict::Durable).unwrap();
    assert_eq!(bench.durable.recv().unwrap(), 11);
    let events: Vec<u8> = (12..=20).collect();
    assert_eq!(bench.seen.recv().unwrap(), (2, 12, 20, events));
    assert_eq!(appender.pending_bytes(), 9);
    bench.answers.send(Verdict::Durable).unwrap();
    assert_eq!(bench.durable.recv().unwrap(), 20);
    assert_eq!(bench.committer.durable_handle().get(), 20);
    assert_eq!(bench.committer.stop().unwrap(), 20);
    assert_eq!(
        appender.append(21, |buf| buf.push(1)),
        Err(AppendError::Closed)
    );
    assert!(bench.durable.recv().is_err(), "one call per group");
}

#[test]
fn long_groups_are_split_between_events_only() {
    let options = CommitterOptions {
        max_group_bytes: 10,
        max_pending_bytes: 100,
        ..CommitterOptions::default()
    };
    let bench = scripted(0, options);
    let appender = bench.committer.appender();
    let mut guard = appender.lock();
    // Lengths and the groups that they make: 4+4 | 4+6 | 10 | 1+9 | 2.
    for (at, length) in [4, 4, 4, 6, 10, 1, 9, 2].into_iter().enumerate() {
        guard.buf().extend(vec![at as u8; length]);
        guard.appended(at as Seq + 1).unwrap();
    }
    drop(guard);
    appender.kick();
    for (first, last, length) in [(1, 2, 8), (3, 4, 10), (5, 5, 10), (6, 7, 10), (8, 8, 2)] {
        let (_, f, l, events) = bench.seen.recv().unwrap();
        assert_eq!((f, l, events.len()), (first, last, length));
        bench.answers.send(Verdict::Durable).unwrap();
        assert_eq!(bench.durable.recv().unwrap(), last);
    }
    assert_eq!(bench.committer.stop().unwrap(), 8);
    assert_eq!(appender.pending_bytes(), 0);
}

#[test]
fn what_is_refused_leaves_no_trace() {
    let options = CommitterOptions {
        max_group_bytes: 10,
        max_pending_bytes: 16,
        ..CommitterOptions::default()
    };
    let bench = scripted(0, options);
    let appender = bench.committer.appender();
    let mut guard = appender.lock();
    let mut append = |last, bytes: &[u8]| {
        guard.buf().extend(bytes);
        guard.appended(last)
    };
    assert_eq!(append(1, &[1; 11]), Err(AppendError::TooLarge));
    assert_eq!(append(0, &[1; 2]), Err(AppendError::OutOfOrder));
    assert_eq!(append(1, &[]), Err(AppendError::OutOfOrder));
    assert_eq!(append(1, &[1; 10]), Ok(()));
    assert_eq!(append(2, &[2; 7]), Err(AppendError::Full));
    assert_eq!(append(2, &[2; 6]), Ok(()));
    guard.buf().push(99); // never confirmed
    drop(guard);
    assert_eq!(appender.pending_bytes(), 16);
    assert!(!appender.fits(1) && appender.fits(0));
    appender.kick();
    assert_eq!(bench.seen.recv().unwrap(), (1, 1, 1, vec![1; 10]));
    bench.answers.send(Verdict::Durable).unwrap();
    assert_eq!(bench.seen.recv().unwrap(), (2, 2, 2, vec![2; 6]));
    assert!(appender.fits(10));
    bench.answers.send(Verdict::Durable).unwrap();
    bench.committer.stop().unwrap();
    assert_eq!(
        (appender.pending_bytes(), appender.durable_bytes()),
        (0, 16)
    );
}

#[test]
fn an_unknown_fate_is_asked_for_until_it_is_known() {
    let bench = scripted(0, CommitterOptions::default());
    let appender = bench.committer.appender();
    appender.append(3, |buf| buf.push(1)).unwrap();
    appender.kick();
    assert_eq!(bench.seen.recv().unwrap().0, 1);
    for _ in 0..3 {
        bench.answers.send(Verdict::Unknown).unwrap();
        assert_eq!(bench.seen.recv().unwrap(), (1, 0, 0, Vec::new()));
    }
    assert_eq!(bench.committer.durable(), 0);
    bench.answers.send(Verdict::Durable).unwrap();
    assert_eq!(bench.durable.recv().unwrap(), 3);
    bench.committer.stop().unwrap();
}

#[test]
fn a_rejected_writer_stops() {
    let bench = scripted(0, CommitterOptions::default());
    let appender = bench.committer.appender();
    appender.append(1, |buf| buf.push(1)).unwrap();
    appender.kick();
    bench.seen.recv().unwrap();
    bench.answers.send(Verdict::Rejected { head: 9 }).unwrap();
    let error = bench.fatal.recv().unwrap();
    assert!(
        matches!(error, JournalError::Rejected { head: 9 }),
        "{error}"
    );
    assert_eq!(
        appender.append(2, |buf| buf.push(1)),
        Err(AppendError::Closed)
    );
    assert!(bench.committer.stop().is_err());
    assert!(bench.durable.recv().is_err());
}

#[test]
fn several_producers_keep_one_order_and_nothing_is_lost() {
    // Followed by reading, in part out of memory, and out of memory.
    for recent_bytes in [0, 4 << 10, 4 << 20] {
        several_producers(recent_bytes);
    }
}

fn several_producers(recent_bytes: usize) {
    const PRODUCERS: u64 = 4;
    const EACH: u64 = 3000;
    let disk = SimDisk::new(3);
    let options = JournalOptions {
        helper: HelperMode::Thread,
        ..sim_options(16 << 10)
    };
    let opened = Journal::open(Arc::new(disk.clone()), options).unwrap();
    let retention = opened.journal.retention();
    let last_durable = Arc::new(AtomicU64::new(0));
    let hook = Arc::clone(&last_durable);
    let hooks = Hooks::new(
        move |seq| assert!(hook.swap(seq, Ordering::SeqCst) < seq),
        |error| panic!("{error}"),
    );
    let options = CommitterOptions {
        recent_bytes,
        ..CommitterOptions::default()
    };
    let committer = Committer::start_with(Box::new(opened.journal), 0, hooks, options);
    let total = PRODUCERS * EACH;
    let next = Arc::new(Mutex::new(0));
    thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            let (appender, next) = (committer.appender(), Arc::clone(&next));
            scope.spawn(move || {
                for at in 0..EACH {
                    while !appender.fits(64) {
                        appender.kick();
                        thread::yield_now();
                    }
                    let mut next = next.lock().unwrap();
                    *next += 1;
                    let event = [*next, producer, at];
                    appender
                        .append(*next, |buf| {
                            buf.extend(event.iter().flat_map(|n| n.to_le_bytes()));
                        })
                        .unwrap();
                    drop(next);
                    appender.kick();
                }
            });
        }
        // A live tail beside them, over many segments.
        let (durable, recent) = (committer.durable_handle(), committer.recent());
        let arc: Arc<dyn Disk> = Arc::new(disk.clone());
        scope.spawn(move || {
            let mut tail = Tail::open(arc, DIR, 1, recent).unwrap();
            let mut seen = 0;
            let mut per_producer = [0; PRODUCERS as usize];
            let mut events = Vec::new();
            while seen < total {
                let up_to = durable.get();
                if !tail.next(up_to, &mut events).unwrap() {
                    assert_eq!(seen, up_to);
                    thread::yield_now();
                    continue;
                }
                let first = seen + 1;
                for event in events.chunks(24) {
                    let n: Vec<u64> = event
                        .chunks(8)
                        .map(|n| u64::from_le_bytes(n.try_into().unwrap()))
                        .collect();
                    seen += 1;
                    assert_eq!(n[0], seen);
                    assert_eq!(n[2], per_producer[n[1] as usize]);
                    per_producer[n[1] as usize] += 1;
                }
                assert!(seen <= up_to);
                retention.release_before(first);
            }
        });
    });
    assert_eq!(committer.stop().unwrap(), total);
    assert_eq!(last_durable.load(Ordering::SeqCst), total);
}

#[test]
fn a_failed_sync_is_fatal_and_never_tried_again() {
    for reads_back in [true, false] {
        let disk = SimDisk::new(4);
        let opened = Journal::open(Arc::new(disk.clone()), sim_options(4096)).unwrap();
        let mut journal = opened.journal;
        for batch in 1..=5 {
            common::submit(&mut journal, batch, batch, &[7; 50]).unwrap();
        }
        disk.arm_for("journal-", Fault::SyncFails { at: 1, reads_back });
        let (fatal_tx, fatal) = channel();
        let hooks = Hooks::new(
            |seq| panic!("{seq} is not durable"),
            move |error| drop(fatal_tx.send(error)),
        );
        let committer = Committer::start(Box::new(journal), 5, hooks);
        let appender = committer.appender();
        appender.append(6, |buf| buf.push(6)).unwrap();
        appender.kick();
        let error = fatal.recv().unwrap();
        assert!(
            matches!(error, JournalError::Io { action: "sync", .. }),
            "{error}"
        );
        assert_eq!(committer.durable(), 5);
        assert_eq!(
            appender.append(7, |buf| buf.push(7)),
            Err(AppendError::Closed)
        );
        assert!(committer.stop().is_err());
    }
}

#[test]
fn the_file_port_rejects_what_does_not_follow_and_fails_for_ever() {
    let disk = SimDisk::new(5);
    let mut journal = Journal::open(Arc::new(disk.clone()), sim_options(4096))
        .unwrap()
        .journal;
    let good = Batch {
        term: 1,
        expected_head: 0,
        batch_id: 1,
        first: 1,
        last: 3,
        events: &[1, 2, 3],
    };
    let bad = [
        Batch { term: 2, ..good },
        Batch {
            expected_head: 1,
            ..good
        },
        Batch { first: 2, ..good },
        Batch { last: 0, ..good },
    ];
    for batch in bad {
        let verdict = journal.submit(batch);
        assert!(
            matches!(verdict, Verdict::Rejected { head: 0 }),
            "{verdict:?}"
        );
    }
    let long = vec![0; journal.max_group_bytes() + 1];
    let verdict = journal.submit(Batch {
        events: &long,
        ..good
    });
    assert!(
        matches!(verdict, Verdict::Failed(JournalError::GroupTooLarge { .. })),
        "{verdict:?}"
    );
    assert!(matches!(journal.resolve(1), Verdict::Rejected { head: 0 }));
    assert!(matches!(journal.submit(good), Verdict::Durable));
    assert!(matches!(journal.resolve(1), Verdict::Durable));
    disk.arm(Fault::TornWrite { at: 1 });
    let next = Batch {
        expected_head: 3,
        batch_id: 2,
        first: 4,
        last: 4,
        ..good
    };
    for _ in 0..3 {
        let verdict = journal.submit(next);
        assert!(
            matches!(verdict, Verdict::Failed(JournalError::Io { .. })),
            "{verdict:?}"
        );
        let verdict = journal.resolve(2);
        assert!(matches!(verdict, Verdict::Failed(_)), "{verdict:?}");
    }
    drop(journal);
    let arc: Arc<dyn Disk> = Arc::new(disk.clone());
    assert_eq!(read_all(&arc, Path::new(DIR), 1, 3).unwrap().len(), 1);
}
