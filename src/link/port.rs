//! What a link needs of whoever decides: the runner, or a double in tests.

use std::future::Future;

use gapless_engine::command::Request;
use gapless_engine::date::Date;
use gapless_engine::outcome::Outcome;
use tokio_util::sync::CancellationToken;

use crate::telemetry::Refusal;

/// Whoever decides. Cheap to clone, one thread.
pub trait Decider: Clone + 'static {
    /// One connection's way in.
    type Port: Port;

    /// A port for one connection.
    fn connect(&self) -> Self::Port;

    /// The business date that a transaction would take now.
    fn today(&self) -> Date;

    /// Cancelled when the daemon drains: links stop reading and answer what is in flight.
    fn stopping(&self) -> CancellationToken;
}

/// One connection's way in. Dropping it forgets the answers that are
/// outstanding; their effects stay.
pub trait Port: 'static {
    /// Has a request decided. `tag` comes back with the outcome.
    ///
    /// # Errors
    /// It was not taken: it has no effect, and is answered 91.
    fn submit(&mut self, tag: u32, request: &Request) -> Result<(), Refusal>;

    /// End of what one read of the socket brought.
    fn flush(&mut self);

    /// The next outcome that may leave.
    fn take_released(&mut self) -> Option<(u32, Outcome)>;

    /// Waits until [`Port::take_released`] has something. Cancel-safe.
    fn released(&self) -> impl Future<Output = ()>;

    /// Answers still to come.
    fn outstanding(&self) -> usize;
}
