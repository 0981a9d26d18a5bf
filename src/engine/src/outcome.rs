//! What goes out: the answer to a command, and when it may leave.

use crate::code::ResponseCode;
use crate::date::Date;
use crate::ids::{Currency, Seq};

/// The answer to a transaction or a reversal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// DE 39.
    pub code: ResponseCode,
    /// Sequence of the event that first gave this answer; DE 38 follows from it. 0
    /// when no event stands behind it (94, 96).
    pub seq: Seq,
    /// The answer may leave when everything up to here is durable.
    pub durable_at: Seq,
    /// The bank's ledger date, one for all legs.
    pub business_date: Date,
    /// The network's date; the business date where there is no network.
    pub settlement_date: Date,
    /// DE 54, for inquiries.
    pub balances: Option<Balances>,
    /// Whether this answers a retransmission.
    pub is_repeat: bool,
}

impl Outcome {
    /// DE 38, six characters: never blank, never all zero (FIELD.md). `None` unless approved.
    #[must_use]
    pub fn approval(&self) -> Option<[u8; 6]> {
        if !self.code.is_approved() {
            return None;
        }
        // Six decimal digits, since some dialects pack DE 38; 000000 is left out.
        let mut rest = self.seq % 999_999 + 1;
        let mut digits = [b'0'; 6];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        Some(digits)
    }
}

/// What DE 54 reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balances {
    /// Of which currency.
    pub currency: Currency,
    /// Amount type 01, signed minor units.
    pub ledger_minor: i64,
    /// Amount type 02, signed minor units: ledger + overdraft - held.
    pub available_minor: i64,
}

/// The answer to an administrative command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// A new row.
    Opened,
    /// The row was there and has changed.
    Changed,
    /// The row was there, as asked.
    Unchanged,
    /// No effect; why.
    Refused(PutRefusal),
}

/// Why a row of an import file has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutRefusal {
    /// The account exists in another currency.
    #[error("the account exists in another currency")]
    OtherCurrency,
    /// The number is that of one of the bank's internal accounts.
    #[error("the number is one of the bank's internal accounts")]
    Internal,
    /// No internal accounts for that currency: it is not configured.
    #[error("the currency is not one of the bank's")]
    UnknownCurrency,
    /// A card's account is not there.
    #[error("there is no such account")]
    UnknownAccount,
    /// Overdraft or balance out of bounds.
    #[error("the amount is out of bounds (at most 12 digits; overdraft not negative)")]
    AmountOutOfBounds,
    /// The configured number of rows is reached.
    #[error("the configured capacity is reached")]
    CapacityReached,
    /// The row would break an invariant; an alarm tells of it.
    #[error("the row would break an invariant")]
    Malfunction,
}
