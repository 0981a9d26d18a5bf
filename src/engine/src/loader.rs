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
use crate::limits::MAX_GENERATIONS;
use crate::record::Record;
use crate::residue::{self, Residue};
use crate::table::Chunked;

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
    generations: Vec<(Date, Chunked<Record>)>,
    residue: Vec<u8>,
}

impl Engine {
    /// Starts loading.
    #[must_use]
    pub fn loader(options: Options) -> Loader {
        Loader {
            engine: Self::new(options),
            generations: Vec::with_capacity(MAX_GENERATIONS),
            residue: Vec::new(),
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
        let at = match self.generations.iter().rposition(|(d, _)| *d == date) {
            Some(at) => at,
            None if self.generations.len() >= 2 * MAX_GENERATIONS => {
                return Err(LoadError::Capacity("dates"));
            }
            None => {
                let capacity = self.engine.options.capacity.remembered;
                self.generations
                    .push((date, Chunked::with_capacity(capacity)));
                self.generations.len() - 1
            }
        };
        if let Some((_, records)) = self.generations.get_mut(at) {
            let position = records.len();
            let record = Record::from_bytes(bytes).map_err(|error| LoadError::Record {
                date,
                position,
                error,
            })?;
            records.push(record);
        }
        Ok(())
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
    pub fn finish(self) -> Result<Engine, LoadError> {
        let residue = residue::read(&self.residue).ok_or(LoadError::Residue)?;
        let mut engine = self.engine;
        engine.genesis = residue.genesis;
        engine.set_dates(residue.dates);
        invariants::dates_are_neighbours(engine.dates)
            .map_err(|_| LoadError::Disagree("the open dates"))?;
        engine.last_seq = residue.last_seq;
        engine.last_time_us = residue.last_time_us;
        engine.hashes.rolled = residue.rolled;
        take_internal(&mut engine, &residue)?;
        take_generations(&mut engine, self.generations, &residue)?;
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
    mut loaded: Vec<(Date, Chunked<Record>)>,
    residue: &Residue,
) -> Result<(), LoadError> {
    for (date, base_seq, len) in &residue.generations {
        let at = loaded.iter().position(|(d, _)| d == date);
        let records = at.map(|at| loaded.swap_remove(at).1);
        if records.as_ref().map_or(0, Chunked::len) < *len {
            return Err(LoadError::Missing("remembered transactions"));
        }
        if *len > engine.memory.room_with_reserve() {
            return Err(LoadError::Capacity("remembered transactions"));
        }
        // In order of dates, and never two of one tag.
        if engine
            .memory
            .generations
            .last()
            .is_some_and(|last| last.date >= *date)
        {
            return Err(LoadError::Disagree("the generations"));
        }
        engine.memory.take(*date, *base_seq, records, *len);
    }
    engine.memory.mark_anew();
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
