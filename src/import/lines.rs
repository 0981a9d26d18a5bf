//! Bytes of a CSV file in, lines and their fields out.

use csv_core::{ReadRecordResult, Reader};

use super::rows::RowError;

/// Most bytes of one line; a right one has at most 120 or so.
pub const MAX_LINE_BYTES: usize = 512;

/// One more than the widest file has, so that one too many is seen.
const MAX_COLUMNS: usize = 6;

/// Cuts lines. Holds at most one.
#[derive(Debug)]
pub(super) struct Lines {
    /// The part of a line that has come so far.
    carry: Vec<u8>,
    /// The line had more than the limit; the rest of it is dropped.
    overlong: bool,
    /// The line in `carry` has been handed out.
    given: bool,
    lines: u64,
}

/// A line without its end.
#[derive(Debug)]
pub(super) struct Line<'l> {
    /// From 1.
    pub number: u64,
    /// `None` for one above the limit.
    pub text: Option<&'l [u8]>,
}

impl Lines {
    pub fn new() -> Self {
        Self {
            carry: Vec::with_capacity(MAX_LINE_BYTES),
            overlong: false,
            given: false,
            lines: 0,
        }
    }

    /// The next line; takes what it needs off `input`. `None` when the input is
    /// used up: give more, or [`Lines::last`].
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Line<'_>> {
        self.forget_given();
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            let rest = std::mem::take(input);
            self.keep(rest);
            return None;
        };
        let (line, rest) = input.split_at(end);
        self.keep(line);
        *input = rest.strip_prefix(b"\n").unwrap_or(rest);
        Some(self.give())
    }

    /// The last line, if the file does not end with a newline.
    pub fn last(&mut self) -> Option<Line<'_>> {
        self.forget_given();
        if self.carry.is_empty() && !self.overlong {
            return None;
        }
        Some(self.give())
    }

    /// Lines so far.
    pub const fn count(&self) -> u64 {
        self.lines
    }

    fn forget_given(&mut self) {
        if std::mem::take(&mut self.given) {
            self.carry.clear();
            self.overlong = false;
        }
    }

    fn keep(&mut self, part: &[u8]) {
        if self.carry.len() + part.len() > MAX_LINE_BYTES {
            self.overlong = true;
        } else {
            self.carry.extend_from_slice(part);
        }
    }

    fn give(&mut self) -> Line<'_> {
        self.given = true;
        self.lines += 1;
        let text = self.carry.strip_suffix(b"\r").unwrap_or(&self.carry);
        Line {
            number: self.lines,
            text: (!self.overlong).then_some(text),
        }
    }
}

impl Line<'_> {
    /// Whether it is this header. Spreadsheets write a byte order mark before it.
    pub fn is_header(&self, header: &str) -> bool {
        self.text.is_some_and(|text| {
            text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text) == header.as_bytes()
        })
    }
}

/// Cuts a line into fields.
pub(super) struct Splitter {
    reader: Reader,
    output: [u8; MAX_LINE_BYTES],
    ends: [usize; MAX_COLUMNS],
}

impl Splitter {
    pub fn new() -> Self {
        Self {
            reader: Reader::new(),
            output: [0; MAX_LINE_BYTES],
            ends: [0; MAX_COLUMNS],
        }
    }

    /// The fields of a line, as many as the header has. Each line is read on its
    /// own, so that a stray quote harms no other.
    pub fn fields<const N: usize>(
        &mut self,
        text: &[u8],
        header: &'static str,
    ) -> Result<[&[u8]; N], RowError> {
        let wrong = |found| RowError::Columns {
            expected: header.split(',').count(),
            found,
        };
        self.reader.reset();
        let (mut read, mut written, mut columns) = (0, 0, 0);
        // Once for the line, once for its end.
        for input in [text, b"\n"] {
            let output = self.output.get_mut(written..).unwrap_or_default();
            let ends = self.ends.get_mut(columns..).unwrap_or_default();
            let (result, _, nout, nend) = self.reader.read_record(input, output, ends);
            written += nout;
            columns += nend;
            read += 1;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record if read == 2 => break,
                ReadRecordResult::OutputEndsFull => return Err(wrong(columns)),
                ReadRecordResult::Record | ReadRecordResult::End | ReadRecordResult::OutputFull => {
                    return Err(RowError::Quote);
                }
            }
            if read == 2 {
                return Err(RowError::Quote);
            }
        }
        if columns != N {
            return Err(wrong(columns));
        }
        let mut start = 0;
        let mut fields = [&[][..]; N];
        for (field, end) in fields.iter_mut().zip(self.ends) {
            *field = self.output.get(start..end).unwrap_or_default();
            start = end;
        }
        Ok(fields)
    }
}
