//! The table at the end.

use std::fmt::Write as _;
use std::time::Duration;

use crate::plan::{Plan, Until};
use crate::run::Outcome;

/// Two lines about what is going to be done.
#[must_use]
pub fn heading(plan: &Plan) -> String {
    let until = match plan.until {
        Until::Elapsed(time) => format!("{} s", time.as_secs()),
        Until::Requests(count) => format!("{count} requests"),
    };
    format!(
        "{} ({}), closed loop, {} connections x {} in flight, {until}\n\
         mix {}, {} cards, seed {}\n",
        plan.target,
        plan.dialect.name(),
        plan.connections,
        plan.in_flight,
        plan.mix,
        plan.cards.count,
        plan.seed,
    )
}

/// What came of it.
#[must_use]
pub fn table(outcome: &Outcome) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_table(outcome, &mut text);
    text
}

fn write_table(outcome: &Outcome, text: &mut String) -> std::fmt::Result {
    let stats = &outcome.stats;
    let answered = stats.all_answered();
    writeln!(text)?;
    writeln!(text, "  {:<28} {:>12}", "sent", stats.sent)?;
    writeln!(
        text,
        "  {:<28} {answered:>12}   {}/s",
        "answered",
        per_second(answered, outcome.elapsed)
    )?;
    for (code, count) in stats.by_code() {
        let digits = outcome.code_digits;
        let label = format!("  {code:0digits$} {}", meaning(code, digits));
        writeln!(text, "  {label:<28} {count:>12}")?;
    }
    for (label, count) in [
        ("timed out", stats.timed_out),
        ("lost with their connection", stats.lost),
        ("not sent", stats.not_sent),
        ("answers to nothing", stats.unmatched),
        ("unreadable messages", stats.garbage),
        ("connections refused", stats.refused),
        ("connections broken", stats.broken),
    ] {
        if count > 0 {
            writeln!(text, "  {label:<28} {count:>12}")?;
        }
    }
    for (what, count) in stats.troubles() {
        writeln!(text, "  ! {what} ({count} times)")?;
    }
    if answered > 0 {
        writeln!(text)?;
        for (label, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)] {
            writeln!(text, "  {label:<28} {:>12}", ms(stats.latency_ns(quantile)))?;
        }
        writeln!(text, "  {:<28} {:>12}", "max", ms(stats.longest_ns()))?;
    }
    Ok(())
}

/// Events per second, in whole numbers.
fn per_second(count: u64, elapsed: Duration) -> u128 {
    u128::from(count) * 1_000_000 / elapsed.as_micros().max(1)
}

/// Nanoseconds as milliseconds.
fn ms(ns: u64) -> String {
    let us = (ns + 500) / 1_000;
    format!("{}.{:03} ms", us / 1_000, us % 1_000)
}

/// FIELD.md, "Response codes"; other versions of the standard have others.
const fn meaning(code: usize, digits: usize) -> &'static str {
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
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Stats;

    #[test]
    fn the_table_tells_all_that_happened() {
        let mut stats = Stats::new().unwrap();
        stats.sent = 5;
        stats.lost = 1;
        stats.timed_out = 1;
        for (code, us) in [(0, 1_000), (0, 3_000), (51, 2_000)] {
            stats.answered(code, Duration::from_micros(us));
        }
        stats.trouble(&"connection reset");
        stats.trouble(&"connection reset");
        let outcome = Outcome {
            stats,
            elapsed: Duration::from_millis(1_500),
            code_digits: 2,
        };
        let expected = "
  sent                                    5
  answered                                3   2/s
    00 approved                           2
    51 insufficient funds                 1
  timed out                               1
  lost with their connection              1
  ! connection reset (2 times)

  p50                              2.001 ms
  p90                              3.000 ms
  p99                              3.000 ms
  p99.9                            3.000 ms
  max                              3.000 ms
";
        assert_eq!(table(&outcome), expected);
    }
}
