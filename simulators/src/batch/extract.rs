//! The extract of a frozen date: downloaded, and checked as an auditor would.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::client::{Client, refusal};
use super::report::Event;
use super::run::{BatchError, CrashPoint, Options};

/// Pause while the daemon still writes the extract; it has waited itself already.
const STILL_WRITING: Duration = Duration::from_millis(250);
const READ_CHUNK: usize = 65_536;
/// The tables that a batch needs.
const NEEDED: [&str; 3] = ["postings.csv", "balances.csv", "trial-balance.csv"];

/// A file of an extract, as the manifest has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileOfExtract {
    /// Its name.
    pub name: String,
    /// Rows, without the header.
    pub rows: u64,
    /// Length.
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
}

/// The manifest, as far as a batch reads it.
#[derive(Deserialize)]
struct Manifest {
    date: Date,
    freeze_sequence: u64,
    files: Vec<FileOfExtract>,
    trial_balance: BTreeMap<String, ManifestSums>,
}

#[derive(Deserialize)]
struct ManifestSums {
    debit_minor: String,
    credit_minor: String,
}

/// Debits and credits of a currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TrialBalance {
    /// Postings that took.
    pub debit_count: u64,
    /// Minor units that they took.
    pub debit_minor: u128,
    /// Postings that gave.
    pub credit_count: u64,
    /// Minor units that they gave.
    pub credit_minor: u128,
}

impl TrialBalance {
    fn add(&mut self, minor: i128) {
        if minor < 0 {
            self.debit_count += 1;
            self.debit_minor += minor.unsigned_abs();
        } else {
            self.credit_count += 1;
            self.credit_minor += minor.unsigned_abs();
        }
    }
}

/// Closing balances of a currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Balances {
    /// Accounts, the bank's own included.
    pub accounts: u64,
    /// Sum over customers, minor units.
    pub customers_minor: i128,
    /// Sum over the bank's own accounts; with the customers' it is zero.
    pub internal_minor: i128,
}

/// A customer's closing balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Balance {
    pub account: String,
    pub currency: String,
    pub closing_minor: i128,
}

/// An extract that is right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The journal's sequence of the freeze.
    pub freeze_sequence: u64,
    /// What was downloaded.
    pub files: Vec<FileOfExtract>,
    /// The trial balance, by currency: the postings sum up to it.
    pub trial_balance: BTreeMap<String, TrialBalance>,
    /// Closing balances, by currency.
    pub balances: BTreeMap<String, Balances>,
}

#[derive(Deserialize)]
struct PostingRow {
    currency: String,
    amount_minor: i128,
    business_date: Date,
}

#[derive(Deserialize)]
struct BalanceRow {
    account: String,
    currency: String,
    role: String,
    closing_balance_minor: i128,
    status: String,
}

#[derive(Deserialize)]
struct TrialRow {
    business_date: Date,
    currency: String,
    debit_count: u64,
    debit_minor: u128,
    credit_count: u64,
    credit_minor: u128,
}

/// Downloads and checks the extract of `date` into `folder`. The customers'
/// balances come with it.
pub(super) fn fetch(
    client: &Client,
    date: Date,
    folder: &Path,
    options: &Options,
    observer: &mut dyn FnMut(&Event),
) -> Result<(Checked, Vec<Balance>), BatchError> {
    let manifest = manifest(client, date, options)?;
    for name in NEEDED {
        if !manifest.files.iter().any(|file| file.name == name) {
            return Err(wrong(format!("the manifest names no {name}")));
        }
    }
    for file in &manifest.files {
        // The name comes from outside, and becomes a path here.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        if file.name.starts_with('.') || !file.name.chars().all(plain) {
            return Err(wrong("the manifest names a file oddly".to_owned()));
        }
        let path = folder.join(&file.name);
        let url = format!("/v1/business-date/{date}/extract/{}", file.name);
        let written = client.download(&url, || File::create(&path).map(BufWriter::new))?;
        drop(written);
        check_file(&path, file)?;
        observer(&Event::Downloaded(file.clone()));
        if options.crash_at == Some(CrashPoint::Extract) {
            return Err(BatchError::Crashed(CrashPoint::Extract));
        }
    }
    let trial_balance = check_trial_balance(folder, &manifest)?;
    let (balances, customers) = read_balances(folder)?;
    for (currency, sums) in &balances {
        if sums.customers_minor + sums.internal_minor != 0 {
            return Err(wrong(format!(
                "the closing balances in {currency} sum up to {}, not to zero",
                sums.customers_minor + sums.internal_minor
            )));
        }
    }
    let checked = Checked {
        freeze_sequence: manifest.freeze_sequence,
        files: manifest.files,
        trial_balance,
        balances,
    };
    observer(&Event::Checked(checked.clone()));
    Ok((checked, customers))
}

fn wrong(what: String) -> BatchError {
    BatchError::Wrong(format!("the extract is wrong: {what}"))
}

/// Asks for the manifest until the follower has written it.
fn manifest(client: &Client, date: Date, options: &Options) -> Result<Manifest, BatchError> {
    let until = Instant::now() + options.wait;
    let path = format!("/v1/business-date/{date}/extract");
    loop {
        let (status, told) = client.get(&path)?;
        match status {
            200 => {
                let manifest: Manifest = serde_json::from_value(told)
                    .map_err(|e| wrong(format!("its manifest: {e}")))?;
                if manifest.date != date {
                    return Err(wrong(format!("it is of {}", manifest.date)));
                }
                return Ok(manifest);
            }
            202 if Instant::now() < until => std::thread::sleep(STILL_WRITING),
            202 => return Err(wrong("it is still being written".to_owned())),
            _ => return Err(BatchError::from(refusal(status, &told)).at("extract")),
        }
    }
}

/// Length, rows and SHA-256 must be those of the manifest.
fn check_file(path: &Path, expected: &FileOfExtract) -> Result<(), BatchError> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let (mut bytes, mut lines) = (0_u64, 0_u64);
    let mut chunk = vec![0; READ_CHUNK];
    loop {
        let read = file.read(&mut chunk)?;
        let part = chunk.get(..read).unwrap_or_default();
        if part.is_empty() {
            break;
        }
        hash.update(part);
        bytes += u64::try_from(read).unwrap_or_default();
        let ends = part.iter().filter(|byte| **byte == b'\n').count();
        lines += u64::try_from(ends).unwrap_or_default();
    }
    let got = FileOfExtract {
        name: expected.name.clone(),
        // The header is none.
        rows: lines.saturating_sub(1),
        bytes,
        sha256: hex::encode(hash.finalize()),
    };
    if got != *expected {
        return Err(wrong(format!(
            "{} has {} rows, {} bytes, SHA-256 {}; the manifest says {}, {}, {}",
            got.name,
            got.rows,
            got.bytes,
            got.sha256,
            expected.rows,
            expected.bytes,
            expected.sha256
        )));
    }
    Ok(())
}

fn rows(path: PathBuf) -> Result<csv::Reader<BufReader<File>>, BatchError> {
    Ok(csv::Reader::from_reader(BufReader::new(File::open(path)?)))
}

/// The error's own text may hold parts of a row, so only its place is told.
fn bad_row(name: &str, error: &csv::Error) -> BatchError {
    let line = error.position().map_or(0, csv::Position::line);
    wrong(format!("{name}, line {line}: not as its header says"))
}

/// Postings must sum up to the trial balance, which must balance, and be the manifest's.
fn check_trial_balance(
    folder: &Path,
    manifest: &Manifest,
) -> Result<BTreeMap<String, TrialBalance>, BatchError> {
    let mut summed: BTreeMap<String, TrialBalance> = BTreeMap::new();
    let name = "postings.csv";
    for row in rows(folder.join(name))?.deserialize() {
        let row: PostingRow = row.map_err(|e| bad_row(name, &e))?;
        if row.business_date != manifest.date {
            return Err(wrong(format!("a posting is of {}", row.business_date)));
        }
        match summed.get_mut(&row.currency) {
            Some(sums) => sums.add(row.amount_minor),
            None => summed
                .entry(row.currency)
                .or_default()
                .add(row.amount_minor),
        }
    }
    let mut told: BTreeMap<String, TrialBalance> = BTreeMap::new();
    let name = "trial-balance.csv";
    for row in rows(folder.join(name))?.deserialize() {
        let row: TrialRow = row.map_err(|e| bad_row(name, &e))?;
        if row.business_date != manifest.date {
            return Err(wrong(format!(
                "a trial balance is of {}",
                row.business_date
            )));
        }
        let sums = TrialBalance {
            debit_count: row.debit_count,
            debit_minor: row.debit_minor,
            credit_count: row.credit_count,
            credit_minor: row.credit_minor,
        };
        told.insert(row.currency, sums);
    }
    // A currency without postings may have a row of zeros.
    told.retain(|_, sums| *sums != TrialBalance::default());
    if told != summed {
        return Err(wrong(
            "the postings do not sum up to the trial balance".to_owned(),
        ));
    }
    for (currency, sums) in &told {
        if sums.debit_minor != sums.credit_minor {
            return Err(wrong(format!(
                "debits of {} and credits of {} in {currency}",
                sums.debit_minor, sums.credit_minor
            )));
        }
        let same = manifest.trial_balance.get(currency).is_some_and(|of| {
            of.debit_minor == sums.debit_minor.to_string()
                && of.credit_minor == sums.credit_minor.to_string()
        });
        if !same {
            return Err(wrong(format!(
                "the manifest has another trial balance in {currency}"
            )));
        }
    }
    Ok(told)
}

fn read_balances(folder: &Path) -> Result<(BTreeMap<String, Balances>, Vec<Balance>), BatchError> {
    let mut sums: BTreeMap<String, Balances> = BTreeMap::new();
    let mut customers = Vec::new();
    let name = "balances.csv";
    for row in rows(folder.join(name))?.deserialize() {
        let row: BalanceRow = row.map_err(|e| bad_row(name, &e))?;
        if !sums.contains_key(&row.currency) {
            sums.insert(row.currency.clone(), Balances::default());
        }
        let of = sums.entry(row.currency.clone()).or_default();
        of.accounts += 1;
        if row.role == "customer" {
            of.customers_minor += row.closing_balance_minor;
        } else {
            of.internal_minor += row.closing_balance_minor;
        }
        if row.role == "customer" && row.status != "closed" {
            customers.push(Balance {
                account: row.account,
                currency: row.currency,
                closing_minor: row.closing_balance_minor,
            });
        }
    }
    Ok((sums, customers))
}
