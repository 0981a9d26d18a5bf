//! What a step expects of an answer, and the places in an answer it can name.

use std::collections::BTreeMap;
use std::fmt;

use regex::Regex;
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

use super::template::{Sum, Template};
use crate::amounts;
use crate::fields::element;
use crate::message::{Message, masked};

/// A place in an answer: `mti`, an element's number, or an amount in DE 54
/// (`54.ledger`, `54.available`, `54.40`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Mti,
    Element(u8),
    Amount(String),
}

impl Place {
    pub(super) fn parse(text: &str) -> Result<Place, String> {
        if text == "mti" {
            return Ok(Place::Mti);
        }
        if let Some(kind) = text.strip_prefix("54.") {
            return match kind {
                "ledger" => Ok(Place::Amount(amounts::LEDGER.to_owned())),
                "available" => Ok(Place::Amount(amounts::AVAILABLE.to_owned())),
                _ if kind.len() == 2 && kind.bytes().all(|b| b.is_ascii_digit()) => {
                    Ok(Place::Amount(kind.to_owned()))
                }
                _ => Err(format!(
                    "{text:?}: DE 54 has ledger, available or a two-digit type"
                )),
            };
        }
        let de: u8 = text.parse().map_err(|_| {
            format!("{text:?} is neither an element's number nor mti nor 54.ledger")
        })?;
        element(de).map_err(|e| e.to_string())?;
        Ok(Place::Element(de))
    }

    /// What stands there; amounts as plain numbers in minor units.
    pub(super) fn value(&self, message: &Message) -> Option<String> {
        match self {
            Place::Mti => Some(message.mti().to_owned()),
            Place::Element(de) => message.get(*de).map(str::to_owned),
            Place::Amount(kind) => {
                amounts::of_type(message.get(54)?, kind).map(|minor| minor.to_string())
            }
        }
    }

    /// A value of this place as it may be shown.
    pub(super) fn show(&self, value: &str) -> String {
        match self {
            Place::Element(de) => masked(*de, value),
            Place::Mti | Place::Amount(_) => value.to_owned(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Mti => write!(f, "mti"),
            Place::Element(de) => match element(*de) {
                Ok(row) => write!(f, "DE {de} ({})", row.name),
                Err(_) => write!(f, "DE {de}"),
            },
            Place::Amount(kind) => match kind.as_str() {
                amounts::LEDGER => write!(f, "DE 54 ledger"),
                amounts::AVAILABLE => write!(f, "DE 54 available"),
                other => write!(f, "DE 54 type {other}"),
            },
        }
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Place, D::Error> {
        let text = String::deserialize(deserializer)?;
        Place::parse(&text).map_err(de::Error::custom)
    }
}

/// What must stand in a place.
#[derive(Clone, Debug)]
pub(super) enum Expect {
    /// `true`: anything; `false`: nothing.
    Present(bool),
    /// `"00"`, `"$approval"`: this, spaces at the end aside.
    Exactly(Template),
    /// `12500`, `{ sum = "$before - 12500" }`: a number of this value.
    Number(Sum),
    /// `["00", "94"]`: one of these.
    OneOf(Vec<Template>),
    /// `{ matches = "[0-9]{6}" }`: all of it matches.
    Matches(Box<Regex>),
    /// `{ not = "000000" }`: there, and something else.
    Not(Template),
}

impl Expect {
    pub(super) fn variables(&self) -> Vec<&str> {
        match self {
            Expect::Present(_) | Expect::Matches(_) => Vec::new(),
            Expect::Exactly(text) | Expect::Not(text) => text.variables().collect(),
            Expect::Number(sum) => sum.variables().collect(),
            Expect::OneOf(texts) => texts.iter().flat_map(Template::variables).collect(),
        }
    }

    /// Nothing if the value is as expected, else what was expected, for people.
    pub(super) fn check(
        &self,
        place: &Place,
        value: Option<&str>,
        values: &BTreeMap<String, String>,
    ) -> Result<Option<String>, String> {
        let got = value.map(str::trim_end);
        let (met, expected) = match self {
            Expect::Present(true) => (got.is_some(), "present".to_owned()),
            Expect::Present(false) => (got.is_none(), "absent".to_owned()),
            Expect::Exactly(text) => {
                let text = text.fill(values)?;
                (got == Some(text.trim_end()), place.show(&text))
            }
            Expect::Not(text) => {
                let text = text.fill(values)?;
                (
                    got.is_some_and(|got| got != text.trim_end()),
                    format!("not {}", place.show(&text)),
                )
            }
            Expect::Number(sum) => {
                let number = sum.value(values)?;
                let met = got.and_then(|got| got.parse::<i64>().ok()) == Some(number);
                let shown = match sum.to_string() {
                    plain if plain == number.to_string() => plain,
                    sum => format!("{number} ({sum})"),
                };
                (met, shown)
            }
            Expect::OneOf(texts) => {
                let texts = texts
                    .iter()
                    .map(|t| t.fill(values))
                    .collect::<Result<Vec<_>, _>>()?;
                let met = texts.iter().any(|text| got == Some(text.trim_end()));
                let shown: Vec<String> = texts.iter().map(|text| place.show(text)).collect();
                (met, format!("one of {}", shown.join(", ")))
            }
            Expect::Matches(pattern) => (
                got.is_some_and(|got| pattern.is_match(got)),
                format!("matching {pattern}"),
            ),
        };
        Ok((!met).then_some(expected))
    }
}

impl<'de> Deserialize<'de> for Expect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Expect, D::Error> {
        deserializer.deserialize_any(ExpectVisitor)
    }
}

struct ExpectVisitor;

impl<'de> Visitor<'de> for ExpectVisitor {
    type Value = Expect;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a text, a number, true (present), false (absent), a list (one of), \
             or a table with one of: matches, not, sum",
        )
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Expect, E> {
        Ok(Expect::Present(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Expect, E> {
        Ok(Expect::Number(Sum::of(value)))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Expect, E> {
        Template::parse(value)
            .map(Expect::Exactly)
            .map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Expect, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element::<String>()? {
            texts.push(Template::parse(&text).map_err(de::Error::custom)?);
        }
        Ok(Expect::OneOf(texts))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Expect, A::Error> {
        let Some((key, value)) = map.next_entry::<String, String>()? else {
            return Err(de::Error::custom("one of matches, not, sum is needed"));
        };
        let expect = match key.as_str() {
            "matches" => Regex::new(&format!("^(?:{value})$"))
                .map(|pattern| Expect::Matches(Box::new(pattern)))
                .map_err(|e| e.to_string()),
            "not" => Template::parse(&value).map(Expect::Not),
            "sum" => Sum::parse(&value).map(Expect::Number),
            other => Err(format!(
                "unknown key `{other}`: use one of matches, not, sum"
            )),
        };
        if map.next_key::<String>()?.is_some() {
            return Err(de::Error::custom("only one of matches, not, sum"));
        }
        expect.map_err(de::Error::custom)
    }
}
