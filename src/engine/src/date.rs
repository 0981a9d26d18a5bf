//! Calendar days. The engine never reads a clock; days come in with commands.

use std::fmt;

/// A calendar day, as days since 1970-01-01 (0 to 65535, that is to 2149-06-06).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub u16);

/// A month and a day without a year, as DE 15 carries them (MMDD). It may be impossible (0231).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonthDay {
    /// 1 to 12 when possible.
    pub month: u8,
    /// 1 to 31 when possible.
    pub day: u8,
}

impl Date {
    /// From year, month and day of the Gregorian calendar; `None` if there is no such day in range.
    #[must_use]
    pub fn from_ymd(year: u16, month: u8, day: u8) -> Option<Self> {
        if !(1970..=2149).contains(&year)
            || !(1..=12).contains(&month)
            || day == 0
            || day > days_in_month(year, month)
        {
            return None;
        }
        // Days from civil: years start in March, so that the leap day is the last.
        let (y, m) = (i64::from(year), i64::from(month));
        let y = if m <= 2 { y - 1 } else { y };
        let era = y.div_euclid(400);
        let year_of_era = y.rem_euclid(400);
        let day_of_year = (153 * ((m + 9) % 12) + 2) / 5 + i64::from(day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        u16::try_from(era * 146_097 + day_of_era - 719_468)
            .ok()
            .map(Self)
    }

    /// Year, month, day.
    #[must_use]
    pub fn ymd(self) -> (u16, u8, u8) {
        let z = i64::from(self.0) + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let mp = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        // In range by construction: the input has 16 bits.
        (
            u16::try_from(year).unwrap_or(u16::MAX),
            u8::try_from(month).unwrap_or(0),
            u8::try_from(day).unwrap_or(0),
        )
    }

    /// Month and day, as DE 15 carries them.
    #[must_use]
    pub fn month_day(self) -> MonthDay {
        let (_, month, day) = self.ymd();
        MonthDay { month, day }
    }

    /// Year and month as the number YYMM, as DE 14 has them; years before 2000 count as 2000.
    #[must_use]
    pub fn yymm(self) -> u16 {
        let (year, month, _) = self.ymd();
        year.saturating_sub(2000) * 100 + u16::from(month)
    }

    /// The next calendar day; saturates at the end of the range.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Of all days that read `month_day`, the nearest to this one (ties go to the
    /// later); `None` when the day is impossible in every near year. 29 February
    /// is looked for in the eight years around.
    #[must_use]
    pub fn nearest(self, month_day: MonthDay) -> Option<Self> {
        let (year, _, _) = self.ymd();
        (year.saturating_sub(4)..=year.saturating_add(4))
            .filter_map(|year| Self::from_ymd(year, month_day.month, month_day.day))
            .min_by_key(|date| (date.0.abs_diff(self.0), u16::MAX - date.0))
    }
}

fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl fmt::Display for Date {
    /// ISO 8601: YYYY-MM-DD.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.ymd();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Date({self})")
    }
}
