//! A run as one page, with plots that can go on a slide.
#![allow(
    clippy::float_arithmetic,
    reason = "places on a page are real numbers; no money here"
)]

use super::{grouped, load_in_words, ms, per_second, table};
use crate::open_loop::{Outcome, Phase};
use crate::page::{Page, Tile};
use crate::phases::{NIGHT_LABELS, WARM_UP};
use crate::plan::Plan;
use crate::plot::{Axis, Plot, Series, Window};
use crate::stats::Stats;
use crate::timeline::Timeline;

/// A run. `checks` are further figures: what was asserted, whether money is right.
///
/// # Errors
/// None: all histograms have the same bounds.
pub fn run(plan: &Plan, outcome: &Outcome, checks: &[Tile]) -> anyhow::Result<String> {
    let total = outcome.total()?;
    let mut page = Page::new("ISO 8583 load test", &subtitle(plan));
    page.tiles(&tiles(outcome, &total));
    if !checks.is_empty() {
        page.heading("What had to hold");
        page.tiles(checks);
    }
    let windows = windows(outcome);
    page.plot(&rates(&outcome.timeline, &windows).svg());
    page.plot(&latencies(&outcome.timeline, &windows).svg());
    let phases = counted(outcome);
    page.plot(&percentiles(&phases).svg());
    if let Some(curve) = steps(outcome) {
        page.plot(&curve.svg());
    }
    if phases.len() > 1 {
        page.heading("Side by side");
        side_by_side(&mut page, outcome, &phases);
    }
    page.heading("Answers");
    answers(&mut page, outcome, &total);
    page.note(&format!(
        "Latencies count from the intended send time, so that a stall is felt by every request that \
         was due in it. The generator used {} ms of processor time in {} ms; it sent 99 % of the \
         requests within {} of their time.",
        outcome.cpu.as_millis(),
        outcome.elapsed.as_millis(),
        ms(outcome.wire.send_lag_ns.value_at_quantile(0.99)),
    ));
    Ok(page.html())
}

fn subtitle(plan: &Plan) -> String {
    format!(
        "{} ({}): {}; mix {}; {} cards",
        plan.target,
        plan.dialect.name(),
        load_in_words(plan),
        plan.mix,
        grouped(plan.cards.count().into())
    )
}

fn tiles(outcome: &Outcome, total: &Stats) -> Vec<Tile> {
    let answered = per_second(total.answered_all(), outcome.measured());
    let missing = total.lost + total.not_sent;
    vec![
        Tile::plain(format!("{}/s", grouped(answered)), "answered"),
        Tile::plain(ms(total.latency_ns(0.5)), "p50"),
        Tile::plain(ms(total.latency_ns(0.99)), "p99"),
        Tile::plain(ms(total.latency_ns(0.999)), "p99.9"),
        Tile::plain(grouped(total.accepted), "accepted"),
        Tile::plain(grouped(total.declined), "declined"),
        Tile::judged(grouped(total.refused), "refused (91)", total.refused == 0),
        Tile::judged(
            grouped(missing + total.late),
            "late, lost or not sent",
            missing + total.late == 0,
        ),
    ]
}

/// Phases that took place and count.
fn counted(outcome: &Outcome) -> Vec<&Phase> {
    outcome
        .phases
        .iter()
        .filter(|phase| phase.label != WARM_UP && phase.stats.answered_all() > 0)
        .collect()
}

/// The night, if there was one.
pub(crate) fn windows(outcome: &Outcome) -> Vec<Window> {
    let [_, night, _] = NIGHT_LABELS;
    let span = super::phase(outcome, night).and_then(|phase| phase.span_ns);
    span.map(|(from, to)| Window {
        label: "the bank's night".to_owned(),
        from: from as f64 / 1e9,
        to: to as f64 / 1e9,
    })
    .into_iter()
    .collect()
}

/// Since the run began, as long as requests were due.
pub(crate) fn seconds(timeline: &Timeline) -> Axis {
    let lasted = timeline.width.as_secs_f64() * timeline.offered() as f64;
    Axis {
        least: Some(0.0),
        most: (lasted > 0.0).then_some(lasted),
        ..Axis::linear("seconds")
    }
}

/// Requests and answers a second over time.
#[must_use]
pub fn rates(timeline: &Timeline, windows: &[Window]) -> Plot {
    // What is answered after the end says nothing of the rate.
    let mut timeline = timeline.clone();
    timeline.slices.truncate(timeline.offered());
    let timeline = &timeline;
    let mut series = vec![
        Series::line("offered", 5, timeline.rates(|slice| slice.offered)),
        Series::line("answered", 0, timeline.rates(|slice| slice.answered)),
    ];
    for (name, colour, count) in [
        (
            "declined",
            2,
            timeline.rates(|slice: &crate::timeline::Slice| slice.declined),
        ),
        (
            "refused (91)",
            1,
            timeline.rates(|slice: &crate::timeline::Slice| slice.refused),
        ),
    ] {
        if count.iter().any(|point| point.1 > 0.0) {
            series.push(Series::line(name, colour, count));
        }
    }
    Plot {
        title: "Throughput over time".to_owned(),
        note: "requests a second by intended send time, answers a second by arrival".to_owned(),
        x: seconds(timeline),
        y: Axis::linear("per second"),
        series,
        windows: windows.to_vec(),
        limits: Vec::new(),
    }
}

/// Latency over time.
#[must_use]
pub fn latencies(timeline: &Timeline, windows: &[Window]) -> Plot {
    Plot {
        title: "Latency over time".to_owned(),
        note: format!(
            "from the intended send time; one point every {} ms",
            timeline.width.as_millis()
        ),
        x: seconds(timeline),
        y: Axis::log("milliseconds"),
        series: vec![
            Series::line("max", 8, timeline.latencies_ms(1.0)),
            Series::line("p99", 1, timeline.latencies_ms(0.99)),
            Series::line("p50", 0, timeline.latencies_ms(0.5)),
        ],
        windows: windows.to_vec(),
        limits: Vec::new(),
    }
}

/// Latency by percentile, one line a phase.
#[must_use]
pub fn percentiles(phases: &[&Phase]) -> Plot {
    let series = phases
        .iter()
        .enumerate()
        .map(|(colour, phase)| Series::line(&phase.label, colour, by_percentile(&phase.stats)))
        .collect();
    let ticks = [
        (1.0, "0"),
        (2.0, "50 %"),
        (10.0, "90 %"),
        (100.0, "99 %"),
        (1e3, "99.9 %"),
        (1e4, "99.99 %"),
        (1e5, "99.999 %"),
    ];
    let longest = phases
        .iter()
        .map(|phase| phase.stats.answered_all())
        .max()
        .unwrap_or(0);
    let most = (longest as f64).clamp(100.0, 1e5);
    Plot {
        title: "Latency by percentile".to_owned(),
        note: "how long the slowest requests took; HdrHistogram, three digits".to_owned(),
        x: Axis {
            log: true,
            ticks: ticks
                .into_iter()
                .filter(|tick| tick.0 <= most)
                .map(|(place, name)| (place, name.to_owned()))
                .collect(),
            least: Some(1.0),
            most: Some(most),
            ..Axis::linear("percentile")
        },
        y: Axis::log("milliseconds"),
        series,
        windows: Vec::new(),
        limits: Vec::new(),
    }
}

/// Points (1 / (1 - percentile), milliseconds).
fn by_percentile(stats: &Stats) -> Vec<(f64, f64)> {
    let most = (stats.answered_all() as f64).clamp(2.0, 1e5);
    let steps = 120;
    (0..=steps)
        .map(|step| {
            let inverse = most.powf(f64::from(step) / f64::from(steps));
            let ns = stats.latency_ns(1.0 - 1.0 / inverse);
            (inverse, ns as f64 / 1e6)
        })
        .collect()
}

/// Latency against rate, if the schedule had steps.
fn steps(outcome: &Outcome) -> Option<Plot> {
    let points: Vec<(f64, &Stats)> = outcome
        .phases
        .iter()
        .filter_map(|phase| {
            let rate = phase.label.strip_suffix("/s")?.parse::<u32>().ok()?;
            (phase.stats.answered_all() > 0).then_some((f64::from(rate), &phase.stats))
        })
        .collect();
    (points.len() > 1).then(|| against_rate(&points, None))
}

/// Latency against the offered rate; `bound_ms`: what p99 must stay under.
#[must_use]
pub fn against_rate(points: &[(f64, &Stats)], bound_ms: Option<f64>) -> Plot {
    let line = |name: &str, colour, quantile| {
        let mut points: Vec<_> = points
            .iter()
            .map(|(rate, stats)| (*rate, stats.latency_ns(quantile) as f64 / 1e6))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Series::dotted(name, colour, points)
    };
    Plot {
        title: "Latency against rate".to_owned(),
        note: "open loop: each point is a run at this offered rate".to_owned(),
        x: Axis {
            least: Some(0.0),
            ..Axis::linear("offered, per second")
        },
        y: Axis::log("milliseconds"),
        series: vec![
            line("p99.9", 2, 0.999),
            line("p99", 1, 0.99),
            line("p50", 0, 0.5),
        ],
        windows: Vec::new(),
        limits: bound_ms
            .map(|bound| (bound, format!("p99 bound {bound} ms")))
            .into_iter()
            .collect(),
    }
}

fn side_by_side(page: &mut Page, outcome: &Outcome, phases: &[&Phase]) {
    let head = [
        "",
        "answered/s",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "p99.99",
        "max",
        "longest gap",
        "lost",
    ];
    let rows: Vec<Vec<String>> = phases
        .iter()
        .map(|phase| {
            let mut row = vec![phase.label.clone()];
            row.extend(table::column(outcome, phase));
            row
        })
        .collect();
    page.table(&head, &rows);
    for line in table::night_ratios(outcome) {
        page.note(&line);
    }
}

fn answers(page: &mut Page, outcome: &Outcome, total: &Stats) {
    let digits = outcome.code_digits;
    let mut rows: Vec<Vec<String>> = total
        .by_code()
        .map(|(code, count)| {
            let label = format!("{code:0digits$} {}", super::meaning(code, digits));
            vec![label, grouped(count)]
        })
        .collect();
    let wire = &outcome.wire;
    for (label, count) in [
        ("late", total.late),
        ("lost", total.lost),
        ("not sent", total.not_sent),
        ("answers to nothing", wire.unmatched),
        ("unreadable messages", wire.garbage),
        ("contradicted repeats", wire.contradicted),
        ("connections not made", wire.refused),
        ("connections broken", wire.broken),
    ] {
        if count > 0 {
            rows.push(vec![label.to_owned(), grouped(count)]);
        }
    }
    page.table(&["DE 39", "count"], &rows);
    for (what, count) in wire.troubles() {
        page.note(&format!("{what} ({count} times)"));
    }
}
