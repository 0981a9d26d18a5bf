//! The bank's calendar day, which every command is stamped with.

use gapless_engine::date::Date;
use gapless_engine::ids::TimeUs;

const DAY_US: TimeUs = 86_400_000_000;

/// A day of the calendar, and when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CalendarDay {
    /// Which.
    pub date: Date,
    /// From when on it is another.
    pub until_us: TimeUs,
}

impl CalendarDay {
    /// By UTC.
    #[must_use]
    pub fn utc(time_us: TimeUs) -> Self {
        let days = time_us / DAY_US;
        Self {
            date: Date(u16::try_from(days).unwrap_or(u16::MAX)),
            until_us: (days + 1).saturating_mul(DAY_US),
        }
    }
}

/// Which day it is. Asked with every command, so a day is worked out once.
pub(super) struct Calendar {
    day_of: Box<dyn Fn(TimeUs) -> CalendarDay>,
    today: CalendarDay,
}

impl Calendar {
    pub fn new(day_of: impl Fn(TimeUs) -> CalendarDay + 'static) -> Self {
        Self {
            day_of: Box::new(day_of),
            // Over, so that the first question asks.
            today: CalendarDay {
                date: Date(0),
                until_us: 0,
            },
        }
    }

    /// The day at a time, which never runs backwards.
    #[inline]
    pub fn at(&mut self, time_us: TimeUs) -> Date {
        if time_us >= self.today.until_us {
            self.today = (self.day_of)(time_us);
        }
        self.today.date
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn a_day_is_worked_out_once_and_ends_in_time() {
        let asked = Rc::new(Cell::new(0));
        let count = Rc::clone(&asked);
        let mut calendar = Calendar::new(move |time_us| {
            count.set(count.get() + 1);
            CalendarDay::utc(time_us)
        });
        for (time_us, day, times) in [
            (DAY_US * 20_000, 20_000, 1),
            (DAY_US * 20_001 - 1, 20_000, 1),
            (DAY_US * 20_001, 20_001, 2),
            (DAY_US * 20_005 + 7, 20_005, 3),
            (DAY_US * 20_005 + 8, 20_005, 3),
        ] {
            assert_eq!(calendar.at(time_us), Date(day));
            assert_eq!(asked.get(), times, "{time_us}");
        }
    }
}
