//! Old remembered transactions lie in files: through restarts, power losses and damage.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gapless_journal::sim::{Fault, SimDisk};
use gapless_journal::{Disk, OpenMode};

use super::bank::{Bank, Dice, House, TIGHT, replayed, scratch};
use crate::{LoadStateError, Source, VerifyError, verify};

fn names(disk: &dyn Disk, house: &House) -> Vec<String> {
    disk.list(&house.dirs.remembered).unwrap_or_default()
}

/// A tight house in whose files something is.
fn spilled(sim: &SimDisk, room: &Path, seed: u64) -> (House, Bank) {
    let house = House::new(Arc::new(sim.clone()), room).tight();
    let mut bank = house.start().unwrap();
    let mut follower = bank.follow_inline().unwrap();
    bank.found(60);
    bank.nights = false;
    let mut dice = Dice::new(seed);
    for _ in 0..20 {
        bank.trade(&mut dice, 2, 60);
        while follower.turn().unwrap() {}
        bank.let_go();
        assert!(bank.live.records_in_memory() <= TIGHT);
        assert_eq!(
            bank.live.records_in_memory(),
            follower.engine().records_in_memory()
        );
    }
    let status = follower.status();
    let in_files = bank.live.counts().remembered - bank.live.records_in_memory();
    assert_eq!(status.remembered_in_files, u64::from(in_files));
    assert!(in_files > 200 && bank.fetched > 0, "{in_files}");
    drop(follower);
    (house, bank)
}

#[test]
fn replay_equals_live_over_nights_and_restarts_at_random_places() {
    for seed in 1..=5 {
        let room = scratch();
        let mut house = House::new(Arc::new(SimDisk::default()), room.path()).tight();
        house.options.base_after_events = 500;
        house.options.base_after_growth = 0;
        house.cut = seed % 2 == 0;
        house.segment = 1 << 16;
        let mut dice = Dice::new(seed);
        let (mut first, mut hash, mut fetched) = (true, 0, 0);
        for _ in 0..8 {
            let mut bank = house.start().unwrap();
            assert!(bank.live.records_in_memory() <= TIGHT);
            let follower = bank.follow();
            if first {
                bank.found(80);
                first = false;
            } else {
                assert_eq!(bank.live.state_hash(), hash, "seed {seed}");
            }
            for _ in 0..2 + dice.below(8) {
                bank.trade(&mut dice, 3, 80);
                if dice.below(2) == 0 {
                    follower.wait_applied(bank.head()).unwrap();
                }
            }
            hash = bank.live.state_hash();
            if dice.below(3) == 0 {
                let base = follower.request_base(bank.head()).unwrap();
                assert!(base >= bank.head());
            }
            follower.stop(dice.below(3) == 0).unwrap();
            bank.let_go();
            gapless_engine::audit(&bank.live).unwrap();
            fetched += bank.fetched;
            drop(bank);
            if dice.below(2) == 0 {
                let report = verify(&house.disk, &house.dirs, house.capacity).unwrap();
                assert_eq!(report.state_hash, hash);
            }
        }
        assert!(fetched > 0 && !names(&*house.disk, &house).is_empty());
        if !house.cut {
            assert_eq!(replayed(&house, house.capacity).state_hash(), hash);
        }
    }
}

#[test]
fn bases_and_marks_name_files_instead_of_records_and_files_go_with_the_last_of_them() {
    let room = scratch();
    let sim = SimDisk::default();
    let (house, mut bank) = spilled(&sim, room.path(), 7);
    let (head, hash) = (bank.head(), bank.live.state_hash());
    let remembered = bank.live.counts().remembered;
    drop(bank);
    bank = house.start().unwrap();
    let follower = bank.follow();
    let base = follower.request_base(head).unwrap();
    let status = follower.stop(true).unwrap();
    assert_eq!((base, status.checkpoint), (head, head));
    drop(bank);
    // A base of a house that holds all in memory is longer by the records.
    let len = |base: u64| {
        let name = house.dirs.bases.join(format!("base-{base:020}"));
        sim.contents(&name).unwrap().len()
    };
    let roomy = House::new(Arc::new(sim.fork()), room.path()).without_rows();
    roomy
        .disk
        .remove(&house.dirs.bases.join(format!("base-{base:020}")))
        .unwrap();
    let mut bank = roomy.start().unwrap();
    assert_eq!(bank.loaded.source, Source::Journal);
    assert_eq!(bank.live.records_in_memory(), remembered);
    let follower = bank.follow();
    follower.request_base(head).unwrap();
    follower.stop(false).unwrap();
    let name = house.dirs.bases.join(format!("base-{head:020}"));
    let mut whole = Vec::new();
    let file = roomy.disk.open(&name, OpenMode::Read).unwrap();
    whole.resize(usize::try_from(file.len().unwrap()).unwrap(), 0);
    file.read_at(&mut whole, 0).unwrap();
    assert!(len(base) + 200 * 44 < whole.len());
    drop(bank);
    // From rows, and from the base alone: the same state, and no journal is needed.
    for rows in [true, false] {
        let mut again = House::new(Arc::new(sim.clone()), room.path()).tight();
        if rows {
            again.dirs.rows.clone_from(&house.dirs.rows);
        } else {
            again.dirs.rows = None;
        }
        let bank = again.start().unwrap();
        assert_eq!(bank.loaded.source.seq(), head, "{:?}", bank.loaded.notes);
        assert_eq!(matches!(bank.loaded.source, Source::Rows(_)), rows);
        assert_eq!(bank.live.state_hash(), hash);
        assert!(bank.live.records_in_memory() <= TIGHT);
    }
    // Five nights later the first date is forgotten: its files go when no base and no
    // mark names them any more.
    let mut bank = house.start().unwrap();
    let follower = bank.follow();
    let first = bank.live.business().closing.to_string();
    let of_first = |house: &House| {
        let names = names(&*house.disk, house);
        names.iter().filter(|name| name.starts_with(&first)).count()
    };
    assert!(of_first(&house) > 0);
    bank.pass_nights(4);
    follower.request_base(bank.head()).unwrap();
    assert!(of_first(&house) > 0, "it is kept for four seals");
    bank.pass_nights(1);
    follower.wait_checkpoint(bank.head()).unwrap();
    for _ in 0..3 {
        bank.pass_nights(1);
        follower.request_base(bank.head()).unwrap();
        follower.wait_checkpoint(bank.head()).unwrap();
    }
    assert_eq!(of_first(&house), 0);
    follower.stop(true).unwrap();
    let hash = bank.live.state_hash();
    drop(bank);
    assert_eq!(house.start().unwrap().live.state_hash(), hash);
}

#[test]
fn the_power_goes_at_any_step_of_writing_a_file() {
    let room = scratch();
    let sim = SimDisk::default();
    let (house, mut bank) = spilled(&sim, room.path(), 11);
    bank.trade(&mut Dice::new(12), 12, 60);
    let (head, hash) = (bank.head(), bank.live.state_hash());
    drop(bank);
    let mut at = 1;
    loop {
        let world = sim.fork();
        let after = House {
            disk: Arc::new(world.clone()),
            dirs: house.dirs.clone(),
            options: house.options.clone(),
            ..house
        }
        .without_rows();
        world.arm_for("20", Fault::PowerCut { at });
        // The start writes files, and the follower does; then a base names them.
        let reached = after.try_start().and_then(|mut bank| {
            let mut follower = bank.follow_inline().ok()?;
            follower.nudge_base(head);
            for _ in 0..200 {
                if world.is_shut_down() || follower.turn().is_err() {
                    return None;
                }
            }
            (follower.status().base >= head).then_some(())
        });
        world.disarm();
        world.power_loss(at);
        let bank = after.start().unwrap();
        assert_eq!(bank.live.state_hash(), hash, "cut at {at}");
        assert!(bank.live.records_in_memory() <= TIGHT);
        if reached.is_some() {
            assert_eq!(bank.loaded.source, Source::Base(head));
            break;
        }
        at += 1;
    }
    assert!(at > 8, "{at} steps");
}

/// A house whose base and rows name files, and the path of one of them.
fn named(sim: &SimDisk, room: &Path, seed: u64) -> (House, u64, PathBuf) {
    let (house, bank) = spilled(sim, room, seed);
    let (head, hash) = (bank.head(), bank.live.state_hash());
    drop(bank);
    let mut bank = house.start().unwrap();
    let follower = bank.follow();
    follower.request_base(head).unwrap();
    follower.stop(true).unwrap();
    drop(bank);
    let names = names(sim, &house);
    let path = house.dirs.remembered.join(&names[names.len() / 2]);
    (house, hash, path)
}

#[test]
fn a_damaged_or_missing_file_is_made_anew_from_the_journal() {
    for (seed, missing) in [(21, false), (22, true)] {
        let room = scratch();
        let sim = SimDisk::default();
        let (house, hash, path) = named(&sim, room.path(), seed);
        let whole = sim.contents(&path).unwrap();
        if missing {
            sim.remove(&path).unwrap();
        } else {
            let mut bytes = whole.clone();
            bytes[100] ^= 1;
            sim.put(&path, &bytes);
        }
        let name = path.display().to_string();
        match verify(&house.disk, &house.dirs, house.capacity) {
            Err(VerifyError::Base { what, .. }) => assert!(what.contains(&name), "{what}"),
            other => panic!("{other:?}"),
        }
        let bank = house.start().unwrap();
        assert_eq!(bank.loaded.source, Source::Journal);
        assert!(bank.loaded.notes.iter().any(|note| note.contains(&name)));
        assert_eq!(bank.live.state_hash(), hash);
        assert!(bank.live.records_in_memory() <= TIGHT);
        assert_eq!(sim.contents(&path).unwrap(), whole, "the same to the byte");
    }
}

#[test]
fn without_the_journals_beginning_a_damaged_file_is_a_refusal_that_names_it() {
    let room = scratch();
    let sim = SimDisk::default();
    let mut house = House::new(Arc::new(sim.clone()), room.path()).tight();
    house.segment = 64 << 10;
    house.cut = true;
    let mut bank = house.start().unwrap();
    let follower = bank.follow();
    bank.found(60);
    let mut dice = Dice::new(31);
    bank.nights = false;
    bank.trade(&mut dice, 60, 60);
    bank.pass_nights(6);
    for _ in 0..3 {
        bank.trade(&mut dice, 60, 60);
        follower.request_base(bank.head()).unwrap();
    }
    while bank.journal.retention().first() == 1 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let hash = bank.live.state_hash();
    follower.stop(true).unwrap();
    drop(bank);
    house.dirs.rows = None;
    let names = names(&sim, &house);
    let path = house.dirs.remembered.join(&names[0]);
    let whole = sim.contents(&path).unwrap();
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    sim.put(&path, &bytes);
    match house.start().map(|bank| bank.head()) {
        Err(LoadStateError::NoSource { what, .. }) => {
            assert!(what.contains(&path.display().to_string()), "{what}");
            assert!(what.contains("damaged at offset"), "{what}");
        }
        other => panic!("{other:?}"),
    }
    // Restored, it starts again.
    sim.put(&path, &whole);
    let bank = house.start().unwrap();
    assert_eq!(bank.live.state_hash(), hash);
}

#[test]
fn a_file_that_cannot_be_written_leaves_records_in_memory_until_it_can() {
    let room = scratch();
    let sim = SimDisk::default();
    let (house, mut bank) = spilled(&sim, room.path(), 41);
    let before = names(&sim, &house).len();
    drop(bank);
    bank = house.start().unwrap();
    let mut follower = bank.follow_inline().unwrap();
    bank.nights = false;
    let mut dice = Dice::new(42);
    for _ in 0..12 {
        bank.trade(&mut dice, 2, 60);
        sim.arm_for("20", Fault::Eio { at: 1 });
        while follower.turn().unwrap() {
            sim.arm_for("20", Fault::Eio { at: 1 });
        }
    }
    assert!(follower.engine().records_in_memory() > TIGHT);
    sim.disarm();
    while follower.engine().records_in_memory() > TIGHT {
        follower.turn().unwrap();
    }
    bank.let_go();
    assert!(bank.live.records_in_memory() <= TIGHT);
    assert!(names(&sim, &house).len() > before);
}

/// What a base file names can be put back: the file itself is as good as before.
#[test]
fn base_files_are_not_set_aside_for_a_file_that_they_name() {
    let room = scratch();
    let sim = SimDisk::default();
    let (mut house, bank) = spilled(&sim, room.path(), 51);
    drop(bank);
    house.options.retry_after = std::time::Duration::ZERO;
    let house = house.without_rows();
    let mut bank = house.start().unwrap();
    bank.nights = false;
    let mut follower = bank.follow_inline().unwrap();
    let mut dice = Dice::new(52);
    let mut due = Vec::new();
    for _ in 0..2 {
        bank.trade(&mut dice, 1, 60);
        follower.nudge_base(bank.head());
        while follower.turn().unwrap() {}
        due.push(format!("base-{:020}", bank.head()));
    }
    assert_eq!(sim.list(&house.dirs.bases).unwrap(), due);
    let path = house.dirs.remembered.join(&names(&sim, &house)[0]);
    let whole = sim.contents(&path).unwrap();
    sim.remove(&path).unwrap();
    bank.trade(&mut dice, 1, 60);
    follower.nudge_base(bank.head());
    for _ in 0..20 {
        follower.turn().unwrap();
    }
    assert_eq!(follower.status().bases, 2);
    assert_eq!(sim.list(&house.dirs.bases).unwrap(), due);
    sim.put(&path, &whole);
    while follower.status().bases == 2 {
        follower.turn().unwrap();
    }
    let there = sim.list(&house.dirs.bases).unwrap();
    assert_eq!(there, [due[1].clone(), format!("base-{:020}", bank.head())]);
}
