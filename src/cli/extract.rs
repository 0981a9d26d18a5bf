//! `gapless night extract DATE --to DIR`: fetches the extract of a frozen date.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::http::{Body, open};
use super::night::{Daemon, refused};
use super::progress::Progress;
use super::{Failure, say};

const MANIFEST: &str = "manifest.json";
/// Between two questions whether the extract is there.
const PAUSE: Duration = Duration::from_millis(500);

/// What is read of the manifest.
#[derive(Deserialize)]
struct Manifest {
    date: String,
    freeze_sequence: u64,
    files: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    rows: u64,
    bytes: u64,
    sha256: String,
}

/// Fetches all files into `to`, checks them against the manifest, and gives them
/// their names only then, the manifest last.
pub(super) fn extract(daemon: &Daemon, date: &str, to: &Path, format: &str) -> Result<(), Failure> {
    let failed = |why: io::Error| Failure::failed(format_args!("{}: {why}", to.display()));
    let path = format!("/v1/business-date/{date}/extract");
    let text = manifest(daemon, &format!("{path}?format={format}"))?;
    let manifest: Manifest = serde_json::from_str(&text)
        .map_err(|why| Failure::failed(format_args!("the manifest is not understood: {why}")))?;
    // A daemon's names go into paths here.
    let plain = |name: &str| !name.starts_with('.') && !name.contains(['/', '\\']);
    if let Some(entry) = manifest.files.iter().find(|entry| !plain(&entry.name)) {
        let what = format!("the manifest names a file {:?}", entry.name);
        return Err(Failure::failed(what));
    }
    fs::create_dir_all(to).map_err(failed)?;
    for entry in &manifest.files {
        fetch(daemon, &path, entry, to)?;
    }
    give_names(&manifest, &text, to).map_err(failed)?;
    say(format_args!(
        "extract of {} (freeze at event {}) in {}:",
        manifest.date,
        manifest.freeze_sequence,
        to.display()
    ));
    for entry in &manifest.files {
        say(format_args!(
            "  {}  {} rows, {} bytes, sha256 {}",
            entry.name, entry.rows, entry.bytes, entry.sha256
        ));
    }
    Ok(())
}

/// Asks until the extract is there, or refused.
fn manifest(daemon: &Daemon, path: &str) -> Result<String, Failure> {
    let mut told = false;
    loop {
        let question = daemon.question(path, Body::None);
        let url = question.url.clone();
        let mut answer = open(question)?;
        let text = answer
            .text()
            .map_err(|why| Failure::failed(format_args!("{url}: {why}")))?;
        match answer.status.as_str() {
            "200" => return Ok(text),
            "202" => {
                if !std::mem::replace(&mut told, true) {
                    let _ = writeln!(io::stderr(), "the extract is being written; waiting");
                }
                std::thread::sleep(PAUSE);
            }
            status => return Err(refused(&url, status, &text)),
        }
    }
}

fn temporary(name: &str) -> String {
    format!("{name}.part")
}

fn fetch(daemon: &Daemon, path: &str, entry: &Entry, to: &Path) -> Result<(), Failure> {
    let question = daemon.question(&format!("{path}/{}", entry.name), Body::None);
    let url = question.url.clone();
    let failed = |why: io::Error| Failure::failed(format_args!("{url}: {why}"));
    let mut answer = open(question)?;
    if answer.status != "200" {
        let text = answer.text().map_err(failed)?;
        return Err(refused(&url, &answer.status, &text));
    }
    let target = to.join(temporary(&entry.name));
    let here = |why: io::Error| Failure::failed(format_args!("{}: {why}", target.display()));
    let mut file = File::create(&target).map_err(here)?;
    let mut sha256 = Sha256::new();
    let (mut bytes, mut lines) = (0u64, 0u64);
    let mut progress = Progress::new("fetching", entry.bytes);
    answer
        .each_piece(|piece| {
            sha256.update(piece);
            bytes += piece.len() as u64;
            lines += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
            progress.at(bytes);
            file.write_all(piece)
        })
        .map_err(failed)?;
    progress.end();
    file.sync_all().map_err(here)?;
    let header = u64::from(entry.name.ends_with(".csv"));
    if bytes != entry.bytes || lines != entry.rows + header {
        return Err(Failure::failed(format_args!(
            "{url}: {bytes} bytes in {lines} lines came, the manifest names {} and {}",
            entry.bytes,
            entry.rows + header
        )));
    }
    let sha256 = hex::encode(sha256.finalize());
    if sha256 != entry.sha256 {
        return Err(Failure::failed(format_args!(
            "{url}: what came has SHA-256 {sha256}, the manifest names {}",
            entry.sha256
        )));
    }
    Ok(())
}

/// Whoever finds a manifest finds the files that it names.
fn give_names(manifest: &Manifest, text: &str, to: &Path) -> io::Result<()> {
    let part = to.join(temporary(MANIFEST));
    let mut file = File::create(&part)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    match fs::remove_file(to.join(MANIFEST)) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let dir = File::open(to)?;
    dir.sync_all()?;
    for entry in &manifest.files {
        fs::rename(to.join(temporary(&entry.name)), to.join(&entry.name))?;
    }
    dir.sync_all()?;
    fs::rename(part, to.join(MANIFEST))?;
    dir.sync_all()
}
