//! Remembered transactions that have left memory: fetched for requests that are about
//! them, without the engine's thread waiting for a disk.

use std::rc::Rc;

use gapless_engine::command::{Command, Request};
use gapless_engine::date::Date;
use gapless_engine::{BlockRef, Freed};

use super::core::{Core, EngineHandle, Shared};
use super::link_port::LinkSignal;

/// Blocks that one fetch asks for, about: what the first request needs, and as much of
/// what the others may need.
const AT_ONCE: usize = 1024;
/// Blocks that one step of lending takes: each may pass over some that are lent.
const LENT_AT_ONCE: usize = 64;
/// Slots that one step of letting go looks at: each is a wait for memory or two.
const SLOTS_AT_ONCE: u32 = 128;

/// A block, or that it cannot be read.
pub type Fetched = (BlockRef, Option<Vec<u8>>);

/// Asks for blocks; what they hold comes back by [`EngineHandle::lend`], with the ticket.
type Ask = Rc<dyn Fn(u64, Vec<BlockRef>)>;

/// What is being fetched, and for whom.
#[derive(Default)]
pub(super) struct Fetching {
    ask: Option<Ask>,
    tickets: u64,
    waiting: Vec<(u64, Rc<LinkSignal>)>,
}

impl Core {
    /// What the command that was just tried needs out of files, and what those behind it
    /// may need. They are not decided, only looked at.
    pub(super) fn wanted(&mut self, behind: impl Iterator<Item = Request>) -> Vec<BlockRef> {
        let mut wanted = self.engine.wanted();
        let mut command = Command {
            time_us: self.engine.last_time_us(),
            day: self.engine.business().default,
            request: Request::Attest,
        };
        for request in behind {
            if wanted.len() >= AT_ONCE {
                break;
            }
            command.request = request;
            // Whatever it comes to.
            let _ = self.engine.decide(&command);
            wanted.append(&mut self.engine.wanted());
        }
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }
}

impl Shared {
    /// Fetches blocks, and tells a link when they are there.
    pub(super) fn fetch(&self, wanted: Vec<BlockRef>, link: Option<Rc<LinkSignal>>) {
        let mut fetching = self.fetching.borrow_mut();
        fetching.tickets += 1;
        let ticket = fetching.tickets;
        fetching.waiting.extend(link.map(|link| (ticket, link)));
        let ask = fetching.ask.clone();
        drop(fetching);
        match ask {
            Some(ask) => ask(ticket, wanted),
            // Nobody reads files: then nothing is ever put into one.
            None => {
                let blocks: Vec<Fetched> = wanted.into_iter().map(|block| (block, None)).collect();
                self.lend(ticket, &blocks);
            }
        }
    }

    fn lend(&self, ticket: u64, blocks: &[Fetched]) {
        self.lend_some(blocks);
        self.lent(ticket);
    }

    fn lend_some(&self, blocks: &[Fetched]) {
        let unreadable = blocks.iter().filter(|(_, bytes)| bytes.is_none()).count();
        self.gauges
            .add_fetched(blocks.len() as u64, unreadable as u64);
        let engine = &mut self.core.borrow_mut().engine;
        for (block, bytes) in blocks {
            engine.lend(*block, bytes.as_deref());
        }
    }

    /// Tells who waits for the ticket that all of it is lent.
    fn lent(&self, ticket: u64) {
        let mut fetching = self.fetching.borrow_mut();
        let link = fetching.waiting.iter().position(|(of, _)| *of == ticket);
        if let Some(at) = link {
            fetching.waiting.swap_remove(at).1.fetched();
        }
    }
}

/// A handle that does not keep the engine.
pub struct WeakHandle(std::rc::Weak<Shared>);

impl WeakHandle {
    /// The handle, while the engine is there.
    #[must_use]
    pub fn upgrade(&self) -> Option<EngineHandle> {
        self.0.upgrade().map(|shared| EngineHandle { shared })
    }
}

impl EngineHandle {
    /// A handle that does not keep the engine: for whoever reads files and is kept by it.
    #[must_use]
    pub fn downgrade(&self) -> WeakHandle {
        WeakHandle(Rc::downgrade(&self.shared))
    }

    /// Says who reads files of remembered transactions.
    pub fn records_from(&self, ask: impl Fn(u64, Vec<BlockRef>) + 'static) {
        self.shared.fetching.borrow_mut().ask = Some(Rc::new(ask));
    }

    /// Takes what was asked for with this ticket.
    pub fn lend(&self, ticket: u64, blocks: &[Fetched]) {
        self.shared.lend(ticket, blocks);
    }

    /// Lets go of some of the records of a date below a position, which are in files by
    /// now; `None` when there is more to do.
    #[must_use]
    pub fn spill_some(&self, date: Date, until: u32) -> Option<Freed> {
        let engine = &mut self.shared.core.borrow_mut().engine;
        engine.spill(date, until, SLOTS_AT_ONCE)
    }
}

/// Lets the live engine go of what is in files, a little at a time, payments between.
/// Memory is given back elsewhere, by `free`.
pub(crate) async fn spill(
    engine: EngineHandle,
    mut told: tokio::sync::mpsc::UnboundedReceiver<(Date, u32)>,
    free: impl Fn(Freed),
) {
    while let Some((date, until)) = told.recv().await {
        loop {
            let freed = engine.spill_some(date, until);
            tokio::task::yield_now().await;
            if let Some(freed) = freed {
                free(freed);
                break;
            }
        }
    }
}

/// Takes what was fetched by another thread, a little at a time, payments between.
pub(crate) async fn take_fetched(
    engine: EngineHandle,
    mut fetched: tokio::sync::mpsc::UnboundedReceiver<(u64, Vec<Fetched>)>,
) {
    while let Some((ticket, blocks)) = fetched.recv().await {
        for (at, some) in blocks.chunks(LENT_AT_ONCE).enumerate() {
            if at > 0 {
                tokio::task::yield_now().await;
            }
            engine.shared.lend_some(some);
        }
        engine.shared.lent(ticket);
        // Who was told looks before another's blocks come.
        tokio::task::yield_now().await;
    }
}
