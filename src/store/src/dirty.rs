//! Which chunks of rows have changed since they were last stored.

use std::collections::BTreeMap;

use gapless_engine::date::Date;

use crate::rows::entry::{ACCOUNTS_PER_CHUNK, CARDS_PER_CHUNK, Key, RECORDS_PER_CHUNK};

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

    fn remove_below(&mut self, end: u32) {
        let whole = (end / 64) as usize;
        self.words.iter_mut().take(whole).for_each(|word| *word = 0);
        if let Some(word) = self.words.get_mut(whole) {
            *word &= u64::MAX << (end % 64);
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

    fn merge(&mut self, other: &Self) {
        let mut from = 0;
        while let Some(bit) = other.next(from) {
            self.insert(bit);
            from = bit + 1;
        }
    }
}

/// Chunks that differ from what is stored.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dirty {
    accounts: Bits,
    cards: Bits,
    records: BTreeMap<Date, Bits>,
    /// The chunk of records noted last, until any is taken off: records come one
    /// after the other, so the next one's is nearly always the same.
    noted: Option<(Date, u32)>,
}

impl Dirty {
    pub(crate) fn account(&mut self, ix: u32) {
        self.accounts.insert(ix / ACCOUNTS_PER_CHUNK);
    }

    pub(crate) fn card(&mut self, ix: u32) {
        self.cards.insert(ix / CARDS_PER_CHUNK);
    }

    pub(crate) fn record(&mut self, date: Date, index: u64) {
        if let Ok(chunk) = u32::try_from(index / u64::from(RECORDS_PER_CHUNK))
            && self.noted != Some((date, chunk))
        {
            self.records.entry(date).or_default().insert(chunk);
            self.noted = Some((date, chunk));
        }
    }

    /// Takes records off the list that there is no need to store: `from` says from which
    /// on of a date they are kept among the rows, `None` that the date is gone.
    pub(crate) fn forget_records(&mut self, from: impl Fn(Date) -> Option<u32>) {
        self.noted = None;
        self.records.retain(|date, bits| match from(*date) {
            None => false,
            Some(first) => {
                bits.remove_below(first / RECORDS_PER_CHUNK);
                true
            }
        });
    }

    /// Takes a chunk off the list: it is being stored.
    pub(crate) fn remove(&mut self, key: Key) {
        match key {
            Key::Accounts(chunk) => self.accounts.remove(chunk),
            Key::Cards(chunk) => self.cards.remove(chunk),
            Key::Records(date, chunk) => {
                self.noted = None;
                if let Some(bits) = self.records.get_mut(&date) {
                    bits.remove(chunk);
                }
            }
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
        if let Some(chunk) = cards.and_then(|from| self.cards.next(from)) {
            return Some(Key::Cards(chunk));
        }
        let (from_date, from) = match last {
            Some(Key::Records(date, chunk)) => (date, chunk + 1),
            _ => (Date(0), 0),
        };
        self.records.range(from_date..).find_map(|(date, bits)| {
            let from = if *date == from_date { from } else { 0 };
            bits.next(from).map(|chunk| Key::Records(*date, chunk))
        })
    }

    /// Adds all of `other`'s.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.accounts.merge(&other.accounts);
        self.cards.merge(&other.cards);
        for (date, bits) in &other.records {
            self.records.entry(*date).or_default().merge(bits);
        }
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
        dirty.record(Date(9), 32);
        dirty.record(Date(8), 32 * 70);
        dirty.record(Date(8), 31);
        let due = [
            Key::Accounts(0),
            Key::Accounts(1),
            Key::Accounts(64),
            Key::Accounts(62_500),
            Key::Cards(0),
            Key::Records(Date(8), 0),
            Key::Records(Date(8), 70),
            Key::Records(Date(9), 1),
        ];
        let walk = |dirty: &Dirty| {
            let mut seen = Vec::new();
            while let Some(key) = dirty.next(seen.last().copied()) {
                seen.push(key);
            }
            seen
        };
        assert_eq!(walk(&dirty), due);
        let mut merged = Dirty::default();
        merged.card(5);
        merged.merge(&dirty);
        assert_eq!(walk(&merged), due);
        dirty.record(Date(9), 33);
        dirty.remove(Key::Records(Date(9), 1));
        dirty.record(Date(9), 34);
        assert_eq!(walk(&dirty), due, "noted again once it was taken off");
        merged.forget_records(|date| (date == Date(8)).then_some(32 * 70));
        assert!(!walk(&merged).contains(&Key::Records(Date(8), 0)));
        assert!(walk(&merged).contains(&Key::Records(Date(8), 70)));
        assert_eq!(walk(&merged).len(), due.len() - 2);
        for key in due {
            dirty.remove(key);
        }
        assert_eq!(walk(&dirty), []);
    }
}
