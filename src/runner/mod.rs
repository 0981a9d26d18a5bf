//! The runner: owns the live engine and the journal's producing end, and releases
//! answers when everything that they depend on is durable.
//!
//! Links and engine share one current-thread runtime, so a link calls the engine
//! directly: no queue and no wake-up between them. The journal thread wakes this
//! runtime once per group, and the [`release`] task then wakes each touched link once.

mod backlog;
pub mod calendar;
pub mod clock;
mod control;
mod core;
mod door;
mod fatal;
mod fetching;
mod link_port;
pub mod release;

pub use control::{Control, Entries, Following, Gauges, MAX_ROWS, Night, Phase, Status, Stopped};
pub(crate) use control::{Jobs, run_jobs};
pub use core::{EngineHandle, JournalEnds, RunnerOptions};
pub use fatal::Fatal;
pub use fetching::{Fetched, WeakHandle};
pub(crate) use fetching::{spill, take_fetched};
pub use link_port::{LinkPort, Refused};
