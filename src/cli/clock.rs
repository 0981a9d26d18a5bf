//! `gapless clock`: engine time beside the wall clock of a running daemon, and the
//! confirmation of a wall clock that it does not believe.

use clap::{Args, Subcommand};
use serde_json::json;

use super::http::Body;
use super::night::Address;
use super::{Failure, say};

#[derive(Debug, Args)]
pub(super) struct Clock {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    address: Address,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Shows engine time, the wall clock, and whether it is trusted
    Status,
    /// Says that the wall clock is right: timed steps go on
    Confirm {
        /// The time it is, from another clock, as in 2026-11-22T09:00:00Z; within five minutes
        time: String,
    },
}

pub(super) fn clock(clock: &Clock) -> Result<(), Failure> {
    let daemon = clock.address.daemon()?;
    say(match &clock.what {
        What::Status => daemon.ask("/v1/clock", Body::None)?,
        What::Confirm { time } => {
            let body = json!({ "time": time }).to_string();
            daemon.ask("/v1/clock/confirm", Body::Json(&body))?
        }
    });
    Ok(())
}
