//! How far something long has got, for whoever sits in front of it.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// Between two updates.
const EVERY: Duration = Duration::from_millis(200);

/// One line on standard error, rewritten in place; nothing where nobody watches.
pub(super) struct Progress {
    what: &'static str,
    of_bytes: u64,
    shown: Option<Instant>,
    watched: bool,
}

impl Progress {
    pub(super) fn new(what: &'static str, of_bytes: u64) -> Self {
        Self {
            what,
            of_bytes,
            shown: None,
            watched: stderr().is_terminal(),
        }
    }

    /// So many bytes are done.
    pub(super) fn at(&mut self, bytes: u64) {
        if !self.watched || self.shown.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        self.shown = Some(Instant::now());
        let percent = bytes
            .saturating_mul(100)
            .checked_div(self.of_bytes)
            .unwrap_or(100);
        let _ = write!(
            stderr(),
            "\r{}: {percent} %, {} of {} KiB ",
            self.what,
            bytes >> 10,
            self.of_bytes >> 10
        );
    }

    /// Clears the line.
    pub(super) fn end(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
