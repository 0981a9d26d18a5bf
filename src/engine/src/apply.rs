//! `apply`: the only thing that changes state, live, in replay and on a follower alike.
//!
//! Rows that were stored ahead of the mark at which the rest was loaded carry the
//! sequence of their last event: an event that a row already has is skipped for
//! that row. Live, that never happens.

use crate::business::{DateState, Step};
use crate::engine::Engine;
use crate::event::{Body, Event};
use crate::ids::{Seq, TimeUs};

/// Sequence and time of an event.
#[derive(Clone, Copy)]
pub(crate) struct Stamp {
    pub seq: Seq,
    pub time_us: TimeUs,
}

impl Engine {
    /// Applies an event. It must have passed [`Engine::check`], here or where it
    /// was decided; one out of order has no effect but shows as a divergence.
    pub fn apply(&mut self, event: &Event) {
        if event.seq != self.last_seq.wrapping_add(1) {
            self.diverged(event.seq);
            return;
        }
        if let Body::Attest { state_hash } = event.body
            && self.is_consistent()
            && state_hash != self.state_hash()
        {
            self.diverged(event.seq);
        }
        let stamp = Stamp {
            seq: event.seq,
            time_us: event.time_us,
        };
        match &event.body {
            Body::Transaction(transaction) => return self.apply_transaction(stamp, transaction),
            Body::Reversal(reversal) => return self.apply_reversal(stamp, reversal),
            _ => self.advance(stamp),
        }
        match &event.body {
            Body::Genesis(genesis) => {
                self.genesis = Some(*genesis);
                self.set_dates(DateState::Open {
                    date: genesis.business_date,
                });
                self.enter_epoch();
            }
            Body::InternalOpened(opened) => self.apply_internal(event.seq, opened),
            Body::AccountPut(account) => self.apply_account(event.seq, account),
            Body::CardPut(card) => self.apply_card(event.seq, card),
            Body::OpenedEarly { date } => self.apply_step(event.seq, Step::OpenEarly, *date),
            Body::Cutover { date } => self.apply_step(event.seq, Step::Cutover, *date),
            Body::Freeze { date } => self.apply_step(event.seq, Step::Freeze, *date),
            Body::Seal(seal) => self.apply_step(event.seq, Step::Seal, seal.date),
            Body::NetworkCutover(cutover) => self.apply_network_cutover(event.seq, cutover),
            Body::Entry(entry) => self.apply_entry(event.seq, entry),
            Body::Reconciliation(r) => self.apply_reconciliation(stamp, r),
            Body::ReconciliationAsked(asked) => self.apply_asked(stamp, asked),
            Body::CutoverAnnounced { network, closed } => self.apply_announced(*network, *closed),
            Body::Transaction(_) | Body::Reversal(_) | Body::Attest { .. } => {}
        }
    }

    #[inline]
    pub(crate) const fn advance(&mut self, stamp: Stamp) {
        self.last_seq = stamp.seq;
        self.last_time_us = stamp.time_us;
    }

    /// Changes the open dates, and what follows from them.
    pub(crate) fn set_dates(&mut self, dates: DateState) {
        self.dates = dates;
        let default = dates.default_date();
        self.today = (default, default.yymm());
    }

    pub(crate) fn diverged(&mut self, seq: Seq) {
        self.divergence.get_or_insert(seq);
    }
}
