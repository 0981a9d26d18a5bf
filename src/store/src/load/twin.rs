//! Two instances while the journal is replayed.

use std::sync::Arc;

use gapless_engine::ids::Seq;
use gapless_engine::{Body, Breach, Engine, Event};
use gapless_journal::{Disk, JournalError, Reader};

use super::loaders::{both, cannot_write, full_of};
use super::{LoadOptions, LoadStateError, Loaded, Source};
use crate::dirty::Dirty;
use crate::options::Dirs;
use crate::remembered::{Extents, Remembered, RememberedError};
use crate::replica::Replica;
use crate::rows::store::RowStore;
use crate::state;

/// Two instances while the journal is replayed.
pub(super) struct Twin {
    pub(super) live: Engine,
    pub(super) follower: Engine,
    pub(super) remembered: Remembered,
    pub(super) dirty: Dirty,
    pub(super) replayed: u64,
}

impl Twin {
    pub(super) fn empty(options: &LoadOptions, remembered: Remembered) -> Self {
        let [live, follower] = both(options).map(|each| Engine::new_in(each, options.reserved));
        Self {
            live,
            follower,
            remembered,
            dirty: Dirty::default(),
            replayed: 0,
        }
    }

    pub(super) fn into_loaded(
        mut self,
        source: Source,
        rows: Option<(RowStore, Extents)>,
        options: &LoadOptions,
        notes: Vec<String>,
    ) -> Loaded {
        let (dirty, mark) = match source {
            Source::Rows(mark) => (self.dirty, mark),
            Source::Base(_) | Source::Journal => (state::all_dirty(&self.follower), 0),
        };
        let (rows, mark_files) = rows.unzip();
        let archive = self.remembered.archive.clone();
        self.live.hold_in_memory(options.store.remembered_in_memory);
        // What could not be written here, the follower tries again.
        let mut remembered = Remembered::new(archive.clone(), &options.store);
        remembered.extents = self.remembered.extents;
        Loaded {
            live: self.live,
            follower: Replica {
                engine: self.follower,
                dirty,
                rows,
                mark,
                mark_files: mark_files.unwrap_or_default(),
                remembered,
                base: match source {
                    Source::Rows(_) => None,
                    Source::Base(_) | Source::Journal => Some(source.seq()),
                },
            },
            source,
            replayed: self.replayed,
            notes,
            archive,
        }
    }
}

pub(super) enum ReplayError {
    /// Another source may do better.
    Disagrees(String),
    Fatal(LoadStateError),
}

impl From<JournalError> for ReplayError {
    fn from(error: JournalError) -> Self {
        Self::Fatal(error.into())
    }
}

/// Replays the journal behind the twin's sequence to its end: decoded once, applied twice.
pub(super) fn replay(
    disk: &Arc<dyn Disk>,
    dirs: &Dirs,
    options: &LoadOptions,
    mut twin: Twin,
) -> Result<Twin, ReplayError> {
    let ahead = twin.live.consistent_from();
    if ahead > options.head {
        return Err(ReplayError::Disagrees(format!(
            "a row is ahead of the journal, at {ahead}"
        )));
    }
    let from = twin.live.last_seq();
    if from < options.head {
        let mut reader = Reader::open(Arc::clone(disk), dirs.journal.clone(), from + 1)?;
        let mut event = Event::BLANK;
        while let Some(group) = reader.next(options.head)? {
            let mut rest = group.events;
            while !rest.is_empty() {
                let next = twin.live.last_seq() + 1;
                rest = event.decode_from(rest).map_err(|error| {
                    ReplayError::Fatal(LoadStateError::Replay(format!("event {next}: {error}")))
                })?;
                if event.seq >= next {
                    twin.apply(&event, next, options)?;
                }
            }
        }
    }
    if twin.live.last_seq() != options.head {
        let what = format!(
            "it ends at {} instead of {}",
            twin.live.last_seq(),
            options.head
        );
        return Err(ReplayError::Fatal(LoadStateError::Replay(what)));
    }
    if twin.live.state_hash() != twin.follower.state_hash() {
        return Err(ReplayError::Disagrees(
            "the two instances differ".to_owned(),
        ));
    }
    Ok(twin)
}

impl Twin {
    fn apply(
        &mut self,
        event: &Event,
        next: Seq,
        options: &LoadOptions,
    ) -> Result<(), ReplayError> {
        if event.seq != next {
            let what = format!("event {} follows where {next} is due", event.seq);
            return Err(ReplayError::Fatal(LoadStateError::Replay(what)));
        }
        let files = &self.remembered.archive;
        let unread = |error: RememberedError| ReplayError::Disagrees(error.to_string());
        let check = next > self.live.consistent_from();
        let checked = files.checked(&mut self.live, event, check);
        if let Err(breach) = checked.map_err(unread)? {
            if breach == Breach::Room {
                return Err(ReplayError::Fatal(full_of(wants_room(event), options)));
            }
            return Err(ReplayError::Disagrees(format!(
                "event {next} does not fit: {breach}"
            )));
        }
        let checked = files.checked(&mut self.follower, event, false);
        // Nothing is checked a second time.
        let _ = checked.map_err(unread)?;
        self.live.apply(event);
        state::apply(&mut self.follower, event, &mut self.dirty);
        self.replayed += 1;
        let engines = &mut [&mut self.follower, &mut self.live];
        if let Err(error) = self.remembered.ease(engines) {
            cannot_write(&mut self.remembered, &error);
        }
        match self.live.divergence().or(self.follower.divergence()) {
            Some(seq) => Err(ReplayError::Disagrees(format!(
                "the state at event {seq} is not the one that was attested"
            ))),
            None => Ok(()),
        }
    }
}

/// Of what an event that finds no room would add one.
const fn wants_room(event: &Event) -> &'static str {
    match &event.body {
        Body::InternalOpened(_) | Body::AccountPut(_) => "accounts",
        Body::CardPut(_) => "cards",
        _ => "remembered transactions",
    }
}
