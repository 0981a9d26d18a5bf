//! The shadow ledger: what balances must have become, from requests and answers
//! alone.

use std::collections::BTreeMap;

use crate::mix::Kind;

/// What a request asks for, as far as money goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) kind: Kind,
    /// For a reversal or a repeat: what it reverses or repeats.
    pub(crate) of: Kind,
    /// Index of the card.
    pub(crate) card: u32,
    /// Account of the card, and of the payee of a transfer, by index.
    pub(crate) account: u32,
    pub(crate) payee: u32,
    pub(crate) amount_minor: u64,
}

impl Order {
    /// What it does to which account when it is accepted.
    fn effects(&self, mut each: impl FnMut(u32, i64)) {
        let amount = i64::try_from(self.amount_minor).unwrap_or(i64::MAX);
        let (kind, amount) = match self.kind {
            Kind::Reversal => (self.of, -amount),
            kind => (kind, amount),
        };
        match kind {
            Kind::Purchase | Kind::Cash | Kind::Advice => each(self.account, -amount),
            Kind::Refund => each(self.account, amount),
            Kind::Transfer => {
                each(self.account, -amount);
                each(self.payee, amount);
            }
            Kind::Balance | Kind::Repeat | Kind::Reversal => {}
        }
    }
}

/// What a run did to one account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Sum of all effects that were answered, in minor units.
    pub net_minor: i64,
    /// How many there were.
    pub postings: u64,
}

/// Effects of requests that were never answered: they happened or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubt {
    /// At most so much less, not above zero.
    pub low_minor: i64,
    /// At most so much more, not below zero.
    pub high_minor: i64,
}

/// Own books of a run.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    changes: Vec<Change>,
    doubts: BTreeMap<u32, Doubt>,
    /// Money moved by answered requests: the debits that the host must have
    /// posted for them, in minor units.
    pub moved_minor: u64,
    /// The same of unanswered ones.
    pub doubtful_minor: u64,
    /// Entries of the batch for accounts that are none of this run's.
    pub outside_minor: i64,
    /// Sums have left 63 bits; nothing can be compared.
    pub overflowed: bool,
}

impl Ledger {
    /// Without changes, for so many accounts; none at all when nobody will ask.
    #[must_use]
    pub fn new(accounts: u32) -> Self {
        Self {
            changes: vec![Change::default(); accounts as usize],
            ..Self::default()
        }
    }

    /// The order was answered with an approval.
    pub(crate) fn posted(&mut self, order: &Order) {
        let (changes, overflowed) = (&mut self.changes, &mut self.overflowed);
        let mut moved = false;
        order.effects(|account, amount| {
            moved = true;
            let Some(change) = changes.get_mut(account as usize) else {
                return;
            };
            match change.net_minor.checked_add(amount) {
                Some(sum) => change.net_minor = sum,
                None => *overflowed = true,
            }
            change.postings += 1;
        });
        if moved {
            self.moved_minor = self.moved_minor.saturating_add(order.amount_minor);
        }
    }

    /// The order was sent and never answered.
    pub(crate) fn doubted(&mut self, order: &Order) {
        if self.changes.is_empty() {
            return;
        }
        let (doubts, overflowed) = (&mut self.doubts, &mut self.overflowed);
        let mut moved = false;
        order.effects(|account, amount| {
            moved = true;
            let doubt = doubts.entry(account).or_default();
            let side = if amount < 0 {
                &mut doubt.low_minor
            } else {
                &mut doubt.high_minor
            };
            match side.checked_add(amount) {
                Some(sum) => *side = sum,
                None => *overflowed = true,
            }
        });
        if moved {
            self.doubtful_minor = self.doubtful_minor.saturating_add(order.amount_minor);
        }
    }

    /// A posting that did not come over the wire: an entry of the bank's batch.
    ///
    /// `None`: on an account that is none of this run's.
    pub fn entered(&mut self, account: Option<u32>, amount_minor: i64) {
        let change = account.and_then(|account| self.changes.get_mut(account as usize));
        let sum = match change {
            Some(change) => {
                change.postings += 1;
                &mut change.net_minor
            }
            None => &mut self.outside_minor,
        };
        match sum.checked_add(amount_minor) {
            Some(more) => *sum = more,
            None => self.overflowed = true,
        }
        self.moved_minor = self.moved_minor.saturating_add(amount_minor.unsigned_abs());
    }

    /// Adds another thread's books.
    pub fn add(&mut self, other: &Self) {
        for (mine, others) in self.changes.iter_mut().zip(&other.changes) {
            match mine.net_minor.checked_add(others.net_minor) {
                Some(sum) => mine.net_minor = sum,
                None => self.overflowed = true,
            }
            mine.postings += others.postings;
        }
        for (account, others) in &other.doubts {
            let mine = self.doubts.entry(*account).or_default();
            mine.low_minor = mine.low_minor.saturating_add(others.low_minor);
            mine.high_minor = mine.high_minor.saturating_add(others.high_minor);
        }
        self.moved_minor = self.moved_minor.saturating_add(other.moved_minor);
        self.doubtful_minor = self.doubtful_minor.saturating_add(other.doubtful_minor);
        self.outside_minor = self.outside_minor.saturating_add(other.outside_minor);
        self.overflowed |= other.overflowed;
    }

    /// What happened to an account, and what may have.
    #[must_use]
    pub fn account(&self, index: u32) -> (Change, Doubt) {
        let change = self.changes.get(index as usize).copied();
        let doubt = self.doubts.get(&index).copied();
        (change.unwrap_or_default(), doubt.unwrap_or_default())
    }

    /// Accounts that the run touched, or may have, by index.
    pub fn touched(&self) -> impl Iterator<Item = u32> {
        (0..)
            .zip(&self.changes)
            .filter(|(index, change)| change.postings > 0 || self.doubts.contains_key(index))
            .map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(kind: Kind, of: Kind) -> Order {
        Order {
            kind,
            of,
            card: 0,
            account: 0,
            payee: 1,
            amount_minor: 100,
        }
    }

    #[test]
    fn each_kind_has_its_effect() {
        for (kind, of, payer, payee, moved) in [
            (Kind::Purchase, Kind::Purchase, -100, 0, 100),
            (Kind::Cash, Kind::Cash, -100, 0, 100),
            (Kind::Advice, Kind::Advice, -100, 0, 100),
            (Kind::Refund, Kind::Refund, 100, 0, 100),
            (Kind::Transfer, Kind::Transfer, -100, 100, 100),
            (Kind::Balance, Kind::Balance, 0, 0, 0),
            (Kind::Repeat, Kind::Transfer, 0, 0, 0),
            (Kind::Reversal, Kind::Purchase, 100, 0, 100),
            (Kind::Reversal, Kind::Transfer, 100, -100, 100),
            (Kind::Reversal, Kind::Refund, -100, 0, 100),
        ] {
            let mut ledger = Ledger::new(2);
            ledger.posted(&order(kind, of));
            assert_eq!(ledger.account(0).0.net_minor, payer, "{kind:?} {of:?}");
            assert_eq!(ledger.account(1).0.net_minor, payee, "{kind:?} {of:?}");
            assert_eq!(ledger.moved_minor, moved, "{kind:?} {of:?}");
        }
    }

    #[test]
    fn an_unanswered_request_leaves_a_doubt() {
        let mut ledger = Ledger::new(3);
        ledger.posted(&order(Kind::Refund, Kind::Refund));
        ledger.doubted(&order(Kind::Transfer, Kind::Transfer));
        let mut sum = Ledger::new(3);
        sum.add(&ledger);
        sum.add(&ledger);
        assert_eq!(
            sum.account(0),
            (
                Change {
                    net_minor: 200,
                    postings: 2
                },
                Doubt {
                    low_minor: -200,
                    high_minor: 0
                }
            )
        );
        assert_eq!(sum.account(1).1.high_minor, 200);
        assert_eq!(sum.touched().collect::<Vec<_>>(), [0, 1]);
        assert_eq!((sum.moved_minor, sum.doubtful_minor), (200, 200));
    }

    #[test]
    fn sums_do_not_wrap() {
        let mut ledger = Ledger::new(1);
        ledger.entered(Some(0), i64::MAX);
        ledger.entered(Some(0), 1);
        assert!(ledger.overflowed);
        assert_eq!(ledger.account(0).0.net_minor, i64::MAX);
    }
}
