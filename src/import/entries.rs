//! The batch's entries: bytes of a CSV file in, rows out.

use gapless_engine::command::PostEntry;
use gapless_engine::date::Date;
use sha2::{Digest, Sha256};

use super::lines::{Line, Lines, Splitter};
use super::parser::HeaderError;
use super::rows::{self, RowError};

/// The header that a file of entries must begin with.
pub const ENTRIES_HEADER: &str = "id,account,currency,amount_minor";

/// Longest id of an entry.
const MAX_ID_LEN: usize = 64;

/// A row of the file.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its line, from 1 (the header's).
    pub line: u64,
    /// Its id, as far as it may be shown: what reads like a card number is not.
    pub id: Option<String>,
    /// What to post, or why the row is refused.
    pub row: Result<PostEntry, RowError>,
}

/// Cuts lines and reads entries of one date. Holds at most one line.
pub struct EntryParser {
    lines: Lines,
    splitter: Splitter,
    date: Date,
}

impl EntryParser {
    /// For one file.
    #[must_use]
    pub fn new(date: Date) -> Self {
        Self {
            lines: Lines::new(),
            splitter: Splitter::new(),
            date,
        }
    }

    /// The next row; takes what it needs off `input`. `None` when the input is
    /// used up: give more, or [`EntryParser::finish`].
    ///
    /// # Errors
    /// The first line is not the header. There is no going on after that.
    pub fn next_row(&mut self, input: &mut &[u8]) -> Result<Option<Entry>, HeaderError> {
        while let Some(line) = self.lines.next(input) {
            if let Some(entry) = entry(&line, &mut self.splitter, self.date)? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// The last row, if the file does not end with a newline.
    ///
    /// # Errors
    /// The file has no header.
    pub fn finish(&mut self) -> Result<Option<Entry>, HeaderError> {
        let last = match self.lines.last() {
            Some(line) => entry(&line, &mut self.splitter, self.date)?,
            None => None,
        };
        if self.lines.count() == 0 {
            return Err(HeaderError(ENTRIES_HEADER.to_owned()));
        }
        Ok(last)
    }
}

/// Deals with a line: header, blank, or a row.
fn entry(
    line: &Line<'_>,
    splitter: &mut Splitter,
    date: Date,
) -> Result<Option<Entry>, HeaderError> {
    if line.number == 1 {
        return if line.is_header(ENTRIES_HEADER) {
            Ok(None)
        } else {
            Err(HeaderError(ENTRIES_HEADER.to_owned()))
        };
    }
    let (id, row) = match line.text {
        None => (None, Err(RowError::TooLong)),
        Some([]) => return Ok(None),
        Some(text) => match splitter.fields(text, ENTRIES_HEADER) {
            Ok(fields) => (shown(fields), post(fields, date)),
            Err(why) => (None, Err(why)),
        },
    };
    Ok(Some(Entry {
        line: line.number,
        id,
        row,
    }))
}

fn is_id(id: &[u8]) -> bool {
    (1..=MAX_ID_LEN).contains(&id.len()) && id.iter().all(|byte| (0x20..0x7f).contains(byte))
}

/// An id for a refusal. Columns may be mixed up, so that a PAN stands there.
fn shown([id, ..]: [&[u8]; 4]) -> Option<String> {
    let digits: Vec<u8> = id.iter().copied().filter(u8::is_ascii_digit).collect();
    let like_a_pan = (12..=19).contains(&digits.len()) && rows::luhn(&digits);
    (is_id(id) && !like_a_pan).then(|| String::from_utf8_lossy(id).into_owned())
}

fn post([id, account, currency, amount]: [&[u8]; 4], date: Date) -> Result<PostEntry, RowError> {
    if !is_id(id) {
        return Err(RowError::Id);
    }
    Ok(PostEntry {
        id: hash(id),
        account: rows::account_number(account)?,
        amount_minor: rows::amount("amount_minor", amount)?,
        currency: rows::currency_code(currency)?,
        date,
    })
}

/// What the engine knows an id by: the first half of its SHA-256, so that no two
/// ids meet, and the same id is the same after any restart.
fn hash(id: &[u8]) -> u128 {
    let digest = Sha256::digest(id);
    digest
        .iter()
        .take(16)
        .fold(0, |hash, byte| hash << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file gives, one line a row; fed in pieces of so many bytes.
    fn read(file: &str, piece: usize) -> Vec<String> {
        let mut parser = EntryParser::new(Date(20_000));
        let mut told = Vec::new();
        let mut tell = |entry: Entry| {
            let row = match entry.row {
                Ok(post) => format!("{} {} {:+}", post.account, post.currency, post.amount_minor),
                Err(why) => format!("! {why}"),
            };
            let id = entry.id.as_deref().unwrap_or("?");
            told.push(format!("{}: {id} {row}", entry.line));
        };
        for mut input in file.as_bytes().chunks(piece) {
            loop {
                match parser.next_row(&mut input) {
                    Ok(Some(entry)) => tell(entry),
                    Ok(None) => break,
                    Err(error) => return vec![error.to_string()],
                }
            }
        }
        match parser.finish() {
            Ok(last) => last.into_iter().for_each(tell),
            Err(error) => return vec![error.to_string()],
        }
        told
    }

    #[track_caller]
    fn check(row: &str, expected: &str) {
        for piece in [1, 9, 4096] {
            let file = format!("{ENTRIES_HEADER}\n{row}");
            assert_eq!(read(&file, piece), [expected], "{row}");
        }
    }

    #[test]
    #[rustfmt::skip] // one row a line
    fn rows_of_entries() {
        let long = "i".repeat(64);
        check("i-1,1000000001,KRW,1200", "2: i-1 1000000001 410 +1200");
        check("i-1,1000000001,KRW,-1200\r\n\n", "2: i-1 1000000001 410 -1200");
        check("\"a, \"\"b\"\"\",a,USD,999999999999", "2: a, \"b\" a 840 +999999999999");
        check(&format!("{long},a,KRW,1"), &format!("2: {long} a 410 +1"));
        check(&format!("{long}i,a,KRW,1"), "2: ? ! id: 1 to 64 printable ASCII characters expected");
        check(",a,KRW,1", "2: ? ! id: 1 to 64 printable ASCII characters expected");
        check("é,a,KRW,1", "2: ? ! id: 1 to 64 printable ASCII characters expected");
        check("i, a,KRW,1", "2: i ! account: 1 to 28 printable ASCII characters expected, no blanks around them");
        check("i,a,won,1", "2: i ! currency: an alphabetic code of ISO 4217 expected, as in KRW");
        check("i,a,KRW,1.5", "2: i ! amount_minor: an integer in minor units expected, at most 12 digits");
        check("i,a,KRW", "2: ? ! 4 columns expected, 3 found");
        check("9410000000000005,a,KRW,1", "2: ? a 410 +1");
        check("9410 0000 0000 0005,a,won,1", "2: ? ! currency: an alphabetic code of ISO 4217 expected, as in KRW");
        check(&"x".repeat(600), "2: ? ! the line has more than 512 bytes");
    }

    #[test]
    fn without_its_header_nothing_is_taken() {
        for file in ["", "i,a,KRW,1\n", "id,account,currency,amount\n"] {
            assert_eq!(
                read(file, 7),
                ["line 1: the header id,account,currency,amount_minor expected"]
            );
        }
    }

    /// The engine remembers ids by these hashes: they are part of the journal's format.
    #[test]
    fn the_hash_of_an_id_stays_what_it_is() {
        assert_eq!(hash(b"abc"), 0xba78_16bf_8f01_cfea_4141_40de_5dae_2223);
    }
}
