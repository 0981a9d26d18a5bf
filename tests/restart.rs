//! Stopping in order, starting again, and a data directory that is taken.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use support::books;
use support::daemon::Addresses;
use support::load::{self, Load, Pace};
use support::rng::Rng;
use support::site::{Settings, Site, World};
use support::terminal::Terminal;

const WINDOWS: [usize; 4] = [1, 8, 32, 64];

fn terminals(seed: u64) -> Vec<Terminal> {
    let mut rng = Rng::new(seed);
    (1..=WINDOWS.len() as u64)
        .map(|number| Terminal::new(number, rng.fork()))
        .collect()
}

/// Each terminal with its own number of requests under way, until the daemon ends.
fn busy(site: &Site, addresses: &Addresses, terminals: Vec<Terminal>) -> Load {
    let pace = |at: usize| Pace {
        window: WINDOWS[at],
        messages: u64::MAX,
    };
    Load::start(&site.world, addresses.link, terminals, pace)
}

/// SIGTERM under load, three times over: every request that was read is
/// answered, and what was not answered has had no effect. After the restart the
/// accounts hold exactly what the answers said, before anything is repeated.
#[test]
fn a_drain_answers_all_that_it_has_read() {
    let site = Site::new(World::new(20, 4, 0), &Settings::default());
    let mut terminals = terminals(11);
    for stop_after in [1, 500, 3_000] {
        let mut daemon = site.start();
        let addresses = daemon.ready();
        books::assert_even(addresses.admin, &site.world, &terminals);
        for terminal in &mut terminals {
            load::settle(addresses.link, terminal);
        }
        let mut load = busy(&site, &addresses, terminals);
        assert!(load.wait_for_answers(stop_after), "{}", daemon.log_tail());
        daemon.terminate();
        let status = daemon.wait();
        assert_eq!(status.code(), Some(0), "{}", daemon.log_tail());
        terminals = load.join();
    }
    let mut daemon = site.start();
    let addresses = daemon.ready();
    books::assert_even(addresses.admin, &site.world, &terminals);
    for terminal in &mut terminals {
        load::settle(addresses.link, terminal);
        let all: Vec<usize> = (0..terminal.entries.len()).collect();
        load::repeat(addresses.link, terminal, &all);
    }
    books::assert_even(addresses.admin, &site.world, &terminals);
    daemon.stop();
    site.assert_verified();
}

/// Without checkpoints there are no rows; a start begins from base file and journal.
/// Rows of before are left alone; when checkpoints are on again a base file is newer.
#[test]
fn checkpoints_can_be_off() {
    let settings = |checkpoints: bool| Settings {
        base_after_events: 1_000,
        store: format!("checkpoints = {checkpoints}"),
        ..Settings::default()
    };
    let site = Site::new(World::new(20, 4, 0), &settings(false));
    let mut terminals = terminals(12);
    for (checkpoints, source) in [
        (false, "the journal alone"),
        (false, "base file"),
        (true, "base file"),
        (true, "sled's rows"),
        (false, "base file"),
        (true, "base file"),
    ] {
        site.configure(&settings(checkpoints));
        let mut daemon = site.start();
        let addresses = daemon.ready();
        let log = std::fs::read_to_string(site.log()).unwrap();
        let recovered = log.lines().rfind(|line| line.contains("recovered"));
        let recovered = recovered.expect("a line that tells the source");
        assert!(recovered.contains(source), "{source}: {recovered}");
        books::assert_even(addresses.admin, &site.world, &terminals);
        for terminal in &mut terminals {
            load::settle(addresses.link, terminal);
        }
        let mut load = busy(&site, &addresses, terminals);
        // The next start is to find another base file, which the follower writes in its own time.
        let base = || books::get(addresses.admin, "/v1/status")["base"].as_u64();
        let before = base();
        let has_base = || base() > before;
        let busy = load.wait_until(|answers| answers >= 3_000 && has_base());
        assert!(busy, "{}", daemon.log_tail());
        daemon.terminate();
        assert_eq!(daemon.wait().code(), Some(0), "{}", daemon.log_tail());
        terminals = load.join();
        site.assert_verified();
    }
}

/// SIGTERM with no traffic, right after the start: nothing holds it up.
#[test]
fn an_idle_daemon_stops_with_open_connections() {
    let site = Site::new(World::new(1, 1, 0), &Settings::default());
    let mut daemon = site.start();
    let addresses = daemon.ready();
    let idle = load::Line::open(addresses.link).unwrap();
    daemon.stop();
    drop(idle);
}

/// Two daemons on one journal would each overwrite what the other has promised.
#[test]
fn a_data_directory_belongs_to_one_process() {
    let site = Site::new(World::new(4, 1, 0), &Settings::default());
    let mut daemon = site.start();
    let addresses = daemon.ready();
    let mut second = site.start();
    assert!(second.try_ready().is_none(), "a second daemon came up");
    let status = second.wait();
    assert!(!status.success() && status.code().is_some(), "{status}");
    let log = second.log_tail();
    let named = site.data_dir().display().to_string();
    assert!(log.contains(&named), "the error names the folder:\n{log}");
    assert!(log.contains("another process"), "... and says why:\n{log}");
    assert!(!log.contains("panicked"), "{log}");
    // The first has not been disturbed.
    let mut terminals = terminals(5);
    load::settle(addresses.link, &mut terminals[0]);
    let pace = |_| Pace {
        window: 8,
        messages: 200,
    };
    let terminals = Load::start(&site.world, addresses.link, terminals, pace).join();
    books::assert_even(addresses.admin, &site.world, &terminals);
    daemon.stop();
    site.assert_verified();
}
