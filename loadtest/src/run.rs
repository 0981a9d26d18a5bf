//! A run: threads, each with a runtime of its own and a share of the connections.

use std::cell::RefCell;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use tokio::task::LocalSet;

use crate::client;
use crate::plan::Plan;
use crate::request;
use crate::stats::Stats;

/// What a run brought.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Everything counted.
    pub stats: Stats,
    /// From the first connection's opening until nothing was in flight.
    pub elapsed: Duration,
    /// Digits of DE 39 in the dialect.
    pub code_digits: usize,
}

/// Runs to the end.
///
/// # Errors
/// The dialect cannot carry the requests, or the machine gives no thread or
/// runtime. What the host does is counted, and is no error.
pub fn run(plan: &Plan) -> anyhow::Result<Outcome> {
    request::try_out(plan)?;
    let started = Instant::now();
    let mut stats = Stats::new()?;
    let shares: Vec<anyhow::Result<Stats>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.threads)
            .map(|thread| scope.spawn(move || drive_share(plan, thread, started)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a thread has died"))?)
            .collect()
    });
    for share in shares {
        stats.add(&share?)?;
    }
    Ok(Outcome {
        stats,
        elapsed: started.elapsed(),
        code_digits: usize::from(plan.dialect.semantics().action_code_digits),
    })
}

/// Every `threads`th connection, from `thread` on.
fn drive_share(plan: &Plan, thread: u32, started: Instant) -> anyhow::Result<Stats> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("runtime")?;
    let stats = Rc::new(RefCell::new(Stats::new()?));
    let numbers = (thread..plan.connections).step_by(plan.threads as usize);
    let tasks = LocalSet::new();
    for number in numbers {
        let (plan, stats) = (plan.clone(), Rc::clone(&stats));
        tasks.spawn_local(async move { client::drive(&plan, number, &stats, started).await });
    }
    // Ends when the last connection has.
    runtime.block_on(tasks);
    Rc::try_unwrap(stats)
        .map(RefCell::into_inner)
        .map_err(|_| anyhow!("a connection has not ended"))
}
