//! Cards and their accounts: a contiguous range, as the daemon's demo data has
//! them, or what the daemon's import files list.

use std::io::Write as _;

/// Digits of a range's PAN: prefix (6), index (9), Luhn digit.
const RANGE_DIGITS: usize = 16;

/// The longest PAN and the longest account.
const PAN_BYTES: usize = 19;
const ACCOUNT_BYTES: usize = 28;

/// The cards of a run, by index from 0 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cards {
    /// Consecutive indexes.
    Range(Range),
    /// As files list them.
    List(List),
}

/// A range of cards with consecutive indexes from 0 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First six digits of every PAN.
    pub prefix: u32,
    /// How many.
    pub count: u32,
    /// Account of the first card; the others follow in order.
    pub first_account: u64,
}

/// One card of a list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListedCard {
    pub(crate) pan: Short<PAN_BYTES>,
    /// YYMM.
    pub(crate) expiry: [u8; 4],
    /// Index of its account.
    pub(crate) account: u32,
}

impl std::fmt::Debug for ListedCard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Whole PANs are never shown.
        f.debug_struct("ListedCard")
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// Cards as files list them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    pub(crate) cards: Vec<ListedCard>,
    /// Names of the accounts, each once.
    pub(crate) accounts: Vec<Short<ACCOUNT_BYTES>>,
}

/// A few characters without an allocation of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short<const N: usize> {
    bytes: [u8; N],
    length: u8,
}

impl<const N: usize> Short<N> {
    /// The first `N` of these.
    #[must_use]
    pub fn new(text: &[u8]) -> Self {
        let mut bytes = [0; N];
        let mut length = 0;
        for (place, byte) in bytes.iter_mut().zip(text) {
            *place = *byte;
            length += 1;
        }
        Self { bytes, length }
    }

    /// The characters.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }
}

impl<const N: usize> std::fmt::Display for Short<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.bytes()))
    }
}

impl Range {
    fn pan(&self, index: u32) -> [u8; RANGE_DIGITS] {
        let mut pan = [b'0'; RANGE_DIGITS];
        let number = u64::from(self.prefix) * 1_000_000_000 + u64::from(index);
        let mut rest = number;
        let mut sum = 0;
        // From the right, without the check digit: every other one is doubled.
        for (place, digit) in pan.iter_mut().rev().skip(1).enumerate() {
            let value = (rest % 10) as u8;
            rest /= 10;
            *digit = b'0' + value;
            sum += match (place % 2 == 0, value) {
                (false, value) => value,
                (true, 0..=4) => value * 2,
                (true, value) => value * 2 - 9,
            };
        }
        if let Some(check) = pan.last_mut() {
            *check = b'0' + (10 - sum % 10) % 10;
        }
        pan
    }
}

impl Cards {
    /// How many cards.
    #[must_use]
    pub fn count(&self) -> u32 {
        match self {
            Self::Range(range) => range.count,
            Self::List(list) => list.cards.len() as u32,
        }
    }

    /// How many accounts they have.
    #[must_use]
    pub fn accounts(&self) -> u32 {
        match self {
            Self::Range(range) => range.count,
            Self::List(list) => list.accounts.len() as u32,
        }
    }

    /// The PAN of a card, in ASCII. Never to be shown.
    pub(crate) fn pan(&self, index: u32) -> Short<PAN_BYTES> {
        match self {
            Self::Range(range) => Short::new(&range.pan(index)),
            Self::List(list) => list
                .cards
                .get(index as usize)
                .map_or_else(|| Short::new(b""), |card| card.pan),
        }
    }

    /// DE 14 of a card.
    pub(crate) fn expiry(&self, index: u32) -> [u8; 4] {
        match self {
            Self::Range(_) => *b"3012",
            Self::List(list) => list
                .cards
                .get(index as usize)
                .map_or(*b"3012", |card| card.expiry),
        }
    }

    /// The index of a card's account.
    pub(crate) fn account_of(&self, index: u32) -> u32 {
        match self {
            Self::Range(_) => index,
            Self::List(list) => list
                .cards
                .get(index as usize)
                .map_or(0, |card| card.account),
        }
    }

    /// The name of an account.
    #[must_use]
    pub fn account_name(&self, account: u32) -> Short<ACCOUNT_BYTES> {
        match self {
            Self::Range(range) => {
                let mut name = [0; ACCOUNT_BYTES];
                let mut rest = name.as_mut_slice();
                // A 64-bit number has 20 digits at most.
                let _ = write!(rest, "{}", range.first_account + u64::from(account));
                let unused = rest.len();
                Short::new(name.get(..ACCOUNT_BYTES - unused).unwrap_or_default())
            }
            Self::List(list) => list
                .accounts
                .get(account as usize)
                .copied()
                .unwrap_or_else(|| Short::new(b"")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pans_end_with_their_luhn_digit() {
        let cards = Cards::Range(Range {
            prefix: 941_000,
            count: 10_000,
            first_account: 1_000_000_000,
        });
        for (index, pan) in [
            (0, b"9410000000000005"),
            (1, b"9410000000000013"),
            (9_999, b"9410000000099999"),
        ] {
            assert_eq!(cards.pan(index).bytes(), pan, "{index}");
        }
        assert_eq!(cards.account_name(17).bytes(), b"1000000017");
        assert_eq!((cards.count(), cards.account_of(17)), (10_000, 17));
    }
}
