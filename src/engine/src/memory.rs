//! The remembered transactions: generations by business date, records appended
//! only, found by locator.

use crate::date::Date;
use crate::ids::Seq;
use crate::index::Index;
use crate::legs::Legs;
use crate::limits::{CROWD, Capacity, MAX_GENERATIONS, RECORD_INDEX_BITS, generation_tag};
use crate::lookup;
use crate::record::{Record, RecordRef, flags};
use crate::spill::{Lent, Notes, Spilled};
use crate::table::{Chunked, Reserved, UNTOLD};

/// The closing date and the opening one.
const OPEN_DATES: usize = 2;
/// Places given back per record that comes: what is forgotten is gone long before
/// as many have come.
const SWEPT_PER_RECORD: u32 = 2;

/// The remembered transactions of one business date.
#[derive(Debug)]
pub(crate) struct Generation {
    pub date: Date,
    /// Sequence of its first event.
    pub base_seq: Seq,
    /// All slots; those that are spilled are counted, and no longer there.
    pub records: Chunked<Record>,
    pub spilled: Spilled,
    /// Chunks of records whose memory was taken away.
    pub taken: usize,
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
    pub(crate) index: Option<Index>,
    capacity: Capacity,
    /// Slots in use, over all generations.
    pub used: u32,
    /// Those of them that are spilled.
    pub spilled: u32,
    /// Bound of the others.
    pub most_in_memory: u32,
    /// What reversals of an earlier date than its own mark as reversed: the reversal is
    /// forgotten first, and its record then no longer says so at a start. An advice may
    /// have the date after that of the request that it corrects, and their reversal the
    /// request's. Rare.
    pub outliving: Vec<RecordRef>,
    pub lent: Lent,
    pub notes: Notes,
    /// Told of memory that records are about to take.
    reserved: Reserved,
}

impl Memory {
    pub fn new(capacity: Capacity, indexed: bool, reserved: Reserved) -> Self {
        Self {
            generations: Vec::with_capacity(MAX_GENERATIONS),
            leaving: Vec::with_capacity(MAX_GENERATIONS),
            index: indexed.then(|| {
                let all = capacity.remembered.saturating_add(capacity.reserve());
                Index::with_capacity(all, reserved)
            }),
            capacity,
            used: 0,
            spilled: 0,
            most_in_memory: u32::MAX,
            outliving: Vec::new(),
            lent: Lent::default(),
            notes: Notes::default(),
            reserved: UNTOLD,
        }
    }

    /// Tells where records will be, from now on, and where the next ones will.
    pub fn tell(&mut self, reserved: Reserved) {
        self.reserved = reserved;
        for generation in &mut self.generations {
            generation.records.tell_when_large(reserved);
        }
        // Older dates than the open ones hardly grow.
        let open = self.generations.iter().rev().take(OPEN_DATES);
        open.for_each(|generation| generation.records.tell_rest(reserved));
    }

    /// Slots that requests may still take.
    pub const fn room(&self) -> u32 {
        let (all, here) = (
            self.capacity.remembered.saturating_sub(self.used),
            self.most_in_memory.saturating_sub(self.in_memory()),
        );
        if all < here { all } else { here }
    }

    /// Slots that advices and reversals may still take.
    pub const fn room_with_reserve(&self) -> u32 {
        let (all, here) = (
            self.places(),
            reserve_of(self.most_in_memory)
                .saturating_add(self.most_in_memory)
                .saturating_sub(self.in_memory()),
        );
        if all < here { all } else { here }
    }

    /// Slots that can still be taken.
    pub const fn places(&self) -> u32 {
        self.capacity
            .remembered
            .saturating_add(self.capacity.reserve())
            .saturating_sub(self.used)
    }

    #[inline]
    pub(crate) fn at_tag(&self, tag: u32) -> Option<&Generation> {
        self.generations
            .iter()
            .rev()
            .find(|generation| generation_tag(generation.date) == tag)
    }

    pub(crate) fn at_tag_mut(&mut self, tag: u32) -> Option<&mut Generation> {
        self.generations
            .iter_mut()
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
        let record = self.slot(generation, reference.position())?;
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
            self.spilled = self.spilled.saturating_sub(generation.spilled.slots);
            self.lent.forget(generation_tag(generation.date));
            if self.index.is_some() {
                self.leaving.push(generation);
            }
        }
        let mut outliving = std::mem::take(&mut self.outliving);
        outliving.retain(|reference| self.at_tag(reference.tag()).is_some());
        self.outliving = outliving;
    }

    /// Marks a record as reversed, by a reversal of this date.
    pub fn mark(&mut self, reference: RecordRef, date: Date) {
        self.set_reversed(reference);
        let marked = self.at_tag(reference.tag());
        if marked.is_some_and(|generation| generation.date > date) {
            self.outliving.push(reference);
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
            let reference = RecordRef::new(generation.date, position);
            if position < generation.spilled.slots {
                if let (Some(index), Some(home)) =
                    (&mut self.index, generation.spilled.home(position))
                {
                    index.remove_at(home, reference.0);
                }
            } else if let (Some(index), Some(record)) =
                (&mut self.index, generation.records.get(position))
                && !record.is_continuation()
                && record.locator() != 0
            {
                lookup::hashes(record).any(|hash| index.remove(hash, reference.0));
            }
            generation.records.truncate(position);
            generation.spilled.truncate(position);
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
        let most = self.capacity.remembered;
        let mut records = Chunked::with_capacity(most.saturating_add(self.capacity.reserve()));
        records.tell_when_large(self.reserved);
        self.generations.insert(
            at,
            Generation {
                date,
                base_seq,
                records,
                spilled: Spilled::none(),
                taken: 0,
            },
        );
        at
    }

    /// Takes the next slot of a loaded generation; `None` with too many of them.
    /// What it is looked up by comes with [`Self::enter_loaded`].
    pub fn push_loaded(&mut self, date: Date, record: Record) -> Option<()> {
        let at = match self.generations.iter().rposition(|one| one.date == date) {
            Some(at) => at,
            None if self.generations.len() >= 2 * MAX_GENERATIONS => return None,
            None => self.open(date, 0),
        };
        self.generations.get_mut(at)?.records.push(record);
        self.used = self.used.saturating_add(1);
        Some(())
    }

    /// Slots of a loaded generation.
    pub fn loaded(&self, date: Date) -> u32 {
        self.generation(date).map_or(0, |one| one.records.len())
    }

    /// Forgets a loaded generation's slots from `len` on, and says when it began.
    pub fn cut_loaded(&mut self, date: Date, base_seq: Seq, len: u32) {
        let at = match self.generations.iter().position(|one| one.date == date) {
            Some(at) => at,
            None => self.open(date, base_seq),
        };
        if let Some(generation) = self.generations.get_mut(at) {
            self.used -= generation.records.len().saturating_sub(len);
            generation.base_seq = base_seq;
            generation.records.truncate(len);
        }
    }

    /// Puts a loaded generation's slots from `from` to `until` where they are looked
    /// up, in the order in which they came. Returns how far it came: further on,
    /// something is wanted, or the table is full.
    pub fn enter_loaded(&mut self, date: Date, from: u32, until: u32) -> u32 {
        for position in from..until {
            let record = self
                .generation(date)
                .and_then(|generation| generation.records.get(position).copied());
            let Some(record) = record else {
                return position;
            };
            if self.spilled > 0 && !record.is_continuation() {
                self.foresee_place(&lookup::Names::from(&record));
            }
            if self.notes.any() || !self.enter(RecordRef::new(date, position), &record) {
                return position;
            }
        }
        until
    }

    /// What reversals among the slots of a generation from `from` to `until` mark, with
    /// their own sequence from the generation's first.
    pub fn marks_of(
        generation: &Generation,
        from: u32,
        until: u32,
    ) -> impl Iterator<Item = (u32, [RecordRef; 2])> {
        (from..until)
            .filter_map(|position| generation.records.get(position))
            .filter(|record| !record.is_continuation())
            .map(|record| (record.seq_delta(), record.marked()))
            .filter(|(_, marked)| marked.iter().any(|one| one.is_some()))
    }

    /// Makes the marks "reversed" anew, from the reversals among the records and from
    /// `spilled` ones: as stored they may be newer than the rest.
    pub fn mark_anew(&mut self, spilled: &[(Date, u32, [RecordRef; 2])]) {
        let mut marked = Vec::new();
        let mut take = |generation: &Generation, delta: u32, references: [RecordRef; 2]| {
            let seq = generation.base_seq + u64::from(delta);
            // One into a generation that was dropped may name a newer one.
            marked.extend(references.into_iter().filter(|one| self.is_kept(*one, seq)));
        };
        for generation in &self.generations {
            let (from, until) = (generation.spilled.slots, generation.records.len());
            for (delta, references) in Self::marks_of(generation, from, until) {
                take(generation, delta, references);
            }
        }
        for (date, delta, references) in spilled {
            if let Some(generation) = self.generation(*date) {
                take(generation, *delta, *references);
            }
        }
        for generation in &mut self.generations {
            generation.spilled.clear_reversed();
            for position in generation.spilled.slots..generation.records.len() {
                if let Some(record) = generation.records.get_mut(position)
                    && !record.is_continuation()
                {
                    record.clear_reversed();
                }
            }
        }
        marked.extend(&self.outliving);
        for reference in marked {
            self.set_reversed(reference);
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
        for slot in self.continuations(generation, reference) {
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
        let named = self
            .continuations(generation, reference)
            .next()
            .map_or(RecordRef::NONE, Record::continued_link);
        record.has(flags::WIDE) && named.is_some() && !self.link(reference).is_some()
    }

    /// The request that an advice's record corrects.
    pub fn link(&self, reference: RecordRef) -> RecordRef {
        match self.get(reference) {
            Some((generation, record)) if record.has(flags::WIDE) => {
                let link = self
                    .continuations(generation, reference)
                    .next()
                    .map_or(RecordRef::NONE, Record::continued_link);
                // One into a generation that was dropped may name a newer one.
                if self.is_kept(link, seq_of(generation, record)) {
                    link
                } else {
                    RecordRef::NONE
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
        let slot = self.continuations(generation, reference).next()?;
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
            .then(|| self.continuations(generation, reference).next())?
            .map(Record::continued_slot)
    }

    /// The continuation slots behind a record.
    fn continuations<'a>(
        &'a self,
        generation: &'a Generation,
        reference: RecordRef,
    ) -> impl Iterator<Item = &'a Record> {
        let behind = reference.position().saturating_add(1)..generation.records.len();
        behind
            .map_while(|position| self.slot(generation, position))
            .take_while(|record| record.is_continuation())
    }
}

/// Slots on top of a bound that only advices and reversals may take.
const fn reserve_of(most: u32) -> u32 {
    most / 16 + 256
}

/// Sequence of a record.
pub(crate) fn seq_of(generation: &Generation, record: &Record) -> Seq {
    generation.base_seq + u64::from(record.seq_delta())
}
