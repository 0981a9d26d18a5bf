//! Outcomes to answers.

use super::*;

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
