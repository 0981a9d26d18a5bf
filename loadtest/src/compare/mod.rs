//! The daemon beside what the wire alone and what the wire and a durable write
//! cost, in turns: A B C, A B C, so that what else the machine does hits all.

pub mod judge;
mod table;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cards::{Cards, Range};
use crate::cpu;
use crate::host::{Host, Settings};
use crate::open_loop::{self, Control};
use crate::plan::Plan;

pub use table::{html, json, table};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Closed loop: connections, requests in flight on each.
    Closed(u32, u32),
    /// Open loop: requests a second, connections.
    Open(u64, u32),
}

/// Every cell.
pub const CELLS: [Cell; 6] = [
    Cell::Closed(1, 1),
    Cell::Closed(8, 1),
    Cell::Closed(64, 1),
    Cell::Closed(8, 32),
    Cell::Closed(64, 32),
    Cell::Open(10_000, 16),
];

impl Cell {
    /// `C8x32`, `10000/s`.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Closed(connections, in_flight) => format!("C{connections}x{in_flight}"),
            Self::Open(per_second, connections) => format!("{per_second}/s C{connections}"),
        }
    }
}

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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// In which round.
    pub round: u32,
    /// Of which cell.
    pub cell: Cell,
    /// Whose.
    pub who: Who,
    /// Answers a second.
    pub per_second: u64,
    /// From the intended send time.
    pub p50_ns: u64,
    /// As above.
    pub p99_ns: u64,
    /// The server's processor time for each answer; 0 where the system does not
    /// tell.
    pub cpu_ns: u64,
    /// Requests that were not approved, or not answered.
    pub missed: u64,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The daemon's program.
    pub program: PathBuf,
    /// Where all files lie: the disk that is judged.
    pub disk: PathBuf,
    /// Rounds.
    pub rounds: u32,
    /// How long each run is measured.
    pub lasts: Duration,
    /// And warmed up before.
    pub warm_up: Duration,
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
    fn cards(&self) -> Arc<Cards> {
        Arc::new(Cards::Range(Range {
            prefix: 941_000,
            count: self.cards,
            first_account: 1_000_000_000,
        }))
    }

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
            &self.cards(),
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
        let all = self.rounds as usize * self.cells.len() * self.hosts().len();
        let bar = bar(all as u64, quiet);
        let mut samples = Vec::with_capacity(all);
        for round in 0..self.rounds {
            for cell in &self.cells {
                for who in self.hosts() {
                    bar.set_message(format!(
                        "round {} of {}: {} {}",
                        round + 1,
                        self.rounds,
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
        let mut plan = match cell {
            Cell::Closed(connections, in_flight) => {
                Plan::closed(host.address, connections, in_flight, self.lasts)
            }
            Cell::Open(per_second, connections) => Plan {
                connections,
                ..Plan::open(host.address, per_second, self.lasts)
            },
        };
        plan.warm_up = self.warm_up;
        plan.cards = self.cards();
        plan.echo = who != Who::Gapless;
        plan.seed = u64::from(round) + 1;
        if who == Who::Postgres {
            // The open loop is far beyond what a transaction each can do.
            plan.timeout = Duration::from_secs(1);
        }
        let before = cpu::of_process(host.pid());
        let outcome = open_loop::run(&plan, &Control::new(&plan), |_| {})?;
        let after = cpu::of_process(host.pid());
        let total = outcome.total()?;
        // Of the naive peer's work most is the database's, which is not a child.
        let cpu_ns = before
            .filter(|_| who != Who::Postgres)
            .zip(after)
            .and_then(|(before, after)| after.checked_sub(before))
            .and_then(|used| {
                used.as_nanos()
                    .checked_div(u128::from(outcome.sums.answered_all()))
            })
            .and_then(|ns| u64::try_from(ns).ok());
        if who == Who::Gapless {
            hosts.answered += outcome.sums.answered_all();
        }
        Ok(Sample {
            round,
            cell,
            who,
            per_second: crate::report::per_second(total.answered_all(), outcome.measured()),
            p50_ns: total.latency_ns(0.5),
            p99_ns: total.latency_ns(0.99),
            cpu_ns: cpu_ns.unwrap_or(0),
            missed: total.offered - total.accepted,
        })
    }
}

fn bar(length: u64, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    let template = "{bar:30.blue} {pos}/{len}  {msg}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
