//! The manifest: what an extract consists of.

use std::collections::BTreeMap;
use std::io;

use gapless_journal::{Disk, OpenMode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::table::Format;
use crate::codec::hex;

/// Its file's name.
pub(crate) const MANIFEST: &str = "manifest.json";
/// Of what it says, and of the tables' columns and texts.
const VERSION: u16 = 1;
/// It has some kilobytes.
const MAX_BYTES: u64 = 1 << 20;

/// A file of an extract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name.
    pub name: String,
    /// Rows, without the header.
    pub rows: u64,
    /// Length.
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
}

/// Debits and credits of one currency. Amounts are text: they may exceed 64 bits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Postings that took.
    pub debit_count: u64,
    /// What they took, minor units.
    pub debit_minor: String,
    /// Postings that gave.
    pub credit_count: u64,
    /// What they gave, minor units.
    pub credit_minor: String,
}

/// Closing balances of one currency. The two sums together are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceSum {
    /// Accounts, internal ones included.
    pub accounts: u64,
    /// Sum over customers' accounts, minor units.
    pub customers_minor: String,
    /// Sum over the bank's internal accounts, minor units.
    pub internal_minor: String,
}

/// What an extract consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    version: u16,
    /// The business date, YYYY-MM-DD.
    pub date: String,
    /// Sequence of the freeze: the extract is the state at exactly this event.
    pub freeze_sequence: u64,
    /// The journal's identity.
    pub journal: String,
    /// The files as CSV.
    pub csv: Vec<FileEntry>,
    /// The files as JSON lines.
    pub jsonl: Vec<FileEntry>,
    /// Debits and credits of the date, by currency.
    pub trial_balance: BTreeMap<String, Sums>,
    /// Closing balances, by currency.
    pub balances: BTreeMap<String, BalanceSum>,
}

/// As it stands in its file.
#[derive(Serialize, Deserialize)]
struct Stored {
    manifest: Manifest,
    /// Over the manifest's JSON.
    sha256: String,
}

impl Manifest {
    pub(super) fn new(date: String, freeze_sequence: u64, uuid: [u8; 16]) -> Self {
        Self {
            version: VERSION,
            date,
            freeze_sequence,
            journal: hex(&uuid),
            csv: Vec::new(),
            jsonl: Vec::new(),
            trial_balance: BTreeMap::new(),
            balances: BTreeMap::new(),
        }
    }

    /// The files in a format.
    #[must_use]
    pub fn files(&self, format: Format) -> &[FileEntry] {
        match format {
            Format::Csv => &self.csv,
            Format::Jsonl => &self.jsonl,
        }
    }

    pub(super) fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let stored = Stored {
            manifest: self.clone(),
            sha256: self.sha256()?,
        };
        let mut bytes = serde_json::to_vec_pretty(&stored)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    fn sha256(&self) -> io::Result<String> {
        let json = serde_json::to_vec(self)?;
        Ok(hex(&Sha256::digest(json)))
    }

    /// Reads a manifest back. `None` if it is not there, damaged, or of another version.
    pub(crate) fn read(disk: &dyn Disk, dir: &std::path::Path) -> Option<Self> {
        let file = disk.open(&dir.join(MANIFEST), OpenMode::Read).ok()?;
        let len = file.len().ok().filter(|len| *len <= MAX_BYTES)?;
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        let read = file.read_at(&mut bytes, 0).ok()?;
        let stored: Stored = serde_json::from_slice(bytes.get(..read)?).ok()?;
        let whole = stored.manifest.sha256().ok()? == stored.sha256;
        (whole && stored.manifest.version == VERSION).then_some(stored.manifest)
    }

    /// Whether it is of this date, freeze and journal.
    pub(crate) fn is_of(&self, date: &str, freeze_sequence: u64, uuid: [u8; 16]) -> bool {
        self.date == date && self.freeze_sequence == freeze_sequence && self.journal == hex(&uuid)
    }
}
