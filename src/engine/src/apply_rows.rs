//! `apply` for rows: accounts and cards are opened, changed and counted.

use crate::account::{AccountRow, Role};
use crate::card::{CardRow, CardTerms};
use crate::date::Date;
use crate::engine::{CurrencyAccounts, Engine, pan_hash};
use crate::event::{AccountPut, CardPut, InternalOpened};
use crate::ids::{AccountIx, CardIx, Currency, Seq};
use crate::legs::Leg;
use crate::mix;
use crate::record::RecordRef;

impl Engine {
    pub(crate) fn apply_internal(&mut self, seq: Seq, opened: &InternalOpened) {
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

    pub(crate) fn apply_account(&mut self, seq: Seq, account: &AccountPut) {
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

    pub(crate) fn apply_card(&mut self, seq: Seq, card: &CardPut) {
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
                .is_some_and(|row| !self.newest_reference(row).is_some());
            self.change_card(card.ix, seq, |row| {
                row.set_terms(&terms);
                if gone {
                    // The sequence no longer tells that it is of a dropped generation.
                    row.newest = RecordRef::NONE;
                }
            });
            // What the row has now, which may be ahead of this event.
            if let (Some(pans), Some(row)) = (&mut self.by_pan, self.cards.get(card.ix.0)) {
                pans.set_account(pan_hash(row.pan()), card.ix, row.account);
            }
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
            && !index.insert(pan_hash(row.pan()), ix, row.account)
        {
            self.divergence.get_or_insert(self.last_seq);
        }
        self.hashes.cards = self.hashes.cards.wrapping_add(row.hash(ix.0));
    }

    #[inline]
    pub(crate) fn change_card(&mut self, ix: CardIx, seq: Seq, change: impl FnOnce(&mut CardRow)) {
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
