//! A disk that fills up under load: requests are refused (91), reversals and
//! advices are still accepted from the journal's reserve, nothing dies, and
//! service returns by itself when there is space again.
//!
//! Needs the right to mount a small tmpfs; without it the test says so and
//! passes.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use support::PATIENCE;
use support::books;
use support::daemon::Daemon;
use support::load::{self, Line, Load, Pace};
use support::rng::Rng;
use support::site::{Settings, Site, World};
use support::terminal::{Kind, Terminal};
use tempfile::TempDir;

/// A file system of its own in memory; unmounted when dropped.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// `None`, and a line that says why, where mounting is not allowed.
    fn mount(mib: u32) -> Option<Self> {
        let folder = tempfile::Builder::new()
            .prefix("gapless-disk-")
            .tempdir()
            .unwrap();
        let output = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={mib}m,mode=0700"),
                "gapless-test",
            ])
            .arg(folder.path())
            .output();
        match output {
            Ok(output) if output.status.success() => Some(Self { folder }),
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                eprintln!("SKIPPED: no tmpfs can be mounted here ({why})");
                None
            }
            Err(why) => {
                eprintln!("SKIPPED: mount cannot be run here ({why})");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all the space that is left; it is free again when dropped.
    fn fill(&self) -> Ballast {
        let path = self.path().join("ballast");
        let mut file = File::create(&path).unwrap();
        for piece in [1 << 20, 4096] {
            let zeros = vec![0; piece];
            loop {
                match file.write_all(&zeros) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        Ballast(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A daemon that is still dying may hold it: detach it then.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn steady(_: usize) -> Pace {
    Pace {
        window: 64,
        messages: u64::MAX,
    }
}

/// Load until a purchase is refused.
fn load_until_refused(
    site: &Site,
    link: SocketAddr,
    mut terminals: Vec<Terminal>,
) -> Vec<Terminal> {
    let mut asking = terminals.pop().expect("several terminals");
    let mut line = Line::open(link).unwrap();
    let mut load = Load::start(&site.world, link, terminals, steady);
    let full = load.wait_until(|_| !send(&mut line, &site.world, &mut asking, Kind::Purchase));
    assert!(full, "the terminals have gone");
    load.enough();
    let mut terminals = load.join();
    terminals.push(asking);
    terminals
}

/// One message and its answer; whether it was taken.
fn send(line: &mut Line, world: &World, terminal: &mut Terminal, kind: Kind) -> bool {
    let before = terminal.refused;
    let mut frames = Vec::new();
    let entry = terminal.make(world, kind);
    terminal.send(entry, false, &mut frames);
    exchange(line, terminal, &frames);
    terminal.refused == before
}

/// The reversal of an approved entry; whether it was taken.
fn reverse(line: &mut Line, terminal: &mut Terminal) -> bool {
    let before = terminal.refused;
    let original = terminal
        .entries
        .iter()
        .rposition(|entry| entry.reversible() && entry.is_approved())
        .expect("something was approved");
    let mut frames = Vec::new();
    terminal.reverse(original, &mut frames);
    exchange(line, terminal, &frames);
    terminal.refused == before
}

fn exchange(line: &mut Line, terminal: &mut Terminal, frames: &[u8]) {
    line.send(frames).expect("a daemon that stays");
    let answer = line.receive().expect("a daemon that stays");
    terminal
        .take_answer(&answer)
        .unwrap_or_else(|why| panic!("{why}"));
}

/// While it is full: requests are refused, what must be accepted is.
fn assert_reserve_serves(site: &Site, link: SocketAddr, terminal: &mut Terminal) {
    let mut line = Line::open(link).unwrap();
    for _ in 0..100 {
        assert!(
            !send(&mut line, &site.world, terminal, Kind::Purchase),
            "a purchase was taken"
        );
        assert!(
            send(&mut line, &site.world, terminal, Kind::Advice),
            "an advice was refused"
        );
        assert!(reverse(&mut line, terminal), "a reversal was refused");
    }
}

/// Service returns without anybody's doing.
fn await_service(site: &Site, link: SocketAddr, terminal: &mut Terminal) {
    let patient_until = Instant::now() + PATIENCE;
    let mut line = Line::open(link).unwrap();
    let mut pause = Duration::from_millis(1);
    while !send(&mut line, &site.world, terminal, Kind::Purchase) {
        assert!(
            Instant::now() < patient_until,
            "still refused after {PATIENCE:?}"
        );
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}

fn check(site: &Site, daemon: &mut Daemon, terminals: &mut [Terminal]) -> SocketAddr {
    let addresses = daemon.ready();
    for terminal in &mut *terminals {
        load::settle(addresses.link, terminal);
        let all = terminal.entries.len();
        let newest: Vec<usize> = (all.saturating_sub(500)..all).collect();
        load::repeat(addresses.link, terminal, &newest);
    }
    books::assert_even(addresses.admin, &site.world, terminals);
    addresses.link
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let Some(disk) = SmallDisk::mount(96) else {
        return;
    };
    let settings = Settings {
        data_dir: Some(disk.path().join("data")),
        base_after_events: 20_000,
        ..Settings::default()
    };
    let site = Site::new(World::new(20, 4, 0), &settings);
    let mut rng = Rng::new(3);
    let mut terminals: Vec<Terminal> = (1..=4)
        .map(|number| Terminal::new(number, rng.fork()))
        .collect();
    let mut daemon = site.start();
    let addresses = daemon.ready();

    let ballast = disk.fill();
    terminals = load_until_refused(&site, addresses.link, terminals);
    assert_reserve_serves(&site, addresses.link, &mut terminals[0]);
    assert!(daemon.is_running(), "{}", daemon.log_tail());
    assert_eq!(books::status(addresses.admin, "/healthz"), 200);
    drop(ballast);
    await_service(&site, addresses.link, &mut terminals[1]);
    let pace = |_| Pace {
        window: 64,
        messages: 2_000,
    };
    let mut load = Load::start(&site.world, addresses.link, terminals, pace);
    load.wait_for_answers(3_000);
    daemon.kill();
    let mut terminals = load.join();

    // Full again, and killed while it is.
    let mut daemon = site.start();
    let link = check(&site, &mut daemon, &mut terminals);
    let ballast = disk.fill();
    let mut terminals = load_until_refused(&site, link, terminals);
    daemon.kill();
    // A start needs space: it has enough, or says in one line that it has not.
    let mut daemon = site.start();
    if daemon.try_ready().is_some() {
        eprintln!("a start on the full disk: ready");
    } else {
        assert_eq!(daemon.wait().code(), Some(1));
        let log = daemon.log_tail();
        let last = log.lines().last().unwrap_or_default();
        assert!(last.contains("space"), "{log}");
        eprintln!("a start on the full disk: {last}");
    }
    daemon.kill();
    drop(ballast);

    let mut daemon = site.start();
    check(&site, &mut daemon, &mut terminals);
    daemon.stop();
    site.assert_verified();
}
