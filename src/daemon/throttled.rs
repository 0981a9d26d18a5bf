//! The journal's port as slow as a test wants it.

use std::thread;
use std::time::{Duration, Instant};

use gapless_journal::{Batch, Port, Verdict};

/// Passes everything on, and takes as long for it as a log would that stores so many
/// events a second: what an overload comes to can be seen on any machine.
pub(super) struct Throttled<P> {
    port: P,
    events_per_s: u64,
    /// When such a log would have stored all that it was given.
    free_at: Option<Instant>,
}

impl<P> Throttled<P> {
    /// Without a limit if `events_per_s` is 0.
    pub(super) fn new(port: P, events_per_s: u32) -> Self {
        if events_per_s > 0 {
            tracing::warn!(
                events_per_s,
                "the journal is throttled (journal.test_events_per_s): for tests only"
            );
        }
        Self {
            port,
            events_per_s: events_per_s.into(),
            free_at: None,
        }
    }

    /// Waits for what so many events cost beyond what they have cost since `began`.
    fn wait(&mut self, events: u64, began: Instant) {
        let Some(ns) = events
            .saturating_mul(1_000_000_000)
            .checked_div(self.events_per_s)
        else {
            return;
        };
        // No credit for times without work.
        let from = self.free_at.map_or(began, |free_at| free_at.max(began));
        let free_at = from + Duration::from_nanos(ns);
        self.free_at = Some(free_at);
        thread::sleep(free_at.saturating_duration_since(Instant::now()));
    }
}

impl<P: Port> Port for Throttled<P> {
    fn term(&self) -> u64 {
        self.port.term()
    }

    fn max_group_bytes(&self) -> usize {
        self.port.max_group_bytes()
    }

    fn submit(&mut self, batch: Batch<'_>) -> Verdict {
        let (events, began) = (batch.last - batch.expected_head, Instant::now());
        let verdict = self.port.submit(batch);
        self.wait(events, began);
        verdict
    }

    fn resolve(&mut self, batch_id: u64) -> Verdict {
        self.port.resolve(batch_id)
    }
}
