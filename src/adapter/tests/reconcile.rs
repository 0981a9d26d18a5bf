//! Reconciliation and messages of our own, in every dialect.

use gapless_engine::command::{Identity, Reconcile};
use gapless_engine::{Announcement, Asked, Figures, NET, Origin, Reconciliation, Verdict};
use gapless_iso8583::{Message, Side};

use super::super::{Outgoing, Reply};
use super::*;

const EAST: NetworkId = NetworkId(3);

fn of_network() -> Rules {
    Rules {
        network: EAST,
        ..rules()
    }
}

fn is_93(dialect: &str) -> bool {
    dialect.starts_with("iso93")
}

/// Every figure, each another number, the net amount a debit.
fn all_figures() -> Figures {
    Figures::elements().fold(Figures::NONE, |figures, element| {
        let value = i64::from(element) * if element == NET { -1 } else { 1 };
        figures.with(element, value).unwrap()
    })
}

fn done(verdict: Verdict) -> Reconciliation {
    Reconciliation {
        seq: 41,
        origin: Origin::Theirs,
        identity: Identity::default(),
        network: EAST,
        settlement_date: TODAY,
        currency: KRW,
        verdict,
        ours: all_figures(),
        theirs: Figures::NONE,
    }
}

/// A reconciliation as a network sends it; `text` adds or (empty) leaves out.
fn sent(dialect: &Dialect, mti: u16, figures: &Figures, text: Fields<'_>) -> Vec<u8> {
    let mut base = vec![
        (7, "0101000500"),
        (11, "000077"),
        (15, if mti > 999 { "251231" } else { "1231" }),
        (37, "600100000077"),
        (50, "410"),
    ];
    if mti > 999 {
        base.push((24, "502"));
    }
    let mut fields = with(&base, text);
    fields.sort_unstable();
    let mut bytes = Vec::new();
    {
        let mut builder = dialect.builder(&mut bytes, Mti::new(mti).unwrap());
        for (field, text) in fields {
            builder.text(field, text.as_bytes());
        }
        for (element, value) in figures.iter() {
            if element == NET {
                let side = if value < 0 { Side::Debit } else { Side::Credit };
                builder.signed(element, side, value.unsigned_abs());
            } else {
                builder.number(element, value.unsigned_abs());
            }
        }
        builder.finish().unwrap();
    }
    bytes
}

fn taken(adapter: &Adapter, bytes: &[u8]) -> Result<Reconcile, String> {
    let message = adapter.dialect().decode(bytes).unwrap();
    match adapter.intake(&message, &mut Scratch::new()) {
        Intake::Engine(Request::Reconcile(reconcile)) => Ok(reconcile),
        other => Err(said(&other)),
    }
}

fn text_of(message: &Message<'_>, field: u8) -> String {
    let mut scratch = Scratch::new();
    let text = message.text(field, &mut scratch).unwrap();
    String::from_utf8(text.unwrap_or(b"-").to_vec()).unwrap()
}

#[test]
fn every_dialect_carries_both_sides_figures() {
    for name in Dialect::BUILTIN_NAMES {
        let adapter = adapter_for(name, of_network());
        let mtis = if is_93(name) {
            [1500, 1501, 1520, 1521]
        } else {
            [500, 501, 520, 521]
        };
        for mti in mtis {
            let bytes = sent(adapter.dialect(), mti, &all_figures(), &[]);
            let asks = taken(&adapter, &bytes).unwrap();
            assert_eq!(asks.network, EAST, "{name} {mti}");
            assert_eq!(asks.settlement, MonthDay { month: 12, day: 31 });
            assert_eq!(asks.currency, Some(KRW));
            assert_eq!(asks.theirs, all_figures(), "{name} {mti}");

            let request = adapter.dialect().decode(&bytes).unwrap();
            for (verdict, action, de66) in [
                (Verdict::InBalance, "500", "1"),
                (Verdict::OutOfBalance, "501", "2"),
            ] {
                let mut out = Vec::new();
                let done = done(verdict);
                adapter
                    .respond_reconciled(&request, &done, &mut out)
                    .unwrap();
                let answer = adapter.dialect().decode(&out).unwrap();
                assert_eq!(answer.mti(), request.mti().response(), "{name} {mti}");
                for field in [7, 11, 15, 37, 50] {
                    assert_eq!(text_of(&answer, field), text_of(&request, field));
                }
                if is_93(name) {
                    assert_eq!(text_of(&answer, 39), action, "{name}");
                } else {
                    assert_eq!(text_of(&answer, 39), "00", "{name}");
                    assert_eq!(text_of(&answer, 66), de66, "{name}");
                }
                assert_eq!(
                    super::super::reconcile::figures(&answer).unwrap(),
                    done.ours,
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn a_repeat_is_the_same_message_and_an_advice_is_another() {
    let adapter = adapter_for("iso87-ascii", of_network());
    let identity = |mti| {
        let bytes = sent(adapter.dialect(), mti, &Figures::NONE, &[]);
        taken(&adapter, &bytes).unwrap().identity
    };
    assert_eq!(identity(500), identity(501));
    assert_eq!(identity(520), identity(521));
    assert_ne!(identity(500).key, identity(520).key);
}

#[test]
#[rustfmt::skip] // one case a line
fn what_a_reconciliation_needs() {
    for (dialect, network, mti, changes, expected) in [
        ("iso87-ascii", EAST, 500, &[(15, "")][..], "30 DE 15: missing"),
        ("iso87-ascii", EAST, 500, &[(15, "0000")], "30 DE 15: not a value"),
        ("iso87-ascii", EAST, 500, &[(7, "")], "30 DE 7: missing"),
        ("iso87-ascii", EAST, 500, &[(11, "")], "30 DE 11: missing"),
        ("iso87-ascii", EAST, 500, &[(50, "XYZ")], "12"),
        ("iso87-ascii", EAST, 500, &[(50, "")], "taken 1231"),
        ("iso87-ascii", EAST, 500, &[(50, "KRW")], "taken 1231"),
        // Terminals have no totals.
        ("iso87-ascii", NetworkId::OWN_TERMINALS, 500, &[], "12"),
        ("iso87-ascii", NetworkId::OWN_TERMINALS, 520, &[], "12"),
        // 1993: the reconciliation's own date, DE 28, else DE 15.
        ("iso93-ascii", EAST, 1520, &[], "taken 1231"),
        ("iso93-ascii", EAST, 1520, &[(28, "260101")], "taken 0101"),
        ("iso93-ascii", EAST, 1520, &[(15, "")], "30 DE 15: missing"),
    ] {
        let adapter = adapter_for(dialect, Rules { network, ..rules() });
        let bytes = sent(adapter.dialect(), mti, &Figures::NONE, changes);
        let told = match taken(&adapter, &bytes) {
            Ok(Reconcile { settlement: MonthDay { month, day }, .. }) => format!("taken {month:02}{day:02}"),
            Err(refused) => refused,
        };
        assert!(told.starts_with(expected), "{dialect} {mti} {changes:?}: {told}");
    }
}

#[test]
fn de_50_is_told_where_it_was_left_out() {
    let adapter = adapter_for("iso87-bcd", of_network());
    let bytes = sent(adapter.dialect(), 500, &Figures::NONE, &[(50, "")]);
    let request = adapter.dialect().decode(&bytes).unwrap();
    let mut out = Vec::new();
    adapter
        .respond_reconciled(&request, &done(Verdict::InBalance), &mut out)
        .unwrap();
    let answer = adapter.dialect().decode(&out).unwrap();
    assert_eq!(text_of(&answer, 50), "410");
}

/// 2026-01-01, 00:05:07 UTC.
const TIME_US: u64 = (TODAY.0 as u64 + 1) * 86_400_000_000 + 307_000_000;

fn asked() -> Outgoing {
    Outgoing::reconcile(Asked {
        seq: 1_000_041,
        time_us: TIME_US,
        settlement_date: TODAY,
        currency: KRW,
        ours: all_figures(),
    })
}

fn announced() -> Outgoing {
    Outgoing::announce(Announcement {
        seq: 1_000_041,
        time_us: TIME_US,
        closed: TODAY,
    })
}

fn told(adapter: &Adapter, bytes: &[u8], fields: &[u8]) -> String {
    let message = adapter.dialect().decode(bytes).unwrap();
    let texts = fields.iter().map(|field| text_of(&message, *field));
    let texts: Vec<_> = texts.collect();
    format!("{} {}", message.mti(), texts.join(" "))
}

#[test]
fn messages_of_our_own() {
    let fields = [7, 11, 15, 24, 28, 50, 70];
    for name in Dialect::BUILTIN_NAMES {
        let adapter = adapter_for(name, of_network());
        let say = |message: &Outgoing, repeat| {
            let mut out = Vec::new();
            adapter.originate(message, repeat, &mut out).unwrap();
            told(&adapter, &out, &fields)
        };
        let echo = Outgoing::echo(5, TIME_US);
        let expected = if is_93(name) {
            [
                "1804 0101000507 000006 - 831 - - -",
                "1804 0101000507 000043 260101 821 - - -",
                "1520 0101000507 000043 - 502 251231 410 -",
                "1521 0101000507 000043 - 502 251231 410 -",
            ]
        } else {
            [
                "0800 0101000507 000006 - - - - 301",
                "0800 0101000507 000043 0101 - - - 201",
                "0500 0101000507 000043 1231 - - 410 -",
                "0501 0101000507 000043 1231 - - 410 -",
            ]
        };
        let (announced, asked) = (announced(), asked());
        let seen = [
            say(&echo, false),
            say(&announced, false),
            say(&asked, false),
            say(&asked, true),
        ];
        assert_eq!(seen, expected, "{name}");
        let mut out = Vec::new();
        adapter.originate(&asked, false, &mut out).unwrap();
        let message = adapter.dialect().decode(&out).unwrap();
        let figures = super::super::reconcile::figures(&message).unwrap();
        assert_eq!(figures, all_figures(), "{name}");
    }
    // A network that names the date that has ended is told so as well.
    let ended = Rules {
        cutover_names_ended: true,
        ..of_network()
    };
    let adapter = adapter_for("iso87-ascii", ended);
    let mut out = Vec::new();
    adapter.originate(&announced(), true, &mut out).unwrap();
    assert_eq!(told(&adapter, &out, &[15, 70]), "0801 1231 201");
}

#[test]
#[rustfmt::skip] // one case a line
fn which_answer_is_ours() {
    let adapter = adapter_for("iso87-ascii", of_network());
    let good = [(7, "0101000507"), (11, "000043"), (39, "00"), (70, "201")];
    for (mti, changes, expected) in [
        (810, &[][..], true),
        (810, &[(7, "")], true),
        (810, &[(70, "")], true),
        // Never by the STAN alone.
        (810, &[(7, ""), (70, "")], false),
        (810, &[(11, "000044")], false),
        (810, &[(11, "")], false),
        (810, &[(7, "0101000508")], false),
        (810, &[(70, "301")], false),
        (510, &[], false),
        (830, &[], false),
        (800, &[], false),
    ] {
        let bytes = encode(adapter.dialect(), mti, &with(&good, changes));
        let message = adapter.dialect().decode(&bytes).unwrap();
        assert_eq!(adapter.is_answer(&message, &announced()), expected, "{mti} {changes:?}");
    }
}

#[test]
#[rustfmt::skip] // one case a line
fn what_an_answer_to_our_reconciliation_says() {
    let some = Figures::NONE.with(76, 4).unwrap();
    for (dialect, changes, figures, expected) in [
        ("iso87-ascii", &[(39, "00"), (66, "1")][..], some, Some((true, Some(Verdict::InBalance)))),
        ("iso87-ascii", &[(39, "00"), (66, "2")], some, Some((true, Some(Verdict::OutOfBalance)))),
        ("iso87-ascii", &[(39, "00"), (66, "9")], some, Some((true, Some(Verdict::Received)))),
        ("iso87-ascii", &[(39, "00"), (66, "5")], some, None),
        // Without DE 66 its figures tell, if there are any.
        ("iso87-ascii", &[(39, "00")], some, Some((true, None))),
        ("iso87-ascii", &[(39, "00")], Figures::NONE, Some((true, Some(Verdict::Received)))),
        ("iso87-ascii", &[(39, "12")], some, Some((false, Some(Verdict::Refused)))),
        ("iso87-ascii", &[(39, "XX")], some, None),
        ("iso87-ascii", &[], some, None),
        ("iso93-ascii", &[(39, "500")], some, Some((true, Some(Verdict::InBalance)))),
        ("iso93-ascii", &[(39, "501")], some, Some((true, Some(Verdict::OutOfBalance)))),
        ("iso93-ascii", &[(39, "504")], some, Some((true, None))),
        ("iso93-ascii", &[(39, "904")], some, Some((false, Some(Verdict::Refused)))),
    ] {
        let adapter = adapter_for(dialect, of_network());
        let own = [(7, "0101000507"), (11, "000043")];
        let mti = if is_93(dialect) { 1530 } else { 510 };
        let mut bytes = Vec::new();
        {
            let mut builder = adapter.dialect().builder(&mut bytes, Mti::new(mti).unwrap());
            for (field, text) in with(&own, changes) {
                builder.text(field, text.as_bytes());
            }
            for (element, value) in figures.iter() {
                builder.number(element, value.unsigned_abs());
            }
            builder.finish().unwrap();
        }
        let message = adapter.dialect().decode(&bytes).unwrap();
        assert!(adapter.is_answer(&message, &asked()), "{changes:?}");
        let reply = adapter.reply(&message, &asked(), &mut Scratch::new());
        let seen = reply.ok().map(|Reply { accepted, verdict, theirs }| {
            assert_eq!(theirs, figures);
            (accepted, verdict)
        });
        assert_eq!(seen, expected, "{dialect} {changes:?}");
    }
}

/// 1993: the cutover is function code 821, with DE 15 as six digits.
#[test]
fn a_cutover_in_1993() {
    let adapter = adapter_for("iso93-ascii", of_network());
    let fields = [
        (7, "0101000507"),
        (11, "000001"),
        (15, "260101"),
        (24, "821"),
    ];
    let bytes = encode(adapter.dialect(), 1804, &fields);
    let message = adapter.dialect().decode(&bytes).unwrap();
    let Intake::NetworkCutover(cutover) = adapter.intake(&message, &mut Scratch::new()) else {
        panic!();
    };
    let Some(Request::NetworkCutover { network, date, .. }) = cutover.request(TODAY) else {
        panic!();
    };
    assert_eq!((network, date), (EAST, TODAY.next()));
}
