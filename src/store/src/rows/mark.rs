//! The low-water mark: from where replay starts, and what must be there.

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
    /// Remembered transactions that are in files of their own at `seq`. The others are in
    /// the newest base file and in the journal, not among the rows.
    pub(crate) files: Extents,
    /// Which of the two residue slots holds the residue of `seq`.
    pub(crate) slot: u8,
    /// Its length in bytes.
    pub(crate) residue: u64,
    /// Encoded sizes of an account row, a card row and a record: another size is another format.
    pub(crate) sizes: [u16; 3],
}

/// Versions 1 and 2 had remembered transactions among the rows.
const VERSION: u8 = 3;

impl Mark {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
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
        bytes.extend_from_slice(&self.files.to_bytes());
        bytes
    }

    /// Journal and sequence of a mark of this layout or an older one.
    pub(crate) fn whose(bytes: &[u8]) -> Option<([u8; 16], Seq)> {
        let mut take = Take(bytes);
        let is_known = (1..=VERSION).contains(&take.u8()?);
        let whose = (take.array()?, take.u64()?);
        is_known.then_some(whose)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut take = Take(bytes);
        if take.u8()? != VERSION {
            return None;
        }
        let mark = Self {
            uuid: take.array()?,
            seq: take.u64()?,
            state_hash: take.u64()?,
            accounts: take.u32()?,
            cards: take.u32()?,
            sizes: [take.u16()?, take.u16()?, take.u16()?],
            slot: take.u8()?,
            residue: take.u64()?,
            files: Extents::take(&mut take)?,
        };
        take.end(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remembered::Extent;
    use gapless_engine::date::Date;

    #[test]
    fn comes_back_and_is_refused_when_cut_or_longer() {
        let extent = Extent {
            slots: 4,
            digest: 77,
        };
        let mark = Mark {
            uuid: [7; 16],
            seq: 12,
            state_hash: 99,
            accounts: 3,
            cards: 4,
            files: Extents(vec![(Date(20_000), extent)]),
            slot: 1,
            residue: 8_001,
            sizes: [96, 64, 40],
        };
        let mut bytes = mark.to_bytes();
        assert_eq!(Mark::from_bytes(&bytes), Some(mark));
        for cut in 0..bytes.len() {
            assert_eq!(Mark::from_bytes(&bytes[..cut]), None);
        }
        bytes.push(0);
        assert_eq!(Mark::from_bytes(&bytes), None);
        bytes.pop();
        bytes[0] = 2;
        assert_eq!(Mark::from_bytes(&bytes), None, "of the older layout");
        assert_eq!(Mark::whose(&bytes), Some(([7; 16], 12)));
        bytes[0] = 4;
        assert_eq!(Mark::whose(&bytes), None);
    }
}
