//! The remembered transactions: generations by business date, records appended
//! only, found by locator.

use crate::date::Date;
use crate::ids::Seq;
use crate::index::Index;
use crate::legs::Legs;
use crate::limits::{CROWD, Capacity, MAX_GENERATIONS, RECORD_INDEX_BITS, generation_tag};
use crate::lookup;
use crate::record::{Record, RecordRef, flags};
use crate::table::Chunked;

/// Places given back per record that comes: what is forgotten is gone long before
/// as many have come.
const SWEPT_PER_RECORD: u32 = 2;

/// The remembered transactions of one business date.
#[derive(Debug)]
pub(crate) struct Generation {
    pub date: Date,
    /// Sequence of its first event.
    pub base_seq: Seq,
    pub records: Chunked<Record>,
}

/// All remembered transactions.
#[derive(Debug)]
pub(crate) struct Memory {
    /// By date, ascending.
    pub generations: Vec<Generation>,
    /// Generations that are forgotten: nothing finds them any more, and their
    /// places in the look-up table are given back a few per event, since a seal
    /// must not pause.
    leaving: Vec<Generation>,
    index: Option<Index>,
    capacity: Capacity,
    /// Slots in use, over all generations.
    pub used: u32,
}

impl Memory {
    pub fn new(capacity: Capacity, indexed: bool) -> Self {
        Self {
            generations: Vec::with_capacity(MAX_GENERATIONS),
            leaving: Vec::with_capacity(MAX_GENERATIONS),
            index: indexed.then(|| {
                Index::with_capacity(capacity.remembered.saturating_add(capacity.reserve()))
            }),
            capacity,
            used: 0,
        }
    }

    /// Slots that requests may still take.
    pub const fn room(&self) -> u32 {
        self.capacity.remembered.saturating_sub(self.used)
    }

    /// Slots that advices and reversals may still take.
    pub const fn room_with_reserve(&self) -> u32 {
        self.capacity
            .remembered
            .saturating_add(self.capacity.reserve())
            .saturating_sub(self.used)
    }

    #[inline]
    fn at_tag(&self, tag: u32) -> Option<&Generation> {
        self.generations
            .iter()
            .rev()
            .find(|generation| generation_tag(generation.date) == tag)
    }

    pub fn generation(&self, date: Date) -> Option<&Generation> {
        self.generations
            .iter()
            .rev()
            .find(|generation| generation.date == date)
    }

    /// The generation and the record that a reference names.
    pub fn get(&self, reference: RecordRef) -> Option<(&Generation, &Record)> {
        if !reference.is_some() {
            return None;
        }
        let generation = self.at_tag(reference.tag())?;
        let record = generation.records.get(reference.position())?;
        (!record.is_continuation()).then_some((generation, record))
    }

    /// Whether what a reference named when event `seq` was new is still remembered: a
    /// generation that has the number of a dropped one began later.
    #[inline]
    pub fn is_kept(&self, reference: RecordRef, seq: Seq) -> bool {
        reference.is_some()
            && self.at_tag(reference.tag()).is_some_and(|generation| {
                generation.base_seq <= seq && reference.position() < generation.records.len()
            })
    }

    /// The look-up table, of an engine that has one.
    #[inline(always)]
    pub const fn index(&self) -> Option<&Index> {
        self.index.as_ref()
    }

    /// Fetches what the look-up of a locator starts with.
    #[inline(always)]
    pub fn fetch(&self, locator: u32) {
        if let Some(index) = &self.index {
            index.fetch(u64::from(locator));
        }
    }

    pub const fn is_indexed(&self) -> bool {
        self.index.is_some()
    }

    /// Where the next record of `date` would go. `None` when its generation is full.
    pub fn next_position(&self, date: Date) -> Option<u32> {
        let position = self
            .generation(date)
            .map_or(0, |generation| generation.records.len());
        // The last number is left out: with the last tag it would read as "none".
        (position < (1 << RECORD_INDEX_BITS) - crate::limits::MAX_SLOTS_PER_EVENT)
            .then_some(position)
    }

    /// The first sequence of `date`'s generation, which `seq` would be if it has none yet.
    pub fn base_seq(&self, date: Date, seq: Seq) -> Seq {
        self.generation(date)
            .map_or(seq, |generation| generation.base_seq)
    }

    /// Appends to `date`'s generation, which starts at `seq` if it has not yet.
    /// "None" when the look-up table is full, which `check` rules out.
    #[inline]
    pub fn append(&mut self, date: Date, seq: Seq, record: Record) -> RecordRef {
        let at = match self
            .generations
            .iter()
            .rposition(|generation| generation.date == date)
        {
            Some(at) => at,
            None => self.open(date, seq),
        };
        if !self.leaving.is_empty() {
            self.sweep(SWEPT_PER_RECORD);
        }
        let Some(generation) = self.generations.get_mut(at) else {
            return RecordRef::NONE;
        };
        let reference = RecordRef::new(date, generation.records.len());
        generation.records.push(record);
        self.used = self.used.saturating_add(1);
        if self.enter(reference, &record) {
            reference
        } else {
            RecordRef::NONE
        }
    }

    /// Puts a record where it is looked up. `false` when the table is full.
    #[inline]
    fn enter(&mut self, reference: RecordRef, record: &Record) -> bool {
        if record.is_continuation() || record.locator() == 0 {
            return true;
        }
        let Some(index) = &mut self.index else {
            return true;
        };
        let locator = u64::from(record.locator());
        if !record.has(flags::ENTRY) && !index.may_have(locator, CROWD) {
            return index.insert(locator, reference.0);
        }
        self.enter_by_longer(reference, record)
    }

    #[cold]
    fn enter_by_longer(&mut self, reference: RecordRef, record: &Record) -> bool {
        let hash = self.longer_hash(reference, record);
        self.index
            .as_mut()
            .is_none_or(|index| index.insert(hash, reference.0))
    }

    /// Forgets every generation up to and with `last`: at once for whoever looks.
    pub fn forget(&mut self, last: Date) {
        let gone = self
            .generations
            .partition_point(|generation| generation.date <= last);
        for generation in self.generations.drain(..gone) {
            self.used = self.used.saturating_sub(generation.records.len());
            if self.index.is_some() {
                self.leaving.push(generation);
            }
        }
    }

    /// Gives back up to `slots` places of what is forgotten.
    pub fn sweep(&mut self, slots: u32) {
        for _ in 0..slots {
            let Some(generation) = self.leaving.last_mut() else {
                return;
            };
            let Some(position) = generation.records.len().checked_sub(1) else {
                self.leaving.pop();
                continue;
            };
            if let (Some(index), Some(record)) = (&mut self.index, generation.records.get(position))
                && !record.is_continuation()
                && record.locator() != 0
            {
                let reference = RecordRef::new(generation.date, position);
                lookup::hashes(record).any(|hash| index.remove(hash, reference.0));
            }
            generation.records.truncate(position);
        }
    }

    /// Opens the generation of a date.
    pub fn open(&mut self, date: Date, base_seq: Seq) -> usize {
        // Days with hardly an event may not have given back everything; references
        // of this date's number must not be mistaken for those.
        while self
            .leaving
            .iter()
            .any(|gone| generation_tag(gone.date) == generation_tag(date))
        {
            self.sweep(u32::MAX);
        }
        let at = self
            .generations
            .partition_point(|generation| generation.date < date);
        self.generations.insert(
            at,
            Generation {
                date,
                base_seq,
                records: Chunked::with_capacity(
                    self.capacity
                        .remembered
                        .saturating_add(self.capacity.reserve()),
                ),
            },
        );
        at
    }

    /// Takes a loaded generation, as far as `len`.
    pub fn take(&mut self, date: Date, base_seq: Seq, records: Option<Chunked<Record>>, len: u32) {
        let at = self.open(date, base_seq);
        let Some(generation) = self.generations.get_mut(at) else {
            return;
        };
        if let Some(mut records) = records {
            records.truncate(len);
            generation.records = records;
        }
        let len = generation.records.len();
        self.used = self.used.saturating_add(len);
        // In the order in which they came.
        for position in 0..len {
            let record = self
                .generations
                .get(at)
                .and_then(|generation| generation.records.get(position).copied());
            if let Some(record) = record {
                self.enter(RecordRef::new(date, position), &record);
            }
        }
    }

    /// Makes the marks "reversed" anew, from the reversals among the records: as
    /// stored they may be newer than the rest.
    pub fn mark_anew(&mut self) {
        let mut marked = Vec::new();
        for generation in &self.generations {
            for record in generation.records.iter().filter(|r| !r.is_continuation()) {
                for reference in record.marked() {
                    // One into a generation that was dropped may name a newer one.
                    if let Some((older_generation, older)) = self.get(reference)
                        && seq_of(older_generation, older) < seq_of(generation, record)
                    {
                        marked.push(reference);
                    }
                }
            }
        }
        for generation in &mut self.generations {
            for position in 0..generation.records.len() {
                if let Some(record) = generation.records.get_mut(position)
                    && !record.is_continuation()
                {
                    record.clear_reversed();
                }
            }
        }
        for reference in marked {
            self.set_reversed(reference);
        }
    }

    /// Marks a record as reversed.
    pub fn set_reversed(&mut self, reference: RecordRef) {
        let tag = reference.tag();
        if let Some(generation) = self
            .generations
            .iter_mut()
            .rev()
            .find(|generation| generation_tag(generation.date) == tag)
            && let Some(record) = generation.records.get_mut(reference.position())
        {
            record.set_reversed();
        }
    }

    /// What a record posted.
    pub fn legs(&self, reference: RecordRef) -> Legs {
        let Some((generation, record)) = self.get(reference) else {
            return Legs::EMPTY;
        };
        if !record.has(flags::WIDE) || record.has(flags::BALANCES) {
            return record.narrow_legs();
        }
        let mut legs = Legs::EMPTY;
        for slot in continuations(generation, reference) {
            for leg in slot.continued_legs() {
                // Two slots of three: there is room for all.
                if legs.push(leg).is_err() {
                    return legs;
                }
            }
        }
        legs
    }

    /// Whether it is an advice that corrected a request which has been dropped since.
    pub fn has_lost_link(&self, reference: RecordRef) -> bool {
        let Some((generation, record)) = self.get(reference) else {
            return false;
        };
        let named = continuations(generation, reference)
            .next()
            .map_or(RecordRef::NONE, Record::continued_link);
        record.has(flags::WIDE) && named.is_some() && !self.link(reference).is_some()
    }

    /// The request that an advice's record corrects.
    pub fn link(&self, reference: RecordRef) -> RecordRef {
        match self.get(reference) {
            Some((generation, record)) if record.has(flags::WIDE) => {
                let link = continuations(generation, reference)
                    .next()
                    .map_or(RecordRef::NONE, Record::continued_link);
                // One into a generation that was dropped may name a newer one.
                match self.get(link) {
                    Some((older_generation, older))
                        if seq_of(older_generation, older) < seq_of(generation, record) =>
                    {
                        link
                    }
                    _ => RecordRef::NONE,
                }
            }
            _ => RecordRef::NONE,
        }
    }

    /// The balances that an inquiry reported, with the slot of their currency.
    pub fn balances(&self, reference: RecordRef) -> Option<(u8, i64, i64)> {
        let (generation, record) = self.get(reference)?;
        if !record.has(flags::BALANCES) {
            return None;
        }
        if !record.has(flags::WIDE) {
            let (ledger, available) = record.narrow_balances();
            return Some((record.currency_slot(), ledger, available));
        }
        let slot = continuations(generation, reference).next()?;
        let mut legs = slot.continued_legs();
        Some((
            slot.continued_slot(),
            legs.next()?.delta_minor,
            legs.next()?.delta_minor,
        ))
    }

    /// Slots that belong to the currency of a wide record's DE 49.
    pub fn wide_slot(&self, reference: RecordRef) -> Option<u8> {
        let (generation, record) = self.get(reference)?;
        record
            .has(flags::WIDE)
            .then(|| continuations(generation, reference).next())?
            .map(Record::continued_slot)
    }
}

/// Sequence of a record.
pub(crate) fn seq_of(generation: &Generation, record: &Record) -> Seq {
    generation.base_seq + u64::from(record.seq_delta())
}

/// The continuation slots behind a record.
fn continuations(generation: &Generation, reference: RecordRef) -> impl Iterator<Item = &Record> {
    (reference.position().saturating_add(1)..)
        .map_while(|position| generation.records.get(position))
        .take_while(|record| record.is_continuation())
}
