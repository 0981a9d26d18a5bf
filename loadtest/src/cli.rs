//! The command line.

use std::num::NonZeroU64;

use clap::{Args, Parser, Subcommand, ValueEnum};
use gapless_iso8583::{Dialect, LengthForm};

use crate::mix::Mix;

/// Load on any ISO 8583 host, and what came back.
#[derive(Debug, Parser)]
#[command(name = "gapless-loadtest", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Closed loop: every connection keeps so many requests in flight.
    Run(RunArguments),
}

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArguments {
    /// The host, HOST:PORT.
    #[arg(long, default_value = "127.0.0.1:8583")]
    pub target: String,
    /// The messages' layout.
    #[arg(long, default_value = "iso87-ascii", value_parser = Dialect::BUILTIN_NAMES)]
    pub dialect: String,
    /// How a frame's length is written.
    #[arg(long, value_enum, default_value_t = Length::Binary2)]
    pub length: Length,
    /// The length counts itself.
    #[arg(long)]
    pub inclusive: bool,
    /// Each message follows a TPDU of five bytes.
    #[arg(long)]
    pub tpdu: bool,
    /// Connections at a time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub connections: u32,
    /// Requests in flight on each.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub in_flight: u32,
    /// Threads that share the connections.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: u32,
    /// Sends for so many seconds (5 if --requests is not given either).
    #[arg(long, conflicts_with = "requests")]
    pub seconds: Option<NonZeroU64>,
    /// Sends so many requests in all.
    #[arg(long)]
    pub requests: Option<NonZeroU64>,
    /// A request without an answer for so long is given up.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub timeout_ms: u64,
    /// Cards to choose from, with indexes from 0 on: PAN = prefix, nine digits of
    /// index, Luhn digit.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
    pub cards: u32,
    /// First six digits of the PANs.
    #[arg(long, default_value_t = 941_000, value_parser = clap::value_parser!(u32).range(0..=999_999))]
    pub pan_prefix: u32,
    /// Account of the card with index 0; the others follow in order.
    #[arg(long, default_value_t = 1_000_000_000)]
    pub first_account: u64,
    /// Shares by type: purchase, cash, refund, balance, transfer.
    #[arg(long, default_value = "purchase=80,balance=10,transfer=10")]
    pub mix: Mix,
    /// Amount of each request in minor units.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(0..=999_999_999_999))]
    pub amount: u64,
    /// Currency of the amount, ISO 4217 numeric.
    #[arg(long, default_value_t = 410, value_parser = clap::value_parser!(u16).range(0..=999))]
    pub currency: u16,
    /// Seed of the random choices.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// How a frame's length is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Length {
    /// Two bytes, big-endian.
    Binary2,
    /// Four ASCII digits.
    Ascii4,
    /// Two bytes of packed digits.
    Bcd2,
}

impl Length {
    /// As the codec knows it.
    #[must_use]
    pub const fn form(self) -> LengthForm {
        match self {
            Self::Binary2 => LengthForm::Binary2,
            Self::Ascii4 => LengthForm::Ascii4,
            Self::Bcd2 => LengthForm::Bcd2,
        }
    }
}
