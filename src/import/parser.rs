//! Bytes of a CSV file in, rows out.

use std::sync::Arc;

use csv_core::{ReadRecordResult, Reader};
use gapless_engine::command::Request;

use super::rows::{self, RowError};
use crate::adapter::PanKeys;

/// Most bytes of one line; a right one has at most 70 or so.
pub const MAX_LINE_BYTES: usize = 512;

/// One more than the widest file has, so that one too many is seen.
const MAX_COLUMNS: usize = 6;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line 1: the header {} expected", expected(*.0))]
pub struct HeaderError(pub Option<Kind>);

fn expected(kind: Option<Kind>) -> String {
    match kind {
        Some(kind) => kind.header().to_owned(),
        None => format!("{} or {}", Kind::Accounts.header(), Kind::Cards.header()),
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
    /// What the file must hold; `None` leaves it to the header.
    asked: Option<Kind>,
    /// What it holds, known from the header on.
    kind: Kind,
    keys: Arc<PanKeys>,
    reader: Reader,
    /// The part of a line that has come so far.
    carry: Vec<u8>,
    /// The line had more than the limit; the rest of it is dropped.
    overlong: bool,
    lines: u64,
}

impl Parser {
    /// For one file, of a kind or of whichever its header says.
    #[must_use]
    pub fn new(asked: Option<Kind>, keys: Arc<PanKeys>) -> Self {
        Self {
            asked,
            kind: asked.unwrap_or(Kind::Accounts),
            keys,
            reader: Reader::new(),
            carry: Vec::with_capacity(MAX_LINE_BYTES),
            overlong: false,
            lines: 0,
        }
    }

    /// The next row; takes what it needs off `input`. `None` when the input is
    /// used up: give more, or [`Parser::finish`].
    ///
    /// # Errors
    /// The first line is not the header. There is no going on after that.
    pub fn next_row(&mut self, input: &mut &[u8]) -> Result<Option<Parsed>, HeaderError> {
        while let Some(end) = input.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = input.split_at(end);
            self.keep(line);
            *input = rest.strip_prefix(b"\n").unwrap_or(rest);
            if let Some(parsed) = self.line()? {
                return Ok(Some(parsed));
            }
        }
        let rest = std::mem::take(input);
        self.keep(rest);
        Ok(None)
    }

    /// The last row, if the file does not end with a newline.
    ///
    /// # Errors
    /// The file has no header.
    pub fn finish(&mut self) -> Result<Option<Parsed>, HeaderError> {
        let last = if self.carry.is_empty() && !self.overlong {
            None
        } else {
            self.line()?
        };
        if self.lines == 0 {
            return Err(HeaderError(self.asked));
        }
        Ok(last)
    }

    fn keep(&mut self, part: &[u8]) {
        if self.carry.len() + part.len() > MAX_LINE_BYTES {
            self.overlong = true;
        } else {
            self.carry.extend_from_slice(part);
        }
    }

    /// Deals with the line that has come: header, blank, or a row.
    fn line(&mut self) -> Result<Option<Parsed>, HeaderError> {
        self.lines += 1;
        let overlong = std::mem::take(&mut self.overlong);
        let carry = std::mem::take(&mut self.carry);
        let text = carry.strip_suffix(b"\r").unwrap_or(&carry);
        let result = if self.lines == 1 {
            // Spreadsheets write a byte order mark.
            let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
            let found = [Kind::Accounts, Kind::Cards]
                .into_iter()
                .filter(|kind| self.asked.is_none_or(|asked| asked == *kind))
                .find(|kind| !overlong && text == kind.header().as_bytes());
            match found {
                Some(kind) => {
                    self.kind = kind;
                    Ok(None)
                }
                None => Err(HeaderError(self.asked)),
            }
        } else if overlong {
            Ok(Some(self.parsed(Err(RowError::TooLong))))
        } else if text.is_empty() {
            Ok(None)
        } else {
            let row = self.row(text);
            Ok(Some(self.parsed(row)))
        };
        self.carry = carry;
        self.carry.clear();
        result
    }

    const fn parsed(&self, row: Result<Request, RowError>) -> Parsed {
        let line = self.lines;
        match row {
            Ok(request) => Parsed::Row { line, request },
            Err(why) => Parsed::Refused(Refused { line, why }),
        }
    }

    /// Each line is read on its own, so that a stray quote harms no other.
    fn row(&mut self, text: &[u8]) -> Result<Request, RowError> {
        let mut output = [0u8; MAX_LINE_BYTES];
        let mut ends = [0usize; MAX_COLUMNS];
        self.reader.reset();
        let (mut read, mut written, mut columns) = (0, 0, 0);
        // Once for the line, once for its end.
        for input in [text, b"\n"] {
            let output = output.get_mut(written..).unwrap_or_default();
            let ends = ends.get_mut(columns..).unwrap_or_default();
            let (result, _, nout, nend) = self.reader.read_record(input, output, ends);
            written += nout;
            columns += nend;
            read += 1;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record if read == 2 => break,
                ReadRecordResult::OutputEndsFull => return Err(self.columns(columns)),
                ReadRecordResult::Record | ReadRecordResult::End | ReadRecordResult::OutputFull => {
                    return Err(RowError::Quote);
                }
            }
            if read == 2 {
                return Err(RowError::Quote);
            }
        }
        let mut start = 0;
        let mut fields = [&[][..]; MAX_COLUMNS];
        for (field, end) in fields.iter_mut().zip(ends).take(columns) {
            *field = output.get(start..end).unwrap_or_default();
            start = end;
        }
        match (self.kind, fields.get(..columns).unwrap_or_default()) {
            (Kind::Accounts, &[a, b, c, d, e]) => rows::account([a, b, c, d, e]),
            (Kind::Cards, &[a, b, c, d]) => rows::card([a, b, c, d], &self.keys),
            (_, fields) => Err(self.columns(fields.len())),
        }
    }

    fn columns(&self, found: usize) -> RowError {
        RowError::Columns {
            expected: self.kind.header().split(',').count(),
            found,
        }
    }
}
