//! Where one value lies in its frame, and how it is written there.

use crate::rule::Code;

/// A value's place, in one word: its offset after the length prefix in the
/// lowest 16 bits, then its bytes (16), its code (8), the bytes of its length
/// prefix (8), and whether packed digits have a pad nibble (8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Span(u64);

impl Span {
    pub(crate) const NONE: Span = Span::new(0, Code::Undefined, 0);

    /// A span at offset 0.
    pub(crate) const fn new(bytes: u16, code: Code, prefix: u8) -> Span {
        Span((bytes as u64) << 16 | (code as u64) << 32 | (prefix as u64) << 40)
    }

    /// A span at offset 0, moved to another. Offsets above
    /// [`MAX_MESSAGE_BYTES`](crate::MAX_MESSAGE_BYTES) make nonsense of it.
    #[inline(always)]
    pub(crate) const fn at(self, start: usize) -> Span {
        Span(self.0 + start as u64)
    }

    /// The same with another length.
    #[inline(always)]
    pub(crate) const fn of(self, bytes: usize) -> Span {
        Span(self.0 & !0xffff_0000 | ((bytes as u64) & 0xffff) << 16)
    }

    #[inline(always)]
    pub(crate) const fn with_pad(self, padded: bool) -> Span {
        Span(self.0 | (padded as u64) << 48)
    }

    /// Offset of the value, after its length prefix.
    #[inline(always)]
    pub(crate) const fn start(self) -> usize {
        self.0 as u16 as usize
    }

    /// Bytes of the value.
    #[inline(always)]
    pub(crate) const fn bytes(self) -> usize {
        (self.0 >> 16) as u16 as usize
    }

    #[inline(always)]
    pub(crate) const fn code(self) -> Code {
        Code::from_number((self.0 >> 32) as u8)
    }

    /// Bytes of the length prefix.
    #[inline(always)]
    pub(crate) const fn prefix(self) -> usize {
        (self.0 >> 40) as u8 as usize
    }

    /// Whether packed digits have a pad nibble.
    #[inline(always)]
    pub(crate) const fn padded(self) -> bool {
        self.0 >> 48 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_comes_back() {
        for (start, bytes, code, prefix, padded) in [
            (0, 0, Code::Ascii, 0, false),
            (65_535, 65_535, Code::Undefined, 4, true),
            (12, 999, Code::PackedRight, 2, true),
            (65_535, 0, Code::SignedPacked, 255, false),
        ] {
            let span = Span::new(7, code, prefix).at(start).of(bytes);
            let span = span.with_pad(padded);
            assert_eq!(span.start(), start);
            assert_eq!(span.bytes(), bytes);
            assert_eq!(span.code(), code);
            assert_eq!(span.prefix(), usize::from(prefix));
            assert_eq!(span.padded(), padded);
        }
        for code in Code::ALL {
            assert_eq!(Span::new(0, code, 0).code(), code);
        }
    }
}
