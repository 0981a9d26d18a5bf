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

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use crate::date::Date;
use crate::engine::Engine;
use crate::event::{Body, Event, TransactionEvent};
use crate::index::{Index, NO_HOME};
use crate::limits::CHUNK_ROWS_LOG2;
use crate::lookup::{self, Names};
use crate::memory::{Generation, Memory};
use crate::record::{Record, RecordRef};
use crate::table::Chunked;

/// Slots of a generation that are lent together; what is in files is a multiple of it.
pub const BLOCK_SLOTS: u32 = 16;
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
/// Blocks that one look takes note of; the others come at the next.
const NOTED_BLOCKS: usize = 1024;

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

/// The part of a generation whose records are in files.
#[derive(Debug)]
pub(crate) struct Spilled {
    /// Slots, from the first on. Beyond them, records are in memory.
    pub slots: u32,
    /// Slots of which all is known that stays here: these, or more.
    noted: u32,
    /// A bit for each: whether it is reversed.
    reversed: Chunked<u64>,
    /// Where each stands in the look-up table, if there is one.
    homes: Chunked<u32>,
    /// As long as these: [`time_print`] of each.
    times: Chunked<u8>,
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

    fn note(&mut self, is_reversed: bool, indexed: Option<(u32, u8)>) {
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

    fn set_reversed(&mut self, position: u32) {
        if let Some(word) = self.reversed.get_mut(position / 64) {
            *word |= 1 << (position % 64);
        }
    }

    fn is_reversed(&self, position: u32) -> bool {
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

/// What is lent, by the reference of its first slot.
#[derive(Debug, Default)]
pub(crate) struct Lent {
    blocks: BTreeMap<u32, Lending>,
    /// In the order in which they came or were last passed over, with the time of that.
    order: VecDeque<(u64, u32)>,
    /// Counts what came.
    clock: u64,
}

#[derive(Debug)]
enum Lending {
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
    fn put(&mut self, at: u32, slots: Option<Box<[Record; BLOCK_SLOTS as usize]>>) {
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

    fn get(&self, at: u32) -> Option<&Lending> {
        let lending = self.blocks.get(&at)?;
        if let Lending::Block { used, .. } = lending {
            used.set(self.clock);
        }
        Some(lending)
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

/// What was looked at and is not at hand.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    any: Cell<bool>,
    unreadable: Cell<bool>,
    missing: RefCell<Vec<BlockRef>>,
}

impl Notes {
    #[inline(always)]
    pub const fn any(&self) -> bool {
        self.any.get()
    }

    pub const fn is_unreadable(&self) -> bool {
        self.unreadable.get()
    }

    #[cold]
    fn missing(&self, block: BlockRef) {
        self.any.set(true);
        let mut missing = self.missing.borrow_mut();
        if missing.len() < NOTED_BLOCKS && !missing.contains(&block) {
            missing.push(block);
        }
    }

    #[cold]
    fn unreadable(&self) {
        self.any.set(true);
        self.unreadable.set(true);
    }

    /// Clears them; whether something cannot be read.
    pub fn take(&self) -> (bool, Vec<BlockRef>) {
        self.any.set(false);
        (self.unreadable.take(), self.missing.take())
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
        if let Some(Lending::Block { slots, .. }) = self.lent.blocks.get_mut(&at)
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
