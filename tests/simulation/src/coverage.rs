//! What a run, or a campaign, has exercised.

use std::collections::BTreeMap;
use std::fmt;

/// How often each thing came up.
#[derive(Clone, Debug, Default)]
pub struct Coverage(BTreeMap<String, u64>);

/// Remembered transactions that had left memory.
pub const FETCHED: &str = "remembered: fetched from a file";

/// What a campaign must have exercised.
pub const NEEDED: &[&str] = &[
    "answer 00",
    "answer 05",
    "answer 12",
    "answer 13",
    "answer 14",
    "answer 30",
    "answer 41",
    "answer 43",
    "answer 51",
    "answer 54",
    "answer 57",
    "answer 61",
    "answer 76",
    "answer 77",
    "answer 78",
    "answer 91",
    "answer 94",
    "advice",
    "advice into overdraft",
    "advice that corrects its request",
    "advice with an exception",
    "answer kept back, too late",
    "batch: entry",
    "batch: extract checked",
    "batch: extract read again",
    "batch: entry again",
    "batch: entry refused",
    "batch: seal refused",
    "batch: ran again",
    "clock: jumped",
    "clock: confirmed",
    "clock: not believed at a start",
    "connection cut",
    "crash while open",
    "crash while early",
    "crash while grace",
    "crash while frozen",
    "cutover by a network",
    "cutover by clock",
    "cutover by command",
    "night: overrun",
    "night: two days behind",
    "debit that would lean on the next date's money",
    "disk: failed operation",
    "disk: full",
    "early opening by a message",
    "early opening by a network's cutover",
    "freeze by clock",
    "freeze by command",
    "night command refused",
    "night command again",
    "late reversal",
    "reversal",
    "second reversal",
    "reversal before its original",
    "reversal that fits several",
    "reversal that half fits",
    "reversal that names nothing",
    "reversal of another amount",
    "reversal of what had no effect",
    "original after its reversal",
    FETCHED,
    "reconciliation in balance",
    "reconciliation out of balance",
    "reconciliation again",
    "repeat",
    "repeat of what was reversed",
    "request after its advice",
    "same key, other terms",
    "process killed",
    "power lost",
    "power lost in a commit",
    "power lost in a base file",
    "power lost in a start",
    "rolled forward",
    "sealed",
    "start from a base file",
    "start from the journal",
    "start refused by the disk",
    "torn tail",
    "base file written",
    "events lost that nobody was told of",
    "down over a cutover",
];

impl Coverage {
    /// Once more.
    pub fn saw(&mut self, what: &str) {
        self.add(what, 1);
    }

    /// So many times more.
    pub fn add(&mut self, what: &str, times: u64) {
        if times == 0 {
            return;
        }
        match self.0.get_mut(what) {
            Some(count) => *count += times,
            None => {
                self.0.insert(what.to_owned(), times);
            }
        }
    }

    /// How often.
    #[must_use]
    pub fn count(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// Takes in another run's.
    pub fn merge(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            self.add(what, *count);
        }
    }

    /// What was needed and never came up.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let mut missing = NEEDED.to_vec();
        missing.retain(|what| self.count(what) == 0);
        missing
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.0 {
            writeln!(f, "{count:>12}  {what}")?;
        }
        Ok(())
    }
}
