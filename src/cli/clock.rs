//! `gapless clock`: engine time beside the wall clock of a running daemon, and the
//! confirmation of a wall clock that it does not believe.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::http::Body;
use super::night::{Daemon, token};
use super::{Failure, say};

#[derive(Debug, Args)]
pub(super) struct Clock {
    #[command(subcommand)]
    what: What,
    /// The daemon's admin address
    #[arg(
        long,
        value_name = "URL",
        global = true,
        default_value = "http://127.0.0.1:8580"
    )]
    url: String,
    /// File with the admin token, if the daemon has one
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
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
    let daemon = Daemon {
        url: clock.url.clone(),
        token: clock.token_file.as_deref().map(token).transpose()?,
    };
    say(match &clock.what {
        What::Status => daemon.ask("/v1/clock", Body::None)?,
        What::Confirm { time } => {
            let body = json!({ "time": time }).to_string();
            daemon.ask("/v1/clock/confirm", Body::Json(&body))?
        }
    });
    Ok(())
}
