//! What a command's figures are judged by.

use serde_json::{Value, json};

use crate::page::Tile;

/// A figure, what it should be, and whether it is.
#[derive(Clone, Debug)]
pub struct Goal {
    /// What is judged.
    pub name: String,
    /// `0.93x (0.88 to 0.99)`.
    pub figure: String,
    /// `lower bound at least 0.80x`.
    pub wanted: String,
    /// Whether it is so.
    pub met: bool,
}

impl Goal {
    /// Of these parts.
    pub fn new(
        name: impl Into<String>,
        figure: impl Into<String>,
        wanted: impl Into<String>,
        met: bool,
    ) -> Self {
        Self {
            name: name.into(),
            figure: figure.into(),
            wanted: wanted.into(),
            met,
        }
    }

    /// One line.
    #[must_use]
    pub fn line(&self) -> String {
        let Self {
            name,
            figure,
            wanted,
            met,
        } = self;
        let word = if *met { "met" } else { "MISSED" };
        format!("  goal: {name}: {figure}, {wanted}: {word}\n")
    }

    /// For machines.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "goal": self.name,
            "told": format!("{}, {}", self.figure, self.wanted),
            "met": self.met,
        })
    }

    /// For a page.
    #[must_use]
    pub fn tile(&self) -> Tile {
        Tile::judged(self.figure.clone(), self.name.clone(), self.met)
    }
}

/// All of them, one a line.
#[must_use]
pub fn lines(goals: &[Goal]) -> String {
    goals.iter().map(Goal::line).collect()
}

/// Whether all are met.
#[must_use]
pub fn all_met(goals: &[Goal]) -> bool {
    goals.iter().all(|goal| goal.met)
}
