//! Notes of what was looked at and could not be seen.

use std::cell::{Cell, RefCell};

use super::BlockRef;

/// Blocks that one look takes note of; the others come at the next.
const NOTED_BLOCKS: usize = 1024;

/// What was looked at and is not at hand.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    any: Cell<bool>,
    unreadable: Cell<bool>,
    missing: RefCell<Vec<BlockRef>>,
}

impl Notes {
    #[inline(always)]
    pub const fn any(&self) -> bool {
        self.any.get()
    }

    pub const fn is_unreadable(&self) -> bool {
        self.unreadable.get()
    }

    #[cold]
    pub(super) fn missing(&self, block: BlockRef) {
        self.any.set(true);
        let mut missing = self.missing.borrow_mut();
        if missing.len() < NOTED_BLOCKS && !missing.contains(&block) {
            missing.push(block);
        }
    }

    #[cold]
    pub(super) fn unreadable(&self) {
        self.any.set(true);
        self.unreadable.set(true);
    }

    /// Clears them; whether something cannot be read.
    pub fn take(&self) -> (bool, Vec<BlockRef>) {
        self.any.set(false);
        (self.unreadable.take(), self.missing.take())
    }
}
