//! `verify` finds what was planted, and nothing where nothing is.

use std::sync::Arc;

use gapless_engine::command::Command;
use gapless_engine::{Body, Decision, Engine, Event, Options};
use gapless_journal::sim::SimDisk;
use gapless_journal::{Batch, Port};

use super::bank::{Bank, Dice, House, account, open_sled, put_account, scratch, traded};
use crate::follower::BaseJob;
use crate::format::Item;
use crate::load::feed;
use crate::remembered::{Archive, Remembered};
use crate::{VerifyError, base, verify};

/// A bank with two base files and rows, stopped.
fn stored(sim: &SimDisk, room: &std::path::Path) -> (House, u64, [u64; 2]) {
    let (house, mut bank) = traded(sim, room, 101);
    let follower = bank.follow();
    let older = follower.request_base(bank.head()).unwrap();
    bank.trade(&mut Dice::new(102), 3, 60);
    let newer = follower.request_base(bank.head()).unwrap();
    bank.trade(&mut Dice::new(103), 3, 60);
    follower.stop(true).unwrap();
    (house, bank.head(), [older, newer])
}

#[test]
fn a_good_directory_gives_a_report() {
    let room = scratch();
    let sim = SimDisk::default();
    let (house, head, bases) = stored(&sim, room.path());
    let report = verify(&house.disk, &house.dirs, house.capacity).unwrap();
    assert_eq!((report.head, report.events, report.from), (head, head, 0));
    assert_eq!((report.rows, &report.bases[..]), (Some(head), &bases[..]));
    assert!(report.attested > 0);
    let text = report.to_string();
    assert!(
        text.contains("equal row by row") && text.contains("debits"),
        "{text}"
    );
}

#[test]
fn a_running_daemon_is_refused() {
    let room = scratch();
    let sim = SimDisk::default();
    let (house, bank) = traded(&sim, room.path(), 104);
    let error = verify(&house.disk, &house.dirs, house.capacity).unwrap_err();
    assert!(matches!(error, VerifyError::Running { .. }), "{error}");
    drop(bank);
    verify(&house.disk, &house.dirs, house.capacity).unwrap();
}

/// Makes an event durable that the engine never agreed to.
fn plant(bank: &mut Bank, event: &Event) {
    let mut events = Vec::new();
    event.encode(&mut events);
    let verdict = bank.journal.submit(Batch {
        term: bank.journal.term(),
        expected_head: event.seq - 1,
        batch_id: u64::MAX / 2,
        first: event.seq,
        last: event.seq,
        events: &events,
    });
    assert!(
        matches!(verdict, gapless_journal::Verdict::Durable),
        "{verdict:?}"
    );
}

/// An event that opens an account with a balance, as the engine decides it.
fn opening(bank: &Bank) -> Event {
    let command = Command {
        time_us: bank.live.last_time_us() + 1,
        day: gapless_engine::date::Date(20_000),
        request: put_account(4_000),
    };
    match bank.live.decide(&command) {
        Decision::Event(event) => event,
        Decision::Answer(answer) => panic!("{answer:?}"),
    }
}

type Spoil = fn(&mut Event);

/// The event with another amount in one of its legs: one bit of its encoding is another.
fn unbalanced(event: &Event) -> Event {
    let mut bytes = Vec::new();
    event.encode(&mut bytes);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut spoiled = bytes.clone();
            spoiled[at] ^= 1 << bit;
            if let Ok((found, [])) = Event::decode(&spoiled) {
                let sum: i64 = found
                    .legs()
                    .as_slice()
                    .iter()
                    .map(|leg| leg.delta_minor)
                    .sum();
                if found.seq == event.seq && sum != 0 {
                    return found;
                }
            }
        }
    }
    panic!("no such encoding");
}

#[test]
fn planted_events_are_found_at_their_sequence() {
    let spoils: [(&str, Spoil); 4] = [
        ("money from nowhere", |event| *event = unbalanced(event)),
        ("a date that is not open", |event| {
            if let Body::AccountPut(put) = &mut event.body {
                put.business_date = put.business_date.next();
            }
        }),
        ("time that runs backwards", |event| event.time_us = 1),
        ("a state hash that never was", |event| {
            event.body = Body::Attest { state_hash: 99 }
        }),
    ];
    for (name, spoil) in spoils {
        let room = scratch();
        let sim = SimDisk::default();
        let (house, mut bank) = traded(&sim, room.path(), 105);
        let mut event = opening(&bank);
        spoil(&mut event);
        plant(&mut bank, &event);
        drop(bank);
        match verify(&house.disk, &house.dirs, house.capacity) {
            Err(VerifyError::Breach { seq, .. }) => assert_eq!(seq, event.seq, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
        // The daemon does not start on it either.
        assert!(house.start().is_err(), "{name}");
    }
}

/// Moves money between two accounts in a base file, all checksums, totals and hashes right.
fn forge(house: &House, seq: u64) {
    let path = house.dirs.bases.join(format!("base-{seq:020}"));
    let mut loader = Engine::loader(Options {
        indexed: false,
        capacity: house.capacity,
    });
    let header = base::read(&*house.disk, &path, |item| match item {
        Item::Account(ix @ (20 | 21), row) => {
            let mut forged = row.to_vec();
            let balance = i64::from_le_bytes(forged[1..9].try_into().unwrap());
            let balance = if ix == 20 { balance + 5 } else { balance - 5 };
            forged[1..9].copy_from_slice(&balance.to_le_bytes());
            feed(&mut loader, None, Item::Account(ix, &forged))
        }
        item => feed(&mut loader, None, item),
    })
    .unwrap();
    let engine = loader.finish().unwrap();
    gapless_engine::audit(&engine).unwrap();
    let files = Archive::new(&house.disk, &house.dirs.remembered, header.uuid, 32);
    let files = Remembered::new(files, &house.options);
    let bases = &house.dirs.bases;
    let mut job = BaseJob::begin(&house.disk, bases, header.uuid, &engine, &files).unwrap();
    while job.step(&engine).unwrap().is_some() {}
    job.finish().unwrap();
}

#[test]
fn a_forged_base_with_right_checksums_is_found() {
    let room = scratch();
    let sim = SimDisk::default();
    let (house, _, [older, newer]) = stored(&sim, room.path());
    forge(&house, newer);
    match verify(&house.disk, &house.dirs, house.capacity) {
        Err(VerifyError::Base { seq, what }) => {
            assert_eq!(
                (seq, what.contains("account row 20")),
                (newer, true),
                "{what}"
            );
        }
        other => panic!("{other:?}"),
    }
    // A start from it does not get past the next attested hash.
    let mut other = House::new(Arc::new(sim.fork()), room.path()).without_rows();
    other.options = house.options.clone();
    let bank = other.start().unwrap();
    assert_eq!(
        bank.loaded.source,
        crate::Source::Base(older),
        "{:?}",
        bank.loaded.notes
    );
}

#[test]
fn rows_that_differ_are_found() {
    let room = scratch();
    let sim = SimDisk::default();
    let (house, _, _) = stored(&sim, room.path());
    let db = open_sled(house.rows());
    let (key, mut value) = db
        .iter()
        .map(Result::unwrap)
        .find(|(key, _)| key[0] == 3)
        .map(|(k, v)| (k, v.to_vec()))
        .unwrap();
    value[10] ^= 1;
    db.insert(key, value).unwrap();
    drop(db);
    let error = verify(&house.disk, &house.dirs, house.capacity).unwrap_err();
    assert!(matches!(error, VerifyError::Rows { .. }), "{error}");
    assert!(account(1).as_str().starts_with('1'));
}

#[test]
fn without_the_journals_beginning_the_oldest_base_is_the_start() {
    let room = scratch();
    let sim = SimDisk::default();
    let mut house = House::new(Arc::new(sim.clone()), room.path());
    house.segment = 64 << 10;
    house.cut = true;
    let mut bank = house.start().unwrap();
    let follower = bank.follow();
    bank.found(60);
    let mut dice = Dice::new(106);
    bank.nights = false;
    bank.trade(&mut dice, 60, 60);
    // No date that is kept reaches back to the first segment.
    bank.pass_nights(6);
    let mut bases = Vec::new();
    for _ in 0..3 {
        bank.trade(&mut dice, 60, 60);
        bases.push(follower.request_base(bank.head()).unwrap());
    }
    // The helper thread removes what nobody needs.
    while bank.journal.retention().first() == 1 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    bank.trade(&mut dice, 5, 60);
    let (head, hash) = (bank.head(), bank.live.state_hash());
    follower.stop(true).unwrap();
    drop(bank);

    let report = verify(&house.disk, &house.dirs, house.capacity).unwrap();
    assert_eq!((report.from, report.events), (bases[1], head - bases[1]));
    assert_eq!((report.rows, &report.bases[..]), (Some(head), &bases[2..]));
    assert_eq!(report.state_hash, hash);
    house.dirs.rows = None;
    let bank = house.start().unwrap();
    assert_eq!(
        (bank.loaded.source, bank.live.state_hash()),
        (crate::Source::Base(bases[2]), hash)
    );
    drop(bank);

    // Forged, it does not get past the first attested hash behind it.
    forge(&house, bases[1]);
    match verify(&house.disk, &house.dirs, house.capacity) {
        Err(VerifyError::Breach { seq, .. }) => assert!(seq > bases[1] && seq <= bases[2]),
        other => panic!("{other:?}"),
    }
}
