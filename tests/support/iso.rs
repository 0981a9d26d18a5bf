//! ISO 8583:1987 in ASCII with binary bitmaps and two-byte lengths, written by
//! hand for the few fields that the tests use: a second opinion beside the codec.

use std::collections::BTreeMap;

/// A message as text fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Iso {
    /// MTI as a number: 200 for 0200.
    pub mti: u16,
    /// Values by field number.
    pub fields: BTreeMap<u8, String>,
}

enum Shape {
    Fixed(usize),
    /// So many digits of length in front.
    Variable(usize),
}

fn shape(field: u8) -> Shape {
    match field {
        2 | 32 | 33 | 35 | 102 | 103 => Shape::Variable(2),
        48 | 54 | 60..=63 => Shape::Variable(3),
        3 | 11 | 12 | 38 => Shape::Fixed(6),
        4..=6 | 37 => Shape::Fixed(12),
        7 => Shape::Fixed(10),
        13 | 14 | 15 | 17 | 18 => Shape::Fixed(4),
        22 | 23 | 49 | 51 | 70 => Shape::Fixed(3),
        25 | 39 => Shape::Fixed(2),
        41 => Shape::Fixed(8),
        42 => Shape::Fixed(15),
        43 => Shape::Fixed(40),
        90 | 95 => Shape::Fixed(42),
        _ => panic!("DE {field} is not one that the tests know"),
    }
}

impl Iso {
    /// A message without fields.
    pub fn new(mti: u16) -> Self {
        Self {
            mti,
            fields: BTreeMap::new(),
        }
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, field: u8, value: impl Into<String>) -> Self {
        self.fields.insert(field, value.into());
        self
    }

    /// A field's text, or nothing.
    pub fn get(&self, field: u8) -> &str {
        self.fields.get(&field).map_or("", String::as_str)
    }

    /// Appends the message in its frame.
    pub fn frame(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(format!("{:04}", self.mti).as_bytes());
        let secondary = self.fields.keys().any(|field| *field > 64);
        let mut bits = u128::from(secondary) << 127;
        for field in self.fields.keys() {
            bits |= 1 << (128 - u32::from(*field));
        }
        let bitmap = bits.to_be_bytes();
        out.extend_from_slice(if secondary { &bitmap } else { &bitmap[..8] });
        for (field, value) in &self.fields {
            match shape(*field) {
                Shape::Fixed(length) => assert_eq!(value.len(), length, "DE {field}"),
                Shape::Variable(digits) => {
                    let length = format!("{:0digits$}", value.len());
                    out.extend_from_slice(length.as_bytes());
                }
            }
            out.extend_from_slice(value.as_bytes());
        }
        let length = u16::try_from(out.len() - start - 2).unwrap();
        out[start..start + 2].copy_from_slice(&length.to_be_bytes());
    }

    /// Takes one whole frame off the front of `bytes`, if there is one.
    pub fn take(bytes: &mut Vec<u8>) -> Option<Self> {
        let length = usize::from(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]));
        if bytes.len() < 2 + length {
            return None;
        }
        let message = Self::parse(&bytes[2..2 + length]);
        bytes.drain(..2 + length);
        Some(message)
    }

    fn parse(body: &[u8]) -> Self {
        let mut rest = body;
        let mut take = |length: usize| {
            let (head, tail) = rest.split_at(length);
            rest = tail;
            head
        };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut message = Self::new(text(take(4)).parse().unwrap());
        let first = u64::from_be_bytes(take(8).try_into().unwrap());
        let second = match first >> 63 {
            0 => 0,
            _ => u64::from_be_bytes(take(8).try_into().unwrap()),
        };
        let bits = u128::from(first) << 64 | u128::from(second);
        for field in 2..=128u8 {
            if bits >> (128 - u32::from(field)) & 1 == 0 {
                continue;
            }
            let length = match shape(field) {
                Shape::Fixed(length) => length,
                Shape::Variable(digits) => text(take(digits)).parse().unwrap(),
            };
            let value = text(take(length));
            message.fields.insert(field, value);
        }
        assert!(rest.is_empty(), "{} bytes after the last field", rest.len());
        message
    }
}

/// A PAN from 15 digits and their Luhn digit.
pub fn pan(fifteen: &str) -> String {
    let sum: u32 = fifteen
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(digit - b'0');
            match (at % 2 == 0, digit) {
                (true, digit) if digit > 4 => digit * 2 - 9,
                (true, digit) => digit * 2,
                (false, digit) => digit,
            }
        })
        .sum();
    format!("{fifteen}{}", (10 - sum % 10) % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let message = Iso::new(200)
            .with(2, pan("941000000000000"))
            .with(4, "000000000100")
            .with(90, "0".repeat(42))
            .with(103, "1000000001");
        let mut bytes = Vec::new();
        message.frame(&mut bytes);
        message.frame(&mut bytes);
        assert_eq!(Iso::take(&mut bytes), Some(message.clone()));
        let last = bytes.pop().unwrap();
        assert_eq!(Iso::take(&mut bytes), None);
        bytes.push(last);
        assert_eq!(Iso::take(&mut bytes), Some(message));
        assert!(bytes.is_empty());
    }
}
