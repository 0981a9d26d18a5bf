//! `saturate`: how much a host takes.

use std::time::Duration;

use super::{Fault, status, usage, write};
use crate::cli::SaturateArguments;
use crate::progress::Progress;
use crate::report::grouped;
use crate::saturation::Search;

/// The best rate is known to a sixteenth of it.
const PRECISION: u64 = 16;

pub(super) fn saturate(arguments: &SaturateArguments) -> Result<u8, Fault> {
    let plan = arguments.plan().map_err(usage)?;
    let search = Search {
        plan,
        bound: Duration::from_micros(arguments.p99_us),
        from: arguments.from,
        to: arguments.to.max(arguments.from),
        step: Duration::from_secs(arguments.step_seconds),
        spacing: arguments.spacing,
        precision: PRECISION,
    };
    println!(
        "{} ({}), p99 under {} us, from {}/s on, {} connections",
        search.plan.target,
        search.plan.dialect.name(),
        grouped(arguments.p99_us),
        grouped(search.from),
        search.plan.connections
    );
    let progress = Progress::new(None, arguments.report.quiet);
    let found = search.run(|rate, now| progress.show_as(&format!("{}/s:", grouped(rate)), now))?;
    progress.finish();
    print!("{}", found.table(&search));
    if let Some(path) = &arguments.report.json {
        write(path, &format!("{:#}\n", found.json(&search)))?;
    }
    if let Some(path) = &arguments.report.html {
        write(path, &found.html(&search))?;
    }
    Ok(if found.best.is_some() {
        0
    } else {
        status::MISSED
    })
}
