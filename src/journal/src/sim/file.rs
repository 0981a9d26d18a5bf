//! One file of the simulated disk: what programs read, and what the platter
//! holds.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::limits::SECTOR_BYTES;

/// SplitMix64: small, and good enough to choose sectors.
pub(crate) fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A generator of such numbers.
#[derive(Clone, Debug)]
pub(super) struct Rng(pub u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        next(&mut self.0)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// Whether something with `quarters` chances in four happens.
    pub(super) fn chance(&mut self, quarters: u64) -> bool {
        self.below(4) < quarters
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct FileData {
    /// What programs read.
    pub seen: Vec<u8>,
    /// What the platter holds.
    pub durable: Vec<u8>,
    /// Sectors written since the last sync.
    pub dirty: BTreeSet<u64>,
    /// Sectors that a failed sync dropped: no later sync writes them.
    pub lost: BTreeSet<u64>,
    /// Handles that programs hold.
    pub opens: u64,
}

fn sector_range(index: u64, len: usize) -> Range<usize> {
    let start = usize::try_from(index)
        .unwrap_or(usize::MAX)
        .saturating_mul(SECTOR_BYTES)
        .min(len);
    start..start.saturating_add(SECTOR_BYTES).min(len)
}

impl FileData {
    /// Makes one sector durable, growing the file over it.
    fn persist(&mut self, sector: u64) {
        let range = sector_range(sector, self.seen.len());
        if self.durable.len() < range.end {
            self.durable.resize(range.end, 0);
        }
        if let (Some(to), Some(from)) = (self.durable.get_mut(range.clone()), self.seen.get(range))
        {
            to.copy_from_slice(from);
        }
    }

    pub(super) fn sync(&mut self) {
        for sector in std::mem::take(&mut self.dirty) {
            self.persist(sector);
        }
        self.durable.resize(self.seen.len(), 0);
    }

    /// A sync that fails: `rng` says which sectors it wrote nevertheless.
    pub(super) fn fail_sync(&mut self, rng: &mut Rng, reads_back: bool) {
        let quarters = rng.below(5);
        let len = self.durable.len();
        for sector in std::mem::take(&mut self.dirty) {
            if rng.chance(quarters) {
                self.persist(sector);
            } else if reads_back {
                self.lost.insert(sector);
            } else {
                // The page is dropped, and read again from the platter.
                let range = sector_range(sector, self.seen.len());
                let old = self.durable.get(range.clone()).map(<[u8]>::to_vec);
                if let Some(to) = self.seen.get_mut(range) {
                    match old {
                        Some(old) => to.copy_from_slice(&old),
                        None => to.fill(0),
                    }
                }
            }
        }
        // The new length was not made durable either, unless by luck.
        if rng.chance(2) {
            self.durable.truncate(len);
        }
    }

    pub(super) fn lose_power(&mut self, rng: &mut Rng) {
        let len = self.durable.len();
        let quarters = rng.below(5);
        let mut volatile = std::mem::take(&mut self.dirty);
        volatile.append(&mut self.lost);
        for sector in volatile {
            if rng.chance(quarters) {
                self.persist(sector);
            }
        }
        if rng.chance(2) {
            // A length that was not synced is lost along with its bytes, or a
            // cut that was not synced is undone.
            self.durable.resize(len, 0);
        } else {
            self.durable.resize(self.seen.len(), 0);
        }
        self.seen.clone_from(&self.durable);
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        let old = self.seen.len();
        if old < end {
            self.seen.resize(end, 0);
        }
        if let Some(to) = self.seen.get_mut(offset..end) {
            to.copy_from_slice(bytes);
        }
        // A hole is as volatile as what follows it.
        let first = offset.min(old) / SECTOR_BYTES;
        for sector in first..end.div_ceil(SECTOR_BYTES) {
            self.dirty.insert(sector as u64);
            self.lost.remove(&(sector as u64));
        }
    }
}
