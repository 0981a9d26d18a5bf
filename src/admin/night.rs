//! The business date, and the steps of its end: `POST /v1/business-date/STEP`.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use gapless_engine::command::Request;
use gapless_engine::date::Date;
use gapless_engine::outcome::NightOutcome;
use gapless_engine::{BusinessDates, DateState, DayEnd, Engine, EntrySums, NetworkClock};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::Failure;
use super::{Shared, Site};
use crate::config::CurrencyCode;
use crate::config::currency::alphabetic;

/// A step's body. The date is the one that it closes; a seal names what the batch
/// has posted, by currency.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    date: String,
    #[serde(default)]
    entries: BTreeMap<String, u32>,
    #[serde(default)]
    sum_minor: BTreeMap<String, i64>,
}

pub(super) fn dates_json(dates: BusinessDates) -> Map<String, Value> {
    let state = match dates.state {
        DateState::Open { .. } => "open",
        DateState::Dual { .. } => "dual",
    };
    let phase = dates.phase.map(|phase| match phase {
        gapless_engine::Phase::Early => "early",
        gapless_engine::Phase::Grace => "grace",
        gapless_engine::Phase::Frozen => "frozen",
    });
    [
        ("state", json!(state)),
        ("phase", json!(phase)),
        ("closing", json!(dates.closing.to_string())),
        ("opening", json!(dates.opening.to_string())),
        ("default", json!(dates.default.to_string())),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

pub(super) fn sums_json(sums: &EntrySums) -> (Value, Value) {
    let (mut counts, mut minor) = (Map::new(), Map::new());
    for sum in sums.as_slice() {
        let currency = alphabetic(sum.currency);
        counts.insert(currency.clone(), json!(sum.count));
        minor.insert(currency, json!(sum.sum_minor));
    }
    (counts.into(), minor.into())
}

fn day_json(day: &DayEnd) -> Value {
    // 0 stands for a step that has not been taken yet.
    let step = |seq: u64| (seq != 0).then_some(seq);
    let (entries, sum_minor) = sums_json(&day.entries);
    json!({
        "date": day.date.to_string(),
        "cutover_sequence": step(day.cutover),
        "freeze_sequence": step(day.freeze),
        "seal_sequence": step(day.seal),
        "entries": entries,
        "sum_minor": sum_minor,
    })
}

impl Site {
    fn clock_json(&self, clock: &NetworkClock) -> Value {
        json!({
            "network": self.network_name(clock.network),
            "id": clock.network.0,
            "settlement_date": clock.date.to_string(),
        })
    }
}

pub(super) async fn business_date(State(site): State<Shared>) -> Result<Json<Value>, Failure> {
    let look = |engine: &Engine| {
        (
            engine.business(),
            engine.day_ends().to_vec(),
            engine.network_clocks().to_vec(),
            engine.rolled_forward(),
        )
    };
    let (dates, days, clocks, rolled_forward) = site.read(look).await?;
    let mut told = dates_json(dates);
    let days: Vec<Value> = days.iter().map(day_json).collect();
    let clocks: Vec<Value> = clocks.iter().map(|clock| site.clock_json(clock)).collect();
    told.insert("ends".to_owned(), days.into());
    told.insert("networks".to_owned(), clocks.into());
    told.insert("rolled_forward".to_owned(), json!(rolled_forward));
    Ok(Json(told.into()))
}

pub(super) fn unprocessable(what: impl Into<String>) -> Failure {
    Failure::new(StatusCode::UNPROCESSABLE_ENTITY, what)
}

/// YYYY-MM-DD.
fn date(text: &str) -> Option<Date> {
    let [year, month, day] = [(0, 4), (5, 2), (8, 2)].map(|(at, len)| {
        let digits = text.get(at..at + len)?;
        digits
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| digits.parse::<u16>().ok())?
    });
    let separators = text.len() == 10 && text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
    let (month, day) = (u8::try_from(month?).ok()?, u8::try_from(day?).ok()?);
    separators.then(|| Date::from_ymd(year?, month, day))?
}

pub(super) fn named_date(text: &str) -> Result<Date, Failure> {
    date(text).ok_or_else(|| unprocessable(format!("{text:?} is no date, as in YYYY-MM-DD")))
}

fn sums(asked: &Asked) -> Result<EntrySums, Failure> {
    if !asked.entries.keys().eq(asked.sum_minor.keys()) {
        return Err(unprocessable(
            "entries and sum_minor name the same currencies",
        ));
    }
    let mut sums = EntrySums::EMPTY;
    for ((code, count), sum) in asked.entries.iter().zip(asked.sum_minor.values()) {
        let currency = CurrencyCode::from_alphabetic(code)
            .ok_or_else(|| unprocessable(format!("{code:?} is no currency, as in \"KRW\"")))?;
        sums = sums
            .with(currency.currency(), *count, *sum)
            .ok_or_else(|| unprocessable("entries in too many currencies"))?;
    }
    Ok(sums)
}

fn request(step: &str, body: &[u8]) -> Result<(Date, Request), Failure> {
    if !["cutover", "freeze", "seal"].contains(&step) {
        return Err(Failure::not_found("there is no such path"));
    }
    let asked: Asked = serde_json::from_slice(body)
        .map_err(|error| unprocessable(format!("{{\"date\":\"YYYY-MM-DD\"}} expected: {error}")))?;
    let date = named_date(&asked.date)?;
    let entries = sums(&asked)?;
    if step != "seal" && !entries.as_slice().is_empty() {
        return Err(unprocessable("only a seal names entries"));
    }
    let request = match step {
        "cutover" => Request::Cutover { date },
        "freeze" => Request::Freeze { date },
        _ => Request::Seal { date, entries },
    };
    Ok((date, request))
}

/// 200 when it is done, now or before; 409 with the reason and the state when it is
/// refused; 422 for a body that names no date.
pub(super) async fn step(
    State(site): State<Shared>,
    Path(step): Path<String>,
    body: Bytes,
) -> Result<Response, Failure> {
    let (date, request) = request(&step, &body)?;
    let night = site.night(request).await?;
    let mut told = Map::new();
    let status = match night.outcome {
        NightOutcome::Done { seq, is_repeat } => {
            told.insert("step".to_owned(), json!(step));
            told.insert("date".to_owned(), json!(date.to_string()));
            told.insert("sequence".to_owned(), json!(seq));
            told.insert("repeated".to_owned(), json!(is_repeat));
            StatusCode::OK
        }
        NightOutcome::Refused { why, .. } => {
            told.insert("error".to_owned(), json!(why.to_string()));
            StatusCode::CONFLICT
        }
    };
    told.append(&mut dates_json(night.dates));
    Ok((status, Json(Value::from(told))).into_response())
}
