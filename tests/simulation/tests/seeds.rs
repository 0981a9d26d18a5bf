//! The simulation as part of the ordinary tests: some hundred seeds, and the promise
//! that a seed is a run.

#![allow(clippy::panic)]

use gapless_simulation::campaign::{Campaign, explain, run_seed};

const STEPS: u64 = 1_500;

#[test]
fn some_hundred_seeds() {
    let campaign = Campaign {
        from: 0,
        seeds: 240,
        steps: STEPS,
        threads: 2,
    };
    let summary = campaign.run(|_| ());
    if let Some(failed) = summary.failed {
        panic!("{}", explain(&failed, STEPS));
    }
    assert_eq!(summary.seeds, campaign.seeds);
    // A campaign must exercise everything; so few seeds, nearly everything.
    let missing = summary.coverage.missing();
    assert!(missing.len() <= 4, "never exercised: {missing:?}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [3, 1_000_003, u64::MAX] {
        let twice = [(); 2].map(|()| run_seed(seed, STEPS, false));
        let [Ok(first), Ok(second)] = twice else {
            panic!("seed {seed} fails");
        };
        assert_eq!(first.hash, second.hash);
        assert_eq!(first.coverage.to_string(), second.coverage.to_string());
    }
}
