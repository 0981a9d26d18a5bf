//! Which chunks of rows have changed since they were last stored.

use crate::rows::entry::{ACCOUNTS_PER_CHUNK, CARDS_PER_CHUNK, Key};

/// A set of small numbers: one bit each.
#[derive(Clone, Debug, Default)]
struct Bits {
    words: Vec<u64>,
}

impl Bits {
    fn insert(&mut self, bit: u32) {
        let at = (bit / 64) as usize;
        if self.words.len() <= at {
            self.words.resize(at + 1, 0);
        }
        if let Some(word) = self.words.get_mut(at) {
            *word |= 1 << (bit % 64);
        }
    }

    fn remove(&mut self, bit: u32) {
        if let Some(word) = self.words.get_mut((bit / 64) as usize) {
            *word &= !(1 << (bit % 64));
        }
    }

    /// The first at `from` or above.
    fn next(&self, from: u32) -> Option<u32> {
        let at = (from / 64) as usize;
        let first = self.words.get(at)? & (u64::MAX << (from % 64));
        if first != 0 {
            return Some(from / 64 * 64 + first.trailing_zeros());
        }
        let (skipped, word) = self
            .words
            .iter()
            .skip(at + 1)
            .enumerate()
            .find(|(_, word)| **word != 0)?;
        let index = u32::try_from(at + 1 + skipped).ok()?;
        Some(index * 64 + word.trailing_zeros())
    }
}

/// Chunks that differ from what is stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dirty {
    accounts: Bits,
    cards: Bits,
}

impl Dirty {
    pub(crate) fn account(&mut self, ix: u32) {
        self.accounts.insert(ix / ACCOUNTS_PER_CHUNK);
    }

    pub(crate) fn card(&mut self, ix: u32) {
        self.cards.insert(ix / CARDS_PER_CHUNK);
    }

    /// Takes a chunk off the list: it is being stored.
    pub(crate) fn remove(&mut self, key: Key) {
        match key {
            Key::Accounts(chunk) => self.accounts.remove(chunk),
            Key::Cards(chunk) => self.cards.remove(chunk),
            Key::Digest | Key::Mark | Key::Residue(..) => {}
        }
    }

    /// The first chunk after `last`, in key order.
    pub(crate) fn next(&self, last: Option<Key>) -> Option<Key> {
        let accounts = match last {
            None => Some(0),
            Some(Key::Accounts(chunk)) => Some(chunk + 1),
            Some(_) => None,
        };
        if let Some(chunk) = accounts.and_then(|from| self.accounts.next(from)) {
            return Some(Key::Accounts(chunk));
        }
        let cards = match last {
            None | Some(Key::Accounts(_)) => Some(0),
            Some(Key::Cards(chunk)) => Some(chunk + 1),
            Some(_) => None,
        };
        cards.and_then(|from| self.cards.next(from)).map(Key::Cards)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_through_all_chunks_in_key_order_once() {
        let mut dirty = Dirty::default();
        for ix in [0, 1, 15, 16, 64 * 16, 1_000_000] {
            dirty.account(ix);
        }
        dirty.card(5);
        dirty.card(32 * 70);
        let due = [
            Key::Accounts(0),
            Key::Accounts(1),
            Key::Accounts(64),
            Key::Accounts(62_500),
            Key::Cards(0),
            Key::Cards(70),
        ];
        let walk = |dirty: &Dirty| {
            let mut seen = Vec::new();
            while let Some(key) = dirty.next(seen.last().copied()) {
                seen.push(key);
            }
            seen
        };
        assert_eq!(walk(&dirty), due);
        dirty.remove(Key::Cards(70));
        dirty.card(32 * 70 + 1);
        assert_eq!(walk(&dirty), due, "noted again once it was taken off");
        for key in due {
            dirty.remove(key);
        }
        assert_eq!(walk(&dirty), []);
    }
}
