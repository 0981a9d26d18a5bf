//! Writes a base file, a block at a time.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gapless_engine::date::Date;
use gapless_engine::ids::Seq;
use gapless_journal::{Disk, DiskFile, OpenMode};

use super::dir::BaseName;
use super::format::{Block, Header, Totals};

pub(crate) use super::format::Kind;

/// Bytes between two syncs: a big dirty file synced at once would stall the journal's own syncs.
const SYNC_EVERY: u64 = 2 << 20;

/// A base file under way. Dropped before [`Self::finish`], it leaves a
/// temporary file, which the next start removes.
pub(crate) struct BaseWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    name: BaseName,
    file: Box<dyn DiskFile>,
    offset: u64,
    synced: u64,
    chain: u32,
    totals: Totals,
}

impl fmt::Debug for BaseWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BaseWriter")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl BaseWriter {
    /// Opens the temporary file and writes the header.
    pub(crate) fn create(disk: &Arc<dyn Disk>, dir: &Path, header: &Header) -> io::Result<Self> {
        let name = BaseName(header.seq);
        disk.create_dir_all(dir)?;
        let temporary = dir.join(name.temporary());
        let file = disk.open(&temporary, OpenMode::Create)?;
        file.set_len(0)?;
        let mut writer = Self {
            disk: Arc::clone(disk),
            dir: dir.to_path_buf(),
            name,
            file,
            offset: 0,
            synced: 0,
            chain: 0,
            totals: Totals::default(),
        };
        writer.block(Kind::Header, Date(0), 0, 0, &header.to_bytes())?;
        Ok(writer)
    }

    /// Sequence of the state.
    pub(crate) fn seq(&self) -> Seq {
        self.name.0
    }

    /// Bytes written so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.offset
    }

    /// Appends a block of `items` of equal size (or that many bytes of residue).
    pub(crate) fn block(
        &mut self,
        kind: Kind,
        date: Date,
        first: u64,
        items: u32,
        payload: &[u8],
    ) -> io::Result<()> {
        let len = u32::try_from(payload.len()).map_err(io::Error::other)?;
        let block = Block {
            kind,
            date,
            first,
            items,
            len,
        };
        let (header, crc) = block.to_bytes(self.chain, payload);
        let mut bytes = Vec::with_capacity(header.len() + payload.len());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(payload);
        self.file.write_at(&bytes, self.offset)?;
        self.offset += bytes.len() as u64;
        self.chain = crc;
        self.totals.add(&block, payload);
        if self.offset - self.synced >= SYNC_EVERY {
            self.file.sync_data()?;
            self.synced = self.offset;
        }
        Ok(())
    }

    /// Writes the end, syncs, and gives the file its name.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        let totals = self.totals.to_bytes();
        self.block(Kind::End, Date(0), 0, 0, &totals)?;
        self.file.sync_all()?;
        self.disk.rename(
            &self.dir.join(self.name.temporary()),
            &self.dir.join(self.name.file()),
        )?;
        self.disk.sync_dir(&self.dir)
    }
}
