//! The rows as a whole: what is stored, what it must add up to, and how it is read back.

use std::collections::BTreeMap;
use std::path::Path;

use super::actor::{SledActor, SledError, SledOptions, Write};
use super::digest::Digest;
use super::entry::{self, ACCOUNTS_PER_CHUNK, CARDS_PER_CHUNK, Key, RESIDUE_PER_ENTRY};
use super::mark::Mark;
use crate::format::{Item, Sizes};

/// Why stored rows are of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RowsError {
    /// sled gave up.
    #[error("sled: {0}")]
    Sled(#[from] SledError),
    /// sled gave rows back, and they are not what was stored.
    #[error("{0}")]
    Damaged(String),
    /// Rows of another format: of no use, and no damage.
    #[error("the rows are of another format")]
    OtherFormat,
    /// There is no mark yet: nothing was ever finished.
    #[error("no checkpoint was ever finished")]
    Unmarked,
    /// The reader of the rows refused one.
    #[error("{0}")]
    Refused(String),
}

/// The open database, and the digest of what it holds.
#[derive(Debug)]
pub(crate) struct RowStore {
    actor: SledActor,
    digest: Digest,
    /// The residue slot that the newest mark names.
    slot: u8,
}

/// Entries gathered for one atomic batch.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    writes: Vec<Write>,
    /// Bytes of values.
    pub(crate) bytes: u64,
}

impl RowStore {
    /// Opens or creates the database. What it holds is unknown until [`Self::read`].
    pub(crate) fn open(dir: &Path, options: &SledOptions) -> Result<Self, SledError> {
        let actor = SledActor::open(dir, options)?;
        Ok(Self {
            actor,
            digest: Digest::default(),
            slot: 0,
        })
    }

    /// The slot that the next checkpoint's residue goes to.
    pub(crate) fn free_slot(&self) -> u8 {
        1 - self.slot
    }

    /// Whether the last write has ended.
    pub(crate) fn poll(&mut self) -> Result<bool, SledError> {
        self.actor.poll()
    }

    /// Starts writing a batch, with the digest that holds once it is in.
    pub(crate) fn write(&mut self, gather: Gather) -> Result<(), SledError> {
        let mut writes = gather.writes;
        let key = Key::Digest.to_bytes();
        let value = entry::seal(&key, 1, &self.digest.to_bytes());
        writes.push((key, Some(value)));
        self.actor.batch(writes)
    }

    /// Puts an entry into the batch that is being gathered. The batch must be
    /// written: the digest counts it from now on.
    pub(crate) fn put(&mut self, gather: &mut Gather, key: Key, items: u16, payload: &[u8]) {
        let name = key.to_bytes();
        let value = entry::seal(&name, items, payload);
        self.digest.put(key, crc32c::crc32c(&value));
        gather.bytes += value.len() as u64;
        gather.writes.push((name, Some(value)));
    }

    /// Puts a removal into the batch that is being gathered.
    pub(crate) fn remove(&mut self, gather: &mut Gather, key: Key) {
        self.digest.take(key);
        gather.writes.push((key.to_bytes(), None));
    }

    /// Puts a mark into the batch that is being gathered.
    pub(crate) fn put_mark(&mut self, gather: &mut Gather, mark: &Mark) {
        self.put(gather, Key::Mark, 1, &mark.to_bytes());
        self.slot = mark.slot;
    }

    /// Starts a sync of everything written.
    pub(crate) fn sync(&mut self) -> Result<(), SledError> {
        self.actor.sync()
    }

    /// Entries that the mark no longer needs: pieces of the other residue slot.
    pub(crate) fn surplus(&self, limit: usize) -> Vec<Key> {
        let other = self.free_slot();
        self.digest
            .removable()
            .filter(|key| matches!(key, Key::Residue(slot, _) if *slot == other))
            .take(limit)
            .collect()
    }

    /// Closes the database properly.
    pub(crate) fn close(self) -> Result<(), SledError> {
        self.actor.close()
    }

    /// Gives every row up to the mark to `each`, the residue last, and returns the mark
    /// with the residue.
    ///
    /// Every entry is held against its CRC, all of them against the digest, and
    /// their number against the mark: what sled lost in silence is found here.
    pub(crate) fn read(
        &mut self,
        sizes: Sizes,
        mut each: impl FnMut(Item<'_>) -> Result<(), String>,
    ) -> Result<(Mark, Vec<u8>), RowsError> {
        let mut reading = Reading {
            sizes,
            ..Reading::default()
        };
        self.actor
            .read(|key, value| reading.entry(key, value, &mut each))??;
        let (mark, residue) = reading.finish(&mut each)?;
        self.digest = reading.digest;
        self.slot = mark.slot;
        Ok((mark, residue))
    }
}

#[derive(Default)]
struct Reading {
    sizes: Sizes,
    digest: Digest,
    stored: Option<Vec<u8>>,
    mark: Option<Mark>,
    residue: BTreeMap<(u8, u32), Vec<u8>>,
    accounts: u32,
    cards: u32,
}

fn damaged(what: &str, key: &[u8]) -> RowsError {
    RowsError::Damaged(format!("{what} (entry {key:02x?})"))
}

impl Reading {
    fn entry(
        &mut self,
        name: &[u8],
        value: &[u8],
        each: &mut impl FnMut(Item<'_>) -> Result<(), String>,
    ) -> Result<(), RowsError> {
        let key = Key::from_bytes(name).ok_or_else(|| damaged("an unknown entry", name))?;
        let (items, payload) =
            entry::open(name, value).ok_or_else(|| damaged("a checksum differs", name))?;
        self.digest.put(key, crc32c::crc32c(value));
        match key {
            Key::Digest => self.stored = Some(payload.to_vec()),
            Key::Mark => {
                if let Some((uuid, seq)) = Mark::whose(payload) {
                    each(Item::Mark(uuid, seq)).map_err(RowsError::Refused)?;
                }
                let mark = Mark::from_bytes(payload).ok_or(RowsError::OtherFormat)?;
                if mark.sizes != self.sizes {
                    return Err(RowsError::OtherFormat);
                }
                self.mark = Some(mark);
            }
            Key::Residue(slot, piece) => {
                self.residue.insert((slot, piece), payload.to_vec());
            }
            Key::Accounts(_) | Key::Cards(_) => {
                let Some(mark) = &self.mark else {
                    return Err(if self.stored.is_some() {
                        RowsError::Unmarked
                    } else {
                        damaged("digest and mark are gone", name)
                    });
                };
                let rows = Rows {
                    key,
                    items,
                    payload,
                };
                let (next, due) = match key {
                    Key::Accounts(_) => (u64::from(self.accounts), u64::from(mark.accounts)),
                    Key::Cards(_) => (u64::from(self.cards), u64::from(mark.cards)),
                    _ => (0, 0),
                };
                let next = rows
                    .hand_on(self.sizes, next, due, each)
                    .map_err(|what| what.unwrap_or_else(|| damaged("rows are missing", name)))?;
                match key {
                    Key::Accounts(_) => self.accounts = u32::try_from(next).unwrap_or(u32::MAX),
                    Key::Cards(_) => self.cards = u32::try_from(next).unwrap_or(u32::MAX),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn finish(
        &mut self,
        each: &mut impl FnMut(Item<'_>) -> Result<(), String>,
    ) -> Result<(Mark, Vec<u8>), RowsError> {
        let whole = |ok: bool, what: &str| {
            if ok {
                Ok(())
            } else {
                Err(RowsError::Damaged(what.to_owned()))
            }
        };
        let Some(stored) = &self.stored else {
            whole(self.digest.entries() == 0, "the digest is gone")?;
            return Err(RowsError::Unmarked);
        };
        whole(
            *stored == self.digest.to_bytes(),
            "entries are missing, or have gone back in time",
        )?;
        let mark = self.mark.take().ok_or(RowsError::Unmarked)?;
        whole(self.accounts == mark.accounts, "account rows are missing")?;
        whole(self.cards == mark.cards, "card rows are missing")?;
        let mut residue = Vec::new();
        for ((slot, _), piece) in &self.residue {
            if *slot == mark.slot {
                residue.extend_from_slice(piece);
            }
        }
        // An older, longer residue may have left pieces behind its end.
        let len = usize::try_from(mark.residue).unwrap_or(usize::MAX);
        whole(residue.len() >= len, "residue is missing")?;
        residue.truncate(len);
        each(Item::Residue(&residue)).map_err(RowsError::Refused)?;
        Ok((mark, residue))
    }
}

/// One entry's rows.
struct Rows<'a> {
    key: Key,
    items: u16,
    payload: &'a [u8],
}

impl Rows<'_> {
    /// Hands on what lies below `due`; the first must be number `next`.
    /// Returns the number after the last one handed on. The error is `None`
    /// when rows before this entry are missing.
    fn hand_on(
        &self,
        sizes: Sizes,
        mut next: u64,
        due: u64,
        each: &mut impl FnMut(Item<'_>) -> Result<(), String>,
    ) -> Result<u64, Option<RowsError>> {
        let [account, card, _] = sizes.map(usize::from);
        let (first, size) = match self.key {
            Key::Accounts(chunk) => (u64::from(chunk) * u64::from(ACCOUNTS_PER_CHUNK), account),
            Key::Cards(chunk) => (u64::from(chunk) * u64::from(CARDS_PER_CHUNK), card),
            _ => return Ok(next),
        };
        if self.payload.len() != size * usize::from(self.items) {
            return Err(Some(RowsError::OtherFormat));
        }
        for (index, row) in (first..).zip(self.payload.chunks_exact(size.max(1))) {
            if index >= due {
                // Younger than the mark: replay makes it again.
                let ahead = match self.key {
                    Key::Accounts(_) => Item::LaterAccount(row),
                    Key::Cards(_) => Item::LaterCard(row),
                    _ => continue,
                };
                each(ahead).map_err(|what| Some(RowsError::Refused(what)))?;
                continue;
            }
            if index != next {
                return Err(None);
            }
            let ix = u32::try_from(index).unwrap_or(u32::MAX);
            each(match self.key {
                Key::Accounts(_) => Item::Account(ix, row),
                Key::Cards(_) => Item::Card(ix, row),
                _ => continue,
            })
            .map_err(|what| Some(RowsError::Refused(what)))?;
            next += 1;
        }
        Ok(next)
    }
}

/// The residue, cut into what one entry takes.
pub(crate) fn residue_pieces(residue: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    (0..).zip(residue.chunks(RESIDUE_PER_ENTRY))
}
