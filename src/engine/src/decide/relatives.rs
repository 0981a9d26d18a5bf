//! What else is remembered of the same transaction as a message: its repeat, its
//! tombstone, the request that an advice corrects.

use super::find::Details;
use crate::command::{Class, Transaction};
use crate::engine::Engine;
use crate::event::{Answer, TransactionEvent};
use crate::ids::Seq;
use crate::lookup::{Names, Sight};
use crate::memory::{Generation, seq_of};
use crate::record::{Record, RecordRef, flags};
use std::ops::ControlFlow;

/// What the look-up of a message's relatives found.
#[derive(Clone, Copy)]
pub(super) struct Relatives {
    /// For an advice: the approved request of the same transaction, the newest if
    /// there are several, and its sequence.
    pub request: RecordRef,
    request_seq: Seq,
    /// What was seen, in bits: as fields of their own they cost more to carry along
    /// than all else that is done with them.
    seen: u8,
}

/// Bits of what was seen.
pub(super) mod seen {
    /// Its reversal came first.
    pub const TOMBSTONE: u8 = 1;
    /// For an advice: another advice has corrected that request already.
    pub const CORRECTED: u8 = 2;
    /// For a request: an advice of the same transaction has posted it already.
    pub const ADVISED: u8 = 4;
    /// It cannot be told from so many others that one may be a relative unseen.
    pub const HIDDEN: u8 = 8;
}

impl Relatives {
    const NONE: Self = Self {
        request: RecordRef::NONE,
        request_seq: 0,
        seen: 0,
    };

    #[inline(always)]
    pub const fn has(&self, any_of: u8) -> bool {
        self.seen & any_of != 0
    }

    #[inline(always)]
    pub const fn add(&mut self, bit: u8, holds: bool) {
        if holds {
            self.seen |= bit;
        }
    }

    fn consider(
        &mut self,
        engine: &Engine,
        t: &Transaction,
        details: &Details,
        (reference, generation, record): (RecordRef, &Generation, &Record),
    ) {
        let (same, differs) = details.compare(record);
        if differs || record.has(flags::ENTRY) {
            return;
        }
        if record.has(flags::TOMBSTONE) {
            // A tombstone of class "reversal" waits for any class.
            let waits = record
                .class()
                .is_some_and(|class| class == Class::Reversal || class == t.class);
            self.add(seen::TOMBSTONE, waits);
        } else if t.class == Class::FinancialAdvice && same {
            let seq = seq_of(generation, record);
            if record.class() == Some(Class::FinancialRequest)
                && record.code().is_approved()
                && !record.has(flags::REVERSED)
                && record.operation() == t.operation
                && seq > self.request_seq
            {
                self.request = reference;
                self.request_seq = seq;
            }
            self.add(seen::CORRECTED, engine.memory.link(reference).is_some());
        } else if same {
            let advised = record.class() == Some(Class::FinancialAdvice)
                && record.operation() == t.operation
                && !record.has(flags::REVERSED);
            self.add(seen::ADVISED, advised);
        }
    }
}

impl Engine {
    /// Looks for the message itself (then its first answer is the answer), for
    /// its tombstone, and for an advice's request.
    #[inline]
    pub(super) fn relatives(
        &self,
        t: &Transaction,
        event: &TransactionEvent,
        details: &Details,
    ) -> Result<Relatives, Answer> {
        let mut relatives = Relatives::NONE;
        let names = Names::from(&event.identity);
        let sight = self
            .memory
            .relatives(&names, |reference, generation, record| {
                if record.is_same_message(&event.identity, t.class) {
                    let asked = Some((event.terms, t.amount.minor));
                    return ControlFlow::Break(self.repeat(reference, generation, record, asked));
                }
                relatives.consider(self, t, details, (reference, generation, record));
                ControlFlow::Continue(())
            });
        match sight {
            ControlFlow::Break(answer) => return Err(answer),
            // What was seen of it is not all, and which part is chance.
            ControlFlow::Continue(Sight::Crowd) => {
                return Ok(Relatives {
                    seen: seen::HIDDEN,
                    ..Relatives::NONE
                });
            }
            ControlFlow::Continue(Sight::All | Sight::Relatives) => {}
        }
        Ok(relatives)
    }
}
