//! Finding what was remembered: repeats, tombstones, originals (FIELD.md, "Matching").

use crate::card::CardRow;
use crate::code::ResponseCode;
use crate::command::{Identity, Original, Transaction};
use crate::date::Date;
use crate::engine::Engine;
use crate::event::Answer;
use crate::ids::{AccountNumber, Currency};
use crate::limits::{CHAIN_WALK_MAX, MAX_AMOUNT_MINOR};
use crate::memory::{Generation, seq_of};
use crate::mix;
use crate::outcome::{Balances, Outcome};
use crate::record::{Record, RecordRef, flags, normal_transmitted};

/// An identity as it is remembered: no locator is 0, and DE 7 is in the calendar.
#[inline]
pub(super) fn normal_identity(identity: &Identity) -> Identity {
    Identity {
        locator: identity.locator.max(1),
        transmitted: normal_transmitted(identity.transmitted),
        ..*identity
    }
}

/// As [`normal_identity`].
pub(super) fn normal_original(original: &Original) -> Original {
    Original {
        locator: original.locator.map(|locator| locator.max(1)),
        transmitted: normal_transmitted(original.transmitted),
        ..*original
    }
}

/// Fingerprint of what a transaction asks for: a message with the same key and
/// another fingerprint is a 94.
#[inline]
pub(super) fn terms(t: &Transaction) -> u16 {
    let number = |number: &Option<AccountNumber>| match number {
        Some(number) => mix::mix_bytes(number.as_bytes()),
        None => 0,
    };
    let billing = t
        .billing
        .map_or(0, |b| b.minor << 16 | u64::from(b.currency.0));
    let hash = mix::mix6([
        t.amount.minor << 16 | u64::from(t.amount.currency.0),
        t.operation as u64,
        t.cashback_minor,
        billing,
        number(&t.from),
        number(&t.to).rotate_left(1),
    ]);
    (hash >> 48) as u16
}

/// How well a remembered transaction fits what a reversal says of its original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// All that is there fits.
    Whole,
    /// Something fits and something does not.
    Half,
    /// Another transaction.
    Not,
}

/// What is compared besides the locator; 0 = absent.
#[derive(Clone, Copy)]
pub(super) struct Details {
    pub transmitted: u32,
    pub rrn: u16,
    pub acquirer: u8,
    pub forwarder: u8,
}

impl From<&Original> for Details {
    fn from(o: &Original) -> Self {
        Self {
            transmitted: o.transmitted,
            rrn: o.rrn,
            acquirer: o.acquirer,
            forwarder: o.forwarder,
        }
    }
}

impl From<&Identity> for Details {
    fn from(i: &Identity) -> Self {
        Self {
            transmitted: i.transmitted,
            rrn: i.rrn,
            acquirer: i.acquirer,
            forwarder: i.forwarder,
        }
    }
}

impl Details {
    /// Whether DE 7 or DE 37 is there on both sides and equal, and whether
    /// anything that is there on both sides differs.
    pub(super) fn compare(&self, record: &Record) -> (bool, bool) {
        let part = |a: u32, b: u32| (a != 0 && a == b, a != 0 && b != 0 && a != b);
        let (time, not_time) = part(self.transmitted, record.transmitted());
        let (rrn, not_rrn) = part(self.rrn.into(), record.rrn().into());
        let (_, not_acquirer) = part(self.acquirer.into(), record.acquirer().into());
        let (_, not_forwarder) = part(self.forwarder.into(), record.forwarder().into());
        (
            time || rrn,
            not_time || not_rrn || not_acquirer || not_forwarder,
        )
    }
}

impl Engine {
    /// The answer to a repeat: as the first time, but declined once reversed, and
    /// 94 when something else is asked under the same key. `asked` is a
    /// transaction's fingerprint and amount; the amount is compared as it is,
    /// since a fingerprint of 16 bits lets one in 65,536 pass.
    pub(super) fn repeat(
        &self,
        reference: RecordRef,
        generation: &Generation,
        record: &Record,
        asked: Option<(u16, u64)>,
    ) -> Answer {
        if let Some((terms, amount_minor)) = asked {
            // An inquiry's record holds balances in the amount's place.
            let same_amount = record.operation().is_inquiry()
                || record.amount() == amount_minor.min(MAX_AMOUNT_MINOR);
            if record.terms() != terms || !same_amount {
                return self.refusal(ResponseCode::Duplicate);
            }
        }
        let reversed = record.has(flags::REVERSED) && record.code().is_approved();
        let balances = if reversed {
            None
        } else {
            self.memory
                .balances(reference)
                .and_then(|(slot, ledger_minor, available_minor)| {
                    Some(Balances {
                        currency: self.currencies.get(usize::from(slot))?.currency,
                        ledger_minor,
                        available_minor,
                    })
                })
        };
        let settlement = i32::from(generation.date.0) + record.settlement_offset();
        Answer::Message(Outcome {
            code: if reversed {
                ResponseCode::DoNotHonour
            } else {
                record.code()
            },
            seq: generation.base_seq + u64::from(record.seq_delta()),
            // Later than anything that this answer can depend on.
            durable_at: self.last_seq,
            business_date: generation.date,
            settlement_date: u16::try_from(settlement).map_or(generation.date, Date),
            balances,
            is_repeat: true,
        })
    }

    /// A card's newest remembered transaction: none when it is gone, so that no chain
    /// leads to what took its number later. Without a look at the record itself, which
    /// would be one more wait for memory in every purchase.
    #[inline]
    pub(crate) fn newest_reference(&self, card: &CardRow) -> RecordRef {
        if self.memory.is_kept(card.newest, card.last_seq()) {
            card.newest
        } else {
            RecordRef::NONE
        }
    }

    /// A card's remembered transactions, newest first, as far as
    /// [`CHAIN_WALK_MAX`].
    pub(super) fn chain(
        &self,
        card: &CardRow,
    ) -> impl Iterator<Item = (RecordRef, &Generation, &Record)> {
        let at = |reference: RecordRef| {
            let (generation, record) = self.memory.get(reference)?;
            Some((reference, generation, record))
        };
        let start = at(self.newest_reference(card));
        std::iter::successors(start, move |(_, generation, record)| {
            // A reference into a generation that was dropped may name a newer one.
            let older = record.prev();
            self.memory
                .is_kept(older, seq_of(generation, record))
                .then(|| at(older))?
        })
        .take(CHAIN_WALK_MAX)
    }

    /// DE 49 of a remembered transaction that posted.
    pub(super) fn currency_of(&self, reference: RecordRef) -> Option<Currency> {
        let (_, record) = self.memory.get(reference)?;
        if let Some(slot) = self.memory.wide_slot(reference) {
            return self
                .currencies
                .get(usize::from(slot))
                .map(|slot| slot.currency);
        }
        record
            .has(flags::POSTED)
            .then(|| self.accounts.get(record.debit()).map(|row| row.currency))?
    }
}
