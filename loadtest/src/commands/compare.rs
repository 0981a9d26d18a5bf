//! `compare`: the daemon beside the baselines.

use super::{Fault, daemon, status, write};
use crate::cli::CompareArguments;
use crate::compare::{self, CELLS, Cell, Comparison};
use crate::host;

pub(super) fn compare(arguments: &CompareArguments) -> Result<u8, Fault> {
    let (program, disk) = daemon(&arguments.daemon)?;
    let wanted =
        |(number, _): &(u64, Cell)| arguments.cells.is_empty() || arguments.cells.contains(number);
    let comparison = Comparison {
        program,
        disk,
        rounds: arguments.rounds.rounds(),
        cards: arguments.cards,
        postgres: arguments
            .postgres
            .clone()
            .or_else(|| std::env::var(host::POSTGRES).ok()),
        cells: (1..)
            .zip(CELLS)
            .filter(wanted)
            .map(|(_, cell)| cell)
            .collect(),
    };
    let samples = comparison.run(arguments.report.quiet)?;
    let (text, met) = compare::table(&comparison, &samples);
    print!("{text}");
    if let Some(path) = &arguments.report.json {
        let value = compare::json(&comparison, &samples);
        write(path, &format!("{value:#}\n"))?;
    }
    if let Some(path) = &arguments.report.html {
        write(path, &compare::html(&comparison, &samples))?;
    }
    let missed = arguments.rounds.strict && !met;
    Ok(if missed { status::MISSED } else { 0 })
}
