//! The small types that every room shares: identifiers, codes of currencies,
//! and hashes. All are fixed-size and `Copy`, so that a command never allocates.

use std::fmt;

/// Sequence number of an event. The first event is 1; 0 means "none".
pub type Seq = u64;

/// Microseconds since the Unix epoch, UTC, as stamped by the runner.
pub type TimeUs = u64;

/// ISO 4217 numeric code of a currency (410 = KRW).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(pub u16);

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.0)
    }
}

/// A card network, as numbered by the configuration; 0 is the bank's own terminals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkId(pub u16);

impl NetworkId {
    /// Links of the bank's own terminals: no network date, no network clock.
    pub const OWN_TERMINALS: Self = Self(0);
}

/// Position of an account's row, given once when the account is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountIx(pub u32);

/// Position of a card's row, given once when the card is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CardIx(pub u32);

/// An account's identification as DE 102 and 103 carry it: 1 to 28 printable
/// ASCII characters, left-justified, padded with zero bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountNumber([u8; Self::MAX_LEN]);

impl AccountNumber {
    /// ISO 8583:1987, DE 102/103: ans..28.
    pub const MAX_LEN: usize = 28;

    /// Reads an account number; trailing blanks (fixed-length senders) are dropped.
    /// `None` when empty, too long or not printable ASCII.
    #[must_use]
    pub fn new(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii_end();
        if text.is_empty() || !text.iter().all(|b| (0x20..0x7f).contains(b)) {
            return None;
        }
        let mut number = [0u8; Self::MAX_LEN];
        number.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self(number))
    }

    /// Without the padding.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|b| *b == 0).unwrap_or(Self::MAX_LEN);
        self.0
            .get(..end)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }

    /// With the padding, as stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::MAX_LEN] {
        &self.0
    }

    /// From stored bytes, as [`Self::as_bytes`] gave them.
    #[must_use]
    pub fn from_stored(bytes: [u8; Self::MAX_LEN]) -> Option<Self> {
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(Self::MAX_LEN);
        Self::new(bytes.get(..end)?).filter(|number| number.0 == bytes)
    }
}

impl fmt::Display for AccountNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for AccountNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountNumber({self})")
    }
}

/// A PAN as the engine knows it: a keyed 128-bit hash (PCI DSS 3.5.1.1). The
/// adapter makes it; the key never comes here.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PanHash(pub u128);

impl fmt::Debug for PanHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PanHash(..)")
    }
}

/// A card's expiry, DE 14: year and month. Valid to the end of the month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry {
    /// Two digits, 2000 to 2099.
    pub year: u8,
    /// 1 to 12.
    pub month: u8,
}

impl Expiry {
    /// From the number YYMM; `None` for an impossible month or more than four digits.
    #[must_use]
    pub fn from_yymm(yymm: u16) -> Option<Self> {
        let (year, month) = (yymm / 100, yymm % 100);
        match (u8::try_from(year), u8::try_from(month)) {
            (Ok(year @ 0..=99), Ok(month @ 1..=12)) => Some(Self { year, month }),
            _ => None,
        }
    }

    /// As the number YYMM.
    #[must_use]
    pub fn yymm(self) -> u16 {
        u16::from(self.year) * 100 + u16::from(self.month)
    }
}
