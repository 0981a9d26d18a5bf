//! sled that fails under way: payments and base files go on without it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gapless_journal::sim::SimDisk;

use super::bank::{Dice, scratch, traded};
use crate::{FollowerError, LoadStateError, RowsState, Source};

#[test]
fn sled_that_never_answers_is_given_up_on_and_the_next_start_takes_the_base() {
    let room = scratch();
    let sim = SimDisk::default();
    let (mut house, bank) = traded(&sim, room.path(), 91);
    drop(bank);
    house.options.sled_patience = Duration::ZERO;
    let mut bank = house.start().unwrap();
    let follower = bank.follow();
    bank.trade(&mut Dice::new(92), 5, 60);
    while follower.status().rows != RowsState::Off {
        std::thread::sleep(Duration::from_millis(1));
    }
    let base = follower.request_base(bank.head()).unwrap();
    let status = follower.stop(true).unwrap();
    assert_eq!((status.applied, status.checkpoint), (bank.head(), 0));
    let hash = bank.live.state_hash();
    drop(bank);
    house.options.sled_patience = Duration::from_secs(60);
    let bank = house.start().unwrap();
    assert_eq!(
        (bank.loaded.source, bank.live.state_hash()),
        (Source::Base(base), hash)
    );
}

/// A small file system of its own, if this process may mount one.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(at)
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then(|| Self(at.to_path_buf()))
    }

    fn resize(&self, size: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,size={size}")])
            .arg(&self.0)
            .status()
            .unwrap();
        assert!(status.success());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Writes to a file until its disk is full.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    let error = loop {
        if let Err(error) = file.write_all(&[1; 4096]) {
            break error;
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}

#[test]
fn a_full_disk_under_sled_loses_nothing_and_sled_comes_back() {
    let room = scratch();
    let small = room.path().join("small");
    let Some(tmpfs) = Tmpfs::mount(&small, "3m") else {
        println!("skipped: no tmpfs can be mounted here");
        return;
    };
    let sim = SimDisk::default();
    let (mut house, bank) = traded(&sim, room.path(), 95);
    drop(bank);
    house.dirs.rows = Some(small.join("sled"));
    house.options.retry_after = Duration::from_millis(50);
    let mut bank = house.start().unwrap();
    let follower = bank.follow();
    let mut dice = Dice::new(96);
    follower.wait_checkpoint(bank.head()).unwrap();
    fill(&small.join("others"));
    while follower.status().rows_set_aside == 0 && follower.status().rows != RowsState::Off {
        bank.trade(&mut dice, 1, 60);
        follower.wait_applied(bank.head()).unwrap();
    }
    tmpfs.resize("256m");
    bank.trade(&mut dice, 3, 60);
    let base = follower.request_base(bank.head()).unwrap();
    let status = follower.stop(true).unwrap();
    assert_eq!(status.applied, bank.head());
    let hash = bank.live.state_hash();
    drop(bank);
    let mut bank = house.start().unwrap();
    assert_eq!(bank.live.state_hash(), hash);
    assert!(bank.loaded.source.seq() >= base);
    let follower = bank.follow();
    bank.trade(&mut dice, 1, 60);
    assert_eq!(
        follower.stop(true).unwrap().checkpoint,
        bank.head(),
        "sled is back"
    );
}

#[test]
fn a_follower_that_differs_from_the_live_engine_stops_and_stores_nothing_more() {
    let room = scratch();
    let sim = SimDisk::default();
    let (house, mut bank) = traded(&sim, room.path(), 98);
    let follower = bank.follow();
    let good = bank.head();
    follower.wait_checkpoint(good).unwrap();
    bank.spoil_attest();
    let error = follower.request_base(bank.head()).unwrap_err();
    assert!(
        matches!(error, FollowerError::Diverged(seq) if seq == good + 1),
        "{error}"
    );
    let status = follower.status();
    assert_eq!(
        (status.divergence, status.checkpoint),
        (Some(good + 1), good)
    );
    // One of the last seal, perhaps.
    assert!(status.base <= good, "{}", status.base);
    follower.stop(true).unwrap_err();
    drop(bank);
    // The start does not take either side's word for it.
    let error = house.start().map(|bank| bank.head()).unwrap_err();
    assert!(matches!(error, LoadStateError::Replay(_)), "{error}");
}

#[test]
fn a_mark_gives_way_to_a_newer_base() {
    let room = scratch();
    let sim = SimDisk::default();
    let (mut house, mut bank) = traded(&sim, room.path(), 99);
    bank.follow().stop(true).unwrap();
    drop(bank);
    let rows = house.dirs.rows.take();
    let mut bank = house.start().unwrap();
    let follower = bank.follow();
    bank.trade(&mut Dice::new(97), 6, 60);
    let base = follower.request_base(bank.head()).unwrap();
    follower.stop(false).unwrap();
    drop(bank);
    house.dirs.rows = rows;
    // Its records would have to come from further back than that.
    let bank = house.start().unwrap();
    assert_eq!(bank.loaded.source, Source::Base(base));
    assert!(
        bank.loaded.notes[0].contains("newer base"),
        "{:?}",
        bank.loaded.notes
    );
}
