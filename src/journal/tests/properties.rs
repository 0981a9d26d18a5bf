//! recover(write(x)) = x, for any groups, segment sizes and restarts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{DIR, Owned, read_all, sim_options, submit};
use gapless_journal::sim::SimDisk;
use gapless_journal::{Disk, Journal, JournalOptions, scan};
use proptest::collection::vec;
use proptest::prelude::*;

/// A group's payload, how many events it is said to hold, and whether the
/// journal is opened anew after it.
fn groups() -> impl Strategy<Value = Vec<(Vec<u8>, u64, bool)>> {
    vec(
        (
            vec(any::<u8>(), 1..400),
            1..5u64,
            proptest::bool::weighted(0.1),
        ),
        0..60,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_was_written_is_recovered(
        groups in groups(),
        sectors in 4..24u64,
        zero_recycled: bool,
        from_quarter in 0..4u64,
    ) {
        let disk = SimDisk::new(1);
        let arc: Arc<dyn Disk> = Arc::new(disk.clone());
        let options = JournalOptions {
            zero_recycled,
            max_group_bytes: 400,
            ..sim_options(512 * sectors)
        };
        let mut journal = Journal::open(Arc::clone(&arc), options.clone()).unwrap().journal;
        let mut expected = Vec::new();
        for (batch, (events, count, restart)) in groups.into_iter().enumerate() {
            let first = journal.head() + 1;
            let last = first + count - 1;
            submit(&mut journal, batch as u64 + 1, last, &events).unwrap();
            expected.push(Owned { first, last, events });
            if restart {
                drop(journal);
                let opened = Journal::open(Arc::clone(&arc), options.clone()).unwrap();
                prop_assert_eq!(opened.head, last);
                prop_assert_eq!(opened.cut, None);
                journal = opened.journal;
            }
        }
        let head = journal.head();
        let dir = Path::new(DIR);
        let read = read_all(&arc, dir, 1, head).unwrap();
        prop_assert_eq!(&read, &expected);
        let report = scan(&disk, dir).unwrap().unwrap();
        prop_assert_eq!((report.first, report.head), (1, head));
        // From any place on, beginning with the group that holds it.
        let from = (head * from_quarter / 4).max(1);
        let read = read_all(&arc, dir, from, head).unwrap();
        let tail: Vec<_> = expected.iter().filter(|group| group.last >= from).cloned().collect();
        prop_assert_eq!(read, tail);
        // Up to any place, and not beyond.
        let read = read_all(&arc, dir, 1, from.min(head)).unwrap();
        let start: Vec<_> = expected.iter().filter(|group| group.last <= from).cloned().collect();
        prop_assert_eq!(read, start);
    }
}
