//! Little memory for what is remembered: repeats and reversals of transactions whose
//! records lie in files are answered as if they had never left, over TCP, after a kill,
//! and with a damaged file.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use support::load::{self, Line, Load, Pace};
use support::rng::Rng;
use support::site::{Settings, Site, World};
use support::terminal::{Kind, Reversed, Terminal};
use support::{PATIENCE, books};

const IN_MEMORY: u64 = 4_096;
/// Of each terminal, before the follower is waited for.
const MESSAGES: u64 = 250;

fn metric(admin: SocketAddr, name: &str) -> u64 {
    let text = ureq::get(format!("http://{admin}/metrics"))
        .call()
        .unwrap()
        .body_mut()
        .read_to_string()
        .unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

/// Files, oldest first.
fn files(site: &Site) -> Vec<PathBuf> {
    let folder = fs::read_dir(site.data_dir().join("remembered")).unwrap();
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_none());
    files.sort();
    files
}

/// Reverses the oldest that can be, as many as `count`.
fn reverse_oldest(address: SocketAddr, terminal: &mut Terminal, count: usize) {
    let mut line = Line::open(address).unwrap();
    let old: Vec<usize> = (0..terminal.entries.len())
        .filter(|at| terminal.entries[*at].reversible())
        .take(count)
        .collect();
    assert_eq!(old.len(), count);
    for original in old {
        let mut frames = Vec::new();
        terminal.reverse(original, &mut frames);
        line.send(&frames).unwrap();
        let answer = line.receive().unwrap();
        terminal.take_answer(&answer).unwrap();
    }
}

#[test]
fn what_has_left_memory_is_answered_as_the_first_time() {
    let settings = Settings {
        engine: format!("remembered_in_memory = {IN_MEMORY}"),
        base_after_events: 4_000,
        ..Settings::default()
    };
    let site = Site::new(World::new(30, 4, 0), &settings);
    let mut daemon = site.start();
    let addresses = daemon.ready();
    let mut rng = Rng::new(77);
    let mut terminals: Vec<Terminal> = (1..=4)
        .map(|number| Terminal::new(number, rng.fork()))
        .collect();
    let pace = |_| Pace {
        window: 16,
        messages: MESSAGES,
    };
    let patience = Instant::now() + PATIENCE;
    while metric(addresses.admin, "gapless_remembered_transactions") < 2 * IN_MEMORY {
        terminals = Load::start(&site.world, addresses.link, terminals, pace).join();
        // Else requests would be refused until there is room.
        while metric(addresses.admin, "gapless_remembered_in_memory") > IN_MEMORY * 3 / 4 {
            assert!(Instant::now() < patience, "{}", daemon.log_tail());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    let again = |terminals: &mut Vec<Terminal>, address: SocketAddr| {
        for terminal in terminals {
            load::settle(address, terminal);
            let all: Vec<usize> = (0..terminal.entries.len()).collect();
            load::repeat(address, terminal, &all);
        }
    };
    // Everything once more; then the oldest are reversed, and everything once more.
    again(&mut terminals, addresses.link);
    assert!(metric(addresses.admin, "gapless_remembered_fetched") > 100);
    books::assert_even(addresses.admin, &site.world, &terminals);
    for terminal in &mut terminals {
        reverse_oldest(addresses.link, terminal, 40);
    }
    again(&mut terminals, addresses.link);
    books::assert_even(addresses.admin, &site.world, &terminals);
    daemon.kill();

    // What a kill leaves: files, bases and rows that name them, and the journal.
    let mut daemon = site.start();
    let addresses = daemon.ready();
    assert!(metric(addresses.admin, "gapless_remembered_in_memory") <= IN_MEMORY);
    books::assert_even(addresses.admin, &site.world, &terminals);
    reverse_oldest(addresses.link, &mut terminals[0], 40);
    again(&mut terminals, addresses.link);
    books::assert_even(addresses.admin, &site.world, &terminals);
    daemon.stop();
    site.assert_verified();

    // The oldest file is damaged while the daemon runs: 96 for what is about it.
    let mut daemon = site.start();
    let addresses = daemon.ready();
    let oldest = files(&site).remove(0);
    let whole = fs::read(&oldest).unwrap();
    fs::write(&oldest, vec![0; whole.len()]).unwrap();
    let first = terminals[0]
        .entries
        .iter()
        .position(|entry| entry.answer.is_some() && entry.kind != Kind::Advice);
    let entry = &terminals[0].entries[first.unwrap()];
    let mut line = Line::open(addresses.link).unwrap();
    let mut message = entry.message.clone();
    message.mti |= 1;
    let told = entry.answer.as_ref().unwrap().code.clone();
    let reversed = entry.reversed != Reversed::No;
    assert_eq!(line.ask(&message).unwrap().get(39), "96");
    assert!(metric(addresses.admin, "gapless_remembered_unreadable") > 0);
    let log = daemon.log_tail();
    assert!(log.contains(&oldest.display().to_string()), "{log}");
    // Others go on, on the same connection.
    let mut other = Terminal::new(9, rng.fork());
    let mut frames = Vec::new();
    other.send_next(&site.world, &mut frames);
    line.send(&frames).unwrap();
    other.take_answer(&line.receive().unwrap()).unwrap();
    terminals.push(other);
    books::assert_even(addresses.admin, &site.world, &terminals);
    // Restored, it is read again.
    fs::write(&oldest, &whole).unwrap();
    let answer = line.ask(&message).unwrap();
    let due = if reversed { "05" } else { told.as_str() };
    assert_eq!(answer.get(39), due);
    fs::write(&oldest, vec![1; whole.len()]).unwrap();
    daemon.stop();

    // A start makes it anew, from the journal, the same to the byte.
    let mut daemon = site.start();
    let addresses = daemon.ready();
    assert!(fs::read(&oldest).unwrap() == whole);
    again(&mut terminals, addresses.link);
    books::assert_even(addresses.admin, &site.world, &terminals);
    daemon.stop();
    site.assert_verified();
}
