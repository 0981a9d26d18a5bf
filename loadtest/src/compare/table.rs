//! What a comparison is told as.
#![allow(
    clippy::float_arithmetic,
    reason = "ratios and their bounds are real numbers; no money here"
)]

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::judge::{Ratio, median, paired};
use super::{CELLS, Cell, Comparison, Sample, Who};
use crate::bars::Bars;
use crate::goal::{self, Goal};
use crate::page::{Page, Tile};
use crate::report::grouped;

/// The figure of each round, of one host in one cell.
fn figures(samples: &[Sample], cell: Cell, who: Who, of: impl Fn(&Sample) -> u64) -> Vec<f64> {
    samples
        .iter()
        .filter(|sample| sample.cell == cell && sample.who == who)
        .map(|sample| of(sample) as f64)
        .collect()
}

/// The daemon's figure by null-durable's, round by round.
fn ratio(samples: &[Sample], cell: Cell, of: impl Fn(&Sample) -> u64 + Copy) -> Option<Ratio> {
    let gapless = figures(samples, cell, Who::Gapless, of);
    let durable = figures(samples, cell, Who::Durable, of);
    let pairs: Vec<_> = gapless.into_iter().zip(durable).collect();
    paired(&pairs)
}

fn told(ratio: Option<Ratio>) -> String {
    ratio.map_or_else(
        || "-".to_owned(),
        |ratio| {
            format!(
                "{:.2}x ({:.2} to {:.2})",
                ratio.median, ratio.low, ratio.high
            )
        },
    )
}

fn goals(samples: &[Sample]) -> Vec<Goal> {
    let cells = CELLS
        .into_iter()
        .filter(|cell| samples.iter().any(|sample| sample.cell == *cell));
    let mut goals = Vec::new();
    let mut goal = |name: String, ratio: Option<Ratio>, wanted: &str, met: bool| {
        goals.push(Goal::new(name, told(ratio), wanted, met));
    };
    for cell in cells {
        let name = cell.name();
        if let Cell::Open(..) = cell {
            for (label, of) in [
                (
                    "p50",
                    (|sample: &Sample| sample.p50_ns) as fn(&Sample) -> u64,
                ),
                ("p99", |sample| sample.p99_ns),
            ] {
                let ratio = ratio(samples, cell, of);
                let met = ratio.is_some_and(|ratio| ratio.median <= 1.25);
                goal(
                    format!("{name} {label}"),
                    ratio,
                    "median at most 1.25x",
                    met,
                );
            }
            continue;
        }
        let rate = ratio(samples, cell, |sample| sample.per_second);
        let met = rate.is_some_and(|ratio| ratio.low >= 0.8);
        goal(
            format!("{name} throughput"),
            rate,
            "lower bound at least 0.80x",
            met,
        );
        if cell == Cell::Closed(8, 32) {
            let cpu = ratio(samples, cell, |sample| sample.cpu_ns);
            let met = cpu.is_some_and(|ratio| ratio.median <= 2.0);
            goal(
                format!("{name} server CPU"),
                cpu,
                "median at most 2.00x",
                met,
            );
        }
    }
    goals
}

/// One row a cell and figure: the three hosts' medians, and the daemon's ratio.
fn rows(comparison: &Comparison, samples: &[Sample]) -> Vec<Vec<String>> {
    let hosts = comparison.hosts();
    let mut rows = Vec::new();
    for cell in CELLS {
        if !samples.iter().any(|sample| sample.cell == cell) {
            continue;
        }
        let name = cell.name();
        let mut row = |label: &str, of: fn(&Sample) -> u64, show: fn(f64) -> String| {
            let mut cells = vec![format!("{name} {label}")];
            for who in &hosts {
                let who = *who;
                cells.push(show(median(&figures(samples, cell, who, of))));
            }
            cells.push(told(ratio(samples, cell, of)));
            rows.push(cells);
        };
        let us = |ns: f64| match ns {
            0.0 => "-".to_owned(),
            ns => format!("{:.1} us", ns / 1_000.0),
        };
        if let Cell::Closed(..) = cell {
            row(
                "per second",
                |sample| sample.per_second,
                |rate| grouped(rate as u64),
            );
        }
        row("p50", |sample| sample.p50_ns, us);
        row("p99", |sample| sample.p99_ns, us);
        row(
            "server CPU",
            |sample| sample.cpu_ns,
            |ns| format!("{:.2} us", ns / 1_000.0),
        );
    }
    rows
}

fn head(comparison: &Comparison) -> Vec<&'static str> {
    let hosts = comparison.hosts();
    let mut head = vec!["median"];
    head.extend(hosts.iter().map(|who| who.name()));
    head.push("gapless / null-durable");
    head
}

/// The table at the end, and whether every goal is met.
#[must_use]
pub fn table(comparison: &Comparison, samples: &[Sample]) -> (String, bool) {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(text, "{}\n", heading(comparison));
    let mut line = |cells: &[String]| {
        for (place, cell) in cells.iter().enumerate() {
            let _ = match place {
                0 => write!(text, "  {cell:<22}"),
                place if place + 1 == cells.len() => write!(text, " {cell:>26}"),
                _ => write!(text, " {cell:>13}"),
            };
        }
        text.push('\n');
    };
    let head: Vec<_> = head(comparison).into_iter().map(str::to_owned).collect();
    line(&head);
    for row in rows(comparison, samples) {
        line(&row);
    }
    text.push('\n');
    let goals = goals(samples);
    text.push_str(&goal::lines(&goals));
    // The naive peer is not expected to keep up with the open loop.
    let judged = samples.iter().filter(|sample| sample.who != Who::Postgres);
    let missed: u64 = judged.map(|sample| sample.missed).sum();
    if missed > 0 {
        let _ = writeln!(
            text,
            "  ! {} requests were not approved: their hosts were not measured fairly",
            grouped(missed)
        );
    }
    (text, missed == 0 && goal::all_met(&goals))
}

fn heading(comparison: &Comparison) -> String {
    format!(
        "{} rounds in turns, {} ms each after {} ms of warm-up; {} cards; in brackets 95 % \
         confidence bounds of the median paired ratio",
        comparison.rounds,
        comparison.lasts.as_millis(),
        comparison.warm_up.as_millis(),
        grouped(comparison.cards.into()),
    )
}

/// Everything, for machines.
#[must_use]
pub fn json(comparison: &Comparison, samples: &[Sample]) -> Value {
    let runs: Vec<_> = samples
        .iter()
        .map(|sample| {
            json!({
                "round": sample.round,
                "cell": sample.cell.name(),
                "host": sample.who.name(),
                "answered_per_second": sample.per_second,
                "p50_ns": sample.p50_ns,
                "p99_ns": sample.p99_ns,
                "server_cpu_ns_per_answer": sample.cpu_ns,
                "not_approved": sample.missed,
            })
        })
        .collect();
    let goals: Vec<_> = goals(samples).iter().map(Goal::json).collect();
    json!({
        "version": 1,
        "rounds": comparison.rounds,
        "cards": comparison.cards,
        "runs": runs,
        "goals": goals,
    })
}

/// Everything as a page.
#[must_use]
pub fn html(comparison: &Comparison, samples: &[Sample]) -> String {
    let mut page = Page::new("Gapless beside its physical limits", &heading(comparison));
    let tiles: Vec<Tile> = goals(samples)
        .into_iter()
        .map(|goal| Tile {
            // Without its bounds: it stands large.
            figure: goal.figure.split(' ').next().unwrap_or_default().to_owned(),
            ..goal.tile()
        })
        .collect();
    page.tiles(&tiles);
    page.note("gapless by null-durable, medians of paired ratios; green: the goal is met");
    page.heading("Throughput");
    page.plot(&bars(comparison, samples).svg());
    page.heading("All figures");
    page.table(&head(comparison), &rows(comparison, samples));
    page.note(
        "null sends back what comes; null-durable makes its bytes durable by group commit and \
         fdatasync first; gapless authorises each request and makes the answer durable.",
    );
    page.html()
}

/// Bars of the medians.
fn bars(comparison: &Comparison, samples: &[Sample]) -> Bars {
    let hosts = comparison.hosts();
    let groups = CELLS
        .into_iter()
        .filter(|cell| matches!(cell, Cell::Closed(..)))
        .filter(|cell| samples.iter().any(|sample| sample.cell == *cell))
        .map(|cell| {
            let rate =
                |who: &Who| median(&figures(samples, cell, *who, |sample| sample.per_second));
            (cell.name(), hosts.iter().map(rate).collect())
        })
        .collect();
    Bars {
        title: "Answers a second, closed loop".to_owned(),
        note: "connections x in flight; medians; logarithmic".to_owned(),
        // Greys for what it is compared with.
        series: hosts
            .iter()
            .map(|who| {
                let colour = match who {
                    Who::Null => 8,
                    Who::Durable => 5,
                    Who::Gapless => 0,
                    Who::Postgres => 2,
                };
                (who.name().to_owned(), colour)
            })
            .collect(),
        groups,
    }
}
