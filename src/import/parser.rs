//! Bytes of an accounts or cards file in, rows out.

use std::sync::Arc;

use gapless_engine::command::Request;

use super::lines::{Line, Lines, Splitter};
use super::rows::{self, RowError};
use crate::adapter::PanKeys;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `account,currency,balance_minor,overdraft_minor,status`
    Accounts,
    /// `pan,expiry,account,status`
    Cards,
}

impl Kind {
    /// The header that the file must begin with.
    #[must_use]
    pub const fn header(self) -> &'static str {
        match self {
            Self::Accounts => "account,currency,balance_minor,overdraft_minor,status",
            Self::Cards => "pan,expiry,account,status",
        }
    }
}

/// The file does not begin with its header: nothing of it is taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line 1: the header {0} expected")]
pub struct HeaderError(pub(super) String);

impl HeaderError {
    fn of(kind: Option<Kind>) -> Self {
        Self(match kind {
            Some(kind) => kind.header().to_owned(),
            None => format!("{} or {}", Kind::Accounts.header(), Kind::Cards.header()),
        })
    }
}

/// A row that is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its line, from 1 (the header's).
    pub line: u64,
    /// Why.
    pub why: RowError,
}

/// A row of the file.
#[derive(Clone, Copy, Debug)]
pub enum Parsed {
    /// To be put.
    Row {
        /// Its line, from 1 (the header's).
        line: u64,
        /// What to put.
        request: Request,
    },
    /// Refused; the file goes on.
    Refused(Refused),
}

/// Cuts lines and reads rows. Holds at most one line.
pub struct Parser {
    lines: Lines,
    rows: Rows,
}

struct Rows {
    /// What the file must hold; `None` leaves it to the header.
    asked: Option<Kind>,
    /// What it holds, known from the header on.
    kind: Kind,
    keys: Arc<PanKeys>,
    splitter: Splitter,
}

impl Parser {
    /// For one file, of a kind or of whichever its header says.
    #[must_use]
    pub fn new(asked: Option<Kind>, keys: Arc<PanKeys>) -> Self {
        Self {
            lines: Lines::new(),
            rows: Rows {
                asked,
                kind: asked.unwrap_or(Kind::Accounts),
                keys,
                splitter: Splitter::new(),
            },
        }
    }

    /// The next row; takes what it needs off `input`. `None` when the input is
    /// used up: give more, or [`Parser::finish`].
    ///
    /// # Errors
    /// The first line is not the header. There is no going on after that.
    pub fn next_row(&mut self, input: &mut &[u8]) -> Result<Option<Parsed>, HeaderError> {
        while let Some(line) = self.lines.next(input) {
            if let Some(parsed) = self.rows.line(&line)? {
                return Ok(Some(parsed));
            }
        }
        Ok(None)
    }

    /// The last row, if the file does not end with a newline.
    ///
    /// # Errors
    /// The file has no header.
    pub fn finish(&mut self) -> Result<Option<Parsed>, HeaderError> {
        let last = match self.lines.last() {
            Some(line) => self.rows.line(&line)?,
            None => None,
        };
        if self.lines.count() == 0 {
            return Err(HeaderError::of(self.rows.asked));
        }
        Ok(last)
    }
}

impl Rows {
    /// Deals with a line: header, blank, or a row.
    fn line(&mut self, line: &Line<'_>) -> Result<Option<Parsed>, HeaderError> {
        if line.number == 1 {
            let found = [Kind::Accounts, Kind::Cards]
                .into_iter()
                .filter(|kind| self.asked.is_none_or(|asked| asked == *kind))
                .find(|kind| line.is_header(kind.header()));
            self.kind = found.ok_or_else(|| HeaderError::of(self.asked))?;
            return Ok(None);
        }
        let row = match line.text {
            None => Err(RowError::TooLong),
            Some([]) => return Ok(None),
            Some(text) => self.row(text),
        };
        let line = line.number;
        Ok(Some(match row {
            Ok(request) => Parsed::Row { line, request },
            Err(why) => Parsed::Refused(Refused { line, why }),
        }))
    }

    fn row(&mut self, text: &[u8]) -> Result<Request, RowError> {
        let header = self.kind.header();
        match self.kind {
            Kind::Accounts => rows::account(self.splitter.fields(text, header)?),
            Kind::Cards => rows::card(self.splitter.fields(text, header)?, &self.keys),
        }
    }
}
