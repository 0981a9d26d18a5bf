//! Requests in flight on one connection, and how an answer finds its own.
//!
//! The STAN (DE 11) only tells in which slot to look; the retrieval reference
//! number (DE 37) and the terminal (DE 41) must be the request's own as well.
//! So an answer that comes after its request was given up, when the slot has
//! long been used again, is not taken for another's.

use std::time::{Duration, Instant};

use crate::plan::MAX_STAN;

/// A request that waits for its answer.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    rrn: u64,
    sent: Instant,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// How often the slot was used.
    turn: u32,
    waiting: Option<Waiting>,
}

/// The slots of one connection.
#[derive(Debug)]
pub(crate) struct Flight {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Different STANs of one slot.
    turns: u32,
}

/// A slot taken for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    index: u32,
    /// DE 11.
    pub(crate) stan: u32,
}

impl Flight {
    pub(crate) fn new(slots: u32) -> Self {
        Self {
            slots: vec![Slot::default(); slots as usize],
            free: (0..slots).rev().collect(),
            turns: MAX_STAN / slots,
        }
    }

    fn len(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// A slot for the next request; `None` when as many are in flight as may be.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        let index = self.free.pop()?;
        let slots = self.len();
        let slot = self.slots.get_mut(index as usize)?;
        slot.turn = (slot.turn + 1) % self.turns;
        let stan = slot.turn * slots + index + 1;
        Some(Taken { index, stan })
    }

    /// The request of a slot is on its way.
    pub(crate) fn sent(&mut self, taken: Taken, rrn: u64, sent: Instant) {
        if let Some(slot) = self.slots.get_mut(taken.index as usize) {
            slot.waiting = Some(Waiting { rrn, sent });
        }
    }

    /// When the request that this answers was sent; its slot is free again.
    /// `None`: no request waits that has both numbers.
    pub(crate) fn answered(&mut self, stan: u64, rrn: u64) -> Option<Instant> {
        let index = stan.checked_sub(1)? % u64::from(self.len());
        let index = u32::try_from(index).ok()?;
        let slots = self.len();
        let slot = self.slots.get_mut(index as usize)?;
        let waiting = slot.waiting?;
        let own_stan = slot.turn * slots + index + 1;
        if waiting.rrn != rrn || u64::from(own_stan) != stan {
            return None;
        }
        slot.waiting = None;
        self.free.push(index);
        Some(waiting.sent)
    }

    /// Gives up what was sent more than `limit` before `now`; how many.
    pub(crate) fn give_up(&mut self, now: Instant, limit: Duration) -> u64 {
        self.drop_where(|waiting| now.saturating_duration_since(waiting.sent) >= limit)
    }

    /// Gives up everything: the connection is gone; how many.
    pub(crate) fn give_up_all(&mut self) -> u64 {
        self.drop_where(|_| true)
    }

    fn drop_where(&mut self, given_up: impl Fn(&Waiting) -> bool) -> u64 {
        let mut count = 0;
        for (index, slot) in (0..).zip(&mut self.slots) {
            if slot.waiting.as_ref().is_some_and(&given_up) {
                slot.waiting = None;
                self.free.push(index);
                count += 1;
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_needs_both_numbers() {
        let mut flight = Flight::new(2);
        let now = Instant::now();
        let (a, b) = (flight.take().unwrap(), flight.take().unwrap());
        assert_eq!(flight.take(), None);
        flight.sent(a, 100, now);
        flight.sent(b, 101, now);
        for (stan, rrn) in [(a.stan, 101), (b.stan, 100), (a.stan + 2, 100), (0, 100)] {
            assert_eq!(flight.answered(stan.into(), rrn), None, "{stan} {rrn}");
        }
        assert_eq!(flight.answered(a.stan.into(), 100), Some(now));
        assert_eq!(flight.answered(a.stan.into(), 100), None, "answered twice");
        assert_eq!(flight.in_flight(), 1);
    }

    #[test]
    fn an_answer_to_what_was_given_up_is_nobodys() {
        let mut flight = Flight::new(1);
        let now = Instant::now();
        let limit = Duration::from_secs(1);
        let first = flight.take().unwrap();
        flight.sent(first, 7, now);
        assert_eq!(flight.give_up(now, limit), 0);
        assert_eq!(flight.give_up(now + limit, limit), 1);
        let second = flight.take().unwrap();
        flight.sent(second, 8, now);
        assert_eq!(flight.answered(first.stan.into(), 7), None);
        assert_eq!(flight.answered(second.stan.into(), 8), Some(now));
    }

    #[test]
    fn stans_are_six_digits_and_come_again_late() {
        let mut flight = Flight::new(32);
        let mut seen = std::collections::BTreeSet::new();
        for rrn in 0..900_000 {
            let taken = flight.take().unwrap();
            assert!((1..=MAX_STAN).contains(&taken.stan));
            seen.insert(taken.stan);
            flight.sent(taken, rrn, Instant::now());
            flight.answered(taken.stan.into(), rrn).unwrap();
        }
        // One slot is used over and over here: its own STANs only.
        assert_eq!(seen.len(), (MAX_STAN / 32) as usize);
    }
}
