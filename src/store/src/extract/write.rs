//! Writes the tables: to files, or to nowhere when only counts and hashes are wanted.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gapless_journal::{Disk, DiskFile, OpenMode};
use sha2::{Digest, Sha256};

use super::manifest::FileEntry;
use super::render::{self, Line};
use super::table::{Format, Table};
use crate::codec::hex;

/// Bytes between two syncs: a big dirty file synced at once would stall the journal's own syncs.
const SYNC_EVERY: u64 = 2 << 20;

/// Where an extract is written.
#[derive(Clone, Debug)]
pub(crate) struct Out {
    pub disk: Arc<dyn Disk>,
    pub dir: PathBuf,
}

/// The name of a file while it is being written.
pub(crate) fn temporary(name: &str) -> String {
    format!("{name}.tmp")
}

/// One table under way.
pub(super) struct TableWriter {
    table: Table,
    file: Option<Box<dyn DiskFile>>,
    /// Lines that are not yet written.
    lines: Vec<u8>,
    json: Vec<u8>,
    rows: u64,
    csv: Counted,
    jsonl: Counted,
    synced: u64,
}

#[derive(Default)]
struct Counted {
    bytes: u64,
    sha256: Sha256,
}

impl Counted {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.sha256.update(bytes);
    }

    fn entry(self, table: Table, format: Format, rows: u64) -> FileEntry {
        FileEntry {
            name: table.file(format),
            rows,
            bytes: self.bytes,
            sha256: hex(&self.sha256.finalize()),
        }
    }
}

impl fmt::Debug for TableWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableWriter")
            .field("table", &self.table)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl TableWriter {
    /// Begins the table's file, if it goes to one.
    pub fn create(table: Table, out: Option<&Out>) -> io::Result<Self> {
        let file = match out {
            None => None,
            Some(Out { disk, dir }) => {
                let path = dir.join(temporary(&table.file(Format::Csv)));
                let file = disk.open(&path, OpenMode::Create)?;
                file.set_len(0)?;
                Some(file)
            }
        };
        let mut lines = table.header().as_bytes().to_vec();
        lines.push(b'\n');
        let mut writer = Self {
            table,
            file,
            lines: Vec::new(),
            json: Vec::new(),
            rows: 0,
            csv: Counted::default(),
            jsonl: Counted::default(),
            synced: 0,
        };
        writer.put(&lines)?;
        Ok(writer)
    }

    /// Adds a row.
    pub fn row(&mut self, fill: impl FnOnce(&mut Line<'_>)) -> io::Result<()> {
        let from = self.lines.len();
        let mut line = Line::new(&mut self.lines);
        fill(&mut line);
        let text = self.lines.get(from..).unwrap_or_default();
        render::json(self.table, text, &mut self.json)
            .ok_or_else(|| io::Error::other("a line that does not read back"))?;
        self.lines.push(b'\n');
        self.rows += 1;
        Ok(())
    }

    /// Writes what has gathered; returns its size.
    pub fn flush(&mut self) -> io::Result<u64> {
        let lines = std::mem::take(&mut self.lines);
        self.put(&lines)?;
        self.jsonl.add(&self.json);
        self.json.clear();
        let written = lines.len() as u64;
        self.lines = lines;
        self.lines.clear();
        Ok(written)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(file) = &self.file {
            file.write_at(bytes, self.csv.bytes)?;
        }
        self.csv.add(bytes);
        if let Some(file) = &self.file
            && self.csv.bytes - self.synced >= SYNC_EVERY
        {
            file.sync_data()?;
            self.synced = self.csv.bytes;
        }
        Ok(())
    }

    /// Syncs the file; what the manifest tells of it in either format.
    pub fn finish(mut self) -> io::Result<[FileEntry; 2]> {
        self.flush()?;
        if let Some(file) = &self.file {
            file.sync_all()?;
        }
        Ok([
            self.csv.entry(self.table, Format::Csv, self.rows),
            self.jsonl.entry(self.table, Format::Jsonl, self.rows),
        ])
    }
}

/// Writes a small file to its temporary name, synced.
pub(super) fn write_whole(out: &Out, name: &str, bytes: &[u8]) -> io::Result<()> {
    let file = out
        .disk
        .open(&out.dir.join(temporary(name)), OpenMode::Create)?;
    file.set_len(0)?;
    file.write_at(bytes, 0)?;
    file.sync_all()
}

/// Gives files their names, the last one last.
pub(super) fn give_names(out: &Out, names: &[String]) -> io::Result<()> {
    let path = |name: &str| -> PathBuf { Path::join(&out.dir, name) };
    let Some((last, others)) = names.split_last() else {
        return Ok(());
    };
    for name in others {
        out.disk.rename(&path(&temporary(name)), &path(name))?;
    }
    // The manifest counts only with all others in place.
    out.disk.sync_dir(&out.dir)?;
    out.disk.rename(&path(&temporary(last)), &path(last))?;
    out.disk.sync_dir(&out.dir)
}
