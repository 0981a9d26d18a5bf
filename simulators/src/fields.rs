//! The data elements of ISO 8583:1987, as a table of this crate's own.
//!
//! One table feeds three things: the specification that iso8583_rs is set up
//! with, the check of a frame before iso8583_rs sees it (it panics on some
//! malformed input), and the dumps. It is written from the standard and shares
//! nothing with the daemon's dialect files, so that a slip in either shows.

use thiserror::Error;

/// How long an element is, in characters (bytes for [`Class::Binary`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Always so many.
    Fixed(usize),
    /// Two digits of length, then at most so many.
    Ll(usize),
    /// Three digits of length, then at most so many.
    Lll(usize),
}

impl Length {
    /// Digits of the length prefix: 0, 2 or 3.
    pub fn prefix_digits(self) -> usize {
        match self {
            Length::Fixed(_) => 0,
            Length::Ll(_) => 2,
            Length::Lll(_) => 3,
        }
    }

    /// The most that the element may hold.
    pub fn max(self) -> usize {
        match self {
            Length::Fixed(n) | Length::Ll(n) | Length::Lll(n) => n,
        }
    }
}

/// Which characters an element may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `n`: decimal digits; short values are filled with zeros on the left.
    Digits,
    /// `x + n`: `C` or `D`, then decimal digits.
    Signed,
    /// `a`, `an`, `ans`: printable ASCII; short values are filled with spaces
    /// on the right.
    Text,
    /// `z`: track data, digits and the separators `=` and `D`.
    Track,
    /// `b`: raw bytes on the wire, hex digits in a [`Message`](crate::Message).
    Binary,
}

impl Class {
    fn describe(self) -> &'static str {
        match self {
            Class::Digits => "decimal digits",
            Class::Signed => "C or D and decimal digits",
            Class::Text => "printable ASCII",
            Class::Track => "track data",
            Class::Binary => "hex digits, two for each byte",
        }
    }

    /// Whether every byte, as it stands on the wire, belongs to this class.
    pub(crate) fn allows(self, wire: &[u8]) -> bool {
        match self {
            Class::Digits => wire.iter().all(u8::is_ascii_digit),
            Class::Signed => match wire.split_first() {
                Some((sign, digits)) => {
                    matches!(sign, b'C' | b'D') && digits.iter().all(u8::is_ascii_digit)
                }
                None => false,
            },
            Class::Text => wire.iter().all(|b| (0x20..=0x7e).contains(b)),
            Class::Track => wire
                .iter()
                .all(|b| b.is_ascii_digit() || matches!(b, b'=' | b'D' | b'^')),
            Class::Binary => true,
        }
    }
}

/// What a dump may show of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// All of it.
    Open,
    /// A PAN: first six and last four.
    Pan,
    /// Nothing but its length: tracks, PIN blocks, MACs, chip data, and the
    /// private elements, in which anything may stand.
    Hidden,
}

/// One data element of the table.
#[derive(Clone, Copy, Debug)]
pub struct Element {
    /// Its number, 2 to 128.
    pub de: u8,
    /// Its name in the standard, shortened where it is long.
    pub name: &'static str,
    /// Its length.
    pub length: Length,
    /// Its characters.
    pub class: Class,
    /// What may be shown.
    pub secrecy: Secrecy,
}

/// Why a value cannot stand in an element. The value itself is never part of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FieldError {
    /// No element of that number can be sent (1 and 65 are bitmaps).
    #[error("DE {0} does not exist: elements are 2 to 128, except 65")]
    Unknown(u8),
    /// Too long or, for a binary or signed element, of another length than it must have.
    #[error("DE {de} takes {expected}, not {got}")]
    Length {
        /// The element.
        de: u8,
        /// What it takes.
        expected: String,
        /// How long the value was.
        got: usize,
    },
    /// A character that the element may not hold.
    #[error("DE {de} takes {expected} only")]
    Class {
        /// The element.
        de: u8,
        /// The class in words.
        expected: &'static str,
    },
}

impl Element {
    /// Checks a value and fills it to the length of a fixed element, which
    /// iso8583_rs does not do: it sends whatever it is given.
    ///
    /// # Errors
    /// [`FieldError`] when the value is too long or holds a character that the
    /// element may not.
    pub fn normalise(&self, value: &str) -> Result<String, FieldError> {
        if self.class == Class::Binary {
            let bytes = hex::decode(value).map_err(|_| self.wrong_class())?;
            return match self.length {
                Length::Fixed(n) if bytes.len() != n => Err(self.wrong_length(bytes.len())),
                _ if bytes.len() > self.length.max() => Err(self.wrong_length(bytes.len())),
                _ => Ok(hex::encode(bytes)),
            };
        }
        if !self.class.allows(value.as_bytes()) {
            return Err(self.wrong_class());
        }
        let len = value.len();
        if len > self.length.max() {
            return Err(self.wrong_length(len));
        }
        Ok(match (self.length, self.class) {
            (Length::Fixed(n), Class::Digits) => format!("{value:0>n$}"),
            (Length::Fixed(n), Class::Signed) if len != n => return Err(self.wrong_length(len)),
            (Length::Fixed(n), _) => format!("{value:<n$}"),
            _ => value.to_owned(),
        })
    }

    /// Whether so many bytes may stand in this element on the wire.
    pub(crate) fn allows_len(&self, len: usize) -> bool {
        match self.length {
            Length::Fixed(n) => len == n,
            Length::Ll(n) | Length::Lll(n) => len <= n,
        }
    }

    pub(crate) fn describe(&self) -> String {
        let count = match self.length {
            Length::Fixed(n) => n.to_string(),
            Length::Ll(n) | Length::Lll(n) => format!("at most {n}"),
        };
        match self.class {
            Class::Binary => format!("{count} bytes"),
            class => format!("{count} characters, {}", class.describe()),
        }
    }

    fn wrong_length(&self, got: usize) -> FieldError {
        FieldError::Length {
            de: self.de,
            expected: self.describe(),
            got,
        }
    }

    fn wrong_class(&self) -> FieldError {
        FieldError::Class {
            de: self.de,
            expected: self.class.describe(),
        }
    }
}

/// The element of that number.
///
/// # Errors
/// [`FieldError::Unknown`] for 0, 1, 65 and anything above 128.
pub fn element(de: u8) -> Result<&'static Element, FieldError> {
    ELEMENTS
        .iter()
        .find(|e| e.de == de)
        .ok_or(FieldError::Unknown(de))
}

const fn el(de: u8, name: &'static str, length: Length, class: Class) -> Element {
    Element {
        de,
        name,
        length,
        class,
        secrecy: Secrecy::Open,
    }
}

const fn hidden(de: u8, name: &'static str, length: Length, class: Class) -> Element {
    Element {
        de,
        name,
        length,
        class,
        secrecy: Secrecy::Hidden,
    }
}

use Class::{Binary, Digits, Signed, Text, Track};
use Length::{Fixed, Ll, Lll};

/// All elements that can be sent, in ascending order. DE 1 and 65 are bitmaps
/// and have no row; DE 55 holds chip data (EMV), as it does everywhere today.
pub const ELEMENTS: &[Element] = &[
    Element {
        de: 2,
        name: "Primary account number",
        length: Ll(19),
        class: Digits,
        secrecy: Secrecy::Pan,
    },
    el(3, "Processing code", Fixed(6), Digits),
    el(4, "Amount, transaction", Fixed(12), Digits),
    el(5, "Amount, settlement", Fixed(12), Digits),
    el(6, "Amount, cardholder billing", Fixed(12), Digits),
    el(7, "Transmission date and time", Fixed(10), Digits),
    el(8, "Amount, billing fee", Fixed(8), Digits),
    el(9, "Conversion rate, settlement", Fixed(8), Digits),
    el(10, "Conversion rate, billing", Fixed(8), Digits),
    el(11, "System trace audit number", Fixed(6), Digits),
    el(12, "Time, local transaction", Fixed(6), Digits),
    el(13, "Date, local transaction", Fixed(4), Digits),
    el(14, "Date, expiration", Fixed(4), Digits),
    el(15, "Date, settlement", Fixed(4), Digits),
    el(16, "Date, conversion", Fixed(4), Digits),
    el(17, "Date, capture", Fixed(4), Digits),
    el(18, "Merchant type", Fixed(4), Digits),
    el(19, "Acquirer country", Fixed(3), Digits),
    el(20, "PAN country", Fixed(3), Digits),
    el(21, "Forwarder country", Fixed(3), Digits),
    el(22, "Point of service entry mode", Fixed(3), Digits),
    el(23, "Card sequence number", Fixed(3), Digits),
    el(24, "Network international id", Fixed(3), Digits),
    el(25, "Point of service condition", Fixed(2), Digits),
    el(26, "PIN capture code", Fixed(2), Digits),
    el(27, "Approval code length", Fixed(1), Digits),
    el(28, "Fee, transaction", Fixed(9), Signed),
    el(29, "Fee, settlement", Fixed(9), Signed),
    el(30, "Processing fee, transaction", Fixed(9), Signed),
    el(31, "Processing fee, settlement", Fixed(9), Signed),
    el(32, "Acquirer id", Ll(11), Digits),
    el(33, "Forwarder id", Ll(11), Digits),
    hidden(34, "PAN, extended", Ll(28), Text),
    hidden(35, "Track 2 data", Ll(37), Track),
    hidden(36, "Track 3 data", Lll(104), Track),
    el(37, "Retrieval reference number", Fixed(12), Text),
    el(38, "Authorisation id response", Fixed(6), Text),
    el(39, "Response code", Fixed(2), Text),
    el(40, "Service restriction code", Fixed(3), Text),
    el(41, "Card acceptor terminal id", Fixed(8), Text),
    el(42, "Card acceptor id", Fixed(15), Text),
    el(43, "Card acceptor name/location", Fixed(40), Text),
    el(44, "Additional response data", Ll(25), Text),
    hidden(45, "Track 1 data", Ll(76), Text),
    hidden(46, "Additional data, ISO", Lll(999), Text),
    hidden(47, "Additional data, national", Lll(999), Text),
    hidden(48, "Additional data, private", Lll(999), Text),
    el(49, "Currency, transaction", Fixed(3), Text),
    el(50, "Currency, settlement", Fixed(3), Text),
    el(51, "Currency, billing", Fixed(3), Text),
    hidden(52, "PIN data", Fixed(8), Binary),
    hidden(53, "Security control information", Fixed(16), Digits),
    el(54, "Additional amounts", Lll(120), Text),
    hidden(55, "ICC data", Lll(255), Binary),
    hidden(56, "Reserved, ISO", Lll(999), Text),
    hidden(57, "Reserved, national", Lll(999), Text),
    hidden(58, "Reserved, national", Lll(999), Text),
    hidden(59, "Reserved, national", Lll(999), Text),
    hidden(60, "Reserved, private", Lll(999), Text),
    hidden(61, "Reserved, private", Lll(999), Text),
    hidden(62, "Reserved, private", Lll(999), Text),
    hidden(63, "Reserved, private", Lll(999), Text),
    hidden(64, "MAC", Fixed(8), Binary),
    el(66, "Settlement code", Fixed(1), Digits),
    el(67, "Extended payment code", Fixed(2), Digits),
    el(68, "Receiver country", Fixed(3), Digits),
    el(69, "Settlement institution country", Fixed(3), Digits),
    el(70, "Network management code", Fixed(3), Digits),
    el(71, "Message number", Fixed(4), Digits),
    el(72, "Message number, last", Fixed(4), Digits),
    el(73, "Date, action", Fixed(6), Digits),
    el(74, "Credits, number", Fixed(10), Digits),
    el(75, "Credits, reversal number", Fixed(10), Digits),
    el(76, "Debits, number", Fixed(10), Digits),
    el(77, "Debits, reversal number", Fixed(10), Digits),
    el(78, "Transfers, number", Fixed(10), Digits),
    el(79, "Transfers, reversal number", Fixed(10), Digits),
    el(80, "Inquiries, number", Fixed(10), Digits),
    el(81, "Authorisations, number", Fixed(10), Digits),
    el(82, "Credits, processing fee", Fixed(12), Digits),
    el(83, "Credits, transaction fee", Fixed(12), Digits),
    el(84, "Debits, processing fee", Fixed(12), Digits),
    el(85, "Debits, transaction fee", Fixed(12), Digits),
    el(86, "Credits, amount", Fixed(16), Digits),
    el(87, "Credits, reversal amount", Fixed(16), Digits),
    el(88, "Debits, amount", Fixed(16), Digits),
    el(89, "Debits, reversal amount", Fixed(16), Digits),
    el(90, "Original data elements", Fixed(42), Digits),
    el(91, "File update code", Fixed(1), Text),
    el(92, "File security code", Fixed(2), Text),
    el(93, "Response indicator", Fixed(5), Text),
    el(94, "Service indicator", Fixed(7), Text),
    el(95, "Replacement amounts", Fixed(42), Text),
    hidden(96, "Message security code", Fixed(8), Binary),
    el(97, "Amount, net settlement", Fixed(17), Signed),
    el(98, "Payee", Fixed(25), Text),
    el(99, "Settlement institution id", Ll(11), Digits),
    el(100, "Receiver id", Ll(11), Digits),
    el(101, "File name", Ll(17), Text),
    el(102, "Account identification 1", Ll(28), Text),
    el(103, "Account identification 2", Ll(28), Text),
    hidden(104, "Transaction description", Lll(100), Text),
    hidden(105, "Reserved, ISO", Lll(999), Text),
    hidden(106, "Reserved, ISO", Lll(999), Text),
    hidden(107, "Reserved, ISO", Lll(999), Text),
    hidden(108, "Reserved, ISO", Lll(999), Text),
    hidden(109, "Reserved, ISO", Lll(999), Text),
    hidden(110, "Reserved, ISO", Lll(999), Text),
    hidden(111, "Reserved, ISO", Lll(999), Text),
    hidden(112, "Reserved, national", Lll(999), Text),
    hidden(113, "Reserved, national", Lll(999), Text),
    hidden(114, "Reserved, national", Lll(999), Text),
    hidden(115, "Reserved, national", Lll(999), Text),
    hidden(116, "Reserved, national", Lll(999), Text),
    hidden(117, "Reserved, national", Lll(999), Text),
    hidden(118, "Reserved, national", Lll(999), Text),
    hidden(119, "Reserved, national", Lll(999), Text),
    hidden(120, "Reserved, private", Lll(999), Text),
    hidden(121, "Reserved, private", Lll(999), Text),
    hidden(122, "Reserved, private", Lll(999), Text),
    hidden(123, "Reserved, private", Lll(999), Text),
    hidden(124, "Reserved, private", Lll(999), Text),
    hidden(125, "Reserved, private", Lll(999), Text),
    hidden(126, "Reserved, private", Lll(999), Text),
    hidden(127, "Reserved, private", Lll(999), Text),
    hidden(128, "MAC", Fixed(8), Binary),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_but_the_bitmaps_has_one_row() {
        let rows: Vec<u8> = ELEMENTS.iter().map(|e| e.de).collect();
        let expected: Vec<u8> = (2..=128).filter(|de| *de != 65).collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn values_are_checked_and_filled() {
        // de, value, what is sent (None: refused)
        let table: &[(u8, &str, Option<&str>)] = &[
            (4, "12500", Some("000000012500")),
            (4, "", Some("000000000000")),
            (4, "1234567890123", None),
            (4, "12x", None),
            (2, "9410000000000170", Some("9410000000000170")),
            (2, "94100000000001700000", None),
            (41, "T1", Some("T1      ")),
            (41, "TERMINAL1", None),
            (43, "caf\u{e9}", None),
            (28, "D00000100", Some("D00000100")),
            (28, "D100", None),
            (28, "X00000100", None),
            (52, "0123456789ABCDEF", Some("0123456789abcdef")),
            (52, "0123456789ABCD", None),
            (52, "0123456789ABCDEG", None),
            (55, "9F2608", Some("9f2608")),
        ];
        for (de, value, sent) in table {
            assert_eq!(
                element(*de).unwrap().normalise(value).ok().as_deref(),
                *sent,
                "DE {de} = {value:?}"
            );
        }
        for de in [0, 1, 65, 129, 255] {
            assert_eq!(element(de).err(), Some(FieldError::Unknown(de)));
        }
    }

    #[test]
    fn an_error_never_shows_the_value() {
        let secret = "41111111111111111111111";
        let error = element(2).unwrap().normalise(secret).unwrap_err();
        assert!(!error.to_string().contains("4111"), "{error}");
        let error = element(52)
            .unwrap()
            .normalise("12345678901234567890")
            .unwrap_err();
        assert!(!error.to_string().contains("1234"), "{error}");
    }
}
