//! Cards and accounts of a contiguous range, as the daemon's demo data has them.

/// A range of cards with consecutive indexes from 0 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cards {
    /// First six digits of every PAN.
    pub prefix: u32,
    /// How many.
    pub count: u32,
    /// Account of the first card; the others follow in order.
    pub first_account: u64,
}

/// Digits of a PAN: prefix (6), index (9), Luhn digit.
pub const PAN_DIGITS: usize = 16;

impl Cards {
    /// The PAN of a card, in ASCII.
    #[must_use]
    pub fn pan(&self, index: u32) -> [u8; PAN_DIGITS] {
        let mut pan = [b'0'; PAN_DIGITS];
        let number = u64::from(self.prefix) * 1_000_000_000 + u64::from(index);
        let mut rest = number;
        let mut sum = 0;
        // From the right, without the check digit: every other one is doubled.
        for (place, digit) in pan.iter_mut().rev().skip(1).enumerate() {
            let value = (rest % 10) as u8;
            rest /= 10;
            *digit = b'0' + value;
            sum += match (place % 2 == 0, value) {
                (false, value) => value,
                (true, 0..=4) => value * 2,
                (true, value) => value * 2 - 9,
            };
        }
        if let Some(check) = pan.last_mut() {
            *check = b'0' + (10 - sum % 10) % 10;
        }
        pan
    }

    /// The account of a card.
    #[must_use]
    pub const fn account(&self, index: u32) -> u64 {
        self.first_account + index as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pans_end_with_their_luhn_digit() {
        let cards = Cards {
            prefix: 941_000,
            count: 10_000,
            first_account: 1_000_000_000,
        };
        for (index, pan) in [
            (0, b"9410000000000005"),
            (1, b"9410000000000013"),
            (9_999, b"9410000000099999"),
        ] {
            assert_eq!(&cards.pan(index), pan, "{index}");
        }
        assert_eq!(cards.account(17), 1_000_000_017);
    }
}
