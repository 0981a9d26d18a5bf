//! The engine as one connection sees it: requests in, released answers out.

use std::collections::VecDeque;
use std::rc::Rc;

use gapless_engine::code::ResponseCode;
use gapless_engine::command::Request;
use gapless_engine::Answer;
use gapless_engine::ids::Seq;
use gapless_engine::outcome::Outcome;
use tokio::sync::Notify;

use super::core::{Shared, Wake};

/// Why a request was not taken: answered 91, and it has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too much waits for the journal.
    #[error("too much is in flight")]
    Busy,
    /// The journal has no space left but its reserve.
    #[error("the journal has no space left")]
    NoSpace,
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Stopping,
}

/// Woken when the link has something to write.
#[derive(Default)]
pub(super) struct LinkSignal {
    notify: Notify,
}

impl LinkSignal {
    pub(super) fn wake(&self) {
        self.notify.notify_one();
    }
}

/// One connection's way to the engine. Dropping it forgets the answers that are
/// outstanding; their effects stay, and the peer's repeat or reversal finds them.
pub struct LinkPort {
    shared: Rc<Shared>,
    signal: Rc<LinkSignal>,
    /// In order of submission, which is the order of `durable_at` as well.
    outstanding: VecDeque<(u32, Outcome)>,
    unflushed: bool,
}

impl LinkPort {
    pub(super) fn new(shared: Rc<Shared>) -> Self {
        Self {
            shared,
            signal: Rc::default(),
            outstanding: VecDeque::new(),
            unflushed: false,
        }
    }

    /// Has the engine decide. `tag` comes back with the outcome.
    ///
    /// # Errors
    /// [`Refused`]: nothing happened, the answer is 91.
    pub fn submit(&mut self, tag: u32, request: &Request) -> Result<(), Refused> {
        if self.shared.stopping.is_cancelled() {
            return Err(Refused::Stopping);
        }
        let mut core = self.shared.core.borrow_mut();
        core.admit(request)?;
        let answer = core.execute(request);
        let outcome = match answer {
            Answer::Message(outcome) => outcome,
            // Only messages come from links; another answer would be a fault of ours.
            Answer::Put(_) | Answer::Done => {
                let date = core.engine.business().default;
                Outcome {
                    code: ResponseCode::Malfunction,
                    seq: 0,
                    durable_at: core.engine.last_seq(),
                    business_date: date,
                    settlement_date: date,
                    balances: None,
                    is_repeat: false,
                }
            }
        };
        self.outstanding.push_back((tag, outcome));
        self.unflushed = true;
        Ok(())
    }

    /// End of what one socket read brought: the journal thread is woken once, and
    /// this link will be once, when all of it is durable.
    pub fn flush(&mut self) {
        if !std::mem::take(&mut self.unflushed) {
            return;
        }
        self.shared
            .core
            .borrow_mut()
            .flush(&self.shared.gauges);
        if let Some((_, last)) = self.outstanding.back() {
            self.shared
                .wake_at(last.durable_at, Wake::Link(Rc::clone(&self.signal)));
        }
    }

    /// The next outcome that may leave, in order of submission.
    pub fn take_released(&mut self) -> Option<(u32, Outcome)> {
        if self.next_durable_at()? > self.shared.durable.get() {
            return None;
        }
        self.outstanding.pop_front()
    }

    /// Waits until [`Self::take_released`] has something; pending for ever while
    /// nothing is outstanding. Cancel-safe.
    pub async fn released(&self) {
        loop {
            match self.next_durable_at() {
                Some(seq) if seq <= self.shared.durable.get() => return,
                _ => self.signal.notify.notified().await,
            }
        }
    }

    /// How many answers are still to come.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    fn next_durable_at(&self) -> Option<Seq> {
        self.outstanding.front().map(|(_, outcome)| outcome.durable_at)
    }
}
