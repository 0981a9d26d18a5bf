//! `apply` for messages: what they post, what is remembered of them, and the totals
//! that they count in.

use crate::account::Role;
use crate::apply::Stamp;
use crate::code::ResponseCode;
use crate::command::{Amount, Class, Operation};
use crate::date::Date;
use crate::engine::Engine;
use crate::event::{Counted, Finding, ReversalEvent, TransactionEvent};
use crate::exception::{Exception, ExceptionKind};
use crate::ids::{AccountIx, Currency, NetworkId, Seq};
use crate::legs::{Leg, Legs};
use crate::mix;
use crate::record::{Parts, Record, RecordRef, flags, seq_delta};

impl Engine {
    /// Appends a slot to the remembered transactions.
    #[inline]
    pub(crate) fn remember(&mut self, date: Date, seq: Seq, record: Record) -> RecordRef {
        self.hashes.rolled = mix::mix2(self.hashes.rolled, record.hash());
        let reference = self.memory.append(date, seq, record);
        if !reference.is_some() || self.memory.notes.any() {
            // No room, or what `foresee` looks at was not lent before: a fault of the caller's.
            self.diverged(seq);
        }
        reference
    }

    #[inline]
    pub(crate) fn apply_transaction(&mut self, stamp: Stamp, t: &TransactionEvent) {
        self.advance(stamp);
        for leg in t.legs.as_slice() {
            self.post(stamp.seq, t.business_date, *leg);
        }
        let reference = match self.plain_record(stamp.seq, t) {
            Some(record) => self.remember(t.business_date, stamp.seq, record),
            None => self.remember_other(stamp.seq, t),
        };
        if let Some(card) = t.card {
            self.change_card(card, stamp.seq, |row| row.newest = reference);
        }
        self.count_transaction(t);
        self.count_rolled(t.network, &t.legs, t.settlement_date, t.business_date);
        self.note(stamp, t.exception, t.network, t.amount);
    }

    /// The parts of a record that posted nothing and reported nothing.
    #[inline(always)]
    fn parts_of(&self, seq: Seq, t: &TransactionEvent) -> Parts {
        let base = self.memory.base_seq(t.business_date, seq);
        Parts {
            identity: t.identity,
            terms: t.terms,
            // Checked: the generation's events fit in 32 bits.
            seq_delta: seq_delta(seq, base).unwrap_or(u32::MAX),
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

    /// What is remembered of nearly all transactions, in one slot: its amount was
    /// posted between two accounts, or nothing was.
    #[inline(always)]
    fn plain_record(&self, seq: Seq, t: &TransactionEvent) -> Option<Record> {
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
            ..self.parts_of(seq, t)
        }))
    }

    /// Remembers what [`Self::plain_record`] does not fit.
    #[inline(never)]
    fn remember_other(&mut self, seq: Seq, t: &TransactionEvent) -> RecordRef {
        let mut parts = self.parts_of(seq, t);
        let mut continued = [None, None];
        if let Some(balances) = t.balances {
            let slot = self.slot(balances.currency).unwrap_or(u8::MAX);
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
                let legs =
                    [balances.ledger_minor, balances.available_minor].map(|delta_minor| Leg {
                        account: AccountIx(u32::MAX),
                        delta_minor,
                    });
                continued[0] = Some(Record::continuation(&legs, slot, RecordRef::NONE));
            }
        } else {
            parts.flags = flags::WIDE;
            let legs = t.legs.as_slice();
            let slot = self.slot(t.amount.currency).unwrap_or(u8::MAX);
            let (first, second) = legs.split_at(legs.len().min(3));
            continued[0] = Some(Record::continuation(first, slot, t.linked));
            if !second.is_empty() {
                continued[1] = Some(Record::continuation(second, slot, t.linked));
            }
        }
        let reference = self.remember(t.business_date, seq, Record::pack(&parts));
        for slot in continued.iter().flatten() {
            self.remember(t.business_date, seq, *slot);
        }
        reference
    }

    pub(crate) fn apply_reversal(&mut self, stamp: Stamp, r: &ReversalEvent) {
        self.advance(stamp);
        for leg in r.legs.as_slice() {
            self.post(stamp.seq, r.business_date, *leg);
        }
        let marks = matches!(r.finding, Finding::Reversed | Finding::NoEffect);
        if marks {
            for reference in [r.original, r.linked] {
                if reference.is_some() {
                    self.memory.set_reversed(reference);
                    self.hashes.rolled = mix::mix2(self.hashes.rolled, u64::from(reference.0));
                }
            }
        }
        let base = self.memory.base_seq(r.business_date, stamp.seq);
        let mut parts = Parts {
            identity: r.identity,
            terms: 0,
            seq_delta: seq_delta(stamp.seq, base).unwrap_or(u32::MAX),
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
        self.remember(r.business_date, stamp.seq, Record::pack(&parts));
        if let Some(tombstone) = &r.tombstone {
            parts.identity = tombstone.identity();
            parts.code = ResponseCode::DoNotHonour;
            // "Reversal" stands for any class: no original is one.
            parts.class = tombstone.class.unwrap_or(Class::Reversal);
            parts.flags = flags::TOMBSTONE;
            parts.debit = u32::MAX;
            parts.credit = u32::MAX;
            parts.prev = r.prev;
            let reference = self.remember(r.business_date, stamp.seq, Record::pack(&parts));
            if let Some(card) = r.card
                && r.chained_tombstone()
            {
                self.change_card(card, stamp.seq, |row| {
                    row.newest = reference;
                    row.set_loose_tombstone();
                });
            }
        }
        self.count_reversal(r);
        self.count_rolled(r.network, &r.legs, r.settlement_date, r.business_date);
        self.note(stamp, r.exception, r.network, r.amount);
    }

    pub(crate) fn note(
        &mut self,
        stamp: Stamp,
        exception: Option<ExceptionKind>,
        network: NetworkId,
        amount: Amount,
    ) {
        if let Some(kind) = exception {
            self.exceptions.push(Exception {
                seq: stamp.seq,
                time_us: stamp.time_us,
                kind,
                network,
                amount_minor: amount.minor,
                currency: amount.currency,
            });
        }
    }

    /// Currency of the totals that a message counts in, and what its settlement
    /// account in it gained.
    fn settled(&self, network: NetworkId, legs: &Legs, sent: Currency) -> (Currency, i64) {
        legs.as_slice()
            .iter()
            .find_map(|leg| {
                let row = self.accounts.get(leg.account.0)?;
                row.has_role(Role::Settlement(network))
                    .then_some((row.currency, leg.delta_minor))
            })
            .unwrap_or((sent, 0))
    }

    fn count_transaction(&mut self, t: &TransactionEvent) {
        if !t.code.is_approved() {
            return;
        }
        let sent = t.balances.map_or(t.amount.currency, |b| b.currency);
        let (currency, gained) = self.settled(t.network, &t.legs, sent);
        if let Some(counted) = t.corrects {
            self.count_corrected(t, &counted);
        } else if let Some(totals) =
            self.totals
                .network_mut((t.network, t.settlement_date, currency))
        {
            // The request that an advice corrects has been counted, with its amount.
            let request = self
                .memory
                .get(t.linked)
                .map(|(_, request)| request.amount());
            let minor = if t.operation == Operation::Transfer {
                // At most twelve digits each.
                t.amount.minor as i64 - request.unwrap_or(0) as i64
            } else {
                gained
            };
            totals.count(t.operation, u64::from(request.is_none()), minor);
        }
    }

    /// An advice takes its request's place, in other totals: the network knows of
    /// one item, the advice, on its date and in its currency.
    fn count_corrected(&mut self, t: &TransactionEvent, counted: &Counted) {
        let before = (t.network, counted.settlement_date, counted.currency);
        if let Some(totals) = self.totals.kept_network_mut(before) {
            totals.uncount(t.operation, counted.minor);
        }
        let currency = t.amount.currency;
        let minor = if t.operation == Operation::Transfer {
            t.amount.minor as i64
        } else {
            // Posted is what it differs from the request by.
            let account = self.settlement(t.network, currency);
            let differs = account.map_or(0, |account| t.legs.delta_of(account));
            let same = counted.currency == currency;
            differs.saturating_add(if same { counted.minor } else { 0 })
        };
        let now = (t.network, t.settlement_date, currency);
        if let Some(totals) = self.totals.network_mut(now) {
            totals.count(t.operation, 1, minor);
        }
    }

    fn count_reversal(&mut self, r: &ReversalEvent) {
        if r.finding != Finding::Reversed {
            return;
        }
        let (currency, gained) = self.settled(r.network, &r.legs, r.amount.currency);
        let key = (r.network, r.settlement_date, currency);
        // What a transfer moved back: what its advice had made of it, if one had.
        let moved = r.legs.as_slice().iter().map(|leg| leg.delta_minor.max(0));
        let moved = moved.map(i128::from).sum();
        if let Some(totals) = self.totals.network_mut(key) {
            let gained = i128::from(gained);
            match r.operation {
                Some(Operation::Refund) => totals.credit_reversals.add(1, gained),
                Some(Operation::Transfer) => {
                    totals.transfer_reversals.add(1, moved);
                }
                _ => totals.debit_reversals.add(1, -gained),
            }
        }
    }
}
