//! What is remembered of an event: its slots, which follow from the event, the first
//! sequence of its date and the numbers of the currencies.
//!
//! [`Engine::apply`](crate::Engine::apply) appends them; a start makes those anew that
//! are stored nowhere but in the journal ([`Recall`]).

use crate::code::ResponseCode;
use crate::command::{Class, Operation};
use crate::date::Date;
use crate::event::{Body, EntryEvent, Event, Finding, ReversalEvent, TransactionEvent};
use crate::ids::{AccountIx, Currency, Seq};
use crate::legs::Leg;
use crate::limits::MAX_SLOTS_PER_EVENT;
use crate::record::{Parts, Record, RecordRef, flags, seq_delta};
use crate::residue;

/// The first slot of a transaction, and those that continue it.
type Slots = (Record, [Option<Record>; 2]);

const _: () = assert!(MAX_SLOTS_PER_EVENT as usize >= 3);

/// Checked: a generation's events fit in 32 bits.
fn delta(seq: Seq, base: Seq) -> u32 {
    seq_delta(seq, base).unwrap_or(u32::MAX)
}

/// The parts of a record that posted nothing and reported nothing.
#[inline(always)]
fn parts_of(seq: Seq, base: Seq, t: &TransactionEvent) -> Parts {
    Parts {
        identity: t.identity,
        terms: t.terms,
        seq_delta: delta(seq, base),
        settlement_offset: i32::from(t.settlement_date.0) - i32::from(t.business_date.0),
        amount: t.amount.minor,
        code: t.code,
        class: t.class,
        operation: t.operation,
        currency_slot: 0,
        flags: 0,
        debit: u32::MAX,
        credit: u32::MAX,
        prev: t.prev,
    }
}

/// What is remembered of nearly all transactions, in one slot: its amount was posted
/// between two accounts, or nothing was. `base` is the first sequence of its date.
#[inline(always)]
pub(crate) fn plain(seq: Seq, base: Seq, t: &TransactionEvent) -> Option<Record> {
    if t.balances.is_some() || t.linked.is_some() {
        return None;
    }
    let (flags, debit, credit) = match t.legs.as_slice() {
        [] => (0, u32::MAX, u32::MAX),
        [a, b]
            if a.delta_minor.unsigned_abs() == t.amount.minor
                && b.delta_minor.unsigned_abs() == t.amount.minor =>
        {
            let (debit, credit) = if a.delta_minor < 0 { (a, b) } else { (b, a) };
            (flags::POSTED, debit.account.0, credit.account.0)
        }
        _ => return None,
    };
    Some(Record::pack(&Parts {
        flags,
        debit,
        credit,
        ..parts_of(seq, base, t)
    }))
}

/// What is remembered of a transaction that is not [`plain`].
pub(crate) fn other(
    seq: Seq,
    base: Seq,
    t: &TransactionEvent,
    slot: impl Fn(Currency) -> Option<u8>,
) -> Slots {
    let mut parts = parts_of(seq, base, t);
    let mut continued = [None, None];
    if let Some(balances) = t.balances {
        let slot = slot(balances.currency).unwrap_or(u8::MAX);
        let difference = balances.available_minor.wrapping_sub(balances.ledger_minor);
        parts.flags = flags::BALANCES;
        if slot < 8 && (difference << 24) >> 24 == difference {
            let ledger = balances.ledger_minor as u64;
            parts.amount = difference as u64 & ((1 << 40) - 1);
            parts.currency_slot = slot;
            parts.debit = ledger as u32;
            parts.credit = (ledger >> 32) as u32;
        } else {
            parts.flags |= flags::WIDE;
            let legs = [balances.ledger_minor, balances.available_minor].map(|delta_minor| Leg {
                account: AccountIx(u32::MAX),
                delta_minor,
            });
            continued[0] = Some(Record::continuation(&legs, slot, RecordRef::NONE));
        }
    } else {
        parts.flags = flags::WIDE;
        let legs = t.legs.as_slice();
        let slot = slot(t.amount.currency).unwrap_or(u8::MAX);
        let (first, second) = legs.split_at(legs.len().min(3));
        continued[0] = Some(Record::continuation(first, slot, t.linked));
        if !second.is_empty() {
            continued[1] = Some(Record::continuation(second, slot, t.linked));
        }
    }
    (Record::pack(&parts), continued)
}

/// Whether a reversal marks what it names as reversed.
pub(crate) const fn marks(r: &ReversalEvent) -> bool {
    matches!(r.finding, Finding::Reversed | Finding::NoEffect)
}

/// What is remembered of a reversal, and the tombstone of an original that has not come.
pub(crate) fn reversal(seq: Seq, base: Seq, r: &ReversalEvent) -> (Record, Option<Record>) {
    let marks = marks(r);
    let mut parts = Parts {
        identity: r.identity,
        terms: 0,
        seq_delta: delta(seq, base),
        settlement_offset: i32::from(r.settlement_date.0) - i32::from(r.business_date.0),
        amount: r.amount.minor,
        code: ResponseCode::Approved,
        class: Class::Reversal,
        operation: r.operation.unwrap_or(Operation::Purchase),
        currency_slot: 0,
        flags: 0,
        // What it marks, so that the marks can be made anew from the records.
        debit: if marks { r.original.0 } else { u32::MAX },
        credit: if marks { r.linked.0 } else { u32::MAX },
        prev: RecordRef::NONE,
    };
    let record = Record::pack(&parts);
    let tombstone = r.tombstone.as_ref().map(|tombstone| {
        parts.identity = tombstone.identity();
        parts.code = ResponseCode::DoNotHonour;
        // "Reversal" stands for any class: no original is one.
        parts.class = tombstone.class.unwrap_or(Class::Reversal);
        parts.flags = flags::TOMBSTONE;
        parts.debit = u32::MAX;
        parts.credit = u32::MAX;
        parts.prev = r.prev;
        Record::pack(&parts)
    });
    (record, tombstone)
}

/// What is remembered of a batch entry; `None` if it has not its two legs.
pub(crate) fn entry(seq: Seq, base: Seq, entry: &EntryEvent) -> Option<Record> {
    let [batch, customer] = entry.legs.as_slice().first_chunk()?;
    let (debit, credit) = if batch.delta_minor < 0 {
        (batch, customer)
    } else {
        (customer, batch)
    };
    Some(Record::pack(&Parts {
        identity: entry.identity,
        terms: 0,
        seq_delta: delta(seq, base),
        settlement_offset: 0,
        amount: customer.delta_minor.unsigned_abs(),
        code: ResponseCode::Approved,
        // Nobody looks for it as one: the flag keeps it apart.
        class: Class::FinancialAdvice,
        operation: Operation::Purchase,
        currency_slot: 0,
        flags: flags::POSTED | flags::ENTRY,
        debit: debit.account.0,
        credit: credit.account.0,
        prev: RecordRef::NONE,
    }))
}

/// Makes remembered transactions anew from the events of a journal: those that a state
/// counts, which is known by its residue. Events are given one after the other.
#[derive(Debug)]
pub struct Recall {
    /// Date, first sequence, length.
    generations: Vec<(Date, Seq, u32)>,
    /// In the order of their numbers.
    currencies: Vec<Currency>,
    /// How many of them were there at the event that comes next.
    known: usize,
    last_seq: Seq,
}

impl Recall {
    /// Of the state with this residue ([`crate::Engine::residue`]), for events from the
    /// very first on; `None` when it is no residue.
    #[must_use]
    pub fn new(residue: &[u8]) -> Option<Self> {
        let residue = residue::read(residue)?;
        Some(Self {
            generations: residue.generations,
            currencies: residue.currencies.iter().map(|(of, _)| *of).collect(),
            known: 0,
            last_seq: residue.last_seq,
        })
    }

    /// Begins behind an earlier state instead, which has this residue; `None` when it is
    /// no residue.
    #[must_use]
    pub fn begin_behind(&mut self, residue: &[u8]) -> Option<()> {
        self.known = residue::read(residue)?.currencies.len();
        Some(())
    }

    /// Generations of remembered transactions, oldest first, with their lengths in slots.
    pub fn generations(&self) -> impl Iterator<Item = (Date, u32)> {
        self.generations.iter().map(|(date, _, len)| (*date, *len))
    }

    /// Whether the state still remembers transactions of this date.
    #[must_use]
    pub fn keeps(&self, date: Date) -> bool {
        self.base(date).is_some()
    }

    fn number(&self, currency: Currency) -> Option<u8> {
        let mut known = self.currencies.iter().take(self.known);
        let at = known.position(|of| *of == currency)?;
        u8::try_from(at).ok()
    }

    fn base(&self, date: Date) -> Option<Seq> {
        let of = self.generations.iter().find(|(of, ..)| *of == date);
        of.map(|(_, base, _)| *base)
    }

    /// Gives `each` the slots that the next event appended, in their order, with their
    /// date; none when the state does not remember them (any more).
    ///
    /// # Errors
    /// That of `each`, at once.
    pub fn slots<E>(
        &mut self,
        event: &Event,
        mut each: impl FnMut(Date, Record) -> Result<(), E>,
    ) -> Result<(), E> {
        let seq = event.seq;
        if seq > self.last_seq {
            return Ok(());
        }
        if let Body::InternalOpened(opened) = &event.body {
            let mut found = self.currencies.iter();
            if let Some(at) = found.position(|of| *of == opened.currency) {
                self.known = self.known.max(at + 1);
            }
        }
        let Some(date) = event.business_date() else {
            return Ok(());
        };
        let Some(base) = self.base(date) else {
            return Ok(());
        };
        match &event.body {
            Body::Transaction(t) => {
                if let Some(record) = plain(seq, base, t) {
                    return each(date, record);
                }
                let (first, others) = other(seq, base, t, |currency| self.number(currency));
                each(date, first)?;
                let mut others = others.into_iter().flatten();
                others.try_for_each(|slot| each(date, slot))
            }
            Body::Reversal(r) => {
                let (record, tombstone) = reversal(seq, base, r);
                each(date, record)?;
                tombstone.map_or(Ok(()), |tombstone| each(date, tombstone))
            }
            Body::Entry(e) => entry(seq, base, e).map_or(Ok(()), |record| each(date, record)),
            _ => Ok(()),
        }
    }
}
