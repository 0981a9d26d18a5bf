//! What a session sends of itself, without sockets and without waiting: the clock
//! is the test's.

use std::sync::Arc;

use gapless_engine::ids::{Currency, NetworkId};
use gapless_engine::{Announcement, Asked, Figures, NET, Origin, Verdict};
use gapless_iso8583::{Cut, Dialect, LengthForm};

use super::*;
use crate::adapter::{Outgoing, PanKeys, Rules};
use crate::telemetry::{OwnMessage, OwnOutcome};

const EAST: NetworkId = NetworkId(3);
const TODAY: Date = Date(20_453);
const SECOND: Duration = Duration::from_secs(1);

fn duties() -> Duties {
    Duties {
        announce: true,
        reconcile: true,
        echo_after: Some(30 * SECOND),
        reply_wait: 10 * SECOND,
    }
}

struct Desk {
    session: Session,
    now: Instant,
    out: Vec<u8>,
}

impl Desk {
    fn new(sign_on_required: bool, duties: Duties) -> Self {
        let limits = SessionLimits {
            max_in_flight: 2,
            answer_limit: None,
            sign_on_required,
        };
        let rules = Rules {
            network: EAST,
            ..Rules::own_terminals(Currency(410))
        };
        let adapter = Adapter::new(
            Arc::new(PanKeys::from_bytes(&[7; 32])),
            Dialect::builtin("iso87-ascii").unwrap(),
            rules,
        );
        let now = Instant::now();
        let framing = Framing::new(LengthForm::Binary2);
        Self {
            session: Session::new(Rc::new(adapter), framing, limits).with_duties(duties, now),
            now,
            out: Vec::new(),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn attend(&mut self) -> String {
        let attended = self.session.attend(self.now, 0, &mut self.out);
        self.said(attended)
    }

    fn said(&mut self, attended: Attend) -> String {
        let sent = self.sent();
        match attended {
            Attend::Nothing => "nothing".to_owned(),
            Attend::Look => "look".to_owned(),
            Attend::Sent(message, outcome) => {
                format!("{} {} {sent}", outcome.as_str(), message.as_str())
            }
            Attend::GaveUp(message) => format!("gave up {}", message.as_str()),
            Attend::Failed(message, note) => format!("failed {} {note}", message.as_str()),
        }
    }

    /// Type, STAN and code of what was written.
    fn sent(&mut self) -> String {
        let out = std::mem::take(&mut self.out);
        if out.is_empty() {
            return String::new();
        }
        let Ok(Cut::Frame { body, consumed, .. }) = self.session.framing.cut(&out) else {
            panic!("no whole frame");
        };
        assert_eq!(consumed, out.len(), "one message at a time");
        let message = self.session.adapter.dialect().decode(&out[body]).unwrap();
        let number = |field| message.number(field).unwrap().unwrap_or(0);
        format!("{} {} {}", message.mti(), number(11), number(70))
    }

    fn take(&mut self, mti: u16, fields: &[(u8, &str)]) -> Taken {
        let dialect = Dialect::builtin("iso87-ascii").unwrap();
        let mut bytes = Vec::new();
        {
            let mut builder = dialect.builder(&mut bytes, Mti::new(mti).unwrap());
            for (field, text) in fields {
                builder.text(*field, text.as_bytes());
            }
            builder.finish().unwrap();
        }
        let taken = self
            .session
            .take(&bytes, None, self.now, TODAY, &mut self.out);
        self.out.clear();
        taken
    }

    fn sign(&mut self, code: &str) {
        let fields = [(7, "0101000000"), (11, "000001"), (70, code)];
        assert!(matches!(self.take(800, &fields), Taken::Answered { .. }));
    }
}

fn announcement() -> Outgoing {
    Outgoing::announce(Announcement {
        seq: 40,
        time_us: 0,
        closed: TODAY,
    })
}

fn asked() -> Asked {
    let figures = Figures::NONE.with(76, 3).unwrap();
    Asked {
        seq: 41,
        time_us: 0,
        settlement_date: TODAY,
        currency: Currency(410),
        ours: figures.with(NET, -30).unwrap(),
    }
}

#[test]
fn nothing_is_sent_to_terminals_and_before_the_sign_on() {
    let mut terminals = Desk::new(false, Duties::default());
    terminals.pass(1_000 * SECOND);
    assert_eq!(terminals.session.attend_at(), None);
    assert_eq!(terminals.attend(), "nothing");

    let mut network = Desk::new(true, duties());
    network.pass(1_000 * SECOND);
    assert_eq!(network.session.attend_at(), None);
    assert_eq!(network.attend(), "nothing");
    network.sign("001");
    assert_eq!(network.session.attend_at(), Some(network.now), "at once");
    assert_eq!(network.attend(), "look");
    network.sign("002");
    assert_eq!(network.session.attend_at(), None);
}

#[test]
fn a_quiet_link_is_asked_four_times_and_is_then_down() {
    let only_echo = Duties {
        announce: false,
        reconcile: false,
        ..duties()
    };
    let mut desk = Desk::new(false, only_echo);
    desk.pass(29 * SECOND);
    assert_eq!(desk.attend(), "nothing");
    desk.pass(SECOND);
    assert_eq!(desk.attend(), "sent echo 0800 2 301");
    for _ in 0..3 {
        desk.pass(9 * SECOND);
        assert_eq!(desk.attend(), "nothing");
        desk.pass(SECOND);
        assert_eq!(desk.attend(), "repeated echo 0801 2 301");
    }
    desk.pass(10 * SECOND);
    assert_eq!(desk.attend(), "gave up echo");
}

#[test]
fn an_answered_echo_begins_the_quiet_anew() {
    let mut desk = Desk::new(false, duties());
    assert_eq!(desk.attend(), "look");
    desk.pass(30 * SECOND);
    assert_eq!(desk.attend(), "look");
    assert_eq!(desk.attend(), "sent echo 0800 2 301");
    desk.pass(SECOND);
    // Another's answer, and one with nothing but our STAN, are none.
    for (stan, code) in [("000003", "301"), ("000002", "201")] {
        let fields = [(7, "0101000000"), (11, stan), (39, "00"), (70, code)];
        let taken = desk.take(810, &fields);
        assert!(matches!(taken, Taken::Ignored(_)), "{taken:?}");
    }
    let fields = [(7, "0101000000"), (11, "000002"), (39, "00"), (70, "301")];
    match desk.take(810, &fields) {
        Taken::Replied(replied) => {
            assert_eq!(replied.message, OwnMessage::Echo);
            assert_eq!(replied.outcome, OwnOutcome::Accepted);
            assert!(replied.request.is_none());
        }
        other => panic!("{other:?}"),
    }
    // Once more is once too often.
    assert!(matches!(desk.take(810, &fields), Taken::Ignored(_)));
    assert_eq!(desk.attend(), "look");
    desk.pass(30 * SECOND);
    assert_eq!(desk.attend(), "look");
    assert_eq!(desk.attend(), "sent echo 0800 3 301", "another message");
    // Traffic shows as well that somebody is there.
    desk.pass(SECOND);
    desk.sign("301");
    desk.pass(9 * SECOND);
    assert_eq!(desk.attend(), "nothing");
    assert_eq!(desk.attend(), "look");
}

#[test]
fn an_announcement_is_repeated_and_then_rests() {
    let mut desk = Desk::new(false, duties());
    assert_eq!(desk.attend(), "look");
    let sent = desk.session.send(announcement(), desk.now, &mut desk.out);
    assert_eq!(desk.said(sent), "sent cutover 0800 41 201");
    for _ in 0..3 {
        desk.pass(10 * SECOND);
        assert_eq!(desk.attend(), "repeated cutover 0801 41 201");
    }
    desk.pass(10 * SECOND);
    assert_eq!(desk.attend(), "gave up cutover");
    // Left alone with it for a minute; the quiet link is still asked.
    desk.sign("301");
    desk.pass(29 * SECOND);
    assert_eq!(desk.attend(), "nothing");
    desk.pass(SECOND);
    assert!(desk.attend().starts_with("sent echo"));
    let fields = [(7, "0101000000"), (11, "000002"), (39, "00")];
    // Its answer has neither DE 7 of another nor another code.
    assert!(matches!(desk.take(810, &fields), Taken::Replied(_)));
}

#[test]
fn the_answer_to_our_cutover_is_journaled() {
    let mut desk = Desk::new(false, duties());
    desk.attend();
    let sent = desk.session.send(announcement(), desk.now, &mut desk.out);
    desk.said(sent);
    for (code, expected) in [("00", OwnOutcome::Accepted), ("12", OwnOutcome::Refused)] {
        let fields = [(7, "0101000000"), (11, "000041"), (39, code), (70, "201")];
        let Taken::Replied(replied) = desk.take(810, &fields) else {
            panic!();
        };
        assert_eq!(replied.outcome, expected);
        match replied.request {
            Some(Request::CutoverAnnounced { network, closed }) => {
                assert_eq!((network, closed), (EAST, TODAY));
            }
            other => panic!("{other:?}"),
        }
        desk.attend();
        let sent = desk.session.send(announcement(), desk.now, &mut desk.out);
        desk.said(sent);
    }
}

#[test]
fn our_reconciliation_and_what_comes_of_it() {
    let mut desk = Desk::new(false, duties());
    desk.attend();
    // Found as it was: it may have been sent before a restart.
    let sent = desk.session.send_asked(asked(), desk.now, &mut desk.out);
    assert_eq!(desk.said(sent), "repeated reconciliation 0501 42 0");
    // An answer that says nothing sensible is as good as none.
    let fields = [(7, "0101000000"), (11, "000042"), (39, "00"), (66, "7")];
    let Taken::Replied(replied) = desk.take(510, &fields) else {
        panic!();
    };
    assert_eq!(replied.outcome, OwnOutcome::Malformed);
    assert!(replied.request.is_none());
    desk.pass(10 * SECOND);
    assert_eq!(desk.attend(), "repeated reconciliation 0501 42 0");
    let fields = [
        (7, "0101000000"),
        (11, "000042"),
        (39, "00"),
        (66, "2"),
        (76, "0000000004"),
    ];
    let Taken::Replied(replied) = desk.take(510, &fields) else {
        panic!();
    };
    assert_eq!(replied.outcome, OwnOutcome::OutOfBalance);
    let theirs = Figures::NONE.with(76, 4).unwrap();
    match replied.request {
        Some(Request::ReconciliationAnswered {
            network,
            asked,
            verdict,
            theirs: seen,
        }) => {
            assert_eq!((network, asked), (EAST, 41));
            assert_eq!((verdict, seen), (Some(Verdict::OutOfBalance), theirs));
        }
        other => panic!("{other:?}"),
    }
    // Made by this session: not sent before.
    assert_eq!(desk.attend(), "look");
    desk.session.asks();
    let sent = desk.session.send_asked(asked(), desk.now, &mut desk.out);
    assert_eq!(desk.said(sent), "sent reconciliation 0500 42 0");
}

#[test]
fn a_networks_reconciliation_is_answered_with_what_was_journaled() {
    let mut desk = Desk::new(false, duties());
    let fields = [(7, "0101000000"), (11, "000007"), (15, "1231"), (50, "410")];
    let outcome = Outcome {
        code: ResponseCode::Approved,
        seq: 9,
        durable_at: 9,
        business_date: TODAY,
        settlement_date: TODAY,
        balances: None,
        is_repeat: false,
    };
    let done = Reconciliation {
        seq: 9,
        origin: Origin::Theirs,
        identity: Default::default(),
        network: EAST,
        settlement_date: TODAY,
        currency: Currency(410),
        verdict: Verdict::InBalance,
        ours: Figures::NONE,
        theirs: Figures::NONE,
    };
    for (found, code) in [
        (Some(done), ResponseCode::Approved),
        (None, ResponseCode::Malfunction),
    ] {
        let Taken::Submit(tag, Request::Reconcile(asks)) = desk.take(500, &fields) else {
            panic!();
        };
        assert_eq!(asks.network, EAST);
        let given = desk
            .session
            .give_with(tag, &outcome, desk.now, &mut desk.out, |seq| {
                assert_eq!(seq, 9);
                found
            });
        let Given::Answered {
            mti, code: seen, ..
        } = given
        else {
            panic!("{given:?}");
        };
        assert_eq!((mti.value(), seen), (500, code));
        assert_eq!(desk.sent(), "0510 7 0");
    }
}
