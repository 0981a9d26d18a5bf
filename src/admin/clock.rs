//! Engine time beside the wall clock, and its confirmation.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use gapless_engine::ids::TimeUs;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Failure;
use super::{ENGINE_PATIENCE, Shared, Site};
use crate::runner::clock::ClockView;

/// A confirmation names the time, so that nobody confirms a clock unseen.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    time: String,
}

fn told(view: &ClockView) -> Value {
    let time = |us: TimeUs| {
        let us = i64::try_from(us).ok()?;
        Some(Timestamp::from_microsecond(us).ok()?.to_string())
    };
    json!({
        "engine": time(view.engine_us),
        "wall": time(view.wall_us),
        "trusted": view.is_steady,
        "jumps": view.jumps,
    })
}

impl Site {
    async fn clock(&self, named_us: Option<TimeUs>) -> Result<(bool, ClockView), Failure> {
        if self.status().phase != crate::runner::Phase::Ready {
            return Err(Failure::unavailable("not ready"));
        }
        match tokio::time::timeout(ENGINE_PATIENCE, self.control.clock(named_us)).await {
            Ok(Ok(view)) => Ok(view),
            Ok(Err(stopped)) => Err(Failure::unavailable(&stopped.to_string())),
            Err(_) => Err(Failure::unavailable(
                "the engine or its journal is too busy",
            )),
        }
    }
}

pub(super) async fn clock(State(site): State<Shared>) -> Result<Json<Value>, Failure> {
    let (_, view) = site.clock(None).await?;
    Ok(Json(told(&view)))
}

/// 200 when the wall clock is taken for right from now on; 409 when it does not show
/// the time that was named; 422 for a body that names none.
pub(super) async fn confirm(State(site): State<Shared>, body: Bytes) -> Result<Response, Failure> {
    let unprocessable = |error: &dyn std::fmt::Display| {
        let expected = "{\"time\":\"2026-11-22T09:00:00Z\"} expected";
        Failure::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("{expected}: {error}"),
        )
    };
    let asked: Asked = serde_json::from_slice(&body).map_err(|error| unprocessable(&error))?;
    let time: Timestamp = asked.time.parse().map_err(|error| unprocessable(&error))?;
    let named_us =
        u64::try_from(time.as_microsecond()).map_err(|_| unprocessable(&"a time before 1970"))?;
    let (fits, view) = site.clock(Some(named_us)).await?;
    let mut told = told(&view);
    if fits {
        return Ok(Json(told).into_response());
    }
    if let Some(told) = told.as_object_mut() {
        let why = "the wall clock is more than five minutes from that";
        told.insert("error".to_owned(), json!(why));
    }
    Ok((StatusCode::CONFLICT, Json(told)).into_response())
}
