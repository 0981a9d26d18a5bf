//! The adapter's rules as tables: fields to request or refusal, outcome to fields.

use std::fmt::Write as _;
use std::sync::Arc;

use gapless_engine::code::ResponseCode;
use gapless_engine::command::{Amount, Class, Operation, Request, Reversal, Transaction};
use gapless_engine::date::{Date, MonthDay};
use gapless_engine::ids::{Currency, Expiry, NetworkId};
use gapless_engine::outcome::{Balances, Outcome};
use gapless_iso8583::{Dialect, Mti, Scratch};

use super::{Adapter, Intake, PanKeys, Rules};

const KRW: Currency = Currency(410);
const USD: Currency = Currency(840);
const PAN: &str = "9410000000000018";

/// Fields of a message, ascending.
type Fields<'a> = &'a [(u8, &'a str)];

fn keys() -> Arc<PanKeys> {
    Arc::new(PanKeys::from_bytes(&[7; 32]))
}

fn rules() -> Rules {
    Rules {
        currencies: vec![(*b"KRW", KRW), (*b"USD", USD)],
        ..Rules::own_terminals(KRW)
    }
}

fn adapter_for(dialect: &str, rules: Rules) -> Adapter {
    Adapter::new(keys(), Dialect::builtin(dialect).unwrap(), rules)
}

fn encode(dialect: &Dialect, mti: u16, fields: Fields<'_>) -> Vec<u8> {
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

/// A request's fields with some changed, added, or (empty text) taken away.
fn with<'t>(base: &[(u8, &'t str)], changes: &[(u8, &'t str)]) -> Vec<(u8, &'t str)> {
    let mut fields: Vec<_> = base
        .iter()
        .filter(|(field, _)| !changes.iter().any(|(changed, _)| changed == field))
        .chain(changes.iter().filter(|(_, text)| !text.is_empty()))
        .copied()
        .collect();
    fields.sort_by_key(|(field, _)| *field);
    fields
}

fn intake(adapter: &Adapter, mti: u16, fields: Fields<'_>) -> Intake {
    let bytes = encode(adapter.dialect(), mti, fields);
    let message = adapter.dialect().decode(&bytes).unwrap();
    adapter.intake(&message, &mut Scratch::new())
}

fn transaction(adapter: &Adapter, mti: u16, fields: Fields<'_>) -> Transaction {
    match intake(adapter, mti, fields) {
        Intake::Engine(Request::Transaction(transaction)) => transaction,
        other => panic!("{mti} {fields:?}: {other:?}"),
    }
}

fn reversal(adapter: &Adapter, mti: u16, fields: Fields<'_>) -> Reversal {
    match intake(adapter, mti, fields) {
        Intake::Engine(Request::Reversal(reversal)) => reversal,
        other => panic!("{mti} {fields:?}: {other:?}"),
    }
}

/// What an intake comes to, in a few words.
fn said(intake: &Intake) -> String {
    match intake {
        Intake::Engine(Request::Transaction(transaction)) => match transaction.refusal {
            Some(code) => format!("engine, refusal {:02}", code.number()),
            None => "engine".to_owned(),
        },
        Intake::Engine(_) => "engine".to_owned(),
        Intake::Management(purpose) => format!("{purpose:?}"),
        Intake::Answer(refusal) => {
            let mut said = format!("{:02}", refusal.code.number());
            if let Some(fault) = refusal.fault {
                write!(said, " {fault}").unwrap();
            }
            said
        }
        Intake::Ignore(why) => why.to_string(),
    }
}

const PURCHASE: Fields<'static> = &[
    (2, PAN),
    (3, "000000"),
    (4, "000000010000"),
    (7, "1122090305"),
    (11, "000001"),
    (12, "180305"),
    (13, "1122"),
    (14, "3012"),
    (22, "051"),
    (32, "00000000123"),
    (37, "632609000001"),
    (41, "TERM0001"),
    (42, "MERCHANT0000001"),
    (49, "410"),
];

const TRANSFER: Fields<'static> = &[
    (3, "400000"),
    (4, "000000010000"),
    (7, "1122090305"),
    (11, "000002"),
    (37, "632609000002"),
    (41, "TERM0001"),
    (49, "410"),
    (102, "1000000000"),
    (103, "1000000001"),
];

#[test]
fn a_purchase_field_by_field() {
    let adapter = adapter_for("iso87-ascii", rules());
    let purchase = transaction(&adapter, 200, PURCHASE);
    assert_eq!(purchase.class, Class::FinancialRequest);
    assert_eq!(purchase.network, NetworkId::OWN_TERMINALS);
    assert_eq!(purchase.operation, Operation::Purchase);
    assert_eq!(purchase.pan, Some(keys().pan_hash(PAN.as_bytes())));
    assert_eq!(
        purchase.expiry,
        Some(Expiry {
            year: 30,
            month: 12
        })
    );
    assert_eq!(
        purchase.amount,
        Amount {
            minor: 10_000,
            currency: KRW
        }
    );
    assert_eq!((purchase.from, purchase.to), (None, None));
    assert_eq!((purchase.billing, purchase.cashback_minor), (None, 0));
    assert_eq!((purchase.settlement, purchase.refusal), (None, None));
    let packed = (11 * 31 + 22) * 86_400 + 9 * 3_600 + 3 * 60 + 5 + 1;
    assert_eq!(purchase.identity.transmitted, packed);
}

/// The same message means the same whatever its dialect.
#[test]
fn a_purchase_in_every_dialect_of_1987() {
    let expected = transaction(&adapter_for("iso87-ascii", rules()), 200, PURCHASE);
    for dialect in ["iso87-ascii-hex", "iso87-bcd", "iso87-ebcdic"] {
        let purchase = transaction(&adapter_for(dialect, rules()), 200, PURCHASE);
        assert_eq!(
            format!("{purchase:?}"),
            format!("{expected:?}"),
            "{dialect}"
        );
        assert_eq!(purchase.pan, expected.pan, "{dialect}");
    }
}

#[test]
#[rustfmt::skip]
fn what_each_message_type_needs_and_refuses() {
    let adapter = adapter_for("iso87-ascii", rules());
    let inquiry: Fields<'_> = &[(3, "301000"), (4, ""), (49, "")];
    let cash_back = "0040410D000000003000";
    let track = "9410000000000018=30121010000012345678";
    let replaced = &format!("{:042}", 0);
    let partial = &format!("000000005000{:030}", 0);
    for (mti, base, changes, expected) in [
        (200, PURCHASE, &[][..], "engine"),
        (201, PURCHASE, &[], "engine"),
        (220, PURCHASE, &[], "engine"),
        (221, PURCHASE, &[], "engine"),
        (200, PURCHASE, &[(37, ""), (41, ""), (42, ""), (12, ""), (13, ""), (14, "")], "engine"),
        // What must be there.
        (200, PURCHASE, &[(3, "")], "30 DE 3: missing"),
        (200, PURCHASE, &[(4, "")], "30 DE 4: missing"),
        (200, PURCHASE, &[(7, "")], "30 DE 7: missing"),
        (200, PURCHASE, &[(11, "")], "30 DE 11: missing"),
        (200, PURCHASE, &[(49, "")], "30 DE 49: missing"),
        (200, PURCHASE, &[(2, "")], "30 DE 2: missing"),
        (200, PURCHASE, &[(2, ""), (102, "1000000000")], "30 DE 2: missing"),
        (200, PURCHASE, &[(2, ""), (35, track)], "engine"),
        (200, PURCHASE, &[(2, ""), (35, "9410000000000018")], "30 DE 35: not a value that it may have"),
        (200, PURCHASE, &[(2, ""), (35, "=3012")], "30 DE 35: not a value that it may have"),
        (200, PURCHASE, &[(2, "941")], "30 DE 2: not a value that it may have"),
        (220, PURCHASE, &[(4, "")], "30 DE 4: missing"),
        // What it may not say.
        (200, PURCHASE, &[(7, "1322090305")], "30 DE 7: not a value that it may have"),
        (200, PURCHASE, &[(14, "3013")], "30 DE 14: not a value that it may have"),
        (200, PURCHASE, &[(3, "990000")], "12"),
        (200, PURCHASE, &[(3, "100000")], "12"),
        (200, PURCHASE, &[(49, "999")], "engine"),
        // Zero is 13, which the engine says after its duplicate check.
        (200, PURCHASE, &[(4, "000000000000")], "engine"),
        // Cashback.
        (200, PURCHASE, &[(3, "090000"), (54, cash_back)], "engine"),
        (200, PURCHASE, &[(3, "090000"), (54, "0040840D000000003000")], "30 DE 54: not a value that it may have"),
        (200, PURCHASE, &[(3, "090000"), (54, "0040410X000000003000")], "30 DE 54: not a value that it may have"),
        (200, PURCHASE, &[(3, "090000"), (54, "0040410D00000000300")], "30 DE 54: not a value that it may have"),
        // Inquiries.
        (200, PURCHASE, inquiry, "engine"),
        (200, PURCHASE, &[(3, "310000")], "engine"),
        (220, PURCHASE, inquiry, "12"),
        (200, PURCHASE, &[(3, "301000"), (2, "")], "30 DE 2: missing"),
        // Transfers.
        (200, TRANSFER, &[], "engine"),
        (200, TRANSFER, &[(2, PAN), (102, "")], "engine"),
        (200, TRANSFER, &[(102, "")], "30 DE 2: missing"),
        (200, TRANSFER, &[(103, "")], "30 DE 103: missing"),
        (200, TRANSFER, &[(103, "   ")], "30 DE 103: not a value that it may have"),
        // Reversals.
        (400, PURCHASE, &[], "engine"),
        (401, PURCHASE, &[], "engine"),
        (420, PURCHASE, &[], "engine"),
        (421, PURCHASE, &[(2, ""), (3, ""), (4, ""), (49, "")], "engine"),
        (420, PURCHASE, &[(7, "")], "30 DE 7: missing"),
        (420, PURCHASE, &[(11, "")], "30 DE 11: missing"),
        (420, PURCHASE, &[(95, replaced)], "engine"),
        (420, PURCHASE, &[(95, partial)], "12"),
        // Others.
        (100, PURCHASE, &[], "12"),
        (300, PURCHASE, &[], "12"),
        (1200, PURCHASE, &[], "12"),
        (210, PURCHASE, &[], "a response to nothing that was asked"),
        (240, PURCHASE, &[], "a message type that has no answer"),
        // Network management.
        (800, PURCHASE, &[(70, "001")], "SignOn"),
        (800, PURCHASE, &[(70, "061")], "SignOn"),
        (800, PURCHASE, &[(70, "002")], "SignOff"),
        (801, PURCHASE, &[(70, "301")], "Echo"),
        (820, PURCHASE, &[(70, "270")], "Echo"),
        (800, PURCHASE, &[(70, "999")], "12"),
        (800, PURCHASE, &[], "30 DE 70: missing"),
        (810, PURCHASE, &[(70, "301")], "a response to nothing that was asked"),
    ] {
        let fields = with(base, changes);
        assert_eq!(said(&intake(&adapter, mti, &fields)), expected, "{mti:04} {changes:?}");
    }
}

#[test]
#[rustfmt::skip]
fn what_a_link_may_ask_for() {
    let narrow = || Rules {
        allow: vec![Operation::Purchase, Operation::Transfer],
        cardless_transfers: false,
        max_amount_minor: vec![(KRW, 50_000)],
        ..rules()
    };
    let adapter = adapter_for("iso87-ascii", narrow());
    for (base, changes, expected) in [
        (PURCHASE, &[][..], "engine"),
        (PURCHASE, &[(4, "000000050000")], "engine"),
        (PURCHASE, &[(4, "000000050001")], "engine, refusal 61"),
        (PURCHASE, &[(4, "000000050001"), (49, "840")], "engine"),
        (PURCHASE, &[(3, "010000")], "engine, refusal 57"),
        (PURCHASE, &[(3, "010000"), (4, "000000050001")], "engine, refusal 57"),
        (PURCHASE, &[(3, "200000")], "engine, refusal 57"),
        (PURCHASE, &[(3, "310000")], "engine, refusal 57"),
        (TRANSFER, &[], "engine, refusal 57"),
        (TRANSFER, &[(2, PAN)], "engine"),
    ] {
        let fields = with(base, changes);
        assert_eq!(said(&intake(&adapter, 200, &fields)), expected, "{changes:?}");
    }
}

#[test]
fn amounts_and_currencies() {
    let adapter = adapter_for("iso87-ascii", rules());
    let billed = with(PURCHASE, &[(6, "000000000750"), (51, "840")]);
    let billing = transaction(&adapter, 200, &billed).billing;
    let expected = Amount {
        minor: 750,
        currency: USD,
    };
    assert_eq!(billing, Some(expected));

    let inquiry = with(PURCHASE, &[(3, "301000"), (4, ""), (49, "")]);
    let asked = transaction(&adapter, 200, &inquiry);
    assert_eq!(asked.operation, Operation::InquiryAvailable);
    assert_eq!((asked.amount.minor, asked.amount.currency), (0, KRW));

    let groups = "1002410C000000012345" // a balance, which is none of ours
        .to_owned()
        + "0040410D000000003000";
    let cashback = with(PURCHASE, &[(3, "090000"), (54, &groups)]);
    assert_eq!(transaction(&adapter, 200, &cashback).cashback_minor, 3_000);
    // Elsewhere DE 54 says nothing that this side would act on.
    let plain = with(PURCHASE, &[(54, &groups)]);
    assert_eq!(transaction(&adapter, 200, &plain).cashback_minor, 0);
}

/// Letters in DE 49 (a 3 or n 3): only the 1993 dialect lets them through.
#[test]
fn currencies_by_their_letters() {
    let adapter = adapter_for("iso93-ascii", rules());
    for (code, expected) in [
        ("410", "engine"),
        ("KRW", "engine"),
        ("EUR", "12"),
        ("K1W", "30 DE 49: not a value that it may have"),
    ] {
        let fields = with(PURCHASE_93, &[(49, code)]);
        assert_eq!(said(&intake(&adapter, 1200, &fields)), expected, "{code}");
    }
    let fields = with(PURCHASE_93, &[(49, "KRW")]);
    assert_eq!(transaction(&adapter, 1200, &fields).amount.currency, KRW);
}

#[test]
fn only_networks_set_the_settlement_date() {
    let of_network = Rules {
        network: NetworkId(3),
        ..rules()
    };
    let network = adapter_for("iso87-ascii", of_network.clone());
    let network_93 = adapter_for("iso93-ascii", of_network);
    let terminals = adapter_for("iso87-ascii", rules());
    let day = |month, day| Some(MonthDay { month, day });
    for (date, expected) in [
        ("1123", day(11, 23)),
        ("0229", day(2, 29)),
        ("0000", None),
        ("1100", None),
    ] {
        let fields = with(PURCHASE, &[(15, date)]);
        assert_eq!(
            transaction(&network, 200, &fields).settlement,
            expected,
            "{date}"
        );
        assert_eq!(
            transaction(&terminals, 200, &fields).settlement,
            None,
            "{date}"
        );
        assert_eq!(
            reversal(&network, 420, &fields).settlement,
            expected,
            "{date}"
        );
        assert_eq!(
            reversal(&terminals, 420, &fields).settlement,
            None,
            "{date}"
        );
    }
    let fields = with(PURCHASE_93, &[(15, "261123")]);
    assert_eq!(
        transaction(&network_93, 1200, &fields).settlement,
        day(11, 23)
    );
}

/// FIELD.md, "Matching": the same MTI class, DE 2, 7, 11, 32, 37 and 41.
#[test]
#[rustfmt::skip]
fn a_retransmission_is_recognised_and_nothing_else() {
    let adapter = adapter_for("iso87-ascii", rules());
    let key = |mti, changes| transaction(&adapter, mti, &with(PURCHASE, changes)).identity.key;
    let first = key(200, &[]);
    for (mti, changes, same) in [
        (201, &[][..], true),
        (200, &[(4, "000000099999")], true),
        (200, &[(12, "235959"), (13, "0101"), (42, "ANOTHER00000001")], true),
        (200, &[(2, ""), (35, "9410000000000018=30121010000012345678")], true),
        (200, &[(32, "123")], true),
        (220, &[], false),
        (200, &[(2, "9410000000000026")], false),
        (200, &[(7, "1122090306")], false),
        (200, &[(11, "000002")], false),
        (200, &[(32, "124")], false),
        (200, &[(32, "")], false),
        (200, &[(37, "632609000002")], false),
        (200, &[(37, "")], false),
        (200, &[(41, "TERM0002")], false),
        (200, &[(41, "")], false),
    ] {
        assert_eq!(key(mti, changes) == first, same, "{mti} {changes:?}");
    }
    let of_network = Rules { network: NetworkId(3), ..rules() };
    let elsewhere = adapter_for("iso87-ascii", of_network);
    let there = transaction(&elsewhere, 200, PURCHASE).identity;
    assert_ne!(there.key, first, "another network");
    let other_key = Adapter::new(Arc::new(PanKeys::from_bytes(&[8; 32])), Dialect::builtin("iso87-ascii").unwrap(), rules());
    assert_ne!(transaction(&other_key, 200, PURCHASE).identity.key, first, "another key");
}

/// What a DE 90 says of an original must be comparable with the original's own
/// identity, part by part, and a part that is lost must say nothing.
#[test]
#[rustfmt::skip]
fn a_reversal_names_its_original() {
    let adapter = adapter_for("iso87-ascii", rules());
    let sent = with(PURCHASE, &[(33, "456")]);
    let original = transaction(&adapter, 200, &sent).identity;
    // The reversal has a STAN and a time of its own.
    let base = with(&sent, &[(7, "1122090400"), (11, "000777")]);
    let class = Some(Class::FinancialRequest);
    // DE 90 | class, STAN, DE 7, acquirer, forwarder known
    for (de_90, class, parts) in [
        ("020000000111220903050000000012300000000456", class, [true, true, true, true]),
        ("020100000111220903050000000012300000000456", class, [true, true, true, true]),
        ("022000000111220903050000000012300000000456", Some(Class::FinancialAdvice), [true, true, true, true]),
        ("000000000111220903050000000012300000000456", None, [true, true, true, true]),
        ("020000000011220903050000000012300000000456", class, [false, true, true, true]),
        ("020000000100000000000000000012300000000456", class, [true, false, true, true]),
        ("020000000111220903050000000000000000000456", class, [true, true, false, true]),
        ("020000000111220903050000000012300000000000", class, [true, true, true, false]),
        ("000000000000000000000000000000000000000000", None, [false; 4]),
        // A time that no clock shows is as good as lost.
        ("020000000199990903050000000012300000000456", class, [true, false, true, true]),
    ] {
        let fields = with(&base, &[(90, de_90)]);
        let named = reversal(&adapter, 420, &fields).original;
        assert_eq!(named.class, class, "{de_90}");
        let if_known = |known: bool, value: u32| if known { value } else { 0 };
        let [stan, time, acquirer, forwarder] = parts;
        assert_eq!(named.locator, stan.then_some(original.locator), "{de_90}");
        assert_eq!(named.transmitted, if_known(time, original.transmitted), "{de_90}");
        let of = |byte: u8| u32::from(byte);
        assert_eq!(of(named.acquirer), if_known(acquirer, of(original.acquirer)), "{de_90}");
        assert_eq!(of(named.forwarder), if_known(forwarder, of(original.forwarder)), "{de_90}");
        assert_eq!(named.rrn, original.rrn, "DE 37 stays the same through the life of a transaction");
    }
    // Nothing of this is 0, or the comparisons above would be empty.
    assert!(original.transmitted != 0 && original.rrn != 0);
    assert!(original.acquirer != 0 && original.forwarder != 0);

    let other = with(&base, &[(90, "020000000211220903060000000012400000000457")]);
    let named = reversal(&adapter, 420, &other).original;
    assert_ne!(named.locator, Some(original.locator));
    assert_ne!(named.transmitted, original.transmitted);
}

#[test]
fn a_reversal_without_de_90_is_named_by_its_own_fields() {
    let adapter = adapter_for("iso87-ascii", rules());
    let original = transaction(&adapter, 200, PURCHASE).identity;
    let named = reversal(&adapter, 420, PURCHASE).original;
    assert_eq!(named.class, None);
    assert_eq!(named.locator, Some(original.locator));
    assert_eq!(named.transmitted, original.transmitted);
    assert_eq!(
        (named.rrn, named.acquirer),
        (original.rrn, original.acquirer)
    );

    let lost = reversal(&adapter, 420, &with(PURCHASE, &[(2, "")])).original;
    assert_eq!(lost.locator, None, "without a card nothing can be located");

    let moved = transaction(&adapter, 200, TRANSFER).identity;
    let named = reversal(&adapter, 400, TRANSFER).original;
    assert_eq!(
        named.locator,
        Some(moved.locator),
        "a transfer between accounts"
    );
}

#[test]
fn a_reversal_of_1993_names_its_original_by_de_56() {
    let adapter = adapter_for("iso93-ascii", rules());
    let original = transaction(&adapter, 1200, PURCHASE_93).identity;
    let de_56 = "120000000126112218030503123";
    let fields = with(
        PURCHASE_93,
        &[
            (7, "1122090400"),
            (11, "000777"),
            (12, "261122180400"),
            (56, de_56),
        ],
    );
    let named = reversal(&adapter, 1420, &fields).original;
    assert_eq!(named.class, Some(Class::FinancialRequest));
    assert_eq!(named.locator, Some(original.locator));
    assert_eq!(named.transmitted, original.transmitted);
    assert_eq!(named.acquirer, original.acquirer);
    for bad in [
        "1200",
        "12000000012611221803050312",
        "1200000001261122180305031234",
    ] {
        let fields = with(&fields, &[(56, bad)]);
        let said = said(&intake(&adapter, 1420, &fields));
        assert_eq!(said, "30 DE 56: not a value that it may have", "{bad}");
    }
}

#[test]
#[rustfmt::skip]
fn messages_of_1993() {
    let adapter = adapter_for("iso93-ascii", rules());
    let partial = "000000010000000000010000";
    for (mti, changes, expected) in [
        (1200, &[][..], "engine"),
        (1220, &[], "engine"),
        (1420, &[], "engine"),
        (1421, &[(30, partial)], "engine"),
        (1420, &[(30, partial), (4, "000000005000")], "12"),
        (1804, &[(24, "801")], "SignOn"),
        (1804, &[(24, "802")], "SignOff"),
        (1804, &[(24, "831")], "Echo"),
        (1800, &[(24, "831")], "Echo"),
        (1804, &[(24, "811")], "12"),
        (1804, &[(24, "")], "30 DE 24: missing"),
        (1100, &[], "12"),
        (200, &[], "12"),
        (1814, &[(24, "831")], "a response to nothing that was asked"),
    ] {
        let fields = with(PURCHASE_93, changes);
        assert_eq!(said(&intake(&adapter, mti, &fields)), expected, "{mti} {changes:?}");
    }
}

const PURCHASE_93: Fields<'static> = &[
    (2, PAN),
    (3, "000000"),
    (4, "000000010000"),
    (7, "1122090305"),
    (11, "000001"),
    (12, "261122180305"),
    (24, "200"),
    (32, "123"),
    (37, "632609000001"),
    (41, "TERM0001"),
    (42, "MERCHANT0000001"),
    (49, "410"),
];

fn outcome(code: ResponseCode) -> Outcome {
    Outcome {
        code,
        seq: 41,
        durable_at: 41,
        business_date: Date::from_ymd(2026, 11, 22).unwrap(),
        settlement_date: Date::from_ymd(2026, 11, 23).unwrap(),
        balances: None,
        is_repeat: false,
    }
}

/// The answer's fields as text, by the dialect's own decoder.
fn fields_of(dialect: &Dialect, bytes: &[u8]) -> (u16, Vec<(u8, String)>) {
    let message = dialect.decode(bytes).unwrap();
    let mut scratch = Scratch::new();
    let fields = message.fields().map(|field| {
        let text = message.text(field, &mut scratch).unwrap().unwrap();
        (field, String::from_utf8(text.to_vec()).unwrap())
    });
    (message.mti().value(), fields.collect())
}

fn respond(
    adapter: &Adapter,
    mti: u16,
    fields: Fields<'_>,
    outcome: &Outcome,
) -> (u16, Vec<(u8, String)>) {
    let bytes = encode(adapter.dialect(), mti, fields);
    let request = adapter.dialect().decode(&bytes).unwrap();
    let mut out = Vec::new();
    adapter.respond(&request, outcome, &mut out).unwrap();
    fields_of(adapter.dialect(), &out)
}

fn owned(fields: &[(u8, &str)]) -> Vec<(u8, String)> {
    fields
        .iter()
        .map(|(field, text)| (*field, (*text).to_owned()))
        .collect()
}

#[test]
fn answers_field_by_field() {
    let echoed_of_all = with(PURCHASE, &[(14, ""), (22, ""), (42, "MERCHANT0000001")]);
    for dialect in [
        "iso87-ascii",
        "iso87-ascii-hex",
        "iso87-bcd",
        "iso87-ebcdic",
    ] {
        let adapter = adapter_for(dialect, rules());
        // Everything that must not come back is in the request.
        let request = with(
            PURCHASE,
            &[
                (18, "5411"),
                (25, "00"),
                (35, "9410000000000018=30121010000012345678"),
                (43, "SHOP"),
                (48, "X"),
            ],
        );
        for (code, changes) in [
            (
                ResponseCode::Approved,
                &[(15, "1123"), (38, "000042"), (39, "00")][..],
            ),
            (ResponseCode::InsufficientFunds, &[(15, "1123"), (39, "51")]),
        ] {
            let (mti, fields) = respond(&adapter, 200, &request, &outcome(code));
            assert_eq!(mti, 210);
            assert_eq!(
                fields,
                owned(&with(&echoed_of_all, changes)),
                "{dialect} {code:?}"
            );
        }
    }
}

#[test]
#[rustfmt::skip]
fn answers_by_message_type() {
    let adapter = adapter_for("iso87-ascii", rules());
    let adapter_93 = adapter_for("iso93-ascii", rules());
    let de_90 = "020000000111220903050000000012300000000456";
    let approved = outcome(ResponseCode::Approved);
    for (adapter, mti, base, request, answer, fields) in [
        (&adapter, 201, PURCHASE, &[][..], 210, &[(38, "000042"), (39, "00"), (15, "1123")][..]),
        (&adapter, 220, PURCHASE, &[], 230, &[(38, "000042"), (39, "00"), (15, "1123")]),
        (&adapter, 400, PURCHASE, &[(90, de_90)], 410, &[(38, ""), (39, "00"), (15, "1123"), (90, de_90)]),
        (&adapter, 421, PURCHASE, &[(90, de_90)], 430, &[(38, ""), (39, "00"), (15, "1123"), (90, de_90)]),
        (&adapter, 200, TRANSFER, &[], 210, &[(39, "00"), (102, "1000000000"), (103, "1000000001")]),
        (&adapter_93, 1200, PURCHASE_93, &[], 1210, &[(38, "000042"), (39, "000"), (15, "261123"), (24, "")]),
        (&adapter_93, 1421, PURCHASE_93, &[(56, "1200000001261122180305")], 1430, &[(39, "400"), (56, "1200000001261122180305")]),
    ] {
        let (mti, said) = respond(adapter, mti, &with(base, request), &approved);
        assert_eq!(mti, answer);
        for (field, text) in fields {
            let found = said.iter().find(|(number, _)| number == field);
            let found = found.map_or("", |(_, text)| text.as_str());
            assert_eq!(found, *text, "DE {field} of {mti}");
        }
    }
}

#[test]
#[rustfmt::skip]
fn balances_are_said_exactly_or_not_at_all() {
    let adapter = adapter_for("iso87-ascii", rules());
    let inquiry = with(PURCHASE, &[(3, "311000")]);
    let most = 999_999_999_999;
    for (ledger, available, code, de_54) in [
        (10_000, 9_000, "00", "1001410C0000000100001002410C000000009000"),
        (-500, 0, "00", "1001410D0000000005001002410C000000000000"),
        (most, -most, "00", "1001410C9999999999991002410D999999999999"),
        (most + 1, 0, "96", ""),
        (0, i64::MIN, "96", ""),
    ] {
        let told = Outcome {
            balances: Some(Balances { currency: KRW, ledger_minor: ledger, available_minor: available }),
            ..outcome(ResponseCode::Approved)
        };
        let (_, fields) = respond(&adapter, 200, &inquiry, &told);
        let field = |number| {
            let found = fields.iter().find(|(field, _)| *field == number);
            found.map_or("", |(_, text)| text.as_str())
        };
        assert_eq!((field(39), field(54)), (code, de_54));
        assert_eq!(field(38).is_empty(), code != "00");
    }
}

/// A format error carries what could be read before the fault, and no more.
#[test]
fn half_a_message_is_answered_if_its_sender_can_match_it() {
    let adapter = adapter_for("iso87-ascii", rules());
    let today = Date::from_ymd(2026, 11, 22).unwrap();
    let whole = encode(adapter.dialect(), 200, PURCHASE);
    let mut answered = 0;
    for length in 0..whole.len() {
        let failure = adapter.dialect().decode(&whole[..length]).unwrap_err();
        if !adapter.may_answer(&failure.partial) {
            assert!(!failure.partial.has(11));
            continue;
        }
        answered += 1;
        let mut out = Vec::new();
        adapter
            .answer(&failure.partial, ResponseCode::FormatError, today, &mut out)
            .unwrap();
        let (mti, fields) = fields_of(adapter.dialect(), &out);
        assert_eq!(mti, 210);
        let has = |number, text: &str| fields.contains(&(number, text.to_owned()));
        assert!(has(39, "30") && has(11, "000001") && has(7, "1122090305") && has(15, "1122"));
        assert!(!fields.iter().any(|(field, _)| matches!(field, 14 | 38)));
    }
    assert!(answered > 20);
}

/// Whatever a dialect's decoder lets through, the adapter takes without a panic,
/// and answers what may be answered.
#[test]
fn mutated_messages_never_panic() {
    let today = Date::from_ymd(2026, 11, 22).unwrap();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    let mut answered = 0;
    for (dialect, mti, fields) in [
        ("iso87-ascii", 200, PURCHASE),
        ("iso87-bcd", 420, PURCHASE),
        ("iso93-ascii", 1420, PURCHASE_93),
        ("iso87-ebcdic", 200, TRANSFER),
    ] {
        let adapter = adapter_for(dialect, rules());
        let whole = encode(adapter.dialect(), mti, fields);
        for _ in 0..5_000 {
            let mut bytes = whole.clone();
            for _ in 0..=next(3) {
                let at = next(bytes.len());
                bytes[at] = [b'0', b'9', 0xff, 0x20, next(256) as u8][next(5)];
            }
            let mut out = Vec::new();
            match adapter.dialect().decode(&bytes) {
                Ok(message) => {
                    if let Intake::Engine(_) = adapter.intake(&message, &mut Scratch::new()) {
                        let told = outcome(ResponseCode::Approved);
                        adapter.respond(&message, &told, &mut out).unwrap();
                        answered += 1;
                    }
                }
                Err(failure) if adapter.may_answer(&failure.partial) => {
                    let code = ResponseCode::FormatError;
                    adapter
                        .answer(&failure.partial, code, today, &mut out)
                        .unwrap();
                    answered += 1;
                }
                Err(_) => {}
            }
        }
    }
    assert!(answered > 1_000, "{answered}");
}

#[test]
fn nothing_secret_shows_in_debug() {
    let adapter = adapter_for("iso87-ascii", rules());
    let shown = format!("{adapter:?} {:?}", intake(&adapter, 200, PURCHASE));
    assert!(!shown.contains(PAN) && !shown.contains(&PAN[..10]));
    let hash = format!("{}", keys().pan_hash(PAN.as_bytes()).0);
    assert!(!shown.contains(&hash));
}
