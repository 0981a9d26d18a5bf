//! `run`: one run.

use super::{Fault, status, usage, write};
use crate::assertion::{Assertion, Facts};
use crate::bank::Bank;
use crate::cli::RunArguments;
use crate::open_loop::{Control, Outcome};
use crate::page::Tile;
use crate::progress::Progress;
use crate::report::{self, per_second};
use crate::schedule::ns_of;

pub(super) fn run(arguments: &RunArguments) -> Result<u8, Fault> {
    let plan = arguments.plan().map_err(usage)?;
    let bank = Bank::new(&plan, &arguments.bank)?;
    print!("{}", report::heading(&plan));
    let control = Control::new(&plan);
    let progress = Progress::new(plan.lasts(), arguments.report.quiet);
    let (mut outcome, night) = bank.run(&plan, &control, |now| progress.show(now))?;
    progress.finish();
    print!("{}", report::table(&outcome)?);
    let mut checks = judge(&outcome, &arguments.asserts)?;
    if let Some(night) = &night {
        println!("\n  {}", night.told());
        checks.hold &= night.failed.is_none();
    }
    let audit = bank.audit(&plan, &mut outcome, night.as_ref())?;
    if let Some(audit) = &audit {
        println!("\n  {}", audit.told());
        checks.hold &= audit.is_right();
        let figure = if audit.is_right() {
            "right"
        } else {
            "NOT RIGHT"
        };
        let label = format!(
            "money, {} accounts compared",
            report::grouped(audit.compared.into())
        );
        checks
            .tiles
            .push(Tile::judged(figure, label, audit.is_right()));
    }
    if let Some(path) = &arguments.report.json {
        let mut value = report::json::run(&plan, &outcome)?;
        report::json::add_bank(&mut value, night.as_ref(), audit.as_ref());
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

fn judge(outcome: &Outcome, asserts: &[Assertion]) -> anyhow::Result<Checks> {
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
    if !asserts.is_empty() {
        println!();
    }
    for assertion in asserts {
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
