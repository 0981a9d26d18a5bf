//! The command `pos` as a script sees it: output and exit status.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use gapless_simulators::Message;
use support::{FakeHost, answer, frame};

struct Pos {
    folder: tempfile::TempDir,
    port: u16,
}

impl Pos {
    fn at(host: &FakeHost) -> Pos {
        Pos {
            folder: tempfile::tempdir().unwrap(),
            port: host.port(),
        }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("pos.toml")
    }

    fn run(&self, args: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_pos"))
            .args(args.split_whitespace())
            .args(["--port", &self.port.to_string(), "--state"])
            .arg(self.state())
            .output()
            .unwrap()
    }

    fn status(&self, args: &str) -> i32 {
        self.run(args).status.code().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A host that answers 00 and writes down what it was asked.
fn recording() -> (FakeHost, Arc<Mutex<Vec<Message>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let host = FakeHost::start(move |request| {
        notes.lock().unwrap().push(request.clone());
        Some(frame(&answer(request, "00")))
    });
    (host, seen)
}

#[test]
fn the_exit_status_is_the_response_code() {
    for (code, status) in [
        ("00", 0),
        ("05", 5),
        ("51", 51),
        ("96", 96),
        ("64", 104),
        ("N7", 104),
    ] {
        let host = FakeHost::answering(code);
        assert_eq!(
            Pos::at(&host).status("purchase --card 17 --amount 12500"),
            status,
            "{code}"
        );
    }
}

#[test]
fn without_an_answer_the_exit_status_says_why() {
    let silent = FakeHost::start(|_| Some(vec![]));
    assert_eq!(Pos::at(&silent).status("echo --timeout 1"), 101);
    let gone = FakeHost::start(|_| None);
    assert_eq!(Pos::at(&gone).status("echo"), 101);
    let garbage = FakeHost::start(|_| Some(b"\x00\x030210".to_vec()));
    let output = Pos::at(&garbage).run("echo");
    assert_eq!(output.status.code(), Some(103));
    assert_eq!(
        text(&output.stderr),
        "pos: malformed answer: message type at offset 0: expected four digits\n"
    );
    let nobody = Pos::at(&garbage);
    drop(garbage);
    assert_eq!(nobody.status("echo"), 102);
}

#[test]
fn wrong_command_lines_send_nothing() {
    let (host, seen) = recording();
    let pos = Pos::at(&host);
    for args in [
        "",
        "buy",
        "purchase --amount 5",
        "purchase --card 1",
        "purchase --card 1 --special 1 --amount 5",
        "purchase --card 1 --amount 5x",
        "purchase --card 1 --amount 1000000000000",
        "purchase --card 1000000000 --amount 5",
        "purchase --card 1 --amount 5 --currency WON",
        "purchase --card 1 --amount 5 --terminal TOO-LONG1",
        "purchase --pan 94100000x --amount 5",
        "transfer --card 1 --amount 5",
        "transfer --pan 9410000000000013 --amount 5 --to 1000000002",
        "reverse",
        "repeat",
        "reverse --de7 1122104512 --stan 7",
        "echo --timeout 0",
        "echo --tls",
        "run nowhere.toml",
    ] {
        assert_eq!(pos.status(args), 64, "{args}");
    }
    assert!(seen.lock().unwrap().is_empty());
    assert_eq!(pos.status("--help"), 0);
    assert_eq!(pos.status("--version"), 0);
}

#[test]
fn output_is_readable_and_shows_no_pan() {
    let host = FakeHost::answering("51");
    let output = Pos::at(&host).run("purchase --pan 9410000000000013 --amount 12500");
    let shown = text(&output.stdout);
    assert!(
        shown.starts_with("-> purchase\n0200 financial request\n"),
        "{shown}"
    );
    assert!(
        shown.contains("002  Primary account number        941000******0013\n"),
        "{shown}"
    );
    assert!(shown.contains("000000012500  (12,500 KRW)"), "{shown}");
    assert!(
        shown.contains("\n<- purchase\n0210 financial response\n"),
        "{shown}"
    );
    assert!(shown.contains("\n51 insufficient funds, "), "{shown}");
    assert!(shown.ends_with(" ms\n"), "{shown}");
    assert!(
        !shown.contains("9410000000000013") && !shown.contains("current-dir"),
        "{shown}"
    );
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_transaction_is_repeated_and_reversed_from_the_state_file() {
    let (host, seen) = recording();
    let pos = Pos::at(&host);
    for args in [
        "cash --card 17 --amount 500",
        "repeat",
        "echo",
        "reverse --advice",
        "repeat",
    ] {
        assert_eq!(pos.status(args), 0, "{args}");
    }
    let seen = seen.lock().unwrap();
    let [cash, cash_again, echo, reversal, reversal_again] = seen.as_slice() else {
        panic!("{seen:?}");
    };
    assert_eq!(cash.get(3), Some("010000"));
    assert_eq!(cash_again, &cash.repeat());
    assert_ne!(echo.get(11), cash.get(11));
    assert_eq!(reversal.mti(), "0420");
    let named = format!("0200{}{}", cash.get(11).unwrap(), cash.get(7).unwrap());
    assert_eq!(
        reversal.get(90).and_then(|d| d.get(..20)),
        Some(named.as_str())
    );
    assert_eq!(reversal.get(38), Some("A12345"));
    assert_eq!(reversal_again, &reversal.repeat());
}

#[test]
fn a_transaction_without_an_answer_can_be_reversed() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let host = FakeHost::start(move |request| {
        notes.lock().unwrap().push(request.clone());
        (request.mti() == "0400").then(|| frame(&answer(request, "00")))
    });
    let pos = Pos::at(&host);
    assert_eq!(pos.status("purchase --card 17 --amount 500"), 101);
    assert_eq!(pos.status("reverse"), 0);
    let seen = seen.lock().unwrap();
    let reversal = seen.last().unwrap();
    assert_eq!(reversal.get(37), seen.first().unwrap().get(37));
    assert_eq!(reversal.get(38), None);
}

#[test]
fn a_reversal_can_be_described_instead() {
    let (host, seen) = recording();
    let pos = Pos::at(&host);
    let args = "reverse --stan 7 --de7 1122104512 --card 17 --amount 500 --rrn R7 --approval A1 \
                --processing 010000 --final-amount 100";
    assert_eq!(pos.status(args), 0);
    let seen = seen.lock().unwrap();
    let reversal = seen.first().unwrap();
    assert_eq!(reversal.mti(), "0400");
    assert_eq!(
        reversal.get(90),
        Some("020000000711221045120000041000100000000000")
    );
    assert_eq!(reversal.get(37), Some("R7          "));
    assert_eq!(reversal.get(3), Some("010000"));
    assert_eq!(
        reversal.get(95).and_then(|d| d.get(..12)),
        Some("000000000100")
    );
}

#[test]
fn every_command_sends_its_message() {
    let (host, seen) = recording();
    let pos = Pos::at(&host);
    let table = [
        (
            "purchase --special 0 --amount 5",
            "0200",
            Some("000000"),
            None,
        ),
        ("cash --card 1 --amount 5", "0200", Some("010000"), None),
        (
            "cashback --card 1 --amount 5 --cashback 2",
            "0200",
            Some("090000"),
            None,
        ),
        ("refund --card 1 --amount 5", "0200", Some("200000"), None),
        ("balance --card 1", "0200", Some("310000"), None),
        ("balance --card 1 --available", "0200", Some("300000"), None),
        (
            "transfer --card 1 --amount 5 --to 1000000002",
            "0200",
            Some("400000"),
            None,
        ),
        ("advice --card 1 --amount 5", "0220", Some("000000"), None),
        (
            "advice --card 1 --amount 5 --of refund",
            "0220",
            Some("200000"),
            None,
        ),
        ("echo", "0800", None, Some("301")),
        ("sign-on", "0800", None, Some("001")),
        ("sign-off", "0800", None, Some("002")),
    ];
    for (args, mti, processing, network) in table {
        assert_eq!(pos.status(args), 0, "{args}");
        let sent = seen.lock().unwrap().pop().unwrap();
        assert_eq!(
            (sent.mti(), sent.get(3), sent.get(70)),
            (mti, processing, network),
            "{args}"
        );
    }
}

#[test]
fn profile_options_reach_the_message() {
    let (host, seen) = recording();
    let pos = Pos::at(&host);
    let args = "purchase --card 1 --amount 5 --terminal T9 --merchant M9 --acquirer 12 \
                --forwarder 34 --currency USD --expiry 2901";
    assert_eq!(pos.status(args), 0);
    let sent = seen.lock().unwrap().pop().unwrap();
    let table = [
        (41, "T9      "),
        (42, "M9             "),
        (32, "12"),
        (33, "34"),
        (49, "840"),
        (14, "2901"),
    ];
    for (de, value) in table {
        assert_eq!(sent.get(de), Some(value), "DE {de}");
    }
}

#[test]
fn a_damaged_state_file_is_named() {
    let host = FakeHost::answering("00");
    let pos = Pos::at(&host);
    std::fs::write(pos.state(), "nonsense").unwrap();
    let output = pos.run("echo");
    assert_eq!(output.status.code(), Some(105));
    assert!(
        text(&output.stderr).contains("pos.toml is damaged"),
        "{:?}",
        output.stderr
    );
}

#[test]
fn scenarios_pass_fail_and_are_refused() {
    let host = FakeHost::answering("00");
    let pos = Pos::at(&host);
    let write = |name: &str, content: &str| {
        let path = pos.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let step = |code: &str| {
        format!(
            "[[step]]\nname = \"echo\"\nsend = {{ command = \"echo\" }}\nexpect = {{ 39 = \"{code}\" }}\n"
        )
    };
    let output = pos.run(&format!("run {}", write("good.toml", &step("00"))));
    assert_eq!(output.status.code(), Some(0));
    assert!(
        text(&output.stdout).ends_with("passed: 1 steps\n"),
        "{:?}",
        output.stdout
    );
    let output = pos.run(&format!("run {}", write("fails.toml", &step("91"))));
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stdout);
    assert!(
        shown.contains("DE 39 (Response code): expected 91, got 00"),
        "{shown}"
    );
    assert!(shown.ends_with("step 1 (echo) failed\n"), "{shown}");
    let output = pos.run(&format!(
        "run {}",
        write("wrong.toml", "[[step]]\nnam = 1\n")
    ));
    assert_eq!(output.status.code(), Some(64));
    assert!(
        text(&output.stderr).contains("wrong.toml:2: unknown field `nam`"),
        "{:?}",
        output.stderr
    );
}

#[test]
fn the_network_scenario_passes_against_any_host_that_approves() {
    let host = FakeHost::answering("00");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/network.toml");
    let output = Pos::at(&host).run(&format!("run {}", file.display()));
    assert_eq!(output.status.code(), Some(0), "{:?}", output.stdout);
}
