//! The daemon as a terminal meets it: over TCP, with `iso8583_rs`, an
//! implementation that is not ours, as the client. The shipped configuration and
//! demo data, the shipped scenarios, and what other tools rely on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/inside.rs"]
mod inside;

use std::path::{Path, PathBuf};

use gapless_simulators::scenario::Scenario;
use gapless_simulators::{DemoCard, Message};
use inside::{Daemon, root};
use serde_json::Value;

fn scenarios(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    files
}

fn text(message: &Message, field: u8) -> String {
    message.get(field).unwrap_or_default().to_owned()
}

#[test]
fn every_scenario_passes_and_passes_again() {
    let daemon = Daemon::start("gapless.toml");
    let files = scenarios(&root().join("simulators/scenarios"));
    assert!(files.len() >= 8, "{files:?}");
    for round in 0..2 {
        for (at, file) in files.iter().enumerate() {
            let scenario = Scenario::load(file).unwrap();
            let mut terminal = daemon.terminal(&format!("E2E{round}{at:04}"));
            let mut told = String::new();
            let result = scenario.run(&mut terminal, |step| {
                for mismatch in &step.mismatches {
                    told.push_str(&format!("{mismatch:?}\n"));
                }
            });
            assert!(result.is_ok(), "{}: {result:?}\n{told}", file.display());
        }
    }
    let trial = daemon.get("/v1/trial-balance");
    assert_eq!(trial["balanced"], true, "{trial}");
}

#[test]
fn accounts_and_dates_read_as_other_tools_rely_on() {
    let daemon = Daemon::start("gapless.toml");
    let mut terminal = daemon.terminal("E2ENAMES");
    let card = DemoCard::regular(4711).unwrap();
    let request = terminal.till.purchase(&card, 2_500).unwrap();
    let answer = terminal.exchange(&request).unwrap();
    assert_eq!((answer.mti(), text(&answer, 39).as_str()), ("0210", "00"));

    // A read sees every answer given before it was asked.
    let account = daemon.get("/v1/accounts/1000004711");
    let dates = daemon.get("/v1/business-date");
    let day = dates["default"].as_str().unwrap();
    assert_eq!(account["account"], "1000004711");
    assert_eq!(account["currency"], "KRW");
    assert_eq!(account["ledger_minor"], 99_997_500);
    assert_eq!(account["available_minor"], 99_997_500);
    assert_eq!(account["held_minor"], 0);
    assert_eq!(account["business_date"], day);
    assert_eq!(dates["state"], "open");
    assert_eq!(dates["phase"], Value::Null);
    assert_eq!(
        (&dates["closing"], &dates["opening"]),
        (&dates["default"], &dates["default"])
    );
    // DE 15 is the business date, MMDD.
    assert_eq!(text(&answer, 15), format!("{}{}", &day[5..7], &day[8..10]));
    assert_eq!(daemon.get("/v1/accounts/2000000006")["currency"], "USD");
}

#[test]
fn what_the_request_must_get_back_comes_back() {
    let daemon = Daemon::start("gapless.toml");
    let mut terminal = daemon.terminal("E2EECHO1");
    let request = terminal
        .till
        .purchase(&DemoCard::regular(12).unwrap(), 100)
        .unwrap();
    let answer = terminal.exchange(&request).unwrap();
    for field in [2, 3, 4, 7, 11, 12, 13, 32, 37, 41, 42, 49] {
        assert_eq!(answer.get(field), request.get(field), "DE {field}");
    }
    for field in [14, 35, 52, 55] {
        assert_eq!(answer.get(field), None, "DE {field} is never returned");
    }
    assert_eq!(text(&answer, 38).len(), 6);
}

#[test]
fn one_account_serves_all_three_links() {
    // The BCD and the hexadecimal link are spoken to by hand: iso8583_rs has no
    // specification of theirs here. A purchase of 1,000 over each.
    let daemon = Daemon::start("gapless.toml");
    let card = DemoCard::regular(77).unwrap();
    for (name, stan) in [("pos-bcd", "000077"), ("pos-hex", "000078")] {
        let dialect = if name == "pos-bcd" {
            "iso87-bcd"
        } else {
            "iso87-ascii-hex"
        };
        let answer = by_hand::exchange(daemon.link(name), dialect, &card.pan, stan);
        assert_eq!(answer, ("0210".to_owned(), "00".to_owned()), "{name}");
    }
    assert_eq!(
        daemon.get("/v1/accounts/1000000077")["ledger_minor"],
        99_998_000
    );
}

/// Frames written and read with our own codec, for the links that the simulators do not speak.
mod by_hand {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};

    use gapless_iso8583::{Dialect, Mti, Scratch};

    pub fn exchange(address: SocketAddr, dialect: &str, pan: &str, stan: &str) -> (String, String) {
        let bcd = dialect == "iso87-bcd";
        let dialect = Dialect::builtin(dialect).unwrap();
        let mut body = Vec::new();
        if bcd {
            body.extend([0x60, 0x00, 0x01, 0x00, 0x02]);
        }
        let mut builder = dialect.builder(&mut body, Mti::from_ascii(*b"0200").unwrap());
        builder
            .text(2, pan.as_bytes())
            .text(3, b"000000")
            .text(4, b"000000001000")
            .text(7, b"1122100000")
            .text(11, stan.as_bytes())
            .text(14, b"3012")
            .text(41, b"HAND0001")
            .text(49, b"410");
        builder.finish().unwrap();
        drop(builder);
        let mut stream = TcpStream::connect(address).unwrap();
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        stream.write_all(&[&length[..], &body].concat()).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).unwrap();
        let message = if bcd {
            // The TPDU comes back with its addresses swapped.
            assert_eq!(answer[..5], [0x60, 0x00, 0x02, 0x00, 0x01]);
            &answer[5..]
        } else {
            &answer[..]
        };
        let message = dialect.decode(message).unwrap();
        let code = message
            .text(39, &mut Scratch::default())
            .unwrap()
            .unwrap()
            .to_vec();
        (message.mti().to_string(), String::from_utf8(code).unwrap())
    }
}
