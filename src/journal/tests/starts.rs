//! Starts that fail half-way, at each of their operations in turn, and on disks
//! with any space: the next one finds everything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{DIR, event, sim_options, submit};
use gapless_journal::sim::{Fault, SimDisk};
use gapless_journal::{Disk, Journal, JournalOptions, Seq};

/// Lets each operation of a start fail in each way, ends it by a kill or by
/// one of several power losses, and starts again: everything must be found.
fn a_start_may_fail_anywhere(disk: &SimDisk, options: &JournalOptions, head: Seq) {
    let clean = disk.fork();
    drop(Journal::open(Arc::new(clean.clone()), options.clone()).unwrap());
    let operations = clean.operations();
    assert!(operations > 10, "a start of {operations} operations");
    // Writes and syncs are fewer.
    let few = 1..=operations / 4;
    let faults = (1..=operations)
        .flat_map(|at| [Fault::PowerCut { at }, Fault::Eio { at }])
        .chain(few.flat_map(|at| {
            [
                Fault::TornWrite { at },
                Fault::SyncFails {
                    at,
                    reads_back: true,
                },
                Fault::SyncFails {
                    at,
                    reads_back: false,
                },
                Fault::DirSyncFails {
                    at,
                    shuts_down: true,
                },
                Fault::DirSyncFails {
                    at,
                    shuts_down: false,
                },
            ]
        }));
    for (fault, loss) in faults.flat_map(|fault| (0..5).map(move |loss| (fault, loss))) {
        let disk = disk.fork();
        disk.arm(fault);
        drop(Journal::open(Arc::new(disk.clone()), options.clone()));
        if loss == 0 && !disk.is_shut_down() {
            disk.process_loss();
        } else {
            disk.power_loss(loss);
        }
        // What was mended must not be undone by the next loss either.
        for round in 0..2 {
            let opened = Journal::open(Arc::new(disk.clone()), options.clone())
                .unwrap_or_else(|error| panic!("{fault:?}, loss {loss}, {round}: {error}"));
            assert_eq!(opened.head, head, "{fault:?}, loss {loss}, {round}");
            disk.power_loss(loss);
        }
    }
}

/// As little space as there may be: a start takes what is there, or says that
/// it is too little, and the next one finds everything.
fn a_start_may_find_any_space(disk: &SimDisk, options: &JournalOptions, head: Seq) {
    for bytes in (0..4 * options.segment_bytes).step_by(256) {
        for hidden in [false, true] {
            let disk = disk.fork();
            let limit = disk.used_bytes() + bytes;
            if hidden {
                disk.set_quota(Some(limit));
            } else {
                disk.set_capacity(Some(limit));
            }
            match Journal::open(Arc::new(disk.clone()), options.clone()) {
                Ok(opened) => assert_eq!(opened.head, head, "{bytes} {hidden}"),
                Err(error) => assert!(error.is_no_space(), "{bytes} {hidden}: {error}"),
            }
            disk.set_capacity(None);
            disk.power_loss(bytes);
            let opened = Journal::open(Arc::new(disk), options.clone())
                .unwrap_or_else(|error| panic!("{bytes} {hidden}: {error}"));
            assert_eq!(opened.head, head, "{bytes} {hidden}");
        }
    }
}

/// A journal of a few segments whose process was killed, and its head.
fn killed(options: &JournalOptions) -> (SimDisk, Seq) {
    let disk = SimDisk::new(1);
    let mut journal = Journal::open(Arc::new(disk.clone()), options.clone())
        .unwrap()
        .journal;
    for batch in 1..=20 {
        submit(&mut journal, batch, batch, &event(batch, 1, 400)).unwrap();
    }
    disk.process_loss();
    drop(journal);
    (disk, 20)
}

/// A journal that lost its process while groups were on their way.
#[test]
fn a_start_behind_a_kill_may_fail_anywhere() {
    for zero_recycled in [true, false] {
        let options = JournalOptions {
            zero_recycled,
            ..sim_options(4096)
        };
        let (disk, head) = killed(&options);
        a_start_may_fail_anywhere(&disk, &options, head);
        a_start_may_find_any_space(&disk, &options, head);
    }
}

/// The segment taken last may be blank still when the one behind it has its
/// name already.
#[test]
fn a_start_ended_half_way_leaves_no_gap_between_prepared_segments() {
    let options = sim_options(4096);
    let (disk, head) = killed(&options);
    let last = *common::segments(&disk).last().unwrap();
    for number in last + 1..last + 3 {
        disk.put(&common::segment(number), &[0; 4096]);
    }
    a_start_may_fail_anywhere(&disk, &options, head);
    a_start_may_find_any_space(&disk, &options, head);
}

/// Killed before the sync that makes a release durable, and no spare is left:
/// the next start takes the released file.
#[test]
fn a_released_segment_is_not_zeroed_while_its_name_may_come_back() {
    let options = sim_options(4096);
    let (disk, head) = killed(&options);
    let dir = Path::new(DIR);
    for name in disk.list(dir).unwrap() {
        if name.starts_with("spare-") {
            disk.remove(&dir.join(name)).unwrap();
        }
    }
    let blank = *common::segments(&disk).last().unwrap();
    disk.remove(&common::segment(blank)).unwrap();
    disk.sync_dir(dir).unwrap();
    let draft = dir.join(format!("draft-{:020}.seg", 99));
    disk.rename(&common::segment(1), &draft).unwrap();
    a_start_may_fail_anywhere(&disk, &options, head);
    a_start_may_find_any_space(&disk, &options, head);
}
