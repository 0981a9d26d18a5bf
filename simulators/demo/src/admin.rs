//! The daemon's admin HTTP, as an onlooker uses it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::scene::{Buffer, Dates};

/// The daemon answers in milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// The currency of the demo's traffic.
const CURRENCY: &str = "KRW";

/// Asks the daemon.
#[derive(Clone)]
pub struct Admin {
    agent: ureq::Agent,
    base: String,
}

/// `GET /v1/trial-balance`
#[derive(Clone, Debug, Default, Deserialize)]
pub struct TrialBalance {
    /// Whether debits equal credits everywhere and all accounts sum to zero.
    pub balanced: bool,
    /// By business date and currency.
    pub dates: Vec<DateLine>,
}

/// One business date in one currency.
#[derive(Clone, Debug, Deserialize)]
pub struct DateLine {
    /// YYYY-MM-DD.
    pub business_date: String,
    /// Alphabetic.
    pub currency: String,
    /// Minor units.
    pub debit_minor: u128,
    /// Minor units.
    pub credit_minor: u128,
    /// Postings that took.
    pub debit_count: u64,
    /// Postings that gave.
    pub credit_count: u64,
}

impl TrialBalance {
    /// What is dated so.
    pub fn buffer(&self, date: &str) -> Buffer {
        let mut lines = self.dates.iter();
        let line = lines.find(|line| line.currency == CURRENCY && line.business_date == date);
        line.map_or_else(Buffer::default, |line| Buffer {
            postings: line.debit_count.saturating_add(line.credit_count),
            moved_minor: line.debit_minor,
        })
    }
}

impl Admin {
    /// Of this daemon.
    pub fn new(address: SocketAddr) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .build()
            .into();
        Self {
            agent,
            base: format!("http://{address}"),
        }
    }

    /// `http://HOST:PORT`
    pub fn base(&self) -> &str {
        &self.base
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let url = format!("{}{path}", self.base);
        let mut answer = self.agent.get(&url).call().with_context(|| url.clone())?;
        let text = answer.body_mut().read_to_string()?;
        serde_json::from_str(&text).with_context(|| format!("{url}: {text}"))
    }

    /// Which dates are open.
    ///
    /// # Errors
    /// The daemon does not answer, or with something else.
    pub fn dates(&self) -> anyhow::Result<Dates> {
        self.get("/v1/business-date")
    }

    /// Debits and credits by business date.
    ///
    /// # Errors
    /// As [`Self::dates`].
    pub fn trial_balance(&self) -> anyhow::Result<TrialBalance> {
        self.get("/v1/trial-balance")
    }
}
