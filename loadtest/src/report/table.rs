//! The table at the end.

use std::fmt::Write as _;

use super::{QUANTILES, grouped, load_in_words, meaning, ms, per_second, ratio};
use crate::open_loop::{Outcome, Phase};
use crate::plan::Plan;
use crate::stats::Stats;

/// Two lines about what is going to be done.
#[must_use]
pub fn heading(plan: &Plan) -> String {
    let zipf = plan
        .zipf
        .map_or(String::new(), |exponent| format!(" by Zipf {exponent}"));
    let tls = if plan.tls.is_some() { ", TLS" } else { "" };
    format!(
        "{} ({}{tls}), {}\nmix {}, {} cards{zipf}, seed {}\n",
        plan.target,
        plan.dialect.name(),
        load_in_words(plan),
        plan.mix,
        grouped(plan.cards.count().into()),
        plan.seed,
    )
}

/// What came of it.
///
/// # Errors
/// None: all histograms have the same bounds.
pub fn table(outcome: &Outcome) -> anyhow::Result<String> {
    let total = outcome.total()?;
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_counts(outcome, &total, &mut text);
    let _ = write_latencies(outcome, &total, &mut text);
    let _ = write_generator(outcome, &mut text);
    Ok(text)
}

fn write_counts(outcome: &Outcome, total: &Stats, text: &mut String) -> std::fmt::Result {
    let time = outcome.measured();
    writeln!(text)?;
    for (label, count, always) in [
        ("offered", total.offered, true),
        ("accepted", total.accepted, true),
        ("declined", total.declined, true),
        ("refused (91)", total.refused, true),
        ("faulty (30, 96)", total.faulty, false),
        ("late", total.late, true),
        ("lost", total.lost, true),
        ("not sent", total.not_sent, false),
    ] {
        if always || count > 0 {
            let rate = per_second(count, time);
            let rate = if rate > 0 {
                format!("{:>12}/s", grouped(rate))
            } else {
                String::new()
            };
            writeln!(text, "  {label:<30} {:>14}{rate}", grouped(count))?;
        }
    }
    let digits = outcome.code_digits;
    for (code, count) in total.by_code() {
        let label = format!("  DE 39 {code:0digits$} {}", meaning(code, digits));
        writeln!(text, "  {label:<30} {:>14}", grouped(count))?;
    }
    let wire = &outcome.wire;
    for (label, count) in [
        ("answers to nothing", wire.unmatched),
        ("unreadable messages", wire.garbage),
        ("contradicted repeats", wire.contradicted),
        ("connections not made", wire.refused),
        ("connections broken", wire.broken),
    ] {
        if count > 0 {
            writeln!(text, "  {label:<30} {:>14}", grouped(count))?;
        }
    }
    for (what, count) in wire.troubles() {
        writeln!(text, "  ! {what} ({count} times)")?;
    }
    Ok(())
}

/// One column a phase, where there are several; else one column.
fn write_latencies(outcome: &Outcome, total: &Stats, text: &mut String) -> std::fmt::Result {
    if total.answered_all() == 0 {
        return Ok(());
    }
    writeln!(text)?;
    let phases: Vec<&Phase> = outcome
        .phases
        .iter()
        .filter(|phase| phase.stats.answered_all() > 0)
        .collect();
    if phases.len() < 2 {
        for (label, quantile) in QUANTILES {
            writeln!(text, "  {label:<30} {:>14}", ms(total.latency_ns(quantile)))?;
        }
        writeln!(text, "  {:<30} {:>14}", "max", ms(total.longest_ns()))?;
        let (from, to) = (0, super::super::schedule::ns_of(outcome.elapsed));
        let gap_us = outcome.timeline.longest_gap_us(from, to);
        return writeln!(
            text,
            "  {:<30} {:>14}",
            "longest gap",
            ms(gap_us.saturating_mul(1_000))
        );
    }
    let mut rows = vec![("answered/s".to_owned(), Vec::new())];
    rows.extend(QUANTILES.map(|(label, _)| (label.to_owned(), Vec::new())));
    rows.extend(["max", "longest gap", "lost"].map(|label| (label.to_owned(), Vec::new())));
    write!(text, "  {:<14}", "")?;
    for phase in &phases {
        write!(text, " {:>14}", phase.label)?;
        let column = column(outcome, phase);
        for ((_, cells), cell) in rows.iter_mut().zip(column) {
            cells.push(cell);
        }
    }
    writeln!(text)?;
    for (label, cells) in rows {
        write!(text, "  {label:<14}")?;
        for cell in cells {
            write!(text, " {cell:>14}")?;
        }
        writeln!(text)?;
    }
    write_night(outcome, text)
}

/// The figures of a phase, in the table's order.
pub(super) fn column(outcome: &Outcome, phase: &Phase) -> Vec<String> {
    let stats = &phase.stats;
    let (from, to) = phase.span_ns.unwrap_or_default();
    let mut cells = vec![grouped(per_second(stats.answered_all(), phase.lasted()))];
    cells.extend(QUANTILES.map(|(_, quantile)| ms(stats.latency_ns(quantile))));
    cells.push(ms(stats.longest_ns()));
    let gap_us = outcome.timeline.longest_gap_us(from, to);
    cells.push(ms(gap_us.saturating_mul(1_000)));
    cells.push(grouped(stats.lost + stats.not_sent));
    cells
}

/// Inside and after the night, as ratios to before it.
fn write_night(outcome: &Outcome, text: &mut String) -> std::fmt::Result {
    for line in night_ratios(outcome) {
        writeln!(text, "  {line}")?;
    }
    Ok(())
}

/// `night / before: p50 1.02x, p99 1.10x, p99.9 1.31x`, and the same of after.
pub(super) fn night_ratios(outcome: &Outcome) -> Vec<String> {
    let Some(before) = super::before_night(outcome) else {
        return Vec::new();
    };
    let [_, night, after] = crate::phases::NIGHT_LABELS;
    [night, after]
        .into_iter()
        .filter_map(|label| super::phase(outcome, label))
        .map(|phase| {
            let parts = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)].map(|(name, quantile)| {
                let figure = phase.stats.latency_ns(quantile);
                format!(
                    "{name} {}",
                    ratio(figure, before.stats.latency_ns(quantile))
                )
            });
            format!("{} / before: {}", phase.label, parts.join(", "))
        })
        .collect()
}

/// What the generator itself did: it must not be the limit.
fn write_generator(outcome: &Outcome, text: &mut String) -> std::fmt::Result {
    let sums = &outcome.sums;
    let lag = &outcome.wire.send_lag_ns;
    let percent = outcome.cpu.as_nanos() * 100 / outcome.elapsed.as_nanos().max(1);
    let each = outcome.cpu.as_nanos() / u128::from(sums.answered_all().max(1));
    writeln!(text)?;
    writeln!(
        text,
        "  generator: {percent} % of a processor, {}.{:02} us a message; sent late by p99 {}, max {}",
        each / 1_000,
        each % 1_000 / 10,
        ms(lag.value_at_quantile(0.99)),
        ms(lag.max())
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;
    use crate::stats::{Counts, Verdict, Wire};
    use crate::timeline::{SLICE, Timeline};
    use std::time::Duration;

    fn phase(label: &str, from_s: u64, latencies_us: &[u64]) -> Phase {
        let mut stats = Stats::new().unwrap();
        stats.counts.offered = latencies_us.len() as u64;
        for us in latencies_us {
            stats.answered(0, Verdict::Accepted, Duration::from_micros(*us), false);
        }
        let begin = from_s * 1_000_000_000;
        Phase {
            label: label.to_owned(),
            span_ns: Some((begin, begin + 1_000_000_000)),
            stats,
        }
    }

    fn outcome(phases: Vec<Phase>) -> Outcome {
        Outcome {
            phases,
            wire: Wire::new().unwrap(),
            ledger: Ledger::default(),
            timeline: Timeline::new(SLICE),
            sums: Counts::default(),
            sending: Duration::from_secs(3),
            elapsed: Duration::from_secs(3),
            cpu: Duration::from_millis(300),
            code_digits: 2,
        }
    }

    #[test]
    fn all_that_happened_is_told() {
        let mut outcome = outcome(vec![phase("measured", 0, &[1_000, 2_000, 3_000])]);
        if let Some(phase) = outcome.phases.first_mut() {
            let stats = &mut phase.stats;
            stats.answered(51, Verdict::Declined, Duration::from_millis(2), false);
            stats.counts.lost = 1;
            stats.counts.offered = 5;
        }
        outcome.wire.trouble(&"connection reset");
        outcome.wire.trouble(&"connection reset");
        let expected = "
  offered                                     5           5/s
  accepted                                    3           3/s
  declined                                    1           1/s
  refused (91)                                0
  late                                        0
  lost                                        1           1/s
    DE 39 00 approved                         3
    DE 39 51 insufficient funds               1
  ! connection reset (2 times)

  p50                                  2.001 ms
  p90                                  3.000 ms
  p99                                  3.000 ms
  p99.9                                3.000 ms
  p99.99                               3.000 ms
  max                                  3.000 ms
  longest gap                          0.000 ms

  generator: 10 % of a processor, 300000.00 us a message; sent late by p99 0.000 ms, max 0.000 ms
";
        assert_eq!(table(&outcome).unwrap(), expected);
    }

    #[test]
    fn a_night_stands_beside_its_day() {
        let outcome = outcome(vec![
            phase("before", 0, &[100, 100]),
            phase("night", 1, &[200, 200]),
            phase("after", 2, &[100, 150]),
        ]);
        let table = table(&outcome).unwrap();
        assert!(
            table.contains("                         before          night          after\n"),
            "{table}"
        );
        assert!(
            table.contains("night / before: p50 2.00x, p99 2.00x, p99.9 2.00x"),
            "{table}"
        );
        assert!(
            table.contains("after / before: p50 1.00x, p99 1.50x"),
            "{table}"
        );
    }
}
