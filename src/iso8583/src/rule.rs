//! A field's rule: what its bytes on the wire must look like.

use std::fmt;

use serde::Deserialize;

use crate::span::Span;

/// A character class of ISO 8583 (part 1, attributes of data elements).
///
/// The blank is the pad character of text, so every text class holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// n: digits.
    N,
    /// a: letters and blanks.
    A,
    /// an: letters, digits and blanks.
    An,
    /// as: letters, special characters and blanks.
    As,
    /// ns: digits, special characters and blanks.
    Ns,
    /// ans: all printable characters.
    Ans,
    /// b: bytes of any value.
    B,
    /// z: track 2 and 3 code set (ISO 7811, 7813), digits and separators.
    Z,
    /// x+n: C for credit or D for debit, then digits.
    Xn,
}

impl Class {
    #[cfg(test)]
    pub(crate) const ALL: [Class; 8] = [
        Class::N,
        Class::A,
        Class::An,
        Class::As,
        Class::Ns,
        Class::Ans,
        Class::B,
        Class::Z,
    ];

    /// Whether an ASCII character belongs to the class. For x+n: its digits.
    pub const fn holds(self, byte: u8) -> bool {
        match self {
            Class::N | Class::Xn => byte.is_ascii_digit(),
            Class::A => byte.is_ascii_alphabetic() || byte == b' ',
            Class::An => byte.is_ascii_alphanumeric() || byte == b' ',
            Class::As => matches!(byte, b' '..=b'~') && !byte.is_ascii_digit(),
            Class::Ns => matches!(byte, b' '..=b'~') && !byte.is_ascii_alphabetic(),
            Class::Ans => matches!(byte, b' '..=b'~'),
            Class::B => true,
            Class::Z => matches!(byte, 0x30..=0x3f | b'D'),
        }
    }

    /// The class as the standard writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Class::N => "n",
            Class::A => "a",
            Class::An => "an",
            Class::As => "as",
            Class::Ns => "ns",
            Class::Ans => "ans",
            Class::B => "b",
            Class::Z => "z",
            Class::Xn => "x+n",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a value's units stand on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Code {
    /// One ASCII character a unit.
    Ascii,
    /// One EBCDIC character a unit.
    Ebcdic,
    /// Two digits a byte; an odd number of digits is padded in front.
    PackedLeft,
    /// Two digits a byte; an odd number of digits is padded behind.
    PackedRight,
    /// Bytes as they are.
    Bytes,
    /// Two hexadecimal digits in ASCII a byte.
    Hex,
    /// Two hexadecimal digits in EBCDIC a byte.
    HexEbcdic,
    /// C or D, then digits, all in ASCII.
    SignedAscii,
    /// C or D, then digits, all in EBCDIC.
    SignedEbcdic,
    /// C or D in ASCII, then packed digits.
    SignedPacked,
    /// The dialect does not define the field.
    Undefined,
}

impl Code {
    #[cfg(test)]
    pub(crate) const ALL: [Code; 11] = [
        Code::Ascii,
        Code::Ebcdic,
        Code::PackedLeft,
        Code::PackedRight,
        Code::Bytes,
        Code::Hex,
        Code::HexEbcdic,
        Code::SignedAscii,
        Code::SignedEbcdic,
        Code::SignedPacked,
        Code::Undefined,
    ];

    /// The code that `as u8` gave this number.
    #[inline(always)]
    pub(crate) const fn from_number(number: u8) -> Code {
        // A match becomes nothing at all, where a table would be read.
        match number {
            0 => Code::Ascii,
            1 => Code::Ebcdic,
            2 => Code::PackedLeft,
            3 => Code::PackedRight,
            4 => Code::Bytes,
            5 => Code::Hex,
            6 => Code::HexEbcdic,
            7 => Code::SignedAscii,
            8 => Code::SignedEbcdic,
            9 => Code::SignedPacked,
            _ => Code::Undefined,
        }
    }
}

/// What tells the length of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Prefix {
    /// Nothing: the value has its full length always.
    Fixed,
    /// So many ASCII digits.
    Ascii(u8),
    /// So many EBCDIC digits.
    Ebcdic(u8),
    /// So many bytes of two packed digits.
    Packed(u8),
    /// So many bytes, big-endian.
    Binary(u8),
}

impl Prefix {
    /// Bytes on the wire.
    pub(crate) const fn bytes(self) -> u8 {
        match self {
            Prefix::Fixed => 0,
            Prefix::Ascii(n) | Prefix::Ebcdic(n) | Prefix::Packed(n) | Prefix::Binary(n) => n,
        }
    }
}

/// What fills a value up to its length, and on which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub(crate) enum Pad {
    /// Zeros in front; the pad nibble of packed digits is 0, in front.
    LeftZero,
    /// Blanks behind.
    RightBlank,
    /// Blanks in front.
    LeftBlank,
    /// The pad nibble of packed digits is F, behind.
    RightF,
    /// The pad nibble of packed digits is 0, behind.
    RightZero,
    /// Nothing: a value of another length is refused.
    None,
}

/// The rule of one field, small enough that a whole dialect stays in cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rule {
    /// The span of a value of `max` units at offset 0; holds the code.
    pub(crate) span: Span,
    pub(crate) prefix: Prefix,
    pub(crate) class: Class,
    pub(crate) pad: Pad,
    /// Whether the prefix counts bytes on the wire instead of units.
    pub(crate) counts_bytes: bool,
    /// Most units (digits, characters, or bytes of a binary field). Without a
    /// prefix it is the length exactly. x+n does not count its sign.
    pub(crate) max: u16,
    /// A quick way to see that values are right.
    pub(crate) quick: Quick,
}

/// A check that a run of fields can be given at once. It may say no to what
/// the full check finds right, never the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Quick {
    /// ASCII digits.
    Digits,
    /// Printable ASCII.
    Printable,
    /// ASCII letters, digits and blanks.
    Alphanumeric,
    /// EBCDIC digits.
    EbcdicDigits,
    /// Packed digits without a pad nibble.
    PackedDigits,
    /// Nothing to check.
    Any,
    /// There is only the full check.
    None,
}

impl Quick {
    /// The check for values of `max` units. A length prefix is checked along
    /// with its value, so only fields whose prefix is written as their value
    /// is have one.
    pub(crate) const fn of(code: Code, class: Class, prefix: Prefix, max: u16) -> Quick {
        match (code, class, prefix) {
            (Code::Bytes, _, Prefix::Fixed) => Quick::Any,
            (Code::Ascii, Class::N, Prefix::Fixed | Prefix::Ascii(2 | 3)) => Quick::Digits,
            (Code::Ascii, Class::Ans, Prefix::Fixed | Prefix::Ascii(2 | 3)) => Quick::Printable,
            (Code::Ascii, Class::An, Prefix::Fixed | Prefix::Ascii(2 | 3)) => Quick::Alphanumeric,
            (Code::Ebcdic, Class::N, Prefix::Fixed | Prefix::Ebcdic(2 | 3)) => Quick::EbcdicDigits,
            (Code::PackedLeft | Code::PackedRight, Class::N, Prefix::Fixed)
                if max.is_multiple_of(2) =>
            {
                Quick::PackedDigits
            }
            _ => Quick::None,
        }
    }
}

impl Rule {
    pub(crate) const UNDEFINED: Rule = Rule {
        span: Span::NONE,
        prefix: Prefix::Fixed,
        class: Class::B,
        pad: Pad::None,
        counts_bytes: false,
        max: 0,
        quick: Quick::None,
    };

    /// How values are written.
    #[inline(always)]
    pub(crate) const fn code(&self) -> Code {
        self.span.code()
    }

    /// Bytes on the wire of so many units.
    #[inline(always)]
    pub(crate) const fn wire_bytes(code: Code, units: usize) -> usize {
        match code {
            Code::Ascii | Code::Ebcdic | Code::Bytes => units,
            Code::PackedLeft | Code::PackedRight => units.div_ceil(2),
            Code::Hex | Code::HexEbcdic => units * 2,
            Code::SignedAscii | Code::SignedEbcdic => 1 + units,
            Code::SignedPacked => 1 + units.div_ceil(2),
            Code::Undefined => 0,
        }
    }

    /// The attribute as the standard writes it: `n6`, `n..19`, `ans...999`.
    pub(crate) fn attribute(&self) -> String {
        let dots = match self.prefix {
            Prefix::Fixed => "",
            _ if self.max <= 99 => "..",
            _ if self.max <= 999 => "...",
            _ => "....",
        };
        format!("{}{dots}{}", self.class, self.max)
    }
}
