//! Damaged, missing and foreign files: never a panic, never a silent loss of
//! what a later watermark covers, and every refusal names the place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{DIR, Owned, event, read_all, segment, segments, sim_options, submit};
use gapless_journal::sim::SimDisk;
use gapless_journal::{Disk, Journal, JournalError, JournalOptions, Recovered, Seq, scan};

/// A journal of two lives and several segments that ended without warning:
/// the last group is the only one that no later watermark covers.
fn written(groups: u64) -> (SimDisk, Vec<Owned>) {
    write_lives(groups, false)
}

fn write_lives(groups: u64, orderly: bool) -> (SimDisk, Vec<Owned>) {
    let disk = SimDisk::new(1);
    let mut all = Vec::new();
    for life in 0..2 {
        let mut journal = open(&disk).unwrap().journal;
        for batch in 1..=groups {
            let first = journal.head() + 1;
            let last = first + batch % 3;
            let events: Vec<u8> = (first..=last)
                .flat_map(|seq| event(seq, life, 90))
                .collect();
            submit(&mut journal, batch, last, &events).unwrap();
            all.push(Owned {
                first,
                last,
                events,
            });
        }
        if !orderly {
            disk.process_loss();
        }
        drop(journal);
    }
    (disk, all)
}

fn open(disk: &SimDisk) -> Result<Recovered, JournalError> {
    Journal::open(Arc::new(disk.clone()), sim_options(2048))
}

/// What a start makes of the disk: the groups it has, or why it refuses.
fn recovered(disk: &SimDisk) -> Result<Vec<Owned>, JournalError> {
    let opened = open(disk)?;
    let arc: Arc<dyn Disk> = Arc::new(disk.clone());
    let groups = read_all(&arc, Path::new(DIR), opened.first, opened.head)?;
    assert_eq!(groups.last().map_or(0, |group| group.last), opened.head);
    Ok(groups)
}

fn place(error: &JournalError) -> (PathBuf, u64) {
    match error {
        JournalError::Corrupt { file, offset, .. } => (file.clone(), *offset),
        other => panic!("{other}"),
    }
}

#[test]
fn every_flipped_byte_is_harmless_or_named_and_at_most_the_last_group_is_cut() {
    let (disk, all) = written(9);
    assert!(segments(&disk).len() >= 5);
    let (mut same, mut cut, mut refused) = (0, 0, 0);
    for number in segments(&disk) {
        let path = segment(number);
        let bytes = disk.contents(&path).unwrap();
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << (at % 8);
            let disk = disk.fork();
            disk.put(&path, &bytes);
            match recovered(&disk) {
                Ok(groups) if groups == all => same += 1,
                Ok(groups) => {
                    assert_eq!(groups, all[..all.len() - 1], "{number} at {at}");
                    cut += 1;
                }
                Err(error) => {
                    let (file, offset) = place(&error);
                    assert_eq!(file, path, "{at}: {error}");
                    assert!(offset <= at as u64, "{at}: {error}");
                    refused += 1;
                }
            }
        }
    }
    // Unused bytes, the last group, and everything else.
    assert!(
        same > 1000 && cut > 50 && refused > 2000,
        "{same} {cut} {refused}"
    );
}

#[test]
fn after_an_orderly_end_damage_to_the_last_group_is_named_too() {
    let (disk, all) = write_lives(9, true);
    assert!(recovered(&disk.fork()).unwrap() == all);
    let number = segments(&disk)[segments(&disk).len() - 2];
    let mut bytes = disk.contents(&segment(number)).unwrap();
    let last = &all.last().unwrap().events;
    let at = (0..bytes.len())
        .rfind(|at| bytes[*at..].starts_with(last))
        .unwrap();
    bytes[at] ^= 1;
    disk.put(&segment(number), &bytes);
    let (file, offset) = place(&recovered(&disk).unwrap_err());
    assert_eq!((file, offset), (segment(number), at as u64 - 64));
}

#[test]
fn every_shorter_file_is_named() {
    let (disk, all) = written(9);
    let prepared = *segments(&disk).last().unwrap();
    for number in segments(&disk) {
        let path = segment(number);
        let bytes = disk.contents(&path).unwrap();
        for length in (0..bytes.len()).step_by(7) {
            let disk = disk.fork();
            disk.put(&path, &bytes[..length]);
            if number == prepared && length >= 512 {
                // Zeros that nobody needs.
                assert!(recovered(&disk).unwrap() == all);
                continue;
            }
            let error = recovered(&disk).unwrap_err();
            assert_eq!(place(&error), (path.clone(), length as u64), "{error}");
        }
    }
}

#[test]
fn a_missing_segment_is_named() {
    let (disk, all) = written(9);
    let numbers = segments(&disk);
    let in_use = numbers.len() - 1; // the last is prepared, not begun
    for number in &numbers[..in_use] {
        let disk = disk.fork();
        disk.remove(&segment(*number)).unwrap();
        match recovered(&disk) {
            Err(JournalError::MissingSegment { file }) => assert_eq!(file, segment(*number)),
            // The oldest: that is what retention leaves; the caller sees it
            // in `first`.
            Ok(groups) => {
                assert_eq!(*number, 1);
                assert!(groups[0].first > 1 && all.ends_with(&groups));
            }
            Err(error) => panic!("{number}: {error}"),
        }
    }
    for number in &numbers {
        disk.remove(&segment(*number)).unwrap();
    }
    let error = open(&disk).unwrap_err();
    assert!(
        matches!(error, JournalError::MissingSegment { .. }),
        "{error}"
    );
}

#[test]
fn a_torn_tail_is_cut_and_reported() {
    let (disk, all) = written(9);
    let report = scan(&disk, Path::new(DIR)).unwrap().unwrap();
    assert_eq!((report.head, report.cut), (all.last().unwrap().last, None));
    // The last group's last sector never got there.
    let number = segments(&disk)[segments(&disk).len() - 2];
    let path = segment(number);
    let mut bytes = disk.contents(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes[end - 40..end].fill(0);
    disk.put(&path, &bytes);
    let before = disk.operations();
    let report = scan(&disk, Path::new(DIR)).unwrap().unwrap();
    let cut = report.cut.clone().unwrap();
    assert_eq!(cut.file, path);
    assert_eq!(cut.offset + cut.bytes, end as u64 - 40);
    assert_eq!(report.head, all[all.len() - 2].last);
    assert!(disk.operations() > before);
    let opened = open(&disk).unwrap();
    assert_eq!(opened.cut, report.cut);
    assert_eq!(opened.head, report.head);
}

#[test]
fn groups_behind_the_last_watermark_are_copied_once() {
    let (disk, all) = written(9);
    // Starts without traffic do not pile up segments or groups.
    let count = segments(&disk).len();
    for _ in 0..5 {
        assert!(recovered(&disk).unwrap() == all);
        disk.process_loss();
        assert!(segments(&disk).len() <= count + 2);
    }
}

#[test]
fn a_newer_version_is_named_as_such() {
    let (disk, _) = written(2);
    for (name, at, length) in [
        (segment(1), 12, 512),
        (Path::new(DIR).join("journal.id"), 12, 40),
    ] {
        let disk = disk.fork();
        let mut bytes = disk.contents(&name).unwrap();
        bytes[at] = 2;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..8]), &bytes[12..length]);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        disk.put(&name, &bytes);
        match open(&disk).unwrap_err() {
            JournalError::UnknownVersion { file, found, known } => {
                assert_eq!((file, found, known), (name, 2, 1));
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_segment_of_another_journal_is_refused() {
    let (disk, _) = written(4);
    let other = SimDisk::new(2);
    let options = JournalOptions {
        uuid: Some([7; 16]),
        ..sim_options(2048)
    };
    drop(Journal::open(Arc::new(other.clone()), options).unwrap());
    disk.put(&segment(1), &other.contents(&segment(1)).unwrap());
    let error = open(&disk).unwrap_err();
    assert!(
        matches!(&error, JournalError::Foreign { file } if *file == segment(1)),
        "{error}"
    );
}

#[test]
fn a_lost_identity_file_costs_nothing() {
    let (disk, all) = written(6);
    let id = Path::new(DIR).join("journal.id");
    let known = open(&disk.fork()).unwrap().incarnation;
    for bytes in [None, Some(vec![]), Some(vec![0xA5; 8192])] {
        let disk = disk.fork();
        match bytes {
            Some(bytes) => disk.put(&id, &bytes),
            None => disk.remove(&id).unwrap(),
        }
        let opened = open(&disk).unwrap();
        assert!(opened.incarnation > known);
        drop(opened);
        disk.process_loss();
        assert!(recovered(&disk).unwrap() == all);
    }
}

#[test]
fn frames_of_an_earlier_life_never_look_live() {
    let (disk, all) = written(9);
    let donor = disk.contents(&segment(2)).unwrap();
    let numbers = segments(&disk);
    let prepared = segment(*numbers.last().unwrap());
    let current = segment(numbers[numbers.len() - 2]);
    // A whole old segment under the next one's name.
    let stale = disk.fork();
    stale.put(&prepared, &donor);
    assert!(recovered(&stale).unwrap() == all);
    // Old frames right behind the live ones.
    let stale = disk.fork();
    let mut bytes = stale.contents(&current).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let end = end.next_multiple_of(8);
    let free = bytes.len() - end;
    bytes[end..].copy_from_slice(&donor[512..512 + free]);
    stale.put(&current, &bytes);
    assert!(recovered(&stale).unwrap() == all);
    // The last group twice: its sequence does not follow.
    let stale = disk.fork();
    let mut bytes = stale.contents(&current).unwrap();
    let magic = &donor[512..520];
    let at = (0..end)
        .rev()
        .find(|at| bytes[*at..].starts_with(magic))
        .unwrap();
    let frame = bytes[at..end].to_vec();
    if end + frame.len() <= bytes.len() {
        bytes[end..end + frame.len()].copy_from_slice(&frame);
        stale.put(&current, &bytes);
        assert!(recovered(&stale).unwrap() == all);
    }
}

#[test]
fn what_is_released_is_said() {
    let (disk, all) = written(9);
    let opened = open(&disk).unwrap();
    let mut journal = opened.journal;
    let keep: Seq = all[8].first;
    let retention = journal.retention();
    let before = retention.disk_bytes();
    retention.release_before(keep);
    // Done along with the next segment.
    let mut batch = 100;
    let old = segments(&disk).len();
    while retention.first() == 1 {
        batch += 1;
        let last = journal.head() + 1;
        submit(&mut journal, batch, last, &[1; 400]).unwrap();
    }
    assert!(segments(&disk).len() < old + 4);
    assert!(retention.disk_bytes() <= before + 2 * 2048);
    assert!(retention.first() <= keep && retention.first() > 1);
    let arc: Arc<dyn Disk> = Arc::new(disk.clone());
    let first = retention.first();
    match read_all(&arc, Path::new(DIR), 1, journal.head()) {
        Err(JournalError::Released { from: 1, first: f }) => assert_eq!(f, first),
        other => panic!("{other:?}"),
    }
    let groups = read_all(&arc, Path::new(DIR), keep, journal.head()).unwrap();
    assert_eq!(groups[0], all[8]);
    // The current segment stays, whatever is asked.
    retention.release_before(Seq::MAX);
    for _ in 0..20 {
        batch += 1;
        let last = journal.head() + 1;
        submit(&mut journal, batch, last, &[1; 400]).unwrap();
    }
    let head = journal.head();
    drop(journal);
    disk.process_loss();
    assert_eq!(open(&disk).unwrap().head, head);
}

#[test]
fn segments_that_nobody_will_replay_are_checked_by_header_only() {
    let (disk, all) = written(9);
    let mut bytes = disk.contents(&segment(1)).unwrap();
    bytes[600] ^= 1;
    disk.put(&segment(1), &bytes);
    let options = |verify_from| JournalOptions {
        verify_from,
        ..sim_options(2048)
    };
    let arc: Arc<dyn Disk> = Arc::new(disk.fork());
    for verify_from in [0, 1, all[2].last] {
        let error = Journal::open(Arc::clone(&arc), options(verify_from)).unwrap_err();
        assert_eq!(place(&error).0, segment(1));
    }
    let from = all[8].first;
    let opened = Journal::open(Arc::clone(&arc), options(from)).unwrap();
    let read = |from| read_all(&arc, Path::new(DIR), from, opened.head);
    assert!(read(from).unwrap() == all[8..]);
    assert_eq!(place(&read(1).unwrap_err()), (segment(1), 512));
}

#[test]
fn options_that_cannot_work_are_refused() {
    let good = || sim_options(4096);
    let table = [
        (
            "group 0",
            JournalOptions {
                max_group_bytes: 0,
                ..good()
            },
        ),
        (
            "group of 1 MiB + 1",
            JournalOptions {
                max_group_bytes: (1 << 20) + 1,
                ..good()
            },
        ),
        (
            "half a sector",
            JournalOptions {
                segment_bytes: 4096 + 256,
                ..good()
            },
        ),
        (
            "one group only",
            JournalOptions {
                max_group_bytes: 3000,
                ..good()
            },
        ),
        (
            "2 GiB",
            JournalOptions {
                segment_bytes: 2 << 30,
                ..good()
            },
        ),
        (
            "no reserve",
            JournalOptions {
                reserve_segments: 0,
                ..good()
            },
        ),
        (
            "no slice",
            JournalOptions {
                zero_slice_bytes: 0,
                ..good()
            },
        ),
    ];
    for (what, options) in table {
        let error = Journal::open(Arc::new(SimDisk::new(1)), options).unwrap_err();
        assert!(
            matches!(error, JournalError::BadOptions { .. }),
            "{what}: {error}"
        );
    }
    Journal::open(Arc::new(SimDisk::new(1)), good()).unwrap();
}
