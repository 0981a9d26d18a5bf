//! A message as a terminal sees it: a type and values by element number.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fields::{FieldError, Secrecy, element};

/// An ISO 8583 message. Binary elements are held as hex digits, all others as
/// the text that stands on the wire.
///
/// `Debug` masks what [`dump`](crate::dump) masks.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    mti: String,
    fields: BTreeMap<u8, String>,
}

/// Why a message is not the answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTheAnswer {
    /// Another message type than the request asks for.
    #[error("message type {got}, not {expected}")]
    Mti {
        /// The type an answer would have.
        expected: String,
        /// The type it has.
        got: String,
    },
    /// An element that an answer returns unaltered is missing or different.
    #[error("DE {0} is not the request's")]
    Field(u8),
    /// Nothing but the STAN ties the two together, which is not enough.
    #[error("nothing but DE 11 ties it to the request")]
    StanAlone,
}

/// Elements that an answer returns unaltered, so that it can be matched
/// (FIELD.md, Matching; the network code for 08xx).
const MATCHED: [u8; 6] = [2, 7, 32, 37, 41, 70];

impl Message {
    /// An empty message of that type, four digits (`0200`).
    pub fn new(mti: &str) -> Message {
        Message {
            mti: mti.to_owned(),
            fields: BTreeMap::new(),
        }
    }

    /// The message type, four digits.
    pub fn mti(&self) -> &str {
        &self.mti
    }

    /// Changes the message type, and nothing else.
    pub fn set_mti(&mut self, mti: &str) {
        mti.clone_into(&mut self.mti);
    }

    /// The value of an element, if it is there.
    pub fn get(&self, de: u8) -> Option<&str> {
        self.fields.get(&de).map(String::as_str)
    }

    /// The elements present, in ascending order.
    pub fn fields(&self) -> impl Iterator<Item = (u8, &str)> {
        self.fields.iter().map(|(de, value)| (*de, value.as_str()))
    }

    /// Sets an element, filled to its fixed length.
    ///
    /// # Errors
    /// [`FieldError`] when the element cannot hold the value.
    pub fn set(&mut self, de: u8, value: &str) -> Result<&mut Message, FieldError> {
        let value = element(de)?.normalise(value)?;
        self.fields.insert(de, value);
        Ok(self)
    }

    /// Sets an element as it is, unchecked and unfilled: the way to build a
    /// message that is wrong on purpose.
    pub fn set_unchecked(&mut self, de: u8, value: &str) -> &mut Message {
        self.fields.insert(de, value.to_owned());
        self
    }

    /// Removes an element.
    pub fn unset(&mut self, de: u8) -> &mut Message {
        self.fields.remove(&de);
        self
    }

    /// The response code, DE 39.
    pub fn response_code(&self) -> Option<&str> {
        self.get(39)
    }

    /// The same message with the repeat digit set in its type (0200 → 0201).
    /// A repeat of a repeat is the same repeat.
    pub fn repeat(&self) -> Message {
        let mut again = self.clone();
        if let Some(last) = again.mti.pop() {
            again.mti.push(match last {
                '0' => '1',
                '2' => '3',
                '4' => '5',
                other => other,
            });
        }
        again
    }

    /// The type of the answer to this message (0200 and 0201 → 0210, 0420 → 0430).
    pub fn answer_mti(&self) -> String {
        let mut digits: Vec<char> = self.mti.chars().collect();
        if let Some(function) = digits.get_mut(2) {
            *function = match *function {
                '0' => '1',
                '2' => '3',
                other => other,
            };
        }
        if let Some(origin) = digits.get_mut(3) {
            *origin = match *origin {
                '1' => '0',
                '3' => '2',
                '5' => '4',
                other => other,
            };
        }
        digits.into_iter().collect()
    }

    /// Whether `answer` belongs to this request: the type must fit, DE 11 must
    /// be there and the same, and so must what both have of DE 2, 7, 32, 37, 41
    /// and 70, at least one of them besides DE 11. A format error (39 = 30) is
    /// excused from that last rule, for its sender could not read the rest.
    ///
    /// # Errors
    /// [`NotTheAnswer`] says what does not fit.
    pub fn is_answered_by(&self, answer: &Message) -> Result<(), NotTheAnswer> {
        let expected = self.answer_mti();
        if answer.mti != expected {
            return Err(NotTheAnswer::Mti {
                expected,
                got: answer.mti.clone(),
            });
        }
        if self.get(11) != answer.get(11) {
            return Err(NotTheAnswer::Field(11));
        }
        let mut ties = 0;
        for de in MATCHED {
            match (self.get(de), answer.get(de)) {
                (Some(sent), Some(got)) if sent != got => return Err(NotTheAnswer::Field(de)),
                (Some(_), Some(_)) => ties += 1,
                _ => {}
            }
        }
        if ties == 0 && answer.response_code() != Some("30") {
            return Err(NotTheAnswer::StanAlone);
        }
        Ok(())
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.mti)?;
        for (de, value) in self.fields() {
            write!(f, " {de}={}", masked(de, value))?;
        }
        Ok(())
    }
}

/// A value as it may be shown. What the table does not know is hidden.
pub fn masked(de: u8, value: &str) -> String {
    match element(de).map(|row| row.secrecy) {
        Ok(Secrecy::Open) => value.to_owned(),
        Ok(Secrecy::Pan) => mask_pan(value),
        Ok(Secrecy::Hidden) | Err(_) => format!("[{} characters hidden]", value.len()),
    }
}

/// A PAN as it may be shown: first six and last four digits (PCI DSS 3.4.1).
/// What does not look like a PAN is masked whole.
pub fn mask_pan(pan: &str) -> String {
    let is_pan = (12..=19).contains(&pan.len()) && pan.bytes().all(|b| b.is_ascii_digit());
    match (
        pan.get(..6),
        pan.len().checked_sub(4).and_then(|at| pan.get(at..)),
    ) {
        (Some(head), Some(tail)) if is_pan => {
            format!("{head}{}{tail}", "*".repeat(pan.len().saturating_sub(10)))
        }
        _ => "*".repeat(pan.chars().count()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(mti: &str, fields: &[(u8, &str)]) -> Message {
        let mut message = Message::new(mti);
        for (de, value) in fields {
            message.set(*de, value).unwrap();
        }
        message
    }

    #[test]
    fn types_of_repeats_and_answers() {
        let table = [
            ("0200", "0201", "0210"),
            ("0201", "0201", "0210"),
            ("0220", "0221", "0230"),
            ("0400", "0401", "0410"),
            ("0420", "0421", "0430"),
            ("0421", "0421", "0430"),
            ("0102", "0103", "0112"),
            ("0800", "0801", "0810"),
            ("0820", "0821", "0830"),
        ];
        for (mti, repeat, answer) in table {
            assert_eq!(Message::new(mti).repeat().mti(), repeat);
            assert_eq!(Message::new(mti).answer_mti(), answer);
        }
    }

    #[test]
    fn an_answer_is_matched_on_more_than_its_stan() {
        let request = message(
            "0200",
            &[(2, "9410000000000170"), (11, "7"), (37, "R7"), (41, "T1")],
        );
        let pan = (2, "9410000000000170");
        type Row<'a> = (&'a str, &'a [(u8, &'a str)], Result<(), NotTheAnswer>);
        let table: &[Row] = &[
            ("0210", &[pan, (11, "7"), (37, "R7"), (41, "T1")], Ok(())),
            ("0210", &[(11, "7"), (41, "T1"), (39, "00")], Ok(())),
            (
                "0210",
                &[(11, "7"), (39, "00")],
                Err(NotTheAnswer::StanAlone),
            ),
            ("0210", &[(11, "7"), (39, "30")], Ok(())),
            (
                "0210",
                &[(11, "8"), (37, "R7"), (41, "T1")],
                Err(NotTheAnswer::Field(11)),
            ),
            (
                "0210",
                &[(37, "R7"), (41, "T1")],
                Err(NotTheAnswer::Field(11)),
            ),
            (
                "0210",
                &[(11, "7"), (37, "R8"), (41, "T1")],
                Err(NotTheAnswer::Field(37)),
            ),
            (
                "0210",
                &[(11, "7"), (37, "R7"), (41, "T2")],
                Err(NotTheAnswer::Field(41)),
            ),
            (
                "0410",
                &[(11, "7"), (37, "R7")],
                Err(NotTheAnswer::Mti {
                    expected: "0210".into(),
                    got: "0410".into(),
                }),
            ),
        ];
        for (mti, fields, expected) in table {
            assert_eq!(
                &request.is_answered_by(&message(mti, fields)),
                expected,
                "{fields:?}"
            );
        }
    }

    #[test]
    fn secrets_are_masked_and_doubt_is_masked_whole() {
        let table = [
            (2, "9410000000000170", "941000******0170"),
            (2, "123456789012", "123456**9012"),
            (2, "12345678901", "***********"),
            (2, "94100000000x0170", "****************"),
            (35, "9410000000000170=3012", "[21 characters hidden]"),
            (52, "0123456789abcdef", "[16 characters hidden]"),
            (48, "9410000000000170", "[16 characters hidden]"),
            (200, "9410000000000170", "[16 characters hidden]"),
            (4, "000000012500", "000000012500"),
        ];
        for (de, value, shown) in table {
            assert_eq!(masked(de, value), shown, "DE {de}");
        }
    }

    #[test]
    fn debug_output_shows_no_pan() {
        let shown = format!(
            "{:?}",
            message("0200", &[(2, "9410000000000170"), (4, "1")])
        );
        assert_eq!(shown, "0200 2=941000******0170 4=000000000001");
    }
}
