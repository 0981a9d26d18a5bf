//! The daemon is killed (SIGKILL) under load, at start, while it imports and
//! while it writes base files, again and again over the same data directory.
//! Every answer that was ever given must stand afterwards, and every approval
//! must be in the books once.
//!
//! Longer campaigns: `docs/testing.md`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use support::books;
use support::daemon::{Addresses, Daemon};
use support::load::{self, Load, Pace};
use support::rng::Rng;
use support::site::{Settings, Site, World};
use support::terminal::Terminal;

/// When the daemon dies.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Right after the first answers have come.
    FirstAnswers,
    /// With everything under way.
    FullLoad,
    /// While a base file is being written.
    BaseWrite,
    /// While it drains after SIGTERM.
    Draining,
}

const MOMENTS: [Moment; 4] = [
    Moment::FullLoad,
    Moment::BaseWrite,
    Moment::FirstAnswers,
    Moment::Draining,
];

/// What else happens to the data directory before the next start.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Nothing,
    StoreGone,
    StoreCorrupt,
    BaseCorrupt,
    StoreGoneAndBaseCorrupt,
}

const DAMAGES: [Damage; 5] = [
    Damage::Nothing,
    Damage::StoreGone,
    Damage::StoreCorrupt,
    Damage::StoreGoneAndBaseCorrupt,
    Damage::BaseCorrupt,
];

/// Windows of the terminals: a lone message, and crowds.
const WINDOWS: [usize; 6] = [1, 4, 8, 16, 32, 64];

/// Rounds over one data directory; then a campaign takes a new one.
const ROUNDS_PER_SITE: u64 = 10;

/// Events between two base files: few, so that one is always being written, or so
/// many that starts lean on sled and the journal instead.
const BASE_AFTER_EVENTS: [u64; 2] = [1_000, 100_000];

struct Campaign {
    rng: Rng,
    base_after_events: u64,
    site: Site,
    terminals: Vec<Terminal>,
    /// How long the last start took until it was ready.
    start_time: Duration,
    /// How often sled was damaged, noticed or not.
    corruptions: usize,
    /// How often a base file was.
    damaged_bases: usize,
    rounds: usize,
    /// The base file that was damaged last: at most one is at a time, since two
    /// are kept.
    damaged: Option<PathBuf>,
}

impl Campaign {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let base_after_events = BASE_AFTER_EVENTS[(seed % 2) as usize];
        let settings = Settings {
            base_after_events,
            // Large ones take several of sled's writes, and a kill between two of them.
            checkpoint_every_ms: if seed.is_multiple_of(2) { 5 } else { 100 },
            ..Settings::default()
        };
        let terminals = (1..=WINDOWS.len() as u64)
            .map(|number| Terminal::new(number, rng.fork()))
            .collect();
        Self {
            site: Site::new(World::new(40, 8, 2_000), &settings),
            rng,
            base_after_events,
            terminals,
            start_time: Duration::from_millis(100),
            damaged: None,
            corruptions: 0,
            damaged_bases: 0,
            rounds: 0,
        }
    }

    /// Kills some starts before one is let through.
    fn start(&mut self, kills: u64) -> (Daemon, Addresses) {
        for _ in 0..kills {
            let daemon = self.site.start();
            self.draw_moment(self.start_time);
            daemon.kill();
        }
        let started = Instant::now();
        let mut daemon = self.site.start();
        let addresses = daemon.ready();
        self.start_time = started.elapsed();
        (daemon, addresses)
    }

    /// Lets a random time pass: it is the moment that is drawn, nothing is
    /// expected to have happened by then.
    fn draw_moment(&mut self, at_most: Duration) {
        let longest = u64::try_from(at_most.as_micros()).unwrap();
        let drawn = self.rng.within(0, longest.max(1));
        thread::sleep(Duration::from_micros(drawn));
    }

    /// All that was answered stands, and what was not is now answered once.
    fn check(&mut self, addresses: Addresses, every_entry: bool) {
        for terminal in &mut self.terminals {
            load::settle(addresses.link, terminal);
        }
        books::assert_even(addresses.admin, &self.site.world, &self.terminals);
        for terminal in &mut self.terminals {
            let all = terminal.entries.len();
            let some: Vec<usize> = if every_entry {
                (0..all).collect()
            } else {
                // The newest, whose answers the kill has caught up with, and any others.
                let newest = all.saturating_sub(100)..all;
                newest
                    .chain((0..all.min(100)).map(|_| self.rng.index(all)))
                    .collect()
            };
            load::repeat(addresses.link, terminal, &some);
        }
        books::assert_even(addresses.admin, &self.site.world, &self.terminals);
    }

    /// Load, and the kill in the middle of it.
    fn load_and_kill(&mut self, moment: Moment, daemon: Daemon, addresses: Addresses) {
        let pace = |at: usize| Pace {
            window: WINDOWS[at],
            messages: u64::MAX,
        };
        let bases = base_files(self.site.data_dir());
        let mut load = Load::start(
            &self.site.world,
            addresses.link,
            std::mem::take(&mut self.terminals),
            pace,
        );
        let alive = match moment {
            Moment::FirstAnswers => load.wait_for_answers(self.rng.within(1, 20)),
            Moment::FullLoad | Moment::Draining => {
                load.wait_for_answers(self.rng.within(200, 6_000))
            }
            Moment::BaseWrite => load.wait_until(|_| base_files(self.site.data_dir()) != bases),
        };
        assert!(alive, "the terminals have gone\n{}", daemon.log_tail());
        if matches!(moment, Moment::Draining) {
            daemon.terminate();
        }
        self.draw_moment(Duration::from_millis(2));
        daemon.kill();
        self.terminals = load.join();
        // What a kill leaves behind is whole, before any start has mended it.
        self.assert_verified();
    }

    /// `gapless verify` finds nothing; or what we have damaged, if that still stands.
    fn assert_verified(&self) {
        match &self.damaged {
            Some(path) if path.exists() => {
                let output = self.site.verify();
                let told = String::from_utf8_lossy(&output.stderr);
                let named = told.contains(&path.display().to_string());
                assert!(named && !output.status.success(), "verify: {told}");
            }
            _ => self.site.assert_verified(),
        }
    }

    /// Whether another base file may be damaged: one of the two that are kept must
    /// stay whole.
    fn damaged_is_gone(&self) -> bool {
        self.damaged.as_ref().is_none_or(|path| !path.exists())
    }

    fn damage(&mut self, damage: Damage) {
        let data_dir = self.site.data_dir().to_owned();
        let (store, base) = match damage {
            Damage::Nothing => return,
            Damage::StoreGone => (Some(true), false),
            Damage::StoreCorrupt => (Some(false), false),
            Damage::BaseCorrupt => (None, true),
            Damage::StoreGoneAndBaseCorrupt => (Some(true), true),
        };
        match store {
            Some(true) => fs::remove_dir_all(store_folder(&data_dir)).unwrap(),
            Some(false) => {
                self.corruptions += 1;
                // Mostly the rows themselves: a damaged settings file is found at once.
                let mut found = files(&store_folder(&data_dir));
                found.sort_by_key(|file| fs::metadata(file).unwrap().len());
                let file = match self.rng.percent(75) {
                    true => found.pop(),
                    false => found.into_iter().next(),
                };
                if let Some(file) = file {
                    self.flip(&file, 200);
                }
            }
            None => {}
        }
        if base
            && self.damaged_is_gone()
            && let Some(newest) = newest_base(&data_dir)
        {
            self.flip(&newest, 1);
            self.damaged_bases += 1;
            self.damaged = Some(newest);
        }
    }

    /// Flips bits at random places.
    fn flip(&mut self, path: &Path, places: usize) {
        let mut bytes = fs::read(path).unwrap();
        if bytes.is_empty() {
            return;
        }
        for _ in 0..places {
            let at = self.rng.index(bytes.len());
            bytes[at] ^= 1 << self.rng.index(8);
        }
        fs::write(path, bytes).unwrap();
    }

    fn round(&mut self, round: u64) {
        self.rounds += 1;
        let few_bases = self.base_after_events == BASE_AFTER_EVENTS[1];
        let moment = match MOMENTS[round as usize % MOMENTS.len()] {
            Moment::BaseWrite if few_bases => Moment::FullLoad,
            moment => moment,
        };
        // Without bases sled is left alone mostly: what a kill made of it is the point.
        let damage = match round {
            4 | 8 if few_bases => DAMAGES[round as usize / 4],
            _ if few_bases => Damage::Nothing,
            _ => DAMAGES[round as usize % DAMAGES.len()],
        };
        let kills = if round == 0 { 3 } else { self.rng.within(0, 4) };
        let (daemon, addresses) = self.start(kills);
        self.check(addresses, false);
        self.load_and_kill(moment, daemon, addresses);
        self.damage(damage);
    }

    fn finish(&mut self) {
        let (daemon, addresses) = self.start(1);
        self.check(addresses, true);
        books::assert_idle_untouched(addresses.admin, &self.site.world, 37);
        daemon.stop();
        self.assert_verified();
        self.report();
    }

    /// What this bank has been through, so that a campaign shows what it covers.
    fn report(&self) {
        let messages: usize = self
            .terminals
            .iter()
            .map(|terminal| terminal.entries.len())
            .sum();
        let refused: u64 = self.terminals.iter().map(|terminal| terminal.refused).sum();
        let log = fs::read_to_string(self.site.log()).unwrap();
        let starts_from = |source: &str| {
            let from = format!("source={source}");
            log.lines().filter(|line| line.contains(&from)).count()
        };
        let bases = log
            .lines()
            .filter(|line| line.contains("base file written and verified"))
            .count();
        eprintln!(
            "{messages} messages, {refused} times refused with 91, all accounted for; \
             starts from sled {}, from a base file {}, from the journal alone {}; \
             base files written {bases}, damaged {}",
            starts_from("sled"),
            starts_from("base file"),
            starts_from("the journal"),
            self.damaged_bases,
        );
        // Else a bank of many base files shows nothing about them.
        if self.base_after_events == BASE_AFTER_EVENTS[0] {
            assert!(bases > self.rounds / 2, "{bases} base files");
            if self.rounds >= DAMAGES.len() {
                assert!(self.damaged_bases > 0 && starts_from("base file") > 0);
            }
        }
        // A kill alone is no reason to set sled aside, unless it came before the first
        // checkpoint. Nor is a damaged base file.
        let thrown_away: Vec<&str> = log
            .lines()
            .filter(|line| {
                line.contains("gapless_store::load") && line.contains("sled is set aside")
            })
            .filter(|line| !line.contains("no checkpoint was ever finished"))
            .collect();
        for line in &thrown_away {
            eprintln!("  {line}");
        }
        assert!(
            thrown_away.len() <= self.corruptions,
            "sled was thrown away more often than it was damaged"
        );
    }
}

/// Where sled lives.
fn store_folder(data_dir: &Path) -> PathBuf {
    data_dir.join("sled")
}

/// Base files, finished and unfinished, oldest first.
fn base_files(data_dir: &Path) -> BTreeSet<PathBuf> {
    files(&data_dir.join("base")).into_iter().collect()
}

/// The newest finished base file: `base-` and its sequence.
fn newest_base(data_dir: &Path) -> Option<PathBuf> {
    let is_finished = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        let sequence = name.and_then(|name| name.strip_prefix("base-"));
        sequence.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
    };
    base_files(data_dir).into_iter().rfind(is_finished)
}

/// The files of a folder, if it is there; what vanishes meanwhile is left out.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// Rounds over as many data directories as they need; a failure tells how to
/// have it again.
fn campaign(seed: u64, rounds: u64) {
    let mut left = rounds;
    let mut site = 0;
    while left > 0 {
        let some = left.min(ROUNDS_PER_SITE);
        let seed = seed.wrapping_add(site);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut campaign = Campaign::new(seed);
            for round in 0..some {
                campaign.round(round);
            }
            campaign.finish();
        }));
        if let Err(why) = outcome {
            eprintln!(
                "to have it again: GAPLESS_KEEP=1 GAPLESS_CRASH_SEED={seed} GAPLESS_CRASH_ROUNDS={some} \
                 cargo test --test crash -- --ignored campaign --nocapture"
            );
            resume_unwind(why);
        }
        left -= some;
        site += 1;
    }
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn every_answer_stands_with_many_base_files() {
    campaign(2, 5);
}

#[test]
fn every_answer_stands_with_few_base_files() {
    campaign(1, 5);
}

#[test]
#[ignore = "hundreds of rounds: docs/testing.md"]
fn long_campaign() {
    let seed = from_environment("GAPLESS_CRASH_SEED").unwrap_or_else(|| {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap();
        since.as_secs()
    });
    let rounds = from_environment("GAPLESS_CRASH_ROUNDS").unwrap_or(300);
    eprintln!("GAPLESS_CRASH_SEED={seed} GAPLESS_CRASH_ROUNDS={rounds}");
    campaign(seed, rounds);
}

/// Killed at points spread over a first start, the import included: the next
/// start takes it up again, and every account is there with its balance, once.
#[test]
fn an_import_that_was_killed_is_taken_up_again() {
    let world = World::new(40, 8, 10_000);
    let mut rng = Rng::new(7);
    let unhindered = {
        let site = Site::new(world.clone(), &Settings::default());
        let started = Instant::now();
        let mut daemon = site.start();
        daemon.ready();
        started.elapsed()
    };
    let site = Site::new(world, &Settings::default());
    for eighth in 1..8u64 {
        let daemon = site.start();
        // The moment is what is drawn; nothing is expected to have happened by then.
        let longest = u64::try_from(unhindered.as_micros()).unwrap() * eighth / 8;
        thread::sleep(Duration::from_micros(
            rng.within(longest / 2, longest.max(1)),
        ));
        daemon.kill();
    }
    let mut daemon = site.start();
    let addresses = daemon.ready();
    books::assert_even(addresses.admin, &site.world, &[]);
    books::assert_idle_untouched(addresses.admin, &site.world, 13);
    let last = site.world.idle_accounts().last().unwrap();
    assert_eq!(books::balance(addresses.admin, &last.0), last.1);
    daemon.stop();
    site.assert_verified();
}
