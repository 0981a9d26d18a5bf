//! What the network itself begins: transactions, reversals, cutover, totals.

use std::time::Instant;

use jiff::civil::Date;

use super::item::{Counted, Item, Job, Key, Stored, Undoes, key_of_request};
use super::{Line, Session, can_stand_in};
use crate::message::Message;
use crate::network::event::Event;
use crate::network::traffic::{Fate, Plan};
use crate::order::{Kind, OrderError};
use crate::terminal::Network;

/// A network approves no more than this by itself, in minor units.
const STAND_IN_LIMIT_MINOR: u64 = 20_000;

impl Session {
    /// A transaction of the traffic's mix, due at `asked`.
    pub fn transact(&mut self, now: Instant, asked: Instant) {
        let plan = match self.traffic.plan() {
            Ok(plan) => plan,
            Err(error) => return self.problem(error.to_string()),
        };
        if let Err(error) = self.submit(now, asked, &plan) {
            self.problem(format!("a transaction that is none: {error}"));
        }
    }

    /// A transaction that a terminal asked for at `asked`.
    pub fn submit(&mut self, now: Instant, asked: Instant, plan: &Plan) -> Result<(), OrderError> {
        let chance = self.traffic.chance(u64::MAX);
        let message = self
            .clerk
            .transaction(&plan.order, self.memory.date, chance)?;
        let counted = Counted {
            kind: plan.order.kind,
            minor: match plan.order.kind {
                Kind::Balance | Kind::Available => 0,
                _ => plan.order.amount_minor.unwrap_or_default(),
            },
        };
        if !self.may_send() {
            self.stand_in(message, counted, plan.fate, plan.order.advice);
        } else if plan.order.advice {
            self.counts.report.sent.advices += 1;
            self.begin(now, message, Job::Advice(counted, plan.fate));
        } else {
            if plan.fate == Fate::ReversedFirst {
                self.counts.report.sent.early_reversals += 1;
                self.reverse(now, &message, None, Undoes::First);
            }
            let key = key_of_request(&message);
            let job = Job::Request(counted, plan.fate);
            self.begin_asked((now, asked), message, job);
            if plan.fate == Fate::Impatient
                && let Some(key) = key
            {
                self.again(now, key);
            }
        }
        Ok(())
    }

    /// Whether the line is free for something new. Nothing of the new settlement
    /// date overtakes what is stored of the old one, since to the host the first
    /// message of a date says that the date before it has ended.
    fn may_send(&self) -> bool {
        let older = |item: &Stored| item.date < self.memory.date;
        self.line == Line::Up && !self.stored.front().is_some_and(older)
    }

    /// Answers a terminal without the host.
    fn stand_in(&mut self, mut message: Message, counted: Counted, fate: Fate, offline: bool) {
        if offline {
            self.counts.report.sent.advices += 1;
        } else if can_stand_in(counted.kind) && counted.minor <= STAND_IN_LIMIT_MINOR {
            self.counts.report.stand_in.approved += 1;
            self.counts.report.sent.stand_in_advices += 1;
            message.set_mti("0220");
        } else {
            self.counts.report.stand_in.declined += 1;
            return;
        }
        // Nothing can overtake it any more.
        let fate = match fate {
            Fate::ReversedFirst | Fate::Impatient => Fate::Stands,
            other => other,
        };
        let item = self.new_item(message, Job::Advice(counted, fate));
        self.store(item);
    }

    pub(super) fn store(&mut self, item: Stored) {
        self.counts.report.stand_in.stored += 1;
        self.stored.push_back(item);
    }

    /// What becomes of a message under way when the line goes down.
    pub(super) fn without_line(&mut self, item: Item) -> Option<Stored> {
        let mut stored = item.stored;
        match stored.job {
            Job::SignOn | Job::SignOff | Job::Echo => return None,
            // Its reversal is sure to arrive first, or to arrive alone.
            Job::Request(_, Fate::ReversedFirst) => {
                self.closed(stored.date, &stored.job);
                return None;
            }
            Job::Request(counted, fate) if can_stand_in(counted.kind) => {
                self.counts.report.stand_in.approved += 1;
                self.counts.report.sent.stand_in_advices += 1;
                stored.message.set_mti("0220");
                stored.job = Job::Advice(counted, fate);
                stored.sent = false;
            }
            _ => {}
        }
        if !item.forwarded {
            self.counts.report.stand_in.stored += 1;
        }
        Some(stored)
    }

    /// Sends a reversal, or stores it while the line is down.
    pub(super) fn reverse(
        &mut self,
        now: Instant,
        original: &Message,
        approval: Option<&str>,
        undoes: Undoes,
    ) {
        let may_send = self.may_send();
        let advice = !may_send || self.traffic.chance(2) == 0;
        let date = self.memory.date;
        match self.clerk.reversal(original, approval, date, advice) {
            Ok(message) if may_send => {
                self.begin(now, message, Job::Reversal(undoes));
            }
            Ok(message) => {
                let item = self.new_item(message, Job::Reversal(undoes));
                self.store(item);
            }
            Err(error) => self.problem(format!("a reversal that is none: {error}")),
        }
    }

    /// A request that nobody answered: whatever it did is taken back.
    pub(super) fn give_up(&mut self, now: Instant, key: Key) {
        let Some(item) = self.waiting.remove(&key) else {
            return;
        };
        self.counts.report.unanswered += 1;
        self.closed(item.stored.date, &item.stored.job);
        if let Job::Request(_, fate) = item.stored.job
            && fate != Fate::ReversedFirst
        {
            self.counts.report.sent.doubtful_reversals += 1;
            self.reverse(now, &item.stored.message, None, Undoes::Doubtful);
        }
    }

    /// Sends the late reversals.
    pub fn release_held(&mut self, now: Instant) {
        for held in std::mem::take(&mut self.held) {
            self.counts.report.sent.late_reversals += 1;
            let undoes = Undoes::Counted(held.counted);
            self.reverse(now, &held.original, held.approval.as_deref(), undoes);
        }
    }

    /// Cuts over: from here on DE 15 is the next date.
    pub fn cut_over(&mut self, now: Instant) {
        let made = self.memory.date.tomorrow().and_then(|date| {
            let named = self.profile.cutover_date.named(date)?;
            Ok((date, named))
        });
        let (date, named) = match made {
            Ok(made) => made,
            Err(error) => return self.problem(error.to_string()),
        };
        match self.clerk.cutover(named) {
            Ok(message) if self.line == Line::Up && self.stored.is_empty() => {
                self.begin(now, message, Job::Cutover);
            }
            Ok(message) => {
                let item = self.new_item(message, Job::Cutover);
                self.store(item);
            }
            Err(error) => self.problem(error.to_string()),
        }
        self.memory.date = date;
        self.counts.report.cutovers.push(date);
        self.events.push(Event::CutOver { date });
        self.release_held(now);
    }

    /// The oldest ended date whose totals are to be compared, and can be.
    pub(super) fn ended_date(&self) -> Option<Date> {
        self.memory.books.dates().find(|date| {
            *date < self.memory.date
                && !self.memory.reconciled.contains(date)
                && self.open_items(*date) == 0
        })
    }

    pub(super) fn ask_for_ended_dates(&mut self, now: Instant) {
        while let Some(date) = self.ended_date() {
            self.reconcile(now, date);
        }
    }

    /// Sends a date's totals, one message for each currency.
    pub fn reconcile(&mut self, now: Instant, date: Date) {
        self.memory.reconciled.insert(date);
        for currency in self.memory.books.currencies(date) {
            let figures = self.memory.books.of(date, &currency);
            match self.clerk.totals(date, &currency, &figures) {
                Ok(message) => {
                    let mut item = self.new_item(message, Job::Totals(currency, figures));
                    item.date = date;
                    self.put_under_way(now, item, false);
                }
                Err(error) => self.problem(format!("totals that cannot be sent: {error}")),
            }
        }
    }

    /// Compares the date that is not over, too.
    pub fn reconcile_current(&mut self, now: Instant) {
        let date = self.memory.date;
        self.reconcile(now, date);
        // There may be more to it.
        self.memory.reconciled.remove(&date);
    }

    /// Signs off; nothing more is asked.
    pub fn sign_off(&mut self, now: Instant) {
        match self.clerk.management(Network::SignOff) {
            Ok(message) => self.begin(now, message, Job::SignOff),
            Err(error) => self.problem(error.to_string()),
        }
    }
}
