//! The simulated disk keeps its promises, and no others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use gapless_journal::sim::{Fault, SimDisk};
use gapless_journal::{Disk, DiskFile, OpenMode, RealDisk};

const DIR: &str = "/d";

fn with_file(seed: u64) -> (SimDisk, Box<dyn DiskFile>) {
    let disk = SimDisk::new(seed);
    disk.create_dir_all(Path::new(DIR)).unwrap();
    let file = disk.open(&path("a"), OpenMode::CreateNew).unwrap();
    disk.sync_dir(Path::new(DIR)).unwrap();
    (disk, file)
}

fn path(name: &str) -> std::path::PathBuf {
    Path::new(DIR).join(name)
}

#[test]
fn a_power_loss_keeps_synced_sectors_and_any_subset_of_the_others() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..200 {
        let (disk, file) = with_file(seed);
        file.write_at(&[1; 2048], 0).unwrap();
        file.sync_data().unwrap();
        file.write_at(&[2; 1024], 512).unwrap();
        disk.power_loss(seed);
        assert!(file.write_at(&[3], 0).is_err(), "a file of before the loss");
        let bytes = disk.contents(&path("a")).unwrap();
        assert_eq!((bytes.len(), bytes[0], bytes[2047]), (2048, 1, 1));
        for sector in bytes.chunks(512) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "torn sector");
        }
        outcomes.insert((bytes[512], bytes[1024]));
    }
    assert_eq!(outcomes, BTreeSet::from([(1, 1), (1, 2), (2, 1), (2, 2)]));
}

#[test]
fn names_are_durable_after_a_sync_of_the_directory_only() {
    let mut lost = 0;
    let mut kept = 0;
    for seed in 0..100 {
        let (disk, _) = with_file(seed);
        let file = disk.open(&path("b"), OpenMode::Create).unwrap();
        file.sync_all().unwrap();
        disk.rename(&path("a"), &path("c")).unwrap();
        disk.power_loss(seed);
        let names = disk.list(Path::new(DIR)).unwrap();
        assert!(
            names.contains(&"a".into()) != names.contains(&"c".into()),
            "{names:?}"
        );
        match names.contains(&"b".into()) {
            true => kept += 1,
            false => lost += 1,
        }
        disk.put(&path("b"), b"");
        disk.remove(&path("b")).unwrap();
        disk.sync_dir(Path::new(DIR)).unwrap();
        disk.power_loss(seed + 1);
        assert!(disk.contents(&path("b")).is_none());
    }
    assert!(lost > 10 && kept > 10, "{lost} {kept}");
}

#[test]
fn a_failed_sync_reads_back_and_a_later_one_does_not_write_it() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..100 {
        for reads_back in [true, false] {
            let (disk, file) = with_file(seed);
            file.write_at(&[1; 512], 0).unwrap();
            file.sync_data().unwrap();
            file.write_at(&[2; 512], 0).unwrap();
            disk.arm(Fault::SyncFails { at: 1, reads_back });
            assert!(file.sync_data().is_err());
            let seen = disk.contents(&path("a")).unwrap()[0];
            file.sync_data().unwrap();
            disk.power_loss(seed);
            let durable = disk.contents(&path("a")).unwrap()[0];
            outcomes.insert((reads_back, seen, durable));
        }
    }
    let expected = [(true, 2, 1), (true, 2, 2), (false, 1, 1), (false, 2, 2)];
    assert_eq!(outcomes, BTreeSet::from(expected));
}

#[test]
fn faults_hit_the_operation_that_they_name_once() {
    let (disk, file) = with_file(1);
    disk.arm_for("b", Fault::Eio { at: 1 });
    disk.arm_for("a", Fault::Eio { at: 2 });
    file.write_at(&[1], 0).unwrap();
    assert!(file.write_at(&[2], 0).is_err());
    file.write_at(&[3], 1).unwrap();
    assert_eq!(disk.contents(&path("a")).unwrap(), [1, 3]);
    disk.arm(Fault::PowerCut { at: 2 });
    file.sync_data().unwrap();
    assert!(file.sync_data().is_err());
    assert!(disk.list(Path::new(DIR)).is_err());
    disk.power_loss(1);
    assert_eq!(disk.contents(&path("a")).unwrap(), [1, 3]);
}

#[test]
fn capacity_counts_growth_only() {
    let (disk, file) = with_file(1);
    file.write_at(&[1; 600], 0).unwrap();
    disk.set_capacity(Some(1000));
    assert_eq!(disk.free_bytes(Path::new(DIR)).unwrap(), 400);
    file.write_at(&[2; 600], 0).unwrap();
    let error = file.write_at(&[3; 500], 600).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(disk.used_bytes(), 1000);
    disk.set_quota(Some(1000));
    assert_eq!(disk.free_bytes(Path::new(DIR)).unwrap(), u64::MAX);
    assert!(file.set_len(1001).is_err());
    file.set_len(10).unwrap();
    assert_eq!(disk.used_bytes(), 10);
}

/// The same steps on both disks, with the same results.
#[test]
fn the_simulated_disk_behaves_like_the_real_one_without_faults() {
    let temp = tempfile::tempdir().unwrap();
    let disks: [(&dyn Disk, &Path); 2] = [
        (&SimDisk::new(1), Path::new("/x")),
        (&RealDisk, &temp.path().join("x")),
    ];
    for (disk, dir) in disks {
        let kind = |result: std::io::Result<Box<dyn DiskFile>>| result.unwrap_err().kind();
        disk.create_dir_all(dir).unwrap();
        disk.create_dir_all(dir).unwrap();
        let (a, b) = (dir.join("a"), dir.join("b"));
        assert_eq!(kind(disk.open(&a, OpenMode::Read)), ErrorKind::NotFound);
        assert_eq!(kind(disk.open(&a, OpenMode::Write)), ErrorKind::NotFound);
        let file = disk.open(&a, OpenMode::CreateNew).unwrap();
        assert!(file.is_empty().unwrap());
        assert_eq!(
            kind(disk.open(&a, OpenMode::CreateNew)),
            ErrorKind::AlreadyExists
        );
        file.write_at(b"hello", 3).unwrap();
        let mut buf = [9; 10];
        assert_eq!(file.read_at(&mut buf, 1).unwrap(), 7);
        assert_eq!(&buf[..7], b"\0\0hello");
        assert_eq!(file.read_at(&mut buf, 100).unwrap(), 0);
        file.set_len(5).unwrap();
        file.set_len(6).unwrap();
        file.sync_all().unwrap();
        let again = disk.open(&a, OpenMode::Create).unwrap();
        assert_eq!(again.read_at(&mut buf, 0).unwrap(), 6);
        assert_eq!(&buf[..6], b"\0\0\0he\0");
        let only = disk.open(&a, OpenMode::Read).unwrap();
        assert!(only.write_at(b"x", 0).is_err());
        disk.open(&b, OpenMode::Create).unwrap();
        assert_eq!(disk.list(dir).unwrap(), ["a", "b"]);
        disk.rename(&a, &b).unwrap();
        assert_eq!(disk.list(dir).unwrap(), ["b"]);
        assert_eq!(disk.open(&b, OpenMode::Read).unwrap().len().unwrap(), 6);
        disk.remove(&b).unwrap();
        assert_eq!(disk.remove(&b).unwrap_err().kind(), ErrorKind::NotFound);
        // An open file outlives its name.
        assert_eq!(file.read_at(&mut buf, 3).unwrap(), 3);
        disk.sync_dir(dir).unwrap();
        let lock = disk.lock(&dir.join("l")).unwrap();
        let error = disk.lock(&dir.join("l")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        drop(lock);
        drop(disk.lock(&dir.join("l")).unwrap());
        assert!(disk.free_bytes(dir).unwrap() > 0);
    }
}

/// What is durable of three changes, one after the other, when the sync of
/// their directory fails; and after a second sync.
#[test]
fn a_failed_sync_of_a_directory_keeps_the_first_changes_alone() {
    let dir = Path::new(DIR);
    let mut outcomes = BTreeSet::new();
    for seed in 0..200 {
        for (shuts_down, syncs_again) in [(true, true), (false, false), (false, true)] {
            let (disk, file) = with_file(seed);
            disk.rename(&path("a"), &path("b")).unwrap();
            disk.rename(&path("b"), &path("c")).unwrap();
            disk.arm_for("d", Fault::DirSyncFails { at: 1, shuts_down });
            file.sync_all().unwrap();
            let names = disk.open_dir(dir).unwrap();
            assert!(names.sync().is_err());
            assert_eq!(disk.list(dir).unwrap(), ["c"], "programs see all changes");
            assert_eq!(disk.is_shut_down(), shuts_down);
            if syncs_again {
                assert_eq!(names.sync().is_ok(), !shuts_down);
            }
            if shuts_down {
                assert!(file.write_at(&[1], 0).is_err());
                assert!(disk.remove(&path("c")).is_err());
                disk.process_loss();
                assert!(disk.rename(&path("c"), &path("d")).is_err());
                assert!(disk.lock(&path("l")).is_err());
            }
            disk.power_loss(seed);
            let names = disk.list(dir).unwrap();
            assert_eq!(names.len(), 1, "{names:?}");
            disk.remove(&path(&names[0])).unwrap();
            outcomes.insert((shuts_down, syncs_again, names[0].clone()));
        }
    }
    let any = ["a", "b", "c"].map(str::to_owned);
    let mut expected = BTreeSet::from([(false, true, "c".to_owned())]);
    expected.extend(any.clone().map(|name| (true, true, name)));
    expected.extend(any.map(|name| (false, false, name)));
    assert_eq!(outcomes, expected);
}
