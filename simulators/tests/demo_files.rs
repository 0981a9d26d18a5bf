//! The demo files are what the formula gives.
//!
//! `GAPLESS_WRITE_DEMO=1 cargo test -p gapless-simulators --test demo_files`
//! writes them anew.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

use gapless_simulators::card::{demo_accounts_csv, demo_cards_csv, luhn_digit};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/demo")
}

fn check(file: &str, content: &str) {
    let path = folder().join(file);
    if std::env::var_os("GAPLESS_WRITE_DEMO").is_some() {
        std::fs::write(&path, content).unwrap();
    }
    // Not assert_eq: ten thousand rows are no readable message.
    let on_disk = std::fs::read_to_string(&path).unwrap();
    let differing = on_disk
        .lines()
        .zip(content.lines())
        .position(|(a, b)| a != b);
    assert_eq!(
        differing, None,
        "{file} differs from the formula in that line (from 0)"
    );
    assert_eq!(
        on_disk.len(),
        content.len(),
        "{file} is cut or has lines too many"
    );
}

#[test]
fn accounts_follow_the_formula() {
    check("accounts.csv", &demo_accounts_csv());
}

#[test]
fn cards_follow_the_formula() {
    check("cards.csv", &demo_cards_csv().unwrap());
}

/// The formula's own result, read as the import would read it.
#[test]
fn the_files_hold_ten_thousand_regular_and_eight_special_rows() {
    let accounts = demo_accounts_csv();
    let cards = demo_cards_csv().unwrap();
    assert_eq!(accounts.lines().count(), 1 + 10_000 + 8);
    assert_eq!(cards.lines().count(), 1 + 10_000 + 8);
    for (account, card) in accounts.lines().zip(cards.lines()).skip(1) {
        let account: Vec<&str> = account.split(',').collect();
        let card: Vec<&str> = card.split(',').collect();
        let ([number, ..], [pan, expiry, on, _status]) = (account.as_slice(), card.as_slice())
        else {
            panic!("{account:?} {card:?}");
        };
        assert_eq!(account.len(), 5);
        assert_eq!(number, on);
        assert_eq!((pan.len(), expiry.len()), (16, 4));
        let (digits, check) = pan.split_at(15);
        assert_eq!(check, luhn_digit(digits).to_string());
    }
    let special: Vec<&str> = accounts.lines().skip(1 + 10_000).collect();
    assert_eq!(
        special,
        [
            "2000000000,KRW,1000000,0,active",
            "2000000001,KRW,0,0,active",
            "2000000002,KRW,100000000,0,active",
            "2000000003,KRW,100000000,0,active",
            "2000000004,KRW,100000000,0,active",
            "2000000005,KRW,100000000,0,blocked",
            "2000000006,USD,100000,0,active",
            "2000000007,KRW,0,500000,active",
        ]
    );
    let status: Vec<&str> = cards
        .lines()
        .skip(1 + 10_000)
        .filter_map(|line| line.split_once(',').map(|(_, rest)| rest))
        .collect();
    assert_eq!(status.get(2), Some(&"2001,2000000002,active"));
    assert_eq!(status.get(3), Some(&"3012,2000000003,lost"));
    assert_eq!(status.get(4), Some(&"3012,2000000004,stolen"));
}
