//! The follower without its thread, for simulations: it does a turn when it is told
//! to, so that its operations on the disk follow from a seed. Without sled, whose
//! threads are its own, and without a pace, which is real time's.

use std::sync::Arc;

use super::handle::{FollowerError, FollowerOptions, Shared, Status};
use super::worker::Worker;

/// A follower that is driven by its owner.
pub struct InlineFollower {
    worker: Worker,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for InlineFollower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InlineFollower")
    }
}

impl InlineFollower {
    /// As [`super::Follower::start`].
    ///
    /// # Errors
    /// As there.
    pub fn new(options: FollowerOptions) -> Result<Self, FollowerError> {
        let shared = Arc::new(Shared::default());
        let worker = Worker::new(options, Arc::clone(&shared))?;
        Ok(Self { worker, shared })
    }

    /// Does what one turn of the thread would: applies durable groups, or writes a
    /// block of a base file. `false` when there was nothing to do.
    ///
    /// # Errors
    /// Why the follower's thread would have stopped.
    pub fn turn(&mut self) -> Result<bool, FollowerError> {
        self.worker.turn().map(|turn| turn.worked)
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status().clone()
    }

    /// As [`super::FollowerHandle::extracts`].
    #[must_use]
    pub fn extracts(&self) -> Option<Arc<crate::Extracts>> {
        self.shared.extracts()
    }

    /// As [`super::FollowerHandle::nudge_base`].
    pub fn nudge_base(&self, seq: gapless_engine::ids::Seq) {
        self.shared
            .base_wanted
            .fetch_max(seq.max(1), std::sync::atomic::Ordering::AcqRel);
    }

    /// Its instance of the core.
    #[must_use]
    pub fn engine(&self) -> &gapless_engine::Engine {
        self.worker.engine()
    }
}
