//! What the commands do.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use crate::assertion::{Assertion, Facts};
use crate::cli::{Cli, Command, ReportArguments, RunArguments};
use crate::open_loop::{self, Control, Outcome};
use crate::page::Tile;
use crate::progress::Progress;
use crate::report::{self, per_second};
use crate::schedule::ns_of;

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
    let Command::Run(arguments) = &cli.command;
    match run(arguments) {
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

fn run(arguments: &RunArguments) -> Result<u8, Fault> {
    let plan = arguments.plan().map_err(usage)?;
    print!("{}", report::heading(&plan));
    let control = Control::new(&plan);
    let progress = Progress::new(plan.lasts(), arguments.report.quiet);
    let outcome = open_loop::run(&plan, &control, |now| progress.show(now))?;
    progress.finish();
    print!("{}", report::table(&outcome)?);
    let checks = judge(&outcome, &arguments.report)?;
    if let Some(path) = &arguments.report.json {
        let value = report::json::run(&plan, &outcome)?;
        write(path, &format!("{value:#}\n"))?;
    }
    if let Some(path) = &arguments.report.html {
        write(path, &report::html::run(&plan, &outcome, &checks.tiles)?)?;
    }
    // A host that approves nothing was not measured.
    let missed = !checks.hold || outcome.sums.accepted == 0;
    Ok(if missed { status::MISSED } else { 0 })
}

/// What had to hold.
struct Checks {
    tiles: Vec<Tile>,
    hold: bool,
}

fn judge(outcome: &Outcome, arguments: &ReportArguments) -> anyhow::Result<Checks> {
    let total = outcome.total()?;
    let facts = Facts {
        total: &total,
        answered_per_second: per_second(total.answered_all(), outcome.measured()),
        longest_gap_us: outcome.timeline.longest_gap_us(0, ns_of(outcome.elapsed)),
    };
    let mut checks = Checks {
        tiles: Vec::new(),
        hold: true,
    };
    if !arguments.asserts.is_empty() {
        println!();
    }
    for assertion in &arguments.asserts {
        let (holds, figure) = Assertion::judge(assertion, &facts);
        let word = if holds { "holds" } else { "MISSED" };
        println!("  assert {assertion}: {word} ({figure})");
        checks
            .tiles
            .push(Tile::judged(figure, assertion.to_string(), holds));
        checks.hold &= holds;
    }
    Ok(checks)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| path.display().to_string())
}
