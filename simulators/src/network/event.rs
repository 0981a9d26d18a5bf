//! What a running network tells its observer, as it happens.

use std::time::Duration;

use jiff::civil::Date;
use serde::Serialize;

use super::book::{Difference, Figures};
use crate::order::Kind;

/// Something that an observer may want to show.
#[derive(Clone, Debug)]
pub enum Event {
    /// The host has answered the sign-on: traffic goes to it.
    SignedOn,
    /// The line is gone; the network answers its terminals by itself.
    StandingIn {
        /// Why.
        why: String,
    },
    /// All stored advices have been acknowledged.
    Forwarded {
        /// How many there were.
        advices: u64,
    },
    /// A settlement date has begun.
    CutOver {
        /// It.
        date: Date,
    },
    /// The host has cut over, and says so (0800, DE 70 = 201).
    HostCutOver {
        /// DE 15, MMDD.
        named: Option<String>,
    },
    /// A transaction has its answer.
    Answered {
        /// What was asked for.
        kind: Kind,
        /// DE 39.
        code: String,
        /// From its first sending.
        latency: Duration,
    },
    /// A settlement date's totals were compared.
    Reconciled(Box<Reconciled>),
    /// Something that should not be.
    Problem(String),
    /// How it goes; a few times a second.
    Progress(Progress),
}

/// How it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Since the first sign-on.
    pub elapsed: Duration,
    /// Messages sent, repeats included.
    pub sent: u64,
    /// Answers taken.
    pub answered: u64,
    /// Messages that wait for their answers.
    pub waiting: u64,
    /// Advices that wait for the line.
    pub stored: u64,
    /// The current settlement date.
    pub settlement_date: Date,
    /// Whether the host is signed on to.
    pub signed_on: bool,
}

/// The comparison of a settlement date's totals in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reconciled {
    /// The settlement date.
    pub date: Date,
    /// Three digits, as in DE 50.
    pub currency: String,
    /// The network's own figures.
    pub ours: Figures,
    /// DE 39 of the answer; none where the host has asked.
    pub response_code: Option<String>,
    /// DE 66 of the answer: 1 in balance, 2 out of balance.
    pub settlement_code: Option<String>,
    /// Where the host's figures are others.
    pub differences: Vec<Difference>,
}

impl Reconciled {
    /// Whether both sides say that they agree.
    pub fn in_balance(&self) -> bool {
        self.differences.is_empty() && self.settlement_code.as_deref() == Some("1")
    }
}
