//! Remembered transactions in files: written once, read when a request is about one
//! of them, and named by base files and sled's mark in place of the records.

mod file;
mod reader;

use std::io;

use gapless_engine::date::Date;
use gapless_engine::{BlockRef, Breach, Engine, Event, Freed, Loader, Record};

pub use file::{Archive, FetchedBlock, RememberedError};
pub use reader::{RecordReader, Records};

use crate::codec::Take;
use crate::options::StoreOptions;

const OTHER_FILES: &str = "the files of DATE are not those that were written for it";

/// How much of a generation is in files: the first so many slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) slots: u32,
    /// Over all its records: one number for all of its files.
    pub(crate) digest: u32,
}

impl Extent {
    fn with(self, unit: u32, records: &[u8]) -> Self {
        let crc = crc32c::crc32c(records);
        Self {
            slots: self.slots + unit,
            digest: crc32c::crc32c_append(self.digest, &crc.to_be_bytes()),
        }
    }
}

/// What of each generation is in files; only those of which something is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extents(pub(crate) Vec<(Date, Extent)>);

impl Extents {
    pub(crate) fn of(&self, date: Date) -> Extent {
        let found = self.0.iter().find(|(of, _)| *of == date);
        found.map_or_else(Extent::default, |(_, extent)| *extent)
    }

    fn set(&mut self, date: Date, extent: Extent) {
        match self.0.iter_mut().find(|(of, _)| *of == date) {
            Some((_, there)) => *there = extent,
            None => self.0.push((date, extent)),
        }
    }

    /// Takes in how much is in files by somebody else's account, if that is more.
    pub(crate) fn extend(&mut self, date: Date, extent: Extent) {
        if self.of(date).slots < extent.slots {
            self.set(date, extent);
        }
    }

    pub(crate) fn dates(&self) -> impl Iterator<Item = Date> {
        self.0.iter().map(|(date, _)| *date)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let count = u16::try_from(self.0.len()).unwrap_or(u16::MAX);
        let mut bytes = count.to_be_bytes().to_vec();
        for (date, extent) in self.0.iter().take(count.into()) {
            bytes.extend_from_slice(&date.0.to_be_bytes());
            bytes.extend_from_slice(&extent.slots.to_be_bytes());
            bytes.extend_from_slice(&extent.digest.to_be_bytes());
        }
        bytes
    }

    pub(crate) fn take(take: &mut Take<'_>) -> Option<Self> {
        let mut extents = Self::default();
        for _ in 0..take.u16()? {
            let date = Date(take.u16()?);
            let extent = Extent {
                slots: take.u32()?,
                digest: take.u32()?,
            };
            extents.0.push((date, extent));
        }
        Some(extents)
    }
}

/// The files, how much of each generation is in them, and how much memory holds.
#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    pub(crate) archive: Archive,
    pub(crate) extents: Extents,
    /// Records in memory beyond which the oldest go to files.
    most: u32,
}

impl Remembered {
    pub(crate) fn new(archive: Archive, options: &StoreOptions) -> Self {
        let most = options.remembered_in_memory;
        Self {
            archive,
            extents: Extents::default(),
            // The rest takes what comes in while a file is written.
            most: most - most / 4,
        }
    }

    /// Lets memory grow for now, since files cannot be written.
    pub(crate) const fn give_up(&mut self) {
        self.most = u32::MAX;
    }

    /// Whether something must go, and is not in a file yet.
    pub(crate) fn next(&self, engine: &Engine) -> Option<BlockRef> {
        (engine.records_in_memory() > self.most)
            .then(|| engine.next_to_spill(self.archive.unit()))?
    }

    /// Writes a unit of an engine's records. Returns how far it goes, and the bytes written.
    pub(crate) fn write(&mut self, engine: &Engine, next: BlockRef) -> io::Result<(u32, u64)> {
        let unit = self.archive.unit();
        let until = next.first + unit;
        let mut records = Vec::with_capacity(unit as usize * Record::BYTES);
        for record in engine.spill_bytes(next.date, next.first..until) {
            records.extend_from_slice(&record);
        }
        let written = self.archive.keep(next.date, next.first, &records)?;
        self.took(next, &records);
        Ok((until, written))
    }

    fn took(&mut self, unit: BlockRef, records: &[u8]) {
        let extent = self.extents.of(unit.date);
        debug_assert_eq!(extent.slots, unit.first);
        let extent = extent.with(self.archive.unit(), records);
        self.extents.set(unit.date, extent);
    }

    /// What there is of the generations that `engine` keeps.
    pub(crate) fn extents_of(&self, engine: &Engine) -> Extents {
        let kept = engine
            .generations()
            .map(|(date, _)| (date, self.extents.of(date)));
        Extents(kept.filter(|(_, extent)| extent.slots > 0).collect())
    }

    /// Forgets generations that `engine` has forgotten.
    pub(crate) fn forget(&mut self, engine: &Engine) {
        self.extents = self.extents_of(engine);
    }

    /// Lets an engine keep no more in memory than it may.
    pub(crate) fn ease(&mut self, engines: &mut [&mut Engine]) -> io::Result<()> {
        while let Some(next) = engines.first().and_then(|engine| self.next(engine)) {
            let until = match engines.first() {
                Some(engine) => self.write(engine, next)?.0,
                None => return Ok(()),
            };
            for engine in &mut *engines {
                drop(engine.spill(next.date, until, u32::MAX));
            }
        }
        Ok(())
    }

    /// As [`Self::ease`], while rows are being loaded.
    pub(crate) fn ease_loaders(&mut self, loaders: &mut [&mut Loader]) -> Result<(), Unloadable> {
        while let Some(next) = loaders.first().and_then(|one| self.next(one.engine())) {
            let until = match loaders.first() {
                Some(loader) => self.write(loader.engine(), next)?.0,
                None => return Ok(()),
            };
            for loader in &mut *loaders {
                drop(self.spill(loader, next.date, until)?);
            }
        }
        Ok(())
    }

    /// Loads what is in files of a generation, and leaves it there.
    pub(crate) fn load(
        &mut self,
        date: Date,
        due: Extent,
        loaders: &mut [&mut Loader],
    ) -> Result<(), Unloadable> {
        let unit = self.archive.unit();
        let mut extent = self.extents.of(date);
        while extent.slots < due.slots {
            let first = extent.slots;
            let records = self.archive.unit_at(date, first)?;
            for loader in &mut *loaders {
                for record in records.chunks_exact(Record::BYTES) {
                    loader.record(date, record)?;
                }
                drop(self.spill(loader, date, first + unit)?);
            }
            self.took(BlockRef { date, first }, &records);
            extent = self.extents.of(date);
        }
        if extent == due {
            Ok(())
        } else {
            let what = OTHER_FILES.replace("DATE", &date.to_string());
            Err(Unloadable::Other(what))
        }
    }

    fn spill(&self, loader: &mut Loader, date: Date, until: u32) -> Result<Freed, Unloadable> {
        loop {
            if let Some(freed) = loader.spill(date, until)? {
                return Ok(freed);
            }
            self.lend_to_loader(loader)?;
        }
    }

    fn lend_to_loader(&self, loader: &mut Loader) -> Result<(), RememberedError> {
        for block in loader.engine().wanted() {
            let bytes = self.archive.block(block)?;
            loader.lend(block, Some(&bytes));
        }
        Ok(())
    }

    /// An engine out of what is loaded.
    pub(crate) fn finish(&self, mut loader: Loader) -> Result<Engine, Unloadable> {
        while !loader.settle()? {
            self.lend_to_loader(&mut loader)?;
        }
        Ok(loader.finish()?)
    }
}

/// Why stored state does not load.
pub(crate) enum Unloadable {
    /// The engine refuses it.
    Engine(gapless_engine::LoadError),
    /// A file of remembered transactions is of no use.
    Other(String),
    /// One cannot be written.
    Io(io::Error),
}

impl std::fmt::Display for Unloadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Engine(error) => error.fmt(f),
            Self::Other(what) => f.write_str(what),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl From<gapless_engine::LoadError> for Unloadable {
    fn from(error: gapless_engine::LoadError) -> Self {
        Self::Engine(error)
    }
}

impl From<RememberedError> for Unloadable {
    fn from(error: RememberedError) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<io::Error> for Unloadable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Archive {
    /// Gives each unit of what is in files of a date to `each`, by its first slot.
    pub(crate) fn walk(
        &self,
        date: Date,
        due: Extent,
        mut each: impl FnMut(u32, &[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut extent = Extent::default();
        while extent.slots < due.slots {
            let records = self
                .unit_at(date, extent.slots)
                .map_err(|error| error.to_string())?;
            each(extent.slots, &records)?;
            extent = extent.with(self.unit(), &records);
        }
        if extent == due {
            Ok(())
        } else {
            Err(OTHER_FILES.replace("DATE", &date.to_string()))
        }
    }

    /// A slot that an engine has let go of, with its mark.
    pub(crate) fn marked(
        &self,
        engine: &Engine,
        date: Date,
        position: u32,
    ) -> Result<[u8; Record::BYTES], RememberedError> {
        let slot = self.slot(date, position)?;
        engine
            .marked(date, position, &slot)
            .map_err(|error| self.invalid(date, position, &error))
    }

    /// Checks an event as [`Engine::check`] does, if `check` says so, with all at hand
    /// that it and [`Engine::apply`] look at.
    ///
    /// # Errors
    /// [`RememberedError`]: a file is missing or damaged.
    pub(crate) fn checked(
        &self,
        engine: &mut Engine,
        event: &Event,
        check: bool,
    ) -> Result<Result<(), Breach>, RememberedError> {
        loop {
            engine.foresee(event);
            let checked = if check { engine.check(event) } else { Ok(()) };
            let wanted = engine.wanted();
            if wanted.is_empty() {
                return Ok(checked);
            }
            for block in wanted {
                let bytes = self.block(block)?;
                engine.lend(block, Some(&bytes));
            }
        }
    }
}
