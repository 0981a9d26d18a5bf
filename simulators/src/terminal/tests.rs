use super::*;
use crate::card::DemoCard;

fn till() -> Till {
    Till::numbered_from(Profile::default(), 999_998)
}

#[test]
fn numbers_go_on_and_wrap_without_zero() {
    let mut till = till();
    let mut next = || {
        till.network(Network::Echo)
            .unwrap()
            .get(11)
            .unwrap()
            .to_owned()
    };
    assert_eq!([next(), next(), next()], ["999998", "999999", "000001"]);
}

#[test]
fn tills_without_a_count_of_their_own_never_share_a_number() {
    let mut seen = std::collections::BTreeSet::new();
    let threads: Vec<_> = (0..4)
        .map(|_| std::thread::spawn(|| (0..500).map(|_| process_wide_stan()).collect::<Vec<_>>()))
        .collect();
    for thread in threads {
        for stan in thread.join().unwrap() {
            assert!((1..=MAX_STAN).contains(&stan));
            assert!(seen.insert(stan), "{stan} twice");
        }
    }
}

#[test]
fn stamps_are_utc_with_a_reference_of_twelve() {
    let now: Timestamp = "2026-11-22T10:45:12.9Z".parse().unwrap();
    let stamp = Stamp::at(now, 42);
    assert_eq!(stamp.transmitted, "1122104512");
    assert_eq!(stamp.stan, "000042");
    assert_eq!(stamp.reference, "632610000042");
}

#[test]
fn each_transaction_says_what_it_is() {
    let mut till = till();
    let card = DemoCard::regular(17).unwrap();
    // message, DE 3, DE 4, DE 18, DE 54, DE 102, DE 103
    let table = [
        (
            till.purchase(&card, 12_500),
            "000000",
            "000000012500",
            "5411",
            None,
            None,
            None,
        ),
        (
            till.cash(&card, 1),
            "010000",
            "000000000001",
            "6011",
            None,
            None,
            None,
        ),
        (
            till.cashback(&card, 300, 100),
            "090000",
            "000000000300",
            "5411",
            Some("0040410D000000000100"),
            None,
            None,
        ),
        (
            till.refund(&card, 7),
            "200000",
            "000000000007",
            "5411",
            None,
            None,
            None,
        ),
        (
            till.balance(&card, false),
            "310000",
            "000000000000",
            "5411",
            None,
            None,
            None,
        ),
        (
            till.balance(&card, true),
            "300000",
            "000000000000",
            "5411",
            None,
            None,
            None,
        ),
        (
            till.transfer(&card, 9, "1000000017", "1000000018"),
            "400000",
            "000000000009",
            "5411",
            None,
            Some("1000000017"),
            Some("1000000018"),
        ),
    ];
    for (message, processing, amount, merchant, de54, from, to) in table {
        let message = message.unwrap();
        assert_eq!(message.mti(), "0200");
        assert_eq!(message.get(3), Some(processing));
        assert_eq!(message.get(4), Some(amount));
        assert_eq!(message.get(18), Some(merchant));
        assert_eq!(message.get(54), de54);
        assert_eq!(message.get(102), from);
        assert_eq!(message.get(103), to);
        assert_eq!(message.get(14), Some("3012"));
        assert_eq!(message.get(43).map(str::len), Some(40));
    }
}

#[test]
fn an_amount_of_thirteen_digits_is_refused() {
    let card = DemoCard::regular(17).unwrap();
    assert!(till().purchase(&card, 1_000_000_000_000).is_err());
    assert!(till().cashback(&card, 1, 1_000_000_000_000).is_err());
}

#[test]
fn a_reversal_names_its_original() {
    let mut till = till();
    let original = till
        .purchase(&DemoCard::regular(17).unwrap(), 12_500)
        .unwrap();
    let reversal = till
        .reversal(&original.repeat(), Some("A12345"), Some(500))
        .unwrap();
    assert_eq!(reversal.mti(), "0400");
    let transmitted = original.get(7).unwrap();
    let expected = format!("0200999998{transmitted}0000041000100000000000");
    assert_eq!(reversal.get(90), Some(expected.as_str()));
    assert_eq!(reversal.get(11), Some("999999"));
    assert_eq!(reversal.get(38), Some("A12345"));
    assert_eq!(
        reversal.get(95),
        Some("000000000500000000000000000000000000000000")
    );
    for de in [2, 3, 4, 12, 13, 37, 41, 42, 49] {
        assert_eq!(reversal.get(de), original.get(de), "DE {de}");
    }
}

#[test]
fn lost_parts_of_an_original_stay_zero() {
    let original = OriginalData {
        stan: "77".to_owned(),
        ..OriginalData::default()
    };
    assert_eq!(original.encode(), format!("0000000077{}", "0".repeat(32)));
}
