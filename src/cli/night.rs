//! `gapless night`: the steps of a day's end, for an operator or a job, over the
//! admin HTTP.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::http::{Body, Question, ask};
use super::{Failure, entries, extract, say};

/// Longer than the daemon itself waits for its journal, or for an extract.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(super) struct Night {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    address: Address,
}

/// How a running daemon is named on the command line.
#[derive(Debug, Args)]
pub(super) struct Address {
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

impl Address {
    /// The daemon there, with its token read.
    pub(super) fn daemon(&self) -> Result<Daemon, Failure> {
        Ok(Daemon {
            url: self.url.clone(),
            token: self.token_file.as_deref().map(token).transpose()?,
        })
    }
}

#[derive(Debug, Subcommand)]
enum What {
    /// Shows which dates are open, and how far the ends of the last ones have got
    Status,
    /// Cuts over: the next date opens, late items still get this one
    Cutover {
        /// The date that it closes, YYYY-MM-DD
        date: String,
    },
    /// Ends the grace: the date takes batch entries only
    Freeze {
        /// The date that it closes, YYYY-MM-DD
        date: String,
    },
    /// Fetches what a date was at its freeze: postings, balances, totals
    Extract {
        /// The frozen or sealed date, YYYY-MM-DD
        date: String,
        /// The folder that the files go to; made if it is not there
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// What the files are written in
        #[arg(long, value_name = "FORMAT", default_value = "csv", value_parser = ["csv", "jsonl"])]
        format: String,
    },
    /// Posts the batch's entries to a frozen date; sent again, nothing is posted twice
    Post {
        /// The frozen date, YYYY-MM-DD
        date: String,
        /// CSV with the header id,account,currency,amount_minor
        file: PathBuf,
    },
    /// Ends the batch: the date is final
    Seal {
        /// The date that it closes, YYYY-MM-DD
        date: String,
        /// What the batch has posted, by currency, as in KRW:1200:-35000; several times
        #[arg(
            long,
            value_name = "CURRENCY:COUNT:SUM",
            allow_hyphen_values = true,
            value_parser = posted
        )]
        posted: Vec<(String, u32, i64)>,
    },
}

/// Currency, count, sum in minor units.
fn posted(text: &str) -> Result<(String, u32, i64), String> {
    let parts: Vec<&str> = text.split(':').collect();
    if let [currency, count, sum] = parts.as_slice()
        && let (Ok(count), Ok(sum)) = (count.parse(), sum.parse())
    {
        return Ok(((*currency).to_owned(), count, sum));
    }
    Err("CURRENCY:COUNT:SUM expected, the sum in minor units".to_owned())
}

/// Where the daemon is, and how to be let in.
pub(super) struct Daemon {
    url: String,
    token: Option<String>,
}

impl Daemon {
    /// A question to this path.
    pub(super) fn question<'a>(&'a self, path: &str, body: Body<'a>) -> Question<'a> {
        Question {
            url: format!("{}{path}", self.url.trim_end_matches('/')),
            token: self.token.as_deref(),
            body,
            patience: TIMEOUT,
        }
    }

    /// The body of a 200; a refusal otherwise.
    pub(super) fn ask(&self, path: &str, body: Body<'_>) -> Result<String, Failure> {
        let question = self.question(path, body);
        let url = question.url.clone();
        let (status, answer) = ask(question)?;
        match status.as_str() {
            "200" => Ok(answer),
            _ => Err(refused(&url, &status, &answer)),
        }
    }
}

pub(super) fn night(night: &Night) -> Result<(), Failure> {
    let daemon = night.address.daemon()?;
    let step = |step: &str, body: &Value| {
        let body = body.to_string();
        daemon.ask(&format!("/v1/business-date/{step}"), Body::Json(&body))
    };
    let answer = match &night.what {
        What::Status => daemon.ask("/v1/business-date", Body::None)?,
        What::Cutover { date } => step("cutover", &json!({ "date": date }))?,
        What::Freeze { date } => step("freeze", &json!({ "date": date }))?,
        What::Extract { date, to, format } => {
            return extract::extract(&daemon, date, to, format);
        }
        What::Post { date, file } => return entries::post(&daemon, date, file),
        What::Seal { date, posted } => {
            let (mut counts, mut sums) = (Map::new(), Map::new());
            for (currency, count, sum) in posted {
                if counts.insert(currency.clone(), json!(count)).is_some() {
                    let what = format!("--posted names {currency} twice");
                    return Err(Failure::usage(what));
                }
                sums.insert(currency.clone(), json!(sum));
            }
            let body = json!({ "date": date, "entries": counts, "sum_minor": sums });
            step("seal", &body)?
        }
    };
    say(answer);
    Ok(())
}

/// The reason, and the dates as they are.
pub(super) fn refused(url: &str, status: &str, answer: &str) -> Failure {
    match status {
        "404" | "409" | "410" | "422" => Failure::data(refusal(answer)),
        _ => Failure::failed(format_args!("{url}: status {status:?}: {answer}")),
    }
}

fn token(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file)
        .map(|text| text.trim().to_owned())
        .map_err(|why| Failure::usage(format_args!("{}: {why}", file.display())))
}

fn refusal(answer: &str) -> String {
    let Ok(told) = serde_json::from_str::<Value>(answer) else {
        return answer.to_owned();
    };
    let text = |key: &str| told.get(key).and_then(Value::as_str);
    let why = text("error").unwrap_or(answer);
    match (text("closing"), text("opening")) {
        (Some(closing), Some(opening)) if closing != opening => {
            let phase = text("phase").unwrap_or_default();
            format!("{why} (open are {closing}, {phase}, and {opening})")
        }
        (Some(closing), _) => format!("{why} (open is {closing})"),
        _ => why.to_owned(),
    }
}
