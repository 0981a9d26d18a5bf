//! The command line of `network`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use gapless_simulators::network::{
    Cutover, CutoverDate, Framing, NetworkFile, Options, Outage, Profile, Reconciliation,
};
use jiff::civil::{Date, Time};

const EXIT_CODES: &str = "\
Exit status:
  0    everything was answered, nothing was wrong, all totals are in balance;
       of the single commands: answered 00 (reconcile: and in balance)
  1    anything else
  64   the command line is wrong; nothing was sent
  101  of the single commands: no answer
  102  no host to sign on to
  105  what the network remembers cannot be used";

/// A card network, speaking ISO 8583:1987 (ASCII, binary bitmaps) through the
/// crate iso8583_rs. One process for each network at a time: it keeps the
/// network's totals.
#[derive(Debug, Parser)]
#[command(name = "network", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub network: NetworkArgs,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Named {
    East,
    West,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Dialect {
    #[value(name = "iso87-ascii")]
    Iso87Ascii,
}

/// Which network, and where its host is.
#[derive(Debug, Args)]
pub struct NetworkArgs {
    /// A network of config/networks.toml; what follows changes parts of it
    #[arg(long, global = true, value_enum, default_value = "east")]
    profile: Named,
    /// What reports, and the file of what it remembers, call it
    #[arg(long, global = true)]
    name: Option<String>,
    /// Its host
    #[arg(long, global = true, value_name = "HOST:PORT")]
    addr: Option<String>,
    /// binary2, ascii4 or bcd2; +own where the length counts itself
    #[arg(long, global = true)]
    framing: Option<Framing>,
    /// The dialect that this simulator speaks
    #[arg(long, global = true, value_enum, default_value = "iso87-ascii")]
    dialect: Dialect,
    /// DE 15 of its cutover message: new or ended
    #[arg(long, global = true, value_name = "WHICH")]
    cutover_date: Option<CutoverDate>,
    /// Its totals as a request (0500) or an advice (0520)
    #[arg(long, global = true, value_name = "HOW")]
    reconciliation: Option<Reconciliation>,
    /// Zone of its settlement dates
    #[arg(long, global = true)]
    zone: Option<String>,
    /// DE 32
    #[arg(long, global = true)]
    acquirer: Option<String>,
    /// Seconds after which an answer is late
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    answer_timeout: Option<u64>,
    /// File of what it remembers [default: network-NAME.json in the user's state folder]
    #[arg(long, global = true, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Remember nothing: for a host that has started anew
    #[arg(long, global = true, conflicts_with = "state")]
    no_state: bool,
}

impl NetworkArgs {
    pub fn profile(&self) -> Result<Profile, String> {
        let Dialect::Iso87Ascii = self.dialect;
        let name = match self.profile {
            Named::East => "east",
            Named::West => "west",
        };
        let mut profile = Profile::named(name).ok_or("no such profile")?;
        let set = |to: &mut String, from: &Option<String>| {
            if let Some(from) = from {
                from.clone_into(to);
            }
        };
        set(&mut profile.name, &self.name);
        set(&mut profile.address, &self.addr);
        set(&mut profile.zone, &self.zone);
        set(&mut profile.acquirer, &self.acquirer);
        profile.framing = self.framing.unwrap_or(profile.framing);
        profile.cutover_date = self.cutover_date.unwrap_or(profile.cutover_date);
        profile.reconciliation = self.reconciliation.unwrap_or(profile.reconciliation);
        if let Some(seconds) = self.answer_timeout {
            profile.answer_timeout = Duration::from_secs(seconds);
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if profile.name.is_empty() || !profile.name.chars().all(plain) {
            return Err("--name takes letters, digits, - and _".to_owned());
        }
        let digits = profile.acquirer.bytes().all(|b| b.is_ascii_digit());
        if !digits || profile.acquirer.is_empty() || profile.acquirer.len() > 11 {
            return Err("--acquirer takes 1 to 11 digits".to_owned());
        }
        Ok(profile)
    }

    /// Where it remembers; nowhere if so asked.
    pub fn file(&self, profile: &Profile) -> Option<NetworkFile> {
        match &self.state {
            _ if self.no_state => None,
            Some(path) => Some(NetworkFile::at(path)),
            None => Some(NetworkFile::of_network(&profile.name)),
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send traffic, and everything that goes with it
    Run(RunArgs),
    /// Sign on (0800, 001)
    SignOn,
    /// Sign off (0800, 002)
    SignOff,
    /// Ask whether the host is there (0800, 301)
    Echo,
    /// Cut over (0800, 201)
    Cutover {
        /// The settlement date that begins [default: the day after the current one]
        #[arg(long)]
        date: Option<Date>,
    },
    /// Compare a settlement date's totals as they are remembered
    Reconcile {
        /// The settlement date
        #[arg(long)]
        date: Date,
    },
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Transactions a second, whatever the host does
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Seconds of traffic [default: until Ctrl-C]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    seconds: Option<u64>,
    /// Cut over at that time of the network's zone
    #[arg(long, value_name = "HH:MM[:SS]", value_parser = time, conflicts_with = "cutover_after")]
    cutover_at: Option<Time>,
    /// Cut over so many seconds after the traffic has begun
    #[arg(long, value_name = "SECONDS")]
    cutover_after: Option<u64>,
    /// Lose the line after so many seconds, and stand in
    #[arg(long, value_name = "SECONDS", requires = "disconnect_for")]
    disconnect_after: Option<u64>,
    /// ... for so many seconds
    #[arg(
        long = "for",
        id = "disconnect_for",
        value_name = "SECONDS",
        requires = "disconnect_after"
    )]
    disconnect_for: Option<u64>,
    /// The settlement date to begin with [default: as remembered, or by the calendar]
    #[arg(long)]
    date: Option<Date>,
    /// Use the first so many demo cards
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    cards: u32,
    /// Traffic is the same for the same seed [default: by the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// Compare only settlement dates that have ended
    #[arg(long)]
    ended_only: bool,
    /// Seconds to wait for missing answers at the end
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Forget what the network remembers: for a host that has started anew
    #[arg(long)]
    pub forget: bool,
}

fn time(text: &str) -> Result<Time, String> {
    let parsed = match text.len() {
        5 => Time::strptime("%H:%M", text),
        _ => Time::strptime("%H:%M:%S", text),
    };
    parsed.map_err(|_| "HH:MM or HH:MM:SS".to_owned())
}

impl RunArgs {
    pub fn options(&self, profile: Profile) -> Result<Options, String> {
        let seconds = |n: u64| Duration::from_secs(n);
        let ends = self.seconds.unwrap_or(u64::MAX);
        if self.cutover_after.is_some_and(|after| after >= ends) {
            return Err("--cutover-after must come before --seconds are over".to_owned());
        }
        if self.disconnect_after.is_some_and(|after| after >= ends) {
            return Err("--disconnect-after must come before --seconds are over".to_owned());
        }
        let outage = self.disconnect_after.zip(self.disconnect_for);
        let at = self.cutover_at.map(Cutover::At);
        let after = self.cutover_after.map(|n| Cutover::After(seconds(n)));
        let by_clock = || jiff::Timestamp::now().as_millisecond().unsigned_abs();
        Ok(Options {
            rate: self.rate,
            lasts: self.seconds.map(seconds),
            cutover: at.or(after),
            outage: outage.map(|(after, lasts)| Outage {
                after: seconds(after),
                lasts: seconds(lasts),
            }),
            date: self.date,
            cards: self.cards,
            seed: self.seed.unwrap_or_else(by_clock),
            reconcile_current: !self.ended_only,
            patience: seconds(self.patience),
            ..Options::new(profile)
        })
    }
}
