//! What a network's terminals ask for: a seeded mix of operations and fates.

use serde::{Deserialize, Serialize};

use crate::card::{Card, DemoCard, IndexTooLong, REGULAR_CARDS};
use crate::currency::Currency;
use crate::order::{Kind, Order};

/// Numbers that look random and are the same for the same seed (splitmix64, as
/// Steele, Lea and Flood give it). Nothing here is secret.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// Numbers from that seed.
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end.max(1)
    }

    fn card_index(&mut self, end: u32) -> u32 {
        u32::try_from(self.below(u64::from(end))).unwrap_or_default()
    }
}

/// What becomes of a transaction after it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// Nothing more.
    Stands,
    /// The terminal asks again before the answer can have come.
    Impatient,
    /// Cancelled as soon as it is approved.
    Cancelled,
    /// Cancelled late: after the network's next cutover, or at the run's end.
    CancelledLate,
    /// The reversal overtakes its original.
    ReversedFirst,
}

/// A transaction to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is asked for.
    pub order: Order,
    /// What becomes of it.
    pub fate: Fate,
}

/// How often each thing is done, out of a thousand transactions. What is left to
/// a thousand is purchases that stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Cash withdrawals.
    pub cash: u64,
    /// Purchases with cashback.
    pub cashback: u64,
    /// Refunds.
    pub refund: u64,
    /// Balance inquiries.
    pub inquiry: u64,
    /// Transfers, where the network may.
    pub transfer: u64,
    /// Advices of what a terminal did offline.
    pub advice: u64,
    /// With a card that has no money, or is lost.
    pub hopeless: u64,
    /// Fates, each out of a thousand: asked again at once,
    pub impatient: u64,
    /// cancelled,
    pub cancelled: u64,
    /// cancelled late,
    pub cancelled_late: u64,
    /// and reversed before the original comes.
    pub reversed_first: u64,
}

impl Default for Mix {
    fn default() -> Mix {
        Mix {
            cash: 120,
            cashback: 50,
            refund: 70,
            inquiry: 100,
            transfer: 60,
            advice: 50,
            hopeless: 10,
            impatient: 10,
            cancelled: 20,
            cancelled_late: 10,
            reversed_first: 10,
        }
    }
}

/// Makes plans.
#[derive(Clone, Debug)]
pub struct Traffic {
    rng: Rng,
    mix: Mix,
    cards: u32,
    transfers: bool,
}

/// Amounts are from 100 up to this, in minor units.
const MAX_MINOR: u64 = 30_000;

impl Traffic {
    /// Traffic of the first `cards` demo cards.
    pub fn new(seed: u64, mix: Mix, cards: u32, transfers: bool) -> Traffic {
        Traffic {
            rng: Rng::new(seed),
            mix,
            cards: cards.clamp(1, REGULAR_CARDS),
            transfers,
        }
    }

    /// A number for whoever needs chance beside the plans.
    pub fn chance(&mut self, end: u64) -> u64 {
        self.rng.below(end)
    }

    /// The next transaction.
    ///
    /// # Errors
    /// None in practice: all indices have nine digits.
    pub fn plan(&mut self) -> Result<Plan, IndexTooLong> {
        let index = self.rng.card_index(self.cards);
        let mut card = DemoCard::regular(index)?;
        let (kind, advice, hopeless) = self.operation();
        if hopeless {
            // 1 has no money, 3 is lost.
            card = DemoCard::special(if self.rng.below(2) == 0 { 1 } else { 3 })?;
        }
        let mut order = Order {
            advice,
            amount_minor: Some(100 + self.rng.below(MAX_MINOR - 100)),
            currency: Some(Currency::krw()),
            ..Order::new(kind)
        };
        match kind {
            Kind::Cashback => order.cashback_minor = Some(100),
            Kind::Transfer => order.to = Some(self.other_account(&card, index)?),
            _ => {}
        }
        order.card = Some(card);
        let fate = if advice || hopeless || matches!(kind, Kind::Balance) {
            Fate::Stands
        } else {
            self.fate()
        };
        Ok(Plan { order, fate })
    }

    fn operation(&mut self) -> (Kind, bool, bool) {
        let mix = self.mix;
        let mut at = self.rng.below(1_000);
        let mut hit = |share: u64| {
            let yes = at < share;
            at = at.wrapping_sub(share);
            yes
        };
        // The first that hits ends it: `at` has wrapped then.
        if hit(mix.cash) {
            (Kind::Cash, false, false)
        } else if hit(mix.cashback) {
            (Kind::Cashback, false, false)
        } else if hit(mix.refund) {
            (Kind::Refund, false, false)
        } else if hit(mix.inquiry) {
            (Kind::Balance, false, false)
        } else if hit(mix.transfer) {
            let kind = if self.transfers {
                Kind::Transfer
            } else {
                Kind::Purchase
            };
            (kind, false, false)
        } else if hit(mix.advice) {
            (Kind::Purchase, true, false)
        } else {
            (Kind::Purchase, false, hit(mix.hopeless))
        }
    }

    fn fate(&mut self) -> Fate {
        let mix = self.mix;
        let fates = [
            (mix.impatient, Fate::Impatient),
            (mix.cancelled, Fate::Cancelled),
            (mix.cancelled_late, Fate::CancelledLate),
            (mix.reversed_first, Fate::ReversedFirst),
        ];
        let mut at = self.rng.below(1_000);
        for (share, fate) in fates {
            if at < share {
                return fate;
            }
            at -= share;
        }
        Fate::Stands
    }

    fn other_account(&mut self, card: &Card, index: u32) -> Result<String, IndexTooLong> {
        let other = DemoCard::regular((index + 1) % REGULAR_CARDS)?;
        Ok(other
            .account
            .filter(|to| card.account.as_ref() != Some(to))
            .unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn drawn(mix: Mix, transfers: bool) -> BTreeMap<String, u32> {
        let mut traffic = Traffic::new(7, mix, 10_000, transfers);
        let mut seen = BTreeMap::new();
        for _ in 0..20_000 {
            let plan = traffic.plan().unwrap();
            let advice = if plan.order.advice { " advice" } else { "" };
            *seen
                .entry(format!("{:?}{advice}", plan.order.kind))
                .or_insert(0) += 1;
            *seen.entry(format!("{:?}", plan.fate)).or_insert(0) += 1;
        }
        seen
    }

    #[test]
    fn everything_comes_about_as_often_as_it_should() {
        let seen = drawn(Mix::default(), true);
        for (what, share) in [
            ("Cash", 120),
            ("Cashback", 50),
            ("Refund", 70),
            ("Balance", 100),
            ("Transfer", 60),
            ("Purchase advice", 50),
            ("Cancelled", 17),
            ("CancelledLate", 8),
            ("ReversedFirst", 8),
            ("Impatient", 8),
        ] {
            let times = seen[what];
            let expected = share * 20;
            assert!(
                times > expected / 2 && times < expected * 2,
                "{what}: {times}, about {expected} expected"
            );
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_traffic() {
        let numbers = |seed| {
            let mut traffic = Traffic::new(seed, Mix::default(), 100, true);
            (0..50)
                .map(|_| traffic.plan().unwrap().order.amount_minor)
                .collect::<Vec<_>>()
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
    }

    #[test]
    fn a_network_without_transfers_asks_for_none() {
        let seen = drawn(
            Mix {
                transfer: 500,
                ..Mix::default()
            },
            false,
        );
        assert_eq!(seen.get("Transfer"), None);
    }
}
