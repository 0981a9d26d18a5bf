//! What a run counts.

use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;

/// DE 39 has two digits (1987) or three (1993).
const CODES: usize = 1_000;

/// Different troubles that are told in words; the others are only counted.
const MAX_TROUBLES: usize = 8;

/// Latencies are kept from 64 ns to longer than any timeout.
const LOWEST_NS: u64 = 64;
const HIGHEST_NS: u64 = 1_400_000_000_000;

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 00, 10; 000 to 099, 400, 800 in 1993.
    Accepted,
    /// The host has decided against it.
    Declined,
    /// 91 (907): refused at the door, without effect.
    Refused,
    /// 30 or 96 (904, 909): the host could not read it, or failed.
    Faulty,
}

impl Verdict {
    /// Of a DE 39 with so many digits (FIELD.md, "Response codes").
    #[must_use]
    pub const fn of(code: u64, digits: usize) -> Self {
        match (digits, code) {
            (2, 0 | 10) | (3, 0..=99 | 400 | 800) => Self::Accepted,
            (2, 91) | (3, 907) => Self::Refused,
            (2, 30 | 96) | (3, 904 | 909) => Self::Faulty,
            _ => Self::Declined,
        }
    }
}

/// What became of requests.
///
/// Offered = accepted + declined + refused + faulty + late + lost + not sent,
/// once nothing is in flight any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that the schedule (or the closed loop) brought.
    pub offered: u64,
    /// Answered in time, approved.
    pub accepted: u64,
    /// Answered in time, declined.
    pub declined: u64,
    /// Answered in time with 91: refused at the door.
    pub refused: u64,
    /// Answered in time with 30 or 96.
    pub faulty: u64,
    /// Answered after the time limit, whatever the answer.
    pub late: u64,
    /// Never answered: given up, or gone with their connection.
    pub lost: u64,
    /// Never sent, since no connection held.
    pub not_sent: u64,
}

impl Counts {
    /// An answer has come.
    pub(crate) const fn answered_with(&mut self, verdict: Verdict, late: bool) {
        let count = match (late, verdict) {
            (true, _) => &mut self.late,
            (false, Verdict::Accepted) => &mut self.accepted,
            (false, Verdict::Declined) => &mut self.declined,
            (false, Verdict::Refused) => &mut self.refused,
            (false, Verdict::Faulty) => &mut self.faulty,
        };
        *count += 1;
    }

    /// Adds what another thread, or another phase, has counted.
    pub const fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.accepted += other.accepted;
        self.declined += other.declined;
        self.refused += other.refused;
        self.faulty += other.faulty;
        self.late += other.late;
        self.lost += other.lost;
        self.not_sent += other.not_sent;
    }

    /// Requests written.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.offered - self.not_sent
    }

    /// Requests answered, whatever the answer and whenever.
    #[must_use]
    pub const fn answered_all(&self) -> u64 {
        self.accepted + self.declined + self.refused + self.faulty + self.late
    }

    /// Requests written and neither answered nor given up.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        self.sent().saturating_sub(self.answered_all() + self.lost)
    }
}

/// What became of the requests of one phase, and how long it took.
#[derive(Clone, Debug)]
pub struct Stats {
    /// How many of each kind.
    pub counts: Counts,
    /// Intended time of the last request that was not decided within the plan's
    /// bound: refused, late, lost or slow; nanoseconds since the run began.
    pub last_missed_ns: Option<u64>,
    codes: Vec<u64>,
    latency_ns: Histogram<u64>,
    /// Of these, the refusals.
    refused_ns: Histogram<u64>,
}

impl std::ops::Deref for Stats {
    type Target = Counts;

    fn deref(&self) -> &Counts {
        &self.counts
    }
}

impl Stats {
    /// Nothing counted.
    ///
    /// # Errors
    /// None: the histogram's bounds are fixed and good.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self {
            counts: Counts::default(),
            last_missed_ns: None,
            codes: vec![0; CODES],
            latency_ns: histogram()?,
            refused_ns: histogram()?,
        })
    }

    /// An answer with this DE 39, so long after the request's intended time.
    pub(crate) fn answered(&mut self, code: u64, verdict: Verdict, after: Duration, late: bool) {
        let place = usize::try_from(code).ok();
        if let Some(count) = place.and_then(|place| self.codes.get_mut(place)) {
            *count += 1;
        }
        self.counts.answered_with(verdict, late);
        let ns = crate::schedule::ns_of(after);
        self.latency_ns.saturating_record(ns);
        if verdict == Verdict::Refused {
            self.refused_ns.saturating_record(ns);
        }
    }

    /// The request of this intended time was not decided within the bound.
    pub(crate) fn missed(&mut self, intended_ns: u64) {
        self.last_missed_ns = self.last_missed_ns.max(Some(intended_ns));
    }

    /// Adds what another thread, or another phase, has counted.
    ///
    /// # Errors
    /// None: all histograms have the same bounds.
    pub fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.counts.add(&other.counts);
        self.last_missed_ns = self.last_missed_ns.max(other.last_missed_ns);
        self.refused_ns
            .add(&other.refused_ns)
            .context("bounds of the histogram")?;
        for (mine, others) in self.codes.iter_mut().zip(&other.codes) {
            *mine += others;
        }
        self.latency_ns
            .add(&other.latency_ns)
            .context("bounds of the histogram")
    }

    /// Answers by DE 39, those that came at all.
    pub fn by_code(&self) -> impl Iterator<Item = (usize, u64)> {
        self.codes
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, count)| *count > 0)
    }

    /// Time from a request's intended sending to its answer: the value below
    /// which this share of the answered ones lies, in nanoseconds.
    #[must_use]
    pub fn latency_ns(&self, quantile: f64) -> u64 {
        self.latency_ns.value_at_quantile(quantile)
    }

    /// The same of the refusals alone.
    #[must_use]
    pub const fn refused_latency(&self) -> &Histogram<u64> {
        &self.refused_ns
    }

    /// The same of what the host has decided: all answers but refusals.
    ///
    /// # Errors
    /// None: the refusals are among the answers.
    pub fn decided_latency(&self) -> anyhow::Result<Histogram<u64>> {
        let mut decided = self.latency_ns.clone();
        decided
            .subtract(&self.refused_ns)
            .context("refusals beside all answers")?;
        Ok(decided)
    }

    /// The longest such time, in nanoseconds.
    #[must_use]
    pub fn longest_ns(&self) -> u64 {
        self.latency_ns.max()
    }
}

/// What happened to connections and on them, beside requests and their answers.
#[derive(Clone, Debug)]
pub struct Wire {
    /// Connections made.
    pub connected: u64,
    /// Connections that could not be made.
    pub refused: u64,
    /// Connections that ended before the run did.
    pub broken: u64,
    /// Messages that answer nothing that is in flight: twice, given up, or not ours.
    pub unmatched: u64,
    /// Messages that could not be read.
    pub garbage: u64,
    /// Repeats that were answered otherwise than the first time.
    pub contradicted: u64,
    /// From a request's intended time until it was written: the generator's own
    /// delay, and the host's when it does not read.
    pub send_lag_ns: Histogram<u64>,
    troubles: Vec<(String, u64)>,
}

impl Wire {
    /// Nothing counted.
    ///
    /// # Errors
    /// None: the histogram's bounds are fixed and good.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self {
            connected: 0,
            refused: 0,
            broken: 0,
            unmatched: 0,
            garbage: 0,
            contradicted: 0,
            send_lag_ns: histogram()?,
            troubles: Vec::new(),
        })
    }

    /// Something that went wrong, in words; the same words are counted.
    pub(crate) fn trouble(&mut self, what: &dyn std::fmt::Display) {
        self.troubles_more(&what.to_string(), 1);
    }

    fn troubles_more(&mut self, text: &str, times: u64) {
        if let Some((_, count)) = self.troubles.iter_mut().find(|(known, _)| known == text) {
            *count += times;
        } else if self.troubles.len() < MAX_TROUBLES {
            self.troubles.push((text.to_owned(), times));
        }
    }

    /// Adds what another thread has counted.
    ///
    /// # Errors
    /// None: all histograms have the same bounds.
    pub fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        for (mine, others) in [
            (&mut self.connected, other.connected),
            (&mut self.refused, other.refused),
            (&mut self.broken, other.broken),
            (&mut self.unmatched, other.unmatched),
            (&mut self.garbage, other.garbage),
            (&mut self.contradicted, other.contradicted),
        ] {
            *mine += others;
        }
        for (text, count) in &other.troubles {
            self.troubles_more(text, *count);
        }
        self.send_lag_ns
            .add(&other.send_lag_ns)
            .context("bounds of the histogram")
    }

    /// What went wrong, in words, and how often.
    #[must_use]
    pub fn troubles(&self) -> &[(String, u64)] {
        &self.troubles
    }
}

fn histogram() -> anyhow::Result<Histogram<u64>> {
    Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, 3).context("bounds of the histogram")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_a_meaning() {
        use Verdict::{Accepted, Declined, Faulty, Refused};
        for (digits, code, verdict) in [
            (2, 0, Accepted),
            (2, 10, Accepted),
            (2, 51, Declined),
            (2, 91, Refused),
            (2, 96, Faulty),
            (2, 30, Faulty),
            (3, 0, Accepted),
            (3, 400, Accepted),
            (3, 116, Declined),
            (3, 907, Refused),
            (3, 909, Faulty),
        ] {
            assert_eq!(Verdict::of(code, digits), verdict, "{code}");
        }
    }

    #[test]
    fn a_late_approval_is_late() {
        let mut stats = Stats::new().unwrap();
        let second = Duration::from_secs(1);
        stats.answered(0, Verdict::Accepted, second, true);
        stats.answered(0, Verdict::Accepted, second, false);
        assert_eq!((stats.accepted, stats.late), (1, 1));
        assert_eq!(stats.answered_all(), 2);
        assert_eq!(stats.by_code().collect::<Vec<_>>(), [(0, 2)]);
    }

    #[test]
    fn refusals_are_told_apart() {
        let mut stats = Stats::new().unwrap();
        let ms = Duration::from_millis;
        stats.answered(91, Verdict::Refused, ms(1), false);
        stats.answered(0, Verdict::Accepted, ms(900), false);
        stats.answered(51, Verdict::Declined, ms(800), false);
        let mut sum = Stats::new().unwrap();
        sum.add(&stats).unwrap();
        sum.missed(7);
        sum.missed(5);
        let (refused, decided) = (sum.refused_latency(), sum.decided_latency().unwrap());
        assert_eq!((refused.len(), decided.len()), (1, 2));
        assert!(refused.max() < 2_000_000);
        assert!(decided.min() >= 799_000_000 && decided.max() >= 899_000_000);
        assert_eq!(sum.last_missed_ns, Some(7));
    }
}
