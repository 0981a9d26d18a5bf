//! The daemon beside what the wire alone and what the wire and a durable write
//! cost, in turns: A B C, A B C, so that what else the machine does hits all.

pub mod judge;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use crate::host::{Host, Settings};
pub use crate::measure::{Cell, Figures, Rounds};
use crate::measure::{bar, cards, measure};
use crate::plan::Plan;

pub use table::{html, json, table};

/// Every cell.
pub const CELLS: [Cell; 6] = [
    Cell::Closed(1, 1),
    Cell::Closed(8, 1),
    Cell::Closed(64, 1),
    Cell::Closed(8, 32),
    Cell::Closed(64, 32),
    Cell::Open(10_000, 16),
];

/// Who is measured, in the order of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// Sends back what comes.
    Null,
    /// Makes it durable first.
    Durable,
    /// Authorises it.
    Gapless,
    /// One PostgreSQL transaction, if a server is given.
    Postgres,
}

impl Who {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Null, Self::Durable, Self::Gapless, Self::Postgres];

    /// As the table names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Durable => "null-durable",
            Self::Gapless => "gapless",
            Self::Postgres => "postgres",
        }
    }
}

/// One run's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// In which round.
    pub round: u32,
    /// Of which cell.
    pub cell: Cell,
    /// Whose.
    pub who: Who,
    /// What it came to.
    pub figures: Figures,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The daemon's program.
    pub program: PathBuf,
    /// Where all files lie: the disk that is judged.
    pub disk: PathBuf,
    /// How often, and how long.
    pub rounds: Rounds,
    /// Cards of the daemon.
    pub cards: u32,
    /// Which cells.
    pub cells: Vec<Cell>,
    /// A PostgreSQL server for the naive peer.
    pub postgres: Option<String>,
}

/// The daemon remembers what it has answered: after so many it is started anew,
/// so that no run meets a full table.
const FRESH_AFTER: u64 = 8_000_000;

/// The hosts of a comparison, as long as they live.
struct Hosts {
    null: Host,
    durable: Host,
    gapless: Host,
    answered: u64,
    postgres: Option<Host>,
}

impl Comparison {
    /// Who takes part, in the order of a round.
    #[must_use]
    pub fn hosts(&self) -> Vec<Who> {
        let taking_part = |who: &Who| *who != Who::Postgres || self.postgres.is_some();
        Who::ALL.into_iter().filter(taking_part).collect()
    }

    fn daemon(&self) -> anyhow::Result<Host> {
        Host::daemon(
            &self.program,
            &self.disk,
            &cards(self.cards),
            &Settings::default(),
        )
        .context("gapless")
    }

    /// Runs everything, round by round.
    ///
    /// # Errors
    /// A host cannot be started, or the generator fails.
    pub fn run(&self, quiet: bool) -> anyhow::Result<Vec<Sample>> {
        let mut hosts = Hosts {
            null: Host::baseline("null", &self.disk).context("null")?,
            durable: Host::baseline("null-durable", &self.disk).context("null-durable")?,
            gapless: self.daemon()?,
            answered: 0,
            postgres: self
                .postgres
                .as_ref()
                .map(|url| Host::postgres(url, self.cards, &self.disk).context("postgres"))
                .transpose()?,
        };
        let all = self.rounds.count as usize * self.cells.len() * self.hosts().len();
        let bar = bar(all as u64, quiet);
        let mut samples = Vec::with_capacity(all);
        for round in 0..self.rounds.count {
            for cell in &self.cells {
                for who in self.hosts() {
                    bar.set_message(format!(
                        "round {} of {}: {} {}",
                        round + 1,
                        self.rounds.count,
                        cell.name(),
                        who.name()
                    ));
                    if who == Who::Gapless && hosts.answered > FRESH_AFTER {
                        hosts.gapless = self.daemon()?;
                        hosts.answered = 0;
                    }
                    samples.push(self.sample(&mut hosts, round, *cell, who)?);
                    bar.inc(1);
                }
            }
        }
        bar.finish_and_clear();
        Ok(samples)
    }

    fn sample(
        &self,
        hosts: &mut Hosts,
        round: u32,
        cell: Cell,
        who: Who,
    ) -> anyhow::Result<Sample> {
        let host = match who {
            Who::Null => &hosts.null,
            Who::Durable => &hosts.durable,
            Who::Gapless => &hosts.gapless,
            Who::Postgres => hosts.postgres.as_ref().context("no PostgreSQL server")?,
        };
        let plan = Plan {
            warm_up: self.rounds.warm_up,
            cards: cards(self.cards),
            echo: who != Who::Gapless,
            seed: u64::from(round) + 1,
            ..cell.plan(host, self.rounds.lasts)
        };
        let plan = match who {
            // The open loop is far beyond what a transaction each can do.
            Who::Postgres => Plan {
                timeout: Duration::from_secs(1),
                ..plan
            },
            _ => plan,
        };
        let mut figures = measure(host, &plan)?;
        match who {
            Who::Gapless => hosts.answered += figures.answered,
            // Most of its work is the database's, which is not a child.
            Who::Postgres => figures.cpu_ns = 0,
            Who::Null | Who::Durable => {}
        }
        Ok(Sample {
            round,
            cell,
            who,
            figures,
        })
    }
}
