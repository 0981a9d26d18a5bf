//! The parts of a run that are judged apart: warm-up and measurement, before,
//! inside and after a night, the steps of a schedule.
//!
//! A request belongs to the phase of its intended send time, whenever its answer
//! comes.

use std::sync::atomic::{AtomicU64, Ordering};

/// Names and borders. Borders are nanoseconds since the run began, ascending;
/// one that is not known yet lies at the end of time.
#[derive(Debug)]
pub struct Phases {
    labels: Vec<String>,
    borders_ns: Vec<AtomicU64>,
}

/// A border that is not known yet.
const NEVER: u64 = u64::MAX;

/// Labels of a run with a night.
pub const NIGHT_LABELS: [&str; 3] = ["before", "night", "after"];

/// Label of a run's first part, which no total counts.
pub const WARM_UP: &str = "warm-up";

impl Phases {
    /// With the first borders, as far as they are known before the run.
    #[must_use]
    pub fn of(labels: Vec<String>, borders_ns: &[u64]) -> Self {
        let mut borders: Vec<_> = borders_ns.iter().copied().map(AtomicU64::new).collect();
        borders.resize_with(labels.len().saturating_sub(1), || AtomicU64::new(NEVER));
        Self {
            labels,
            borders_ns: borders,
        }
    }

    /// How many.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.labels.len()
    }

    /// Their names, in order.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Which one a time lies in.
    #[must_use]
    pub fn at(&self, ns: u64) -> usize {
        self.borders_ns
            .iter()
            .take_while(|border| border.load(Ordering::Relaxed) <= ns)
            .count()
    }

    /// Sets the first border that is not known yet: the next phase begins.
    pub fn mark(&self, ns: u64) {
        for border in &self.borders_ns {
            if border
                .compare_exchange(NEVER, ns, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
            {
                return;
            }
        }
    }

    /// Begin and end of each phase in a run that ended at `end_ns`; `None` for
    /// one that never began.
    #[must_use]
    pub fn spans(&self, end_ns: u64) -> Vec<Option<(u64, u64)>> {
        let mut begin = 0;
        (0..self.count())
            .map(|index| {
                let end = self
                    .borders_ns
                    .get(index)
                    .map_or(NEVER, |border| border.load(Ordering::Relaxed));
                let span = (begin < end_ns).then(|| (begin, end.min(end_ns)));
                begin = end;
                span
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_is_known_when_it_comes() {
        let phases = Phases::of(NIGHT_LABELS.map(str::to_owned).to_vec(), &[]);
        assert_eq!((phases.at(0), phases.at(1_000)), (0, 0));
        phases.mark(100);
        assert_eq!((phases.at(99), phases.at(100), phases.at(1_000)), (0, 1, 1));
        assert_eq!(
            phases.spans(1_000),
            [Some((0, 100)), Some((100, 1_000)), None]
        );
        phases.mark(200);
        phases.mark(300);
        assert_eq!((phases.at(199), phases.at(200)), (1, 2));
        assert_eq!(
            phases.spans(1_000),
            [Some((0, 100)), Some((100, 200)), Some((200, 1_000))]
        );
    }

    #[test]
    fn a_warm_up_is_known_before() {
        let phases = Phases::of(vec![WARM_UP.to_owned(), "measured".to_owned()], &[50]);
        assert_eq!((phases.at(49), phases.at(50)), (0, 1));
        assert_eq!(phases.spans(40), [Some((0, 40)), None]);
    }
}
