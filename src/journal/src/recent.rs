//! What became durable lately, handed on in memory: whoever follows the log need not
//! read back what has just been written. It holds groups whose fate is known, whatever
//! log lies behind the port.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::limits::MAX_GROUP_BYTES;
use crate::port::Seq;

/// A piece holds as many groups as fit; none is longer than a large one.
const PIECE_BYTES: usize = MAX_GROUP_BYTES;
/// Small ones, for tests, would be too few otherwise.
const LEAST_PIECES: usize = 4;

/// Neighbouring groups.
#[derive(Debug)]
struct Piece {
    first: Seq,
    last: Seq,
    events: Vec<u8>,
}

#[derive(Debug, Default)]
struct Pieces {
    /// In order; what is missing between two must be read.
    held: VecDeque<Piece>,
    /// Buffers to be filled again; the one that was emptied last is still in the caches.
    free: Vec<Vec<u8>>,
    /// How many buffers there are and may be, the one that was taken out included.
    made: usize,
    most: usize,
    piece_bytes: usize,
}

impl Pieces {
    fn drop_oldest(&mut self) {
        if let Some(piece) = self.held.pop_front() {
            self.free.push(piece.events);
        }
    }

    /// An empty buffer; the oldest groups make way when there is no other.
    fn buffer(&mut self) -> Vec<u8> {
        if self.free.is_empty() && self.made < self.most {
            self.made += 1;
            return Vec::with_capacity(self.piece_bytes);
        }
        if self.free.is_empty() {
            self.drop_oldest();
        }
        let mut buffer = self.free.pop().unwrap_or_default();
        buffer.clear();
        buffer
    }

    fn push(&mut self, first: Seq, last: Seq, events: &[u8]) {
        if let Some(piece) = self.held.back_mut()
            && piece.last + 1 == first
            && piece.events.len() + events.len() <= self.piece_bytes
        {
            piece.events.extend_from_slice(events);
            piece.last = last;
            return;
        }
        let mut buffer = self.buffer();
        buffer.extend_from_slice(events);
        self.held.push_back(Piece {
            first,
            last,
            events: buffer,
        });
    }

    fn take(&mut self, from: Seq, durable: Seq, events: &mut Vec<u8>) -> Took {
        while self.held.front().is_some_and(|piece| piece.last < from) {
            self.drop_oldest();
        }
        match self.held.front() {
            Some(piece) if piece.first > from => return Took::Missed,
            // It is durable, and about to be published.
            Some(piece) if piece.last > durable => return Took::Nothing,
            None if durable < from => return Took::Nothing,
            None => return Took::Missed,
            Some(_) => {}
        }
        let Some(mut piece) = self.held.pop_front() else {
            return Took::Nothing;
        };
        std::mem::swap(events, &mut piece.events);
        // The taker's very first one is none of these.
        if piece.events.capacity() >= self.piece_bytes {
            self.free.push(piece.events);
        }
        Took::Groups {
            first: piece.first,
            last: piece.last,
        }
    }
}

/// What was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Took {
    /// Groups, the first of which holds what was asked for.
    Groups { first: Seq, last: Seq },
    /// Nothing more is durable.
    Nothing,
    /// It is no longer here, or never was: it must be read.
    Missed,
}

/// The newest durable groups, up to a bound in bytes. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Recent(Option<Arc<Mutex<Pieces>>>);

impl Recent {
    /// Holds up to about `bytes`, at least one group; nothing at all with 0. The memory
    /// is set aside as it is needed, and used again.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let piece_bytes = PIECE_BYTES.min(bytes / LEAST_PIECES).max(1);
        let most = (bytes / piece_bytes).max(LEAST_PIECES);
        Self((bytes > 0).then(|| {
            Arc::new(Mutex::new(Pieces {
                held: VecDeque::with_capacity(most),
                free: Vec::with_capacity(most),
                made: 0,
                most,
                piece_bytes,
            }))
        }))
    }

    fn pieces(&self) -> Option<MutexGuard<'_, Pieces>> {
        let pieces = self.0.as_ref()?;
        Some(pieces.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a group. It must be durable already; it is published afterwards, so that
    /// whoever knows of it finds it here. It waits for nobody: a taker of low priority
    /// may have lost its processor just now, and reads this group then.
    pub(crate) fn push(&self, first: Seq, last: Seq, events: &[u8]) {
        match self.0.as_ref().map(|pieces| pieces.try_lock()) {
            Some(Ok(mut pieces)) => pieces.push(first, last, events),
            Some(Err(TryLockError::Poisoned(pieces))) => {
                pieces.into_inner().push(first, last, events);
            }
            Some(Err(TryLockError::WouldBlock)) | None => {}
        }
    }

    /// Takes groups from the one that holds `from` on, in exchange for the buffer that
    /// the last ones came in.
    pub(crate) fn take(&self, from: Seq, durable: Seq, events: &mut Vec<u8>) -> Took {
        match self.pieces() {
            Some(mut pieces) => pieces.take(from, durable, events),
            None if durable < from => Took::Nothing,
            None => Took::Missed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(first: Seq, bytes: usize) -> Vec<u8> {
        vec![first as u8; bytes]
    }

    #[test]
    fn neighbours_come_together_and_what_is_not_published_waits() {
        let recent = Recent::new(4 * PIECE_BYTES);
        let mut events = Vec::new();
        assert_eq!(recent.take(1, 0, &mut events), Took::Nothing);
        assert_eq!(recent.take(1, 5, &mut events), Took::Missed, "of before");
        recent.push(6, 6, &group(6, 10));
        recent.push(7, 9, &group(7, 20));
        assert_eq!(recent.take(5, 9, &mut events), Took::Missed);
        assert_eq!(recent.take(7, 8, &mut events), Took::Nothing);
        // A group that the taker has in part comes whole.
        let took = recent.take(7, 9, &mut events);
        assert_eq!(took, Took::Groups { first: 6, last: 9 });
        assert_eq!(events, [group(6, 10), group(7, 20)].concat());
        assert_eq!(recent.take(10, 9, &mut events), Took::Nothing);
    }

    #[test]
    fn a_group_that_could_not_be_added_is_missed_alone() {
        let recent = Recent::new(4 * PIECE_BYTES);
        let mut events = Vec::new();
        recent.push(1, 1, &group(1, 10));
        let busy = recent.pieces();
        recent.push(2, 2, &group(2, 10));
        drop(busy);
        recent.push(3, 3, &group(3, 10));
        let took = recent.take(1, 3, &mut events);
        assert_eq!(took, Took::Groups { first: 1, last: 1 });
        assert_eq!(recent.take(2, 3, &mut events), Took::Missed);
        let took = recent.take(3, 3, &mut events);
        assert_eq!(took, Took::Groups { first: 3, last: 3 });
    }

    #[test]
    fn the_oldest_make_way_and_no_buffer_is_made_twice() {
        let recent = Recent::new(4 * PIECE_BYTES);
        let mut events = Vec::new();
        for first in 1..=9 {
            recent.push(first, first, &group(first, PIECE_BYTES));
        }
        assert_eq!(recent.take(5, 9, &mut events), Took::Missed);
        for seq in 6..=9 {
            let took = recent.take(seq, 9, &mut events);
            assert_eq!(
                took,
                Took::Groups {
                    first: seq,
                    last: seq
                }
            );
            assert_eq!(events, group(seq, PIECE_BYTES));
        }
        for first in 10..100 {
            recent.push(first, first, &group(first, PIECE_BYTES - 1));
            if first % 7 > 2 {
                let took = recent.take(first, first, &mut events);
                assert_eq!(took, Took::Groups { first, last: first });
            }
            let pieces = recent.pieces().unwrap();
            assert!(pieces.made <= 4);
            assert!(
                pieces
                    .held
                    .iter()
                    .all(|piece| piece.events.capacity() == PIECE_BYTES)
            );
        }
    }

    #[test]
    fn nothing_is_held_for_nobody() {
        let recent = Recent::default();
        recent.push(1, 1, &group(1, 10));
        assert_eq!(recent.take(1, 1, &mut Vec::new()), Took::Missed);
        assert_eq!(recent.take(2, 1, &mut Vec::new()), Took::Nothing);
    }
}
