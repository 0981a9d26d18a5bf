//! The highest rate at which p99 stays under a bound, and the curve of latency
//! against rate on the way there.
#![allow(
    clippy::float_arithmetic,
    reason = "a plot's places are real numbers; no money here"
)]

use std::time::Duration;

use serde_json::{Value, json};

use crate::open_loop::{self, Control, Snapshot};
use crate::page::{Page, Tile};
use crate::plan::{Load, Plan};
use crate::report::{grouped, html, json as told_json, ms, per_second};
use crate::schedule::{Spacing, Step, ns_of};
use crate::stats::Stats;

/// What is searched.
#[derive(Clone, Debug)]
pub struct Search {
    /// Host, traffic, connections; its load is replaced.
    pub plan: Plan,
    /// p99 must stay under this.
    pub bound: Duration,
    /// The first rate.
    pub from: u64,
    /// The last one.
    pub to: u64,
    /// How long each rate is held.
    pub step: Duration,
    /// How arrivals are spaced.
    pub spacing: Spacing,
    /// Ends when the best rate is known to one part in so many.
    pub precision: u64,
}

/// A rate that was tried.
#[derive(Clone, Debug)]
pub struct Point {
    /// Offered, a second.
    pub rate: u64,
    /// What came of it.
    pub stats: Stats,
    /// Answers a second while it was offered.
    pub answered_per_second: u64,
    /// Whether the host held it.
    pub held: bool,
    /// Why not, in words.
    pub why: String,
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The highest rate held; `None`: not even the first.
    pub best: Option<u64>,
    /// Whether a higher one was tried and not held.
    pub is_limit: bool,
    /// Every rate tried, in order of trial.
    pub points: Vec<Point>,
}

impl Search {
    /// Doubles from the first rate until one is not held, then halves the distance.
    ///
    /// # Errors
    /// The generator fails. What the host does is told in the points.
    pub fn run(&self, mut look: impl FnMut(u64, &Snapshot)) -> anyhow::Result<Found> {
        let mut points = Vec::new();
        let (mut held, mut missed) = (None, None);
        let mut rate = self.from.max(1);
        loop {
            let point = self.try_rate(rate, |now| look(rate, now))?;
            let is_held = point.held;
            points.push(point);
            if is_held {
                held = Some(rate);
            } else {
                missed = Some(rate);
            }
            rate = match (held, missed) {
                (Some(best), None) if best >= self.to => break,
                (Some(best), None) => (best * 2).min(self.to),
                (None, Some(_)) => break,
                (best, limit) => {
                    let (best, limit) = (best.unwrap_or(0), limit.unwrap_or(0));
                    if limit - best <= (best / self.precision.max(1)).max(1) {
                        break;
                    }
                    best + (limit - best) / 2
                }
            };
        }
        Ok(Found {
            best: held,
            is_limit: missed.is_some(),
            points,
        })
    }

    fn try_rate(&self, rate: u64, look: impl FnMut(&Snapshot)) -> anyhow::Result<Point> {
        let mut plan = self.plan.clone();
        plan.warm_up = (self.step / 5).min(Duration::from_secs(2));
        plan.load = Load::Open {
            steps: vec![Step {
                per_second: rate,
                lasts: self.step,
            }],
            spacing: self.spacing,
            most_in_flight: plan.slots(),
        };
        let outcome = open_loop::run(&plan, &Control::new(&plan), look)?;
        let stats = outcome.total()?;
        let missing = stats.lost + stats.not_sent + stats.late;
        let p99_ns = stats.latency_ns(0.99);
        let answered_per_second = per_second(
            outcome.timeline.answered(plan.warm_up, outcome.sending),
            self.step,
        );
        // What was still to be answered at the end took so long.
        let behind = outcome.elapsed.saturating_sub(outcome.sending);
        let why = if stats.answered_all() == 0 {
            "nothing was answered".to_owned()
        } else if missing > 0 {
            format!("{} late, lost or not sent", grouped(missing))
        } else if stats.refused > 0 {
            format!("{} refused", grouped(stats.refused))
        } else if p99_ns >= ns_of(self.bound) {
            format!("p99 {}", ms(p99_ns))
        } else if behind > self.bound {
            format!("{} behind at the end", ms(ns_of(behind)))
        } else {
            String::new()
        };
        Ok(Point {
            rate,
            held: why.is_empty(),
            why,
            answered_per_second,
            stats,
        })
    }
}

impl Found {
    /// Points in order of rate.
    fn sorted(&self) -> Vec<&Point> {
        let mut points: Vec<_> = self.points.iter().collect();
        points.sort_by_key(|point| point.rate);
        points
    }

    /// One row a rate, and the result.
    #[must_use]
    pub fn table(&self, search: &Search) -> String {
        let mut text = format!(
            "\n  {:>12} {:>12} {:>12} {:>12} {:>12} {:>12}\n",
            "offered/s", "answered/s", "p50", "p99", "p99.9", "max"
        );
        for point in self.sorted() {
            let stats = &point.stats;
            let verdict = if point.held {
                "held"
            } else {
                point.why.as_str()
            };
            text.push_str(&format!(
                "  {:>12} {:>12} {:>12} {:>12} {:>12} {:>12}  {verdict}\n",
                grouped(point.rate),
                grouped(point.answered_per_second),
                ms(stats.latency_ns(0.5)),
                ms(stats.latency_ns(0.99)),
                ms(stats.latency_ns(0.999)),
                ms(stats.longest_ns()),
            ));
        }
        text.push_str(&format!("\n  {}\n", self.told(search)));
        text
    }

    fn told(&self, search: &Search) -> String {
        let bound = ms(ns_of(search.bound));
        match (self.best, self.is_limit) {
            (Some(best), true) => {
                format!(
                    "the highest rate with p99 under {bound}: {}/s",
                    grouped(best)
                )
            }
            (Some(best), false) => format!(
                "p99 stays under {bound} up to {}/s, the highest rate tried",
                grouped(best)
            ),
            (None, _) => format!(
                "p99 is not under {bound} even at {}/s",
                grouped(search.from)
            ),
        }
    }

    /// Everything, for machines.
    #[must_use]
    pub fn json(&self, search: &Search) -> Value {
        let points: Vec<_> = self
            .sorted()
            .into_iter()
            .map(|point| {
                json!({
                    "rate": point.rate,
                    "answered_per_second": point.answered_per_second,
                    "held": point.held,
                    "why": point.why,
                    "stats": told_json::of_stats(&point.stats),
                })
            })
            .collect();
        json!({
            "version": 1,
            "target": search.plan.target,
            "bound_ns": ns_of(search.bound),
            "best": self.best,
            "is_limit": self.is_limit,
            "points": points,
        })
    }

    /// A page with the curve.
    #[must_use]
    pub fn html(&self, search: &Search) -> String {
        let mut page = Page::new(
            "How much it takes",
            &format!(
                "{} ({}): open loop on {} connections, each rate for {} s; mix {}",
                search.plan.target,
                search.plan.dialect.name(),
                search.plan.connections,
                search.step.as_secs(),
                search.plan.mix
            ),
        );
        let best = self
            .best
            .map_or_else(|| "none".to_owned(), |best| format!("{}/s", grouped(best)));
        page.tiles(&[Tile::plain(
            best,
            format!("highest rate with p99 under {}", ms(ns_of(search.bound))),
        )]);
        let points: Vec<(f64, &Stats)> = self
            .sorted()
            .into_iter()
            .filter(|point| point.stats.answered_all() > 0)
            .map(|point| (point.rate as f64, &point.stats))
            .collect();
        let bound_ms = search.bound.as_secs_f64() * 1_000.0;
        page.plot(&html::against_rate(&points, Some(bound_ms)).svg());
        let rows: Vec<Vec<String>> = self
            .sorted()
            .into_iter()
            .map(|point| {
                let stats = &point.stats;
                vec![
                    grouped(point.rate),
                    grouped(point.answered_per_second),
                    ms(stats.latency_ns(0.5)),
                    ms(stats.latency_ns(0.99)),
                    ms(stats.latency_ns(0.999)),
                    ms(stats.longest_ns()),
                    if point.held {
                        "held".to_owned()
                    } else {
                        point.why.clone()
                    },
                ]
            })
            .collect();
        page.table(
            &["offered/s", "answered/s", "p50", "p99", "p99.9", "max", ""],
            &rows,
        );
        page.html()
    }
}
