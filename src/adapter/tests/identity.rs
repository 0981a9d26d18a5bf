//! What messages are recognised by, and reversals name.

use super::*;

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
fn a_network_may_name_originals_by_local_date_and_time() {
    // NCHL puts DE 13 and DE 12 where others put DE 7.
    let file = "extends = \"iso87-ascii\"\n[semantics]\nversion = \"1987\"\naction_code_digits = 2\n\
        original_data = { field = 90, time_digits = 10, fixed_institutions = true, local_time = true }\n\
        network_code = 70\nlocal_time_digits = 6\nsettlement_date_digits = 4\nreplacement_amounts = 95\n";
    let dialect = Arc::new(Dialect::parse("nchl", file).unwrap());
    let adapter = Adapter::new(keys(), dialect, rules());
    let purchase = [
        (2, PAN),
        (3, "000000"),
        (4, "000000000100"),
        (7, "1122113655"),
        (11, "000001"),
        (12, "172155"),
        (13, "1123"),
        (49, "410"),
    ];
    let bought = transaction(&adapter, 200, &purchase).identity;
    let named = |digits: &str| {
        let digits = format!("0200000001{digits}{}", "0".repeat(22));
        let changes = [(7, "1122113700"), (11, "000002"), (90, digits.as_str())];
        reversal(&adapter, 400, &with(&purchase, &changes))
            .original
            .transmitted
    };
    assert_eq!(named("1123172155"), bought.transmitted);
    assert_ne!(named("1122113655"), bought.transmitted);
}

#[test]
fn reversals_without_a_holder_do_not_crowd_one_place() {
    let adapter = adapter_for("iso87-ascii", rules());
    let locator = |time: &str| {
        let fields = [(7, time), (11, "000001"), (37, "632611131471")];
        reversal(&adapter, 400, &fields).identity.locator
    };
    assert_ne!(locator("1122113655"), locator("1122113656"));
    assert_eq!(locator("1122113655"), locator("1122113655"));
}
