//! More than a host takes: what it accepts must keep its bound, the rest must be
//! refused at once, and all must be as before when it is over.
#![allow(
    clippy::float_arithmetic,
    reason = "shares and places on a page are real numbers; no money here"
)]

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::audit::Audit;
use crate::goal::{self, Goal};
use crate::open_loop::{Outcome, Phase};
use crate::page::Page;
use crate::plan::{Load, MAX_IN_FLIGHT, Plan, Until};
use crate::plot::Window;
use crate::report::{grouped, html, ms, per_second, ratio};
use crate::schedule::{Spacing, Step, ns_of};

/// The parts of the run.
const PARTS: [&str; 3] = ["before", "overload", "after"];

/// Requests in flight on each connection while it is found out what the host takes:
/// enough for it, and not so much that it refuses.
const TRIAL_IN_FLIGHT: u32 = 64;

/// A refusal comes at once if it comes within so many parts of the bound.
const AT_ONCE: u32 = 10;

/// All must be as before within this.
const RECOVERED_WITHIN: Duration = Duration::from_secs(1);

/// What is asked of a host.
#[derive(Clone, Debug)]
pub struct Overload {
    /// Host, traffic, connections; its load is replaced.
    pub plan: Plan,
    /// What is accepted must be answered within this.
    pub bound: Duration,
    /// What the host takes, requests a second.
    pub capacity: u64,
    /// So many times that much is the overload.
    pub times: u64,
    /// How long half of it is offered before, the overload, half of it after.
    pub lasts: [Duration; 3],
}

/// A closed loop that shows what a host takes.
#[must_use]
pub fn trial(plan: &Plan, lasts: Duration) -> Plan {
    Plan {
        warm_up: (lasts / 3).min(Duration::from_secs(1)),
        load: Load::Closed {
            in_flight: TRIAL_IN_FLIGHT,
            until: Until::Elapsed(lasts),
        },
        ..plan.clone()
    }
}

impl Overload {
    fn rates(&self) -> [u64; 3] {
        let half = (self.capacity / 2).max(1);
        [half, self.capacity.saturating_mul(self.times), half]
    }

    /// The run.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let steps = self.rates().into_iter().zip(self.lasts);
        Plan {
            load: Load::Open {
                steps: steps
                    .map(|(per_second, lasts)| Step { per_second, lasts })
                    .collect(),
                spacing: Spacing::Even,
                most_in_flight: MAX_IN_FLIGHT,
            },
            bound: Some(self.bound),
            ledger: true,
            ..self.plan.clone()
        }
    }

    /// What is going to be done.
    #[must_use]
    pub fn heading(&self) -> String {
        let [half, more, _] = self.rates();
        let [before, overload, after] = self.lasts.map(|lasts| lasts.as_secs());
        format!(
            "{}: takes {}/s; {}/s for {before} s, {}/s for {overload} s, {}/s for {after} s, in an \
             open loop on {} connections; bound {} ms; mix {}, {} cards",
            self.plan.target,
            grouped(self.capacity),
            grouped(half),
            grouped(more),
            grouped(half),
            self.plan.connections,
            grouped(self.bound.as_millis() as u64),
            self.plan.mix,
            grouped(self.plan.cards.count().into()),
        )
    }
}

/// What a host made of it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The run.
    pub outcome: Outcome,
    /// Whether money is right.
    pub audit: Audit,
    /// From the end of the overload until everything was decided within the bound
    /// again; `None`: that part did not come.
    pub recovered_after: Option<Duration>,
    /// What it is judged by.
    pub goals: Vec<Goal>,
    /// Latencies of what was decided, part by part.
    decided: Vec<Histogram<u64>>,
}

impl Seen {
    /// Judges a run.
    ///
    /// # Errors
    /// None: refusals are among the answers.
    pub fn new(overload: &Overload, outcome: Outcome, audit: Audit) -> anyhow::Result<Self> {
        let decided = outcome
            .phases
            .iter()
            .map(|phase| phase.stats.decided_latency())
            .collect::<anyhow::Result<_>>()?;
        let recovered_after = outcome.phases.get(2).and_then(|after| {
            let (began, _) = after.span_ns?;
            let missed = after.stats.last_missed_ns.unwrap_or(began);
            Some(Duration::from_nanos(missed.saturating_sub(began)))
        });
        let mut seen = Self {
            outcome,
            audit,
            recovered_after,
            goals: Vec::new(),
            decided,
        };
        seen.goals = seen.judged(overload);
        Ok(seen)
    }

    fn judged(&self, overload: &Overload) -> Vec<Goal> {
        let mut goals = Vec::new();
        let bound = ns_of(overload.bound);
        let within = |ns: u64| format!("at most {}", ms(ns));
        if let [before, more, _] = self.outcome.phases.as_slice() {
            let stats = &before.stats;
            let missed = stats.offered - stats.accepted - stats.declined;
            let name = "before: neither accepted nor declined";
            goals.push(Goal::new(name, grouped(missed), "none", missed == 0));
            let waited = self
                .decided
                .get(1)
                .map_or(0, |decided| decided.value_at_quantile(0.999));
            let name = "overload: 99.9 % of the accepted waited";
            goals.push(Goal::new(name, ms(waited), within(bound), waited <= bound));
            let refused = more.stats.refused_latency().value_at_quantile(0.99);
            let at_once = bound / u64::from(AT_ONCE);
            let name = "overload: 99 % of the refused were told within";
            goals.push(Goal::new(
                name,
                ms(refused),
                within(at_once),
                refused <= at_once,
            ));
            let rate = per_second(more.stats.accepted + more.stats.declined, more.lasted());
            let of = ratio(rate, overload.capacity);
            let met = rate * 10 >= overload.capacity * 9;
            let name = "overload: accepted a second, of what the host takes";
            goals.push(Goal::new(name, of, "at least 0.90x", met));
        }
        let all = |of: fn(&Phase) -> u64| self.outcome.phases.iter().map(of).sum::<u64>();
        let gone = all(|phase| phase.stats.late + phase.stats.lost + phase.stats.not_sent);
        let name = "late, lost or not sent";
        goals.push(Goal::new(name, grouped(gone), "none", gone == 0));
        let figure = self
            .recovered_after
            .map_or("-".to_owned(), |after| ms(ns_of(after)));
        let met = self
            .recovered_after
            .is_some_and(|after| after <= RECOVERED_WITHIN);
        let name = "after: everything accepted within the bound again after";
        goals.push(Goal::new(
            name,
            figure,
            within(ns_of(RECOVERED_WITHIN)),
            met,
        ));
        let right = self.audit.is_right();
        let figure = if right { "right" } else { "NOT RIGHT" };
        goals.push(Goal::new("money", figure, "right", right));
        goals
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let mut rows: Vec<Vec<String>> = Vec::new();
        let mut row = |label: &str, of: &dyn Fn(usize, &Phase) -> String| {
            let mut cells = vec![label.to_owned()];
            let parts = self.outcome.phases.iter().enumerate();
            cells.extend(parts.map(|(part, phase)| of(part, phase)));
            rows.push(cells);
        };
        let rate = |count: u64, phase: &Phase| grouped(per_second(count, phase.lasted()));
        row("offered/s", &|_, phase| rate(phase.stats.offered, phase));
        row("accepted/s", &|_, phase| rate(phase.stats.accepted, phase));
        row("offered", &|_, phase| grouped(phase.stats.offered));
        row("accepted", &|_, phase| grouped(phase.stats.accepted));
        row("declined", &|_, phase| grouped(phase.stats.declined));
        row("refused (91)", &|_, phase| grouped(phase.stats.refused));
        row("faulty (30, 96)", &|_, phase| grouped(phase.stats.faulty));
        row("late", &|_, phase| grouped(phase.stats.late));
        row("lost, not sent", &|_, phase| {
            grouped(phase.stats.lost + phase.stats.not_sent)
        });
        let told = |histogram: Option<&Histogram<u64>>, quantile: f64| {
            histogram
                .filter(|histogram| !histogram.is_empty())
                .map_or("-".to_owned(), |histogram| {
                    ms(histogram.value_at_quantile(quantile))
                })
        };
        for (label, quantile) in QUANTILES {
            row(&format!("accepted {label}"), &|part, _| {
                told(self.decided.get(part), quantile)
            });
        }
        for (label, quantile) in QUANTILES {
            row(&format!("refused {label}"), &|_, phase| {
                told(Some(phase.stats.refused_latency()), quantile)
            });
        }
        rows
    }

    /// The table at the end, and the goals.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        let head = ["", PARTS[0], PARTS[1], PARTS[2]].map(str::to_owned);
        for cells in std::iter::once(head.to_vec()).chain(self.rows()) {
            for (place, cell) in cells.iter().enumerate() {
                // Writing to a string does not fail.
                let _ = match place {
                    0 => write!(text, "  {cell:<18}"),
                    _ => write!(text, " {cell:>14}"),
                };
            }
            text.push('\n');
        }
        let lag = self.outcome.wire.send_lag_ns.value_at_quantile(0.99);
        let _ = writeln!(
            text,
            "\n  generator: sent late by p99 {}\n  {}\n",
            ms(lag),
            self.audit.told()
        );
        text.push_str(&goal::lines(&self.goals));
        text
    }

    /// For machines: what the run's own report does not say.
    #[must_use]
    pub fn json(&self, overload: &Overload) -> Value {
        let quantiles = |histogram: &Histogram<u64>| {
            let told: serde_json::Map<String, Value> = QUANTILES
                .iter()
                .map(|(name, quantile)| {
                    let ns = histogram.value_at_quantile(*quantile);
                    ((*name).to_owned(), ns.into())
                })
                .collect();
            told
        };
        let parts: Vec<_> = PARTS
            .iter()
            .zip(&self.outcome.phases)
            .zip(&self.decided)
            .map(|((part, phase), decided)| {
                json!({
                    "part": part,
                    "accepted_latency_ns": quantiles(decided),
                    "refused_latency_ns": quantiles(phase.stats.refused_latency()),
                })
            })
            .collect();
        let goals: Vec<_> = self.goals.iter().map(Goal::json).collect();
        json!({
            "capacity": overload.capacity,
            "times": overload.times,
            "bound_ns": ns_of(overload.bound),
            "parts": parts,
            "recovered_after_ns": self.recovered_after.map(ns_of),
            "goals": goals,
        })
    }
}

const QUANTILES: [(&str, f64); 4] = [
    ("p50", 0.5),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("longest", 1.0),
];

/// Everything as a page.
#[must_use]
pub fn page(overload: &Overload, seen: &Seen) -> String {
    let mut page = Page::new("More than it takes", &overload.heading());
    let tiles: Vec<_> = seen.goals.iter().map(Goal::tile).collect();
    page.tiles(&tiles);
    let more = seen.outcome.phases.get(1).and_then(|phase| phase.span_ns);
    let windows: Vec<_> = more
        .map(|(from, to)| Window {
            label: format!("{} times what it takes", overload.times),
            from: from as f64 / 1e9,
            to: to as f64 / 1e9,
        })
        .into_iter()
        .collect();
    let timeline = &seen.outcome.timeline;
    page.plot(&html::rates(timeline, &windows).svg());
    page.plot(&html::latencies(timeline, &windows).svg());
    page.heading("Side by side");
    page.table(&["", PARTS[0], PARTS[1], PARTS[2]], &seen.rows());
    page.note(&seen.audit.told());
    page.html()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;
    use crate::stats::{Counts, Stats, Verdict, Wire};
    use crate::timeline::{SLICE, Timeline};

    const SECOND: u64 = 1_000_000_000;

    /// A second each, with so many answers: code, after so many milliseconds.
    fn part(number: u64, answers: &[(u64, u64, u64)]) -> Phase {
        let mut stats = Stats::new().unwrap();
        for (count, code, after_ms) in answers {
            for _ in 0..*count {
                stats.counts.offered += 1;
                let after = Duration::from_millis(*after_ms);
                stats.answered(*code, Verdict::of(*code, 2), after, *after_ms >= 5_000);
            }
        }
        Phase {
            label: String::new(),
            span_ns: Some((number * SECOND, (number + 1) * SECOND)),
            stats,
        }
    }

    fn overload() -> Overload {
        Overload {
            plan: Plan::open(([127, 0, 0, 1], 1).into(), 1, Duration::from_secs(1)),
            bound: Duration::from_secs(1),
            capacity: 100,
            times: 3,
            lasts: [Duration::from_secs(1); 3],
        }
    }

    fn seen(phases: Vec<Phase>) -> Seen {
        let outcome = Outcome {
            phases,
            wire: Wire::new().unwrap(),
            ledger: Ledger::default(),
            timeline: Timeline::new(SLICE),
            sums: Counts::default(),
            sending: Duration::from_secs(3),
            elapsed: Duration::from_secs(3),
            cpu: Duration::ZERO,
            code_digits: 2,
        };
        Seen::new(&overload(), outcome, Audit::default()).unwrap()
    }

    fn missed(seen: &Seen) -> Vec<&str> {
        let missed = seen.goals.iter().filter(|goal| !goal.met);
        missed.map(|goal| goal.name.as_str()).collect()
    }

    #[test]
    fn a_host_as_it_should_be() {
        let seen = seen(vec![
            part(0, &[(50, 0, 1)]),
            part(1, &[(95, 0, 900), (205, 91, 2)]),
            part(2, &[(50, 0, 300)]),
        ]);
        assert_eq!(missed(&seen), Vec::<&str>::new());
        assert_eq!(seen.recovered_after, Some(Duration::ZERO));
        let table = seen.table();
        for line in [
            "  refused (91)                    0            205              0\n",
            "  refused longest                 -       ",
            "  goal: overload: accepted a second, of what the host takes: 0.95x, at least 0.90x: met\n",
        ] {
            assert!(table.contains(line), "{table}");
        }
    }

    #[test]
    fn each_goal_can_be_missed() {
        let mut after = part(2, &[(49, 0, 300), (1, 91, 1)]);
        after.stats.missed(2 * SECOND + SECOND * 11 / 10);
        let mut audit_fails = seen(vec![
            part(0, &[(49, 0, 1), (1, 91, 1)]),
            part(1, &[(80, 0, 1_100), (2, 0, 6_000), (150, 91, 200)]),
            after,
        ]);
        assert_eq!(
            missed(&audit_fails),
            [
                "before: neither accepted nor declined",
                "overload: 99.9 % of the accepted waited",
                "overload: 99 % of the refused were told within",
                "overload: accepted a second, of what the host takes",
                "late, lost or not sent",
                "after: everything accepted within the bound again after",
            ]
        );
        audit_fails.audit.faults.push("a fault".to_owned());
        let goals = audit_fails.judged(&overload());
        assert!(goals.iter().any(|goal| goal.name == "money" && !goal.met));
    }
}
