//! Replay equals live, whatever the start begins from.
use std::sync::Arc;

use super::bank::{Dice, House, replayed, scratch};
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
        let mut hash = 0;
        for _ in 0..8 {
            let mut bank = house.start().unwrap();
            let follower = bank.follow();
            if first {
                bank.found(150);
                first = false;
            } else {
                assert_eq!(bank.live.state_hash(), hash, "seed {seed}");
            }
            let groups = 5 + dice.below(30);
            bank.trade(&mut dice, groups, 150);
            hash = bank.live.state_hash();
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
        assert_eq!(replica.state_hash(), hash, "seed {seed}");
    }
}
