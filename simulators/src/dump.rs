//! Messages for people: one line for each element, with name and meaning.
//!
//! Masking fails closed (PCI DSS 3.4.1): see [`masked`].

use std::fmt::Write as _;

use crate::amounts;
use crate::codes;
use crate::currency::Currency;
use crate::fields::element;
use crate::message::{Message, masked};

/// A message in lines: its type, then element by element. Ends with a newline.
pub fn dump(message: &Message) -> String {
    let mut out = format!("{} {}\n", message.mti(), codes::message_type(message.mti()));
    for (de, value) in message.fields() {
        let name = element(de).map_or("unknown element", |row| row.name);
        let shown = masked(de, value);
        let _ = match meaning(message, de, value) {
            Some(meaning) => writeln!(
                out,
                "  {de:03}  {name:<28}  {}  ({meaning})",
                shown.trim_end()
            ),
            None => writeln!(out, "  {de:03}  {name:<28}  {}", shown.trim_end()),
        };
    }
    out
}

/// What a value means, where a table or a currency says more than the digits.
fn meaning(message: &Message, de: u8, value: &str) -> Option<String> {
    match de {
        3 => Some(codes::processing(value).to_owned()),
        4 => amount(message, 49, value),
        5 => amount(message, 50, value),
        6 => amount(message, 51, value),
        39 => Some(codes::response(value).to_owned()),
        49..=51 => Currency::parse(value)?.alphabetic.map(str::to_owned),
        54 => additional(value),
        70 => Some(codes::network(value).to_owned()),
        90 => original(value),
        _ => None,
    }
}

fn amount(message: &Message, currency_de: u8, value: &str) -> Option<String> {
    let minor: i64 = value.parse().ok()?;
    Some(Currency::parse(message.get(currency_de)?)?.show(minor))
}

fn additional(value: &str) -> Option<String> {
    let parts: Vec<String> = amounts::parse(value)?
        .iter()
        .map(|group| {
            let what = match group.amount_type.as_str() {
                amounts::LEDGER => "ledger",
                amounts::AVAILABLE => "available",
                amounts::CASHBACK => "cashback",
                _ => "amount",
            };
            match Currency::parse(&group.currency) {
                Some(currency) => format!("{what} {}", currency.show(group.minor)),
                None => format!("{what} {}", group.minor),
            }
        })
        .collect();
    Some(parts.join(", "))
}

fn original(value: &str) -> Option<String> {
    let part = |from, to| value.get(from..to);
    Some(format!(
        "{} STAN {} sent {}",
        part(0, 4)?,
        part(4, 10)?,
        part(10, 20)?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_reads_and_masks() {
        let mut message = Message::new("0210");
        for (de, value) in [
            (2, "9410000000000170"),
            (3, "310000"),
            (4, "12500"),
            (39, "51"),
            (41, "T1"),
            (49, "410"),
            (52, "0123456789abcdef"),
            (54, "0001410C0000000125000002410D000000000050"),
            (90, "020000000711221045120000000000000000000000"),
        ] {
            message.set(de, value).unwrap();
        }
        let expected = "\
0210 financial response
  002  Primary account number        941000******0170
  003  Processing code               310000  (balance inquiry)
  004  Amount, transaction           000000012500  (12,500 KRW)
  039  Response code                 51  (insufficient funds)
  041  Card acceptor terminal id     T1
  049  Currency, transaction         410  (KRW)
  052  PIN data                      [16 characters hidden]
  054  Additional amounts            0001410C0000000125000002410D000000000050  (ledger 12,500 KRW, available -50 KRW)
  090  Original data elements        020000000711221045120000000000000000000000  (0200 STAN 000007 sent 1122104512)
";
        assert_eq!(dump(&message), expected);
    }
}
