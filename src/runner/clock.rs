//! Engine time: stamped onto commands, never running backwards (DESIGN.md, "Time").
//!
//! Between two looks at the wall clock, time advances by the monotonic clock. A
//! small difference is followed; a jump is counted and not followed.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gapless_engine::ids::TimeUs;

/// A wall clock that differs by more than this from engine time has jumped. NTP
/// slews by at most 500 ppm, that is half a millisecond between two looks.
pub const JUMP_US: u64 = 500_000;

/// A wall clock further than this ahead of the journal's newest event is not believed
/// at a start: the daemon hardly ever stands still for so long, and what a wrong
/// clock sets off (cutovers, expiries) cannot be taken back.
pub const MAX_STANDSTILL_US: u64 = 72 * 3_600 * 1_000_000;

/// A wall clock is confirmed by somebody who names the time, as exactly as this.
pub const CONFIRMED_WITHIN_US: u64 = 300 * 1_000_000;

/// How often the runner looks at the wall clock.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a look at the wall clock showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WallClock {
    /// As expected.
    Steady,
    /// As far off as the last look found it: told once.
    StillOff,
    /// Off by so many microseconds (positive: ahead of engine time). Not followed.
    Jumped {
        /// Wall clock minus engine time.
        by_us: i64,
    },
}

/// Engine time beside the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockView {
    /// Engine time, microseconds since the Unix epoch.
    pub engine_us: TimeUs,
    /// The wall clock, the same.
    pub wall_us: TimeUs,
    /// Whether timed steps are taken.
    pub is_steady: bool,
    /// Jumps since start.
    pub jumps: u64,
}

/// The engine's clock.
#[derive(Debug)]
pub struct Clock {
    origin: Instant,
    origin_us: TimeUs,
    last_us: TimeUs,
    jumps: u64,
    /// How far the last look found the wall clock from where it should be, if it did.
    off_by_us: Option<i64>,
}

impl Clock {
    /// Starts at the wall clock's time, or at `floor_us` (the newest time in the
    /// journal, 0 in a new one) if the wall clock stands before it, or further after
    /// it than is likely; the second value tells of that jump.
    #[must_use]
    pub fn start(wall_us: TimeUs, floor_us: TimeUs, now: Instant) -> (Self, WallClock) {
        let behind = floor_us.saturating_sub(wall_us);
        let ahead = wall_us.saturating_sub(floor_us);
        let (start_us, seen) = if behind > JUMP_US {
            let by_us = i64::try_from(behind).map_or(i64::MIN, |us| -us);
            (floor_us, WallClock::Jumped { by_us })
        } else if floor_us != 0 && ahead > MAX_STANDSTILL_US {
            let by_us = i64::try_from(ahead).unwrap_or(i64::MAX);
            (floor_us, WallClock::Jumped { by_us })
        } else {
            (wall_us.max(floor_us), WallClock::Steady)
        };
        let clock = Self {
            origin: now,
            origin_us: start_us,
            last_us: start_us,
            jumps: u64::from(seen != WallClock::Steady),
            off_by_us: match seen {
                WallClock::Jumped { by_us } => Some(by_us),
                WallClock::Steady | WallClock::StillOff => None,
            },
        };
        (clock, seen)
    }

    /// Engine time at `now`; never less than it was.
    pub fn at(&mut self, now: Instant) -> TimeUs {
        self.last_us = self.last_us.max(self.expected(now));
        self.last_us
    }

    /// Compares with the wall clock. Small differences are followed (backwards by
    /// standing still), jumps are counted and left alone.
    pub fn look(&mut self, wall_us: TimeUs, now: Instant) -> WallClock {
        let expected = self.expected(now);
        let by_us = i128::from(wall_us) - i128::from(expected);
        if by_us.unsigned_abs() > u128::from(JUMP_US) {
            let by_us = i64::try_from(by_us).unwrap_or(if by_us < 0 { i64::MIN } else { i64::MAX });
            let before = self.off_by_us.replace(by_us);
            if before.is_some_and(|before| before.abs_diff(by_us) <= JUMP_US) {
                return WallClock::StillOff;
            }
            self.jumps = self.jumps.saturating_add(1);
            return WallClock::Jumped { by_us };
        }
        self.origin = now;
        self.origin_us = wall_us;
        self.off_by_us = None;
        WallClock::Steady
    }

    /// Takes the wall clock for right, whatever engine time is: somebody who knows has
    /// confirmed it. Engine time follows at once, or stands still until the wall
    /// clock has caught up.
    pub const fn confirm(&mut self, wall_us: TimeUs, now: Instant) {
        self.origin = now;
        self.origin_us = wall_us;
        self.off_by_us = None;
    }

    /// Wall clock minus engine time in microseconds, if the last look found them apart.
    #[must_use]
    pub const fn off_by_us(&self) -> Option<i64> {
        self.off_by_us
    }

    /// How many jumps were seen, the one at start included.
    #[must_use]
    pub const fn jumps(&self) -> u64 {
        self.jumps
    }

    /// Whether engine time can be trusted to fire timed commands: not while the wall
    /// clock differs from it.
    #[must_use]
    pub const fn is_steady(&self) -> bool {
        self.off_by_us.is_none()
    }

    fn expected(&self, now: Instant) -> TimeUs {
        let elapsed = now.saturating_duration_since(self.origin).as_micros();
        self.origin_us
            .saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }
}

/// The wall clock, microseconds since the Unix epoch, UTC.
#[must_use]
pub fn wall_us() -> TimeUs {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_micros()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;

    #[test]
    fn advances_by_the_monotonic_clock_and_follows_small_differences() {
        let t0 = Instant::now();
        let (mut clock, seen) = Clock::start(100 * S, 0, t0);
        assert_eq!(seen, WallClock::Steady);
        assert_eq!(clock.at(t0 + Duration::from_secs(3)), 103 * S);
        // 100 ms ahead: followed at once.
        assert_eq!(
            clock.look(103 * S + 100_000, t0 + Duration::from_secs(3)),
            WallClock::Steady
        );
        assert_eq!(clock.at(t0 + Duration::from_secs(3)), 103 * S + 100_000);
        // 100 ms behind: stands still until the wall clock has caught up.
        assert_eq!(
            clock.look(103 * S, t0 + Duration::from_secs(3)),
            WallClock::Steady
        );
        assert_eq!(
            clock.at(t0 + Duration::from_millis(3050)),
            103 * S + 100_000
        );
        assert_eq!(
            clock.at(t0 + Duration::from_millis(3200)),
            103 * S + 200_000
        );
    }

    #[test]
    fn a_jump_is_counted_and_not_followed() {
        let t0 = Instant::now();
        let (mut clock, _) = Clock::start(100 * S, 0, t0);
        for (wall, by_us) in [(4000 * S, 3899), (2 * S, -99)] {
            let seen = clock.look(wall, t0 + Duration::from_secs(1));
            assert_eq!(
                seen,
                WallClock::Jumped {
                    by_us: by_us * 1_000_000
                }
            );
        }
        assert_eq!(clock.at(t0 + Duration::from_secs(2)), 102 * S);
        assert_eq!(clock.jumps(), 2);
        // A clock that stays where it jumped to is told once, and trusted again when it is back.
        let still = clock.look(3 * S, t0 + Duration::from_secs(2));
        assert_eq!((still, clock.jumps()), (WallClock::StillOff, 2));
        assert!(!clock.is_steady());
        let back = clock.look(103 * S, t0 + Duration::from_secs(3));
        assert_eq!((back, clock.is_steady()), (WallClock::Steady, true));
    }

    #[test]
    fn a_start_far_behind_the_wall_clock_waits_for_a_confirmation() {
        let t0 = Instant::now();
        let after = |seconds| t0 + Duration::from_secs(seconds);
        let floor = 1_000 * S;
        let (likely, seen) = Clock::start(floor + MAX_STANDSTILL_US, floor, t0);
        assert_eq!((seen, likely.is_steady()), (WallClock::Steady, true));
        let (_, seen) = Clock::start(u64::MAX, 0, t0);
        assert_eq!(seen, WallClock::Steady, "a new journal has nothing to say");

        let ahead = 3 * 365 * 86_400 * S;
        let (mut clock, seen) = Clock::start(floor + ahead, floor, t0);
        let by_us = ahead.cast_signed();
        assert_eq!(seen, WallClock::Jumped { by_us });
        assert_eq!((clock.jumps(), clock.is_steady()), (1, false));
        assert_eq!(clock.off_by_us(), Some(by_us));
        // Engine time goes on from the journal's, and the jump is told once.
        assert_eq!(clock.at(after(2)), floor + 2 * S);
        let still = clock.look(floor + ahead + 2 * S, after(2));
        assert_eq!((still, clock.is_steady()), (WallClock::StillOff, false));
        // Put right, it is trusted again by itself.
        let mut mended = clock;
        assert_eq!(mended.look(floor + 3 * S, after(3)), WallClock::Steady);
        // Confirmed, it is followed.
        let (mut clock, _) = Clock::start(floor + ahead, floor, t0);
        clock.confirm(floor + ahead + 2 * S, after(2));
        assert!(clock.is_steady());
        assert_eq!(clock.at(after(3)), floor + ahead + 3 * S);
        assert_eq!(
            clock.look(floor + ahead + 3 * S, after(3)),
            WallClock::Steady
        );
    }

    #[test]
    fn a_clock_confirmed_behind_is_waited_for() {
        let t0 = Instant::now();
        let after = |seconds| t0 + Duration::from_secs(seconds);
        let (mut clock, _) = Clock::start(50 * S, 60 * S, t0);
        clock.confirm(51 * S, after(1));
        assert!(clock.is_steady());
        assert_eq!(clock.look(52 * S, after(2)), WallClock::Steady);
        assert_eq!(clock.at(after(9)), 60 * S);
        assert_eq!(clock.at(after(12)), 62 * S);
    }

    #[test]
    fn never_starts_before_the_journal() {
        let t0 = Instant::now();
        let (mut clock, seen) = Clock::start(50 * S, 60 * S, t0);
        assert_eq!(seen, WallClock::Jumped { by_us: -10_000_000 });
        assert_eq!(clock.at(t0), 60 * S);
        assert_eq!(clock.jumps(), 1);
    }
}
