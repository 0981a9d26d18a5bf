//! When a base file is due.

use std::time::{Duration, Instant};

use gapless_engine::ids::Seq;

use super::bases::Bases;
use crate::options::StoreOptions;

/// Bytes of journal that an event of before the start is taken for: a purchase has so many.
const EVENT_BYTES: u64 = 96;
/// The wait after a failure doubles so often at most: a large file that cannot be
/// finished would be most of what the disk has to do.
const DOUBLED: u32 = 6;

/// What has come since the last base file, and how often writing one has failed.
#[derive(Debug)]
pub(crate) struct BaseDue {
    events: u64,
    bytes: u64,
    /// The newest one was of no use at this start.
    is_doubtful: bool,
    failures: u32,
    retry_at: Option<Instant>,
}

impl BaseDue {
    /// At a start that has brought the state to `applied`. `loaded` is the base file
    /// that was good enough for it, 0 for none; `None`: nothing was wrong with any.
    pub(crate) fn new(bases: &Bases, applied: Seq, loaded: Option<Seq>) -> Self {
        let newest = bases.newest().unwrap_or_default();
        let events = applied.saturating_sub(newest);
        Self {
            events,
            bytes: events.saturating_mul(EVENT_BYTES),
            is_doubtful: loaded.is_some_and(|loaded| loaded < newest),
            failures: 0,
            retry_at: None,
        }
    }

    pub(crate) const fn group(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    pub(crate) const fn event(&mut self) {
        self.events += 1;
    }

    /// Until when nothing is tried, since the last try has failed.
    pub(crate) fn waits_until(&self, now: Instant) -> Option<Instant> {
        self.retry_at.filter(|retry_at| now < *retry_at)
    }

    /// Whether one is to be begun of the state at `applied`; `wanted` is what was asked for.
    pub(crate) fn is_due(
        &self,
        bases: &Bases,
        limits: &StoreOptions,
        applied: Seq,
        wanted: Seq,
    ) -> bool {
        let newest = bases.newest().unwrap_or_default();
        if wanted > newest {
            return applied >= wanted;
        }
        if self.is_doubtful {
            return true;
        }
        let grown =
            self.events >= limits.base_after_events || self.bytes >= limits.base_after_bytes;
        // A state that is large is written as much less often. Not while there is but
        // one to start from.
        let least = if bases.has_spare() {
            bases.newest_bytes().min(limits.base_after_growth)
        } else {
            0
        };
        grown && self.bytes >= least && applied > newest
    }

    /// One was written, and nothing applied since it was begun.
    pub(crate) const fn written(&mut self) {
        self.events = 0;
        self.bytes = 0;
        self.is_doubtful = false;
        self.failures = 0;
        self.retry_at = None;
    }

    /// One could not be written. Says until when nothing is tried now.
    pub(crate) fn failed(&mut self, now: Instant, retry_after: Duration) -> Option<Instant> {
        let wait = retry_after.saturating_mul(1 << self.failures.min(DOUBLED));
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now.checked_add(wait);
        self.retry_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gapless_journal::Disk;
    use std::sync::Arc;

    #[test]
    fn a_failure_is_tried_again_less_and_less_often_until_one_is_written() {
        let disk: Arc<dyn Disk> = Arc::new(gapless_journal::sim::SimDisk::default());
        let dir = std::path::Path::new("base");
        let archive = crate::remembered::Archive::new(&disk, dir, [0; 16], 32);
        let bases = Bases::open(&disk, dir, [0; 16], &archive).unwrap();
        let mut due = BaseDue::new(&bases, 0, None);
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut waits = || {
            let until = due.failed(now, second).unwrap();
            assert_eq!(due.waits_until(now), Some(until));
            assert_eq!(due.waits_until(until), None);
            (until - now).as_secs()
        };
        let waited: Vec<u64> = (0..8).map(|_| waits()).collect();
        assert_eq!(waited, [1, 2, 4, 8, 16, 32, 64, 64]);
        due.written();
        assert_eq!(due.waits_until(now), None);
        assert_eq!(due.failed(now, second), Some(now + second));
    }
}
