//! The file's shape, and what is checked before anything is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use toml::Spanned;

use super::expect::{Expect, Place};
use super::template::{Sum, Template};
use crate::card::{Card, DemoCard};
use crate::currency::Currency;
use crate::fields::element;
use crate::order::Kind;

/// Offset in the file, if known, and what is wrong there.
pub(super) type Fault = (Option<usize>, String);

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: Option<String>,
    /// For people; the runner makes nothing of it.
    #[serde(default, rename = "about")]
    _about: Option<String>,
    #[serde(default, rename = "step")]
    steps: Vec<Spanned<Step>>,
}

pub(super) struct Parsed {
    pub(super) title: Option<String>,
    pub(super) steps: Vec<Step>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) name: String,
    /// Under which later steps can repeat, reverse or deliver what this one built.
    pub(super) id: Option<String>,
    /// Build the message, and leave it to a later `deliver`.
    #[serde(default)]
    pub(super) hold: bool,
    pub(super) send: Send,
    #[serde(default)]
    pub(super) expect: BTreeMap<Place, Expect>,
    #[serde(default)]
    pub(super) capture: BTreeMap<String, Place>,
    /// For people.
    #[serde(default, rename = "comment")]
    _comment: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Send {
    pub(super) command: Option<Kind>,
    pub(super) repeat_of: Option<String>,
    pub(super) reverse_of: Option<String>,
    pub(super) deliver: Option<String>,
    pub(super) mti: Option<String>,

    pan: Option<String>,
    card: Option<u32>,
    special: Option<u32>,
    expiry: Option<String>,
    pub(super) amount: Option<Minor>,
    pub(super) cashback: Option<Minor>,
    pub(super) final_amount: Option<Minor>,
    pub(super) from: Option<Text>,
    pub(super) to: Option<Text>,
    currency: Option<String>,
    #[serde(default)]
    pub(super) advice: bool,

    #[serde(default)]
    pub(super) fields: BTreeMap<Number, Text>,
    #[serde(default)]
    pub(super) raw: BTreeMap<Number, Text>,
    #[serde(default)]
    pub(super) unset: Vec<u8>,
}

impl Send {
    pub(super) fn card(&self) -> Result<Option<Card>, String> {
        let mut card = match (&self.pan, self.card, self.special) {
            (None, None, None) => return Ok(None),
            (Some(pan), None, None) => Card::of_pan(pan),
            (None, Some(index), None) => DemoCard::regular(index).map_err(|e| e.to_string())?,
            (None, None, Some(index)) => DemoCard::special(index).map_err(|e| e.to_string())?,
            _ => return Err("only one of pan, card, special".to_owned()),
        };
        if let Some(expiry) = &self.expiry {
            card.expiry = Some(expiry.clone());
        }
        Ok(Some(card))
    }

    pub(super) fn currency(&self) -> Result<Option<Currency>, String> {
        self.currency
            .as_ref()
            .map(|code| Currency::parse(code).ok_or_else(|| format!("unknown currency {code:?}")))
            .transpose()
    }

    fn variables(&self) -> impl Iterator<Item = &str> {
        let sums = [&self.amount, &self.cashback, &self.final_amount]
            .into_iter()
            .flatten();
        let texts = [&self.from, &self.to]
            .into_iter()
            .flatten()
            .chain(self.fields.values())
            .chain(self.raw.values());
        sums.flat_map(|minor| minor.0.variables())
            .chain(texts.flat_map(|text| text.0.variables()))
    }

    fn refers_to(&self) -> impl Iterator<Item = &str> {
        [&self.repeat_of, &self.reverse_of, &self.deliver]
            .into_iter()
            .flatten()
            .map(String::as_str)
    }

    /// What serde cannot say: one source for the message, sane parts.
    fn check(&self) -> Result<(), String> {
        let sources = self.refers_to().count() + usize::from(self.command.is_some());
        match (sources, &self.mti) {
            (0, None) => {
                return Err("send needs command, mti, repeat_of, reverse_of or deliver".to_owned());
            }
            (0 | 1, _) => {}
            _ => {
                return Err(
                    "send takes only one of command, repeat_of, reverse_of, deliver".to_owned(),
                );
            }
        }
        if let Some(mti) = &self.mti
            && (mti.len() != 4 || !mti.starts_with('0') || !mti.bytes().all(|b| b.is_ascii_digit()))
        {
            return Err(format!("mti {mti:?} is not four digits that begin with 0"));
        }
        for de in &self.unset {
            element(*de).map_err(|e| e.to_string())?;
        }
        self.card()?;
        self.currency()?;
        Ok(())
    }
}

/// An element's number as a TOML key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(pub(super) u8);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
        let text = String::deserialize(deserializer)?;
        let de: u8 = text
            .parse()
            .map_err(|_| de::Error::custom(format!("{text:?} is not an element's number")))?;
        element(de).map_err(de::Error::custom)?;
        Ok(Number(de))
    }
}

/// A text with variables.
pub(super) struct Text(pub(super) Template);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        let text = String::deserialize(deserializer)?;
        Template::parse(&text).map(Text).map_err(de::Error::custom)
    }
}

/// An amount in minor units: an integer or a sum with variables.
pub(super) struct Minor(pub(super) Sum);

impl<'de> Deserialize<'de> for Minor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Minor, D::Error> {
        struct MinorVisitor;
        impl Visitor<'_> for MinorVisitor {
            type Value = Minor;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("minor units as an integer, or a sum such as \"$before + 1\"")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Minor, E> {
                Ok(Minor(Sum::of(value)))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Minor, E> {
                Sum::parse(value).map(Minor).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(MinorVisitor)
    }
}

pub(super) fn parse(text: &str) -> Result<Parsed, Fault> {
    let file: File = toml::from_str(text)
        .map_err(|e| (e.span().map(|span| span.start), e.message().to_owned()))?;
    if file.steps.is_empty() {
        return Err((Some(0), "a scenario needs at least one [[step]]".to_owned()));
    }
    let mut known = Known::default();
    let mut steps = Vec::with_capacity(file.steps.len());
    for step in file.steps {
        let at = step.span().start;
        let step = step.into_inner();
        known
            .check(&step)
            .map_err(|reason| (Some(at), format!("step {:?}: {reason}", step.name)))?;
        steps.push(step);
    }
    Ok(Parsed {
        title: file.title,
        steps,
    })
}

/// What the steps so far define.
#[derive(Default)]
struct Known {
    ids: BTreeSet<String>,
    held: BTreeSet<String>,
    variables: BTreeSet<String>,
}

impl Known {
    fn check(&mut self, step: &Step) -> Result<(), String> {
        step.send.check()?;
        for id in step.send.refers_to() {
            if !self.ids.contains(id) {
                return Err(format!("no earlier step has the id {id:?}"));
            }
        }
        if let Some(id) = &step.send.deliver
            && !self.held.remove(id)
        {
            return Err(format!("the step {id:?} does not hold its message"));
        }
        let expected = step.expect.values().flat_map(Expect::variables);
        for name in step.send.variables().chain(expected) {
            if !self.variables.contains(name) {
                return Err(format!("no earlier step captures ${name}"));
            }
        }
        if let Some(id) = &step.id
            && !self.ids.insert(id.clone())
        {
            return Err(format!("another step has the id {id:?}"));
        }
        if step.hold {
            let Some(id) = &step.id else {
                return Err("a step that holds its message needs an id".to_owned());
            };
            if !step.expect.is_empty() || !step.capture.is_empty() {
                return Err("a step that holds its message gets no answer to look at".to_owned());
            }
            self.held.insert(id.clone());
        }
        self.variables.extend(step.capture.keys().cloned());
        Ok(())
    }
}
