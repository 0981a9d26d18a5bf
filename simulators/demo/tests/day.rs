//! The demo as somebody types it, with a short batch and little traffic: a whole
//! day and night over TCP, and a report that says so.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;

#[test]
fn a_day_and_its_night() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("deep/demo.html");
    let output = Command::new(env!("CARGO_BIN_EXE_demo"))
        .args([
            "--rate",
            "100",
            "--network-rate",
            "20",
            "--batch",
            "3",
            "--report",
        ])
        .arg(&page)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    for line in [
        "Declines caused by the night: 0",
        "** grace: ",
        "** frozen: ",
        "the batch has checked the extract",
        "Nobody noticed the night.",
    ] {
        assert!(said.contains(line), "no {line:?} in\n{said}");
    }
    assert!(!said.contains("OUT OF BALANCE"), "{said}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(
        page.contains("<svg") && page.contains("frozen"),
        "no plot with the night"
    );
}

#[test]
fn what_cannot_be_written_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_demo"))
        .arg("--keep")
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.starts_with("demo: making "), "{errors}");
}
