//! The demo bank's cards and accounts, by formula.
//!
//! `config/demo/accounts.csv` and `cards.csv` are generated from here (see
//! `tests/demo_files.rs`), so a terminal can name a card by its index.

use std::fmt;
use std::fmt::Write as _;

use thiserror::Error;

use crate::message::mask_pan;

/// How many regular demo cards the demo files hold.
pub const REGULAR_CARDS: u32 = 10_000;
/// How many special demo cards there are.
pub const SPECIAL_CARDS: u32 = 8;

const REGULAR_BIN: &str = "941000";
const SPECIAL_BIN: &str = "942000";
const REGULAR_ACCOUNTS: u64 = 1_000_000_000;
const SPECIAL_ACCOUNTS: u64 = 2_000_000_000;
const INDEX_DIGITS: usize = 9;
const EXPIRY: &str = "3012";

/// A card index of more than nine digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a demo card's index has at most nine digits, not {0}")]
pub struct IndexTooLong(pub u32);

/// A card to pay with: what a terminal reads from it.
#[derive(Clone, PartialEq, Eq)]
pub struct Card {
    /// The PAN, with its check digit.
    pub pan: String,
    /// Expiry, YYMM; not sent (DE 14) when unknown.
    pub expiry: Option<String>,
    /// The account behind it, as DE 102 of a transfer would name it.
    pub account: Option<String>,
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "card {}", mask_pan(&self.pan))
    }
}

impl Card {
    /// A card of which the PAN alone is known.
    pub fn of_pan(pan: &str) -> Card {
        Card {
            pan: pan.to_owned(),
            expiry: None,
            account: None,
        }
    }
}

/// The demo bank's cards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemoCard;

impl DemoCard {
    /// Regular card: `941000` + nine-digit index + check digit, expiry 3012,
    /// account 1000000000 + index, KRW 100,000,000. Indices from 10,000 on are
    /// well-formed cards that the demo bank never issued.
    ///
    /// # Errors
    /// [`IndexTooLong`] from 1,000,000,000 on.
    pub fn regular(index: u32) -> Result<Card, IndexTooLong> {
        card(REGULAR_BIN, REGULAR_ACCOUNTS, index)
    }

    /// Special card: `942000` + nine-digit index + check digit, account
    /// 2000000000 + index. 0: balance 1,000,000; 1: balance 0; 2: expired 2001;
    /// 3: lost; 4: stolen; 5: account blocked; 6: USD account with 1,000.00;
    /// 7: balance 0, overdraft 500,000.
    ///
    /// # Errors
    /// [`IndexTooLong`] from 1,000,000,000 on.
    pub fn special(index: u32) -> Result<Card, IndexTooLong> {
        let mut card = card(SPECIAL_BIN, SPECIAL_ACCOUNTS, index)?;
        if index == 2 {
            card.expiry = Some("2001".to_owned());
        }
        Ok(card)
    }
}

fn card(bin: &str, first_account: u64, index: u32) -> Result<Card, IndexTooLong> {
    let digits = format!("{index:0INDEX_DIGITS$}");
    if digits.len() > INDEX_DIGITS {
        return Err(IndexTooLong(index));
    }
    let mut pan = format!("{bin}{digits}");
    pan.push(luhn_digit(&pan));
    Ok(Card {
        pan,
        expiry: Some(EXPIRY.to_owned()),
        account: Some((first_account + u64::from(index)).to_string()),
    })
}

/// The Luhn check digit (ISO/IEC 7812-1) for the digits before it. Characters
/// that are not digits are skipped.
pub fn luhn_digit(digits: &str) -> char {
    let sum: u32 = digits
        .chars()
        .rev()
        .filter_map(|c| c.to_digit(10))
        .zip([true, false].into_iter().cycle())
        .map(|(digit, doubled)| match doubled {
            true if digit > 4 => digit * 2 - 9,
            true => digit * 2,
            false => digit,
        })
        .sum();
    char::from_digit((10 - sum % 10) % 10, 10).unwrap_or('0')
}

/// `accounts.csv` of the demo bank: the import format
/// `account,currency,balance_minor,overdraft_minor,status`.
pub fn demo_accounts_csv() -> String {
    let mut csv = String::from("account,currency,balance_minor,overdraft_minor,status\n");
    for index in 0..u64::from(REGULAR_CARDS) {
        let _ = writeln!(csv, "{},KRW,100000000,0,active", REGULAR_ACCOUNTS + index);
    }
    for index in 0..u64::from(SPECIAL_CARDS) {
        let row = match index {
            0 => "KRW,1000000,0,active",
            1 => "KRW,0,0,active",
            5 => "KRW,100000000,0,blocked",
            6 => "USD,100000,0,active",
            7 => "KRW,0,500000,active",
            _ => "KRW,100000000,0,active",
        };
        let _ = writeln!(csv, "{},{row}", SPECIAL_ACCOUNTS + index);
    }
    csv
}

/// `cards.csv` of the demo bank: the import format `pan,expiry,account,status`.
///
/// # Errors
/// None in practice: all indices have nine digits.
pub fn demo_cards_csv() -> Result<String, IndexTooLong> {
    let mut csv = String::from("pan,expiry,account,status\n");
    let regular = (0..REGULAR_CARDS).map(|i| (DemoCard::regular(i), "active"));
    let special = (0..SPECIAL_CARDS).map(|i| {
        let status = match i {
            3 => "lost",
            4 => "stolen",
            _ => "active",
        };
        (DemoCard::special(i), status)
    });
    for (card, status) in regular.chain(special) {
        let card = card?;
        let expiry = card.expiry.unwrap_or_default();
        let account = card.account.unwrap_or_default();
        let _ = writeln!(csv, "{},{expiry},{account},{status}", card.pan);
    }
    Ok(csv)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits() {
        // The first two are published examples (ISO/IEC 7812-1's method).
        let table = [
            ("7992739871", '3'),
            ("411111111111111", '1'),
            ("0", '0'),
            ("", '0'),
        ];
        for (digits, check) in table {
            assert_eq!(luhn_digit(digits), check, "{digits}");
        }
    }

    #[test]
    fn demo_cards_follow_the_formula() {
        // 941000 000000000: doubled from the right at every second digit,
        // 9 -> 9 (doubled 18 - 9), 4, 1 -> 2: sum 15, check digit 5.
        let card = DemoCard::regular(0).unwrap();
        assert_eq!(card.pan, "9410000000000005");
        assert_eq!(card.account.as_deref(), Some("1000000000"));
        assert_eq!(card.expiry.as_deref(), Some("3012"));
        let card = DemoCard::regular(17).unwrap();
        assert!(card.pan.starts_with("941000000000017"));
        assert_eq!(card.account.as_deref(), Some("1000000017"));
        assert_eq!(
            DemoCard::special(2).unwrap().expiry.as_deref(),
            Some("2001")
        );
        assert_eq!(
            DemoCard::special(6).unwrap().account.as_deref(),
            Some("2000000006")
        );
        assert_eq!(DemoCard::regular(999_999_999).unwrap().pan.len(), 16);
        assert_eq!(
            DemoCard::regular(1_000_000_000),
            Err(IndexTooLong(1_000_000_000))
        );
    }

    #[test]
    fn debug_output_shows_no_pan() {
        let shown = format!("{:?}", DemoCard::regular(17).unwrap());
        assert!(shown.starts_with("card 941000******"), "{shown}");
    }
}
