//! Invariant 11: a run with a night gives every request the same DE 39 and amounts as
//! its twin without one, and every reconciliation is in balance.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use gapless_simulation::twins::{Twin, night_and_day};

#[test]
fn a_night_changes_no_answer() {
    let (mut requests, mut steps, mut reconciled) = (0, 0, 0);
    for seed in 0..24 {
        let Twin {
            with_night,
            without,
            night_steps,
            in_balance,
        } = night_and_day(seed).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(with_night.len(), without.len(), "seed {seed}");
        for (at, (night, day)) in with_night.iter().zip(&without).enumerate() {
            assert_eq!(night, day, "seed {seed}, message {at}");
        }
        requests += with_night.len();
        steps += night_steps;
        reconciled += in_balance;
    }
    assert!(requests > 3_000, "{requests} requests");
    assert!(steps >= 24 * 3, "{steps} steps of nights");
    assert!(reconciled > 40, "{reconciled} reconciliations");
}
