//! What one thread counts.

use std::sync::Arc;
use std::time::Duration;

use crate::board::Board;
use crate::ledger::{Ledger, Order};
use crate::plan::Plan;
use crate::request::Sent;
use crate::stats::{Counts, Stats, Verdict, Wire};
use crate::timeline::{Draft, SLICE, Sketch};

/// What one thread counts.
pub(crate) struct Tally {
    board: Arc<Board>,
    code_digits: usize,
    timeout_ns: u64,
    bound_ns: u64,
    pub(crate) phases: Vec<Stats>,
    pub(crate) wire: Wire,
    pub(crate) ledger: Ledger,
    draft: Draft,
    sums: Counts,
    fresh: Sketch,
    /// Requests written and not yet answered or given up.
    pub(crate) in_flight: u64,
    /// Whether any answer has come.
    pub(crate) heard: bool,
}

impl Tally {
    pub(crate) fn new(plan: &Plan, board: &Arc<Board>) -> anyhow::Result<Self> {
        let accounts = if plan.ledger {
            plan.cards.accounts()
        } else {
            0
        };
        Ok(Self {
            board: Arc::clone(board),
            code_digits: usize::from(plan.dialect.semantics().action_code_digits),
            timeout_ns: crate::schedule::ns_of(plan.timeout),
            bound_ns: plan.bound.map_or(u64::MAX, crate::schedule::ns_of),
            phases: (0..board.phases.count())
                .map(|_| Stats::new())
                .collect::<anyhow::Result<_>>()?,
            wire: Wire::new()?,
            ledger: Ledger::new(accounts),
            draft: Draft::new(plan.slice),
            sums: Counts::default(),
            fresh: Sketch::new(),
            in_flight: 0,
            heard: false,
        })
    }

    fn phase(&mut self, ns: u64) -> Option<&mut Stats> {
        let phase = self.board.phases.at(ns);
        self.phases.get_mut(phase)
    }

    /// A request was written.
    pub(crate) fn sent(&mut self, intended_ns: u64, now_ns: u64) {
        self.in_flight += 1;
        self.sums.offered += 1;
        self.draft.at(intended_ns).offered += 1;
        if let Some(stats) = self.phase(intended_ns) {
            stats.counts.offered += 1;
        }
        self.wire
            .send_lag_ns
            .saturating_record(now_ns.saturating_sub(intended_ns));
    }

    /// A request was due, and no connection could take it.
    pub(crate) fn not_sent(&mut self, intended_ns: u64, count: u64) {
        self.sums.offered += count;
        self.sums.not_sent += count;
        self.draft.at(intended_ns).offered += count;
        if let Some(stats) = self.phase(intended_ns) {
            stats.counts.offered += count;
            stats.counts.not_sent += count;
            stats.missed(intended_ns);
        }
    }

    /// Answers are about to be counted.
    pub(crate) fn hear(&mut self, now_ns: u64) {
        self.heard = true;
        let gap_us = self.board.heard(now_ns) / 1_000;
        let slice = self.draft.at(now_ns);
        slice.longest_gap_us = slice.longest_gap_us.max(gap_us);
    }

    /// A request was answered; whether it was approved.
    pub(crate) fn answered(&mut self, sent: &Sent, code: u64, now_ns: u64) -> bool {
        self.in_flight -= 1;
        let verdict = Verdict::of(code, self.code_digits);
        let after_ns = now_ns.saturating_sub(sent.intended_ns);
        let after = Duration::from_nanos(after_ns);
        let late = after_ns >= self.timeout_ns;
        let accepted = verdict == Verdict::Accepted;
        let undecided = matches!(verdict, Verdict::Refused | Verdict::Faulty);
        let missed = late || undecided || after_ns > self.bound_ns;
        if let Some(stats) = self.phase(sent.intended_ns) {
            stats.answered(code, verdict, after, late);
            if missed {
                stats.missed(sent.intended_ns);
            }
        }
        let slice = self.draft.at(now_ns);
        slice.answered += 1;
        self.sums.answered_with(verdict, late);
        slice.accepted += u64::from(accepted);
        slice.declined += u64::from(verdict == Verdict::Declined);
        slice.refused += u64::from(verdict == Verdict::Refused);
        self.draft.at(sent.intended_ns).latency.record(after);
        self.fresh.record(after);
        if sent.expected_code.is_some_and(|expected| expected != code) {
            self.wire.contradicted += 1;
            self.wire
                .trouble(&"a repeat was answered otherwise than the first time");
        }
        if accepted {
            self.ledger.posted(&sent.order);
        }
        accepted
    }

    /// A request was given up.
    pub(crate) fn lost(&mut self, sent: &Sent) {
        self.in_flight -= 1;
        self.sums.lost += 1;
        let order: &Order = &sent.order;
        self.ledger.doubted(order);
        if let Some(stats) = self.phase(sent.intended_ns) {
            stats.counts.lost += 1;
            stats.missed(sent.intended_ns);
        }
    }

    /// Writes to the board what has been counted since the last time.
    pub(crate) fn publish(&mut self) {
        let Self {
            board,
            draft,
            sums,
            fresh,
            ..
        } = self;
        board.write(draft, sums, fresh);
    }
}

/// How often threads publish: once a slice.
pub(crate) const PUBLISH_EVERY: Duration = SLICE;
