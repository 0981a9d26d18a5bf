//! What happened when: a run in slices of a tenth of a second.
#![allow(
    clippy::float_arithmetic,
    reason = "times and shares for plots; no money here"
)]

use std::time::Duration;

use crate::schedule::ns_of;

/// Latencies in buckets of 6 %, in the space of three cache lines a decade:
/// small enough for one of them in every slice.
#[derive(Clone, Debug)]
pub struct Sketch {
    counts: Box<[u32; Self::BUCKETS]>,
    total: u64,
}

impl Sketch {
    /// Sixteen to an octave, up to 2^27 µs (134 s).
    const BUCKETS: usize = 16 * 24;

    /// Nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            counts: Box::new([0; Self::BUCKETS]),
            total: 0,
        }
    }

    fn bucket(us: u64) -> usize {
        if us < 16 {
            return us as usize;
        }
        let shift = us.ilog2() - 4;
        let at = (shift as usize + 1) * 16 + ((us >> shift) & 15) as usize;
        at.min(Self::BUCKETS - 1)
    }

    /// The middle of a bucket.
    fn middle_us(bucket: usize) -> f64 {
        let (octave, sixteenth) = (bucket / 16, bucket % 16);
        if octave == 0 {
            return sixteenth as f64 + 0.5;
        }
        let width = (1u64 << (octave - 1)) as f64;
        (16 + sixteenth) as f64 * width + width / 2.0
    }

    /// Counts one latency.
    pub fn record(&mut self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(Self::bucket(us)) {
            *count = count.saturating_add(1);
        }
        self.total += 1;
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        for (mine, others) in self.counts.iter_mut().zip(other.counts.iter()) {
            *mine = mine.saturating_add(*others);
        }
        self.total += other.total;
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
    }

    /// How many latencies are in it.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.total
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The latency in microseconds below which this share of them lies, to 3 %;
    /// `None` when it is empty.
    #[must_use]
    pub fn quantile_us(&self, quantile: f64) -> Option<f64> {
        if self.total == 0 {
            return None;
        }
        let rank = ((self.total as f64 * quantile).ceil() as u64).clamp(1, self.total);
        let mut below = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            below += u64::from(*count);
            if below >= rank {
                return Some(Self::middle_us(bucket));
            }
        }
        None
    }
}

impl Default for Sketch {
    fn default() -> Self {
        Self::new()
    }
}

/// One slice of a run.
#[derive(Clone, Debug, Default)]
pub struct Slice {
    /// Requests whose intended send time lies in it.
    pub offered: u64,
    /// Answers that came in it.
    pub answered: u64,
    /// Of these, approvals.
    pub accepted: u64,
    /// Declines.
    pub declined: u64,
    /// Refusals (91).
    pub refused: u64,
    /// The longest time without any answer that ended in it, in microseconds.
    pub longest_gap_us: u64,
    /// Latencies of the requests whose intended send time lies in it.
    pub latency: Sketch,
}

impl Slice {
    fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.answered += other.answered;
        self.accepted += other.accepted;
        self.declined += other.declined;
        self.refused += other.refused;
        self.longest_gap_us = self.longest_gap_us.max(other.longest_gap_us);
        self.latency.add(&other.latency);
    }

    fn clear(&mut self) {
        let mut latency = std::mem::take(&mut self.latency);
        latency.clear();
        *self = Self {
            latency,
            ..Self::default()
        };
    }
}

/// A run in slices of the same width.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// How long a slice is.
    pub width: Duration,
    /// From the run's beginning on.
    pub slices: Vec<Slice>,
}

/// A tenth of a second.
pub const SLICE: Duration = Duration::from_millis(100);

/// Slices of one timeline: above it they would cost more memory than they tell.
const MAX_SLICES: usize = 36_000;

impl Timeline {
    /// Without slices.
    #[must_use]
    pub const fn new(width: Duration) -> Self {
        Self {
            width,
            slices: Vec::new(),
        }
    }

    /// The slice that a time since the run's beginning lies in; times beyond the
    /// longest timeline share the last one.
    fn slice(&mut self, index: usize) -> Option<&mut Slice> {
        let index = index.min(MAX_SLICES - 1);
        if self.slices.len() <= index {
            self.slices.resize_with(index + 1, Slice::default);
        }
        self.slices.get_mut(index)
    }

    /// Points (seconds, value) of every slice that has a value; the time is the
    /// middle of the slice.
    pub fn points(&self, value: impl Fn(&Slice) -> Option<f64>) -> Vec<(f64, f64)> {
        let width = self.width.as_secs_f64();
        self.slices
            .iter()
            .enumerate()
            .filter_map(|(index, slice)| Some(((index as f64 + 0.5) * width, value(slice)?)))
            .collect()
    }

    /// Points (seconds, events per second).
    pub fn rates(&self, count: impl Fn(&Slice) -> u64) -> Vec<(f64, f64)> {
        let width = self.width.as_secs_f64();
        self.points(|slice| Some(count(slice) as f64 / width))
    }

    /// Points (seconds, milliseconds) of a quantile of the latency.
    pub fn latencies_ms(&self, quantile: f64) -> Vec<(f64, f64)> {
        self.points(|slice| Some(slice.latency.quantile_us(quantile)? / 1_000.0))
    }

    /// How many slices there are until requests were no longer due.
    #[must_use]
    pub fn offered(&self) -> usize {
        let last = self.slices.iter().rposition(|slice| slice.offered > 0);
        last.map_or(0, |last| last + 1)
    }

    /// Answers that came between two times since the run's beginning. To the slice.
    #[must_use]
    pub fn answered(&self, from: Duration, to: Duration) -> u64 {
        let slices = self.between(ns_of(from), ns_of(to));
        slices.map(|slice| slice.answered).sum()
    }

    /// The longest time without any answer that ended between two times since
    /// the run's beginning, in microseconds. To the slice.
    #[must_use]
    pub fn longest_gap_us(&self, from_ns: u64, to_ns: u64) -> u64 {
        self.between(from_ns, to_ns)
            .map(|slice| slice.longest_gap_us)
            .max()
            .unwrap_or(0)
    }

    fn between(&self, from_ns: u64, to_ns: u64) -> impl Iterator<Item = &Slice> {
        let width = ns_of(self.width).max(1);
        let first = usize::try_from(from_ns / width).unwrap_or(usize::MAX);
        let last = usize::try_from(to_ns.div_ceil(width)).unwrap_or(usize::MAX);
        self.slices.iter().take(last).skip(first)
    }
}

/// One thread's slices that have not yet been added to the run's timeline.
///
/// A message costs no allocation: slices come back.
#[derive(Debug)]
pub(crate) struct Draft {
    width_ns: u64,
    /// Newest last.
    slices: Vec<(u64, Slice)>,
    spare: Vec<Slice>,
}

impl Draft {
    pub(crate) fn new(width: Duration) -> Self {
        Self {
            width_ns: ns_of(width).max(1),
            slices: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// The slice of a time.
    pub(crate) fn at(&mut self, ns: u64) -> &mut Slice {
        let index = ns / self.width_ns;
        let place = self.slices.iter().rposition(|(known, _)| *known == index);
        let place = place.unwrap_or_else(|| {
            let slice = self.spare.pop().unwrap_or_default();
            self.slices.push((index, slice));
            self.slices.len() - 1
        });
        // The place has just been found or made.
        #[allow(clippy::indexing_slicing)]
        &mut self.slices[place].1
    }

    /// Moves everything into the timeline.
    pub(crate) fn pour(&mut self, timeline: &mut Timeline) {
        for (index, mut slice) in self.slices.drain(..) {
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            if let Some(sum) = timeline.slice(index) {
                sum.add(&slice);
            }
            slice.clear();
            self.spare.push(slice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sketch_is_right_to_six_percent() {
        for us in [0, 1, 15, 16, 17, 31, 32, 100, 999, 12_345, 7_654_321] {
            let mut sketch = Sketch::new();
            sketch.record(Duration::from_micros(us));
            let told = sketch.quantile_us(0.5).unwrap();
            let off = (told - us as f64).abs();
            assert!(off <= (us as f64 * 0.035).max(0.5), "{us}: {told}");
        }
        // Beyond its end it says its end.
        let mut sketch = Sketch::new();
        sketch.record(Duration::from_secs(100_000));
        assert!(sketch.quantile_us(1.0).unwrap() > 120e6);
    }

    #[test]
    fn quantiles_are_ranks() {
        let mut sketch = Sketch::new();
        assert_eq!(sketch.quantile_us(0.5), None);
        for us in 1..=10 {
            sketch.record(Duration::from_micros(us));
        }
        assert_eq!(sketch.quantile_us(0.5), Some(5.5));
        assert_eq!(sketch.quantile_us(0.99), Some(10.5));
        assert_eq!(sketch.quantile_us(0.0), Some(1.5));
    }

    #[test]
    fn drafts_of_threads_make_one_timeline() {
        let mut timeline = Timeline::new(SLICE);
        for thread in 0..2 {
            let mut draft = Draft::new(SLICE);
            draft.at(250_000_000).offered += 1 + thread;
            draft.at(50_000_000).longest_gap_us = 7 * thread;
            draft.at(299_999_999).answered += 1;
            draft.pour(&mut timeline);
            draft.at(0).accepted += 1;
            draft.pour(&mut timeline);
        }
        assert_eq!(timeline.slices.len(), 3);
        assert_eq!(timeline.slices[2].offered, 3);
        assert_eq!(timeline.slices[2].answered, 2);
        assert_eq!(timeline.slices[0].accepted, 2);
        assert_eq!(timeline.longest_gap_us(0, 100_000_000), 7);
        assert_eq!(timeline.longest_gap_us(100_000_000, 300_000_000), 0);
        assert_eq!(
            timeline.rates(|slice| slice.offered),
            [(0.05, 0.0), (0.15000000000000002, 0.0), (0.25, 30.0)]
        );
    }
}
