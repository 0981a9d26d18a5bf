//! Spreads writing over time.

use std::time::{Duration, Instant};

/// Allows so many bytes a second.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_s: u64,
    free_at: Instant,
}

impl Pace {
    /// At least one byte a second.
    pub(crate) fn new(bytes_per_s: u64, now: Instant) -> Self {
        Self {
            bytes_per_s: bytes_per_s.max(1),
            free_at: now,
        }
    }

    /// When the next write may start.
    pub(crate) fn free_at(&self) -> Instant {
        self.free_at
    }

    /// Counts what was written. Time not used is not saved up.
    pub(crate) fn spent(&mut self, bytes: u64, now: Instant) {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_s);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.free_at = self.free_at.max(now).checked_add(cost).unwrap_or(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_bytes_takes_a_second_and_pauses_are_not_saved_up() {
        let start = Instant::now();
        let mut pace = Pace::new(1000, start);
        assert_eq!(pace.free_at(), start);
        pace.spent(500, start);
        pace.spent(500, start);
        assert_eq!(pace.free_at(), start + Duration::from_secs(1));
        let later = start + Duration::from_secs(60);
        pace.spent(1000, later);
        assert_eq!(pace.free_at(), later + Duration::from_secs(1));
    }
}
