//! Replays the committed fuzz corpus; see docs/fuzzing.md.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../../../fuzz/checks.rs"]
mod checks;

use std::path::Path;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{folder:?}: {e}")) {
        let path = entry.unwrap().path();
        let data = std::fs::read(&path).unwrap();
        // Whole, and cut short at every byte.
        for length in 0..=data.len().min(600) {
            check(&data[..length]);
        }
        check(&data);
        inputs += 1;
    }
    assert!(inputs >= 5, "{inputs} inputs in {folder:?}");
}

#[test]
fn frames() {
    replay("frame", checks::frame);
}

#[test]
fn messages() {
    replay("message", checks::message);
}

#[test]
fn dialect_files() {
    replay("dialect", checks::dialect);
}

#[test]
fn dumps() {
    replay("dump", checks::dumped);
}
