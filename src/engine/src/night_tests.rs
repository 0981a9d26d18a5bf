//! Two open dates, seen from inside: what a row holds, and that a seal changes none.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use crate::business::{DateState, Phase};
use crate::command::*;
use crate::date::Date;
use crate::ids::*;
use crate::invariants::Breach;
use crate::outcome::Outcome;
use crate::{Answer, Body, Capacity, Decision, Engine, Options, audit};

const KRW: Currency = Currency(410);
const D: Date = Date(20_500);
const PAN: PanHash = PanHash(1);

fn ask(engine: &mut Engine, request: Request) -> Answer {
    engine.execute(
        &Command {
            time_us: 1,
            day: Date(0),
            request,
        },
        &mut Vec::new(),
    )
}

fn number(text: &str) -> AccountNumber {
    AccountNumber::new(text.as_bytes()).unwrap()
}

fn bank() -> Engine {
    let mut engine = Engine::new(Options {
        indexed: true,
        capacity: Capacity::SMALL,
    });
    for request in [
        Request::Genesis(Genesis {
            business_date: D,
            key_check: 0,
        }),
        Request::OpenInternal {
            network: NetworkId(1),
            currency: KRW,
        },
        Request::PutAccount(PutAccount {
            number: number("A"),
            currency: KRW,
            balance_minor: 1000,
            overdraft_minor: 0,
            status: AccountStatus::Active,
        }),
        Request::PutCard(PutCard {
            pan: PAN,
            bin: 0,
            last4: 0,
            expiry: Expiry { year: 90, month: 1 },
            account: number("A"),
            status: CardStatus::Active,
        }),
    ] {
        ask(&mut engine, request);
    }
    engine
}

fn purchase(stan: u32, minor: u64) -> Request {
    Request::Transaction(Transaction {
        identity: Identity {
            key: u64::from(stan) << 32,
            locator: stan,
            ..Identity::default()
        },
        class: Class::FinancialRequest,
        network: NetworkId(1),
        operation: Operation::Purchase,
        pan: Some(PAN),
        expiry: None,
        from: None,
        to: None,
        amount: Amount {
            minor,
            currency: KRW,
        },
        billing: None,
        cashback_minor: 0,
        settlement: None,
        refusal: None,
    })
}

fn reversal(stan: u32, original: u32) -> Request {
    Request::Reversal(Reversal {
        identity: Identity {
            key: u64::from(stan) << 32,
            locator: stan,
            ..Identity::default()
        },
        network: NetworkId(1),
        pan: Some(PAN),
        original: Original {
            locator: Some(original),
            ..Original::default()
        },
        amount: None,
        settlement: None,
    })
}

fn outcome(engine: &mut Engine, request: Request) -> Outcome {
    match ask(engine, request) {
        Answer::Message(outcome) => {
            audit(engine).unwrap();
            outcome
        }
        other => panic!("{other:?}"),
    }
}

fn dual(phase: Phase) -> DateState {
    DateState::Dual {
        closing: D,
        opening: D.next(),
        phase,
    }
}

/// Balance of the closing date and buffer of the opening one.
fn parts(engine: &Engine) -> (i64, i64) {
    let ix = engine.find_account(&number("A")).unwrap();
    let view = engine.account_row(ix).unwrap().view(engine.dates.closing());
    (view.balance, view.next)
}

#[test]
fn postings_go_to_their_date_and_a_seal_changes_no_row() {
    let mut engine = bank();
    assert_eq!(outcome(&mut engine, purchase(1, 100)).business_date, D);
    engine.set_dates(dual(Phase::Early));
    assert_eq!(outcome(&mut engine, purchase(2, 10)).business_date, D);
    assert_eq!(parts(&engine), (890, 0));
    engine.set_dates(dual(Phase::Grace));
    assert_eq!(
        outcome(&mut engine, purchase(3, 20)).business_date,
        D.next()
    );
    assert_eq!(parts(&engine), (890, -20));
    // A reversal prefers its original's date while that is open to it ...
    assert_eq!(outcome(&mut engine, reversal(11, 1)).business_date, D);
    assert_eq!(parts(&engine), (990, -20));
    engine.set_dates(dual(Phase::Frozen));
    // ... and takes the default when it is not.
    assert_eq!(
        outcome(&mut engine, reversal(12, 2)).business_date,
        D.next()
    );
    assert_eq!(parts(&engine), (990, -10));
    // A repeat has its first date.
    assert_eq!(
        outcome(&mut engine, purchase(3, 20)).business_date,
        D.next()
    );
    assert_eq!(
        engine
            .generations()
            .map(|(date, _)| date)
            .collect::<Vec<_>>(),
        [D, D.next()]
    );
    assert!(engine.trial_balance().balances());

    // A seal: one word of state and one of the hash.
    let live = engine.hashes.live;
    engine.set_dates(DateState::Open { date: D.next() });
    engine.hashes.next = 0;
    audit(&engine).unwrap();
    assert_eq!(parts(&engine), (980, 0));
    assert_eq!(engine.hashes.live, live);
    // The next posting folds the row; the engine can be stored and loaded in between.
    let mut loader = Engine::loader(engine.options());
    for ix in 0..engine.accounts_len() {
        let row = engine.account_row(AccountIx(ix)).unwrap();
        loader.account(AccountIx(ix), &row.to_bytes()).unwrap();
    }
    loader
        .card(CardIx(0), &engine.card_row(CardIx(0)).unwrap().to_bytes())
        .unwrap();
    for (date, len) in engine.generations() {
        for slot in engine.record_bytes(date, 0..len) {
            loader.record(date, &slot).unwrap();
        }
    }
    loader.residue(&engine.residue()).unwrap();
    let mut loaded = loader.finish().unwrap();
    assert_eq!(loaded.state_hash(), engine.state_hash());
    for engine in [&mut engine, &mut loaded] {
        assert_eq!(outcome(engine, reversal(13, 3)).business_date, D.next());
        assert_eq!(parts(engine), (1000, 0));
    }
    assert_eq!(loaded.state_hash(), engine.state_hash());
}

#[test]
fn nothing_posts_to_a_frozen_or_sealed_date() {
    let mut engine = bank();
    engine.set_dates(dual(Phase::Frozen));
    let command = Command {
        time_us: 1,
        day: Date(0),
        request: purchase(1, 10),
    };
    let Decision::Event(mut event) = engine.decide(&command) else {
        panic!();
    };
    assert_eq!(engine.check(&event), Ok(()));
    for date in [D, Date(D.0 - 1), D.next().next()] {
        let Body::Transaction(t) = &mut event.body else {
            panic!();
        };
        t.business_date = date;
        assert_eq!(engine.check(&event), Err(Breach::ClosedDate(date)));
    }
}

#[test]
fn references_into_generations_that_are_gone_end_a_chain() {
    let mut engine = bank();
    outcome(&mut engine, purchase(1, 10));
    engine.set_dates(DateState::Open { date: D.next() });
    outcome(&mut engine, purchase(2, 10));
    engine.memory.generations.remove(0);
    // By chain (the STAN is lost) nothing is found, and nothing breaks.
    let mut request = reversal(3, 0);
    if let Request::Reversal(reversal) = &mut request {
        reversal.original.locator = None;
        reversal.original.rrn = 7;
    }
    let Answer::Message(answer) = ask(&mut engine, request) else {
        panic!();
    };
    assert!(answer.code.is_approved());
}
