//! What a link needs of whoever decides: the runner, or a double in tests.

use std::future::Future;

use gapless_engine::command::Request;
use gapless_engine::date::Date;
use gapless_engine::ids::{NetworkId, Seq, TimeUs};
use gapless_engine::outcome::Outcome;
use gapless_engine::{Announcement, Asked, Reconciliation};
use tokio_util::sync::CancellationToken;

use super::session::Duties;
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

    /// What this side owes a network now, of what its profile asks for. Whoever gets
    /// something keeps it from the network's other connections, until it leaves it.
    fn duty(&mut self, network: NetworkId, duties: &Duties) -> Option<Duty> {
        let _ = (network, duties);
        None
    }

    /// Leaves what is owed to the network's other connections.
    fn leave_duty(&mut self) {}

    /// What a reconciliation came to, by the sequence of its outcome.
    fn reconciliation(&self, seq: Seq) -> Option<Reconciliation> {
        let _ = seq;
        None
    }

    /// Engine time, microseconds since the Unix epoch.
    fn now_us(&self) -> TimeUs {
        0
    }
}

/// What this side owes a network. Durable, so that it may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// It has not acknowledged the bank's cutover.
    Announce(Announcement),
    /// It has not answered our reconciliation.
    Reconcile(Asked),
    /// A settlement date has ended that is not asked about yet:
    /// [`Request::AskReconciliation`] comes first.
    Ask,
}
