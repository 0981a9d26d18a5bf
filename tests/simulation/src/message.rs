//! Messages as peers have them, and their frames.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use gapless_iso8583::{Cut, Dialect, Framing, LengthForm, Message, Mti, Scratch, Side};

/// A message: its type as a number (200 is 0200), and its fields as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Msg {
    /// 200 for 0200.
    pub mti: u16,
    /// By number.
    pub fields: BTreeMap<u8, String>,
}

impl Msg {
    /// Without fields.
    #[must_use]
    pub fn new(mti: u16) -> Self {
        Self {
            mti,
            fields: BTreeMap::new(),
        }
    }

    /// With a field more.
    #[must_use]
    pub fn with(mut self, field: u8, value: impl Into<String>) -> Self {
        self.fields.insert(field, value.into());
        self
    }

    /// Without a field.
    #[must_use]
    pub fn without(mut self, field: u8) -> Self {
        self.fields.remove(&field);
        self
    }

    /// A field, empty when absent.
    #[must_use]
    pub fn get(&self, field: u8) -> &str {
        self.fields.get(&field).map_or("", String::as_str)
    }

    /// A field as a number; `None` when absent.
    #[must_use]
    pub fn number(&self, field: u8) -> Option<u64> {
        self.fields.get(&field)?.parse().ok()
    }

    /// Its type without the repeat digit.
    #[must_use]
    pub const fn kind(&self) -> u16 {
        self.mti / 10 * 10
    }
}

impl fmt::Display for Msg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}", self.mti)?;
        for (field, value) in &self.fields {
            write!(f, " {field}={value}")?;
        }
        Ok(())
    }
}

/// How a link writes messages.
#[derive(Clone, Debug)]
pub struct Form {
    /// Its dialect.
    pub dialect: Arc<Dialect>,
    /// Its framing.
    pub framing: Framing,
}

const TPDU: [u8; 5] = [0x60, 0, 1, 0, 2];

impl Form {
    /// One of the built-in dialects of 1987.
    #[must_use]
    pub fn builtin(which: u64) -> Self {
        let (name, length, tpdu) = match which % 4 {
            0 => ("iso87-ascii", LengthForm::Binary2, false),
            1 => ("iso87-bcd", LengthForm::Binary2, true),
            2 => ("iso87-ascii-hex", LengthForm::Ascii4, false),
            _ => ("iso87-ebcdic", LengthForm::Bcd2, false),
        };
        Self {
            dialect: Dialect::builtin(name).unwrap(),
            framing: Framing {
                tpdu,
                ..Framing::new(length)
            },
        }
    }

    /// Appends the message in its frame.
    pub fn write(&self, message: &Msg, out: &mut Vec<u8>) {
        let mark = self.framing.begin(out, self.framing.tpdu.then_some(TPDU));
        let digits: [u8; 4] = format!("{:04}", message.mti)
            .into_bytes()
            .try_into()
            .unwrap();
        let mti = Mti::from_ascii(digits).unwrap();
        let mut builder = self.dialect.builder(out, mti);
        for (field, value) in &message.fields {
            match (field, value.split_at_checked(1)) {
                (&NET, Some((side, amount))) => {
                    let side = if side == "C" {
                        Side::Credit
                    } else {
                        Side::Debit
                    };
                    builder.signed(NET, side, amount.parse().unwrap());
                }
                _ => {
                    builder.text(*field, value.as_bytes());
                }
            }
        }
        builder.finish().unwrap();
        drop(builder);
        self.framing.end(out, mark).unwrap();
    }

    /// Takes whole frames off the front of `bytes`.
    pub fn read(&self, bytes: &mut Vec<u8>) -> Result<Vec<Msg>, String> {
        let mut messages = Vec::new();
        let mut from = 0;
        loop {
            match self
                .framing
                .cut(&bytes[from..])
                .map_err(|e| e.to_string())?
            {
                Cut::Frame { body, consumed, .. } => {
                    let body = &bytes[from..][body];
                    let message = self
                        .dialect
                        .decode(body)
                        .map_err(|failure| failure.error.to_string())?;
                    messages.push(texts(&message)?);
                    from += consumed;
                }
                Cut::KeepAlive { consumed } => from += consumed,
                Cut::NeedMore { .. } => break,
            }
        }
        bytes.drain(..from);
        Ok(messages)
    }
}

/// DE 97: C or D, and sixteen digits.
const NET: u8 = 97;

fn texts(message: &Message<'_>) -> Result<Msg, String> {
    let digits = message.mti().ascii();
    let mti = std::str::from_utf8(&digits).unwrap().parse().unwrap();
    let mut out = Msg::new(mti);
    let mut scratch = Scratch::new();
    for field in message.fields() {
        if field == NET {
            let signed = message.signed(field).map_err(|e| e.to_string())?;
            let (side, amount) = signed.unwrap_or((Side::Credit, 0));
            let side = if side == Side::Credit { 'C' } else { 'D' };
            out.fields.insert(field, format!("{side}{amount:016}"));
            continue;
        }
        let text = message
            .text(field, &mut scratch)
            .map_err(|e| e.to_string())?
            .unwrap_or_default();
        let text = String::from_utf8_lossy(text).trim_end().to_owned();
        out.fields.insert(field, text);
    }
    Ok(out)
}
