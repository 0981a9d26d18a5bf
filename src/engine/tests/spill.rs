//! With old records in files, every answer, every event and the state are what they
//! would be with everything in memory.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing
)]

mod common;
use common::requests::*;
use common::stored::{events, image};
use common::*;
use gapless_engine::code::ResponseCode;
use gapless_engine::command::*;
use gapless_engine::date::Date;
use gapless_engine::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Files of old records, each as long as a block.
#[derive(Default)]
struct Files {
    blocks: BTreeMap<BlockRef, Vec<u8>>,
    lent: usize,
}

impl Files {
    /// Lets go of all whole blocks but the newest `kept`, at most `most` slots in one go.
    fn spill(&mut self, engine: &mut Engine, kept: u32, most: u32) {
        while let Some(next) = engine.next_to_spill(BLOCK_SLOTS * (kept + 1)) {
            let end = next.first + BLOCK_SLOTS;
            let bytes: Vec<u8> = engine
                .spill_bytes(next.date, next.first..end)
                .flatten()
                .collect();
            let before = self.blocks.insert(next, bytes);
            // Written again, it is the same.
            assert!(before.is_none_or(|before| before == self.blocks[&next]));
            while engine.spill(next.date, end, most).is_none() {}
            assert_eq!(engine.spilled(next.date), end);
        }
    }

    /// Lends what is wanted; whether anything was.
    fn lend(&mut self, wanted: &[BlockRef], mut to: impl FnMut(BlockRef, Option<&[u8]>)) -> bool {
        self.lent += wanted.len();
        for block in wanted {
            to(*block, self.blocks.get(block).map(Vec::as_slice));
        }
        !wanted.is_empty()
    }

    fn execute(&mut self, engine: &mut Engine, command: &Command, log: &mut Vec<u8>) -> Answer {
        loop {
            let before = (engine.state_hash(), log.len());
            let answer = engine.execute(command, log);
            if answer != Answer::Wanting {
                return answer;
            }
            assert_eq!(before, (engine.state_hash(), log.len()), "no effect");
            let wanted = engine.wanted();
            assert!(self.lend(&wanted, |block, bytes| engine.lend(block, bytes)));
        }
    }

    /// As a replay does it.
    fn replay(&mut self, engine: &mut Engine, event: &Event) -> Result<(), Breach> {
        loop {
            engine.foresee(event);
            let checked = engine.check(event);
            let wanted = engine.wanted();
            if !self.lend(&wanted, |block, bytes| engine.lend(block, bytes)) {
                checked?;
                engine.apply(event);
                return Ok(());
            }
        }
    }

    /// Stored in whole, and loaded with old records in files.
    fn reload(&mut self, engine: &Engine, options: Options) -> Engine {
        let mut loader = Engine::loader(options);
        for ix in 0..engine.accounts_len() {
            let row = engine.account_row(ids::AccountIx(ix)).unwrap();
            loader.account(ids::AccountIx(ix), &row.to_bytes()).unwrap();
        }
        for ix in 0..engine.cards_len() {
            let row = engine.card_row(ids::CardIx(ix)).unwrap();
            loader.card(ids::CardIx(ix), &row.to_bytes()).unwrap();
        }
        for (date, len) in engine.generations() {
            for slot in engine.record_bytes(date, 0..len) {
                loader.record(date, &slot).unwrap();
                while let Some(next) = loader.engine().next_to_spill(BLOCK_SLOTS) {
                    let end = next.first + BLOCK_SLOTS;
                    let bytes = loader.engine().spill_bytes(date, next.first..end);
                    let bytes: Vec<u8> = bytes.flatten().collect();
                    assert_eq!(*self.blocks.entry(next).or_insert(bytes.clone()), bytes);
                    while loader.spill(date, end).unwrap().is_none() {
                        let wanted = loader.engine().wanted();
                        assert!(self.lend(&wanted, |block, bytes| loader.lend(block, bytes)));
                    }
                }
            }
        }
        loader.residue(&engine.residue()).unwrap();
        while !loader.settle().unwrap() {
            let wanted = loader.engine().wanted();
            assert!(self.lend(&wanted, |block, bytes| loader.lend(block, bytes)));
        }
        loader.finish().unwrap()
    }

    /// All that can be seen of an engine, with what it has let go of.
    fn image(&self, engine: &Engine) -> (u64, Vec<u8>, Vec<Vec<u8>>) {
        let (hash, residue, mut rows) = image(engine);
        let here = usize::try_from(engine.records_in_memory()).unwrap();
        let mut records = rows.split_off(rows.len() - here).into_iter();
        for (date, len) in engine.generations() {
            let spilled = engine.spilled(date);
            for (block, bytes) in &self.blocks {
                if block.date == date && block.first < spilled {
                    let slots = (block.first..).zip(bytes.chunks(Record::BYTES));
                    rows.extend(
                        slots.map(|(at, slot)| engine.marked(date, at, slot).unwrap().to_vec()),
                    );
                }
            }
            rows.extend(records.by_ref().take((len - spilled) as usize));
        }
        (hash, residue, rows)
    }
}

/// Much of it under one name, as of a peer that never counts its STAN up.
fn crowded() -> impl Strategy<Value = Request> {
    let one = || locator(NETWORK, "cA", 1);
    prop_oneof![
        3 => transaction().prop_map(move |mut t| {
            t.identity.locator = one();
            Request::Transaction(t)
        }),
        1 => reversal().prop_map(move |mut r| {
            r.identity.locator = one();
            r.original.locator = r.original.locator.map(|_| one());
            Request::Reversal(r)
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn answers_events_and_state_are_those_of_an_engine_with_all_in_memory(
        requests in prop::collection::vec(
            prop_oneof![3 => request(), 2 => crowded()],
            40..220,
        ),
        kept in 0..3u32,
        most in 1..40u32,
    ) {
        let mut bank = Bank::open();
        let mut files = Files::default();
        let mut tight = files.reload(&bank.engine, INDEXED);
        let mut log = bank.log.clone();
        for request in requests {
            let request = aimed(&bank, request);
            let answer = bank.ask(request);
            let command = Command { time_us: bank.time_us, day: bank.day, request };
            let given = files.execute(&mut tight, &command, &mut log);
            prop_assert_eq!(given, answer, "{:?}", request);
            prop_assert!(log == bank.log);
            prop_assert_eq!(tight.state_hash(), bank.engine.state_hash());
            files.spill(&mut tight, kept, most);
            if let Err(breach) = audit(&tight) {
                return Err(TestCaseError::fail(format!("{breach} after {request:?}")));
            }
        }
        prop_assert!(files.image(&tight) == image(&bank.engine));
        prop_assert_eq!(tight.counts(), bank.engine.counts());
        for indexed in [true, false] {
            let options = Options { indexed, ..INDEXED };
            // Replayed, and letting go on the way; the files come out the same.
            let mut replay = Engine::new(options);
            for event in events(&bank.log) {
                prop_assert_eq!(files.replay(&mut replay, &event), Ok(()));
                files.spill(&mut replay, 0, most);
            }
            prop_assert_eq!(replay.divergence(), None);
            prop_assert!(files.image(&replay) == image(&bank.engine));
            // Loaded, and replayed to the end.
            let all = events(&bank.log);
            let (first, rest) = all.split_at(all.len() / 2);
            let mut stored = Engine::new(INDEXED);
            first.iter().for_each(|event| stored.apply(event));
            let mut loaded = files.reload(&stored, options);
            prop_assert_eq!(audit(&loaded), Ok(()));
            prop_assert_eq!(loaded.state_hash(), stored.state_hash());
            for event in rest {
                prop_assert_eq!(files.replay(&mut loaded, event), Ok(()));
            }
            prop_assert_eq!(loaded.divergence(), None);
            prop_assert_eq!(audit(&loaded), Ok(()));
            prop_assert!(files.image(&loaded) == image(&bank.engine));
        }
    }
}

/// A bank with forty old purchases, all in files.
fn old() -> (Bank, Files) {
    let mut bank = Bank::open();
    for stan in 0..40 {
        bank.run(&format!("purchase cA 10 #{stan} -> 00"));
    }
    let mut files = Files::default();
    files.spill(&mut bank.engine, 0, u32::MAX);
    assert_eq!(bank.engine.spilled(today()), 32);
    (bank, files)
}

fn ask(bank: &mut Bank, files: &mut Files, line: &str) -> outcome::Outcome {
    let command = Command {
        time_us: bank.time_us,
        day: bank.day,
        request: parse(line),
    };
    match files.execute(&mut bank.engine, &command, &mut bank.log) {
        Answer::Message(outcome) => outcome,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn repeats_and_reversals_of_what_lies_in_files() {
    let (mut bank, mut files) = old();
    // New purchases need no file, whatever their number.
    for stan in 100..160 {
        ask(&mut bank, &mut files, &format!("purchase cB 1 #{stan}"));
    }
    assert_eq!(files.lent, 0);
    let first = ask(&mut bank, &mut files, "purchase cA 10 #3");
    assert!(first.is_repeat && first.code == ResponseCode::Approved);
    assert!(files.lent > 0);
    let ledger = bank.ledger("A");
    ask(&mut bank, &mut files, "reverse cA #200 of #3");
    assert_eq!(bank.ledger("A"), ledger + 10);
    // The mark came after the record had left memory: another repeat is declined.
    let again = ask(&mut bank, &mut files, "purchase cA 10 #3");
    assert!(again.is_repeat && again.code == ResponseCode::DoNotHonour);
    ask(&mut bank, &mut files, "reverse cA #201 of #3");
    assert_eq!(bank.ledger("A"), ledger + 10, "reversed once");
    let other = ask(&mut bank, &mut files, "purchase cA 11 #4");
    assert_eq!(other.code, ResponseCode::Duplicate);
    // Along the card's chain, when the STAN is lost: through all of it.
    bank.run("purchase cA 10 #300 -> 00");
    ask(&mut bank, &mut files, "reverse cA #202 of #5 lost rrn=77");
}

#[test]
fn who_meets_anothers_locator_needs_no_file_to_tell_them_apart() {
    let mut bank = Bank::open();
    for stan in 0..48 {
        bank.run(&format!("purchase cA 1 #{stan} de7={} -> 00", 100 + stan));
    }
    let mut files = Files::default();
    files.spill(&mut bank.engine, 0, u32::MAX);
    assert_eq!(bank.engine.spilled(today()), 48);
    // The same card and STAN, as a hash of 32 bits makes them meet, and another DE 7.
    for stan in 0..48 {
        let outcome = ask(
            &mut bank,
            &mut files,
            &format!("purchase cA 1 #{stan} de7={}", 5_000 + stan),
        );
        assert!(!outcome.is_repeat && outcome.code == ResponseCode::Approved);
    }
    assert!(files.lent <= 3, "{}", files.lent);
    let outcome = ask(&mut bank, &mut files, "purchase cA 1 #7 de7=107");
    assert!(outcome.is_repeat);
    // A reversal looks at all of them: half of what it says fits the other.
    ask(&mut bank, &mut files, "reverse cA #500 of #9 de7=300");
}

#[test]
fn what_cannot_be_read_is_answered_96_and_nothing_else_is() {
    let (mut bank, mut files) = old();
    let whole = std::mem::take(&mut files.blocks);
    let state = bank.engine.state_hash();
    for line in ["purchase cA 10 #3", "reverse cA #200 of #3"] {
        let outcome = ask(&mut bank, &mut files, line);
        assert_eq!((outcome.code, outcome.seq), (ResponseCode::Malfunction, 0));
    }
    assert_eq!(bank.engine.state_hash(), state);
    assert_eq!(bank.engine.counts().breaches, 0);
    let outcome = ask(&mut bank, &mut files, "purchase cB 10 #3");
    assert_eq!(outcome.code, ResponseCode::Approved);
    // It can be read again: all is as it was.
    files.blocks = whole;
    let outcome = ask(&mut bank, &mut files, "purchase cA 10 #3");
    assert!(outcome.is_repeat && outcome.code == ResponseCode::Approved);
}

#[test]
fn requests_are_refused_when_memory_is_full_and_advices_are_not() {
    let mut bank = Bank::open();
    bank.engine.hold_in_memory(10);
    for stan in 0..8 {
        bank.run(&format!("purchase cA 1 #{stan} -> 00"));
    }
    bank.run("purchase cA 1 #20 -> 91\nadvice-purchase cA 1 #21 -> 00");
    for stan in 30..40 {
        bank.run(&format!("advice-purchase cA 1 #{stan} -> 00"));
    }
    let mut files = Files::default();
    files.spill(&mut bank.engine, 0, 7);
    assert!(bank.engine.records_in_memory() < BLOCK_SLOTS);
    bank.run("purchase cA 1 #20 -> 00");
}

#[test]
fn a_date_that_is_forgotten_leaves_nothing_behind() {
    let (mut bank, mut files) = old();
    for day in 0..7 {
        bank.run(&format!(
            "cutover D+{day} -> done\nfreeze D+{day} -> done\nseal D+{day} -> done"
        ));
        for stan in 0..20 {
            ask(
                &mut bank,
                &mut files,
                &format!("purchase cB 1 #{stan} de7={}", 500 + day),
            );
        }
        files.spill(&mut bank.engine, 0, u32::MAX);
        assert_eq!(audit(&bank.engine), Ok(()));
    }
    assert_eq!(bank.engine.spilled(today()), 0);
    let (dates, slots): (Vec<Date>, Vec<u32>) = bank.engine.generations().unzip();
    assert!(dates.len() <= 6 && !dates.contains(&today()), "{dates:?}");
    assert_eq!(slots.iter().sum::<u32>(), bank.engine.counts().remembered);
    // What was forgotten is asked anew.
    let outcome = ask(&mut bank, &mut files, "purchase cA 10 #3");
    assert!(!outcome.is_repeat);
}
