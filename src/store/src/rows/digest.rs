//! Count and sum over all entries, so that an entry lost, doubled or gone back in time is found.

use std::collections::BTreeMap;

use super::entry::Key;

/// What the writer knows of each entry: the CRC of its value. Four bytes an entry.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    accounts: Vec<Option<u32>>,
    cards: Vec<Option<u32>>,
    /// Mark and residue: a few.
    others: BTreeMap<Key, u32>,
    entries: u64,
    sum: u64,
}

impl Digest {
    /// Encoded as the digest entry's payload.
    pub(crate) fn to_bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let (entries, sum) = bytes.split_at_mut(8);
        entries.copy_from_slice(&self.entries.to_be_bytes());
        sum.copy_from_slice(&self.sum.to_be_bytes());
        bytes
    }

    /// Notes that `key` now holds a value with this CRC.
    pub(crate) fn put(&mut self, key: Key, crc: u32) {
        if key == Key::Digest {
            return;
        }
        self.take(key);
        self.entries += 1;
        self.sum = self.sum.wrapping_add(mix(key, crc));
        match key {
            Key::Accounts(chunk) => set(&mut self.accounts, chunk, crc),
            Key::Cards(chunk) => set(&mut self.cards, chunk, crc),
            other => {
                self.others.insert(other, crc);
            }
        }
    }

    /// Notes that `key` is gone.
    pub(crate) fn take(&mut self, key: Key) {
        let old = match key {
            Key::Accounts(chunk) => unset(&mut self.accounts, chunk),
            Key::Cards(chunk) => unset(&mut self.cards, chunk),
            other => self.others.remove(&other),
        };
        if let Some(crc) = old {
            self.entries -= 1;
            self.sum = self.sum.wrapping_sub(mix(key, crc));
        }
    }

    /// Mark and pieces of residue: what may have to go.
    pub(crate) fn removable(&self) -> impl Iterator<Item = Key> + '_ {
        self.others.keys().copied()
    }

    /// How many entries there are.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }
}

fn set(table: &mut Vec<Option<u32>>, chunk: u32, crc: u32) {
    let at = chunk as usize;
    if table.len() <= at {
        table.resize(at + 1, None);
    }
    if let Some(slot) = table.get_mut(at) {
        *slot = Some(crc);
    }
}

fn unset(table: &mut [Option<u32>], chunk: u32) -> Option<u32> {
    table.get_mut(chunk as usize).and_then(Option::take)
}

/// Spreads key and CRC over 64 bits, so that sums of different sets differ.
fn mix(key: Key, crc: u32) -> u64 {
    let key_crc = crc32c::crc32c(&key.to_bytes());
    // splitmix64's finalizer.
    let mut z = (u64::from(key_crc) << 32 | u64::from(crc)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_detours_do_not_count_but_content_does() {
        let mut there = Digest::default();
        there.put(Key::Accounts(3), 1);
        there.put(Key::Cards(0), 2);
        there.put(Key::Mark, 9);
        let mut again = Digest::default();
        again.put(Key::Mark, 8);
        again.put(Key::Cards(0), 2);
        again.put(Key::Cards(1), 2);
        again.put(Key::Accounts(3), 1);
        assert_ne!(there.to_bytes(), again.to_bytes());
        again.take(Key::Cards(1));
        assert_ne!(
            there.to_bytes(),
            again.to_bytes(),
            "an entry gone back in time"
        );
        again.put(Key::Mark, 9);
        assert_eq!(there.to_bytes(), again.to_bytes());
        assert_eq!(again.entries(), 3);
    }
}
