//! `check` and `apply` for reconciliations.

use crate::apply::Stamp;
use crate::command::Amount;
use crate::date::Date;
use crate::engine::Engine;
use crate::event::{ReconciliationAsked, ReconciliationEvent};
use crate::exception::ExceptionKind;
use crate::ids::{NetworkId, Seq};
use crate::invariants::Breach;
use crate::reconcile::{Asked, Origin, Reconciliation, Verdict};

impl Engine {
    pub(crate) fn check_reconciliation(
        &self,
        r: &ReconciliationEvent,
        consistent: bool,
    ) -> Result<(), Breach> {
        match r.origin {
            Origin::Theirs => {
                let ours = self.figures(r.network, r.settlement_date, r.currency);
                if consistent && ours != Some(r.ours) {
                    return Err(Breach::Figures);
                }
                if self.reconciled_before(r.network, &r.identity).is_some() {
                    return Err(Breach::Repeated);
                }
                if r.verdict != Verdict::of(&r.theirs, &r.ours) {
                    return Err(Breach::Figures);
                }
            }
            Origin::Ours => {
                let fits = self.asked(r.network).is_some_and(|asked| {
                    asked.settlement_date == r.settlement_date
                        && asked.currency == r.currency
                        && asked.ours == r.ours
                });
                if !fits {
                    return Err(Breach::Figures);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn check_asked(
        &self,
        asked: &ReconciliationAsked,
        consistent: bool,
    ) -> Result<(), Breach> {
        if self.asked(asked.network).is_some() {
            return Err(Breach::Repeated);
        }
        let ours = self.figures(asked.network, asked.settlement_date, asked.currency);
        if consistent && ours != Some(asked.ours) {
            return Err(Breach::Figures);
        }
        Ok(())
    }

    pub(crate) fn apply_reconciliation(&mut self, stamp: Stamp, r: &ReconciliationEvent) {
        let Some(book) = self.books.of_mut(r.network) else {
            return;
        };
        book.keep(Reconciliation::of(stamp.seq, r));
        if r.origin == Origin::Ours {
            book.asked = None;
            let key = (r.settlement_date, r.currency);
            if let Err(at) = book.answered.binary_search(&key) {
                book.answered.insert(at, key);
            }
        }
        let kind = match r.verdict {
            Verdict::InBalance | Verdict::Received => None,
            Verdict::OutOfBalance => Some(ExceptionKind::ReconciliationDiffers),
            Verdict::Refused => Some(ExceptionKind::ReconciliationRefused),
        };
        // The amount by which the net differs, if they sent it.
        let net = |figures: &crate::reconcile::Figures| figures.get(crate::reconcile::NET);
        let difference = net(&r.theirs)
            .zip(net(&r.ours))
            .map_or(0, |(theirs, ours)| theirs.abs_diff(ours));
        let amount = Amount {
            minor: difference,
            currency: r.currency,
        };
        self.note(stamp, kind, r.network, amount);
    }

    pub(crate) fn apply_asked(&mut self, stamp: Stamp, asked: &ReconciliationAsked) {
        if let Some(book) = self.books.of_mut(asked.network) {
            book.asked = Some(Asked {
                seq: stamp.seq,
                time_us: stamp.time_us,
                settlement_date: asked.settlement_date,
                currency: asked.currency,
                ours: asked.ours,
            });
        }
    }

    pub(crate) fn apply_announced(&mut self, network: NetworkId, closed: Date) {
        if let Some(book) = self.books.of_mut(network) {
            book.announced = Some(closed);
        }
    }
}

impl Reconciliation {
    /// As it is kept.
    pub(crate) const fn of(seq: Seq, r: &ReconciliationEvent) -> Self {
        Self {
            seq,
            origin: r.origin,
            identity: r.identity,
            network: r.network,
            settlement_date: r.settlement_date,
            currency: r.currency,
            verdict: r.verdict,
            ours: r.ours,
            theirs: r.theirs,
        }
    }

    /// As it was journaled.
    pub(crate) const fn event(&self) -> ReconciliationEvent {
        ReconciliationEvent {
            origin: self.origin,
            identity: self.identity,
            network: self.network,
            settlement_date: self.settlement_date,
            currency: self.currency,
            verdict: self.verdict,
            ours: self.ours,
            theirs: self.theirs,
        }
    }
}
