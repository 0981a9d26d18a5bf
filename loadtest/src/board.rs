//! What all threads of a run have in common: its clock, its phases, and the board
//! on which they write what they have counted, ten times a second.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::phases::Phases;
use crate::schedule::ns_of;
use crate::stats::Counts;
use crate::timeline::{Draft, SLICE, Sketch, Timeline};

/// A look at a run while it is under way.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Since the run began.
    pub elapsed: Duration,
    /// How long it is going to send; `None`: until it has sent enough.
    pub lasts: Option<Duration>,
    /// Which phase it is in.
    pub phase: String,
    /// Since the run began.
    pub sums: Counts,
    /// Requests written and neither answered nor given up.
    pub in_flight: u64,
    /// Connections that are up.
    pub connections: u64,
    /// Answers in the last second.
    pub last_second: u64,
    /// Latencies of the answers of the last second, from the intended send time,
    /// in microseconds, to 3 %; `None` when there was none.
    pub p50_us: Option<f64>,
    /// As above.
    pub p99_us: Option<f64>,
    /// The longest time without any answer since the run began; the one that
    /// lasts is counted.
    pub longest_gap: Duration,
    /// Since the last answer.
    pub silence: Duration,
}

/// Slices of the last second.
const RECENT: usize = 10;

/// What threads have counted, and when each of the last slices was.
struct Written {
    timeline: Timeline,
    sums: Counts,
    recent: [(u64, Sketch); RECENT],
}

/// What all threads of a run have in common.
pub(crate) struct Board {
    pub(crate) phases: Phases,
    began: OnceLock<Instant>,
    /// Threads that have made their connections.
    ready: Barrier,
    stop: AtomicBool,
    last_answer_ns: AtomicU64,
    longest_gap_ns: AtomicU64,
    connections: AtomicU64,
    written: Mutex<Written>,
}

impl Board {
    pub(crate) fn new(phases: Phases, threads: u32, slice: Duration) -> Self {
        Self {
            phases,
            began: OnceLock::new(),
            ready: Barrier::new(threads as usize),
            stop: AtomicBool::new(false),
            last_answer_ns: AtomicU64::new(0),
            longest_gap_ns: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            written: Mutex::new(Written {
                timeline: Timeline::new(slice),
                sums: Counts::default(),
                recent: std::array::from_fn(|_| (0, Sketch::new())),
            }),
        }
    }

    /// Waits until every thread is as far; the run begins then.
    pub(crate) fn begin(&self) {
        self.ready.wait();
        self.began.get_or_init(Instant::now);
    }

    /// When the run began; before that, now.
    pub(crate) fn began(&self) -> Instant {
        self.began.get().copied().unwrap_or_else(Instant::now)
    }

    /// Nanoseconds since the run began.
    pub(crate) fn now_ns(&self) -> u64 {
        self.began.get().map_or(0, |began| ns_of(began.elapsed()))
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn connection_up(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn connection_down(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Answers have come now; how long there had been none.
    pub(crate) fn heard(&self, now_ns: u64) -> u64 {
        let before = self.last_answer_ns.swap(now_ns, Ordering::Relaxed);
        let gap = now_ns.saturating_sub(before);
        // Read first: a maximum changes seldom.
        if gap > self.longest_gap_ns.load(Ordering::Relaxed) {
            self.longest_gap_ns.fetch_max(gap, Ordering::Relaxed);
        }
        gap
    }

    /// Adds what a thread has counted since it last did.
    pub(crate) fn write(&self, draft: &mut Draft, sums: &mut Counts, fresh: &mut Sketch) {
        let stamp = self.now_ns() / ns_of(SLICE);
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        draft.pour(&mut written.timeline);
        written.sums.add(&std::mem::take(sums));
        let place = (stamp % RECENT as u64) as usize;
        if let Some((of, sketch)) = written.recent.get_mut(place) {
            if *of != stamp {
                (*of) = stamp;
                sketch.clear();
            }
            sketch.add(fresh);
        }
        fresh.clear();
    }

    pub(crate) fn snapshot(&self, lasts: Option<Duration>) -> Snapshot {
        let now_ns = self.now_ns();
        let stamp = now_ns / ns_of(SLICE);
        let mut second = Sketch::new();
        let sums = {
            let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            for (of, sketch) in &written.recent {
                if *of + RECENT as u64 > stamp {
                    second.add(sketch);
                }
            }
            written.sums
        };
        let silence = now_ns.saturating_sub(self.last_answer_ns.load(Ordering::Relaxed));
        let longest = self.longest_gap_ns.load(Ordering::Relaxed).max(silence);
        let phase = self.phases.labels().get(self.phases.at(now_ns));
        Snapshot {
            elapsed: Duration::from_nanos(now_ns),
            lasts,
            phase: phase.cloned().unwrap_or_default(),
            sums,
            in_flight: sums.in_flight(),
            connections: self.connections.load(Ordering::Relaxed),
            last_second: second.len(),
            p50_us: second.quantile_us(0.5),
            p99_us: second.quantile_us(0.99),
            longest_gap: Duration::from_nanos(longest),
            silence: Duration::from_nanos(silence),
        }
    }

    /// Everything that has been written.
    pub(crate) fn read(&self) -> (Timeline, Counts) {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        (written.timeline.clone(), written.sums)
    }
}
