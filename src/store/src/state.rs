//! The engine's state as the store sees it.

use gapless_engine::Engine;
use gapless_engine::date::Date;
use gapless_engine::{Event, Row};

use crate::base::Counts;
use crate::dirty::Dirty;
use crate::remembered::{Archive, Remembered, RememberedError};

/// Generations of remembered transactions with their lengths.
pub(crate) fn generations(engine: &Engine) -> Vec<(Date, u64)> {
    engine
        .generations()
        .map(|(date, len)| (date, u64::from(len)))
        .collect()
}

/// Appends up to `count` records from `first` on; returns how many. What has gone to
/// files meanwhile is read there.
pub(crate) fn records(
    engine: &Engine,
    archive: &Archive,
    date: Date,
    first: u64,
    count: u32,
    payload: &mut Vec<u8>,
) -> Result<u16, RememberedError> {
    let Ok(first) = u32::try_from(first) else {
        return Ok(0);
    };
    let end = first.saturating_add(count);
    let mut items = 0;
    for position in first..end.min(engine.spilled(date)) {
        payload.extend_from_slice(&archive.marked(engine, date, position)?);
        items += 1;
    }
    for record in engine.record_bytes(date, first..end) {
        payload.extend_from_slice(&record);
        items += 1;
    }
    Ok(items)
}

/// How much of everything there is.
pub(crate) fn counts(engine: &Engine, remembered: &Remembered, residue: usize) -> Counts {
    Counts {
        accounts: engine.accounts_len(),
        cards: engine.cards_len(),
        generations: generations(engine),
        files: remembered.extents_of(engine),
        residue: residue as u64,
    }
}

/// Applies an event to a replica and notes which rows it changed.
pub(crate) fn apply(engine: &mut Engine, event: &Event, dirty: &mut Dirty) {
    engine.apply(event);
    Engine::touched(event, |row| match row {
        Row::Account(ix) => dirty.account(ix.0),
        Row::Card(ix) => dirty.card(ix.0),
    });
}

/// All rows, for a store that holds nothing yet.
pub(crate) fn all_dirty(engine: &Engine) -> Dirty {
    let mut dirty = Dirty::default();
    (0..engine.accounts_len()).for_each(|ix| dirty.account(ix));
    (0..engine.cards_len()).for_each(|ix| dirty.card(ix));
    dirty
}
