//! What is remembered of a transaction: 44 bytes. Rare wide ones (cross-currency,
//! corrected by an advice) are followed by continuation slots with their legs.

use crate::account::RowError;
use crate::code::ResponseCode;
use crate::command::{Class, Identity, Operation};
use crate::date::Date;
use crate::ids::{AccountIx, Seq};
use crate::legs::{Leg, Legs};
use crate::limits::{MAX_AMOUNT_MINOR, RECORD_INDEX_BITS, SETTLEMENT_REACH_DAYS, generation_tag};
use crate::mix;

const WORDS: usize = 11;
const INDEX_MASK: u32 = (1 << RECORD_INDEX_BITS) - 1;
/// Packed DE 7 of 1 January, 00:00:00, less one.
const TRANSMITTED_BASE: u32 = 32 * 86_400;
const TRANSMITTED_BITS: u32 = 25;
const OFFSET_BIAS: i32 = 64;

/// Which remembered transaction: generation (business date modulo 8) and
/// position within it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordRef(pub(crate) u32);

impl RecordRef {
    /// No transaction.
    pub const NONE: Self = Self(u32::MAX);

    #[inline]
    pub(crate) const fn new(date: Date, position: u32) -> Self {
        Self(generation_tag(date) << RECORD_INDEX_BITS | (position & INDEX_MASK))
    }

    /// Whether it names one.
    #[must_use]
    #[inline]
    pub const fn is_some(self) -> bool {
        self.0 != u32::MAX
    }

    #[inline]
    pub(crate) const fn tag(self) -> u32 {
        self.0 >> RECORD_INDEX_BITS
    }

    #[inline]
    pub(crate) const fn position(self) -> u32 {
        self.0 & INDEX_MASK
    }
}

impl std::fmt::Debug for RecordRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_some() {
            write!(f, "{}/{}", self.tag(), self.position())
        } else {
            f.write_str("none")
        }
    }
}

/// Whether a packed DE 7 is one that an [`Identity`] may carry: 0, or in the calendar.
pub(crate) const fn is_transmitted(packed: u32) -> bool {
    packed == 0 || (packed > TRANSMITTED_BASE && packed - TRANSMITTED_BASE < 1 << TRANSMITTED_BITS)
}

/// A packed DE 7 that is in the calendar stays as it is; any other is mapped
/// into it, so that equal ones stay equal.
pub(crate) const fn normal_transmitted(packed: u32) -> u32 {
    if is_transmitted(packed) {
        packed
    } else {
        TRANSMITTED_BASE + 1 + packed % ((1 << TRANSMITTED_BITS) - 1)
    }
}

/// Bits of a record's flags.
pub(crate) mod flags {
    pub const REVERSED: u8 = 1;
    /// Continuation slots follow.
    pub const WIDE: u8 = 2;
    /// Waits for an original that came after its reversal.
    pub const TOMBSTONE: u8 = 4;
    /// `debit` lost, and `credit` gained, `amount`.
    pub const POSTED: u8 = 8;
    /// An approved inquiry: `debit` and `credit` are the ledger balance,
    /// `amount` is what available differs from it.
    pub const BALANCES: u8 = 16;
    /// An entry of the batch, by its id: no message is one.
    pub const ENTRY: u8 = 32;
    pub const ALL: u8 = 63;
}

/// One slot of the remembered transactions: a record, or a continuation of the one before.
///
/// Words: 0-1 key (upper 48 bits) and terms; 2 locator; 3 sequence from the
/// generation's first; 4 transmission time (25 bits) and settlement date's
/// distance (7); 5 acquirer, forwarder, RRN; 6-7 amount (40), code (8), class
/// (2), operation (3), currency of balances (3), flags (8); 8 debit; 9 credit
/// (of a reversal: the records that it marks); 10 previous of the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    words: [u32; WORDS],
}

const _: () = assert!(size_of::<Record>() == 44);

/// The plain parts of a record, before packing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    pub identity: Identity,
    pub terms: u16,
    pub seq_delta: u32,
    pub settlement_offset: i32,
    /// 40 bits: an amount, or a signed difference.
    pub amount: u64,
    pub code: ResponseCode,
    pub class: Class,
    pub operation: Operation,
    pub currency_slot: u8,
    pub flags: u8,
    pub debit: u32,
    pub credit: u32,
    pub prev: RecordRef,
}

const OPERATIONS: [Operation; 7] = Operation::ALL;

fn operation_number(operation: Operation) -> u32 {
    match operation {
        Operation::Purchase => 0,
        Operation::Cash => 1,
        Operation::PurchaseWithCashback => 2,
        Operation::Refund => 3,
        Operation::InquiryAvailable => 4,
        Operation::InquiryBalance => 5,
        Operation::Transfer => 6,
    }
}

impl Record {
    /// Length of [`Self::to_bytes`].
    pub const BYTES: usize = 4 * WORDS;

    #[inline]
    pub(crate) fn pack(p: &Parts) -> Self {
        let key = (p.identity.key & !0xffff) | u64::from(p.terms);
        let transmitted = p.identity.transmitted.saturating_sub(TRANSMITTED_BASE);
        let offset = (p.settlement_offset + OFFSET_BIAS) as u32 & 0x7f;
        let kind = (p.class as u32)
            | operation_number(p.operation) << 2
            | u32::from(p.currency_slot & 7) << 5;
        Self {
            words: [
                key as u32,
                (key >> 32) as u32,
                p.identity.locator,
                p.seq_delta,
                transmitted << 7 | offset,
                u32::from(p.identity.acquirer)
                    | u32::from(p.identity.forwarder) << 8
                    | u32::from(p.identity.rrn) << 16,
                p.amount as u32,
                (p.amount >> 32) as u32 & 0xff
                    | u32::from(p.code.number()) << 8
                    | kind << 16
                    | u32::from(p.flags) << 24,
                p.debit,
                p.credit,
                p.prev.0,
            ],
        }
    }

    /// A continuation slot: up to three legs, how many, and what the record links to.
    pub(crate) fn continuation(legs: &[Leg], currency_slot: u8, link: RecordRef) -> Self {
        let mut words = [0; WORDS];
        let places = [[0usize, 1, 2], [3, 4, 5], [8, 9, 10]];
        for (leg, place) in legs.iter().zip(places) {
            let delta = leg.delta_minor as u64;
            for (at, word) in
                place
                    .into_iter()
                    .zip([leg.account.0, delta as u32, (delta >> 32) as u32])
            {
                if let Some(to) = words.get_mut(at) {
                    *to = word;
                }
            }
        }
        words[6] = link.0;
        // Class 0: no record.
        words[7] = (legs.len().min(3) as u32) | u32::from(currency_slot) << 8;
        Self { words }
    }

    /// The legs of a continuation slot.
    pub(crate) fn continued_legs(&self) -> impl Iterator<Item = Leg> {
        let w = self.words;
        let leg = |account, low: u32, high: u32| Leg {
            account: AccountIx(account),
            delta_minor: (u64::from(high) << 32 | u64::from(low)) as i64,
        };
        [
            leg(w[0], w[1], w[2]),
            leg(w[3], w[4], w[5]),
            leg(w[8], w[9], w[10]),
        ]
        .into_iter()
        .take((w[7] & 3) as usize)
    }

    pub(crate) const fn continued_link(&self) -> RecordRef {
        RecordRef(self.words[6])
    }

    pub(crate) const fn continued_slot(&self) -> u8 {
        (self.words[7] >> 8) as u8
    }

    #[inline]
    pub(crate) const fn is_continuation(&self) -> bool {
        self.class_number() == 0
    }

    const fn class_number(&self) -> u8 {
        (self.words[7] >> 16) as u8 & 3
    }

    #[inline]
    const fn key_and_terms(&self) -> u64 {
        (self.words[1] as u64) << 32 | self.words[0] as u64
    }

    /// The upper 48 bits of the key; the rest is 0.
    pub(crate) const fn key(&self) -> u64 {
        self.key_and_terms() >> 16 << 16
    }

    /// Whether `identity` (of class `class`) is of this very message.
    #[inline]
    pub(crate) fn is_same_message(&self, identity: &Identity, class: Class) -> bool {
        (self.key_and_terms() ^ identity.key) >> 16 == 0
            && self.words[2] == identity.locator
            && self.class_number() == class as u8
            && self.transmitted() == identity.transmitted
            && self.rrn() == identity.rrn
            && self.acquirer() == identity.acquirer
            && self.flags() & (flags::TOMBSTONE | flags::ENTRY) == 0
    }

    /// Whether it is the batch entry with this identity.
    pub(crate) fn is_entry(&self, identity: &Identity) -> bool {
        self.has(flags::ENTRY)
            && (self.key_and_terms() ^ identity.key) >> 16 == 0
            && self.words[2] == identity.locator
            && self.rrn() == identity.rrn
            && self.acquirer() == identity.acquirer
    }

    pub(crate) const fn terms(&self) -> u16 {
        self.words[0] as u16
    }

    #[inline]
    pub(crate) const fn locator(&self) -> u32 {
        self.words[2]
    }

    #[inline]
    pub(crate) const fn seq_delta(&self) -> u32 {
        self.words[3]
    }

    pub(crate) const fn transmitted(&self) -> u32 {
        match self.words[4] >> 7 {
            0 => 0,
            packed => packed + TRANSMITTED_BASE,
        }
    }

    pub(crate) const fn settlement_offset(&self) -> i32 {
        (self.words[4] & 0x7f) as i32 - OFFSET_BIAS
    }

    pub(crate) const fn acquirer(&self) -> u8 {
        self.words[5] as u8
    }

    pub(crate) const fn forwarder(&self) -> u8 {
        (self.words[5] >> 8) as u8
    }

    pub(crate) const fn rrn(&self) -> u16 {
        (self.words[5] >> 16) as u16
    }

    pub(crate) const fn amount(&self) -> u64 {
        ((self.words[7] & 0xff) as u64) << 32 | self.words[6] as u64
    }

    pub(crate) fn code(&self) -> ResponseCode {
        // Checked when the record was made or loaded.
        ResponseCode::from_number((self.words[7] >> 8) as u8).unwrap_or(ResponseCode::Malfunction)
    }

    pub(crate) const fn class(&self) -> Option<Class> {
        Class::from_number(self.class_number())
    }

    pub(crate) fn operation(&self) -> Operation {
        let number = (self.words[7] >> 18) & 7;
        OPERATIONS
            .get(number as usize)
            .copied()
            .unwrap_or(Operation::Purchase)
    }

    pub(crate) const fn currency_slot(&self) -> u8 {
        (self.words[7] >> 21) as u8 & 7
    }

    #[inline]
    pub(crate) const fn flags(&self) -> u8 {
        (self.words[7] >> 24) as u8
    }

    pub(crate) const fn has(&self, flag: u8) -> bool {
        self.flags() & flag != 0
    }

    pub(crate) const fn set_reversed(&mut self) {
        self.words[7] |= (flags::REVERSED as u32) << 24;
    }

    #[inline]
    pub(crate) const fn is_reversed(&self) -> bool {
        !self.is_continuation() && self.has(flags::REVERSED)
    }

    /// Without the mark "reversed".
    pub(crate) const fn unmarked(mut self) -> Self {
        if !self.is_continuation() {
            self.clear_reversed();
        }
        self
    }

    pub(crate) const fn clear_reversed(&mut self) {
        self.words[7] &= !((flags::REVERSED as u32) << 24);
    }

    /// The records that a reversal's record marks.
    pub(crate) const fn marked(&self) -> [RecordRef; 2] {
        if self.class_number() == Class::Reversal as u8 && !self.has(flags::TOMBSTONE) {
            [RecordRef(self.words[8]), RecordRef(self.words[9])]
        } else {
            [RecordRef::NONE; 2]
        }
    }

    pub(crate) const fn debit(&self) -> u32 {
        self.words[8]
    }

    pub(crate) const fn credit(&self) -> u32 {
        self.words[9]
    }

    pub(crate) const fn prev(&self) -> RecordRef {
        RecordRef(self.words[10])
    }

    /// The two accounts' posting of a record that is not wide.
    pub(crate) fn narrow_legs(&self) -> Legs {
        if self.has(flags::POSTED) {
            // 40 bits: in range.
            Legs::pair(
                AccountIx(self.debit()),
                AccountIx(self.credit()),
                self.amount() as i64,
            )
        } else {
            Legs::EMPTY
        }
    }

    /// Ledger and available balance of an inquiry that is not wide.
    pub(crate) const fn narrow_balances(&self) -> (i64, i64) {
        let ledger = ((self.credit() as u64) << 32 | self.debit() as u64) as i64;
        // Sign of 40 bits.
        let difference = (self.amount() << 24) as i64 >> 24;
        (ledger, ledger.wrapping_add(difference))
    }

    /// For the rolling hash. `REVERSED` is rolled when it is set.
    #[inline]
    pub(crate) const fn hash(&self) -> u64 {
        let w = &self.words;
        mix::mix6([
            (w[0] as u64) << 32 | w[1] as u64,
            (w[2] as u64) << 32 | w[3] as u64,
            (w[4] as u64) << 32 | w[5] as u64,
            (w[6] as u64) << 32 | w[7] as u64,
            (w[8] as u64) << 32 | w[9] as u64,
            w[10] as u64,
        ])
    }

    /// As stored: eleven little-endian words.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        for (to, word) in out.chunks_exact_mut(4).zip(self.words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    /// From stored bytes.
    ///
    /// # Errors
    /// [`RowError`] says what is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RowError> {
        if bytes.len() != Self::BYTES {
            return Err(RowError::Length);
        }
        let mut words = [0; WORDS];
        for (to, from) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *to = u32::from_le_bytes(*from);
        }
        let record = Self { words };
        if !record.is_continuation() {
            if ResponseCode::from_number((words[7] >> 8) as u8).is_none() {
                return Err(RowError::Field("response code"));
            }
            if (words[7] >> 18) & 7 >= OPERATIONS.len() as u32 {
                return Err(RowError::Field("operation"));
            }
            if record.flags() & !flags::ALL != 0 {
                return Err(RowError::Field("flags"));
            }
            if record.has(flags::POSTED) && record.amount() > MAX_AMOUNT_MINOR {
                return Err(RowError::Field("amount"));
            }
            if record.settlement_offset().unsigned_abs() > u32::from(SETTLEMENT_REACH_DAYS) + 1 {
                return Err(RowError::Field("settlement date"));
            }
        }
        Ok(record)
    }
}

/// What a sequence is counted from within a generation. `None` beyond 32 bits.
pub(crate) fn seq_delta(seq: Seq, base: Seq) -> Option<u32> {
    u32::try_from(seq.checked_sub(base)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_keeps_all_its_parts() {
        let last_second = (12 * 31 + 31) * 86_400 + 86_399 + 1;
        for transmitted in [0, 32 * 86_400 + 1, last_second] {
            assert!(is_transmitted(transmitted));
            for operation in Operation::ALL {
                let parts = Parts {
                    identity: Identity {
                        key: 0x0123_4567_89ab_cdef,
                        locator: 0xdead_beef,
                        transmitted,
                        rrn: 0xfffe,
                        acquirer: 0xfd,
                        forwarder: 0xfc,
                    },
                    terms: 0xabcd,
                    seq_delta: 77,
                    settlement_offset: -60,
                    amount: MAX_AMOUNT_MINOR,
                    code: ResponseCode::Malfunction,
                    class: Class::FinancialAdvice,
                    operation,
                    currency_slot: 7,
                    flags: flags::POSTED,
                    debit: 1,
                    credit: u32::MAX - 1,
                    prev: RecordRef::new(Date(20_003), 5),
                };
                let r = Record::from_bytes(&Record::pack(&parts).to_bytes()).unwrap();
                assert!(r.is_same_message(&parts.identity, Class::FinancialAdvice));
                assert!(!r.is_same_message(&parts.identity, Class::FinancialRequest));
                assert_eq!(r.terms(), 0xabcd);
                assert_eq!(r.locator(), 0xdead_beef);
                assert_eq!(r.transmitted(), transmitted);
                assert_eq!((r.rrn(), r.acquirer(), r.forwarder()), (0xfffe, 0xfd, 0xfc));
                assert_eq!(r.settlement_offset(), -60);
                assert_eq!(r.amount(), MAX_AMOUNT_MINOR);
                assert_eq!(r.code(), ResponseCode::Malfunction);
                assert_eq!(r.operation(), operation);
                assert_eq!(r.currency_slot(), 7);
                assert_eq!(r.flags(), flags::POSTED);
                assert_eq!((r.debit(), r.credit()), (1, u32::MAX - 1));
                assert_eq!((r.prev().tag(), r.prev().position()), (3, 5));
                assert!(!r.is_continuation());
            }
        }
    }

    #[test]
    fn impossible_transmission_times_are_mapped_into_the_calendar() {
        for packed in [1, 86_400, 32 * 86_400, u32::MAX, 0x7fff_ffff] {
            assert!(!is_transmitted(packed), "{packed}");
            assert!(is_transmitted(normal_transmitted(packed)), "{packed}");
        }
        assert_eq!(normal_transmitted(0), 0);
    }

    #[test]
    fn continuations_keep_three_legs() {
        let legs = [(1, -5), (2, i64::MAX), (u32::MAX - 1, i64::MIN)].map(|(ix, delta)| Leg {
            account: AccountIx(ix),
            delta_minor: delta,
        });
        for count in 0..=3 {
            let legs = legs.get(..count).unwrap();
            let slot = Record::continuation(legs, 15, RecordRef(99));
            let slot = Record::from_bytes(&slot.to_bytes()).unwrap();
            assert!(slot.is_continuation());
            assert_eq!(slot.continued_legs().collect::<Vec<_>>(), legs);
            assert_eq!(
                (slot.continued_link(), slot.continued_slot()),
                (RecordRef(99), 15)
            );
        }
    }
}
