//! `POST /v1/import`: a CSV file of accounts or cards, as its header says, of any
//! size, row by row. `?kind=accounts|cards` refuses the other.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use gapless_engine::command::Request;
use gapless_engine::outcome::PutOutcome;
use serde::{Deserialize, Serialize};

use super::answer::Failure;
use super::upload::Upload;
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
    let upload = match Upload::begin(&site.config, &headers, body) {
        Ok(upload) => upload,
        Err(failure) => return failure.into_response(),
    };
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
    match import.run(upload).await {
        Ok(()) => Json(import.told).into_response(),
        Err(failure) => {
            import.told.error = Some(failure.what().to_owned());
            (failure.status(), Json(import.told)).into_response()
        }
    }
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
    async fn run(&mut self, mut upload: Upload) -> Result<(), Failure> {
        let ended = loop {
            let piece = match upload.piece().await {
                Ok(Some(piece)) => piece,
                Ok(None) => break Ok(()),
                Err(failure) => break Err(failure),
            };
            let mut input: &[u8] = &piece;
            while let Some(parsed) = self.parser.next_row(&mut input).map_err(bad_file)? {
                self.take(parsed).await?;
            }
        };
        if ended.is_ok()
            && let Some(parsed) = self.parser.finish().map_err(bad_file)?
        {
            self.take(parsed).await?;
        }
        // The whole rows of a file that broke off have their effect, too.
        self.put().await?;
        ended
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
