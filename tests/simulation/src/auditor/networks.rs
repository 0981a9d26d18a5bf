//! What networks' cutovers and reconciliations come to.

use super::calendar;
use super::model::{Dates, Day, Effect, Model, Reconciled};
use super::rules::{Expected, Verdict};
use crate::message::Msg;

impl Model {
    /// What a network's cutover message comes to. `today` was the default date when it
    /// was read; `near` says whether it may open the bank's next date.
    #[must_use]
    pub fn judge_cutover(
        &self,
        message: &Msg,
        network: u16,
        names_ended: bool,
        today: Day,
        near: bool,
    ) -> Verdict {
        let named = calendar::nearest_ever(message.get(15), today).unwrap_or(today);
        let day = named + Day::from(names_ended);
        let mut expected = Expected {
            code: 12,
            approval: false,
            date: self.dates.default(),
            settlement: None,
            balances: None,
            depends: 0,
            of: 0,
            figures: None,
            note: "network cutover refused",
        };
        let known = self.settles.iter().any(|(of, _)| *of == network);
        let ahead = day - self.dates.default();
        let far = !(-60..=7).contains(&ahead);
        let current = self.clocks.get(&network).copied();
        let mut effect = None;
        if known && !far && current.is_none_or(|current| day >= current) {
            expected.code = 0;
            let opens = near && matches!(self.dates, Dates::Open(open) if day == open + 1);
            if current == Some(day) && !opens {
                expected.note = "network cutover again";
            } else {
                expected.note = "cutover by a network";
                expected.depends = self.seq + 1;
                effect = Some(Effect::Network(network, day, opens));
            }
        }
        Verdict { expected, effect }
    }

    /// What a network's reconciliation comes to.
    #[must_use]
    pub fn judge_reconciliation(&self, message: &Msg, network: u16) -> Verdict {
        let number = |field| message.number(field).unwrap_or(0);
        let asked = (network, message.kind(), number(7), number(11));
        let mut expected = Expected {
            code: 0,
            approval: false,
            date: self.dates.default(),
            settlement: None,
            balances: None,
            depends: self.seq + 1,
            of: self.seq + 1,
            figures: None,
            note: "reconciliation in balance",
        };
        if let Some(first) = self.reconciled.iter().find(|done| done.message == asked) {
            (expected.depends, expected.of) = (first.seq, first.seq);
            expected.settlement = Some(first.day);
            expected.figures = Some((first.verdict, first.ours.clone()));
            expected.note = "reconciliation again";
            return Verdict {
                expected,
                effect: None,
            };
        }
        let day = calendar::nearest_ever(message.get(15), self.dates.default()).unwrap_or(0);
        let Some(ours) = self.figures(network, day, number(50) as u16) else {
            expected.code = 96;
            (expected.depends, expected.of) = (0, 0);
            expected.note = "reconciliation that cannot be said";
            return Verdict {
                expected,
                effect: None,
            };
        };
        let same = ours
            .iter()
            .filter(|(element, _)| message.fields.contains_key(element))
            .all(|(element, value)| figure(*element, *value) == message.get(*element));
        let verdict = if same { 1 } else { 2 };
        if !same {
            expected.note = "reconciliation out of balance";
        }
        expected.settlement = Some(day);
        expected.figures = Some((verdict, ours.clone()));
        Verdict {
            expected,
            effect: Some(Effect::Reconciled(Reconciled {
                message: asked,
                seq: 0,
                day,
                verdict,
                ours,
            })),
        }
    }
}

/// A figure as its element has it.
#[must_use]
pub fn figure(element: u8, value: i64) -> String {
    match element {
        97 => {
            let side = if value < 0 { 'D' } else { 'C' };
            format!("{side}{:016}", value.unsigned_abs())
        }
        86..=89 => format!("{value:016}"),
        _ => format!("{value:010}"),
    }
}
