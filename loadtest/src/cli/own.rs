//! Arguments of the commands that start a daemon of their own.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{HostArguments, ReportArguments, TrafficArguments};
use crate::measure::Rounds;
use crate::mix::Mix;

/// The daemon that a command starts, in a temporary folder.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Daemon")]
pub struct DaemonArguments {
    /// Its program (built by cargo if not given).
    #[arg(long, value_name = "PROGRAM")]
    pub gapless: Option<PathBuf>,
    /// Folder on the disk that is to be judged (the working directory if not
    /// given); may need some gigabytes.
    #[arg(long, value_name = "DIR")]
    pub disk: Option<PathBuf>,
}

/// Arguments of `soak`.
#[derive(Clone, Debug, Args)]
pub struct SoakArguments {
    /// How long.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub minutes: u64,
    /// Requests a second.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub rate: u64,
    /// Connections at a time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub connections: u32,
    /// Cards of the daemon.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(2..=99_000_000))]
    pub cards: u32,
    /// Shares by type.
    #[arg(
        long,
        default_value = "purchase=70,balance=10,transfer=10,refund=4,advice=2,reversal=2,repeat=2"
    )]
    pub mix: Mix,
    /// A night in the second third.
    #[arg(long)]
    pub night: bool,
    /// The daemon.
    #[command(flatten)]
    pub daemon: DaemonArguments,
    /// The last quarter's memory, without what must be remembered of the
    /// transactions, at most so many percent of the second's.
    #[arg(long, default_value_t = 115, value_name = "PERCENT")]
    pub memory_percent: u64,
    /// What the daemon is expected to remember of each transaction
    /// (docs/benchmarks.md).
    #[arg(long, default_value_t = 100, value_name = "BYTES")]
    pub transaction_bytes: u64,
    /// The last quarter's p99 at most so many percent of the first's.
    #[arg(long, default_value_t = 150, value_name = "PERCENT")]
    pub p99_percent: u64,
    /// What to tell.
    #[command(flatten)]
    pub report: ReportArguments,
}

/// How often hosts are measured in turns, and how long each time.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Rounds")]
pub struct RoundsArguments {
    /// Rounds; each runs every cell against every host.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: u32,
    /// How long each run is measured.
    #[arg(long, default_value_t = 1_500, value_parser = clap::value_parser!(u64).range(100..=600_000))]
    pub run_ms: u64,
    /// How long it is warmed up before.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(0..=600_000))]
    pub warm_up_ms: u64,
    /// Three rounds of short runs: whether it works, not what it says.
    #[arg(long, conflicts_with_all = ["rounds", "run_ms", "warm_up_ms"])]
    pub quick: bool,
    /// Exit status 3 if a goal is missed.
    #[arg(long)]
    pub strict: bool,
}

/// Arguments of `compare`.
#[derive(Clone, Debug, Args)]
pub struct CompareArguments {
    /// How often.
    #[command(flatten)]
    pub rounds: RoundsArguments,
    /// Cards of the daemon.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(2..=99_000_000))]
    pub cards: u32,
    /// Only these cells: 1 to 5 the closed ones (C1x1, C8x1, C64x1, C8x32, C64x32),
    /// 6 the open one.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..=6))]
    pub cells: Vec<u64>,
    /// The daemon.
    #[command(flatten)]
    pub daemon: DaemonArguments,
    /// The naive peer too, on this PostgreSQL server (see `baseline`).
    #[arg(long, value_name = "URL")]
    pub postgres: Option<String>,
    /// What to tell.
    #[command(flatten)]
    pub report: ReportArguments,
}

/// Arguments of `overload`.
#[derive(Clone, Debug, Args)]
pub struct OverloadArguments {
    /// The journal of the daemon that is started takes so many events a second
    /// (journal.test_events_per_s); 0: as many as the disk.
    #[arg(long, default_value_t = 50_000, value_name = "EVENTS", value_parser = clap::value_parser!(u32).range(0..=100_000_000))]
    pub throttle: u32,
    /// Longest time that what it accepts may wait (engine.max_journal_wait_ms): the
    /// bound that the answers are judged by.
    #[arg(long, default_value_t = 1_000, value_name = "MILLISECONDS", value_parser = clap::value_parser!(u32).range(10..=600_000))]
    pub wait_ms: u32,
    /// How many times what the host takes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(2..=100))]
    pub times: u64,
    /// What the host takes, requests a second (found out if not given).
    #[arg(long, value_parser = clap::value_parser!(u64).range(2..=10_000_000))]
    pub capacity: Option<u64>,
    /// How long that is tried, in a closed loop.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub probe_seconds: u64,
    /// How long half of it is offered before.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub before_seconds: u64,
    /// How long the overload lasts.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub overload_seconds: u64,
    /// How long half of it is offered afterwards.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub after_seconds: u64,
    /// Connections at a time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub connections: u32,
    /// Threads that share the connections.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: u32,
    /// Exit status 3 if a goal is missed.
    #[arg(long)]
    pub strict: bool,
    /// Loads the host at --target, with its books at --admin, and starts none.
    #[arg(long)]
    pub running: bool,
    /// With --running: its admin side.
    #[arg(long, default_value = "http://127.0.0.1:8580", value_name = "URL")]
    pub admin: String,
    /// With --running: file with the bearer token.
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// With --running: whom to load.
    #[command(flatten)]
    pub host: HostArguments,
    /// With what.
    #[command(flatten)]
    pub traffic: TrafficArguments,
    /// The daemon.
    #[command(flatten)]
    pub daemon: DaemonArguments,
    /// What to tell.
    #[command(flatten)]
    pub report: ReportArguments,
}

/// Arguments of `variants`.
#[derive(Clone, Debug, Args)]
pub struct VariantsArguments {
    /// In what the two daemons differ.
    #[arg(value_enum)]
    pub what: VariantsKind,
    /// accounts: how many the first daemon has, each with a card.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=99_000_000))]
    pub few: u32,
    /// accounts: how many the second one has.
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u32).range(2..=99_000_000))]
    pub many: u32,
    /// checkpoints: cards of both daemons.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(2..=99_000_000))]
    pub cards: u32,
    /// How often.
    #[command(flatten)]
    pub rounds: RoundsArguments,
    /// The daemons.
    #[command(flatten)]
    pub daemon: DaemonArguments,
    /// What to tell.
    #[command(flatten)]
    pub report: ReportArguments,
}

/// Variants of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum VariantsKind {
    /// Few accounts, and many.
    Accounts,
    /// Without checkpoints in sled, and with them.
    Checkpoints,
}

impl RoundsArguments {
    /// As measured.
    #[must_use]
    pub const fn rounds(&self) -> Rounds {
        let (count, run_ms, warm_up_ms) = if self.quick {
            (3, 500, 200)
        } else {
            (self.rounds, self.run_ms, self.warm_up_ms)
        };
        Rounds {
            count,
            lasts: Duration::from_millis(run_ms),
            warm_up: Duration::from_millis(warm_up_ms),
        }
    }
}
