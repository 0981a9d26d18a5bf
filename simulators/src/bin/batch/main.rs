//! Core-banking batch simulator.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use gapless_simulators::batch::{self, BatchError, CrashPoint, Event, Options, Rates};
use gapless_simulators::quiet;
use jiff::civil::Date;

const OK: u8 = 0;
const WRONG: u8 = 1;
const USAGE: u8 = 64;
const REFUSED: u8 = 65;
const AWAY: u8 = 69;
const CRASHED: u8 = 70;

const EXIT_CODES: &str = "\
Exit status:
  0    the date is sealed, now or before
  1    the extract is wrong, or entries were refused: somebody must look
  64   the command line is wrong
  65   the daemon refused a step, or the window did not come
  69   the daemon is away
  70   crashed, as --crash-at said
After each of them it may be run again.";

/// The bank's nightly job: waits for the window, reads and checks the extract,
/// computes interest and fees, posts them, seals the date.
#[derive(Debug, Parser)]
#[command(name = "batch", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Close a business date
    Run(RunArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The daemon's admin address
    #[arg(long, default_value = "http://127.0.0.1:8580")]
    url: String,
    /// File with the admin token, if the daemon has one
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The date to close [default: the one that closes next]
    #[arg(long)]
    date: Option<Date>,
    /// Order the cutover, rather than wait for the bank's clock
    #[arg(long)]
    cutover: bool,
    /// Order the freeze, rather than wait for the end of the grace
    #[arg(long)]
    freeze: bool,
    /// Spread the entries over so many seconds
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    seconds: u64,
    /// Take so many seconds longer
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    overrun: u64,
    /// Fall over at: extract, entries or seal
    #[arg(long, value_name = "WHERE")]
    crash_at: Option<CrashPoint>,
    /// Interest a year on positive balances, in basis points
    #[arg(long, default_value_t = Rates::default().credit_bp, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    rate_bp: u32,
    /// Interest a year on negative balances, in basis points
    #[arg(long, default_value_t = Rates::default().overdraft_bp, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    overdraft_rate_bp: u32,
    /// Fee a day for a negative balance, in minor units
    #[arg(long, default_value_t = Rates::default().overdraft_fee_minor)]
    overdraft_fee: u32,
    /// Entries in one request
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    chunk: u32,
    /// Seconds to wait for the window
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    wait: u64,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl RunArgs {
    fn options(&self) -> Result<Options, String> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path)
                .map(|token| token.trim().to_owned())
                .map_err(|e| format!("{}: {e}", path.display()))
        };
        Ok(Options {
            token: self.token_file.as_ref().map(read).transpose()?,
            date: self.date,
            cutover: self.cutover,
            freeze: self.freeze,
            spread: Duration::from_secs(self.seconds),
            overrun: Duration::from_secs(self.overrun),
            crash_at: self.crash_at,
            rates: Rates {
                credit_bp: self.rate_bp,
                overdraft_bp: self.overdraft_rate_bp,
                overdraft_fee_minor: self.overdraft_fee,
            },
            chunk: usize::try_from(self.chunk).unwrap_or(usize::MAX),
            wait: Duration::from_secs(self.wait),
            ..Options::new(&self.url)
        })
    }
}

fn main() -> ExitCode {
    let cli: Cli = match quiet::arguments() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    quiet::hide_panics("batch");
    let Command::Run(args) = &cli.command;
    let options = match args.options() {
        Ok(options) => options,
        Err(why) => return fail(USAGE, &why),
    };
    match batch::run(&options, &mut show) {
        Ok(report) => {
            print(&report.to_string());
            if let Some(path) = &args.json {
                let json = serde_json::to_string_pretty(&report).unwrap_or_default();
                if let Err(e) = std::fs::write(path, json + "\n") {
                    return fail(USAGE, &format!("{}: {e}", path.display()));
                }
            }
            ExitCode::from(OK)
        }
        Err(error) => {
            let status = match error {
                BatchError::NoWindow { .. }
                | BatchError::Unknown { .. }
                | BatchError::Refused { .. } => REFUSED,
                BatchError::Away(_) => AWAY,
                BatchError::Crashed(_) => CRASHED,
                BatchError::Wrong(_) | BatchError::File(_) => WRONG,
            };
            fail(status, &error.to_string())
        }
    }
}

fn fail(status: u8, why: &str) -> ExitCode {
    eprintln!("batch: {why}");
    ExitCode::from(status)
}

fn show(event: &Event) {
    match event {
        Event::Window { date, standing } => print(&format!("{date} is {standing}\n")),
        Event::Downloaded(file) => print(&format!("{}: {} rows\n", file.name, file.rows)),
        Event::Checked(_) => print("the extract is right: files, trial balance, balances\n"),
        Event::Computed { entries } => print(&format!("{entries} entries computed\n")),
        Event::Posted { so_far, of } => {
            let done = so_far.posted + so_far.repeated;
            // For people only: it writes over itself.
            if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
                eprint!("\r{done} of {of} entries\r");
            }
        }
        Event::Overrunning { seconds } => print(&format!("overrunning, {seconds} s more\n")),
        Event::Sealed { date, repeated } => {
            let again = if *repeated { " (before)" } else { "" };
            print(&format!("{date} is sealed{again}\n"));
        }
    }
}

/// A reader who has gone must not change the exit status.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
