//! The batch against a bank that behaves well, is busy, or is wrong.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use gapless_simulators::batch::{self, BatchError, CrashPoint, Event, Options, Report};
use support::admin::{DATE, FakeAdmin, Wrong};

/// A batch that waits for nothing.
fn options(admin: &FakeAdmin) -> Options {
    Options {
        spread: Duration::ZERO,
        wait: Duration::ZERO,
        chunk: 7,
        cutover: true,
        freeze: true,
        date: Some(DATE.parse().unwrap()),
        ..Options::new(&admin.url())
    }
}

fn run(options: &Options) -> Result<Report, BatchError> {
    batch::run(options, &mut |_| {})
}

#[test]
fn a_night_from_the_open_date_to_the_seal() {
    let admin = FakeAdmin::start("open");
    let mut standings = Vec::new();
    let report = batch::run(&options(&admin), &mut |event| {
        if let Event::Window { standing, .. } = event {
            standings.push(*standing);
        }
    })
    .unwrap();
    assert_eq!(standings, ["open", "grace", "frozen"]);
    let bank = admin.bank.lock().unwrap();
    assert!(bank.sealed);
    // 28 accounts get interest: of 30, one has nothing and one is overdrawn,
    // which pays interest and a fee.
    assert_eq!(report.posted.posted, 30);
    assert_eq!(bank.entries.len(), 30);
    let of = |id: &str| bank.entries[id].clone();
    assert_eq!(of("2028-02-29-interest-1"), ("1".to_owned(), 27));
    assert_eq!(
        of("2028-02-29-overdraft-interest-3"),
        ("3".to_owned(), -1_095)
    );
    assert_eq!(of("2028-02-29-overdraft-fee-3"), ("3".to_owned(), -100));
    let told = report.to_string();
    assert!(told.contains("the date is final"), "{told}");
    assert!(report.extract.unwrap().balances["KRW"].accounts == 32);
}

#[test]
fn twice_in_a_row_does_nothing_more() {
    let admin = FakeAdmin::start("frozen");
    let first = run(&options(&admin)).unwrap();
    assert!(!first.is_repetition());
    let second = run(&options(&admin)).unwrap();
    assert!(second.is_repetition());
    assert_eq!((second.posted.posted, second.posted.repeated), (0, 30));
    assert_eq!(first.sealed, second.sealed);
    admin.bank.lock().unwrap().forgotten = true;
    let third = run(&options(&admin)).unwrap();
    assert!(third.is_repetition() && third.extract.is_none());
}

#[test]
fn after_a_crash_anywhere_it_is_run_again() {
    for point in [CrashPoint::Extract, CrashPoint::Entries, CrashPoint::Seal] {
        let admin = FakeAdmin::start("frozen");
        let crashing = Options {
            crash_at: Some(point),
            ..options(&admin)
        };
        match run(&crashing) {
            Err(BatchError::Crashed(at)) => assert_eq!(at, point),
            other => panic!("{other:?}"),
        }
        let before = admin.bank.lock().unwrap().entries.len();
        let expected = match point {
            CrashPoint::Extract => 0,
            // Two chunks of seven; the third broke off on its way.
            CrashPoint::Entries => 14,
            CrashPoint::Seal => 30,
        };
        assert_eq!(before, expected, "{point}");
        let report = run(&options(&admin)).unwrap();
        let count = u64::try_from(before).unwrap();
        assert_eq!(report.posted.repeated, count, "{point}");
        assert_eq!(report.posted.posted, 30 - count);
        assert!(admin.bank.lock().unwrap().sealed);
    }
}

#[test]
fn a_bank_that_is_busy_is_asked_again() {
    let admin = FakeAdmin::start("frozen");
    {
        let mut bank = admin.bank.lock().unwrap();
        bank.busy = 2;
        bank.still_writing = 2;
    }
    let patient = Options {
        wait: Duration::from_secs(60),
        ..options(&admin)
    };
    run(&patient).unwrap();
    let asked = &admin.bank.lock().unwrap().asked;
    assert_eq!(asked.iter().filter(|what| *what == "dates").count(), 3);
    assert_eq!(asked.iter().filter(|what| *what == "manifest").count(), 3);
}

#[test]
fn a_wrong_extract_is_not_worked_on() {
    let table = [
        (Wrong::Byte, "postings.csv has 60 rows"),
        (Wrong::Short, "postings.csv has 59 rows"),
        (Wrong::Posting, "do not sum up to the trial balance"),
        (
            Wrong::Unbalanced,
            "debits of 30436 and credits of 30435 in KRW",
        ),
        (Wrong::Balances, "closing balances in KRW sum up to -1"),
        (Wrong::Date, "it is of 2028-02-28"),
    ];
    for (wrong, says) in table {
        let admin = FakeAdmin::start("frozen");
        admin.bank.lock().unwrap().wrong = wrong;
        let error = run(&options(&admin)).unwrap_err();
        assert!(
            matches!(error, BatchError::Wrong(_)),
            "{wrong:?}: {error:?}"
        );
        assert!(error.to_string().contains(says), "{wrong:?}: {error}");
        let bank = admin.bank.lock().unwrap();
        assert!(bank.entries.is_empty() && !bank.sealed, "{wrong:?}");
    }
}

#[test]
fn refused_entries_keep_the_date_unsealed() {
    let admin = FakeAdmin::start("frozen");
    admin.bank.lock().unwrap().wrong = Wrong::Refuses("5");
    let error = run(&options(&admin)).unwrap_err().to_string();
    assert!(
        error.contains("1 entries were refused, the first: no such account"),
        "{error}"
    );
    assert!(!admin.bank.lock().unwrap().sealed);
    // Somebody else has posted something: the seal's own count says so.
    let admin = FakeAdmin::start("frozen");
    let foreign = ("other".to_owned(), ("5".to_owned(), 1));
    admin.bank.lock().unwrap().entries.extend([foreign]);
    match run(&options(&admin)) {
        Err(BatchError::Refused { step, error, .. }) => {
            assert_eq!(step, "seal");
            assert!(error.contains("not 31 entries"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_a_window_it_says_where_the_date_stands() {
    for phase in ["open", "early", "grace"] {
        let admin = FakeAdmin::start(phase);
        let waiting = Options {
            cutover: false,
            freeze: false,
            ..options(&admin)
        };
        let error = run(&waiting).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("2028-02-29 is still {phase}: no window for the batch")
        );
    }
}

#[test]
fn a_date_that_never_was_is_not_called_sealed() {
    let admin = FakeAdmin::start("open");
    let mistyped = Options {
        date: Some("2018-02-28".parse().unwrap()),
        ..options(&admin)
    };
    let error = run(&mistyped).unwrap_err().to_string();
    assert_eq!(
        error,
        "2018-02-28 is not one of the last dates: next closes 2028-02-29"
    );
}

#[test]
fn the_command_tells_and_exits_as_it_says() {
    let admin = FakeAdmin::start("grace");
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let batch = |more: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_batch"))
            .args([
                "run",
                "--url",
                &admin.url(),
                "--seconds",
                "0",
                "--wait",
                "0",
            ])
            .args(more)
            .output()
            .unwrap();
        let text = String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap();
        (out.status.code().unwrap(), text)
    };
    let (status, text) = batch(&[]);
    assert_eq!(
        (status, text.as_str()),
        (
            65,
            "2028-02-29 is grace\nbatch: 2028-02-29 is still grace: no window for the batch\n"
        )
    );
    let (status, text) = batch(&["--freeze", "--crash-at", "entries"]);
    assert_eq!(status, 70, "{text}");
    let (status, text) = batch(&["--json", Path::new(&json).to_str().unwrap()]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("2028-02-29 is sealed\n"), "{text}");
    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(report["date"], "2028-02-29");
    let (status, text) = batch(&["--date", "2028-02-29"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("everything had been done before"), "{text}");
    let (status, _) = batch(&["--crash-at", "nowhere"]);
    assert_eq!(status, 64);
}
