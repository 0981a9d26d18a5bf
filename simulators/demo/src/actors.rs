//! Those who make the day: terminals and card networks, each over its own TCP
//! connections, and the batch over HTTP.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use gapless_loadtest::open_loop::{self, Control, Outcome};
use gapless_loadtest::plan::{Amounts, Plan};
use gapless_loadtest::report::grouped;
use gapless_simulators::batch;
use gapless_simulators::network::{self, Cutover, Event, Network, Profile};
use jiff::civil::Date;

use crate::scene::{Codes, Scene, Stageplay};

/// Longer than any day that somebody waits for; the run is stopped before.
const LONG: Duration = Duration::from_secs(3_600);
/// Amounts of the terminals' traffic, KRW: small against what is on the accounts,
/// so that every request can be paid, and a decline would be the night's fault.
const AMOUNTS: Amounts = Amounts {
    least_minor: 1,
    most_minor: 5_000,
};

/// The terminals' traffic: an open loop, so that a stall would be felt by all who
/// come during it.
pub fn terminals(address: SocketAddr, per_second: u64) -> Plan {
    Plan {
        night: true,
        amount: AMOUNTS,
        ledger: true,
        ..Plan::open(address, per_second, LONG)
    }
}

/// Runs the terminals until they are stopped.
///
/// # Errors
/// See [`open_loop::run`].
pub fn run_terminals(plan: &Plan, control: &Control, play: &Stageplay) -> anyhow::Result<Outcome> {
    play.scene().began = Some(Instant::now());
    open_loop::run(plan, control, |snapshot| {
        play.scene().traffic = Some(snapshot.clone());
    })
}

/// A network of the demo.
pub struct Sender {
    /// `east` or `west`.
    pub name: &'static str,
    /// The daemon's link for it.
    pub address: SocketAddr,
    /// Transactions a second.
    pub rate: u32,
    /// So long after its traffic has begun.
    pub cutover_after: Duration,
    /// The settlement date that it begins with: the bank's business date.
    pub date: Date,
}

/// A network that is about to run, and a hand on it.
///
/// # Errors
/// There is no such profile, or the options cannot be used.
pub fn network(sender: &Sender) -> anyhow::Result<(Network, network::Control)> {
    let profile = Profile::named(sender.name)
        .with_context(|| format!("there is no network {}", sender.name))?;
    let network = Network::new(network::Options {
        rate: sender.rate,
        lasts: None,
        cutover: Some(Cutover::After(sender.cutover_after)),
        date: Some(sender.date),
        ..network::Options::new(Profile {
            address: sender.address.to_string(),
            ..profile
        })
    })?;
    let control = network.control();
    Ok((network, control))
}

/// Runs a network until it is stopped, and writes down what it tells.
///
/// # Errors
/// See [`Network::run`].
pub fn run_network(
    name: &'static str,
    network: Network,
    play: &Stageplay,
) -> anyhow::Result<network::Report> {
    let report = network.run(&mut |event| hear(&mut play.scene(), name, event))?;
    Ok(report)
}

fn hear(scene: &mut Scene, name: &str, event: &Event) {
    match event {
        Event::Progress(progress) => {
            scene.lines.entry(name.to_owned()).or_default().progress = Some(progress.clone());
        }
        Event::Answered { code, .. } => {
            let period = scene.stage().period();
            let line = scene.lines.entry(name.to_owned()).or_default();
            if let Some(codes) = line.codes.get_mut(period as usize) {
                count(codes, code);
            }
        }
        Event::SignedOn => scene.tell(format!("{name} has signed on")),
        Event::CutOver { date } => scene.tell(format!("{name} cuts over to {date}")),
        Event::Reconciled(compared) => {
            let said = match compared.in_balance() {
                true => "in balance",
                false => "OUT OF BALANCE",
            };
            let what = format!(
                "{name}: totals of {} in currency {} are {said}",
                compared.date, compared.currency
            );
            match compared.in_balance() {
                true => scene.tell(what),
                false => scene.trouble(what),
            }
        }
        Event::HostCutOver { named } => {
            let named = named.as_deref().unwrap_or("no date");
            scene.tell(format!("{name} hears of the bank's cutover ({named})"));
        }
        Event::StandingIn { why } => scene.trouble(format!("{name} stands in: {why}")),
        Event::Forwarded { advices } => scene.tell(format!("{name} has forwarded {advices}")),
        Event::Problem(what) => scene.trouble(format!("{name}: {what}")),
    }
}

fn count(codes: &mut Codes, code: &str) {
    match codes.get_mut(code) {
        Some(count) => *count += 1,
        None => {
            codes.insert(code.to_owned(), 1);
        }
    }
}

/// The bank's nightly job.
pub struct Batch {
    /// The daemon's admin address.
    pub url: String,
    /// The date that it closes.
    pub date: Date,
    /// Its entries are spread over so long.
    pub lasts: Duration,
    /// The freeze is waited for so long.
    pub wait: Duration,
}

/// Runs the batch, and writes down what it tells.
pub fn run_batch(job: &Batch, play: &Stageplay) -> Option<batch::Report> {
    let options = batch::Options {
        date: Some(job.date),
        spread: job.lasts,
        wait: job.wait,
        ..batch::Options::new(&job.url)
    };
    match batch::run(&options, &mut |event| follow(&mut play.scene(), event)) {
        Ok(report) => Some(report),
        Err(error) => {
            play.scene().trouble(format!("the batch: {error}"));
            None
        }
    }
}

/// Of a hundred: the extract is there, entries are computed.
const EXTRACTED: u8 = 5;
const COMPUTED: u8 = 10;

fn follow(scene: &mut Scene, event: &batch::Event) {
    let (what, percent) = match event {
        batch::Event::Window { standing, .. } => (format!("waits: {standing}"), 0),
        batch::Event::Downloaded(file) => (format!("reads {}", file.name), 0),
        batch::Event::Checked(checked) => {
            let rows: u64 = checked.files.iter().map(|file| file.rows).sum();
            scene.tell(format!(
                "the batch has checked the extract, {} rows: it balances",
                grouped(rows)
            ));
            ("has the extract".to_owned(), EXTRACTED)
        }
        batch::Event::Computed { entries } => {
            scene.tell(format!(
                "the batch has computed {} entries",
                grouped(*entries)
            ));
            ("computes interest and fees".to_owned(), COMPUTED)
        }
        batch::Event::Posted { so_far, of } => {
            let done = so_far.posted.saturating_add(so_far.repeated);
            let share = done.saturating_mul(u64::from(100 - COMPUTED)) / (*of).max(1);
            let percent = COMPUTED.saturating_add(u8::try_from(share).unwrap_or(u8::MAX));
            (
                format!("posts entries, {} of {}", grouped(done), grouped(*of)),
                percent.min(99),
            )
        }
        batch::Event::Overrunning { seconds } => (format!("overruns, {seconds} s left"), 99),
        batch::Event::Sealed { date, .. } => (format!("has sealed {date}"), 100),
    };
    scene.batch = Some((what, percent));
}
