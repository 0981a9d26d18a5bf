//! A file that a client sends: piece by piece, up to a bound, and without waiting
//! for ever.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};

use super::answer::Failure;
use crate::config::AdminConfig;

/// A file under way.
pub(super) struct Upload {
    body: Body,
    patience: Duration,
    bytes: u64,
    most: u64,
}

impl Upload {
    /// Refuses one that is announced as too large before any of it is read.
    pub fn begin(config: &AdminConfig, headers: &HeaderMap, body: Body) -> Result<Self, Failure> {
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let upload = Self {
            body,
            patience: config.read_timeout,
            bytes: 0,
            most: config.max_import_bytes,
        };
        if announced.is_some_and(|length| length > upload.most) {
            return Err(upload.too_large());
        }
        Ok(upload)
    }

    fn too_large(&self) -> Failure {
        Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a file has at most {} bytes; split it", self.most),
        )
    }

    /// The next piece; `None` at the end.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let body = &mut self.body;
            let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
            match tokio::time::timeout(self.patience, frame).await {
                Ok(None) => return Ok(None),
                // Trailers say nothing to us.
                Ok(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data() {
                        let len = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                        self.bytes = self.bytes.saturating_add(len);
                        if self.bytes > self.most {
                            return Err(self.too_large());
                        }
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
}
