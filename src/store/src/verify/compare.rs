//! Holds what is stored against a recomputed state, byte by byte.

use gapless_engine::date::Date;
use gapless_engine::ids::{AccountIx, CardIx};
use gapless_engine::{Engine, Record};

use crate::format::Item;
use crate::remembered::{Archive, Extent};

/// Row by row.
pub(super) fn same_state(found: &Engine, due: &Engine) -> Result<(), String> {
    let mut compare = Compare::new(due, None);
    for ix in 0..found.accounts_len() {
        if let Some(row) = found.account_row(AccountIx(ix)) {
            compare.item(Item::Account(ix, &row.to_bytes()))?;
        }
    }
    for ix in 0..found.cards_len() {
        if let Some(row) = found.card_row(CardIx(ix)) {
            compare.item(Item::Card(ix, &row.to_bytes()))?;
        }
    }
    for (date, len) in found.generations() {
        for record in found.record_bytes(date, 0..len) {
            compare.item(Item::Record(date, &record))?;
        }
    }
    compare.item(Item::Residue(&found.residue()))?;
    compare.end()
}

/// Holds stored items against an engine's state, byte by byte.
pub(super) struct Compare<'e> {
    engine: &'e Engine,
    archive: Option<&'e Archive>,
    /// How many records of which generations were found in files of their own.
    files: Vec<(Date, u32)>,
    accounts: u32,
    cards: u32,
    /// The generation being compared, and the next record's position.
    records: Option<(Date, u32)>,
    records_seen: u64,
    residue: Vec<u8>,
}

impl<'e> Compare<'e> {
    pub(super) fn new(engine: &'e Engine, archive: Option<&'e Archive>) -> Self {
        Self {
            engine,
            archive,
            files: Vec::new(),
            accounts: 0,
            cards: 0,
            records: None,
            records_seen: 0,
            residue: Vec::new(),
        }
    }

    pub(super) fn item(&mut self, item: Item<'_>) -> Result<(), String> {
        match item {
            Item::Account(ix, bytes) => {
                self.accounts += 1;
                let due = self
                    .engine
                    .account_row(AccountIx(ix))
                    .map(|row| row.to_bytes());
                same(due.as_ref().map(|due| &due[..]), bytes, || {
                    format!("account row {ix}")
                })
            }
            Item::Card(ix, bytes) => {
                self.cards += 1;
                let due = self.engine.card_row(CardIx(ix)).map(|row| row.to_bytes());
                same(due.as_ref().map(|due| &due[..]), bytes, || {
                    format!("card row {ix}")
                })
            }
            Item::Record(date, bytes) => {
                let position = match self.records {
                    Some((current, next)) if current == date => next,
                    _ => {
                        let files = self.files.iter().find(|(of, _)| *of == date);
                        files.map_or(0, |(_, slots)| *slots)
                    }
                };
                self.records = Some((date, position + 1));
                self.records_seen += 1;
                let due = self
                    .engine
                    .record_bytes(date, position..position + 1)
                    .next();
                same(due.as_ref().map(|due| &due[..]), bytes, || {
                    format!("remembered transaction {position} of {date}")
                })
            }
            Item::Slot(date, record) => self.item(Item::Record(date, &record.to_bytes())),
            Item::Residue(bytes) => {
                self.residue.extend_from_slice(bytes);
                Ok(())
            }
            Item::Files(date, extent) => self.files(date, extent),
            Item::Mark(..) | Item::LaterAccount(_) | Item::LaterCard(_) => Ok(()),
        }
    }

    /// Records in files, where no mark "reversed" is: it is made anew from the reversals.
    fn files(&mut self, date: Date, extent: Extent) -> Result<(), String> {
        let archive = self.archive.ok_or("records are in files of their own")?;
        let engine = self.engine;
        archive.walk(date, extent, |first, records| {
            let slots = u32::try_from(records.len() / Record::BYTES).unwrap_or(u32::MAX);
            let due = engine.spill_bytes(date, first..first.saturating_add(slots));
            let mut due = due.map(Some).chain(std::iter::repeat(None));
            for (position, found) in (first..).zip(records.chunks_exact(Record::BYTES)) {
                let due = due.next().flatten();
                same(due.as_ref().map(|due| &due[..]), found, || {
                    format!("remembered transaction {position} of {date}, in a file of its own,")
                })?;
            }
            Ok(())
        })?;
        self.files.push((date, extent.slots));
        self.records_seen += u64::from(extent.slots);
        Ok(())
    }

    pub(super) fn end(self) -> Result<(), String> {
        let records: u64 = self
            .engine
            .generations()
            .map(|(_, len)| u64::from(len))
            .sum();
        if self.accounts != self.engine.accounts_len()
            || self.cards != self.engine.cards_len()
            || self.records_seen != records
        {
            return Err("rows are missing".to_owned());
        }
        if self.residue != self.engine.residue() {
            return Err("dates, totals or exceptions are other than the journal's".to_owned());
        }
        Ok(())
    }
}

fn same(due: Option<&[u8]>, found: &[u8], name: impl FnOnce() -> String) -> Result<(), String> {
    if due == Some(found) {
        Ok(())
    } else {
        Err(format!("{} is other than the journal's", name()))
    }
}
