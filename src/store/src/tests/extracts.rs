//! Extracts: written at the freeze, and the same to the byte however they came to be.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gapless_engine::Capacity;
use gapless_engine::command::{AccountStatus, PostEntry, PutAccount, Request};
use gapless_engine::date::Date;
use gapless_journal::Disk;
use gapless_journal::sim::{Fault, SimDisk};

use super::bank::{Bank, Dice, House, KRW, account, scratch, traded};
use crate::{
    ExtractState, Extracts, FollowerHandle, Format, InlineFollower, Manifest, Table, VerifyError,
    verify,
};

/// Waits until there is an extract, or none any more.
fn settled(extracts: &Extracts, date: Date) -> ExtractState {
    loop {
        match extracts.state(date) {
            Some(ExtractState::Writing) | None => std::thread::sleep(Duration::from_millis(1)),
            Some(state) => return state,
        }
    }
}

#[track_caller]
fn ready(extracts: &Extracts, date: Date) -> Arc<Manifest> {
    match settled(extracts, date) {
        ExtractState::Ready(manifest) => manifest,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn followed(follower: &FollowerHandle, date: Date) -> Arc<Manifest> {
    ready(&follower.extracts().unwrap(), date)
}

/// Turns until there is nothing more to do. `false` when the power went.
fn drive(follower: &mut InlineFollower, world: &SimDisk, house: &House) -> bool {
    loop {
        match follower.turn() {
            Ok(true) => {}
            Ok(false) => {
                let extracts = follower.extracts().unwrap();
                let waits = follower
                    .engine()
                    .kept_day_ends()
                    .any(|day| extracts.state(day.date) == Some(ExtractState::Writing));
                if world.list(&house.dirs.journal).is_err() {
                    return false;
                }
                let base = follower
                    .engine()
                    .day_ends()
                    .iter()
                    .map(|day| day.seal)
                    .max();
                if !waits && base.unwrap_or_default() <= follower.status().base {
                    return true;
                }
                // A failed write waits for its next try.
                std::thread::sleep(Duration::from_micros(200));
            }
            Err(error) => {
                assert!(world.list(&house.dirs.journal).is_err(), "{error}");
                return false;
            }
        }
    }
}

fn cut_over(bank: &mut Bank) -> Date {
    let date = bank.live.business().closing;
    bank.group(&[Request::Cutover { date }]);
    date
}

/// Cuts over if that has not happened yet, and freezes.
fn freeze(bank: &mut Bank, dice: &mut Dice) -> Date {
    bank.nights = false;
    let date = cut_over(bank);
    bank.trade(dice, 3, 60);
    bank.group(&[Request::Freeze { date }]);
    date
}

fn entries_and_seal(bank: &mut Bank, dice: &mut Dice, date: Date) -> u64 {
    let entries: Vec<_> = (0..20)
        .map(|n| {
            Request::PostEntry(PostEntry {
                id: (n + 1) << 96 | (n + 1),
                account: account(n as u64),
                amount_minor: 7,
                currency: KRW,
                date,
            })
        })
        .collect();
    bank.group(&[Request::OpenBatch { currency: KRW }]);
    bank.group(&entries);
    bank.trade(dice, 2, 60);
    let entries = bank.live.entries(date);
    assert_eq!(entries.of(KRW).count, 20);
    bank.group(&[Request::Seal { date, entries }]);
    let sealed = bank.head();
    bank.trade(dice, 2, 60);
    sealed
}

fn read(
    extracts: &Extracts,
    manifest: &Manifest,
    date: Date,
    table: Table,
    format: Format,
) -> String {
    let mut reader = extracts.open(manifest, date, table, format).unwrap();
    let mut text = Vec::new();
    while let Some(piece) = reader.next_piece().unwrap() {
        text.extend(piece);
    }
    assert_eq!(text.len() as u64, reader.len());
    String::from_utf8(text).unwrap()
}

fn path(house: &House, date: Date, name: &str) -> PathBuf {
    house.dirs.extracts.join(date.to_string()).join(name)
}

/// Overwrites two bytes in the middle of a file.
fn spoil(sim: &SimDisk, path: &std::path::Path) {
    let mut bytes = sim.contents(path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 0x5a;
    bytes[at + 1] ^= 0x5a;
    sim.put(path, &bytes);
}

/// Enough for a day, and quickly laid out.
const SMALL: Capacity = Capacity {
    accounts: 128,
    cards: 128,
    remembered: 4_096,
};

/// A bank of its first day's end, not yet frozen; no nights have passed.
fn day(sim: &SimDisk, room: &std::path::Path, seed: u64) -> (House, Bank) {
    let mut house = House::new(Arc::new(sim.clone()), room);
    house.capacity = SMALL;
    house.segment = 64 << 10;
    let mut bank = house.start().unwrap();
    bank.nights = false;
    bank.found(60);
    bank.trade(&mut Dice::new(seed), 10, 60);
    (house, bank)
}

#[test]
fn it_is_written_at_the_freeze_and_stays() {
    let room = scratch();
    let sim = SimDisk::default();
    let (house, mut bank) = day(&sim, room.path(), 201);
    let follower = bank.follow();
    let mut dice = Dice::new(202);
    let date = freeze(&mut bank, &mut dice);
    let frozen_at = bank.head();
    bank.trade(&mut dice, 5, 60);
    let manifest = followed(&follower, date);
    assert_eq!(manifest.freeze_sequence, frozen_at);
    let extracts = follower.extracts().unwrap();
    let postings = read(&extracts, &manifest, date, Table::Postings, Format::Csv);
    assert_eq!(postings.lines().count() as u64, manifest.csv[0].rows + 1);
    assert!(manifest.csv[0].rows > 200, "{}", manifest.csv[0].rows);
    let lines = read(&extracts, &manifest, date, Table::Postings, Format::Jsonl);
    assert_eq!(lines.lines().count() as u64, manifest.jsonl[0].rows);
    let sealed = entries_and_seal(&mut bank, &mut dice, date);
    assert_eq!(
        follower.wait_base(sealed).unwrap(),
        sealed,
        "the base is the state at the seal"
    );
    assert_eq!(followed(&follower, date), manifest);
    let head = bank.head();
    follower.wait_applied(head).unwrap();
    follower.stop(true).unwrap();
    drop(bank);

    let report = verify(&house.disk, &house.dirs, house.capacity)
        .unwrap()
        .to_string();
    assert!(
        report.contains(&format!("extract of {date} (freeze at event {frozen_at}, ")),
        "{report}"
    );
    assert!(report.contains("recomputed, equal to the byte"), "{report}");
    let accounts = format!("{date}: totals and closing balances of ");
    assert!(report.contains(&accounts), "{report}");

    let mut bank = house.start().unwrap();
    let follower = bank.follow();
    assert_eq!(followed(&follower, date), manifest);
}

#[test]
fn newest_base_and_sled_damaged_together_with_the_extract() {
    let room = scratch();
    let sim = SimDisk::default();
    let (house, mut bank) = day(&sim, room.path(), 211);
    let follower = bank.follow();
    let mut dice = Dice::new(212);
    follower.request_base(bank.head()).unwrap();
    let date = freeze(&mut bank, &mut dice);
    let manifest = followed(&follower, date);
    let sealed = entries_and_seal(&mut bank, &mut dice, date);
    follower.wait_base(sealed).unwrap();
    follower.stop(true).unwrap();
    let hash = bank.live.state_hash();
    drop(bank);

    spoil(&sim, &house.dirs.bases.join(format!("base-{sealed:020}")));
    std::fs::remove_dir_all(house.rows()).unwrap();
    for name in ["balances.csv", "manifest.json"] {
        spoil(&sim, &path(&house, date, name));
    }
    match verify(&house.disk, &house.dirs, house.capacity) {
        Err(VerifyError::Extract { date: of, .. }) => assert_eq!(of, date),
        other => panic!("{other:?}"),
    }
    let mut bank = house.start().unwrap();
    assert_eq!(bank.live.state_hash(), hash);
    let follower = bank.follow();
    assert_eq!(followed(&follower, date), manifest);
    // The next base file has the damaged one set aside.
    bank.group(&[Request::Attest]);
    follower.request_base(bank.head()).unwrap();
    follower.stop(true).unwrap();
    drop(bank);
    verify(&house.disk, &house.dirs, house.capacity).unwrap();

    // Wrong in one digit, with a manifest that fits: told by whoever recomputes it.
    let balances = path(&house, date, "balances.csv");
    let text = String::from_utf8(sim.contents(&balances).unwrap()).unwrap();
    sim.put(
        &balances,
        text.replacen("customer,1", "customer,2", 1).as_bytes(),
    );
    assert!(matches!(
        verify(&house.disk, &house.dirs, house.capacity),
        Err(VerifyError::Extract { .. })
    ));
}

#[test]
fn the_power_goes_at_any_operation_from_the_freeze_to_the_verified_base() {
    let sim = SimDisk::default();
    let room = scratch();
    let (house, mut bank) = day(&sim, room.path(), 221);
    let house = house.without_rows();
    let follower = bank.follow();
    // As the last seal's would be.
    follower.request_base(bank.head()).unwrap();
    follower.stop(false).unwrap();
    let mut dice = Dice::new(222);
    // Found again at each round behind this sequence.
    let date = freeze(&mut bank, &mut dice);
    let sealed = entries_and_seal(&mut bank, &mut dice, date);
    let hash = bank.live.state_hash();
    drop(bank);

    let mut reference = None;
    let (mut at, mut cuts) = (0, 0);
    loop {
        at += 1;
        let world = sim.fork();
        let mut after = House::new(Arc::new(world.clone()), room.path()).without_rows();
        (after.capacity, after.segment) = (house.capacity, house.segment);
        let mut bank = after.start().unwrap();
        // The follower's own instance comes to the freeze only if it stands before it.
        bank.set_back(&after, sealed);
        let mut follower = bank.follow_inline().unwrap();
        world.arm(Fault::PowerCut { at });
        let whole = drive(&mut follower, &world, &after);
        if whole {
            world.disarm();
        }
        let extracts = follower.extracts().unwrap();
        if whole {
            let manifest = ready(&extracts, date);
            let due = reference.get_or_insert_with(|| Arc::clone(&manifest));
            assert_eq!(&manifest, due);
            if cuts > 0 {
                break;
            }
        }
        drop(follower);
        drop(bank);
        cuts += u64::from(!whole);
        world.power_loss(at);

        // Made again from a base and the journal, or found whole.
        let mut bank = after.start().unwrap();
        assert_eq!(bank.live.state_hash(), hash, "cut at {at}");
        let mut follower = bank.follow_inline().unwrap();
        assert!(drive(&mut follower, &world, &after));
        let manifest = ready(&follower.extracts().unwrap(), date);
        let due = reference.get_or_insert_with(|| Arc::clone(&manifest));
        assert_eq!(&manifest, due, "cut at {at}");
        assert!(follower.status().base >= sealed, "cut at {at}");
        for table in Table::ALL {
            read(
                &follower.extracts().unwrap(),
                &manifest,
                date,
                table,
                Format::Csv,
            );
        }
    }
    assert!(cuts > 60, "{cuts} cuts");
}

#[test]
fn a_full_disk_delays_it_and_payments_go_on() {
    let room = scratch();
    let sim = SimDisk::default();
    let (house, mut bank) = day(&sim, room.path(), 231);
    let _house = house.without_rows();
    let follower = bank.follow();
    let mut dice = Dice::new(232);
    bank.nights = false;
    let date = cut_over(&mut bank);
    follower.wait_applied(bank.head()).unwrap();
    // Seen only when it is written to, as a quota is; the journal's segments are there.
    sim.set_quota(Some(sim.used_bytes() + 4_000));
    bank.group(&[Request::Freeze { date }]);
    let frozen_at = bank.head();
    bank.trade(&mut dice, 5, 60);
    // The follower goes on as well.
    follower.wait_applied(bank.head()).unwrap();
    let extracts = follower.extracts().unwrap();
    assert_eq!(extracts.state(date), Some(ExtractState::Writing));
    assert!(bank.head() > frozen_at);
    sim.set_quota(None);
    assert_eq!(ready(&extracts, date).freeze_sequence, frozen_at);
    follower.stop(false).unwrap();
}

#[test]
fn what_an_unfinished_extract_is_made_from_stays() {
    let room = scratch();
    let sim = SimDisk::default();
    let (house, mut bank) = traded(&sim, room.path(), 241);
    bank.nights = false;
    let house = house.without_rows();
    let sealed = bank.pass_nights(7);
    let follower = bank.follow();
    follower.wait_base(sealed).unwrap();
    let mut dice = Dice::new(242);
    bank.trade(&mut dice, 4, 60);
    let older = follower.request_base(bank.head()).unwrap();
    // So many tries fail.
    for at in 1..=20_000 {
        sim.arm_for("balances.csv", Fault::Eio { at });
    }
    let date = freeze(&mut bank, &mut dice);
    let frozen_at = bank.head();
    let mut newer = Vec::new();
    for _ in 0..4 {
        bank.trade(&mut dice, 2, 60);
        newer.push(follower.request_base(bank.head()).unwrap());
    }
    let extracts = follower.extracts().unwrap();
    assert_eq!(extracts.state(date), Some(ExtractState::Writing));
    let names = sim.list(&house.dirs.bases).unwrap();
    let kept = |seq: u64| names.contains(&format!("base-{seq:020}"));
    assert!(
        kept(older) && kept(sealed) && older < frozen_at,
        "{names:?}"
    );
    assert!(!kept(newer[0]) && kept(newer[3]), "{names:?}");
    assert!(bank.released.load(Ordering::Acquire) <= sealed + 1);
    sim.disarm();
    ready(&extracts, date);
    bank.group(&[Request::Attest]);
    let last = follower.request_base(bank.head()).unwrap();
    let names = sim.list(&house.dirs.bases).unwrap();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names.contains(&format!("base-{last:020}")), "{names:?}");
    follower.stop(false).unwrap();
}

#[test]
fn old_ones_go_at_the_fourth_later_seal() {
    let room = scratch();
    let sim = SimDisk::default();
    let (house, mut bank) = day(&sim, room.path(), 251);
    let house = house.without_rows();
    let follower = bank.follow();
    let extracts = follower.extracts().unwrap();
    let mut dice = Dice::new(252);
    let first = bank.live.business().closing;
    for night in 0..6u16 {
        bank.trade(&mut dice, 2, 60);
        let sealed = bank.pass_nights(1);
        follower.wait_base(sealed).unwrap();
        for back in 0..=night {
            let date = Date(first.0 + night - back);
            let names = sim
                .list(&house.dirs.extracts.join(date.to_string()))
                .unwrap();
            if back <= 3 {
                ready(&extracts, date);
                assert_eq!(names.len(), 5, "{date}: {names:?}");
            } else {
                assert_eq!(extracts.state(date), None);
                assert!(names.is_empty(), "{date}: {names:?}");
            }
        }
    }
    follower.stop(false).unwrap();
}

#[test]
fn with_neither_base_nor_journal_left_it_is_gone_and_not_wrong() {
    let room = scratch();
    let sim = SimDisk::default();
    let mut house = House::new(Arc::new(sim.clone()), room.path()).without_rows();
    house.segment = 64 << 10;
    house.cut = true;
    let mut bank = house.start().unwrap();
    bank.nights = false;
    bank.found(60);
    let follower = bank.follow();
    let mut dice = Dice::new(261);
    bank.trade(&mut dice, 60, 60);
    for _ in 0..8 {
        bank.trade(&mut dice, 5, 60);
        let sealed = bank.pass_nights(1);
        follower.wait_base(sealed).unwrap();
    }
    // Segments go with the groups that come.
    while bank.journal.retention().first() == 1 {
        bank.group(&[Request::Attest]);
    }
    let kept: Vec<Date> = bank.live.kept_day_ends().map(|day| day.date).collect();
    let [oldest, .., newest] = kept[..] else {
        panic!("{kept:?}")
    };
    let extracts = follower.extracts().unwrap();
    let due: Vec<_> = kept.iter().map(|date| ready(&extracts, *date)).collect();
    follower.stop(false).unwrap();
    drop(bank);
    for date in [oldest, newest] {
        sim.remove(&path(&house, date, "balances.csv")).unwrap();
    }
    let mut bank = house.start().unwrap();
    let follower = bank.follow();
    let extracts = follower.extracts().unwrap();
    match settled(&extracts, oldest) {
        ExtractState::Gone(why) => assert!(why.contains("no base file at or before"), "{why}"),
        other => panic!("{other:?}"),
    }
    for (date, manifest) in kept.iter().zip(due).skip(1) {
        assert_eq!(ready(&extracts, *date), manifest, "{date}");
    }
    follower.stop(false).unwrap();
}

/// What an extract looks like is a format: readers rely on each byte.
#[test]
fn an_extract_reads_as_ever() {
    let room = scratch();
    let sim = SimDisk::default();
    let house = House::new(Arc::new(sim.clone()), room.path()).without_rows();
    let mut bank = house.start().unwrap();
    bank.nights = false;
    bank.found(1);
    let number = gapless_engine::ids::AccountNumber::new(b"a, \"b\"").unwrap();
    let odd = PutAccount {
        number,
        currency: KRW,
        balance_minor: -5,
        overdraft_minor: 70,
        status: AccountStatus::Blocked,
    };
    bank.group(&[Request::PutAccount(odd)]);
    let follower = bank.follow();
    let date = cut_over(&mut bank);
    bank.group(&[Request::Freeze { date }]);
    let manifest = followed(&follower, date);
    let extracts = follower.extracts().unwrap();
    let text = |table, format| read(&extracts, &manifest, date, table, format);
    let csv = Format::Csv;
    assert_eq!(
        text(Table::Postings, csv),
        concat!(
            "sequence,leg,account,role,currency,amount_minor,business_date,settlement_date,network,kind,original_sequence\n",
            "4,1,GL-OPENING-410,opening,KRW,-100000,2026-11-22,2026-11-22,0,opening,\n",
            "4,2,1000000000,customer,KRW,100000,2026-11-22,2026-11-22,0,opening,\n",
            "6,1,GL-OPENING-410,opening,KRW,5,2026-11-22,2026-11-22,0,opening,\n",
            "6,2,\"a, \"\"b\"\"\",customer,KRW,-5,2026-11-22,2026-11-22,0,opening,\n",
        )
    );
    assert_eq!(
        text(Table::Balances, csv),
        concat!(
            "account,currency,role,closing_balance_minor,overdraft_minor,status\n",
            "GL-POSITION-410,KRW,position,0,0,active\n",
            "GL-SUSPENSE-410,KRW,suspense,0,0,active\n",
            "GL-OPENING-410,KRW,opening,-99995,0,active\n",
            "GL-SETTLE-0000-410,KRW,settlement,0,0,active\n",
            "GL-SETTLE-0001-410,KRW,settlement,0,0,active\n",
            "1000000000,KRW,customer,100000,0,active\n",
            "\"a, \"\"b\"\"\",KRW,customer,-5,70,blocked\n",
        )
    );
    assert_eq!(
        text(Table::TrialBalance, csv),
        "business_date,currency,debit_count,debit_minor,credit_count,credit_minor\n\
         2026-11-22,KRW,2,100005,2,100005\n"
    );
    assert!(text(Table::Balances, Format::Jsonl).ends_with(
        "{\"account\":\"a, \\\"b\\\"\",\"currency\":\"KRW\",\"role\":\"customer\",\
         \"closing_balance_minor\":\"-5\",\"overdraft_minor\":\"70\",\"status\":\"blocked\"}\n"
    ));
    let hashes: Vec<&str> = manifest
        .csv
        .iter()
        .chain(&manifest.jsonl)
        .map(|entry| &entry.sha256[..16])
        .collect();
    assert_eq!(
        hashes,
        [
            "d062c5d64e112f5f",
            "774b332e70cb05b8",
            "ebd4415dc84a8b54",
            "05dfa5828514aa94",
            "dc554a55b5e1e373",
            "eb2eb41515d81512",
            "3e4bd18710f4a745",
            "e3b0c44298fc1c14",
        ]
    );
    follower.stop(false).unwrap();
}
