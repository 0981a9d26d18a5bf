//! What a run must come up to: `p99<5ms`, `lost=0`.
#![allow(
    clippy::float_arithmetic,
    reason = "quantiles are shares; no money here"
)]

use std::fmt;
use std::str::FromStr;

use crate::stats::Stats;

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    text: String,
    subject: Subject,
    relation: Relation,
    /// Nanoseconds or a count.
    bound: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// In millionths: 999,900 is p99.99.
    Quantile(u32),
    Longest,
    Count(&'static str),
    /// Answers a second.
    Rate,
    /// The longest time without an answer.
    Gap,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Below,
    AtMost,
    Equal,
    AtLeast,
    Above,
}

/// What a run has to say about assertions.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Without the warm-up.
    pub total: &'a Stats,
    /// Answers a second.
    pub answered_per_second: u64,
    /// The longest time without an answer.
    pub longest_gap_us: u64,
}

const QUANTILES: [(&str, u32); 6] = [
    ("p50", 500_000),
    ("p90", 900_000),
    ("p95", 950_000),
    ("p99", 990_000),
    ("p99.9", 999_000),
    ("p99.99", 999_900),
];

const COUNTS: [&str; 8] = [
    "offered", "accepted", "declined", "refused", "faulty", "late", "lost", "unsent",
];

impl FromStr for Assertion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = |what: &str| {
            format!(
                "{what}; a condition is SUBJECT, one of < <= = >= >, and a bound: p50, p90, p95, \
                 p99, p99.9, p99.99, max, gap with a time (300us, 5ms, 1s), rate or {} with a number",
                COUNTS.join(", ")
            )
        };
        let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let split = compact
            .find(['<', '>', '='])
            .ok_or_else(|| fault("there is no relation"))?;
        let (name, rest) = compact.split_at(split);
        let relations = [
            ("<=", Relation::AtMost),
            (">=", Relation::AtLeast),
            ("<", Relation::Below),
            (">", Relation::Above),
            ("=", Relation::Equal),
        ];
        let (relation, bound) = relations
            .iter()
            .find_map(|(sign, relation)| Some((*relation, rest.strip_prefix(sign)?)))
            .ok_or_else(|| fault("there is no relation"))?;
        let quantile = QUANTILES.iter().find(|(known, _)| *known == name);
        let count = COUNTS.iter().find(|known| **known == name);
        let (subject, bound) = match (name, quantile, count) {
            (_, Some((_, millionths)), _) => (Subject::Quantile(*millionths), time_ns(bound)),
            ("max", ..) => (Subject::Longest, time_ns(bound)),
            ("gap", ..) => (Subject::Gap, time_ns(bound)),
            ("rate", ..) => (Subject::Rate, bound.parse().ok()),
            (_, _, Some(count)) => (Subject::Count(count), bound.parse().ok()),
            _ => return Err(fault(&format!("{name:?} is not known"))),
        };
        Ok(Self {
            text: compact.clone(),
            subject,
            relation,
            bound: bound.ok_or_else(|| fault("the bound is none"))?,
        })
    }
}

/// `300us`, `5ms`, `1s`; with a decimal point too.
fn time_ns(text: &str) -> Option<u64> {
    let units = [
        ("us", 1_000),
        ("µs", 1_000),
        ("ms", 1_000_000),
        ("ns", 1),
        ("s", 1_000_000_000u64),
    ];
    let (number, unit) = units
        .iter()
        .find_map(|(name, ns)| Some((text.strip_suffix(name)?, *ns)))?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = u32::try_from(part.len())
        .ok()
        .filter(|digits| *digits <= 9)?;
    let scale = 10u64.checked_pow(digits)?;
    let parts: u64 = if part.is_empty() {
        0
    } else {
        part.parse().ok()?
    };
    let sum = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    sum.checked_add(parts.checked_mul(unit)? / scale)
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Assertion {
    /// Whether it holds, and the figure that it was about. A latency without any
    /// answer does not hold.
    #[must_use]
    pub fn judge(&self, facts: &Facts<'_>) -> (bool, String) {
        let stats = facts.total;
        let (figure, is_time) = match self.subject {
            Subject::Quantile(millionths) => (stats.latency_ns(f64::from(millionths) / 1e6), true),
            Subject::Longest => (stats.longest_ns(), true),
            Subject::Gap => (facts.longest_gap_us.saturating_mul(1_000), true),
            Subject::Rate => (facts.answered_per_second, false),
            Subject::Count(name) => (count(stats, name), false),
        };
        let holds = match self.relation {
            Relation::Below => figure < self.bound,
            Relation::AtMost => figure <= self.bound,
            Relation::Equal => figure == self.bound,
            Relation::AtLeast => figure >= self.bound,
            Relation::Above => figure > self.bound,
        };
        let measured = !is_time || stats.answered_all() > 0;
        let figure = match (measured, is_time) {
            (false, _) => "nothing was answered".to_owned(),
            (true, true) => crate::report::ms(figure),
            (true, false) => figure.to_string(),
        };
        (holds && measured, figure)
    }
}

fn count(stats: &Stats, name: &str) -> u64 {
    match name {
        "offered" => stats.offered,
        "accepted" => stats.accepted,
        "declined" => stats.declined,
        "refused" => stats.refused,
        "faulty" => stats.faulty,
        "late" => stats.late,
        "lost" => stats.lost,
        _ => stats.not_sent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Verdict;
    use std::time::Duration;

    #[test]
    fn conditions_are_judged() {
        let mut stats = Stats::new().unwrap();
        stats.counts.offered = 2;
        for ms in [1, 4] {
            stats.answered(0, Verdict::Accepted, Duration::from_millis(ms), false);
        }
        let facts = Facts {
            total: &stats,
            answered_per_second: 100,
            longest_gap_us: 2_000,
        };
        for (text, holds) in [
            ("p50<1.5ms", true),
            ("p50 < 900us", false),
            ("p99<5ms", true),
            ("p99.99<=3.9ms", false),
            ("max<1s", true),
            ("lost=0", true),
            ("accepted>=2", true),
            ("accepted>2", false),
            ("rate>=100", true),
            ("gap<2ms", false),
            ("gap<=2ms", true),
        ] {
            let assertion: Assertion = text.parse().unwrap();
            assert_eq!(assertion.judge(&facts).0, holds, "{text}");
        }
        let nothing = Stats::new().unwrap();
        let facts = Facts {
            total: &nothing,
            ..facts
        };
        let assertion: Assertion = "p99<5ms".parse().unwrap();
        assert_eq!(
            assertion.judge(&facts),
            (false, "nothing was answered".to_owned())
        );
    }

    #[test]
    fn what_is_no_condition_is_told() {
        for (text, why) in [
            ("p99", "there is no relation"),
            ("p98<1ms", "\"p98\" is not known"),
            ("p99<5", "the bound is none"),
            ("lost=0ms", "the bound is none"),
        ] {
            let error = text.parse::<Assertion>().unwrap_err();
            assert!(error.starts_with(why), "{error}");
        }
    }
}
