//! `cargo demo`: a compressed day with its night, over real TCP, in under a minute.
//!
//! Starts the daemon (this very program as the command `gapless`, in a process of
//! its own), sends terminals' and networks' traffic, lives through cutover, batch
//! and seal, and shows it live; at the end a report in the terminal and as a page.

mod actors;
mod admin;
mod bank;
mod report;
mod scene;
mod screen;
mod verdict;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use clap::Parser;
use gapless_loadtest::open_loop::Control;
use gapless_simulators::{batch, network, quiet};

use actors::Sender;
use admin::Admin;
use bank::{Daemon, Evening};
use scene::{Stage, Stageplay};
use screen::Screen;
use verdict::Verdict;

/// A day with its night: payments go on while the bank closes its books.
#[derive(Debug, Parser)]
#[command(name = "cargo demo")]
struct Arguments {
    /// Terminal requests a second
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=50_000))]
    rate: u64,
    /// Transactions a second of each network
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    network_rate: u32,
    /// How long the batch takes
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=600))]
    batch: u64,
    /// Where the page with the plots goes
    #[arg(long, value_name = "FILE", default_value = "target/demo.html")]
    report: PathBuf,
    /// Keep the bank's data, in this folder, which must not be there yet
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// The day before the cutover: the daemon starts in it, too.
const DAY: Duration = Duration::from_secs(12);
/// From the bank's cutover to the freeze.
const GRACE: Duration = Duration::from_secs(4);
/// East cuts over so long before the bank, west so long after it.
const EAST_BEFORE: Duration = Duration::from_secs(3);
const WEST_AFTER: Duration = Duration::from_secs(9);
/// Of the next day.
const MORNING: Duration = Duration::from_secs(9);
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// The night must be over so long after the batch should have sealed.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    // The same binary is the daemon and its verification.
    if let Some("serve" | "verify") = std::env::args().nth(1).as_deref() {
        return gapless::cli::main();
    }
    let arguments = Arguments::parse();
    quiet::hide_panics("demo");
    let prepared = quiet::prepare().map_err(|why| anyhow!("setting iso8583_rs up: {why}"));
    match prepared.and_then(|()| run(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nobody noticed the night.
fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let temporary = tempfile::tempdir().context("making a folder for the demo")?;
    let folder = match &arguments.keep {
        Some(folder) => {
            std::fs::create_dir(folder).with_context(|| format!("making {}", folder.display()))?;
            folder.clone()
        }
        None => temporary.path().to_owned(),
    };
    println!("starting a daemon with 10,000 demo cards ...");
    let evening = Evening {
        cutover_in: DAY,
        grace: GRACE,
    };
    let dusk = Instant::now() + DAY;
    let daemon = Daemon::start(&folder, evening)?;
    let (play, day) = live(arguments, &daemon, dusk)?;
    daemon.stop()?;
    println!("verifying ...");
    let verdict = Verdict {
        traffic: day.traffic,
        networks: day.networks,
        batch: day.batch,
        trial_balance: day.trial_balance,
        verified: bank::verify(&folder)?,
        scene: std::mem::take(&mut *play.scene()),
    };
    print!("{}", report::text(&verdict));
    if let Some(parent) = arguments.report.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    }
    std::fs::write(&arguments.report, report::page(&verdict))
        .with_context(|| format!("writing {}", arguments.report.display()))?;
    println!("The same with plots: {}", arguments.report.display());
    Ok(verdict.complaints().is_empty())
}

/// What the day brought.
struct Day {
    traffic: gapless_loadtest::open_loop::Outcome,
    networks: Vec<network::Report>,
    batch: Option<batch::Report>,
    trial_balance: admin::TrialBalance,
}

/// Lives through the day; `dusk` is when the bank cuts over.
fn live(arguments: &Arguments, daemon: &Daemon, dusk: Instant) -> anyhow::Result<(Stageplay, Day)> {
    let play = Stageplay::default();
    let admin = Admin::new(daemon.admin);
    let dates = admin.dates()?;
    let date = dates
        .default
        .parse()
        .context("the daemon's business date")?;
    let left = dusk.saturating_duration_since(Instant::now());
    let plan = actors::terminals(daemon.link("pos")?, arguments.rate);
    let control = Control::new(&plan);
    let sender = |name, cutover_after| {
        Ok::<_, anyhow::Error>(Sender {
            name,
            address: daemon.link(name)?,
            rate: arguments.network_rate,
            cutover_after,
            date,
        })
    };
    let mut networks = Vec::new();
    let mut controls = Vec::new();
    for sender in [
        sender("east", left.saturating_sub(EAST_BEFORE))?,
        sender("west", left + WEST_AFTER)?,
    ] {
        let (network, control) = actors::network(&sender)?;
        networks.push((sender.name, network));
        controls.push(control);
    }
    let over = AtomicBool::new(false);
    let job = actors::Batch {
        url: admin.base().to_owned(),
        date,
        lasts: Duration::from_secs(arguments.batch),
        wait: left + GRACE + PATIENCE,
    };
    let day = thread::scope(|scope| {
        let (play, control, over) = (&play, &control, &over);
        let traffic = scope.spawn(|| actors::run_terminals(&plan, control, play));
        let networks: Vec<_> = networks
            .into_iter()
            .map(|(name, network)| scope.spawn(move || actors::run_network(name, network, play)))
            .collect();
        scope.spawn(|| watch::watch(&admin, play, control, &|| over.load(Ordering::Acquire)));
        let night = scope.spawn(|| actors::run_batch(&job, play));
        let night_over_by = dusk + GRACE + job.lasts + PATIENCE;
        show(play, night_over_by);
        // Whatever happened, everybody comes to an end.
        control.stop();
        for network in &controls {
            network.stop();
        }
        let traffic = traffic
            .join()
            .map_err(|_| anyhow!("the terminals have died"))?;
        let networks = networks
            .into_iter()
            .map(|network| network.join().map_err(|_| anyhow!("a network has died"))?)
            .collect::<anyhow::Result<Vec<_>>>();
        over.store(true, Ordering::Release);
        let night = night.join().map_err(|_| anyhow!("the batch has died"))?;
        Ok::<_, anyhow::Error>(Day {
            traffic: traffic?,
            networks: networks?,
            batch: night,
            trial_balance: admin.trial_balance()?,
        })
    })?;
    Ok((play, day))
}

/// Draws until the next day has had its morning, or the night is overdue, or
/// something went wrong.
fn show(play: &Stageplay, night_over_by: Instant) {
    let mut screen = Screen::new();
    loop {
        let now = Instant::now();
        {
            let mut scene = play.scene();
            if now > night_over_by && scene.stage() != Stage::NextDay {
                scene.trouble("the night does not end");
            }
            screen.draw(&scene, now);
            let morning = scene.stages.last().is_some_and(|(at, stage)| {
                *stage == Stage::NextDay && now.saturating_duration_since(*at) >= MORNING
            });
            if morning || !scene.troubles.is_empty() {
                return;
            }
        }
        thread::sleep(DRAW_EVERY);
    }
}
