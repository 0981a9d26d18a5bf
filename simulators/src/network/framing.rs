//! How messages are cut out of a network's byte stream.

use std::fmt;
use std::str::FromStr;

/// The longest message that is taken; a longer one means that we have lost step.
pub const MAX_MESSAGE_BYTES: usize = 9_999;

/// The number before each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Two bytes, big-endian.
    Binary2,
    /// Four ASCII digits.
    Ascii4,
    /// Two bytes of packed digits.
    Bcd2,
}

/// A length before each message, and whether it counts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// The number's form.
    pub length: Length,
    /// Whether the length counts its own bytes.
    pub inclusive: bool,
}

/// A length that is no number, or beyond [`MAX_MESSAGE_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the length before a message is not one")]
pub struct NoLength;

impl FromStr for Framing {
    type Err = String;

    /// `binary2`, `ascii4` or `bcd2`, with `+own` when it counts its own bytes.
    fn from_str(text: &str) -> Result<Framing, String> {
        let (name, inclusive) = match text.strip_suffix("+own") {
            Some(name) => (name, true),
            None => (text, false),
        };
        let length = match name {
            "binary2" => Length::Binary2,
            "ascii4" => Length::Ascii4,
            "bcd2" => Length::Bcd2,
            _ => return Err("binary2, ascii4 or bcd2, each perhaps with +own".to_owned()),
        };
        Ok(Framing { length, inclusive })
    }
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.length {
            Length::Binary2 => "binary2",
            Length::Ascii4 => "ascii4",
            Length::Bcd2 => "bcd2",
        };
        let own = if self.inclusive { "+own" } else { "" };
        write!(f, "{name}{own}")
    }
}

impl Framing {
    fn prefix_bytes(self) -> usize {
        match self.length {
            Length::Binary2 | Length::Bcd2 => 2,
            Length::Ascii4 => 4,
        }
    }

    fn own_bytes(self) -> usize {
        if self.inclusive {
            self.prefix_bytes()
        } else {
            0
        }
    }

    /// Appends `body` with its length in front.
    ///
    /// # Errors
    /// [`NoLength`]: it is too long; nothing was appended.
    pub fn put(self, body: &[u8], out: &mut Vec<u8>) -> Result<(), NoLength> {
        let len = body.len() + self.own_bytes();
        if len > MAX_MESSAGE_BYTES {
            return Err(NoLength);
        }
        match self.length {
            Length::Binary2 => {
                out.extend(u16::try_from(len).map_err(|_| NoLength)?.to_be_bytes());
            }
            Length::Ascii4 => out.extend(format!("{len:04}").as_bytes()),
            Length::Bcd2 => {
                out.extend(hex::decode(format!("{len:04}")).map_err(|_| NoLength)?);
            }
        }
        out.extend_from_slice(body);
        Ok(())
    }

    /// Takes the first whole message off `received`; `None` if more must come.
    /// Keep-alives are whole messages of no bytes.
    ///
    /// # Errors
    /// [`NoLength`].
    pub fn take(self, received: &mut Vec<u8>) -> Result<Option<Vec<u8>>, NoLength> {
        let at = self.prefix_bytes();
        let Some(prefix) = received.get(..at) else {
            return Ok(None);
        };
        let digits = match self.length {
            Length::Binary2 => prefix
                .iter()
                .fold(0, |n, byte| n * 256 + usize::from(*byte))
                .to_string(),
            Length::Ascii4 => String::from_utf8(prefix.to_vec()).map_err(|_| NoLength)?,
            Length::Bcd2 => hex::encode(prefix),
        };
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NoLength);
        }
        let len: usize = digits.parse().map_err(|_| NoLength)?;
        // A keep-alive may be written as 0 where the length counts itself too.
        let len = if len == 0 {
            0
        } else {
            len.checked_sub(self.own_bytes()).ok_or(NoLength)?
        };
        if len > MAX_MESSAGE_BYTES {
            return Err(NoLength);
        }
        let Some(body) = received.get(at..at + len) else {
            return Ok(None);
        };
        let body = body.to_vec();
        received.drain(..at + len);
        Ok(Some(body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_of_their_names() {
        let table: &[(&str, &[u8])] = &[
            ("binary2", b"\x00\x03abc"),
            ("binary2+own", b"\x00\x05abc"),
            ("ascii4", b"0003abc"),
            ("ascii4+own", b"0007abc"),
            ("bcd2", b"\x00\x03abc"),
        ];
        for (name, bytes) in table {
            let framing: Framing = name.parse().unwrap();
            let mut out = Vec::new();
            framing.put(b"abc", &mut out).unwrap();
            assert_eq!(&out, bytes, "{name}");
            assert_eq!(framing.to_string(), *name);
            // Byte by byte: nothing before it is whole.
            let mut received = Vec::new();
            for byte in &out[..out.len() - 1] {
                received.push(*byte);
                assert_eq!(framing.take(&mut received), Ok(None), "{name}");
            }
            received.extend(&out[out.len() - 1..]);
            received.extend(b"rest");
            assert_eq!(framing.take(&mut received), Ok(Some(b"abc".to_vec())));
            assert_eq!(received, b"rest");
        }
        let long = vec![b'x'; 1_234];
        let mut out = Vec::new();
        let framing: Framing = "bcd2".parse().unwrap();
        framing.put(&long, &mut out).unwrap();
        assert_eq!(out[..2], [0x12, 0x34]);
        assert_eq!(framing.take(&mut out), Ok(Some(long)));
    }

    #[test]
    fn what_is_no_length_is_refused() {
        for (name, bytes) in [
            ("ascii4", b"00x3abc".as_slice()),
            ("ascii4+own", b"0003abc"),
            ("bcd2", b"\x0a\x00abc"),
            ("binary2", b"\xff\xffabc"),
        ] {
            let framing: Framing = name.parse().unwrap();
            assert_eq!(framing.take(&mut bytes.to_vec()), Err(NoLength), "{name}");
        }
        let framing: Framing = "ascii4".parse().unwrap();
        let mut out = Vec::new();
        assert_eq!(framing.put(&vec![0; 10_000], &mut out), Err(NoLength));
        assert!(out.is_empty());
        assert!("binary4".parse::<Framing>().is_err());
    }
}
