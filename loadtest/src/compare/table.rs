//! What a comparison is told as.
#![allow(
    clippy::float_arithmetic,
    reason = "ratios and their bounds are real numbers; no money here"
)]

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::judge::{Ratio, lines, median, paired, shown, told};
use super::{CELLS, Cell, Comparison, Figures, Sample, Who};
use crate::bars::Bars;
use crate::goal::{self, Goal};
use crate::page::{Page, Tile};
use crate::report::grouped;

/// The figure of each round, of one host in one cell.
fn figures(samples: &[Sample], cell: Cell, who: Who, of: impl Fn(&Figures) -> u64) -> Vec<f64> {
    samples
        .iter()
        .filter(|sample| sample.cell == cell && sample.who == who)
        .map(|sample| of(&sample.figures) as f64)
        .collect()
}

/// The daemon's figure by null-durable's, round by round.
fn ratio(samples: &[Sample], cell: Cell, of: impl Fn(&Figures) -> u64 + Copy) -> Option<Ratio> {
    let gapless = figures(samples, cell, Who::Gapless, of);
    let durable = figures(samples, cell, Who::Durable, of);
    let pairs: Vec<_> = gapless.into_iter().zip(durable).collect();
    paired(&pairs)
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
                    (|figures: &Figures| figures.p50_ns) as fn(&Figures) -> u64,
                ),
                ("p99", |figures| figures.p99_ns),
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
        let rate = ratio(samples, cell, |figures| figures.per_second);
        let met = rate.is_some_and(|ratio| ratio.low >= 0.8);
        goal(
            format!("{name} throughput"),
            rate,
            "lower bound at least 0.80x",
            met,
        );
        if cell == Cell::Closed(8, 32) {
            let cpu = ratio(samples, cell, |figures| figures.cpu_ns);
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
        for (label, of, show) in shown(cell) {
            let mut cells = vec![label];
            for who in &hosts {
                cells.push(show(median(&figures(samples, cell, *who, of))));
            }
            cells.push(told(ratio(samples, cell, of)));
            rows.push(cells);
        }
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
    let head: Vec<_> = head(comparison).into_iter().map(str::to_owned).collect();
    text.push_str(&lines(&head, &rows(comparison, samples)));
    text.push('\n');
    let goals = goals(samples);
    text.push_str(&goal::lines(&goals));
    // The naive peer is not expected to keep up with the open loop.
    let judged = samples.iter().filter(|sample| sample.who != Who::Postgres);
    let unfair: String = judged
        .filter_map(|sample| {
            let host = sample.who.name();
            sample.figures.unfair(sample.round, sample.cell, host)
        })
        .collect();
    text.push_str(&unfair);
    (text, unfair.is_empty() && goal::all_met(&goals))
}

fn heading(comparison: &Comparison) -> String {
    format!(
        "{}; {} cards; in brackets 95 % confidence bounds of the median paired ratio",
        comparison.rounds.told(),
        grouped(comparison.cards.into()),
    )
}

/// Everything, for machines.
#[must_use]
pub fn json(comparison: &Comparison, samples: &[Sample]) -> Value {
    let runs: Vec<_> = samples
        .iter()
        .map(|sample| {
            sample
                .figures
                .json(sample.round, sample.cell, sample.who.name())
        })
        .collect();
    let goals: Vec<_> = goals(samples).iter().map(Goal::json).collect();
    json!({
        "version": 1,
        "rounds": comparison.rounds.count,
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
                |who: &Who| median(&figures(samples, cell, *who, |figures| figures.per_second));
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
