//! The low-water mark: from where replay starts, and what must be there.

use gapless_engine::date::Date;
use gapless_engine::ids::Seq;

use crate::codec::Take;
use crate::remembered::Extents;

/// Written last in a checkpoint, when everything that it speaks of is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The journal that the rows belong to.
    pub(crate) uuid: [u8; 16],
    /// Every row holds at least its effects up to here; replay starts behind it.
    pub(crate) seq: Seq,
    /// State hash at `seq`. It can be compared only when no row is ahead.
    pub(crate) state_hash: u64,
    /// Number of account rows at `seq`.
    pub(crate) accounts: u32,
    /// Number of card rows at `seq`.
    pub(crate) cards: u32,
    /// Records of each generation at `seq`.
    pub(crate) generations: Vec<(Date, u64)>,
    /// Those of them that are in files of their own.
    pub(crate) files: Extents,
    /// Which of the two residue slots holds the residue of `seq`.
    pub(crate) slot: u8,
    /// Its length in bytes.
    pub(crate) residue: u64,
    /// Encoded sizes of an account row, a card row and a record: another size is another format.
    pub(crate) sizes: [u16; 3],
}

/// Without records in files, a mark is of version 1, as the older program wrote it.
const VERSION: u8 = 2;
const ALL_WITHIN: u8 = 1;

impl Mark {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let version = if self.files.0.is_empty() {
            ALL_WITHIN
        } else {
            VERSION
        };
        let mut bytes = vec![version];
        bytes.extend_from_slice(&self.uuid);
        bytes.extend_from_slice(&self.seq.to_be_bytes());
        bytes.extend_from_slice(&self.state_hash.to_be_bytes());
        bytes.extend_from_slice(&self.accounts.to_be_bytes());
        bytes.extend_from_slice(&self.cards.to_be_bytes());
        for size in self.sizes {
            bytes.extend_from_slice(&size.to_be_bytes());
        }
        bytes.push(self.slot);
        bytes.extend_from_slice(&self.residue.to_be_bytes());
        let generations = u16::try_from(self.generations.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&generations.to_be_bytes());
        for (date, len) in self.generations.iter().take(usize::from(generations)) {
            bytes.extend_from_slice(&date.0.to_be_bytes());
            bytes.extend_from_slice(&len.to_be_bytes());
        }
        if version == VERSION {
            bytes.extend_from_slice(&self.files.to_bytes());
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut take = Take(bytes);
        let version = take.u8()?;
        if ![VERSION, ALL_WITHIN].contains(&version) {
            return None;
        }
        let mut mark = Self {
            uuid: take.array()?,
            seq: take.u64()?,
            state_hash: take.u64()?,
            accounts: take.u32()?,
            cards: take.u32()?,
            sizes: [take.u16()?, take.u16()?, take.u16()?],
            slot: take.u8()?,
            residue: take.u64()?,
            generations: Vec::new(),
            files: Extents::default(),
        };
        for _ in 0..take.u16()? {
            mark.generations.push((Date(take.u16()?), take.u64()?));
        }
        if version == VERSION {
            mark.files = Extents::take(&mut take)?;
        }
        take.end(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remembered::Extent;

    #[test]
    fn comes_back_and_is_refused_when_cut_or_longer() {
        let mut mark = Mark {
            uuid: [7; 16],
            seq: 12,
            state_hash: 99,
            accounts: 3,
            cards: 4,
            generations: vec![(Date(20_000), 5), (Date(20_001), 6)],
            files: Extents::default(),
            slot: 1,
            residue: 8_001,
            sizes: [96, 64, 40],
        };
        let older = mark.to_bytes();
        assert_eq!(older[0], 1);
        assert_eq!(Mark::from_bytes(&older), Some(mark.clone()));
        let extent = Extent {
            slots: 4,
            digest: 77,
        };
        mark.files = Extents(vec![(Date(20_000), extent)]);
        let mut bytes = mark.to_bytes();
        assert_eq!(Mark::from_bytes(&bytes), Some(mark));
        for cut in 0..bytes.len() {
            assert_eq!(Mark::from_bytes(&bytes[..cut]), None);
        }
        bytes.push(0);
        assert_eq!(Mark::from_bytes(&bytes), None);
    }
}
