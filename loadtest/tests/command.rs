//! The command itself: exit statuses, files, and the baselines as servers.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gapless-loadtest"));
    command.args(arguments);
    command
}

fn output(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// A baseline that ends with the test.
struct Baseline {
    child: Child,
    address: String,
}

impl Baseline {
    fn start(kind: &str, dir: &Path) -> Self {
        let mut child = command(&["baseline", kind, "--dir"])
            .arg(dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().rsplit_once('=').unwrap().1.to_owned();
        Self { child, address }
    }
}

impl Drop for Baseline {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_run_against_null_is_told_in_a_table_json_and_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let null = Baseline::start("null", dir.path());
    let (told, page) = (dir.path().join("a.json"), dir.path().join("a.html"));
    let done = command(&["run", "--echo", "--rate", "500,1000", "--seconds", "1"])
        .args(["--target", &null.address, "--connections", "3", "--quiet"])
        .args(["--assert", "lost=0", "--assert", "accepted>=1500"])
        .arg("--json")
        .arg(&told)
        .arg("--html")
        .arg(&page)
        .output()
        .unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(0), "{text}");
    for line in [
        "open loop, 500, 1,000/s on 3 connections, 1 s each",
        "assert lost=0: holds (0)",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let told = json(&told);
    assert_eq!(told["total"]["accepted"], 1_500);
    let phases = told["phases"].as_array().unwrap();
    let of = |phase: &Value| {
        (
            phase["label"].as_str().unwrap().to_owned(),
            phase["offered"].clone(),
        )
    };
    assert_eq!(of(&phases[0]), ("500/s".to_owned(), 500.into()));
    assert_eq!(of(&phases[1]), ("1000/s".to_owned(), 1_000.into()));
    let offered: u64 = told["timeline"]["slices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|slice| slice["offered"].as_u64().unwrap())
        .sum();
    assert_eq!(offered, 1_500);
    let page = fs::read_to_string(page).unwrap();
    // Throughput, latency, percentiles, latency against rate.
    assert_eq!(page.matches("<svg ").count(), 4);
}

#[test]
fn null_durable_has_written_what_it_sends_back() {
    let dir = tempfile::tempdir().unwrap();
    let durable = Baseline::start("null-durable", dir.path());
    let done = output(&[
        "run",
        "--echo",
        "--target",
        &durable.address,
        "--requests",
        "3000",
        "--connections",
        "4",
        "--in-flight",
        "8",
        "--quiet",
    ]);
    let text = String::from_utf8(done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(0), "{text}");
    let bytes = fs::read(dir.path().join("null-durable.bin")).unwrap();
    // Each request names its acceptor once, and the frames stand without a gap.
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let requests = bytes[..end]
        .windows(8)
        .filter(|window| *window == b"LOADTEST")
        .count();
    assert_eq!(requests, 3_000);
}

#[test]
fn exit_statuses_tell_apart_what_went_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let null = Baseline::start("null", dir.path());
    let target = null.address.as_str();
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let mix = dir.path().join("mix.toml");
    fs::write(&mix, "[mix]\npurchase = 1\nbuy = 2\n").unwrap();
    let mix = mix.to_str().unwrap();
    for (arguments, status, told) in [
        (
            vec![
                "--target",
                target,
                "--echo",
                "--requests",
                "10",
                "--assert",
                "p50<1ns",
            ],
            3,
            "assert p50<1ns: MISSED",
        ),
        (
            vec!["--target", &nobody, "--requests", "1"],
            3,
            "connect: Connection refused",
        ),
        (
            vec!["--target", target, "--mix-file", mix],
            2,
            "mix.toml:3: \"buy\" is no type; known are purchase, cash",
        ),
        (
            vec!["--target", target, "--dialect", "iso88"],
            2,
            "--dialect iso88: neither a built-in dialect (iso87-ascii",
        ),
        (
            vec!["--target", target, "--assert", "p98<1ms"],
            2,
            "\"p98\" is not known",
        ),
        (
            vec![
                "--target",
                target,
                "--ledger",
                "--admin",
                &format!("http://{nobody}"),
            ],
            1,
            "the books before the run: ",
        ),
    ] {
        let done = output(&[&["run", "--quiet"], arguments.as_slice()].concat());
        let text = [done.stdout, done.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(done.status.code(), Some(status), "{text}");
        assert!(text.contains(told), "{told}: {text}");
    }
}

#[test]
fn saturation_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let null = Baseline::start("null", dir.path());
    let told = dir.path().join("s.json");
    let done = command(&["saturate", "--echo", "--target", &null.address, "--quiet"])
        .args(["--from", "200", "--to", "400", "--step-seconds", "1"])
        // No machine is so busy.
        .args(["--p99-us", "60000000", "--json"])
        .arg(&told)
        .output()
        .unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(0), "{text}");
    assert!(
        text.contains("up to 400/s, the highest rate tried"),
        "{text}"
    );
    assert_eq!(json(&told)["points"].as_array().unwrap().len(), 2);
    // And none is so quick.
    let done = output(&[
        "saturate",
        "--echo",
        "--target",
        &null.address,
        "--quiet",
        "--from",
        "200",
        "--step-seconds",
        "1",
        "--p99-us",
        "1",
    ]);
    let text = String::from_utf8(done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(3), "{text}");
    assert!(text.contains("not under 0.001 ms even at 200/s"), "{text}");
}
