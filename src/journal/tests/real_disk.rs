//! The journal on the operating system's files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing, reason = "tests may fail loudly")]

use std::sync::Arc;

use gapless_journal::{
    Committer, Hooks, Journal, JournalError, JournalOptions, Reader, RealDisk, Seq, scan,
};

fn event(seq: Seq) -> Vec<u8> {
    let mut bytes = seq.to_le_bytes().to_vec();
    bytes.resize(8 + (seq as usize * 7) % 120, seq as u8);
    bytes
}

#[test]
fn what_was_durable_is_read_after_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk);
    let options = JournalOptions::small(dir.path().join("a/b"), 4096);
    let mut head = 0;
    for round in 1..=4u64 {
        let opened = Journal::open(disk.clone(), options.clone()).unwrap();
        assert_eq!(opened.head, head);
        assert_eq!(opened.first, 1);
        assert_eq!(opened.incarnation, round);
        assert_eq!(opened.fresh, round == 1);
        assert_eq!(opened.cut, None);
        let committer = Committer::start(
            Box::new(opened.journal),
            head,
            Hooks::new(|_| {}, |error| panic!("{error}")),
        );
        let appender = committer.appender();
        for seq in head + 1..=head + 200 {
            appender.append(seq, |buf| buf.extend(event(seq))).unwrap();
            if seq % 7 == 0 {
                appender.kick();
            }
        }
        head += 200;
        assert_eq!(committer.stop().unwrap(), head);
        let mut reader = Reader::open(disk.clone(), &options.dir, 1).unwrap();
        let mut expected = 1;
        while let Some(group) = reader.next(head).unwrap() {
            assert_eq!(group.first, expected);
            let events: Vec<u8> = (group.first..=group.last).flat_map(event).collect();
            assert_eq!(group.events, events);
            expected = group.last + 1;
        }
        assert_eq!(expected, head + 1);
        let report = scan(&*disk, &options.dir).unwrap().unwrap();
        assert_eq!((report.first, report.head, report.cut), (1, head, None));
    }
}

#[test]
fn a_second_writer_is_told_who_is_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk);
    let options = JournalOptions::small(dir.path(), 4096);
    let first = Journal::open(disk.clone(), options.clone()).unwrap();
    let error = Journal::open(disk.clone(), options.clone()).unwrap_err();
    assert!(matches!(error, JournalError::Locked { .. }), "{error}");
    drop(first);
    Journal::open(disk, options).unwrap();
}
