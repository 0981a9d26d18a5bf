//! `decide`: pure. What happened before is looked up, and what is to happen is
//! put into one event.

mod admin;
mod find;
mod night;
mod reconcile;
mod relatives;
mod reversal;
mod transaction;

use crate::command::{Command, Request};
use crate::date::{Date, MonthDay};
use crate::engine::{Decision, Engine};
use crate::event::{Answer, Body, Event, TransactionEvent};
use crate::ids::NetworkId;
use crate::limits::SETTLEMENT_REACH_DAYS;

impl Engine {
    /// What a command comes to. Pure; only an indexed engine can decide.
    #[must_use]
    #[inline]
    pub fn decide(&self, command: &Command) -> Decision {
        let time_us = command.time_us.max(self.last_time_us);
        if let Request::Genesis(genesis) = &command.request {
            return if self.genesis.is_some() {
                Decision::Answer(Answer::Done)
            } else {
                self.event(time_us, Body::Genesis(*genesis))
            };
        }
        let body = if !self.can_decide() {
            Err(self.not_ready(&command.request))
        } else {
            match &command.request {
                Request::Transaction(transaction) => {
                    let mut event = TransactionEvent::blank(transaction);
                    self.decide_transaction(transaction, command.day, &mut event)
                        .map(|()| Body::Transaction(event))
                }
                Request::Reversal(reversal) => self.decide_reversal(reversal),
                Request::OpenInternal { network, currency } => {
                    self.decide_internal(*network, *currency)
                }
                Request::PutAccount(account) => self.decide_account(account),
                Request::PutCard(card) => self.decide_card(card),
                Request::Attest => Ok(Body::Attest {
                    state_hash: self.state_hash(),
                }),
                Request::Cutover { date } => self.decide_cutover(*date),
                Request::Freeze { date } => self.decide_freeze(*date),
                Request::Seal { date, entries } => self.decide_seal(*date, *entries),
                Request::OpenEarly {
                    date,
                    not_before_us,
                } => self.decide_open_early(time_us, *date, *not_before_us),
                Request::NetworkCutover {
                    network,
                    date,
                    not_before_us,
                } => self.decide_network_cutover(time_us, *network, *date, *not_before_us),
                Request::OpenBatch { currency } => self.decide_batch_account(*currency),
                Request::PostEntry(entry) => self.decide_entry(entry),
                Request::Reconcile(reconcile) => self.decide_reconcile(reconcile),
                Request::AskReconciliation { network } => self.decide_ask(*network),
                Request::ReconciliationAnswered {
                    network,
                    asked,
                    verdict,
                    theirs,
                } => self.decide_answered(*network, *asked, *verdict, theirs),
                Request::CutoverAnnounced { network, closed } => {
                    self.decide_announced(*network, *closed)
                }
                Request::Genesis(_) => Err(Answer::Done),
            }
        };
        if self.memory.notes.any() {
            return Decision::Answer(Answer::Wanting);
        }
        match body {
            Ok(body) => self.event(time_us, body),
            Err(answer) => Decision::Answer(answer),
        }
    }

    /// Whether there is a genesis, and there are look-up tables.
    #[inline]
    pub(crate) const fn can_decide(&self) -> bool {
        self.genesis.is_some() && self.options.indexed
    }

    #[inline]
    fn event(&self, time_us: u64, body: Body) -> Decision {
        Decision::Event(Event {
            seq: self.last_seq.wrapping_add(1),
            time_us,
            body,
        })
    }

    /// Business and settlement date of a message (FIELD.md, DE 15). The settlement
    /// date is what was sent, else the network's current date; the business date is
    /// the first of these that is open to customers' items. Else both are the
    /// default, as for the bank's own terminals, which have no say.
    #[inline]
    fn dates_of(&self, network: NetworkId, sent: Option<MonthDay>) -> (Date, Date) {
        let default = self.dates.default_date();
        if network == NetworkId::OWN_TERMINALS {
            return (default, default);
        }
        let near = |date: &Date| date.0.abs_diff(default.0) <= SETTLEMENT_REACH_DAYS;
        let sent = sent
            .and_then(|month_day| default.nearest(month_day))
            .filter(near);
        let current = self
            .night
            .clock(network)
            .map(|clock| clock.date)
            .filter(near);
        let business = [sent, current]
            .into_iter()
            .flatten()
            .find(|date| self.dates.is_open(*date));
        (
            business.unwrap_or(default),
            sent.or(current).unwrap_or(default),
        )
    }
}
