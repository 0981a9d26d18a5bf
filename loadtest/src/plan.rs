//! What a run does, checked and resolved.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gapless_iso8583::{Dialect, Framing, LengthForm};

use crate::cards::{Cards, Range};
use crate::mix::{Kind, Mix};
use crate::phases::{NIGHT_LABELS, Phases, WARM_UP};
use crate::rng::Rng;
use crate::schedule::{self, Spacing, Step};
use crate::stream::Tls;
use crate::timeline::SLICE;

/// The highest STAN (DE 11, six digits).
pub const MAX_STAN: u32 = 999_999;

/// Most requests in flight on one connection.
pub const MAX_IN_FLIGHT: u32 = 8_192;

/// When a closed loop has sent enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// So much time has passed.
    Elapsed(Duration),
    /// So many requests have been sent, over all connections.
    Requests(u64),
}

/// What makes the requests come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Load {
    /// Every connection keeps so many in flight and sends the next one when an
    /// answer comes.
    Closed {
        /// Requests in flight on each connection.
        in_flight: u32,
        /// When to stop.
        until: Until,
    },
    /// They arrive by a schedule, whatever the host does.
    Open {
        /// Rates, one after the other.
        steps: Vec<Step>,
        /// How arrivals are spaced.
        spacing: Spacing,
        /// Most requests in flight on each connection; above it they wait, and
        /// their latency grows.
        most_in_flight: u32,
    },
}

/// Amounts in minor units, from the first to the second, all alike likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amounts {
    /// The smallest.
    pub least_minor: u64,
    /// The largest.
    pub most_minor: u64,
}

impl Amounts {
    /// Always the same.
    #[must_use]
    pub const fn always(minor: u64) -> Self {
        Self {
            least_minor: minor,
            most_minor: minor,
        }
    }

    pub(crate) fn draw(self, rng: &mut Rng) -> u64 {
        let span = self.most_minor.saturating_sub(self.least_minor);
        if span == 0 {
            return self.least_minor;
        }
        // Below 2^40, so that a remainder prefers none by more than 2^-24.
        self.least_minor + rng.next() % (span + 1)
    }
}

/// What a run does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The host as it was named.
    pub target: String,
    /// The host's address.
    pub address: SocketAddr,
    /// With TLS, how.
    pub tls: Option<Tls>,
    /// The messages' layout.
    pub dialect: Arc<Dialect>,
    /// How messages stand in the stream.
    pub framing: Framing,
    /// Connections at a time.
    pub connections: u32,
    /// Threads that share the connections; never more than connections.
    pub threads: u32,
    /// What makes the requests come.
    pub load: Load,
    /// Comes before what the load says, at its first rate, and no total counts it.
    pub warm_up: Duration,
    /// Whether before, inside and after a night are told apart (see
    /// [`Control::mark`](crate::open_loop::Control::mark)).
    pub night: bool,
    /// Width of the timeline's slices; longer for runs of hours.
    pub slice: Duration,
    /// An answer that takes longer is late; after twice the time its request is
    /// given up.
    pub timeout: Duration,
    /// What is decided later than this counts as missed
    /// ([`Stats::last_missed_ns`](crate::stats::Stats)); `None`: the timeout alone counts.
    pub bound: Option<Duration>,
    /// Cards to choose from.
    pub cards: Arc<Cards>,
    /// Exponent of Zipf's law; `None`: all cards alike.
    pub zipf: Option<f64>,
    /// What to ask for.
    pub mix: Mix,
    /// DE 4.
    pub amount: Amounts,
    /// DE 49.
    pub currency: u16,
    /// Of the random choices.
    pub seed: u64,
    /// The host sends back what it gets: a request's own copy is its answer.
    pub echo: bool,
    /// Whether to keep books (16 bytes an account and thread).
    pub ledger: bool,
}

impl Plan {
    /// Purchases, inquiries and transfers with the demo bank's 10,000 cards on
    /// 16 connections, so many a second, for so long. Every field may be changed.
    #[must_use]
    pub fn open(address: SocketAddr, per_second: u64, lasts: Duration) -> Self {
        Self::with(
            address,
            16,
            Load::Open {
                steps: vec![Step { per_second, lasts }],
                spacing: Spacing::Even,
                most_in_flight: MAX_IN_FLIGHT,
            },
        )
    }

    /// The same in a closed loop.
    #[must_use]
    pub fn closed(address: SocketAddr, connections: u32, in_flight: u32, lasts: Duration) -> Self {
        Self::with(
            address,
            connections,
            Load::Closed {
                in_flight,
                until: Until::Elapsed(lasts),
            },
        )
    }

    fn with(address: SocketAddr, connections: u32, load: Load) -> Self {
        Self {
            target: address.to_string(),
            address,
            tls: None,
            dialect: ascii(),
            framing: Framing::new(LengthForm::Binary2),
            connections,
            threads: 1,
            load,
            warm_up: Duration::ZERO,
            night: false,
            slice: SLICE,
            timeout: Duration::from_secs(5),
            bound: None,
            cards: Arc::new(Cards::Range(Range {
                prefix: 941_000,
                count: 10_000,
                first_account: 1_000_000_000,
            })),
            zipf: None,
            mix: usual_mix(),
            amount: Amounts::always(100),
            currency: 410,
            seed: 1,
            echo: false,
            ledger: false,
        }
    }

    /// How long it sends, warm-up included; `None`: until it has sent enough.
    #[must_use]
    pub fn lasts(&self) -> Option<Duration> {
        match &self.load {
            Load::Open { .. } => Some(schedule::length(&self.steps())),
            Load::Closed {
                until: Until::Elapsed(time),
                ..
            } => Some(self.warm_up + *time),
            Load::Closed { .. } => None,
        }
    }

    /// The schedule with the warm-up at its first rate; none in a closed loop.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let Load::Open { steps, .. } = &self.load else {
            return Vec::new();
        };
        let mut steps = steps.clone();
        if let Some(first) = steps.first_mut() {
            first.lasts += self.warm_up;
        }
        steps
    }

    /// The parts that are judged apart.
    pub(crate) fn phases(&self) -> Phases {
        let (mut labels, mut borders_ns) = (Vec::new(), Vec::new());
        if !self.warm_up.is_zero() {
            labels.push(WARM_UP.to_owned());
            borders_ns.push(schedule::ns_of(self.warm_up));
        }
        let steps = self.steps();
        if self.night {
            labels.extend(NIGHT_LABELS.map(str::to_owned));
        } else if steps.len() > 1 {
            labels.extend(steps.iter().map(|step| format!("{}/s", step.per_second)));
            let mut end = Duration::ZERO;
            for step in &steps {
                end += step.lasts;
                borders_ns.push(schedule::ns_of(end));
            }
            // The last one ends with the run.
            borders_ns.pop();
        } else {
            labels.push("measured".to_owned());
        }
        Phases::of(labels, &borders_ns)
    }

    /// Requests that connection `number` (from 0) may send; `None`: as many as
    /// the time allows.
    pub(crate) fn share(&self, number: u32) -> Option<u64> {
        match self.load {
            Load::Closed {
                until: Until::Requests(all),
                ..
            } => {
                let connections = u64::from(self.connections);
                let rest = u64::from(u64::from(number) < all % connections);
                Some(all / connections + rest)
            }
            _ => None,
        }
    }

    /// Most requests in flight on each connection.
    pub(crate) const fn slots(&self) -> u32 {
        match self.load {
            Load::Closed { in_flight, .. } => in_flight,
            Load::Open { most_in_flight, .. } => most_in_flight,
        }
    }
}

/// Purchases 80, inquiries 10, transfers 10.
fn usual_mix() -> Mix {
    Mix::usual(&[
        (Kind::Purchase, 80),
        (Kind::Balance, 10),
        (Kind::Transfer, 10),
    ])
}

/// The dialect of the daemon's first link.
fn ascii() -> Arc<Dialect> {
    // Shipped inside the codec, and read by its tests.
    #[allow(clippy::expect_used)]
    Dialect::builtin("iso87-ascii").expect("a dialect that the codec ships")
}

// Every slot of a connection has STANs of its own, a hundred of them.
const _: () = assert!(MAX_STAN > MAX_IN_FLIGHT * 100);
