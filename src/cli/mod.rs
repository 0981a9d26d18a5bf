//! The command line: `gapless` = `gapless serve`, and the small commands beside it.
//!
//! Exit statuses follow sysexits.h: 0 done, 1 failed, 64 a wrong command line or
//! configuration, 65 wrong input data. Errors are one line on standard error.

mod certs;
mod check_config;
mod clock;
mod dump;
mod entries;
mod extract;
mod health;
mod http;
mod night;
mod progress;
mod serve;
mod verify;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::EXIT_USAGE;

/// Wrong input data (sysexits.h, EX_DATAERR).
const EXIT_DATA: u8 = 65;
/// Anything else that failed.
const EXIT_FAILED: u8 = 1;

/// A debit-card authorisation switch that never closes.
#[derive(Debug, Parser)]
#[command(name = "gapless", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the daemon (what `gapless` does without a command)
    Serve(Serve),
    /// Checks a configuration file and says what it amounts to
    CheckConfig {
        /// The file
        file: PathBuf,
    },
    /// Shows a message field by field, masked
    Dump(Dump),
    /// Recomputes all invariants of a stopped daemon's data from base and journal
    Verify {
        /// The data directory
        #[arg(long, value_name = "DIR", default_value = "data")]
        data_dir: PathBuf,
    },
    /// Asks a running daemon whether it is well: status 0 if so
    Health {
        /// What to ask; /readyz tells whether it is ready for traffic
        #[arg(long, default_value = "http://127.0.0.1:8580/healthz")]
        url: String,
    },
    /// Ends a running daemon's business date: cutover, freeze, seal
    Night(night::Night),
    /// Shows a running daemon's clock, and confirms the wall clock after a jump
    Clock(clock::Clock),
    /// Makes a test CA with certificates for a server and a client
    MakeCerts {
        /// Where they go
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// A name or address of the server, several times if it has several
        #[arg(long, value_name = "NAME", default_values = ["localhost", "127.0.0.1", "::1"])]
        host: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct Serve {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "config/gapless.toml")]
    config: PathBuf,
    /// Where journal, store and keys live; wins over the file's data_dir
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Dump {
    /// The message in hexadecimal, blanks allowed; "-" reads standard input
    frame_hex: String,
    /// Its dialect
    #[arg(long, value_name = "NAME", default_value = "iso87-ascii")]
    dialect: String,
    /// Folder of dialect files, before those built in
    #[arg(long, value_name = "DIR", default_value = "config/dialects")]
    dialects: PathBuf,
    /// The hexadecimal begins with a length, and perhaps a TPDU
    #[arg(long, value_name = "LENGTH", num_args = 0..=1, default_missing_value = "binary2", require_equals = true)]
    framed: Option<dump::Length>,
    /// A TPDU of five bytes follows the length
    #[arg(long, requires = "framed")]
    tpdu: bool,
    /// The length counts its own bytes
    #[arg(long, requires = "framed")]
    inclusive: bool,
}

/// Why a command failed: one line, and the exit status.
#[derive(Debug)]
struct Failure {
    status: u8,
    what: String,
}

impl Failure {
    fn usage(what: impl fmt::Display) -> Self {
        Self {
            status: EXIT_USAGE,
            what: what.to_string(),
        }
    }

    fn data(what: impl fmt::Display) -> Self {
        Self {
            status: EXIT_DATA,
            what: what.to_string(),
        }
    }

    fn failed(what: impl fmt::Display) -> Self {
        Self {
            status: EXIT_FAILED,
            what: what.to_string(),
        }
    }
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are asked for; anything else is a wrong command line.
            let wrong = error.use_stderr();
            let _ = error.print();
            return if wrong {
                ExitCode::from(EXIT_USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let result = match arguments.command {
        None => serve::serve(arguments.serve),
        Some(Command::Serve(serve)) => serve::serve(serve),
        Some(Command::CheckConfig { file }) => check_config::check_config(&file),
        Some(Command::Dump(dump)) => dump::dump(&dump),
        Some(Command::Verify { data_dir }) => verify::verify(&data_dir),
        Some(Command::Health { url }) => health::health(&url),
        Some(Command::Night(asked)) => night::night(&asked),
        Some(Command::Clock(asked)) => clock::clock(&asked),
        Some(Command::MakeCerts { out, host }) => certs::make_certs(&out, &host),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "gapless: {}", failure.what);
            ExitCode::from(failure.status)
        }
    }
}

/// Writes a line to standard output. Nobody reading it is no error of ours.
fn say(line: impl fmt::Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}
