//! The date and time that messages carry, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

/// Digits of date and time elements, made anew once a second.
#[derive(Clone, Debug)]
pub(crate) struct WireClock {
    second: u64,
    /// YYMMDDhhmmss.
    digits: [u8; 12],
}

impl WireClock {
    pub(crate) fn new() -> Self {
        let mut clock = Self {
            second: u64::MAX,
            digits: [b'0'; 12],
        };
        clock.set(unix_seconds());
        clock
    }

    /// With these digits: the elements of an earlier message.
    pub(crate) const fn at(digits: [u8; 12]) -> Self {
        Self {
            second: u64::MAX,
            digits,
        }
    }

    /// Looks at the clock.
    pub(crate) fn look(&mut self) {
        self.set(unix_seconds());
    }

    fn set(&mut self, second: u64) {
        if second == self.second {
            return;
        }
        self.second = second;
        let (year, month, day) = civil(second / 86_400);
        let of_day = second % 86_400;
        let parts = [
            year % 100,
            month,
            day,
            of_day / 3_600,
            of_day / 60 % 60,
            of_day % 60,
        ];
        let (pairs, _) = self.digits.as_chunks_mut::<2>();
        for ([tens, ones], part) in pairs.iter_mut().zip(parts) {
            *tens = b'0' + (part / 10) as u8;
            *ones = b'0' + (part % 10) as u8;
        }
    }

    /// YYMMDDhhmmss: DE 12 of 1993.
    pub(crate) const fn full(&self) -> &[u8; 12] {
        &self.digits
    }

    /// MMDDhhmmss: DE 7.
    pub(crate) fn transmission(&self) -> &[u8] {
        self.digits.get(2..).unwrap_or_default()
    }

    /// hhmmss: DE 12 of 1987.
    pub(crate) fn time(&self) -> &[u8] {
        self.digits.get(6..).unwrap_or_default()
    }

    /// MMDD: DE 13.
    pub(crate) fn date(&self) -> &[u8] {
        self.digits.get(2..6).unwrap_or_default()
    }
}

fn unix_seconds() -> u64 {
    // A clock before 1970 is no time at all.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Year, month and day of so many days after 1 January 1970.
fn civil(days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let (mut year, mut rest) = (1970, days);
    loop {
        let length = 365 + u64::from(leap(year));
        if rest < length {
            break;
        }
        rest -= length;
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    (year, month, rest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_453, (2025, 12, 31)),
            (20_454, (2026, 1, 1)),
        ] {
            assert_eq!(civil(days), date);
        }
    }

    #[test]
    fn elements_are_cut_from_one_time() {
        let mut clock = WireClock::new();
        clock.set(20_454 * 86_400 + 3_600 * 23 + 60 * 5 + 7);
        assert_eq!(clock.full(), b"260101230507");
        assert_eq!(clock.transmission(), b"0101230507");
        assert_eq!(clock.time(), b"230507");
        assert_eq!(clock.date(), b"0101");
    }
}
