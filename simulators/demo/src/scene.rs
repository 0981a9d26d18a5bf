//! What all the actors' threads write down, and the screen and the report read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use gapless_loadtest::open_loop::Snapshot;
use gapless_simulators::network;

/// Where the night has got to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// One date is open: the day that ends tonight.
    Day,
    /// A network has cut over before the bank.
    Early,
    /// The bank has cut over.
    Grace,
    /// The batch has the closing date to itself.
    Frozen,
    /// The closing date is sealed: the next day.
    NextDay,
}

impl Stage {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Early => "early",
            Self::Grace => "grace",
            Self::Frozen => "frozen",
            Self::NextDay => "next day",
        }
    }

    /// Before, inside or after the window.
    pub const fn period(self) -> Period {
        match self {
            Self::Day | Self::Early => Period::Before,
            Self::Grace | Self::Frozen => Period::Inside,
            Self::NextDay => Period::After,
        }
    }
}

/// The window is the time from the bank's cutover to the seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    /// Before the cutover.
    Before = 0,
    /// In the window.
    Inside = 1,
    /// After the seal.
    After = 2,
}

/// Answers by DE 39.
pub type Codes = BTreeMap<String, u64>;

/// One of the networks.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// Newest figures.
    pub progress: Option<network::Progress>,
    /// Answers in each period.
    pub codes: [Codes; 3],
}

/// What is open, as the daemon told last.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub struct Dates {
    /// `open` or `dual`.
    pub state: String,
    /// `early`, `grace`, `frozen`.
    pub phase: Option<String>,
    /// The date that closes.
    pub closing: String,
    /// The date that opens.
    pub opening: String,
    /// What an item gets that nobody dates.
    pub default: String,
}

/// What is dated the opening date while the closing one is still open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffer {
    /// Postings.
    pub postings: u64,
    /// What they move, minor units of KRW.
    pub moved_minor: u128,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Scene {
    /// When traffic began.
    pub began: Option<Instant>,
    /// Stages, and when each was first seen.
    pub stages: Vec<(Instant, Stage)>,
    /// The newest dates.
    pub dates: Dates,
    /// The newest buffer, and the fullest.
    pub buffer: Buffer,
    /// As above.
    pub fullest: Buffer,
    /// The terminals' traffic.
    pub traffic: Option<Snapshot>,
    /// The networks, by name.
    pub lines: BTreeMap<String, Line>,
    /// What the batch does, and how far it is in percent.
    pub batch: Option<(String, u8)>,
    /// What happened, oldest first.
    pub told: Vec<(Instant, String)>,
    /// Things that should not be.
    pub troubles: Vec<String>,
}

impl Scene {
    /// Where the night has got to.
    pub fn stage(&self) -> Stage {
        self.stages.last().map_or(Stage::Day, |(_, stage)| *stage)
    }

    /// Notes what happened.
    pub fn tell(&mut self, what: impl Into<String>) {
        self.told.push((Instant::now(), what.into()));
    }

    /// Notes what should not be.
    pub fn trouble(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.tell(format!("TROUBLE: {what}"));
        self.troubles.push(what);
    }

    /// Seconds since traffic began.
    pub fn seconds(&self, at: Instant) -> f64 {
        self.began.map_or(0.0, |began| {
            at.saturating_duration_since(began).as_secs_f64()
        })
    }
}

/// Shared by all threads.
#[derive(Clone, Debug, Default)]
pub struct Stageplay(Arc<Mutex<Scene>>);

impl Stageplay {
    /// The scene, for a moment.
    pub fn scene(&self) -> MutexGuard<'_, Scene> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
