//! Blocks out of files that are lent for a while.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};

use super::BLOCK_SLOTS;
use crate::record::{Record, RecordRef};

/// Blocks that are lent at a time. A request needs a few at most, even of a peer that
/// never counts its STAN up.
const LENT_BLOCKS: usize = 4096;
/// So many of them are considered when one comes. If somebody has looked at all of
/// these, nobody makes room yet, until there are [`MOST_LENT`].
const LOOKED_OVER: usize = 16;
/// Blocks that are lent at a time at most.
const MOST_LENT: usize = LENT_BLOCKS + LENT_BLOCKS / LOOKED_OVER;
/// Blocks that may be lent together: one that nobody has looked at yet stays until so
/// many have come since, whatever else is looked at meanwhile.
const FIRST_TURN: u64 = 2048;

/// What is lent, by the reference of its first slot.
#[derive(Debug, Default)]
pub(crate) struct Lent {
    blocks: BTreeMap<u32, Lending>,
    /// In the order in which they came or were last passed over, with the time of that.
    order: VecDeque<(u64, u32)>,
    /// Counts what came.
    clock: u64,
}

/// What a block came to.
#[derive(Debug)]
pub(super) enum Lending {
    Block {
        slots: Box<[Record; BLOCK_SLOTS as usize]>,
        /// When it came.
        came: u64,
        /// When somebody looked at it last; 0: nobody has.
        used: Cell<u64>,
    },
    /// Its file cannot be read.
    Unreadable,
}

impl Lent {
    /// Takes one in, and makes room for it; `None`: it cannot be read.
    pub(super) fn put(&mut self, at: u32, slots: Option<Box<[Record; BLOCK_SLOTS as usize]>>) {
        self.clock += 1;
        let lending = match slots {
            Some(slots) => Lending::Block {
                slots,
                came: self.clock,
                used: Cell::new(0),
            },
            None => Lending::Unreadable,
        };
        if let Some(there) = self.blocks.get_mut(&at) {
            *there = lending;
            return;
        }
        self.make_room();
        self.blocks.insert(at, lending);
        self.order.push_back((self.clock, at));
    }

    /// Makes room for one. What came first goes first, but what somebody has looked at
    /// since gets another turn: a request with a long way through files, which comes back
    /// to it again and again, would never see its end else while others fetch theirs. So
    /// does what nobody could look at yet, since it came with many others.
    fn make_room(&mut self) {
        for _ in 0..LOOKED_OVER {
            if self.blocks.len() < LENT_BLOCKS {
                return;
            }
            let Some((since, at)) = self.order.pop_front() else {
                return;
            };
            match self.blocks.get(&at) {
                Some(Lending::Block { used, .. }) if used.get() > since => {
                    self.order.push_back((self.clock, at));
                }
                _ if self.has_first_turn(at) => self.order.push_back((since, at)),
                _ => {
                    self.blocks.remove(&at);
                }
            }
        }
        // Fewer than are lent have their first turn: one of these will do.
        for _ in 0..=FIRST_TURN {
            if self.blocks.len() < MOST_LENT {
                return;
            }
            let Some((since, at)) = self.order.pop_front() else {
                return;
            };
            if self.has_first_turn(at) {
                self.order.push_back((since, at));
            } else {
                self.blocks.remove(&at);
            }
        }
    }

    fn has_first_turn(&self, at: u32) -> bool {
        matches!(
            self.blocks.get(&at),
            Some(Lending::Block { came, used, .. })
                if used.get() == 0 && self.clock - came < FIRST_TURN
        )
    }

    /// Looks at one.
    pub(super) fn get(&self, at: u32) -> Option<&Lending> {
        let lending = self.blocks.get(&at)?;
        if let Lending::Block { used, .. } = lending {
            used.set(self.clock);
        }
        Some(lending)
    }

    /// One that is there, to be marked: not a look at it.
    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut Lending> {
        self.blocks.get_mut(&at)
    }

    /// Forgets what could not be read: somebody may have put it right since.
    pub fn forget_unreadable(&mut self) {
        let Self { blocks, order, .. } = self;
        blocks.retain(|_, lending| matches!(lending, Lending::Block { .. }));
        order.retain(|(_, at)| blocks.contains_key(at));
    }

    /// Gives back what is lent of a generation.
    pub fn forget(&mut self, tag: u32) {
        self.blocks.retain(|at, _| RecordRef(*at).tag() != tag);
        self.order.retain(|(_, at)| RecordRef(*at).tag() != tag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Option<Box<[Record; BLOCK_SLOTS as usize]>> {
        let record = Record::from_bytes(&[0; Record::BYTES]).unwrap();
        Some(Box::new([record; BLOCK_SLOTS as usize]))
    }

    /// Every block is once where it is kept, and once in the order.
    fn assert_even(lent: &Lent) {
        assert!(lent.blocks.len() <= MOST_LENT, "{}", lent.blocks.len());
        assert_eq!(lent.blocks.len(), lent.order.len());
        assert!(
            lent.order
                .iter()
                .all(|(_, at)| lent.blocks.contains_key(at))
        );
    }

    #[test]
    fn what_is_looked_at_stays_lent_and_what_is_not_makes_room() {
        let mut lent = Lent::default();
        let most = LENT_BLOCKS as u32;
        let chain: Vec<u32> = (0..most / 4).collect();
        for at in &chain {
            lent.put(*at, block());
        }
        // As of one request that comes back to its way again and again, while others
        // look at theirs once.
        for at in most..20 * most {
            lent.put(at, block());
            assert!(lent.get(at).is_some(), "{at}");
            if at % 512 == 0 {
                assert!(chain.iter().all(|at| lent.get(*at).is_some()), "{at}");
                assert_even(&lent);
            }
        }
        lent.forget(RecordRef(0).tag());
        assert!(lent.blocks.is_empty() && lent.order.is_empty());
    }

    /// A request that needs many of them looks when all are there.
    #[test]
    fn what_comes_together_is_there_at_the_first_look() {
        let mut lent = Lent::default();
        let mut next = 0;
        let mut all = Vec::new();
        for size in [1, 64, 65, 500, 1_024, 2_047, 2_047, 64, 1_024, 2_048, 2_048] {
            let batch: Vec<u32> = (next..next + size).collect();
            next += size;
            for at in &batch {
                lent.put(*at, block());
            }
            for at in &batch {
                assert!(lent.get(*at).is_some(), "{at} of {size}");
            }
            all.extend(batch);
            // All that is left is looked at again.
            let there = all.iter().filter(|at| lent.get(**at).is_some()).count();
            assert!(there >= (all.len()).min(LENT_BLOCKS), "{there}");
            assert_even(&lent);
        }
    }

    /// Others may look at all that they have between two pieces of it.
    #[test]
    fn what_comes_together_waits_for_its_first_look_however_much_is_looked_at() {
        for hot in [1_000, 3_000, LENT_BLOCKS as u32, MOST_LENT as u32] {
            for size in [64, 512, 1_024, 2_047] {
                let mut lent = Lent::default();
                for at in 0..hot {
                    lent.put(at, block());
                }
                let batch: Vec<u32> = (hot..hot + size).collect();
                for piece in batch.chunks(64) {
                    for at in 0..hot {
                        lent.get(at);
                    }
                    for at in piece {
                        lent.put(*at, block());
                    }
                    assert_even(&lent);
                }
                let there = batch.iter().filter(|at| lent.get(**at).is_some()).count();
                assert_eq!(there, batch.len(), "{hot} {size}");
            }
        }
    }

    #[test]
    fn the_bound_holds_whatever_is_looked_at() {
        let mut lent = Lent::default();
        let mut dice = 1u64;
        let mut roll = |below: u32| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (dice >> 33) as u32 % below
        };
        for step in 0..60_000u32 {
            let at = roll(3 * LENT_BLOCKS as u32);
            lent.put(at, (roll(50) > 0).then(block).flatten());
            assert!(lent.blocks.contains_key(&at), "{at}");
            // Now and then nearly all, so that there is nothing that has not been looked at.
            if step % 3_000 < 1_500 {
                for _ in 0..8 {
                    lent.get(roll(3 * LENT_BLOCKS as u32));
                }
            } else if step % 256 == 0 {
                let there: Vec<u32> = lent.blocks.keys().copied().collect();
                assert!(there.iter().all(|at| lent.get(*at).is_some()));
            }
            if step % 97 == 0 {
                assert_even(&lent);
            }
            if step % 20_000 == 19_999 {
                lent.forget_unreadable();
                assert_even(&lent);
            }
        }
        assert!(lent.blocks.len() >= LENT_BLOCKS);
    }
}
