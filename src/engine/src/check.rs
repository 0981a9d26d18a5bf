//! `check`: refuses an event that would break an invariant, before anything changes.

use crate::account::Role;
use crate::business::Step;
use crate::command::Class;
use crate::date::Date;
use crate::engine::Engine;
use crate::event::{
    AccountPut, Body, CardPut, EntryEvent, Event, Finding, NetworkCutoverEvent, ReversalEvent,
    SealEvent, TransactionEvent,
};
use crate::ids::{AccountIx, Seq};
use crate::invariants::{self as inv, Breach};
use crate::legs::Legs;
use crate::limits::{
    MAX_AMOUNT_MINOR, MAX_CURRENCIES, MAX_SETTLEMENT_ACCOUNTS, SETTLEMENT_REACH_DAYS,
};
use crate::record::{RecordRef, flags, seq_delta};

impl Engine {
    /// Whether an event may be applied.
    ///
    /// # Errors
    /// The invariant that it would break. While rows are ahead of the mark that
    /// an engine was loaded at (before [`Engine::consistent_from`]), only what
    /// does not depend on rows is checked.
    #[inline]
    pub fn check(&self, event: &Event) -> Result<(), Breach> {
        inv::follows(self.last_seq, event.seq)?;
        inv::time_moves_on(self.last_time_us, event.time_us)?;
        if matches!(event.body, Body::Genesis(_)) != self.genesis.is_none() {
            return Err(Breach::Genesis);
        }
        let consistent = self.is_consistent();
        match &event.body {
            Body::Genesis(_) | Body::Attest { .. } => Ok(()),
            Body::OpenedEarly { date } => self.check_step(Step::OpenEarly, *date),
            Body::Cutover { date } => self.check_step(Step::Cutover, *date),
            Body::Freeze { date } => self.check_step(Step::Freeze, *date),
            Body::Seal(seal) => self.check_seal(seal),
            Body::NetworkCutover(cutover) => self.check_network_cutover(cutover),
            Body::Entry(entry) => self.check_entry(event.seq, entry, consistent),
            Body::Reconciliation(r) => self.check_reconciliation(r, consistent),
            Body::ReconciliationAsked(asked) => self.check_asked(asked, consistent),
            Body::CutoverAnnounced { .. } => Ok(()),
            Body::Transaction(t) => self.check_transaction(event.seq, t, consistent),
            Body::Reversal(r) => self.check_reversal(event.seq, r, consistent),
            Body::AccountPut(a) => self.check_account(a, consistent),
            Body::CardPut(c) => self.check_card(c, consistent),
            Body::InternalOpened(opened) => {
                let mut next = self.accounts.len();
                for account in opened.accounts.iter().flatten() {
                    if account.role == Role::Batch && self.currency(opened.currency).is_none() {
                        return Err(Breach::NoAccount);
                    }
                    if consistent && account.ix.0 != next {
                        return Err(Breach::Place);
                    }
                    next = next.saturating_add(1);
                }
                if next > self.options.capacity.accounts {
                    return Err(Breach::Room);
                }
                let known = self.currency(opened.currency).is_some();
                if (!known && self.currencies.len() >= MAX_CURRENCIES)
                    || self.settlements.len() >= MAX_SETTLEMENT_ACCOUNTS
                {
                    return Err(Breach::Room);
                }
                Ok(())
            }
        }
    }

    #[inline]
    pub(crate) fn check_transaction(
        &self,
        seq: Seq,
        t: &TransactionEvent,
        consistent: bool,
    ) -> Result<(), Breach> {
        inv::date_is_open(self.dates, t.business_date)?;
        self.check_memory(seq, t.business_date, t.settlement_date, t.amount.minor)?;
        if !t.legs.is_empty() && (!t.code.is_approved() || t.operation.is_inquiry()) {
            return Err(Breach::Posts);
        }
        if !consistent {
            return Ok(());
        }
        let bears = t.class == Class::FinancialRequest && t.code.is_approved();
        self.check_legs(&t.legs, bears)?;
        if let Some(card) = t.card {
            let row = self.cards.get(card.0).ok_or(Breach::Place)?;
            if self.newest_reference(row) != t.prev {
                return Err(Breach::Chain);
            }
        }
        if t.linked.is_some() {
            self.check_unreversed(t.linked)?;
        } else if t.corrects.is_some() {
            return Err(Breach::NoRecord);
        }
        if self.memory.is_indexed() && self.memory.message(&t.identity, t.class).is_some() {
            return Err(Breach::Repeated);
        }
        Ok(())
    }

    fn check_reversal(&self, seq: Seq, r: &ReversalEvent, consistent: bool) -> Result<(), Breach> {
        inv::date_is_open(self.dates, r.business_date)?;
        self.check_memory(seq, r.business_date, r.settlement_date, r.amount.minor)?;
        if !r.legs.is_empty() && r.finding != Finding::Reversed {
            return Err(Breach::Posts);
        }
        if (r.finding == Finding::Reversed) && !r.original.is_some() {
            return Err(Breach::NoRecord);
        }
        if !consistent {
            return Ok(());
        }
        self.check_legs(&r.legs, false)?;
        if r.finding == Finding::Reversed {
            self.check_unreversed(r.original)?;
            let mut remaining = self.memory.legs(r.original);
            if r.linked.is_some() {
                self.check_unreversed(r.linked)?;
                remaining
                    .add_all(&self.memory.legs(r.linked))
                    .map_err(|_| Breach::Range)?;
            }
            inv::undoes(&remaining, &r.legs)?;
        }
        if self.memory.is_indexed() && self.memory.message(&r.identity, Class::Reversal).is_some() {
            return Err(Breach::Repeated);
        }
        Ok(())
    }

    fn check_step(&self, step: Step, date: Date) -> Result<(), Breach> {
        let after = self
            .dates
            .after(step, date)
            .map_err(|_| Breach::Step(date))?;
        inv::dates_are_neighbours(after)
    }

    fn check_seal(&self, seal: &SealEvent) -> Result<(), Breach> {
        self.check_step(Step::Seal, seal.date)?;
        if seal.entries != self.night.entries(seal.date) {
            return Err(Breach::Entries);
        }
        self.totals
            .dates
            .iter()
            .filter(|totals| totals.business_date == seal.date)
            .try_for_each(inv::debits_equal_credits)
    }

    fn check_network_cutover(&self, cutover: &NetworkCutoverEvent) -> Result<(), Breach> {
        if self
            .night
            .clock(cutover.network)
            .is_some_and(|clock| cutover.date < clock.date)
        {
            return Err(Breach::Step(cutover.date));
        }
        if cutover.opens {
            let closing = self.dates.closing();
            if cutover.date != closing.next() {
                return Err(Breach::Step(cutover.date));
            }
            self.check_step(Step::OpenEarly, closing)?;
        }
        Ok(())
    }

    fn check_entry(&self, seq: Seq, e: &EntryEvent, consistent: bool) -> Result<(), Breach> {
        inv::date_takes_entries(self.dates, e.business_date)?;
        let [Some(batch), Some(customer)] = [0, 1].map(|at| e.legs.as_slice().get(at)) else {
            return Err(Breach::Posts);
        };
        let amount = customer.delta_minor.unsigned_abs();
        self.check_memory(seq, e.business_date, e.business_date, amount)?;
        if batch.delta_minor.unsigned_abs() != amount || e.identity.locator == 0 {
            return Err(Breach::Posts);
        }
        if !consistent {
            return Ok(());
        }
        self.check_legs(&e.legs, false)?;
        if !self.is_entry_shaped(&e.legs) {
            return Err(Breach::Posts);
        }
        let currency = self
            .accounts
            .get(customer.account.0)
            .map(|row| row.currency);
        let entries = self.night.entries(e.business_date);
        if currency.is_none_or(|of| entries.with(of, 1, customer.delta_minor).is_none()) {
            return Err(Breach::Entries);
        }
        if self.memory.entry(&e.identity, e.business_date).is_some() {
            return Err(Breach::Repeated);
        }
        Ok(())
    }

    fn check_account(&self, a: &AccountPut, consistent: bool) -> Result<(), Breach> {
        inv::date_is_open(self.dates, a.business_date)?;
        if a.ix.0 >= self.options.capacity.accounts {
            return Err(Breach::Room);
        }
        if !consistent {
            return Ok(());
        }
        if a.opened {
            if a.ix.0 != self.accounts.len() {
                return Err(Breach::Place);
            }
        } else if !a.legs.is_empty() || self.accounts.get(a.ix.0).is_none() {
            return Err(Breach::Posts);
        }
        inv::balanced(&a.legs, |ix| {
            if ix == a.ix {
                return Some(a.currency);
            }
            self.accounts.get(ix.0).map(|row| row.currency)
        })?;
        for leg in a.legs.as_slice() {
            if leg.account != a.ix {
                self.check_leg(leg.account, leg.delta_minor)?;
            }
        }
        Ok(())
    }

    fn check_card(&self, c: &CardPut, consistent: bool) -> Result<(), Breach> {
        if c.ix.0 >= self.options.capacity.cards {
            return Err(Breach::Room);
        }
        if !consistent {
            return Ok(());
        }
        let there = self.cards.get(c.ix.0).is_some();
        let next = c.ix.0 == self.cards.len();
        if c.opened != next || c.opened == there {
            return Err(Breach::Place);
        }
        self.accounts
            .get(c.account.0)
            .map(|_| ())
            .ok_or(Breach::NoAccount)
    }

    /// Whether another record of this date and amount can be kept.
    #[inline]
    fn check_memory(
        &self,
        seq: Seq,
        date: Date,
        settlement: Date,
        amount: u64,
    ) -> Result<(), Breach> {
        if self.memory.places() < crate::limits::MAX_SLOTS_PER_EVENT
            || self.memory.next_position(date).is_none()
        {
            return Err(Breach::Room);
        }
        if amount > MAX_AMOUNT_MINOR
            || settlement.0.abs_diff(date.0) > SETTLEMENT_REACH_DAYS + 1
            || seq_delta(seq, self.memory.base_seq(date, seq)).is_none()
        {
            return Err(Breach::Unrememberable);
        }
        Ok(())
    }

    /// Postings sum to zero and stay in range; with `bears`, customers' accounts can
    /// bear what is taken.
    #[inline]
    fn check_legs(&self, legs: &Legs, bears: bool) -> Result<(), Breach> {
        inv::balanced(legs, |ix| self.accounts.get(ix.0).map(|row| row.currency))?;
        for leg in legs.as_slice() {
            let row = self.accounts.get(leg.account.0).ok_or(Breach::NoAccount)?;
            let view = row.view(self.dates.closing());
            inv::in_range(&view, leg.delta_minor)?;
            if bears && row.is_customer() {
                inv::within_overdraft(&view, leg.delta_minor)?;
            }
        }
        Ok(())
    }

    fn check_leg(&self, account: AccountIx, delta_minor: i64) -> Result<(), Breach> {
        let row = self.accounts.get(account.0).ok_or(Breach::NoAccount)?;
        inv::in_range(&row.view(self.dates.closing()), delta_minor)
    }

    fn check_unreversed(&self, reference: RecordRef) -> Result<(), Breach> {
        let (_, record) = self.memory.get(reference).ok_or(Breach::NoRecord)?;
        if record.has(flags::REVERSED) {
            Err(Breach::ReversedTwice)
        } else {
            Ok(())
        }
    }
}
