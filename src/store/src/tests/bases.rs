//! Base files: two verified ones are kept, and the journal from the older on.

use gapless_journal::sim::{Fault, SimDisk};
use gapless_journal::{Disk, OpenMode};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::bank::{Dice, House, scratch, traded};
use crate::Source;

#[test]
fn two_are_kept_and_the_journal_from_the_older() {
    let room = scratch();
    let sim = SimDisk::default();
    let (house, mut bank) = traded(&sim, room.path(), 61);
    let house = house.without_rows();
    let follower = bank.follow();
    bank.nights = false;
    let sealed = bank.pass_nights(7);
    follower.wait_base(sealed).unwrap();
    // Longer than the older base asks for: extracts of four sealed dates are kept.
    let kept = bank.live.kept_day_ends().next().unwrap();
    let first = bank.live.first_dated(kept.date);
    assert!(first > 1 && first < sealed, "{first}");
    let mut seqs = Vec::new();
    for _ in 0..4 {
        seqs.push(follower.request_base(bank.head()).unwrap());
        assert_eq!(bank.released.load(Ordering::Acquire), first);
        bank.trade(&mut Dice::new(62), 2, 60);
    }
    let names = sim.list(&house.dirs.bases).unwrap();
    let due: Vec<_> = seqs[2..]
        .iter()
        .map(|seq| format!("base-{seq:020}"))
        .collect();
    assert_eq!(names, due);

    // A base that goes bad while nobody looks: the older good one stays.
    let path = house.dirs.bases.join(&due[1]);
    let file = sim.open(&path, OpenMode::Write).unwrap();
    file.write_at(b"??", file.len().unwrap() / 3).unwrap();
    let newest = follower.request_base(bank.head()).unwrap();
    let status = follower.stop(false).unwrap();
    assert_eq!(status.journal_from, first);
    let names = sim.list(&house.dirs.bases).unwrap();
    assert!(names.contains(&format!("base-{newest:020}")), "{names:?}");
    assert!(
        names.contains(&due[0]) && names.contains(&format!("{}.damaged", due[1])),
        "{names:?}"
    );
    let hash = bank.live.state_hash();
    drop(bank);
    let bank = house.start().unwrap();
    assert_eq!(
        (bank.loaded.source, bank.live.state_hash()),
        (Source::Base(newest), hash)
    );
}

#[test]
fn a_full_disk_delays_a_base_and_loses_nothing() {
    let room = scratch();
    let sim = SimDisk::default();
    let (house, mut bank) = traded(&sim, room.path(), 71);
    let house = house.without_rows();
    let follower = bank.follow();
    let head = bank.head();
    // Seen only when it is written to, as a quota is.
    sim.set_quota(Some(sim.used_bytes() + 6_000));
    std::thread::scope(|scope| {
        let wanted = scope.spawn(|| follower.request_base(head));
        while sim.list(&house.dirs.bases).map_or(0, |names| names.len()) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(follower.status().base, 0);
        sim.set_quota(None);
        assert_eq!(wanted.join().unwrap().unwrap(), head);
    });
    follower.stop(false).unwrap();
    let hash = bank.live.state_hash();
    drop(bank);
    let bank = house.start().unwrap();
    assert_eq!(
        (bank.loaded.source, bank.live.state_hash()),
        (Source::Base(head), hash)
    );
}

#[test]
fn a_base_is_written_when_the_journal_has_grown() {
    let room = scratch();
    let sim = SimDisk::default();
    let (mut house, bank) = traded(&sim, room.path(), 81);
    drop(bank);
    house.options.base_after_events = 100;
    let house = house.without_rows();
    let mut bank = house.start().unwrap();
    let follower = bank.follow();
    bank.trade(&mut Dice::new(82), 40, 60);
    let base = follower.wait_base(1).unwrap();
    assert!(base > 0);
    follower.stop(false).unwrap();
}

#[test]
fn a_base_that_a_full_disk_prevents_is_written_when_there_is_room() {
    let room = scratch();
    let sim = SimDisk::default();
    let mut house = House::new(Arc::new(sim.clone()), room.path()).without_rows();
    house.options.base_after_events = 1;
    house.options.retry_after = Duration::ZERO;
    let mut bank = house.start().unwrap();
    // No seal, which would ask for a base as well.
    bank.nights = false;
    bank.found(60);
    bank.trade(&mut Dice::new(82), 10, 60);
    let mut follower = bank.follow_inline().unwrap();
    sim.set_quota(Some(sim.used_bytes() + 6_000));
    for _ in 0..20 {
        follower.turn().unwrap();
    }
    assert_eq!((follower.status().bases, follower.status().base), (0, 0));
    sim.set_quota(None);
    // Nothing new has happened.
    while follower.status().bases == 0 {
        assert!(follower.turn().unwrap(), "it is given up");
    }
    assert_eq!(follower.status().base, bank.head());
}

/// Base files of a large state would otherwise be most of what the disk has to do.
#[test]
fn a_base_waits_until_the_journal_has_grown_by_the_last_one() {
    let room = scratch();
    let sim = SimDisk::default();
    let (mut house, bank) = traded(&sim, room.path(), 83);
    drop(bank);
    house.options.base_after_events = 1;
    house.options.base_bytes_per_s = u64::MAX;
    let house = house.without_rows();
    let mut bank = house.start().unwrap();
    bank.nights = false;
    let mut dice = Dice::new(84);
    let newest_bytes = || {
        let name = sim.list(&house.dirs.bases).unwrap().pop().unwrap();
        let file = sim.open(&house.dirs.bases.join(name), OpenMode::Read);
        file.unwrap().len().unwrap()
    };
    let mut follower = bank.follow_inline().unwrap();
    let (mut bases, mut since, mut due) = (0, bank.event_bytes, 0);
    for trade in 0.. {
        bank.trade(&mut dice, 1, 60);
        while follower.turn().unwrap() {}
        let grown = bank.event_bytes - since;
        // The first two come as soon as the settings say.
        let is_due = bases < 2 || grown >= due;
        bases += u64::from(is_due);
        assert_eq!(follower.status().bases, bases, "{grown} bytes after {due}");
        if is_due {
            (since, due) = (bank.event_bytes, newest_bytes());
            if trade >= 60 {
                break;
            }
        }
    }
    assert!((3..50).contains(&bases), "{bases}");
    drop((follower, bank));

    // The growth is not forgotten by starting anew, however often.
    let (before, mut starts) = (newest_bytes(), 0);
    loop {
        let mut bank = house.start().unwrap();
        bank.nights = false;
        let mut follower = bank.follow_inline().unwrap();
        bank.trade(&mut dice, 1, 60);
        while follower.turn().unwrap() {}
        starts += 1;
        if follower.status().bases > 0 {
            break;
        }
        assert!(starts < 1_000, "no base after one of {before} bytes");
    }
    assert!(starts > 1, "each start writes a base");
}

#[test]
fn a_base_that_cannot_be_read_gives_way_to_the_journal() {
    let room = scratch();
    let sim = SimDisk::default();
    let (house, mut bank) = traded(&sim, room.path(), 85);
    let house = house.without_rows();
    let follower = bank.follow();
    let base = follower.request_base(bank.head()).unwrap();
    follower.stop(false).unwrap();
    let hash = bank.live.state_hash();
    drop(bank);
    sim.arm_for("base-", Fault::Eio { at: 3 });
    let bank = house.start().unwrap();
    assert_eq!(
        (bank.loaded.source, bank.live.state_hash()),
        (Source::Journal, hash)
    );
    assert_eq!(bank.loaded.notes.len(), 1, "{:?}", bank.loaded.notes);
    drop(bank);
    // It was the disk's moment of weakness, not the file's.
    assert_eq!(house.start().unwrap().loaded.source, Source::Base(base));
}

/// One that is as large as the disk allows would else never be followed by another.
#[test]
fn growth_is_waited_for_up_to_a_bound() {
    let room = scratch();
    let sim = SimDisk::default();
    let (mut house, bank) = traded(&sim, room.path(), 87);
    drop(bank);
    house.options.base_after_events = 1;
    house.options.base_after_growth = 2_000;
    let house = house.without_rows();
    let mut bank = house.start().unwrap();
    bank.nights = false;
    let mut follower = bank.follow_inline().unwrap();
    let (mut dice, mut bases, mut since) = (Dice::new(88), 0, bank.event_bytes);
    for _ in 0..60 {
        bank.trade(&mut dice, 1, 60);
        while follower.turn().unwrap() {}
        let grown = bank.event_bytes - since;
        if bases < 2 || grown >= 2_000 {
            (bases, since) = (bases + 1, bank.event_bytes);
        }
        assert_eq!(follower.status().bases, bases, "after {grown} bytes");
    }
    assert!(bases > 4, "{bases}");
}

/// Until another is written, the start would lean on the older one alone.
#[test]
fn a_newest_base_that_a_start_could_not_use_is_followed_by_another_at_once() {
    let room = scratch();
    let sim = SimDisk::default();
    let (mut house, mut bank) = traded(&sim, room.path(), 89);
    house.options.base_after_events = u64::MAX;
    let house = house.without_rows();
    let follower = bank.follow();
    let older = follower.request_base(bank.head()).unwrap();
    bank.nights = false;
    bank.trade(&mut Dice::new(90), 2, 60);
    let newest = follower.request_base(bank.head()).unwrap();
    follower.stop(false).unwrap();
    drop(bank);
    let spoil = |seq: u64| {
        let path = house.dirs.bases.join(format!("base-{seq:020}"));
        let file = sim.open(&path, OpenMode::Write).unwrap();
        file.write_at(b"??", file.len().unwrap() / 3).unwrap();
    };
    spoil(newest);
    // Nothing has happened since: the new one takes the damaged one's name.
    let mut bank = house.start().unwrap();
    assert_eq!(bank.loaded.source, Source::Base(older));
    let mut follower = bank.follow_inline().unwrap();
    while follower.turn().unwrap() {}
    assert_eq!(
        (follower.status().bases, follower.status().base),
        (1, newest)
    );
    drop((follower, bank));
    let mut bank = house.start().unwrap();
    assert_eq!(bank.loaded.source, Source::Base(newest));

    // With something that has happened it has a name of its own.
    bank.nights = false;
    spoil(newest);
    drop(bank);
    let mut bank = house.start().unwrap();
    assert_eq!(bank.loaded.source, Source::Base(older));
    bank.nights = false;
    bank.trade(&mut Dice::new(91), 1, 60);
    let mut follower = bank.follow_inline().unwrap();
    while follower.turn().unwrap() {}
    assert_eq!(follower.status().bases, 1);
    assert!(follower.status().base > newest);
    let names = sim.list(&house.dirs.bases).unwrap();
    let aside = format!("base-{newest:020}.damaged");
    assert!(names.contains(&aside), "{names:?}");
    drop((follower, bank));
    assert!(matches!(
        house.start().unwrap().loaded.source,
        Source::Base(seq) if seq > newest
    ));
}

/// As begun too often: each try is as much work for the disk as one that succeeds.
#[test]
fn a_base_that_the_disk_has_no_room_for_is_not_begun() {
    let room = scratch();
    let sim = SimDisk::default();
    let (mut house, bank) = traded(&sim, room.path(), 93);
    drop(bank);
    house.options.base_after_events = 1;
    house.options.retry_after = Duration::ZERO;
    house.options.min_free_bytes = 10_000;
    let house = house.without_rows();
    let mut bank = house.start().unwrap();
    bank.nights = false;
    let size = crate::follower::BaseJob::bytes(&bank.live);
    let mut follower = bank.follow_inline().unwrap();
    sim.set_capacity(Some(sim.used_bytes() + 10_000 + size / 2));
    for _ in 0..20 {
        follower.turn().unwrap();
    }
    let names = sim.list(&house.dirs.bases).unwrap_or_default();
    assert_eq!((follower.status().bases, names.len()), (0, 0));
    sim.set_capacity(Some(sim.used_bytes() + 10_000 + 2 * size));
    while follower.status().bases == 0 {
        assert!(follower.turn().unwrap(), "it is given up");
    }
}
