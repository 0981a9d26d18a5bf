//! Cards from a file as the daemon imports it: `pan,expiry,account,status`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, bail, ensure};

use crate::cards::{List, ListedCard, Short};

const HEADER: &str = "pan,expiry,account,status";

/// Reads the active cards.
///
/// # Errors
/// The file cannot be read, or has another header or a wrong line: file and line,
/// and never what stands there.
pub fn read(path: &Path) -> anyhow::Result<List> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    parse(&path.display().to_string(), BufReader::new(file))
}

fn parse(name: &str, mut lines: impl BufRead) -> anyhow::Result<List> {
    let mut list = List::default();
    let mut known: HashMap<Vec<u8>, u32> = HashMap::new();
    let mut line = Vec::new();
    for number in 1u32.. {
        line.clear();
        let bytes = lines
            .read_until(b'\n', &mut line)
            .with_context(|| name.to_owned())?;
        if bytes == 0 {
            ensure!(number > 1, "{name}:1: the header {HEADER} expected");
            break;
        }
        let text = line.trim_ascii();
        if number == 1 {
            let header = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
            ensure!(
                header == HEADER.as_bytes(),
                "{name}:1: the header {HEADER} expected"
            );
            continue;
        }
        if text.is_empty() {
            continue;
        }
        let mut cells = text.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let (Some(pan), Some(expiry), Some(account), Some(status), None) = (
            cells.next(),
            cells.next(),
            cells.next(),
            cells.next(),
            cells.next(),
        ) else {
            bail!("{name}:{number}: four cells expected: {HEADER}");
        };
        ensure!(
            (12..=19).contains(&pan.len()) && pan.iter().all(u8::is_ascii_digit),
            "{name}:{number}: pan: 12 to 19 digits expected"
        );
        let expiry: [u8; 4] = expiry
            .try_into()
            .ok()
            .filter(|expiry: &[u8; 4]| expiry.iter().all(u8::is_ascii_digit))
            .with_context(|| format!("{name}:{number}: expiry: YYMM expected"))?;
        ensure!(
            (1..=28).contains(&account.len()),
            "{name}:{number}: account: 1 to 28 characters expected"
        );
        if status != b"active" {
            continue;
        }
        let next = u32::try_from(list.accounts.len()).context("too many accounts")?;
        let index = *known.entry(account.to_vec()).or_insert(next);
        if index == next {
            list.accounts.push(Short::new(account));
        }
        list.cards.push(ListedCard {
            pan: Short::new(pan),
            expiry,
            account: index,
        });
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::Cards;

    fn of(text: &str) -> anyhow::Result<List> {
        parse("c.csv", text.as_bytes())
    }

    #[test]
    fn active_cards_with_their_accounts() {
        let list = of("pan,expiry,account,status\r\n\
             9410000000000005,3012,A-1,active\n\
             9410000000000013,3011,A-2,lost\n\n\
             9410000000000021,2909,A-3,active\n\
             9410000000000039,2909,A-1,active\n")
        .unwrap();
        let cards = Cards::List(list);
        assert_eq!((cards.count(), cards.accounts()), (3, 2));
        assert_eq!(cards.pan(1).bytes(), b"9410000000000021");
        assert_eq!(&cards.expiry(1), b"2909");
        let accounts = [0, 1, 2].map(|card| cards.account_name(cards.account_of(card)).to_string());
        assert_eq!(accounts, ["A-1", "A-3", "A-1"]);
        // Not even by accident.
        assert!(!format!("{cards:?}").contains("9410000000000021"));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_card() {
        for (text, why) in [
            ("", "c.csv:1: the header pan,expiry,account,status expected"),
            (
                "pan\n",
                "c.csv:1: the header pan,expiry,account,status expected",
            ),
            (
                "pan,expiry,account,status\n94100000x0000005,3012,A,active\n",
                "c.csv:2: pan: 12 to 19 digits expected",
            ),
            (
                "pan,expiry,account,status\n9410000000000005,12/30,A,active\n",
                "c.csv:2: expiry: YYMM expected",
            ),
            (
                "pan,expiry,account,status\n9410000000000005,3012,A\n",
                "c.csv:2: four cells expected: pan,expiry,account,status",
            ),
        ] {
            assert_eq!(of(text).unwrap_err().to_string(), why);
        }
    }
}
