//! The admin side of a running daemon: dates, accounts, cards, import, totals.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gapless::config::Config;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

const ACCOUNTS: &str = "account,currency,balance_minor,overdraft_minor,status\n";
const CARDS: &str = "pan,expiry,account,status\n";

/// A daemon in this process, on a data directory of its own.
struct Daemon {
    admin: SocketAddr,
    shutdown: CancellationToken,
    thread: Option<JoinHandle<()>>,
    folder: tempfile::TempDir,
}

impl Daemon {
    fn start(admin_keys: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), admin_keys)
    }

    fn start_in(folder: tempfile::TempDir, admin_keys: &str) -> Self {
        let data_dir = folder.path().join("data");
        let text = format!(
            r#"
data_dir = {data_dir:?}
[bank]
currencies = ["KRW", "USD"]
# Half a day after the date, and a long grace: the clock takes no step meanwhile.
cutover = "11:59"
grace_s = 43_200
[engine]
accounts = 4_096
cards = 4_096
remembered_transactions = 4_096
[journal]
segment_mib = 4
[[networks]]
name = "nchl"
id = 7
[admin]
listen = "127.0.0.1:0"
{admin_keys}
"#
        );
        let config = Config::from_text(&folder.path().join("g.toml"), &text).unwrap();
        let shutdown = CancellationToken::new();
        let (tell, started) = mpsc::channel();
        let stop = shutdown.clone();
        let thread = std::thread::spawn(move || {
            let result = gapless::run(&config, &stop, |running| tell.send(running).unwrap());
            if let Err(error) = result {
                panic!("{error}");
            }
        });
        let running = started.recv_timeout(PATIENCE).expect("the daemon starts");
        Self {
            admin: running.admin,
            shutdown,
            thread: Some(thread),
            folder,
        }
    }

    /// Stops in order; the data stays.
    fn stop(mut self) -> tempfile::TempDir {
        self.shutdown.cancel();
        self.thread.take().unwrap().join().unwrap();
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }

    fn agent() -> ureq::Agent {
        ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .build()
            .into()
    }

    #[track_caller]
    fn get(&self, path: &str, status: u16) -> Value {
        let url = format!("http://{}{path}", self.admin);
        let mut response = Self::agent().get(url).call().unwrap();
        let body: Value = response.body_mut().read_json().unwrap();
        assert_eq!(response.status(), status, "{path}: {body}");
        body
    }

    #[track_caller]
    fn step(&self, step: &str, body: &str, status: u16) -> Value {
        let url = format!("http://{}/v1/business-date/{step}", self.admin);
        let mut response = Self::agent().post(url).send(body).unwrap();
        let told: Value = response.body_mut().read_json().unwrap();
        assert_eq!(response.status(), status, "{step} {body}: {told}");
        told
    }

    #[track_caller]
    fn import(&self, kind: &str, file: &str, status: u16) -> Value {
        let url = format!("http://{}/v1/import?kind={kind}", self.admin);
        let mut response = Self::agent().post(url).send(file).unwrap();
        let body: Value = response.body_mut().read_json().unwrap();
        assert_eq!(response.status(), status, "{kind}: {body}");
        body
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || ended.is_ok());
        }
    }
}

fn told(opened: u64, changed: u64, unchanged: u64) -> Value {
    json!({ "opened": opened, "changed": changed, "unchanged": unchanged, "refused": 0, "refusals": [] })
}

/// A PAN from its first fifteen digits.
fn pan(fifteen: u64) -> String {
    let digits = format!("{fifteen:015}");
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(
            |(place, digit)| match (place % 2, u32::from(digit - b'0')) {
                (0, digit) if digit >= 5 => digit * 2 - 9,
                (0, digit) => digit * 2,
                (_, digit) => digit,
            },
        )
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

#[test]
fn accounts_and_cards_come_in_are_found_and_survive_a_restart() {
    let daemon = Daemon::start("");
    let file = format!("{ACCOUNTS}a-1,KRW,5000,0,active\na/2 \u{25},USD,-100,2500,blocked\n");
    assert_eq!(daemon.import("accounts", &file, 200), told(2, 0, 0));
    assert_eq!(daemon.import("accounts", &file, 200), told(0, 0, 2));
    // The balance lives from postings only: another one in the file changes nothing.
    let file = format!("{ACCOUNTS}a-1,KRW,9999,0,active\na/2 \u{25},USD,-100,2500,active\n");
    assert_eq!(daemon.import("accounts", &file, 200), told(0, 1, 1));

    let dates = daemon.get("/v1/business-date", 200);
    let today = dates["default"].as_str().unwrap().to_owned();
    let expected = json!({
        "state": "open", "phase": null, "closing": today, "opening": today, "default": today,
        "ends": [], "networks": [], "rolled_forward": 0,
    });
    assert_eq!(dates, expected);
    let (parts, digits) = (today.split('-'), today.bytes().filter(u8::is_ascii_digit));
    assert_eq!((parts.count(), digits.count()), (3, 8), "{today}");

    let cards = format!(
        "{CARDS}{},3012,a-1,active\n{},2908,a-1,stolen\n",
        pan(941_000_000_000_001),
        pan(941_000_000_000_002)
    );
    assert_eq!(daemon.import("cards", &cards, 200), told(2, 0, 0));

    let check = |daemon: &Daemon| {
        let mut account = daemon.get("/v1/accounts/a-1", 200);
        assert!(account["last_sequence"].take().as_u64().unwrap() > 0);
        let expected = json!({
            "account": "a-1", "currency": "KRW", "ledger_minor": 5000, "available_minor": 5000,
            "held_minor": 0, "overdraft_minor": 0, "status": "active", "role": "customer",
            "business_date": today, "last_sequence": null,
        });
        assert_eq!(account, expected);
        let account = daemon.get("/v1/accounts/a%2F2%20%25", 200);
        assert_eq!(
            (
                &account["currency"],
                &account["ledger_minor"],
                &account["available_minor"]
            ),
            (&json!("USD"), &json!(-100), &json!(2400))
        );

        let last4 = pan(941_000_000_000_002)[12..].to_owned();
        let found = daemon.get(&format!("/v1/cards/{last4}"), 200);
        assert_eq!(found["more"], false);
        let card = &found["cards"][0];
        assert_eq!(found["cards"].as_array().unwrap().len(), 1);
        assert_eq!(
            (
                &card["card"],
                &card["expiry"],
                &card["status"],
                &card["account"]
            ),
            (
                &json!(format!("941000******{last4}")),
                &json!("2908"),
                &json!("stolen"),
                &json!("a-1")
            )
        );
        let token = card["token"].as_str().unwrap();
        assert_eq!(&daemon.get(&format!("/v1/cards/{token}"), 200), card);

        let trial = daemon.get("/v1/trial-balance", 200);
        assert_eq!(trial["balanced"], true, "{trial}");
        let lines = trial["dates"].as_array().unwrap();
        assert!(!lines.is_empty(), "{trial}");
        for line in lines {
            assert_eq!(line["difference_minor"], 0, "{trial}");
            assert_eq!(line["business_date"].as_str(), Some(today.as_str()));
        }
        let krw = lines.iter().find(|line| line["currency"] == "KRW").unwrap();
        assert_eq!(
            (&krw["debit_minor"], &krw["credit_minor"]),
            (&json!(5000), &json!(5000))
        );
        let sums = trial["currencies"].as_array().unwrap();
        let krw = sums.iter().find(|line| line["currency"] == "KRW").unwrap();
        let sums = ["customers_minor", "internal_minor", "sum_minor"].map(|key| &krw[key]);
        assert_eq!(sums, [&json!(5000), &json!(-5000), &json!(0)]);
    };
    check(&daemon);
    let folder = daemon.stop();
    check(&Daemon::start_in(folder, ""));
}

#[test]
#[rustfmt::skip] // one case a line
fn what_is_not_there_or_not_asked_rightly() {
    let daemon = Daemon::start("");
    let check = |path: &str, status: u16, error: &str| {
        assert_eq!(daemon.get(path, status), json!({ "error": error }), "{path}");
    };
    check("/v1/accounts/1", 404, "there is no such account");
    check("/v1/accounts/12345678901234567890123456789", 400, "an account is 1 to 28 printable ASCII characters");
    check("/v1/accounts/%C3%A9", 400, "an account is 1 to 28 printable ASCII characters");
    check("/v1/cards/c-0000000000000001", 404, "there is no such card");
    for card in ["9410000000000005", "12345", "123", "c-1", "c-zzzzzzzzzzzzzzzz", "c-00000000000000001", "+123", "x"] {
        check(&format!("/v1/cards/{card}"), 400, "a card is asked for by its last four digits or its token, never by its PAN");
    }
    assert_eq!(daemon.get("/v1/cards/0005", 200), json!({ "cards": [], "more": false }));
    assert_eq!(daemon.get("/v1/exceptions", 200), json!({ "total": 0, "exceptions": [] }));
    assert_eq!(daemon.get("/v1/networks/totals", 200), json!({ "totals": [], "more": false }));
    let import = |kind: &str, file: &str| daemon.import(kind, file, 400)["error"].as_str().unwrap().to_owned();
    assert_eq!(import("both", CARDS), "?kind=accounts, ?kind=cards or nothing expected");
    assert_eq!(import("cards&x=1", CARDS), "?kind=accounts, ?kind=cards or nothing expected");
    assert_eq!(import("cards", ACCOUNTS), "line 1: the header pan,expiry,account,status expected");
    assert_eq!(import("accounts", ""), "line 1: the header account,currency,balance_minor,overdraft_minor,status expected");
}

#[test]
fn a_file_says_by_its_header_what_it_holds() {
    let daemon = Daemon::start("");
    let import = |file: String| {
        let url = format!("http://{}/v1/import", daemon.admin);
        let mut response = Daemon::agent().post(url).send(file).unwrap();
        response.body_mut().read_json::<Value>().unwrap()
    };
    assert_eq!(
        import(format!("{ACCOUNTS}1,KRW,0,0,active\n")),
        told(1, 0, 0)
    );
    let card = format!("{CARDS}9410000000000005,3012,1,active\n");
    assert_eq!(import(card), told(1, 0, 0));
    assert_eq!(
        import("account,balance\n".to_owned())["error"],
        "line 1: the header account,currency,balance_minor,overdraft_minor,status or \
         pan,expiry,account,status expected"
    );
}

#[test]
fn bad_rows_are_refused_by_line_and_the_rest_goes_on() {
    let daemon = Daemon::start("");
    let file = format!(
        "{ACCOUNTS}1,KRW,0,0,active\n2,KRW,1.5,0,active\n3,EUR,0,0,active\n\n4,KRW,7,0,active\n"
    );
    let expected = json!({
        "opened": 2, "changed": 0, "unchanged": 0, "refused": 2,
        "refusals": [
            { "line": 3, "reason": "balance_minor: an integer in minor units expected, at most 12 digits" },
            { "line": 4, "reason": "the currency is not one of the bank's" },
        ],
    });
    let mut found = daemon.import("accounts", &file, 200);
    let by_line = |refusal: &Value| refusal["line"].as_u64();
    found["refusals"]
        .as_array_mut()
        .unwrap()
        .sort_by_key(by_line);
    assert_eq!(found, expected);

    let card = pan(941_000_000_000_009);
    let file = format!("{CARDS}{card},3012,9,active\n{card},3012,4,active\n");
    let found = daemon.import("cards", &file, 200);
    assert_eq!(
        (&found["opened"], &found["refused"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        found["refusals"],
        json!([{ "line": 2, "reason": "there is no such account" }])
    );

    let mut file = ACCOUNTS.to_owned();
    for line in 0..1000 {
        writeln!(file, "b{line},XXX,0,0,active").unwrap();
        writeln!(file, "c{line},USD,1,0,active").unwrap();
    }
    let found = daemon.import("accounts", &file, 200);
    assert_eq!(
        (&found["opened"], &found["refused"]),
        (&json!(1000), &json!(1000))
    );
    assert_eq!(found["refusals"].as_array().unwrap().len(), 100);
    assert_eq!(daemon.get("/v1/accounts/c999", 200)["ledger_minor"], 1);
    let metrics = format!("http://{}/metrics", daemon.admin);
    let metrics = Daemon::agent()
        .get(metrics)
        .call()
        .unwrap()
        .body_mut()
        .read_to_string()
        .unwrap();
    assert!(metrics.contains("\ngapless_cards 1\n"), "{metrics}");
    assert!(metrics.contains("\ngapless_journal_room 2\n"), "{metrics}");
    assert!(
        metrics.contains("\ngapless_journal_sync_seconds_count "),
        "{metrics}"
    );
}

#[test]
fn the_last_four_digits_list_256_cards_at_most() {
    let daemon = Daemon::start("");
    daemon.import("accounts", &format!("{ACCOUNTS}1,KRW,0,0,active\n"), 200);
    // Ten thousands of PANs apart, their last four digits come again.
    let pans: Vec<String> = (0..3000)
        .map(|index| pan(941_000_000_000_000 + index * 1000))
        .collect();
    let last4 = &pans[0][12..];
    let same = pans.iter().filter(|pan| pan.ends_with(last4)).count();
    assert!(same > 256, "{same}");
    let mut file = CARDS.to_owned();
    for pan in &pans {
        writeln!(file, "{pan},3012,1,active").unwrap();
    }
    assert_eq!(daemon.import("cards", &file, 200), told(3000, 0, 0));
    let found = daemon.get(&format!("/v1/cards/{last4}"), 200);
    assert_eq!(found["more"], true);
    let cards = found["cards"].as_array().unwrap();
    assert_eq!(cards.len(), 256);
    assert!(
        cards
            .iter()
            .all(|card| card["card"].as_str().unwrap().ends_with(last4))
    );
}

/// An upload that has begun: what comes next, and the answer.
struct Upload(TcpStream);

impl Upload {
    fn begin(daemon: &Daemon, length: u64) -> Self {
        let mut stream = TcpStream::connect(daemon.admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "POST /v1/import?kind=accounts HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n"
        )
        .unwrap();
        Self(stream)
    }

    fn send(&mut self, part: &str) {
        self.0.write_all(part.as_bytes()).unwrap();
    }

    fn answer(mut self) -> String {
        let mut answer = String::new();
        self.0.read_to_string(&mut answer).unwrap();
        answer
    }
}

#[test]
fn too_large_a_file_is_refused_before_it_is_sent() {
    let daemon = Daemon::start("max_import_mib = 1");
    let answer = Upload::begin(&daemon, (1 << 20) + 1).answer();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("at most 1048576 bytes"), "{answer}");
}

#[test]
fn a_stalled_upload_ends_and_its_rows_so_far_are_told() {
    let daemon = Daemon::start("read_timeout_s = 1");
    let mut upload = Upload::begin(&daemon, 1 << 20);
    upload.send(ACCOUNTS);
    for row in 0..256 {
        upload.send(&format!("{row},KRW,0,0,active\n"));
    }
    upload.send("half,KR");
    let answer = upload.answer();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(
        answer.contains(r#""error":"the file did not go on","opened":256"#),
        "{answer}"
    );
    daemon.get("/v1/accounts/255", 200);
    daemon.get("/v1/accounts/half", 404);
    // It has left its place to the next.
    let file = format!("{ACCOUNTS}half,KRW,0,0,active\n");
    assert_eq!(daemon.import("accounts", &file, 200), told(1, 0, 0));
}

#[test]
fn one_import_at_a_time_and_look_ups_beside_it() {
    let daemon = Daemon::start("");
    let row = "first,KRW,0,0,active\n";
    let mut upload = Upload::begin(&daemon, (ACCOUNTS.len() + row.len()) as u64);
    upload.send(ACCOUNTS);
    // Once the first has its place, another is refused; before that it may pass.
    let file = format!("{ACCOUNTS}other,KRW,0,0,active\n");
    let url = format!("http://{}/v1/import?kind=accounts", daemon.admin);
    let began = Instant::now();
    while Daemon::agent().post(&url).send(&file).unwrap().status() != 503 {
        assert!(
            began.elapsed() < PATIENCE,
            "another import is refused meanwhile"
        );
    }
    daemon.get("/v1/business-date", 200);
    upload.send(row);
    let answer = upload.answer();
    assert!(answer.contains(r#"{"opened":1,"#), "{answer}");
    daemon.get("/v1/accounts/first", 200);
}

/// The day after a date, YYYY-MM-DD.
fn day_after(date: &str) -> String {
    let date: jiff::civil::Date = date.parse().unwrap();
    date.tomorrow().unwrap().to_string()
}

#[test]
#[rustfmt::skip] // one case a line
fn a_night_by_command() {
    let daemon = Daemon::start("");
    let dates = daemon.get("/v1/business-date", 200);
    let today = dates["closing"].as_str().unwrap().to_owned();
    let tomorrow = day_after(&today);
    let date = |date: &str| json!({ "date": date }).to_string();
    let state = |told: &Value, phase: Value, closing: &str| {
        assert_eq!((&told["phase"], &told["closing"]), (&phase, &json!(closing)), "{told}");
    };

    for (body, error) in [
        ("", "expected"),
        ("{}", "missing field `date`"),
        (r#"{"date":"2026-02-29"}"#, "is no date"),
        (r#"{"date":"2026-2-28"}"#, "is no date"),
        (r#"{"date":"yesterday"}"#, "is no date"),
        (r#"{"date":"2026-02-28","time":"0"}"#, "unknown field"),
        (r#"{"date":"2026-02-28","entries":{"KRW":1},"sum_minor":{"KRW":1}}"#, "only a seal"),
    ] {
        let told = daemon.step("cutover", body, 422);
        assert!(told["error"].as_str().unwrap().contains(error), "{body}: {told}");
    }
    daemon.step("seal", r#"{"date":"2026-02-28","entries":{"KRW":1}}"#, 422);
    daemon.step("seal", r#"{"date":"2026-02-28","entries":{"WON":1},"sum_minor":{"WON":1}}"#, 422);
    daemon.step("open", &date(&today), 404);

    let told = daemon.step("seal", &date(&today), 409);
    assert!(told["error"].as_str().unwrap().contains("has not been cut over"), "{told}");
    state(&told, Value::Null, &today);
    let told = daemon.step("cutover", &date(&tomorrow), 409);
    assert!(told["error"].as_str().unwrap().contains("no date is skipped"), "{told}");

    let done = daemon.step("cutover", &date(&today), 200);
    state(&done, json!("grace"), &today);
    assert_eq!((&done["repeated"], &done["default"]), (&json!(false), &json!(tomorrow)));
    let again = daemon.step("cutover", &date(&today), 200);
    assert_eq!((&again["repeated"], &again["sequence"]), (&json!(true), &done["sequence"]));
    state(&daemon.step("freeze", &date(&today), 200), json!("frozen"), &today);
    let named = json!({ "date": today, "entries": { "KRW": 1 }, "sum_minor": { "KRW": 5 } });
    let told = daemon.step("seal", &named.to_string(), 409);
    assert!(told["error"].as_str().unwrap().contains("names 1 of 5 minor units, posted are 0 of 0"), "{told}");

    // A restart in the middle lands where it was.
    let daemon = Daemon::start_in(daemon.stop(), "");
    let dates = daemon.get("/v1/business-date", 200);
    state(&dates, json!("frozen"), &today);
    assert_eq!(dates["ends"][0]["cutover_sequence"], done["sequence"]);
    assert_eq!(dates["ends"][0]["seal_sequence"], Value::Null);
    state(&daemon.step("seal", &date(&today), 200), Value::Null, &tomorrow);
    assert_eq!(daemon.step("seal", &date(&today), 200)["repeated"], json!(true));
    assert_eq!(daemon.step("cutover", &date(&today), 200)["sequence"], done["sequence"]);
    daemon.get("/v1/trial-balance", 200);
}

/// docs/admin.md names each metric and each path.
#[test]
fn the_reference_is_whole() {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/admin.md")).unwrap();
    for metric in gapless::telemetry::names::ALL {
        let row = format!("| `{}` |", metric.name);
        assert!(text.contains(&row), "{row}");
        assert!(text.contains(metric.help), "{}", metric.help);
    }
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| `gapless_"))
        .count();
    assert_eq!(rows, gapless::telemetry::names::ALL.len());
    let source =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin/mod.rs")).unwrap();
    let paths: Vec<&str> = source
        .split(".route(\"")
        .skip(1)
        .filter_map(|rest| rest.split(['"', '{', '?']).next())
        .collect();
    assert!(paths.len() >= 12, "{paths:?}");
    for path in paths {
        assert!(
            text.contains(&format!("GET {path}")) || text.contains(&format!("POST {path}")),
            "{path}"
        );
    }
}

#[test]
fn stopped_while_it_recovers_it_lets_nobody_in() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let text = format!(
        "data_dir = {data_dir:?}\n[engine]\naccounts = 1_024\ncards = 1_024\n\
         remembered_transactions = 1_024\n[journal]\nsegment_mib = 4\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n"
    );
    let config = Config::from_text(&folder.path().join("g.toml"), &text).unwrap();
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    let started = std::cell::Cell::new(false);
    gapless::run(&config, &shutdown, |_| started.set(true)).unwrap();
    assert!(!started.get());
    // What it had begun is whole.
    let stop = CancellationToken::new();
    let begun = stop.clone();
    gapless::run(&config, &stop, |_| begun.cancel()).unwrap();
}

#[test]
fn a_clock_is_confirmed_by_naming_its_time() {
    let daemon = Daemon::start("");
    let clock = daemon.get("/v1/clock", 200);
    assert_eq!(
        (&clock["trusted"], &clock["jumps"]),
        (&json!(true), &json!(0))
    );
    let confirm = |body: &str, status: u16| {
        let url = format!("http://{}/v1/clock/confirm", daemon.admin);
        let mut response = Daemon::agent().post(url).send(body).unwrap();
        let told: Value = response.body_mut().read_json().unwrap();
        assert_eq!(response.status(), status, "{body}: {told}");
        told
    };
    let wall = clock["wall"].as_str().unwrap();
    let told = confirm(&json!({ "time": wall }).to_string(), 200);
    assert_eq!(told["trusted"], true);
    let told = confirm(r#"{"time":"2019-01-01T00:00:00Z"}"#, 409);
    let why = told["error"].as_str().unwrap();
    assert!(why.contains("five minutes"), "{why}");
    for body in [
        "",
        "{}",
        r#"{"time":"noon"}"#,
        r#"{"time":"1960-01-01T00:00:00Z"}"#,
    ] {
        confirm(body, 422);
    }
    daemon.stop();
}
