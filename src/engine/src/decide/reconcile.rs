//! Reconciliation: a network's 0500 and 0520, our own, and what we announce.

use super::find::normal_identity;
use crate::code::ResponseCode;
use crate::command::Reconcile;
use crate::date::Date;
use crate::engine::Engine;
use crate::event::{Answer, Body, ReconciliationAsked, ReconciliationEvent};
use crate::ids::{Currency, NetworkId, Seq};
use crate::outcome::Outcome;
use crate::reconcile::{Figures, Origin, Reconciliation, Verdict};

impl Engine {
    /// Compares what was sent of a network's figures with ours at this sequence.
    /// Repeated, it gets its first answer; the same message with other figures is
    /// a 94. 30: no such day, or DE 50 is missing and several currencies would fit.
    pub(super) fn decide_reconcile(&self, asks: &Reconcile) -> Result<Body, Answer> {
        let identity = normal_identity(&asks.identity);
        let refused = |code| Err(self.refusal(code));
        let date = self.dates.default_date().nearest(asks.settlement);
        if let Some(first) = self.reconciled_before(asks.network, &identity) {
            let same = first.theirs == asks.theirs
                && date == Some(first.settlement_date)
                && asks.currency.is_none_or(|sent| sent == first.currency);
            return if same {
                Err(Answer::Message(Outcome {
                    is_repeat: true,
                    ..first.event().outcome(first.seq)
                }))
            } else {
                refused(ResponseCode::Duplicate)
            };
        }
        let Some(date) = date else {
            return refused(ResponseCode::FormatError);
        };
        let Some(currency) = asks
            .currency
            .or_else(|| self.only_currency(asks.network, date))
        else {
            return refused(ResponseCode::FormatError);
        };
        let Some(ours) = self.figures(asks.network, date, currency) else {
            // A cut number would be a wrong one.
            return refused(ResponseCode::Malfunction);
        };
        Ok(Body::Reconciliation(ReconciliationEvent {
            origin: Origin::Theirs,
            identity,
            network: asks.network,
            settlement_date: date,
            currency,
            verdict: Verdict::of(&asks.theirs, &ours),
            ours,
            theirs: asks.theirs,
        }))
    }

    /// The network's reconciliation with this identity, if it is kept.
    pub(crate) fn reconciled_before(
        &self,
        network: NetworkId,
        identity: &crate::command::Identity,
    ) -> Option<&Reconciliation> {
        let book = self.books.of(network)?;
        book.kept
            .iter()
            .rev()
            .find(|done| done.origin == Origin::Theirs && done.identity == *identity)
    }

    /// The currency of a network's totals of a date, else of all its totals, else of
    /// its settlement accounts: the first of these that names just one.
    fn only_currency(&self, network: NetworkId, date: Date) -> Option<Currency> {
        let totals = || {
            let all = self.totals.networks.iter();
            all.filter(|totals| totals.network == network)
        };
        let of_date = totals().filter(|totals| totals.settlement_date == date);
        let of_date = only(of_date.map(|totals| totals.currency));
        let of_network = || only(totals().map(|totals| totals.currency));
        let settled = || {
            let accounts = self.settlements.iter();
            let mine = accounts.filter(|((of, _), _)| *of == network);
            only(mine.map(|((_, currency), _)| *currency))
        };
        match of_date {
            Found::One(currency) => Some(currency),
            Found::Several => None,
            Found::None => match of_network() {
                Found::One(currency) => Some(currency),
                Found::Several => None,
                Found::None => match settled() {
                    Found::One(currency) => Some(currency),
                    Found::Several | Found::None => None,
                },
            },
        }
    }

    pub(super) fn decide_ask(&self, network: NetworkId) -> Result<Body, Answer> {
        if self.asked(network).is_some() {
            return Err(Answer::Done);
        }
        let (settlement_date, currency) = self.to_ask(network).ok_or(Answer::Done)?;
        let ours = self
            .figures(network, settlement_date, currency)
            .ok_or(Answer::Done)?;
        Ok(Body::ReconciliationAsked(ReconciliationAsked {
            network,
            settlement_date,
            currency,
            ours,
        }))
    }

    pub(super) fn decide_answered(
        &self,
        network: NetworkId,
        asked: Seq,
        verdict: Option<Verdict>,
        theirs: &Figures,
    ) -> Result<Body, Answer> {
        let open = self.asked(network).filter(|open| open.seq == asked);
        // Answered before, perhaps on another connection.
        let open = open.ok_or(Answer::Done)?;
        Ok(Body::Reconciliation(ReconciliationEvent {
            origin: Origin::Ours,
            identity: crate::command::Identity::default(),
            network,
            settlement_date: open.settlement_date,
            currency: open.currency,
            verdict: verdict.unwrap_or(Verdict::of(theirs, &open.ours)),
            ours: open.ours,
            theirs: *theirs,
        }))
    }

    pub(super) fn decide_announced(
        &self,
        network: NetworkId,
        closed: Date,
    ) -> Result<Body, Answer> {
        match self.unannounced(network) {
            Some(due) if due.closed == closed => Ok(Body::CutoverAnnounced { network, closed }),
            _ => Err(Answer::Done),
        }
    }
}

enum Found {
    None,
    One(Currency),
    Several,
}

fn only(mut all: impl Iterator<Item = Currency>) -> Found {
    match all.next() {
        None => Found::None,
        Some(first) if all.all(|other| other == first) => Found::One(first),
        Some(_) => Found::Several,
    }
}
