//! Log lines on standard error.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The filter is no filter.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no log level or filter")]
pub struct LogError(String);

/// Sends log lines to standard error, in text or as one JSON object a line.
///
/// A process has one subscriber; where there is one already (several daemons in
/// one test) it stays.
///
/// # Errors
/// The level is neither a level nor a filter (`info,gapless::link=debug`).
pub fn init_logs(level: &str, json: bool) -> Result<(), LogError> {
    let filter = EnvFilter::builder()
        .parse(level)
        .map_err(|_| LogError(level.to_owned()))?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(true);
    let registry = tracing_subscriber::registry().with(filter);
    // Refused where a subscriber is set already; that one stays, see above.
    let _ = if json {
        registry.with(lines.json()).try_init()
    } else {
        registry.with(lines).try_init()
    };
    Ok(())
}
