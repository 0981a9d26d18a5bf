//! The list of mutations cannot rot: each still applies, and every invariant has one.

#![allow(clippy::unwrap_used, clippy::panic)]

use gapless_simulation::mutations::{all, workspace};

#[test]
fn each_mutation_applies_to_the_sources_as_they_are() {
    for mutation in all().unwrap() {
        match mutation.apply(&workspace()) {
            Ok(edited) => assert!(!edited.is_empty(), "{}", mutation.name),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn every_invariant_has_a_mutation_and_every_mutation_is_in_the_documentation() {
    let mutations = all().unwrap();
    for invariant in 1..=14 {
        let some = mutations.iter().any(|one| one.invariant == invariant);
        assert!(some, "invariant {invariant}");
    }
    let page = std::fs::read_to_string(workspace().join("docs/simulation.md")).unwrap();
    for mutation in mutations {
        let row = format!("`{}`", mutation.name);
        assert!(page.contains(&row), "{row} is not in docs/simulation.md");
    }
}
