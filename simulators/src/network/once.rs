//! One message of a network's, and its answer: for trying a host by hand.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use jiff::civil::Date;
use thiserror::Error;

use super::book::Figures;
use super::clerk::Clerk;
use super::line::{Input, Line, connect};
use super::profile::Profile;
use crate::fields::FieldError;
use crate::message::Message;
use crate::terminal::Network;
use crate::wire;

/// What to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Once {
    /// 0800, 001.
    SignOn,
    /// 0800, 002.
    SignOff,
    /// 0800, 301.
    Echo,
    /// 0800, 201: that settlement date begins.
    Cutover(Date),
    /// 0500 or 0520 of a date, currency (as DE 50) and figures.
    Totals(Date, String, Figures),
}

/// Why nothing was said, or nothing answered.
#[derive(Debug, Error)]
pub enum OnceError {
    /// No line to the host.
    #[error("no host at {address}: {reason}")]
    NoHost {
        /// Where it should be.
        address: String,
        /// Why not.
        reason: String,
    },
    /// The message cannot be built.
    #[error("{0}")]
    Message(#[from] FieldError),
    /// No sign-on, so the message was not sent.
    #[error("the sign-on was answered {0}")]
    SignOn(String),
    /// The line was lost, or nothing came in time.
    #[error("no answer: {0}")]
    NoAnswer(String),
}

/// What was said, and what came back.
#[derive(Debug)]
pub struct Spoken {
    /// The message.
    pub request: Message,
    /// Its answer.
    pub answer: Message,
    /// From before it was sent until the answer was decoded.
    pub round_trip: Duration,
}

/// Connects, signs on unless the message is a sign-on or sign-off itself, and
/// says one thing.
///
/// # Errors
/// [`OnceError`].
pub fn speak_once(profile: &Profile, what: &Once, timeout: Duration) -> Result<Spoken, OnceError> {
    let no_host = |reason| OnceError::NoHost {
        address: profile.address.clone(),
        reason,
    };
    wire::prepare().map_err(no_host)?;
    let mut clerk = Clerk::new(profile);
    let (tell, hear) = channel();
    connect(&profile.address, 0, timeout, tell.clone());
    let stream = match hear.recv() {
        Ok(Input::Connected(_, Ok(stream))) => stream,
        Ok(Input::Connected(_, Err(reason))) => return Err(no_host(reason)),
        _ => return Err(no_host("it cannot be dialed".to_owned())),
    };
    let mut line = Line::new(stream, profile.framing, 0, tell).map_err(no_host)?;
    if !matches!(what, Once::SignOn | Once::SignOff) {
        let sign_on = clerk.management(Network::SignOn)?;
        let spoken = exchange(&mut line, &hear, sign_on, timeout)?;
        match spoken.answer.response_code() {
            Some("00") => {}
            other => return Err(OnceError::SignOn(other.unwrap_or("nothing").to_owned())),
        }
    }
    let request = match what {
        Once::SignOn => clerk.management(Network::SignOn)?,
        Once::SignOff => clerk.management(Network::SignOff)?,
        Once::Echo => clerk.management(Network::Echo)?,
        Once::Cutover(new) => {
            let named = profile.cutover_date.named(*new).unwrap_or(*new);
            clerk.cutover(named)?
        }
        Once::Totals(date, currency, figures) => clerk.totals(*date, currency, figures)?,
    };
    exchange(&mut line, &hear, request, timeout)
}

fn exchange(
    line: &mut Line,
    hear: &Receiver<Input>,
    request: Message,
    timeout: Duration,
) -> Result<Spoken, OnceError> {
    let started = Instant::now();
    line.send(std::slice::from_ref(&request))
        .map_err(OnceError::NoAnswer)?;
    loop {
        match hear.recv_timeout(timeout.saturating_sub(started.elapsed())) {
            Ok(Input::Message(_, answer)) if request.is_answered_by(&answer).is_ok() => {
                return Ok(Spoken {
                    request,
                    answer,
                    round_trip: started.elapsed(),
                });
            }
            Ok(Input::Closed(_, why) | Input::Malformed(_, why)) => {
                return Err(OnceError::NoAnswer(why));
            }
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return Err(OnceError::NoAnswer(format!(
                    "nothing within {} s",
                    timeout.as_secs()
                )));
            }
        }
    }
}
