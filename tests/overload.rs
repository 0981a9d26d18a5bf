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
use gapless_loadtest::open_loop::{self, Control};
use gapless_loadtest::plan::{Load, Plan};
use gapless_loadtest::schedule::{Spacing, Step};
use support::site::{Settings, Site, World};

const ACCOUNTS: usize = 50;

/// What the throttled journal takes: little, so that any machine can offer more.
const EVENTS_PER_S: u64 = 400;

fn steps(of: &[(u64, u64)]) -> Load {
    Load::Open {
        steps: of
            .iter()
            .map(|(per_second, seconds)| Step {
                per_second: *per_second,
                lasts: Duration::from_secs(*seconds),
            })
            .collect(),
        spacing: Spacing::Even,
        most_in_flight: 4_096,
    }
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
    let plan = Plan {
        cards: Arc::new(Cards::Range(Range {
            prefix: 941_000,
            count: ACCOUNTS as u32,
            first_account: 1_000_000_000,
        })),
        mix: "purchase=8,balance=1,transfer=1".parse().unwrap(),
        connections: 4,
        // A busy machine is no fault here.
        timeout: Duration::from_secs(60),
        ledger: true,
        load: steps(&[(100, 2), (4 * EVENTS_PER_S, 4), (100, 3)]),
        ..Plan::open(addresses.link, 1, Duration::ZERO)
    };
    let advices = Plan {
        mix: "advice=1".parse().unwrap(),
        connections: 1,
        load: steps(&[(20, 9)]),
        ..plan.clone()
    };
    let opening = Opening::read(&admin, &plan.cards).unwrap();
    let (mut outcome, advised) = thread::scope(|scope| {
        let run = |plan| move || open_loop::run(plan, &Control::new(plan), |_| {}).unwrap();
        let (requests, advices) = (scope.spawn(run(&plan)), scope.spawn(run(&advices)));
        (requests.join().unwrap(), advices.join().unwrap())
    });

    let total = outcome.total().unwrap();
    assert_eq!(
        (total.accepted + total.refused, total.late, total.lost),
        (total.offered, 0, 0),
        "nothing but approvals and 91: {total:?}"
    );
    let [before, overload, after] = [0, 1, 2].map(|phase| &outcome.phases[phase].stats);
    assert_eq!(before.refused, 0, "a quarter of what it takes");
    assert!(overload.refused > 0, "{overload:?}");
    assert!(overload.accepted > 0, "{overload:?}");
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
    // Nothing of it is left: a quarter of what it takes is accepted, all of it.
    let again = Plan {
        load: steps(&[(100, 1)]),
        ..plan
    };
    let again = open_loop::run(&again, &Control::new(&again), |_| {}).unwrap();
    let again = again.total().unwrap();
    assert_eq!((again.accepted, again.refused), (again.offered, 0));
    daemon.stop();
    let log = std::fs::read_to_string(site.log()).unwrap();
    assert!(log.contains("the journal is throttled"), "{log}");
    site.assert_verified();
}
