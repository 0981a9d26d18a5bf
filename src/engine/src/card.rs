//! Rows of cards.

use crate::account::RowError;
use crate::bytes::{Filler, Put, Reader};
use crate::command::CardStatus;
use crate::ids::{AccountIx, AccountNumber, CardIx, Expiry, PanHash, Seq};
use crate::mix;
use crate::prepare::fetch;
use crate::record::RecordRef;

/// A card's row: 40 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardRow {
    /// Two words instead of one of 128 bits: that would be aligned to 16 bytes.
    pan: [u64; 2],
    /// Sequence of the last event that changed this row; 0 = the row is vacant.
    pub(crate) last_seq: Seq,
    pub(crate) account: AccountIx,
    /// Newest remembered transaction of this card.
    pub(crate) newest: RecordRef,
    /// BIN (20 bits), status (4 bits), and whether a tombstone without a STAN
    /// lies in the chain (1 bit).
    packed: u32,
    last4: u16,
    /// YYMM.
    expiry: u16,
}

const _: () = assert!(size_of::<CardRow>() == 40);
const LOOSE_TOMBSTONE: u32 = 1 << 24;

/// What an import says of a card, besides its PAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CardTerms {
    pub bin: u32,
    pub last4: u16,
    pub expiry: Expiry,
    pub account: AccountIx,
    pub status: CardStatus,
}

impl CardRow {
    /// Length of [`Self::to_bytes`]: a version byte and the fields.
    pub const BYTES: usize = 41;
    const VERSION: u8 = 1;

    pub(crate) fn new(pan: PanHash, terms: &CardTerms, seq: Seq) -> Self {
        let mut row = Self {
            pan: [(pan.0 >> 64) as u64, pan.0 as u64],
            last_seq: seq,
            account: terms.account,
            newest: RecordRef::NONE,
            packed: 0,
            last4: 0,
            expiry: 0,
        };
        row.set_terms(terms);
        row
    }

    /// A place that no event has filled yet.
    pub(crate) const VACANT: Self = Self {
        pan: [0; 2],
        last_seq: 0,
        account: AccountIx(u32::MAX),
        newest: RecordRef::NONE,
        packed: 0,
        last4: 0,
        expiry: 0,
    };

    pub(crate) fn set_terms(&mut self, terms: &CardTerms) {
        self.packed =
            (terms.bin & 0xf_ffff) | (terms.status as u32) << 20 | (self.packed & LOOSE_TOMBSTONE);
        self.last4 = terms.last4;
        self.expiry = terms.expiry.yymm();
        self.account = terms.account;
    }

    /// What an import would have to say for this row to stay as it is.
    pub(crate) fn terms(&self) -> CardTerms {
        CardTerms {
            bin: self.bin(),
            last4: self.last4,
            expiry: self.expiry(),
            account: self.account,
            status: self.status(),
        }
    }

    /// Keyed hash of its PAN.
    #[must_use]
    #[inline]
    pub const fn pan(&self) -> PanHash {
        PanHash((self.pan[0] as u128) << 64 | self.pan[1] as u128)
    }

    /// Fetches both ends of it, which may lie in two cache lines.
    #[inline(always)]
    pub(crate) fn fetch(&self) {
        fetch(&self.pan);
        fetch(&self.expiry);
    }

    /// The account that it draws on.
    #[must_use]
    pub const fn account(&self) -> AccountIx {
        self.account
    }

    /// First six digits.
    #[must_use]
    pub const fn bin(&self) -> u32 {
        self.packed & 0xf_ffff
    }

    /// Last four digits.
    #[must_use]
    pub const fn last4(&self) -> u16 {
        self.last4
    }

    /// Its expiry.
    #[must_use]
    pub fn expiry(&self) -> Expiry {
        // Checked when the row was made or loaded; January 2000 is long past.
        Expiry::from_yymm(self.expiry).unwrap_or(Expiry { year: 0, month: 1 })
    }

    pub(crate) const fn expiry_yymm(&self) -> u16 {
        self.expiry
    }

    /// Its status.
    #[must_use]
    pub const fn status(&self) -> CardStatus {
        match (self.packed >> 20) & 0xf {
            0 => CardStatus::Active,
            1 => CardStatus::Lost,
            2 => CardStatus::Stolen,
            _ => CardStatus::Blocked,
        }
    }

    /// Sequence of the last event that changed it.
    #[must_use]
    pub const fn last_seq(&self) -> Seq {
        self.last_seq
    }

    pub(crate) const fn has_loose_tombstone(&self) -> bool {
        self.packed & LOOSE_TOMBSTONE != 0
    }

    pub(crate) const fn set_loose_tombstone(&mut self) {
        self.packed |= LOOSE_TOMBSTONE;
    }

    /// For the state hash: all of it.
    #[inline]
    pub(crate) const fn hash(&self, ix: u32) -> u64 {
        mix::mix6([
            self.pan[0] ^ (ix as u64).rotate_left(32),
            self.pan[1],
            (self.account.0 as u64) << 32 | self.newest.0 as u64,
            (self.packed as u64) << 32 | (self.last4 as u64) << 16 | self.expiry as u64,
            self.last_seq,
            1,
        ])
    }

    /// A name for this card that says nothing about its PAN: the place of its
    /// row, and a check that it is this card's.
    pub(crate) const fn token(&self, ix: CardIx) -> u64 {
        mix::mix2(self.pan[0], self.pan[1]) << 32 | ix.0 as u64
    }

    /// As stored: a fixed size, little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut out = Filler::<{ Self::BYTES }>::new();
        out.put(&[Self::VERSION]);
        out.put(&self.pan().0.to_le_bytes());
        out.put(&self.last_seq.to_le_bytes());
        out.put(&self.account.0.to_le_bytes());
        out.put(&self.newest.0.to_le_bytes());
        out.put(&self.packed.to_le_bytes());
        out.put(&self.last4.to_le_bytes());
        out.put(&self.expiry.to_le_bytes());
        out.bytes
    }

    /// From stored bytes; every field is validated.
    ///
    /// # Errors
    /// [`RowError`] says what is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RowError> {
        let mut from = Reader::new(bytes);
        if from.u8()? != Self::VERSION {
            return Err(RowError::Version);
        }
        let pan = from.u128()?;
        let row = Self {
            pan: [(pan >> 64) as u64, pan as u64],
            last_seq: from.u64()?,
            account: AccountIx(from.u32()?),
            newest: RecordRef(from.u32()?),
            packed: from.u32()?,
            last4: from.u16()?,
            expiry: from.u16()?,
        };
        from.end()?;
        if row.packed >> 25 != 0 || (row.packed >> 20) & 0xf > 3 || row.bin() > 999_999 {
            return Err(RowError::Field("BIN or status"));
        }
        if row.last4 > 9999 || row.last_seq == 0 {
            return Err(RowError::Field("last four digits or sequence"));
        }
        if Expiry::from_yymm(row.expiry).is_none() {
            return Err(RowError::Field("expiry"));
        }
        Ok(row)
    }
}

/// A card, as reported: never more than BIN and last four of its PAN (PCI DSS 3.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardView {
    /// Its row.
    pub ix: CardIx,
    /// First six digits.
    pub bin: u32,
    /// Last four digits.
    pub last4: u16,
    /// Its expiry.
    pub expiry: Expiry,
    /// Its status.
    pub status: CardStatus,
    /// Number of the account that it draws on.
    pub account: AccountNumber,
    /// A name for it that says nothing about its PAN.
    pub token: u64,
}
