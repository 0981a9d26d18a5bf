//! Extracts on disk against what the journal gives.

use std::path::Path;
use std::sync::Arc;

use gapless_engine::Engine;
use gapless_engine::date::Date;
use gapless_engine::ids::Seq;
use gapless_journal::{Disk, OpenMode};

use super::VerifyError;
use crate::extract::{Check, Fault, Job, MANIFEST, Manifest, Out, Target, dir_of};
use crate::options::Dirs;
use crate::remembered::Archive;

/// What was found of one extract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub date: Date,
    pub freeze: Seq,
    /// Rows of all its files together.
    pub rows: u64,
    /// Made anew and compared, not only read.
    pub recomputed: bool,
}

/// Compares extracts on the way.
pub(super) struct Extracts<'a> {
    pub disk: &'a Arc<dyn Disk>,
    pub dirs: &'a Dirs,
    pub uuid: [u8; 16],
    pub head: Seq,
    pub archive: Archive,
    pub found: Vec<Found>,
}

impl Extracts<'_> {
    fn out(&self, date: Date) -> Out {
        Out {
            disk: Arc::clone(self.disk),
            dir: dir_of(&self.dirs.extracts, date),
        }
    }

    /// The replay has come to a freeze: if there is an extract, it is made anew in
    /// memory and compared.
    pub fn at_freeze(
        &mut self,
        engine: &Engine,
        date: Date,
        notes: &mut Vec<String>,
    ) -> Result<(), VerifyError> {
        let target = Target {
            date,
            freeze: engine.last_seq(),
        };
        let Some(stored) = self.read(target)? else {
            return Ok(());
        };
        let wrong = |what: String| VerifyError::Extract { date, what };
        let due = match self.recompute(target, engine) {
            Ok(due) => due,
            Err(Fault::Gone(why)) => {
                notes.push(format!(
                    "the extract of {date} cannot be made anew here: {why}"
                ));
                return Ok(());
            }
            Err(fault) => return Err(wrong(fault.to_string())),
        };
        if due != stored {
            return Err(wrong("it is other than the journal's".to_owned()));
        }
        self.found.push(Found {
            date,
            freeze: target.freeze,
            rows: stored.csv.iter().map(|entry| entry.rows).sum(),
            recomputed: true,
        });
        Ok(())
    }

    /// What is kept and was frozen before the replay began is read only.
    pub fn at_end(&mut self, engine: &Engine, notes: &mut Vec<String>) -> Result<(), VerifyError> {
        for day in engine.kept_day_ends() {
            let date = day.date;
            if self.found.iter().any(|found| found.date == date) {
                continue;
            }
            let target = Target {
                date,
                freeze: day.freeze,
            };
            let Some(stored) = self.read(target)? else {
                notes.push(format!(
                    "the extract of {date} is not finished; the daemon makes it"
                ));
                continue;
            };
            self.found.push(Found {
                date,
                freeze: day.freeze,
                rows: stored.csv.iter().map(|entry| entry.rows).sum(),
                recomputed: false,
            });
        }
        self.found.sort_unstable_by_key(|found| found.date);
        Ok(())
    }

    /// Reads an extract as a whole against its manifest; `None` if there is none.
    fn read(&self, target: Target) -> Result<Option<Manifest>, VerifyError> {
        let date = target.date;
        let wrong = |what: String| VerifyError::Extract { date, what };
        let out = self.out(date);
        if !is_there(&**self.disk, &out.dir.join(MANIFEST)) {
            return Ok(None);
        }
        let mut check = Check::begin(target, self.uuid, out).ok_or_else(|| {
            wrong("its manifest is damaged, or of another freeze or journal".to_owned())
        })?;
        while check
            .step()
            .map_err(|error| wrong(error.to_string()))?
            .is_some()
        {}
        Ok(Some(check.into_manifest()))
    }

    fn recompute(&self, target: Target, engine: &Engine) -> Result<Manifest, Fault> {
        let journal = &self.dirs.journal;
        let files = &self.archive;
        let mut job = Job::begin(target, engine, self.disk, journal, files, self.uuid, None)?;
        while job.step(engine, self.head)?.is_some() {}
        Ok(job.into_manifest())
    }
}

fn is_there(disk: &dyn Disk, path: &Path) -> bool {
    disk.open(path, OpenMode::Read).is_ok()
}
