//! More comes than the journal takes: what is accepted waits no longer than it may,
//! the rest is refused at once with 91, advices are accepted throughout, money is
//! right, and afterwards all is as before.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use gapless_loadtest::admin::Admin;
use gapless_loadtest::audit::Opening;
use gapless_loadtest::cards::{Cards, Range};
use gapless_loadtest::open_loop::{self, Control, Outcome};
use gapless_loadtest::overload::{Overload, Seen};
use gapless_loadtest::plan::{Load, Plan};
use gapless_loadtest::schedule::{Spacing, Step};
use support::site::{Settings, Site, World};

const ACCOUNTS: usize = 50;

/// What the throttled journal takes: little, so that any machine can offer more.
const EVENTS_PER_S: u64 = 400;

/// So many a second for so long.
fn steady(per_second: u64, seconds: u64) -> Load {
    Load::Open {
        steps: vec![Step {
            per_second,
            lasts: Duration::from_secs(seconds),
        }],
        spacing: Spacing::Even,
        most_in_flight: 4_096,
    }
}

fn run(plan: &Plan) -> Outcome {
    open_loop::run(plan, &Control::new(plan), |_| {}).unwrap()
}

#[test]
fn an_overload_is_refused_at_once_and_leaves_nothing() {
    let settings = Settings {
        engine: "max_journal_wait_ms = 1_000".to_owned(),
        journal: format!("test_events_per_s = {EVENTS_PER_S}"),
        ..Settings::default()
    };
    let site = Site::new(World::new(ACCOUNTS, 0, 0), &settings);
    let mut daemon = site.start();
    let addresses = daemon.ready();
    let admin = Admin::new(&format!("http://{}", addresses.admin), None).unwrap();
    let overload = Overload {
        plan: Plan {
            cards: Arc::new(Cards::Range(Range {
                prefix: 941_000,
                count: ACCOUNTS as u32,
                first_account: 1_000_000_000,
            })),
            mix: "purchase=8,balance=1,transfer=1".parse().unwrap(),
            connections: 4,
            // A busy machine is no fault here.
            timeout: Duration::from_secs(60),
            ..Plan::open(addresses.link, 1, Duration::ZERO)
        },
        bound: Duration::from_secs(1),
        // What is offered before and after is a quarter of what it takes.
        capacity: EVENTS_PER_S / 2,
        times: 8,
        lasts: [2, 4, 3].map(Duration::from_secs),
    };
    let plan = overload.plan();
    let advices = Plan {
        mix: "advice=1".parse().unwrap(),
        connections: 1,
        load: steady(20, 9),
        ..plan.clone()
    };
    let opening = Opening::read(&admin, &plan.cards).unwrap();
    let (mut outcome, advised) = thread::scope(|scope| {
        let requests = scope.spawn(|| run(&plan));
        let advices = scope.spawn(|| run(&advices));
        (requests.join().unwrap(), advices.join().unwrap())
    });

    let total = outcome.total().unwrap();
    assert_eq!(
        (total.accepted + total.refused, total.late, total.lost),
        (total.offered, 0, 0),
        "nothing but approvals and 91: {total:?}"
    );
    let [before, more, after] = [0, 1, 2].map(|phase| &outcome.phases[phase].stats);
    assert_eq!(before.refused, 0, "a quarter of what it takes");
    assert!(more.refused > 0, "{more:?}");
    assert!(more.accepted > 0, "{more:?}");
    assert!(after.accepted > 0, "{after:?}");
    // By bytes alone all of this might have waited. No more was accepted than the
    // journal takes in the time, and what may wait.
    let allowed_ms = outcome.sending.as_millis() as u64 + 1_000;
    assert!(
        total.accepted <= EVENTS_PER_S * allowed_ms / 1_000,
        "{} accepted in {allowed_ms} ms",
        total.accepted
    );

    let advised_total = advised.total().unwrap();
    assert_eq!(
        advised_total.accepted, advised_total.offered,
        "no advice is refused: {advised_total:?}"
    );
    outcome.ledger.add(&advised.ledger);
    let audit = opening
        .compare(&admin, &plan.cards, &outcome.ledger, None)
        .unwrap();
    assert!(audit.is_right(), "{}", audit.told());
    let seen = Seen::new(&overload, outcome, audit).unwrap();
    println!("{}\n{}", overload.heading(), seen.table());
    let right = seen.goals.iter().find(|goal| goal.name == "money").unwrap();
    assert!(right.met && seen.recovered_after.is_some());
    // Nothing of it is left: what it takes is accepted, all of it.
    let again = run(&Plan {
        load: steady(100, 1),
        ..plan
    });
    let again = again.total().unwrap();
    assert_eq!((again.accepted, again.refused), (again.offered, 0));
    daemon.stop();
    let log = std::fs::read_to_string(site.log()).unwrap();
    assert!(log.contains("the journal is throttled"), "{log}");
    site.assert_verified();
}
