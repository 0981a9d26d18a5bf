//! A look-up table from a hash to positions in a table: buckets of one cache
//! line, laid out and touched for a named capacity at the start, so that it
//! neither grows nor pauses. Ten entries of six bytes per bucket, at most eight
//! of them used on average: 8 bytes per entry when full. Entries can be taken
//! out again: each bucket counts those that passed it because it was full, so
//! that a search ends as soon as nobody did. Entries of one hash lie in one row of
//! buckets, so whoever inserts bounds how many there are of one (`memory` does).

use crate::mix::mix1;
use crate::prepare::fetch;
use crate::table::{Reserved, laid_out};

const SLOTS: usize = 10;
const EMPTY: u32 = u32::MAX;
/// No entry's [`Index::home`].
pub(crate) const NO_HOME: u32 = u32::MAX;
const AVERAGE_PER_BUCKET: u32 = 8;

#[derive(Clone, Debug)]
#[repr(C, align(64))]
struct Bucket {
    /// Positions; filled from the front.
    positions: [u32; SLOTS],
    /// Entries that are in a later bucket since this one was full.
    passed: u32,
    /// Sixteen bits of each hash, among them its upper two: few strangers are
    /// looked at, and none whose upper two bits are others.
    tags: [u16; SLOTS],
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    /// One bit per slot with this tag. Four tags are compared at once, since nearly
    /// always none is the same.
    #[inline(always)]
    fn matches(&self, tag: u16) -> u32 {
        let [a, b, c, d, e, f, g, h, i, j] = self.tags;
        let lanes = [[a, b, c, d], [e, f, g, h], [i, j, !tag, !tag]];
        let [first, second, third] = lanes.map(|lanes| equal_lanes(lanes, tag));
        if first | second | third == 0 {
            return 0;
        }
        gathered(first) | gathered(second) << 4 | gathered(third) << 8
    }

    fn slot_of(&self, tag: u16, position: u32) -> Option<usize> {
        self.positions
            .iter()
            .zip(self.tags)
            .position(|(there, its)| *there == position && its == tag)
    }

    /// Takes an entry out; those behind it move up, in their order.
    fn take(&mut self, tag: u16, position: u32) {
        let Some(slot) = self.slot_of(tag, position) else {
            return;
        };
        if let Some(rest) = self.positions.get_mut(slot..) {
            rest.rotate_left(1);
        }
        if let Some(rest) = self.tags.get_mut(slot..) {
            rest.rotate_left(1);
        }
        self.positions[SLOTS - 1] = EMPTY;
        self.tags[SLOTS - 1] = 0;
    }
}

const LANES: u64 = 0x0001_0001_0001_0001;
const ALL_BUT_HIGHEST: u64 = LANES * 0x7fff;

/// The highest bit of each lane that is this tag.
#[inline(always)]
const fn equal_lanes([a, b, c, d]: [u16; 4], tag: u16) -> u64 {
    let lanes = a as u64 | (b as u64) << 16 | (c as u64) << 32 | (d as u64) << 48;
    let differing = lanes ^ (LANES * tag as u64);
    // No carry leaves a lane: exact for each.
    !((differing & ALL_BUT_HIGHEST).wrapping_add(ALL_BUT_HIGHEST) | differing | ALL_BUT_HIGHEST)
}

/// The highest bits of four lanes, side by side.
#[inline(always)]
const fn gathered(highest: u64) -> u32 {
    const TO_THE_TOP: u64 = 1 << 48 | 1 << 33 | 1 << 18 | 1 << 3;
    ((highest >> 15).wrapping_mul(TO_THE_TOP) >> 48) as u32 & 0xf
}

/// Positions by hash. Several may have the same hash.
#[derive(Debug)]
pub(crate) struct Index {
    buckets: Vec<Bucket>,
}

impl Index {
    /// Room for `capacity` entries; touches all of it.
    pub fn with_capacity(capacity: u32, reserved: Reserved) -> Self {
        let buckets = capacity / AVERAGE_PER_BUCKET + 2;
        let bucket = Bucket {
            positions: [EMPTY; SLOTS],
            passed: 0,
            tags: [0; SLOTS],
        };
        Self {
            buckets: laid_out(bucket, buckets as usize, reserved),
        }
    }

    /// Where its buckets lie.
    pub fn addresses(&self) -> std::ops::Range<usize> {
        crate::table::addresses(&self.buckets)
    }

    #[inline(always)]
    fn place(&self, hash: u64) -> (usize, u16) {
        let mixed = mix1(hash);
        let bucket = ((mixed >> 32) * (self.buckets.len() as u64)) >> 32;
        let tag = mixed as u16 & 0x3fff | ((hash >> 62) as u16) << 14;
        (bucket as usize, tag)
    }

    /// Where entries of a hash belong: enough to take one out again, and to tell
    /// strangers apart. Never [`NO_HOME`].
    #[inline]
    pub const fn home(hash: u64) -> u32 {
        let home = (mix1(hash) >> 32) as u32;
        // The two last homes are in one bucket.
        if home == NO_HOME { NO_HOME - 1 } else { home }
    }

    /// Whether a position was put in with this hash.
    pub fn has(&self, hash: u64, position: u32) -> bool {
        let (home, tag) = self.place(hash);
        self.steps_to(home, |bucket| bucket.slot_of(tag, position).is_some())
            .is_some()
    }

    /// Positions whose hash may be this one: the caller compares.
    #[inline(always)]
    pub fn candidates(&self, hash: u64) -> Candidates<'_> {
        let (at, tag) = self.place(hash);
        let bucket = self.buckets.get(at);
        Candidates {
            index: self,
            bucket,
            at,
            tag,
            matches: bucket.map_or(0, |bucket| bucket.matches(tag)),
            visited: 1,
        }
    }

    /// Whether there may be `count` positions of this hash or more. `false` is sure.
    #[inline(always)]
    pub fn may_have(&self, hash: u64, count: usize) -> bool {
        let (at, tag) = self.place(hash);
        let Some(bucket) = self.buckets.get(at) else {
            return false;
        };
        let matches = bucket.matches(tag);
        let at_most_one = matches & matches.wrapping_sub(1) == 0 && bucket.passed == 0;
        (!at_most_one || count <= 1) && self.may_have_many(at, tag, count)
    }

    fn may_have_many(&self, mut at: usize, tag: u16, count: usize) -> bool {
        let mut found = 0;
        for _ in 0..self.buckets.len() {
            let Some(bucket) = self.buckets.get(at) else {
                return false;
            };
            found += bucket.matches(tag).count_ones() as usize;
            if found >= count {
                return true;
            }
            if bucket.passed == 0 {
                return false;
            }
            at += 1;
            if at == self.buckets.len() {
                at = 0;
            }
        }
        false
    }

    /// Fetches the bucket of a hash.
    #[inline(always)]
    pub fn fetch(&self, hash: u64) {
        let (at, _) = self.place(hash);
        if let Some(bucket) = self.buckets.get(at) {
            fetch(bucket);
        }
    }

    /// Adds a position. `false` when the table is full, which its owner's
    /// capacity rules out.
    #[inline]
    pub fn insert(&mut self, hash: u64, position: u32) -> bool {
        let (mut at, tag) = self.place(hash);
        for _ in 0..self.buckets.len() {
            let Some(bucket) = self.buckets.get_mut(at) else {
                return false;
            };
            let used: usize = bucket
                .positions
                .iter()
                .map(|there| usize::from(*there != EMPTY))
                .sum();
            if let (Some(to), Some(to_tag)) =
                (bucket.positions.get_mut(used), bucket.tags.get_mut(used))
            {
                *to = position;
                *to_tag = tag;
                return true;
            }
            bucket.passed = bucket.passed.saturating_add(1);
            at += 1;
            if at == self.buckets.len() {
                at = 0;
            }
        }
        false
    }

    /// Takes out a position that was put in with this hash. `false` when it is not there.
    pub fn remove(&mut self, hash: u64, position: u32) -> bool {
        let (home, tag) = self.place(hash);
        self.remove_from(home, |bucket| {
            bucket.slot_of(tag, position).map(|_| (tag, position))
        })
    }

    /// Takes out a position that no other entry has, by [`Self::home`]. `false` when it
    /// is not there.
    pub fn remove_at(&mut self, home: u32, position: u32) -> bool {
        let home = (u64::from(home) * (self.buckets.len() as u64)) >> 32;
        self.remove_from(home as usize, |bucket| {
            let slot = bucket
                .positions
                .iter()
                .position(|there| *there == position)?;
            Some((*bucket.tags.get(slot)?, position))
        })
    }

    /// Takes out the entry that `find` finds in the row of buckets from `home` on.
    fn remove_from(&mut self, home: usize, find: impl Fn(&Bucket) -> Option<(u16, u32)>) -> bool {
        let Some(steps) = self.steps_to(home, |bucket| find(bucket).is_some()) else {
            return false;
        };
        let mut at = home;
        for _ in 0..steps {
            if let Some(bucket) = self.buckets.get_mut(at) {
                bucket.passed = bucket.passed.saturating_sub(1);
            }
            at = if at + 1 == self.buckets.len() {
                0
            } else {
                at + 1
            };
        }
        if let Some(bucket) = self.buckets.get_mut(at)
            && let Some((tag, position)) = find(bucket)
        {
            bucket.take(tag, position);
        }
        true
    }

    /// How many buckets behind its home an entry lies.
    fn steps_to(&self, home: usize, is_in: impl Fn(&Bucket) -> bool) -> Option<usize> {
        let around = self.buckets.iter().skip(home).chain(self.buckets.iter());
        for (steps, bucket) in around.take(self.buckets.len()).enumerate() {
            if is_in(bucket) {
                return Some(steps);
            }
            if bucket.passed == 0 {
                return None;
            }
        }
        None
    }
}

/// Iterator over possible positions, in the order of insertion per bucket.
pub(crate) struct Candidates<'a> {
    index: &'a Index,
    bucket: Option<&'a Bucket>,
    at: usize,
    tag: u16,
    /// One bit per slot of the bucket that is still to be looked at.
    matches: u32,
    visited: usize,
}

impl Iterator for Candidates<'_> {
    type Item = u32;

    #[inline(always)]
    fn next(&mut self) -> Option<u32> {
        loop {
            let bucket = self.bucket?;
            if self.matches != 0 {
                let slot = self.matches.trailing_zeros() as usize;
                self.matches &= self.matches - 1;
                let position = *bucket.positions.get(slot)?;
                if position != EMPTY {
                    return Some(position);
                }
                continue;
            }
            if bucket.passed == 0 || self.visited >= self.index.buckets.len() {
                return None;
            }
            self.visited += 1;
            self.at += 1;
            if self.at == self.index.buckets.len() {
                self.at = 0;
            }
            self.bucket = self.index.buckets.get(self.at);
            self.matches = self.bucket.map_or(0, |bucket| bucket.matches(self.tag));
        }
    }
}

#[cfg(test)]
impl Index {
    pub fn is_empty(&self) -> bool {
        self.buckets
            .iter()
            .all(|bucket| bucket.passed == 0 && bucket.positions == [EMPTY; SLOTS])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_all_of_a_full_table_and_several_of_one_hash() {
        let mut index = Index::with_capacity(10_000, crate::table::UNTOLD);
        for n in 0..10_000u32 {
            assert!(index.insert(u64::from(n / 2), n));
        }
        for n in 0..10_000u32 {
            assert!(
                index.candidates(u64::from(n / 2)).any(|found| found == n),
                "{n}"
            );
        }
        let strangers = (0..10_000u64)
            .flat_map(|n| index.candidates(n + 1_000_000))
            .count();
        assert!(strangers < 20, "{strangers} strangers share bucket and tag");
    }

    #[test]
    fn what_is_taken_out_leaves_nothing_behind_and_hides_nobody() {
        let mut index = Index::with_capacity(1000, crate::table::UNTOLD);
        // Forty rounds of other entries, each as many as fit: as nights go by.
        for round in 0..40u32 {
            let entries = move || (0..1000u32).map(move |n| round * 1000 + n);
            for n in entries() {
                assert!(index.insert(u64::from(n / 3), n));
                // The round before goes while this one comes.
                if let Some(old) = n.checked_sub(1000) {
                    let hash = u64::from(old / 3);
                    assert!(index.has(hash, old));
                    // By the hash, and by no more than its home.
                    if old.is_multiple_of(2) {
                        assert!(index.remove(hash, old));
                    } else {
                        assert!(index.remove_at(Index::home(hash), old));
                    }
                    assert!(!index.has(hash, old));
                    assert!(!index.remove(hash, old));
                    assert!(!index.remove_at(Index::home(hash), old));
                }
                if n.is_multiple_of(97) {
                    assert!(index.candidates(u64::from(n / 3)).any(|found| found == n));
                }
            }
            for n in entries() {
                assert!(index.candidates(u64::from(n / 3)).any(|found| found == n));
            }
        }
        for n in 39_000..40_000u32 {
            assert!(index.remove(u64::from(n / 3), n));
        }
        assert!(index.is_empty());
    }

    #[test]
    fn a_full_table_says_so_and_ends_its_search() {
        let mut index = Index::with_capacity(1, crate::table::UNTOLD);
        let room = index.buckets.len() * SLOTS;
        for n in 0..room {
            assert!(index.insert(n as u64, n as u32));
        }
        assert!(!index.insert(0, 0));
        let mut index = Index::with_capacity(1, crate::table::UNTOLD);
        for n in 0..room {
            assert!(index.insert(n as u64, n as u32));
        }
        assert_eq!(
            index
                .candidates(77_777_777)
                .filter(|n| *n == u32::MAX)
                .count(),
            0
        );
    }

    #[test]
    fn each_slot_s_tag_is_compared_by_itself() {
        let near = |tag: u16| [0, 1, 0x7fff, 0x8000, 0xffff].map(|other| tag ^ other);
        for tag in [0, 1, 2, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff] {
            for slot in 0..SLOTS {
                for turn in 0..5 {
                    let tags = std::array::from_fn(|n| {
                        let others = near(tag);
                        if n == slot {
                            tag
                        } else {
                            others[(n + turn) % 5]
                        }
                    });
                    let bucket = Bucket {
                        positions: [EMPTY; SLOTS],
                        passed: 0,
                        tags,
                    };
                    let one_by_one = (0..SLOTS).map(|n| u32::from(tags[n] == tag) << n).sum();
                    assert_eq!(bucket.matches(tag), one_by_one, "{tag:x} in {tags:x?}");
                }
            }
        }
    }
}
