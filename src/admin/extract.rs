//! `GET /v1/business-date/DATE/extract`: what a frozen date was at its freeze, as
//! the follower wrote it. Files go from the disk to the client piece by piece.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gapless_engine::date::Date;
use gapless_engine::{BusinessDates, Engine};
use gapless_store::{ExtractReader, ExtractState, Extracts, Format, Manifest, Table};
use hyper::body::{Frame, SizeHint};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

use super::answer::Failure;
use super::night::{dates_json, named_date};
use super::{Shared, Site};

/// How long an answer waits for an extract that is being written.
const WAIT: Duration = Duration::from_secs(20);
/// Between two looks at how far it has got.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// When to ask again, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");
/// Pieces of a file that wait for the client.
const PIECES_AHEAD: usize = 2;
/// Files that are sent at a time.
pub(super) const MAX_SENT_AT_ONCE: usize = 4;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default = "csv")]
    format: String,
}

fn csv() -> String {
    Format::Csv.name().to_owned()
}

/// An answer that is not the extract.
enum Other {
    Failure(Failure),
    Told(StatusCode, Value),
    Writing,
}

impl From<Failure> for Other {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl IntoResponse for Other {
    fn into_response(self) -> Response {
        match self {
            Self::Failure(failure) => failure.into_response(),
            Self::Told(status, told) => (status, Json(told)).into_response(),
            Self::Writing => {
                let told = Json(json!({ "state": "writing" }));
                let mut response = (StatusCode::ACCEPTED, told).into_response();
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, RETRY_AFTER);
                response
            }
        }
    }
}

fn format(asked: Result<Query<Asked>, QueryRejection>) -> Result<Format, Failure> {
    asked
        .ok()
        .and_then(|Query(asked)| Format::from_name(&asked.format))
        .ok_or_else(|| Failure::bad_request("?format=csv, ?format=jsonl or nothing expected"))
}

/// The manifest, as soon as the extract is there.
pub(super) async fn manifest(
    State(site): State<Shared>,
    Path(date): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let answer = async {
        let format = format(asked)?;
        let (_, manifest) = extract(&site, named_date(&date)?).await?;
        Ok::<_, Other>(manifest_json(&manifest, format))
    };
    match answer.await {
        Ok(told) => Json(told).into_response(),
        Err(other) => other.into_response(),
    }
}

/// One file that the manifest names.
pub(super) async fn file(
    State(site): State<Shared>,
    Path((date, name)): Path<(String, String)>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    match send(&site, &date, &name, asked).await {
        Ok(response) => response,
        Err(other) => other.into_response(),
    }
}

async fn send(
    site: &Shared,
    date: &str,
    name: &str,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Other> {
    let date = named_date(date)?;
    if name == "manifest.json" {
        let format = format(asked)?;
        let (_, manifest) = extract(site, date).await?;
        return Ok(Json(manifest_json(&manifest, format)).into_response());
    }
    let (table, format) = named_file(name).ok_or_else(|| {
        Failure::not_found("an extract has no such file; its manifest names them")
    })?;
    let (extracts, manifest) = extract(site, date).await?;
    let Ok(place) = Arc::clone(&site.sending).try_acquire_owned() else {
        return Err(Failure::unavailable("too many files are being sent").into());
    };
    let reader = extracts
        .open(&manifest, date, table, format)
        .map_err(|error| {
            tracing::error!(%error, %date, file = name, "a file of an extract cannot be read");
            Failure::unavailable("the file cannot be read now; the extract is being checked")
        })?;
    let kind = match format {
        Format::Csv => "text/csv; charset=utf-8",
        Format::Jsonl => "application/x-ndjson",
    };
    let body = Body::new(FileBody::begin(extracts, date, reader, place));
    Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
}

fn named_file(name: &str) -> Option<(Table, Format)> {
    [Format::Csv, Format::Jsonl]
        .into_iter()
        .flat_map(|format| Table::ALL.map(|table| (table, format)))
        .find(|(table, format)| table.file(*format) == name)
}

fn manifest_json(manifest: &Manifest, format: Format) -> Value {
    json!({
        "date": manifest.date,
        "freeze_sequence": manifest.freeze_sequence,
        "journal": manifest.journal,
        "format": format.name(),
        "files": manifest.files(format),
        "trial_balance": manifest.trial_balance,
        "balances": manifest.balances,
    })
}

/// The extract of a date, once it is there.
async fn extract(site: &Site, date: Date) -> Result<(Arc<Extracts>, Arc<Manifest>), Other> {
    let look = move |engine: &Engine| {
        let kept = engine.kept_day_ends().any(|day| day.date == date);
        (engine.business(), kept)
    };
    let (dates, kept) = site.read(look).await?;
    if !kept {
        return Err(not_there(date, dates));
    }
    let extracts = site
        .extracts
        .get()
        .cloned()
        .ok_or_else(|| Failure::unavailable("recovering"))?;
    let until = Instant::now() + WAIT;
    loop {
        match extracts.state(date) {
            Some(ExtractState::Ready(manifest)) => return Ok((extracts, manifest)),
            Some(ExtractState::Gone(why)) => {
                let what = format!("the extract of {date} cannot be made any more: {why}");
                return Err(Failure::new(StatusCode::GONE, what).into());
            }
            None | Some(ExtractState::Writing) => {}
        }
        if site.status().follower.is_faulty {
            return Err(Failure::unavailable("the follower has stopped: see the log").into());
        }
        if Instant::now() >= until {
            return Err(Other::Writing);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Not yet frozen, or nothing is known of it.
fn not_there(date: Date, dates: BusinessDates) -> Other {
    if date != dates.closing && date != dates.opening {
        let what = format!("{date} is not a date of which an extract is kept");
        return Failure::not_found(&what).into();
    }
    let mut told = serde_json::Map::new();
    let why = format!("{date} is not frozen yet: its extract is what it is at the freeze");
    told.insert("error".to_owned(), json!(why));
    told.append(&mut dates_json(dates));
    Other::Told(StatusCode::CONFLICT, told.into())
}

/// A file on its way to a client.
struct FileBody {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
    ended: bool,
}

impl FileBody {
    /// Reads ahead on a thread for blocking work: a slow disk holds up no other client.
    fn begin(
        extracts: Arc<Extracts>,
        date: Date,
        mut reader: ExtractReader,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let left = reader.len();
        let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
        tokio::task::spawn_blocking(move || {
            let _place = place;
            loop {
                let piece = match reader.next_piece() {
                    Ok(None) => return,
                    Ok(Some(piece)) => Ok(Bytes::from(piece)),
                    Err(error) => {
                        tracing::error!(%error, %date, "an extract is damaged, and its file breaks off");
                        extracts.report_damage(date);
                        Err(error)
                    }
                };
                let ended = piece.is_err();
                // A client that has gone away wants no more.
                if sender.blocking_send(piece).is_err() || ended {
                    return;
                }
            }
        });
        Self {
            pieces,
            left,
            ended: false,
        }
    }
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.pieces.poll_recv(context).map(|piece| {
            self.ended = piece.is_none();
            piece.map(|piece| {
                let piece = piece?;
                let len = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                self.left = self.left.saturating_sub(len);
                Ok(Frame::data(piece))
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
