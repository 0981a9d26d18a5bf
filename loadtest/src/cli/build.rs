//! From arguments to a plan.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use gapless_iso8583::{Dialect, Framing};

use super::{
    HostArguments, LoadArguments, OverloadArguments, RunArguments, SaturateArguments,
    TrafficArguments,
};
use crate::cards::{Cards, Range};
use crate::mix::{Kind, Mix};
use crate::plan::{Amounts, Load, MAX_IN_FLIGHT, Plan, Until};
use crate::schedule::Step;
use crate::stream::Tls;
use crate::{card_files, mix_file};

/// How long a run lasts where nothing is said.
const DEFAULT_SECONDS: u64 = 5;

/// Requests in flight on each connection of a closed loop where nothing is said.
const DEFAULT_IN_FLIGHT: u32 = 32;

/// Steps of a schedule: each has a histogram of its own.
const MAX_STEPS: usize = 64;

impl RunArguments {
    /// Checks the arguments, reads the files, and looks up the host's address.
    ///
    /// # Errors
    /// The host has no address, a file cannot be read or is wrong (with its line),
    /// or the arguments do not go together.
    pub fn plan(&self) -> anyhow::Result<Plan> {
        let load = self.load.load()?;
        if self.bank.night.is_some() {
            ensure!(
                self.load.rate.len() < 2 && self.load.requests.is_none(),
                "--night needs one --rate, or a closed loop with --seconds"
            );
        }
        Ok(Plan {
            connections: self.load.connections,
            threads: self.load.threads.min(self.load.connections),
            load,
            warm_up: Duration::from_secs(self.load.warm_up_seconds),
            night: self.bank.night.is_some(),
            ledger: self.bank.ledger,
            ..plan(&self.host, &self.traffic)?
        })
    }
}

impl SaturateArguments {
    /// As [`RunArguments::plan`]; the load is the search's.
    ///
    /// # Errors
    /// As there.
    pub fn plan(&self) -> anyhow::Result<Plan> {
        Ok(Plan {
            connections: self.connections,
            threads: self.threads.min(self.connections),
            ..plan(&self.host, &self.traffic)?
        })
    }
}

impl OverloadArguments {
    /// The plan for the host that is running.
    ///
    /// # Errors
    /// As [`RunArguments::plan`].
    pub fn plan(&self) -> anyhow::Result<Plan> {
        plan(&self.host, &self.traffic)
    }
}

/// Host and traffic, with some open load.
fn plan(host: &HostArguments, traffic: &TrafficArguments) -> anyhow::Result<Plan> {
    let address = address(&host.target)?;
    Ok(Plan {
        target: host.target.clone(),
        tls: host.tls()?,
        dialect: host.dialect()?,
        framing: Framing {
            tpdu: host.tpdu,
            inclusive: host.inclusive,
            ..Framing::new(host.length.form())
        },
        timeout: Duration::from_millis(host.timeout_ms),
        echo: host.echo,
        ..traffic.plan(address)?
    })
}

/// The first address of a HOST:PORT.
pub(crate) fn address(target: &str) -> anyhow::Result<SocketAddr> {
    target
        .to_socket_addrs()
        .with_context(|| format!("--target {target}"))?
        .next()
        .with_context(|| format!("--target {target}: no address"))
}

impl HostArguments {
    fn dialect(&self) -> anyhow::Result<Arc<Dialect>> {
        if let Some(dialect) = Dialect::builtin(&self.dialect) {
            return Ok(dialect);
        }
        let path = Path::new(&self.dialect);
        ensure!(
            path.extension()
                .is_some_and(|extension| extension == "toml"),
            "--dialect {}: neither a built-in dialect ({}) nor a .toml file",
            self.dialect,
            Dialect::BUILTIN_NAMES.join(", ")
        );
        let text =
            std::fs::read_to_string(path).with_context(|| format!("--dialect {}", self.dialect))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Dialect::parse(&name, &text)
            .map(Arc::new)
            .with_context(|| format!("--dialect {}", self.dialect))
    }

    fn tls(&self) -> anyhow::Result<Option<Tls>> {
        let Some(authority) = &self.tls_ca else {
            return Ok(None);
        };
        let host = self
            .target
            .rsplit_once(':')
            .map_or(self.target.as_str(), |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = self.tls_name.as_deref().unwrap_or(host);
        let own = self.tls_cert.as_deref().zip(self.tls_key.as_deref());
        Tls::new(authority, name, own).map(Some)
    }
}

impl LoadArguments {
    fn load(&self) -> anyhow::Result<Load> {
        let seconds = self.seconds.map_or(DEFAULT_SECONDS, u64::from);
        let lasts = Duration::from_secs(seconds);
        if self.rate.is_empty() {
            return Ok(Load::Closed {
                in_flight: self.in_flight.unwrap_or(DEFAULT_IN_FLIGHT),
                until: self.requests.map_or(Until::Elapsed(lasts), |requests| {
                    Until::Requests(requests.get())
                }),
            });
        }
        ensure!(
            self.rate.len() <= MAX_STEPS,
            "--rate: at most {MAX_STEPS} steps"
        );
        let step = |per_second: &u64| Step {
            per_second: *per_second,
            lasts,
        };
        Ok(Load::Open {
            steps: self.rate.iter().map(step).collect(),
            spacing: self.spacing,
            most_in_flight: self.in_flight.unwrap_or(MAX_IN_FLIGHT),
        })
    }
}

impl TrafficArguments {
    /// This traffic, with some open load, for a host in iso87-ascii.
    ///
    /// # Errors
    /// A file cannot be read or is wrong (with its line), or the arguments do not go
    /// together.
    pub fn plan(&self, address: SocketAddr) -> anyhow::Result<Plan> {
        let (mix, amount) = self.mix()?;
        let cards = self.cards()?;
        ensure!(cards.count() > 0, "there is no card to use");
        ensure!(
            !mix.has(Kind::Transfer) || cards.accounts() > 1,
            "a transfer needs two accounts or more"
        );
        if let Some(exponent) = self.zipf {
            ensure!(
                (0.0..=10.0).contains(&exponent),
                "--zipf: an exponent is 0 to 10"
            );
        }
        Ok(Plan {
            cards: Arc::new(cards),
            zipf: self.zipf,
            mix,
            amount,
            currency: self.currency,
            seed: self.seed,
            ..Plan::open(address, 1, Duration::from_secs(DEFAULT_SECONDS))
        })
    }

    fn mix(&self) -> anyhow::Result<(Mix, Amounts)> {
        match &self.mix_file {
            Some(path) => mix_file::read(path),
            None => Ok((self.mix.clone(), Amounts::always(self.amount))),
        }
    }

    fn cards(&self) -> anyhow::Result<Cards> {
        match &self.cards_file {
            Some(path) => card_files::read(path).map(Cards::List),
            None => Ok(Cards::Range(Range {
                prefix: self.pan_prefix,
                count: self.cards,
                first_account: self.first_account,
            })),
        }
    }
}
