//! Values with variables: text such as `$approval`, sums such as `$before - 12500`.

use std::collections::BTreeMap;
use std::fmt;

/// Text in which `$name` stands for a captured value. `$$` is a dollar sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(String),
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Template, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            pieces.push(Piece::Text(before.to_owned()));
            if let Some(after) = after.strip_prefix('$') {
                pieces.push(Piece::Text("$".to_owned()));
                rest = after;
                continue;
            }
            let (name, after) = take_name(after)?;
            pieces.push(Piece::Variable(name));
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Template(pieces))
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Variable(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    pub(super) fn fill(&self, values: &BTreeMap<String, String>) -> Result<String, String> {
        let mut text = String::new();
        for piece in &self.0 {
            text.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Variable(name) => values
                    .get(name)
                    .ok_or_else(|| format!("${name} has no value"))?,
            });
        }
        Ok(text)
    }
}

/// A sum of integers and captured values: `12500`, `$before - $paid + 1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sum(Vec<(bool, Term)>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Number(i64),
    Variable(String),
}

impl Sum {
    pub(super) fn of(number: i64) -> Sum {
        Sum(vec![(false, Term::Number(number))])
    }

    pub(super) fn parse(text: &str) -> Result<Sum, String> {
        let mut terms = Vec::new();
        let mut rest = text.trim();
        let mut minus = false;
        if let Some(after) = rest.strip_prefix('-') {
            minus = true;
            rest = after.trim_start();
        }
        loop {
            let (term, after) = take_term(rest)?;
            terms.push((minus, term));
            let after = after.trim_start();
            let mut signs = after.chars();
            minus = match signs.next() {
                None => return Ok(Sum(terms)),
                Some('+') => false,
                Some('-') => true,
                Some(_) => return Err(format!("{text:?} is no sum of numbers and $names")),
            };
            rest = signs.as_str().trim_start();
        }
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|(_, term)| match term {
            Term::Variable(name) => Some(name.as_str()),
            Term::Number(_) => None,
        })
    }

    pub(super) fn value(&self, values: &BTreeMap<String, String>) -> Result<i64, String> {
        let mut sum = 0i64;
        for (minus, term) in &self.0 {
            let number = match term {
                Term::Number(number) => *number,
                Term::Variable(name) => values
                    .get(name)
                    .ok_or_else(|| format!("${name} has no value"))?
                    .trim()
                    .parse()
                    .map_err(|_| format!("${name} is not a number"))?,
            };
            let next = if *minus {
                sum.checked_sub(number)
            } else {
                sum.checked_add(number)
            };
            sum = next.ok_or("the sum is too large")?;
        }
        Ok(sum)
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (minus, term)) in self.0.iter().enumerate() {
            f.write_str(match (at, minus) {
                (0, false) => "",
                (0, true) => "-",
                (_, false) => " + ",
                (_, true) => " - ",
            })?;
            match term {
                Term::Number(number) => write!(f, "{number}")?,
                Term::Variable(name) => write!(f, "${name}")?,
            }
        }
        Ok(())
    }
}

fn take_term(text: &str) -> Result<(Term, &str), String> {
    if let Some(after) = text.strip_prefix('$') {
        let (name, after) = take_name(after)?;
        return Ok((Term::Variable(name), after));
    }
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, after) = text.split_at(end);
    let number = digits
        .parse()
        .map_err(|_| format!("a number or $name should stand at {text:?}"))?;
    Ok((Term::Number(number), after))
}

fn take_name(text: &str) -> Result<(String, &str), String> {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    if name.is_empty() {
        return Err("a name must follow the $ sign".to_owned());
    }
    Ok((name.to_owned(), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> BTreeMap<String, String> {
        [("a", "100"), ("rrn", "R7"), ("neg", "-5")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into()
    }

    #[test]
    fn texts_are_filled() {
        let table = [
            ("", Ok("")),
            ("plain", Ok("plain")),
            ("$rrn", Ok("R7")),
            ("x$rrn-$a.", Ok("xR7-100.")),
            ("$$5", Ok("$5")),
            ("$nobody", Err("$nobody has no value")),
        ];
        for (text, expected) in table {
            let filled = Template::parse(text).unwrap().fill(&values());
            assert_eq!(
                filled,
                expected.map(str::to_owned).map_err(str::to_owned),
                "{text}"
            );
        }
        assert!(Template::parse("a $ b").is_err());
    }

    #[test]
    fn sums_are_added_up() {
        let table = [
            ("12500", Ok(12_500)),
            ("-1", Ok(-1)),
            ("$a - 30 + 1", Ok(71)),
            ("$a-$neg", Ok(105)),
            ("$rrn", Err("$rrn is not a number")),
            ("$nobody", Err("$nobody has no value")),
            ("9223372036854775807 + 1", Err("the sum is too large")),
        ];
        for (text, expected) in table {
            let sum = Sum::parse(text).unwrap();
            assert_eq!(
                sum.value(&values()),
                expected.map_err(str::to_owned),
                "{text}"
            );
        }
        for text in ["", "1 +", "1 1", "a", "$", "1 * 2", "99999999999999999999"] {
            assert!(Sum::parse(text).is_err(), "{text}");
        }
        assert_eq!(Sum::parse("$a-  30+1").unwrap().to_string(), "$a - 30 + 1");
    }
}
