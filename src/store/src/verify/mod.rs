//! Recomputes everything from the oldest base and the journal, and compares
//! what else is stored: what `gapless verify` does.
//!
//! Nothing is changed: sled, which repairs what it opens, gets a copy. The
//! journal's lock is held meanwhile, so a running daemon is refused.

mod books;
mod compare;
mod copy;
mod extracts;
mod report;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gapless_engine::date::Date;
use gapless_engine::ids::Seq;
use gapless_engine::{Body, Capacity, Engine, Event, Options, audit};
use gapless_journal::{Disk, DiskLock, JournalError, Reader, scan};

use crate::base::{self, BaseError, BaseName};
use crate::follower::sled_options;
use crate::format::SIZES;
use crate::load::{Past, RecallError, feed};
use crate::options::{Dirs, StoreOptions};
use crate::remembered::Archive;
use crate::rows::store::RowStore;
use books::Books;
use compare::{Compare, same_state};
use copy::CopyOf;
use extracts::Extracts;
pub use report::Report;

/// The file that whoever writes the journal keeps locked (gapless-journal, `layout`).
const JOURNAL_LOCK: &str = "journal.lock";

/// What does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A daemon works on this data.
    #[error("a running daemon has {} locked: stop it first, or verify a copy", dir.display())]
    Running {
        /// The journal's directory.
        dir: PathBuf,
    },
    /// There is nothing here.
    #[error("there is no journal in {}", dir.display())]
    NoJournal {
        /// Where it should be.
        dir: PathBuf,
    },
    /// The journal is damaged.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file operation failed.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The journal starts after its first event, and there is no good base before that.
    #[error("the journal is kept from event {first} on, and no good base file reaches up to there")]
    NoStart {
        /// The oldest event kept.
        first: Seq,
    },
    /// An invariant does not hold.
    #[error("event {seq}: {what}")]
    Breach {
        /// The event at which it shows.
        seq: Seq,
        /// What does not hold.
        what: String,
    },
    /// A base file is damaged, or differs from what the journal leads to.
    #[error("base file at event {seq}: {what}")]
    Base {
        /// Its sequence.
        seq: Seq,
        /// What differs.
        what: String,
    },
    /// An extract is damaged, or differs from what the journal gives.
    #[error("extract of {date}: {what}")]
    Extract {
        /// Its date.
        date: Date,
        /// What differs.
        what: String,
    },
    /// sled's rows are damaged, or differ from what the journal leads to.
    #[error("sled's rows (mark {mark}): {what}")]
    Rows {
        /// The mark; 0 if it cannot be read.
        mark: Seq,
        /// What differs.
        what: String,
    },
}

/// Verifies a data directory.
///
/// # Errors
/// [`VerifyError`]: the first thing that does not hold, with its sequence.
pub fn verify(
    disk: &Arc<dyn Disk>,
    dirs: &Dirs,
    capacity: Capacity,
) -> Result<Report, VerifyError> {
    let lock = lock(&**disk, &dirs.journal)?;
    let Some(journal) = scan(&**disk, &dirs.journal)? else {
        return Err(VerifyError::NoJournal {
            dir: dirs.journal.clone(),
        });
    };
    let mut notes = Vec::new();
    if journal.cut.is_some() {
        notes
            .push("the journal ends in a torn group, which the next start will cut off".to_owned());
    }
    let names = base::list(&**disk, &dirs.bases, false).map_err(|source| VerifyError::Io {
        action: "list the base files",
        source,
    })?;
    let engine = Engine::new(Options {
        indexed: false,
        capacity,
    });
    let per_file = StoreOptions::default().remembered_per_file;
    let archive = Archive::found(disk, &dirs.remembered, journal.uuid, per_file);
    let mut run = Run {
        disk,
        dirs,
        uuid: journal.uuid,
        books: Books::begin(&engine),
        extracts: Extracts {
            disk,
            dirs,
            uuid: journal.uuid,
            head: journal.head,
            archive: archive.clone(),
            found: Vec::new(),
        },
        archive: archive.clone(),
        engine,
        bases: names.into_iter().rev().collect(),
        compared: Vec::new(),
        events: 0,
        attested: 0,
    };
    let from = run.start(journal.first, capacity, &mut notes)?;
    run.replay(journal.head, &mut notes)?;
    if let Some(base) = run.bases.first() {
        let what = format!("it is ahead of the journal, which ends at {}", journal.head);
        return Err(VerifyError::Base { seq: base.0, what });
    }
    let seq = run.engine.last_seq();
    audit(&run.engine).map_err(|breach| VerifyError::Breach {
        seq,
        what: breach.to_string(),
    })?;
    run.books
        .compare(&run.engine, "at the end")
        .map_err(|what| VerifyError::Breach { seq, what })?;
    run.extracts.at_end(&run.engine, &mut notes)?;
    let rows = run.rows(capacity, (journal.first, journal.head), &mut notes)?;
    drop(lock);
    let counts = run.engine.counts();
    Ok(Report {
        uuid: journal.uuid,
        from,
        head: journal.head,
        events: run.events,
        attested: run.attested,
        bases: run.compared,
        rows,
        sealed: run.books.sealed,
        extracts: run.extracts.found,
        state_hash: run.engine.state_hash(),
        counts: (counts.accounts, counts.cards, counts.remembered),
        trial_balance: run.engine.trial_balance(),
        notes,
    })
}

fn lock(disk: &dyn Disk, dir: &Path) -> Result<Option<Box<dyn DiskLock>>, VerifyError> {
    let names = match disk.list(dir) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(VerifyError::NoJournal {
                dir: dir.to_path_buf(),
            });
        }
        Err(source) => {
            return Err(VerifyError::Io {
                action: "list the journal",
                source,
            });
        }
    };
    match disk.lock(&dir.join(JOURNAL_LOCK)) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(VerifyError::Running {
            dir: dir.to_path_buf(),
        }),
        // A copy on a read-only medium: no lock file can be made, and nobody holds one.
        Err(_) if !names.iter().any(|name| name == JOURNAL_LOCK) => Ok(None),
        Err(source) => Err(VerifyError::Io {
            action: "lock the journal",
            source,
        }),
    }
}

struct Run<'a> {
    disk: &'a Arc<dyn Disk>,
    dirs: &'a Dirs,
    uuid: [u8; 16],
    archive: Archive,
    /// With all of it in memory.
    engine: Engine,
    books: Books,
    extracts: Extracts<'a>,
    /// Base files still to be met, oldest first.
    bases: Vec<BaseName>,
    compared: Vec<Seq>,
    events: u64,
    attested: u64,
}

impl Run<'_> {
    /// Begins at the first event if the journal reaches back to it, else at the
    /// oldest base. Returns the sequence begun at.
    fn start(
        &mut self,
        first: Seq,
        capacity: Capacity,
        notes: &mut Vec<String>,
    ) -> Result<Seq, VerifyError> {
        if first <= 1 {
            return Ok(0);
        }
        let Some(base) = self.bases.first().copied() else {
            return Err(VerifyError::NoStart { first });
        };
        self.bases.remove(0);
        let bad = |what: String| VerifyError::Base { seq: base.0, what };
        if base.0 + 1 < first {
            return Err(VerifyError::NoStart { first });
        }
        let mut loader = Engine::loader(Options {
            indexed: false,
            capacity,
        });
        let path = self.dirs.bases.join(base.file());
        let files = Some(&self.archive);
        let header = base::read(&**self.disk, &path, |item| feed(&mut loader, files, item))
            .map_err(|error| bad(error.to_string()))?;
        let engine = loader.finish().map_err(|error| bad(error.to_string()))?;
        if header.uuid != self.uuid {
            return Err(bad("it belongs to another journal".to_owned()));
        }
        if engine.last_seq() != base.0 || engine.state_hash() != header.state_hash {
            return Err(bad("its state is not the one it names".to_owned()));
        }
        audit(&engine).map_err(|breach| bad(breach.to_string()))?;
        notes.push(format!(
            "the base file at event {} is taken as the start: its totals and hashes hold, the events before it are gone",
            base.0
        ));
        self.books = Books::begin(&engine);
        self.engine = engine;
        Ok(base.0)
    }

    fn replay(&mut self, head: Seq, notes: &mut Vec<String>) -> Result<(), VerifyError> {
        self.meet_base()?;
        if self.engine.last_seq() >= head {
            return Ok(());
        }
        let from = self.engine.last_seq() + 1;
        let mut reader = Reader::open(Arc::clone(self.disk), self.dirs.journal.clone(), from)?;
        while let Some(group) = reader.next(head)? {
            let mut rest = group.events;
            while !rest.is_empty() {
                let next = self.engine.last_seq() + 1;
                let (event, after) = Event::decode(rest).map_err(|error| VerifyError::Breach {
                    seq: next,
                    what: error.to_string(),
                })?;
                rest = after;
                if event.seq >= next {
                    self.event(&event)?;
                    self.meet_base()?;
                    if let Body::Freeze { date } = event.body {
                        self.extracts.at_freeze(&self.engine, date, notes)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn event(&mut self, event: &Event) -> Result<(), VerifyError> {
        let seq = self.engine.last_seq() + 1;
        check_and_apply(&mut self.engine, event)
            .and_then(|()| self.books.enter(&self.engine, event))
            .map_err(|what| VerifyError::Breach { seq, what })?;
        self.events += 1;
        if matches!(event.body, Body::Attest { .. }) {
            self.attested += 1;
        }
        Ok(())
    }

    /// Compares a base file with the recomputed state, if it is the one of this sequence.
    fn meet_base(&mut self) -> Result<(), VerifyError> {
        let seq = self.engine.last_seq();
        match self.bases.first() {
            Some(base) if base.0 == seq => {}
            _ => return Ok(()),
        }
        let base = self.bases.remove(0);
        let bad = |what: String| VerifyError::Base { seq, what };
        let path = self.dirs.bases.join(base.file());
        let mut compare = Compare::new(&self.engine, Some(&self.archive));
        let header = base::read(&**self.disk, &path, |item| compare.item(item)).map_err(
            |error| match error {
                BaseError::Refused { what, .. } => bad(what),
                other => bad(other.to_string()),
            },
        )?;
        if header.uuid != self.uuid {
            return Err(bad("it belongs to another journal".to_owned()));
        }
        compare.end().map_err(bad)?;
        if header.state_hash != self.engine.state_hash() {
            return Err(bad("it names another state hash".to_owned()));
        }
        self.compared.push(seq);
        Ok(())
    }

    /// Loads sled's rows from a copy, replays the journal behind the mark, and compares.
    fn rows(
        &self,
        capacity: Capacity,
        (first, head): (Seq, Seq),
        notes: &mut Vec<String>,
    ) -> Result<Option<Seq>, VerifyError> {
        let Some(dir) = self.dirs.rows.as_deref().filter(|dir| dir.exists()) else {
            return Ok(None);
        };
        let copy = CopyOf::make(dir).map_err(|source| VerifyError::Io {
            action: "copy sled's directory",
            source,
        })?;
        let mut loader = Engine::loader(Options {
            indexed: false,
            capacity,
        });
        let read = RowStore::open(&copy.0, &sled_options(&StoreOptions::default()))
            .map_err(Into::into)
            .and_then(|mut store| {
                store.read(SIZES, |item| feed(&mut loader, Some(&self.archive), item))
            });
        let (mark, residue) = match read {
            Ok(read) => read,
            Err(crate::rows::store::RowsError::Unmarked) => {
                notes.push("sled holds no finished checkpoint yet".to_owned());
                return Ok(None);
            }
            Err(crate::rows::store::RowsError::OtherFormat) => {
                // The next start writes them anew.
                notes.push("sled's rows are left out: they are of another format".to_owned());
                return Ok(None);
            }
            Err(error) => {
                return Err(VerifyError::Rows {
                    mark: 0,
                    what: error.to_string(),
                });
            }
        };
        let bad = |what: String| VerifyError::Rows {
            mark: mark.seq,
            what,
        };
        if mark.uuid != self.uuid {
            return Err(bad("they belong to another journal".to_owned()));
        }
        if mark.seq + 1 < first {
            // As a start does, which begins from a base file then.
            notes.push(format!(
                "sled's rows (mark {}) are left out: the journal is kept from event {first} on",
                mark.seq
            ));
            return Ok(None);
        }
        let ahead = || {
            bad(format!(
                "they are ahead of the journal, which ends at {head}"
            ))
        };
        if mark.seq > head {
            return Err(ahead());
        }
        let past = Past {
            disk: self.disk,
            dirs: self.dirs,
            journal: (first, head),
            passed: Vec::new(),
        };
        match past.recall(&mark, &residue, |item| {
            feed(&mut loader, Some(&self.archive), item)
        }) {
            Ok(_) => {}
            Err(RecallError::Older(what)) => {
                notes.push(format!("sled's rows are left out: {what}"));
                return Ok(None);
            }
            Err(RecallError::Base(base, what)) => {
                return Err(VerifyError::Base { seq: base.0, what });
            }
            Err(RecallError::Because(what)) => return Err(bad(what)),
            Err(RecallError::Journal(error)) => return Err(error.into()),
            Err(RecallError::Io(source)) => {
                return Err(VerifyError::Io {
                    action: "list the base files",
                    source,
                });
            }
        }
        let mut engine = loader.finish().map_err(|error| bad(error.to_string()))?;
        if engine.consistent_from() > head {
            return Err(ahead());
        }
        if mark.seq < head {
            let mut reader = Reader::open(
                Arc::clone(self.disk),
                self.dirs.journal.clone(),
                mark.seq + 1,
            )?;
            while let Some(group) = reader.next(head)? {
                let mut rest = group.events;
                while !rest.is_empty() {
                    let (event, after) =
                        Event::decode(rest).map_err(|error| bad(error.to_string()))?;
                    rest = after;
                    if event.seq > engine.last_seq() {
                        check_and_apply(&mut engine, &event).map_err(bad)?;
                    }
                }
            }
        }
        same_state(&engine, &self.engine).map_err(bad)?;
        Ok(Some(mark.seq))
    }
}

fn check_and_apply(engine: &mut Engine, event: &Event) -> Result<(), String> {
    if engine.last_seq() >= engine.consistent_from() {
        engine.check(event).map_err(|breach| breach.to_string())?;
    }
    engine.apply(event);
    match engine.divergence() {
        Some(_) => Err("the state is not the one that was attested".to_owned()),
        None => Ok(()),
    }
}
