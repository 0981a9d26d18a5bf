//! What a run of a network comes to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use hdrhistogram::{CreationError, Histogram};
use jiff::civil::Date;
use serde::Serialize;

use super::event::Reconciled;
use crate::codes;

/// The longest latency that is told apart from longer ones.
const HOUR_US: u64 = 3_600_000_000;
/// Problems told one by one; further ones are counted.
const TOLD_PROBLEMS: usize = 20;

/// How many messages were sent for the first time, by what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// 0200.
    pub requests: u64,
    /// 0220 of what a terminal did offline.
    pub advices: u64,
    /// 0220 of what the network approved while it stood in.
    pub stand_in_advices: u64,
    /// 0400 and 0420 of what was cancelled.
    pub reversals: u64,
    /// ... of what was cancelled late: after a cutover, or at the run's end.
    pub late_reversals: u64,
    /// ... sent before their originals.
    pub early_reversals: u64,
    /// ... of requests that nobody answered.
    pub doubtful_reversals: u64,
    /// 0800.
    pub management: u64,
    /// 0500 and 0520.
    pub reconciliations: u64,
}

/// What the network did by itself while the line was down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StandIn {
    /// Times that the line went down.
    pub times: u64,
    /// Approved, and stored as advices.
    pub approved: u64,
    /// Declined: too much, or nothing that a network can answer by itself.
    pub declined: u64,
    /// Messages that were stored, reversals included.
    pub stored: u64,
    /// Those that have been acknowledged since.
    pub forwarded: u64,
}

/// A run's outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The network's name.
    pub network: String,
    /// Traffic is the same for the same seed.
    pub seed: u64,
    /// Time from the first sign-on to the end, in milliseconds.
    pub elapsed_ms: u64,
    /// Messages sent.
    pub sent: Sent,
    /// Messages sent again, with the repeat digit.
    pub repeats: u64,
    /// Answers that belong to a message.
    pub answered: u64,
    /// Answers to repeats of what had been answered, and to what had been given up.
    pub extra_answers: u64,
    /// Transactions by DE 39 of their answers; advices and reversals are not in it.
    pub by_code: BTreeMap<String, u64>,
    /// Requests that were never answered, and messages that still wait.
    pub unanswered: u64,
    /// Advices and reversals that still wait for the line.
    pub still_stored: u64,
    /// Half of the requests were answered within this, in microseconds.
    pub p50_us: u64,
    /// 99 of 100 were.
    pub p99_us: u64,
    /// All were.
    pub max_us: u64,
    /// Longest time without any answer while traffic went on, in microseconds;
    /// times in which the network itself kept the line down are not counted.
    pub longest_gap_us: u64,
    /// What was done while the line was down.
    pub stand_in: StandIn,
    /// Settlement dates that began.
    pub cutovers: Vec<Date>,
    /// Totals compared.
    pub reconciled: Vec<Reconciled>,
    /// Things that should not be, the first of them.
    pub problems: Vec<String>,
    /// How many there were.
    pub problem_count: u64,
}

impl Report {
    /// Whether every message has its answer, nothing was wrong, and all totals agree.
    pub fn is_good(&self) -> bool {
        self.unanswered == 0
            && self.still_stored == 0
            && self.problem_count == 0
            && self.reconciled.iter().all(Reconciled::in_balance)
    }
}

/// Counts while it runs.
pub(crate) struct Counts {
    pub report: Report,
    latency_us: Histogram<u64>,
    last_answer: Option<Instant>,
}

impl Counts {
    /// # Errors
    /// None in practice: the histogram's bounds are good.
    pub fn new(network: &str, seed: u64) -> Result<Counts, CreationError> {
        Ok(Counts {
            report: Report {
                network: network.to_owned(),
                seed,
                elapsed_ms: 0,
                sent: Sent::default(),
                repeats: 0,
                answered: 0,
                extra_answers: 0,
                by_code: BTreeMap::new(),
                unanswered: 0,
                still_stored: 0,
                p50_us: 0,
                p99_us: 0,
                max_us: 0,
                longest_gap_us: 0,
                stand_in: StandIn::default(),
                cutovers: Vec::new(),
                reconciled: Vec::new(),
                problems: Vec::new(),
                problem_count: 0,
            },
            latency_us: Histogram::new_with_bounds(1, HOUR_US, 3)?,
            last_answer: None,
        })
    }

    /// A transaction's answer.
    pub fn transaction(&mut self, code: &str, latency: Duration) {
        *self.report.by_code.entry(code.to_owned()).or_insert(0) += 1;
        self.latency_us.saturating_record(micros(latency));
    }

    /// Any answer, for the gaps between them.
    pub fn answer(&mut self, now: Instant) {
        self.report.answered += 1;
        if let Some(last) = self.last_answer {
            let gap = micros(now.saturating_duration_since(last));
            self.report.longest_gap_us = self.report.longest_gap_us.max(gap);
        }
        self.last_answer = Some(now);
    }

    /// From here to the next answer is no gap: nothing was asked.
    pub fn pause(&mut self) {
        self.last_answer = None;
    }

    pub fn problem(&mut self, what: String) {
        self.report.problem_count += 1;
        if self.report.problems.len() < TOLD_PROBLEMS {
            self.report.problems.push(what);
        }
    }

    pub fn close(mut self, elapsed: Duration) -> Report {
        self.report.elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        self.report.p50_us = self.latency_us.value_at_quantile(0.5);
        self.report.p99_us = self.latency_us.value_at_quantile(0.99);
        self.report.max_us = self.latency_us.max();
        self.report
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Microseconds as milliseconds with two decimals.
fn ms(us: u64) -> String {
    format!("{}.{:02} ms", us / 1_000, us % 1_000 / 10)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sent = &self.sent;
        writeln!(
            f,
            "network {}, {}.{} s, seed {}",
            self.network,
            self.elapsed_ms / 1_000,
            self.elapsed_ms % 1_000 / 100,
            self.seed
        )?;
        writeln!(
            f,
            "  sent        {} requests, {} advices, {} advices after standing in, {} management",
            sent.requests, sent.advices, sent.stand_in_advices, sent.management
        )?;
        writeln!(
            f,
            "  reversals   {} cancelled, {} late, {} before their originals, {} of unanswered requests",
            sent.reversals, sent.late_reversals, sent.early_reversals, sent.doubtful_reversals
        )?;
        writeln!(
            f,
            "  repeats     {} (extra answers {})",
            self.repeats, self.extra_answers
        )?;
        writeln!(
            f,
            "  answered    {}, unanswered {}",
            self.answered, self.unanswered
        )?;
        for (code, count) in &self.by_code {
            writeln!(f, "    {code} {:<28} {count}", codes::response(code))?;
        }
        writeln!(
            f,
            "  time        p50 {}, p99 {}, longest {}; longest gap between answers {}",
            ms(self.p50_us),
            ms(self.p99_us),
            ms(self.max_us),
            ms(self.longest_gap_us)
        )?;
        let stand_in = &self.stand_in;
        if stand_in.times > 0 || self.still_stored > 0 {
            writeln!(
                f,
                "  stood in    {} times: approved {}, declined {}; stored {}, forwarded {}, still stored {}",
                stand_in.times,
                stand_in.approved,
                stand_in.declined,
                stand_in.stored,
                stand_in.forwarded,
                self.still_stored
            )?;
        }
        for date in &self.cutovers {
            writeln!(f, "  cutover     settlement date {date} has begun")?;
        }
        for one in &self.reconciled {
            write!(f, "  {one}")?;
        }
        for problem in &self.problems {
            writeln!(f, "  PROBLEM     {problem}")?;
        }
        let more = self.problem_count - u64::try_from(self.problems.len()).unwrap_or_default();
        if more > 0 {
            writeln!(f, "  PROBLEM     and {more} more")?;
        }
        let verdict = if self.is_good() { "good" } else { "NOT GOOD" };
        writeln!(f, "  {verdict}")
    }
}

impl fmt::Display for Reconciled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.in_balance() {
            "in balance"
        } else {
            "OUT OF BALANCE"
        };
        let code = self.settlement_code.as_deref().unwrap_or("missing");
        let asked = match self.response_code {
            Some(_) => "",
            None => ", asked by the host",
        };
        writeln!(
            f,
            "reconciled  {} in {}: {verdict} (DE 66 {code}{asked}); {} debits, {} credits, {} and {} reversed",
            self.date,
            self.currency,
            self.ours.debits.count,
            self.ours.credits.count,
            self.ours.debit_reversals.count,
            self.ours.credit_reversals.count
        )?;
        for difference in &self.differences {
            writeln!(
                f,
                "    DE {}: ours {}, the host's {}",
                difference.de, difference.ours, difference.theirs
            )?;
        }
        Ok(())
    }
}
