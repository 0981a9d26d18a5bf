//! Files on disk, in batches that the engine takes at a time.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gapless_engine::command::Request;

use super::parser::{HeaderError, Kind, Parsed, Parser};
use super::rows::RowError;
use crate::adapter::PanKeys;

/// Rows in a batch, at most: what one administrative command may touch.
const BATCH: usize = 256;

/// What is wrong with a file, with file and line.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It does not begin with its header.
    #[error("{path}: {error}")]
    Header {
        /// Which file.
        path: PathBuf,
        /// What was expected.
        error: HeaderError,
    },
    /// A row is wrong.
    #[error("{path}:{line}: {why}")]
    Row {
        /// Which file.
        path: PathBuf,
        /// Its line, from 1.
        line: u64,
        /// Why.
        why: RowError,
    },
}

/// Rows of a file, in batches of at most 256. Stops at the first error.
pub struct Rows {
    path: PathBuf,
    file: File,
    parser: Parser,
    buffer: Vec<u8>,
    /// What of the buffer is still to be parsed.
    from: usize,
    ended: bool,
}

impl Rows {
    /// Opens a file.
    ///
    /// # Errors
    /// It can't be opened.
    pub fn open(path: &Path, kind: Kind, keys: Arc<PanKeys>) -> Result<Self, FileError> {
        let file = File::open(path).map_err(|error| FileError::Io {
            path: path.to_owned(),
            error,
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            parser: Parser::new(Some(kind), keys),
            buffer: Vec::new(),
            from: 0,
            ended: false,
        })
    }

    fn batch(&mut self) -> Result<Vec<Request>, FileError> {
        let mut batch = Vec::with_capacity(BATCH);
        while batch.len() < BATCH && !self.ended {
            let mut input = self.buffer.get(self.from..).unwrap_or_default();
            let parsed = self
                .parser
                .next_row(&mut input)
                .map_err(|error| self.header(error))?;
            self.from = self.buffer.len() - input.len();
            match parsed {
                Some(parsed) => batch.push(self.row(parsed)?),
                None => {
                    if self.fill()? {
                        continue;
                    }
                    self.ended = true;
                    let last = self.parser.finish().map_err(|error| self.header(error))?;
                    if let Some(parsed) = last {
                        batch.push(self.row(parsed)?);
                    }
                }
            }
        }
        Ok(batch)
    }

    /// The next piece of the file; `false` at its end.
    fn fill(&mut self) -> Result<bool, FileError> {
        self.buffer.resize(64 << 10, 0);
        let read = self
            .file
            .read(&mut self.buffer)
            .map_err(|error| FileError::Io {
                path: self.path.clone(),
                error,
            })?;
        self.buffer.truncate(read);
        self.from = 0;
        Ok(read > 0)
    }

    fn row(&self, parsed: Parsed) -> Result<Request, FileError> {
        match parsed {
            Parsed::Row { request, .. } => Ok(request),
            Parsed::Refused(refused) => Err(FileError::Row {
                path: self.path.clone(),
                line: refused.line,
                why: refused.why,
            }),
        }
    }

    fn header(&self, error: HeaderError) -> FileError {
        FileError::Header {
            path: self.path.clone(),
            error,
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Vec<Request>, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.batch() {
            Ok(batch) if batch.is_empty() => None,
            Ok(batch) => Some(Ok(batch)),
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

/// The demo folder's `accounts.csv`, then its `cards.csv`, in batches of at most
/// 256 rows. In our own files a bad row is an error, not something to go past.
///
/// # Errors
/// A file can't be opened; each batch tells of its own errors.
pub fn load_demo(
    folder: &Path,
    keys: &Arc<PanKeys>,
) -> Result<impl Iterator<Item = Result<Vec<Request>, FileError>> + use<>, FileError> {
    let accounts = Rows::open(
        &folder.join("accounts.csv"),
        Kind::Accounts,
        Arc::clone(keys),
    )?;
    let cards = Rows::open(&folder.join("cards.csv"), Kind::Cards, Arc::clone(keys))?;
    Ok(accounts.chain(cards))
}
