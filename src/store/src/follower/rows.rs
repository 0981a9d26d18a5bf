//! sled in the follower's hands: open, being rebuilt, or given up on.

use std::time::{Duration, Instant};

use gapless_engine::Engine;
use gapless_engine::date::Date;
use gapless_engine::ids::Seq;

use super::checkpoint::{Checkpoint, Step};
use super::handle::RowsState;
use super::pace::Pace;
use crate::dirty::Dirty;
use crate::options::{Dirs, StoreOptions};
use crate::remembered::{Extents, Remembered};
use crate::rows::actor::{SledError, SledOptions};
use crate::rows::aside;
use crate::rows::store::RowStore;

/// An abandoned handle cannot be dropped, and one of sled's own threads may have
/// died with it: after so many, sled is left alone until the next start.
const MAX_ABANDONED: u64 = 5;

/// sled, and what it has of the replica.
#[derive(Debug)]
pub(crate) struct Rows {
    store: Option<RowStore>,
    dir: Option<std::path::PathBuf>,
    options: SledOptions,
    limits: StoreOptions,
    uuid: [u8; 16],
    dirty: Dirty,
    /// What the last mark leaves to files.
    files: Extents,
    checkpoint: Option<Checkpoint>,
    pace: Pace,
    /// When the last checkpoint began.
    begun: Option<Instant>,
    retry_at: Option<Instant>,
    /// Sequence of the last mark.
    pub(crate) mark: Seq,
    pub(crate) checkpoints: u64,
    pub(crate) set_aside: u64,
    abandoned: u64,
}

/// What driving it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driven {
    /// Nothing to do before this instant (`None`: until something changes).
    Idle(Option<Instant>),
    /// So many bytes were written.
    Wrote(u64),
}

impl Rows {
    pub(crate) fn new(
        dirs: &Dirs,
        limits: &StoreOptions,
        uuid: [u8; 16],
        store: Option<RowStore>,
        dirty: Dirty,
        (mark, files): (Seq, Extents),
        now: Instant,
    ) -> Self {
        Self {
            store,
            dir: dirs.rows.clone(),
            options: sled_options(limits),
            limits: limits.clone(),
            uuid,
            dirty,
            files,
            checkpoint: None,
            pace: Pace::new(limits.checkpoint_bytes_per_s, now),
            begun: None,
            retry_at: None,
            mark,
            checkpoints: 0,
            set_aside: 0,
            abandoned: 0,
        }
    }

    pub(crate) fn state(&self) -> RowsState {
        match (&self.store, &self.dir) {
            (_, None) => RowsState::Off,
            (Some(_), _) if self.mark > 0 || self.set_aside == 0 => RowsState::On,
            _ => RowsState::Rebuilding,
        }
    }

    /// Dates of which the last mark leaves something to files, or the one that the
    /// checkpoint under way is about to set.
    pub(crate) fn dates_in_files(&self) -> impl Iterator<Item = Date> {
        let under_way = self.checkpoint.iter().map(Checkpoint::files);
        under_way.chain([&self.files]).flat_map(Extents::dates)
    }

    /// Whether a checkpoint has begun and not ended.
    pub(crate) fn is_under_way(&self) -> bool {
        self.checkpoint.is_some()
    }

    /// Where applied events note what they change.
    pub(crate) fn dirty(&mut self) -> &mut Dirty {
        &mut self.dirty
    }

    /// Goes on with the checkpoint under way, or begins one that is due; `base` is the
    /// sequence of the newest base file, beside which an older mark is of no use. `room`
    /// says whether the disk has space to spare.
    pub(crate) fn drive(
        &mut self,
        engine: &Engine,
        remembered: &Remembered,
        base: Seq,
        now: Instant,
        hurry: bool,
        room: impl FnOnce() -> bool,
    ) -> Driven {
        if self.dir.is_none() {
            return Driven::Idle(None);
        }
        if let Some(retry_at) = self.retry_at
            && now < retry_at
        {
            return Driven::Idle(Some(retry_at));
        }
        let behind = engine.last_seq().saturating_sub(self.mark);
        // The first checkpoint writes everything, and is no reason to hurry.
        let late = self.mark > 0 && behind > self.limits.checkpoint_after_events.saturating_mul(2);
        let unpaced = hurry || late;
        if self.checkpoint.is_none() {
            if let Some(wait) = self.not_due(now, hurry || self.mark < base, behind) {
                return wait;
            }
            if !room() {
                tracing::warn!("no checkpoint is begun: the disk is nearly full");
                self.retry_at = now.checked_add(self.limits.retry_after);
                return Driven::Idle(self.retry_at);
            }
        }
        if !unpaced && now < self.pace.free_at() {
            return Driven::Idle(Some(self.pace.free_at()));
        }
        match self.advance(engine, remembered, now) {
            Ok(Step::Busy) => Driven::Idle(now.checked_add(Duration::from_millis(1))),
            Ok(Step::Wrote(bytes)) => {
                self.pace.spent(bytes, now);
                Driven::Wrote(bytes)
            }
            Ok(Step::Done) => {
                if let Some(done) = self.checkpoint.take() {
                    self.mark = done.seq();
                    self.files = done.files().clone();
                    self.checkpoints += 1;
                    tracing::debug!(seq = self.mark, "checkpoint");
                }
                Driven::Wrote(0)
            }
            Err(error) => {
                self.abandon(engine, &error, now);
                Driven::Idle(self.retry_at)
            }
        }
    }

    fn not_due(&self, now: Instant, hurry: bool, behind: u64) -> Option<Driven> {
        if behind == 0 {
            return Some(Driven::Idle(None));
        }
        let due_at = self
            .begun
            .and_then(|begun| begun.checked_add(self.limits.checkpoint_every));
        let many = behind >= self.limits.checkpoint_after_events;
        match due_at {
            Some(due_at) if now < due_at && !hurry && !many => Some(Driven::Idle(Some(due_at))),
            _ => None,
        }
    }

    fn advance(
        &mut self,
        engine: &Engine,
        remembered: &Remembered,
        now: Instant,
    ) -> Result<Step, SledError> {
        let store = match &mut self.store {
            Some(store) => store,
            slot @ None => {
                let Some(dir) = &self.dir else {
                    return Ok(Step::Done);
                };
                // A new store begins empty, or its digest would not be that of its entries.
                if let Ok(Some(_)) = aside::set_aside(dir) {
                    self.set_aside += 1;
                }
                slot.insert(RowStore::open(dir, &self.options)?)
            }
        };
        let checkpoint = match &mut self.checkpoint {
            Some(checkpoint) => checkpoint,
            slot @ None => {
                self.begun = Some(now);
                slot.insert(Checkpoint::begin(
                    engine,
                    self.uuid,
                    store,
                    &mut self.dirty,
                    remembered,
                ))
            }
        };
        checkpoint.step(store, engine, &mut self.dirty)
    }

    /// sled has failed: its directory is set aside, and everything is written anew.
    fn abandon(&mut self, engine: &Engine, error: &SledError, now: Instant) {
        // A handle that has failed must not be dropped: the actor sees to that.
        self.store = None;
        self.checkpoint = None;
        self.mark = 0;
        self.files = Extents::default();
        self.abandoned += 1;
        self.dirty = crate::state::all_dirty(engine);
        let backoff = 1u32 << self.abandoned.min(6);
        self.retry_at = now.checked_add(self.limits.retry_after.saturating_mul(backoff / 2));
        let Some(dir) = &self.dir else { return };
        match aside::set_aside(dir) {
            Ok(Some(aside)) => {
                self.set_aside += 1;
                tracing::error!(
                    %error,
                    aside = %aside.display(),
                    "sled is set aside and its rows are written anew; nothing is lost, payments go on"
                );
            }
            Ok(None) => tracing::error!(%error, "sled failed; nothing is lost, payments go on"),
            Err(io) => tracing::error!(
                %error, %io,
                "sled failed and cannot be set aside; nothing is lost, payments go on"
            ),
        }
        if self.abandoned >= MAX_ABANDONED {
            tracing::error!(
                "sled has failed too often and is left alone until the next start, which will begin from the newest base file"
            );
            self.dir = None;
        }
    }

    /// Finishes what is under way and closes sled properly.
    pub(crate) fn close(mut self) {
        if let Some(store) = self.store.take()
            && let Err(error) = store.close()
        {
            tracing::warn!(%error, "sled did not close properly; the next start will look at it");
        }
    }
}

/// How sled is used under these limits.
pub(crate) fn sled_options(limits: &StoreOptions) -> SledOptions {
    SledOptions {
        cache_bytes: limits.sled_cache_bytes,
        reopen_after_bytes: limits.sled_reopen_bytes,
        patience: limits.sled_patience,
    }
}
