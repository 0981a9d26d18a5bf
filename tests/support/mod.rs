//! What the integration tests share: a daemon as a real process in a folder of
//! its own, terminals that keep a shadow ledger, and a message writer that is
//! none of ours, so that a fault of the codec cannot hide itself.
#![allow(dead_code, reason = "each test uses its part")]

pub mod books;
pub mod daemon;
pub mod iso;
pub mod load;
pub mod rng;
pub mod site;
pub mod terminal;

use std::time::Duration;

/// The longest that a test waits for an event that must come. Generous, since a
/// busy machine is no fault; a test that runs into it has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);
