//! Rows of accounts: customers' and the bank's internal ones in one table.

use crate::bytes::{Filler, Put, Reader, Short};
use crate::command::AccountStatus;
use crate::date::Date;
use crate::ids::{AccountNumber, Currency, NetworkId, Seq};
use crate::mix;
use crate::prepare::fetch;

/// Whose account it is, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A customer's.
    Customer,
    /// What the bank and a network owe each other.
    Settlement(NetworkId),
    /// Open position in a currency: balances cross-currency transactions per currency.
    Position,
    /// Advices that had to be accepted and fit no account.
    Suspense,
    /// Counterpart of imported opening balances.
    Opening,
    /// Counterpart of the batch's entries.
    Batch,
}

impl Role {
    const fn parts(self) -> (u8, u16) {
        match self {
            Self::Customer => (0, 0),
            Self::Settlement(network) => (1, network.0),
            Self::Position => (2, 0),
            Self::Suspense => (3, 0),
            Self::Opening => (4, 0),
            Self::Batch => (5, 0),
        }
    }

    pub(crate) const fn to_bytes(self) -> [u8; 3] {
        let (kind, network) = self.parts();
        let [low, high] = network.to_le_bytes();
        [kind, low, high]
    }

    pub(crate) fn from_bytes([kind, low, high]: [u8; 3]) -> Option<Self> {
        let network = u16::from_le_bytes([low, high]);
        match (kind, network) {
            (0, 0) => Some(Self::Customer),
            (1, _) => Some(Self::Settlement(NetworkId(network))),
            (2, 0) => Some(Self::Position),
            (3, 0) => Some(Self::Suspense),
            (4, 0) => Some(Self::Opening),
            (5, 0) => Some(Self::Batch),
            _ => None,
        }
    }

    /// The number that an internal account of this role gets: with a prefix that
    /// customers' accounts cannot have. `None` for customers.
    #[must_use]
    pub fn number(self, currency: Currency) -> Option<AccountNumber> {
        let text = match self {
            Self::Customer => return None,
            Self::Settlement(network) => format!("GL-SETTLE-{:04}-{currency}", network.0),
            Self::Position => format!("GL-POSITION-{currency}"),
            Self::Suspense => format!("GL-SUSPENSE-{currency}"),
            Self::Opening => format!("GL-OPENING-{currency}"),
            Self::Batch => format!("GL-BATCH-{currency}"),
        };
        AccountNumber::new(text.as_bytes())
    }
}

/// Whether a number is reserved for the bank's internal accounts.
#[must_use]
pub fn is_internal_number(number: &AccountNumber) -> bool {
    number.as_bytes().starts_with(b"GL-")
}

/// An account's row, hot fields first: 76 bytes.
///
/// Readers go through [`AccountRow::view`]: the fields alone do not say what
/// they mean before the row's epoch is compared with the engine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, packed(4))]
pub struct AccountRow {
    /// Minor units, up to and with the closing date `epoch`.
    pub(crate) balance: i64,
    /// Net of postings dated the day after `epoch`.
    pub(crate) next: i64,
    /// Sum of open holds.
    pub(crate) held: i64,
    /// Allowed overdraft.
    pub(crate) overdraft: i64,
    /// Sequence of the last event that changed this row; 0 = the row is vacant.
    pub(crate) last_seq: Seq,
    pub(crate) currency: Currency,
    pub(crate) epoch: Date,
    role: [u8; 3],
    pub(crate) status: u8,
    number: [u8; AccountNumber::MAX_LEN],
}

const _: () = assert!(size_of::<AccountRow>() == 76);

/// A row as it reads at an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowView {
    /// Minor units at the closing date.
    pub balance: i64,
    /// Net of postings dated the opening date.
    pub next: i64,
    /// Sum of open holds.
    pub held: i64,
    /// Allowed overdraft.
    pub overdraft: i64,
}

impl RowView {
    /// All postings so far. `None` out of range.
    #[must_use]
    #[inline]
    pub const fn ledger(&self) -> Option<i64> {
        self.balance.checked_add(self.next)
    }

    /// What a debit may take: balance + next + overdraft - held. `None` out of range.
    #[must_use]
    #[inline]
    pub const fn available(&self) -> Option<i64> {
        match self.ledger() {
            Some(ledger) => match ledger.checked_add(self.overdraft) {
                Some(sum) => sum.checked_sub(self.held),
                None => None,
            },
            None => None,
        }
    }
}

impl AccountRow {
    /// Length of [`Self::to_bytes`]: a version byte and the fields.
    pub const BYTES: usize = 77;
    const VERSION: u8 = 1;

    pub(crate) fn new(
        number: AccountNumber,
        currency: Currency,
        role: Role,
        epoch: Date,
        seq: Seq,
    ) -> Self {
        Self {
            balance: 0,
            next: 0,
            held: 0,
            overdraft: 0,
            last_seq: seq,
            currency,
            epoch,
            role: role.to_bytes(),
            status: AccountStatus::Active as u8,
            number: *number.as_bytes(),
        }
    }

    /// A place that no event has filled yet (rows that were stored ahead of the mark leave some).
    pub(crate) const VACANT: Self = Self {
        balance: 0,
        next: 0,
        held: 0,
        overdraft: 0,
        last_seq: 0,
        currency: Currency(0),
        epoch: Date(0),
        role: [0; 3],
        status: 0,
        number: [0; AccountNumber::MAX_LEN],
    };

    /// The one way to read a row: at the epoch (closing date) of its reader. A row
    /// of an older epoch has not been touched since the seal, which made its
    /// `next` part of the balance.
    #[must_use]
    #[inline]
    pub const fn view(&self, epoch: Date) -> RowView {
        let (balance, next) = if self.epoch.0 == epoch.0 {
            (self.balance, self.next)
        } else {
            // In range: an event is checked on the sum before it is applied.
            (self.balance.wrapping_add(self.next), 0)
        };
        RowView {
            balance,
            next,
            held: self.held,
            overdraft: self.overdraft,
        }
    }

    /// Its number; `None` only for a vacant place.
    #[must_use]
    pub fn number(&self) -> Option<AccountNumber> {
        AccountNumber::from_stored(self.number)
    }

    pub(crate) const fn number_bytes(&self) -> &[u8; AccountNumber::MAX_LEN] {
        &self.number
    }

    /// Fetches both ends of what a posting needs, which may lie in two cache lines.
    #[inline(always)]
    pub(crate) fn fetch(&self) {
        fetch(self);
        fetch(&self.status);
    }

    /// Its currency.
    #[must_use]
    pub const fn currency(&self) -> Currency {
        self.currency
    }

    /// Its role.
    #[must_use]
    pub fn role(&self) -> Role {
        // Checked when the row was made or loaded.
        Role::from_bytes(self.role).unwrap_or(Role::Suspense)
    }

    /// Whether this is its role.
    #[inline]
    pub(crate) fn has_role(&self, role: Role) -> bool {
        self.role == role.to_bytes()
    }

    #[inline]
    pub(crate) const fn is_customer(&self) -> bool {
        self.role[0] == 0
    }

    /// Its status.
    #[must_use]
    #[inline]
    pub const fn status(&self) -> AccountStatus {
        match self.status {
            0 => AccountStatus::Active,
            1 => AccountStatus::Blocked,
            _ => AccountStatus::Closed,
        }
    }

    /// Sequence of the last event that changed it.
    #[must_use]
    pub const fn last_seq(&self) -> Seq {
        self.last_seq
    }

    /// What never changes, for the state hash.
    pub(crate) fn hash_fixed(&self, ix: u32) -> u64 {
        let [kind, low, high] = self.role;
        let role = u64::from(u32::from_le_bytes([kind, low, high, 0]));
        mix::mix2(
            mix::mix_bytes(&self.number) ^ u64::from(ix),
            role << 32 | u64::from(self.currency.0),
        )
    }

    /// What a posting changes, for the state hash: the same before and after a
    /// seal, which folds `next` into `balance`.
    #[inline]
    pub(crate) const fn hash_live(&self, ix: u32) -> u64 {
        mix::mix6([
            (ix as u64) << 8 | self.status as u64,
            self.balance.wrapping_add(self.next) as u64,
            self.held as u64,
            self.overdraft as u64,
            self.last_seq,
            0,
        ])
    }

    /// The buffer of the opening date, for the state hash: 0 when it is empty.
    #[inline]
    pub(crate) const fn hash_next(&self, ix: u32, epoch: Date) -> u64 {
        let next = self.view(epoch).next;
        if next == 0 {
            0
        } else {
            mix::mix2(ix as u64, next as u64)
        }
    }

    /// As stored: a fixed size, little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut out = Filler::<{ Self::BYTES }>::new();
        out.put(&[Self::VERSION]);
        out.put(&self.balance.to_le_bytes());
        out.put(&self.next.to_le_bytes());
        out.put(&self.held.to_le_bytes());
        out.put(&self.overdraft.to_le_bytes());
        out.put(&self.last_seq.to_le_bytes());
        out.put(&self.currency.0.to_le_bytes());
        out.put(&self.epoch.0.to_le_bytes());
        out.put(&self.role);
        out.put(&[self.status]);
        out.put(&self.number);
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
        let row = Self {
            balance: from.i64()?,
            next: from.i64()?,
            held: from.i64()?,
            overdraft: from.i64()?,
            last_seq: from.u64()?,
            currency: Currency(from.u16()?),
            epoch: Date(from.u16()?),
            role: from.array()?,
            status: from.u8()?,
            number: from.array()?,
        };
        from.end()?;
        if row.number().is_none() {
            return Err(RowError::Field("number"));
        }
        if Role::from_bytes(row.role).is_none() {
            return Err(RowError::Field("role"));
        }
        if row.status > AccountStatus::Closed as u8 {
            return Err(RowError::Field("status"));
        }
        if row.held < 0 || row.overdraft < 0 || row.currency.0 > 999 || row.last_seq == 0 {
            return Err(RowError::Field("held, overdraft, currency or sequence"));
        }
        if row.balance.checked_add(row.next).is_none() {
            return Err(RowError::Field("balance"));
        }
        Ok(row)
    }
}

/// Why stored bytes are no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// Too short or too long.
    #[error("the row has another length")]
    Length,
    /// Written by another version of the program.
    #[error("the row has an unknown version")]
    Version,
    /// A field is out of its range.
    #[error("the row's {0} is out of range")]
    Field(&'static str),
}

impl From<Short> for RowError {
    fn from(_: Short) -> Self {
        Self::Length
    }
}

/// An account, as reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountView {
    /// Its number.
    pub number: AccountNumber,
    /// Its currency.
    pub currency: Currency,
    /// All postings so far, minor units.
    pub ledger_minor: i64,
    /// What a debit may take, minor units: ledger + overdraft - held.
    pub available_minor: i64,
    /// Sum of open holds, minor units.
    pub held_minor: i64,
    /// Allowed overdraft, minor units.
    pub overdraft_minor: i64,
    /// Its status.
    pub status: AccountStatus,
    /// Customer or internal.
    pub role: Role,
    /// The default business date at the time of reading.
    pub business_date: Date,
    /// Sequence of the last event that changed it.
    pub last_seq: Seq,
}
