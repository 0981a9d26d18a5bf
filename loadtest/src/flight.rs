//! Requests in flight on one connection, and how an answer finds its own.
//!
//! The STAN (DE 11) only tells in which slot to look; the retrieval reference
//! number (DE 37) and the terminal (DE 41) must be the request's own as well.
//! So an answer that comes after its request was given up, when the slot has
//! long been used again, is not taken for another's.

use crate::plan::MAX_STAN;
use crate::request::{Answer, Sent};

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// How often the slot was used.
    turn: u32,
    waiting: Option<Sent>,
}

/// The slots of one connection.
#[derive(Debug)]
pub(crate) struct Flight {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Messages sent again, with the STAN of their first time.
    again: Vec<Sent>,
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
            again: Vec::new(),
            turns: MAX_STAN / slots.max(1),
        }
    }

    fn len(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len() + self.again.len()
    }

    /// Whether another request has room.
    pub(crate) fn has_room(&self) -> bool {
        self.in_flight() < self.slots.len()
    }

    /// A slot for the next request; `None` when as many are in flight as may be.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        if !self.has_room() {
            return None;
        }
        let index = self.free.pop()?;
        let slots = self.len();
        let slot = self.slots.get_mut(index as usize)?;
        slot.turn = (slot.turn + 1) % self.turns;
        let stan = slot.turn * slots + index + 1;
        Some(Taken { index, stan })
    }

    /// A slot that its request did not need after all is free again.
    pub(crate) fn put_back(&mut self, taken: Taken) {
        self.free.push(taken.index);
    }

    /// The request of a slot is on its way.
    pub(crate) fn sent(&mut self, taken: Taken, sent: Sent) {
        if sent.expected_code.is_some() {
            self.put_back(taken);
            self.again.push(sent);
            return;
        }
        if let Some(slot) = self.slots.get_mut(taken.index as usize) {
            slot.waiting = Some(sent);
        }
    }

    /// The request that this answers; its slot is free again. `None`: no request
    /// waits that has both numbers and this answer's MTI.
    pub(crate) fn answered(&mut self, answer: &Answer) -> Option<Sent> {
        let is_its = |waiting: &Sent| {
            waiting.rrn == answer.rrn
                && u64::from(waiting.stan) == answer.stan
                && waiting.is_answered_by(answer.mti)
        };
        if let Some(place) = self.again.iter().position(is_its) {
            return Some(self.again.swap_remove(place));
        }
        let slots = u64::from(self.len().max(1));
        let index = u32::try_from(answer.stan.checked_sub(1)? % slots).ok()?;
        let slot = self.slots.get_mut(index as usize)?;
        let waiting = slot.waiting.take_if(|waiting| is_its(waiting))?;
        self.free.push(index);
        Some(waiting)
    }

    /// Gives up what was to be sent at or before a time.
    pub(crate) fn give_up(&mut self, intended_until_ns: u64, mut lost: impl FnMut(Sent)) {
        self.again.retain(|waiting| {
            let keep = waiting.intended_ns > intended_until_ns;
            if !keep {
                lost(*waiting);
            }
            keep
        });
        for (index, slot) in (0..).zip(&mut self.slots) {
            let given_up = slot
                .waiting
                .take_if(|waiting| waiting.intended_ns <= intended_until_ns);
            if let Some(sent) = given_up {
                self.free.push(index);
                lost(sent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::Kind;
    use gapless_iso8583::Mti;

    fn send(flight: &mut Flight, rrn: u64, intended_ns: u64) -> u64 {
        let taken = flight.take().unwrap();
        let sent = Sent::example(Kind::Purchase, taken.stan, rrn, intended_ns);
        flight.sent(taken, sent);
        taken.stan.into()
    }

    fn answer(flight: &mut Flight, stan: u64, rrn: u64) -> Option<u64> {
        answer_of(flight, 210, stan, rrn)
    }

    fn answer_of(flight: &mut Flight, mti: u16, stan: u64, rrn: u64) -> Option<u64> {
        let mti = Mti::new(mti).unwrap();
        let answer = Answer {
            mti,
            stan,
            rrn,
            code: 0,
        };
        flight.answered(&answer).map(|sent| sent.intended_ns)
    }

    fn give_up(flight: &mut Flight, until_ns: u64) -> u64 {
        let mut count = 0;
        flight.give_up(until_ns, |_| count += 1);
        count
    }

    #[test]
    fn an_answer_needs_both_numbers_and_its_type() {
        let mut flight = Flight::new(2);
        let a = send(&mut flight, 100, 5);
        let b = send(&mut flight, 101, 6);
        assert_eq!(flight.take(), None);
        for (stan, rrn) in [(a, 101), (b, 100), (a + 2, 100), (0, 100)] {
            assert_eq!(answer(&mut flight, stan, rrn), None, "{stan} {rrn}");
        }
        assert_eq!(answer_of(&mut flight, 430, a, 100), None);
        assert_eq!(answer(&mut flight, a, 100), Some(5));
        assert_eq!(answer(&mut flight, a, 100), None, "twice");
        assert_eq!(flight.in_flight(), 1);
    }

    #[test]
    fn an_answer_to_what_was_given_up_is_nobodys() {
        let mut flight = Flight::new(1);
        let first = send(&mut flight, 7, 1_000);
        assert_eq!(give_up(&mut flight, 999), 0);
        assert_eq!(give_up(&mut flight, 1_000), 1);
        let second = send(&mut flight, 8, 2_000);
        assert_eq!(answer(&mut flight, first, 7), None);
        assert_eq!(answer(&mut flight, second, 8), Some(2_000));
    }

    #[test]
    fn a_repeat_has_its_first_stan_and_counts() {
        let mut flight = Flight::new(2);
        let first = send(&mut flight, 7, 1);
        assert!(answer(&mut flight, first, 7).is_some());
        // Another message has the slot meanwhile.
        send(&mut flight, 8, 2);
        let taken = flight.take().unwrap();
        let mut again = Sent::example(Kind::Repeat, first as u32, 7, 3);
        again.expected_code = Some(0);
        flight.sent(taken, again);
        assert_eq!((flight.in_flight(), flight.take()), (2, None));
        assert_eq!(answer(&mut flight, first, 7), Some(3));
        assert_eq!(flight.in_flight(), 1);
    }

    #[test]
    fn stans_are_six_digits_and_come_again_late() {
        let mut flight = Flight::new(32);
        let mut seen = std::collections::BTreeSet::new();
        for rrn in 0..900_000 {
            let stan = send(&mut flight, rrn, 0);
            assert!((1..=u64::from(MAX_STAN)).contains(&stan));
            seen.insert(stan);
            answer(&mut flight, stan, rrn).unwrap();
        }
        // One slot is used over and over here: its own STANs only.
        assert_eq!(seen.len(), (MAX_STAN / 32) as usize);
    }
}
