//! The door: what may come in while the journal is behind, short of space, or gone.

use gapless_engine::Event;
use gapless_engine::command::{Class, Request};
use gapless_engine::ids::Seq;
use gapless_journal::Room;

use super::core::Core;
use super::link_port::Refused;

impl Core {
    /// Whether a request may come in now. Reversals and advices must be
    /// accepted, so they have a reserve that requests cannot use up. What has been
    /// admitted on any link and is not decided yet counts as if it were journaled.
    pub(super) fn admit(&mut self, request: &Request) -> Result<(), Refused> {
        let must_accept = match request {
            Request::Transaction(transaction) => transaction.class != Class::FinancialRequest,
            _ => true,
        };
        match self.room.room() {
            Room::Normal => {}
            Room::Reserved if must_accept => {}
            Room::Reserved | Room::Full => return Err(Refused::NoSpace),
        }
        if self.fatal.has_happened() {
            return Err(Refused::Stopping);
        }
        let limit = if must_accept {
            self.options.max_pending_reserved_bytes
        } else {
            self.request_bytes()
        };
        let pending = self.appender.pending_bytes() + self.undecided * Event::MAX_BYTES;
        if pending > limit {
            return Err(Refused::Busy);
        }
        self.undecided += 1;
        Ok(())
    }

    /// So many of what was admitted are decided, or nobody waits for them any more.
    pub(super) const fn settled(&mut self, requests: usize) {
        self.undecided = self.undecided.saturating_sub(requests);
    }

    /// Bytes that may wait before the next request is refused.
    fn request_bytes(&self) -> usize {
        let limit = self.options.max_pending_journal_bytes;
        limit.min(self.backlog.room())
    }

    /// Looks at what waits for the journal: events up to `durable` no longer do.
    pub(super) fn heed_backlog(&mut self, durable: Seq) {
        let drained = self.appender.durable_bytes();
        let pending = self.appender.pending_bytes();
        self.backlog
            .drained(durable, drained, pending, || (self.ticks)());
        self.backlog
            .waits(self.engine.last_seq(), durable, self.seen);
    }

    /// Whether so many of the batch's entries leave the journal room for payments.
    pub(super) fn has_room_for_entries(&self, entries: usize) -> bool {
        let pending = self.appender.pending_bytes() + entries * Event::MAX_BYTES;
        self.room.room() == Room::Normal
            && !self.fatal.has_happened()
            && pending <= self.request_bytes() / 2
    }
}
