//! The command line.

mod build;
mod own;

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use gapless_iso8583::LengthForm;

use crate::mix::Mix;
use crate::night::Mode;
use crate::plan::MAX_IN_FLIGHT;
use crate::schedule::Spacing;

pub use own::{
    CompareArguments, DaemonArguments, OverloadArguments, RoundsArguments, SoakArguments,
    VariantsArguments, VariantsKind,
};

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
    /// One run: in a closed loop, or with --rate in an open one.
    Run(RunArguments),
    /// A server to compare with, on this machine.
    Baseline(BaselineArguments),
    /// null, null-durable and the daemon in turns, all started by this command.
    Compare(CompareArguments),
    /// Two daemons that differ in one thing, in turns: few and many accounts, without
    /// and with checkpoints.
    Variants(VariantsArguments),
    /// The highest rate at which p99 stays under a bound.
    Saturate(SaturateArguments),
    /// A long run: flat memory, flat latency, right books.
    Soak(SoakArguments),
    /// Three times what a host takes: what is accepted keeps its bound, the rest is
    /// refused at once, and nothing of it is left afterwards.
    Overload(OverloadArguments),
}

/// Arguments of `saturate`.
#[derive(Clone, Debug, Args)]
pub struct SaturateArguments {
    /// Whom to load.
    #[command(flatten)]
    pub host: HostArguments,
    /// With what.
    #[command(flatten)]
    pub traffic: TrafficArguments,
    /// Connections at a time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub connections: u32,
    /// Threads that share the connections.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: u32,
    /// p99 must stay under this.
    #[arg(long, default_value_t = 10_000, value_name = "MICROSECONDS", value_parser = clap::value_parser!(u64).range(1..=600_000_000))]
    pub p99_us: u64,
    /// The first rate; it doubles until one is not held.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub from: u64,
    /// The highest rate to try.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub to: u64,
    /// How long each rate is held.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub step_seconds: u64,
    /// How arrivals are spaced.
    #[arg(long, value_enum, default_value_t = Spacing::Even)]
    pub spacing: Spacing,
    /// What to tell.
    #[command(flatten)]
    pub report: ReportArguments,
}

/// Arguments of `baseline`.
#[derive(Clone, Debug, Args)]
pub struct BaselineArguments {
    /// What it does with a request before it sends it back.
    #[arg(value_enum)]
    pub kind: BaselineKind,
    /// Where to listen; port 0 takes any free port.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// How a frame's length is written.
    #[arg(long, value_enum, default_value_t = Length::Binary2)]
    pub length: Length,
    /// The length counts itself.
    #[arg(long)]
    pub inclusive: bool,
    /// Each message follows a TPDU of five bytes.
    #[arg(long)]
    pub tpdu: bool,
    /// null-durable: the folder of its file (256 MiB), on the disk that is to be
    /// judged.
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    /// postgres: the server, as in postgres://user:password@host/database; the
    /// schema gapless_loadtest in it is made anew. Or the environment variable
    /// GAPLESS_LOADTEST_POSTGRES, which nobody else can read.
    #[arg(long, value_name = "URL")]
    pub postgres: Option<String>,
    /// postgres: cards with a balance.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=99_000_000))]
    pub cards: u32,
}

/// Servers to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BaselineKind {
    /// Nothing.
    Null,
    /// Makes its bytes durable: group commit, fdatasync.
    NullDurable,
    /// One PostgreSQL transaction: UPDATE of the balance, INSERT of the
    /// authorisation.
    Postgres,
}

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArguments {
    /// Whom to load.
    #[command(flatten)]
    pub host: HostArguments,
    /// How much.
    #[command(flatten)]
    pub load: LoadArguments,
    /// With what.
    #[command(flatten)]
    pub traffic: TrafficArguments,
    /// Whether money is right, and the night.
    #[command(flatten)]
    pub bank: BankArguments,
    /// What to tell.
    #[command(flatten)]
    pub report: ReportArguments,
    /// What must hold, as in 'p99<5ms' or 'lost=0'; may stand several times.
    /// Otherwise the exit status is 3.
    #[arg(long = "assert", value_name = "CONDITION", help_heading = "Report")]
    pub asserts: Vec<crate::assertion::Assertion>,
}

/// What is asked of the bank behind the host.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Bank")]
pub struct BankArguments {
    /// Keeps own books, and compares them with the host's when the run has ended:
    /// nobody else may use these accounts meanwhile.
    #[arg(long)]
    pub ledger: bool,
    /// A night in the middle: of one's own (cutover, freeze, some entries, seal),
    /// or somebody else's that is waited for.
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "own")]
    pub night: Option<Mode>,
    /// The batch's entries of that night (id,account,currency,amount_minor): posted
    /// in one's own, else only booked.
    #[arg(long, value_name = "CSV", requires = "night")]
    pub night_entries: Option<PathBuf>,
    /// The host's admin side, for --ledger and --night.
    #[arg(long, default_value = "http://127.0.0.1:8580", value_name = "URL")]
    pub admin: String,
    /// File with its bearer token.
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
}

/// Whom to load, and how it is spoken to.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Host")]
pub struct HostArguments {
    /// The host, HOST:PORT.
    #[arg(long, default_value = "127.0.0.1:8583")]
    pub target: String,
    /// The messages' layout: a built-in dialect's name, or the path of a dialect
    /// file (NAME.toml).
    #[arg(long, default_value = "iso87-ascii")]
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
    /// Speak TLS, and trust what this authority (PEM) has signed.
    #[arg(long, value_name = "PEM")]
    pub tls_ca: Option<PathBuf>,
    /// The name in the host's certificate (the host's own if not given).
    #[arg(long, requires = "tls_ca", value_name = "NAME")]
    pub tls_name: Option<String>,
    /// A certificate of one's own, if the host asks for one.
    #[arg(long, requires_all = ["tls_ca", "tls_key"], value_name = "PEM")]
    pub tls_cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, requires = "tls_cert", value_name = "PEM")]
    pub tls_key: Option<PathBuf>,
    /// The host sends requests back as they are, as the baselines do: such a copy
    /// counts as an approval.
    #[arg(long)]
    pub echo: bool,
    /// An answer that takes longer is late; after twice the time its request is
    /// given up as lost.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub timeout_ms: u64,
}

/// How much load.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Load")]
pub struct LoadArguments {
    /// Open loop: so many requests a second over all connections, whatever the
    /// host does. Several, as in 1000,5000,10000: one after the other, --seconds
    /// each.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub rate: Vec<u64>,
    /// Open loop: how arrivals are spaced.
    #[arg(long, value_enum, default_value_t = Spacing::Even, requires = "rate")]
    pub spacing: Spacing,
    /// Connections at a time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub connections: u32,
    /// Closed loop: requests in flight on each connection (32 if not given). Open
    /// loop: at most so many (8192).
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_IN_FLIGHT)))]
    pub in_flight: Option<u32>,
    /// Threads that share the connections.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: u32,
    /// Sends for so many seconds (5 if --requests is not given either).
    #[arg(long, conflicts_with = "requests")]
    pub seconds: Option<NonZeroU64>,
    /// Closed loop: sends so many requests in all.
    #[arg(long, conflicts_with = "rate")]
    pub requests: Option<NonZeroU64>,
    /// Sends for so many seconds before; what comes of it is not counted.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub warm_up_seconds: u64,
}

/// What is sent.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Traffic")]
pub struct TrafficArguments {
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
    /// Cards from a file as the daemon imports it (pan,expiry,account,status)
    /// instead of a range; cards that are not active are left out.
    #[arg(long, value_name = "CSV", conflicts_with_all = ["cards", "pan_prefix", "first_account"])]
    pub cards_file: Option<PathBuf>,
    /// A few cards most of the time: Zipf's law with this exponent. Without it all
    /// cards alike.
    #[arg(long, value_name = "EXPONENT")]
    pub zipf: Option<f64>,
    /// Shares by type: purchase, cash, refund, balance, transfer, advice, reversal,
    /// repeat.
    #[arg(long, default_value = "purchase=80,balance=10,transfer=10")]
    pub mix: Mix,
    /// Shares and amounts from a file.
    #[arg(long, value_name = "TOML", conflicts_with_all = ["mix", "amount"])]
    pub mix_file: Option<PathBuf>,
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

/// What is told at the end.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Report")]
pub struct ReportArguments {
    /// Everything, for machines.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Everything, with plots, for people: one file with nothing beside it.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// No progress bar.
    #[arg(long, short)]
    pub quiet: bool,
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
