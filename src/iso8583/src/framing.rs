//! Frames: how a link tells where one message ends.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};

use crate::error::FrameError;

/// A transport protocol data unit header: identifier, destination address (two
/// bytes), source address (two bytes).
pub type Tpdu = [u8; 5];

/// The header of an answer: destination and source change places.
pub const fn swap_tpdu([id, d1, d2, s1, s2]: Tpdu) -> Tpdu {
    [id, s1, s2, d1, d2]
}

const TPDU_BYTES: usize = 5;

/// How a frame's length is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LengthForm {
    /// Two bytes, big-endian.
    Binary2,
    /// Four ASCII digits.
    Ascii4,
    /// Two bytes of packed digits.
    Bcd2,
}

impl LengthForm {
    /// Bytes of the length on the wire.
    pub const fn bytes(self) -> usize {
        match self {
            LengthForm::Binary2 | LengthForm::Bcd2 => 2,
            LengthForm::Ascii4 => 4,
        }
    }

    /// The highest length that can be written.
    pub const fn max(self) -> usize {
        match self {
            LengthForm::Binary2 => 65_535,
            LengthForm::Ascii4 | LengthForm::Bcd2 => 9_999,
        }
    }

    /// Reads a length from exactly its bytes.
    #[inline]
    fn read(self, bytes: &[u8]) -> Option<usize> {
        match (self, bytes) {
            (LengthForm::Binary2, &[high, low]) => Some(usize::from(high) << 8 | usize::from(low)),
            (LengthForm::Bcd2, bytes) => bytes.iter().try_fold(0, |length, &byte| {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                (high <= 9 && low <= 9).then_some(length * 100 + high * 10 + low)
            }),
            (LengthForm::Ascii4, bytes) => bytes.iter().try_fold(0, |length, &byte| {
                byte.is_ascii_digit()
                    .then(|| length * 10 + usize::from(byte - b'0'))
            }),
            _ => None,
        }
    }

    /// Writes a length over exactly its bytes. The length is at most
    /// [`max`](LengthForm::max).
    #[inline]
    fn write(self, length: usize, place: &mut [u8]) {
        let digit = |unit: usize| (length / unit % 10) as u8;
        match (self, place) {
            (LengthForm::Binary2, [high, low]) => {
                *high = (length >> 8) as u8;
                *low = length as u8;
            }
            (LengthForm::Bcd2, [high, low]) => {
                *high = digit(1000) << 4 | digit(100);
                *low = digit(10) << 4 | digit(1);
            }
            (LengthForm::Ascii4, [a, b, c, d]) => {
                *a = b'0' + digit(1000);
                *b = b'0' + digit(100);
                *c = b'0' + digit(10);
                *d = b'0' + digit(1);
            }
            _ => {}
        }
    }
}

/// A link's framing: length, whether it counts itself, TPDU, and the limit.
///
/// In a TOML file either the name of a length alone (`framing = "binary2"`) or
/// a table (`framing = { length = "bcd2", tpdu = true, inclusive = false,
/// max_frame_bytes = 4096 }`), of which only `length` must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Framing {
    /// How the length is written.
    pub length: LengthForm,
    /// Whether each message follows a TPDU of five bytes.
    pub tpdu: bool,
    /// Whether the length counts its own bytes.
    pub inclusive: bool,
    /// Most bytes of one frame after its length, TPDU included.
    pub max_frame_bytes: usize,
}

impl Framing {
    /// The limit where the configuration names none, in bytes. The busiest
    /// ordinary message has well under one thousand.
    pub const DEFAULT_MAX_FRAME_BYTES: usize = 4096;

    /// A framing of this length, exclusive, without TPDU, at the default limit.
    pub const fn new(length: LengthForm) -> Framing {
        Framing {
            length,
            tpdu: false,
            inclusive: false,
            max_frame_bytes: Framing::DEFAULT_MAX_FRAME_BYTES,
        }
    }

    /// Looks at the bytes that a link has read for one whole frame.
    ///
    /// # Errors
    /// Bytes that cannot begin a frame, or a frame above the limit. The link
    /// must be closed: nothing tells where the next frame begins.
    #[inline]
    pub fn cut(&self, bytes: &[u8]) -> Result<Cut, FrameError> {
        let head = self.length.bytes();
        let Some(length_bytes) = bytes.get(..head) else {
            return Ok(Cut::NeedMore {
                at_least: head - bytes.len(),
            });
        };
        let length = self
            .length
            .read(length_bytes)
            .ok_or(FrameError::LengthDigits)?;
        let payload = match (self.inclusive, length) {
            (false, payload) => payload,
            // Some peers send a plain zero as their keep-alive even so.
            (true, 0) => 0,
            (true, length) => length.checked_sub(head).ok_or(FrameError::TooShort {
                announced: length,
                least: head,
            })?,
        };
        if payload > self.max_frame_bytes {
            return Err(FrameError::TooLong {
                announced: payload,
                limit: self.max_frame_bytes,
            });
        }
        let header = if self.tpdu { TPDU_BYTES } else { 0 };
        if payload != 0 && payload < header {
            return Err(FrameError::TooShort {
                announced: payload,
                least: header,
            });
        }
        let end = head + payload;
        if bytes.len() < end {
            return Ok(Cut::NeedMore {
                at_least: end - bytes.len(),
            });
        }
        if payload <= header {
            return Ok(Cut::KeepAlive { consumed: end });
        }
        let tpdu = if self.tpdu {
            bytes
                .get(head..)
                .and_then(|rest| rest.first_chunk())
                .copied()
        } else {
            None
        };
        Ok(Cut::Frame {
            tpdu,
            body: head + header..end,
            consumed: end,
        })
    }

    /// Begins a frame at the end of a buffer: room for its length, and the
    /// TPDU if the framing has one. Without a TPDU at hand five zero bytes
    /// stand in its place.
    #[inline]
    pub fn begin(&self, out: &mut Vec<u8>, tpdu: Option<Tpdu>) -> FrameMark {
        let mark = FrameMark { start: out.len() };
        match self.length.bytes() {
            2 => out.extend_from_slice(&[0; 2]),
            _ => out.extend_from_slice(&[0; 4]),
        }
        if self.tpdu {
            out.extend_from_slice(&tpdu.unwrap_or_default());
        }
        mark
    }

    /// Ends a frame: writes its length where it began.
    ///
    /// # Errors
    /// The frame is above the limit, or above what its length can say. It is
    /// then taken out of the buffer again.
    #[inline]
    pub fn end(&self, out: &mut Vec<u8>, mark: FrameMark) -> Result<(), FrameError> {
        let head = self.length.bytes();
        let payload = out
            .len()
            .checked_sub(mark.start)
            .and_then(|bytes| bytes.checked_sub(head))
            .ok_or(FrameError::Mark)?;
        let own = if self.inclusive { head } else { 0 };
        let limit = self.max_frame_bytes.min(self.length.max() - own);
        if payload > limit {
            out.truncate(mark.start);
            return Err(FrameError::TooLong {
                announced: payload,
                limit,
            });
        }
        if let Some(place) = out.get_mut(mark.start..mark.start + head) {
            self.length.write(payload + own, place);
        }
        Ok(())
    }
}

/// What [`Framing::cut`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// No whole frame yet.
    NeedMore {
        /// Bytes that must come before it is worth looking again; at least 1.
        at_least: usize,
    },
    /// A frame without a message: to be dropped.
    KeepAlive {
        /// Bytes to drop.
        consumed: usize,
    },
    /// A frame.
    Frame {
        /// Its TPDU, if the framing has one.
        tpdu: Option<Tpdu>,
        /// Where the message lies in the bytes given.
        body: Range<usize>,
        /// Bytes of the whole frame, to be dropped when it has been dealt with.
        consumed: usize,
    },
}

/// Where a frame that is being written began.
#[derive(Clone, Copy, Debug)]
#[must_use = "a frame that is begun must be ended"]
pub struct FrameMark {
    start: usize,
}

impl FrameMark {
    /// Offset of the frame's first byte in its buffer, so that a message that
    /// fails halfway can be taken back with `truncate`.
    pub const fn start(&self) -> usize {
        self.start
    }
}

impl<'de> Deserialize<'de> for Framing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Framing, D::Error> {
        deserializer.deserialize_any(NameOrTable)
    }
}

/// Takes a string or a table without losing the place of an error inside the
/// table, as an untagged enum would.
struct NameOrTable;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    length: LengthForm,
    #[serde(default)]
    tpdu: bool,
    #[serde(default)]
    inclusive: bool,
    #[serde(default = "default_limit")]
    max_frame_bytes: usize,
}

fn default_limit() -> usize {
    Framing::DEFAULT_MAX_FRAME_BYTES
}

impl<'de> Visitor<'de> for NameOrTable {
    type Value = Framing;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"binary2\", \"ascii4\", \"bcd2\", or a table with such a length")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Framing, E> {
        let name = serde::de::value::StrDeserializer::new(name);
        LengthForm::deserialize(name).map(Framing::new)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Framing, A::Error> {
        let table = Table::deserialize(MapAccessDeserializer::new(map))?;
        if table.max_frame_bytes == 0 || table.max_frame_bytes > table.length.max() {
            return Err(serde::de::Error::custom(format_args!(
                "max_frame_bytes must be 1 to {}",
                table.length.max()
            )));
        }
        Ok(Framing {
            length: table.length,
            tpdu: table.tpdu,
            inclusive: table.inclusive,
            max_frame_bytes: table.max_frame_bytes,
        })
    }
}
