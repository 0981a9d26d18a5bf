//! One checkpoint: the rows that have changed, then the mark.
//!
//! The mark is taken at the start, the rows are written as they are by the time
//! that their turn comes: a row may be ahead of the mark, never behind. What is
//! not rows (residue, counts) is kept as it was at the mark. What is remembered is not
//! stored here: a start takes it from the newest base file and from the journal.

use gapless_engine::Engine;
use gapless_engine::ids::{AccountIx, CardIx};

use crate::dirty::Dirty;
use crate::format::SIZES;
use crate::remembered::{Extents, Remembered};
use crate::rows::actor::SledError;
use crate::rows::entry::{ACCOUNTS_PER_CHUNK, CARDS_PER_CHUNK, ENTRIES_PER_BATCH, Key};
use crate::rows::mark::Mark;
use crate::rows::store::{Gather, RowStore, residue_pieces};

/// Bytes between two syncs: a big dirty file synced at once would stall the journal's own syncs.
const SYNC_EVERY: u64 = 2 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Residue(u32),
    Rows(Option<Key>),
    SyncRows,
    Mark,
    SyncMark,
    Tidy,
    Done,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// sled is still at work on the last one.
    Busy,
    /// So many bytes are on their way.
    Wrote(u64),
    /// Everything is durable, and the mark is set.
    Done,
}

/// A checkpoint under way.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    stage: Stage,
    todo: Dirty,
    mark: Mark,
    residue: Vec<u8>,
    unsynced: u64,
}

impl Checkpoint {
    /// Starts one at the engine's present sequence; takes over what is dirty.
    pub(crate) fn begin(
        engine: &Engine,
        uuid: [u8; 16],
        store: &RowStore,
        dirty: &mut Dirty,
        remembered: &Remembered,
    ) -> Self {
        let residue = engine.residue();
        let mark = Mark {
            uuid,
            seq: engine.last_seq(),
            state_hash: engine.state_hash(),
            accounts: engine.accounts_len(),
            cards: engine.cards_len(),
            files: remembered.extents_of(engine),
            slot: store.free_slot(),
            residue: residue.len() as u64,
            sizes: SIZES,
        };
        Self {
            stage: Stage::Residue(0),
            todo: std::mem::take(dirty),
            mark,
            residue,
            unsynced: 0,
        }
    }

    /// The sequence that it marks.
    pub(crate) fn seq(&self) -> u64 {
        self.mark.seq
    }

    /// What the mark leaves to files.
    pub(crate) fn files(&self) -> &Extents {
        &self.mark.files
    }

    /// Goes on by one batch or one sync, unless sled is busy.
    pub(crate) fn step(
        &mut self,
        store: &mut RowStore,
        engine: &Engine,
        dirty: &mut Dirty,
    ) -> Result<Step, SledError> {
        if !store.poll()? {
            return Ok(Step::Busy);
        }
        if self.unsynced >= SYNC_EVERY {
            self.unsynced = 0;
            store.sync()?;
            return Ok(Step::Wrote(0));
        }
        match self.stage {
            Stage::Residue(next) => self.write_residue(store, next),
            Stage::Rows(last) => self.write_rows(store, engine, dirty, last),
            Stage::SyncRows => {
                store.sync()?;
                self.stage = Stage::Mark;
                Ok(Step::Wrote(0))
            }
            Stage::Mark => {
                let mut gather = Gather::default();
                store.put_mark(&mut gather, &self.mark);
                self.stage = Stage::SyncMark;
                self.send(store, gather)
            }
            Stage::SyncMark => {
                store.sync()?;
                self.stage = Stage::Tidy;
                Ok(Step::Wrote(0))
            }
            Stage::Tidy => {
                let surplus = store.surplus(ENTRIES_PER_BATCH);
                if surplus.is_empty() {
                    self.stage = Stage::Done;
                    return Ok(Step::Done);
                }
                let mut gather = Gather::default();
                for key in surplus {
                    store.remove(&mut gather, key);
                }
                self.send(store, gather)
            }
            Stage::Done => Ok(Step::Done),
        }
    }

    fn send(&mut self, store: &mut RowStore, gather: Gather) -> Result<Step, SledError> {
        let bytes = gather.bytes;
        self.unsynced += bytes;
        store.write(gather)?;
        Ok(Step::Wrote(bytes))
    }

    fn write_residue(&mut self, store: &mut RowStore, next: u32) -> Result<Step, SledError> {
        let mut gather = Gather::default();
        let mut after = next;
        let pieces = residue_pieces(&self.residue);
        for (piece, bytes) in pieces.skip(next as usize).take(ENTRIES_PER_BATCH) {
            store.put(&mut gather, Key::Residue(self.mark.slot, piece), 1, bytes);
            after = piece + 1;
        }
        if after == next {
            self.stage = Stage::Rows(None);
            return Ok(Step::Wrote(0));
        }
        self.stage = Stage::Residue(after);
        self.send(store, gather)
    }

    fn write_rows(
        &mut self,
        store: &mut RowStore,
        engine: &Engine,
        dirty: &mut Dirty,
        mut last: Option<Key>,
    ) -> Result<Step, SledError> {
        let mut gather = Gather::default();
        let mut payload = Vec::new();
        for _ in 0..ENTRIES_PER_BATCH {
            let Some(key) = self.todo.next(last) else {
                break;
            };
            payload.clear();
            let items = pack(engine, key, &mut payload);
            store.put(&mut gather, key, items, &payload);
            // What has changed since the mark is stored along with it.
            dirty.remove(key);
            last = Some(key);
        }
        if gather.bytes == 0 {
            self.stage = Stage::SyncRows;
            return Ok(Step::Wrote(0));
        }
        self.stage = Stage::Rows(last);
        self.send(store, gather)
    }
}

/// A chunk's rows as they are now; returns how many.
fn pack(engine: &Engine, key: Key, payload: &mut Vec<u8>) -> u16 {
    let range = |chunk: u32, size: u32| {
        let first = chunk.saturating_mul(size);
        first..first.saturating_add(size)
    };
    let mut items = 0;
    match key {
        Key::Accounts(chunk) => {
            for row in
                range(chunk, ACCOUNTS_PER_CHUNK).map_while(|ix| engine.account_row(AccountIx(ix)))
            {
                payload.extend_from_slice(&row.to_bytes());
                items += 1;
            }
        }
        Key::Cards(chunk) => {
            for row in range(chunk, CARDS_PER_CHUNK).map_while(|ix| engine.card_row(CardIx(ix))) {
                payload.extend_from_slice(&row.to_bytes());
                items += 1;
            }
        }
        Key::Digest | Key::Mark | Key::Residue(..) => {}
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_small_beside_a_sync() {
        let batch = ENTRIES_PER_BATCH * crate::rows::entry::MAX_VALUE;
        assert!((batch as u64) < SYNC_EVERY);
    }
}
