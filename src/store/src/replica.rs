//! The second instance of the core, with what is known of its stored rows.

use gapless_engine::ids::Seq;
use gapless_engine::{Engine, Reserved};

use crate::dirty::Dirty;
use crate::remembered::{Extents, Remembered};
use crate::rows::store::RowStore;

/// A recovered replica: what [`crate::load`] hands to [`crate::Follower::start`].
#[derive(Debug)]
pub struct Replica {
    pub(crate) engine: Engine,
    /// Chunks that differ from what is stored.
    pub(crate) dirty: Dirty,
    /// The open database, if it holds a mark that the replica goes on from.
    pub(crate) rows: Option<RowStore>,
    /// Sequence of that mark; 0 without one.
    pub(crate) mark: Seq,
    /// What the mark leaves to files.
    pub(crate) mark_files: Extents,
    /// What of the replica is in files.
    pub(crate) remembered: Remembered,
    /// The newest base file that was found good, 0 for none; `None`: from rows, and none
    /// was found bad.
    pub(crate) base: Option<Seq>,
}

impl Replica {
    /// The instance itself.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// As [`Engine::tell_of_records`].
    pub fn tell_of_records(&mut self, reserved: Reserved) {
        self.engine.tell_of_records(reserved);
    }
}
