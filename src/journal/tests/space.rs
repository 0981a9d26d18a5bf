//! A full disk: requests stop in time, reversals go on, and service returns
//! by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::{DIR, read_all, sim_options, submit};
use gapless_journal::sim::SimDisk;
use gapless_journal::{
    Disk, DiskDir, DiskFile, DiskLock, FileJournal, HelperMode, Journal, JournalOptions, OpenMode,
    RealDisk, Room, RoomHandle,
};

const SEGMENT: u64 = 4096;
/// Identity file, the current segment, and the reserved one.
const TIGHT: u64 = 8192 + 2 * SEGMENT;

fn options() -> JournalOptions {
    JournalOptions {
        helper: HelperMode::Thread,
        retry_interval: Duration::from_millis(1),
        // Longer than any helper thread is late.
        full_wait: Duration::from_secs(60),
        ..sim_options(SEGMENT)
    }
}

/// Waits for the helper; much longer than it can take, so that a test that
/// must fail does so.
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        thread::yield_now();
    }
}

fn wait_for(room: &RoomHandle, wanted: Room) {
    wait_until("the room wanted", || room.room() == wanted);
}

/// Appends while the room is `room`; returns the payload bytes that went in.
fn fill(journal: &mut FileJournal, room: Room, batch: &mut u64) -> u64 {
    let handle = journal.room_handle();
    let mut bytes = 0;
    while handle.room() == room {
        *batch += 1;
        let last = journal.head() + 1;
        submit(journal, *batch, last, &[7; 100]).unwrap();
        bytes += 100;
    }
    bytes
}

#[test]
fn requests_stop_first_then_everything_and_space_brings_both_back() {
    for quota in [false, true] {
        let disk = SimDisk::new(1);
        let limit = |bytes| {
            if quota {
                disk.set_quota(bytes);
            } else {
                disk.set_capacity(bytes);
            }
        };
        limit(Some(TIGHT));
        let opened = Journal::open(Arc::new(disk.clone()), options()).unwrap();
        let mut journal = opened.journal;
        let room = journal.room_handle();
        assert_eq!(room.room(), Room::Normal);
        let mut batch = 0;
        let normal = fill(&mut journal, Room::Normal, &mut batch);
        assert_eq!(room.room(), Room::Reserved);
        assert!(normal >= 500, "{normal}");
        let reserved = fill(&mut journal, Room::Reserved, &mut batch);
        assert_eq!(room.room(), Room::Full);
        // Most of a segment, for reversals and advices alone.
        assert!(reserved > SEGMENT / 3, "{reserved}");
        wait_until("a fault", || room.fault().is_some());
        assert!(room.fault().is_none_or(|fault| fault.is_no_space()));
        // What was decided before that still finds its place.
        for _ in 0..5 {
            batch += 1;
            let last = journal.head() + 1;
            submit(&mut journal, batch, last, &[7; 100]).unwrap();
        }
        limit(Some(TIGHT + 2 * SEGMENT));
        wait_for(&room, Room::Normal);
        limit(None);
        fill_segments(&mut journal, &mut batch, 4);
        wait_for(&room, Room::Normal);
        wait_until("no fault", || room.fault().is_none());
        let arc: Arc<dyn Disk> = Arc::new(disk.clone());
        let groups = read_all(&arc, Path::new(DIR), 1, journal.head()).unwrap();
        assert_eq!(groups.len() as u64, batch);
    }
}

fn fill_segments(journal: &mut FileJournal, batch: &mut u64, count: u64) {
    let room = journal.room_handle();
    for _ in 0..count * SEGMENT / 200 {
        wait_for(&room, Room::Normal);
        *batch += 1;
        let last = journal.head() + 1;
        submit(journal, *batch, last, &[7; 100]).unwrap();
    }
}

#[test]
fn released_segments_are_space_too() {
    let disk = SimDisk::new(2);
    disk.set_capacity(Some(TIGHT));
    let mut journal = Journal::open(Arc::new(disk.clone()), options())
        .unwrap()
        .journal;
    let room = journal.room_handle();
    let mut batch = 0;
    fill(&mut journal, Room::Normal, &mut batch);
    fill(&mut journal, Room::Reserved, &mut batch);
    journal.retention().release_before(journal.head());
    wait_for(&room, Room::Reserved);
    assert_eq!(journal.retention().disk_bytes(), 2 * SEGMENT);
}

#[test]
fn a_start_on_a_full_disk_uses_what_is_reserved() {
    let disk = SimDisk::new(3);
    disk.set_capacity(Some(TIGHT));
    let mut journal = Journal::open(Arc::new(disk.clone()), options())
        .unwrap()
        .journal;
    let mut batch = 0;
    fill(&mut journal, Room::Normal, &mut batch);
    let head = journal.head();
    drop(journal);
    disk.process_loss();
    let opened = Journal::open(Arc::new(disk.clone()), options()).unwrap();
    assert_eq!(opened.head, head);
    let mut journal = opened.journal;
    assert_eq!(journal.room_handle().room(), Room::Reserved);
    fill(&mut journal, Room::Reserved, &mut batch);
    let head = journal.head();
    drop(journal);
    disk.process_loss();
    // Nothing is left: a clear error, and nothing lost once there is space.
    let error = Journal::open(Arc::new(disk.clone()), options()).unwrap_err();
    assert!(error.is_no_space(), "{error}");
    disk.set_capacity(None);
    assert_eq!(Journal::open(Arc::new(disk), options()).unwrap().head, head);
}

#[test]
fn a_caller_that_ignores_a_full_journal_gets_an_error_and_loses_nothing() {
    let disk = SimDisk::new(4);
    disk.set_capacity(Some(TIGHT));
    let options = JournalOptions {
        full_wait: Duration::ZERO,
        ..options()
    };
    let mut journal = Journal::open(Arc::new(disk.clone()), options.clone())
        .unwrap()
        .journal;
    let mut batch = 0;
    let error = loop {
        batch += 1;
        let last = journal.head() + 1;
        if let Err(error) = submit(&mut journal, batch, last, &[7; 100]) {
            break error;
        }
    };
    assert!(error.is_no_space(), "{error}");
    let head = journal.head();
    assert_eq!(head, batch - 1);
    drop(journal);
    disk.process_loss();
    disk.set_capacity(None);
    assert_eq!(Journal::open(Arc::new(disk), options).unwrap().head, head);
}

/// A disk on which no segment's name can be taken away.
#[derive(Debug)]
struct Stuck(SimDisk);

impl Stuck {
    fn refuses(&self, path: &Path) -> std::io::Result<()> {
        let name = path.file_name().unwrap().to_string_lossy();
        if name.starts_with("journal-") {
            return Err(std::io::ErrorKind::PermissionDenied.into());
        }
        Ok(())
    }
}

impl Disk for Stuck {
    fn open(&self, path: &Path, mode: OpenMode) -> std::io::Result<Box<dyn DiskFile>> {
        self.0.open(path, mode)
    }
    fn list(&self, dir: &Path) -> std::io::Result<Vec<String>> {
        self.0.list(dir)
    }
    fn remove(&self, path: &Path) -> std::io::Result<()> {
        self.refuses(path)?;
        self.0.remove(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        self.refuses(from)?;
        self.0.rename(from, to)
    }
    fn open_dir(&self, dir: &Path) -> std::io::Result<Box<dyn DiskDir>> {
        self.0.open_dir(dir)
    }
    fn create_dir_all(&self, dir: &Path) -> std::io::Result<()> {
        self.0.create_dir_all(dir)
    }
    fn lock(&self, path: &Path) -> std::io::Result<Box<dyn DiskLock>> {
        self.0.lock(path)
    }
    fn free_bytes(&self, dir: &Path) -> std::io::Result<u64> {
        self.0.free_bytes(dir)
    }
}

#[test]
fn what_cannot_be_released_keeps_nothing_from_being_prepared() {
    let mut journal = Journal::open(Arc::new(Stuck(SimDisk::new(5))), options())
        .unwrap()
        .journal;
    let room = journal.room_handle();
    let mut batch = 0;
    for _ in 0..8 {
        fill_segments(&mut journal, &mut batch, 1);
        journal.retention().release_before(journal.head());
    }
    wait_until("a fault that says what", || {
        (room.fault()).is_some_and(|fault| fault.to_string().contains("cannot release"))
    });
    // It is tried again and again, and not counted among what is kept meanwhile.
    let retention = journal.retention();
    wait_until("the segment is still there", || retention.first() == 1);
}

#[test]
fn a_segment_that_somebody_removed_counts_as_released() {
    let disk = SimDisk::new(6);
    let mut journal = Journal::open(Arc::new(disk.clone()), options())
        .unwrap()
        .journal;
    let mut batch = 0;
    fill_segments(&mut journal, &mut batch, 4);
    disk.remove(&common::segment(1)).unwrap();
    journal.retention().release_before(journal.head());
    let retention = journal.retention();
    wait_until("a release", || retention.first() > 1);
    fill_segments(&mut journal, &mut batch, 4);
    wait_until("no fault", || journal.room_handle().fault().is_none());
}

/// A mounted tmpfs, unmounted when dropped.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(bytes: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(dir.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(dir)),
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                eprintln!("SKIPPED: no tmpfs may be mounted here: {why}");
                None
            }
            Err(error) => {
                eprintln!("SKIPPED: no tmpfs may be mounted here: {error}");
                None
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let path = self.0.path();
        Command::new("umount").arg("-l").arg(path).status().unwrap();
    }
}

#[test]
fn a_small_tmpfs_fills_up_and_recovers() {
    let Some(tmpfs) = Tmpfs::mount(1 << 20) else {
        return;
    };
    let options = JournalOptions {
        retry_interval: Duration::from_millis(1),
        ..JournalOptions::small(tmpfs.path("journal"), 64 << 10)
    };
    let mut journal = Journal::open(Arc::new(RealDisk), options.clone())
        .unwrap()
        .journal;
    let room = journal.room_handle();
    // Something else takes all that is left.
    let ballast = tmpfs.path("ballast");
    let mut batch = 0;
    while room.fault().is_none() {
        let free = RealDisk.free_bytes(&options.dir).unwrap();
        let mut bytes = std::fs::read(&ballast).unwrap_or_default();
        bytes.resize(bytes.len() + free as usize, 1);
        drop(std::fs::write(&ballast, &bytes));
        batch += 1;
        let last = journal.head() + 1;
        submit(&mut journal, batch, last, &[7; 1000]).unwrap();
    }
    fill(&mut journal, Room::Normal, &mut batch);
    fill(&mut journal, Room::Reserved, &mut batch);
    assert_eq!(room.room(), Room::Full);
    assert!(room.fault().is_some_and(|fault| fault.is_no_space()));
    std::fs::remove_file(&ballast).unwrap();
    wait_for(&room, Room::Normal);
    let head = journal.head();
    drop(journal);
    assert_eq!(
        Journal::open(Arc::new(RealDisk), options).unwrap().head,
        head
    );
}
