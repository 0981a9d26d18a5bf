//! Whatever commands come, the invariants hold; what the journal holds makes the
//! same state again; and what was stored loads as what it was.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing
)]

mod common;
use common::requests::*;
use common::stored::{events, image, recall, reload};
use common::*;
use gapless_engine::command::*;
use gapless_engine::date::Date;
use gapless_engine::ids::*;
use gapless_engine::*;
use proptest::prelude::*;

/// Books that keep each account's postings by date, as slowly and plainly as can
/// be: 3, 5 and 6 are held against them.
#[derive(Default)]
struct Books {
    postings: std::collections::BTreeMap<(AccountIx, Date), i128>,
    sealed: Option<Date>,
    /// Closing balances at the last seal.
    closed: std::collections::BTreeMap<AccountIx, i128>,
}

impl Books {
    fn until(&self, account: AccountIx, last: Date) -> i128 {
        self.postings
            .range((account, Date(0))..=(account, last))
            .map(|(_, sum)| sum)
            .sum()
    }

    fn post(&mut self, event: &Event) -> Result<(), TestCaseError> {
        if let Some(date) = event.business_date() {
            prop_assert!(
                self.sealed.is_none_or(|sealed| date > sealed),
                "3: {event:?}"
            );
            for leg in event.legs().as_slice() {
                *self.postings.entry((leg.account, date)).or_default() +=
                    i128::from(leg.delta_minor);
            }
        }
        if let Body::Seal(seal) = &event.body {
            self.sealed = Some(seal.date);
            let accounts: std::collections::BTreeSet<_> =
                self.postings.keys().map(|(account, _)| *account).collect();
            for account in accounts {
                self.closed.insert(account, self.until(account, seal.date));
            }
        }
        Ok(())
    }

    fn compare(&self, engine: &Engine) -> Result<(), TestCaseError> {
        let dates = engine.business();
        for ix in (0..engine.accounts_len()).map(AccountIx) {
            let view = engine.account_row(ix).unwrap().view(dates.closing);
            prop_assert_eq!(i128::from(view.balance), self.until(ix, dates.closing));
            let both = self.until(ix, dates.opening);
            prop_assert_eq!(i128::from(view.balance + view.next), both, "6");
            // 5: what a date closed with never changes afterwards.
            if let (Some(sealed), Some(closed)) = (self.sealed, self.closed.get(&ix)) {
                prop_assert_eq!(self.until(ix, sealed), *closed, "5");
                prop_assert_eq!(sealed.next(), dates.closing);
            }
        }
        Ok(())
    }
}

const FOLLOWER: Options = Options {
    indexed: false,
    capacity: Capacity::SMALL,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_commands_keep_the_invariants_and_replay_to_the_same_state(
        requests in prop::collection::vec(request(), 1..120)
    ) {
        let mut bank = Bank::open();
        for request in requests {
            let before = (bank.engine.state_hash(), bank.log.len());
            let request = aimed(&bank, request);
            let repeat = bank.ask(request);
            if before.1 == bank.log.len() {
                prop_assert_eq!(before.0, bank.engine.state_hash(), "no event, no effect: {:?}", repeat);
            }
            if let Err(breach) = audit(&bank.engine) {
                return Err(TestCaseError::fail(format!("{breach} after {request:?}")));
            }
            prop_assert!(bank.engine.trial_balance().balances());
        }
        prop_assert_eq!(bank.engine.counts().breaches, 0, "{:?}", bank.engine.last_breach());
        for options in [INDEXED, FOLLOWER] {
            let mut replay = Engine::new(options);
            let mut books = Books::default();
            for event in events(&bank.log) {
                prop_assert_eq!(replay.check(&event), Ok(()));
                replay.apply(&event);
                books.post(&event)?;
                books.compare(&replay)?;
            }
            prop_assert_eq!(replay.divergence(), None);
            prop_assert_eq!(audit(&replay), Ok(()));
            prop_assert!(image(&replay) == image(&bank.engine));
        }
    }

    /// 11: the same traffic with a night and without one.
    #[test]
    fn a_night_changes_no_answer_and_no_amount(
        requests in prop::collection::vec(
            prop_oneof![
                2 => transaction().prop_map(Request::Transaction),
                1 => reversal().prop_map(Request::Reversal),
            ],
            1..100,
        ),
        steps in prop::collection::vec((0..100usize, night_step()), 0..25),
    ) {
        let (mut with, mut without) = (Bank::open(), Bank::open());
        for (at, request) in requests.iter().enumerate() {
            for (_, step) in steps.iter().filter(|(place, _)| *place == at) {
                let step = aimed(&with, *step);
                if !matches!(step, Request::PostEntry(_) | Request::OpenBatch { .. }) {
                    with.ask(step);
                }
            }
            let (Answer::Message(a), Answer::Message(b)) = (with.ask(*request), without.ask(*request)) else {
                panic!();
            };
            prop_assert_eq!(a.code, b.code);
            prop_assert_eq!(a.balances, b.balances);
            prop_assert_eq!(a.is_repeat, b.is_repeat);
            for name in ["A", "B", "U", "CLOSED"] {
                prop_assert_eq!(with.ledger(name), without.ledger(name));
            }
        }
        prop_assert_eq!(with.engine.counts().exceptions, without.engine.counts().exceptions);
    }

    #[test]
    fn a_message_and_its_repeats_have_one_effect_and_one_answer(
        requests in prop::collection::vec(request(), 1..80)
    ) {
        let mut bank = Bank::open();
        for request in requests {
            let request = aimed(&bank, request);
            let Answer::Message(first) = bank.ask(request) else { continue };
            let state = bank.engine.state_hash();
            let Answer::Message(second) = bank.ask(request) else { panic!() };
            prop_assert_eq!(state, bank.engine.state_hash());
            prop_assert!(second.is_repeat || second.seq == 0, "{:?}", second);
            prop_assert_eq!(first.code, second.code);
            prop_assert_eq!(first.balances, second.balances);
            prop_assert_eq!(first.seq, second.seq);
            prop_assert_eq!(first.business_date, second.business_date);
            prop_assert_eq!(first.settlement_date, second.settlement_date);
        }
    }

    #[test]
    fn what_is_stored_loads_even_with_rows_ahead_of_the_mark(
        requests in prop::collection::vec(request(), 1..100),
        at in 0..100usize,
        behind in 0..40usize,
        every in 1..4u32,
        before in 0..100usize,
    ) {
        let mut bank = Bank::open();
        for request in requests {
            bank.ask(aimed(&bank, request));
        }
        let events = events(&bank.log);
        let at = at.min(events.len());
        let before = at.saturating_sub(before);
        let later = (at + behind).min(events.len());
        let stopped = |end: usize| {
            let mut engine = Engine::new(FOLLOWER);
            for event in &events[..end] {
                engine.apply(event);
            }
            engine
        };
        let (mark, ahead) = (stopped(at), stopped(later));
        for options in [INDEXED, FOLLOWER] {
            let mut loaded = reload(&mark, &ahead, every, options);
            prop_assert_eq!(loaded.last_seq(), mark.last_seq());
            prop_assert!(loaded.consistent_from() <= ahead.last_seq());
            if behind == 0 {
                prop_assert_eq!(loaded.state_hash(), mark.state_hash());
                prop_assert_eq!(audit(&loaded), Ok(()));
            }
            for event in &events[at..] {
                prop_assert_eq!(loaded.check(event), Ok(()));
                loaded.apply(event);
            }
            prop_assert_eq!(loaded.divergence(), None);
            prop_assert_eq!(audit(&loaded), Ok(()));
            prop_assert!(image(&loaded) == image(&bank.engine));
            // What is remembered, out of the journal behind an earlier state; or all of it.
            for from in [before, 0] {
                let (base, journal) = (stopped(from), &events[from..later]);
                let mut loaded = recall(&base, journal, &mark, &ahead, options);
                for event in &events[at..] {
                    prop_assert_eq!(loaded.check(event), Ok(()));
                    loaded.apply(event);
                }
                prop_assert_eq!(audit(&loaded), Ok(()));
                prop_assert!(image(&loaded) == image(&bank.engine));
            }
        }
    }

    #[test]
    fn events_survive_their_encoding(requests in prop::collection::vec(request(), 1..60)) {
        let mut bank = Bank::open();
        for request in requests {
            bank.ask(aimed(&bank, request));
        }
        let mut again = vec![];
        for event in events(&bank.log) {
            let start = again.len();
            event.encode(&mut again);
            prop_assert!(again.len() - start <= Event::MAX_BYTES);
            for cut in start..again.len() {
                prop_assert!(Event::decode(&again[start..cut]).is_err());
            }
        }
        prop_assert!(again == bank.log);
    }

    #[test]
    fn decoding_never_panics(
        mut bytes in prop::collection::vec(any::<u8>(), 0..300),
        kind in 0..15u8,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let _ = Event::decode(&bytes);
        if bytes.len() > 4 {
            bytes[0] = 1;
            bytes[1] = kind;
            let len = (bytes.len() as u16).to_le_bytes();
            bytes[2..4].copy_from_slice(&len);
            let _ = Event::decode(&bytes);
        }
        let _ = AccountRow::from_bytes(&bytes);
        let _ = CardRow::from_bytes(&bytes);
        let _ = Record::from_bytes(&bytes);
        let _ = Engine::loader(FOLLOWER).residue(&bytes);
        // Valid ones with a few bytes changed: decoded or refused; if decoded, the
        // engine checks them without a panic, and never takes an unbalanced one.
        let mut bank = Bank::open();
        bank.run("purchase cA 10 #1 -> 00
                  reverse cA #2 of #1 lost -> 00
                  reverse cA #3 of #9 lost -> 00
                  inquiry cA 0 #4 -> 00
                  purchase cB 10USD #5 billing=130KRW -> 00");
        let mut log = bank.log.clone();
        for (at, with) in flips {
            let at = at.index(log.len());
            log[at] = with;
        }
        let mut engine = Engine::new(FOLLOWER);
        let mut rest = &log[..];
        while let Ok((event, tail)) = Event::decode(rest) {
            if engine.check(&event).is_err() {
                break;
            }
            engine.apply(&event);
            prop_assert!(engine.trial_balance().balances());
            rest = tail;
        }
    }
}

/// The streams above are worth something only if they reach what they are to test.
#[test]
fn the_streams_reach_every_finding_and_every_exception() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut findings = std::collections::BTreeSet::new();
    let mut exceptions = std::collections::BTreeSet::new();
    let mut codes = std::collections::BTreeSet::new();
    let (mut linked, mut wide, mut repeats) = (0, 0, 0);
    let (mut steps, mut seals, mut entries, mut rolled) = ([0; 4], 0, 0, 0);
    let (mut verdicts, mut announced) = (std::collections::BTreeSet::new(), 0);
    for _ in 0..180 {
        let mut bank = Bank::open();
        for _ in 0..150 {
            let request = request().new_tree(&mut runner).unwrap().current();
            let request = aimed(&bank, request);
            if let Answer::Message(outcome) = bank.ask(request) {
                codes.insert(outcome.code.number());
                repeats += u32::from(outcome.is_repeat);
            }
        }
        for event in events(&bank.log) {
            match event.body {
                Body::Reversal(r) => {
                    findings.insert(r.finding as u8);
                    exceptions.extend(r.exception);
                }
                Body::Transaction(t) => {
                    exceptions.extend(t.exception);
                    linked += u32::from(t.linked.is_some());
                    wide += u32::from(t.legs.as_slice().len() > 2);
                }
                Body::OpenedEarly { .. } => steps[0] += 1,
                Body::Cutover { .. } => steps[1] += 1,
                Body::Freeze { .. } => steps[2] += 1,
                Body::NetworkCutover(_) => steps[3] += 1,
                Body::Seal(seal) => seals += 1 + u32::from(!seal.entries.as_slice().is_empty()),
                Body::Entry(_) => entries += 1,
                Body::Reconciliation(r) => {
                    verdicts.insert((r.origin as u8, r.verdict as u8));
                    exceptions.extend(match r.verdict {
                        Verdict::OutOfBalance => Some(ExceptionKind::ReconciliationDiffers),
                        Verdict::Refused => Some(ExceptionKind::ReconciliationRefused),
                        Verdict::InBalance | Verdict::Received => None,
                    });
                }
                Body::CutoverAnnounced { .. } => announced += 1,
                _ => {}
            }
        }
        rolled += bank.engine.rolled_forward();
    }
    assert!(
        steps.iter().all(|count| *count > 10) && seals > 20 && entries > 20 && rolled > 5,
        "{steps:?} {seals} {entries} {rolled}"
    );
    // Theirs in and out of balance; ours in, out, and refused.
    let seen: Vec<_> = verdicts.into_iter().collect();
    assert_eq!(seen, [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3)]);
    assert!(announced > 10, "{announced}");
    assert_eq!(findings.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(
        exceptions.into_iter().collect::<Vec<_>>(),
        ExceptionKind::ALL
    );
    assert!(
        linked > 10 && wide > 10 && repeats > 50,
        "{linked} {wide} {repeats}"
    );
    for code in [0, 5, 12, 13, 14, 41, 51, 57, 76, 77, 78, 94] {
        assert!(codes.contains(&code), "{code} is not among {codes:?}");
    }
}

/// Rows that were stored two dates ahead of the mark: the buffer of a date that
/// opens only while the journal is replayed.
#[test]
fn rows_ahead_of_the_mark_by_a_seal() {
    let mut bank = Bank::open();
    bank.run("cutover D -> done\nfreeze D -> done");
    let mark = events(&bank.log).len();
    bank.run(
        "
        purchase cA 10 #1           -> 00 bdate=D+1
        seal D                      -> done open D+1
        early D+1                   -> done early D+1
        purchase cA 20 #2 de15=0317 -> 00 bdate=D+2
        purchase cB 5 #3            -> 00 bdate=D+1
        ",
    );
    let events = events(&bank.log);
    let stopped = |end: usize| {
        let mut engine = Engine::new(FOLLOWER);
        for event in &events[..end] {
            engine.apply(event);
        }
        engine
    };
    // From the freeze on, and from nothing at all.
    for (every, mark) in (1..4).flat_map(|every| [(every, mark), (every, 0)]) {
        let mut loaded = reload(&stopped(mark), &stopped(events.len()), every, FOLLOWER);
        for event in &events[mark..] {
            assert_eq!(loaded.check(event), Ok(()));
            loaded.apply(event);
        }
        assert_eq!(audit(&loaded), Ok(()));
        assert!(image(&loaded) == image(&bank.engine));
    }
}
