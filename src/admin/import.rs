//! `POST /v1/import`: a CSV file of accounts or cards, as its header says, of any
//! size, row by row. `?kind=accounts|cards` refuses the other.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gapless_engine::command::Request;
use gapless_engine::outcome::PutOutcome;
use serde::{Deserialize, Serialize};

use super::answer::Failure;
use super::{ENGINE_PATIENCE, Shared, Site, views};
use crate::import::{Kind, Parsed, Parser};
use crate::runner::{MAX_ROWS, Phase};

/// Refused rows that an answer lists; it counts the others.
const MAX_LISTED: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    kind: Option<AskedKind>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AskedKind {
    Accounts,
    Cards,
}

/// What became of the rows so far.
#[derive(Default, Serialize)]
struct Told {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    opened: u64,
    changed: u64,
    unchanged: u64,
    refused: u64,
    refusals: Vec<Refusal>,
}

#[derive(Serialize)]
struct Refusal {
    line: u64,
    reason: String,
}

impl Told {
    fn refuse(&mut self, line: u64, reason: &dyn std::fmt::Display) {
        self.refused += 1;
        if self.refusals.len() < MAX_LISTED {
            let reason = reason.to_string();
            self.refusals.push(Refusal { line, reason });
        }
    }
}

/// A bad row is refused by its line, the rest goes on. When the file breaks off,
/// the rows before have had their effect; the answer tells of them beside the error.
pub(super) async fn import(
    State(site): State<Shared>,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let kind = match asked.map(|Query(asked)| asked.kind) {
        Ok(None) => None,
        Ok(Some(AskedKind::Accounts)) => Some(Kind::Accounts),
        Ok(Some(AskedKind::Cards)) => Some(Kind::Cards),
        Err(_) => {
            return Failure::bad_request("?kind=accounts, ?kind=cards or nothing expected")
                .into_response();
        }
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > site.config.max_import_bytes) {
        return too_large(&site).into_response();
    }
    let phase = site.status().phase;
    if phase != Phase::Ready {
        return Failure::unavailable(views::phase(phase)).into_response();
    }
    let Ok(_one) = Arc::clone(&site.importing).try_acquire_owned() else {
        return Failure::unavailable("another import is running").into_response();
    };
    let mut import = Import {
        site: &site,
        parser: Parser::new(kind, Arc::clone(&site.keys)),
        batch: Vec::with_capacity(MAX_ROWS),
        lines: Vec::with_capacity(MAX_ROWS),
        told: Told::default(),
    };
    match import.run(body).await {
        Ok(()) => Json(import.told).into_response(),
        Err(failure) => {
            import.told.error = Some(failure.what().to_owned());
            (failure.status(), Json(import.told)).into_response()
        }
    }
}

fn too_large(site: &Site) -> Failure {
    let limit = site.config.max_import_bytes;
    Failure::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("an import file has at most {limit} bytes; split it"),
    )
}

struct Import<'s> {
    site: &'s Site,
    parser: Parser,
    batch: Vec<Request>,
    /// The line of each row in the batch.
    lines: Vec<u64>,
    told: Told,
}

impl Import<'_> {
    async fn run(&mut self, mut body: Body) -> Result<(), Failure> {
        let mut bytes = 0u64;
        while let Some(piece) = self.piece(&mut body).await? {
            bytes = bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
            if bytes > self.site.config.max_import_bytes {
                self.put().await?;
                return Err(too_large(self.site));
            }
            let mut input: &[u8] = &piece;
            while let Some(parsed) = self.parser.next_row(&mut input).map_err(bad_file)? {
                self.take(parsed).await?;
            }
        }
        if let Some(parsed) = self.parser.finish().map_err(bad_file)? {
            self.take(parsed).await?;
        }
        self.put().await
    }

    /// The next piece of the body; `None` at its end.
    async fn piece(&self, body: &mut Body) -> Result<Option<Bytes>, Failure> {
        let patience = self.site.config.read_timeout;
        loop {
            let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
            match tokio::time::timeout(patience, frame).await {
                Ok(None) => return Ok(None),
                // Trailers say nothing to us.
                Ok(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
                Ok(Some(Err(_))) => return Err(Failure::bad_request("the file broke off")),
                Err(_) => {
                    let what = "the file did not go on";
                    return Err(Failure::new(StatusCode::REQUEST_TIMEOUT, what));
                }
            }
        }
    }

    async fn take(&mut self, parsed: Parsed) -> Result<(), Failure> {
        match parsed {
            Parsed::Refused(refused) => self.told.refuse(refused.line, &refused.why),
            Parsed::Row { line, request } => {
                self.batch.push(request);
                self.lines.push(line);
                if self.batch.len() >= MAX_ROWS {
                    self.put().await?;
                }
            }
        }
        Ok(())
    }

    /// Has the engine take the batch; answered when it is durable.
    async fn put(&mut self) -> Result<(), Failure> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(MAX_ROWS));
        let put = self.site.control.put(batch);
        let outcomes = match tokio::time::timeout(ENGINE_PATIENCE, put).await {
            Ok(Ok(outcomes)) => outcomes,
            Ok(Err(stopped)) => return Err(Failure::unavailable(&stopped.to_string())),
            Err(_) => {
                return Err(Failure::unavailable(
                    "the engine or its journal is too busy; the last rows may have had their effect",
                ));
            }
        };
        for (line, outcome) in self.lines.drain(..).zip(outcomes) {
            match outcome {
                PutOutcome::Opened => self.told.opened += 1,
                PutOutcome::Changed => self.told.changed += 1,
                PutOutcome::Unchanged => self.told.unchanged += 1,
                PutOutcome::Refused(why) => self.told.refuse(line, &why),
            }
        }
        Ok(())
    }
}

fn bad_file(error: crate::import::HeaderError) -> Failure {
    Failure::bad_request(error.to_string())
}
