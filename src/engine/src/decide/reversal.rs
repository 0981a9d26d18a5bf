//! Reversals (0400, 0420): always acknowledged, found or not.

use super::find::{Details, Fit, normal_identity, normal_original};
use crate::account::Role;
use crate::card::CardRow;
use crate::code::ResponseCode;
use crate::command::{Amount, Class, Original, Reversal};
use crate::engine::{Engine, pan_hash};
use crate::event::{Answer, Body, Finding, ReversalEvent, Tombstone};
use crate::exception::ExceptionKind;
use crate::ids::{Currency, NetworkId};
use crate::legs::Legs;
use crate::limits::CHAIN_WALK_MAX;
use crate::lookup::{Names, Sight};
use crate::record::{Record, RecordRef, flags};
use std::convert::Infallible;
use std::ops::ControlFlow;

/// What was found of an original.
#[derive(Clone, Copy)]
struct Search {
    /// The request (or the advice that stands alone) that fits.
    whole: RecordRef,
    /// More than one fits.
    several: bool,
    /// Half of one fits.
    half: bool,
    /// An earlier reversal of the same original waits for it.
    tombstone: bool,
}

impl Search {
    const NOTHING: Self = Self {
        whole: RecordRef::NONE,
        several: false,
        half: false,
        tombstone: false,
    };
}

impl Engine {
    /// The whole way of a reversal.
    pub(super) fn decide_reversal(&self, r: &Reversal) -> Result<Body, Answer> {
        let identity = normal_identity(&r.identity);
        let original = normal_original(&r.original);
        self.fetch(identity.locator, r.pan.map(pan_hash));
        if let Some(locator) = original.locator {
            self.memory.fetch(locator);
        }
        if let Some((reference, generation, record)) =
            self.memory.message(&identity, Class::Reversal)
        {
            return Err(self.repeat(reference, generation, record, None));
        }
        if self.is_full(Class::Reversal) {
            return Err(self.refusal(ResponseCode::IssuerUnavailable));
        }
        let card = r
            .pan
            .and_then(|pan| self.find_card(pan))
            .and_then(|ix| Some((ix, self.cards.get(ix.0)?)));
        let (business_date, settlement_date) = self.dates_of(r.network, r.settlement);
        let mut event = ReversalEvent {
            identity,
            network: r.network,
            business_date,
            settlement_date,
            card: card.map(|(ix, _)| ix),
            prev: RecordRef::NONE,
            finding: Finding::Unclear,
            original: RecordRef::NONE,
            linked: RecordRef::NONE,
            operation: None,
            amount: r.amount.map_or(
                Amount {
                    minor: 0,
                    currency: Currency(0),
                },
                |sent| Amount {
                    minor: sent.minor.min(crate::limits::MAX_AMOUNT_MINOR),
                    currency: sent.currency,
                },
            ),
            legs: Legs::EMPTY,
            tombstone: None,
            exception: None,
        };
        match self.search(r, &original, card.map(|(_, row)| row)) {
            None => event.exception = Some(ExceptionKind::ReversalNamesNothing),
            Some(found) if found.several => {
                event.exception = Some(ExceptionKind::ReversalFitsSeveral);
            }
            Some(found) if found.whole.is_some() => self.undo(&mut event, found.whole, r.amount),
            Some(found) if found.tombstone => event.finding = Finding::Tombstone,
            Some(found) => {
                event.finding = if found.half {
                    event.exception = Some(ExceptionKind::ReversalHalfFits);
                    Finding::Unclear
                } else {
                    Finding::Unknown
                };
                bury(
                    &mut event,
                    &original,
                    card.map(|(_, row)| self.newest_reference(row)),
                );
            }
        }
        if r.network == NetworkId::OWN_TERMINALS {
            event.settlement_date = event.business_date;
        }
        Ok(Body::Reversal(event))
    }

    /// Looks for the original: by its locator, or along the card's chain when
    /// the STAN is lost. `None` when nothing is named to find it by, or when the
    /// chain is too long to be sure.
    fn search(&self, r: &Reversal, original: &Original, card: Option<&CardRow>) -> Option<Search> {
        let mut found = Search::NOTHING;
        if let Some(names) = Names::of_original(original) {
            match self.search_by_name(&mut found, r, original, &names, card) {
                Sight::All => {}
                // What was not seen has card and STAN in common and all else not.
                Sight::Relatives => found.half = true,
                Sight::Crowd => self.search_crowd(&mut found, original, card),
            }
            return Some(found);
        }
        if original.transmitted == 0 && original.rrn == 0 {
            return None;
        }
        let mut walked = 0;
        for (reference, _, record) in self.chain(card?) {
            walked += 1;
            if !self.may_be_of(r.network, reference) {
                continue;
            }
            let fit = match Details::from(original).compare(record) {
                (true, false) => Fit::Whole,
                (true, true) => Fit::Half,
                (false, _) => Fit::Not,
            };
            self.consider(&mut found, original, reference, record, fit);
        }
        if walked == CHAIN_WALK_MAX && !found.whole.is_some() && !found.tombstone {
            // It may lie further back: somebody must look.
            return None;
        }
        Some(found)
    }

    fn search_by_name(
        &self,
        found: &mut Search,
        r: &Reversal,
        original: &Original,
        names: &Names,
        card: Option<&CardRow>,
    ) -> Sight {
        let seen = self.memory.relatives(names, |reference, _, record| {
            let (same, differs) = Details::from(original).compare(record);
            if same || r.pan.is_none() || self.may_be_of_card(card, reference) {
                let fit = if differs { Fit::Half } else { Fit::Whole };
                self.consider(found, original, reference, record, fit);
            }
            ControlFlow::<Infallible, _>::Continue(())
        });
        let ControlFlow::Continue(sight) = seen;
        sight
    }

    /// The search when so many fit what is said that others may as well. With DE 7
    /// lost, DE 37 may find the original in the card's chain.
    fn search_crowd(&self, found: &mut Search, original: &Original, card: Option<&CardRow>) {
        let chain = card.filter(|_| original.transmitted == 0 && original.rrn != 0);
        let Some(card) = chain else {
            found.several = true;
            return;
        };
        // What the look-up saw is not all that there is; of one that waits it saw the first.
        *found = Search {
            half: true,
            tombstone: found.tombstone,
            ..Search::NOTHING
        };
        let mut walked = 0;
        for (reference, _, record) in self.chain(card) {
            walked += 1;
            if Some(record.locator()) != original.locator {
                continue;
            }
            let (_, differs) = Details::from(original).compare(record);
            let fit = if differs { Fit::Half } else { Fit::Whole };
            self.consider(found, original, reference, record, fit);
        }
        // It may lie further back: somebody must look.
        found.several |= walked == CHAIN_WALK_MAX && !found.whole.is_some() && !found.tombstone;
    }

    fn consider(
        &self,
        found: &mut Search,
        original: &Original,
        reference: RecordRef,
        record: &Record,
        fit: Fit,
    ) {
        if record.has(flags::ENTRY) {
            return;
        }
        let class = record.class();
        let class_fits = original.class.is_none_or(|named| class == Some(named));
        if record.has(flags::TOMBSTONE) {
            let waits_for_any = class == Some(Class::Reversal);
            found.tombstone |=
                fit == Fit::Whole && (class_fits || waits_for_any || original.class.is_none());
            return;
        }
        if class == Some(Class::Reversal) {
            return;
        }
        match (fit, class_fits) {
            (Fit::Not, _) => {}
            (Fit::Whole, true) => {
                // An advice and the request that it corrects are one original.
                let link = self.memory.link(reference);
                let base = if link.is_some() { link } else { reference };
                found.several |= found.whole.is_some() && found.whole != base;
                found.whole = base;
            }
            (Fit::Whole | Fit::Half, _) => found.half = true,
        }
    }

    /// Whether a record that posted did so on this card's account. Locators are
    /// hashes: among millions of transactions two cards' do meet, and nothing but
    /// the account tells them apart when DE 7 and DE 37 are lost.
    fn may_be_of_card(&self, card: Option<&CardRow>, reference: RecordRef) -> bool {
        let legs = self.memory.legs(reference);
        let mut customers = legs
            .as_slice()
            .iter()
            .filter(|leg| {
                self.accounts
                    .get(leg.account.0)
                    .is_some_and(|row| row.role() == Role::Customer)
            })
            .map(|leg| leg.account)
            .peekable();
        customers.peek().is_none()
            || customers.any(|account| card.is_some_and(|card| card.account == account))
    }

    /// Whether a record that posted did so with this network. Others have nothing to tell by.
    fn may_be_of(&self, network: NetworkId, reference: RecordRef) -> bool {
        self.memory.legs(reference).as_slice().iter().all(|leg| {
            match self.accounts.get(leg.account.0).map(|row| row.role()) {
                Some(Role::Settlement(other)) => other == network,
                _ => true,
            }
        })
    }

    /// Undoes what is left of an original's effect.
    fn undo(&self, event: &mut ReversalEvent, original: RecordRef, sent: Option<Amount>) {
        let Some((generation, record)) = self.memory.get(original) else {
            return;
        };
        if self.memory.has_lost_link(original) {
            // An advice whose request was dropped with an older date: what is left posted
            // the difference only, and half of an effect is not undone.
            event.exception = Some(ExceptionKind::ReversalHalfFits);
            return;
        }
        let Some(linked) = self.correction(original, record) else {
            event.exception = Some(ExceptionKind::ReversalFitsSeveral);
            return;
        };
        event.original = original;
        event.linked = linked;
        event.operation = Some(record.operation());
        if !record.operation().is_inquiry()
            && sent.is_some_and(|sent| {
                ![original, linked]
                    .into_iter()
                    .any(|one| self.has_amount(one, sent))
            })
        {
            event.exception = Some(ExceptionKind::ReversalAmountDiffers);
            return;
        }
        if self.dates.is_open(generation.date) {
            event.business_date = generation.date;
        }
        if record.has(flags::REVERSED) {
            event.finding = Finding::AlreadyReversed;
            return;
        }
        let mut remaining = self.memory.legs(original);
        let legs = remaining
            .add_all(&self.memory.legs(linked))
            .and_then(|()| remaining.negated());
        let Ok(legs) = legs else {
            event.exception = Some(ExceptionKind::ReversalFitsSeveral);
            return;
        };
        if record.has(flags::POSTED) || record.has(flags::WIDE) {
            event.amount = Amount {
                minor: if record.has(flags::BALANCES) {
                    0
                } else {
                    record.amount()
                },
                currency: self.currency_of(original).unwrap_or(event.amount.currency),
            };
        }
        event.finding = if legs.is_empty() {
            Finding::NoEffect
        } else {
            Finding::Reversed
        };
        event.legs = legs;
    }

    /// The advice that corrected a request, "none" if there is none. `None` when it
    /// cannot be told from too many others.
    fn correction(&self, original: RecordRef, record: &Record) -> Option<RecordRef> {
        let seen = self
            .memory
            .relatives(&Names::from(record), |reference, _, _| {
                if self.memory.link(reference) == original {
                    ControlFlow::Break(reference)
                } else {
                    ControlFlow::Continue(())
                }
            });
        match seen {
            ControlFlow::Break(correction) => Some(correction),
            ControlFlow::Continue(Sight::Crowd) => None,
            ControlFlow::Continue(_) => Some(RecordRef::NONE),
        }
    }

    /// Whether a remembered transaction had this DE 4 and 49.
    fn has_amount(&self, reference: RecordRef, sent: Amount) -> bool {
        self.memory.get(reference).is_some_and(|(_, record)| {
            record.amount() == sent.minor
                && self
                    .currency_of(reference)
                    .is_none_or(|currency| currency == sent.currency)
        })
    }
}

/// Leaves a tombstone for an original that has not come yet: at its locator, or
/// in the card's chain when the STAN is lost.
fn bury(event: &mut ReversalEvent, original: &Original, newest: Option<RecordRef>) {
    event.prev = match (original.locator, newest) {
        (None, Some(newest)) => newest,
        (None, None) => return,
        (Some(_), _) => RecordRef::NONE,
    };
    event.tombstone = Some(Tombstone {
        locator: original.locator.unwrap_or(0),
        class: original.class.filter(|class| *class != Class::Reversal),
        transmitted: original.transmitted,
        rrn: original.rrn,
        acquirer: original.acquirer,
        forwarder: original.forwarder,
    });
}
