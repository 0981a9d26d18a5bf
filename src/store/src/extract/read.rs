//! Reads a file of an extract for whoever asked, a piece at a time, and never shows
//! all of one that is not what the manifest says.

use std::io;
use std::path::Path;

use gapless_journal::{Disk, DiskFile, OpenMode};
use sha2::{Digest, Sha256};

use super::manifest::{FileEntry, Manifest};
use super::render;
use super::table::{Format, Table};
use crate::codec::hex;

/// Bytes read from the file at once.
const AT_ONCE: usize = 256 << 10;

/// A file of an extract, in pieces. The last piece is held back until the SHA-256
/// of all of them is known to be right.
#[derive(Debug)]
pub struct ExtractReader {
    file: Box<dyn DiskFile>,
    table: Table,
    format: Format,
    entry: FileEntry,
    offset: u64,
    /// The part of a line that has come so far (JSON lines only).
    carry: Vec<u8>,
    /// The header has passed (JSON lines only).
    past_header: bool,
    sent: u64,
    sha256: Sha256,
    held: Vec<u8>,
    ended: bool,
}

fn differs(entry: &FileEntry) -> io::Error {
    let what = format!("{} is not what its manifest says", entry.name);
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl ExtractReader {
    pub(super) fn open(
        disk: &dyn Disk,
        dir: &Path,
        manifest: &Manifest,
        table: Table,
        format: Format,
    ) -> io::Result<Self> {
        let find = |format: Format| {
            let name = table.file(format);
            let mut entries = manifest.files(format).iter();
            entries
                .find(|entry| entry.name == name)
                .cloned()
                .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        };
        let stored = find(Format::Csv)?;
        let file = disk.open(&dir.join(&stored.name), OpenMode::Read)?;
        if file.len()? != stored.bytes {
            return Err(differs(&stored));
        }
        Ok(Self {
            file,
            table,
            format,
            entry: find(format)?,
            offset: 0,
            carry: Vec::new(),
            past_header: false,
            sent: 0,
            sha256: Sha256::new(),
            held: Vec::new(),
            ended: false,
        })
    }

    /// Length of the whole file.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.entry.bytes
    }

    /// Whether the whole file is empty, as JSON lines without a row are.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entry.bytes == 0
    }

    /// Its SHA-256, as the manifest says.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.entry.sha256
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if the file is not what the manifest says:
    /// its last piece is not shown then. What the disk says.
    pub fn next_piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        while !self.ended {
            let mut bytes = vec![0; AT_ONCE];
            let read = self.file.read_at(&mut bytes, self.offset)?;
            bytes.truncate(read);
            self.offset += read as u64;
            let piece = match self.format {
                Format::Csv => bytes,
                Format::Jsonl => self.render(&bytes)?,
            };
            self.sha256.update(&piece);
            self.sent += piece.len() as u64;
            if read < AT_ONCE {
                self.ended = true;
                let sha256 = hex(&std::mem::take(&mut self.sha256).finalize());
                if self.sent != self.entry.bytes
                    || sha256 != self.entry.sha256
                    || !self.carry.is_empty()
                {
                    return Err(differs(&self.entry));
                }
                let mut last = std::mem::take(&mut self.held);
                last.extend_from_slice(&piece);
                return Ok((!last.is_empty()).then_some(last));
            }
            let ready = std::mem::replace(&mut self.held, piece);
            if !ready.is_empty() {
                return Ok(Some(ready));
            }
        }
        Ok(None)
    }

    fn render(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(bytes.len() * 3);
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, behind) = rest.split_at(end);
            self.carry.extend_from_slice(line);
            rest = behind.get(1..).unwrap_or_default();
            if std::mem::replace(&mut self.past_header, true) {
                render::json(self.table, &self.carry, &mut out)
                    .ok_or_else(|| differs(&self.entry))?;
            }
            self.carry.clear();
        }
        self.carry.extend_from_slice(rest);
        // No right line is as long.
        if self.carry.len() > AT_ONCE {
            return Err(differs(&self.entry));
        }
        Ok(out)
    }
}
