//! Medians, paired ratios, and how sure they are.
#![allow(
    clippy::float_arithmetic,
    reason = "ratios and their bounds are real numbers; no money here"
)]

use std::fmt::Write as _;

use crate::measure::{Cell, Figures};
use crate::report::grouped;
use crate::rng::Rng;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 2_000;

/// A ratio over rounds, each round's two figures taken right after each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The median of the rounds' ratios.
    pub median: f64,
    /// 95 % confidence bounds of it, by bootstrap.
    pub low: f64,
    /// The upper one.
    pub high: f64,
}

/// The middle one, or between the two in the middle; zero of nothing.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let at = |place: usize| sorted.get(place).copied().unwrap_or(0.0);
    if sorted.len().is_multiple_of(2) {
        f64::midpoint(at(middle.saturating_sub(1)), at(middle))
    } else {
        at(middle)
    }
}

/// The ratio of each pair (figure, to what), and how sure its median is: the
/// percentile bootstrap, from a fixed seed. `None` without a pair.
#[must_use]
pub fn paired(pairs: &[(f64, f64)]) -> Option<Ratio> {
    let ratios: Vec<f64> = pairs
        .iter()
        .filter(|(_, to)| *to > 0.0)
        .map(|(figure, to)| figure / to)
        .collect();
    let count = u32::try_from(ratios.len())
        .ok()
        .filter(|count| *count > 0)?;
    let mut rng = Rng::new(0x9a91e55);
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let sample: Vec<f64> = (0..count)
                .filter_map(|_| ratios.get(rng.below(count) as usize).copied())
                .collect();
            median(&sample)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let bound = |place: usize| medians.get(place).copied().unwrap_or(0.0);
    Some(Ratio {
        median: median(&ratios),
        low: bound(RESAMPLES / 40),
        high: bound(RESAMPLES - 1 - RESAMPLES / 40),
    })
}

/// `0.93x (0.88 to 0.99)`.
#[must_use]
pub fn told(ratio: Option<Ratio>) -> String {
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

/// A row of a comparison's table: its label, the figure, and how it is shown.
pub type Shown = (String, fn(&Figures) -> u64, fn(f64) -> String);

/// The rows of a cell.
#[must_use]
pub fn shown(cell: Cell) -> Vec<Shown> {
    let name = cell.name();
    let us = |ns: f64| match ns {
        0.0 => "-".to_owned(),
        ns => format!("{:.1} us", ns / 1_000.0),
    };
    let mut rows: Vec<Shown> = Vec::new();
    if let Cell::Closed(..) = cell {
        rows.push((
            format!("{name} per second"),
            |figures| figures.per_second,
            |rate| grouped(rate as u64),
        ));
    }
    rows.push((format!("{name} p50"), |figures| figures.p50_ns, us));
    rows.push((format!("{name} p99"), |figures| figures.p99_ns, us));
    if let Cell::Open(..) = cell {
        rows.push((format!("{name} p99.9"), |figures| figures.p999_ns, us));
    }
    rows.push((
        format!("{name} server CPU"),
        |figures| figures.cpu_ns,
        |ns| format!("{:.2} us", ns / 1_000.0),
    ));
    rows
}

/// Lines of a table: a label, figures, and a ratio at the end.
#[must_use]
pub fn lines(head: &[String], rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for cells in std::iter::once(head).chain(rows.iter().map(Vec::as_slice)) {
        for (place, cell) in cells.iter().enumerate() {
            // Writing to a string does not fail.
            let _ = match place {
                0 => write!(text, "  {cell:<22}"),
                place if place + 1 == cells.len() => write!(text, " {cell:>26}"),
                _ => write!(text, " {cell:>13}"),
            };
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn bounds_hold_the_median_and_tighten() {
        // Noise of both figures of a pair is the same: the ratio does not see it.
        let noise = [1.0, 3.0, 0.5, 2.0, 1.5, 0.7, 1.1];
        let pairs: Vec<_> = noise.iter().map(|n| (0.8 * n, *n)).collect();
        let ratio = paired(&pairs).unwrap();
        assert!((ratio.median - 0.8).abs() < 1e-9);
        assert!((ratio.high - ratio.low).abs() < 1e-9);
        let spread: Vec<_> = (0..15).map(|n| (f64::from(n) / 10.0 + 0.3, 1.0)).collect();
        let ratio = paired(&spread).unwrap();
        assert!(ratio.low < ratio.median && ratio.median < ratio.high);
        assert!(ratio.low > 0.3 && ratio.high < 1.7);
        assert_eq!(paired(&[]), None);
    }
}
