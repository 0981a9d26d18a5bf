//! Two daemons that differ in one thing, in turns: A B, A B, so that what else the
//! machine does hits both.
#![allow(
    clippy::float_arithmetic,
    reason = "ratios and their bounds are real numbers; no money here"
)]

use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Value, json};

use crate::compare::judge::{Ratio, lines, median, paired, shown, told};
use crate::goal::{self, Goal};
use crate::host::{Host, Settings};
use crate::measure::{Cell, Figures, Rounds, bar, cards, measure, resident, wait_until_quiet};
use crate::page::Page;
use crate::plan::Plan;
use crate::report::grouped;

/// What is measured: throughput, and latency at a rate that both hold.
pub const CELLS: [Cell; 2] = [Cell::Closed(8, 32), Cell::Open(10_000, 16)];

/// Resident memory for each account with its card, everything counted.
const MOST_BYTES_PER_ACCOUNT: u64 = 400;

/// Ten times as often as shipped, or a turn of two seconds might see none.
const CHECKPOINT_EVERY_MS: u32 = 1_000;

/// The daemons remember what they have answered: after so many both are started
/// anew, so that no run meets a full table.
const FRESH_AFTER: u64 = 14_000_000;

/// In what the daemons differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// In how many accounts they have, each with a card.
    Accounts {
        /// The first one.
        few: u32,
        /// The second one.
        many: u32,
    },
    /// In whether rows are written to sled: the first does not, the second does.
    Checkpoints {
        /// Of both.
        cards: u32,
    },
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Variants {
    /// The daemon's program.
    pub program: PathBuf,
    /// Where all files lie: the disk that is judged.
    pub disk: PathBuf,
    /// How often, and how long.
    pub rounds: Rounds,
    /// In what they differ.
    pub what: What,
}

/// One run's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// In which round.
    pub round: u32,
    /// Of which cell.
    pub cell: Cell,
    /// Of which daemon: 0 or 1.
    pub side: usize,
    /// What it came to.
    pub figures: Figures,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Every run.
    pub samples: Vec<Sample>,
    /// Resident memory of each, loaded and at rest, before the first run.
    pub resident: [u64; 2],
}

impl Seen {
    /// Requests that were not approved.
    #[must_use]
    pub fn missed(&self) -> u64 {
        let samples = self.samples.iter();
        samples.map(|sample| sample.figures.missed.total()).sum()
    }

    fn figures(&self, cell: Cell, side: usize, of: impl Fn(&Figures) -> u64) -> Vec<f64> {
        self.samples
            .iter()
            .filter(|sample| sample.cell == cell && sample.side == side)
            .map(|sample| of(&sample.figures) as f64)
            .collect()
    }

    /// The second's figure by the first's, round by round.
    fn ratio(&self, cell: Cell, of: impl Fn(&Figures) -> u64 + Copy) -> Option<Ratio> {
        let (first, second) = (self.figures(cell, 0, of), self.figures(cell, 1, of));
        let pairs: Vec<_> = second.into_iter().zip(first).collect();
        paired(&pairs)
    }
}

impl Variants {
    /// The daemons' names in a table.
    #[must_use]
    pub fn names(&self) -> [String; 2] {
        match self.what {
            What::Accounts { few, many } => [few, many].map(|count| grouped(count.into())),
            What::Checkpoints { .. } => ["off", "on"].map(str::to_owned),
        }
    }

    fn cards(&self) -> [u32; 2] {
        match self.what {
            What::Accounts { few, many } => [few, many],
            What::Checkpoints { cards } => [cards, cards],
        }
    }

    fn has_checkpoints(&self, side: usize) -> bool {
        side == 1 || !matches!(self.what, What::Checkpoints { .. })
    }

    fn start(&self, side: usize) -> anyhow::Result<Host> {
        let settings = Settings {
            without_checkpoints: !self.has_checkpoints(side),
            checkpoint_every_ms: Some(CHECKPOINT_EVERY_MS),
            ..Settings::default()
        };
        let [first, second] = self.cards();
        let count = if side == 0 { first } else { second };
        let host =
            Host::daemon(&self.program, &self.disk, &cards(count), &settings).context("gapless")?;
        wait_until_quiet(&host, self.has_checkpoints(side))?;
        Ok(host)
    }

    fn hosts(&self) -> anyhow::Result<[Host; 2]> {
        Ok([self.start(0)?, self.start(1)?])
    }

    /// Runs everything, round by round.
    ///
    /// # Errors
    /// A daemon cannot be started, or the generator fails.
    pub fn run(&self, quiet: bool) -> anyhow::Result<Seen> {
        let bar = bar(u64::from(self.rounds.count) * CELLS.len() as u64 * 2, quiet);
        bar.set_message("loading");
        // So that it is seen while accounts are loaded.
        bar.tick();
        let mut hosts = self.hosts()?;
        let [first, second] = &hosts;
        let mut seen = Seen {
            samples: Vec::new(),
            resident: [resident(first)?, resident(second)?],
        };
        let names = self.names();
        let mut answered = 0;
        for round in 0..self.rounds.count {
            for cell in CELLS {
                if answered > FRESH_AFTER {
                    drop(hosts);
                    hosts = self.hosts()?;
                    answered = 0;
                }
                let mut of_both = [0; 2];
                for (side, host) in hosts.iter().enumerate() {
                    let (name, count) = (names.get(side), self.rounds.count);
                    let name = name.map_or("", String::as_str);
                    bar.set_message(format!(
                        "round {} of {count}: {} {name}",
                        round + 1,
                        cell.name()
                    ));
                    let count = self.cards().get(side).copied().unwrap_or(2);
                    let plan = Plan {
                        warm_up: self.rounds.warm_up,
                        cards: cards(count),
                        seed: u64::from(round) + 1,
                        ..cell.plan(host, self.rounds.lasts)
                    };
                    let figures = measure(host, &plan)?;
                    wait_until_quiet(host, self.has_checkpoints(side))?;
                    if let Some(sum) = of_both.get_mut(side) {
                        *sum = figures.answered;
                    }
                    seen.samples.push(Sample {
                        round,
                        cell,
                        side,
                        figures,
                    });
                    bar.inc(1);
                }
                answered += of_both.into_iter().max().unwrap_or(0);
            }
        }
        bar.finish_and_clear();
        Ok(seen)
    }

    /// Resident bytes for each account: in all, and for each of those that the
    /// second daemon has more.
    fn bytes_per_account(&self, seen: &Seen) -> Option<(u64, u64)> {
        let What::Accounts { few, many } = self.what else {
            return None;
        };
        let [first, second] = seen.resident;
        Some((
            second / u64::from(many.max(1)),
            second.saturating_sub(first) / u64::from(many.saturating_sub(few).max(1)),
        ))
    }

    /// What it is judged by.
    #[must_use]
    pub fn goals(&self, seen: &Seen) -> Vec<Goal> {
        let mut goals = Vec::new();
        let least = match self.what {
            What::Accounts { .. } => 0.8,
            What::Checkpoints { .. } => 0.9,
        };
        for cell in CELLS {
            match cell {
                Cell::Closed(..) => {
                    let rate = seen.ratio(cell, |figures| figures.per_second);
                    let met = rate.is_some_and(|ratio| ratio.low >= least);
                    let wanted = format!("lower bound at least {least:.2}x");
                    let name = format!("{} throughput", cell.name());
                    goals.push(Goal::new(name, told(rate), wanted, met));
                }
                Cell::Open(..) if matches!(self.what, What::Checkpoints { .. }) => {
                    let tail = seen.ratio(cell, |figures| figures.p999_ns);
                    let met = tail.is_some_and(|ratio| ratio.median <= 1.5);
                    let name = format!("{} p99.9", cell.name());
                    goals.push(Goal::new(name, told(tail), "median at most 1.50x", met));
                }
                Cell::Open(..) => {}
            }
        }
        if let Some((all, _)) = self.bytes_per_account(seen) {
            let met = all <= MOST_BYTES_PER_ACCOUNT;
            goals.push(Goal::new(
                "memory in all, for each account with its card",
                format!("{all} bytes"),
                format!("at most {MOST_BYTES_PER_ACCOUNT}"),
                met,
            ));
        }
        goals
    }

    fn head(&self) -> Vec<String> {
        let [first, second] = self.names();
        let ratio = format!("{second} / {first}");
        vec!["median".to_owned(), first, second, ratio]
    }

    fn rows(&self, seen: &Seen) -> Vec<Vec<String>> {
        let mut rows: Vec<Vec<String>> = CELLS
            .into_iter()
            .flat_map(shown_in)
            .map(|(cell, (label, of, show))| {
                let mut cells = vec![label];
                cells.extend([0, 1].map(|side| show(median(&seen.figures(cell, side, of)))));
                cells.push(told(seen.ratio(cell, of)));
                cells
            })
            .collect();
        let mib = |bytes: u64| format!("{} MiB", grouped(bytes >> 20));
        let [first, second] = seen.resident;
        let each = self
            .bytes_per_account(seen)
            .map_or(String::new(), |(_, more)| {
                format!("{more} bytes a further one")
            });
        rows.push(vec![
            "memory, loaded".to_owned(),
            mib(first),
            mib(second),
            each,
        ]);
        rows
    }

    /// What was done.
    #[must_use]
    pub fn heading(&self) -> String {
        let what = match self.what {
            What::Accounts { few, many } => format!(
                "{} and {} accounts, each with a card",
                grouped(few.into()),
                grouped(many.into())
            ),
            What::Checkpoints { cards } => format!(
                "checkpoints in sled off and on, {} accounts, each with a card",
                grouped(cards.into())
            ),
        };
        format!(
            "{what}: {}; in brackets 95 % confidence bounds of the median paired ratio",
            self.rounds.told()
        )
    }

    /// The table at the end, and the goals.
    #[must_use]
    pub fn table(&self, seen: &Seen) -> String {
        let mut text = format!("{}\n\n", self.heading());
        text.push_str(&lines(&self.head(), &self.rows(seen)));
        text.push('\n');
        text.push_str(&goal::lines(&self.goals(seen)));
        let names = self.names();
        text.extend(seen.samples.iter().filter_map(|sample| {
            let host = names.get(sample.side).map_or("", String::as_str);
            sample.figures.unfair(sample.round, sample.cell, host)
        }));
        text
    }

    /// Everything, for machines.
    #[must_use]
    pub fn json(&self, seen: &Seen) -> Value {
        let names = self.names();
        let runs: Vec<_> = seen
            .samples
            .iter()
            .map(|sample| {
                let name = names.get(sample.side).map_or("", String::as_str);
                sample.figures.json(sample.round, sample.cell, name)
            })
            .collect();
        let goals: Vec<_> = self.goals(seen).iter().map(Goal::json).collect();
        json!({
            "version": 1,
            "rounds": self.rounds.count,
            "daemons": names,
            "accounts": self.cards(),
            "resident_bytes": seen.resident,
            "runs": runs,
            "goals": goals,
        })
    }

    /// Everything as a page.
    #[must_use]
    pub fn html(&self, seen: &Seen) -> String {
        let mut page = Page::new("Two variants in turns", &self.heading());
        let tiles: Vec<_> = self.goals(seen).iter().map(Goal::tile).collect();
        page.tiles(&tiles);
        page.heading("All figures");
        let head = self.head();
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        page.table(&head, &self.rows(seen));
        page.html()
    }
}

/// The rows of a cell, with the cell.
fn shown_in(cell: Cell) -> impl Iterator<Item = (Cell, crate::compare::judge::Shown)> {
    shown(cell).into_iter().map(move |shown| (cell, shown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Missed;
    use crate::stats::Counts;
    use std::time::Duration;

    fn variants(what: What) -> Variants {
        Variants {
            program: PathBuf::new(),
            disk: PathBuf::new(),
            rounds: Rounds {
                count: 3,
                lasts: Duration::from_secs(1),
                warm_up: Duration::ZERO,
            },
            what,
        }
    }

    /// Three rounds whose second side has so many percent of the first's rate and
    /// p99.9; the machine gets slower with each.
    fn seen(rate_percent: u64, tail_percent: u64, resident: [u64; 2]) -> Seen {
        let mut samples = Vec::new();
        for round in 0..3 {
            for cell in CELLS {
                for side in 0..2 {
                    let of = |figure: u64, percent| {
                        let percent = if side == 0 { 100 } else { percent };
                        figure * percent / 100
                    };
                    let figures = Figures {
                        per_second: of(100_000 / u64::from(round + 1), rate_percent),
                        p999_ns: of(1_000_000 * u64::from(round + 1), tail_percent),
                        ..Figures::default()
                    };
                    samples.push(Sample {
                        round,
                        cell,
                        side,
                        figures,
                    });
                }
            }
        }
        Seen { samples, resident }
    }

    fn missed(variants: &Variants, seen: &Seen) -> Vec<String> {
        let goals = variants.goals(seen).into_iter();
        goals
            .filter(|goal| !goal.met)
            .map(|goal| goal.name)
            .collect()
    }

    #[test]
    fn checkpoints_are_judged_by_throughput_and_tail() {
        let variants = variants(What::Checkpoints { cards: 100 });
        assert_eq!(missed(&variants, &seen(91, 149, [1, 1])), [""; 0]);
        assert_eq!(
            missed(&variants, &seen(89, 151, [1, 1])),
            ["C8x32 throughput", "10000/s C16 p99.9"]
        );
        let mut unfair = seen(91, 149, [1, 1]);
        if let Some(sample) = unfair.samples.get_mut(1) {
            let counts = Counts {
                lost: 2,
                refused: 1_000,
                accepted: 7,
                ..Counts::default()
            };
            sample.figures.missed = Missed::of(&counts);
        }
        assert_eq!(unfair.missed(), 1_002);
        let told = variants.table(&unfair);
        assert!(
            told.contains(
                "! on at C8x32, round 1, was not measured fairly: 1,000 refused, 2 lost\n"
            ),
            "{told}"
        );
        let table = variants.table(&seen(91, 149, [1, 1]));
        assert!(!table.contains('!'), "{table}");
        assert!(
            table.contains(
                "goal: C8x32 throughput: 0.91x (0.91 to 0.91), lower bound at least 0.90x: met"
            ),
            "{table}"
        );
    }

    #[test]
    fn accounts_are_judged_by_throughput_and_memory() {
        let variants = variants(What::Accounts {
            few: 1_000,
            many: 1_000_000,
        });
        let good = seen(81, 500, [50_000_000, 400_000_000]);
        assert_eq!(missed(&variants, &good), [""; 0]);
        let table = variants.table(&good);
        assert!(table.contains("350 bytes a further one"), "{table}");
        let bad = seen(79, 100, [50_000_000, 401_000_000]);
        assert_eq!(
            missed(&variants, &bad),
            [
                "C8x32 throughput",
                "memory in all, for each account with its card"
            ]
        );
    }
}
