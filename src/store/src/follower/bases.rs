//! The base files there are: which are verified, which may go.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gapless_engine::date::Date;
use gapless_engine::ids::Seq;
use gapless_journal::{Disk, OpenMode};

use crate::base::{self, BaseError, BaseName};
use crate::remembered::Archive;

/// Verified bases kept. The journal is kept from the older one on.
const KEPT: usize = 2;

/// The directory of base files.
#[derive(Debug)]
pub(crate) struct Bases {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    uuid: [u8; 16],
    /// Newest first.
    there: Vec<BaseName>,
    /// Bytes of the newest.
    newest_bytes: u64,
    /// How many of the newest are whole, as far as is known.
    good: usize,
    archive: Archive,
}

impl Bases {
    /// Lists the directory, and removes leftovers of an interrupted write.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        uuid: [u8; 16],
        archive: &Archive,
    ) -> io::Result<Self> {
        let there = base::list(&**disk, dir, true)?;
        let mut bases = Self {
            disk: Arc::clone(disk),
            dir: dir.to_path_buf(),
            uuid,
            good: there.len(),
            there,
            newest_bytes: 0,
            archive: archive.clone(),
        };
        bases.measure();
        Ok(bases)
    }

    /// Dates of which a base leaves something to files; `None` when that is not known
    /// of all of them.
    pub(crate) fn dates_in_files(&self) -> Option<Vec<Date>> {
        let mut dates = Vec::new();
        for base in &self.there {
            let header = base::header(&*self.disk, &self.dir.join(base.file())).ok()?;
            dates.extend(header.counts.files.dates());
        }
        Some(dates)
    }

    pub(crate) fn newest(&self) -> Option<Seq> {
        self.there.first().map(|base| base.0)
    }

    /// Bytes of the newest base; 0 if there is none.
    pub(crate) const fn newest_bytes(&self) -> u64 {
        self.newest_bytes
    }

    /// Whether there is one to fall back to when the newest is of no use.
    pub(crate) const fn has_spare(&self) -> bool {
        self.good >= KEPT
    }

    fn measure(&mut self) {
        let newest = self.there.first().map(|base| self.dir.join(base.file()));
        // One that cannot be looked at counts for nothing: the next comes the sooner.
        self.newest_bytes = newest
            .and_then(|path| self.disk.open(&path, OpenMode::Read).ok()?.len().ok())
            .unwrap_or(0);
    }

    /// Takes in a base that was just given its name: reads it and its
    /// predecessor back, sets aside what is damaged, and removes what two good
    /// ones make superfluous. Before each sequence of `unverified`, freezes whose
    /// extracts may have to be made anew, as many are left. Returns the sequence of
    /// the oldest one left: the journal up to there is not needed for any of them.
    ///
    /// # Errors
    /// The new one does not read back as it should; the older ones were not touched.
    pub(crate) fn settle(&mut self, new: Seq, unverified: &[Seq]) -> io::Result<Option<Seq>> {
        let oldest = self.take_in(new, unverified);
        self.measure();
        oldest
    }

    fn take_in(&mut self, new: Seq, unverified: &[Seq]) -> io::Result<Option<Seq>> {
        let new = BaseName(new);
        self.there.retain(|base| *base != new);
        if let Err(error) = self.verify(new) {
            if error.is_damage() {
                base::set_aside(&*self.disk, &self.dir, new)?;
            } else {
                // Each try would leave one.
                self.disk.remove(&self.dir.join(new.file()))?;
            }
            return Err(io::Error::other(error));
        }
        self.there.insert(0, new);
        self.there.sort_unstable_by(|a, b| b.cmp(a));
        self.good = 0;
        let mut good = Vec::new();
        for base in self.there.clone() {
            if good.len() == KEPT {
                break;
            }
            match if base == new {
                Ok(())
            } else {
                self.verify(base)
            } {
                Ok(()) => good.push(base),
                Err(error) if error.is_damage() => {
                    tracing::error!(%error, "a base file is of no use and is set aside");
                    base::set_aside(&*self.disk, &self.dir, base)?;
                    self.there.retain(|there| *there != base);
                }
                Err(BaseError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    self.there.retain(|there| *there != base);
                }
                // It is good again when what it names is put back.
                Err(error) => {
                    tracing::error!(%error, "a base file is of no use for now, and is kept");
                }
            }
        }
        self.good = good.len();
        if good.len() < KEPT {
            return Ok(None);
        }
        let mut kept = good;
        let mut from_the_start = false;
        for freeze in unverified {
            let before = self.there.iter().filter(|base| base.0 <= *freeze);
            let before: Vec<BaseName> = before.take(KEPT).copied().collect();
            // Its extract is made from the first event on.
            from_the_start |= before.is_empty();
            kept.extend(before);
        }
        let (stay, go): (Vec<_>, Vec<_>) = self
            .there
            .iter()
            .copied()
            .partition(|base| kept.contains(base));
        for base in go {
            self.disk.remove(&self.dir.join(base.file()))?;
            self.there.retain(|there| *there != base);
        }
        self.there = stay;
        self.disk.sync_dir(&self.dir)?;
        let oldest = self.there.last().map(|base| base.0);
        Ok(oldest.filter(|_| !from_the_start))
    }

    fn verify(&self, base: BaseName) -> Result<(), BaseError> {
        let path = self.dir.join(base.file());
        let header = base::read(&*self.disk, &path, |_| Ok(()))?;
        if header.uuid != self.uuid || header.seq != base.0 {
            let what = "it belongs to another journal or another sequence".to_owned();
            return Err(BaseError::Refused { file: path, what });
        }
        for (date, extent) in &header.counts.files.0 {
            // They were read back when they were written.
            if let Err(error) = self.archive.has(*date, extent.slots) {
                return Err(BaseError::Names { file: path, error });
            }
        }
        Ok(())
    }
}
