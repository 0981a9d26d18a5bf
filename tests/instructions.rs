//! Instructions, counted by valgrind's callgrind: what codec, engine and hot
//! path take for a message, as ratios to a scan and build written by hand for
//! one layout, counted in the same run. A ratio more than 5 % above the one in
//! `benches/instruction-ratios.toml` fails; `GAPLESS_BLESS=1` writes that file
//! anew. Where valgrind is missing, the test says so and passes.
//!
//! Instructions hardly depend on the machine or on what else it does, as times
//! do; so this may run beside all other tests. See docs/benchmarks.md.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::float_arithmetic
)]

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What everything is measured by.
const BASELINE: &str = "by_hand";
/// Subjects of `gapless-counts`, and what one message is to each.
const SUBJECTS: [(&str, &str); 4] = [
    (BASELINE, "0200 scanned, 0210 built, by hand for one layout"),
    ("codec", "0200 decoded, 0210 built"),
    ("engine", "a purchase decided, checked, applied, encoded"),
    (
        "hot_path",
        "framed 0200 to framed 0210: session, adapter, engine",
    ),
];
/// A ratio may move so far from the committed one.
const TOLERANCE_PERCENT: f64 = 5.0;
const COMPILER: &str = "compiler";
const HEADER: &str = "\
# Instructions for a message, as multiples of those of the hand-written scan and
# build: what tests/instructions.rs compares with, a table for each architecture.
# Written by
#     GAPLESS_BLESS=1 cargo test --test instructions
# with its reason in the commit's message: docs/benchmarks.md.
";

/// Ratios by subject.
type Ratios = BTreeMap<String, f64>;

/// What a comparison finds.
#[derive(Debug, Default)]
struct Findings {
    /// Each fails the test.
    faults: Vec<String>,
    /// Each asks for a new commit of the ratios.
    gains: Vec<String>,
}

fn compare(counted: &Ratios, committed: &Ratios) -> Findings {
    let mut findings = Findings::default();
    for (subject, ratio) in counted {
        let Some(before) = committed.get(subject) else {
            let fault = format!("{subject}: counted, but no ratio is committed");
            findings.faults.push(fault);
            continue;
        };
        let percent = (ratio / before - 1.0) * 100.0;
        let line =
            format!("{subject}: {ratio:.3} × by hand, committed {before:.3}: {percent:+.1} %");
        if percent < -TOLERANCE_PERCENT {
            findings.gains.push(line);
        } else if percent.is_nan() || percent > TOLERANCE_PERCENT {
            findings.faults.push(line);
        }
    }
    for subject in committed.keys() {
        if !counted.contains_key(subject) {
            let fault = format!("{subject}: committed, but not counted");
            findings.faults.push(fault);
        }
    }
    findings
}

fn ratios_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instruction-ratios.toml")
}

/// Architectures with their ratios, and the compiler they were counted with.
fn read_committed(text: &str) -> BTreeMap<String, (String, Ratios)> {
    let table: toml::Table = text.parse().expect("benches/instruction-ratios.toml");
    let one = |(architecture, entry): (String, toml::Value)| {
        let mut compiler = String::new();
        let mut ratios = Ratios::new();
        for (key, value) in entry.as_table().expect("a table for each architecture") {
            if key == COMPILER {
                value.as_str().expect("a version").clone_into(&mut compiler);
            } else {
                let ratio = value.as_float().expect("a ratio, like 1.75");
                ratios.insert(key.clone(), ratio);
            }
        }
        (architecture, (compiler, ratios))
    };
    table.into_iter().map(one).collect()
}

fn write_committed(all: &BTreeMap<String, (String, Ratios)>) -> String {
    let mut text = HEADER.to_owned();
    for (architecture, (compiler, ratios)) in all {
        text += &format!("\n[{architecture}]\n{COMPILER} = {compiler:?}\n");
        for (subject, ratio) in ratios {
            text += &format!("{subject} = {ratio:.3}\n");
        }
    }
    text
}

/// A line for whoever reads the log, also of a run that passes.
#[allow(clippy::explicit_write)]
fn say(line: &str) {
    // Not `eprintln!`, which a passing test keeps to itself.
    writeln!(io::stderr(), "{line}").unwrap();
}

fn succeeded(what: &str, output: Output) -> Output {
    assert!(
        output.status.success(),
        "{what}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn tool(variable: &str, otherwise: &str) -> OsString {
    env::var_os(variable).unwrap_or_else(|| otherwise.into())
}

/// The program to count in, optimised as the daemon that is shipped.
fn build() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut cargo = Command::new(tool("CARGO", "cargo"));
    cargo
        .args(["build", "--release", "--locked", "--quiet"])
        .args(["--package", "gapless-counts", "--target-dir"])
        .arg(target)
        .env_remove("CARGO_BUILD_TARGET")
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    succeeded("cargo build", cargo.output().expect("cargo"));
    target.join("release/gapless-counts")
}

/// Instructions for a message, within the function `counted_SUBJECT` alone.
fn count(program: &Path, subject: &str, folder: &Path) -> f64 {
    let counts = folder.join(subject);
    let mut out_file = OsString::from("--callgrind-out-file=");
    out_file.push(&counts);
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(out_file)
        .arg(format!("--toggle-collect=*counted_{subject}*"))
        .arg(program)
        .arg(subject)
        .output()
        .expect("valgrind");
    let output = succeeded(&format!("valgrind, {subject}"), output);
    let messages: u32 = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .expect("how many messages were handled");
    let counts = fs::read_to_string(counts).expect("callgrind's file");
    let total: u64 = counts
        .lines()
        .find_map(|line| line.strip_prefix("totals: "))
        .and_then(|total| total.trim().parse().ok())
        .expect("a line of totals in callgrind's file");
    let each = total as f64 / f64::from(messages);
    assert!(
        each > 100.0,
        "{subject}: the counted function was not found"
    );
    each
}

/// Counts all subjects, says so, and gives their ratios.
fn count_all() -> Ratios {
    let program = build();
    let folder = tempfile::tempdir().unwrap();
    let mut ratios = Ratios::new();
    let by_hand = count(&program, BASELINE, folder.path());
    say("| subject | instructions a message | × by hand | one message |");
    say("| --- | --- | --- | --- |");
    for (subject, what) in SUBJECTS {
        let each = if subject == BASELINE {
            by_hand
        } else {
            count(&program, subject, folder.path())
        };
        let ratio = each / by_hand;
        say(&format!("| {subject} | {each:.0} | {ratio:.3} | {what} |"));
        if subject != BASELINE {
            ratios.insert(subject.to_owned(), ratio);
        }
    }
    ratios
}

fn compiler() -> String {
    let output = Command::new(tool("RUSTC", "rustc"))
        .arg("--version")
        .output();
    let output = succeeded("rustc --version", output.expect("rustc"));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn no_ratio_of_instructions_rises() {
    match Command::new("valgrind").arg("--version").output() {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            say("SKIPPED: instructions are not counted: valgrind is not installed");
            return;
        }
        Err(error) => panic!("valgrind: {error}"),
    }
    let mut committed = read_committed(&fs::read_to_string(ratios_file()).unwrap());
    let bless = env::var_os("GAPLESS_BLESS").is_some_and(|value| value == "1");
    let here = env::consts::ARCH;
    if !bless && !committed.contains_key(here) {
        say(&format!(
            "SKIPPED: instructions are not compared: no ratios are committed for {here}"
        ));
        return;
    }
    let counted = count_all();
    let compiler = compiler();
    if bless {
        committed.insert(here.to_owned(), (compiler, counted));
        fs::write(ratios_file(), write_committed(&committed)).unwrap();
        say("benches/instruction-ratios.toml is written: commit it, and say why");
        return;
    }
    let (counted_with, before) = &committed[here];
    let Findings { faults, gains } = compare(&counted, before);
    for gain in gains {
        say(&format!(
            "better than committed; GAPLESS_BLESS=1 keeps it so: {gain}"
        ));
    }
    let other = if *counted_with == compiler {
        String::new()
    } else {
        format!("\ncommitted with {counted_with}, counted with {compiler}: perhaps that is all")
    };
    assert!(
        faults.is_empty(),
        "instructions, against benches/instruction-ratios.toml (docs/benchmarks.md says what to do):\n{}{other}",
        faults.join("\n")
    );
}

/// `codec` committed as 2.0 and counted as `ratio`: faults, gains.
fn judged(ratio: f64) -> (usize, usize) {
    let of = |ratio| Ratios::from([("codec".to_owned(), ratio), ("engine".to_owned(), 3.0)]);
    let findings = compare(&of(ratio), &of(2.0));
    (findings.faults.len(), findings.gains.len())
}

#[test]
fn a_rise_of_more_than_five_per_cent_is_a_fault_and_a_fall_a_gain() {
    for (ratio, faults_and_gains) in [
        (2.0, (0, 0)),
        (2.08, (0, 0)),
        (2.099, (0, 0)),
        (2.101, (1, 0)),
        (2.12, (1, 0)),
        (1.92, (0, 0)),
        (1.88, (0, 1)),
        (f64::NAN, (1, 0)),
    ] {
        assert_eq!(judged(ratio), faults_and_gains, "2.0 to {ratio}");
    }
}

#[test]
fn a_subject_on_one_side_only_is_a_fault() {
    let both = Ratios::from([("codec".to_owned(), 2.0), ("engine".to_owned(), 3.0)]);
    let one = Ratios::from([("codec".to_owned(), 2.0)]);
    let missing = compare(&one, &both).faults;
    assert_eq!(missing, ["engine: committed, but not counted"]);
    let new = compare(&both, &one).faults;
    assert_eq!(new, ["engine: counted, but no ratio is committed"]);
}

#[test]
fn what_is_blessed_is_read_again() {
    let ratios = Ratios::from([("codec".to_owned(), 1.75), ("engine".to_owned(), 2.0)]);
    let all = BTreeMap::from([
        ("aarch64".to_owned(), ("rustc 1".to_owned(), ratios.clone())),
        ("x86_64".to_owned(), ("rustc 2".to_owned(), ratios)),
    ]);
    assert_eq!(read_committed(&write_committed(&all)), all);
}
