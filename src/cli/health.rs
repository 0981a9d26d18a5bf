//! `gapless health`: a GET for container health checks, without a client at hand.

use std::time::Duration;

use super::http::{Body, Question, ask};
use super::{Failure, say};

const TIMEOUT: Duration = Duration::from_secs(3);

pub(super) fn health(url: &str) -> Result<(), Failure> {
    let (status, body) = ask(Question {
        url: url.to_owned(),
        token: None,
        body: Body::None,
        patience: TIMEOUT,
    })?;
    if status == "200" {
        say(body);
        Ok(())
    } else {
        let body = body.split_whitespace().collect::<Vec<_>>().join(" ");
        Err(Failure::failed(format_args!(
            "{url}: status {status:?}: {body}"
        )))
    }
}
