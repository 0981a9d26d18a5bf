//! What a batch tells while it runs, and at its end.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Date;
use serde::Serialize;

use super::extract::{Checked, FileOfExtract};
use super::interest::{Rates, Rule};
use super::post::Posted;
use crate::currency::Currency;

/// Something that an observer may want to show.
#[derive(Clone, Debug)]
pub enum Event {
    /// How far the date's end has got: open, early, grace, frozen, sealed.
    Window {
        /// The date to be closed.
        date: Date,
        /// Where it stands.
        standing: &'static str,
    },
    /// A file of the extract is there, as its manifest says.
    Downloaded(FileOfExtract),
    /// The extract is right.
    Checked(Checked),
    /// The entries are computed.
    Computed {
        /// How many there are.
        entries: u64,
    },
    /// A chunk of entries has been answered.
    Posted {
        /// What has been posted so far.
        so_far: Posted,
        /// Entries in all.
        of: u64,
    },
    /// It takes longer than it should.
    Overrunning {
        /// Seconds that are left of it.
        seconds: u64,
    },
    /// The date is final.
    Sealed {
        /// It.
        date: Date,
        /// Whether it was before.
        repeated: bool,
    },
}

/// A count and a sum of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// How many.
    pub count: u64,
    /// Minor units; positive to customers.
    pub minor: i64,
}

/// A batch's outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The date that it closed.
    pub date: Date,
    /// Whether the date was sealed when the batch began.
    pub was_sealed: bool,
    /// The extract; none if the date was sealed and its extract is no longer kept.
    pub extract: Option<Checked>,
    /// The rates that were applied.
    pub rates: Rates,
    /// What was computed, by currency and rule.
    pub computed: BTreeMap<String, BTreeMap<Rule, Sums>>,
    /// What the daemon made of it.
    pub posted: Posted,
    /// What the seal named, by currency.
    pub sealed: BTreeMap<String, Sums>,
    /// Whether the seal was a repetition.
    pub seal_repeated: bool,
    /// From the frozen date to the seal, in milliseconds.
    pub elapsed_ms: u64,
}

impl Report {
    /// Whether everything had been done by an earlier run.
    pub fn is_repetition(&self) -> bool {
        self.was_sealed && self.seal_repeated && self.posted.posted == 0
    }
}

fn show(currency: &str, minor: i64) -> String {
    match Currency::parse(currency) {
        Some(known) => known.show(minor),
        None => format!("{minor} {currency}"),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "batch for {}, {}.{} s",
            self.date,
            self.elapsed_ms / 1_000,
            self.elapsed_ms % 1_000 / 100
        )?;
        match &self.extract {
            None => writeln!(f, "  extract     no longer kept")?,
            Some(extract) => {
                for file in &extract.files {
                    let digest = file.sha256.get(..16).unwrap_or(&file.sha256);
                    writeln!(
                        f,
                        "  extract     {:<18} {:>9} rows  sha256 {digest}...",
                        file.name, file.rows
                    )?;
                }
                for (currency, sums) in &extract.trial_balance {
                    writeln!(
                        f,
                        "  balanced    {} debits and {} credits of {} {currency} each (minor units)",
                        sums.debit_count, sums.credit_count, sums.debit_minor
                    )?;
                }
            }
        }
        for (currency, rules) in &self.computed {
            for (rule, sums) in rules {
                writeln!(
                    f,
                    "  computed    {:<18} {:>9} entries  {}",
                    rule.name(),
                    sums.count,
                    show(currency, sums.minor)
                )?;
            }
        }
        writeln!(
            f,
            "  entries     {} posted, {} posted before, {} refused, in {} chunks",
            self.posted.posted, self.posted.repeated, self.posted.refused, self.posted.chunks
        )?;
        for (currency, sums) in &self.sealed {
            writeln!(
                f,
                "  sealed      {} entries, {}",
                sums.count,
                show(currency, sums.minor)
            )?;
        }
        let verdict = if self.is_repetition() {
            "everything had been done before"
        } else if self.seal_repeated {
            "the date had been sealed before"
        } else {
            "the date is final"
        };
        writeln!(f, "  {verdict}")
    }
}
