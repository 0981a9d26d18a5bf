//! Messages to requests and refusals.

use super::*;

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
        (200, PURCHASE, &[(3, "310000"), (49, "392")], "engine"),
        (200, PURCHASE, &[(3, "310000"), (49, "999")], "12"),
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
        (800, PURCHASE, &[(70, "201"), (15, "0101")], "12"),
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

/// DE 15 of a network's cutover names the new date or the one that has ended.
#[test]
#[rustfmt::skip] // one case a line
fn a_networks_cutover() {
    assert_eq!(TODAY.to_string(), "2025-12-31");
    for (ended, de15, expected) in [
        (false, "0101", "2026-01-01"),
        (true,  "1231", "2026-01-01"),
        (false, "1231", "2025-12-31"),
        (true,  "0101", "2026-01-02"),
        (true,  "0228", "2026-03-01"),
        (false, "0231", "None"),
        (false, "", "30 DE 15: missing"),
        (false, "0000", "30 DE 15: missing"),
    ] {
        let of_network = Rules {
            network: NetworkId(3),
            cutover_names_ended: ended,
            ..rules()
        };
        let adapter = adapter_for("iso87-ascii", of_network);
        let fields = with(PURCHASE, &[(70, "201"), (15, de15)]);
        let told = said(&intake(&adapter, 800, &fields));
        assert!(told.contains(expected), "{ended} {de15}: {told}");
        assert_eq!(told.contains("NetworkId(3)"), expected.starts_with("20"), "{told}");
    }
}
