//! Whole nights: the daemon with both networks of the shipped example and the
//! bank's batch, over real TCP, through the simulators as anybody runs them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/inside.rs"]
mod inside;

use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use gapless_simulators::batch::{self, BatchError, CrashPoint};
use gapless_simulators::network::{Control, CutoverDate, Event, Network, Options, Profile, Report};
use inside::Daemon;
use serde_json::Value;

/// The longest that a test waits for an event that must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A network at work in a thread of its own.
struct AtWork {
    control: Control,
    events: Receiver<Event>,
    thread: JoinHandle<Report>,
}

impl AtWork {
    fn start(daemon: &Daemon, name: &str) -> AtWork {
        let profile = Profile {
            address: daemon.link(name).to_string(),
            ..Profile::named(name).unwrap()
        };
        let date = daemon.get("/v1/business-date")["default"]
            .as_str()
            .unwrap()
            .parse();
        let network = Network::new(Options {
            rate: 60,
            lasts: None,
            date: Some(date.unwrap()),
            ..Options::new(profile)
        })
        .unwrap();
        let control = network.control();
        let (tell, events) = channel();
        let thread = std::thread::spawn(move || {
            // Nobody may be listening any more.
            network
                .run(&mut |event| drop(tell.send(event.clone())))
                .unwrap()
        });
        AtWork {
            control,
            events,
            thread,
        }
    }

    /// Waits for an event like this.
    fn until(&self, what: &str, like: impl Fn(&Event) -> bool) {
        loop {
            let event = self.events.recv_timeout(PATIENCE);
            if like(&event.unwrap_or_else(|_| panic!("{what}"))) {
                return;
            }
        }
    }

    /// Waits for so many more answers.
    fn answered(&self, more: u32) {
        // What has been answered before the question does not count.
        while self.events.try_recv().is_ok() {}
        for _ in 0..more {
            self.until("an answer", |event| matches!(event, Event::Answered { .. }));
        }
    }

    fn finish(self) -> Report {
        self.control.stop();
        self.thread.join().unwrap()
    }
}

fn night(daemon: &Daemon, date: &str, crash_at: Option<CrashPoint>) -> batch::Options {
    batch::Options {
        date: Some(date.parse().unwrap()),
        cutover: true,
        freeze: true,
        spread: Duration::from_secs(1),
        wait: PATIENCE,
        crash_at,
        ..batch::Options::new(&format!("http://{}", daemon.running.admin))
    }
}

/// No answer that a night would have caused, and everything in balance.
fn assert_good(report: &Report) {
    assert!(report.is_good(), "{report}");
    let codes: Vec<&str> = report.by_code.keys().map(String::as_str).collect();
    // Reversed before it came, lost card, no money: as on any day.
    let expected = ["00", "05", "41", "51"];
    assert!(codes.iter().all(|code| expected.contains(code)), "{report}");
}

#[test]
fn a_night_with_both_networks_and_a_batch_that_crashes_and_runs_twice() {
    let daemon = Daemon::start("networks.toml");
    let dates = daemon.get("/v1/business-date");
    let date = dates["closing"].as_str().unwrap().to_owned();
    let (east, west) = (
        AtWork::start(&daemon, "east"),
        AtWork::start(&daemon, "west"),
    );
    east.answered(60);
    west.answered(60);

    // East cuts over before the bank.
    east.control.cut_over();
    east.until("a cutover", |event| matches!(event, Event::CutOver { .. }));
    east.answered(30);

    // The batch falls over wherever it can, while both networks trade.
    for point in [CrashPoint::Extract, CrashPoint::Entries, CrashPoint::Seal] {
        match batch::run(&night(&daemon, &date, Some(point)), &mut |_| {}) {
            Err(BatchError::Crashed(at)) => assert_eq!(at, point),
            other => panic!("{other:?}"),
        }
        assert_eq!(daemon.get("/v1/business-date")["phase"], "frozen");
        east.answered(20);
        west.answered(20);
    }
    let report = batch::run(&night(&daemon, &date, None), &mut |_| {}).unwrap();
    assert!(!report.seal_repeated, "{report}");
    assert_eq!(
        report.posted.posted, 0,
        "the last crash was before the seal alone"
    );
    assert!(report.posted.repeated >= 10_000, "{report}");
    let again = batch::run(&night(&daemon, &date, None), &mut |_| {}).unwrap();
    assert!(again.is_repetition(), "{again}");
    assert_eq!(again.sealed, report.sealed);
    let digests = |report: &batch::Report| -> Vec<String> {
        let extract = report.extract.as_ref().unwrap();
        extract
            .files
            .iter()
            .map(|file| file.sha256.clone())
            .collect()
    };
    assert_eq!(digests(&again), digests(&report), "the same to the byte");
    assert_eq!(daemon.get("/v1/business-date")["state"], "open");

    // West cuts over after the bank, with its line down, and is asked by us, too.
    west.answered(20);
    west.control.lose_line(Duration::from_millis(300));
    west.control.cut_over();
    west.until(
        "our own totals",
        |event| matches!(event, Event::Reconciled(one) if one.response_code.is_none()),
    );
    west.answered(20);

    let (east, west) = (east.finish(), west.finish());
    assert_good(&east);
    assert_good(&west);
    // Each date that ended, both ways, and the one that has not.
    assert_eq!(
        (east.reconciled.len(), west.reconciled.len()),
        (3, 3),
        "{east}\n{west}"
    );
    assert!(west.stand_in.forwarded > 0, "{west}");
    let exceptions = daemon.get("/v1/exceptions");
    assert_eq!(exceptions["total"], 0, "{exceptions}");
    assert_eq!(daemon.get("/v1/trial-balance")["balanced"], true);
    verify(daemon);
}

#[test]
fn a_network_lives_through_a_restart_in_the_night() {
    let daemon = Daemon::start("networks.toml");
    let dates = daemon.get("/v1/business-date");
    let date = dates["closing"].as_str().unwrap().to_owned();
    let east = AtWork::start(&daemon, "east");
    east.answered(30);
    let crash = night(&daemon, &date, Some(CrashPoint::Entries));
    let crashed = batch::run(&crash, &mut |_| {});
    assert!(
        matches!(crashed, Err(BatchError::Crashed(_))),
        "{crashed:?}"
    );
    let frozen: Value = daemon.get("/v1/business-date");
    let daemon = daemon.restart();
    east.until("forwarding", |event| {
        matches!(event, Event::Forwarded { .. })
    });
    let after = daemon.get("/v1/business-date");
    assert_eq!(after["phase"], "frozen");
    let (before, after) = (&frozen["ends"][0], &after["ends"][0]);
    assert_eq!(after["freeze_sequence"], before["freeze_sequence"]);
    // Half a chunk was on its way when the batch fell over: more may have been posted.
    let entries = |day: &Value| day["entries"]["KRW"].as_u64().unwrap();
    assert!(entries(after) >= entries(before), "{before} {after}");
    let report = batch::run(&night(&daemon, &date, None), &mut |_| {}).unwrap();
    assert!(
        report.posted.posted > 0 && report.posted.repeated > 0,
        "{report}"
    );
    east.control.cut_over();
    east.answered(20);
    let east = east.finish();
    assert_good(&east);
    assert_eq!(east.stand_in.times, 1, "{east}");
    verify(daemon);
}

#[test]
fn single_messages_of_either_network_are_taken() {
    use gapless_simulators::network::{Once, speak_once};
    let daemon = Daemon::start("networks.toml");
    let today = daemon.get("/v1/business-date")["default"]
        .as_str()
        .unwrap()
        .to_owned();
    let tomorrow: jiff::civil::Date = today.parse().unwrap();
    let tomorrow = tomorrow.tomorrow().unwrap();
    for (name, style) in [("east", CutoverDate::New), ("west", CutoverDate::Ended)] {
        let profile = Profile {
            address: daemon.link(name).to_string(),
            ..Profile::named(name).unwrap()
        };
        assert_eq!(profile.cutover_date, style);
        for what in [
            Once::SignOn,
            Once::Echo,
            Once::Cutover(tomorrow),
            Once::SignOff,
        ] {
            let spoken = speak_once(&profile, &what, PATIENCE).unwrap();
            assert_eq!(
                spoken.answer.response_code(),
                Some("00"),
                "{name}: {what:?}"
            );
        }
    }
    // Either way of naming it came to the same date.
    let networks = daemon.get("/v1/business-date")["networks"].clone();
    for network in networks.as_array().unwrap() {
        assert_eq!(
            network["settlement_date"],
            tomorrow.to_string(),
            "{networks}"
        );
    }
}

/// Stops the daemon, and has the books recomputed from what it left.
fn verify(daemon: Daemon) {
    let left = daemon.stop();
    let out = Command::new(env!("CARGO_BIN_EXE_gapless"))
        .args(["verify", "--data-dir"])
        .arg(left.path().join("data"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&out.stdout).into_owned();
    let error = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(0), "{told}{error}");
}
