//! Whatever the power does: every answered group survives, no legitimate tail
//! is refused, and no ghost of an earlier life comes back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{DIR, Owned, Rng, event, read_all, sim_options, submit};
use gapless_journal::sim::{Fault, SimDisk};
use gapless_journal::{Disk, FileJournal, HelperMode, Journal, JournalError, JournalOptions, Seq};

/// What the log must hold, and what it may hold beyond that.
#[derive(Default)]
struct Model {
    groups: Vec<Owned>,
    /// The last sequence that somebody was told is durable.
    answered: Seq,
    /// Everything before it may be gone.
    released: Seq,
    batch_id: u64,
}

impl Model {
    fn head(&self) -> Seq {
        self.groups.last().map_or(0, |group| group.last)
    }

    /// Compares what a start found, which from then on counts as answered.
    fn check(&mut self, disk: &SimDisk, head: Seq, first: Seq, what: &str) {
        assert!(head >= self.answered, "{what}: {head} < {}", self.answered);
        assert!(first <= self.released.max(1), "{what}: first {first}");
        self.groups.retain(|group| group.last <= head);
        assert_eq!(self.head(), head, "{what}: a group was split");
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let read = read_all(&disk, Path::new(DIR), first, head)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let expected: Vec<_> = self
            .groups
            .iter()
            .filter(|group| group.last >= first)
            .cloned()
            .collect();
        assert_eq!(read, expected, "{what}");
        self.answered = head;
    }

    /// Writes up to `count` groups of up to `most` bytes; stops at a failure.
    fn write(
        &mut self,
        journal: &mut FileJournal,
        rng: &mut Rng,
        life: u64,
        count: u64,
        most: u64,
    ) {
        for _ in 0..count {
            let first = self.answered + 1;
            let last = first + rng.below(4);
            let mut events = Vec::new();
            for seq in first..=last {
                events.extend(event(seq, life, rng.below(most) as usize));
            }
            events.truncate(1000);
            self.batch_id += 1;
            self.groups.push(Owned {
                first,
                last,
                events,
            });
            let events = &self.groups.last().unwrap().events;
            if submit(journal, self.batch_id, last, events).is_err() {
                return;
            }
            self.answered = last;
            if rng.below(8) == 0 {
                self.released = self
                    .released
                    .max(self.answered - rng.below(self.answered + 1));
                journal.retention().release_before(self.released);
            }
        }
    }
}

fn start(
    disk: &SimDisk,
    options: &JournalOptions,
    model: &mut Model,
    what: &str,
) -> Option<FileJournal> {
    match Journal::open(Arc::new(disk.clone()), options.clone()) {
        Ok(opened) => {
            // Reading must not stumble over a fault that was armed for the
            // journal.
            let quiet = disk.fork();
            model.check(&quiet, opened.head, opened.first, what);
            Some(opened.journal)
        }
        Err(JournalError::Io { .. } | JournalError::NoSpace { .. }) => None,
        Err(error) => panic!("{what}: refused to start: {error}"),
    }
}

fn arm(disk: &SimDisk, rng: &mut Rng) -> &'static str {
    let at = 1 + rng.below(120);
    match rng.below(9) {
        0 => disk.arm(Fault::PowerCut { at }),
        1 => disk.arm(Fault::Eio { at }),
        2 => disk.arm(Fault::TornWrite { at: at / 3 + 1 }),
        3 => disk.arm_for(
            "journal-",
            Fault::SyncFails {
                at: at / 4 + 1,
                reads_back: true,
            },
        ),
        4 => disk.arm_for(
            "journal-",
            Fault::SyncFails {
                at: at / 4 + 1,
                reads_back: false,
            },
        ),
        5 => disk.arm(Fault::SyncFails {
            at: at / 3 + 1,
            reads_back: true,
        }),
        6 => disk.arm(Fault::DirSyncFails {
            at: at / 12 + 1,
            shuts_down: false,
        }),
        7 => disk.arm(Fault::DirSyncFails {
            at: at / 12 + 1,
            shuts_down: true,
        }),
        _ => return "no fault",
    }
    "a fault"
}

/// A limit on what all files take, near what they take now, for some lives.
fn limit(disk: &SimDisk, rng: &mut Rng) {
    let bytes = disk.used_bytes() + rng.below(6 * 4096);
    match rng.below(8) {
        0 => disk.set_capacity(Some(bytes)),
        // Found out by writing only.
        1 => disk.set_quota(Some(bytes)),
        _ => disk.set_capacity(None),
    }
}

/// Several lives, each shorter than the one before, with faults and losses.
fn lives(seed: u64, options: &JournalOptions) {
    let mut rng = Rng(seed);
    let disk = SimDisk::new(rng.next());
    let mut model = Model::default();
    let mut options = options.clone();
    for life in 0..5 {
        if let HelperMode::Stepped(_) = options.helper {
            options.helper = HelperMode::Stepped(rng.next());
        }
        let fault = arm(&disk, &mut rng);
        limit(&disk, &mut rng);
        let what = format!("seed {seed} life {life} ({fault})");
        let journal = start(&disk, &options, &mut model, &what);
        let journal = journal.map(|mut journal| {
            let count = rng.below(60 / (life + 1) + 1);
            model.write(&mut journal, &mut rng, life, count, 300 / (life + 1));
            journal
        });
        // An orderly end is the exception here.
        let orderly = rng.below(4) == 0;
        let journal = journal.filter(|_| !orderly);
        disk.disarm();
        match rng.below(3) {
            0 => disk.process_loss(),
            _ => disk.power_loss(rng.next()),
        }
        drop(journal);
    }
    disk.set_capacity(None);
    if disk.is_shut_down() {
        disk.power_loss(rng.next());
    }
    let what = format!("seed {seed} at the end");
    let journal = start(&disk, &options, &mut model, &what);
    assert!(journal.is_some(), "{what}: does not open");
}

/// Enough for CI; `GAPLESS_SEEDS` asks for a long run.
fn seeds() -> u64 {
    std::env::var("GAPLESS_SEEDS").map_or(1000, |n| n.parse().unwrap())
}

fn many_lives(options: &JournalOptions) {
    for seed in 0..seeds() {
        lives(seed, options);
    }
}

/// Recycled segments keep their old bytes.
fn stale() -> JournalOptions {
    JournalOptions {
        zero_recycled: false,
        ..sim_options(4096)
    }
}

/// The helper's steps anywhere between the journal's own, as the seed says.
fn stepped(options: JournalOptions) -> JournalOptions {
    JournalOptions {
        helper: HelperMode::Stepped(0),
        ..options
    }
}

#[test]
fn answered_groups_survive_over_zeroed_segments() {
    many_lives(&sim_options(4096));
}

#[test]
fn answered_groups_survive_over_stale_filled_segments() {
    many_lives(&stale());
}

#[test]
fn answered_groups_survive_whatever_the_helper_is_at() {
    many_lives(&stepped(sim_options(4096)));
}

#[test]
fn answered_groups_survive_whatever_the_helper_is_at_over_stale_filled_segments() {
    let options = JournalOptions {
        reserve_segments: 2,
        ..stale()
    };
    many_lives(&stepped(options));
}

/// The thread itself; what it does when is up to the system.
#[test]
fn answered_groups_survive_with_the_helper_thread_at_work() {
    let options = JournalOptions {
        helper: HelperMode::Thread,
        retry_interval: Duration::from_millis(1),
        // Without power the helper never gets anywhere.
        full_wait: Duration::from_millis(2),
        ..sim_options(4096)
    };
    for seed in 0..seeds().div_ceil(4) {
        lives(seed, &options);
    }
}

#[test]
fn an_incarnation_is_never_used_twice() {
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let mut last = 0;
        for life in 0..6 {
            disk.arm(Fault::PowerCut {
                at: 12 + (seed * 7 + life * 5) % 40,
            });
            let opened = Journal::open(Arc::new(disk.clone()), sim_options(4096));
            if let Ok(opened) = opened {
                assert!(opened.incarnation > last, "seed {seed} life {life}");
                last = opened.incarnation;
            }
            disk.power_loss(seed + life);
        }
    }
}

/// A life whose segment lost its header, but not its first group, must not
/// lend that group to the next life, which writes to the same place.
#[test]
fn a_cut_group_does_not_come_back_under_a_later_header() {
    let options = JournalOptions {
        zero_recycled: false,
        ..sim_options(4096)
    };
    let disk = SimDisk::new(1);
    let mut journal = Journal::open(Arc::new(disk.clone()), options.clone())
        .unwrap()
        .journal;
    for batch in 1..=3 {
        submit(&mut journal, batch, batch, &event(batch, 1, 50)).unwrap();
    }
    drop(journal);
    disk.process_loss();
    // The second life's segment, and a group in it that nobody was told of.
    let second = disk.fork();
    let mut journal = Journal::open(Arc::new(second.clone()), options.clone())
        .unwrap()
        .journal;
    submit(&mut journal, 1, 4, &event(4, 2, 50)).unwrap();
    second.process_loss();
    drop(journal);
    let id = Path::new(DIR).join("journal.id");
    disk.put(&id, &second.contents(&id).unwrap());
    let mut stale = second.contents(&common::segment(2)).unwrap();
    stale[..512].fill(0);
    let names = disk.list(Path::new(DIR)).unwrap();
    for name in names.iter().filter(|name| name.starts_with("spare-")) {
        disk.put(&Path::new(DIR).join(name), &stale);
    }
    let opened = Journal::open(Arc::new(disk.clone()), options).unwrap();
    assert_eq!(opened.head, 3);
    disk.process_loss();
    drop(opened);
    let report = gapless_journal::scan(&disk, Path::new(DIR))
        .unwrap()
        .unwrap();
    assert_eq!(report.head, 3);
}

/// After a failed sync of the directory nobody knows which names last, so the
/// journal takes nothing more and says why; the next start finds everything.
#[test]
fn a_failed_sync_of_the_directory_ends_the_journal() {
    for helper in [
        HelperMode::Inline,
        HelperMode::Stepped(7),
        HelperMode::Thread,
    ] {
        for (releases, at) in [(false, 1), (false, 2), (true, 2)] {
            let options = JournalOptions {
                helper,
                ..sim_options(4096)
            };
            let disk = SimDisk::new(1);
            let mut journal = Journal::open(Arc::new(disk.clone()), options.clone())
                .unwrap()
                .journal;
            let room = journal.room_handle();
            // The file syncs that come first are let through.
            disk.arm_for(
                "journal",
                Fault::DirSyncFails {
                    at,
                    shuts_down: false,
                },
            );
            let mut batch = 0;
            let error = loop {
                batch += 1;
                if let Err(error) = submit(&mut journal, batch, batch, &event(batch, 1, 400)) {
                    break error;
                }
                if releases {
                    journal.retention().release_before(batch);
                }
                assert!(batch < 1000, "{helper:?}: goes on");
            };
            let text = error.to_string();
            assert!(text.starts_with("cannot sync /data/journal:"), "{text}");
            let fault = room.fault().expect("a fault");
            assert_eq!(fault.to_string(), text);
            // The disk is well again, and nothing is taken all the same.
            let head = journal.head();
            let names = disk.list(Path::new(DIR)).unwrap();
            let again = submit(&mut journal, batch, batch, &event(batch, 1, 400)).unwrap_err();
            assert_eq!(again.to_string(), text);
            drop(journal);
            assert_eq!(disk.list(Path::new(DIR)).unwrap(), names);
            disk.power_loss(at);
            let opened = Journal::open(Arc::new(disk), options).unwrap();
            assert_eq!(opened.head, head, "{helper:?}");
        }
    }
}
