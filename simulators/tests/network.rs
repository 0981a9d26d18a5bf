//! The card network over real sockets, against a host that behaves as it is told.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gapless_simulators::Message;
use gapless_simulators::network::{
    self, Control, Event, Network, NetworkFile, Once, Options, Profile, RunError, speak_once,
};
use support::ledger::Host;
use support::{FakeHost, frame};

/// What a test does with a message before the host's ledger hears of it: a number
/// counts the messages of all connections.
type Twist = dyn Fn(u64, &Message) -> Twisted + Send + Sync;

enum Twisted {
    /// Heard and answered.
    No,
    /// Heard, and not answered.
    Mute,
    /// Not even heard: the line is cut.
    Cut,
    /// Heard, and the line is cut before the answer.
    CutAfter,
}

fn host(
    twist: impl Fn(u64, &Message) -> Twisted + Send + Sync + 'static,
) -> (FakeHost, Arc<Mutex<Host>>) {
    let ledger = Arc::new(Mutex::new(Host::default()));
    let count = Mutex::new(0);
    let (heard, twist): (_, Box<Twist>) = (Arc::clone(&ledger), Box::new(twist));
    let host = FakeHost::start(move |message| {
        let number = {
            let mut count = count.lock().unwrap();
            *count += 1;
            *count
        };
        let twisted = twist(number, message);
        if matches!(twisted, Twisted::Cut) {
            return None;
        }
        let answer = heard.lock().unwrap().hear(message);
        match twisted {
            Twisted::Mute => Some(Vec::new()),
            Twisted::CutAfter => None,
            _ => Some(frame(&answer)),
        }
    });
    (host, ledger)
}

fn options(host: &FakeHost) -> Options {
    let profile = Profile {
        address: host.address(),
        ..Profile::named("east").unwrap()
    };
    Options {
        rate: 300,
        lasts: Some(Duration::from_secs(1)),
        date: Some("2028-02-28".parse().unwrap()),
        ..Options::new(profile)
    }
}

/// Runs a network, and does something each time that so many have been answered.
fn run_and_then(options: Options, after: u64, then: impl Fn(&Control) + Copy) -> network::Report {
    let network = Network::new(options).unwrap();
    let control = network.control();
    let mut answered = 0;
    network
        .run(&mut |event| {
            if matches!(event, Event::Answered { .. }) {
                answered += 1;
                if answered == after {
                    then(&control);
                }
            }
        })
        .unwrap()
}

#[test]
fn a_day_with_cutover_and_outage_is_in_balance() {
    let (host, ledger) = host(|_, _| Twisted::No);
    let report = run_and_then(options(&host), 50, |control| {
        control.cut_over();
        control.lose_line(Duration::from_millis(200));
    });
    assert!(report.is_good(), "{report}");
    assert_eq!(report.cutovers, ["2028-02-29".parse().unwrap()]);
    assert_eq!(report.reconciled.len(), 2, "{report}");
    assert_eq!(report.stand_in.times, 1);
    assert!(report.stand_in.forwarded > 0, "{report}");
    let ledger = ledger.lock().unwrap();
    // Signed on after every connect.
    assert_eq!(ledger.heard.iter().filter(|mti| *mti == "0500").count(), 2);
    assert!(ledger.totals["0229"].debits.count > 0);
}

#[test]
fn a_host_that_cuts_the_line_again_and_again_is_in_balance_at_the_end() {
    let (host, _) = host(|number, _| match number % 97 {
        50 => Twisted::Cut,
        90 => Twisted::CutAfter,
        _ => Twisted::No,
    });
    let report = network::run(options(&host), &mut |_| {}).unwrap();
    assert!(report.is_good(), "{report}");
    assert!(report.stand_in.times >= 3, "{report}");
    assert_eq!(report.stand_in.stored, report.stand_in.forwarded);
}

#[test]
fn answers_that_get_lost_are_asked_for_again() {
    let (host, _) = host(|number, message| {
        let first = message.mti().ends_with('0') && !message.mti().starts_with("08");
        if first && number % 10 == 0 {
            Twisted::Mute
        } else {
            Twisted::No
        }
    });
    let mut options = options(&host);
    options.profile.answer_timeout = Duration::from_millis(100);
    let report = network::run(options, &mut |_| {}).unwrap();
    assert!(report.is_good(), "{report}");
    assert!(report.repeats >= 20, "{report}");
    // A slow machine repeats more, but nobody is left without an answer.
    assert_eq!(report.unanswered, 0);
}

#[test]
fn a_host_that_never_answers_requests_gets_reversals() {
    let (host, ledger) = host(|_, message| {
        if message.mti().starts_with("020") {
            Twisted::Mute
        } else {
            Twisted::No
        }
    });
    let mut options = options(&host);
    options.rate = 20;
    options.profile.answer_timeout = Duration::from_millis(50);
    let report = network::run(options, &mut |_| {}).unwrap();
    assert!(!report.is_good());
    assert!(report.unanswered > 0, "{report}");
    assert!(report.sent.doubtful_reversals > 0, "{report}");
    let ledger = ledger.lock().unwrap();
    // What it posted, it has given back.
    let figures = ledger.totals["0228"];
    assert!(figures.debit_reversals.count > 0);
    assert_eq!(ledger.heard_times("0201") % 3, 0, "three repeats each");
}

#[test]
fn what_is_remembered_carries_over_to_the_next_run() {
    let (host, ledger) = host(|_, _| Twisted::No);
    let folder = tempfile::tempdir().unwrap();
    let file = NetworkFile::at(&folder.path().join("east.json"));
    let remembering = |seed| Options {
        file: Some(file.clone()),
        seed,
        lasts: Some(Duration::from_millis(300)),
        ..options(&host)
    };
    for seed in [1, 2] {
        let report = network::run(remembering(seed), &mut |_| {}).unwrap();
        assert!(report.is_good(), "{report}");
    }
    let (memory, cut_off) = file.load().unwrap().unwrap();
    assert!(!cut_off);
    let ours = memory.books.of("2028-02-28".parse().unwrap(), "410");
    assert_eq!(ours, ledger.lock().unwrap().totals["0228"]);
    // A network that has forgotten is out of balance, and says so.
    file.forget().unwrap();
    let report = network::run(remembering(3), &mut |_| {}).unwrap();
    assert!(!report.is_good());
    assert!(report.to_string().contains("OUT OF BALANCE"), "{report}");
}

#[test]
fn no_host_no_run() {
    let (host, _) = host(|_, _| Twisted::Cut);
    let address = host.address();
    let mut options = options(&host);
    drop(host);
    options.start_within = Duration::from_millis(300);
    options.profile.address = address.clone();
    match network::run(options, &mut |_| {}) {
        Err(RunError::NoHost { address: at, .. }) => assert_eq!(at, address),
        other => panic!("{other:?}"),
    }
}

#[test]
fn single_messages() {
    let (host, ledger) = host(|_, _| Twisted::No);
    let profile = Profile {
        address: host.address(),
        ..Profile::named("east").unwrap()
    };
    let patient = Duration::from_secs(30);
    let date = "2028-03-01".parse().unwrap();
    for (what, shown) in [
        (Once::SignOn, "001"),
        (Once::SignOff, "002"),
        (Once::Echo, "301"),
        (Once::Cutover(date), "201"),
    ] {
        let spoken = speak_once(&profile, &what, patient).unwrap();
        assert_eq!(spoken.request.get(70), Some(shown));
        assert_eq!(spoken.answer.response_code(), Some("00"));
    }
    let nothing = network::Figures::default();
    let totals = Once::Totals(date, "410".to_owned(), nothing);
    let spoken = speak_once(&profile, &totals, patient).unwrap();
    assert_eq!(spoken.answer.get(66), Some("1"));
    // Signed on before echo, cutover and totals.
    assert_eq!(ledger.lock().unwrap().heard_times("0800"), 4 + 3);
}

#[test]
fn the_command_tells_and_exits_as_it_says() {
    let (host, _) = host(|_, _| Twisted::No);
    let folder = tempfile::tempdir().unwrap();
    let (state, json) = (folder.path().join("s.json"), folder.path().join("r.json"));
    let network = |args: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_network"))
            .args(args)
            .args(["--addr", &host.address()])
            .args(["--state", state.to_str().unwrap()])
            .output()
            .unwrap();
        let text = String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap();
        (out.status.code().unwrap(), text)
    };
    let run = [
        "run",
        "--rate",
        "50",
        "--seconds",
        "1",
        "--date",
        "2028-02-28",
    ];
    let (status, text) = network(&[&run[..], &["--json", json.to_str().unwrap()]].concat());
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("2028-02-28 in 410: in balance"), "{text}");
    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(report["network"], "east");
    assert_eq!(report["unanswered"], 0);
    // What was remembered is compared, and the cutover is remembered.
    let (status, text) = network(&["reconcile", "--date", "2028-02-28"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("in balance (DE 66 1)"), "{text}");
    let (status, text) = network(&["reconcile", "--date", "2028-02-27"]);
    assert_eq!(status, 0, "{text}");
    let (status, text) = network(&["cutover", "--date", "2028-02-29"]);
    assert_eq!(status, 0, "{text}");
    // A network that has forgotten does not agree.
    let (status, text) = network(&[&run[..], &["--forget"]].concat());
    assert_eq!(status, 1, "{text}");
    // What cannot be meant, and what is not there.
    for wrong in [
        &["run", "--seconds", "5", "--cutover-after", "5"][..],
        &["run", "--disconnect-after", "5"],
        &["run", "--rate", "0"],
        &["run", "--cutover-at", "25:00"],
        &["run", "--acquirer", "12x"],
        &["run", "--framing", "binary4"],
        &["run", "--zone", "Asia/Nowhere"],
        &["run", "--dialect", "iso93-ascii"],
    ] {
        let (status, text) = network(wrong);
        assert_eq!(status, 64, "{wrong:?}: {text}");
    }
    drop(host);
}

#[test]
fn a_signal_ends_the_traffic_and_not_the_settling() {
    let (host, _) = host(|_, _| Twisted::No);
    let mut child = Command::new(env!("CARGO_BIN_EXE_network"))
        .args([
            "run",
            "--no-state",
            "--rate",
            "50",
            "--addr",
            &host.address(),
        ])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    // It is at work.
    assert_eq!(lines.next().unwrap().unwrap(), "east: signed on");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest:?}");
    assert_eq!(rest.last().unwrap(), "  good");
}
