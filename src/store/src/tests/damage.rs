//! Damaged, missing and foreign files: the next source is taken, or the start is refused.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use gapless_journal::sim::SimDisk;
use gapless_journal::{Disk, OpenMode};

use super::bank::{Bank, Dice, House, copy_dir, image, open_sled, scratch, traded};
use crate::rows::entry::{self, Key};
use crate::{LoadOptions, LoadStateError, Source};

/// Stops with a mark at the head, and gives head and hash.
fn settle(mut bank: Bank) -> (u64, u64) {
    let (head, hash) = (bank.head(), bank.live.state_hash());
    let follower = bank.follow();
    assert_eq!(follower.stop(true).unwrap().checkpoint, head);
    (head, hash)
}

type Blow = fn(&Path, &mut Dice);

fn flip(dir: &Path, dice: &mut Dice) {
    let path = dir.join("db");
    let mut bytes = fs::read(&path).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
    let at = dice.below(used) as usize;
    bytes[at] ^= 1 << dice.below(8);
    fs::write(path, bytes).unwrap();
}

fn cut(dir: &Path, dice: &mut Dice) {
    let file = fs::OpenOptions::new()
        .write(true)
        .open(dir.join("db"))
        .unwrap();
    let len = file.metadata().unwrap().len();
    file.set_len(dice.below(len)).unwrap();
}

fn zero(dir: &Path, dice: &mut Dice) {
    let path = dir.join("db");
    let mut bytes = fs::read(&path).unwrap();
    let from = dice.below(bytes.len() as u64 / 2) as usize;
    bytes[from..from + 4096].fill(0);
    fs::write(path, bytes).unwrap();
}

fn lose_db(dir: &Path, _: &mut Dice) {
    fs::remove_file(dir.join("db")).unwrap();
}

fn lose_conf(dir: &Path, _: &mut Dice) {
    fs::remove_file(dir.join("conf")).unwrap();
}

fn lose_snapshots(dir: &Path, _: &mut Dice) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with("snap") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

fn garbage(dir: &Path, dice: &mut Dice) {
    for name in ["db", "conf"] {
        let bytes: Vec<u8> = (0..8_192).map(|_| dice.roll() as u8).collect();
        fs::write(dir.join(name), bytes).unwrap();
    }
}

#[test]
fn damaged_rows_are_set_aside_and_written_anew_and_nothing_is_lost() {
    let room = scratch();
    let sim = SimDisk::default();
    let (house, bank) = traded(&sim, room.path(), 3);
    let (head, hash) = settle(bank);
    let blows: [(&str, u32, Blow); 7] = [
        ("a flipped bit", 12, flip),
        ("a cut file", 6, cut),
        ("zeroed bytes", 4, zero),
        ("no file", 1, lose_db),
        ("no settings", 1, lose_conf),
        ("no snapshot", 1, lose_snapshots),
        ("garbage", 1, garbage),
    ];
    let mut dice = Dice::new(5);
    let mut set_aside = 0;
    for (name, rounds, blow) in blows {
        for round in 0..rounds {
            let other = scratch();
            copy_dir(&house.rows(), &other.path().join("sled"));
            blow(&other.path().join("sled"), &mut dice);
            let mut hurt = House::new(Arc::new(sim.fork()), room.path());
            hurt.dirs.rows = Some(other.path().join("sled"));
            let mut bank = hurt.start().unwrap();
            assert_eq!(bank.live.state_hash(), hash, "{name}, round {round}");
            if bank.loaded.source == Source::Journal {
                set_aside += 1;
                assert_eq!(
                    bank.loaded.notes.len(),
                    1,
                    "{name}: {:?}",
                    bank.loaded.notes
                );
            }
            // The rows are written anew, and serve the next start.
            let follower = bank.follow();
            bank.trade(&mut dice, 2, 60);
            let (head, hash) = (bank.head(), bank.live.state_hash());
            assert_eq!(
                follower.stop(true).unwrap().checkpoint,
                head,
                "{name}, round {round}"
            );
            drop(bank);
            let again = hurt.start().unwrap();
            assert_eq!(
                again.loaded.source,
                Source::Rows(head),
                "{name}, round {round}"
            );
            assert_eq!(again.live.state_hash(), hash);
        }
    }
    // Mostly 24 of them. More of the file is out of use, and the fewer hit what matters,
    // the more checkpoints there was time for.
    assert!(set_aside >= 5, "the blows must hurt; only {set_aside} did");
    assert!(head > 0);
}

/// Flips a bit in the middle of a file.
fn hurt(disk: &dyn Disk, path: &Path) {
    let file = disk.open(path, OpenMode::Write).unwrap();
    let at = file.len().unwrap() / 2;
    let mut byte = [0];
    file.read_at(&mut byte, at).unwrap();
    file.write_at(&[byte[0] ^ 4], at).unwrap();
}

#[test]
fn a_damaged_base_gives_way_to_the_older_and_that_to_the_journal() {
    let room = scratch();
    let sim = SimDisk::default();
    let (house, mut bank) = traded(&sim, room.path(), 9);
    let house = house.without_rows();
    let follower = bank.follow();
    let older = follower.request_base(1).unwrap();
    bank.trade(&mut Dice::new(10), 3, 60);
    let newer = follower.request_base(bank.head()).unwrap();
    assert!(newer > older);
    bank.trade(&mut Dice::new(11), 3, 60);
    let (head, hash) = (bank.head(), bank.live.state_hash());
    follower.stop(false).unwrap();
    drop(bank);

    // A seal among the trades may have brought one more; the newest comes first.
    let bases: Vec<u64> = crate::base::list(&sim, &house.dirs.bases, false)
        .unwrap()
        .iter()
        .map(|base| base.0)
        .collect();
    assert!(bases.len() >= 2 && bases[0] >= newer, "{bases:?}");
    let sources = bases.iter().map(|seq| Source::Base(*seq));
    for (notes, source) in sources.chain([Source::Journal]).enumerate() {
        if let Some(last) = notes.checked_sub(1) {
            let name = crate::base::BaseName(bases[last]).file();
            hurt(&sim, &house.dirs.bases.join(name));
        }
        let bank = house.start().unwrap();
        assert_eq!(
            (bank.loaded.source, bank.loaded.replayed),
            (source, head - source.seq())
        );
        assert_eq!(bank.loaded.notes.len(), notes, "{:?}", bank.loaded.notes);
        assert_eq!(bank.live.state_hash(), hash);
    }

    // Without the journal's beginning there is nothing left to start from.
    let recovered = house.open();
    let mut options = LoadOptions::new(&recovered, house.capacity, house.options.clone());
    options.first = 40;
    let error = crate::load(&house.disk, &house.dirs, &options).unwrap_err();
    assert!(
        matches!(error, LoadStateError::NoSource { first: 40, .. }),
        "{error}"
    );
}

/// Rows need a base file for what is remembered, not the newest.
#[test]
fn damaged_bases_leave_the_rows_in_use() {
    let room = scratch();
    let sim = SimDisk::default();
    let (house, mut bank) = traded(&sim, room.path(), 13);
    let follower = bank.follow();
    bank.nights = false;
    follower.request_base(bank.head()).unwrap();
    bank.trade(&mut Dice::new(14), 3, 60);
    follower.request_base(bank.head()).unwrap();
    bank.trade(&mut Dice::new(15), 3, 60);
    let (head, due) = (bank.head(), image(&bank.live));
    assert_eq!(follower.stop(true).unwrap().checkpoint, head);
    drop(bank);
    let bases = crate::base::list(&sim, &house.dirs.bases, false).unwrap();
    assert!(bases.len() >= 2);
    for damaged in 0..=bases.len() {
        if let Some(last) = damaged.checked_sub(1) {
            hurt(&sim, &house.dirs.bases.join(bases[last].file()));
        }
        let bank = house.start().unwrap();
        assert_eq!(bank.loaded.source, Source::Rows(head));
        assert_eq!(bank.loaded.notes.len(), damaged);
        for (note, base) in bank.loaded.notes.iter().zip(&bases) {
            assert!(note.contains(&base.file()), "{note}");
        }
        assert!(image(&bank.live) == due, "{damaged} damaged");
    }
    // Another is written at once, and the damaged ones are set aside.
    let mut bank = house.start().unwrap();
    let follower = bank.follow();
    bank.trade(&mut Dice::new(16), 1, 60);
    while follower.status().bases == 0 {
        std::thread::yield_now();
    }
    follower.stop(false).unwrap();
}

/// Rows that an older build wrote, with remembered transactions among them.
#[test]
fn rows_of_an_older_layout_are_written_anew_unless_they_prove_a_loss() {
    let room = scratch();
    let sim = SimDisk::default();
    let (mut house, mut bank) = traded(&sim, room.path(), 17);
    let (before, lost_after) = (sim.fork(), bank.head());
    bank.trade(&mut Dice::new(18), 4, 60);
    let (head, hash) = settle(bank);
    let key = Key::Mark.to_bytes();
    let db = open_sled(house.rows());
    let mut mark = {
        let value = db.get(&key).unwrap().unwrap();
        entry::open(&key, &value).unwrap().1.to_vec()
    };
    mark[0] = 2;
    db.insert(&key, entry::seal(&key, 1, &mark)).unwrap();
    db.flush().unwrap();
    drop(db);
    // sled gives its lock back in its own time.
    copy_dir(&house.rows(), &room.path().join("older"));
    house.dirs.rows = Some(room.path().join("older"));
    let report = crate::verify(&house.disk, &house.dirs, house.capacity).unwrap();
    assert_eq!((report.rows, report.state_hash), (None, hash));
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("another format"))
    );
    let disk = std::mem::replace(&mut house.disk, Arc::new(before));
    match house.start().map(|bank| bank.head()) {
        Err(LoadStateError::JournalLost {
            stored, head: ends, ..
        }) => assert_eq!((stored, ends), (head, lost_after)),
        other => panic!("{other:?}"),
    }
    house.disk = disk;
    copy_dir(&house.rows(), &room.path().join("again"));
    house.dirs.rows = Some(room.path().join("again"));
    let bank = house.start().unwrap();
    assert_eq!((bank.loaded.source, bank.head()), (Source::Journal, head));
    assert_eq!(bank.live.state_hash(), hash);
    assert!(
        bank.loaded.notes[0].contains("another format"),
        "{:?}",
        bank.loaded.notes
    );
}

#[test]
fn rows_ahead_of_the_journal_mean_that_durable_journal_was_lost() {
    let room = scratch();
    let sim = SimDisk::default();
    let (mut house, mut bank) = traded(&sim, room.path(), 21);
    let before = sim.fork();
    let lost_after = bank.head();
    bank.trade(&mut Dice::new(22), 4, 60);
    let (head, _) = settle(bank);
    house.disk = Arc::new(before);
    match house.start().map(|bank| bank.head()) {
        Err(LoadStateError::JournalLost {
            stored, head: ends, ..
        }) => {
            assert_eq!((stored, ends), (head, lost_after));
        }
        other => panic!("{other:?}"),
    }
    assert!(house.rows().exists(), "what proves the loss stays");
}

#[test]
fn a_base_ahead_of_the_journal_means_the_same() {
    let room = scratch();
    let sim = SimDisk::default();
    let (house, mut bank) = traded(&sim, room.path(), 23);
    let mut house = house.without_rows();
    let before = sim.fork();
    bank.trade(&mut Dice::new(24), 4, 60);
    let follower = bank.follow();
    let base = follower.request_base(bank.head()).unwrap();
    follower.stop(false).unwrap();
    let name = house.dirs.bases.join(format!("base-{base:020}"));
    let bytes = sim.contents(&name).unwrap();
    before.create_dir_all(&house.dirs.bases).unwrap();
    before
        .open(&name, OpenMode::CreateNew)
        .unwrap()
        .write_at(&bytes, 0)
        .unwrap();
    house.disk = Arc::new(before);
    let error = house.start().map(|bank| bank.head()).unwrap_err();
    assert!(
        matches!(error, LoadStateError::JournalLost { .. }),
        "{error}"
    );
}

#[test]
fn rows_of_another_journal_are_refused() {
    let room = scratch();
    let (house, bank) = traded(&SimDisk::default(), room.path(), 31);
    settle(bank);
    let elsewhere = scratch();
    let (mut other, bank) = traded(&SimDisk::new(1), elsewhere.path(), 32);
    drop(bank);
    other.dirs.rows = Some(house.rows());
    let error = other.start().map(|bank| bank.head()).unwrap_err();
    assert!(matches!(error, LoadStateError::Foreign { .. }), "{error}");
}

#[test]
fn bounds_below_what_is_stored_are_told_and_nothing_is_touched() {
    let room = scratch();
    let sim = SimDisk::default();
    let (mut house, mut bank) = traded(&sim, room.path(), 9);
    bank.trade(&mut Dice::new(10), 60, 60);
    let counts = bank.live.counts();
    // More than the reserve that comes with the lowest bound.
    assert!(counts.remembered > 300, "{counts:?}");
    let (_, hash) = settle(bank);
    let given = house.capacity;
    let fewer = |change: fn(&mut gapless_engine::Capacity, u32), to: u32| {
        let mut capacity = given;
        change(&mut capacity, to);
        capacity
    };
    for (what, capacity) in [
        (
            "accounts",
            fewer(|c, to| c.accounts = to, counts.accounts - 1),
        ),
        ("cards", fewer(|c, to| c.cards = to, counts.cards - 1)),
        (
            "remembered transactions",
            fewer(|c, to| c.remembered = to, 1),
        ),
    ] {
        house.capacity = capacity;
        // With rows, and from the journal alone.
        for rows in [Some(house.rows()), None] {
            let before = std::mem::replace(&mut house.dirs.rows, rows);
            let error = house.start().err().unwrap();
            house.dirs.rows = before;
            assert!(
                matches!(error, LoadStateError::Capacity { what: told, .. } if told == what),
                "{what}: {error}"
            );
        }
    }
    house.capacity = given;
    let bank = house.start().unwrap();
    assert_eq!(bank.live.state_hash(), hash);
    assert!(
        matches!(bank.loaded.source, Source::Rows(_)),
        "{:?}",
        bank.loaded.source
    );
}

#[test]
fn rows_alone_are_no_source() {
    let room = scratch();
    let sim = SimDisk::default();
    let (house, bank) = traded(&sim, room.path(), 12);
    settle(bank);
    let recovered = house.open();
    let mut options = LoadOptions::new(&recovered, house.capacity, house.options.clone());
    // As if the segments before had been removed, and the base files as well: what was
    // remembered is gone with them.
    options.first = 40;
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    for base in crate::base::list(&*disk, &house.dirs.bases, false).unwrap() {
        disk.remove(&house.dirs.bases.join(base.file())).unwrap();
    }
    match crate::load(&house.disk, &house.dirs, &options) {
        Err(LoadStateError::NoSource { first: 40, what }) => {
            assert!(what.contains("no base file reaches up to there"), "{what}");
        }
        other => panic!("{other:?}"),
    }
}
