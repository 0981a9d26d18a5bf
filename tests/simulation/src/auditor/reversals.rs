//! What a reversal comes to (FIELD.md, "Matching" and DE 90).

use std::collections::BTreeMap;
use std::rc::Rc;

use super::model::{Effect, Kind, Known, Model, Parts, ReversalEffect};
use super::rules::{LOOK_BACK, Verdict, currency};
use crate::message::Msg;

/// What was found of a reversal's original.
#[derive(Default)]
struct Found {
    whole: Option<usize>,
    several: bool,
    half: bool,
    awaited: bool,
}

/// What a reversal says of its original.
struct Original {
    kind: Option<Kind>,
    stan: u64,
    parts: Parts,
}

impl Model {
    pub(super) fn judge_reversal(&self, message: &Msg, mut known: Known) -> Verdict {
        known.terms.operation = 0;
        let sent = message
            .number(4)
            .and_then(|minor| Some((minor, currency(message, 49)?)));
        (known.terms.amount, known.terms.currency) = sent.unwrap_or((0, 0));
        let original = original(message, &known);
        let mut reversal = ReversalEffect {
            known,
            marks: Vec::new(),
            undoes: false,
            awaited: None,
            exception: false,
        };
        let note = match self.search(&reversal.known, &original) {
            None => {
                reversal.exception = true;
                "reversal that names nothing"
            }
            Some(found) if found.several => {
                reversal.exception = true;
                "reversal that fits several"
            }
            Some(found) => match found.whole {
                Some(place) => self.undo(&mut reversal, place, sent),
                None if found.awaited => "reversal before its original, again",
                None => {
                    reversal.exception = found.half;
                    reversal.awaited = self.awaits(&reversal.known, &original);
                    match found.half {
                        true => "reversal that half fits",
                        false => "reversal before its original",
                    }
                }
            },
        };
        if reversal.known.network == 0 {
            reversal.known.settlement = reversal.known.date;
        }
        Verdict {
            expected: self.answer(&reversal.known, note),
            effect: Some(Effect::Reversal(Box::new(reversal))),
        }
    }

    /// An original to wait for; none when neither STAN nor card tells it.
    fn awaits(&self, known: &Known, original: &Original) -> Option<Known> {
        let card = known.by_card && self.cards.contains_key(&known.holder);
        if original.stan == 0 && !card {
            return None;
        }
        Some(Known {
            kind: Kind::Awaited(original.kind.and_then(|kind| match kind {
                Kind::Advice => Some(true),
                Kind::Request => Some(false),
                _ => None,
            })),
            stan: original.stan,
            parts: original.parts.clone(),
            code: 5,
            legs: Rc::default(),
            ..known.clone()
        })
    }

    fn search(&self, known: &Known, original: &Original) -> Option<Found> {
        let mut found = Found::default();
        if known.holder.is_empty() {
            return None;
        }
        if original.stan != 0 {
            for place in self.beside(known.network, &known.holder, original.stan) {
                let (same, differs) = original.parts.compare(&self.known[place].parts);
                // Without time and reference it must have posted on the card's own account
                // to be taken for the card's.
                if same || self.may_be_of_card(known, place) {
                    self.consider(&mut found, original, place, differs);
                }
            }
            return Some(found);
        }
        let named = original.parts.time != 0 || !original.parts.rrn.is_empty();
        if !named || !known.by_card || !self.cards.contains_key(&known.holder) {
            return None;
        }
        let mut looked = 0;
        for place in self.chain(&known.holder) {
            looked += 1;
            let old = &self.known[place];
            let elsewhere = |account: &&Rc<str>| {
                account.starts_with("GL-SETTLE")
                    && !account.starts_with(&format!("GL-SETTLE-{:04}", known.network))
            };
            if old.legs.keys().any(|account| elsewhere(&account)) {
                continue;
            }
            if let (true, differs) = original.parts.compare(&old.parts) {
                self.consider(&mut found, original, place, differs);
            }
        }
        if looked == LOOK_BACK && found.whole.is_none() && !found.awaited {
            return None;
        }
        Some(found)
    }

    fn may_be_of_card(&self, known: &Known, place: usize) -> bool {
        let legs = &self.known[place].legs;
        let mut customers = legs.keys().filter(|number| self.customer(number).is_some());
        let own = self.card_account(known);
        !known.by_card
            || customers.clone().next().is_none()
            || customers.any(|number| own.as_ref() == Some(number))
    }

    fn consider(&self, found: &mut Found, original: &Original, place: usize, differs: bool) {
        let old = &self.known[place];
        let fits = original.kind.is_none_or(|named| old.kind == named);
        match old.kind {
            Kind::Reversal => {}
            Kind::Awaited(which) => {
                let waits = match which {
                    None => true,
                    Some(advice) => original
                        .kind
                        .is_none_or(|named| (named == Kind::Advice) == advice),
                };
                found.awaited |= !differs && waits;
            }
            Kind::Request | Kind::Advice if fits && !differs => {
                // An advice and the request that it corrects are one original.
                let base = old.corrects.unwrap_or(place);
                found.several |= found.whole.is_some_and(|whole| whole != base);
                found.whole = Some(base);
            }
            Kind::Request | Kind::Advice => found.half = true,
        }
    }

    fn undo(
        &self,
        reversal: &mut ReversalEffect,
        place: usize,
        sent: Option<(u64, u16)>,
    ) -> &'static str {
        let old = &self.known[place];
        if old.forgotten {
            // Its advice is remembered, and half of an effect is not undone.
            reversal.exception = true;
            return "reversal that half fits";
        }
        let correction = self
            .beside(old.network, &old.holder, old.stan)
            .find(|other| self.known[*other].corrects == Some(place));
        let known = &mut reversal.known;
        known.terms.operation = old.terms.operation;
        let both = [Some(place), correction];
        let fits = |sent: (u64, u16)| {
            both.into_iter().flatten().any(|one| {
                let one = &self.known[one];
                let moved = !one.legs.is_empty() || one.corrects.is_some();
                one.terms.amount == sent.0 && (!moved || one.terms.currency == sent.1)
            })
        };
        let inquiry = matches!(old.terms.operation, 30 | 31);
        if !inquiry && sent.is_some_and(|sent| !fits(sent)) {
            reversal.exception = true;
            return "reversal of another amount";
        }
        let late = !self.dates.takes(old.date);
        if self.dates.takes(old.date) {
            known.date = old.date;
        }
        if old.reversed.is_some() {
            return "second reversal";
        }
        let mut effect = BTreeMap::new();
        for one in both.into_iter().flatten() {
            for (account, amount) in self.known[one].legs.iter() {
                *effect.entry(Rc::clone(account)).or_insert(0) -= amount;
            }
        }
        effect.retain(|_, amount| *amount != 0);
        let last = &self.known[correction.unwrap_or(place)];
        if !old.legs.is_empty() || !last.legs.is_empty() {
            (known.terms.amount, known.terms.currency) = (last.terms.amount, last.terms.currency);
        }
        reversal.marks = both.into_iter().flatten().collect();
        reversal.undoes = !effect.is_empty();
        known.legs = Rc::new(effect);
        match (reversal.undoes, late) {
            (true, true) => "late reversal",
            (true, false) => "reversal",
            (false, _) => "reversal of what had no effect",
        }
    }
}

/// DE 90, or without it the message's own numbers.
fn original(message: &Msg, own: &Known) -> Original {
    let data = message.get(90);
    if data.is_empty() {
        return Original {
            kind: None,
            stan: own.stan,
            parts: own.parts.clone(),
        };
    }
    let part = |from: usize, to: usize| data[from..to].parse::<u64>().unwrap_or(0);
    Original {
        kind: match part(0, 4) {
            200 => Some(Kind::Request),
            220 => Some(Kind::Advice),
            _ => None,
        },
        stan: part(4, 10),
        parts: Parts {
            time: part(10, 20),
            rrn: Rc::clone(&own.parts.rrn),
            acquirer: part(20, 31),
            forwarder: part(31, 42),
        },
    }
}
