//! From sled's rows, completed by what base files and the journal say of remembered
//! transactions.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use gapless_engine::ids::Seq;
use gapless_engine::{AccountRow, CardRow};
use gapless_journal::Disk;

use super::loaders::{Loaders, Unloaded, archive};
use super::recalled::{Past, RecallError, Recalled};
use super::twin::{ReplayError, Twin, replay};
use super::{LoadOptions, LoadStateError, Loaded, Source, check_head, check_identity};
use crate::base::BaseName;
use crate::follower::sled_options;
use crate::format::{Item, SIZES};
use crate::options::Dirs;
use crate::rows::aside;
use crate::rows::mark::Mark;
use crate::rows::store::{RowStore, RowsError};

/// What came of sled's rows.
pub(super) enum FromRows {
    Loaded(Box<Loaded>),
    /// There are none.
    Missing,
    /// They cannot be used, and are where they were.
    Unfit(Unfit),
    /// They are more than the engine is set up for.
    Full(&'static str),
}

/// Why rows cannot be used.
pub(super) struct Unfit {
    why: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A base file is newer than a mark that was read as it was written.
    Older,
    /// Mostly the process was killed before its first checkpoint was done, or it was of
    /// another version; but damage may have hit the mark, so they are kept for a look.
    Expected,
    Damaged,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sled is of no use ({})", self.why)
    }
}

impl Unfit {
    pub(super) fn damaged(why: String) -> Self {
        let kind = Kind::Damaged;
        Self { why, kind }
    }

    /// Moves sled out of the way, and tells so.
    pub(super) fn clear_away(self, dir: &Path) -> Result<String, LoadStateError> {
        if self.kind == Kind::Older {
            // Nothing about it is worth a look.
            std::fs::remove_dir_all(dir)?;
            let note = format!("{self} and its rows will be written anew");
            tracing::info!("{note}; nothing is lost");
            return Ok(note);
        }
        let note = match aside::set_aside(dir)? {
            Some(aside) => format!(
                "sled is set aside as {} ({}) and its rows will be written anew",
                aside.display(),
                self.why
            ),
            None => self.to_string(),
        };
        if self.kind == Kind::Expected {
            tracing::info!("{note}; nothing is lost");
        } else {
            tracing::warn!("{note}; nothing is lost");
        }
        Ok(note)
    }
}

/// Why one attempt came to nothing.
enum Stop {
    Unfit(Unfit),
    Full(&'static str),
    /// A base file is of no use, and there may be an older one.
    Base(BaseName, String),
    Fatal(LoadStateError),
}

impl From<LoadStateError> for Stop {
    fn from(error: LoadStateError) -> Self {
        Self::Fatal(error)
    }
}

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Self::Unfit(Unfit::damaged(why))
    }
}

pub(super) fn from_rows(
    disk: &Arc<dyn Disk>,
    dirs: &Dirs,
    options: &LoadOptions,
) -> Result<FromRows, LoadStateError> {
    let Some(dir) = &dirs.rows else {
        return Ok(FromRows::Missing);
    };
    if !dir.try_exists()? {
        return Ok(FromRows::Missing);
    }
    let mut past = Past {
        disk,
        dirs,
        journal: (options.first, options.head),
        passed: Vec::new(),
    };
    let mut store = match RowStore::open(dir, &sled_options(&options.store)) {
        Ok(store) => store,
        Err(error) => {
            let why = RowsError::from(error).to_string();
            return Ok(FromRows::Unfit(Unfit::damaged(why)));
        }
    };
    let mut notes = Vec::new();
    loop {
        match attempt(&mut store, &past, options) {
            Ok((twin, mark)) => {
                let (source, rows) = (Source::Rows(mark.seq), Some((store, mark.files)));
                let mut loaded = twin.into_loaded(source, rows, options, notes);
                if !past.passed.is_empty() {
                    // So that another base file is written at once.
                    loaded.follower.base = Some(0);
                }
                return Ok(FromRows::Loaded(Box::new(loaded)));
            }
            Err(Stop::Base(base, what)) => {
                tracing::error!("{what}; going on with an older source");
                notes.push(what);
                past.passed.push(base);
            }
            Err(Stop::Unfit(unfit)) => return Ok(FromRows::Unfit(unfit)),
            Err(Stop::Full(what)) => return Ok(FromRows::Full(what)),
            Err(Stop::Fatal(error)) => return Err(error),
        }
    }
}

fn attempt(
    store: &mut RowStore,
    past: &Past<'_>,
    options: &LoadOptions,
) -> Result<(Twin, Mark), Stop> {
    let started = Instant::now();
    let archive = archive(past.disk, past.dirs, options);
    let mut loaders = Loaders::new(options, archive);
    let (mut newest, mut older) = (0, None);
    let read = store.read(SIZES, |item| {
        newest = newest.max(row_seq(item));
        loaders.item(item)?;
        if let Item::Mark(_, seq) = item
            && let Some(what) = past.newer(seq)
        {
            // Before all rows are read.
            return Err(older.insert(what).clone());
        }
        Ok(())
    });
    let (mark, residue) = match read {
        Ok(read) => read,
        Err(error) => {
            loaders.check_mark("sled's rows", options)?;
            if let Some(what) = loaders.full {
                return Err(Stop::Full(what));
            }
            let kind = match error {
                _ if older.is_some() => Kind::Older,
                RowsError::Unmarked | RowsError::OtherFormat => Kind::Expected,
                _ => Kind::Damaged,
            };
            let why = older.unwrap_or_else(|| error.to_string());
            return Err(Stop::Unfit(Unfit { why, kind }));
        }
    };
    check_identity("sled's rows", mark.uuid, options)?;
    check_head("sled", newest.max(mark.seq), options)?;
    let (twin, recalled) = complete(past, options, loaders, &mark, &residue)?;
    tracing::info!(
        mark = mark.seq,
        base = recalled.base,
        recalled = recalled.events,
        replayed = twin.replayed,
        ms = started.elapsed().as_millis(),
        "loaded from sled's rows"
    );
    Ok((twin, mark))
}

/// The twin out of loaded rows.
fn complete(
    past: &Past<'_>,
    options: &LoadOptions,
    mut loaders: Loaders,
    mark: &Mark,
    residue: &[u8],
) -> Result<(Twin, Recalled), Stop> {
    let because = |what: &str| Err(what.to_owned().into());
    if mark.seq + 1 < options.first {
        let (seq, first) = (mark.seq, options.first);
        return because(&format!(
            "its mark is at {seq}, and the journal is kept from {first} on"
        ));
    }
    let recalled = match past.recall(mark, residue, |item| loaders.item(item)) {
        Ok(recalled) => recalled,
        Err(RecallError::Base(base, what)) => return Err(Stop::Base(base, what)),
        Err(RecallError::Older(what) | RecallError::Because(what)) => {
            return Err(loaders.full.map_or_else(|| what.into(), Stop::Full));
        }
        Err(RecallError::Journal(error)) => return Err(Stop::Fatal(error.into())),
        Err(RecallError::Io(error)) => return Err(Stop::Fatal(error.into())),
    };
    let twin = match loaders.finish() {
        Ok(twin) => twin,
        Err(Unloaded::Full(what)) => return Err(Stop::Full(what)),
        Err(Unloaded::Because(what)) => return because(&what),
    };
    if twin.live.last_seq() != mark.seq {
        return because("residue and mark differ");
    }
    if twin.live.consistent_from() <= mark.seq && twin.live.state_hash() != mark.state_hash {
        return because("the rows are not those of the mark");
    }
    match replay(past.disk, past.dirs, options, twin) {
        Ok(twin) => Ok((twin, recalled)),
        Err(ReplayError::Disagrees(what)) => because(&what),
        Err(ReplayError::Fatal(error)) => Err(Stop::Fatal(error)),
    }
}

/// The last sequence that a row names.
fn row_seq(item: Item<'_>) -> Seq {
    match item {
        Item::Account(_, row) | Item::LaterAccount(row) => {
            AccountRow::from_bytes(row).map_or(0, |row| row.last_seq())
        }
        Item::Card(_, row) | Item::LaterCard(row) => {
            CardRow::from_bytes(row).map_or(0, |row| row.last_seq())
        }
        Item::Record(..) | Item::Slot(..) | Item::Mark(..) | Item::Files(..) | Item::Residue(_) => {
            0
        }
    }
}
