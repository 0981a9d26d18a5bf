//! `POST /v1/business-date/DATE/entries`: the batch's entries, a CSV file of any
//! size, row by row.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use gapless_engine::command::PostEntry;
use gapless_engine::date::Date;
use gapless_engine::outcome::{NightOutcome, NightRefusal};
use gapless_engine::{BusinessDates, Engine, EntrySums};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::answer::Failure;
use super::night::{dates_json, named_date, sums_json};
use super::upload::Upload;
use super::{ENGINE_PATIENCE, Shared, Site, views};
use crate::import::{Entry, EntryParser, HeaderError};
use crate::runner::{Entries, MAX_ROWS, Phase};

/// Refused rows that an answer lists; it counts the others.
const MAX_LISTED: usize = 100;
/// Pause before entries are offered again that payments left no room for.
const YIELD: Duration = Duration::from_millis(20);

/// What became of the rows so far.
struct Told {
    date: Date,
    rows: u64,
    posted: u64,
    repeated: u64,
    refused: u64,
    refusals: Vec<Value>,
    /// Some id was posted before with other content.
    conflict: bool,
    totals: EntrySums,
}

/// Why no more rows are taken.
enum Ended {
    /// The file, the client or the daemon.
    Failed(Failure),
    /// The date takes no entries.
    Closed(NightRefusal, BusinessDates),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<HeaderError> for Ended {
    fn from(error: HeaderError) -> Self {
        Self::Failed(Failure::bad_request(error.to_string()))
    }
}

/// A bad row is refused by its line, the rest goes on. Each row is answered for
/// when it is durable; the whole file may be sent again at any time.
pub(super) async fn post(
    State(site): State<Shared>,
    Path(date): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match begin(&site, &date, &headers, body).await {
        Ok(response) => response,
        Err(failure) => failure.into_response(),
    }
}

async fn begin(
    site: &Shared,
    date: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let date = named_date(date)?;
    let upload = Upload::begin(&site.config, headers, body)?;
    let phase = site.status().phase;
    if phase != Phase::Ready {
        return Err(Failure::unavailable(views::phase(phase)));
    }
    let Ok(_one) = Arc::clone(&site.posting).try_acquire_owned() else {
        return Err(Failure::unavailable("another file of entries is under way"));
    };
    let look = move |engine: &Engine| {
        let frozen = engine
            .day_ends()
            .iter()
            .any(|day| day.date == date && day.freeze != 0);
        (engine.business(), engine.entries(date), frozen)
    };
    let (dates, totals, frozen) = site.read(look).await?;
    let told = Told::new(date, totals);
    if !frozen {
        let why = closed_since(date, dates);
        return Ok(told.answer(Some(&Ended::Closed(why, dates))));
    }
    let mut posting = Posting {
        site,
        parser: EntryParser::new(date),
        rows: Vec::with_capacity(MAX_ROWS),
        told,
    };
    let ended = posting.run(upload).await.err();
    Ok(posting.told.answer(ended.as_ref()))
}

/// Why a date takes no entries that has not been frozen.
fn closed_since(date: Date, dates: BusinessDates) -> NightRefusal {
    let closing = dates.closing;
    if date < closing {
        NightRefusal::Sealed { named: date }
    } else if date > closing {
        NightRefusal::OtherDate {
            named: date,
            closing,
        }
    } else {
        NightRefusal::NotFrozen { closing }
    }
}

impl Told {
    const fn new(date: Date, totals: EntrySums) -> Self {
        Self {
            date,
            rows: 0,
            posted: 0,
            repeated: 0,
            refused: 0,
            refusals: Vec::new(),
            conflict: false,
            totals,
        }
    }

    fn refuse(&mut self, line: u64, id: Option<String>, why: &dyn std::fmt::Display) {
        self.refused += 1;
        if self.refusals.len() < MAX_LISTED {
            let error = why.to_string();
            self.refusals
                .push(json!({ "line": line, "id": id, "error": error }));
        }
    }

    fn answer(self, ended: Option<&Ended>) -> Response {
        let mut told = Map::new();
        let status = match ended {
            Some(Ended::Failed(failure)) => {
                told.insert("error".to_owned(), json!(failure.what()));
                failure.status()
            }
            Some(Ended::Closed(why, _)) => {
                told.insert("error".to_owned(), json!(why.to_string()));
                StatusCode::CONFLICT
            }
            None if self.conflict => StatusCode::CONFLICT,
            None if self.refused > 0 => StatusCode::UNPROCESSABLE_ENTITY,
            None => StatusCode::OK,
        };
        let (entries, sum_minor) = sums_json(&self.totals);
        let rest = [
            ("date", json!(self.date.to_string())),
            ("rows", json!(self.rows)),
            ("posted", json!(self.posted)),
            ("repeated", json!(self.repeated)),
            ("refused", json!(self.refused)),
            ("entries", entries),
            ("sum_minor", sum_minor),
            ("refusals", self.refusals.into()),
        ];
        told.extend(rest.map(|(key, value)| (key.to_owned(), value)));
        if let Some(Ended::Closed(_, dates)) = ended {
            told.append(&mut dates_json(*dates));
        }
        (status, Json(Value::from(told))).into_response()
    }
}

struct Posting<'s> {
    site: &'s Site,
    parser: EntryParser,
    /// The rows that come next, bad ones too, so that they are told in their order.
    rows: Vec<Entry>,
    told: Told,
}

impl Posting<'_> {
    async fn run(&mut self, mut upload: Upload) -> Result<(), Ended> {
        let ended = loop {
            let piece = match upload.piece().await {
                Ok(Some(piece)) => piece,
                Ok(None) => break Ok(()),
                Err(failure) => break Err(failure),
            };
            let mut input: &[u8] = &piece;
            while let Some(entry) = self.parser.next_row(&mut input)? {
                self.take(entry).await?;
            }
        };
        if ended.is_ok()
            && let Some(entry) = self.parser.finish()?
        {
            self.take(entry).await?;
        }
        // The whole rows of a file that broke off are posted, too.
        self.put().await?;
        Ok(ended?)
    }

    async fn take(&mut self, entry: Entry) -> Result<(), Ended> {
        self.rows.push(entry);
        if self.rows.len() >= MAX_ROWS {
            self.put().await?;
        }
        Ok(())
    }

    /// Has the engine take what has gathered; told when it is durable.
    async fn put(&mut self) -> Result<(), Ended> {
        let rows = std::mem::take(&mut self.rows);
        let batch: Vec<PostEntry> = rows.iter().filter_map(|entry| entry.row.ok()).collect();
        let posted = if batch.is_empty() {
            None
        } else {
            Some(self.posted(&batch).await?)
        };
        if let Some(posted) = &posted {
            self.told.totals = posted.totals;
        }
        let mut outcomes = posted.iter().flat_map(|posted| &posted.outcomes);
        for entry in rows {
            self.told.rows += 1;
            let outcome = match entry.row {
                Err(why) => {
                    self.told.refuse(entry.line, entry.id, &why);
                    continue;
                }
                Ok(_) => outcomes.next(),
            };
            match outcome {
                Some(NightOutcome::Done { is_repeat, .. }) => {
                    if *is_repeat {
                        self.told.repeated += 1;
                    } else {
                        self.told.posted += 1;
                    }
                }
                Some(NightOutcome::Refused { why, .. }) => {
                    // Sealed or not there yet: so is it for all rows that follow.
                    if matches!(
                        why,
                        NightRefusal::Sealed { .. }
                            | NightRefusal::OtherDate { .. }
                            | NightRefusal::NotFrozen { .. }
                    ) && let Some(posted) = &posted
                    {
                        return Err(Ended::Closed(*why, posted.dates));
                    }
                    self.told.conflict |= *why == NightRefusal::EntryDiffers;
                    self.told.refuse(entry.line, entry.id, why);
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Offers the batch until payments leave it room, or for as long as an answer
    /// may wait.
    async fn posted(&self, batch: &[PostEntry]) -> Result<Entries, Failure> {
        let too_busy = || {
            Failure::unavailable(
                "the engine or its journal is too busy; the last rows may have been posted: send the file again",
            )
        };
        let until = Instant::now() + ENGINE_PATIENCE;
        loop {
            let posted = self.site.control.entries(self.told.date, batch.to_vec());
            match tokio::time::timeout_at(until, posted).await {
                Ok(Ok(Some(entries))) => return Ok(entries),
                Ok(Ok(None)) => tokio::time::sleep(YIELD).await,
                Ok(Err(stopped)) => return Err(Failure::unavailable(&stopped.to_string())),
                Err(_) => return Err(too_busy()),
            }
            if Instant::now() >= until {
                return Err(too_busy());
            }
        }
    }
}
