//! What a run is told as: a table, JSON, a page with plots.

pub mod html;
pub mod json;
mod table;

use std::time::Duration;

pub use table::{heading, table};

use crate::open_loop::{Outcome, Phase};
use crate::phases::NIGHT_LABELS;
use crate::plan::{Load, Plan, Until};

/// Quantiles that every report has.
pub(crate) const QUANTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
];

/// Events per second, in whole numbers.
#[must_use]
pub fn per_second(count: u64, time: Duration) -> u64 {
    let rate = u128::from(count) * 1_000_000_000 / time.as_nanos().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// Nanoseconds as milliseconds.
#[must_use]
pub fn ms(ns: u64) -> String {
    let us = ns / 1_000 + u64::from(ns % 1_000 >= 500);
    format!("{}.{:03} ms", us / 1_000, us % 1_000)
}

/// A ratio in hundredths, or `-` where there is nothing to compare with.
#[must_use]
pub(crate) fn ratio(figure: u64, to: u64) -> String {
    match (u128::from(figure) * 100 + u128::from(to) / 2).checked_div(u128::from(to)) {
        Some(hundredths) => format!("{}.{:02}x", hundredths / 100, hundredths % 100),
        None => "-".to_owned(),
    }
}

/// Thousands apart.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What makes the requests come, in words.
#[must_use]
pub fn load_in_words(plan: &Plan) -> String {
    match &plan.load {
        Load::Closed { in_flight, until } => {
            let until = match until {
                Until::Elapsed(time) => format!("{} s", time.as_secs()),
                Until::Requests(count) => format!("{} requests", grouped(*count)),
            };
            format!(
                "closed loop, {} connections x {in_flight} in flight, {until}",
                plan.connections
            )
        }
        Load::Open { steps, .. } => {
            let rates: Vec<_> = steps.iter().map(|step| grouped(step.per_second)).collect();
            let seconds = steps.first().map_or(0, |step| step.lasts.as_secs());
            let each = if steps.len() > 1 { " each" } else { "" };
            format!(
                "open loop, {}/s on {} connections, {seconds} s{each}",
                rates.join(", "),
                plan.connections
            )
        }
    }
}

/// The phase with this name, if it took place.
pub(crate) fn phase<'o>(outcome: &'o Outcome, label: &str) -> Option<&'o Phase> {
    outcome
        .phases
        .iter()
        .find(|phase| phase.label == label && phase.span_ns.is_some())
}

/// The phase before the night, if there was a night.
pub(crate) fn before_night(outcome: &Outcome) -> Option<&Phase> {
    let [before, night, _] = NIGHT_LABELS;
    phase(outcome, night).and_then(|_| phase(outcome, before))
}

/// FIELD.md, "Response codes"; other versions of the standard have others.
pub(crate) const fn meaning(code: usize, digits: usize) -> &'static str {
    match (digits, code) {
        (_, 0) => "approved",
        (2, 5) => "do not honour",
        (2, 10) => "partial",
        (2, 12) => "invalid transaction",
        (2, 13) => "invalid amount",
        (2, 14) => "no such card",
        (2, 30) => "format error",
        (2, 41) => "lost card",
        (2, 43) => "stolen card",
        (2, 51) => "insufficient funds",
        (2, 54) => "expired card",
        (2, 57) => "not permitted",
        (2, 61) => "amount limit",
        (2, 68) => "response late",
        (2, 76..=78) => "invalid account",
        (2, 91) => "issuer unavailable",
        (2, 94) => "duplicate",
        (2, 96) => "malfunction",
        (3, 400) => "reversal accepted",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_in_words() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(ms(1_234_500), "1.235 ms");
        assert_eq!(ratio(125, 100), "1.25x");
        assert_eq!(ratio(1, 0), "-");
        assert_eq!(per_second(50, Duration::from_millis(500)), 100);
    }
}
