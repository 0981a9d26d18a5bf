//! The auditor: knows in which order the core took what, and says what each answer
//! must be. Its books and rules are its own ([`model`], [`rules`]); of the engine it
//! sees what anybody may see ([`compare`]).

pub mod calendar;
mod compare;
pub mod model;
pub mod networks;
mod reversals;
pub mod rules;

use std::collections::BTreeMap;
use std::rc::Rc;

use gapless_engine::Engine;

use crate::message::Msg;
use crate::plan::LinkPlan;
use model::{Day, Effect, Legs, Model};
pub use rules::{Door, Expected, Verdict};

/// Effects between two copies of the books, at least.
const COPY_AFTER: usize = 64;

/// What must hold and does not. The number is DESIGN.md's, 0 for what is none of them.
#[derive(Clone, Debug, thiserror::Error)]
#[error("invariant {invariant}: {what}")]
pub struct Failure {
    /// Which one.
    pub invariant: u8,
    /// What does not hold.
    pub what: String,
}

/// A failure of this invariant.
pub fn failure<T>(invariant: u8, what: impl Into<String>) -> Result<T, Failure> {
    Err(Failure {
        invariant,
        what: what.into(),
    })
}

/// The auditor.
#[derive(Debug, Default)]
pub struct Auditor {
    /// Its books now.
    pub model: Model,
    /// Its books when everything up to there was durable.
    copy: Model,
    /// What happened since.
    since: Vec<Effect>,
    /// What each event must have posted, from the copy on.
    expected: BTreeMap<u64, (Day, Rc<Legs>)>,
    /// The newest durable event that it knows of.
    pub durable: u64,
    /// The highest event that an answer given depends on.
    given: u64,
    /// DE 38 by the event that it stands for.
    approvals: BTreeMap<u64, String>,
    /// Accounts touched since the last comparison.
    touched: Vec<Rc<str>>,
}

impl Auditor {
    /// The core took something that has this effect.
    pub fn happened(&mut self, effect: Effect) {
        self.model.apply(&effect);
        let (day, legs) = &self.model.last_posting;
        self.touched.extend(legs.keys().cloned());
        self.expected
            .insert(self.model.seq, (*day, Rc::clone(legs)));
        self.since.push(effect);
    }

    /// The core took a message: what it must be answered.
    pub fn took(&mut self, message: &Msg, link: &LinkPlan) -> Expected {
        let verdict = match message.kind() {
            500 | 520 => self.model.judge_reconciliation(message, link.network),
            _ => self.model.judge(message, link),
        };
        self.took_as(verdict)
    }

    /// The core took something that comes to this.
    pub fn took_as(&mut self, verdict: Verdict) -> Expected {
        if let Some(effect) = verdict.effect {
            self.happened(effect);
        }
        verdict.expected
    }

    /// An answer leaves: it may, when what it depends on is durable. `approval` is
    /// its DE 38.
    pub fn gives(&mut self, expected: &Expected, approval: &str) -> Result<(), Failure> {
        if expected.depends > self.durable {
            return failure(
                9,
                format!(
                    "an answer leaves that depends on event {}, and durable is {}",
                    expected.depends, self.durable
                ),
            );
        }
        self.given = self.given.max(expected.depends);
        if expected.approval {
            let good = approval.len() == 6 && approval.bytes().any(|byte| byte != b'0');
            if !good {
                return failure(8, format!("DE 38 is {approval:?}"));
            }
            let first = self
                .approvals
                .entry(expected.of)
                .or_insert_with(|| approval.to_owned());
            if first != approval {
                return failure(
                    8,
                    format!("event {} was {first} and is {approval}", expected.of),
                );
            }
        }
        Ok(())
    }

    /// More is durable. The books are copied now and then, when all of them is.
    pub fn durable(&mut self, seq: u64) -> Result<(), Failure> {
        if seq < self.durable || seq > self.model.seq {
            let what = format!(
                "durable is {seq} after {}, of {}",
                self.durable, self.model.seq
            );
            return failure(9, what);
        }
        self.durable = seq;
        if seq == self.model.seq && self.since.len() >= COPY_AFTER {
            self.copy = self.model.clone();
            self.since.clear();
        }
        Ok(())
    }

    /// What an event in the journal must have posted; `None` for one long ago.
    #[must_use]
    pub fn posting(&self, seq: u64) -> Option<&(Day, Rc<Legs>)> {
        self.expected.get(&seq)
    }

    /// A start found this as the journal's last event: what is beyond it is gone, and
    /// nothing that was given may be.
    pub fn recovered(&mut self, head: u64) -> Result<(), Failure> {
        if head < self.given {
            return failure(
                9,
                format!(
                    "an answer was given that depends on event {}, and the journal ends at {head}",
                    self.given
                ),
            );
        }
        if head < self.durable || head > self.model.seq {
            let what = format!(
                "the journal ends at {head}; durable was {}, decided {}",
                self.durable, self.model.seq
            );
            return failure(9, what);
        }
        let mut model = self.copy.clone();
        let kept = (head - model.seq) as usize;
        self.since.truncate(kept);
        for effect in &self.since {
            model.apply(effect);
        }
        self.model = model;
        self.expected.split_off(&(head + 1));
        // What it stands for now is another.
        self.approvals.split_off(&(head + 1));
        self.durable = head;
        self.touched.clear();
        Ok(())
    }

    /// Compares what has changed with the live engine: after each step.
    pub fn compare(&mut self, engine: &Engine) -> Result<(), Failure> {
        let touched = std::mem::take(&mut self.touched);
        compare::step(&self.model, engine, &touched)
    }

    /// Compares everything.
    pub fn compare_all(&mut self, engine: &Engine) -> Result<(), Failure> {
        self.touched.clear();
        compare::everything(&self.model, engine)
    }
}
