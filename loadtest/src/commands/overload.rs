//! `overload`: more than a host takes, and what becomes of it.

use std::time::Duration;

use anyhow::{Context, ensure};

use super::{Fault, daemon, status, usage, write};
use crate::bank::Bank;
use crate::cli::{BankArguments, OverloadArguments};
use crate::host::{Host, Settings};
use crate::open_loop::Control;
use crate::overload::{self, Overload, Seen};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::report::{self, grouped};
use crate::{goal, open_loop};

pub(super) fn overload(arguments: &OverloadArguments) -> Result<u8, Fault> {
    let (plan, admin, _host) = host(arguments)?;
    let bound = Duration::from_millis(arguments.wait_ms.into());
    let plan = Plan {
        connections: arguments.connections,
        threads: arguments.threads.min(arguments.connections),
        bound: Some(bound),
        ..plan
    };
    let quiet = arguments.report.quiet;
    let capacity = match arguments.capacity {
        Some(capacity) => capacity,
        None => capacity(&plan, Duration::from_secs(arguments.probe_seconds), quiet)?,
    };
    let overload = Overload {
        plan,
        bound,
        capacity,
        times: arguments.times,
        lasts: [
            arguments.before_seconds,
            arguments.overload_seconds,
            arguments.after_seconds,
        ]
        .map(Duration::from_secs),
    };
    let plan = overload.plan();
    // After the trial, whose money these books know already.
    let bank = Bank::new(
        &plan,
        &BankArguments {
            ledger: true,
            admin,
            admin_token_file: arguments.admin_token_file.clone(),
            ..BankArguments::default()
        },
    )?;
    println!("{}", overload.heading());
    let progress = Progress::new(plan.lasts(), quiet);
    let control = Control::new(&plan);
    let (mut outcome, _) = bank.run(&plan, &control, |now| progress.show(now))?;
    progress.finish();
    let audit = bank
        .audit(&plan, &mut outcome, None)?
        .context("there are books")?;
    let seen = Seen::new(&overload, outcome, audit)?;
    print!("{}", seen.table());
    if let Some(path) = &arguments.report.json {
        let mut value = report::json::run(&plan, &seen.outcome)?;
        report::json::add_bank(&mut value, None, Some(&seen.audit));
        report::json::add(&mut value, "overload", seen.json(&overload));
        write(path, &format!("{value:#}\n"))?;
    }
    if let Some(path) = &arguments.report.html {
        write(path, &overload::page(&overload, &seen))?;
    }
    let missed = arguments.strict && !goal::all_met(&seen.goals);
    Ok(if missed { status::MISSED } else { 0 })
}

/// Whom to load, where his books are, and the daemon, if it is one of ours.
fn host(arguments: &OverloadArguments) -> Result<(Plan, String, Option<Host>), Fault> {
    if arguments.running {
        let plan = arguments.plan().map_err(usage)?;
        return Ok((plan, arguments.admin.clone(), None));
    }
    let (program, disk) = daemon(&arguments.daemon)?;
    // Its address is known when it runs.
    let unknown = ([127, 0, 0, 1], 0).into();
    let plan = arguments.traffic.plan(unknown).map_err(usage)?;
    let settings = Settings {
        events_per_s: arguments.throttle,
        journal_wait_ms: Some(arguments.wait_ms),
        ..Settings::default()
    };
    let host = Host::daemon(&program, &disk, &plan.cards, &settings).context("gapless")?;
    let admin = host.admin.context("the daemon named no admin address")?;
    let plan = Plan {
        target: host.address.to_string(),
        address: host.address,
        timeout: Duration::from_millis(arguments.host.timeout_ms),
        ..plan
    };
    Ok((plan, format!("http://{admin}"), Some(host)))
}

/// What the host approves in a second when it is asked for all it can.
fn capacity(plan: &Plan, lasts: Duration, quiet: bool) -> anyhow::Result<u64> {
    let plan = overload::trial(plan, lasts);
    let progress = Progress::new(plan.lasts(), quiet);
    let outcome = open_loop::run(&plan, &Control::new(&plan), |now| {
        progress.show_as("what it takes:", now);
    })?;
    progress.finish();
    let capacity = report::per_second(outcome.total()?.accepted, outcome.measured());
    ensure!(
        capacity > 1,
        "the host approves {} requests a second",
        grouped(capacity)
    );
    Ok(capacity)
}
