//! The message type indicator.

use std::fmt;

/// A message type indicator: version, class, function, origin, one digit each.
///
/// FIELD.md "Message types": the third digit is 0 request, 1 response,
/// 2 advice, 3 advice response; the fourth is odd for a repeat.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Mti(u16);

impl Mti {
    /// The MTI of a message whose own could not be read: 0000, which no
    /// version of the standard uses.
    pub const UNKNOWN: Mti = Mti(0);

    /// An MTI from its digits as a decimal number: `Mti::new(200)` is 0200.
    /// `None` above 9999.
    pub const fn new(value: u16) -> Option<Mti> {
        if value > 9999 {
            return None;
        }
        let packed =
            (value / 1000) << 12 | (value / 100 % 10) << 8 | (value / 10 % 10) << 4 | (value % 10);
        Some(Mti(packed))
    }

    /// An MTI from four ASCII digits.
    #[inline]
    pub fn from_ascii(digits: [u8; 4]) -> Option<Mti> {
        let value = u32::from_be_bytes(digits);
        if !crate::classes::digits(&digits) {
            return None;
        }
        let nibbles = value & 0x0f0f_0f0f;
        let packed = (nibbles >> 12 & 0xf000)
            | (nibbles >> 8 & 0x0f00)
            | (nibbles >> 4 & 0x00f0)
            | (nibbles & 0x000f);
        Some(Mti(packed as u16))
    }

    /// An MTI from two bytes of packed digits.
    #[inline]
    pub fn from_packed(bytes: [u8; 2]) -> Option<Mti> {
        let [a, b] = bytes;
        let decimal = |byte: u8| byte >> 4 <= 9 && byte & 0x0f <= 9;
        (decimal(a) && decimal(b)).then_some(Mti(u16::from_be_bytes(bytes)))
    }

    /// The digits as a decimal number: 200 for 0200. Handy to match on.
    #[inline]
    pub const fn value(self) -> u16 {
        (self.0 >> 12) * 1000 + (self.0 >> 8 & 15) * 100 + (self.0 >> 4 & 15) * 10 + (self.0 & 15)
    }

    /// The four digits in ASCII.
    #[inline]
    pub const fn ascii(self) -> [u8; 4] {
        [
            b'0' + (self.0 >> 12) as u8,
            b'0' + (self.0 >> 8 & 15) as u8,
            b'0' + (self.0 >> 4 & 15) as u8,
            b'0' + (self.0 & 15) as u8,
        ]
    }

    /// The four digits packed into two bytes.
    #[inline]
    pub const fn packed(self) -> [u8; 2] {
        self.0.to_be_bytes()
    }

    /// First digit: 0 for ISO 8583:1987, 1 for 1993, 2 for 2003.
    #[inline]
    pub const fn version(self) -> u8 {
        (self.0 >> 12) as u8
    }

    /// Second digit: 1 authorisation, 2 financial, 4 reversal, 5
    /// reconciliation, 8 network management.
    #[inline]
    pub const fn class(self) -> u8 {
        (self.0 >> 8 & 15) as u8
    }

    /// Third digit: 0 request, 1 its response, 2 advice, 3 its response,
    /// 4 notification.
    #[inline]
    pub const fn function(self) -> u8 {
        (self.0 >> 4 & 15) as u8
    }

    /// Fourth digit: who began the exchange; odd for a repeat.
    #[inline]
    pub const fn origin(self) -> u8 {
        (self.0 & 15) as u8
    }

    /// Whether this is the same message again (fourth digit 1, 3 or 5).
    #[inline]
    pub const fn is_repeat(self) -> bool {
        matches!(self.origin(), 1 | 3 | 5)
    }

    /// Whether this answers another message (third digit odd).
    #[inline]
    pub const fn is_response(self) -> bool {
        self.function() & 1 == 1
    }

    /// The MTI of the first sending: 0200 for 0201.
    #[inline]
    pub const fn without_repeat(self) -> Mti {
        if self.is_repeat() {
            Mti(self.0 - 1)
        } else {
            self
        }
    }

    /// The MTI that answers this one: 0210 for 0200 and 0201, 0430 for 0420
    /// and 0421. A response gives itself, without a repeat digit.
    #[inline]
    pub const fn response(self) -> Mti {
        Mti(self.without_repeat().0 | 0x0010)
    }
}

impl fmt::Display for Mti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}", self.0)
    }
}

impl fmt::Debug for Mti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mti({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_and_repeats() {
        for (mti, response, first, repeat) in [
            (200, 210, 200, false),
            (201, 210, 200, true),
            (220, 230, 220, false),
            (221, 230, 220, true),
            (400, 410, 400, false),
            (401, 410, 400, true),
            (420, 430, 420, false),
            (421, 430, 420, true),
            (800, 810, 800, false),
            (820, 830, 820, false),
            (202, 212, 202, false),
            (203, 212, 202, true),
            (1200, 1210, 1200, false),
            (1421, 1430, 1420, true),
            (210, 210, 210, false),
        ] {
            let mti = Mti::new(mti).unwrap();
            assert_eq!(mti.response().value(), response, "{mti}");
            assert_eq!(mti.without_repeat().value(), first, "{mti}");
            assert_eq!(mti.is_repeat(), repeat, "{mti}");
        }
    }

    #[test]
    fn every_value_survives_each_form() {
        for value in 0..=9999 {
            let mti = Mti::new(value).unwrap();
            assert_eq!(mti.value(), value);
            assert_eq!(Mti::from_ascii(mti.ascii()), Some(mti));
            assert_eq!(Mti::from_packed(mti.packed()), Some(mti));
            assert_eq!(mti.to_string(), format!("{value:04}"));
        }
        assert_eq!(Mti::new(10_000), None);
    }

    #[test]
    fn other_characters_are_no_mti() {
        for bad in 0..=255u8 {
            if bad.is_ascii_digit() {
                continue;
            }
            for at in 0..4 {
                let mut digits = *b"0200";
                digits[at] = bad;
                assert_eq!(Mti::from_ascii(digits), None, "{bad:#x} at {at}");
            }
        }
        assert_eq!(Mti::from_packed([0x0a, 0]), None);
        assert_eq!(Mti::from_packed([0x02, 0xf0]), None);
    }
}
