//! One line's fields to one request, strictly.

use gapless_engine::command::{AccountStatus, CardStatus, PutAccount, PutCard, Request};
use gapless_engine::ids::{AccountNumber, Currency, Expiry};

use crate::adapter::PanKeys;
use crate::config::CurrencyCode;

/// DE 4 has twelve digits; so has every amount here.
const MAX_AMOUNT_DIGITS: usize = 12;

/// Why a row is refused. Says what was expected, never what stood there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// Another number of columns than the header has.
    #[error("{expected} columns expected, {found} found")]
    Columns {
        /// As the header.
        expected: usize,
        /// In this row.
        found: usize,
    },
    /// A quote that does not end on its line.
    #[error("a quote that does not end on this line")]
    Quote,
    /// Longer than any right row.
    #[error("the line has more than {} bytes", super::MAX_LINE_BYTES)]
    TooLong,
    /// Not an account number.
    #[error("account: 1 to 28 printable ASCII characters expected, no blanks around them")]
    Account,
    /// Not a currency.
    #[error("currency: an alphabetic code of ISO 4217 expected, as in KRW")]
    Currency,
    /// Not an amount.
    #[error("{0}: an integer in minor units expected, at most {MAX_AMOUNT_DIGITS} digits")]
    Amount(&'static str),
    /// A negative overdraft.
    #[error("overdraft_minor: not negative")]
    NegativeOverdraft,
    /// Not a status of an account.
    #[error("status: active, blocked or closed expected")]
    AccountStatus,
    /// Not a status of a card.
    #[error("status: active, lost, stolen or blocked expected")]
    CardStatus,
    /// Not a PAN.
    #[error("pan: 12 to 19 digits expected")]
    Pan,
    /// A PAN whose last digit does not fit the others.
    #[error("pan: its check digit is wrong")]
    PanCheckDigit,
    /// Not an expiry.
    #[error("expiry: YYMM expected")]
    Expiry,
    /// Not an entry's id.
    #[error("id: 1 to 64 printable ASCII characters expected")]
    Id,
}

/// `account,currency,balance_minor,overdraft_minor,status`
pub(super) fn account(fields: [&[u8]; 5]) -> Result<Request, RowError> {
    let [number, currency, balance, overdraft, status] = fields;
    let overdraft_minor = amount("overdraft_minor", overdraft)?;
    if overdraft_minor < 0 {
        return Err(RowError::NegativeOverdraft);
    }
    Ok(Request::PutAccount(PutAccount {
        number: account_number(number)?,
        currency: currency_code(currency)?,
        balance_minor: amount("balance_minor", balance)?,
        overdraft_minor,
        status: match status {
            b"active" => AccountStatus::Active,
            b"blocked" => AccountStatus::Blocked,
            b"closed" => AccountStatus::Closed,
            _ => return Err(RowError::AccountStatus),
        },
    }))
}

/// `pan,expiry,account,status`
pub(super) fn card(fields: [&[u8]; 4], keys: &PanKeys) -> Result<Request, RowError> {
    let [pan, expiry, account, status] = fields;
    if !(12..=19).contains(&pan.len()) || !pan.iter().all(u8::is_ascii_digit) {
        return Err(RowError::Pan);
    }
    if !luhn(pan) {
        return Err(RowError::PanCheckDigit);
    }
    let first_six = pan.get(..6).and_then(digits).ok_or(RowError::Pan)?;
    let last_four = pan.last_chunk::<4>().and_then(|four| digits(four));
    let expiry = match expiry {
        [_, _, _, _] => digits(expiry)
            .and_then(|yymm| u16::try_from(yymm).ok())
            .and_then(Expiry::from_yymm),
        _ => None,
    };
    Ok(Request::PutCard(PutCard {
        pan: keys.pan_hash(pan),
        bin: u32::try_from(first_six).map_err(|_| RowError::Pan)?,
        last4: last_four
            .and_then(|four| u16::try_from(four).ok())
            .ok_or(RowError::Pan)?,
        expiry: expiry.ok_or(RowError::Expiry)?,
        account: account_number(account)?,
        status: match status {
            b"active" => CardStatus::Active,
            b"lost" => CardStatus::Lost,
            b"stolen" => CardStatus::Stolen,
            b"blocked" => CardStatus::Blocked,
            _ => return Err(RowError::CardStatus),
        },
    }))
}

pub(super) fn currency_code(text: &[u8]) -> Result<Currency, RowError> {
    std::str::from_utf8(text)
        .ok()
        .and_then(CurrencyCode::from_alphabetic)
        .map(CurrencyCode::currency)
        .ok_or(RowError::Currency)
}

pub(super) fn account_number(text: &[u8]) -> Result<AccountNumber, RowError> {
    if text.trim_ascii() != text {
        return Err(RowError::Account);
    }
    AccountNumber::new(text).ok_or(RowError::Account)
}

pub(super) fn amount(column: &'static str, text: &[u8]) -> Result<i64, RowError> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if text.is_empty() || text.len() > MAX_AMOUNT_DIGITS {
        return Err(RowError::Amount(column));
    }
    let minor = digits(text)
        .and_then(|minor| i64::try_from(minor).ok())
        .ok_or(RowError::Amount(column))?;
    Ok(if negative { -minor } else { minor })
}

/// A number in decimal digits only; at most 19 of them.
fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// ISO/IEC 7812-1, annex B: the check digit.
pub(super) fn luhn(pan: &[u8]) -> bool {
    let sum: u32 = pan
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit.wrapping_sub(b'0'));
            match (place % 2, digit) {
                (0, digit) => digit,
                (_, digit @ 5..) => digit * 2 - 9,
                (_, digit) => digit * 2,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}
