//! What stays in memory of records that are in files.

use crate::index::NO_HOME;
use crate::table::Chunked;

/// The part of a generation whose records are in files.
#[derive(Debug)]
pub(crate) struct Spilled {
    /// Slots, from the first on. Beyond them, records are in memory.
    pub slots: u32,
    /// Slots of which all is known that stays here: these, or more.
    pub(super) noted: u32,
    /// A bit for each: whether it is reversed.
    reversed: Chunked<u64>,
    /// Where each stands in the look-up table, if there is one.
    homes: Chunked<u32>,
    /// As long as these: [`super::time_print`] of each.
    pub(super) times: Chunked<u8>,
}

impl Spilled {
    pub fn none() -> Self {
        Self {
            slots: 0,
            noted: 0,
            reversed: Chunked::with_capacity(0),
            homes: Chunked::with_capacity(0),
            times: Chunked::with_capacity(0),
        }
    }

    pub(super) fn note(&mut self, is_reversed: bool, indexed: Option<(u32, u8)>) {
        if self.noted.is_multiple_of(64) {
            self.reversed.push(0);
        }
        let position = self.noted;
        self.noted += 1;
        if is_reversed {
            self.set_reversed(position);
        }
        if let Some((home, time)) = indexed {
            self.homes.push(home);
            self.times.push(time);
        }
    }

    pub(super) fn set_reversed(&mut self, position: u32) {
        if let Some(word) = self.reversed.get_mut(position / 64) {
            *word |= 1 << (position % 64);
        }
    }

    pub(super) fn is_reversed(&self, position: u32) -> bool {
        self.reversed
            .get(position / 64)
            .is_some_and(|word| *word & 1 << (position % 64) != 0)
    }

    pub fn clear_reversed(&mut self) {
        for at in 0..self.reversed.len() {
            if let Some(word) = self.reversed.get_mut(at) {
                *word = 0;
            }
        }
    }

    /// Where a slot's record stands in the look-up table, if it does.
    pub fn home(&self, position: u32) -> Option<u32> {
        self.homes
            .get(position)
            .copied()
            .filter(|home| *home != NO_HOME)
    }

    /// Forgets slots from `len` on.
    pub fn truncate(&mut self, len: u32) {
        self.slots = self.slots.min(len);
        self.noted = self.noted.min(len);
        self.homes.truncate(len);
        self.times.truncate(len);
        self.reversed.truncate(len.div_ceil(64));
    }
}
