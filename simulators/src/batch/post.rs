//! Entries, posted in chunks over the window.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use jiff::civil::Date;
use serde::Serialize;
use serde_json::Value;

use super::client::{Client, refusal};
use super::extract::Balance;
use super::interest::Entry;
use super::report::Event;
use super::run::{BatchError, CrashPoint, Options};

const HEADER: &str = "id,account,currency,amount_minor\n";

/// What the daemon made of the entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Posted {
    /// Posted now.
    pub posted: u64,
    /// Posted by an earlier run.
    pub repeated: u64,
    /// Refused.
    pub refused: u64,
    /// Requests.
    pub chunks: u64,
}

/// An entry's id: the same whenever it is computed again.
fn id(date: Date, entry: &Entry, balance: &Balance) -> String {
    format!("{date}-{}-{}", entry.rule.name(), balance.account)
}

fn csv(date: Date, entries: &[Entry], balances: &[Balance]) -> String {
    let mut text = String::from(HEADER);
    for entry in entries {
        if let Some(balance) = balances.get(entry.at) {
            let _ = writeln!(
                text,
                "{},{},{},{}",
                id(date, entry, balance),
                balance.account,
                balance.currency,
                entry.minor
            );
        }
    }
    text
}

/// Posts all entries; the chunks begin spread evenly over `spread`.
pub(super) fn post(
    client: &Client,
    date: Date,
    (entries, balances): (&[Entry], &[Balance]),
    options: &Options,
    spread: Duration,
    observer: &mut dyn FnMut(&Event),
) -> Result<Posted, BatchError> {
    let path = format!("/v1/business-date/{date}/entries");
    let began = Instant::now();
    let chunks: Vec<&[Entry]> = entries.chunks(options.chunk.max(1)).collect();
    let count = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
    let of = u64::try_from(entries.len()).unwrap_or(u64::MAX);
    let mut so_far = Posted::default();
    for (number, chunk) in (0_u32..).zip(&chunks) {
        let due = began + spread.saturating_mul(number) / count;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let body = csv(date, chunk, balances);
        if options.crash_at == Some(CrashPoint::Entries) && number == count / 2 {
            client.post_csv_and_die(&path, body.as_bytes());
            return Err(BatchError::Crashed(CrashPoint::Entries));
        }
        let (status, told) = client.post_csv(&path, body.as_bytes())?;
        let number_of = |key: &str| told.get(key).and_then(Value::as_u64);
        let counts = (
            number_of("posted"),
            number_of("repeated"),
            number_of("refused"),
        );
        let (Some(posted), Some(repeated), Some(refused)) = counts else {
            return Err(BatchError::from(refusal(status, &told)).at("entries"));
        };
        so_far.posted += posted;
        so_far.repeated += repeated;
        so_far.refused += refused;
        so_far.chunks += 1;
        if refused > 0 {
            // The rest would only make it worse to look into.
            return Err(refused_rows(&told, so_far));
        }
        observer(&Event::Posted { so_far, of });
    }
    std::thread::sleep((began + spread).saturating_duration_since(Instant::now()));
    Ok(so_far)
}

fn refused_rows(told: &Value, so_far: Posted) -> BatchError {
    let first = told
        .get("refusals")
        .and_then(|refusals| refusals.get(0))
        .and_then(|refusal| refusal.get("error"))
        .and_then(Value::as_str)
        .unwrap_or("no reason given");
    BatchError::Wrong(format!(
        "{} entries were refused, the first: {first}; {} were posted, nothing was sealed",
        so_far.refused, so_far.posted
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::interest::Rule;
    use jiff::civil::date;

    #[test]
    fn entries_are_named_by_date_rule_and_account() {
        let balances = [Balance {
            account: "1000000017".to_owned(),
            currency: "KRW".to_owned(),
            closing_minor: -1,
        }];
        let entries = [
            Entry {
                at: 0,
                rule: Rule::OverdraftInterest,
                minor: -5,
            },
            Entry {
                at: 0,
                rule: Rule::Interest,
                minor: 7,
            },
        ];
        assert_eq!(
            csv(date(2028, 2, 29), &entries, &balances),
            "id,account,currency,amount_minor\n\
             2028-02-29-overdraft-interest-1000000017,1000000017,KRW,-5\n\
             2028-02-29-interest-1000000017,1000000017,KRW,7\n"
        );
        // The longest account number that there can be still makes an id.
        let longest = Balance {
            account: "9".repeat(28),
            ..balances[0].clone()
        };
        assert!(id(date(2028, 2, 29), &entries[0], &longest).len() <= 64);
    }
}
