//! Replay equals live, whatever the start begins from.
use std::sync::Arc;

use super::bank::{Dice, House, image, replayed, scratch};
use crate::Source;
use gapless_journal::sim::SimDisk;

#[test]
fn a_new_bank_starts_from_nothing_and_again_from_its_rows() {
    let room = scratch();
    let house = House::new(Arc::new(SimDisk::default()), room.path());
    let mut dice = Dice::new(1);
    let mut bank = house.start().unwrap();
    assert_eq!(
        (bank.loaded.source, bank.loaded.replayed),
        (Source::Journal, 0)
    );
    let follower = bank.follow();
    bank.found(100);
    bank.trade(&mut dice, 20, 100);
    let (head, hash) = (bank.head(), bank.live.state_hash());
    let status = follower.stop(true).unwrap();
    assert_eq!(
        (status.applied, status.checkpoint, status.lag),
        (head, head, 0)
    );
    drop(bank);

    let bank = house.start().unwrap();
    assert_eq!(
        (bank.loaded.source, bank.loaded.replayed),
        (Source::Rows(head), 0)
    );
    assert_eq!(bank.live.state_hash(), hash);
    assert_eq!(bank.loaded.notes, Vec::<String>::new());
}

#[test]
fn replay_equals_live_over_restarts_at_random_places() {
    for seed in 1..=6 {
        let room = scratch();
        let mut house = House::new(Arc::new(SimDisk::default()), room.path());
        house.options.base_after_events = 700;
        house.options.base_after_growth = 0;
        let mut dice = Dice::new(seed);
        let mut first = true;
        let mut due = None;
        for _ in 0..8 {
            let mut bank = house.start().unwrap();
            let follower = bank.follow();
            if first {
                bank.found(150);
                first = false;
            } else {
                assert!(Some(image(&bank.live)) == due, "seed {seed}");
            }
            let groups = 5 + dice.below(30);
            bank.trade(&mut dice, groups, 150);
            due = Some(image(&bank.live));
            // Sometimes caught up, sometimes in the middle of whatever it does.
            if dice.below(2) == 0 {
                follower.wait_applied(bank.head()).unwrap();
            }
            if dice.below(3) == 0 {
                let base = follower.request_base(bank.head()).unwrap();
                assert!(base >= bank.head());
            }
            follower.stop(dice.below(3) == 0).unwrap();
        }
        let replica = replayed(&house, house.capacity);
        assert!(Some(image(&replica)) == due, "seed {seed}");
    }
}

/// Beside a newer base file an older mark is of no use.
#[test]
fn a_base_file_is_followed_by_a_checkpoint_at_once() {
    let room = scratch();
    let mut house = House::new(Arc::new(SimDisk::default()), room.path());
    house.options.checkpoint_every = std::time::Duration::from_secs(86_400);
    house.options.checkpoint_after_events = u64::MAX;
    let mut bank = house.start().unwrap();
    let follower = bank.follow();
    bank.nights = false;
    bank.found(50);
    let mark = follower.wait_checkpoint(1).unwrap();
    bank.trade(&mut Dice::new(8), 5, 50);
    follower.wait_applied(bank.head()).unwrap();
    assert_eq!(follower.status().checkpoint, mark, "none is due");
    let base = follower.request_base(bank.head()).unwrap();
    assert!(follower.wait_checkpoint(base).unwrap() >= base);
    follower.stop(false).unwrap();
    drop(bank);
    let bank = house.start().unwrap();
    assert_eq!(bank.loaded.source, Source::Rows(base));
}
