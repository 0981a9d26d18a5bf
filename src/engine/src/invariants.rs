//! The invariants of DESIGN.md, each written once: the engine's check, the audit
//! of a whole state, the property tests and `gapless verify` all use these.

use crate::account::RowView;
use crate::business::DateState;
use crate::date::Date;
use crate::ids::{Currency, Seq, TimeUs};
use crate::legs::Legs;

/// What an event would break, or a state has broken. Numbers in the text are
/// DESIGN.md's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// Not the next event.
    #[error("sequence {found} where {expected} is next")]
    Sequence {
        /// What is next.
        expected: Seq,
        /// What came.
        found: Seq,
    },
    /// Time ran backwards.
    #[error("time runs backwards")]
    Time,
    /// Nothing but a genesis can come first, and only once.
    #[error("genesis is missing or repeated")]
    Genesis,
    /// 1: debits and credits differ in a currency.
    #[error("postings in currency {0} do not sum to zero")]
    Unbalanced(Currency),
    /// A posting to an account that is not there.
    #[error("a posting to an account that is not there")]
    NoAccount,
    /// 3: the date is not open.
    #[error("the date {0} is not open")]
    ClosedDate(Date),
    /// 4: two open dates that are not neighbours.
    #[error("the open dates are not neighbours")]
    Dates,
    /// 3, 4: a step of the day's end out of its order, or for another date.
    #[error("a step of the day's end that is not the next, for {0}")]
    Step(Date),
    /// The batch's entries differ from what a seal names, or leave their range.
    #[error("the batch's entries differ, or leave their range")]
    Entries,
    /// 7: an approved request below the allowed overdraft.
    #[error("an approved request would take an account below its allowed overdraft")]
    Overdraft,
    /// A balance out of range.
    #[error("a balance would leave its range")]
    Range,
    /// A decline or an inquiry that posts.
    #[error("an event that must not post has postings")]
    Posts,
    /// 8: the message is remembered already.
    #[error("the message is remembered already")]
    Repeated,
    /// 14: more or less than the original's remaining effect.
    #[error("a reversal is not its original's remaining effect")]
    NotTheEffect,
    /// 14: reversed before.
    #[error("the original has been reversed before")]
    ReversedTwice,
    /// A reference to nothing.
    #[error("a remembered transaction is not there")]
    NoRecord,
    /// A row in a place that is not the next.
    #[error("a row in the wrong place")]
    Place,
    /// More rows or remembered transactions than the configured capacity.
    #[error(
        "no room: the configured capacity of accounts, cards or remembered transactions is reached"
    )]
    Room,
    /// An amount or a date out of the range that can be remembered.
    #[error("an amount or a date cannot be remembered")]
    Unrememberable,
    /// 13: held differs from the open holds.
    #[error("held differs from the sum of open holds")]
    Held,
    /// 1, 12: totals differ from rows.
    #[error("totals of currency {0} differ from the rows")]
    Totals(Currency),
    /// 12: a reconciliation's figures are not the running totals, or it was done before.
    #[error("a reconciliation's figures are not those of the running totals")]
    Figures,
    /// 10: the state hash, recomputed, is another.
    #[error("the state hash recomputed from the rows is another")]
    Hash,
    /// A card's chain or a count does not hold together.
    #[error("a chain or a count does not hold together")]
    Chain,
}

/// The next event is the last plus one.
///
/// # Errors
/// [`Breach::Sequence`].
#[inline]
pub const fn follows(last: Seq, found: Seq) -> Result<(), Breach> {
    let expected = last.wrapping_add(1);
    if found == expected {
        Ok(())
    } else {
        Err(Breach::Sequence { expected, found })
    }
}

/// Time never runs backwards.
///
/// # Errors
/// [`Breach::Time`].
#[inline]
pub const fn time_moves_on(last: TimeUs, found: TimeUs) -> Result<(), Breach> {
    if found >= last {
        Ok(())
    } else {
        Err(Breach::Time)
    }
}

/// 1: the postings sum to zero in each currency. `currency_of` gives an
/// account's currency.
///
/// # Errors
/// [`Breach::Unbalanced`], [`Breach::NoAccount`].
#[inline]
pub fn balanced(
    legs: &Legs,
    currency_of: impl Fn(crate::ids::AccountIx) -> Option<Currency>,
) -> Result<(), Breach> {
    let legs = legs.as_slice();
    if let [a, b] = legs
        && let (Some(currency), Some(other)) = (currency_of(a.account), currency_of(b.account))
        && currency == other
    {
        // Nearly all of them.
        return match a.delta_minor.checked_add(b.delta_minor) {
            Some(0) => Ok(()),
            _ => Err(Breach::Unbalanced(currency)),
        };
    }
    for leg in legs {
        let currency = currency_of(leg.account).ok_or(Breach::NoAccount)?;
        let mut sum = 0i128;
        for other in legs {
            if currency_of(other.account) == Some(currency) {
                sum += i128::from(other.delta_minor);
            }
        }
        if sum != 0 {
            return Err(Breach::Unbalanced(currency));
        }
    }
    Ok(())
}

/// 3: postings go to an open date.
///
/// # Errors
/// [`Breach::ClosedDate`].
#[inline]
pub fn date_is_open(dates: DateState, date: Date) -> Result<(), Breach> {
    if dates.is_open(date) {
        Ok(())
    } else {
        Err(Breach::ClosedDate(date))
    }
}

/// 3: a frozen date takes batch entries, and they go nowhere else.
///
/// # Errors
/// [`Breach::ClosedDate`].
pub fn date_takes_entries(dates: DateState, date: Date) -> Result<(), Breach> {
    if dates.takes_entries(date) {
        Ok(())
    } else {
        Err(Breach::ClosedDate(date))
    }
}

/// 4: at most two dates are open, and they are neighbours.
///
/// # Errors
/// [`Breach::Dates`].
pub fn dates_are_neighbours(dates: DateState) -> Result<(), Breach> {
    match dates {
        DateState::Open { .. } => Ok(()),
        DateState::Dual {
            closing, opening, ..
        } if closing.next() == opening && closing != opening => Ok(()),
        DateState::Dual { .. } => Err(Breach::Dates),
    }
}

/// 7: an approved request leaves available at or above zero where it takes.
///
/// # Errors
/// [`Breach::Overdraft`], [`Breach::Range`].
#[inline]
pub fn within_overdraft(view: &RowView, delta_minor: i64) -> Result<(), Breach> {
    let after = view
        .available()
        .and_then(|available| available.checked_add(delta_minor))
        .ok_or(Breach::Range)?;
    if delta_minor >= 0 || after >= 0 {
        Ok(())
    } else {
        Err(Breach::Overdraft)
    }
}

/// Balances never wrap: each part and their sum stay in range.
///
/// # Errors
/// [`Breach::Range`].
#[inline]
pub fn in_range(view: &RowView, delta_minor: i64) -> Result<(), Breach> {
    let fits = view.balance.checked_add(delta_minor).is_some()
        && view.next.checked_add(delta_minor).is_some()
        && view
            .available()
            .and_then(|sum| sum.checked_add(delta_minor))
            .is_some()
        && view
            .ledger()
            .and_then(|sum| sum.checked_add(delta_minor))
            .is_some();
    if fits { Ok(()) } else { Err(Breach::Range) }
}

/// 14: a reversal's postings are the original's remaining effect, negated.
///
/// # Errors
/// [`Breach::NotTheEffect`].
pub fn undoes(remaining: &Legs, reversal: &Legs) -> Result<(), Breach> {
    let mut left = *remaining;
    left.add_all(reversal).map_err(|_| Breach::NotTheEffect)?;
    if left.is_empty() {
        Ok(())
    } else {
        Err(Breach::NotTheEffect)
    }
}

/// 1: a currency's debits equal its credits on a business date.
///
/// # Errors
/// [`Breach::Totals`].
pub fn debits_equal_credits(totals: &crate::totals::DateTotals) -> Result<(), Breach> {
    if totals.debit_minor == totals.credit_minor {
        Ok(())
    } else {
        Err(Breach::Totals(totals.currency))
    }
}
