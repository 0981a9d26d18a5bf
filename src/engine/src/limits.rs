//! Every bound of the engine, in one place, with how they relate.

use crate::date::Date;

/// DE 4: at most 12 digits.
pub const MAX_AMOUNT_MINOR: u64 = 999_999_999_999;
/// Currencies that a bank can keep its books in.
pub const MAX_CURRENCIES: usize = 16;
/// Settlement accounts: networks times currencies.
pub const MAX_SETTLEMENT_ACCOUNTS: usize = 256;
/// Legs of one event: a cross-currency transaction has four; an advice that
/// corrects one in a third currency has six.
pub const MAX_LEGS: usize = 6;
/// Records of one card that are looked at when a reversal has lost its STAN.
pub const CHAIN_WALK_MAX: usize = 64;
/// Remembered transactions of one business date that one look-up may find under
/// the same name; more of them stand under longer names.
pub(crate) const CROWD: usize = 8;
/// Currencies in which the batch may post entries to one date.
pub const MAX_ENTRY_CURRENCIES: usize = 8;
/// Ends of days that are remembered, so that a repeated command gets its first result.
pub const DAYS_KEPT: usize = 16;
/// A generation is dropped at this many seals after its own.
pub const SEALS_UNTIL_FORGOTTEN: u16 = 4;
/// Days that totals are kept beyond a seal: networks reconcile late.
pub const TOTALS_KEPT_DAYS: u16 = 8;
/// Exceptions kept in memory for display; all of them are in the journal.
pub const EXCEPTIONS_KEPT: usize = 1024;
/// Reconciliations kept of each network, for their repeats and for display; all of
/// them are in the journal.
pub const RECONCILIATIONS_KEPT: usize = 64;
/// A DE 15 further from the business date than this is as good as impossible.
pub const SETTLEMENT_REACH_DAYS: u16 = 60;
/// A network's cutover names a date at most so many days after the bank's default
/// date: its clock never goes back, so one wrong date far ahead would
/// refuse all right ones until then. Messages that carry DE 15 are not bound by it.
pub const NETWORK_AHEAD_DAYS: u16 = 7;
/// Generations of remembered transactions that can be told apart.
pub const MAX_GENERATIONS: usize = 8;
/// Generations kept: two open dates and four sealed ones.
pub const KEPT_GENERATIONS: usize = 6;
/// Bits of a reference to a remembered transaction that number it within its generation.
pub const RECORD_INDEX_BITS: u32 = 29;
/// Rows per chunk of a table whose chunks are given away one by one.
pub const CHUNK_ROWS_LOG2: u32 = 16;
/// Rows per chunk of a table that is kept: only whole pages of a chunk can be large ones,
/// so the larger it is, the less of it lies in small ones at its two ends.
pub const KEPT_ROWS_LOG2: u32 = 19;
/// Slots that one event can take among the remembered transactions: a record
/// with its legs, or a reversal with its tombstone.
pub const MAX_SLOTS_PER_EVENT: u32 = 3;

const _: () = assert!(
    MAX_AMOUNT_MINOR < 1 << 40,
    "an amount has 40 bits in a record"
);
const _: () = assert!(KEPT_GENERATIONS <= MAX_GENERATIONS);
const _: () = assert!(
    KEPT_GENERATIONS == SEALS_UNTIL_FORGOTTEN as usize + 2,
    "two open dates and the sealed ones"
);
const _: () = assert!(TOTALS_KEPT_DAYS > SEALS_UNTIL_FORGOTTEN);
const _: () = assert!(MAX_GENERATIONS == 1 << (32 - RECORD_INDEX_BITS));
const _: () = assert!(SETTLEMENT_REACH_DAYS < 64, "seven signed bits in a record");
const _: () = assert!(MAX_LEGS == 6, "two continuation slots of three legs each");

/// How much an engine holds at most. Look-up tables are laid out and touched
/// for these numbers at the start, so that nothing ever pauses to grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Rows of accounts, internal ones included.
    pub accounts: u32,
    /// Rows of cards.
    pub cards: u32,
    /// Remembered transactions (over all generations together). When they are
    /// reached, requests are refused with 91; a reserve on top of it, see
    /// [`Self::reserve`], goes on serving advices and reversals.
    pub remembered: u32,
}

impl Capacity {
    /// A few thousand of everything: for tests and tools.
    pub const SMALL: Self = Self {
        accounts: 4096,
        cards: 4096,
        remembered: 16_384,
    };

    /// Slots on top of `remembered` that only advices and reversals may take.
    #[must_use]
    pub const fn reserve(&self) -> u32 {
        self.remembered / 16 + 256
    }
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            accounts: 1_250_000,
            cards: 1_250_000,
            remembered: 4_000_000,
        }
    }
}

/// Which of the eight generation numbers a date has.
pub(crate) const fn generation_tag(date: Date) -> u32 {
    (date.0 as u32) & (MAX_GENERATIONS as u32 - 1)
}
