//! What the day comes to: the figures that the report shows, in the terminal and
//! on the page alike.

use std::time::Duration;

use gapless_loadtest::open_loop::{Outcome, Phase};
use gapless_loadtest::phases::NIGHT_LABELS;
use gapless_simulators::{batch, network};

use crate::admin::TrialBalance;
use crate::scene::{Codes, Scene};

/// Codes that a night could be to blame for, whoever asked for what.
const NIGHTS_OWN: [&str; 3] = ["90", "91", "96"];

/// Everything about the day.
pub struct Verdict {
    /// The terminals' side.
    pub traffic: Outcome,
    /// The networks' own reports.
    pub networks: Vec<network::Report>,
    /// The batch's own report, if it came to its end.
    pub batch: Option<batch::Report>,
    /// Of the daemon, at the end of the day.
    pub trial_balance: TrialBalance,
    /// What `gapless verify` said, and whether all is well.
    pub verified: (bool, Vec<String>),
    /// All that was seen.
    pub scene: Scene,
}

/// The terminals' side of one period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Column {
    /// Requests that came.
    pub requests: u64,
    /// Approved.
    pub approved: u64,
    /// Anything else that was answered.
    pub not_approved: u64,
    /// Late, lost or not sent.
    pub missing: u64,
    /// Of the answers, from the intended send time.
    pub p50: Duration,
    /// As above.
    pub p99: Duration,
    /// As above.
    pub p999: Duration,
    /// Longest time without any answer.
    pub longest_gap: Duration,
}

impl Verdict {
    /// Before, inside and after the window.
    pub fn columns(&self) -> [Column; 3] {
        NIGHT_LABELS.map(|label| {
            let phase = self
                .traffic
                .phases
                .iter()
                .find(|phase| phase.label == label);
            phase.map_or_else(Column::default, |phase| self.column(phase))
        })
    }

    fn column(&self, phase: &Phase) -> Column {
        let stats = &phase.stats;
        let latency = |quantile| Duration::from_nanos(stats.latency_ns(quantile));
        let (from_ns, to_ns) = phase.span_ns.unwrap_or_default();
        Column {
            requests: stats.offered,
            approved: stats.accepted,
            not_approved: stats.declined + stats.refused + stats.faulty,
            missing: stats.late + stats.lost + stats.not_sent,
            p50: latency(0.5),
            p99: latency(0.99),
            p999: latency(0.999),
            longest_gap: Duration::from_micros(
                self.traffic.timeline.longest_gap_us(from_ns, to_ns),
            ),
        }
    }

    /// The networks' answers in a period (0 before, 1 inside, 2 after), together.
    pub fn network_codes(&self, period: usize) -> Codes {
        let mut sum = Codes::new();
        for line in self.scene.lines.values() {
            for (code, count) in line.codes.get(period).into_iter().flatten() {
                *sum.entry(code.clone()).or_default() += count;
            }
        }
        sum
    }

    /// Requests that were not approved because of the night: of the terminals, who
    /// ask for nothing but what can be paid, all that were not approved in the
    /// window; of the networks, 90, 91, 96, and whatever was not answered.
    pub fn caused_by_the_night(&self) -> u64 {
        let [_, inside, _] = self.columns();
        let networks: u64 = self
            .network_codes(1)
            .iter()
            .filter(|(code, _)| NIGHTS_OWN.contains(&code.as_str()))
            .map(|(_, count)| count)
            .sum();
        let unanswered: u64 = self.networks.iter().map(|report| report.unanswered).sum();
        inside.not_approved + inside.missing + networks + unanswered
    }

    /// What is not as it should be; empty when all is well.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = self.scene.troubles.clone();
        let caused = self.caused_by_the_night();
        if caused > 0 {
            complaints.push(format!("{caused} requests suffered from the night"));
        }
        for (name, column) in NIGHT_LABELS.iter().zip(self.columns()) {
            if column.requests == 0 {
                complaints.push(format!("there was no traffic {name}"));
            }
            if column.not_approved + column.missing > 0 && *name != "night" {
                complaints.push(format!(
                    "{name}: {} terminal requests not approved, {} not answered",
                    column.not_approved, column.missing
                ));
            }
        }
        for report in &self.networks {
            if !report.is_good() {
                complaints.push(format!("network {} is not content", report.network));
            }
        }
        if !self.trial_balance.balanced {
            complaints.push("the trial balance does not balance".to_owned());
        }
        if !self.verified.0 {
            complaints.push("gapless verify found something".to_owned());
        }
        complaints
    }
}
