//! How long accepted work waits for the journal, and so how much of it may wait.
//!
//! A bound in bytes alone means a longer wait the slower the disk is. So while
//! something waits, groups are timed as they become durable, and what may wait is
//! what the journal drains within the longest wait allowed.
//!
//! A healthy journal is never held to a rate: the rate of small groups says little
//! of what large ones would bring. A rate counts only while work has really been
//! waiting for a part of that time, and a single slow sync makes no rate. Nothing
//! is remembered once the backlog is gone.

use std::time::{Duration, Instant};

use gapless_engine::ids::Seq;

/// Groups are timed while at least so much waits: some ten events.
const TIMED_FROM_BYTES: usize = 1 << 10;

/// So much may wait at any rate: it is written in one go.
const ALWAYS_BYTES: usize = 16 << 10;

/// The part of the longest wait from which on the rate counts.
const STANDS_FROM: u32 = 10;

/// What waits for the journal, as the engine's thread sees it.
#[derive(Debug)]
pub(super) struct Backlog {
    longest: Option<Duration>,
    room: usize,
    /// An event that is not durable yet, and since when it waits.
    mark: Option<(Seq, Instant)>,
    /// Whether work waits for a good part of the longest wait.
    stands: bool,
    /// Bytes that had become durable at a group's end, and when that was: there
    /// was more to write, so that the journal has been at work ever since.
    timed: Option<(u64, Instant)>,
    /// Bytes that have become durable so far.
    drained: u64,
    /// What a KiB costs: of the group before, and smoothed; 0 while unknown.
    last_ns_per_kib: u64,
    ns_per_kib: u64,
}

impl Backlog {
    /// Nothing waits yet; with `None` any amount may.
    pub(super) const fn new(longest: Option<Duration>) -> Self {
        Self {
            longest,
            room: usize::MAX,
            mark: None,
            stands: false,
            timed: None,
            drained: 0,
            last_ns_per_kib: 0,
            ns_per_kib: 0,
        }
    }

    /// Bytes that may wait before the next request is refused.
    pub(super) const fn room(&self) -> usize {
        self.room
    }

    /// Events up to `last`, decided at `now` or before, wait as far as they are
    /// behind `durable`.
    pub(super) fn waits(&mut self, last: Seq, durable: Seq, now: Instant) {
        let Some(longest) = self.longest.filter(|_| last > durable) else {
            return;
        };
        match self.mark {
            None => self.mark = Some((last, now)),
            Some((seq, since)) if seq > durable => {
                let waited = now.saturating_duration_since(since);
                if waited > longest {
                    // One sync takes longer than anything should wait.
                    self.stands = true;
                    self.room = 0;
                } else if !self.stands && waited > longest / STANDS_FROM {
                    self.stands = true;
                    self.make_room();
                }
            }
            // Durable by now; that is about to be told.
            Some(_) => {}
        }
    }

    /// Events up to `durable`, in all `drained` bytes, wait no more; `pending`
    /// bytes still do. `clock` is asked only while something waits.
    pub(super) fn drained(
        &mut self,
        durable: Seq,
        drained: u64,
        pending: usize,
        clock: impl Fn() -> Instant,
    ) {
        if self.longest.is_none() || drained == self.drained {
            return;
        }
        self.drained = drained;
        let behind = pending >= TIMED_FROM_BYTES;
        if !behind && !self.stands && self.timed.is_none() {
            // As always, on a journal that keeps up.
            if self.mark.is_some_and(|(seq, _)| seq <= durable) {
                self.mark = None;
            }
            return;
        }
        let now = clock();
        if let Some((before, since)) = self.timed.take() {
            self.learn(drained.saturating_sub(before), now - since);
        }
        if let Some((_, since)) = self.mark.take_if(|(seq, _)| *seq <= durable) {
            let waited = now.saturating_duration_since(since);
            self.stands &= self.longest.is_some_and(|most| waited > most / STANDS_FROM);
        }
        if behind {
            self.timed = Some((drained, now));
        } else {
            self.stands = false;
            (self.last_ns_per_kib, self.ns_per_kib) = (0, 0);
        }
        self.make_room();
    }

    /// So many bytes took so long.
    fn learn(&mut self, bytes: u64, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let cost = (ns.saturating_mul(1_024) / bytes.max(1)).max(1);
        let before = std::mem::replace(&mut self.last_ns_per_kib, cost);
        if before == 0 {
            return;
        }
        // The better of two neighbours: a single slow sync is no rate.
        let cost = cost.min(before);
        self.ns_per_kib = match self.ns_per_kib {
            0 => cost,
            smoothed => smoothed - smoothed / 4 + cost / 4,
        };
    }

    fn make_room(&mut self) {
        self.room = match self.longest {
            Some(longest) if self.stands && self.ns_per_kib > 0 => {
                // A quarter is left for the way back to the peer, and for the pace's
                // going up and down.
                let ns = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX) / 4 * 3;
                let bytes = ns.saturating_mul(1_024) / self.ns_per_kib;
                usize::try_from(bytes).map_or(usize::MAX, |bytes| bytes.max(ALWAYS_BYTES))
            }
            _ => usize::MAX,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::VecDeque;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const EVENT: u64 = 100;

    /// A journal whose group of so many bytes takes so long, and somebody who sends
    /// so many events in each millisecond.
    struct World {
        backlog: Backlog,
        now: Instant,
        last: Seq,
        durable: Seq,
        flying: Seq,
        done_at: Instant,
        longest_wait: Duration,
        /// Tenths of an event that are due.
        owed: u64,
        since: VecDeque<(Seq, Instant)>,
        looks: Cell<u32>,
    }

    impl World {
        fn new(longest: Duration) -> Self {
            let now = Instant::now();
            Self {
                backlog: Backlog::new(Some(longest)),
                now,
                last: 0,
                durable: 0,
                flying: 0,
                done_at: now,
                longest_wait: Duration::ZERO,
                owed: 0,
                since: VecDeque::new(),
                looks: Cell::new(0),
            }
        }

        /// So many milliseconds with so many events offered in each; how many were
        /// refused. `takes` says how long a group of so many bytes takes.
        fn run(&mut self, ms: u32, offered: u64, takes: impl Fn(u64) -> Duration) -> u64 {
            let mut refused = 0;
            for _ in 0..ms * 10 {
                self.now += Duration::from_micros(100);
                if self.flying > self.durable && self.now >= self.done_at {
                    self.durable = self.flying;
                    while let Some((seq, since)) = self.since.front().copied()
                        && seq <= self.durable
                    {
                        self.longest_wait = self.longest_wait.max(self.now - since);
                        self.since.pop_front();
                    }
                    self.start(&takes);
                    let pending = (self.last - self.durable) * EVENT;
                    let (now, looks) = (self.now, &self.looks);
                    self.backlog.drained(
                        self.durable,
                        self.durable * EVENT,
                        pending as usize,
                        || {
                            looks.set(looks.get() + 1);
                            now
                        },
                    );
                }
                let before = self.last;
                self.owed += offered;
                for _ in 0..self.owed / 10 {
                    let pending = ((self.last - self.durable) * EVENT) as usize;
                    if pending > self.backlog.room() {
                        refused += 1;
                    } else {
                        self.last += 1;
                    }
                }
                self.owed %= 10;
                if self.last > before {
                    self.since.push_back((self.last, self.now));
                    self.backlog.waits(self.last, self.durable, self.now);
                }
                if self.flying == self.durable {
                    self.start(&takes);
                }
            }
            refused
        }

        /// The journal takes all that has gathered, as far as one frame holds it.
        fn start(&mut self, takes: impl Fn(u64) -> Duration) {
            self.flying = self.last.min(self.durable + (1 << 20) / EVENT);
            self.done_at = self.now + takes((self.flying - self.durable) * EVENT);
        }
    }

    /// 5 MB/s and 0.2 ms a sync: 50,000 events a second.
    fn slow(bytes: u64) -> Duration {
        Duration::from_micros(200 + bytes / 5)
    }

    fn fast(bytes: u64) -> Duration {
        Duration::from_micros(200 + bytes / 1_000)
    }

    #[test]
    fn three_times_too_much_waits_no_longer_than_it_may() {
        for longest in [SECOND / 5, SECOND, 2 * SECOND] {
            let mut world = World::new(longest);
            assert_eq!(world.run(2_000, 20, slow), 0, "half of what it can");
            let offered = 150 * 10_000;
            let refused = world.run(10_000, 150, slow);
            let accepted = offered - refused;
            assert!(world.longest_wait <= longest, "{:?}", world.longest_wait);
            // No less is accepted than the journal takes.
            assert!((480_000..620_000).contains(&accepted), "{accepted}");
            assert!(world.longest_wait > longest / 2, "{:?}", world.longest_wait);
            // Afterwards nothing is refused, from the first millisecond on.
            // What is left of it may refuse a few, until the next group is durable.
            world.longest_wait = Duration::ZERO;
            let half = u32::try_from(longest.as_millis()).unwrap() / 2;
            let refused = world.run(half, 20, slow);
            assert!(refused < u64::from(half) * 10, "{refused}");
            assert_eq!(world.run(5_000, 20, slow), 0);
            assert!(world.longest_wait <= longest);
            assert_eq!(world.backlog.room(), usize::MAX, "all is forgotten");
        }
    }

    #[test]
    fn a_slow_journal_is_known_in_time() {
        // 100 KB/s: a thousand events a second, five times as many offered.
        let mut world = World::new(SECOND);
        let refused = world.run(20_000, 5, |bytes| Duration::from_micros(200 + bytes * 10));
        assert!(refused > 75_000, "{refused}");
        assert!(world.longest_wait <= SECOND, "{:?}", world.longest_wait);
    }

    #[test]
    fn a_single_slow_sync_refuses_nobody() {
        for offered in [20, 100, 400] {
            for slow_ms in [50, 100, 300, 700] {
                let mut world = World::new(SECOND);
                assert_eq!(world.run(500, offered, fast), 0);
                for _ in 0..5 {
                    let slow_one = Cell::new(true);
                    let refused = world.run(1_000, offered, |bytes| {
                        if slow_one.replace(false) {
                            Duration::from_millis(slow_ms)
                        } else {
                            fast(bytes)
                        }
                    });
                    assert_eq!(refused, 0, "{offered} in a ms, {slow_ms} ms");
                }
            }
        }
    }

    #[test]
    fn slow_syncs_at_any_moment_refuse_nobody() {
        // One group in thirty takes 50 to 150 ms, two in a row as it happens; loads
        // around the one from which on groups are timed.
        for offered in [5_u64, 10, 12, 20, 100] {
            let state = Cell::new(offered);
            let draw = |below: u64| {
                let next = state.get().wrapping_mul(6_364_136_223_846_793_005);
                let next = next.wrapping_add(1_442_695_040_888_963_407);
                state.set(next);
                (next >> 33) % below
            };
            let mut world = World::new(SECOND);
            let refused = world.run(60_000, offered, |bytes| match draw(30) {
                0 => Duration::from_millis(50 + draw(100)),
                _ => Duration::from_micros(500 + draw(1_000) + bytes / 1_000),
            });
            assert_eq!(refused, 0, "{offered} in a ms");
        }
    }

    #[test]
    fn slow_syncs_of_little_are_no_reason() {
        // 30 ms a sync, whatever its size, and then a network that sends all at once.
        let sync = |_| Duration::from_millis(30);
        let mut world = World::new(SECOND);
        assert_eq!(world.run(1_000, 20, sync), 0);
        assert_eq!(world.run(20, 1_000, sync), 0);
        assert_eq!(world.run(1_000, 20, sync), 0);
    }

    #[test]
    fn a_sync_that_hangs_refuses_until_it_is_done() {
        let mut world = World::new(SECOND);
        world.run(500, 20, fast);
        let hang = Cell::new(true);
        let refused = world.run(5_000, 20, |bytes| {
            if hang.replace(false) {
                4 * SECOND
            } else {
                fast(bytes)
            }
        });
        // What comes in the last three of the four seconds.
        assert!((55_000..65_000).contains(&refused), "{refused}");
        assert_eq!(world.run(1_000, 20, fast), 0);
    }

    #[test]
    fn nobody_looks_at_the_clock_while_little_waits() {
        let mut world = World::new(SECOND);
        world.run(1_000, 10, fast);
        assert_eq!(world.looks.get(), 0);
    }

    #[test]
    fn without_a_bound_anything_may_wait() {
        let mut world = World::new(SECOND);
        world.backlog = Backlog::new(None);
        assert_eq!(world.run(5_000, 150, slow), 0);
    }
}
