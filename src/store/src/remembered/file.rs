//! Files of remembered transactions: the oldest records of a generation, so many in
//! each file. Immutable: what stands in one follows from the journal alone, whenever
//! and by whom it is written.
//!
//! A header, then blocks of records, each with a CRC32C of its own that is seeded with
//! the header's, so that a block of another file or place never reads as this one.
//! Big-endian, but for the records, which are as the engine stores them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use gapless_engine::date::Date;
use gapless_engine::{BLOCK_SLOTS, BlockRef, Record};
use gapless_journal::{Disk, DiskFile, OpenMode};

const MAGIC: [u8; 8] = *b"GAPLREMB";
const VERSION: u16 = 1;
const HEADER: usize = 8 + 2 + 16 + 2 + 4 + 4 + 4;
/// Bytes of a block, without its CRC.
const BLOCK: usize = BLOCK_SLOTS as usize * Record::BYTES;
const TEMPORARY: &str = ".tmp";
/// Bytes between two syncs: a big dirty file synced at once would stall the journal's own syncs.
const SYNC_EVERY: usize = 1 << 20;

/// A block, or that it cannot be read.
pub type FetchedBlock = (BlockRef, Option<Vec<u8>>);

/// Why remembered transactions cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("remembered transactions in {}: {what}", file.display())]
pub struct RememberedError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong.
    pub what: String,
    /// Of the disk's errors, the kind.
    pub kind: io::ErrorKind,
}

/// A file by its path.
type OpenFile = (PathBuf, Box<dyn DiskFile>);

/// The folder of those files.
#[derive(Clone)]
pub struct Archive {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    uuid: [u8; 16],
    /// Slots in each file.
    unit: u32,
    /// The file that was read last.
    open: Arc<Mutex<Option<OpenFile>>>,
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl Archive {
    /// The files of journal `uuid` in `dir`, each of `unit` slots (a multiple of 32).
    pub(crate) fn new(disk: &Arc<dyn Disk>, dir: &Path, uuid: [u8; 16], unit: u32) -> Self {
        debug_assert!(unit > 0 && unit.is_multiple_of(32));
        Self {
            disk: Arc::clone(disk),
            dir: dir.to_path_buf(),
            uuid,
            unit,
            open: Arc::default(),
        }
    }

    /// The files of journal `uuid` in `dir`, with as many slots in each as those that
    /// are there have, or `unit`.
    pub(crate) fn found(disk: &Arc<dyn Disk>, dir: &Path, uuid: [u8; 16], unit: u32) -> Self {
        let names = disk.list(dir).unwrap_or_default();
        let whole = names.iter().filter(|name| !name.ends_with(TEMPORARY));
        let found = whole.into_iter().find_map(|name| {
            let mut header = [0; HEADER];
            let file = disk.open(&dir.join(name), OpenMode::Read).ok()?;
            (file.read_at(&mut header, 0).ok()? == HEADER).then_some(())?;
            let (fields, crc) = header.split_last_chunk::<4>()?;
            let is_whole =
                fields.starts_with(&MAGIC) && crc32c::crc32c(fields) == u32::from_be_bytes(*crc);
            let unit = u32::from_be_bytes(*fields.last_chunk::<4>()?);
            (is_whole && unit > 0 && unit.is_multiple_of(32)).then_some(unit)
        });
        Self::new(disk, dir, uuid, found.unwrap_or(unit))
    }

    /// Slots in each file.
    pub(crate) const fn unit(&self) -> u32 {
        self.unit
    }

    fn path(&self, date: Date, first: u32) -> PathBuf {
        self.dir.join(format!("{date}-{first:09}"))
    }

    fn header(&self, date: Date, first: u32) -> ([u8; HEADER], u32) {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.uuid);
        bytes.extend_from_slice(&date.0.to_be_bytes());
        bytes.extend_from_slice(&first.to_be_bytes());
        bytes.extend_from_slice(&self.unit.to_be_bytes());
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        let mut header = [0; HEADER];
        header.copy_from_slice(&bytes);
        (header, crc)
    }

    /// A file's bytes.
    fn image(&self, date: Date, first: u32, records: &[u8]) -> Vec<u8> {
        let (header, seed) = self.header(date, first);
        let mut image = Vec::with_capacity(HEADER + records.len() / BLOCK * (BLOCK + 4));
        image.extend_from_slice(&header);
        for (number, block) in (0u32..).zip(records.chunks(BLOCK)) {
            image.extend_from_slice(block);
            image.extend_from_slice(&block_crc(seed, number, block).to_be_bytes());
        }
        image
    }

    /// Puts a unit of records into its file and syncs it, unless it is there as it
    /// should be. Returns the bytes written.
    pub(crate) fn keep(&self, date: Date, first: u32, records: &[u8]) -> io::Result<u64> {
        let path = self.path(date, first);
        let image = self.image(date, first, records);
        self.disk.create_dir_all(&self.dir)?;
        if self.is_there(&path, &image)? {
            // A start that was killed may not have made its name durable.
            self.disk.sync_dir(&self.dir)?;
            return Ok(0);
        }
        let temporary = path.with_extension("tmp");
        let file = self.disk.open(&temporary, OpenMode::Create)?;
        file.set_len(0)?;
        let mut offset = 0;
        for piece in image.chunks(SYNC_EVERY) {
            file.write_at(piece, offset)?;
            file.sync_data()?;
            offset += piece.len() as u64;
        }
        file.sync_all()?;
        drop(file);
        self.disk.rename(&temporary, &path)?;
        self.disk.sync_dir(&self.dir)?;
        self.let_go(&path);
        if self.is_there(&path, &image)? {
            Ok(offset)
        } else {
            Err(io::Error::other(format!(
                "{} does not read back as written",
                path.display()
            )))
        }
    }

    fn is_there(&self, path: &Path, image: &[u8]) -> io::Result<bool> {
        let file = match self.disk.open(path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if file.len()? != image.len() as u64 {
            return Ok(false);
        }
        let mut found = vec![0; image.len()];
        // What cannot be read is written anew.
        Ok(file
            .read_at(&mut found, 0)
            .is_ok_and(|read| read == image.len())
            && found == image)
    }

    fn error(&self, path: &Path, kind: io::ErrorKind, what: impl fmt::Display) -> RememberedError {
        // Whatever is open may be what is wrong.
        self.let_go(path);
        RememberedError {
            file: path.to_path_buf(),
            what: what.to_string(),
            kind,
        }
    }

    /// A slot holds what is no record.
    pub(crate) fn invalid(
        &self,
        date: Date,
        position: u32,
        what: &dyn fmt::Display,
    ) -> RememberedError {
        let path = self.path(date, position / self.unit * self.unit);
        let what = format!("slot {position}: {what}");
        self.error(&path, io::ErrorKind::InvalidData, what)
    }

    fn let_go(&self, path: &Path) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_some_and(|(of, _)| of == path) {
            *open = None;
        }
    }

    /// All records of a unit, each block held against its CRC.
    ///
    /// # Errors
    /// [`RememberedError`]: the file is missing or damaged.
    pub(crate) fn unit_at(&self, date: Date, first: u32) -> Result<Vec<u8>, RememberedError> {
        let path = self.path(date, first);
        let io = |error: io::Error| self.error(&path, error.kind(), error);
        let file = self.disk.open(&path, OpenMode::Read).map_err(io)?;
        let blocks = (self.unit / BLOCK_SLOTS) as usize;
        let len = HEADER + blocks * (BLOCK + 4);
        let damaged = |what: String| self.error(&path, io::ErrorKind::InvalidData, what);
        if file.len().map_err(io)? != len as u64 {
            return Err(damaged(format!("it is not {len} bytes long")));
        }
        let mut image = vec![0; len];
        if file.read_at(&mut image, 0).map_err(io)? != len {
            return Err(damaged("it ends early".to_owned()));
        }
        let (header, seed) = self.header(date, first);
        if !image.starts_with(&header) {
            return Err(damaged(
                "its header is damaged, or of another version, journal, date or size".to_owned(),
            ));
        }
        let mut records = Vec::with_capacity(blocks * BLOCK);
        let body = image.get(HEADER..).unwrap_or_default();
        for (number, framed) in (0u32..).zip(body.chunks(BLOCK + 4)) {
            let block = whole_block(seed, number, framed).ok_or_else(|| {
                let offset = HEADER as u64 + u64::from(number) * (BLOCK as u64 + 4);
                damaged(format!("damaged at offset {offset}"))
            })?;
            records.extend_from_slice(block);
        }
        Ok(records)
    }

    /// One block.
    ///
    /// # Errors
    /// [`RememberedError`]: the file is missing or damaged.
    pub(crate) fn block(&self, block: BlockRef) -> Result<Vec<u8>, RememberedError> {
        let first = block.first / self.unit * self.unit;
        let path = self.path(block.date, first);
        let number = (block.first - first) / BLOCK_SLOTS;
        let offset = HEADER as u64 + u64::from(number) * (BLOCK as u64 + 4);
        let mut framed = vec![0; BLOCK + 4];
        let read = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let read = match &*open {
                Some((of, file)) if *of == path => file.read_at(&mut framed, offset),
                _ => self.disk.open(&path, OpenMode::Read).and_then(|file| {
                    let read = file.read_at(&mut framed, offset);
                    *open = Some((path.clone(), file));
                    read
                }),
            };
            drop(open);
            read.map_err(|error| self.error(&path, error.kind(), error))?
        };
        let (_, seed) = self.header(block.date, first);
        let whole = framed
            .get(..read)
            .and_then(|framed| whole_block(seed, number, framed))
            .map(<[u8]>::len);
        let Some(len) = whole else {
            let what = format!("damaged at offset {offset}");
            return Err(self.error(&path, io::ErrorKind::InvalidData, what));
        };
        framed.truncate(len);
        Ok(framed)
    }

    /// One slot.
    ///
    /// # Errors
    /// [`RememberedError`]: the file is missing or damaged.
    pub(crate) fn slot(
        &self,
        date: Date,
        position: u32,
    ) -> Result<[u8; Record::BYTES], RememberedError> {
        let first = position / BLOCK_SLOTS * BLOCK_SLOTS;
        let block = self.block(BlockRef { date, first })?;
        let mut slots = block.chunks_exact(Record::BYTES);
        let mut slot = [0; Record::BYTES];
        if let Some(found) = slots.nth((position - first) as usize) {
            slot.copy_from_slice(found);
        }
        Ok(slot)
    }

    /// Reads blocks for the engine. One that cannot be read is told in the log.
    #[must_use]
    pub fn fetch(&self, blocks: &[BlockRef]) -> Vec<FetchedBlock> {
        let read = |block: &BlockRef| match self.block(*block) {
            Ok(bytes) => (*block, Some(bytes)),
            Err(error) => {
                tracing::error!(%error, "requests that need it are answered 96");
                (*block, None)
            }
        };
        blocks.iter().map(read).collect()
    }

    /// Whether there is a file of the right length for each unit below `slots`.
    pub(crate) fn has(&self, date: Date, slots: u32) -> Result<(), RememberedError> {
        let len = HEADER as u64 + u64::from(self.unit / BLOCK_SLOTS) * (BLOCK as u64 + 4);
        for first in (0..slots).step_by(self.unit as usize) {
            let path = self.path(date, first);
            let found = self
                .disk
                .open(&path, OpenMode::Read)
                .and_then(|file| file.len())
                .map_err(|error| self.error(&path, error.kind(), error))?;
            if found != len {
                let what = format!("it is not {len} bytes long");
                return Err(self.error(&path, io::ErrorKind::InvalidData, what));
            }
        }
        Ok(())
    }

    /// Removes files of other dates, and what an interrupted write has left.
    pub(crate) fn tidy(&self, kept: &[Date]) -> io::Result<()> {
        let names = match self.disk.list(&self.dir) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let kept: Vec<String> = kept.iter().map(|date| format!("{date}-")).collect();
        let mut removed = false;
        for name in names {
            if name.ends_with(TEMPORARY) || !kept.iter().any(|date| name.starts_with(date)) {
                let path = self.dir.join(&name);
                self.let_go(&path);
                self.disk.remove(&path)?;
                removed = true;
            }
        }
        if removed {
            self.disk.sync_dir(&self.dir)?;
        }
        Ok(())
    }
}

fn block_crc(seed: u32, number: u32, block: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seed, &number.to_be_bytes()), block)
}

/// The block, if its CRC is right.
fn whole_block(seed: u32, number: u32, framed: &[u8]) -> Option<&[u8]> {
    let (block, crc) = framed.split_last_chunk::<4>()?;
    let is_whole =
        block.len() == BLOCK && block_crc(seed, number, block) == u32::from_be_bytes(*crc);
    is_whole.then_some(block)
}
