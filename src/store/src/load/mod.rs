//! Recovers two instances of the core at the start: from sled's rows, else from
//! the newest base that is whole, else from the first event; then the journal to its end.

mod loaders;
mod recalled;
mod twin;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use gapless_engine::ids::Seq;
use gapless_engine::{AccountRow, Capacity, CardRow, Engine, Reserved};
use gapless_journal::{Disk, JournalError, Recovered};

use crate::base::{self, BaseName};
use crate::codec::hex;
use crate::follower::sled_options;
use crate::format::{Item, SIZES};
use crate::options::{Dirs, StoreOptions};
use crate::remembered::Archive;
use crate::replica::Replica;
use crate::rows::aside;
use crate::rows::mark::Mark;
use crate::rows::store::{RowStore, RowsError};
use loaders::{Loaders, Unfit, archive, full_of};
use twin::{ReplayError, Twin, replay};

pub(crate) use loaders::{feed, give};
pub(crate) use recalled::{Past, RecallError};

/// What [`load`] needs to know.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Bounds of both instances.
    pub capacity: Capacity,
    /// How sled is used.
    pub store: StoreOptions,
    /// The journal's identity ([`Recovered::uuid`]).
    pub uuid: [u8; 16],
    /// The oldest sequence that the journal keeps ([`Recovered::first`]).
    pub first: Seq,
    /// The journal's last sequence ([`Recovered::head`]).
    pub head: Seq,
    /// Told where both instances' tables will be, before anything in them is touched.
    pub reserved: Reserved,
}

impl LoadOptions {
    /// For a journal that was just opened.
    #[must_use]
    pub fn new(recovered: &Recovered, capacity: Capacity, store: StoreOptions) -> Self {
        Self {
            capacity,
            store,
            uuid: recovered.uuid,
            first: recovered.first,
            head: recovered.head,
            reserved: |_| {},
        }
    }
}

/// Where the state came from, before the journal was replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// sled's rows, with the mark at this sequence.
    Rows(Seq),
    /// The base file of this sequence.
    Base(Seq),
    /// Nothing: the journal reaches back to the first event.
    Journal,
}

impl Source {
    /// Replay starts behind this sequence.
    #[must_use]
    pub const fn seq(self) -> Seq {
        match self {
            Self::Rows(seq) | Self::Base(seq) => seq,
            Self::Journal => 0,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(seq) => write!(f, "sled's rows, mark {seq}"),
            Self::Base(seq) => write!(f, "base file {seq}"),
            Self::Journal => f.write_str("the journal alone"),
        }
    }
}

/// What was recovered.
#[derive(Debug)]
pub struct Loaded {
    /// The live instance, indexed, at the journal's last event.
    pub live: Engine,
    /// The second instance, for [`crate::Follower::start`].
    pub follower: Replica,
    /// Where the state came from.
    pub source: Source,
    /// Events replayed (each into both instances).
    pub replayed: u64,
    /// What an operator should read: sources that were damaged, set aside or skipped.
    pub notes: Vec<String>,
    /// Where remembered transactions are that are not in memory.
    pub archive: Archive,
}

/// Why the daemon must not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadStateError {
    /// Stored state is ahead of the journal: what was durable there is gone.
    #[error(
        "durable journal was lost: {what} holds event {stored}, but the journal ends at {head}. \
         Restore the journal's files; starting without them would forget answered transactions"
    )]
    JournalLost {
        /// What is ahead.
        what: String,
        /// Its sequence.
        stored: Seq,
        /// The journal's last.
        head: Seq,
    },
    /// Stored state of another journal.
    #[error(
        "{what} belongs to journal {found}, but the journal here is {journal}: the data directory is mixed up"
    )]
    Foreign {
        /// What belongs elsewhere.
        what: String,
        /// The journal it belongs to.
        found: String,
        /// The journal that is here.
        journal: String,
    },
    /// Nothing usable is left.
    #[error(
        "the state cannot be recovered: the journal reaches back to event {first} only, and {what}"
    )]
    NoSource {
        /// The oldest sequence kept.
        first: Seq,
        /// What became of the other sources.
        what: String,
    },
    /// Durable groups cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal holds something that is no event, or breaks an invariant.
    #[error("the journal cannot be replayed: {0}")]
    Replay(String),
    /// More is stored than the engine is set up for; nothing was touched.
    #[error("more {what} are stored than the configured {configured}")]
    Capacity {
        /// Of what: `accounts`, `cards` or `remembered transactions`.
        what: &'static str,
        /// How many the engine is set up for.
        configured: u32,
    },
    /// Base files cannot be listed, or a damaged sled cannot be set aside.
    #[error("cannot list base files, or set sled aside: {0}")]
    Io(#[from] io::Error),
}

/// Recovers both instances.
///
/// # Errors
/// [`LoadStateError`] says why the daemon must not start; the message is for an operator.
pub fn load(
    disk: &Arc<dyn Disk>,
    dirs: &Dirs,
    options: &LoadOptions,
) -> Result<Loaded, LoadStateError> {
    let mut notes = Vec::new();
    let rows = from_rows(disk, dirs, options)?;
    let full = match &rows {
        FromRows::Full(what) => Some(*what),
        FromRows::Unusable { why, .. } => {
            notes.push(format!("sled is of no use ({why})"));
            None
        }
        FromRows::Loaded(_) | FromRows::Missing => None,
    };
    if let FromRows::Loaded(loaded) = rows {
        return Ok(*loaded);
    }
    // Damaged rows may look like too many: only what the other sources say as well
    // is the configuration's fault.
    let mut loaded = match (from_others(disk, dirs, options, &mut notes), full) {
        (Err(LoadStateError::NoSource { .. }), Some(what)) => Err(full_of(what, options)),
        (others, _) => others,
    }?;
    // Until another source has done, sled stays where it is.
    let (why, expected) = match rows {
        FromRows::Full(what) => (format!("more {what} than there can be"), false),
        FromRows::Unusable { why, expected } => {
            // What was said of it above.
            loaded.notes.remove(0);
            (why, expected)
        }
        FromRows::Loaded(_) | FromRows::Missing => return Ok(loaded),
    };
    if let Some(dir) = &dirs.rows {
        loaded.notes.insert(0, set_aside(dir, &why, expected)?);
    }
    Ok(loaded)
}

/// From a base file, or from the journal alone.
fn from_others(
    disk: &Arc<dyn Disk>,
    dirs: &Dirs,
    options: &LoadOptions,
    notes: &mut Vec<String>,
) -> Result<Loaded, LoadStateError> {
    for base in base::list(&**disk, &dirs.bases, false)? {
        if let Some(loaded) = from_base(disk, dirs, options, base, notes)? {
            return Ok(loaded);
        }
    }
    if options.first > 1 {
        let what = if notes.is_empty() {
            "there is no base file".to_owned()
        } else {
            notes.join("; ")
        };
        return Err(LoadStateError::NoSource {
            first: options.first,
            what,
        });
    }
    let twin = Twin::empty(options, archive(disk, dirs, options));
    match replay(disk, dirs, options, twin) {
        Ok(replayed) => {
            Ok(replayed.into_loaded(Source::Journal, None, options, std::mem::take(notes)))
        }
        Err(ReplayError::Fatal(error)) => Err(error),
        Err(ReplayError::Disagrees(what)) => Err(LoadStateError::Replay(what)),
    }
}

/// What came of sled's rows.
enum FromRows {
    Loaded(Box<Loaded>),
    /// There are none.
    Missing,
    /// They cannot be used; `expected` when nothing is wrong with that.
    Unusable {
        why: String,
        expected: bool,
    },
    /// They are more than the engine is set up for.
    Full(&'static str),
}

fn from_rows(
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
    let started = Instant::now();
    let mut loaders = Loaders::new(options, archive(disk, dirs, options));
    let mut newest = 0;
    let mut residue = Vec::new();
    let mut expected = false;
    let read = RowStore::open(dir, &sled_options(&options.store))
        .map_err(RowsError::from)
        .and_then(|mut store| {
            let mark = store.read(SIZES, |item| {
                newest = newest.max(row_seq(item));
                if let Item::Residue(bytes) = item {
                    residue = bytes.to_vec();
                }
                loaders.item(item)
            })?;
            Ok((store, mark))
        });
    let why = match read {
        Ok((store, mark)) => {
            check_identity("sled's rows", mark.uuid, options)?;
            check_head("sled", newest.max(mark.seq), options)?;
            match finish_rows(disk, dirs, options, loaders, (&mark, &residue)) {
                Ok(Ok(twin)) => {
                    tracing::info!(
                        mark = mark.seq,
                        replayed = twin.replayed,
                        ms = started.elapsed().as_millis(),
                        "loaded from sled's rows"
                    );
                    let rows = Some((store, mark.files));
                    let source = Source::Rows(mark.seq);
                    let loaded = twin.into_loaded(source, rows, options, Vec::new());
                    return Ok(FromRows::Loaded(Box::new(loaded)));
                }
                Ok(Err(Unfit::Full(what))) => return Ok(FromRows::Full(what)),
                Ok(Err(Unfit::Because(what))) => {
                    // Abandoned with its directory.
                    drop(store);
                    what
                }
                Ok(Err(Unfit::Older(what))) => {
                    drop(store);
                    expected = true;
                    what
                }
                Err(error) => return Err(error),
            }
        }
        Err(error) => {
            loaders.check_mark("sled's rows", options)?;
            if let Some(what) = loaders.full {
                return Ok(FromRows::Full(what));
            }
            // Mostly killed before its first checkpoint was done, or of another
            // version; but damage may have hit the mark, so it is kept for a look.
            expected = matches!(error, RowsError::Unmarked | RowsError::OtherFormat);
            error.to_string()
        }
    };
    Ok(FromRows::Unusable { why, expected })
}

/// Moves sled out of the way, and tells so.
fn set_aside(dir: &Path, why: &str, expected: bool) -> Result<String, LoadStateError> {
    let note = match aside::set_aside(dir)? {
        Some(aside) => format!(
            "sled is set aside as {} ({why}) and its rows will be written anew",
            aside.display()
        ),
        None => format!("sled is of no use ({why})"),
    };
    if expected {
        tracing::info!("{note}; nothing is lost");
    } else {
        tracing::warn!("{note}; nothing is lost");
    }
    Ok(note)
}

/// The twin out of loaded rows, or why they cannot be used after all.
fn finish_rows(
    disk: &Arc<dyn Disk>,
    dirs: &Dirs,
    options: &LoadOptions,
    mut loaders: Loaders,
    (mark, residue): (&Mark, &[u8]),
) -> Result<Result<Twin, Unfit>, LoadStateError> {
    let because = |what: String| Ok(Err(Unfit::Because(what)));
    if mark.seq + 1 < options.first {
        return because(format!(
            "its mark is at {}, and the journal is kept from {} on",
            mark.seq, options.first
        ));
    }
    let past = Past {
        disk,
        dirs,
        journal: (options.first, options.head),
    };
    match past.recall(mark, residue, |item| loaders.item(item)) {
        Ok(()) => {}
        Err(RecallError::Older(what)) => return Ok(Err(Unfit::Older(what))),
        Err(RecallError::Because(what)) => {
            return Ok(Err(loaders.full.map_or(Unfit::Because(what), Unfit::Full)));
        }
        Err(RecallError::Journal(error)) => return Err(error.into()),
        Err(RecallError::Io(error)) => return Err(error.into()),
    }
    let twin = match loaders.finish() {
        Ok(twin) => twin,
        Err(unfit) => return Ok(Err(unfit)),
    };
    if twin.live.last_seq() != mark.seq {
        return because("residue and mark differ".to_owned());
    }
    if twin.live.consistent_from() <= mark.seq && twin.live.state_hash() != mark.state_hash {
        return because("the rows are not those of the mark".to_owned());
    }
    match replay(disk, dirs, options, twin) {
        Ok(twin) => Ok(Ok(twin)),
        Err(ReplayError::Disagrees(what)) => because(what),
        Err(ReplayError::Fatal(error)) => Err(error),
    }
}

fn from_base(
    disk: &Arc<dyn Disk>,
    dirs: &Dirs,
    options: &LoadOptions,
    base: BaseName,
    notes: &mut Vec<String>,
) -> Result<Option<Loaded>, LoadStateError> {
    let started = Instant::now();
    let path = dirs.bases.join(base.file());
    let mut loaders = Loaders::new(options, archive(disk, dirs, options));
    let mut refuse = |what: String| {
        tracing::error!("{what}; going on with an older source");
        notes.push(what);
        Ok(None)
    };
    let header = match base::read(&**disk, &path, |item| loaders.item(item)) {
        Ok(header) => header,
        Err(error) => {
            loaders.check_mark(&path.display().to_string(), options)?;
            return match loaders.full {
                Some(what) => Err(full_of(what, options)),
                None => refuse(error.to_string()),
            };
        }
    };
    check_identity(&path.display().to_string(), header.uuid, options)?;
    check_head(&path.display().to_string(), header.seq, options)?;
    if header.seq + 1 < options.first {
        return refuse(format!(
            "base file {} is of no use: the journal is kept from {} on",
            path.display(),
            options.first
        ));
    }
    let twin = match loaders.finish() {
        Ok(twin) => twin,
        Err(Unfit::Full(what)) => return Err(full_of(what, options)),
        Err(Unfit::Because(what) | Unfit::Older(what)) => {
            return refuse(format!("base file {}: {what}", path.display()));
        }
    };
    if twin.live.last_seq() != header.seq || twin.live.state_hash() != header.state_hash {
        return refuse(format!(
            "base file {}: its state is not the one it names",
            path.display()
        ));
    }
    match replay(disk, dirs, options, twin) {
        Ok(twin) => {
            tracing::info!(
                base = header.seq,
                replayed = twin.replayed,
                ms = started.elapsed().as_millis(),
                "loaded from a base file"
            );
            let notes = std::mem::take(notes);
            Ok(Some(twin.into_loaded(
                Source::Base(header.seq),
                None,
                options,
                notes,
            )))
        }
        Err(ReplayError::Disagrees(what)) => refuse(format!(
            "base file {} does not lead to the journal's state: {what}",
            path.display()
        )),
        Err(ReplayError::Fatal(error)) => Err(error),
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

fn check_identity(
    what: &str,
    found: [u8; 16],
    options: &LoadOptions,
) -> Result<(), LoadStateError> {
    if found == options.uuid {
        return Ok(());
    }
    Err(LoadStateError::Foreign {
        what: what.to_owned(),
        found: hex(&found),
        journal: hex(&options.uuid),
    })
}

fn check_head(what: &str, stored: Seq, options: &LoadOptions) -> Result<(), LoadStateError> {
    if stored <= options.head {
        return Ok(());
    }
    Err(LoadStateError::JournalLost {
        what: what.to_owned(),
        stored,
        head: options.head,
    })
}
