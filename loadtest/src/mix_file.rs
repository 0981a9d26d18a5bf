//! A mix as a file: shares by type, and amounts.
//!
//! ```toml
//! [mix]
//! purchase = 70
//! balance = 20
//! transfer = 10
//!
//! [amount]
//! least_minor = 100
//! most_minor = 50_000
//! ```

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::mix::{self, Kind, MAX_SHARE, Mix};
use crate::plan::Amounts;

/// DE 4 has twelve digits.
const MOST_MINOR: u64 = 999_999_999_999;

/// Reads it.
///
/// # Errors
/// In one line: file, line, what is wrong, what is allowed.
pub fn read(path: &Path) -> anyhow::Result<(Mix, Amounts)> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(&path.display().to_string(), &text)
}

/// As [`read`], from the file's text.
pub(crate) fn parse(file: &str, text: &str) -> anyhow::Result<(Mix, Amounts)> {
    let at = |start: usize, what: String| {
        let before = text.get(..start).unwrap_or(text);
        anyhow!("{file}:{}: {what}", before.matches('\n').count() + 1)
    };
    let root = DeTable::parse(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let what = error.message().split_whitespace().collect::<Vec<_>>();
        at(start, what.join(" "))
    })?;
    let (mut mix, mut amount) = (None, None);
    for (key, value) in root.get_ref() {
        let DeValue::Table(table) = value.get_ref() else {
            return Err(at(key.span().start, ALLOWED_TABLES.to_owned()));
        };
        match key.get_ref().as_ref() {
            "mix" => {
                let shares = shares(table).map_err(|(start, what)| at(start, what))?;
                let whole = Mix::of(shares);
                mix = Some(whole.map_err(|error| at(key.span().start, error.to_string()))?);
            }
            "amount" => {
                amount = Some(amounts(table).map_err(|(start, what)| at(start, what))?);
            }
            _ => return Err(at(key.span().start, ALLOWED_TABLES.to_owned())),
        }
    }
    let Some(mix) = mix else {
        bail!("{file}: no [mix] with shares by type");
    };
    Ok((mix, amount.unwrap_or(Amounts::always(100))))
}

const ALLOWED_TABLES: &str = "only [mix] and [amount] are allowed here";

/// A place in the file, and what is wrong there.
type Fault = (usize, String);

fn shares(table: &DeTable<'_>) -> Result<Vec<(Kind, u32)>, Fault> {
    let mut shares = Vec::new();
    for (name, share) in table {
        let kind = mix::kind(name.get_ref()).map_err(|what| (name.span().start, what))?;
        let number = number(share).and_then(|share| u32::try_from(share).ok());
        let number = number.filter(|share| *share <= MAX_SHARE).ok_or_else(|| {
            let what = format!("{}: a share is 0 to {MAX_SHARE}", kind.name());
            (share.span().start, what)
        })?;
        shares.push((kind, number));
    }
    // By the file's order, not by name, so that it reads the same in the report.
    shares.sort_by_key(|(kind, _)| Kind::ALL.iter().position(|known| known == kind));
    Ok(shares)
}

fn amounts(table: &DeTable<'_>) -> Result<Amounts, Fault> {
    let mut amounts = Amounts::always(100);
    let mut most = None;
    let mut last = 0;
    for (name, value) in table {
        last = last.max(name.span().start);
        let minor = number(value)
            .filter(|minor| *minor <= MOST_MINOR)
            .ok_or_else(|| {
                let what = format!("{}: an amount is 0 to {MOST_MINOR}", name.get_ref());
                (value.span().start, what)
            })?;
        match name.get_ref().as_ref() {
            "least_minor" => amounts.least_minor = minor,
            "most_minor" => most = Some(minor),
            other => {
                let what = format!("{other:?}: only least_minor and most_minor are allowed here");
                return Err((name.span().start, what));
            }
        }
    }
    amounts.most_minor = most.unwrap_or(amounts.least_minor);
    if amounts.most_minor < amounts.least_minor {
        return Err((last, "most_minor is below least_minor".to_owned()));
    }
    Ok(amounts)
}

fn number(value: &Spanned<DeValue<'_>>) -> Option<u64> {
    match value.get_ref() {
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_shares_and_amounts() {
        let text =
            "[mix]\ntransfer = 1\npurchase = 3\n\n[amount]\nleast_minor = 1_00\nmost_minor = 500\n";
        let (mix, amounts) = parse("m.toml", text).unwrap();
        assert_eq!(mix.to_string(), "purchase=3,transfer=1");
        assert_eq!((amounts.least_minor, amounts.most_minor), (100, 500));
        let (_, amounts) = parse("m.toml", "[mix]\ncash = 1\n").unwrap();
        assert_eq!(amounts, Amounts::always(100));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, why) in [
            (
                "[mix]\npurchase = 1\n\nbuy = 2\n",
                "m.toml:4: \"buy\" is no type; known are purchase, cash, refund, balance, transfer, advice, reversal, repeat",
            ),
            (
                "[mix]\ncash = -1\n",
                "m.toml:2: cash: a share is 0 to 1000000",
            ),
            (
                "[mix]\ncash = \"many\"\n",
                "m.toml:2: cash: a share is 0 to 1000000",
            ),
            ("[mix]\ncash = 0\n", "m.toml:1: all shares are 0"),
            (
                "[mixes]\n",
                "m.toml:1: only [mix] and [amount] are allowed here",
            ),
            (
                "rate = 3\n",
                "m.toml:1: only [mix] and [amount] are allowed here",
            ),
            ("\n\n", "m.toml: no [mix] with shares by type"),
            (
                "[mix]\ncash = 1\n[amount]\nmost = 3\n",
                "m.toml:4: \"most\": only least_minor and most_minor are allowed here",
            ),
            (
                "[mix]\ncash = 1\n[amount]\nmost_minor = 99\nleast_minor = 100\n",
                "m.toml:5: most_minor is below least_minor",
            ),
        ] {
            assert_eq!(parse("m.toml", text).unwrap_err().to_string(), why);
        }
        let error = parse("m.toml", "[mix]\ncash = = 1\n")
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("m.toml:2: "), "{error}");
    }
}
