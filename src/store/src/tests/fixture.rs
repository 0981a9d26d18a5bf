//! Formats on disk are kept as fixtures: what an older build wrote must open.

use std::path::Path;
use std::sync::Arc;

use gapless_engine::{Engine, Options, audit};
use gapless_journal::Disk;
use gapless_journal::sim::SimDisk;

use super::bank::{CAPACITY, Dice, House, scratch};
use crate::base;
use crate::load::feed;

const BASE_V1: &[u8] = include_bytes!("../../fixtures/base-v1");

#[test]
fn a_base_file_of_version_1_opens() {
    let sim = SimDisk::default();
    sim.put(Path::new("base-v1"), BASE_V1);
    let mut loader = Engine::loader(Options {
        indexed: false,
        capacity: CAPACITY,
    });
    let header = base::read(&sim, Path::new("base-v1"), |item| {
        feed(&mut loader, None, item)
    })
    .unwrap();
    let engine = loader.finish().unwrap();
    assert_eq!(engine.last_seq(), header.seq);
    assert_eq!(
        (engine.counts().cards, engine.state_hash()),
        (8, header.state_hash)
    );
    audit(&engine).unwrap();
}

/// Writes the fixture of this build's version, for the commit that raises it.
#[test]
#[ignore = "writes the fixture"]
fn write_fixture() {
    let sim = SimDisk::default();
    let room = scratch();
    let house = House::new(Arc::new(sim.clone()), room.path()).without_rows();
    let mut bank = house.start().unwrap();
    let follower = bank.follow();
    bank.found(8);
    bank.trade(&mut Dice::new(1), 2, 8);
    follower.request_base(bank.head()).unwrap();
    follower.stop(false).unwrap();
    let names = sim.list(&house.dirs.bases).unwrap();
    let bytes = sim.contents(&house.dirs.bases.join(&names[0])).unwrap();
    std::fs::write(
        concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/base-v1"),
        bytes,
    )
    .unwrap();
}
