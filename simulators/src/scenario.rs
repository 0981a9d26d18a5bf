//! Scenario files: steps that a terminal takes, and what must come back.
//!
//! A scenario is TOML; `simulators/scenarios/` has examples, and its README the
//! whole language. Everything that can be wrong without a host (unknown keys,
//! steps, variables, elements, patterns) is refused on loading, with the line.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::connection::ExchangeError;
use crate::message::Message;
use crate::order::OrderError;
use crate::terminal::Terminal;

mod expect;
mod model;
mod run;
mod template;

pub use run::{Mismatch, StepReport};

/// A scenario file that cannot be used, as `file:line: reason`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}{}: {reason}", file.display(), at(*line))]
pub struct ScenarioError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; 0 where the whole file is meant.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

fn at(line: usize) -> String {
    if line == 0 {
        String::new()
    } else {
        format!(":{line}")
    }
}

/// Why a scenario ended before its last step.
#[derive(Debug, Error)]
pub enum RunError {
    /// A step's answer was not as expected; the report says what differed.
    #[error("step {number} ({name}) failed")]
    Mismatch {
        /// The step, from 1.
        number: usize,
        /// Its name.
        name: String,
    },
    /// A step's message could not be made of the values at hand.
    #[error("step {number} ({name}): {reason}")]
    Unbuildable {
        /// The step, from 1.
        number: usize,
        /// Its name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// No usable answer.
    #[error("step {number} ({name}): {error}")]
    Exchange {
        /// The step, from 1.
        number: usize,
        /// Its name.
        name: String,
        /// What happened.
        error: ExchangeError,
    },
}

impl From<OrderError> for String {
    fn from(error: OrderError) -> String {
        error.to_string()
    }
}

/// A scenario, checked and ready to run as often as one likes.
pub struct Scenario {
    title: String,
    steps: Vec<model::Step>,
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scenario {:?} of {} steps", self.title, self.steps.len())
    }
}

impl Scenario {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ScenarioError`], with line 0 if the file cannot be read.
    pub fn load(path: &Path) -> Result<Scenario, ScenarioError> {
        let text = std::fs::read_to_string(path).map_err(|e| ScenarioError {
            file: path.to_owned(),
            line: 0,
            reason: e.to_string(),
        })?;
        Scenario::parse(&text, path)
    }

    /// Checks the text of a scenario; `file` is for messages only.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn parse(text: &str, file: &Path) -> Result<Scenario, ScenarioError> {
        let parsed = model::parse(text).map_err(|(at, reason)| ScenarioError {
            file: file.to_owned(),
            line: line_of(text, at),
            reason,
        })?;
        let title = parsed.title.unwrap_or_else(|| file.display().to_string());
        Ok(Scenario {
            title,
            steps: parsed.steps,
        })
    }

    /// Its title, or the file's name.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// How many steps it has; each takes at most one number (DE 11).
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether it has no step.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Takes the steps one after the other, and tells `seen` of each. Ends at the
    /// first that fails, because later ones build on it.
    ///
    /// # Errors
    /// [`RunError`]; the failed step has been reported before.
    pub fn run(
        &self,
        terminal: &mut Terminal,
        mut seen: impl FnMut(&StepReport),
    ) -> Result<(), RunError> {
        let mut memory = Memory::default();
        for (number, step) in (1..).zip(&self.steps) {
            let report = run::take(step, number, terminal, &mut memory)?;
            let failed = !report.mismatches.is_empty();
            seen(&report);
            if failed {
                return Err(RunError::Mismatch {
                    number,
                    name: step.name.clone(),
                });
            }
        }
        Ok(())
    }
}

/// What earlier steps left behind.
#[derive(Default)]
struct Memory {
    /// Captured values by name.
    values: BTreeMap<String, String>,
    /// What steps with an id sent, and the DE 38 they got.
    sent: BTreeMap<String, (Message, Option<String>)>,
}

fn line_of(text: &str, at: Option<usize>) -> usize {
    at.and_then(|at| text.get(..at))
        .map_or(0, |before| before.matches('\n').count() + 1)
}

#[cfg(test)]
mod tests;
