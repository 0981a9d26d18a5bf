//! `soak`: a daemon of one's own under load for a long time.

use std::time::{Duration, Instant};

use anyhow::Context;

use super::{Fault, daemon, status, write};
use crate::bank::Bank;
use crate::cli::{BankArguments, SoakArguments};
use crate::host::{Host, Settings};
use crate::measure::cards;
use crate::night::Mode;
use crate::open_loop::Control;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::report;
use crate::soak::{self, Limits, Memory};
use crate::timeline::SLICE;

/// Slices of a soak's timeline, about.
const SLICES: u32 = 6_000;

pub(super) fn soak(arguments: &SoakArguments) -> Result<u8, Fault> {
    let (program, disk) = daemon(&arguments.daemon)?;
    let cards = cards(arguments.cards);
    let host = Host::daemon(&program, &disk, &cards, &Settings::default()).context("gapless")?;
    let lasts = Duration::from_secs(arguments.minutes.saturating_mul(60));
    let plan = Plan {
        connections: arguments.connections,
        cards,
        mix: arguments.mix.clone(),
        ledger: true,
        night: arguments.night,
        slice: SLICE.max(lasts / SLICES),
        ..Plan::open(host.address, arguments.rate, lasts)
    };
    let admin = host.admin.context("the daemon named no admin address")?;
    let bank = Bank::new(
        &plan,
        &BankArguments {
            ledger: true,
            night: arguments.night.then_some(Mode::Own),
            admin: format!("http://{admin}"),
            ..BankArguments::default()
        },
    )?;
    print!("{}", report::heading(&plan));
    let control = Control::new(&plan);
    let progress = Progress::new(plan.lasts(), arguments.report.quiet);
    let mut memory = Memory::default();
    let began = Instant::now();
    let (mut outcome, night) = bank.run(&plan, &control, |now| {
        memory.look(host.pid(), began);
        progress.show(now);
    })?;
    progress.finish();
    print!("{}", report::table(&outcome)?);
    let limits = Limits {
        memory_percent: arguments.memory_percent,
        bytes_per_transaction: arguments.transaction_bytes,
        p99_percent: arguments.p99_percent,
    };
    let verdict = soak::judge(&outcome, &memory, limits);
    println!("\n  {}", verdict.told());
    if let Some(night) = &night {
        println!("  {}", night.told());
    }
    let audit = bank.audit(&plan, &mut outcome, night.as_ref())?;
    if let Some(audit) = &audit {
        println!("  {}", audit.told());
    }
    if let Some(path) = &arguments.report.json {
        let mut value = report::json::run(&plan, &outcome)?;
        report::json::add_bank(&mut value, night.as_ref(), audit.as_ref());
        report::json::add(&mut value, "soak", verdict.json(&memory));
        write(path, &format!("{value:#}\n"))?;
    }
    if let Some(path) = &arguments.report.html {
        let title = report::heading(&plan).replace('\n', "; ");
        let html = soak::page(&title, &outcome, &memory, &verdict, audit.as_ref());
        write(path, &html)?;
    }
    let total = outcome.total()?;
    let all_answered = total.lost + total.not_sent + total.late == 0;
    let night_done = night.is_none_or(|night| night.failed.is_none());
    let right = audit.is_some_and(|audit| audit.is_right());
    let good = verdict.memory_flat && verdict.latency_flat && all_answered && night_done && right;
    Ok(if good { 0 } else { status::MISSED })
}
