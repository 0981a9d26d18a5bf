//! The daemon's admin HTTP, as far as a batch needs it.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body, SendBody};

/// Pause between two attempts at a daemon that is away.
const AGAIN: Duration = Duration::from_millis(250);
/// An answer's head must come within this; the extract's may wait 20 s.
const HEAD: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(5);

/// Why there is no answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The daemon is not there, is busy, or broke off: it may do better later.
    Away(String),
    /// It is there, and says no.
    Refused {
        /// HTTP status.
        status: u16,
        /// The reason that it gives.
        error: String,
    },
}

/// A client of one daemon.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    base: String,
    authorization: Option<String>,
    /// How long a daemon that is away is waited for.
    patience: Duration,
}

impl Client {
    pub fn new(base: &str, token: Option<&str>, patience: Duration) -> Client {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // The environment's proxies are for other hosts.
            .proxy(None)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(HEAD))
            .build();
        Client {
            agent: config.into(),
            base: base.trim_end_matches('/').to_owned(),
            authorization: token.map(|token| format!("Bearer {token}")),
            patience,
        }
    }

    /// GET, with a JSON answer.
    pub fn get(&self, path: &str) -> Result<(u16, Value), Fault> {
        self.patiently(|| json(self.ask(path)?))
    }

    /// POST of JSON, with a JSON answer.
    pub fn post(&self, path: &str, body: &Value) -> Result<(u16, Value), Fault> {
        let body = body.to_string();
        self.patiently(|| json(self.tell(path, SendBody::from_reader(&mut body.as_bytes()))?))
    }

    /// POST of CSV, with a JSON answer.
    pub fn post_csv(&self, path: &str, body: &[u8]) -> Result<(u16, Value), Fault> {
        self.patiently(|| json(self.tell(path, SendBody::from_reader(&mut &*body))?))
    }

    /// As [`post_csv`](Client::post_csv), but it ends in the middle of the body.
    pub fn post_csv_and_die(&self, path: &str, body: &[u8]) {
        let half = body.get(..body.len() / 2).unwrap_or_default();
        let mut dying = half.chain(Dying);
        // Whatever comes of it, nobody is there any more to hear it.
        let _ = self.tell(path, SendBody::from_reader(&mut dying));
    }

    /// Streams an answer's body to `to`, which is begun anew by `begin` at each attempt.
    pub fn download<W: Write>(
        &self,
        path: &str,
        mut begin: impl FnMut() -> std::io::Result<W>,
    ) -> Result<W, Fault> {
        self.patiently(|| {
            let away = |error: std::io::Error| Fault::Away(error.to_string());
            let mut response = self.ask(path)?;
            if response.status().as_u16() != 200 {
                let (status, told) = json(response)?;
                return Err(refusal(status, &told));
            }
            let mut to = begin().map_err(away)?;
            let mut body = response.body_mut().with_config().limit(u64::MAX).reader();
            std::io::copy(&mut body, &mut to).map_err(away)?;
            to.flush().map_err(away)?;
            Ok(to)
        })
    }

    fn ask(&self, path: &str) -> Result<Response<Body>, Fault> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(value) = &self.authorization {
            request = request.header("Authorization", value);
        }
        request.call().map_err(away)
    }

    fn tell(&self, path: &str, body: SendBody<'_>) -> Result<Response<Body>, Fault> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        if let Some(value) = &self.authorization {
            request = request.header("Authorization", value);
        }
        request.send(body).map_err(away)
    }

    /// Tries again while the daemon is away.
    fn patiently<T>(&self, mut attempt: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
        let until = Instant::now() + self.patience;
        loop {
            match attempt() {
                Err(Fault::Away(_)) if Instant::now() < until => std::thread::sleep(AGAIN),
                other => return other,
            }
        }
    }
}

/// A body's end that is none.
struct Dying;

impl Read for Dying {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("the batch has crashed"))
    }
}

fn away(error: ureq::Error) -> Fault {
    Fault::Away(error.to_string())
}

/// What an answer says: 503 and the like count as away.
fn json(mut response: Response<Body>) -> Result<(u16, Value), Fault> {
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().map_err(away)?;
    let told: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    match status {
        408 | 429 | 500..=599 => Err(Fault::Away(reason(status, &told))),
        200 | 202 | 409 | 422 => Ok((status, told)),
        _ => Err(refusal(status, &told)),
    }
}

/// The answer as a refusal.
pub(super) fn refusal(status: u16, told: &Value) -> Fault {
    Fault::Refused {
        status,
        error: reason(status, told),
    }
}

fn reason(status: u16, told: &Value) -> String {
    match told.get("error").and_then(Value::as_str) {
        Some(error) => error.to_owned(),
        None => format!("HTTP status {status}"),
    }
}
