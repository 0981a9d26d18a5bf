//! Recovers two instances of the core at the start: from sled's rows, else from
//! the newest base that is whole, else from the first event; then the journal to its end.

mod loaders;
mod recalled;
mod rows;
mod twin;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use gapless_engine::ids::Seq;
use gapless_engine::{Capacity, Engine, Reserved};
use gapless_journal::{Disk, JournalError, Recovered};

use crate::base::{self, BaseName};
use crate::codec::hex;
use crate::options::{Dirs, StoreOptions};
use crate::remembered::Archive;
use crate::replica::Replica;
use loaders::{Loaders, Unloaded, archive, full_of};
use rows::{FromRows, Unfit, from_rows};
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
        _ => None,
    };
    let rows = match rows {
        FromRows::Loaded(loaded) => return Ok(*loaded),
        FromRows::Missing => None,
        FromRows::Unfit(unfit) => Some(unfit),
        // Damaged rows may look like too many: only what the other sources say as well
        // is the configuration's fault.
        FromRows::Full(what) => Some(Unfit::damaged(format!("more {what} than there can be"))),
    };
    if let (Some(unfit), None) = (&rows, full) {
        notes.push(unfit.to_string());
    }
    let said = notes.len();
    let mut loaded = match (from_others(disk, dirs, options, &mut notes), full) {
        (Err(LoadStateError::NoSource { .. }), Some(what)) => Err(full_of(what, options)),
        (others, _) => others,
    }?;
    // Until another source has done, sled stays where it is.
    if let (Some(unfit), Some(dir)) = (rows, &dirs.rows) {
        loaded.notes.splice(..said, [unfit.clear_away(dir)?]);
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
        Err(Unloaded::Full(what)) => return Err(full_of(what, options)),
        Err(Unloaded::Because(what)) => {
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
