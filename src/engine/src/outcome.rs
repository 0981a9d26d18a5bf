//! What goes out: the answer to a command, and when it may leave.

use crate::business::DateState;
use crate::code::ResponseCode;
use crate::date::Date;
use crate::ids::{Currency, Seq};
use crate::iso4217::alphabetic;

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

/// The answer to a command of the night.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NightOutcome {
    /// Done, now or before.
    Done {
        /// Sequence of the event that first did it.
        seq: Seq,
        /// Whether it had been done before: this is its first result again.
        is_repeat: bool,
    },
    /// No effect.
    Refused {
        /// Why, and what would be right.
        why: NightRefusal,
        /// The open dates.
        state: DateState,
    },
}

/// Why a command of the night has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NightRefusal {
    /// Not the date that closes next.
    #[error("{named} is not the date that closes next: that is {closing}, and no date is skipped")]
    OtherDate {
        /// As asked.
        named: Date,
        /// What would be right.
        closing: Date,
    },
    /// The date was closed long ago.
    #[error("{named} is sealed, and a seal is final")]
    Sealed {
        /// As asked.
        named: Date,
    },
    /// Freeze or seal before the cutover.
    #[error("{closing} has not been cut over yet: cutover and freeze come first")]
    NotCutOver {
        /// The closing date.
        closing: Date,
    },
    /// Seal or entries before the freeze.
    #[error("{closing} is not frozen yet: its freeze comes first")]
    NotFrozen {
        /// The closing date.
        closing: Date,
    },
    /// The step is behind us.
    #[error("{closing} is past this step")]
    AlreadyDone {
        /// The closing date.
        closing: Date,
    },
    /// There is no day after it.
    #[error("there is no day after this one in the calendar")]
    EndOfCalendar,
    /// Count or sum of the batch's entries is another.
    #[error(
        "entries in {}: the seal names {} of {} minor units, posted are {} of {}",
        alphabetic(posted.currency), named.count, named.sum_minor, posted.count, posted.sum_minor
    )]
    EntriesDiffer {
        /// As asked.
        named: crate::night::EntrySum,
        /// As posted.
        posted: crate::night::EntrySum,
    },
    /// Debits and credits of the date differ.
    #[error("debits and credits of the date differ in {}", alphabetic(*.0))]
    Unbalanced(Currency),
    /// Commands failed their check: somebody must look before the date is final.
    #[error("{0} commands failed their check since the last start: look into it and restart first")]
    Breached(u64),
    /// A network's date goes back.
    #[error("the network's date is {current} already, and never goes back")]
    NetworkDateBack {
        /// Its current date.
        current: Date,
    },
    /// A network's date is nowhere near the bank's, or it has no clock of its own.
    #[error("{named} is not a settlement date that this network can have")]
    NetworkDate {
        /// As asked.
        named: Date,
    },
    /// Too long before the bank's cutover for another date to open.
    #[error("it is too early before the bank's cutover for the next date to open")]
    TooEarly,
    /// The same entry id with other content.
    #[error("an entry with this id and other content is posted already")]
    EntryDiffers,
    /// No customer's account of this number.
    #[error("there is no such customer's account")]
    UnknownAccount,
    /// The account has another currency.
    #[error("the account's currency is {}", alphabetic(*.0))]
    OtherCurrency(Currency),
    /// The bank keeps no books in it, or its batch account is not open.
    #[error("the currency is not one of the bank's, or there are entries in too many")]
    UnknownCurrency,
    /// Zero, more than 12 digits, or the balance or the sum would leave its range.
    #[error("the amount is zero or out of bounds")]
    AmountOutOfBounds,
    /// No room to remember another entry.
    #[error("the configured capacity is reached")]
    CapacityReached,
    /// The engine is not set up yet.
    #[error("the engine is not ready")]
    NotReady,
    /// It would break an invariant; an alarm tells of it.
    #[error("the command would break an invariant")]
    Malfunction,
}
