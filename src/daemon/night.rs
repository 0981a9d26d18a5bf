//! The night by the clock: the bank's cutover at its hour, the freeze after the
//! grace. The batch seals, by command; nothing here ever does.

use std::rc::Rc;
use std::time::Duration;

use gapless_engine::command::Request;
use gapless_engine::date::Date;
use gapless_engine::ids::TimeUs;
use gapless_engine::outcome::NightOutcome;
use gapless_engine::{DateState, DayEnd, Engine, Phase};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::time::MissedTickBehavior;

use super::RunError;
use crate::config::Bank;
use crate::runner::EngineHandle;
use crate::runner::calendar::CalendarDay;

/// How often the clock is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// From this hour on a cutover ends the business date of its own day.
const NOON: u8 = 12;

/// When the bank's dates end.
pub struct Schedule {
    zone: TimeZone,
    hour: i8,
    minute: i8,
    second: i8,
    /// Days from a business date to the calendar day of its cutover.
    days: i32,
    grace_us: u64,
    early_us: u64,
}

impl Schedule {
    /// The bank's hours.
    ///
    /// # Errors
    /// The zone is not known.
    pub fn new(bank: &Bank) -> Result<Self, RunError> {
        let no_day = |error: &dyn std::fmt::Display| RunError::Clock(error.to_string());
        let part = |part: u8| i8::try_from(part).map_err(|error| no_day(&error));
        Ok(Self {
            zone: TimeZone::get(&bank.zone).map_err(|error| no_day(&error))?,
            hour: part(bank.cutover.hour)?,
            minute: part(bank.cutover.minute)?,
            second: part(bank.cutover.second)?,
            days: i32::from(bank.cutover.hour < NOON),
            grace_us: u64::from(bank.grace_s) * 1_000_000,
            early_us: u64::from(bank.early_s) * 1_000_000,
        })
    }

    /// When `date` is due to end. A time that the zone leaves out that day counts
    /// as so much later, one that it has twice as the first.
    fn cutover_us(&self, date: Date) -> Option<TimeUs> {
        let (year, month, day) = date.ymd();
        let day = jiff::civil::Date::new(
            i16::try_from(year).ok()?,
            i8::try_from(month).ok()?,
            i8::try_from(day).ok()?,
        )
        .ok()?
        .checked_add(jiff::Span::new().days(self.days))
        .ok()?;
        let at = day
            .at(self.hour, self.minute, self.second, 0)
            .to_zoned(self.zone.clone())
            .ok()?;
        u64::try_from(at.timestamp().as_microsecond()).ok()
    }

    /// The bank's calendar day at a time; by UTC where the zone has none.
    #[must_use]
    pub fn day_at(&self, time_us: TimeUs) -> CalendarDay {
        calendar_day(&self.zone, time_us).unwrap_or_else(|| CalendarDay::utc(time_us))
    }

    /// The business date of a bank that begins now: the first one whose end is still
    /// to come.
    pub(super) fn open_date(&self, now_us: TimeUs) -> Result<Date, RunError> {
        let today = self.day_at(now_us).date;
        // A date ends on its own calendar day or on the next one.
        [Date(today.0.saturating_sub(1)), today, today.next()]
            .into_iter()
            .find(|date| self.cutover_us(*date).is_some_and(|due_us| due_us > now_us))
            .ok_or_else(|| RunError::Clock(format!("no business date ends after {today}")))
    }

    /// From when on a network may open the date after `date`.
    #[must_use]
    pub fn early_from_us(&self, date: Date) -> TimeUs {
        self.cutover_us(date)
            .map_or(TimeUs::MAX, |due_us| due_us.saturating_sub(self.early_us))
    }

    /// What is due at `now_us`, if anything is.
    fn due(&self, state: DateState, ends: &[DayEnd], now_us: TimeUs) -> Option<Request> {
        let date = state.closing();
        match state.phase() {
            None | Some(Phase::Early) => {
                (now_us >= self.cutover_us(date)?).then_some(Request::Cutover { date })
            }
            Some(Phase::Grace) => {
                let end = ends.iter().find(|end| end.date == date)?;
                let frozen_us = end.cutover_us.saturating_add(self.grace_us);
                (now_us >= frozen_us).then_some(Request::Freeze { date })
            }
            Some(Phase::Frozen) => None,
        }
    }

    /// By how many seconds the next cutover is overdue: the clock is not trusted, or
    /// the batch of the date before has not sealed it yet.
    fn overdue_s(&self, state: DateState, now_us: TimeUs) -> u64 {
        let next = match state.phase() {
            None | Some(Phase::Early) => state.closing(),
            Some(Phase::Grace | Phase::Frozen) => state.closing().next(),
        };
        self.cutover_us(next)
            .map_or(0, |due_us| now_us.saturating_sub(due_us) / 1_000_000)
    }

    /// Does what is due, unless the clock is not to be trusted.
    pub fn fire(&self, engine: &EngineHandle) {
        while engine.clock_is_steady() {
            let now_us = engine.now_us();
            let look = |core: &Engine| self.due(core.business().state, core.day_ends(), now_us);
            let Some(request) = engine.look(look) else {
                return;
            };
            let (night, _) = engine.night(&request);
            if let NightOutcome::Refused { why, .. } = night.outcome {
                tracing::error!(%why, "a timed step of the night is refused");
                return;
            }
        }
    }

    /// Looks at the clock for as long as the daemon lives.
    pub(super) async fn watch(self: Rc<Self>, engine: EngineHandle) {
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            if engine.stopping().is_cancelled() {
                return;
            }
            self.fire(&engine);
            let overdue_s = self.overdue_s(engine.business().state, engine.now_us());
            engine.tell_overdue(overdue_s);
        }
    }
}

/// The calendar day at a time in a zone. `None` out of the range of dates.
pub(super) fn calendar_day(zone: &TimeZone, time_us: TimeUs) -> Option<CalendarDay> {
    let at = Timestamp::from_microsecond(i64::try_from(time_us).ok()?)
        .ok()?
        .to_zoned(zone.clone());
    let until = at.tomorrow().ok()?.start_of_day().ok()?.timestamp();
    let day = at.date();
    Some(CalendarDay {
        date: Date::from_ymd(
            u16::try_from(day.year()).ok()?,
            u8::try_from(day.month()).ok()?,
            u8::try_from(day.day()).ok()?,
        )?,
        until_us: u64::try_from(until.as_microsecond()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use gapless_engine::EntrySums;

    use super::*;
    use crate::config::CutoverTime;

    fn schedule(zone: &str, hour: u8, minute: u8) -> Schedule {
        Schedule::new(&Bank {
            zone: zone.to_owned(),
            cutover: CutoverTime {
                hour,
                minute,
                second: 0,
            },
            grace_s: 60,
            ..Bank::default()
        })
        .unwrap()
    }

    #[test]
    #[rustfmt::skip] // one case a line
    fn which_day_it_is_and_until_when() {
        for (zone, at, day, until) in [
            ("Asia/Seoul",       "2026-03-31T14:59:59Z", "2026-03-31", "2026-03-31T15:00:00Z"),
            ("Asia/Seoul",       "2026-03-31T15:00:00Z", "2026-04-01", "2026-04-01T15:00:00Z"),
            ("UTC",              "2028-02-29T23:59:59Z", "2028-02-29", "2028-03-01T00:00:00Z"),
            // A day of 23 hours, and one of 25.
            ("America/New_York", "2026-03-08T05:00:00Z", "2026-03-08", "2026-03-09T04:00:00Z"),
            ("America/New_York", "2026-11-01T04:00:00Z", "2026-11-01", "2026-11-02T05:00:00Z"),
        ] {
            let us = |text: &str| {
                u64::try_from(text.parse::<Timestamp>().unwrap().as_microsecond()).unwrap()
            };
            let found = schedule(zone, 0, 0).day_at(us(at));
            assert_eq!(found.date.to_string(), day, "{zone} {at}");
            assert_eq!(found.until_us, us(until), "{zone} {at}");
        }
    }

    #[test]
    #[rustfmt::skip] // one case a line
    fn when_a_date_ends() {
        for (zone, hour, minute, (year, month, day), expected) in [
            ("Asia/Seoul",       0,  0, (2026, 3, 15), "2026-03-15T15:00:00Z"),
            // Before noon: on the day after. From noon on: on the day itself.
            ("Asia/Seoul",       2, 30, (2026, 3, 15), "2026-03-15T17:30:00Z"),
            ("Asia/Seoul",      23, 30, (2026, 3, 15), "2026-03-15T14:30:00Z"),
            ("Asia/Seoul",      12,  0, (2026, 3, 15), "2026-03-15T03:00:00Z"),
            // 29 February, and the day before it.
            ("UTC",              0,  0, (2028, 2, 28), "2028-02-29T00:00:00Z"),
            ("UTC",              0,  0, (2028, 2, 29), "2028-03-01T00:00:00Z"),
            ("UTC",              0,  0, (2026, 12, 31), "2027-01-01T00:00:00Z"),
            // New York, 8 March 2026: 02:30 is left out; 1 November: 01:30 comes twice.
            ("America/New_York", 0,  0, (2026, 3, 7),  "2026-03-08T05:00:00Z"),
            ("America/New_York", 0,  0, (2026, 3, 8),  "2026-03-09T04:00:00Z"),
            ("America/New_York", 2, 30, (2026, 3, 7),  "2026-03-08T07:30:00Z"),
            ("America/New_York", 1, 30, (2026, 10, 31), "2026-11-01T05:30:00Z"),
            // Cairo, 24 April 2026: midnight itself is left out.
            ("Africa/Cairo",     0,  0, (2026, 4, 23), "2026-04-23T22:00:00Z"),
        ] {
            let date = Date::from_ymd(year, month, day).unwrap();
            let at = schedule(zone, hour, minute).cutover_us(date).unwrap();
            let at = jiff::Timestamp::from_microsecond(i64::try_from(at).unwrap()).unwrap();
            assert_eq!(at.to_string(), expected, "{zone} {hour}:{minute} {date}");
        }
    }

    #[test]
    fn what_is_due() {
        let schedule = schedule("UTC", 0, 0);
        let date = Date::from_ymd(2026, 3, 15).unwrap();
        let at = schedule.cutover_us(date).unwrap();
        let open = DateState::Open { date };
        let dual = |phase| DateState::Dual {
            closing: date,
            opening: date.next(),
            phase,
        };
        // Cut over late, by hand: its grace counts from there.
        let late = at + 500_000_000;
        let ends = [DayEnd {
            date,
            cutover: 9,
            cutover_us: late,
            freeze: 0,
            seal: 0,
            entries: EntrySums::EMPTY,
        }];
        for (state, now_us, expected) in [
            (open, at - 1, ""),
            (open, at, "Cutover"),
            // Down for three days: this date first, the others after it.
            (open, at + 3 * 86_400_000_000, "Cutover"),
            (dual(Phase::Early), at - 1, ""),
            (dual(Phase::Early), at, "Cutover"),
            (dual(Phase::Grace), late + 59_999_999, ""),
            (dual(Phase::Grace), late + 60_000_000, "Freeze"),
            // The batch runs as long as it likes.
            (dual(Phase::Frozen), at + 3 * 86_400_000_000, ""),
        ] {
            let due = schedule.due(state, &ends, now_us);
            let told = due.map_or_else(String::new, |request| format!("{request:?}"));
            assert!(
                told.starts_with(expected) && told.is_empty() == expected.is_empty(),
                "{state:?} {now_us}: {told}"
            );
            assert!(due.is_none() || told.contains("2026-03-15"), "{told}");
        }
    }

    #[test]
    #[rustfmt::skip] // one case a line
    fn a_bank_begins_with_the_date_that_ends_next() {
        for (zone, hour, now, expected) in [
            ("UTC",               0, "2026-03-15T00:00:00Z", "2026-03-15"),
            ("UTC",               0, "2026-03-15T23:59:59Z", "2026-03-15"),
            ("Asia/Seoul",        0, "2026-03-15T15:00:00Z", "2026-03-16"),
            ("Asia/Seoul",        0, "2026-02-28T15:30:00Z", "2026-03-01"),
            ("America/New_York",  0, "2026-02-28T15:30:00Z", "2026-02-28"),
            // Two in the morning ends the day before.
            ("UTC",               2, "2026-03-15T01:59:59Z", "2026-03-14"),
            ("UTC",               2, "2026-03-15T02:00:00Z", "2026-03-15"),
            // Half past ten in the evening ends the day itself.
            ("UTC",              22, "2026-03-15T21:59:59Z", "2026-03-15"),
            ("UTC",              22, "2026-03-15T22:00:00Z", "2026-03-16"),
            ("UTC",               2, "2028-03-01T01:00:00Z", "2028-02-29"),
            ("UTC",               2, "2027-01-01T01:00:00Z", "2026-12-31"),
        ] {
            let schedule = schedule(zone, hour, 0);
            let at: jiff::Timestamp = now.parse().unwrap();
            let date = schedule.open_date(at.as_microsecond().try_into().unwrap()).unwrap();
            assert_eq!(date.to_string(), expected, "{zone} {hour} {now}");
        }
    }

    #[test]
    fn how_long_a_cutover_is_overdue() {
        let schedule = schedule("UTC", 0, 0);
        let date = Date::from_ymd(2026, 3, 15).unwrap();
        let at = schedule.cutover_us(date).unwrap();
        let dual = |phase| DateState::Dual {
            closing: date,
            opening: date.next(),
            phase,
        };
        const DAY_S: u64 = 86_400;
        for (state, after_s, expected) in [
            (DateState::Open { date }, 0, 0),
            (DateState::Open { date }, 7, 7),
            (dual(Phase::Early), 7, 7),
            // This date has been cut over: the next one's turn is a day later.
            (dual(Phase::Grace), 7, 0),
            (dual(Phase::Frozen), DAY_S - 1, 0),
            (dual(Phase::Frozen), DAY_S + 60, 60),
        ] {
            let overdue_s = schedule.overdue_s(state, at + after_s * 1_000_000);
            assert_eq!(overdue_s, expected, "{state:?} {after_s}");
        }
    }
}
