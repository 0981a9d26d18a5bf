//! A card network at its end of the line: it signs on, sends a mix of traffic at
//! a steady rate whatever the host does, cuts over at a time of its own, stands
//! in while the line is down, and compares its totals with the host's.
//!
//! ```no_run
//! use gapless_simulators::network::{self, Options, Profile};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let east = Profile::named("east").ok_or("no such profile")?;
//! let report = network::run(Options::new(east), &mut |_event| {})?;
//! assert!(report.is_good(), "{report}");
//! # Ok(())
//! # }
//! ```

mod book;
mod clerk;
mod driver;
mod event;
mod framing;
mod line;
mod once;
mod profile;
mod report;
mod run;
mod session;
mod state;
mod traffic;

pub use book::{Books, Difference, Figures, Tally};
pub use event::{Event, Progress, Reconciled};
pub use framing::{Framing, Length};
pub use once::{Once, OnceError, Spoken, speak_once};
pub use profile::{CutoverDate, Profile, Reconciliation};
pub use report::{Report, Sent, StandIn};
pub use run::{Control, Cutover, Network, Options, Outage, RunError, run};
pub use session::Memory;
pub use state::NetworkFile;
pub use traffic::{Fate, Mix, Plan, Rng, Traffic};
