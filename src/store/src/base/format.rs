//! What stands in a base file, byte by byte.

use gapless_engine::date::Date;
use gapless_engine::ids::{Seq, TimeUs};

use crate::codec::Take;
use crate::remembered::Extents;

/// First bytes of the header block's payload.
pub(crate) const MAGIC: [u8; 8] = *b"GAPLBASE";
/// Version of this layout. A file of which no record lies elsewhere is of version 1,
/// to the byte as the older program wrote it.
const VERSION: u16 = 2;
const ALL_WITHIN: u16 = 1;
/// Bytes of a block's header: kind, date, first index, items, payload length, CRC.
pub(crate) const BLOCK_HEADER: usize = 1 + 2 + 8 + 4 + 4 + 4;
/// Largest payload of a block in bytes. Readers and writers hold one block.
pub(crate) const MAX_BLOCK: usize = 128 * 1024;

/// Kinds of blocks, in the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Kind {
    Header = 0,
    Accounts = 1,
    Cards = 2,
    Records = 3,
    Residue = 4,
    End = 5,
}

impl Kind {
    pub(crate) fn from_u8(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Header,
            1 => Self::Accounts,
            2 => Self::Cards,
            3 => Self::Records,
            4 => Self::Residue,
            5 => Self::End,
            _ => return None,
        })
    }
}

/// A block's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) kind: Kind,
    /// Of records only.
    pub(crate) date: Date,
    /// Index of its first row or record, or offset of residue.
    pub(crate) first: u64,
    /// Rows or records, or bytes of residue.
    pub(crate) items: u32,
    /// Bytes of payload.
    pub(crate) len: u32,
}

impl Block {
    /// Header bytes with the CRC over them and `payload`, seeded with the last block's.
    pub(crate) fn to_bytes(self, seed: u32, payload: &[u8]) -> ([u8; BLOCK_HEADER], u32) {
        let mut bytes = Vec::with_capacity(BLOCK_HEADER);
        bytes.push(self.kind as u8);
        bytes.extend_from_slice(&self.date.0.to_be_bytes());
        bytes.extend_from_slice(&self.first.to_be_bytes());
        bytes.extend_from_slice(&self.items.to_be_bytes());
        bytes.extend_from_slice(&self.len.to_be_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c_append(seed, &bytes), payload);
        bytes.extend_from_slice(&crc.to_be_bytes());
        let mut header = [0; BLOCK_HEADER];
        header.copy_from_slice(&bytes);
        (header, crc)
    }

    /// Header and stored CRC.
    pub(crate) fn from_bytes(bytes: &[u8; BLOCK_HEADER]) -> Option<(Self, u32)> {
        let mut take = Take(bytes);
        let block = Self {
            kind: Kind::from_u8(take.u8()?)?,
            date: Date(take.u16()?),
            first: take.u64()?,
            items: take.u32()?,
            len: take.u32()?,
        };
        let crc = take.u32()?;
        take.end((block, crc))
    }
}

/// How many of each a state has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) accounts: u32,
    pub(crate) cards: u32,
    /// Records of each generation, in order.
    pub(crate) generations: Vec<(Date, u64)>,
    /// Those of them that are in files of their own.
    pub(crate) files: Extents,
    /// Bytes of residue.
    pub(crate) residue: u64,
}

/// The header block: whose state this is, and how much of it follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Of the journal.
    pub(crate) uuid: [u8; 16],
    /// The state is exactly the one after this event.
    pub(crate) seq: Seq,
    /// Engine time of that state.
    pub(crate) time_us: TimeUs,
    /// Hash of that state.
    pub(crate) state_hash: u64,
    /// Encoded sizes of an account row, a card row and a record.
    pub(crate) sizes: [u16; 3],
    pub(crate) counts: Counts,
}

impl Header {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let version = if self.counts.files.0.is_empty() {
            ALL_WITHIN
        } else {
            VERSION
        };
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes.extend_from_slice(&self.uuid);
        bytes.extend_from_slice(&self.seq.to_be_bytes());
        bytes.extend_from_slice(&self.time_us.to_be_bytes());
        bytes.extend_from_slice(&self.state_hash.to_be_bytes());
        for size in self.sizes {
            bytes.extend_from_slice(&size.to_be_bytes());
        }
        bytes.extend_from_slice(&self.counts.accounts.to_be_bytes());
        bytes.extend_from_slice(&self.counts.cards.to_be_bytes());
        bytes.extend_from_slice(&self.counts.residue.to_be_bytes());
        let generations = u16::try_from(self.counts.generations.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&generations.to_be_bytes());
        for (date, len) in self
            .counts
            .generations
            .iter()
            .take(usize::from(generations))
        {
            bytes.extend_from_slice(&date.0.to_be_bytes());
            bytes.extend_from_slice(&len.to_be_bytes());
        }
        if version == VERSION {
            bytes.extend_from_slice(&self.counts.files.to_bytes());
        }
        bytes
    }

    /// The header, or its version if that is another.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, Option<u16>> {
        let mut take = Take(bytes);
        if take.array::<8>() != Some(MAGIC) {
            return Err(None);
        }
        match take.u16() {
            Some(version @ (VERSION | ALL_WITHIN)) => Self::fields(take, version).ok_or(None),
            other => Err(other),
        }
    }

    fn fields(mut take: Take<'_>, version: u16) -> Option<Self> {
        let mut header = Self {
            uuid: take.array()?,
            seq: take.u64()?,
            time_us: take.u64()?,
            state_hash: take.u64()?,
            sizes: [take.u16()?, take.u16()?, take.u16()?],
            counts: Counts {
                accounts: take.u32()?,
                cards: take.u32()?,
                residue: take.u64()?,
                generations: Vec::new(),
                files: Extents::default(),
            },
        };
        for _ in 0..take.u16()? {
            header
                .counts
                .generations
                .push((Date(take.u16()?), take.u64()?));
        }
        if version == VERSION {
            header.counts.files = Extents::take(&mut take)?;
        }
        take.end(header)
    }
}

/// Counts and hash totals of what went through a reader or a writer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Blocks before the end block.
    blocks: u64,
    /// Rows, records and bytes of residue, by kind.
    items: [u64; 4],
    /// Sums of row hashes, by kind.
    hashes: [u64; 4],
}

impl Totals {
    /// Adds a block with its payload.
    pub(crate) fn add(&mut self, block: &Block, payload: &[u8]) {
        self.blocks += 1;
        let at = match block.kind {
            Kind::Accounts => 0,
            Kind::Cards => 1,
            Kind::Records => 2,
            Kind::Residue => 3,
            Kind::Header | Kind::End => return,
        };
        let (Some(items), Some(hash)) = (self.items.get_mut(at), self.hashes.get_mut(at)) else {
            return;
        };
        *items += u64::from(block.items);
        let size = match block.items {
            0 => return,
            _ if block.kind == Kind::Residue => payload.len(),
            items => payload.len() / items as usize,
        };
        for (index, row) in (block.first..).zip(payload.chunks(size.max(1))) {
            let crc = u64::from(crc32c::crc32c(row));
            *hash = hash.wrapping_add(
                (crc << 32 | (index & 0xffff_ffff)).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            );
        }
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.blocks.to_be_bytes().to_vec();
        for number in self.items.iter().chain(&self.hashes) {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    /// Whether what was counted is what `counts` promises.
    pub(crate) fn fit(&self, counts: &Counts) -> bool {
        let all: u64 = counts.generations.iter().map(|(_, len)| len).sum();
        let elsewhere = counts.files.0.iter().map(|(_, one)| u64::from(one.slots));
        let Some(records) = all.checked_sub(elsewhere.sum()) else {
            return false;
        };
        let due = [
            u64::from(counts.accounts),
            u64::from(counts.cards),
            records,
            counts.residue,
        ];
        self.items == due
    }
}
