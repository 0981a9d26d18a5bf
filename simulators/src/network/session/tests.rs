//! A session against a host that is a few lines of bookkeeping, in virtual time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::civil::{Date, date};

use super::{Memory, Session};
#[path = "../../../tests/support/ledger.rs"]
mod ledger;

use self::ledger::Host;
use crate::card::DemoCard;
use crate::currency::Currency;
use crate::message::Message;
use crate::network::Figures;
use crate::network::event::Event;
use crate::network::profile::Profile;
use crate::network::report::{Counts, Report};
use crate::network::traffic::{Fate, Mix, Plan, Traffic};
use crate::order::{Kind, Order};

const DAY: Date = date(2026, 12, 31);

/// What the line does with the answer to a message.
type Fault = dyn Fn(&Message) -> bool;

struct Trial {
    session: Session,
    host: Host,
    now: Instant,
    /// Whose answers get lost.
    loses: Box<Fault>,
    events: Vec<Event>,
}

impl Trial {
    fn new(memory: Memory, mix: Mix) -> Trial {
        let profile = Profile {
            echo_every: Duration::from_secs(600),
            ..Profile::named("east").unwrap()
        };
        let traffic = Traffic::new(11, mix, 100, true);
        let counts = Counts::new("east", 11).unwrap();
        let mut trial = Trial {
            session: Session::new(profile, traffic, memory, counts),
            host: Host::default(),
            now: Instant::now(),
            loses: Box::new(|_| false),
            events: Vec::new(),
        };
        trial.session.start(trial.now);
        trial.connect();
        trial
    }

    fn signed_on(mix: Mix) -> Trial {
        Trial::new(Memory::new(DAY), mix)
    }

    fn connect(&mut self) {
        self.session.connected(self.now);
        self.pump();
    }

    /// Lets messages and answers go to and fro until nothing moves.
    fn pump(&mut self) {
        loop {
            self.session.tick(self.now);
            self.events.extend(self.session.take_events());
            let messages = self.session.take_outbox();
            if messages.is_empty() {
                return;
            }
            for message in messages {
                if message.mti().get(2..3) == Some("1") || message.mti().get(2..3) == Some("3") {
                    self.host.heard.push(message.mti().to_owned());
                    continue;
                }
                let answer = self.host.hear(&message);
                if !(self.loses)(&message) {
                    self.session.received(self.now, &answer);
                }
            }
        }
    }

    fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            self.pump();
        }
    }

    fn submit(&mut self, kind: Kind, fate: Fate) {
        let order = Order {
            card: Some(DemoCard::regular(17).unwrap()),
            amount_minor: Some(700),
            to: Some("1000000018".to_owned()),
            currency: Some(Currency::krw()),
            ..Order::new(kind)
        };
        self.session
            .submit(self.now, self.now, &Plan { order, fate })
            .unwrap();
    }

    fn transact(&mut self, times: u32) {
        for _ in 0..times {
            self.session.transact(self.now, self.now);
        }
    }

    fn finish(mut self) -> (Report, Host, Vec<Event>) {
        self.session.end_traffic(self.now);
        self.wait(30);
        self.session.reconcile_current(self.now);
        self.wait(30);
        (self.session.close(self.now).0, self.host, self.events)
    }
}

fn verdicts(report: &Report) -> Vec<(Date, bool)> {
    report
        .reconciled
        .iter()
        .map(|one| (one.date, one.in_balance()))
        .collect()
}

#[test]
fn a_day_with_its_cutover_is_in_balance() {
    let mut trial = Trial::signed_on(Mix {
        cancelled: 100,
        cancelled_late: 100,
        reversed_first: 100,
        impatient: 100,
        ..Mix::default()
    });
    trial.transact(300);
    trial.pump();
    trial.session.cut_over(trial.now);
    trial.transact(300);
    trial.pump();
    let (report, host, _) = trial.finish();
    let next = DAY.tomorrow().unwrap();
    assert_eq!(verdicts(&report), [(DAY, true), (next, true)], "{report}");
    assert!(report.is_good(), "{report}");
    let sent = report.sent;
    assert!(sent.reversals > 0 && sent.late_reversals > 0 && sent.early_reversals > 0);
    assert_eq!(report.by_code["05"], sent.early_reversals);
    // Late reversals count on the date on which they are sent.
    let (old, new) = (host.totals["1231"], host.totals["0101"]);
    assert!(old.debit_reversals.count < new.debit_reversals.count);
    assert_eq!(
        report.extra_answers, report.repeats,
        "each repeat was answered: {report}"
    );
}

#[test]
fn a_late_answer_is_asked_for_again_and_counts_once() {
    let mut trial = Trial::signed_on(Mix::default());
    trial.loses = Box::new(|message| message.mti() == "0200");
    trial.submit(Kind::Purchase, Fate::Stands);
    trial.submit(Kind::Refund, Fate::Cancelled);
    trial.wait(6);
    assert_eq!(trial.host.heard_times("0201"), 2);
    let (report, host, _) = trial.finish();
    assert_eq!((report.repeats, report.unanswered), (2, 0));
    assert_eq!(host.totals["1231"].debits.count, 1);
    assert!(report.is_good(), "{report}");
}

#[test]
fn a_request_without_any_answer_is_given_up_and_reversed() {
    let mut trial = Trial::signed_on(Mix::default());
    trial.loses = Box::new(|message| message.mti().starts_with("020"));
    trial.submit(Kind::Purchase, Fate::Stands);
    trial.wait(25);
    assert_eq!(trial.host.heard_times("0201"), 3);
    let (report, host, _) = trial.finish();
    assert_eq!(report.unanswered, 1);
    assert_eq!(report.sent.doubtful_reversals, 1);
    // The host had posted it, and has it back.
    let figures = host.totals["1231"];
    assert_eq!(
        (figures.debits.count, figures.debit_reversals.count),
        (1, 1)
    );
    assert!(!report.is_good(), "{report}");
}

#[test]
fn what_is_under_way_when_the_line_goes_is_in_balance_afterwards() {
    // The host has heard it or not: the network cannot know.
    for heard in [true, false] {
        let mut trial = Trial::signed_on(Mix::default());
        for kind in [Kind::Purchase, Kind::Refund, Kind::Balance, Kind::Transfer] {
            for fate in [Fate::Stands, Fate::Cancelled, Fate::ReversedFirst] {
                trial.submit(kind, fate);
            }
        }
        for message in trial.session.take_outbox() {
            if heard {
                trial.host.hear(&message);
            }
        }
        trial.session.lost("cut", false);
        trial.submit(Kind::Cash, Fate::CancelledLate);
        trial.submit(Kind::Transfer, Fate::Stands);
        trial.connect();
        let (report, host, _) = trial.finish();
        assert!(report.is_good(), "heard: {heard}\n{report}");
        assert_eq!(report.unanswered, 0);
        // Two purchases and two refunds under way, one cash; a transfer is declined.
        assert_eq!((report.stand_in.approved, report.stand_in.declined), (5, 1));
        assert_eq!(host.totals["1231"].inquiries, 2);
    }
}

#[test]
fn stored_messages_go_in_order_and_until_they_are_acknowledged() {
    let mut trial = Trial::signed_on(Mix::default());
    trial.session.lost("cut", true);
    for _ in 0..100 {
        trial.submit(Kind::Purchase, Fate::Stands);
    }
    // Nothing of the first attempt comes back.
    trial.loses = Box::new(|message| message.mti() == "0220");
    trial.connect();
    let first: Vec<&String> = trial.host.heard.iter().filter(|m| *m == "0220").collect();
    assert_eq!(first.len(), 32, "the window");
    trial.session.lost("cut again", true);
    trial.loses = Box::new(|_| false);
    let stored: Vec<u64> = trial.session.stored.iter().map(|item| item.seq).collect();
    assert!(stored.is_sorted());
    assert_eq!(stored.len(), 100);
    trial.connect();
    assert_eq!(trial.host.heard_times("0221"), 32);
    let (report, host, events) = trial.finish();
    assert_eq!(host.totals["1231"].debits.count, 100);
    assert_eq!(
        (report.stand_in.stored, report.stand_in.forwarded),
        (100, 100)
    );
    let forwarded: Vec<u64> = events
        .iter()
        .filter_map(|event| match event {
            Event::Forwarded { advices } => Some(*advices),
            _ => None,
        })
        .collect();
    assert_eq!(forwarded, [100]);
    assert!(report.is_good(), "{report}");
}

#[test]
fn the_new_date_does_not_overtake_what_is_stored_of_the_old_one() {
    let mut trial = Trial::signed_on(Mix::default());
    trial.session.lost("cut", true);
    for _ in 0..40 {
        trial.submit(Kind::Purchase, Fate::Stands);
    }
    trial.session.cut_over(trial.now);
    trial.loses = Box::new(|message| message.mti() == "0220");
    trial.connect();
    // The window is full: eight are still stored.
    trial.submit(Kind::Purchase, Fate::Stands);
    trial.pump();
    assert_eq!(trial.host.totals.get("0101"), None);
    trial.loses = Box::new(|_| false);
    trial.wait(6);
    trial.submit(Kind::Purchase, Fate::Stands);
    let (report, host, _) = trial.finish();
    assert!(report.is_good(), "{report}");
    assert_eq!(report.stand_in.approved, 41);
    assert_eq!(host.totals["0101"].debits.count, 2);
    let first_new = host.heard.iter().position(|mti| mti == "0200").unwrap();
    let last_old = host.heard.iter().rposition(|mti| mti == "0220").unwrap();
    assert!(last_old < first_new, "{:?}", host.heard);
}

#[test]
fn what_was_stored_outlives_the_run() {
    let mut trial = Trial::signed_on(Mix::default());
    trial.session.lost("cut", true);
    trial.submit(Kind::Purchase, Fate::Stands);
    trial.session.cut_over(trial.now);
    let (report, memory) = trial.session.close(trial.now);
    assert_eq!((report.still_stored, report.is_good()), (2, false));
    let text = serde_json::to_string(&memory).unwrap();
    let again = Trial::new(serde_json::from_str(&text).unwrap(), Mix::default());
    let (report, host, _) = again.finish();
    assert!(report.is_good(), "{report}");
    assert_eq!(host.totals["1231"].debits.count, 1);
    assert_eq!(verdicts(&report), [(DAY, true)], "the new date is empty");
}

#[test]
fn an_advice_refused_for_the_moment_is_sent_again() {
    let mut trial = Trial::signed_on(Mix::default());
    trial.host.refuses = Some(("0420", "91"));
    trial.session.lost("cut", true);
    trial.submit(Kind::Purchase, Fate::Cancelled);
    trial.connect();
    trial.session.lost("cut", true);
    trial.host.refuses = Some(("0221", "96"));
    trial.connect();
    trial.host.refuses = None;
    let (report, host, _) = trial.finish();
    assert!(report.is_good(), "{report}");
    assert_eq!(host.totals["1231"].debit_reversals.count, 1);
}

#[test]
fn a_host_that_is_wrong_is_told_so() {
    // It approves what has been reversed.
    let mut trial = Trial::signed_on(Mix::default());
    trial.host.refuses = Some(("0400", "00"));
    for _ in 0..20 {
        trial.submit(Kind::Purchase, Fate::ReversedFirst);
    }
    let (report, ..) = trial.finish();
    assert!(report.problem_count > 0 && !report.is_good(), "{report}");
    // It refuses an advice for good.
    let mut trial = Trial::signed_on(Mix::default());
    trial.host.refuses = Some(("0220", "12"));
    trial.session.lost("cut", true);
    trial.submit(Kind::Purchase, Fate::Stands);
    trial.connect();
    let (report, ..) = trial.finish();
    assert_eq!(report.problems, ["0221 was answered 12"]);
    // Its totals are others.
    let mut trial = Trial::signed_on(Mix::default());
    trial.submit(Kind::Purchase, Fate::Stands);
    trial.pump();
    trial.host.totals.clear();
    let (report, ..) = trial.finish();
    assert_eq!(verdicts(&report), [(DAY, false)]);
    let elements: BTreeSet<u8> = report.reconciled[0]
        .differences
        .iter()
        .map(|difference| difference.de)
        .collect();
    assert_eq!(elements, BTreeSet::from([76, 88, 97]));
    assert!(!report.is_good());
}

#[test]
fn a_host_that_answers_no_echo_is_hung_up_on() {
    let mut trial = Trial::signed_on(Mix::default());
    trial.loses = Box::new(|message| message.mti().starts_with("08"));
    trial.wait(600 + 19);
    assert_eq!(trial.session.take_hang_up(), None);
    trial.wait(2);
    assert_eq!(
        trial.session.take_hang_up().as_deref(),
        Some("the host does not answer 0800")
    );
    // The original and three attempts.
    assert_eq!(trial.host.heard_times("0801"), 3);
}

#[test]
fn the_hosts_own_messages_are_answered() {
    let mut trial = Trial::signed_on(Mix::default());
    trial.submit(Kind::Purchase, Fate::Stands);
    trial.pump();
    let mut cutover = Message::new("0800");
    for (de, value) in [(7, "1231150000"), (11, "1"), (15, "0101"), (70, "201")] {
        cutover.set(de, value).unwrap();
    }
    trial.session.received(trial.now, &cutover);
    let answer = trial.session.take_outbox().remove(0);
    assert_eq!((answer.mti(), answer.get(39)), ("0810", Some("00")));
    trial.pump();
    let told = trial.events.iter().any(
        |event| matches!(event, Event::HostCutOver { named } if named.as_deref() == Some("0101")),
    );
    assert!(told);
    let right = trial.host.totals["1231"];
    for (figures, code) in [(right, "1"), (Figures::default(), "2")] {
        let mut asks = Message::new("0500");
        for (de, value) in [(7, "1231150000"), (11, "2"), (15, "1231"), (50, "410")] {
            asks.set(de, value).unwrap();
        }
        figures.write(&mut asks).unwrap();
        trial.session.received(trial.now, &asks);
        trial.session.tick(trial.now);
        let answer = trial.session.take_outbox().remove(0);
        assert_eq!((answer.mti(), answer.get(39)), ("0510", Some("00")));
        assert_eq!(answer.get(66), Some(code));
        assert_eq!(answer.get(76), Some("0000000001"));
    }
    let mut unknown = Message::new("0600");
    unknown.set(11, "3").unwrap();
    trial.session.received(trial.now, &unknown);
    let answer = trial.session.take_outbox().remove(0);
    assert_eq!((answer.mti(), answer.get(39)), ("0610", Some("12")));
}
