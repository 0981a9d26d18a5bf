//! Character classes, checked eight bytes at a time.
//!
//! Each `bad_*` function takes eight bytes as one word. The high bits of its
//! answer are zero if all of them belong to the class; otherwise one of them
//! does not, and the slow path finds which.

use crate::rule::{Class, Quick};

const HIGH: u64 = 0x8080_8080_8080_8080;

const fn all(byte: u8) -> u64 {
    0x0101_0101_0101_0101 * byte as u64
}

/// High bit set in each byte that is not '0' to '9', or that follows such a
/// byte. As with its siblings, the other bits of the answer mean nothing.
#[inline(always)]
const fn bad_digits(word: u64) -> u64 {
    bad_digit_values(word ^ all(b'0'))
}

/// High bit set if a byte is no EBCDIC digit, F0 to F9.
#[inline(always)]
const fn bad_ebcdic_digits(word: u64) -> u64 {
    bad_digit_values(word ^ all(0xf0))
}

/// High bit set if a byte is above 9: it is there already or comes from the
/// addition. A carry can only leave a byte that is bad already.
#[inline(always)]
const fn bad_digit_values(word: u64) -> u64 {
    word | word.wrapping_add(all(0x76))
}

/// Whether all eight bytes are 0 to 9.
#[inline(always)]
pub(crate) const fn digit_values(word: u64) -> bool {
    bad_digit_values(word) & HIGH == 0
}

/// High bit set if one of a byte's nibbles is above 9.
#[inline(always)]
const fn bad_nibbles(word: u64) -> u64 {
    let low = (word & all(0x0f)) + all(6);
    let high = (word >> 4 & all(0x0f)) + all(6);
    (low | high) << 3
}

/// High bit set in each byte that lies in `low..=high`, for bytes below 0x80.
#[inline(always)]
const fn within(word: u64, low: u8, high: u8) -> u64 {
    word.wrapping_add(all(0x80 - low)) & !word.wrapping_add(all(0x7f - high))
}

/// High bit set if a byte is not printable ASCII, blank to tilde.
#[inline(always)]
const fn bad_printable(word: u64) -> u64 {
    word | !within(word & !HIGH, 0x20, 0x7e)
}

/// High bit set if a byte is no letter, digit or blank.
#[inline(always)]
const fn bad_alphanumeric(word: u64) -> u64 {
    let low = word & !HIGH;
    // Lower case takes in nothing but letters from the upper half.
    let letter = within(low | all(0x20), b'a', b'z');
    word | !(within(low, b'0', b'9') | letter | within(low, b' ', b' '))
}

/// High bit set if a byte is no track character: digits and separators (0x30
/// to 0x3f), or the letter D that stands for the separator.
#[inline(always)]
const fn bad_track(word: u64) -> u64 {
    let low = word & !HIGH;
    word | !(within(low, 0x30, 0x3f) | within(low, b'D', b'D'))
}

/// Runs a word check over a slice of any length. Short slices fill the rest
/// of a word with '0' of the character set, `zero`, which every class holds.
#[inline(always)]
fn check(bytes: &[u8], zero: u8, bad: impl Fn(u64) -> u64) -> bool {
    if let Some(last) = bytes.last_chunk::<8>() {
        let (words, _) = bytes.as_chunks::<8>();
        let mut found = bad(u64::from_ne_bytes(*last));
        for word in words {
            found |= bad(u64::from_ne_bytes(*word));
        }
        return found & HIGH == 0;
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let word =
            u64::from(u32::from_ne_bytes(*first)) << 32 | u64::from(u32::from_ne_bytes(*last));
        return bad(word) & HIGH == 0;
    }
    let fill = all(zero) << 24;
    let word = match *bytes {
        [] => return true,
        [a] => fill | u64::from(a) | u64::from(a) << 8 | u64::from(a) << 16,
        [a, b] => fill | u64::from(a) | u64::from(b) << 8 | u64::from(b) << 16,
        [a, b, c, ..] => fill | u64::from(a) | u64::from(b) << 8 | u64::from(c) << 16,
    };
    bad(word) & HIGH == 0
}

/// Whether all bytes pass a quick check.
#[inline(always)]
pub(crate) fn quick(kind: Quick, bytes: &[u8]) -> bool {
    match kind {
        Quick::Digits => check(bytes, b'0', bad_digits),
        Quick::Printable => check(bytes, b'0', bad_printable),
        Quick::Alphanumeric => check(bytes, b'0', bad_alphanumeric),
        Quick::EbcdicDigits => check(bytes, 0xf0, bad_ebcdic_digits),
        Quick::PackedDigits => check(bytes, 0, bad_nibbles),
        Quick::Any => true,
        Quick::None => bytes.is_empty(),
    }
}

/// Whether all bytes are ASCII digits.
#[inline(always)]
pub(crate) fn digits(bytes: &[u8]) -> bool {
    check(bytes, b'0', bad_digits)
}

/// Whether all bytes are ASCII letters, digits or blanks.
#[inline(always)]
pub(crate) fn alphanumeric(bytes: &[u8]) -> bool {
    check(bytes, b'0', bad_alphanumeric)
}

/// Whether all bytes are EBCDIC digits.
#[inline(always)]
pub(crate) fn ebcdic_digits(bytes: &[u8]) -> bool {
    check(bytes, 0xf0, bad_ebcdic_digits)
}

/// Whether all nibbles are digits.
#[inline(always)]
pub(crate) fn packed_digits(bytes: &[u8]) -> bool {
    check(bytes, 0, bad_nibbles)
}

/// Whether all bytes are of the class, in ASCII. Class b holds every byte.
#[inline(always)]
pub(crate) fn ascii(class: Class, bytes: &[u8]) -> bool {
    match class {
        Class::N => check(bytes, b'0', bad_digits),
        Class::Ans => check(bytes, b'0', bad_printable),
        Class::An => check(bytes, b'0', bad_alphanumeric),
        Class::Z => check(bytes, b'0', bad_track),
        Class::B => true,
        _ => bytes.iter().all(|&byte| class.holds(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{Code, Prefix};

    /// The word checks against the plain definition, for every byte value at
    /// every place of every length around the word size.
    #[test]
    fn words_agree_with_bytes() {
        for class in Class::ALL {
            for length in 0..20 {
                for at in 0..length {
                    for byte in 0..=255u8 {
                        let mut bytes = vec![if class == Class::A { b'A' } else { b'1' }; length];
                        if matches!(class, Class::As) {
                            bytes.fill(b'-');
                        }
                        bytes[at] = byte;
                        assert_eq!(
                            ascii(class, &bytes),
                            class.holds(byte),
                            "{class:?}: {byte:#x} at {at} of {length}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn quick_checks_agree_with_bytes() {
        for (code, class) in [
            (Code::Ascii, Class::N),
            (Code::Ascii, Class::An),
            (Code::Ascii, Class::Ans),
            (Code::Ebcdic, Class::N),
        ] {
            let kind = Quick::of(code, class, Prefix::Fixed, 1);
            assert_ne!(kind, Quick::None);
            let ebcdic = code == Code::Ebcdic;
            for length in 1..50 {
                for at in 0..length {
                    for byte in 0..=255u8 {
                        let mut bytes = vec![if ebcdic { 0xf0 } else { b'0' }; length];
                        bytes[at] = byte;
                        let ascii = if ebcdic { byte ^ 0xc0 } else { byte };
                        assert_eq!(
                            quick(kind, &bytes),
                            class.holds(ascii),
                            "{class:?}: {byte:#x} at {at} of {length}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn packed_and_ebcdic_digits() {
        for length in 1..20 {
            for at in 0..length {
                for byte in 0..=255u8 {
                    let mut packed = vec![0x19; length];
                    packed[at] = byte;
                    assert_eq!(packed_digits(&packed), byte >> 4 <= 9 && byte & 15 <= 9);
                    let mut ebcdic = vec![0xf9; length];
                    ebcdic[at] = byte;
                    assert_eq!(ebcdic_digits(&ebcdic), (0xf0..=0xf9).contains(&byte));
                }
            }
        }
    }
}
