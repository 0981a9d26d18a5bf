//! Two instances out of stored rows or a base file.

use std::io;
use std::sync::Arc;

use gapless_engine::ids::{AccountIx, CardIx, Seq};
use gapless_engine::{Engine, LoadError, Loader, Options, Record};
use gapless_journal::Disk;

use super::twin::Twin;
use super::{LoadOptions, LoadStateError, check_head, check_identity};
use crate::dirty::Dirty;
use crate::format::Item;
use crate::options::Dirs;
use crate::remembered::{Archive, Remembered, Unloadable};

/// Two instances while rows are being loaded.
pub(super) struct Loaders {
    live: Loader,
    follower: Loader,
    remembered: Remembered,
    /// Whose rows they are, and at which sequence.
    mark: Option<([u8; 16], Seq)>,
    /// Of what there was more than the engine is set up for.
    pub(super) full: Option<&'static str>,
}

/// Gives one thing out of stored rows or a base file to a loader that holds all in
/// memory.
pub(crate) fn feed(
    loader: &mut Loader,
    archive: Option<&Archive>,
    item: Item<'_>,
) -> Result<(), String> {
    let Item::Files(date, extent) = item else {
        return take(loader, item).map_err(|error| error.to_string());
    };
    let archive = archive.ok_or("records are in files of their own")?;
    archive.walk(date, extent, |_, records| {
        let mut records = records.chunks_exact(Record::BYTES);
        records
            .try_for_each(|record| loader.record(date, record))
            .map_err(|error| error.to_string())
    })
}

/// Gives one thing out of stored rows or a base file to loaders; the oldest records
/// leave memory as they come.
pub(crate) fn give(
    loaders: &mut [&mut Loader],
    remembered: &mut Remembered,
    item: Item<'_>,
) -> Result<(), Unloadable> {
    if let Item::Files(date, extent) = item {
        return remembered.load(date, extent, loaders);
    }
    for loader in &mut *loaders {
        take(loader, item)?;
    }
    if matches!(item, Item::Record(..) | Item::Slot(..)) {
        remembered.ease_loaders(loaders)?;
    }
    Ok(())
}

pub(super) fn take(loader: &mut Loader, item: Item<'_>) -> Result<(), LoadError> {
    match item {
        Item::Account(ix, row) => loader.account(AccountIx(ix), row),
        Item::Card(ix, row) => loader.card(CardIx(ix), row),
        Item::Record(date, record) => loader.record(date, record),
        Item::Slot(date, record) => loader.slot(date, record),
        Item::Residue(residue) => loader.residue(residue),
        Item::LaterAccount(_) | Item::LaterCard(_) | Item::Mark(..) | Item::Files(..) => Ok(()),
    }
}

pub(super) fn archive(disk: &Arc<dyn Disk>, dirs: &Dirs, options: &LoadOptions) -> Remembered {
    let unit = options.store.remembered_per_file;
    let archive = Archive::found(disk, &dirs.remembered, options.uuid, unit);
    Remembered::new(archive, &options.store)
}

/// A start goes on with more in memory than it should, rather than not at all.
pub(super) fn cannot_write(remembered: &mut Remembered, error: &io::Error) {
    tracing::error!(%error, "old remembered transactions cannot be written to files and stay in memory");
    remembered.give_up();
}

/// Which bound of the configuration is too low, if it is one.
pub(super) fn bound(error: LoadError) -> Option<&'static str> {
    match error {
        LoadError::Capacity(what @ ("accounts" | "cards" | "remembered transactions")) => {
            Some(what)
        }
        _ => None,
    }
}

pub(super) fn full_of(what: &'static str, options: &LoadOptions) -> LoadStateError {
    let capacity = options.capacity;
    LoadStateError::Capacity {
        what,
        configured: match what {
            "accounts" => capacity.accounts,
            "cards" => capacity.cards,
            _ => capacity.remembered,
        },
    }
}

/// How the live instance is set up, and the follower's, which looks nothing up.
pub(super) fn both(options: &LoadOptions) -> [Options; 2] {
    [true, false].map(|indexed| Options {
        indexed,
        capacity: options.capacity,
    })
}

impl Loaders {
    pub(super) fn new(options: &LoadOptions, remembered: Remembered) -> Self {
        let [live, follower] = both(options).map(|each| Engine::loader_in(each, options.reserved));
        Self {
            live,
            follower,
            remembered,
            mark: None,
            full: None,
        }
    }

    /// Refuses what belongs elsewhere, or is ahead of the journal, even if it cannot be
    /// read as a whole.
    pub(super) fn check_mark(
        &self,
        what: &str,
        options: &LoadOptions,
    ) -> Result<(), LoadStateError> {
        let Some((uuid, seq)) = self.mark else {
            return Ok(());
        };
        check_identity(what, uuid, options)?;
        check_head(what, seq, options)
    }

    pub(super) fn item(&mut self, item: Item<'_>) -> Result<(), String> {
        if let Item::Mark(uuid, seq) = item {
            self.mark = Some((uuid, seq));
        }
        let loaders = &mut [&mut self.live, &mut self.follower];
        let error = match give(loaders, &mut self.remembered, item) {
            Ok(()) => return Ok(()),
            Err(Unloadable::Io(error)) => {
                cannot_write(&mut self.remembered, &error);
                return Ok(());
            }
            Err(error) => error,
        };
        if let Unloadable::Engine(error) = error {
            self.full = self.full.or(bound(error));
        }
        Err(error.to_string())
    }

    pub(super) fn finish(self) -> Result<Twin, Unloaded> {
        let finish = |loader: Loader| {
            self.remembered.finish(loader).map_err(|error| {
                let full = match error {
                    Unloadable::Engine(error) => bound(error),
                    _ => None,
                };
                full.map_or_else(|| Unloaded::Because(error.to_string()), Unloaded::Full)
            })
        };
        Ok(Twin {
            live: finish(self.live)?,
            follower: finish(self.follower)?,
            remembered: self.remembered,
            dirty: Dirty::default(),
            replayed: 0,
        })
    }
}

/// Why what was read cannot be used.
pub(super) enum Unloaded {
    /// It is more than the engine is set up for.
    Full(&'static str),
    Because(String),
}
