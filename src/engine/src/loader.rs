//! Loading: rows, remembered transactions and residue make an engine again.
//!
//! Rows may be ahead of the residue's sequence: events up to
//! [`Engine::consistent_from`] that a row already has are skipped for that row.
//! Remembered transactions beyond the residue's mark are left out, since the
//! journal brings them again; marks on them ("reversed"), which may be ahead as
//! well, are made anew from the reversals that remain.

use crate::account::{AccountRow, RowError};
use crate::card::CardRow;
use crate::date::Date;
use crate::engine::{CurrencyAccounts, Engine, Options};
use crate::ids::{AccountIx, CardIx};
use crate::invariants;
use crate::memory::Memory;
use crate::record::{Record, RecordRef};
use crate::residue::{self, Residue};
use crate::spill::Freed;
use crate::table::{Reserved, UNTOLD};

/// Why stored state does not load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// An account's row is damaged.
    #[error("row of account {ix}: {error}")]
    Account {
        /// Its position.
        ix: u32,
        /// What is wrong.
        error: RowError,
    },
    /// A card's row is damaged.
    #[error("row of card {ix}: {error}")]
    Card {
        /// Its position.
        ix: u32,
        /// What is wrong.
        error: RowError,
    },
    /// A remembered transaction is damaged.
    #[error("remembered transaction {position} of {date}: {error}")]
    Record {
        /// Its generation.
        date: Date,
        /// Its position.
        position: u32,
        /// What is wrong.
        error: RowError,
    },
    /// The residue is damaged, or of an unknown version.
    #[error("the residue cannot be read")]
    Residue,
    /// More rows, or more dates, than the engine is set up for.
    #[error("more {0} than the configured capacity")]
    Capacity(&'static str),
    /// Rows or remembered transactions that the residue counts are not there.
    #[error("{0} are missing")]
    Missing(&'static str),
    /// Parts that do not belong together.
    #[error("{0} do not belong together")]
    Disagree(&'static str),
}

/// Takes the parts in any order, then makes an engine of them.
#[derive(Debug)]
pub struct Loader {
    engine: Engine,
    residue: Vec<u8>,
    /// How far each generation's records are where they are looked up.
    entered: Vec<(Date, u32)>,
    /// What spilled reversals mark.
    marks: Vec<(Date, u32, [RecordRef; 2])>,
}

impl Engine {
    /// Starts loading.
    #[must_use]
    pub fn loader(options: Options) -> Loader {
        Self::loader_in(options, UNTOLD)
    }

    /// As [`Engine::loader`]; `reserved` is told where look-up tables and rows will be,
    /// until all is loaded.
    #[must_use]
    pub fn loader_in(options: Options, reserved: Reserved) -> Loader {
        let mut engine = Self::new_in(options, reserved);
        engine.accounts.tell(reserved);
        engine.cards.tell(reserved);
        Loader {
            engine,
            residue: Vec::new(),
            entered: Vec::new(),
            marks: Vec::new(),
        }
    }
}

impl Loader {
    /// Takes an account's row, as [`AccountRow::to_bytes`] gave it. Ascending
    /// positions are fastest; a place left out must be behind the residue's count.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn account(&mut self, ix: AccountIx, bytes: &[u8]) -> Result<(), LoadError> {
        let row = AccountRow::from_bytes(bytes)
            .map_err(|error| LoadError::Account { ix: ix.0, error })?;
        if ix.0 >= self.engine.options.capacity.accounts {
            return Err(LoadError::Capacity("accounts"));
        }
        let accounts = &mut self.engine.accounts;
        while accounts.len() <= ix.0 {
            accounts.push(AccountRow::VACANT);
        }
        if let Some(place) = accounts.get_mut(ix.0) {
            *place = row;
        }
        Ok(())
    }

    /// Takes a card's row, as [`CardRow::to_bytes`] gave it.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn card(&mut self, ix: CardIx, bytes: &[u8]) -> Result<(), LoadError> {
        let row =
            CardRow::from_bytes(bytes).map_err(|error| LoadError::Card { ix: ix.0, error })?;
        if ix.0 >= self.engine.options.capacity.cards {
            return Err(LoadError::Capacity("cards"));
        }
        let cards = &mut self.engine.cards;
        while cards.len() <= ix.0 {
            cards.push(CardRow::VACANT);
        }
        if let Some(place) = cards.get_mut(ix.0) {
            *place = row;
        }
        Ok(())
    }

    /// Takes the next slot of a generation, as [`Engine::record_bytes`] gave it.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn record(&mut self, date: Date, bytes: &[u8]) -> Result<(), LoadError> {
        let record = Record::from_bytes(bytes).map_err(|error| LoadError::Record {
            date,
            position: self.engine.memory.loaded(date),
            error,
        })?;
        self.slot(date, record)
    }

    /// Takes the next slot of a generation, as [`crate::Recall`] made it anew.
    ///
    /// # Errors
    /// [`LoadError::Capacity`].
    pub fn slot(&mut self, date: Date, record: Record) -> Result<(), LoadError> {
        let memory = &mut self.engine.memory;
        memory
            .push_loaded(date, record)
            .ok_or(LoadError::Capacity("dates"))
    }

    /// The engine as far as it is loaded: what it holds in memory, and may let go of.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// As [`Engine::lend`].
    pub fn lend(&mut self, block: crate::BlockRef, bytes: Option<&[u8]>) {
        self.engine.lend(block, bytes);
    }

    /// As [`Engine::spill`], of records that are loaded. `None`: first something is to
    /// be lent that [`Engine::wanted`] tells.
    ///
    /// # Errors
    /// [`LoadError::Capacity`].
    pub fn spill(&mut self, date: Date, until: u32) -> Result<Option<Freed>, LoadError> {
        if !self.enter(date, until)? {
            return Ok(None);
        }
        let memory = &mut self.engine.memory;
        if let Some(generation) = memory.generation(date) {
            let marks = Memory::marks_of(generation, generation.spilled.slots, until);
            self.marks
                .extend(marks.map(|(delta, marked)| (date, delta, marked)));
        }
        Ok(memory.spill(date, until, u32::MAX))
    }

    /// Puts records where they are looked up; `false` when something is wanted.
    fn enter(&mut self, date: Date, until: u32) -> Result<bool, LoadError> {
        let Engine {
            memory, options, ..
        } = &mut self.engine;
        let most = options
            .capacity
            .remembered
            .saturating_add(options.capacity.reserve());
        let others = self.entered.iter().filter(|(of, _)| *of != date);
        let others: u64 = others.map(|(_, len)| u64::from(*len)).sum();
        if others + u64::from(until) > most.into() {
            return Err(LoadError::Capacity("remembered transactions"));
        }
        let at = self.entered.iter().position(|(of, _)| *of == date);
        let at = at.unwrap_or_else(|| {
            self.entered.push((date, 0));
            self.entered.len() - 1
        });
        let Some((_, entered)) = self.entered.get_mut(at) else {
            return Ok(true);
        };
        *entered = memory.enter_loaded(date, *entered, until);
        if *entered < until && !memory.notes.any() {
            return Err(LoadError::Capacity("remembered transactions"));
        }
        Ok(*entered >= until)
    }

    /// Puts every record where it is looked up, once all parts are there. `false`:
    /// first something is to be lent that [`Engine::wanted`] tells.
    ///
    /// # Errors
    /// [`LoadError`]: the parts are not complete, or do not belong together.
    pub fn settle(&mut self) -> Result<bool, LoadError> {
        let residue = residue::read(&self.residue).ok_or(LoadError::Residue)?;
        let capacity = self.engine.options.capacity;
        let most = capacity.remembered.saturating_add(capacity.reserve());
        let mut all = 0u32;
        let mut last = None;
        for (date, base_seq, len) in &residue.generations {
            let memory = &mut self.engine.memory;
            if memory.loaded(*date) < *len {
                return Err(LoadError::Missing("remembered transactions"));
            }
            all = all.saturating_add(*len);
            if all > most {
                return Err(LoadError::Capacity("remembered transactions"));
            }
            // In order of dates.
            if last.is_some_and(|last| last >= *date) || self.engine.spilled(*date) > *len {
                return Err(LoadError::Disagree("the generations"));
            }
            last = Some(*date);
            self.engine.memory.cut_loaded(*date, *base_seq, *len);
            if !self.enter(*date, *len)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes the residue, as [`Engine::residue`] gave it.
    ///
    /// # Errors
    /// [`LoadError::Residue`].
    pub fn residue(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        residue::read(bytes).ok_or(LoadError::Residue)?;
        self.residue = bytes.to_vec();
        Ok(())
    }

    /// Makes the engine. It stands at the residue's sequence; the journal's
    /// events behind that are applied next.
    ///
    /// # Errors
    /// [`LoadError`]: the parts are not complete, or do not belong together.
    pub fn finish(mut self) -> Result<Engine, LoadError> {
        if !self.settle()? {
            return Err(LoadError::Missing("remembered transactions in files"));
        }
        let residue = residue::read(&self.residue).ok_or(LoadError::Residue)?;
        let mut engine = self.engine;
        engine.accounts.tell(UNTOLD);
        engine.cards.tell(UNTOLD);
        engine.genesis = residue.genesis;
        engine.set_dates(residue.dates);
        invariants::dates_are_neighbours(engine.dates)
            .map_err(|_| LoadError::Disagree("the open dates"))?;
        engine.last_seq = residue.last_seq;
        engine.last_time_us = residue.last_time_us;
        engine.hashes.rolled = residue.rolled;
        take_internal(&mut engine, &residue)?;
        take_generations(&mut engine, &self.marks, &residue)?;
        take_rows(&mut engine, &residue)?;
        engine.exceptions = residue.exceptions;
        engine.totals = residue.totals;
        engine.night = residue.night;
        engine.books = residue.books;
        Ok(engine)
    }
}

fn take_internal(engine: &mut Engine, residue: &Residue) -> Result<(), LoadError> {
    for (currency, [position, suspense, opening]) in &residue.currencies {
        engine.currencies.push(CurrencyAccounts {
            currency: *currency,
            position: *position,
            suspense: *suspense,
            opening: *opening,
            customers_minor: 0,
            internal_minor: 0,
        });
    }
    engine.settlements.extend_from_slice(&residue.settlements);
    if !engine.settlements.is_sorted_by(|(a, _), (b, _)| a < b) {
        return Err(LoadError::Disagree("the settlement accounts"));
    }
    Ok(())
}

fn take_generations(
    engine: &mut Engine,
    marks: &[(Date, u32, [RecordRef; 2])],
    residue: &Residue,
) -> Result<(), LoadError> {
    let counted = |date| residue.generations.iter().any(|(of, ..)| *of == date);
    let memory = &mut engine.memory;
    memory.outliving.clone_from(&residue.outliving);
    // Of a date that the mark does not count yet, or no longer.
    for other in memory.generations.extract_if(.., |one| !counted(one.date)) {
        if other.spilled.slots > 0 {
            return Err(LoadError::Disagree("the generations"));
        }
        memory.used -= other.records.len();
    }
    memory.mark_anew(marks);
    Ok(())
}

fn take_rows(engine: &mut Engine, residue: &Residue) -> Result<(), LoadError> {
    if engine.accounts.len() < residue.accounts_len {
        return Err(LoadError::Missing("accounts"));
    }
    if engine.cards.len() < residue.cards_len {
        return Err(LoadError::Missing("cards"));
    }
    let mut newest = residue.last_seq;
    for ix in 0..engine.accounts.len() {
        let Some(row) = engine.accounts.get(ix).copied() else {
            break;
        };
        if row.last_seq == 0 {
            if ix < residue.accounts_len {
                return Err(LoadError::Missing("accounts"));
            }
            continue;
        }
        newest = newest.max(row.last_seq);
        engine.index_account(AccountIx(ix), &row);
        engine.sum_row(&row);
    }
    for ix in 0..engine.cards.len() {
        let Some(row) = engine.cards.get(ix).copied() else {
            break;
        };
        if row.last_seq == 0 {
            if ix < residue.cards_len {
                return Err(LoadError::Missing("cards"));
            }
            continue;
        }
        newest = newest.max(row.last_seq);
        engine.index_card(CardIx(ix), &row);
    }
    engine.consistent_from = newest;
    Ok(())
}
