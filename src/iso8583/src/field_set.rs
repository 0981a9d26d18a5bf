//! Sets of field numbers.

/// A set of fields, as three bitmaps have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldSet {
    words: [u64; 3],
}

impl FieldSet {
    /// No field.
    pub const EMPTY: FieldSet = FieldSet { words: [0; 3] };

    /// A set of these fields; numbers outside 1..=192 are left out. Made for
    /// constants: `const ECHO: FieldSet = FieldSet::of(&[2, 3, 4, 7, 11]);`
    pub const fn of(fields: &[u8]) -> FieldSet {
        let mut set = FieldSet::EMPTY;
        let mut rest = fields;
        while let [field, tail @ ..] = rest {
            set = set.with(*field);
            rest = tail;
        }
        set
    }

    /// This set and one more field.
    #[must_use]
    pub const fn with(self, field: u8) -> FieldSet {
        let [mut a, mut b, mut c] = self.words;
        match field {
            1..=64 => a |= bit(field),
            65..=128 => b |= bit(field),
            129..=192 => c |= bit(field),
            _ => {}
        }
        FieldSet { words: [a, b, c] }
    }

    /// Whether the field belongs to the set.
    #[inline(always)]
    pub const fn has(&self, field: u8) -> bool {
        let [a, b, c] = self.words;
        let word = match field {
            1..=64 => a,
            65..=128 => b,
            129..=192 => c,
            _ => 0,
        };
        word & bit(field) != 0
    }

    /// The fields of the set with lower numbers than this.
    pub(crate) const fn below(&self, field: u8) -> FieldSet {
        let [a, b, c] = self.words;
        let lower = !(bit(field) | (bit(field) - 1));
        let words = match field {
            0 => [0; 3],
            1..=64 => [a & lower, 0, 0],
            65..=128 => [a, b & lower, 0],
            129..=192 => [a, b, c & lower],
            _ => [a, b, c],
        };
        FieldSet { words }
    }

    /// The fields of both sets.
    #[inline]
    #[must_use]
    pub const fn and(self, other: &FieldSet) -> FieldSet {
        let ([a, b, c], [x, y, z]) = (self.words, other.words);
        FieldSet {
            words: [a & x, b & y, c & z],
        }
    }

    /// The fields of either set.
    #[inline]
    #[must_use]
    pub const fn or(self, other: &FieldSet) -> FieldSet {
        let ([a, b, c], [x, y, z]) = (self.words, other.words);
        FieldSet {
            words: [a | x, b | y, c | z],
        }
    }

    /// Adds the fields of one bitmap, of which `base` fields come before.
    #[inline(always)]
    pub(crate) fn insert_word(&mut self, base: u8, word: u64) {
        if let Some(own) = self.words.get_mut(usize::from(base / 64)) {
            *own |= word;
        }
    }

    #[inline(always)]
    pub(crate) fn insert(&mut self, field: u8) {
        *self = self.with(field);
    }

    pub(crate) const fn from_words(words: [u64; 3]) -> FieldSet {
        FieldSet { words }
    }

    /// The three bitmaps, field 1 in the highest bit of the first.
    pub const fn words(&self) -> [u64; 3] {
        self.words
    }

    /// How many fields are in the set.
    pub const fn len(&self) -> usize {
        let [a, b, c] = self.words;
        (a.count_ones() + b.count_ones() + c.count_ones()) as usize
    }

    /// Whether the set has no field.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The fields in ascending order.
    pub const fn iter(&self) -> Fields {
        Fields {
            words: self.words,
            base: 0,
        }
    }
}

impl IntoIterator for &FieldSet {
    type Item = u8;
    type IntoIter = Fields;

    fn into_iter(self) -> Fields {
        self.iter()
    }
}

/// The bit of a field within its word.
#[inline(always)]
const fn bit(field: u8) -> u64 {
    1 << ((64 - (field as u32 & 63)) & 63)
}

/// Field numbers in ascending order.
#[derive(Clone, Debug)]
pub struct Fields {
    words: [u64; 3],
    base: u8,
}

impl Iterator for Fields {
    type Item = u8;

    #[inline]
    fn next(&mut self) -> Option<u8> {
        loop {
            let [word, next, last] = self.words;
            if word != 0 {
                let zeros = word.leading_zeros();
                self.words = [word & !(1 << 63 >> zeros), next, last];
                return Some(self.base + zeros as u8 + 1);
            }
            if next | last == 0 {
                return None;
            }
            self.words = [next, last, 0];
            self.base += 64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_what_was_put_in() {
        let fields = [1, 2, 63, 64, 65, 66, 127, 128, 129, 191, 192];
        let set = FieldSet::of(&fields);
        assert_eq!(set.iter().collect::<Vec<_>>(), fields);
        assert_eq!(set.len(), fields.len());
        for field in 0..=255u8 {
            assert_eq!(set.has(field), fields.contains(&field), "{field}");
            let below: Vec<u8> = fields.into_iter().filter(|&other| other < field).collect();
            assert_eq!(
                set.below(field).iter().collect::<Vec<_>>(),
                below,
                "{field}"
            );
        }
        assert_eq!(FieldSet::of(&[0, 193, 255]), FieldSet::EMPTY);
    }

    #[test]
    fn bits_stand_as_in_a_bitmap() {
        assert_eq!(
            FieldSet::of(&[1, 64]).words(),
            [0x8000_0000_0000_0001, 0, 0]
        );
        assert_eq!(
            FieldSet::of(&[65, 128]).words(),
            [0, 0x8000_0000_0000_0001, 0]
        );
        assert_eq!(
            FieldSet::of(&[2, 3, 4]).words(),
            [0x7000_0000_0000_0000, 0, 0]
        );
    }
}
