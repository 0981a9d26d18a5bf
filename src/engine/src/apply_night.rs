//! `apply` for the night. Cutover, freeze and seal change a word of state and no row.

use crate::account::Role;
use crate::business::{DateState, Step};
use crate::date::Date;
use crate::engine::Engine;
use crate::event::{EntryEvent, NetworkCutoverEvent};
use crate::ids::{NetworkId, Seq};
use crate::legs::Legs;
use crate::limits::{SEALS_UNTIL_FORGOTTEN, TOTALS_KEPT_DAYS};
use crate::night::NetworkClock;
use crate::recall;

impl Engine {
    pub(crate) fn apply_step(&mut self, seq: Seq, step: Step, date: Date) {
        let Ok(dates) = self.dates.after(step, date) else {
            self.diverged(seq);
            return;
        };
        self.set_dates(dates);
        if let Some(day) = self.night.day_mut(date) {
            match step {
                Step::OpenEarly => {}
                Step::Cutover => {
                    day.cutover = seq;
                    day.cutover_us = self.last_time_us;
                }
                Step::Freeze => day.freeze = seq,
                Step::Seal => day.seal = seq,
            }
        }
        if step == Step::Seal {
            self.enter_epoch();
            self.sealed(date);
        }
    }

    /// A new closing date: what was the opening date's buffer is part of each
    /// balance from here on, by the epoch, not by touching rows.
    pub(crate) fn enter_epoch(&mut self) {
        self.hashes.next = 0;
        if !self.is_consistent() {
            // Rows that were stored ahead of the mark may be of a later epoch.
            let epoch = self.dates.closing();
            self.hashes.next = (0..)
                .zip(self.accounts.iter())
                .fold(0, |sum: u64, (ix, row)| {
                    sum.wrapping_add(row.hash_next(ix, epoch))
                });
        }
    }

    /// Drops what is kept for so many seals only.
    fn sealed(&mut self, date: Date) {
        if let Some(last) = date.0.checked_sub(SEALS_UNTIL_FORGOTTEN) {
            self.memory.forget(Date(last));
        }
        if let Some(last) = date.0.checked_sub(TOTALS_KEPT_DAYS) {
            self.totals.forget(Date(last));
            self.books.forget(Date(last));
        }
    }

    pub(crate) fn apply_network_cutover(&mut self, seq: Seq, cutover: &NetworkCutoverEvent) {
        self.night.set_clock(NetworkClock {
            network: cutover.network,
            date: cutover.date,
            seq,
        });
        if cutover.opens {
            self.apply_step(seq, Step::OpenEarly, self.dates.closing());
        }
    }

    pub(crate) fn apply_entry(&mut self, seq: Seq, entry: &EntryEvent) {
        let date = entry.business_date;
        for leg in entry.legs.as_slice() {
            self.post(seq, date, *leg);
        }
        let base = self.memory.base_seq(date, seq);
        let (Some(record), Some(customer)) = (
            recall::entry(seq, base, entry),
            entry.legs.as_slice().get(1),
        ) else {
            self.diverged(seq);
            return;
        };
        self.remember(date, seq, record);
        let currency = self
            .accounts
            .get(customer.account.0)
            .map(|row| row.currency);
        if let (Some(currency), Some(day)) = (currency, self.night.day_mut(date)) {
            match day.entries.with(currency, 1, customer.delta_minor) {
                Some(entries) => day.entries = entries,
                None => self.diverged(seq),
            }
        }
    }

    /// Counts an item that took a later business date than its settlement date.
    #[inline]
    pub(crate) fn count_rolled(
        &mut self,
        network: NetworkId,
        legs: &Legs,
        settlement: Date,
        business: Date,
    ) {
        if settlement < business && network != NetworkId::OWN_TERMINALS && !legs.is_empty() {
            self.night.rolled_forward = self.night.rolled_forward.saturating_add(1);
        }
    }

    /// Whether an entry's postings are a customer's account against the batch account.
    pub(crate) fn is_entry_shaped(&self, legs: &Legs) -> bool {
        let role = |at: usize| {
            let leg = legs.as_slice().get(at)?;
            Some(self.accounts.get(leg.account.0)?.role())
        };
        legs.as_slice().len() == 2
            && role(0) == Some(Role::Batch)
            && role(1) == Some(Role::Customer)
    }

    /// Whether a debit of the closing date would lean on money that arrived on the
    /// opening one.
    #[inline]
    pub(crate) fn leans(&self, legs: &Legs, business: Date) -> Option<Date> {
        let DateState::Dual {
            closing, opening, ..
        } = self.dates
        else {
            return None;
        };
        if business != closing {
            return None;
        }
        let leans = legs.as_slice().iter().any(|leg| {
            leg.delta_minor < 0
                && self.accounts.get(leg.account.0).is_some_and(|row| {
                    row.is_customer() && {
                        let view = row.view(closing);
                        let own = i128::from(view.balance) + i128::from(view.overdraft)
                            - i128::from(view.held)
                            + i128::from(leg.delta_minor);
                        view.next > 0 && own < 0
                    }
                })
        });
        leans.then_some(opening)
    }
}
