//! Currencies as people write them (KRW); messages and the engine carry numbers (410).

use std::fmt;

use gapless_engine::ids::Currency;
use gapless_engine::iso4217::TABLE;
pub use gapless_engine::iso4217::alphabetic;
use serde::Deserialize;

/// A currency by its alphabetic ISO 4217 code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct CurrencyCode {
    alphabetic: [u8; 3],
    numeric: u16,
    digits: u8,
}

impl CurrencyCode {
    /// The currency with this alphabetic code ("KRW"); capitals only.
    #[must_use]
    pub fn from_alphabetic(code: &str) -> Option<Self> {
        let ix = TABLE.binary_search_by(|row| row.0.cmp(code)).ok()?;
        TABLE.get(ix).and_then(Self::from_row)
    }

    /// The currency with this number (410), as in DE 49.
    #[must_use]
    pub fn from_numeric(numeric: Currency) -> Option<Self> {
        TABLE
            .iter()
            .find(|row| row.1 == numeric.0)
            .and_then(Self::from_row)
    }

    fn from_row(&(alphabetic, numeric, digits): &(&str, u16, u8)) -> Option<Self> {
        Some(Self {
            alphabetic: alphabetic.as_bytes().try_into().ok()?,
            numeric,
            digits,
        })
    }

    /// Its alphabetic code, three capitals.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.alphabetic).unwrap_or_default()
    }

    /// As the engine and DE 49 know it.
    #[must_use]
    pub const fn currency(self) -> Currency {
        Currency(self.numeric)
    }

    /// How many decimal digits its minor unit has: KRW 0, USD 2, KWD 3.
    #[must_use]
    pub const fn digits(self) -> u8 {
        self.digits
    }
}

impl TryFrom<String> for CurrencyCode {
    type Error = String;

    fn try_from(code: String) -> Result<Self, String> {
        Self::from_alphabetic(&code).ok_or_else(|| {
            format!("{code:?} is no active currency of ISO 4217 (alphabetic code, as in \"KRW\")")
        })
    }
}

impl fmt::Display for CurrencyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CurrencyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_numbers_find_each_other() {
        for (code, number, digits) in [("KRW", 410, 0), ("USD", 840, 2), ("KWD", 414, 3)] {
            let found = CurrencyCode::from_alphabetic(code).unwrap();
            assert_eq!((found.currency().0, found.digits()), (number, digits));
            assert_eq!(CurrencyCode::from_numeric(Currency(number)), Some(found));
            assert_eq!(alphabetic(Currency(number)), code);
        }
        assert_eq!(CurrencyCode::from_alphabetic("krw"), None);
        assert_eq!(CurrencyCode::from_alphabetic("XXX"), None);
        assert_eq!(alphabetic(Currency(7)), "007");
    }
}
