//! The journal's port with a meter before it.

use std::time::Instant;

use gapless_journal::{Batch, Port, Verdict};

use crate::telemetry::JournalMetrics;

/// Passes everything on and notes size and duration of each group.
pub(super) struct Metered<P> {
    pub(super) port: P,
    pub(super) metrics: JournalMetrics,
}

impl<P: Port> Port for Metered<P> {
    fn term(&self) -> u64 {
        self.port.term()
    }

    fn max_group_bytes(&self) -> usize {
        self.port.max_group_bytes()
    }

    fn submit(&mut self, batch: Batch<'_>) -> Verdict {
        let (events, bytes) = (batch.last - batch.expected_head, batch.events.len());
        let began = Instant::now();
        let verdict = self.port.submit(batch);
        self.metrics
            .sync_seconds
            .record(began.elapsed().as_secs_f64());
        self.metrics.group_events.record(count(events));
        self.metrics.group_bytes.record(count(bytes as u64));
        verdict
    }

    fn resolve(&mut self, batch_id: u64) -> Verdict {
        self.port.resolve(batch_id)
    }
}

/// Histograms take floats; groups are far below 2^32 events or bytes.
fn count(n: u64) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}
