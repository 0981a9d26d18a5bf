//! `gapless night post DATE FILE`: the batch's entries.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use serde::Deserialize;

use super::http::{Body, ask};
use super::night::{Daemon, refused};
use super::progress::Progress;
use super::{Failure, say};

/// What the daemon tells of a file of entries.
#[derive(Deserialize)]
struct Told {
    error: Option<String>,
    date: String,
    rows: u64,
    posted: u64,
    repeated: u64,
    refused: u64,
    entries: BTreeMap<String, u64>,
    sum_minor: BTreeMap<String, i64>,
    refusals: Vec<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    line: u64,
    id: Option<String>,
    error: String,
}

/// Posts a file. The refused rows and the counts go to standard output; status 65
/// when a row or the file was refused.
pub(super) fn post(daemon: &Daemon, date: &str, path: &Path) -> Result<(), Failure> {
    let failed = |why| Failure::failed(format_args!("{}: {why}", path.display()));
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        // A folder, or a pipe: how long it is must be said before it is sent.
        return Err(Failure::failed(format_args!(
            "{}: no plain file",
            path.display()
        )));
    }
    let bytes = about.len();
    let mut progress = Progress::new("posting", bytes);
    let path_of_date = format!("/v1/business-date/{date}/entries");
    let question = daemon.question(&path_of_date, Body::Csv(&file, &mut progress));
    let url = question.url.clone();
    let (status, answer) = ask(question)?;
    progress.end();
    let Ok(told) = serde_json::from_str::<Told>(&answer) else {
        return Err(refused(&url, &status, &answer));
    };
    tell(&told, path);
    match (status.as_str(), &told.error) {
        ("200", _) => Ok(()),
        (_, Some(_)) => Err(refused(&url, &status, &answer)),
        (_, None) => Err(Failure::data(format_args!(
            "{} of {} rows were refused; the others are posted",
            told.refused, told.rows
        ))),
    }
}

fn tell(told: &Told, path: &Path) {
    for row in &told.refusals {
        let id = row
            .id
            .as_deref()
            .map_or(String::new(), |id| format!(" ({id})"));
        say(format_args!(
            "{}:{}{id}: {}",
            path.display(),
            row.line,
            row.error
        ));
    }
    say(format_args!(
        "{} rows: {} posted, {} repeated, {} refused",
        told.rows, told.posted, told.repeated, told.refused
    ));
    for ((currency, count), sum) in told.entries.iter().zip(told.sum_minor.values()) {
        say(format_args!(
            "all of {}: {count} entries, {sum} {currency} in minor units; seal with --posted {currency}:{count}:{sum}",
            told.date
        ));
    }
}
