//! ARCHITECTURE.md says what each room may use; this test reads its table and
//! holds manifests and imports against it. A room that uses what it may not, a
//! room that the table doesn't know, or a row without a room fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// One row of the table.
#[derive(Debug, Clone)]
struct Room {
    path: String,
    ours: BTreeSet<String>,
    outside: BTreeSet<String>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn words(cell: &str) -> BTreeSet<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The rows between the markers of ARCHITECTURE.md.
fn table(text: &str) -> Vec<Room> {
    let (_, rest) = text.split_once("<!-- rooms -->").expect("start marker");
    let (rows, _) = rest.split_once("<!-- /rooms -->").expect("end marker");
    rows.lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
            assert_eq!(cells.len(), 4, "four columns: {line}");
            Room {
                path: words(cells[0]).pop_first().expect("the room's path"),
                ours: words(cells[2]),
                outside: words(cells[3]),
            }
        })
        .collect()
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// A room's own sources: `PATH/src` for a crate, all below `PATH` for a module.
fn room_sources(room: &Room) -> Vec<PathBuf> {
    let path = root().join(&room.path);
    let mut found = Vec::new();
    if path.is_file() {
        found.push(path);
    } else if path.join("Cargo.toml").exists() {
        sources(&path.join("src"), &mut found);
    } else {
        sources(&path, &mut found);
    }
    assert!(!found.is_empty(), "no sources in {}", room.path);
    found
}

/// What a Rust source names as `name::`, comments and strings left out as far as lines go.
fn named_roots(source: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in source.lines() {
        let code = line.split("//").next().unwrap_or_default();
        let bytes = code.as_bytes();
        for (at, _) in code.match_indices("::") {
            let start = bytes[..at]
                .iter()
                .rposition(|b| !(b.is_ascii_alphanumeric() || *b == b'_'))
                .map_or(0, |p| p + 1);
            // Only the first part of a path says whose it is.
            if start >= 2 && &code[start - 2..start] == "::" {
                continue;
            }
            names.insert(code[start..at].to_owned());
        }
    }
    names
}

/// `crate::NAME` in a source.
fn named_in_crate(source: &str) -> BTreeSet<String> {
    source
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .flat_map(|code| {
            code.match_indices("crate::")
                .map(move |(at, m)| &code[at + m.len()..])
        })
        .flat_map(|rest| {
            // `crate::{a::X, b::Y}` names several.
            let list = rest
                .strip_prefix('{')
                .map_or(rest, |list| list.split('}').next().unwrap_or(list));
            let many = rest.starts_with('{');
            list.split(',')
                .take(if many { usize::MAX } else { 1 })
                .map(|part| {
                    part.trim()
                        .chars()
                        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                        .collect::<String>()
                })
                .collect::<Vec<_>>()
        })
        .filter(|name| !name.is_empty())
        .collect()
}

fn dependencies(manifest: &Path) -> BTreeSet<String> {
    let value: toml::Table = fs::read_to_string(manifest).unwrap().parse().unwrap();
    value
        .get("dependencies")
        .and_then(|table| table.as_table())
        .map(|table| table.keys().cloned().collect())
        .unwrap_or_default()
}

/// Faults of one room, as sentences.
fn faults(room: &Room, rooms: &[Room]) -> Vec<String> {
    let mut faults = Vec::new();
    let manifest = root().join(&room.path).join("Cargo.toml");
    let our_crates: BTreeMap<String, String> = rooms
        .iter()
        .filter(|other| root().join(&other.path).join("Cargo.toml").exists())
        .map(|other| {
            let last = other.path.rsplit('/').next().unwrap();
            (format!("gapless-{last}"), last.to_owned())
        })
        .collect();
    if manifest.exists() {
        for dependency in dependencies(&manifest) {
            let allowed = match our_crates.get(&dependency) {
                Some(name) => room.ours.contains(name),
                // The root package is the room `lib`.
                None if dependency == "gapless" => room.ours.contains("lib"),
                None => room.outside.contains(&dependency),
            };
            if !allowed {
                faults.push(format!("{}: its manifest lists {dependency}", room.path));
            }
        }
        return faults;
    }
    let outside = dependencies(&root().join("Cargo.toml"));
    let modules: BTreeSet<String> = rooms
        .iter()
        .filter_map(|other| other.path.strip_prefix("src/"))
        .filter(|name| !our_crates.contains_key(&format!("gapless-{name}")))
        .map(|name| name.trim_end_matches(".rs").to_owned())
        .collect();
    let own = room
        .path
        .trim_start_matches("src/")
        .trim_end_matches(".rs")
        .to_owned();
    for file in room_sources(room) {
        let source = fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        for used in named_roots(&source) {
            if used == "gapless" {
                // This package's own library, which `main.rs` names so.
                continue;
            }
            let dashed = used.replace('_', "-");
            let allowed = match our_crates.get(&dashed) {
                Some(room_name) => room.ours.contains(room_name),
                None => !outside.contains(&dashed) || room.outside.contains(&dashed),
            };
            if !allowed {
                faults.push(format!("{name}: uses {used}"));
            }
        }
        for used in named_in_crate(&source) {
            if modules.contains(&used) && used != own && !room.ours.contains(&used) {
                faults.push(format!("{name}: uses crate::{used}"));
            }
        }
    }
    faults
}

#[test]
fn every_room_uses_only_what_the_table_allows() {
    let rooms = table(&fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap());
    let faults: Vec<String> = rooms.iter().flat_map(|room| faults(room, &rooms)).collect();
    assert!(
        faults.is_empty(),
        "ARCHITECTURE.md forbids:\n{}",
        faults.join("\n")
    );
}

#[test]
fn the_table_knows_every_room() {
    let rooms = table(&fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap());
    let listed: BTreeSet<String> = rooms.iter().map(|room| room.path.clone()).collect();
    let mut there: BTreeSet<String> = fs::read_dir(root().join("src"))
        .unwrap()
        .map(|entry| format!("src/{}", entry.unwrap().file_name().to_string_lossy()))
        .collect();
    there.insert("simulators".to_owned());
    there.insert("simulators/demo".to_owned());
    there.insert("loadtest".to_owned());
    there.insert("tests/simulation".to_owned());
    there.insert("benches/counts".to_owned());
    assert_eq!(listed, there);
}

#[test]
fn the_arrows_run_one_way() {
    let rooms = table(&fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap());
    let name = |room: &Room| {
        room.path
            .rsplit('/')
            .next()
            .unwrap()
            .trim_end_matches(".rs")
            .to_owned()
    };
    let uses: BTreeMap<String, BTreeSet<String>> = rooms
        .iter()
        .map(|room| (name(room), room.ours.clone()))
        .collect();
    for start in uses.keys() {
        let mut seen = BTreeSet::new();
        let mut open: Vec<String> = uses[start].iter().cloned().collect();
        while let Some(next) = open.pop() {
            assert_ne!(&next, start, "{start} uses itself by way of others");
            assert!(
                uses.contains_key(&next),
                "{start} may use {next}, which is no room"
            );
            if seen.insert(next.clone()) {
                open.extend(uses[&next].iter().cloned());
            }
        }
    }
}

#[test]
fn the_test_sees_what_is_forbidden() {
    let source =
        "use crate::{admin::X, link};\n// tokio::fine\nlet y = sled::open(); a::tokio::b();";
    let roots = named_roots(source);
    assert!(
        roots.contains("sled") && !roots.contains("tokio"),
        "{roots:?}"
    );
    let ours = named_in_crate(source);
    assert!(ours.contains("admin") && ours.contains("link"), "{ours:?}");
    let room = Room {
        path: "src/journal".to_owned(),
        ours: BTreeSet::new(),
        outside: BTreeSet::from(["thiserror".to_owned()]),
    };
    let found = faults(&room, std::slice::from_ref(&room));
    assert!(
        found.iter().any(|fault| fault.contains("crc32c")),
        "{found:?}"
    );
}
