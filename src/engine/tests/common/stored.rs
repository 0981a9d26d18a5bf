//! What is stored of an engine, and an engine made of it again.

use gapless_engine::ids::*;
use gapless_engine::*;

/// The events of a journal.
pub fn events(log: &[u8]) -> Vec<Event> {
    let mut rest = log;
    let mut events = vec![];
    while !rest.is_empty() {
        let (event, tail) = Event::decode(rest).unwrap();
        events.push(event);
        rest = tail;
    }
    events
}

/// All that can be seen of an engine, to the byte.
pub fn image(engine: &Engine) -> (u64, Vec<u8>, Vec<Vec<u8>>) {
    let mut rows: Vec<Vec<u8>> = vec![];
    for ix in 0..engine.accounts_len() {
        rows.push(
            engine
                .account_row(AccountIx(ix))
                .unwrap()
                .to_bytes()
                .to_vec(),
        );
    }
    for ix in 0..engine.cards_len() {
        rows.push(engine.card_row(CardIx(ix)).unwrap().to_bytes().to_vec());
    }
    for (date, len) in engine.generations() {
        rows.extend(engine.record_bytes(date, 0..len).map(|r| r.to_vec()));
    }
    (engine.state_hash(), engine.residue(), rows)
}

fn rows(mark: &Engine, ahead: &Engine, every: u32, options: Options) -> Loader {
    let mut loader = Engine::loader(options);
    // Every so many rows were stored later than the mark.
    let row_of = |ix: u32| {
        if ix.is_multiple_of(every) {
            ahead
        } else {
            mark
        }
    };
    for ix in 0..ahead.accounts_len() {
        if let Some(row) = row_of(ix).account_row(AccountIx(ix)) {
            loader.account(AccountIx(ix), &row.to_bytes()).unwrap();
        }
    }
    for ix in 0..ahead.cards_len() {
        if let Some(row) = row_of(ix).card_row(CardIx(ix)) {
            loader.card(CardIx(ix), &row.to_bytes()).unwrap();
        }
    }
    loader
}

/// Loads rows as they are in `ahead`, records as they are in `base`, and those that the
/// `events` from there to the mark bring.
pub fn recall(
    base: &Engine,
    events: &[Event],
    mark: &Engine,
    ahead: &Engine,
    options: Options,
) -> Engine {
    let mut loader = rows(mark, ahead, 1, options);
    let mut recall = Recall::new(&mark.residue()).unwrap();
    if base.last_seq() > 0 {
        recall.begin_behind(&base.residue()).unwrap();
    }
    for (date, len) in base.generations() {
        for slot in base
            .record_bytes(date, 0..len)
            .filter(|_| recall.keeps(date))
        {
            loader.record(date, &slot).unwrap();
        }
    }
    for event in events {
        recall
            .slots(event, |date, record| loader.slot(date, record))
            .unwrap();
    }
    let lens: Vec<_> = recall.generations().collect();
    assert_eq!(lens, mark.generations().collect::<Vec<_>>());
    for (date, len) in lens {
        let loaded = loader.engine().record_bytes(date, 0..u32::MAX).count();
        assert_eq!(loaded, len as usize);
    }
    loader.residue(&mark.residue()).unwrap();
    loader.finish().unwrap()
}

/// Stores rows as they are in `ahead`, all else as in `mark`, and loads that.
pub fn reload(mark: &Engine, ahead: &Engine, every: u32, options: Options) -> Engine {
    let mut loader = rows(mark, ahead, every, options);
    // Of the remembered transactions, those beyond the mark may have been stored
    // as well, or not; marks on older ones are as of later in any case.
    let counted: std::collections::BTreeMap<_, _> = mark.generations().collect();
    for (date, len) in ahead.generations() {
        let least = counted.get(&date).copied().unwrap_or(0);
        let stored = if every == 2 { len } else { least };
        for slot in ahead.record_bytes(date, 0..stored) {
            loader.record(date, &slot).unwrap();
        }
    }
    // What has been forgotten since is taken off only with a later mark.
    for (date, len) in counted {
        if ahead.generations().all(|(there, _)| there != date) {
            for slot in mark.record_bytes(date, 0..len) {
                loader.record(date, &slot).unwrap();
            }
        }
    }
    loader.residue(&mark.residue()).unwrap();
    loader.finish().unwrap()
}
