//! CSV lines: written, and read back as JSON.

use std::borrow::Cow;
use std::io::Write as _;

use super::table::{Table, is_number};

/// A CSV line that is being made.
#[derive(Debug)]
pub(super) struct Line<'b> {
    out: &'b mut Vec<u8>,
    begun: bool,
}

impl<'b> Line<'b> {
    pub fn new(out: &'b mut Vec<u8>) -> Self {
        Self { out, begun: false }
    }

    fn comma(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            self.out.push(b',');
        }
    }

    /// An integer, or anything else that needs no quotes.
    pub fn plain(&mut self, value: impl std::fmt::Display) -> &mut Self {
        self.comma();
        // Writing to memory does not fail.
        let _ = write!(self.out, "{value}");
        self
    }

    /// Text, quoted where it must be.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.comma();
        if value
            .bytes()
            .any(|b| matches!(b, b',' | b'"' | b'\r' | b'\n'))
        {
            self.out.push(b'"');
            self.out
                .extend_from_slice(value.replace('"', "\"\"").as_bytes());
            self.out.push(b'"');
        } else {
            self.out.extend_from_slice(value.as_bytes());
        }
        self
    }

    /// A value or, if there is none, an empty field.
    pub fn optional(&mut self, value: Option<u64>) -> &mut Self {
        match value {
            Some(value) => self.plain(value),
            None => self.text(""),
        }
    }
}

/// The next field of a line that [`Line`] wrote, and what is behind its comma.
fn field(line: &str) -> Option<(Cow<'_, str>, Option<&str>)> {
    let Some(quoted) = line.strip_prefix('"') else {
        return Some(match line.split_once(',') {
            Some((field, rest)) => (field.into(), Some(rest)),
            None => (line.into(), None),
        });
    };
    let mut from = 0;
    let end = loop {
        let at = from + quoted.get(from..)?.find('"')?;
        if quoted
            .get(at + 1..)
            .is_some_and(|rest| rest.starts_with('"'))
        {
            from = at + 2;
        } else {
            break at;
        }
    };
    let value = quoted.get(..end)?.replace("\"\"", "\"");
    let rest = quoted.get(end + 1..)?;
    match rest.strip_prefix(',') {
        Some(rest) => Some((value.into(), Some(rest))),
        None => rest.is_empty().then_some((value.into(), None)),
    }
}

/// A line of a table (without its end) as JSON, with its end. `None` for what
/// [`Line`] did not write.
pub(super) fn json(table: Table, line: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = Some(std::str::from_utf8(line).ok()?);
    let mut open = b'{';
    for column in table.header().split(',') {
        let (value, behind) = field(rest?)?;
        rest = behind;
        out.push(std::mem::replace(&mut open, b','));
        let _ = write!(out, "\"{column}\":");
        if is_number(column) && value.is_empty() {
            out.extend_from_slice(b"null");
        } else if is_number(column) {
            value.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
            out.extend_from_slice(value.as_bytes());
        } else {
            text(&value, out);
        }
    }
    out.extend_from_slice(b"}\n");
    rest.is_none().then_some(())
}

/// A JSON string. Account numbers are printable ASCII, so these two are all that
/// needs an escape.
fn text(value: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in value.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_again() {
        let mut csv = Vec::new();
        Line::new(&mut csv)
            .text("a \"b\", \\c")
            .text("KRW")
            .text("customer")
            .plain(-12)
            .plain(i64::MAX)
            .text("active");
        assert_eq!(
            String::from_utf8(csv.clone()).unwrap(),
            "\"a \"\"b\"\", \\c\",KRW,customer,-12,9223372036854775807,active"
        );
        let mut out = Vec::new();
        json(Table::Balances, &csv, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"account":"a \"b\", \\c","currency":"KRW","role":"customer","#,
                r#""closing_balance_minor":"-12","overdraft_minor":"9223372036854775807","status":"active"}"#,
                "\n"
            )
        );
        let mut out = Vec::new();
        let line = b"7,1,a,customer,KRW,5,2026-11-22,2026-11-22,0,purchase,";
        json(Table::Postings, line, &mut out).unwrap();
        let told = String::from_utf8(out).unwrap();
        assert!(
            told.starts_with(r#"{"sequence":7,"leg":1,"account":"a","#),
            "{told}"
        );
        assert!(told.ends_with("\"original_sequence\":null}\n"), "{told}");
    }

    #[test]
    fn what_is_no_line_of_the_table_is_none() {
        for line in [
            "",
            "a,KRW,customer,1,2",
            "a,KRW,customer,1,2,active,more",
            "\"a,KRW,customer,1,2,active",
            "\"a\"b,KRW,customer,1,2,active",
            "\"a\"\"",
        ] {
            let mut out = Vec::new();
            assert_eq!(
                json(Table::Balances, line.as_bytes(), &mut out),
                None,
                "{line}"
            );
        }
        let mut out = Vec::new();
        assert_eq!(
            json(Table::TrialBalance, b"2026-11-22,KRW,x,0,0,0", &mut out),
            None
        );
    }
}
