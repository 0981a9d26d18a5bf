//! The daemon's admin HTTP, as far as a load test asks: accounts, the trial
//! balance, the steps of the night (docs/admin.md).

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

/// A host's admin side.
#[derive(Clone, Debug)]
pub struct Admin {
    base: String,
    token: Option<String>,
    agent: ureq::Agent,
}

/// An account as the host keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// In minor units.
    pub ledger_minor: i64,
    /// ISO 4217 alphabetic.
    pub currency: String,
}

/// The business dates of the bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dates {
    /// `open` or `dual`.
    pub state: String,
    /// The date that closes next, or is closing.
    pub closing: String,
}

/// How far the daemon's follower is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Following {
    /// The last event.
    pub head: u64,
    /// The last one that the follower has applied.
    pub followed: u64,
    /// The last one of the last checkpoint; 0: there is none.
    pub checkpoint: u64,
}

/// An answer that is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP's status.
    pub status: u16,
    /// The body.
    pub value: Value,
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

impl Admin {
    /// At this URL, with the bearer token from a file if it needs one.
    ///
    /// # Errors
    /// The URL is no `http://HOST:PORT`, or the file cannot be read.
    pub fn new(url: &str, token_file: Option<&Path>) -> anyhow::Result<Self> {
        let base = url.trim_end_matches('/');
        ensure!(
            base.starts_with("http://") && base.len() > "http://".len(),
            "--admin {url}: http://HOST:PORT expected"
        );
        let token = token_file
            .map(|path| {
                let text =
                    std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
                anyhow::Ok(text.trim().to_owned())
            })
            .transpose()?;
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .build()
            .into();
        Ok(Self {
            base: base.to_owned(),
            token,
            agent,
        })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn get(&self, path: &str) -> anyhow::Result<Answer> {
        let url = self.url(path);
        let mut request = self.agent.get(&url);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let response = request.call().with_context(|| url.clone())?;
        read(&url, response)
    }

    fn post(&self, path: &str, kind: &str, body: &[u8]) -> anyhow::Result<Answer> {
        let url = self.url(path);
        let mut request = self.agent.post(&url).header("Content-Type", kind);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let response = request.send(body).with_context(|| url.clone())?;
        read(&url, response)
    }

    fn get_ok(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.get(path)?;
        if answer.status != 200 {
            bail!("{}: {}", self.url(path), told(&answer));
        }
        Ok(answer.value)
    }

    /// An account; `None`: there is none of this name.
    ///
    /// # Errors
    /// No answer, or none that says it.
    pub fn account(&self, name: &str) -> anyhow::Result<Option<Account>> {
        let path = format!("/v1/accounts/{name}");
        let answer = self.get(&path)?;
        if answer.status == 404 {
            return Ok(None);
        }
        let ledger_minor = answer.value.get("ledger_minor").and_then(Value::as_i64);
        let currency = answer.value.get("currency").and_then(Value::as_str);
        match (answer.status, ledger_minor, currency) {
            (200, Some(ledger_minor), Some(currency)) => Ok(Some(Account {
                ledger_minor,
                currency: currency.to_owned(),
            })),
            _ => bail!("{}: {}", self.url(&path), told(&answer)),
        }
    }

    /// By business date and currency debits and credits, by currency the sum over
    /// all accounts.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn trial_balance(&self) -> anyhow::Result<Value> {
        self.get_ok("/v1/trial-balance")
    }

    /// How far the follower is behind.
    ///
    /// # Errors
    /// No answer, or none that says it.
    pub fn following(&self) -> anyhow::Result<Following> {
        let value = self.get_ok("/v1/status")?;
        let number = |key: &str| {
            let number = value.get(key).and_then(Value::as_u64);
            number.with_context(|| format!("{}: no {key}", self.url("/v1/status")))
        };
        Ok(Following {
            head: number("head")?,
            followed: number("followed")?,
            checkpoint: number("checkpoint")?,
        })
    }

    /// The business dates.
    ///
    /// # Errors
    /// No answer, or none that says it.
    pub fn dates(&self) -> anyhow::Result<Dates> {
        let value = self.get_ok("/v1/business-date")?;
        let text = |key: &str| {
            let text = value.get(key).and_then(Value::as_str);
            text.map(str::to_owned)
                .with_context(|| format!("{}: no {key}", self.url("/v1/business-date")))
        };
        Ok(Dates {
            state: text("state")?,
            closing: text("closing")?,
        })
    }

    /// What the batch has posted on a date so far: count and sum by currency.
    ///
    /// # Errors
    /// No answer, or none that says it.
    pub fn entries(&self, date: &str) -> anyhow::Result<(Value, Value)> {
        let value = self.get_ok("/v1/business-date")?;
        let ends = value.get("ends").and_then(Value::as_array);
        let end = ends
            .into_iter()
            .flatten()
            .find(|end| end.get("date").and_then(Value::as_str) == Some(date));
        let part = |key: &str| {
            end.and_then(|end| end.get(key))
                .cloned()
                .unwrap_or_else(|| json!({}))
        };
        Ok((part("entries"), part("sum_minor")))
    }

    /// A step of the night: `cutover`, `freeze`.
    ///
    /// # Errors
    /// No answer, or a refusal with its reason.
    pub fn step(&self, step: &str, date: &str) -> anyhow::Result<()> {
        self.post_step(step, &json!({ "date": date }))
    }

    /// Seals a date with what the batch has posted on it.
    ///
    /// # Errors
    /// No answer, or a refusal with its reason.
    pub fn seal(&self, date: &str, entries: &Value, sum_minor: &Value) -> anyhow::Result<()> {
        let body = json!({ "date": date, "entries": entries, "sum_minor": sum_minor });
        self.post_step("seal", &body)
    }

    fn post_step(&self, step: &str, body: &Value) -> anyhow::Result<()> {
        let path = format!("/v1/business-date/{step}");
        let answer = self.post(&path, "application/json", body.to_string().as_bytes())?;
        ensure!(
            answer.status == 200,
            "{}: {}",
            self.url(&path),
            told(&answer)
        );
        Ok(())
    }

    /// Posts entries of the batch, a CSV with its header.
    ///
    /// # Errors
    /// No answer, or a row that was refused, with its line and reason.
    pub fn post_entries(&self, date: &str, csv: &[u8]) -> anyhow::Result<Value> {
        let path = format!("/v1/business-date/{date}/entries");
        let answer = self.post(&path, "text/csv", csv)?;
        ensure!(
            answer.status == 200,
            "{}: {}",
            self.url(&path),
            told(&answer)
        );
        Ok(answer.value)
    }

    /// Imports accounts or cards, a CSV with its header.
    ///
    /// # Errors
    /// No answer, or a row that was refused, with its line and reason.
    pub fn import(&self, csv: &[u8]) -> anyhow::Result<()> {
        let answer = self.post("/v1/import", "text/csv", csv)?;
        let refused = answer.value.get("refused").and_then(Value::as_u64);
        ensure!(
            answer.status == 200 && refused == Some(0),
            "{}: {}",
            self.url("/v1/import"),
            told(&answer)
        );
        Ok(())
    }

    /// The metrics' text.
    ///
    /// # Errors
    /// No answer.
    pub fn metrics(&self) -> anyhow::Result<String> {
        let url = self.url("/metrics");
        let mut request = self.agent.get(&url);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let mut response = request.call().with_context(|| url.clone())?;
        response.body_mut().read_to_string().with_context(|| url)
    }
}

fn read(url: &str, mut response: ureq::http::Response<ureq::Body>) -> anyhow::Result<Answer> {
    let status = response.status().as_u16();
    let text = response
        .body_mut()
        .read_to_string()
        .with_context(|| url.to_owned())?;
    // A refusal may come without JSON: then its text is what it says.
    let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Answer { status, value })
}

/// Status and reason, in one line.
fn told(answer: &Answer) -> String {
    let error = answer.value.get("error").and_then(Value::as_str);
    let refusal = answer
        .value
        .get("refusals")
        .and_then(|refusals| refusals.get(0));
    let why = match (error, refusal) {
        (Some(error), _) => error.to_owned(),
        (None, Some(refusal)) => refusal.to_string(),
        (None, None) => answer.value.to_string().chars().take(200).collect(),
    };
    format!("status {}: {why}", answer.status)
}
