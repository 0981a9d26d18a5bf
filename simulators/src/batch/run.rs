//! A batch from its beginning to its end.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::{Duration, Instant};

use jiff::civil::Date;
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::client::{Client, Fault};
use super::extract::{Balance, fetch};
use super::interest::{Entry, Rates, Rule, entries};
use super::post::{Posted, post};
use super::report::{Event, Report, Sums};
use super::window::{Standing, step, wait_for};

/// Where a batch falls over, if it is asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// With a part of the extract downloaded.
    Extract,
    /// In the middle of a chunk in the middle of the entries.
    Entries,
    /// With all entries posted, before the seal.
    Seal,
}

impl FromStr for CrashPoint {
    type Err = String;

    fn from_str(text: &str) -> Result<CrashPoint, String> {
        match text {
            "extract" => Ok(CrashPoint::Extract),
            "entries" => Ok(CrashPoint::Entries),
            "seal" => Ok(CrashPoint::Seal),
            _ => Err("extract, entries or seal".to_owned()),
        }
    }
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CrashPoint::Extract => "extract",
            CrashPoint::Entries => "entries",
            CrashPoint::Seal => "seal",
        })
    }
}

/// What a batch is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The daemon's admin address, `http://host:port`.
    pub url: String,
    /// The admin token, if the daemon has one.
    pub token: Option<String>,
    /// The date to close; without it, the one that closes next.
    pub date: Option<Date>,
    /// Order the cutover, rather than wait for the bank's clock.
    pub cutover: bool,
    /// Order the freeze, rather than wait for the end of the grace.
    pub freeze: bool,
    /// The entries are spread over so long.
    pub spread: Duration,
    /// And it takes so much longer than that before it seals.
    pub overrun: Duration,
    /// Falls over there.
    pub crash_at: Option<CrashPoint>,
    /// What the bank pays and charges.
    pub rates: Rates,
    /// Entries in one request.
    pub chunk: usize,
    /// The window, and the extract, are waited for so long.
    pub wait: Duration,
    /// A daemon that is away is waited for so long.
    pub patience: Duration,
}

impl Options {
    /// A batch of two minutes that waits for the bank's clock up to a day.
    pub fn new(url: &str) -> Options {
        Options {
            url: url.to_owned(),
            token: None,
            date: None,
            cutover: false,
            freeze: false,
            spread: Duration::from_secs(120),
            overrun: Duration::ZERO,
            crash_at: None,
            rates: Rates::default(),
            chunk: 500,
            wait: Duration::from_secs(86_400),
            patience: Duration::from_secs(60),
        }
    }
}

/// Why a batch has not closed its date. It can be run again.
#[derive(Debug, Error)]
pub enum BatchError {
    /// The date did not get so far in time.
    #[error("{date} is still {standing}: no window for the batch")]
    NoWindow {
        /// The date to be closed.
        date: Date,
        /// Where it stands.
        standing: &'static str,
    },
    /// The date lies before the open ones, and the daemon does not tell that it was
    /// sealed: long ago, or never.
    #[error("{date} is not one of the last dates: next closes {closing}")]
    Unknown {
        /// The date to be closed.
        date: Date,
        /// The one that closes next.
        closing: Date,
    },
    /// The daemon is away.
    #[error("the daemon is away: {0}")]
    Away(String),
    /// The daemon refuses a step.
    #[error("{step} refused: {error}")]
    Refused {
        /// Which.
        step: String,
        /// Its status.
        status: u16,
        /// Its reason.
        error: String,
    },
    /// The extract or an answer is wrong, or entries were refused: somebody must look.
    #[error("{0}")]
    Wrong(String),
    /// A file of our own.
    #[error("working files: {0}")]
    File(#[from] io::Error),
    /// It was asked to fall over here.
    #[error("crashed, as it was asked to, at: {0}")]
    Crashed(CrashPoint),
}

impl From<Fault> for BatchError {
    fn from(fault: Fault) -> BatchError {
        match fault {
            Fault::Away(why) => BatchError::Away(why),
            Fault::Refused { status, error } => BatchError::Refused {
                step: "request".to_owned(),
                status,
                error,
            },
        }
    }
}

impl BatchError {
    /// Names the step that was refused.
    pub(super) fn at(self, step: &str) -> BatchError {
        match self {
            BatchError::Refused { status, error, .. } => BatchError::Refused {
                step: step.to_owned(),
                status,
                error,
            },
            other => other,
        }
    }
}

/// Runs a batch to its end, and tells `observer` what happens.
///
/// # Errors
/// [`BatchError`]; the batch can be run again after each.
pub fn run(options: &Options, observer: &mut dyn FnMut(&Event)) -> Result<Report, BatchError> {
    let client = Client::new(&options.url, options.token.as_deref(), options.patience);
    let (date, standing) = wait_for(&client, options, observer)?;
    let was_sealed = standing == Standing::Sealed;
    let began = Instant::now();
    let folder = tempfile::tempdir()?;
    let mut report = Report {
        date,
        was_sealed,
        extract: None,
        rates: options.rates,
        computed: BTreeMap::new(),
        posted: Posted::default(),
        sealed: BTreeMap::new(),
        seal_repeated: false,
        elapsed_ms: 0,
    };
    let (extract, balances) = match fetch(&client, date, folder.path(), options, observer) {
        // Of a date that is long final there is nothing left to do.
        Err(BatchError::Refused { status: 404, .. }) if was_sealed => {
            report.seal_repeated = true;
            return Ok(report);
        }
        other => other?,
    };
    report.extract = Some(extract);
    let entries = entries(&balances, &options.rates).map_err(BatchError::Wrong)?;
    count(&mut report, &entries, &balances);
    observer(&Event::Computed {
        entries: u64::try_from(entries.len()).unwrap_or(u64::MAX),
    });
    // Repetitions need no window.
    let spread = if was_sealed {
        Duration::ZERO
    } else {
        options.spread
    };
    report.posted = post(
        &client,
        date,
        (&entries, &balances),
        options,
        spread,
        observer,
    )?;
    if !was_sealed {
        overrun(options.overrun, observer);
    }
    if options.crash_at == Some(CrashPoint::Seal) {
        return Err(BatchError::Crashed(CrashPoint::Seal));
    }
    report.seal_repeated = step(&client, "seal", &seal(date, &report.sealed))?;
    observer(&Event::Sealed {
        date,
        repeated: report.seal_repeated,
    });
    report.elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

/// By currency and rule for people, and by currency for the seal.
fn count(report: &mut Report, entries: &[Entry], balances: &[Balance]) {
    for entry in entries {
        let Some(balance) = balances.get(entry.at) else {
            continue;
        };
        let rules: &mut BTreeMap<Rule, Sums> =
            report.computed.entry(balance.currency.clone()).or_default();
        let of_rule = rules.entry(entry.rule).or_default();
        let of_currency = report.sealed.entry(balance.currency.clone()).or_default();
        for sums in [of_rule, of_currency] {
            sums.count += 1;
            // A million entries of twelve digits are far within 64 bits.
            sums.minor = sums.minor.saturating_add(entry.minor);
        }
    }
}

fn seal(date: Date, sums: &BTreeMap<String, Sums>) -> Value {
    let by = |value: fn(&Sums) -> Value| -> Map<String, Value> {
        sums.iter()
            .map(|(currency, sums)| (currency.clone(), value(sums)))
            .collect()
    };
    json!({
        "date": date.to_string(),
        "entries": by(|sums| sums.count.into()),
        "sum_minor": by(|sums| sums.minor.into()),
    })
}

/// Goes on for so long, a second at a time.
fn overrun(lasts: Duration, observer: &mut dyn FnMut(&Event)) {
    let until = Instant::now() + lasts;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        observer(&Event::Overrunning {
            seconds: left.as_secs(),
        });
        std::thread::sleep(left.min(Duration::from_secs(1)));
    }
}
