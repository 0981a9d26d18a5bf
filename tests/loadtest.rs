//! The load tester against the real daemon: money is right over a night in
//! mid-run, and where it is not, it says which account.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use gapless_loadtest::admin::Admin;
use gapless_loadtest::audit::{Audit, Opening};
use gapless_loadtest::cards::{Cards, Range};
use gapless_loadtest::host::Host;
use gapless_loadtest::measure::{Rounds, cards, wait_until_quiet};
use gapless_loadtest::night::{Conductor, Entries, Night};
use gapless_loadtest::open_loop::{self, Control, Outcome};
use gapless_loadtest::plan::{Amounts, Plan};
use gapless_loadtest::variants::{Variants, What};
use support::daemon::{Addresses, Daemon};
use support::site::{Settings, Site, World};

const ACCOUNTS: usize = 60;

/// A bank whose clock takes no step by itself while a test runs; some of its
/// accounts are poor, so that there are declines.
fn bank() -> (Site, Daemon, Addresses) {
    let settings = Settings {
        bank: "cutover = \"11:59\"\ngrace_s = 43_200".to_owned(),
        ..Settings::default()
    };
    let site = Site::new(World::new(ACCOUNTS - 10, 10, 0), &settings);
    let mut daemon = site.start();
    let addresses = daemon.ready();
    (site, daemon, addresses)
}

fn plan(addresses: Addresses, mix: &str, lasts: Duration) -> Plan {
    Plan {
        cards: Arc::new(Cards::Range(Range {
            prefix: 941_000,
            count: ACCOUNTS as u32,
            first_account: 1_000_000_000,
        })),
        mix: mix.parse().unwrap(),
        connections: 4,
        // A busy machine is no fault here.
        timeout: Duration::from_secs(60),
        ledger: true,
        ..Plan::open(addresses.link, 400, lasts)
    }
}

fn admin(addresses: Addresses) -> Admin {
    Admin::new(&format!("http://{}", addresses.admin), None).unwrap()
}

/// Runs with a night of its own in the second third.
fn with_night(plan: &Plan, admin: &Admin, entries: &Entries) -> (Outcome, Night) {
    let control = Control::new(plan);
    let over = AtomicBool::new(false);
    let conductor = Conductor {
        admin,
        control: &control,
        over: &over,
        lasts: plan.lasts().unwrap(),
    };
    thread::scope(|scope| {
        let night = scope.spawn(|| conductor.own(entries));
        let outcome = open_loop::run(plan, &control, |_| {}).unwrap();
        over.store(true, Ordering::Relaxed);
        (outcome, night.join().unwrap())
    })
}

const ALL_TYPES: &str =
    "purchase=60,cash=5,refund=5,balance=5,transfer=15,advice=4,reversal=4,repeat=4";

#[test]
fn money_is_right_over_a_night() {
    let (_site, daemon, addresses) = bank();
    let admin = admin(addresses);
    let mut plan = plan(addresses, ALL_TYPES, Duration::from_secs(6));
    plan.night = true;
    // Poor accounts have 5,000.
    plan.amount = Amounts::always(1_000);
    let opening = Opening::read(&admin, &plan.cards).unwrap();
    let entries = Entries::own(&plan.cards, opening.currency());
    let (mut outcome, night) = with_night(&plan, &admin, &entries);
    assert_eq!(night.failed, None);
    let steps: Vec<_> = night.steps.iter().map(|step| step.name).collect();
    assert_eq!(steps, ["cutover", "freeze", "entries", "seal"]);
    let total = outcome.total().unwrap();
    assert_eq!(total.offered, 2_400);
    assert_eq!(total.offered, total.accepted + total.declined, "{total:?}");
    assert!(total.declined > 0, "poor accounts have bought too much");
    assert_eq!(outcome.wire.contradicted, 0);
    let codes: BTreeMap<_, _> = total.by_code().collect();
    assert_eq!(codes.keys().copied().collect::<Vec<_>>(), [0, 51]);
    // Each third had its own.
    for phase in &outcome.phases {
        assert!(phase.stats.accepted > 300, "{phase:?}");
    }
    let money = |outcome: &Outcome| -> Audit {
        let ledger = &outcome.ledger;
        opening.compare(&admin, &plan.cards, ledger, None).unwrap()
    };
    // The batch's entries are money too: without them the books differ.
    assert!(!money(&outcome).is_right());
    entries.enter(&mut outcome.ledger);
    let audit = money(&outcome);
    assert!(audit.is_right(), "{}", audit.told());
    assert_eq!((audit.touched, audit.compared), (60, 60));
    assert!(audit.notes.is_empty(), "{}", audit.told());
    daemon.stop();
}

#[test]
fn somebody_elses_night_is_seen() {
    let (_site, daemon, addresses) = bank();
    let admin = admin(addresses);
    let mut plan = plan(addresses, ALL_TYPES, Duration::from_secs(600));
    plan.night = true;
    let opening = Opening::read(&admin, &plan.cards).unwrap();
    let control = Control::new(&plan);
    let over = AtomicBool::new(false);
    let conductor = Conductor {
        admin: &admin,
        control: &control,
        over: &over,
        lasts: plan.lasts().unwrap(),
    };
    let date = admin.dates().unwrap().closing;
    let csv = "id,account,currency,amount_minor\na,1000000001,KRW,500\nb,1000000002,KRW,-30\n";
    let (outcome, night) = thread::scope(|scope| {
        let run = scope.spawn(|| open_loop::run(&plan, &control, |_| {}).unwrap());
        let night = scope.spawn(|| conductor.wait(None));
        let answered = |more: u64| {
            let until = control.look().sums.answered_all() + more;
            while control.look().sums.answered_all() < until {
                thread::sleep(Duration::from_millis(5));
            }
        };
        answered(100);
        admin.step("cutover", &date).unwrap();
        while control.look().phase != "night" {
            thread::sleep(Duration::from_millis(5));
        }
        answered(100);
        admin.step("freeze", &date).unwrap();
        let told = admin.post_entries(&date, csv.as_bytes()).unwrap();
        admin
            .seal(&date, &told["entries"], &told["sum_minor"])
            .unwrap();
        let night = night.join().unwrap();
        answered(100);
        control.stop();
        over.store(true, Ordering::Relaxed);
        (run.join().unwrap(), night)
    });
    assert_eq!((night.failed, night.date), (None, date));
    assert_eq!(night.unknown_minor, Some(470));
    for phase in &outcome.phases {
        assert!(phase.stats.accepted > 0, "{phase:?}");
    }
    // The batch is not in this run's books: the sum of all customers is compared.
    let compare = |batch| {
        let ledger = &outcome.ledger;
        opening.compare(&admin, &plan.cards, ledger, batch).unwrap()
    };
    let audit = compare(night.unknown_minor);
    assert!(audit.is_right(), "{}", audit.told());
    assert_eq!((audit.compared, audit.notes.len()), (0, 1));
    assert!(!compare(Some(471)).is_right());
    daemon.stop();
}

#[test]
fn what_another_did_to_an_account_is_found() {
    let (_site, daemon, addresses) = bank();
    let admin = admin(addresses);
    let plan = plan(addresses, "purchase=1,transfer=1", Duration::from_secs(1));
    let opening = Opening::read(&admin, &plan.cards).unwrap();
    let outcome = open_loop::run(&plan, &Control::new(&plan), |_| {}).unwrap();
    // Somebody else buys with the card of account 1000000000 alone.
    let other = Plan {
        cards: Arc::new(Cards::Range(Range {
            prefix: 941_000,
            count: 1,
            first_account: 1_000_000_000,
        })),
        ledger: false,
        connections: 1,
        ..self::plan(addresses, "purchase=1", Duration::from_millis(10))
    };
    let theirs = open_loop::run(&other, &Control::new(&other), |_| {}).unwrap();
    let spent = theirs.sums.accepted * 100; // Plan::open buys for 100
    assert!(spent > 0);
    let audit = opening
        .compare(&admin, &plan.cards, &outcome.ledger, None)
        .unwrap();
    assert!(!audit.is_right());
    assert_eq!(audit.different, 1, "{}", audit.told());
    let difference = &audit.differences[0];
    assert_eq!(difference.account, "1000000000");
    assert_eq!(
        difference.expected_minor.0 - difference.found_minor.unwrap(),
        i64::try_from(spent).unwrap()
    );
    assert!(audit.told().contains("MONEY IS NOT RIGHT"));
    daemon.stop();
}

#[test]
fn variants_of_the_daemon_take_turns() {
    let disk = tempfile::tempdir().unwrap();
    let program = std::path::PathBuf::from(env!("CARGO_BIN_EXE_gapless"));
    let variants = Variants {
        program: program.clone(),
        disk: disk.path().to_owned(),
        rounds: Rounds {
            count: 1,
            lasts: Duration::from_millis(200),
            warm_up: Duration::from_millis(50),
        },
        what: What::Checkpoints { cards: 100 },
    };
    let seen = variants.run(true).unwrap();
    let turns: Vec<_> = seen.samples.iter().map(|sample| sample.side).collect();
    assert_eq!(turns, [0, 1, 0, 1]);
    for sample in &seen.samples {
        let figures = sample.figures;
        assert!(
            figures.answered > 0 && figures.missed.total() == 0,
            "{sample:?}"
        );
    }
    assert!(seen.resident.iter().all(|bytes| *bytes > 1 << 20));
    // How fast is the machine's affair.
    assert_eq!(variants.goals(&seen).len(), 2);
    assert!(variants.table(&seen).contains("on / off"));
    assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 0);
    // The first one really has no rows, the second has.
    for without_checkpoints in [true, false] {
        let settings = gapless_loadtest::host::Settings {
            without_checkpoints,
            ..Default::default()
        };
        let cards = cards(100);
        let host = Host::daemon(&program, disk.path(), &cards, &settings).unwrap();
        wait_until_quiet(&host, !without_checkpoints).unwrap();
        let rows = host.dir().join("data/sled");
        assert_eq!(rows.exists(), !without_checkpoints);
    }
}
