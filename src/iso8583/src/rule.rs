//! A field's rule: what its bytes on the wire must look like.

use std::fmt;

use serde::Deserialize;

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
    pub(crate) code: Code,
    pub(crate) prefix: Prefix,
    pub(crate) class: Class,
    pub(crate) pad: Pad,
    /// Whether the prefix counts bytes on the wire instead of units.
    pub(crate) counts_bytes: bool,
    /// Most units (digits, characters, or bytes of a binary field). Without a
    /// prefix it is the length exactly. x+n does not count its sign.
    pub(crate) max: u16,
}

impl Rule {
    pub(crate) const UNDEFINED: Rule = Rule {
        code: Code::Undefined,
        prefix: Prefix::Fixed,
        class: Class::B,
        pad: Pad::None,
        counts_bytes: false,
        max: 0,
    };

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
