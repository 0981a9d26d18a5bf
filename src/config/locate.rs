//! Where in the file something is: from paths of keys to lines, and from spans to keys.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::FileConfig;

/// What is wrong with a configuration, in one line: `FILE:LINE: key: what`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: PathBuf,
    line: Option<usize>,
    key: Option<String>,
    what: String,
}

impl ConfigError {
    pub(super) fn file(file: &Path, why: &std::io::Error) -> Self {
        Self {
            file: file.to_path_buf(),
            line: None,
            key: None,
            what: format!("cannot be read: {why}"),
        }
    }

    /// The line, from 1; `None` when the file could not be read at all.
    #[must_use]
    pub const fn line(&self) -> Option<usize> {
        self.line
    }

    /// The key, with its tables and positions: `links[1].dialect`.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", one_line(&self.what))
    }
}

impl std::error::Error for ConfigError {}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// One step on the way to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// `at!["links", 1, "dialect"]`: the way to a value.
macro_rules! at {
    ($($step:expr),+ $(,)?) => {
        &[$($crate::config::locate::Step::from($step)),+]
    };
}
pub(super) use at;

/// A file's text with the positions of its keys and values.
pub(super) struct Source<'t> {
    file: &'t Path,
    text: &'t str,
    table: Spanned<DeTable<'t>>,
}

impl<'t> Source<'t> {
    pub fn parse(file: &'t Path, text: &'t str) -> Result<Self, ConfigError> {
        match DeTable::parse(text) {
            Ok(table) => Ok(Self { file, text, table }),
            Err(error) => Err(ConfigError {
                file: file.to_path_buf(),
                line: Some(line_of(text, error.span().map_or(0, |span| span.start))),
                key: None,
                what: error.message().to_owned(),
            }),
        }
    }

    /// The file's folder: where relative paths start from.
    pub fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }

    pub const fn path(&self) -> &Path {
        self.file
    }

    pub fn read(&self) -> Result<FileConfig, ConfigError> {
        use serde::Deserialize;
        FileConfig::deserialize(toml::de::Deserializer::from(self.table.clone())).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            let steps = steps_at(self.table.get_ref(), &span);
            ConfigError {
                file: self.file.to_path_buf(),
                line: Some(line_of(self.text, span.start)),
                key: Some(written(&steps)).filter(|key| !key.is_empty()),
                what: error.message().to_owned(),
            }
        })
    }

    /// An error about the value at `steps`. Where the file does not write that
    /// key (its default is what is wrong), the line is that of the nearest table.
    pub fn error(&self, steps: &[Step], what: impl Into<String>) -> ConfigError {
        ConfigError {
            file: self.file.to_path_buf(),
            line: Some(line_of(self.text, self.offset(steps))),
            key: Some(written(steps)),
            what: what.into(),
        }
    }

    fn offset(&self, steps: &[Step]) -> usize {
        let mut offset = 0;
        let mut here: Option<&Spanned<DeValue<'_>>> = None;
        for step in steps {
            let next = match (step, here.map(Spanned::get_ref)) {
                (Step::Key(key), None) => entry(self.table.get_ref(), key),
                (Step::Key(key), Some(DeValue::Table(table))) => entry(table, key),
                (Step::Index(index), Some(DeValue::Array(array))) => {
                    array.get(*index).map(|value| (value.span(), value))
                }
                _ => None,
            };
            let Some((span, value)) = next else { break };
            offset = span.start;
            here = Some(value);
        }
        offset
    }
}

/// A key's own position, and its value.
fn entry<'a, 'i>(
    table: &'a DeTable<'i>,
    key: &str,
) -> Option<(Range<usize>, &'a Spanned<DeValue<'i>>)> {
    table
        .iter()
        .find(|(name, _)| name.get_ref() == key)
        .map(|(name, value)| (name.span(), value))
}

/// Line of a byte's offset, from 1.
fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1
}

/// `links[1].dialect`
fn written(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
            }
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

/// The way to the innermost key or value that holds the span.
fn steps_at(table: &DeTable<'_>, span: &Range<usize>) -> Vec<Step> {
    for (key, value) in table {
        let step = Step::Key(key.get_ref().to_string());
        if holds(&key.span(), span) {
            return vec![step];
        }
        if let Some(inner) = steps_in(value, span) {
            return std::iter::once(step).chain(inner).collect();
        }
    }
    Vec::new()
}

/// As [`steps_at`], for a value; `None` when the span is not in it.
fn steps_in(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> Option<Vec<Step>> {
    // A table's span is that of its header, its entries lie outside of it; so
    // look inside first.
    match value.get_ref() {
        DeValue::Table(table) => {
            let inner = steps_at(table, span);
            if !inner.is_empty() {
                return Some(inner);
            }
        }
        DeValue::Array(array) => {
            for (index, item) in array.iter().enumerate() {
                if let Some(inner) = steps_in(item, span) {
                    return Some(std::iter::once(Step::Index(index)).chain(inner).collect());
                }
            }
        }
        _ => {}
    }
    holds(&value.span(), span).then(Vec::new)
}

const fn holds(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end && inner.start < outer.end
}
