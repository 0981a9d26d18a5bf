//! A core-banking batch: what a bank's nightly job does with a closing date.
//!
//! It waits for the window, reads the extract of the frozen date, checks it,
//! computes interest and fees, posts them as entries spread over the window, and
//! seals with its own count and sum. Entries have ids made of date, kind and
//! account, so a batch that broke off is simply run again.
//!
//! ```no_run
//! use gapless_simulators::batch::{self, Options};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let report = batch::run(&Options::new("http://127.0.0.1:8580"), &mut |_event| {})?;
//! println!("{report}");
//! # Ok(())
//! # }
//! ```

mod client;
mod extract;
mod interest;
mod post;
mod report;
mod run;
mod window;

pub use extract::{Balances, Checked, FileOfExtract, TrialBalance};
pub use interest::{Rates, Rule};
pub use post::Posted;
pub use report::{Event, Report, Sums};
pub use run::{BatchError, CrashPoint, Options, run};
