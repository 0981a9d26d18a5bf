//! Which card comes next: all alike, or a few of them most of the time.
#![allow(
    clippy::float_arithmetic,
    reason = "Zipf's law is about real exponents; no money here"
)]

use crate::rng::Rng;

/// How cards are chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Choice {
    Uniform,
    Zipf(Zipf),
}

impl Choice {
    /// Uniform for no exponent.
    pub(crate) fn new(cards: u32, exponent: Option<f64>) -> Self {
        exponent.map_or(Self::Uniform, |exponent| {
            Self::Zipf(Zipf::new(cards, exponent))
        })
    }

    /// The index of the next card, below `cards`.
    pub(crate) fn next(&self, cards: u32, rng: &mut Rng) -> u32 {
        match self {
            Self::Uniform => rng.below(cards),
            Self::Zipf(zipf) => zipf.scattered(rng),
        }
    }
}

/// Ranks with probability proportional to rank^-exponent, by rejection from the
/// integral of that function (Hörmann and Derflinger, "Rejection-inversion to
/// generate variates from monotone discrete distributions", 1996). No table, so
/// that a million cards cost what ten do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zipf {
    cards: u32,
    exponent: f64,
    low: f64,
    high: f64,
    accept_within: f64,
    /// Odd and without a common divisor with `cards`.
    stride: u64,
}

impl Zipf {
    fn new(cards: u32, exponent: f64) -> Self {
        let mut zipf = Self {
            cards,
            exponent,
            low: 0.0,
            high: 0.0,
            accept_within: 0.0,
            stride: stride(cards),
        };
        zipf.low = zipf.integral(1.5) - 1.0;
        zipf.high = zipf.integral(f64::from(cards) + 0.5);
        zipf.accept_within = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.density(2.0));
        zipf
    }

    /// x^-exponent.
    fn density(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    /// Of the density, up to a constant: (x^(1-s) - 1) / (1-s), or ln x for s = 1.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        let power = (1.0 - self.exponent) * log;
        if power.abs() < 1e-8 {
            log * (1.0 + power / 2.0)
        } else {
            power.exp_m1() / power * log
        }
    }

    fn inverse(&self, y: f64) -> f64 {
        let t = (y * (1.0 - self.exponent)).max(-1.0);
        if t.abs() < 1e-8 {
            (y * (1.0 - t / 2.0)).exp()
        } else {
            (t.ln_1p() / t * y).exp()
        }
    }

    /// From 1 on.
    fn rank(&self, rng: &mut Rng) -> u32 {
        loop {
            let unit = (rng.next() >> 11) as f64 / (1u64 << 53) as f64;
            let y = self.high + unit * (self.low - self.high);
            let x = self.inverse(y);
            let rank = x.round().clamp(1.0, f64::from(self.cards));
            if rank - x <= self.accept_within || y >= self.integral(rank + 0.5) - self.density(rank)
            {
                return rank as u32;
            }
        }
    }

    /// Ranks spread over the whole range, so that popular cards are no neighbours.
    fn scattered(&self, rng: &mut Rng) -> u32 {
        let rank = u64::from(self.rank(rng)) - 1;
        (rank * self.stride % u64::from(self.cards.max(1))) as u32
    }
}

/// About the golden section of the range, without a divisor in common with it:
/// multiples of it meet every card once.
fn stride(cards: u32) -> u64 {
    let cards = u64::from(cards.max(1));
    let mut stride = (cards * 618 / 1_000) | 1;
    while gcd(stride, cards) != 1 {
        stride += 2;
    }
    stride
}

const fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_follow_the_law() {
        for exponent in [0.5, 0.99, 1.0, 1.3] {
            let zipf = Zipf::new(1_000, exponent);
            let mut rng = Rng::new(3);
            let mut counts = vec![0u32; 1_000];
            let draws = 400_000;
            for _ in 0..draws {
                counts[zipf.rank(&mut rng) as usize - 1] += 1;
            }
            let sum: f64 = (1..=1_000)
                .map(|rank| f64::from(rank).powf(-exponent))
                .sum();
            for rank in [1u32, 2, 3, 10] {
                let expected = f64::from(rank).powf(-exponent) / sum * f64::from(draws);
                let got = f64::from(counts[rank as usize - 1]);
                // Five standard deviations.
                assert!(
                    (got - expected).abs() < 5.0 * expected.sqrt(),
                    "{exponent} {rank}: {got} for {expected}"
                );
            }
        }
    }

    #[test]
    fn every_card_has_one_rank() {
        for cards in [1u32, 2, 3, 10, 618, 1_000, 10_007] {
            let stride = stride(cards);
            let mut seen: Vec<_> = (0..u64::from(cards))
                .map(|rank| rank * stride % u64::from(cards))
                .collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), cards as usize);
        }
    }
}
