//! The bank's night in the middle of a run: cutover, freeze, the batch's entries,
//! seal, through the host's admin side; or waiting for somebody else's.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::admin::Admin;
use crate::cards::Cards;
use crate::ledger::Ledger;
use crate::open_loop::Control;

/// Whose night it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// This tester's own: it posts the steps and a few entries of its own.
    Own,
    /// Somebody else's: a batch, or the bank's clock.
    Wait,
}

/// An entry of the batch, as far as the ledger is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// Account, by index; `None`: none of this run's.
    account: Option<u32>,
    amount_minor: i64,
}

/// The batch's entries.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    csv: Vec<u8>,
    entries: Vec<Entry>,
}

/// Entries of one's own.
const OWN_ENTRIES: u32 = 100;

const HEADER: &str = "id,account,currency,amount_minor";

impl Entries {
    /// A few of one's own: interest for some accounts, a fee for every fourth.
    #[must_use]
    pub fn own(cards: &Cards, currency: &str) -> Self {
        let mut csv = format!("{HEADER}\n");
        let accounts = cards.accounts();
        let count = OWN_ENTRIES.min(accounts);
        let stride = (accounts / count.max(1)).max(1);
        let mut entries = Vec::new();
        for number in 0..count {
            let account = number * stride;
            let amount_minor = if number % 4 == 3 { -5 } else { 12 };
            let name = cards.account_name(account);
            csv.push_str(&format!(
                "loadtest-{number},{name},{currency},{amount_minor}\n"
            ));
            entries.push(Entry {
                account: Some(account),
                amount_minor,
            });
        }
        Self {
            csv: csv.into_bytes(),
            entries,
        }
    }

    /// From a file as the daemon takes it.
    ///
    /// # Errors
    /// The file cannot be read, or a line is wrong, with its number.
    pub fn read(path: &PathBuf, cards: &Cards) -> anyhow::Result<Self> {
        let csv = std::fs::read(path).with_context(|| path.display().to_string())?;
        let text = std::str::from_utf8(&csv).with_context(|| path.display().to_string())?;
        let known: std::collections::HashMap<String, u32> = (0..cards.accounts())
            .map(|index| (cards.account_name(index).to_string(), index))
            .collect();
        let mut lines = text.lines();
        let name = path.display();
        if lines.next().map(str::trim) != Some(HEADER) {
            bail!("{name}:1: the header {HEADER} expected");
        }
        let mut entries = Vec::new();
        for (number, line) in (2..).zip(lines) {
            if line.trim().is_empty() {
                continue;
            }
            let cells: Vec<_> = line.trim().split(',').collect();
            let [_, account, _, amount] = cells.as_slice() else {
                bail!("{name}:{number}: four cells expected: {HEADER}");
            };
            entries.push(Entry {
                account: known.get(*account).copied(),
                amount_minor: amount.parse().with_context(|| {
                    format!("{name}:{number}: amount_minor: a whole number expected")
                })?,
            });
        }
        Ok(Self { csv, entries })
    }

    /// Books them.
    pub fn enter(&self, ledger: &mut Ledger) {
        for entry in &self.entries {
            ledger.entered(entry.account, entry.amount_minor);
        }
    }
}

/// A step that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// `cutover`, `freeze`, `entries`, `seal`.
    pub name: &'static str,
    /// When it began, since the run did.
    pub at: Duration,
    /// How long the host took to answer.
    pub took: Duration,
}

/// A night that has passed, or what of it has.
#[derive(Clone, Debug, Default)]
pub struct Night {
    /// The date that it closed.
    pub date: String,
    /// Steps, in order.
    pub steps: Vec<Step>,
    /// Entries of the batch that the run's books do not know: count and sum.
    pub unknown_minor: Option<i128>,
    /// Whether the run's books must have the entries.
    pub has_entered: bool,
    /// Why it went no further.
    pub failed: Option<String>,
}

impl Night {
    /// A line.
    #[must_use]
    pub fn told(&self) -> String {
        let steps: Vec<_> = self
            .steps
            .iter()
            .map(|step| {
                let at = step.at.as_millis();
                let at = format!("{} at {}.{} s", step.name, at / 1_000, at % 1_000 / 100);
                // What somebody else did took this tester no time.
                if step.took.is_zero() {
                    return at;
                }
                let took = crate::report::ms(crate::schedule::ns_of(step.took));
                format!("{at} ({took})")
            })
            .collect();
        let failed = self
            .failed
            .as_ref()
            .map_or(String::new(), |why| format!("; NOT FINISHED: {why}"));
        format!("night of {}: {}{failed}", self.date, steps.join(", "))
    }
}

/// What a night needs.
pub struct Conductor<'a> {
    /// The host's admin side.
    pub admin: &'a Admin,
    /// The run.
    pub control: &'a Control,
    /// Set when the run has ended.
    pub over: &'a AtomicBool,
    /// How long the run sends.
    pub lasts: Duration,
}

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Conductor<'_> {
    /// A night in the second third of the run. What goes wrong is told in the
    /// night itself, since the run goes on.
    #[must_use]
    pub fn own(&self, entries: &Entries) -> Night {
        let mut night = Night::default();
        if let Err(error) = self.own_steps(entries, &mut night) {
            night.failed = Some(format!("{error:#}"));
        }
        night
    }

    fn own_steps(&self, entries: &Entries, night: &mut Night) -> anyhow::Result<()> {
        let third = self.lasts / 3;
        self.wait_until(third)?;
        let dates = self.admin.dates()?;
        if dates.state != "open" {
            bail!("{} is already closing", dates.closing);
        }
        night.date.clone_from(&dates.closing);
        let date = dates.closing.as_str();
        self.control.mark();
        self.step(night, "cutover", || self.admin.step("cutover", date))?;
        self.wait_until(third + third / 3)?;
        self.step(night, "freeze", || self.admin.step("freeze", date))?;
        let mut totals = (Value::Null, Value::Null);
        self.step(night, "entries", || {
            let answer = self.admin.post_entries(date, &entries.csv)?;
            let part = |key: &str| answer.get(key).cloned().unwrap_or(Value::Null);
            totals = (part("entries"), part("sum_minor"));
            Ok(())
        })?;
        night.has_entered = true;
        self.wait_until(third * 2)?;
        self.step(night, "seal", || {
            self.admin.seal(date, &totals.0, &totals.1)
        })?;
        self.control.mark();
        Ok(())
    }

    /// Somebody else's night: marks its beginning and its end.
    #[must_use]
    pub fn wait(&self, entries: Option<&Entries>) -> Night {
        let mut night = Night::default();
        if let Err(error) = self.wait_steps(entries, &mut night) {
            night.failed = Some(format!("{error:#}"));
        }
        night
    }

    fn wait_steps(&self, entries: Option<&Entries>, night: &mut Night) -> anyhow::Result<()> {
        let before = self.admin.dates()?;
        night.date.clone_from(&before.closing);
        self.look_for("a cutover", || {
            let now = self.admin.dates()?;
            Ok(now.state == "dual" || now.closing != before.closing)
        })?;
        self.control.mark();
        self.taken(night, "cutover", Duration::ZERO);
        self.look_for("the seal", || {
            let now = self.admin.dates()?;
            Ok(now.closing != before.closing)
        })?;
        self.control.mark();
        self.taken(night, "seal", Duration::ZERO);
        night.has_entered = entries.is_some();
        let (counts, sums) = self.admin.entries(&before.closing)?;
        let any = counts
            .as_object()
            .is_some_and(|counts| counts.values().any(|count| count.as_u64() != Some(0)));
        if any && entries.is_none() {
            let sums = sums.as_object().into_iter().flatten();
            let sum = sums
                .filter_map(|(_, sum)| sum.as_i64())
                .map(i128::from)
                .sum();
            night.unknown_minor = Some(sum);
        }
        Ok(())
    }

    fn step(
        &self,
        night: &mut Night,
        name: &'static str,
        act: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let before = Instant::now();
        act()?;
        self.taken(night, name, before.elapsed());
        Ok(())
    }

    fn taken(&self, night: &mut Night, name: &'static str, took: Duration) {
        let at = self.control.began().elapsed().saturating_sub(took);
        night.steps.push(Step { name, at, took });
    }

    fn wait_until(&self, time: Duration) -> anyhow::Result<()> {
        while self.control.elapsed() < time {
            if self.over.load(Ordering::Relaxed) {
                bail!("the run has ended before");
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn look_for(&self, what: &str, seen: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
        while !seen()? {
            if self.over.load(Ordering::Relaxed) {
                bail!("the run has ended before {what} came");
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}
