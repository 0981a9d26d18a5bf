//! What may be shown of a value.

use std::fmt;

use serde::Deserialize;

/// How much of a field's value people may see. What a dialect file does not
/// say is `Never`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Show {
    /// All of it.
    Clear,
    /// A card number: its first six and last four digits (PCI DSS 3.4.1), and
    /// nothing if it is not a card number of 12 to 19 digits.
    Pan,
    /// An account: its last four characters.
    Account,
    /// Its length only.
    #[default]
    Never,
}

impl Show {
    /// The most that any dialect may show of a field: card numbers never
    /// whole; track data (35, 36, 45), PIN (52, 53), chip data (55), MACs
    /// (64, 128) and private data (48, 60-63, 120-127), whose content only
    /// its owner knows, not at all.
    pub(crate) const fn most(field: u8) -> Show {
        match field {
            2 | 34 => Show::Pan,
            35 | 36 | 45 | 48 | 52 | 53 | 55 | 60..=64 | 120..=128 => Show::Never,
            102 | 103 => Show::Account,
            _ => Show::Clear,
        }
    }

    /// Whether a dialect may show the field so.
    pub(crate) const fn allowed(self, field: u8) -> bool {
        matches!(
            (Show::most(field), self),
            (_, Show::Never)
                | (Show::Clear, _)
                | (Show::Pan, Show::Pan)
                | (Show::Account, Show::Account)
        )
    }
}

/// A card number as people may see it: `941000******1234`. What is no card
/// number of 12 to 19 digits shows nothing but asterisks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MaskedPan {
    first: [u8; 6],
    last: [u8; 4],
    /// Digits in all; 0 for what is no card number.
    length: u8,
}

/// Masks a card number given in ASCII digits.
pub fn masked_pan(digits: &[u8]) -> MaskedPan {
    let none = MaskedPan {
        first: [0; 6],
        last: [0; 4],
        length: 0,
    };
    if !(12..=19).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return none;
    }
    match (digits.first_chunk(), digits.last_chunk()) {
        (Some(first), Some(last)) => MaskedPan {
            first: *first,
            last: *last,
            length: digits.len() as u8,
        },
        _ => none,
    }
}

impl fmt::Display for MaskedPan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.length == 0 {
            return f.write_str("****");
        }
        put_ascii(f, &self.first)?;
        for _ in 10..self.length {
            f.write_str("*")?;
        }
        put_ascii(f, &self.last)
    }
}

impl fmt::Debug for MaskedPan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Writes characters that are known to be printable ASCII.
pub(crate) fn put_ascii(f: &mut fmt::Formatter<'_>, text: &[u8]) -> fmt::Result {
    use fmt::Write as _;
    text.iter()
        .try_for_each(|&byte| f.write_char(char::from(byte)))
}

/// Whether a text holds what could be a card number: 13 to 19 digits with a
/// right check digit, or more digits than that, wherever one could hide. They may
/// be grouped as on a card, by one blank, dash, dot or stroke at a time.
pub(crate) fn holds_card_number(text: &[u8]) -> bool {
    let mut run = [0u8; 20];
    let mut length = 0;
    let mut was_digit = false;
    // One more turn, for the run that the text ends with.
    for byte in text.iter().copied().chain([0]) {
        let groups = was_digit && matches!(byte, b' ' | b'-' | b'.' | b'/');
        was_digit = byte.is_ascii_digit();
        if was_digit {
            match run.get_mut(length) {
                Some(place) => *place = byte,
                None => return true,
            }
            length += 1;
        } else if !groups {
            let digits = run.get(..length).unwrap_or_default();
            if length > 19 || (length >= 13 && luhn(digits)) {
                return true;
            }
            length = 0;
        }
    }
    false
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0');
            match (place % 2, digit * 2) {
                (0, _) => digit,
                (_, double) if double > 9 => double - 9,
                (_, double) => double,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_show_six_and_four() {
        for (pan, shown) in [
            ("9410000000001234", "941000******1234"),
            ("941000001234", "941000**1234"),
            ("9410000000000001234", "941000*********1234"),
            ("94100000123", "****"),
            ("94100000000000001234", "****"),
            ("941000000000123A", "****"),
            ("9410 0000 0001234", "****"),
            ("", "****"),
        ] {
            assert_eq!(masked_pan(pan.as_bytes()).to_string(), shown, "{pan}");
            assert_eq!(format!("{:?}", masked_pan(pan.as_bytes())), shown);
        }
    }

    #[test]
    fn card_numbers_are_found_in_text() {
        for (text, found) in [
            ("SHOP 4111111111111111 SEOUL", true),
            ("4111111111111111", true),
            ("004111111111111111", true),
            ("4111111111111112", false),
            ("12345678901234567890", true),
            ("411111111111", false),
            ("4111 1111 1111 1111", true),
            ("SEOUL", false),
        ] {
            assert_eq!(holds_card_number(text.as_bytes()), found, "{text}");
        }
    }

    #[test]
    fn no_dialect_may_show_what_is_secret() {
        for field in [35, 36, 45, 48, 52, 53, 55, 60, 63, 64, 120, 127, 128] {
            for show in [Show::Clear, Show::Pan, Show::Account] {
                assert!(!show.allowed(field), "{field} {show:?}");
            }
            assert!(Show::Never.allowed(field));
        }
        for field in [2, 34] {
            assert!(!Show::Clear.allowed(field) && !Show::Account.allowed(field));
            assert!(Show::Pan.allowed(field));
        }
        assert!(!Show::Clear.allowed(102) && Show::Account.allowed(103));
        assert!(Show::Clear.allowed(4));
    }

    #[test]
    fn card_numbers_are_seen_in_groups_too() {
        for (text, seen) in [
            ("9410000000000054", true),
            ("9410 0000 0000 0054", true),
            ("SHOP 9410-0000-0000-0054 SEOUL", true),
            ("9410000000000055", false),
            ("9410  0000000000054", false),
            ("941000000005", false),
            ("00000000000000000000", true),
            ("12 34", false),
            ("", false),
        ] {
            assert_eq!(holds_card_number(text.as_bytes()), seen, "{text}");
        }
    }
}
