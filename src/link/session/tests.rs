//! Sessions without sockets.

use std::sync::Arc;

use gapless_engine::ids::Currency;
use gapless_iso8583::{Cut, Dialect, LengthForm};

use super::*;
use crate::adapter::{PanKeys, Rules};

const PAN: &str = "9410000000000018";
const TPDU: Tpdu = [0x60, 0, 1, 0x80, 2];

fn today() -> Date {
    Date::from_ymd(2026, 11, 22).unwrap()
}

fn session(change: impl FnOnce(&mut SessionLimits)) -> Session {
    let mut limits = SessionLimits {
        max_in_flight: 2,
        answer_limit: Some(Duration::from_secs(5)),
        sign_on_required: false,
    };
    change(&mut limits);
    let adapter = Adapter::new(
        Arc::new(PanKeys::from_bytes(&[7; 32])),
        Dialect::builtin("iso87-bcd").unwrap(),
        Rules::own_terminals(Currency(410)),
    );
    let framing = Framing {
        tpdu: true,
        ..Framing::new(LengthForm::Binary2)
    };
    Session::new(Rc::new(adapter), framing, limits)
}

fn message(mti: u16, fields: &[(u8, &str)]) -> Vec<u8> {
    let dialect = Dialect::builtin("iso87-bcd").unwrap();
    let mut bytes = Vec::new();
    {
        let mut builder = dialect.builder(&mut bytes, Mti::new(mti).unwrap());
        for (field, text) in fields {
            builder.text(*field, text.as_bytes());
        }
        builder.finish().unwrap();
    }
    bytes
}

fn purchase(stan: &str) -> Vec<u8> {
    let fields = [
        (2, PAN),
        (3, "000000"),
        (4, "000000010000"),
        (7, "1122090305"),
        (11, stan),
        (49, "410"),
    ];
    message(200, &fields)
}

fn management(code: &str) -> Vec<u8> {
    message(800, &[(7, "1122090305"), (11, "000009"), (70, code)])
}

/// Takes a message; the answers' MTI, STAN and DE 39.
fn exchange(session: &mut Session, body: &[u8]) -> (Taken, Vec<(u16, u64, u64)>) {
    let mut out = Vec::new();
    let taken = session.take(body, Some(TPDU), Instant::now(), today(), &mut out);
    (taken, answers(session, &out))
}

fn answers(session: &Session, mut out: &[u8]) -> Vec<(u16, u64, u64)> {
    let mut found = Vec::new();
    while !out.is_empty() {
        let Ok(Cut::Frame {
            tpdu,
            body,
            consumed,
        }) = session.framing.cut(out)
        else {
            panic!("no whole frame in {} bytes", out.len());
        };
        assert_eq!(
            tpdu,
            Some(swap_tpdu(TPDU)),
            "destination and source change places"
        );
        let message = session.adapter.dialect().decode(&out[body]).unwrap();
        let number = |field| message.number(field).unwrap().unwrap();
        found.push((message.mti().value(), number(11), number(39)));
        out = &out[consumed..];
    }
    found
}

fn approved() -> Outcome {
    Outcome {
        code: ResponseCode::Approved,
        seq: 1,
        durable_at: 1,
        business_date: today(),
        settlement_date: today(),
        balances: None,
        is_repeat: false,
    }
}

fn tag(taken: &Taken) -> u32 {
    match taken {
        Taken::Submit(tag, _) => *tag,
        other => panic!("{other:?}"),
    }
}

#[test]
fn answers_go_to_their_requests_in_any_order() {
    let mut session = session(|_| {});
    let first = tag(&exchange(&mut session, &purchase("000001")).0);
    let second = tag(&exchange(&mut session, &purchase("000002")).0);
    let mut out = Vec::new();
    let now = Instant::now();
    for tag in [second, first] {
        let given = session.give(tag, &approved(), now, &mut out);
        let Given::Answered { mti, code, .. } = given else {
            panic!("{given:?}");
        };
        assert_eq!((mti.value(), code), (200, ResponseCode::Approved));
    }
    assert_eq!(answers(&session, &out), [(210, 2, 0), (210, 1, 0)]);
    assert_eq!(
        session.give(first, &approved(), now, &mut out),
        Given::Unknown
    );
    assert_eq!(session.in_flight(), 0);
}

#[test]
fn above_the_limit_91_and_no_effect_but_an_echo_is_answered() {
    let mut session = session(|_| {});
    let first = tag(&exchange(&mut session, &purchase("000001")).0);
    exchange(&mut session, &purchase("000002"));
    let (taken, said) = exchange(&mut session, &purchase("000003"));
    assert_eq!(said, [(210, 3, 91)]);
    let Taken::Answered {
        note: Some(note), ..
    } = taken
    else {
        panic!("{taken:?}");
    };
    assert_eq!(note, Note::Refused(Refusal::LinkLimit));
    assert_eq!(exchange(&mut session, &management("301")).1, [(810, 9, 0)]);

    let mut out = Vec::new();
    session.give(first, &approved(), Instant::now(), &mut out);
    tag(&exchange(&mut session, &purchase("000004")).0);
}

#[test]
fn refused_behind_the_door_91_and_the_place_is_free_again() {
    let mut session = session(|limits| limits.max_in_flight = 1);
    let first = tag(&exchange(&mut session, &purchase("000001")).0);
    let mut out = Vec::new();
    session.refuse(first, Refusal::Busy, today(), &mut out);
    assert_eq!(answers(&session, &out), [(210, 1, 91)]);
    tag(&exchange(&mut session, &purchase("000002")).0);
}

#[test]
fn a_late_answer_is_kept_back() {
    let mut session = session(|_| {});
    let began = Instant::now();
    let mut out = Vec::new();
    for (waited_ms, late) in [(5_000, false), (5_001, true)] {
        let taken = session.take(&purchase("000001"), None, began, today(), &mut out);
        let now = began + Duration::from_millis(waited_ms);
        let given = session.give(tag(&taken), &approved(), now, &mut out);
        assert_eq!(matches!(given, Given::Late(_)), late, "{given:?}");
        assert_eq!(out.is_empty(), late);
        out.clear();
    }
}

#[test]
fn sign_on_where_it_is_required_and_sign_off_anywhere() {
    for (required, steps) in [
        (
            true,
            &[
                ("200", 91),
                ("001", 0),
                ("200", -1),
                ("002", 0),
                ("200", 91),
            ][..],
        ),
        (true, &[("301", 0), ("200", 91)]),
        (
            false,
            &[
                ("200", -1),
                ("002", 0),
                ("200", 91),
                ("001", 0),
                ("200", -1),
            ],
        ),
    ] {
        let mut session = session(|limits| limits.sign_on_required = required);
        for (step, expected) in steps {
            let body = match *step {
                "200" => purchase("000009"),
                code => management(code),
            };
            let (taken, said) = exchange(&mut session, &body);
            if *expected < 0 {
                tag(&taken);
            } else {
                assert_eq!(said.len(), 1);
                assert_eq!(said[0].2 as i32, *expected, "{step} of {steps:?}");
            }
        }
    }
}

#[test]
fn bad_messages_are_answered_if_they_can_be_matched() {
    let mut session = session(|_| {});
    let whole = purchase("000001");
    for (what, body, said, note) in [
        (
            "cut behind the STAN",
            &whole[..whole.len() - 1],
            &[(210, 1, 30)][..],
            "malformed: DE 49",
        ),
        (
            "cut before it",
            &whole[..20],
            &[],
            "malformed, and can't be answered: DE ",
        ),
        (
            "no message at all",
            b"GET / HTTP/1.1",
            &[],
            "malformed, and can't be answered: ",
        ),
        (
            "an answer",
            &message(210, &[(11, "000001")]),
            &[],
            "a response to nothing that was asked",
        ),
        (
            "no STAN",
            &message(200, &[(3, "000000")]),
            &[],
            "can't be answered: DE ",
        ),
        (
            "no DE 3",
            &message(200, &[(11, "000001")]),
            &[(210, 1, 30)],
            "format error: DE 3: missing",
        ),
        (
            "a month that is none",
            &message(
                200,
                &[
                    (2, "9410000000000054"),
                    (3, "000000"),
                    (4, "000000000100"),
                    (7, "1122090305"),
                    (11, "000001"),
                    (14, "3013"),
                    (49, "410"),
                ],
            ),
            &[(210, 1, 30)],
            // Packed: MTI 2, bitmap 8, then 1 + 8, 3, 6, 5 and 3 of the fields before.
            "format error: DE 14, offset 36: not a value that it may have",
        ),
    ] {
        let (taken, answered) = exchange(&mut session, body);
        assert_eq!(answered, said, "{what}");
        let shown = match taken {
            Taken::Answered {
                note: Some(note), ..
            }
            | Taken::Ignored(note) => note.to_string(),
            other => panic!("{what}: {other:?}"),
        };
        assert!(shown.starts_with(note), "{what}: {shown}");
        assert!(!shown.contains("941000"), "{what}: {shown}");
    }
    assert_eq!(session.in_flight(), 0);
}
