//! Remembered transactions whose records lie in files.
//!
//! Each generation's oldest records may leave memory: they never change, but for the
//! mark "reversed", which stays here as a bit. What stays as well, in an engine that
//! has look-up tables, is four bytes of the hash that a record is looked up by: they
//! tell strangers apart, and take the entry out again when its date is forgotten. And a
//! byte of DE 7: among a hundred million, one message in forty meets another's locator,
//! and needs no look into a file to know that it is another's.
//!
//! The engine reads no files. What looks at a record that is neither in memory nor
//! lent takes a note of it and goes on as if there were none; whatever came of that is
//! thrown away, the record is lent ([`Engine::lend`]), and the same is done again.

mod lent;
mod notes;
mod spilled;

pub(crate) use lent::Lent;
pub(crate) use notes::Notes;
pub(crate) use spilled::Spilled;

use lent::Lending;

use crate::date::Date;
use crate::engine::Engine;
use crate::event::{Body, Event, TransactionEvent};
use crate::index::{Index, NO_HOME};
use crate::limits::CHUNK_ROWS_LOG2;
use crate::lookup::{self, Names};
use crate::memory::{Generation, Memory};
use crate::record::{Record, RecordRef};

/// Slots of a generation that are lent together; what is in files is a multiple of it.
pub const BLOCK_SLOTS: u32 = 16;

/// Which slots of a generation: [`BLOCK_SLOTS`] of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRef {
    /// The generation.
    pub date: Date,
    /// Position of the first slot.
    pub first: u32,
}

/// Memory that records have left. Giving back megabytes takes a while, so whoever gets
/// it drops it where that holds nobody up.
#[derive(Debug, Default)]
#[must_use = "dropping it takes a while"]
pub struct Freed(Vec<Vec<Record>>);

impl Freed {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Seven bits of DE 7; 0 = absent. Two that differ, and are both there, are of two messages.
#[inline]
pub(crate) const fn time_print(transmitted: u32) -> u8 {
    if transmitted == 0 {
        return 0;
    }
    // The golden ratio's bits.
    (transmitted.wrapping_mul(0x9e37_79b1) >> 24) as u8 | 1
}

const fn first_of_block(position: u32) -> u32 {
    position / BLOCK_SLOTS * BLOCK_SLOTS
}

impl Memory {
    /// Slots whose records are in memory.
    pub const fn in_memory(&self) -> u32 {
        self.used.saturating_sub(self.spilled)
    }

    /// As [`Memory::get`], of what is in memory only: no note is taken.
    pub(crate) fn held(&self, reference: RecordRef) -> Option<(&Generation, &Record)> {
        let generation = self.at_tag(reference.tag())?;
        let is_held = reference.is_some() && reference.position() >= generation.spilled.slots;
        is_held.then(|| self.get(reference))?
    }

    /// A slot of a generation, if it is at hand.
    #[inline]
    pub(crate) fn slot<'a>(
        &'a self,
        generation: &'a Generation,
        position: u32,
    ) -> Option<&'a Record> {
        if position < generation.spilled.slots {
            return self.lent_slot(generation, position);
        }
        generation.records.get(position)
    }

    #[cold]
    fn lent_slot(&self, generation: &Generation, position: u32) -> Option<&Record> {
        let first = first_of_block(position);
        match self.lent.get(RecordRef::new(generation.date, first).0) {
            Some(Lending::Block { slots, .. }) => slots.get((position - first) as usize),
            Some(Lending::Unreadable) => {
                self.notes.unreadable();
                None
            }
            None => {
                self.notes.missing(BlockRef {
                    date: generation.date,
                    first,
                });
                None
            }
        }
    }

    /// As [`Memory::get`], for what the look-up table gave for a hash: a stranger's
    /// record is not even asked for, nor one whose DE 7 is another than `time` stands
    /// for (0: any will do).
    #[inline(always)]
    pub(crate) fn candidate(
        &self,
        hash: u64,
        time: u8,
        reference: RecordRef,
    ) -> Option<(&Generation, &Record)> {
        let generation = self.at_tag(reference.tag())?;
        if reference.position() < generation.spilled.slots {
            return self.spilled_candidate(generation, hash, time, reference.position());
        }
        let record = generation.records.get(reference.position())?;
        (!record.is_continuation()).then_some((generation, record))
    }

    #[cold]
    fn spilled_candidate<'a>(
        &'a self,
        generation: &'a Generation,
        hash: u64,
        time: u8,
        position: u32,
    ) -> Option<(&'a Generation, &'a Record)> {
        if generation.spilled.home(position) != Some(Index::home(hash)) {
            return None;
        }
        let its = generation.spilled.times.get(position).copied();
        if time != 0 && its.is_some_and(|its| its != 0 && its != time) {
            return None;
        }
        let record = self.lent_slot(generation, position)?;
        (!record.is_continuation()).then_some((generation, record))
    }

    /// Marks a record as reversed, wherever it is.
    pub fn set_reversed(&mut self, reference: RecordRef) {
        let (tag, position) = (reference.tag(), reference.position());
        let Some(generation) = self.at_tag_mut(tag) else {
            return;
        };
        if position < generation.spilled.noted {
            generation.spilled.set_reversed(position);
        }
        if position >= generation.spilled.slots {
            if let Some(record) = generation.records.get_mut(position) {
                record.set_reversed();
            }
            return;
        }
        let first = first_of_block(position);
        let at = RecordRef::new(generation.date, first).0;
        if let Some(Lending::Block { slots, .. }) = self.lent.get_mut(at)
            && let Some(record) = slots.get_mut((position - first) as usize)
        {
            record.set_reversed();
        }
    }

    /// The oldest records that are in memory, if there are `unit` of one generation.
    fn next_to_spill(&self, unit: u32) -> Option<BlockRef> {
        self.generations
            .iter()
            .find(|generation| generation.records.len() - generation.spilled.slots >= unit)
            .map(|generation| BlockRef {
                date: generation.date,
                first: generation.spilled.slots,
            })
    }

    /// See [`Engine::spill`].
    pub(crate) fn spill(&mut self, date: Date, until: u32, most: u32) -> Option<Freed> {
        let mut freed = Freed::default();
        let at = self.generations.iter().position(|one| one.date == date);
        let Some(generation) = at.and_then(|at| self.generations.get_mut(at)) else {
            // Forgotten meanwhile.
            return Some(freed);
        };
        let until = first_of_block(until.min(generation.records.len()));
        let from = generation.spilled.noted;
        for position in from..until.min(from.saturating_add(most)) {
            let Some(record) = generation.records.get(position) else {
                return Some(freed);
            };
            let indexed = self.index.as_ref().map(|index| {
                let reference = RecordRef::new(date, position);
                let home = lookup::home_of(index, reference, record);
                (home.unwrap_or(NO_HOME), time_print(record.transmitted()))
            });
            generation.spilled.note(record.is_reversed(), indexed);
        }
        let spilled = &mut generation.spilled;
        if spilled.noted < until {
            return None;
        }
        self.spilled += until.saturating_sub(spilled.slots);
        spilled.slots = spilled.slots.max(until);
        while let Some(end) = (generation.taken as u32 + 1).checked_shl(CHUNK_ROWS_LOG2)
            && end <= spilled.slots
            && let Some(chunk) = generation.records.take_chunk(generation.taken)
        {
            generation.taken += 1;
            freed.0.push(chunk);
        }
        Some(freed)
    }

    fn lend(&mut self, block: BlockRef, bytes: Option<&[u8]>) {
        let Some(generation) = self.generation(block.date) else {
            return;
        };
        if first_of_block(block.first) != block.first || block.first >= generation.spilled.slots {
            return;
        }
        let slots = bytes.and_then(|bytes| read_block(bytes, block.first, &generation.spilled));
        let at = RecordRef::new(block.date, block.first).0;
        self.lent.put(at, slots);
    }
}

fn read_block(
    bytes: &[u8],
    first: u32,
    spilled: &Spilled,
) -> Option<Box<[Record; BLOCK_SLOTS as usize]>> {
    if bytes.len() != BLOCK_SLOTS as usize * Record::BYTES {
        return None;
    }
    let mut records = Vec::with_capacity(BLOCK_SLOTS as usize);
    for (position, bytes) in (first..).zip(bytes.chunks_exact(Record::BYTES)) {
        let mut record = Record::from_bytes(bytes).ok()?;
        if spilled.is_reversed(position) {
            record.set_reversed();
        }
        records.push(record);
    }
    records.into_boxed_slice().try_into().ok()
}

impl Engine {
    /// Bounds the records in memory. When they are reached, since those that hold
    /// older ones did not [`Self::spill`] in time, requests are refused with 91, while
    /// advices and reversals have a reserve.
    pub const fn hold_in_memory(&mut self, most: u32) {
        self.memory.most_in_memory = most;
    }

    /// Slots of remembered transactions in memory: all of them, less what was spilled.
    #[must_use]
    pub const fn records_in_memory(&self) -> u32 {
        self.memory.in_memory()
    }

    /// Whether any was spilled: if not, all that an event looks at is at hand.
    #[must_use]
    #[inline]
    pub const fn has_spilled(&self) -> bool {
        self.memory.spilled > 0
    }

    /// Slots of a generation that were spilled: those below.
    #[must_use]
    pub fn spilled(&self, date: Date) -> u32 {
        self.memory
            .generation(date)
            .map_or(0, |generation| generation.spilled.slots)
    }

    /// The oldest `unit` slots in memory that belong to one date, by the first of them.
    #[must_use]
    pub fn next_to_spill(&self, unit: u32) -> Option<BlockRef> {
        self.memory.next_to_spill(unit)
    }

    /// Slots in memory as files hold them, [`Record::BYTES`] each: without the mark
    /// "reversed", so that they never change.
    pub fn spill_bytes(
        &self,
        date: Date,
        range: std::ops::Range<u32>,
    ) -> impl Iterator<Item = [u8; Record::BYTES]> {
        self.memory
            .generation(date)
            .into_iter()
            .flat_map(move |generation| {
                range
                    .clone()
                    .filter_map(|position| generation.records.get(position))
                    .map(|record| record.unmarked().to_bytes())
            })
    }

    /// Lets go of the records of a date below the position `until` (a multiple of
    /// [`BLOCK_SLOTS`]), which must be in files by now. Looks at `most` slots: `None`
    /// when there are more to be looked at first.
    pub fn spill(&mut self, date: Date, until: u32, most: u32) -> Option<Freed> {
        self.memory.spill(date, until, most)
    }

    /// A spilled slot, from files, as it is with its mark.
    ///
    /// # Errors
    /// [`crate::RowError`]: it is no such slot.
    pub fn marked(
        &self,
        date: Date,
        position: u32,
        bytes: &[u8],
    ) -> Result<[u8; Record::BYTES], crate::RowError> {
        let mut record = Record::from_bytes(bytes)?;
        let is_reversed = self
            .memory
            .generation(date)
            .is_some_and(|generation| generation.spilled.is_reversed(position));
        if is_reversed {
            record.set_reversed();
        }
        Ok(record.to_bytes())
    }

    /// Blocks that something has looked at since this was last asked and that are not
    /// at hand: what came of it does not count. Empty when all was there.
    #[must_use]
    pub fn wanted(&self) -> Vec<BlockRef> {
        self.memory.notes.take().1
    }

    /// Takes a block out of a file for a while; `None`: it cannot be read.
    pub fn lend(&mut self, block: BlockRef, bytes: Option<&[u8]>) {
        self.memory.lend(block, bytes);
    }

    /// Looks at what [`Engine::check`] and [`Engine::apply`] of an event look at, for
    /// [`Engine::wanted`] to tell.
    #[inline]
    pub fn foresee(&self, event: &Event) {
        if self.memory.spilled > 0 {
            self.foresee_body(&event.body);
        }
    }

    pub(crate) fn foresee_transaction(&self, t: &TransactionEvent) {
        self.memory.legs(t.linked);
        self.memory.foresee_place(&Names::from(&t.identity));
    }

    #[cold]
    fn foresee_body(&self, body: &Body) {
        match body {
            Body::Transaction(t) => self.foresee_transaction(t),
            Body::Reversal(r) => {
                self.memory.legs(r.original);
                self.memory.legs(r.linked);
                self.memory.foresee_place(&Names::from(&r.identity));
                if let Some(tombstone) = &r.tombstone {
                    self.memory
                        .foresee_place(&Names::from(&tombstone.identity()));
                }
            }
            _ => {}
        }
    }
}
