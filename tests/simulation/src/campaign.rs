//! Many seeds, on all cores.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;

use crate::auditor::Failure;
use crate::coverage::Coverage;
use crate::world::{Failed, Report, run};

/// Lines of a failure's trace that are shown.
const LAST_LINES: usize = 40;

/// What a campaign runs.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// The first seed.
    pub from: u64,
    /// How many.
    pub seeds: u64,
    /// Steps of each.
    pub steps: u64,
    /// Threads.
    pub threads: usize,
}

/// What it came to.
#[derive(Debug, Default)]
pub struct Summary {
    /// Seeds that were run.
    pub seeds: u64,
    /// Things that happened in all of them.
    pub steps: u64,
    /// What was exercised.
    pub coverage: Coverage,
    /// The failure of the lowest seed that failed.
    pub failed: Option<Box<Failed>>,
}

thread_local! {
    static PANIC: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

/// Panics in runs are told as failures, by the thread that had them.
fn catch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if thread::current().name() == Some("seeds") {
                PANIC.with(|text| *text.borrow_mut() = info.to_string());
            } else {
                before(info);
            }
        }));
    });
}

/// Runs one seed on this thread; a panic of the product, or of the simulation, is a
/// failure as well.
///
/// # Errors
/// What does not hold.
fn run_caught(seed: u64, steps: u64, trace: bool) -> Result<Report, Box<Failed>> {
    panic::catch_unwind(AssertUnwindSafe(|| run(seed, steps, trace))).unwrap_or_else(|_| {
        Err(Box::new(Failed {
            seed,
            step: 0,
            failure: Failure {
                invariant: 0,
                what: PANIC.with(|text| text.borrow().clone()),
            },
            trace: Vec::new(),
        }))
    })
}

/// Runs one seed, and tells of a panic as of a failure.
///
/// # Errors
/// What does not hold.
pub fn run_seed(seed: u64, steps: u64, trace: bool) -> Result<Report, Box<Failed>> {
    catch_panics();
    let run = move || run_caught(seed, steps, trace);
    thread::Builder::new()
        .name("seeds".to_owned())
        .spawn(run)
        .unwrap()
        .join()
        .unwrap()
}

impl Campaign {
    /// Runs the seeds until one fails. `done` is told after each, from any thread.
    #[must_use]
    pub fn run(&self, done: impl Fn(u64) + Sync) -> Summary {
        catch_panics();
        let next = AtomicU64::new(self.from);
        let stop = AtomicBool::new(false);
        let summary = Mutex::new(Summary::default());
        let work = || {
            while !stop.load(Ordering::Relaxed) {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= self.from + self.seeds {
                    break;
                }
                let result = run_caught(seed, self.steps, false);
                let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
                summary.seeds += 1;
                match result {
                    Ok(report) => {
                        summary.steps += report.steps;
                        summary.coverage.merge(&report.coverage);
                    }
                    Err(failed) => {
                        stop.store(true, Ordering::Relaxed);
                        let lowest = |there: &Failed| there.seed < failed.seed;
                        if !summary.failed.as_deref().is_some_and(lowest) {
                            summary.failed = Some(failed);
                        }
                    }
                }
                done(summary.seeds);
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.threads {
                let named = thread::Builder::new().name("seeds".to_owned());
                named.spawn_scoped(scope, work).unwrap();
            }
        });
        summary.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A failure for people: what, the last steps, and the command that has it again.
#[must_use]
pub fn explain(failed: &Failed, steps: u64) -> String {
    let again = run_seed(failed.seed, steps, true);
    let trace = match again {
        Err(again) if again.failure.what == failed.failure.what => again.trace,
        Err(again) => vec![format!("(the second time it was: {again})")],
        Ok(_) => vec!["(the second time it did not fail: the run is not deterministic)".to_owned()],
    };
    let from = trace.len().saturating_sub(LAST_LINES);
    format!(
        "{}\nseed {} fails at {failed}\nThe same again:\n    cargo run --release -p gapless-simulation -- --seed {} --steps {steps} --verbose\n",
        trace[from..].join("\n"),
        failed.seed,
        failed.seed,
    )
}
