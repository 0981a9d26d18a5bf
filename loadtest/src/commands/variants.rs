//! `variants`: two daemons that differ in one thing.

use super::{Fault, daemon, status, usage, write};
use crate::cli::{VariantsArguments, VariantsKind};
use crate::goal;
use crate::variants::{self, What};

pub(super) fn variants(arguments: &VariantsArguments) -> Result<u8, Fault> {
    let what = match arguments.what {
        VariantsKind::Checkpoints => What::Checkpoints {
            cards: arguments.cards,
        },
        VariantsKind::Accounts if arguments.few < arguments.many => What::Accounts {
            few: arguments.few,
            many: arguments.many,
        },
        VariantsKind::Accounts => {
            let what = "--many: more than --few are needed";
            return Err(usage(anyhow::anyhow!(what)));
        }
    };
    let (program, disk) = daemon(&arguments.daemon)?;
    let variants = variants::Variants {
        program,
        disk,
        rounds: arguments.rounds.rounds(),
        what,
    };
    let seen = variants.run(arguments.report.quiet)?;
    print!("{}", variants.table(&seen));
    if let Some(path) = &arguments.report.json {
        write(path, &format!("{:#}\n", variants.json(&seen)))?;
    }
    if let Some(path) = &arguments.report.html {
        write(path, &variants.html(&seen))?;
    }
    let met = seen.missed() == 0 && goal::all_met(&variants.goals(&seen));
    let missed = arguments.rounds.strict && !met;
    Ok(if missed { status::MISSED } else { 0 })
}
