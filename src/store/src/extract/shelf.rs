//! The extracts as others see them: which there are, and their files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gapless_engine::date::Date;
use gapless_journal::Disk;

use super::manifest::Manifest;
use super::read::ExtractReader;
use super::table::{Format, Table};

/// The directory of a date's extract.
pub(crate) fn dir_of(extracts: &Path, date: Date) -> PathBuf {
    extracts.join(date.to_string())
}

/// What there is of a date's extract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtractState {
    /// It is being written, checked, or waits for either.
    Writing,
    /// It is there, and reads back as written.
    Ready(Arc<Manifest>),
    /// It cannot be made any more; why.
    Gone(Arc<str>),
}

#[derive(Debug, Default)]
struct Inner {
    states: BTreeMap<Date, ExtractState>,
    /// Found damaged by a reader.
    damaged: BTreeSet<Date>,
}

/// All extracts that are kept. The follower writes them, anybody may read.
#[derive(Debug)]
pub struct Extracts {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    inner: Mutex<Inner>,
}

impl Extracts {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> Self {
        Self {
            disk,
            dir,
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is of this date; `None` when the follower has not come to its
    /// freeze, or keeps nothing of it any more.
    #[must_use]
    pub fn state(&self, date: Date) -> Option<ExtractState> {
        self.inner().states.get(&date).cloned()
    }

    pub(crate) fn set(&self, date: Date, state: ExtractState) {
        self.inner().states.insert(date, state);
    }

    pub(crate) fn remove(&self, date: Date) {
        self.inner().states.remove(&date);
    }

    pub(crate) fn dates(&self) -> Vec<Date> {
        self.inner().states.keys().copied().collect()
    }

    /// A file of an extract that is there.
    ///
    /// # Errors
    /// The file cannot be opened; the extract is then checked, and made anew.
    pub fn open(
        &self,
        manifest: &Manifest,
        date: Date,
        table: Table,
        format: Format,
    ) -> std::io::Result<ExtractReader> {
        let dir = dir_of(&self.dir, date);
        ExtractReader::open(&*self.disk, &dir, manifest, table, format)
            .inspect_err(|_| self.report_damage(date))
    }

    /// Has the extract of a date checked, and made anew if it is damaged.
    pub fn report_damage(&self, date: Date) {
        let mut inner = self.inner();
        if let Some(state) = inner.states.get_mut(&date) {
            *state = ExtractState::Writing;
            inner.damaged.insert(date);
        }
    }

    pub(crate) fn take_damaged(&self) -> Option<Date> {
        self.inner().damaged.pop_first()
    }
}
