//! What an extract of a frozen date reads.

use crate::account::Role;
use crate::command::AccountStatus;
use crate::date::Date;
use crate::engine::Engine;
use crate::event::{Body, Event};
use crate::ids::{AccountIx, AccountNumber, Currency, Seq};
use crate::limits::SEALS_UNTIL_FORGOTTEN;
use crate::memory::seq_of;
use crate::night::DayEnd;
use crate::record::{Record, RecordRef};

/// Whose account a posting is on: what never changes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    /// The account's number.
    pub number: AccountNumber,
    /// Its currency.
    pub currency: Currency,
    /// Customer or internal.
    pub role: Role,
}

/// An account at the closing date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosingRow {
    /// Whose.
    pub party: Party,
    /// All postings up to and with the closing date, minor units.
    pub balance_minor: i64,
    /// Allowed overdraft, minor units.
    pub overdraft_minor: i64,
    /// Its status.
    pub status: AccountStatus,
}

impl Engine {
    /// Whose account this is.
    #[must_use]
    pub fn party(&self, ix: AccountIx) -> Option<Party> {
        let row = self.accounts.get(ix.0)?;
        Some(Party {
            number: row.number()?,
            currency: row.currency,
            role: row.role(),
        })
    }

    /// An account as it stands at the closing date, without what is dated after it.
    #[must_use]
    pub fn closing_row(&self, ix: AccountIx) -> Option<ClosingRow> {
        let row = self.accounts.get(ix.0)?;
        let view = row.view(self.dates.closing());
        Some(ClosingRow {
            party: self.party(ix)?,
            balance_minor: view.balance,
            overdraft_minor: view.overdraft,
            status: row.status(),
        })
    }

    /// Sequence of the transaction that an event reverses or corrects; `None` when
    /// there is none, or it is no longer remembered. `read` reads a spilled slot.
    ///
    /// # Errors
    /// What `read` gives, or `None` when it is no such slot.
    pub fn original_of<E>(
        &self,
        event: &Event,
        read: impl FnOnce(Date, u32) -> Result<[u8; Record::BYTES], E>,
    ) -> Result<Option<Seq>, Option<E>> {
        let reference: RecordRef = match &event.body {
            Body::Transaction(t) => t.linked,
            Body::Reversal(r) => r.original,
            _ => RecordRef::NONE,
        };
        // One into a generation that was dropped may name a newer one.
        if !self.memory.is_kept(reference, event.seq) {
            return Ok(None);
        }
        let Some(generation) = self.memory.at_tag(reference.tag()) else {
            return Ok(None);
        };
        let position = reference.position();
        let record = if position < generation.spilled.slots {
            let bytes = read(generation.date, position).map_err(Some)?;
            Record::from_bytes(&bytes).map_err(|_| None)?
        } else {
            match generation.records.get(position) {
                Some(record) => *record,
                None => return Ok(None),
            }
        };
        Ok(Some(seq_of(generation, &record)).filter(|seq| *seq < event.seq))
    }

    /// No event before this sequence is dated `date`, one of those that are kept.
    #[must_use]
    pub fn first_dated(&self, date: Date) -> Seq {
        // What does not name its date takes this one from the cutover before it on;
        // what does is remembered.
        let cutover = self
            .night
            .days
            .iter()
            .find(|day| day.date.next() == date && day.cutover != 0)
            .map_or(1, |day| day.cutover);
        self.memory
            .generation(date)
            .map_or(cutover, |generation| generation.base_seq.min(cutover))
    }

    /// The frozen date and the sealed ones whose transactions are still remembered,
    /// oldest first: their extracts are kept.
    pub fn kept_day_ends(&self) -> impl Iterator<Item = &DayEnd> {
        let closing = self.dates.closing();
        self.night.days.iter().filter(move |day| {
            day.freeze != 0 && day.date.0.saturating_add(SEALS_UNTIL_FORGOTTEN) >= closing.0
        })
    }
}
