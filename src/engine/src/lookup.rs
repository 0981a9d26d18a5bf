//! Where remembered transactions are looked up, so that no look-up is long, whatever
//! peers send.
//!
//! The locator (card and STAN) finds a transaction and its relatives. A peer that
//! never counts its STAN up makes one locator of all its messages, and a look-up by
//! it would walk them all. So at most [`CROWD`] records of a generation stand under
//! one name; the next ones stand under a longer name: the locator with DE 7, then
//! with DE 37 as well, then with everything that a repeat has in common with the
//! first message. A look-up goes on to the longer names only where the shorter one
//! is full. An entry of the batch, which has no relatives, stands under its longest
//! name at once.
//!
//! The first records of a generation stand under the shortest name, in the order of
//! the journal, and generations are counted apart. So what stands where follows
//! from each generation's records alone: it is the same live, in replay and after a
//! load, and does not change when another generation is forgotten.

use crate::command::{Class, Identity, Original};
use crate::index::Index;
use crate::limits::{CROWD, MAX_GENERATIONS};
use crate::memory::{Generation, Memory};
use crate::mix::mix2;
use crate::record::{Record, RecordRef, flags};
use crate::spill::time_print;
use std::ops::ControlFlow;

const _: () = assert!(
    CROWD == 8,
    "a count of eight sets the bit that `is_full` reads"
);
const _: () = assert!(MAX_GENERATIONS <= 8, "one byte of a count for each");

/// What a transaction is looked up by; 0 = absent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names {
    pub locator: u32,
    pub transmitted: u32,
    pub rrn: u16,
    /// What else only a repeat has in common: of the key (48 bits) and DE 32.
    pub own: Option<u64>,
    /// Of DE 7, where records with another are of no interest; else 0.
    time: u8,
}

impl From<&Identity> for Names {
    fn from(i: &Identity) -> Self {
        Self {
            locator: i.locator,
            transmitted: i.transmitted,
            rrn: i.rrn,
            own: Some(i.key >> 16 << 16 | u64::from(i.acquirer)),
            time: time_print(i.transmitted),
        }
    }
}

impl From<&Record> for Names {
    fn from(r: &Record) -> Self {
        Self {
            locator: r.locator(),
            transmitted: r.transmitted(),
            rrn: r.rrn(),
            own: Some(r.key() | u64::from(r.acquirer())),
            time: 0,
        }
    }
}

impl Names {
    /// What an original is looked up by, if its STAN is known.
    pub fn of_original(o: &Original) -> Option<Self> {
        Some(Self {
            locator: o.locator?,
            transmitted: o.transmitted,
            rrn: o.rrn,
            own: None,
            time: 0,
        })
    }
}

/// How long a name is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Locator = 0,
    Transmitted = 1,
    Reference = 2,
    Whole = 3,
}

const LEVELS: [Level; 4] = [
    Level::Locator,
    Level::Transmitted,
    Level::Reference,
    Level::Whole,
];

impl Level {
    /// Names of two lengths never meet: the table compares the upper two bits.
    #[inline]
    fn hash(self, names: &Names) -> u64 {
        let locator = u64::from(names.locator);
        let time = u64::from(names.transmitted);
        let with_reference = u64::from(names.rrn) << 32 | time;
        let hash = match self {
            Self::Locator => return locator,
            Self::Transmitted => mix2(locator, time),
            Self::Reference => mix2(locator, with_reference),
            Self::Whole => mix2(mix2(locator, with_reference), names.own.unwrap_or(0)),
        };
        hash >> 2 | (self as u64) << 62
    }

    #[inline]
    fn is_name_of(self, names: &Names, record: &Record) -> bool {
        record.locator() == names.locator
            && (self == Self::Locator || record.transmitted() == names.transmitted)
            && ((self as u8) < Self::Reference as u8 || record.rrn() == names.rrn)
            && (self != Self::Whole || Names::from(record).own == names.own)
    }
}

/// How many records stand under a name: a byte for each generation.
#[derive(Clone, Copy, Default)]
struct Counts(u64);

impl Counts {
    #[inline(always)]
    const fn add(&mut self, reference: RecordRef) {
        self.0 = self.0.wrapping_add(1 << (reference.tag() * 8));
    }

    /// Whether some generation may have more records under longer names.
    #[inline(always)]
    const fn is_full(self) -> bool {
        self.0 & 0x0808_0808_0808_0808 != 0
    }

    #[inline(always)]
    const fn total(self) -> usize {
        // At most 64.
        (self.0.wrapping_mul(0x0101_0101_0101_0101) >> 56) as usize
    }

    const fn of(self, reference: RecordRef) -> usize {
        (self.0 >> (reference.tag() * 8)) as usize & 0xff
    }
}

type Found<'a> = (RecordRef, &'a Generation, &'a Record);

/// Whether a look-up has seen everything that it could be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Everything with the locator.
    All,
    /// Everything that may be a relative, but not all others of the locator.
    Relatives,
    /// At least [`CROWD`] have all that the names say in common: there may be more.
    Crowd,
}

/// How many may be relatives as far as the names tell, by whether they have DE 7 and
/// DE 37. Over all generations together, and from the first [`CROWD`] on, whether
/// some were hidden or not: so it makes no difference to an answer whether a night
/// has put the same messages into one generation or into two.
struct Tally<'a> {
    names: &'a Names,
    counts: [[usize; 2]; 2],
}

impl Tally<'_> {
    /// Whether a record may be a relative; then it is counted.
    #[inline(always)]
    fn add(&mut self, record: &Record) -> bool {
        let Names {
            transmitted, rrn, ..
        } = *self.names;
        let (time, reference) = (record.transmitted(), record.rrn());
        let fits = (transmitted == 0 || time == 0 || time == transmitted)
            && (rrn == 0 || reference == 0 || reference == rrn);
        // A part that the names lack keeps nobody out, and hides the rest.
        let place = match (transmitted, rrn) {
            (0, _) => (false, false),
            (_, 0) => (time != 0, false),
            _ => (time != 0, reference != 0),
        };
        if (fits || transmitted == 0)
            && let Some(count) = self
                .counts
                .get_mut(usize::from(place.0))
                .and_then(|counts| counts.get_mut(usize::from(place.1)))
        {
            *count += 1;
        }
        fits
    }

    fn sight(&self) -> Sight {
        if self.counts.iter().flatten().any(|count| *count >= CROWD) {
            Sight::Crowd
        } else {
            Sight::Relatives
        }
    }
}

impl Memory {
    /// Shows the records under one name.
    #[inline(always)]
    fn under<'a, B>(
        &'a self,
        level: Level,
        names: &Names,
        see: impl FnMut(RecordRef, &'a Generation, &'a Record) -> ControlFlow<B>,
    ) -> ControlFlow<B, Counts> {
        self.under_of_time(level, names, 0, see)
    }

    /// As [`Self::under`]; of those in files, some with another DE 7 are left out, and
    /// not counted.
    #[inline(always)]
    fn under_of_time<'a, B>(
        &'a self,
        level: Level,
        names: &Names,
        time: u8,
        mut see: impl FnMut(RecordRef, &'a Generation, &'a Record) -> ControlFlow<B>,
    ) -> ControlFlow<B, Counts> {
        let mut counts = Counts::default();
        let Some(index) = self.index() else {
            return ControlFlow::Continue(counts);
        };
        let hash = level.hash(names);
        for position in index.candidates(hash) {
            let reference = RecordRef(position);
            if let Some((generation, record)) = self.candidate(hash, time, reference)
                && level.is_name_of(names, record)
            {
                counts.add(reference);
                see(reference, generation, record)?;
            }
        }
        ControlFlow::Continue(counts)
    }

    /// Shows every record that may be a relative: the locator is the same, and DE 7
    /// and DE 37 are the same or absent on one side. Also shows others of the locator
    /// where they are few.
    #[inline(always)]
    pub fn relatives<'a, B>(
        &'a self,
        names: &Names,
        mut see: impl FnMut(RecordRef, &'a Generation, &'a Record) -> ControlFlow<B>,
    ) -> ControlFlow<B, Sight> {
        if self
            .index()
            .is_some_and(|index| index.may_have(Level::Locator.hash(names), CROWD))
        {
            return self.relatives_in_crowd(names, &mut see);
        }
        // So few that nobody counts them.
        self.under_of_time(Level::Locator, names, names.time, see)?;
        ControlFlow::Continue(Sight::All)
    }

    #[cold]
    fn relatives_in_crowd<'a, B>(
        &'a self,
        names: &Names,
        see: &mut dyn FnMut(RecordRef, &'a Generation, &'a Record) -> ControlFlow<B>,
    ) -> ControlFlow<B, Sight> {
        let mut tally = Tally {
            names,
            counts: [[0; 2]; 2],
        };
        let mut see_relative = |reference, generation, record: &'a Record| {
            if tally.add(record) {
                see(reference, generation, record)
            } else {
                ControlFlow::Continue(())
            }
        };
        let counts = self.under(Level::Locator, names, &mut see_relative)?;
        if counts.total() < CROWD {
            // Strangers, and what is forgotten: no crowd. Then the others count too.
            self.under(Level::Locator, names, |reference, generation, record| {
                if tally.add(record) {
                    ControlFlow::Continue(())
                } else {
                    see(reference, generation, record)
                }
            })?;
            return ControlFlow::Continue(Sight::All);
        }
        if counts.is_full() {
            self.relatives_by_longer(names, &mut see_relative)?;
        }
        ControlFlow::Continue(tally.sight())
    }

    fn relatives_by_longer<'a, B>(
        &'a self,
        names: &Names,
        see: &mut dyn FnMut(RecordRef, &'a Generation, &'a Record) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        for transmitted in both(names.transmitted) {
            let mut names = Names {
                transmitted,
                ..*names
            };
            if !self.under(Level::Transmitted, &names, &mut *see)?.is_full() {
                continue;
            }
            for rrn in both(names.rrn) {
                names.rrn = rrn;
                if self.under(Level::Reference, &names, &mut *see)?.is_full() && names.own.is_some()
                {
                    self.under(Level::Whole, &names, &mut *see)?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// The record that stands under these names and `is` the one: at most
    /// [`CROWD`] of each generation are looked at for each length of a name.
    #[inline(always)]
    fn exactly<'a>(
        &'a self,
        names: &Names,
        is: impl Fn(&Generation, &Record) -> bool,
    ) -> Option<Found<'a>> {
        let see = |reference, generation, record| {
            if is(generation, record) {
                ControlFlow::Break((reference, generation, record))
            } else {
                ControlFlow::Continue(())
            }
        };
        // In a crowd they are counted.
        let may_be_crowd = self.spilled > 0
            && self
                .index()
                .is_some_and(|index| index.may_have(Level::Locator.hash(names), CROWD));
        let time = if may_be_crowd { 0 } else { names.time };
        match self.under_of_time(Level::Locator, names, time, see) {
            ControlFlow::Break(found) => Some(found),
            ControlFlow::Continue(counts) if counts.is_full() => self.exactly_in_crowd(names, &see),
            ControlFlow::Continue(_) => None,
        }
    }

    #[cold]
    fn exactly_in_crowd<'a>(
        &'a self,
        names: &Names,
        see: &dyn Fn(RecordRef, &'a Generation, &'a Record) -> ControlFlow<Found<'a>>,
    ) -> Option<Found<'a>> {
        for level in LEVELS.into_iter().skip(1) {
            match self.under(level, names, see) {
                ControlFlow::Break(found) => return Some(found),
                ControlFlow::Continue(counts) if counts.is_full() => {}
                ControlFlow::Continue(_) => return None,
            }
        }
        None
    }

    /// The record of this very message, if it is remembered.
    #[inline]
    pub fn message(&self, identity: &Identity, class: Class) -> Option<Found<'_>> {
        self.exactly(&Names::from(identity), |_, record| {
            record.is_same_message(identity, class)
        })
    }

    /// The record of this entry of a date's batch, if it is remembered.
    pub fn entry(&self, identity: &Identity, date: crate::date::Date) -> Option<Found<'_>> {
        let found = self.under(
            Level::Whole,
            &Names::from(identity),
            |reference, generation, record| {
                if generation.date == date && record.is_entry(identity) {
                    ControlFlow::Break((reference, generation, record))
                } else {
                    ControlFlow::Continue(())
                }
            },
        );
        found.break_value()
    }

    /// Looks at all that [`Self::longer_hash`] compares a record of these names with.
    pub fn foresee_place(&self, names: &Names) {
        let locator = u64::from(names.locator);
        if !self
            .index()
            .is_some_and(|index| index.may_have(locator, CROWD))
        {
            return;
        }
        for level in LEVELS {
            let all = |_, _: &Generation, _: &Record| ControlFlow::<()>::Continue(());
            match self.under(level, names, all) {
                ControlFlow::Continue(counts) if counts.is_full() => {}
                _ => return,
            }
        }
    }

    /// Where a record goes that is not in the look-up table yet, when it is an entry or
    /// the locator may be a crowd's.
    pub fn longer_hash(&self, reference: RecordRef, record: &Record) -> u64 {
        let names = Names::from(record);
        if record.has(flags::ENTRY) {
            // Nobody looks for its relatives.
            return Level::Whole.hash(&names);
        }
        let free = LEVELS.into_iter().find(|level| {
            let all = |_, _: &Generation, _: &Record| ControlFlow::<()>::Continue(());
            match self.under(*level, &names, all) {
                ControlFlow::Continue(counts) => counts.of(reference) < CROWD,
                ControlFlow::Break(()) => false,
            }
        });
        // Two that are the same under the longest name are one message: the second is
        // answered as a repeat and not remembered.
        free.unwrap_or(Level::Whole).hash(&names)
    }
}

/// The hashes under which a record may stand, the likeliest first.
pub(crate) fn hashes(record: &Record) -> impl Iterator<Item = u64> {
    let names = Names::from(record);
    LEVELS.into_iter().map(move |level| level.hash(&names))
}

/// The home of a record's entry; `None` when it has none.
pub(crate) fn home_of(index: &Index, reference: RecordRef, record: &Record) -> Option<u32> {
    if record.is_continuation() || record.locator() == 0 {
        return None;
    }
    hashes(record)
        .find(|hash| index.has(*hash, reference.0))
        .map(Index::home)
}

/// A part as it is, and absent.
fn both<T: Copy + Default + PartialEq>(part: T) -> impl Iterator<Item = T> {
    std::iter::once(part).chain((part != T::default()).then(T::default))
}
