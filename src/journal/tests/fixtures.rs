//! Journals of earlier format versions, kept as files, must open for ever.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Owned, event, read_all, submit};
use gapless_journal::{Disk, HelperMode, Journal, JournalOptions, RealDisk, scan};

const GROUPS: u64 = 12;
const LIVES: u64 = 2;

fn fixture(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(version)
}

fn options(dir: &Path) -> JournalOptions {
    JournalOptions {
        uuid: Some(*b"fixture's uuid 1"),
        helper: HelperMode::Inline,
        ..JournalOptions::small(dir, 2048)
    }
}

/// What the fixtures hold: groups of one to three events of two lives.
fn expected() -> Vec<Owned> {
    let mut first = 1;
    let mut groups = Vec::new();
    for life in 0..LIVES {
        for batch in 0..GROUPS {
            let last = first + batch % 3;
            let events = (first..=last)
                .flat_map(|seq| event(seq, life, 60))
                .collect();
            groups.push(Owned {
                first,
                last,
                events,
            });
            first = last + 1;
        }
    }
    groups
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

/// Makes the fixture of the current version; committed, and never made again
/// for the same version: `cargo test -p gapless-journal --test fixtures -- --ignored`
#[test]
#[ignore = "writes the fixture into the source tree"]
fn generate() {
    let dir = fixture("v1");
    assert!(
        !dir.exists(),
        "the fixture of a released version never changes"
    );
    let mut expected = expected().into_iter();
    for _ in 0..LIVES {
        let mut journal = Journal::open(Arc::new(RealDisk), options(&dir))
            .unwrap()
            .journal;
        for (batch, group) in expected.by_ref().take(GROUPS as usize).enumerate() {
            submit(&mut journal, batch as u64 + 1, group.last, &group.events).unwrap();
        }
    }
    for path in files(&dir).keys() {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("spare-") || name.starts_with("draft-") || name == "journal.lock" {
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn version_1_is_scanned_and_read_without_changing_a_byte() {
    let dir = fixture("v1");
    let before = files(&dir);
    let report = scan(&RealDisk, &dir).unwrap().unwrap();
    let groups = expected();
    assert_eq!(report.first, 1);
    assert_eq!(report.head, groups.last().unwrap().last);
    assert_eq!(report.groups, LIVES * GROUPS);
    assert_eq!(&report.uuid, b"fixture's uuid 1");
    assert_eq!(report.cut, None);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    assert!(read_all(&disk, &dir, 1, report.head).unwrap() == groups);
    assert!(files(&dir) == before);
}

#[test]
fn version_1_is_continued() {
    let copy = tempfile::tempdir().unwrap();
    for (path, bytes) in files(&fixture("v1")) {
        fs::write(copy.path().join(path.file_name().unwrap()), bytes).unwrap();
    }
    let opened = Journal::open(Arc::new(RealDisk), options(copy.path())).unwrap();
    let mut groups = expected();
    assert_eq!(opened.incarnation, LIVES + 1);
    assert_eq!(opened.head, groups.last().unwrap().last);
    let mut journal = opened.journal;
    let last = opened.head + 1;
    let events = event(last, LIVES, 9);
    submit(&mut journal, 1, last, &events).unwrap();
    groups.push(Owned {
        first: last,
        last,
        events,
    });
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    assert!(read_all(&disk, copy.path(), 1, last).unwrap() == groups);
}
