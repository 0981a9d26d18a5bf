//! What is around the rules: opening, capacity, attestation, check, loading.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing
)]

mod common;
use common::*;
use gapless_engine::code::ResponseCode;
use gapless_engine::command::*;
use gapless_engine::ids::*;
use gapless_engine::outcome::{PutOutcome, PutRefusal};
use gapless_engine::*;

use AccountStatus::{Active, Blocked};

#[test]
fn accounts_are_opened_changed_and_refused() {
    use PutOutcome::*;
    let mut bank = Bank::founded(INDEXED);
    let too_much = 1_000_000_000_000;
    // number, currency, balance, overdraft, status -> outcome
    let rows = [
        ("A", KRW, 100, 0, Active, Opened),
        ("A", KRW, 100, 0, Active, Unchanged),
        // The balance lives from postings only.
        ("A", KRW, 777, 0, Active, Unchanged),
        ("A", KRW, 100, 50, Active, Changed),
        ("A", KRW, 100, 50, Blocked, Changed),
        (
            "A",
            USD,
            100,
            50,
            Blocked,
            Refused(PutRefusal::OtherCurrency),
        ),
        ("B", JPY, 0, 0, Active, Refused(PutRefusal::UnknownCurrency)),
        (
            "B",
            KRW,
            0,
            -1,
            Active,
            Refused(PutRefusal::AmountOutOfBounds),
        ),
        (
            "B",
            KRW,
            0,
            too_much,
            Active,
            Refused(PutRefusal::AmountOutOfBounds),
        ),
        (
            "B",
            KRW,
            too_much,
            0,
            Active,
            Refused(PutRefusal::AmountOutOfBounds),
        ),
        (
            "B",
            KRW,
            -too_much,
            0,
            Active,
            Refused(PutRefusal::AmountOutOfBounds),
        ),
        ("B", KRW, -500, 0, Active, Opened),
        (
            "GL-SUSPENSE-410",
            KRW,
            0,
            0,
            Active,
            Refused(PutRefusal::Internal),
        ),
        (
            "GL-ANYTHING",
            KRW,
            0,
            0,
            Active,
            Refused(PutRefusal::Internal),
        ),
    ];
    for (name, currency, balance, overdraft, status, expected) in rows {
        let got = bank.account(name, currency, balance, overdraft, status);
        assert_eq!(got, Answer::Put(expected), "{name} {balance} {overdraft}");
    }
    let a = bank.engine.account_by_number(&number("A")).unwrap();
    assert_eq!(
        (a.ledger_minor, a.available_minor, a.overdraft_minor),
        (100, 150, 50)
    );
    assert_eq!((a.status, a.role), (Blocked, Role::Customer));
    assert_eq!(bank.ledger("GL-OPENING-410"), 400);
    audit(&bank.engine).unwrap();
}

#[test]
fn cards_are_opened_changed_and_refused() {
    use PutOutcome::*;
    let mut bank = Bank::founded(INDEXED);
    bank.account("A", KRW, 100, 0, Active);
    bank.account("B", KRW, 100, 0, Active);
    let rows = [
        ("c", "A", 3012, CardStatus::Active, Opened),
        ("c", "A", 3012, CardStatus::Active, Unchanged),
        ("c", "A", 3101, CardStatus::Active, Changed),
        ("c", "B", 3101, CardStatus::Active, Changed),
        ("c", "B", 3101, CardStatus::Stolen, Changed),
        (
            "d",
            "NONE",
            3101,
            CardStatus::Active,
            Refused(PutRefusal::UnknownAccount),
        ),
        (
            "d",
            "GL-SUSPENSE-410",
            3101,
            CardStatus::Active,
            Refused(PutRefusal::Internal),
        ),
    ];
    for (card, account, yymm, status, expected) in rows {
        let got = bank.card(card, account, yymm, status);
        assert_eq!(got, Answer::Put(expected), "{card} {account} {yymm}");
    }
    let view = bank.engine.card_by_pan(pan("c")).unwrap();
    assert_eq!(
        (view.bin, view.last4, view.expiry.yymm()),
        (941_000, 1234, 3101)
    );
    assert_eq!(
        (view.status, view.account),
        (CardStatus::Stolen, number("B"))
    );
    assert_eq!(bank.engine.card_by_token(view.token), Some(view));
    assert_eq!(bank.engine.card_by_token(view.token ^ 1 << 40), None);
    assert_eq!(bank.engine.card_by_token(view.token + 1), None);
    assert_eq!(bank.engine.card_by_pan(pan("d")), None);
    assert_eq!(bank.engine.cards(0..9).collect::<Vec<_>>(), [view]);
    // The look-up table names account B by now.
    audit(&bank.engine).unwrap();
    // Debug output says nothing of a PAN.
    assert!(!format!("{:?}", pan("c")).contains(&pan("c").0.to_string()));
}

#[test]
fn genesis_comes_first_and_once() {
    let mut bank = Bank::empty(INDEXED);
    assert_eq!(
        bank.message("purchase cA 1 #1").code,
        ResponseCode::IssuerUnavailable
    );
    assert!(matches!(
        bank.account("A", KRW, 0, 0, Active),
        Answer::Put(PutOutcome::Refused(_))
    ));
    assert_eq!(bank.engine.last_seq(), 0);
    let genesis = Genesis {
        business_date: today(),
        key_check: 7,
    };
    bank.ask(Request::Genesis(genesis));
    bank.ask(Request::Genesis(genesis));
    assert_eq!(bank.engine.last_seq(), 1);
    assert_eq!(bank.engine.genesis(), Some(genesis));
    let dates = bank.engine.business();
    assert_eq!(
        (dates.closing, dates.opening, dates.default),
        (today(), today(), today())
    );
    assert_eq!(dates.phase, None);
}

#[test]
fn internal_accounts_are_opened_once_per_network_and_currency() {
    let mut bank = Bank::founded(INDEXED);
    // Two networks, three currencies: a settlement account each, three others per currency.
    assert_eq!(bank.engine.counts().accounts, 6 + 9);
    let again = bank.ask(Request::OpenInternal {
        network: NETWORK,
        currency: KRW,
    });
    assert_eq!(again, Answer::Put(PutOutcome::Unchanged));
    let view = bank
        .engine
        .account_by_number(&number("GL-SETTLE-0000-410"))
        .unwrap();
    assert_eq!(view.role, Role::Settlement(NetworkId(0)));
    let bad = bank.ask(Request::OpenInternal {
        network: NETWORK,
        currency: Currency(1000),
    });
    assert_eq!(
        bad,
        Answer::Put(PutOutcome::Refused(PutRefusal::UnknownCurrency))
    );
}

#[test]
fn full_memory_refuses_requests_and_serves_advices_and_reversals() {
    let mut bank = Bank::founded(Options {
        indexed: true,
        capacity: Capacity {
            accounts: 20,
            cards: 4,
            remembered: 20,
        },
    });
    bank.account("A", KRW, 1_000_000, 0, Active);
    bank.card("cA", "A", 3012, CardStatus::Active);
    let mut approved = 0;
    while bank
        .message(&format!("purchase cA 1 #{}", approved + 1))
        .code
        .is_approved()
    {
        approved += 1;
    }
    assert!((15..=20).contains(&approved), "{approved}");
    assert!(bank.engine.remembered_room() < 3);
    let seq = bank.engine.last_seq();
    bank.run(
        "
        purchase cA 1 #100 -> 91
        // A repeat is still answered; advices and reversals still pass.
        purchase cA 1 #1 -> 00 repeat
        advice-purchase cA 1 #101 -> 00
        reverse cA #102 of #1 -> 00
        ",
    );
    assert_eq!(bank.engine.last_seq(), seq + 2);
    // The reserve ends as well; nothing is forgotten to make room.
    let mut stan = 200;
    while bank
        .message(&format!("advice-purchase cA 1 #{stan}"))
        .code
        .is_approved()
    {
        stan += 1;
    }
    assert!(stan > 200 + 200);
    bank.run(
        "reverse cA #103 of #2 -> 91
              purchase cA 1 #2 -> 00 repeat",
    );
    assert_eq!(bank.engine.counts().breaches, 0);
    // Rows have bounds too.
    for n in 0..20 {
        bank.account(&format!("X{n}"), KRW, 0, 0, Active);
    }
    assert_eq!(
        bank.account("Y", KRW, 0, 0, Active),
        Answer::Put(PutOutcome::Refused(PutRefusal::CapacityReached))
    );
    assert_eq!(bank.engine.counts().accounts, 20);
}

#[test]
fn a_journal_that_needs_more_than_the_capacity_is_refused() {
    let mut bank = Bank::open();
    bank.run("purchase cA 1 #1 -> 00");
    let refusal = |capacity: Capacity| {
        let mut replay = Engine::new(Options {
            indexed: true,
            capacity,
        });
        let mut rest = &bank.log[..];
        while !rest.is_empty() {
            let (event, tail) = Event::decode(rest).unwrap();
            replay.check(&event)?;
            replay.apply(&event);
            rest = tail;
        }
        assert_eq!(replay.state_hash(), bank.engine.state_hash());
        Ok(())
    };
    let small = Capacity::SMALL;
    assert_eq!(refusal(small), Ok(()));
    for capacity in [
        Capacity {
            accounts: 14,
            ..small
        },
        Capacity {
            accounts: 20,
            ..small
        },
        Capacity { cards: 10, ..small },
    ] {
        assert_eq!(refusal(capacity), Err(Breach::Room), "{capacity:?}");
    }
}

#[test]
fn time_never_runs_backwards() {
    let mut bank = Bank::open();
    let before = bank.engine.last_time_us();
    bank.time_us = 0;
    bank.message("purchase cA 1 #1");
    assert_eq!(bank.engine.last_time_us(), before);
}

fn newest(bank: &Bank) -> Event {
    let mut rest = &bank.log[..];
    loop {
        let (event, tail) = Event::decode(rest).unwrap();
        if tail.is_empty() {
            return event;
        }
        rest = tail;
    }
}

#[test]
fn a_state_that_differs_from_the_attested_one_shows() {
    let mut bank = Bank::open();
    bank.ask(Request::Attest);
    let Body::Attest { state_hash } = newest(&bank).body else {
        panic!();
    };
    let mut replay = Engine::new(INDEXED);
    let mut rest = &bank.log[..];
    while !rest.is_empty() {
        let (event, tail) = Event::decode(rest).unwrap();
        replay.apply(&event);
        rest = tail;
    }
    assert_eq!(replay.divergence(), None);
    let seq = replay.last_seq() + 1;
    replay.apply(&Event {
        seq,
        time_us: replay.last_time_us(),
        body: Body::Attest { state_hash },
    });
    assert_eq!(
        replay.divergence(),
        Some(seq),
        "an old hash is another state"
    );
}

#[test]
fn every_row_counts_in_the_state_hash() {
    let state = |lines: &str| {
        let mut bank = Bank::open();
        for line in lines.lines() {
            bank.message(line);
        }
        bank.engine.state_hash()
    };
    let base = state("purchase cA 10 #1");
    for other in [
        "purchase cA 11 #1",
        "purchase cB 10 #1",
        "cash cA 10 #1",
        "purchase cA 10 #2",
        "purchase cA 10 #1 network=0",
        "purchase cA 10 #1 de15=0316",
        "advice-purchase cA 10 #1",
        "purchase lost 10 #1",
    ] {
        assert_ne!(base, state(other), "{other}");
    }
    assert_eq!(base, state("purchase cA 10 #1"));
}

#[test]
fn check_refuses_what_would_break_an_invariant() {
    let mut bank = Bank::open();
    bank.message("purchase cA 300 #1");
    let approved = newest(&bank);
    bank.message("purchase cA 3000 #2");
    bank.message("reverse cA #3 of #1");
    let reversal = newest(&bank);
    bank.message("purchase cA 100 #4");
    let hash = bank.engine.state_hash();
    let seq = bank.engine.last_seq() + 1;
    let check = |event: Event, change: &dyn Fn(&mut Event)| {
        let mut event = Event { seq, ..event };
        change(&mut event);
        event.time_us =
            event.time_us.max(bank.engine.last_time_us()) - u64::from(event.time_us == 1);
        bank.engine.check(&event).unwrap_err()
    };
    fn t(event: &mut Event) -> &mut TransactionEvent {
        match &mut event.body {
            Body::Transaction(t) => t,
            _ => panic!(),
        }
    }
    fn r(event: &mut Event) -> &mut ReversalEvent {
        match &mut event.body {
            Body::Reversal(r) => r,
            _ => panic!(),
        }
    }
    fn fresh(event: &mut Event) -> &mut TransactionEvent {
        let t = t(event);
        t.identity.key ^= 0xffff_0000_0000;
        t.card = None;
        t
    }
    let legs = |pairs: &[(u32, i64)]| {
        // Through the encoding, as events come.
        let mut event = approved;
        let account = |n: &str| bank.engine.find_account(&number(n)).unwrap().0;
        let _ = account;
        let Body::Transaction(t) = &mut event.body else {
            panic!()
        };
        let mut bytes = vec![];
        Event { seq, ..approved }.encode(&mut bytes);
        let _ = t;
        let at = 20 + 20 + 2 + 4 + 6 + 10;
        let tail = bytes.split_off(at + 1 + 2 * 12);
        bytes.truncate(at);
        bytes.push(pairs.len() as u8);
        for (ix, delta) in pairs {
            bytes.extend(ix.to_le_bytes());
            bytes.extend(delta.to_le_bytes());
        }
        bytes.extend(tail);
        let len = (bytes.len() as u16).to_le_bytes();
        bytes[2..4].copy_from_slice(&len);
        let (event, _) = Event::decode(&bytes).unwrap();
        *event.legs()
    };
    let ix = |name: &str| bank.engine.find_account(&number(name)).unwrap().0;
    let (a, settle, usd) = (ix("A"), ix("GL-SETTLE-0001-410"), ix("U"));

    assert_eq!(
        check(approved, &|e| e.seq += 1),
        Breach::Sequence {
            expected: seq,
            found: seq + 1
        }
    );
    assert_eq!(check(approved, &|e| e.time_us = 1), Breach::Time);
    assert_eq!(check(approved, &|e| t(e).card = None), Breach::Repeated);
    assert_eq!(check(approved, &|_| ()), Breach::Chain);
    let unbalanced = legs(&[(a, -300), (settle, 299)]);
    assert_eq!(
        check(approved, &|e| fresh(e).legs = unbalanced),
        Breach::Unbalanced(KRW)
    );
    let mixed = legs(&[(a, -300), (usd, 300)]);
    assert!(matches!(
        check(approved, &|e| fresh(e).legs = mixed),
        Breach::Unbalanced(_)
    ));
    let nowhere = legs(&[(4000, 300), (a, -300)]);
    assert_eq!(
        check(approved, &|e| fresh(e).legs = nowhere),
        Breach::NoAccount
    );
    let overdrawn = legs(&[(a, -901), (settle, 901)]);
    assert_eq!(
        check(approved, &|e| fresh(e).legs = overdrawn),
        Breach::Overdraft
    );
    let wrapped = legs(&[(a, i64::MAX), (settle, -i64::MAX)]);
    assert_eq!(check(approved, &|e| fresh(e).legs = wrapped), Breach::Range);
    assert_eq!(
        check(approved, &|e| fresh(e).business_date = today().next()),
        Breach::ClosedDate(today().next())
    );
    assert_eq!(
        check(approved, &|e| fresh(e).code =
            ResponseCode::InsufficientFunds),
        Breach::Posts
    );
    assert_eq!(
        check(approved, &|e| fresh(e).settlement_date =
            gapless_engine::date::Date(0)),
        Breach::Unrememberable
    );
    assert_eq!(check(reversal, &|_| ()), Breach::ReversedTwice);
    assert_eq!(
        check(reversal, &|e| r(e).legs = legs(&[(a, 299), (settle, -299)])),
        Breach::ReversedTwice
    );
    assert_eq!(
        check(reversal, &|e| r(e).original = RecordRef::NONE),
        Breach::NoRecord
    );
    assert_eq!(bank.engine.state_hash(), hash, "check changes nothing");

    // Before its original is reversed: more than the remaining effect.
    let mut bank = Bank::open();
    bank.message("purchase cA 300 #1");
    bank.message("purchase cA 3000 #2");
    let partly = legs(&[(a, 299), (settle, -299)]);
    let mut event = reversal;
    r(&mut event).legs = partly;
    assert_eq!(bank.engine.check(&event), Err(Breach::NotTheEffect));
    assert_eq!(bank.engine.check(&reversal), Ok(()));
}

#[test]
fn damaged_or_missing_parts_do_not_load() {
    let mut bank = Bank::open();
    bank.run("purchase cA 300 #1 -> 00");
    let engine = &bank.engine;
    #[derive(Clone, Copy, PartialEq)]
    enum Leave {
        Nothing,
        Account,
        Card,
        Record,
        Residue,
    }
    let load = |leave: Leave, capacity: Capacity| {
        let mut loader = Engine::loader(Options {
            indexed: true,
            capacity,
        });
        for ix in 0..engine.accounts_len() {
            if leave != Leave::Account || ix != 3 {
                let row = engine.account_row(AccountIx(ix)).unwrap();
                loader.account(AccountIx(ix), &row.to_bytes())?;
            }
        }
        for ix in 0..engine.cards_len() - u32::from(leave == Leave::Card) {
            let row = engine.card_row(CardIx(ix)).unwrap();
            loader.card(CardIx(ix), &row.to_bytes())?;
        }
        for (date, len) in engine.generations() {
            for slot in engine.record_bytes(date, u32::from(leave == Leave::Record)..len) {
                loader.record(date, &slot)?;
            }
        }
        if leave != Leave::Residue {
            loader.residue(&engine.residue())?;
        }
        loader.finish()
    };
    let small = Capacity::SMALL;
    let loaded = load(Leave::Nothing, small).unwrap();
    assert_eq!(loaded.state_hash(), engine.state_hash());
    let refused = |leave, capacity| load(leave, capacity).unwrap_err();
    assert_eq!(
        refused(Leave::Account, small),
        LoadError::Missing("accounts")
    );
    assert_eq!(refused(Leave::Card, small), LoadError::Missing("cards"));
    assert_eq!(
        refused(Leave::Record, small),
        LoadError::Missing("remembered transactions")
    );
    assert_eq!(refused(Leave::Residue, small), LoadError::Residue);
    assert_eq!(
        refused(
            Leave::Nothing,
            Capacity {
                accounts: 3,
                ..small
            }
        ),
        LoadError::Capacity("accounts")
    );
    assert_eq!(
        refused(Leave::Nothing, Capacity { cards: 3, ..small }),
        LoadError::Capacity("cards")
    );
    let mut loader = Engine::loader(INDEXED);
    let residue = engine.residue();
    assert_eq!(loader.residue(&residue[1..]), Err(LoadError::Residue));
    assert_eq!(
        loader.residue(&residue[..residue.len() - 1]),
        Err(LoadError::Residue)
    );
    assert!(
        loader
            .account(AccountIx(0), &[1; AccountRow::BYTES])
            .is_err()
    );
}

#[test]
fn an_advised_transfer_counts_once_and_is_taken_back_as_it_was() {
    let mut bank = Bank::open();
    bank.run(
        "
        transfer cA 100 #1 to=B -> 00 A=900 B=600
        advice-transfer cA 80 #1 to=B -> 00 A=920 B=580
        transfer cA 10 #2 to=B -> 00
        advice-transfer cA 10 #2 to=B -> 00 A=910 B=590
        ",
    );
    let tally = |count, amount_minor| Tally {
        count,
        amount_minor,
    };
    let totals = *bank.engine.network_totals().next().unwrap();
    assert_eq!(totals.transfers, tally(2, 90));
    bank.run("reverse cA #3 of #1 -> 00 A=990 B=510");
    let totals = *bank.engine.network_totals().next().unwrap();
    assert_eq!(totals.transfer_reversals, tally(1, 80));
}

#[test]
fn totals_by_date_and_by_network() {
    let mut bank = Bank::open();
    bank.run(
        "
        purchase cA 300 #1 -> 00
        cash cA 100 #2 -> 00
        refund cA 50 #3 -> 00
        transfer cA 10 #4 to=B -> 00
        inquiry cA 0 #5 -> 00
        purchase cA 9999 #6 -> 51
        reverse cA #7 of #2 -> 00
        reverse cA #8 of #3 -> 00
        reverse cA #9 of #4 -> 00
        purchase        cB 100 #10 -> 00
        advice-purchase cB 80 #10 -> 00
        ",
    );
    let tally = |count, amount_minor| Tally {
        count,
        amount_minor,
    };
    let totals = *bank.engine.network_totals().next().unwrap();
    assert_eq!(
        (totals.network, totals.currency, totals.settlement_date),
        (NETWORK, KRW, today())
    );
    assert_eq!(totals.debits, tally(3, 480));
    assert_eq!(totals.credits, tally(1, 50));
    assert_eq!(totals.debit_reversals, tally(1, 100));
    assert_eq!(totals.credit_reversals, tally(1, 50));
    assert_eq!(totals.transfers, tally(1, 10));
    assert_eq!(totals.transfer_reversals, tally(1, 10));
    assert_eq!(totals.inquiries, 1);
    assert_eq!(bank.engine.network_totals().count(), 1);
    let trial = bank.engine.trial_balance();
    assert!(trial.balances());
    let won = trial
        .dates
        .iter()
        .find(|totals| totals.currency == KRW)
        .unwrap();
    assert_eq!(won.debit_minor, won.credit_minor);
    // Seven transactions, three reversals, five opened with a balance.
    assert_eq!((won.debit_count, won.credit_count), (13, 13));
}

#[test]
fn only_the_newest_exceptions_are_kept_in_memory() {
    let mut bank = Bank::open();
    for n in 0..gapless_engine::limits::EXCEPTIONS_KEPT + 10 {
        bank.message(&format!("advice-purchase nocard 1 #{n}"));
    }
    assert_eq!(bank.engine.exceptions().count(), 1024);
    assert_eq!(bank.engine.counts().exceptions, 1034);
    let newest = bank.engine.exceptions().last().unwrap();
    assert_eq!(
        (newest.seq, newest.kind),
        (bank.engine.last_seq(), ExceptionKind::AdviceUnknownCard)
    );
}

#[test]
fn prepare_changes_nothing() {
    let bank = Bank::open();
    let before = bank.engine.state_hash();
    let requests: Vec<Request> = (0..40)
        .map(|n| parse(&format!("purchase {} 1 #{n}", ["cA", "nocard", "-"][n % 3])))
        .chain([Request::Attest, parse("reverse cA #1 of #2")])
        .collect();
    bank.engine.prepare(requests.iter());
    bank.engine.prepare([].iter());
    assert_eq!(bank.engine.state_hash(), before);
}

/// Where tables will be is told before they are touched, and only until all is loaded.
#[test]
fn a_loader_tells_where_its_tables_will_be() {
    use std::cell::RefCell;
    use std::ops::Range;
    thread_local! {
        static TOLD: RefCell<Vec<Range<usize>>> = const { RefCell::new(Vec::new()) };
    }
    let told = || TOLD.with(|told| told.borrow().clone());
    let mut bank = Bank::open();
    bank.run("purchase cA 300 #1 -> 00");
    let engine = &bank.engine;
    let mut loader = Engine::loader_in(engine.options(), |place| {
        TOLD.with(|told| told.borrow_mut().push(place));
    });
    // The three look-up tables.
    assert_eq!(told().len(), 3);
    for ix in (0..engine.accounts_len()).map(AccountIx) {
        let row = engine.account_row(ix).unwrap().to_bytes();
        loader.account(ix, &row).unwrap();
    }
    for ix in (0..engine.cards_len()).map(CardIx) {
        let row = engine.card_row(ix).unwrap().to_bytes();
        loader.card(ix, &row).unwrap();
    }
    for (date, len) in engine.generations() {
        for slot in engine.record_bytes(date, 0..len) {
            loader.record(date, &slot).unwrap();
        }
    }
    loader.residue(&engine.residue()).unwrap();
    let loaded = loader.finish().unwrap();
    assert_eq!(loaded.state_hash(), engine.state_hash());
    assert_eq!(told().len(), 5);
    let mut tables: Vec<Range<usize>> = loaded.tables().collect();
    tables.sort_by_key(|place| place.start);
    let mut all = told();
    all.sort_by_key(|place| place.start);
    assert_eq!(tables, all);
    assert!(all.iter().all(|place| place.len() >= 64));
    // Nobody is told of an engine that is not loaded.
    assert_eq!(Engine::new(engine.options()).tables().count(), 3);
    assert_eq!(told().len(), 5);
}
