//! What the commands do.

mod compare;
mod overload;
mod run;
mod saturate;
mod soak;
mod variants;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use gapless_iso8583::Framing;

use crate::baseline;
use crate::cli::{BaselineArguments, BaselineKind, Cli, Command, DaemonArguments};
use crate::host::{self, POSTGRES};
use crate::running;

/// Exit statuses beside success.
pub mod status {
    /// The machine, or a file to be written, failed.
    pub const FAILED: u8 = 1;
    /// The arguments, or a file that they name, are wrong.
    pub const USAGE: u8 = 2;
    /// An assertion does not hold, money is not right, or the host approved
    /// nothing.
    pub const MISSED: u8 = 3;
}

/// Does what the command line says, and tells it on standard output.
#[must_use]
pub fn main(cli: &Cli) -> ExitCode {
    let done = match &cli.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Baseline(arguments) => serve(arguments),
        Command::Compare(arguments) => compare::compare(arguments),
        Command::Variants(arguments) => variants::variants(arguments),
        Command::Saturate(arguments) => saturate::saturate(arguments),
        Command::Soak(arguments) => soak::soak(arguments),
        Command::Overload(arguments) => overload::overload(arguments),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(fault) => {
            eprintln!("gapless-loadtest: {:#}", fault.error);
            ExitCode::from(fault.status)
        }
    }
}

/// What went wrong, and with which exit status it ends.
struct Fault {
    error: anyhow::Error,
    status: u8,
}

fn usage(error: anyhow::Error) -> Fault {
    Fault {
        error,
        status: status::USAGE,
    }
}

impl From<anyhow::Error> for Fault {
    fn from(error: anyhow::Error) -> Self {
        Self {
            error,
            status: status::FAILED,
        }
    }
}

/// Program and disk of a daemon of one's own; from here on a signal ends the hosts
/// that are started, and takes their folders away.
fn daemon(arguments: &DaemonArguments) -> Result<(PathBuf, PathBuf), Fault> {
    let disk = match &arguments.disk {
        Some(disk) => disk.clone(),
        None => host::default_disk()?,
    };
    host::check_disk(&disk).map_err(usage)?;
    let program = host::program(arguments.gapless.as_ref()).map_err(usage)?;
    running::end_on_signals().context("signals cannot be awaited")?;
    Ok((program, disk))
}

/// Serves until it is killed, and says where.
fn serve(arguments: &BaselineArguments) -> Result<u8, Fault> {
    let framing = Framing {
        tpdu: arguments.tpdu,
        inclusive: arguments.inclusive,
        ..Framing::new(arguments.length.form())
    };
    let listening = |address| println!("listening addr={address}");
    match arguments.kind {
        BaselineKind::Null => baseline::null::run(arguments.listen, framing, listening)?,
        BaselineKind::NullDurable => {
            baseline::durable::run(arguments.listen, framing, &arguments.dir, listening)?;
        }
        BaselineKind::Postgres => {
            let url = arguments.postgres.clone();
            let url = url
                .or_else(|| std::env::var(POSTGRES).ok())
                .with_context(|| format!("--postgres URL or {POSTGRES} is needed"))
                .map_err(usage)?;
            let cards = arguments.cards;
            baseline::postgres::run(arguments.listen, framing, &url, cards, listening)?;
        }
    }
    Ok(0)
}

/// Writes a report.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| path.display().to_string())
}
