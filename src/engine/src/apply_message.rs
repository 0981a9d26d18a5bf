//! `apply` for messages: what they post, what is remembered of them, and the totals
//! that they count in.

use crate::account::Role;
use crate::apply::Stamp;
use crate::command::{Amount, Operation};
use crate::date::Date;
use crate::engine::Engine;
use crate::event::{Counted, Finding, ReversalEvent, TransactionEvent};
use crate::exception::{Exception, ExceptionKind};
use crate::ids::{Currency, NetworkId, Seq};
use crate::legs::Legs;
use crate::mix;
use crate::recall;
use crate::record::{Record, RecordRef};

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
        let base = self.memory.base_seq(t.business_date, stamp.seq);
        let reference = match recall::plain(stamp.seq, base, t) {
            Some(record) => self.remember(t.business_date, stamp.seq, record),
            None => self.remember_other(stamp.seq, base, t),
        };
        if let Some(card) = t.card {
            self.change_card(card, stamp.seq, |row| row.newest = reference);
        }
        self.count_transaction(t);
        self.count_rolled(t.network, &t.legs, t.settlement_date, t.business_date);
        self.note(stamp, t.exception, t.network, t.amount);
    }

    /// Remembers what takes more than a plain record.
    #[inline(never)]
    fn remember_other(&mut self, seq: Seq, base: Seq, t: &TransactionEvent) -> RecordRef {
        let (first, others) = recall::other(seq, base, t, |currency| self.slot(currency));
        let reference = self.remember(t.business_date, seq, first);
        for slot in others.iter().flatten() {
            self.remember(t.business_date, seq, *slot);
        }
        reference
    }

    pub(crate) fn apply_reversal(&mut self, stamp: Stamp, r: &ReversalEvent) {
        self.advance(stamp);
        for leg in r.legs.as_slice() {
            self.post(stamp.seq, r.business_date, *leg);
        }
        if recall::marks(r) {
            for reference in [r.original, r.linked] {
                if reference.is_some() {
                    self.memory.mark(reference, r.business_date);
                    self.hashes.rolled = mix::mix2(self.hashes.rolled, u64::from(reference.0));
                }
            }
        }
        let base = self.memory.base_seq(r.business_date, stamp.seq);
        let (record, tombstone) = recall::reversal(stamp.seq, base, r);
        self.remember(r.business_date, stamp.seq, record);
        if let Some(tombstone) = tombstone {
            let reference = self.remember(r.business_date, stamp.seq, tombstone);
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
