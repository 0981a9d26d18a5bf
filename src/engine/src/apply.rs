//! `apply`: the only thing that changes state, live, in replay and on a follower alike.
//!
//! Rows that were stored ahead of the mark at which the rest was loaded carry the
//! sequence of their last event: an event that a row already has is skipped for
//! that row. Live, that never happens.

use crate::account::{AccountRow, Role};
use crate::business::{DateState, Step};
use crate::card::{CardRow, CardTerms};
use crate::code::ResponseCode;
use crate::command::{Amount, Identity};
use crate::command::{Class, Operation};
use crate::date::Date;
use crate::engine::{CurrencyAccounts, Engine, pan_hash};
use crate::event::{
    AccountPut, Body, CardPut, Event, Finding, InternalOpened, ReversalEvent, TransactionEvent,
};
use crate::exception::{Exception, ExceptionKind};
use crate::ids::{AccountIx, CardIx, Currency, NetworkId, Seq, TimeUs};
use crate::legs::{Leg, Legs};
use crate::mix;
use crate::record::{Parts, Record, RecordRef, flags, seq_delta};

/// Sequence and time of an event.
#[derive(Clone, Copy)]
pub(crate) struct Stamp {
    pub seq: Seq,
    pub time_us: TimeUs,
}

impl Engine {
    /// Applies an event. It must have passed [`Engine::check`], here or where it
    /// was decided; one out of order has no effect but shows as a divergence.
    pub fn apply(&mut self, event: &Event) {
        if event.seq != self.last_seq.wrapping_add(1) {
            self.diverged(event.seq);
            return;
        }
        if let Body::Attest { state_hash } = event.body
            && self.is_consistent()
            && state_hash != self.state_hash()
        {
            self.diverged(event.seq);
        }
        let stamp = Stamp {
            seq: event.seq,
            time_us: event.time_us,
        };
        match &event.body {
            Body::Transaction(transaction) => return self.apply_transaction(stamp, transaction),
            Body::Reversal(reversal) => return self.apply_reversal(stamp, reversal),
            _ => self.advance(stamp),
        }
        match &event.body {
            Body::Genesis(genesis) => {
                self.genesis = Some(*genesis);
                self.set_dates(DateState::Open {
                    date: genesis.business_date,
                });
                self.enter_epoch();
            }
            Body::InternalOpened(opened) => self.apply_internal(event.seq, opened),
            Body::AccountPut(account) => self.apply_account(event.seq, account),
            Body::CardPut(card) => self.apply_card(event.seq, card),
            Body::OpenedEarly { date } => self.apply_step(event.seq, Step::OpenEarly, *date),
            Body::Cutover { date } => self.apply_step(event.seq, Step::Cutover, *date),
            Body::Freeze { date } => self.apply_step(event.seq, Step::Freeze, *date),
            Body::Seal(seal) => self.apply_step(event.seq, Step::Seal, seal.date),
            Body::NetworkCutover(cutover) => self.apply_network_cutover(event.seq, cutover),
            Body::Entry(entry) => self.apply_entry(event.seq, entry),
            Body::Transaction(_) | Body::Reversal(_) | Body::Attest { .. } => {}
        }
    }

    #[inline]
    const fn advance(&mut self, stamp: Stamp) {
        self.last_seq = stamp.seq;
        self.last_time_us = stamp.time_us;
    }

    /// Changes the open dates, and what follows from them.
    pub(crate) fn set_dates(&mut self, dates: DateState) {
        self.dates = dates;
        let default = dates.default_date();
        self.today = (default, default.yymm());
    }

    pub(crate) fn diverged(&mut self, seq: Seq) {
        self.divergence.get_or_insert(seq);
    }

    fn apply_internal(&mut self, seq: Seq, opened: &InternalOpened) {
        let currency = opened.currency;
        for account in opened.accounts.iter().flatten() {
            let row = AccountRow::new(
                account.number,
                currency,
                account.role,
                self.dates.closing(),
                seq,
            );
            self.open_account(account.ix, row);
            self.register_internal(account.ix, account.role, currency);
        }
    }

    /// Makes an internal account known by its role.
    pub(crate) fn register_internal(&mut self, ix: AccountIx, role: Role, currency: Currency) {
        if role == Role::Batch {
            if self.night.batch_account(currency).is_none() {
                self.night.batch.push((currency, ix));
            }
            return;
        }
        let at = match self.currencies.iter().position(|s| s.currency == currency) {
            Some(at) => at,
            None => {
                self.currencies.push(CurrencyAccounts {
                    currency,
                    position: ix,
                    suspense: ix,
                    opening: ix,
                    customers_minor: 0,
                    internal_minor: 0,
                });
                self.sum_ahead(currency);
                self.currencies.len() - 1
            }
        };
        let Some(slot) = self.currencies.get_mut(at) else {
            return;
        };
        match role {
            Role::Customer | Role::Batch => {}
            Role::Position => slot.position = ix,
            Role::Suspense => slot.suspense = ix,
            Role::Opening => slot.opening = ix,
            Role::Settlement(network) => {
                let key = (network, currency);
                if let Err(at) = self.settlements.binary_search_by_key(&key, |(key, _)| *key) {
                    self.settlements.insert(at, (key, ix));
                }
            }
        }
    }

    /// Rows of this currency that were stored ahead of the mark count already.
    fn sum_ahead(&mut self, currency: Currency) {
        if self.last_seq > self.consistent_from {
            return;
        }
        for ix in 0..self.accounts.len() {
            if let Some(row) = self.accounts.get(ix).copied()
                && row.currency == currency
                && row.last_seq != 0
            {
                self.sum_row(&row);
            }
        }
    }

    /// Adds a whole row to its currency's sums.
    pub(crate) fn sum_row(&mut self, row: &AccountRow) {
        let currency = row.currency;
        let ledger = i128::from(row.balance.wrapping_add(row.next));
        if let Some(slot) = self.currencies.iter_mut().find(|s| s.currency == currency) {
            if row.is_customer() {
                slot.customers_minor = slot.customers_minor.wrapping_add(ledger);
            } else {
                slot.internal_minor = slot.internal_minor.wrapping_add(ledger);
            }
        }
    }

    fn apply_account(&mut self, seq: Seq, account: &AccountPut) {
        if account.opened {
            let mut row = AccountRow::new(
                account.number,
                account.currency,
                Role::Customer,
                self.dates.closing(),
                // As if from before this event, so that its own posting is not skipped.
                seq - 1,
            );
            row.overdraft = account.overdraft_minor;
            row.status = account.status as u8;
            self.open_account(account.ix, row);
        }
        self.change_account(account.ix, seq, |row, _| {
            row.overdraft = account.overdraft_minor;
            row.status = account.status as u8;
            row.add(account.business_date, account.legs.delta_of(account.ix));
        });
        self.count_leg(
            account.business_date,
            account.currency,
            account.legs.delta_of(account.ix),
        );
        for leg in account.legs.as_slice() {
            if leg.account != account.ix {
                self.post(seq, account.business_date, *leg);
            }
        }
    }

    /// Puts a new row in its place, unless the place was filled ahead of the mark.
    fn open_account(&mut self, ix: AccountIx, row: AccountRow) {
        let len = self.accounts.len();
        if ix.0 == len {
            self.accounts.push(row);
        } else {
            match self.accounts.get_mut(ix.0) {
                Some(there) if there.last_seq == 0 => *there = row,
                Some(_) => return,
                None => {
                    self.diverged(self.last_seq);
                    return;
                }
            }
        }
        self.index_account(ix, &row);
    }

    /// Takes a row into look-up table, hashes and sums.
    pub(crate) fn index_account(&mut self, ix: AccountIx, row: &AccountRow) {
        // Full only when a journal needs more than the configured capacity and
        // its events are applied unchecked: that must not pass in silence.
        if let Some(index) = &mut self.by_number
            && !index.insert(mix::mix_bytes(row.number_bytes()), ix.0)
        {
            self.divergence.get_or_insert(self.last_seq);
        }
        let hashes = &mut self.hashes;
        hashes.fixed = hashes.fixed.wrapping_add(row.hash_fixed(ix.0));
        hashes.live = hashes.live.wrapping_add(row.hash_live(ix.0));
        hashes.next = hashes
            .next
            .wrapping_add(row.hash_next(ix.0, self.dates.closing()));
    }

    /// Changes a row, unless it already has this event, and keeps the hashes.
    /// `change` gets the row, brought to the current epoch.
    #[inline]
    fn change_account(
        &mut self,
        ix: AccountIx,
        seq: Seq,
        change: impl FnOnce(&mut AccountRow, Date),
    ) -> Option<Currency> {
        let epoch = self.dates.closing();
        let Some(row) = self.accounts.get_mut(ix.0) else {
            self.divergence.get_or_insert(seq);
            return None;
        };
        let (currency, customer) = (row.currency, row.is_customer());
        if row.last_seq >= seq {
            return Some(currency);
        }
        let hashes = &mut self.hashes;
        let (live, next) = (row.hash_live(ix.0), row.hash_next(ix.0, epoch));
        let before = row.balance.wrapping_add(row.next);
        let view = row.view(epoch);
        row.balance = view.balance;
        row.next = view.next;
        row.epoch = epoch;
        change(row, epoch);
        row.last_seq = seq;
        hashes.live = hashes
            .live
            .wrapping_sub(live)
            .wrapping_add(row.hash_live(ix.0));
        hashes.next = hashes
            .next
            .wrapping_sub(next)
            .wrapping_add(row.hash_next(ix.0, epoch));
        let delta = i128::from(row.balance.wrapping_add(row.next)) - i128::from(before);
        if let Some(slot) = self.currencies.iter_mut().find(|s| s.currency == currency) {
            if customer {
                slot.customers_minor = slot.customers_minor.wrapping_add(delta);
            } else {
                slot.internal_minor = slot.internal_minor.wrapping_add(delta);
            }
        }
        Some(currency)
    }

    /// Posts one leg, and counts it.
    #[inline]
    pub(crate) fn post(&mut self, seq: Seq, date: Date, leg: Leg) {
        if let Some(currency) =
            self.change_account(leg.account, seq, |row, _| row.add(date, leg.delta_minor))
        {
            self.count_leg(date, currency, leg.delta_minor);
        }
    }

    #[inline]
    fn count_leg(&mut self, date: Date, currency: Currency, delta_minor: i64) {
        if delta_minor == 0 {
            return;
        }
        if let Some(totals) = self.totals.date_mut(date, currency) {
            let amount = u128::from(delta_minor.unsigned_abs());
            if delta_minor < 0 {
                totals.debit_minor = totals.debit_minor.saturating_add(amount);
                totals.debit_count = totals.debit_count.saturating_add(1);
            } else {
                totals.credit_minor = totals.credit_minor.saturating_add(amount);
                totals.credit_count = totals.credit_count.saturating_add(1);
            }
        }
    }

    fn apply_card(&mut self, seq: Seq, card: &CardPut) {
        let terms = CardTerms {
            bin: card.bin,
            last4: card.last4,
            expiry: card.expiry,
            account: card.account,
            status: card.status,
        };
        if !card.opened {
            let gone = self
                .cards
                .get(card.ix.0)
                .is_some_and(|row| self.newest_of(row).is_none());
            self.change_card(card.ix, seq, |row| {
                row.set_terms(&terms);
                if gone {
                    // The sequence no longer tells that it is of a dropped generation.
                    row.newest = RecordRef::NONE;
                }
            });
            return;
        }
        let row = CardRow::new(card.pan, &terms, seq);
        if card.ix.0 == self.cards.len() {
            self.cards.push(row);
        } else {
            match self.cards.get_mut(card.ix.0) {
                Some(there) if there.last_seq == 0 => *there = row,
                Some(_) => return,
                None => {
                    self.diverged(seq);
                    return;
                }
            }
        }
        self.index_card(card.ix, &row);
    }

    /// Takes a row into look-up table and hash.
    pub(crate) fn index_card(&mut self, ix: CardIx, row: &CardRow) {
        if let Some(index) = &mut self.by_pan
            && !index.insert(pan_hash(row.pan()), ix.0)
        {
            self.divergence.get_or_insert(self.last_seq);
        }
        self.hashes.cards = self.hashes.cards.wrapping_add(row.hash(ix.0));
    }

    #[inline]
    fn change_card(&mut self, ix: CardIx, seq: Seq, change: impl FnOnce(&mut CardRow)) {
        let Some(row) = self.cards.get_mut(ix.0) else {
            self.diverged(seq);
            return;
        };
        if row.last_seq >= seq {
            return;
        }
        let before = row.hash(ix.0);
        change(row);
        row.last_seq = seq;
        self.hashes.cards = self
            .hashes
            .cards
            .wrapping_sub(before)
            .wrapping_add(row.hash(ix.0));
    }

    /// Appends a slot to the remembered transactions.
    #[inline]
    pub(crate) fn remember(&mut self, date: Date, seq: Seq, record: Record) -> RecordRef {
        self.hashes.rolled = mix::mix2(self.hashes.rolled, record.hash());
        let reference = self.memory.append(date, seq, record);
        if !reference.is_some() {
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
        let (record, continued) = self.transaction_record(stamp.seq, t);
        let reference = self.remember(t.business_date, stamp.seq, record);
        for slot in continued.into_iter().flatten() {
            self.remember(t.business_date, stamp.seq, slot);
        }
        if let Some(card) = t.card {
            self.change_card(card, stamp.seq, |row| row.newest = reference);
        }
        self.count_transaction(t);
        self.count_rolled(t.network, &t.legs, t.settlement_date, t.business_date);
        self.note(stamp, t.exception, t.network, t.amount);
    }

    fn transaction_record(&self, seq: Seq, t: &TransactionEvent) -> (Record, [Option<Record>; 2]) {
        let base = self.memory.base_seq(t.business_date, seq);
        let mut parts = Parts {
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
        };
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
            return (Record::pack(&parts), continued);
        }
        match t.legs.as_slice() {
            [] if !t.linked.is_some() => {}
            [a, b]
                if !t.linked.is_some()
                    && a.delta_minor.unsigned_abs() == t.amount.minor
                    && b.delta_minor.unsigned_abs() == t.amount.minor =>
            {
                let (debit, credit) = if a.delta_minor < 0 { (a, b) } else { (b, a) };
                parts.flags = flags::POSTED;
                parts.debit = debit.account.0;
                parts.credit = credit.account.0;
            }
            legs => {
                parts.flags = flags::WIDE;
                let slot = self.slot(t.amount.currency).unwrap_or(u8::MAX);
                let (first, second) = legs.split_at(legs.len().min(3));
                continued[0] = Some(Record::continuation(first, slot, t.linked));
                if !second.is_empty() {
                    continued[1] = Some(Record::continuation(second, slot, t.linked));
                }
            }
        }
        (Record::pack(&parts), continued)
    }

    fn apply_reversal(&mut self, stamp: Stamp, r: &ReversalEvent) {
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
            parts.identity = Identity {
                key: 0,
                locator: tombstone.locator,
                transmitted: tombstone.transmitted,
                rrn: tombstone.rrn,
                acquirer: tombstone.acquirer,
                forwarder: tombstone.forwarder,
            };
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

    fn note(
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
                (row.role() == Role::Settlement(network)).then_some((row.currency, leg.delta_minor))
            })
            .unwrap_or((sent, 0))
    }

    fn count_transaction(&mut self, t: &TransactionEvent) {
        if !t.code.is_approved() {
            return;
        }
        let sent = t.balances.map_or(t.amount.currency, |b| b.currency);
        let (currency, gained) = self.settled(t.network, &t.legs, sent);
        let key = (t.network, t.settlement_date, currency);
        // The request that an advice corrects has been counted.
        let count = u64::from(!t.linked.is_some());
        if let Some(totals) = self.totals.network_mut(key) {
            let gained = i128::from(gained);
            match t.operation {
                Operation::Purchase | Operation::Cash | Operation::PurchaseWithCashback => {
                    totals.debits.add(count, gained);
                }
                Operation::Refund => totals.credits.add(count, -gained),
                Operation::Transfer => totals.transfers.add(count, i128::from(t.amount.minor)),
                Operation::InquiryAvailable | Operation::InquiryBalance => {
                    totals.inquiries = totals.inquiries.saturating_add(1);
                }
            }
        }
    }

    fn count_reversal(&mut self, r: &ReversalEvent) {
        if r.finding != Finding::Reversed {
            return;
        }
        let (currency, gained) = self.settled(r.network, &r.legs, r.amount.currency);
        let key = (r.network, r.settlement_date, currency);
        if let Some(totals) = self.totals.network_mut(key) {
            let gained = i128::from(gained);
            match r.operation {
                Some(Operation::Refund) => totals.credit_reversals.add(1, gained),
                Some(Operation::Transfer) => {
                    totals.transfer_reversals.add(1, i128::from(r.amount.minor));
                }
                _ => totals.debit_reversals.add(1, -gained),
            }
        }
    }
}

impl AccountRow {
    /// Adds a posting of a date; the row is at the current epoch. In range: checked.
    #[inline]
    fn add(&mut self, date: Date, delta_minor: i64) {
        if date == self.epoch {
            self.balance = self.balance.wrapping_add(delta_minor);
        } else {
            self.next = self.next.wrapping_add(delta_minor);
        }
    }
}
