//! What a session has sent, or has stored to send.

use std::time::Instant;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::message::Message;
use crate::network::book::Figures;
use crate::network::traffic::Fate;
use crate::order::Kind;

/// An answer is looked up by its type and DE 11, and then compared.
pub(super) type Key = (u16, u32);

/// The key of a message that is an answer.
pub(super) fn key_of_answer(answer: &Message) -> Option<Key> {
    Some((answer.mti().parse().ok()?, answer.get(11)?.parse().ok()?))
}

/// The key that a message's answer will have.
pub(super) fn key_of_request(request: &Message) -> Option<Key> {
    Some((
        request.answer_mti().parse().ok()?,
        request.get(11)?.parse().ok()?,
    ))
}

/// A transaction, as the totals count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// What it is.
    pub kind: Kind,
    /// Minor units.
    pub minor: u64,
}

/// What a reversal undoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Undoes {
    /// Something that was approved, and counted.
    Counted(Counted),
    /// Something that will come only afterwards.
    First,
    /// A request without an answer: whether it had an effect, nobody knows here.
    Doubtful,
}

/// What a message is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Job {
    /// 0200.
    Request(Counted, Fate),
    /// 0220.
    Advice(Counted, Fate),
    /// 0400, 0420.
    Reversal(Undoes),
    /// 0800, 001.
    SignOn,
    /// 0800, 002.
    SignOff,
    /// 0800, 301.
    Echo,
    /// 0800, 201.
    Cutover,
    /// 0500, 0520: the figures that it names.
    Totals(String, Figures),
}

impl Job {
    /// Whether the settlement date's totals are not whole before it is done.
    pub fn moves_totals(&self) -> bool {
        matches!(self, Job::Request(..) | Job::Advice(..) | Job::Reversal(_))
    }
}

/// A message that is stored until the line is back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Their order.
    pub(super) seq: u64,
    /// It, with the repeat digit if it was sent before.
    pub(super) message: Message,
    /// What it is for.
    pub(super) job: Job,
    /// Its DE 15.
    pub(super) date: Date,
    /// Whether it was sent before.
    pub(super) sent: bool,
}

/// A message that waits for its answer.
#[derive(Debug)]
pub(super) struct Item {
    pub stored: Stored,
    pub first_sent: Instant,
    pub due: Instant,
    pub attempts: u32,
    /// Answers that are still to come, with repeats sent before the first one.
    pub answers_due: u32,
    /// DE 39 and 38 of the first answer.
    pub settled: Option<(String, Option<String>)>,
    /// Whether it came out of the store.
    pub forwarded: bool,
}
