//! One measured run against a host, and the kinds of run that hosts are compared by.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::admin::Following;
use crate::cards::{Cards, Range};
use crate::cpu;
use crate::host::Host;
use crate::open_loop::{self, Control};
use crate::plan::Plan;
use crate::report::{grouped, per_second};
use crate::stats::Counts;

/// A kind of run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Closed loop: connections, requests in flight on each.
    Closed(u32, u32),
    /// Open loop: requests a second, connections.
    Open(u64, u32),
}

impl Cell {
    /// `C8x32`, `10000/s`.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Closed(connections, in_flight) => format!("C{connections}x{in_flight}"),
            Self::Open(per_second, connections) => format!("{per_second}/s C{connections}"),
        }
    }

    /// Against a host, for so long.
    #[must_use]
    pub fn plan(self, host: &Host, lasts: Duration) -> Plan {
        match self {
            Self::Closed(connections, in_flight) => {
                Plan::closed(host.address, connections, in_flight, lasts)
            }
            Self::Open(per_second, connections) => Plan {
                connections,
                ..Plan::open(host.address, per_second, lasts)
            },
        }
    }
}

/// How often, and how long each time.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// How often each host has its turn.
    pub count: u32,
    /// How long each run is measured.
    pub lasts: Duration,
    /// And warmed up before.
    pub warm_up: Duration,
}

impl Rounds {
    /// In words.
    #[must_use]
    pub fn told(self) -> String {
        format!(
            "{} rounds in turns, {} ms each after {} ms of warm-up",
            self.count,
            self.lasts.as_millis(),
            self.warm_up.as_millis(),
        )
    }
}

/// Requests that were not approved, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missed(Counts);

impl Missed {
    pub(crate) const fn of(counts: &Counts) -> Self {
        Self(*counts)
    }

    const fn named(&self) -> [(u64, &'static str); 6] {
        let counts = &self.0;
        [
            (counts.declined, "declined"),
            (counts.refused, "refused"),
            (counts.faulty, "answered 30 or 96"),
            (counts.late, "late"),
            (counts.lost, "lost"),
            (counts.not_sent, "not sent"),
        ]
    }

    /// How many in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.named().iter().map(|(count, _)| count).sum()
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = "";
        for (count, what) in self.named().into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{before}{} {what}", grouped(count))?;
            before = ", ";
        }
        Ok(())
    }
}

/// One run's figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Answers a second.
    pub per_second: u64,
    /// From the intended send time.
    pub p50_ns: u64,
    /// As above.
    pub p99_ns: u64,
    /// As above.
    pub p999_ns: u64,
    /// The server's processor time for each answer; 0 where the system does not
    /// tell.
    pub cpu_ns: u64,
    /// What was not approved, or not answered.
    pub missed: Missed,
    /// Answers in all, the warm-up's too.
    pub answered: u64,
}

impl Figures {
    /// For machines.
    #[must_use]
    pub fn json(&self, round: u32, cell: Cell, host: &str) -> Value {
        json!({
            "round": round,
            "cell": cell.name(),
            "host": host,
            "answered_per_second": self.per_second,
            "p50_ns": self.p50_ns,
            "p99_ns": self.p99_ns,
            "p99.9_ns": self.p999_ns,
            "server_cpu_ns_per_answer": self.cpu_ns,
            "not_approved": self.missed.total(),
        })
    }

    /// What the table says of a run in which not everything was approved.
    #[must_use]
    pub fn unfair(&self, round: u32, cell: Cell, host: &str) -> Option<String> {
        (self.missed.total() > 0).then(|| {
            format!(
                "  ! {host} at {}, round {}, was not measured fairly: {}\n",
                cell.name(),
                round + 1,
                self.missed
            )
        })
    }
}

/// Runs the plan against the host.
///
/// # Errors
/// The generator fails.
pub fn measure(host: &Host, plan: &Plan) -> anyhow::Result<Figures> {
    let before = cpu::of_process(host.pid());
    let outcome = open_loop::run(plan, &Control::new(plan), |_| {})?;
    let after = cpu::of_process(host.pid());
    let total = outcome.total()?;
    let answered = outcome.sums.answered_all();
    let cpu_ns = before
        .zip(after)
        .and_then(|(before, after)| after.checked_sub(before))
        .and_then(|used| used.as_nanos().checked_div(u128::from(answered)))
        .and_then(|ns| u64::try_from(ns).ok());
    Ok(Figures {
        per_second: per_second(total.answered_all(), outcome.measured()),
        p50_ns: total.latency_ns(0.5),
        p99_ns: total.latency_ns(0.99),
        p999_ns: total.latency_ns(0.999),
        cpu_ns: cpu_ns.unwrap_or(0),
        missed: Missed::of(&total.counts),
        answered,
    })
}

/// How much processor time a host that has nothing to do uses, at most, in
/// [`QUIET_LOOK`].
const QUIET_CPU: Duration = Duration::from_millis(2);
const QUIET_LOOK: Duration = Duration::from_millis(100);

/// How long a host may be at work after a run: checkpoints, base files.
const QUIET_PATIENCE: Duration = Duration::from_secs(120);

/// Waits until a daemon has nothing to do any more, so that what it does after its
/// turn does not fall into another's: until its follower has caught up and, with
/// `checkpoints`, has set its mark there, and then until it uses no processor time.
///
/// # Errors
/// It is still at work after two minutes, or does not tell.
pub fn wait_until_quiet(host: &Host, checkpoints: bool) -> anyhow::Result<()> {
    let until = Instant::now() + QUIET_PATIENCE;
    let in_time = || {
        ensure!(
            Instant::now() < until,
            "the daemon is still at work {} s after its run",
            QUIET_PATIENCE.as_secs()
        );
        Ok(())
    };
    let admin = host.admin()?;
    loop {
        let Following {
            head,
            followed,
            checkpoint,
        } = admin.following()?;
        if followed == head && (checkpoint == head || !checkpoints) {
            break;
        }
        in_time()?;
        thread::sleep(QUIET_LOOK);
    }
    let mut quiet = 0;
    let mut before = cpu::of_process(host.pid());
    while quiet < 2 {
        in_time()?;
        thread::sleep(QUIET_LOOK);
        let now = cpu::of_process(host.pid());
        // Where the system does not tell, one look has to do.
        let used = now
            .zip(before)
            .map(|(now, before)| now.saturating_sub(before));
        let is_quiet = used.is_none_or(|used| used <= QUIET_CPU);
        quiet = if is_quiet { quiet + 1 } else { 0 };
        before = now;
    }
    Ok(())
}

/// A bar for so many runs.
pub(crate) fn bar(length: u64, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    let template = "{bar:30.blue} {pos}/{len}  {msg}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Cards from index 0 on, as the daemons here have them.
#[must_use]
pub fn cards(count: u32) -> Arc<Cards> {
    Arc::new(Cards::Range(Range {
        prefix: 941_000,
        count,
        first_account: 1_000_000_000,
    }))
}

/// Memory of a host's process.
///
/// # Errors
/// The system does not tell.
pub fn resident(host: &Host) -> anyhow::Result<u64> {
    cpu::resident_bytes(host.pid()).context("the system does not tell a process's memory")
}
