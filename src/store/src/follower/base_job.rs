//! A base file under way: the whole state at one sequence, a block at a time.

use std::io;
use std::path::Path;
use std::sync::Arc;

use gapless_engine::AccountRow;
use gapless_engine::CardRow;
use gapless_engine::Engine;
use gapless_engine::Record;
use gapless_engine::date::Date;
use gapless_engine::ids::{AccountIx, CardIx, Seq};
use gapless_journal::Disk;

use crate::base::{BaseWriter, Header, Kind, MAX_BLOCK};
use crate::format::SIZES;
use crate::remembered::{Archive, Extents, Remembered};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Accounts(u32),
    Cards(u32),
    Records(usize, u32),
    Residue(usize),
    End,
}

/// Writes a base file. The engine must not change until it is done.
#[derive(Debug)]
pub(crate) struct BaseJob {
    writer: BaseWriter,
    place: Place,
    generations: Vec<(Date, u64)>,
    /// What this file leaves out, since it is in files of its own.
    files: Extents,
    archive: Archive,
    residue: Vec<u8>,
    payload: Vec<u8>,
}

impl BaseJob {
    /// Bytes that a file of the engine's present state takes, about.
    pub(crate) fn bytes(engine: &Engine) -> u64 {
        let rows = |count: u32, size: usize| u64::from(count) * size as u64;
        rows(engine.accounts_len(), AccountRow::BYTES)
            + rows(engine.cards_len(), CardRow::BYTES)
            + rows(engine.records_in_memory(), Record::BYTES)
    }

    /// Begins a file of the engine's present state.
    pub(crate) fn begin(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        uuid: [u8; 16],
        engine: &Engine,
        remembered: &Remembered,
    ) -> io::Result<Self> {
        let residue = engine.residue();
        let counts = crate::state::counts(engine, remembered, residue.len());
        let generations = counts.generations.clone();
        let files = counts.files.clone();
        let header = Header {
            uuid,
            seq: engine.last_seq(),
            time_us: engine.last_time_us(),
            state_hash: engine.state_hash(),
            sizes: SIZES,
            counts,
        };
        let writer = BaseWriter::create(disk, dir, &header)?;
        let payload = Vec::with_capacity(MAX_BLOCK);
        Ok(Self {
            writer,
            place: Place::Accounts(0),
            generations,
            files,
            archive: remembered.archive.clone(),
            residue,
            payload,
        })
    }

    /// Sequence of the state.
    pub(crate) fn seq(&self) -> Seq {
        self.writer.seq()
    }

    /// Writes the next block. Returns its size, `None` when all blocks are written.
    pub(crate) fn step(&mut self, engine: &Engine) -> io::Result<Option<u64>> {
        let before = self.writer.bytes();
        self.payload.clear();
        match self.place {
            Place::Accounts(first) => {
                let mut next = first;
                while let Some(row) =
                    self.room(AccountRow::BYTES, || engine.account_row(AccountIx(next)))
                {
                    self.payload.extend_from_slice(&row.to_bytes());
                    next += 1;
                }
                self.place = if next == first {
                    Place::Cards(0)
                } else {
                    Place::Accounts(next)
                };
                self.block(Kind::Accounts, Date(0), first.into(), next - first)?;
            }
            Place::Cards(first) => {
                let mut next = first;
                while let Some(row) = self.room(CardRow::BYTES, || engine.card_row(CardIx(next))) {
                    self.payload.extend_from_slice(&row.to_bytes());
                    next += 1;
                }
                self.place = if next == first {
                    Place::Records(0, 0)
                } else {
                    Place::Cards(next)
                };
                self.block(Kind::Cards, Date(0), first.into(), next - first)?;
            }
            Place::Records(generation, first) => {
                let Some((date, _)) = self.generations.get(generation).copied() else {
                    self.place = Place::Residue(0);
                    return Ok(Some(0));
                };
                let most = u32::try_from(MAX_BLOCK / Record::BYTES).unwrap_or(1);
                let first = first.max(self.files.of(date).slots);
                let payload = &mut self.payload;
                let items: u32 =
                    crate::state::records(engine, &self.archive, date, first.into(), most, payload)
                        .map_err(io::Error::other)?
                        .into();
                self.place = if items == 0 {
                    Place::Records(generation + 1, 0)
                } else {
                    Place::Records(generation, first + items)
                };
                self.block(Kind::Records, date, first.into(), items)?;
            }
            Place::Residue(from) => {
                let rest = self.residue.get(from..).unwrap_or_default();
                let piece = rest.get(..MAX_BLOCK).unwrap_or(rest);
                self.payload.extend_from_slice(piece);
                let items = u32::try_from(piece.len()).unwrap_or(u32::MAX);
                self.place = if items == 0 {
                    Place::End
                } else {
                    Place::Residue(from + piece.len())
                };
                self.block(Kind::Residue, Date(0), from as u64, items)?;
            }
            Place::End => return Ok(None),
        }
        Ok(Some(self.writer.bytes() - before))
    }

    /// The next row, if the block has room for it.
    fn room<'e, R>(&self, size: usize, row: impl FnOnce() -> Option<&'e R>) -> Option<&'e R> {
        (self.payload.len() + size <= MAX_BLOCK).then(row)?
    }

    fn block(&mut self, kind: Kind, date: Date, first: u64, items: u32) -> io::Result<()> {
        if items == 0 {
            return Ok(());
        }
        self.writer.block(kind, date, first, items, &self.payload)
    }

    /// Ends the file and gives it its name.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.writer.finish()
    }
}
