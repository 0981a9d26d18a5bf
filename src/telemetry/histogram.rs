//! Histograms for the hot path: fixed buckets of plain atomics.
//!
//! The exporter's own keep every sample until somebody folds them, and allocate
//! for that while payments wait; these add to two integers and never allocate.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A distribution over fixed buckets. Cheap to clone; clones share the figures.
#[derive(Clone)]
pub struct Histogram(Arc<Figures>);

struct Figures {
    /// Inclusive upper bounds, ascending; one bucket more than bounds.
    bounds: &'static [f64],
    buckets: Box<[AtomicU64]>,
    sum: Sum,
}

enum Sum {
    /// Seconds, kept as nanoseconds.
    Seconds(AtomicU64),
    /// Whole things.
    Count(AtomicU64),
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Histogram(..)")
    }
}

impl Histogram {
    /// With no samples.
    pub(super) fn new(bounds: &'static [f64], is_seconds: bool) -> Self {
        let sum = AtomicU64::new(0);
        Self(Arc::new(Figures {
            bounds,
            buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: if is_seconds {
                Sum::Seconds(sum)
            } else {
                Sum::Count(sum)
            },
        }))
    }

    /// One sample more: seconds, or a whole number of things.
    #[inline]
    pub fn record(&self, value: f64) {
        self.record_some(value, 1);
    }

    /// So many samples more, of one value.
    pub fn record_some(&self, value: f64, samples: u64) {
        let figures = &*self.0;
        let at = figures.bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = figures.buckets.get(at) {
            bucket.fetch_add(samples, Ordering::Relaxed);
        }
        match &figures.sum {
            Sum::Seconds(sum) => {
                let nanos = Duration::try_from_secs_f64(value)
                    .ok()
                    .and_then(|time| u64::try_from(time.as_nanos()).ok());
                let nanos = nanos.unwrap_or(0).saturating_mul(samples);
                sum.fetch_add(nanos, Ordering::Relaxed);
            }
            // Saturates: negative and no number are 0.
            Sum::Count(sum) => {
                sum.fetch_add((value as u64).saturating_mul(samples), Ordering::Relaxed);
            }
        }
    }

    /// Its lines in Prometheus' text form. `labels` is empty or ends with a comma.
    pub(super) fn render(&self, name: &str, labels: &str, out: &mut String) {
        let figures = &*self.0;
        let mut count = 0u64;
        let bounds = figures.bounds.iter().map(f64::to_string);
        let bounds = bounds.chain(std::iter::once("+Inf".to_owned()));
        // Writing to a string never fails.
        for (bound, bucket) in bounds.zip(&figures.buckets) {
            count += bucket.load(Ordering::Relaxed);
            let _ = writeln!(out, "{name}_bucket{{{labels}le=\"{bound}\"}} {count}");
        }
        let labels = match labels.trim_end_matches(',') {
            "" => String::new(),
            labels => format!("{{{labels}}}"),
        };
        let _ = match &figures.sum {
            Sum::Seconds(nanos) => {
                let time = Duration::from_nanos(nanos.load(Ordering::Relaxed));
                let (seconds, nanos) = (time.as_secs(), time.subsec_nanos());
                writeln!(out, "{name}_sum{labels} {seconds}.{nanos:09}")
            }
            Sum::Count(sum) => {
                let sum = sum.load(Ordering::Relaxed);
                writeln!(out, "{name}_sum{labels} {sum}")
            }
        };
        let _ = writeln!(out, "{name}_count{labels} {count}");
    }
}
