//! When requests arrive, whatever the host does: the open loop's schedule.
#![allow(
    clippy::float_arithmetic,
    reason = "random gaps need a logarithm; no money here"
)]

use std::time::Duration;

use crate::rng::Rng;

/// So many requests a second for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Arrivals per second, over all connections; not zero.
    pub per_second: u64,
    /// How long.
    pub lasts: Duration,
}

/// How arrivals are spaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Spacing {
    /// The same gap between any two.
    #[default]
    Even,
    /// Gaps at random, as many independent customers make them (Poisson).
    Poisson,
}

const NS: u64 = 1_000_000_000;

/// The arrivals that one of several threads takes: ascending times in
/// nanoseconds since the run began.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    steps: Vec<Step>,
    spacing: Spacing,
    threads: u64,
    thread: u64,
    /// The step that is under way, and when it began.
    step: usize,
    began_ns: u64,
    /// Arrivals in it so far (even), or the time within it (Poisson).
    number: u64,
    within_ns: f64,
    rng: Rng,
    next: Option<u64>,
}

impl Arrivals {
    pub(crate) fn new(
        steps: &[Step],
        spacing: Spacing,
        (thread, threads): (u32, u32),
        rng: Rng,
    ) -> Self {
        let mut arrivals = Self {
            steps: steps.to_vec(),
            spacing,
            threads: threads.into(),
            thread: thread.into(),
            step: 0,
            began_ns: 0,
            number: thread.into(),
            within_ns: 0.0,
            rng,
            next: None,
        };
        arrivals.next = arrivals.draw();
        arrivals
    }

    /// When the next one is due; `None`: there are no more.
    pub(crate) const fn peek(&self) -> Option<u64> {
        self.next
    }

    /// Takes the next one.
    pub(crate) fn pop(&mut self) -> Option<u64> {
        let due = self.next?;
        self.next = self.draw();
        Some(due)
    }

    /// Takes all that are left; how many.
    pub(crate) fn abandon(&mut self) -> u64 {
        let mut count = 0;
        while self.pop().is_some() {
            count += 1;
        }
        count
    }

    /// No arrival at or after this time.
    pub(crate) fn end_at(&mut self, ns: u64) {
        let mut began = 0;
        for step in &mut self.steps {
            let lasts = ns_of(step.lasts).min(ns.saturating_sub(began));
            step.lasts = Duration::from_nanos(lasts);
            began += lasts;
        }
        if self.next.is_some_and(|next| next >= ns) {
            self.next = None;
        }
    }

    fn draw(&mut self) -> Option<u64> {
        loop {
            let step = *self.steps.get(self.step)?;
            let lasts = ns_of(step.lasts);
            let within = match self.spacing {
                Spacing::Even => {
                    let at = u128::from(self.number) * u128::from(NS)
                        / u128::from(step.per_second.max(1));
                    self.number += self.threads;
                    u64::try_from(at).unwrap_or(u64::MAX)
                }
                Spacing::Poisson => {
                    let mean = NS as f64 * self.threads as f64 / step.per_second.max(1) as f64;
                    // (0, 1]: its logarithm is finite.
                    let unit = ((self.rng.next() >> 11) + 1) as f64 / (1u64 << 53) as f64;
                    self.within_ns -= mean * unit.ln();
                    self.within_ns as u64
                }
            };
            if within < lasts {
                return Some(self.began_ns + within);
            }
            self.step += 1;
            self.began_ns += lasts;
            self.number = self.thread;
            self.within_ns = 0.0;
        }
    }
}

/// How long all steps last.
pub(crate) fn length(steps: &[Step]) -> Duration {
    steps.iter().map(|step| step.lasts).sum()
}

/// Nanoseconds, at most what 64 bits hold.
pub(crate) fn ns_of(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut arrivals: Arrivals) -> Vec<u64> {
        std::iter::from_fn(|| arrivals.pop()).collect()
    }

    const STEPS: [Step; 2] = [
        Step {
            per_second: 10,
            lasts: Duration::from_secs(1),
        },
        Step {
            per_second: 1_000,
            lasts: Duration::from_millis(10),
        },
    ];

    #[test]
    fn even_arrivals_are_shared_by_threads() {
        let of = |thread, threads| {
            all(Arrivals::new(
                &STEPS,
                Spacing::Even,
                (thread, threads),
                Rng::new(1),
            ))
        };
        let alone = of(0, 1);
        assert_eq!(alone.len(), 20);
        assert_eq!(
            alone.get(8..12),
            Some([800_000_000, 900_000_000, NS, NS + 1_000_000].as_slice())
        );
        let mut together = [of(0, 3), of(1, 3), of(2, 3)].concat();
        together.sort_unstable();
        assert_eq!(together, alone);
    }

    #[test]
    fn random_arrivals_keep_the_rate() {
        let steps = [Step {
            per_second: 10_000,
            lasts: Duration::from_secs(10),
        }];
        let times = all(Arrivals::new(&steps, Spacing::Poisson, (0, 1), Rng::new(7)));
        assert!((98_000..102_000).contains(&times.len()), "{}", times.len());
        assert!(times.is_sorted());
        // An exponential gap is longer than its mean with probability 1/e.
        let long = times.windows(2).filter(|w| w[1] - w[0] > 100_000).count();
        let share = long * 1_000 / times.len();
        assert!((360..376).contains(&share), "{share}");
    }

    #[test]
    fn an_early_end_takes_away_the_rest() {
        let mut arrivals = Arrivals::new(&STEPS, Spacing::Even, (0, 1), Rng::new(1));
        assert_eq!(arrivals.pop(), Some(0));
        arrivals.end_at(300_000_000);
        assert_eq!(all(arrivals), [100_000_000, 200_000_000]);
    }
}
