//! Links: listeners and sessions with networks and terminals.
//!
//! One task a listener and one a connection, all on the thread of whoever
//! decides ([`Decider`]). What a session does with messages stands apart from
//! sockets, in [`session`]; a connection joins it to its socket, its deadlines
//! and its port.
//!
//! Nobody is slowed by another peer: one turn of a connection takes one read of
//! bounded size, and everything that a peer can make grow has a limit in the
//! configuration (connections, frame, requests in flight, unsent bytes, times).

mod buffers;
mod connection;
mod in_flight;
mod listener;
mod log;
mod notes;
mod port;
mod runner_port;
pub mod session;
mod tls;

pub use listener::{Link, LinkError};
pub use port::{Decider, Duty, Port};
pub use tls::TlsError;
