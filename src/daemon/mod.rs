//! The daemon's life: recover, start threads, open links, serve, drain, stop.
//!
//! `gapless serve`, the tests and the demo all come through [`run`].

mod first_steps;
mod metered;
pub mod night;
mod recover;
mod throttled;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gapless_engine::date::Date;
use gapless_journal::{
    Committer, CommitterOptions, Hooks, JournalError, MAX_GROUP_BYTES, RECENT_BYTES,
    RetentionHandle,
};
use gapless_store::{
    Follower, FollowerError, FollowerHandle, FollowerOptions, LoadStateError, RecordReader, Records,
};
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::{JoinSet, LocalSet};
use tokio_util::sync::CancellationToken;

use crate::adapter::{KeyError, PanKeys};
use crate::admin::{Admin, AdminError, Shelf};
use crate::config::Config;
use crate::import::FileError;
use crate::link::{Link, LinkError};
use crate::runner::clock::{Clock, WallClock, wall_us};
use crate::runner::{
    Control, EngineHandle, Fatal, Following, Jobs, JournalEnds, Phase, RunnerOptions, release,
    run_jobs, spill, take_fetched,
};
use crate::telemetry::Telemetry;
use metered::Metered;
use recover::{Recovered, recover};
use throttled::Throttled;

/// Bytes that reversals and advices find free when requests no longer do.
const RESERVED_PENDING_BYTES: usize = 512 << 10;
/// One event never takes more than this: the last one below a limit still fits.
const EVENT_MARGIN_BYTES: usize = 4 << 10;
const _: () = assert!(gapless_engine::Event::MAX_BYTES * 2 <= EVENT_MARGIN_BYTES);

/// Where a running daemon can be reached; ports that the configuration left to
/// the system (0) are known from now on.
#[derive(Clone, Debug)]
pub struct Running {
    /// Links by name, in the order of the configuration.
    pub links: Vec<(String, SocketAddr)>,
    /// Admin HTTP.
    pub admin: SocketAddr,
}

/// Why the daemon did not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A file or folder.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// The key of the PAN hashes.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The journal holds hashes of another key: no card would be found.
    #[error("the key file in the data directory is not the one with which its journal was written")]
    OtherKey,
    /// A part of the data is gone.
    #[error("{}: {what}; restore it from a backup", data_dir.display())]
    Lost {
        /// The data directory.
        data_dir: PathBuf,
        /// Which, and what for.
        what: &'static str,
    },
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The state cannot be recovered.
    #[error(transparent)]
    State(#[from] LoadStateError),
    /// The follower does not start.
    #[error(transparent)]
    Follower(#[from] FollowerError),
    /// The bank's day cannot be told.
    #[error("the bank's calendar day cannot be told: {0}")]
    Clock(String),
    /// The bank's internal accounts cannot be opened.
    #[error("the bank's internal accounts cannot be opened: {0}")]
    Internal(String),
    /// A demo file cannot be read.
    #[error(transparent)]
    DemoFile(#[from] FileError),
    /// A row of the demo files was refused.
    #[error("{0}: a row of the demo data is refused: {1}")]
    Demo(PathBuf, String),
    /// A link cannot be opened.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The admin listener cannot be opened.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The log failed while serving: no answer has left that is not durable.
    #[error("stopped, since the journal failed: {0}; start again to recover from it")]
    Fatal(String),
}

/// Runs the daemon on this thread until `shutdown` is cancelled, then drains and
/// stops. `started` is called once, when links are open.
///
/// # Errors
/// [`RunError`] says why it did not start or had to stop.
pub fn run(
    config: &Config,
    shutdown: &CancellationToken,
    started: impl FnOnce(Running),
) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| RunError::Io(PathBuf::from("the runtime"), error))?;
    LocalSet::new().block_on(&runtime, serve(config, shutdown, started))
}

async fn serve(
    config: &Config,
    shutdown: &CancellationToken,
    started: impl FnOnce(Running),
) -> Result<(), RunError> {
    let telemetry = Arc::new(Telemetry::new());
    let (control, jobs) = Control::new();
    let new = first_steps::make_data_dir(&config.data_dir)?;
    let demo = first_steps::mark_demo(&config.data_dir, config, new)?;
    first_steps::check_whole(&config.data_dir)?;
    let keys = Arc::new(PanKeys::load_or_create(&config.data_dir)?);
    let shelf = Shelf::default();
    // Up before recovery, so that health and readiness can be asked for.
    let admin = Admin::start(
        config,
        control.clone(),
        Arc::clone(&keys),
        Arc::clone(&telemetry),
        Arc::clone(&shelf),
    )?;
    let parts = start(config, &keys, &control, jobs, &telemetry)?;
    if shutdown.is_cancelled() {
        // Stopped while it recovered: nobody was let in, and nothing is in flight.
        admin.stop().await;
        return parts.stop(true);
    }
    if let Some(extracts) = parts.follower.extracts() {
        // Set once: this is the only place.
        let _ = shelf.set(extracts);
    }
    if demo && let Some(folder) = &config.demo_data {
        first_steps::load_demo(&parts.engine, &config.data_dir, folder, &keys).await?;
    }
    let open = |link: &crate::config::LinkConfig| {
        let metrics = telemetry.link(&link.name);
        Link::open(link, &config.bank, Arc::clone(&keys), metrics)
    };
    // All of them listen before one of them is served.
    let links = config
        .links
        .iter()
        .map(open)
        .collect::<Result<Vec<Link>, LinkError>>()?;
    let names = config.links.iter().map(|link| link.name.clone());
    let running = Running {
        links: names.zip(links.iter().map(Link::address)).collect(),
        admin: admin.address(),
    };
    let mut serving = JoinSet::new();
    for link in links {
        serving.spawn_local(link.serve(parts.engine.clone()));
    }
    control.gauges().set_phase(Phase::Ready);
    started(running);

    let ended = tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        fault = parts.fatal.wait() => Err(RunError::Fatal(fault)),
    };
    control.gauges().set_phase(Phase::Draining);
    if ended.is_ok() {
        tracing::info!("draining");
    }
    parts.engine.stopping().cancel();
    // After a fatal fault nothing more becomes durable, so nothing is waited for.
    if ended.is_ok() {
        tokio::select! {
            () = drained(&mut serving) => {}
            fault = parts.fatal.wait() => return Err(RunError::Fatal(fault)),
        }
    }
    // Its askers are answered or refused before the engine goes.
    admin.stop().await;
    parts.stop(ended.is_ok())?;
    ended
}

/// Waits until every link has answered what it had read, and closed.
async fn drained(serving: &mut JoinSet<()>) {
    while serving.join_next().await.is_some() {}
}

/// What runs beside the links.
struct Parts {
    engine: EngineHandle,
    committer: Committer,
    follower: Arc<FollowerHandle>,
    fatal: Fatal,
    /// Reads what has left memory; goes last.
    _records: RecordReader,
}

/// Recovers, and starts the journal's and the follower's threads and the tasks
/// of this one.
fn start(
    config: &Config,
    keys: &PanKeys,
    control: &Control,
    jobs: Jobs,
    telemetry: &Telemetry,
) -> Result<Parts, RunError> {
    let recovered = recover(config, &config.data_dir)?;
    let room = recovered.journal.room_handle();
    let retention = recovered.journal.retention();
    let fatal = Fatal::default();
    let durable_wake = Arc::new(Notify::new());
    let hooks = {
        let (links, fatal) = (Arc::clone(&durable_wake), fatal.clone());
        Hooks::new(
            move |_| links.notify_one(),
            move |error| fatal.happened(error.to_string()),
        )
    };
    let limit = usize::try_from(config.engine.max_pending_journal_bytes).unwrap_or(usize::MAX / 4);
    let options = RunnerOptions {
        max_pending_journal_bytes: limit,
        max_pending_reserved_bytes: limit + RESERVED_PENDING_BYTES,
        max_pending_wait: (config.engine.max_journal_wait_ms > 0)
            .then(|| Duration::from_millis(config.engine.max_journal_wait_ms.into())),
        attest_every: config.engine.attest_every,
    };
    let Recovered {
        journal,
        head,
        live,
        follower,
        disk,
        dirs,
        store,
        uuid,
        archive,
    } = recovered;
    let records = RecordReader::start(archive)
        .map_err(|error| RunError::Io(PathBuf::from("the thread that reads records"), error))?;
    let (spilled, told) = mpsc::unbounded_channel();
    let (clock, seen) = Clock::start(wall_us(), live.last_time_us(), Instant::now());
    if let WallClock::Jumped { by_us } = seen {
        tracing::error!(
            by_us,
            "the wall clock is before the journal's newest event, or more than three days after \
             it; timed steps wait until it is put right, or confirmed with `gapless clock confirm`"
        );
    }
    let committer = Committer::start_with(
        Box::new(Metered {
            port: Throttled::new(journal, config.journal.test_events_per_s),
            metrics: telemetry.journal(),
        }),
        head,
        hooks,
        CommitterOptions {
            max_group_bytes: MAX_GROUP_BYTES,
            max_pending_bytes: options.max_pending_reserved_bytes + EVENT_MARGIN_BYTES,
            recent_bytes: RECENT_BYTES,
        },
    );
    let durable = committer.durable_handle();
    let follower = start_follower(
        FollowerParts {
            disk,
            dirs,
            store,
            uuid,
            replica: follower,
            spilled,
        },
        &committer,
        retention,
    )?;
    let engine = EngineHandle::new(
        live,
        JournalEnds {
            appender: committer.appender(),
            durable: durable.clone(),
            room: room.clone(),
        },
        clock,
        options,
        CancellationToken::new(),
        fatal.clone(),
        control.gauges(),
    );
    let follower = Arc::new(follower);
    // Weak, since whoever stops the follower must be its only owner.
    let followed = Arc::downgrade(&follower);
    control.recovered(durable, room, move || {
        followed
            .upgrade()
            .map_or_else(Following::default, |follower| following(&follower))
    });
    tokio::task::spawn_local(release::release_durable(engine.clone(), durable_wake));
    tokio::task::spawn_local(release::watch_wall_clock(engine.clone()));
    fetch_from(&engine, &records.records(), told);
    let now_us = engine.now_us();
    let schedule = std::rc::Rc::new(night::Schedule::new(&config.bank)?);
    first_steps::begin(&engine, &schedule, keys, now_us)?;
    first_steps::open_internal(&engine, config)?;
    // What fell into a time of standing still comes first, in order.
    schedule.fire(&engine);
    let hours = std::rc::Rc::clone(&schedule);
    engine.opens_early(move |date| hours.early_from_us(date));
    let days = std::rc::Rc::clone(&schedule);
    engine.calendar(move |time_us| days.day_at(time_us));
    tokio::task::spawn_local(schedule.watch(engine.clone()));
    tokio::task::spawn_local(run_jobs(engine.clone(), jobs));
    Ok(Parts {
        engine,
        committer,
        follower,
        fatal,
        _records: records,
    })
}

/// What has left memory is read by a thread of its own; and what the follower has put
/// into files leaves memory.
fn fetch_from(engine: &EngineHandle, records: &Records, told: UnboundedReceiver<(Date, u32)>) {
    let (sender, fetched) = mpsc::unbounded_channel();
    let reader = records.clone();
    engine.records_from(move |ticket, blocks| {
        let sender = sender.clone();
        reader.fetch(blocks, move |blocks| {
            // The engine has gone: nobody waits.
            let _ = sender.send((ticket, blocks));
        });
    });
    tokio::task::spawn_local(take_fetched(engine.clone(), fetched));
    let records = records.clone();
    tokio::task::spawn_local(spill(engine.clone(), told, move |freed| {
        records.free(freed);
    }));
}

fn following(follower: &FollowerHandle) -> Following {
    let status = follower.status();
    Following {
        applied: follower.applied(),
        checkpoint: status.checkpoint,
        base: status.base,
        is_faulty: status.failure.is_some() || status.divergence.is_some(),
    }
}

struct FollowerParts {
    disk: Arc<dyn gapless_journal::Disk>,
    dirs: gapless_store::Dirs,
    store: gapless_store::StoreOptions,
    uuid: [u8; 16],
    replica: gapless_store::Replica,
    spilled: mpsc::UnboundedSender<(Date, u32)>,
}

fn start_follower(
    parts: FollowerParts,
    committer: &Committer,
    retention: RetentionHandle,
) -> Result<FollowerHandle, RunError> {
    let durable = committer.durable_handle();
    Ok(Follower::start(FollowerOptions {
        disk: parts.disk,
        dirs: parts.dirs,
        store: parts.store,
        uuid: parts.uuid,
        replica: parts.replica,
        durable: Box::new(move || durable.get()),
        recent: committer.recent(),
        release_before: Box::new(move |seq| retention.release_before(seq)),
        spilled: Box::new(move |date, until| {
            // The engine has gone: nothing is held any more.
            let _ = parts.spilled.send((date, until));
        }),
    })?)
}

impl Parts {
    /// Makes durable what was decided, then has the follower write its last checkpoint.
    fn stop(self, orderly: bool) -> Result<(), RunError> {
        let head = self.committer.stop();
        match Arc::try_unwrap(self.follower) {
            Ok(follower) if orderly => {
                if let Err(error) = follower.stop(true) {
                    // The journal holds everything; the next start replays more.
                    tracing::warn!(%error, "no last checkpoint");
                }
            }
            _ => {}
        }
        match head {
            Ok(head) => {
                tracing::info!(head, "stopped");
                Ok(())
            }
            Err(_) if !orderly => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
