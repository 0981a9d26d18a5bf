//! Reads a base file: to load it, or to verify it.

use std::io;
use std::path::{Path, PathBuf};

use gapless_engine::date::Date;
use gapless_journal::{Disk, DiskFile, OpenMode};

use crate::format::Item;
use crate::remembered::{Extents, RememberedError};

use super::format::{BLOCK_HEADER, Block, Header, Kind, MAX_BLOCK, Totals};

/// Why a base file is no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BaseError {
    #[error("cannot read base file {}: {source}", file.display())]
    Io { file: PathBuf, source: io::Error },
    #[error("base file {} is damaged at offset {offset}: {what}", file.display())]
    Damaged {
        file: PathBuf,
        offset: u64,
        what: &'static str,
    },
    #[error("base file {} has format version {found}, which this build does not know", file.display())]
    Version { file: PathBuf, found: u16 },
    #[error("base file {}: {what}", file.display())]
    Refused { file: PathBuf, what: String },
    #[error("base file {} names {error}", file.display())]
    Names {
        file: PathBuf,
        error: RememberedError,
    },
}

impl BaseError {
    /// Whether the file itself is wrong, and stays so.
    pub(crate) const fn is_damage(&self) -> bool {
        !matches!(self, Self::Io { .. } | Self::Names { .. })
    }
}

struct BlockReader<'p> {
    path: &'p Path,
    file: Box<dyn DiskFile>,
    offset: u64,
    chain: u32,
    payload: Vec<u8>,
}

impl<'p> BlockReader<'p> {
    fn open(disk: &dyn Disk, path: &'p Path) -> Result<Self, BaseError> {
        let file = disk
            .open(path, OpenMode::Read)
            .map_err(|source| BaseError::Io {
                file: path.to_path_buf(),
                source,
            })?;
        Ok(Self {
            path,
            file,
            offset: 0,
            chain: 0,
            payload: Vec::new(),
        })
    }

    fn damaged(&self, what: &'static str) -> BaseError {
        BaseError::Damaged {
            file: self.path.to_path_buf(),
            offset: self.offset,
            what,
        }
    }

    fn fill(&self, buffer: &mut [u8], offset: u64) -> Result<(), BaseError> {
        let read = self
            .file
            .read_at(buffer, offset)
            .map_err(|source| BaseError::Io {
                file: self.path.to_path_buf(),
                source,
            })?;
        if read == buffer.len() {
            Ok(())
        } else {
            Err(self.damaged("the file ends early"))
        }
    }

    /// The next block; its payload is in `self.payload`.
    fn next(&mut self) -> Result<Block, BaseError> {
        let mut header = [0; BLOCK_HEADER];
        self.fill(&mut header, self.offset)?;
        let Some((block, crc)) = Block::from_bytes(&header) else {
            return Err(self.damaged("no such kind of block"));
        };
        if block.len as usize > MAX_BLOCK {
            return Err(self.damaged("a block above the limit"));
        }
        let mut payload = std::mem::take(&mut self.payload);
        payload.clear();
        payload.resize(block.len as usize, 0);
        self.fill(&mut payload, self.offset + BLOCK_HEADER as u64)?;
        let (_, due) = block.to_bytes(self.chain, &payload);
        if due != crc {
            return Err(self.damaged("the checksum differs"));
        }
        self.payload = payload;
        self.chain = crc;
        Ok(block)
    }

    fn advance(&mut self, block: &Block) {
        self.offset += BLOCK_HEADER as u64 + u64::from(block.len);
    }

    fn header(&mut self) -> Result<Header, BaseError> {
        let block = self.next()?;
        if block.kind != Kind::Header {
            return Err(self.damaged("it does not start with a header"));
        }
        let header = Header::from_bytes(&self.payload).map_err(|version| match version {
            Some(found) => BaseError::Version {
                file: self.path.to_path_buf(),
                found,
            },
            None => self.damaged("the header does not parse"),
        })?;
        self.advance(&block);
        Ok(header)
    }
}

/// What a file's header says.
pub(crate) fn header(disk: &dyn Disk, path: &Path) -> Result<Header, BaseError> {
    BlockReader::open(disk, path)?.header()
}

/// Reads the whole file, gives each item to `each`, and holds it against
/// header, checksums, counts and hash totals; the residue comes last and in one
/// piece. What `each` refuses is an error of the file. Items are handed on before the end is seen: a caller that gets
/// an error throws away what it built.
pub(crate) fn read(
    disk: &dyn Disk,
    path: &Path,
    mut each: impl FnMut(Item<'_>) -> Result<(), String>,
) -> Result<Header, BaseError> {
    let mut reader = BlockReader::open(disk, path)?;
    let header = reader.header()?;
    let mut totals = Totals::default();
    totals.add(
        &Block {
            kind: Kind::Header,
            date: Date(0),
            first: 0,
            items: 0,
            len: 0,
        },
        &[],
    );
    let mut order = Order {
        files: &header.counts.files,
        last: None,
    };
    let refused = |what| BaseError::Refused {
        file: path.to_path_buf(),
        what,
    };
    each(Item::Mark(header.uuid, header.seq)).map_err(refused)?;
    for (date, extent) in &header.counts.files.0 {
        each(Item::Files(*date, *extent)).map_err(refused)?;
    }
    let mut residue = Vec::new();
    loop {
        let block = reader.next()?;
        if !order.accepts(&block) {
            return Err(reader.damaged("blocks out of order"));
        }
        if block.kind == Kind::End {
            if reader.payload != totals.to_bytes() || !totals.fit(&header.counts) {
                return Err(reader.damaged("counts or hash totals differ"));
            }
            reader.advance(&block);
            let len = reader.file.len().map_err(|source| BaseError::Io {
                file: path.to_path_buf(),
                source,
            })?;
            if len != reader.offset {
                return Err(reader.damaged("bytes behind the end"));
            }
            each(Item::Residue(&residue)).map_err(refused)?;
            return Ok(header);
        }
        totals.add(&block, &reader.payload);
        if block.kind == Kind::Residue {
            residue.extend_from_slice(&reader.payload);
            reader.advance(&block);
            continue;
        }
        hand_on(&block, &reader.payload, &header.sizes, &mut each).map_err(refused)?;
        reader.advance(&block);
    }
}

/// Kinds come in order, and each kind's rows without a gap.
struct Order<'h> {
    files: &'h Extents,
    last: Option<(Kind, Date, u64)>,
}

impl Order<'_> {
    /// Where a kind's rows begin: records behind those that are in files.
    fn start(&self, block: &Block) -> u64 {
        match block.kind {
            Kind::Records => self.files.of(block.date).slots.into(),
            _ => 0,
        }
    }

    fn accepts(&mut self, block: &Block) -> bool {
        let fits = match self.last {
            _ if block.kind == Kind::Header => false,
            Some((kind, date, next)) if kind == block.kind && date == block.date => {
                block.first == next && kind != Kind::End
            }
            Some((kind, date, _)) => {
                block.first == self.start(block) && (block.kind, block.date) > (kind, date)
            }
            None => block.first == self.start(block),
        };
        self.last = Some((block.kind, block.date, block.first + u64::from(block.items)));
        fits
    }
}

fn hand_on(
    block: &Block,
    payload: &[u8],
    sizes: &[u16; 3],
    each: &mut impl FnMut(Item<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let [account, card, record] = sizes.map(usize::from);
    let size = match block.kind {
        Kind::Accounts => account,
        Kind::Cards => card,
        Kind::Records => record,
        Kind::Residue | Kind::Header | Kind::End => {
            return Err("a block of no rows among the rows".to_owned());
        }
    };
    if size == 0 || payload.len() != size * block.items as usize {
        return Err("a block's length is not that of its rows".to_owned());
    }
    for (index, row) in (block.first..).zip(payload.chunks_exact(size)) {
        match block.kind {
            Kind::Records => each(Item::Record(block.date, row))?,
            kind => {
                let ix = u32::try_from(index).map_err(|error| error.to_string())?;
                match kind {
                    Kind::Accounts => each(Item::Account(ix, row))?,
                    _ => each(Item::Card(ix, row))?,
                }
            }
        }
    }
    Ok(())
}
