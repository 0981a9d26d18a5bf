//! Logs, and the names and handles of all metrics.
//!
//! Nothing here is global but the log subscriber: each daemon has a recorder of
//! its own, so that several run in one process without sharing figures. Handles
//! are registered ahead of use; the hot path adds to them and hashes no label.

mod histogram;
mod labels;
mod logs;
mod metrics;
pub mod names;

pub use histogram::Histogram;
pub use labels::{ConnectionEnd, FrameFault, KeptBack, OwnMessage, OwnOutcome, Refusal};
pub use logs::{LogError, init_logs};
pub use metrics::{DaemonMetrics, JournalMetrics, LinkMetrics, Telemetry};
