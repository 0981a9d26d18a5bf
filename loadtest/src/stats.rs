//! What a run counts.

use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;

/// DE 39 has two digits (1987) or three (1993).
const CODES: usize = 1_000;

/// Different troubles that are told in words; the others are only counted.
const MAX_TROUBLES: usize = 8;

/// Latencies are kept from a microsecond to longer than any timeout.
const LOWEST_NS: u64 = 1_000;
const HIGHEST_NS: u64 = 700_000_000_000;

/// What a run counts. Requests sent = answered + timed out + lost.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Requests written, whole or in part.
    pub sent: u64,
    /// Requests that were to be sent and were not, since no connection held.
    pub not_sent: u64,
    /// Requests given up after the time limit.
    pub timed_out: u64,
    /// Requests without an answer when their connection ended.
    pub lost: u64,
    /// Messages that answer nothing that is in flight: too late, twice, or not ours.
    pub unmatched: u64,
    /// Messages that could not be read.
    pub garbage: u64,
    /// Connections made.
    pub connected: u64,
    /// Connections that could not be made.
    pub refused: u64,
    /// Connections that ended before the run did.
    pub broken: u64,
    codes: Vec<u64>,
    troubles: Vec<(String, u64)>,
    latency_ns: Histogram<u64>,
}

impl Stats {
    /// Nothing counted.
    ///
    /// # Errors
    /// None: the histogram's bounds are fixed and good.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self {
            sent: 0,
            not_sent: 0,
            timed_out: 0,
            lost: 0,
            unmatched: 0,
            garbage: 0,
            connected: 0,
            refused: 0,
            broken: 0,
            codes: vec![0; CODES],
            troubles: Vec::new(),
            latency_ns: Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, 3)
                .context("bounds of the histogram")?,
        })
    }

    /// An answer with this DE 39 after this time.
    pub(crate) fn answered(&mut self, code: u64, after: Duration) {
        let place = usize::try_from(code).ok();
        if let Some(count) = place.and_then(|place| self.codes.get_mut(place)) {
            *count += 1;
        }
        let ns = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        self.latency_ns.saturating_record(ns);
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
            (&mut self.sent, other.sent),
            (&mut self.not_sent, other.not_sent),
            (&mut self.timed_out, other.timed_out),
            (&mut self.lost, other.lost),
            (&mut self.unmatched, other.unmatched),
            (&mut self.garbage, other.garbage),
            (&mut self.connected, other.connected),
            (&mut self.refused, other.refused),
            (&mut self.broken, other.broken),
        ] {
            *mine += others;
        }
        for (mine, others) in self.codes.iter_mut().zip(&other.codes) {
            *mine += others;
        }
        for (text, count) in &other.troubles {
            self.troubles_more(text, *count);
        }
        self.latency_ns
            .add(&other.latency_ns)
            .context("bounds of the histogram")
    }

    /// Requests answered, whatever the answer.
    #[must_use]
    pub fn all_answered(&self) -> u64 {
        self.codes.iter().sum()
    }

    /// Requests answered with DE 39 00 (000 in 1993).
    #[must_use]
    pub fn approved(&self) -> u64 {
        self.codes.first().copied().unwrap_or(0)
    }

    /// Answers by DE 39, those that came at all.
    pub fn by_code(&self) -> impl Iterator<Item = (usize, u64)> {
        self.codes
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, count)| *count > 0)
    }

    /// What went wrong, in words, and how often.
    #[must_use]
    pub fn troubles(&self) -> &[(String, u64)] {
        &self.troubles
    }

    /// Time from a request's sending to its answer: the value below which this
    /// share of them lies, in nanoseconds.
    #[must_use]
    pub fn latency_ns(&self, quantile: f64) -> u64 {
        self.latency_ns.value_at_quantile(quantile)
    }

    /// The longest such time, in nanoseconds.
    #[must_use]
    pub fn longest_ns(&self) -> u64 {
        self.latency_ns.max()
    }
}
