//! The auditor's calendar: days, months and the bank's hours, by jiff.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::model::Day;

/// A settlement date further from the bank's than this counts as absent.
const REACH: Day = 60;

/// The day's number.
#[must_use]
pub fn day_of(date: Date) -> Day {
    let epoch = Date::new(1970, 1, 1).unwrap();
    epoch.until(date).unwrap().get_days()
}

/// The day of this number.
#[must_use]
pub fn date_of(day: Day) -> Date {
    Date::new(1970, 1, 1)
        .unwrap()
        .checked_add(Span::new().days(day))
        .unwrap()
}

/// MMDD.
#[must_use]
pub fn month_day(day: Day) -> String {
    let date = date_of(day);
    format!("{:02}{:02}", date.month(), date.day())
}

/// YYMM.
#[must_use]
pub fn year_month(day: Day) -> u16 {
    let date = date_of(day);
    (date.year() % 100 * 100 + i16::from(date.month())) as u16
}

/// The day that reads MMDD nearest to another one (of two as near, the later);
/// `None` when the text is no day, or none within reach.
#[must_use]
pub fn nearest(text: &str, to: Day) -> Option<Day> {
    let near = nearest_ever(text, to)?;
    ((near - to).abs() <= REACH).then_some(near)
}

/// As [`nearest`], however far.
#[must_use]
pub fn nearest_ever(text: &str, to: Day) -> Option<Day> {
    let (month, day) = (text.get(..2)?.parse().ok()?, text.get(2..)?.parse().ok()?);
    let year = date_of(to).year();
    (year - 4..=year + 4)
        .filter_map(|year| Date::new(year, month, day).ok())
        .map(day_of)
        .min_by_key(|candidate| ((candidate - to).abs(), -candidate))
}

/// The bank's hours.
#[derive(Clone, Debug)]
pub struct Hours {
    /// The bank's zone.
    pub zone: TimeZone,
    /// When it cuts over.
    pub hour: i8,
    /// When it cuts over.
    pub minute: i8,
    /// Seconds from cutover to freeze.
    pub grace_s: u64,
    /// Seconds before the cutover in which a network may open the next date.
    pub early_s: u64,
}

impl Hours {
    /// When a date is due to end, in microseconds.
    #[must_use]
    pub fn cutover_us(&self, day: Day) -> u64 {
        let on = if self.hour < 12 { day + 1 } else { day };
        let at = date_of(on)
            .at(self.hour, self.minute, 0, 0)
            .to_zoned(self.zone.clone())
            .unwrap();
        at.timestamp().as_microsecond() as u64
    }

    /// From when on a network may open the date after `day`.
    #[must_use]
    pub fn early_us(&self, day: Day) -> u64 {
        self.cutover_us(day) - self.early_s * 1_000_000
    }

    /// The bank's calendar day.
    #[must_use]
    pub fn today(&self, time_us: u64) -> Day {
        let at = Timestamp::from_microsecond(time_us as i64).unwrap();
        day_of(at.to_zoned(self.zone.clone()).date())
    }
}

/// MMDDhhmmss of a time, UTC: DE 7.
#[must_use]
pub fn transmission(time_us: u64) -> String {
    let at = Timestamp::from_microsecond(time_us as i64)
        .unwrap()
        .to_zoned(TimeZone::UTC);
    format!(
        "{:02}{:02}{:02}{:02}{:02}",
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}
