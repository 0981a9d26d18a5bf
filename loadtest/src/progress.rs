//! A bar while a run is under way.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::open_loop::Snapshot;
use crate::report::{grouped, ms};

/// A bar on standard error; none where that is no terminal.
pub struct Progress(ProgressBar);

impl Progress {
    /// For a run that lasts so long, or until it has sent enough.
    #[must_use]
    pub fn new(lasts: Option<Duration>, quiet: bool) -> Self {
        if quiet {
            return Self(ProgressBar::hidden());
        }
        let length = lasts.map(|lasts| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX));
        let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let template = if length.is_some() {
            "{bar:30.blue} {percent:>3} %  {msg}"
        } else {
            "{spinner} {msg}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// What the run looks like now.
    pub fn show(&self, now: &Snapshot) {
        self.show_as(&now.phase, now);
    }

    /// The same, with these words before it.
    pub fn show_as(&self, what: &str, now: &Snapshot) {
        self.0
            .set_position(u64::try_from(now.elapsed.as_millis()).unwrap_or(u64::MAX));
        let p99 = now.p99_us.map_or_else(
            || "-".to_owned(),
            |us| ms(Duration::from_micros(us as u64).as_nanos() as u64),
        );
        let missing = now.sums.lost + now.sums.not_sent;
        self.0.set_message(format!(
            "{what} {}/s, p99 {p99}, in flight {}, declined {}, lost {missing}, connections {}",
            grouped(now.last_second),
            grouped(now.in_flight),
            grouped(now.sums.declined),
            now.connections,
        ));
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}
