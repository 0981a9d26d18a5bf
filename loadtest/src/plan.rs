//! What a run does, checked and resolved.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use gapless_iso8583::{Dialect, Framing};

use crate::cards::Cards;
use crate::cli::RunArguments;
use crate::mix::Mix;

/// How long a run lasts where nothing is said.
const DEFAULT_SECONDS: u64 = 5;

/// The highest STAN (DE 11, six digits).
pub const MAX_STAN: u32 = 999_999;

/// When a run has sent enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// So much time has passed.
    Elapsed(Duration),
    /// So many requests have been sent, over all connections.
    Requests(u64),
}

/// What a run does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The host as it was named.
    pub target: String,
    /// The host's address.
    pub address: SocketAddr,
    /// The messages' layout.
    pub dialect: Arc<Dialect>,
    /// How messages stand in the stream.
    pub framing: Framing,
    /// Connections at a time.
    pub connections: u32,
    /// Requests in flight on each.
    pub in_flight: u32,
    /// Threads that share the connections; never more than connections.
    pub threads: u32,
    /// When to stop sending.
    pub until: Until,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Cards to choose from.
    pub cards: Cards,
    /// What to ask for.
    pub mix: Mix,
    /// DE 4, in minor units.
    pub amount_minor: u64,
    /// DE 49.
    pub currency: u16,
    /// Of the random choices.
    pub seed: u64,
}

impl Plan {
    /// Checks the arguments and looks up the host's address.
    ///
    /// # Errors
    /// The host has no address, or the arguments do not go together.
    pub fn new(arguments: &RunArguments) -> anyhow::Result<Self> {
        let address = arguments
            .target
            .to_socket_addrs()
            .with_context(|| format!("--target {}", arguments.target))?
            .next()
            .with_context(|| format!("--target {}: no address", arguments.target))?;
        let dialect = Dialect::builtin(&arguments.dialect)
            .with_context(|| format!("--dialect {}: cannot be read", arguments.dialect))?;
        ensure!(
            arguments.mix.has_no_transfer() || arguments.cards > 1,
            "--mix: a transfer needs --cards 2 or more"
        );
        let framing = Framing {
            tpdu: arguments.tpdu,
            inclusive: arguments.inclusive,
            ..Framing::new(arguments.length.form())
        };
        let until = match (arguments.requests, arguments.seconds) {
            (Some(requests), _) => Until::Requests(requests.get()),
            (None, Some(seconds)) => Until::Elapsed(Duration::from_secs(seconds.get())),
            (None, None) => Until::Elapsed(Duration::from_secs(DEFAULT_SECONDS)),
        };
        Ok(Self {
            target: arguments.target.clone(),
            address,
            dialect,
            framing,
            connections: arguments.connections,
            in_flight: arguments.in_flight,
            threads: arguments.threads.min(arguments.connections),
            until,
            timeout: Duration::from_millis(arguments.timeout_ms),
            cards: Cards {
                prefix: arguments.pan_prefix,
                count: arguments.cards,
                first_account: arguments.first_account,
            },
            mix: arguments.mix.clone(),
            amount_minor: arguments.amount,
            currency: arguments.currency,
            seed: arguments.seed,
        })
    }

    /// Requests that connection `number` (from 0) may send; `None`: as many as
    /// the time allows.
    #[must_use]
    pub fn share(&self, number: u32) -> Option<u64> {
        match self.until {
            Until::Elapsed(_) => None,
            Until::Requests(all) => {
                let connections = u64::from(self.connections);
                let rest = u64::from(u64::from(number) < all % connections);
                Some(all / connections + rest)
            }
        }
    }
}

// Every slot of a connection has STANs of its own, hundreds of them.
const _: () = assert!(MAX_STAN > 4_096 * 100);
