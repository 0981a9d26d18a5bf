//! A long run: memory and latency must stay flat, and the books right.
#![allow(
    clippy::float_arithmetic,
    reason = "shares and places on a page are real numbers; no money here"
)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::audit::Audit;
use crate::cpu;
use crate::open_loop::Outcome;
use crate::page::{Page, Tile};
use crate::plot::{Axis, Plot, Series};
use crate::report::{grouped, html, ms};
use crate::timeline::{Sketch, Slice};

/// Memory of the host over the run.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// When, since the first look; resident bytes.
    pub samples: Vec<(Duration, u64)>,
}

/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Memory {
    /// Looks, if it is time to.
    pub fn look(&mut self, pid: u32, began: Instant) {
        let at = began.elapsed();
        let due = self
            .samples
            .last()
            .is_none_or(|(last, _)| at.saturating_sub(*last) >= LOOK_EVERY);
        if due && let Some(bytes) = cpu::resident_bytes(pid) {
            self.samples.push((at, bytes));
        }
    }

    /// The median of a part of the run, in quarters from 0 on.
    fn quarter(&self, quarter: usize) -> Option<u64> {
        let (from, to) = quarter_of(self.samples.len(), quarter);
        let mut bytes: Vec<u64> = self
            .samples
            .get(from..to)?
            .iter()
            .map(|sample| sample.1)
            .collect();
        bytes.sort_unstable();
        bytes.get(bytes.len() / 2).copied()
    }
}

/// From where to where the quarter of so many goes.
const fn quarter_of(count: usize, quarter: usize) -> (usize, usize) {
    (count * quarter / 4, count * (quarter + 1) / 4)
}

/// What must hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The last quarter's memory less what the host must remember of the
    /// transactions in between, to the second's, in percent.
    pub memory_percent: u64,
    /// What a host is expected to keep of every transaction, in bytes.
    pub bytes_per_transaction: u64,
    /// The last quarter's p99 to the first's, in percent.
    pub p99_percent: u64,
}

/// A soak's verdict.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Resident bytes in the second and the last quarter; the first fills tables
    /// and caches.
    pub memory: Option<(u64, u64)>,
    /// What of the growth is what must be remembered.
    pub remembered_bytes: u64,
    /// p99 of the first and the last quarter, in microseconds.
    pub p99_us: Option<(f64, f64)>,
    /// Whether memory is flat.
    pub memory_flat: bool,
    /// Whether latency is.
    pub latency_flat: bool,
}

/// Judges a run.
#[must_use]
pub fn judge(outcome: &Outcome, memory: &Memory, limits: Limits) -> Verdict {
    let slices = &outcome.timeline.slices;
    let part = |quarter| {
        let (from, to) = quarter_of(slices.len(), quarter);
        slices.get(from..to).unwrap_or_default()
    };
    let p99 = |slices: &[Slice]| {
        let mut all = Sketch::new();
        for slice in slices {
            all.add(&slice.latency);
        }
        all.quantile_us(0.99)
    };
    // From the middle of the second quarter to that of the last: half the run.
    let answered: u64 = slices.iter().map(|slice| slice.answered).sum();
    let remembered_bytes = answered / 2 * limits.bytes_per_transaction;
    let memory = memory.quarter(1).zip(memory.quarter(3));
    let memory_flat = memory.is_some_and(|(early, late)| {
        late.saturating_sub(remembered_bytes) * 100 <= early * limits.memory_percent
    });
    let p99_us = p99(part(0)).zip(p99(part(3)));
    let latency_flat =
        p99_us.is_some_and(|(early, late)| late * 100.0 <= early * limits.p99_percent as f64);
    Verdict {
        memory,
        remembered_bytes,
        p99_us,
        memory_flat,
        latency_flat,
    }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", grouped(bytes >> 20))
}

fn flat(is_flat: bool) -> &'static str {
    if is_flat { "flat" } else { "NOT FLAT" }
}

impl Verdict {
    /// Two lines.
    #[must_use]
    pub fn told(&self) -> String {
        let memory = self.memory.map_or_else(
            || "memory: not told by the system".to_owned(),
            |(early, late)| {
                format!(
                    "memory: {} in the second quarter, {} in the last, of which {} are what must be \
                     remembered: {}",
                    mib(early),
                    mib(late),
                    mib(self.remembered_bytes),
                    flat(self.memory_flat)
                )
            },
        );
        let latency = self.p99_us.map_or_else(
            || "latency: nothing was answered".to_owned(),
            |(early, late)| {
                format!(
                    "latency: p99 {} in the first quarter, {} in the last: {}",
                    ms((early * 1_000.0) as u64),
                    ms((late * 1_000.0) as u64),
                    flat(self.latency_flat)
                )
            },
        );
        format!("{memory}\n  {latency}")
    }

    /// For machines.
    #[must_use]
    pub fn json(&self, memory: &Memory) -> Value {
        let samples: Vec<_> = memory
            .samples
            .iter()
            .map(|(at, bytes)| json!([at.as_secs_f64(), bytes]))
            .collect();
        json!({
            "memory_bytes": self.memory.map(|(early, late)| [early, late]),
            "remembered_bytes": self.remembered_bytes,
            "memory_flat": self.memory_flat,
            "p99_us": self.p99_us.map(|(early, late)| [early, late]),
            "latency_flat": self.latency_flat,
            "resident": samples,
        })
    }
}

/// A soak as a page.
#[must_use]
pub fn page(
    title: &str,
    outcome: &Outcome,
    memory: &Memory,
    verdict: &Verdict,
    audit: Option<&Audit>,
) -> String {
    let mut page = Page::new("Soak", title);
    let answered: u64 = outcome
        .timeline
        .slices
        .iter()
        .map(|slice| slice.answered)
        .sum();
    let mut tiles = vec![
        Tile::plain(grouped(answered), "answered"),
        Tile::judged(flat(verdict.memory_flat), "memory", verdict.memory_flat),
        Tile::judged(flat(verdict.latency_flat), "latency", verdict.latency_flat),
    ];
    if let Some(audit) = audit {
        let figure = if audit.is_right() {
            "right"
        } else {
            "NOT RIGHT"
        };
        let label = format!(
            "money, {} accounts compared",
            grouped(audit.compared.into())
        );
        tiles.push(Tile::judged(figure, label, audit.is_right()));
    }
    page.tiles(&tiles);
    page.note(&verdict.told());
    let points = memory
        .samples
        .iter()
        .map(|(at, bytes)| (at.as_secs_f64(), *bytes as f64 / f64::from(1 << 20)))
        .collect();
    let plot = Plot {
        title: "Memory over time".to_owned(),
        note: "resident, of the host's process".to_owned(),
        x: html::seconds(&outcome.timeline),
        y: Axis::linear("MiB"),
        series: vec![Series::line("resident", 3, points)],
        ..Plot::default()
    };
    page.plot(&plot.svg());
    let windows = html::windows(outcome);
    page.plot(&html::latencies(&outcome.timeline, &windows).svg());
    page.plot(&html::rates(&outcome.timeline, &windows).svg());
    page.html()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_cover_all() {
        assert_eq!(
            [0, 1, 2, 3].map(|quarter| quarter_of(10, quarter)),
            [(0, 2), (2, 5), (5, 7), (7, 10)]
        );
    }

    #[test]
    fn growth_beyond_what_is_remembered_is_seen() {
        let memory = |late: u64| Memory {
            samples: (0..8u64)
                .map(|n| (Duration::from_secs(n), if n < 4 { 1_000 } else { late }))
                .collect(),
        };
        let mut timeline = crate::timeline::Timeline::new(Duration::from_secs(1));
        timeline.slices = vec![
            Slice {
                answered: 10,
                ..Slice::default()
            };
            4
        ];
        for slice in &mut timeline.slices {
            slice.latency.record(Duration::from_micros(100));
        }
        let outcome = Outcome {
            phases: Vec::new(),
            wire: crate::stats::Wire::new().unwrap(),
            ledger: crate::ledger::Ledger::default(),
            timeline,
            sums: crate::stats::Counts::default(),
            sending: Duration::from_secs(4),
            elapsed: Duration::from_secs(4),
            cpu: Duration::ZERO,
            code_digits: 2,
        };
        let limits = Limits {
            memory_percent: 110,
            bytes_per_transaction: 10,
            p99_percent: 150,
        };
        // Twenty transactions lie between the two quarters: 200 bytes.
        assert!(judge(&outcome, &memory(1_300), limits).memory_flat);
        assert!(!judge(&outcome, &memory(1_301), limits).memory_flat);
        assert!(judge(&outcome, &memory(1_000), limits).latency_flat);
    }
}
