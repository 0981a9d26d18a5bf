//! The nights: what is remembered of cutovers, freezes and seals, so that each
//! repeats its first result; the networks' clocks; the batch's entries.

use crate::date::Date;
use crate::ids::{AccountIx, Currency, NetworkId, Seq, TimeUs};
use crate::limits::{DAYS_KEPT, MAX_ENTRY_CURRENCIES};
use crate::mix;

/// Count and sum of the batch's entries in one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntrySum {
    /// The currency.
    pub currency: Currency,
    /// How many entries.
    pub count: u32,
    /// Signed sum of what customers' accounts gained, minor units.
    pub sum_minor: i64,
}

/// Counts and sums of the batch's entries of one date, by currency, ascending.
#[derive(Clone, Copy)]
pub struct EntrySums {
    len: u8,
    sums: [EntrySum; MAX_ENTRY_CURRENCIES],
}

impl EntrySums {
    /// No entries.
    pub const EMPTY: Self = Self {
        len: 0,
        sums: [EntrySum {
            currency: Currency(0),
            count: 0,
            sum_minor: 0,
        }; MAX_ENTRY_CURRENCIES],
    };

    /// By currency, ascending.
    #[must_use]
    pub fn as_slice(&self) -> &[EntrySum] {
        self.sums.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Those of a currency; zero when there are none.
    #[must_use]
    pub fn of(&self, currency: Currency) -> EntrySum {
        self.as_slice()
            .iter()
            .copied()
            .find(|sum| sum.currency == currency)
            .unwrap_or(EntrySum {
                currency,
                count: 0,
                sum_minor: 0,
            })
    }

    /// Adds `count` entries of `sum_minor` in all. `None`, and no change, when a
    /// number would leave its range or there are too many currencies.
    #[must_use]
    pub fn with(&self, currency: Currency, count: u32, sum_minor: i64) -> Option<Self> {
        let mut all = *self;
        let at = match self
            .as_slice()
            .binary_search_by_key(&currency, |sum| sum.currency)
        {
            Ok(at) => at,
            Err(at) => {
                all.sums
                    .get_mut(at..=usize::from(self.len))?
                    .rotate_right(1);
                *all.sums.get_mut(at)? = EntrySum {
                    currency,
                    count: 0,
                    sum_minor: 0,
                };
                all.len += 1;
                at
            }
        };
        let sum = all.sums.get_mut(at)?;
        sum.count = sum.count.checked_add(count)?;
        sum.sum_minor = sum.sum_minor.checked_add(sum_minor)?;
        Some(all)
    }

    /// The first currency in which the two differ.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<Currency> {
        let mut all = self.as_slice().iter().chain(other.as_slice());
        all.find(|sum| self.of(sum.currency) != other.of(sum.currency))
            .map(|sum| sum.currency)
    }
}

impl PartialEq for EntrySums {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for EntrySums {}

impl std::fmt::Debug for EntrySums {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

/// How far the end of one date has got: sequences of the steps, 0 = not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayEnd {
    /// The date.
    pub date: Date,
    /// Of its cutover.
    pub cutover: Seq,
    /// Engine time of its cutover: its grace begins.
    pub cutover_us: TimeUs,
    /// Of its freeze.
    pub freeze: Seq,
    /// Of its seal.
    pub seal: Seq,
    /// The batch's entries dated so.
    pub entries: EntrySums,
}

/// A network's current settlement date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkClock {
    /// The network.
    pub network: NetworkId,
    /// Its current settlement date.
    pub date: Date,
    /// The event that set it.
    pub seq: Seq,
}

/// All state of the nights but the open dates themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Night {
    /// The closing date's, and the last sealed ones'; ascending.
    pub days: Vec<DayEnd>,
    /// By network.
    pub clocks: Vec<NetworkClock>,
    /// Contra accounts of batch entries, by currency.
    pub batch: Vec<(Currency, AccountIx)>,
    /// Items that took a later business date than their settlement date.
    pub rolled_forward: u64,
}

impl Night {
    pub fn new() -> Self {
        Self {
            days: Vec::with_capacity(DAYS_KEPT + 1),
            ..Self::default()
        }
    }

    pub fn day(&self, date: Date) -> Option<&DayEnd> {
        self.days.iter().rev().find(|day| day.date == date)
    }

    /// The day's end of `date`, begun if it has not yet.
    pub fn day_mut(&mut self, date: Date) -> Option<&mut DayEnd> {
        if self.days.last().is_none_or(|last| last.date < date) {
            if self.days.len() >= DAYS_KEPT {
                self.days.remove(0);
            }
            self.days.push(DayEnd {
                date,
                cutover: 0,
                cutover_us: 0,
                freeze: 0,
                seal: 0,
                entries: EntrySums::EMPTY,
            });
        }
        self.days.iter_mut().rev().find(|day| day.date == date)
    }

    pub fn entries(&self, date: Date) -> EntrySums {
        self.day(date).map_or(EntrySums::EMPTY, |day| day.entries)
    }

    #[inline]
    pub fn clock(&self, network: NetworkId) -> Option<&NetworkClock> {
        let at = self
            .clocks
            .binary_search_by_key(&network, |clock| clock.network)
            .ok()?;
        self.clocks.get(at)
    }

    pub fn set_clock(&mut self, clock: NetworkClock) {
        match self
            .clocks
            .binary_search_by_key(&clock.network, |there| there.network)
        {
            Ok(at) => {
                if let Some(there) = self.clocks.get_mut(at) {
                    *there = clock;
                }
            }
            Err(at) => self.clocks.insert(at, clock),
        }
    }

    pub fn batch_account(&self, currency: Currency) -> Option<AccountIx> {
        self.batch
            .iter()
            .find(|(of, _)| *of == currency)
            .map(|(_, ix)| *ix)
    }

    /// Into the state hash; a journal without a night hashes as ever. The count
    /// of roll-forwards follows from the remembered transactions and is left out.
    pub fn hash(&self, mut hash: u64) -> u64 {
        for day in &self.days {
            hash = mix::mix6([
                hash,
                u64::from(day.date.0),
                day.cutover,
                day.freeze,
                day.seal,
                day.cutover_us,
            ]);
            for sum in day.entries.as_slice() {
                hash = mix::mix6([
                    hash,
                    u64::from(sum.currency.0),
                    u64::from(sum.count),
                    sum.sum_minor as u64,
                    0,
                    0,
                ]);
            }
        }
        for clock in &self.clocks {
            let key = u64::from(clock.network.0) << 16 | u64::from(clock.date.0);
            hash = mix::mix6([hash, key, clock.seq, 0, 0, 0]);
        }
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_kept_by_currency_within_their_range() {
        let mut sums = EntrySums::EMPTY;
        for (currency, minor) in [(840, 5), (410, -7), (978, 1), (410, 10)] {
            sums = sums.with(Currency(currency), 1, minor).unwrap();
        }
        let seen: Vec<_> = sums
            .as_slice()
            .iter()
            .map(|s| (s.currency.0, s.count, s.sum_minor))
            .collect();
        assert_eq!(seen, [(410, 2, 3), (840, 1, 5), (978, 1, 1)]);
        assert_eq!(sums.with(Currency(410), 1, i64::MAX), None);
        assert_eq!(sums.with(Currency(410), u32::MAX, 0), None);
        assert_eq!(sums.difference(&sums), None);
        let other = sums.with(Currency(978), 0, 1).unwrap();
        assert_eq!(sums.difference(&other), Some(Currency(978)));
        for currency in 1..=MAX_ENTRY_CURRENCIES as u16 - 3 {
            sums = sums.with(Currency(currency), 1, 1).unwrap();
        }
        assert_eq!(sums.with(Currency(999), 1, 1), None, "too many currencies");
    }
}
