//! The engine as one connection sees it: requests in, released answers out.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use gapless_engine::Engine;
use gapless_engine::command::{Command, Request};
use gapless_engine::date::Date;
use gapless_engine::ids::{NetworkId, Seq, TimeUs};
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
    fetch: Cell<Fetch>,
}

/// Whether what a link has taken waits for something out of files.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Fetch {
    #[default]
    Nothing,
    UnderWay,
    Done,
}

impl LinkSignal {
    pub(super) fn wake(&self) {
        self.notify.notify_one();
    }

    /// What the link waits for has been fetched.
    pub(super) fn fetched(&self) {
        self.fetch.set(Fetch::Done);
        self.wake();
    }
}

/// One connection's way to the engine. Dropping it forgets the answers that are
/// outstanding; their effects stay, and the peer's repeat or reversal finds them.
pub struct LinkPort {
    shared: Rc<Shared>,
    signal: Rc<LinkSignal>,
    /// Taken, and decided at the next flush, which stamps them.
    taken: Vec<(u32, Command)>,
    /// In order of submission, which is the order of `durable_at` as well.
    outstanding: VecDeque<(u32, Outcome)>,
    /// The network that this connection sees to, if it does.
    claimed: Option<NetworkId>,
}

impl Drop for LinkPort {
    fn drop(&mut self) {
        self.unclaim();
        self.shared.core.borrow_mut().settled(self.taken.len());
    }
}

impl LinkPort {
    pub(super) fn new(shared: Rc<Shared>) -> Self {
        Self {
            shared,
            signal: Rc::default(),
            taken: Vec::new(),
            outstanding: VecDeque::new(),
            claimed: None,
        }
    }

    /// Takes a request, to be decided at the next [`Self::flush`]. `tag` comes
    /// back with the outcome.
    ///
    /// # Errors
    /// [`Refused`]: nothing will happen, the answer is 91.
    pub fn submit(&mut self, tag: u32, request: &Request) -> Result<(), Refused> {
        // Nothing else runs on this thread while a read is taken in, so that one look
        // for all of it will do; and once the daemon stops, links read no more.
        if self.taken.is_empty() && self.shared.stopping.is_cancelled() {
            return Err(Refused::Stopping);
        }
        self.shared.core.borrow_mut().admit(request)?;
        let command = Command {
            time_us: 0,
            day: Date(0),
            request: *request,
        };
        self.taken.push((tag, command));
        Ok(())
    }

    /// End of what one socket read brought: all of it is decided, in order. The journal
    /// thread is told when whoever else is ready has had his turn; this link will be,
    /// once, when it is durable.
    ///
    /// Deciding a batch at once lets its waits for memory overlap
    /// ([`Engine::prepare`](gapless_engine::Engine::prepare)). What is about a
    /// transaction that has left memory waits until that is fetched, and what comes
    /// behind it on this connection waits with it; others go on.
    pub fn flush(&mut self) {
        // Once, unless a simulation's disk has given what is needed meanwhile.
        while !self.taken.is_empty() && self.signal.fetch.get() != Fetch::UnderWay {
            self.signal.fetch.set(Fetch::Nothing);
            self.decide();
        }
    }

    fn decide(&mut self) {
        let mut core = self.shared.core.borrow_mut();
        if self.taken.len() > 1 {
            core.engine
                .prepare(self.taken.iter().map(|(_, command)| &command.request));
        }
        let outstanding = &mut self.outstanding;
        let unread = core.execute_read(&mut self.taken, |tag, outcome| {
            outstanding.push_back((tag, outcome));
        });
        let decided = unread.unwrap_or(self.taken.len());
        core.settled(decided);
        self.taken.drain(..decided);
        let wanted = unread.map(|_| {
            let behind = self.taken.iter().skip(1);
            core.wanted(behind.map(|(_, command)| command.request))
        });
        // More of the same read is to come: it ends with that.
        let is_on_its_way = wanted.is_none() && core.flush_read(&self.shared.gauges);
        drop(core);
        if !is_on_its_way {
            self.shared.gathered.notify_one();
        }
        if let Some(wanted) = wanted {
            self.signal.fetch.set(Fetch::UnderWay);
            self.shared.fetch(wanted, Some(Rc::clone(&self.signal)));
        }
        if let Some((_, last)) = self.outstanding.back() {
            self.shared
                .wake_at(last.durable_at, Wake::Link(Rc::clone(&self.signal)));
        }
    }

    /// The next outcome that may leave, in order of submission.
    pub fn take_released(&mut self) -> Option<(u32, Outcome)> {
        if self.signal.fetch.get() == Fetch::Done {
            self.flush();
        }
        if self.next_durable_at()? > self.shared.durable.get() {
            return None;
        }
        self.outstanding.pop_front()
    }

    /// Waits until [`Self::take_released`] has something, or something to do; pending for ever while
    /// nothing is outstanding. Cancel-safe.
    pub async fn released(&self) {
        loop {
            match self.next_durable_at() {
                _ if self.signal.fetch.get() == Fetch::Done => return,
                Some(seq) if seq <= self.shared.durable.get() => return,
                _ => self.signal.notify.notified().await,
            }
        }
    }

    /// Takes it on this connection to tell a network what it is owed; `false` while
    /// another connection has it.
    pub(crate) fn claim(&mut self, network: NetworkId) -> bool {
        if self.claimed == Some(network) {
            return true;
        }
        self.unclaim();
        let mut claims = self.shared.claims.borrow_mut();
        if claims.contains(&network) {
            return false;
        }
        claims.push(network);
        self.claimed = Some(network);
        true
    }

    /// Leaves it to another connection.
    pub(crate) fn unclaim(&mut self) {
        if let Some(network) = self.claimed.take() {
            self.shared
                .claims
                .borrow_mut()
                .retain(|claimed| *claimed != network);
        }
    }

    /// Looks at the engine, between two commands.
    pub(crate) fn look<R>(&self, f: impl FnOnce(&Engine) -> R) -> R {
        f(&self.shared.core.borrow().engine)
    }

    /// How far the journal is durable.
    pub(crate) fn durable(&self) -> Seq {
        self.shared.durable.get()
    }

    /// Engine time, microseconds since the Unix epoch.
    pub(crate) fn now_us(&self) -> TimeUs {
        self.shared.core.borrow_mut().now_us()
    }

    /// How many answers are still to come.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.taken.len() + self.outstanding.len()
    }

    fn next_durable_at(&self) -> Option<Seq> {
        self.outstanding
            .front()
            .map(|(_, outcome)| outcome.durable_at)
    }
}
