//! Everything, for machines. Times are nanoseconds (`_ns`) or microseconds
//! (`_us`), from the intended send time.

use serde_json::{Value, json};

use super::{QUANTILES, load_in_words, per_second};
use crate::audit::Audit;
use crate::night::Night;
use crate::open_loop::{Outcome, Phase};
use crate::plan::Plan;
use crate::stats::Stats;

/// A run. The shape is `"version": 1`; fields are added, never changed.
///
/// # Errors
/// None: all histograms have the same bounds.
pub fn run(plan: &Plan, outcome: &Outcome) -> anyhow::Result<Value> {
    let total = outcome.total()?;
    let wire = &outcome.wire;
    let troubles: Vec<_> = wire
        .troubles()
        .iter()
        .map(|(what, count)| json!({ "what": what, "count": count }))
        .collect();
    let slices: Vec<_> = outcome
        .timeline
        .slices
        .iter()
        .map(|slice| {
            json!({
                "offered": slice.offered,
                "answered": slice.answered,
                "accepted": slice.accepted,
                "declined": slice.declined,
                "refused": slice.refused,
                "p50_us": slice.latency.quantile_us(0.5),
                "p99_us": slice.latency.quantile_us(0.99),
                "longest_gap_us": slice.longest_gap_us,
            })
        })
        .collect();
    let phases: Vec<_> = outcome
        .phases
        .iter()
        .map(|phase| of_phase(outcome, phase))
        .collect();
    Ok(json!({
        "version": 1,
        "target": plan.target,
        "dialect": plan.dialect.name(),
        "load": load_in_words(plan),
        "mix": plan.mix.to_string(),
        "seed": plan.seed,
        "measured_s": outcome.measured().as_secs_f64(),
        "total": of_stats(&total),
        "answered_per_second": per_second(total.answered_all(), outcome.measured()),
        "phases": phases,
        "wire": {
            "connected": wire.connected,
            "refused": wire.refused,
            "broken": wire.broken,
            "unmatched": wire.unmatched,
            "garbage": wire.garbage,
            "contradicted": wire.contradicted,
            "troubles": troubles,
        },
        "generator": {
            "cpu_s": outcome.cpu.as_secs_f64(),
            "elapsed_s": outcome.elapsed.as_secs_f64(),
            "send_lag_p99_ns": wire.send_lag_ns.value_at_quantile(0.99),
            "send_lag_max_ns": wire.send_lag_ns.max(),
        },
        "timeline": {
            "slice_ms": u64::try_from(outcome.timeline.width.as_millis()).unwrap_or(u64::MAX),
            "slices": slices,
        },
    }))
}

fn of_phase(outcome: &Outcome, phase: &Phase) -> Value {
    let (from, to) = phase.span_ns.unwrap_or_default();
    let mut value = of_stats(&phase.stats);
    if let Value::Object(fields) = &mut value {
        fields.insert("label".to_owned(), phase.label.clone().into());
        fields.insert("from_ns".to_owned(), from.into());
        fields.insert("to_ns".to_owned(), to.into());
        fields.insert(
            "longest_gap_us".to_owned(),
            outcome.timeline.longest_gap_us(from, to).into(),
        );
    }
    value
}

/// A further part.
pub fn add(value: &mut Value, name: &str, part: Value) {
    if let Value::Object(fields) = value {
        fields.insert(name.to_owned(), part);
    }
}

/// The night and the comparison of books, where there were any.
pub fn add_bank(value: &mut Value, night: Option<&Night>, audit: Option<&Audit>) {
    let Value::Object(fields) = value else {
        return;
    };
    if let Some(night) = night {
        let steps: Vec<_> = night
            .steps
            .iter()
            .map(|step| {
                json!({
                    "step": step.name,
                    "at_s": step.at.as_secs_f64(),
                    "took_s": step.took.as_secs_f64(),
                })
            })
            .collect();
        let told = json!({ "date": night.date, "steps": steps, "failed": night.failed });
        fields.insert("night".to_owned(), told);
    }
    if let Some(audit) = audit {
        let differences: Vec<_> = audit.differences.iter().map(ToString::to_string).collect();
        let told = json!({
            "right": audit.is_right(),
            "touched": audit.touched,
            "compared": audit.compared,
            "different": audit.different,
            "differences": differences,
            "faults": audit.faults,
            "notes": audit.notes,
            "moved_minor": audit.moved_minor,
        });
        fields.insert("ledger".to_owned(), told);
    }
}

/// Counts and latencies.
pub(crate) fn of_stats(stats: &Stats) -> Value {
    let codes: serde_json::Map<String, Value> = stats
        .by_code()
        .map(|(code, count)| (code.to_string(), count.into()))
        .collect();
    let mut latency: serde_json::Map<String, Value> = QUANTILES
        .iter()
        .map(|(name, quantile)| ((*name).to_owned(), stats.latency_ns(*quantile).into()))
        .collect();
    latency.insert("max".to_owned(), stats.longest_ns().into());
    json!({
        "offered": stats.offered,
        "accepted": stats.accepted,
        "declined": stats.declined,
        "refused": stats.refused,
        "faulty": stats.faulty,
        "late": stats.late,
        "lost": stats.lost,
        "not_sent": stats.not_sent,
        "codes": codes,
        "latency_ns": latency,
    })
}
