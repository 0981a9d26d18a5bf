//! Old formats stay readable: what version 1 wrote is checked in, and must be
//! decoded and applied to the same end for as long as there are such journals.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing
)]

mod common;
use common::*;
use gapless_engine::ids::*;
use gapless_engine::*;
use std::path::PathBuf;

/// Every kind of event, every optional part of one.
fn history() -> Bank {
    let mut bank = Bank::open();
    bank.ask(gapless_engine::command::Request::Attest);
    bank.run(
        "
        purchase cA 300 #1 -> 00
        inquiry cA 0 #2 -> 00
        purchase cA 10USD #3 billing=130KRW -> 00
        advice-purchase cA 10USD #3 billing=131KRW -> 00
        advice-purchase nocard 5 #4 -> 00 exception=AdviceUnknownCard
        transfer - 5 #5 from=A to=B -> 00
        purchase cA 99999 #6 -> 51
        reverse cA #7 of #3 -> 00
        reverse cA #8 of #20 -> 00
        reverse cA #9 of #21 lost -> 00
        reverse cA #10 of #1 amount=3 -> 00 exception=ReversalAmountDiffers
        ",
    );
    bank.ask(gapless_engine::command::Request::Attest);
    bank
}

/// Every kind of event of a night.
fn nights() -> Bank {
    let mut bank = Bank::open();
    bank.run(
        "
        batch KRW -> done
        netcutover 1 D+1 -> done early D
        purchase cA 300 #1 -> 00 bdate=D+1
        cutover D -> done grace D
        purchase cA 10 #2 de15=0315 -> 00 bdate=D sdate=D
        freeze D -> done frozen D
        entry interest-1 A 7 D -> done A=697
        entry fee-1 B -2 D -> done B=498
        seal D KRW:2:5 -> done open D+1
        early D+1 -> done early D+1
        purchase cA 10 #3 de15=0315 -> 00 bdate=D+1 sdate=D
        cutover D+1 -> done grace D+1
        ",
    );
    bank.ask(gapless_engine::command::Request::Attest);
    bank
}

/// Every kind of event of a reconciliation, with all figures and with none.
fn reconciliations() -> Bank {
    use gapless_engine::command::{Identity, Reconcile, Request};
    let mut bank = Bank::open();
    let all = Figures::elements().fold(Figures::NONE, |figures, element| {
        figures.with(element, Figures::most(element)).unwrap()
    });
    let debit = all.with(NET, -Figures::most(NET)).unwrap();
    // An advice of another settlement date than its request's says what that counted as.
    bank.run(
        "
        purchase cA 300 #1      -> 00
        netcutover 1 D+1        -> done early D
        advice-purchase cA 90 #1 -> 00 sdate=D+1
        ",
    );
    for (key, theirs) in [(1, Figures::NONE), (2, all), (3, debit)] {
        bank.ask(Request::Reconcile(Reconcile {
            identity: Identity {
                key,
                ..Identity::default()
            },
            network: NETWORK,
            settlement: today().month_day(),
            currency: Some(KRW),
            theirs,
        }));
    }
    for (verdict, traffic) in [
        (
            None,
            "purchase cA 3 #3 -> 00\nnetcutover 1 D+2 -> done early D",
        ),
        (Some(Verdict::Refused), "cutover D -> done grace D"),
    ] {
        bank.ask(Request::AskReconciliation { network: NETWORK });
        bank.run(traffic);
        bank.ask(Request::ReconciliationAnswered {
            network: NETWORK,
            asked: bank.engine.asked(NETWORK).unwrap().seq,
            verdict,
            theirs: Figures::NONE.with(76, 1).unwrap(),
        });
    }
    bank.ask(Request::CutoverAnnounced {
        network: NETWORK,
        closed: today(),
    });
    bank.run("purchase cA 3 #4 -> 00\nnetcutover 1 D+3 -> done grace D");
    bank.ask(Request::AskReconciliation { network: NETWORK });
    bank.ask(Request::Attest);
    bank
}

/// Events of kinds 14 to 16, and version 3 of the residue, which has them behind.
#[test]
fn reconciliations_are_read_and_written() {
    let bank = reconciliations();
    assert!(bank.engine.asked(NETWORK).is_some());
    assert_eq!(bank.engine.reconciliations().count(), 5);
    let mut residue = bank.engine.residue();
    for (name, bytes) in [
        ("events-reconciliation-v1.bin", bank.log.clone()),
        ("residue-reconciliation-v3.bin", residue.clone()),
    ] {
        assert_kept(name, &bytes);
    }
    let mut engine = Engine::new(INDEXED);
    let mut rest = &bank.log[..];
    let (mut kinds, mut longest) = (std::collections::BTreeSet::new(), 0);
    while !rest.is_empty() {
        kinds.insert(rest[1]);
        let (event, tail) = Event::decode(rest).unwrap();
        longest = longest.max(rest.len() - tail.len());
        engine.check(&event).unwrap();
        engine.apply(&event);
        rest = tail;
    }
    assert!((14..=16).all(|kind| kinds.contains(&kind)), "{kinds:?}");
    assert_eq!(longest, 246);
    assert_eq!(engine.divergence(), None);
    assert_eq!(engine.residue(), residue);

    let load = |residue: &[u8]| {
        let mut loader = Engine::loader(INDEXED);
        for ix in 0..engine.accounts_len() {
            let row = engine.account_row(AccountIx(ix)).unwrap().to_bytes();
            loader.account(AccountIx(ix), &row).unwrap();
        }
        for ix in 0..engine.cards_len() {
            let row = engine.card_row(CardIx(ix)).unwrap().to_bytes();
            loader.card(CardIx(ix), &row).unwrap();
        }
        for (date, len) in engine.generations().collect::<Vec<_>>() {
            for record in engine.record_bytes(date, 0..len) {
                loader.record(date, &record).unwrap();
            }
        }
        loader.residue(residue)?;
        loader.finish()
    };
    let loaded = load(&residue).unwrap();
    assert_eq!(loaded.state_hash(), engine.state_hash());
    assert_eq!(loaded.asked(NETWORK), engine.asked(NETWORK));
    assert!(loaded.reconciliations().eq(engine.reconciliations()));
    residue.pop();
    assert!(load(&residue).is_err());
}

/// Version 4 of the residue has a mark that outlives its reversal, behind all else.
#[test]
fn outliving_marks_are_read_and_written() {
    let mut bank = Bank::open();
    bank.run(
        "
        cutover D                    -> done
        purchase cA 100 #1 de15=0315 -> 00 bdate=D
        advice-purchase cA 130 #1    -> 00 bdate=D+1
        reverse cA #2 of #1          -> 00 bdate=D
        ",
    );
    let (name, bytes) = ("residue-outliving-v4.bin", bank.engine.residue());
    assert_kept(name, &bytes);
    let loaded = common::stored::reload(&bank.engine, &bank.engine, 1, INDEXED);
    assert!(loaded.residue() == bytes);
    let mut loader = Engine::loader(INDEXED);
    assert!(loader.residue(&bytes[..bytes.len() - 1]).is_err());
}

#[test]
fn nights_of_version_1_are_read_and_written() {
    let bank = nights();
    for (name, bytes) in [
        ("events-night-v1.bin", bank.log.clone()),
        ("residue-night-v2.bin", bank.engine.residue()),
    ] {
        assert_kept(name, &bytes);
    }
    let mut engine = Engine::new(INDEXED);
    let mut rest = &bank.log[..];
    let mut kinds = std::collections::BTreeSet::new();
    while !rest.is_empty() {
        kinds.insert(rest[1]);
        let (event, tail) = Event::decode(rest).unwrap();
        engine.check(&event).unwrap();
        engine.apply(&event);
        rest = tail;
    }
    assert!((8..=13).all(|kind| kinds.contains(&kind)), "{kinds:?}");
    assert_eq!(engine.divergence(), None);
    assert_eq!(engine.rolled_forward(), 1);
    audit(&engine).unwrap();
    assert_eq!(engine.residue(), bank.engine.residue());
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// What this version writes is what is kept; `GAPLESS_WRITE_FIXTURES=1` writes it anew.
fn assert_kept(name: &str, bytes: &[u8]) {
    if std::env::var_os("GAPLESS_WRITE_FIXTURES").is_some() {
        std::fs::write(fixture(name), bytes).unwrap();
    }
    let kept = std::fs::read(fixture(name)).unwrap();
    assert!(
        kept == bytes,
        "{name} differs from what this version writes"
    );
}

#[test]
fn events_of_version_1_are_read() {
    let stored = std::fs::read(fixture("events-v1.bin")).unwrap();
    let mut engine = Engine::new(INDEXED);
    let mut rest = &stored[..];
    let mut kinds = std::collections::BTreeSet::new();
    while !rest.is_empty() {
        kinds.insert(rest[1]);
        let (event, tail) = Event::decode(rest).unwrap();
        engine.check(&event).unwrap();
        engine.apply(&event);
        rest = tail;
    }
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    // Two attestations are among them: the hashes that version 1 had.
    assert_eq!(engine.divergence(), None);
    audit(&engine).unwrap();
    assert_eq!(engine.last_seq(), 37);
    let view = engine.account_by_number(&number("A")).unwrap();
    assert_eq!((view.ledger_minor, view.available_minor), (695, 695));
    assert_eq!(engine.counts().exceptions, 2);
}

#[test]
fn rows_and_residue_of_version_1_are_read() {
    let mut loader = Engine::loader(INDEXED);
    let accounts = std::fs::read(fixture("accounts-v1.bin")).unwrap();
    for (ix, row) in (0..).zip(accounts.chunks_exact(AccountRow::BYTES)) {
        loader.account(AccountIx(ix), row).unwrap();
    }
    let cards = std::fs::read(fixture("cards-v1.bin")).unwrap();
    for (ix, row) in (0..).zip(cards.chunks_exact(CardRow::BYTES)) {
        loader.card(CardIx(ix), row).unwrap();
    }
    let records = std::fs::read(fixture("records-v1.bin")).unwrap();
    for record in records.chunks_exact(Record::BYTES) {
        loader.record(today(), record).unwrap();
    }
    let residue = std::fs::read(fixture("residue-v1.bin")).unwrap();
    loader.residue(&residue).unwrap();
    let loaded = loader.finish().unwrap();
    audit(&loaded).unwrap();
    let mut engine = Engine::new(INDEXED);
    let events = std::fs::read(fixture("events-v1.bin")).unwrap();
    let mut rest = &events[..];
    while let Ok((event, tail)) = Event::decode(rest) {
        engine.apply(&event);
        rest = tail;
    }
    assert_eq!(loaded.state_hash(), engine.state_hash());
}

/// What this version writes is still version 1: a change of the format needs a
/// new number (and a fixture of its own). `GAPLESS_WRITE_FIXTURES=1` writes new ones.
#[test]
fn this_version_writes_version_1() {
    let bank = history();
    let engine = &bank.engine;
    let mut files = vec![("events-v1.bin", bank.log.clone())];
    let rows = |rows: Vec<Vec<u8>>| rows.concat();
    files.push((
        "accounts-v1.bin",
        rows(
            (0..engine.accounts_len())
                .map(|ix| {
                    engine
                        .account_row(AccountIx(ix))
                        .unwrap()
                        .to_bytes()
                        .to_vec()
                })
                .collect(),
        ),
    ));
    files.push((
        "cards-v1.bin",
        rows(
            (0..engine.cards_len())
                .map(|ix| engine.card_row(CardIx(ix)).unwrap().to_bytes().to_vec())
                .collect(),
        ),
    ));
    files.push((
        "records-v1.bin",
        rows(
            engine
                .generations()
                .flat_map(|(date, len)| {
                    engine
                        .record_bytes(date, 0..len)
                        .map(|r| r.to_vec())
                        .collect::<Vec<_>>()
                })
                .collect(),
        ),
    ));
    // Version 2 since there are nights; version 1 is read above.
    files.push(("residue-v2.bin", engine.residue()));
    for (name, bytes) in files {
        assert_kept(name, &bytes);
    }
}

#[test]
fn another_version_is_refused() {
    let mut stored = std::fs::read(fixture("events-v1.bin")).unwrap();
    stored[0] = 2;
    assert_eq!(Event::decode(&stored).unwrap_err(), EventError::Format(2));
    stored[0] = 1;
    stored[1] = 99;
    assert_eq!(Event::decode(&stored).unwrap_err(), EventError::Kind(99));
}

#[test]
fn sizes_of_events() {
    let bank = history();
    let mut rest = &bank.log[..];
    while !rest.is_empty() {
        let (event, tail) = Event::decode(rest).unwrap();
        let len = rest.len() - tail.len();
        if let Body::Transaction(t) = event.body
            && t.legs.as_slice().len() == 2
            && t.exception.is_none()
        {
            assert!(len <= 110, "{len} bytes: {event:?}");
        }
        rest = tail;
    }
}
