//! Admin HTTP: health, metrics, look-ups, import, a status page.
//!
//! On a thread and a runtime of its own: whatever its clients do, payments do
//! not wait for it. What it asks of the engine are bounded jobs between payments
//! ([`Control`]), answered when all that they saw is durable.

mod access;
mod answer;
mod cards;
mod clock;
mod entries;
mod extract;
mod import;
mod metrics;
mod night;
mod patient;
mod reconciliations;
mod server;
mod upload;
mod views;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use gapless_engine::Engine;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use crate::adapter::PanKeys;
use crate::config::{AdminConfig, Config, Network};
use crate::runner::{Control, Night, Phase, Status};
use crate::telemetry::{DaemonMetrics, Telemetry};
use answer::Failure;

/// How long an answer may wait for the engine and the journal.
const ENGINE_PATIENCE: Duration = Duration::from_secs(10);

/// The extracts that are kept, known once recovery is done.
pub type Shelf = Arc<OnceLock<Arc<gapless_store::Extracts>>>;

/// The admin listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("admin: {address}: {error}")]
pub struct AdminError {
    address: SocketAddr,
    error: io::Error,
}

/// The running admin side. Dropped, it stops within a second.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    stop: CancellationToken,
    ended: Option<oneshot::Receiver<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// Binds the configured address and serves it on a thread of its own. It may
    /// start before recovery is done: `/healthz` and `/readyz` answer, the rest
    /// says 503.
    ///
    /// # Errors
    /// The address can't be bound, or the thread can't be made.
    pub fn start(
        config: &Config,
        control: Control,
        keys: Arc<PanKeys>,
        telemetry: Arc<Telemetry>,
        extracts: Shelf,
    ) -> Result<Self, AdminError> {
        let address = config.admin.listen;
        let failed = |error| AdminError { address, error };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let limits = server::Limits {
            connections: config.admin.max_connections,
            patience: config.admin.read_timeout,
        };
        let router = router(Site {
            config: config.admin.clone(),
            networks: config.networks.clone(),
            control,
            keys,
            daemon: telemetry.daemon(),
            telemetry,
            importing: Arc::new(Semaphore::new(1)),
            posting: Arc::new(Semaphore::new(1)),
            extracts,
            sending: Arc::new(Semaphore::new(extract::MAX_SENT_AT_ONCE)),
            scanning: Semaphore::new(1),
        });
        let stop = CancellationToken::new();
        let (tell_ended, ended) = oneshot::channel();
        let stopped = stop.clone();
        let thread = thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || {
                runtime.block_on(server::serve(listener, router, limits, stopped));
                // Whoever stopped without waiting doesn't hear it.
                let _ = tell_ended.send(());
            })
            .map_err(failed)?;
        Ok(Self {
            address,
            stop,
            ended: Some(ended),
            thread: Some(thread),
        })
    }

    /// Where it listens; the port is known even if the configuration left it open.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops taking connections and waits, for a second at most, until what was
    /// asked is answered. For that the engine must go on meanwhile, so this is
    /// what its thread calls.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(ended) = self.ended.take() {
            // An error means that the thread is gone, which is what was waited for.
            let _ = ended.await;
        }
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic there was told on standard error already.
            let _ = thread.join();
        }
    }
}

/// What every handler has.
struct Site {
    config: AdminConfig,
    networks: Vec<Network>,
    control: Control,
    /// For PANs of imported cards.
    keys: Arc<PanKeys>,
    telemetry: Arc<Telemetry>,
    daemon: DaemonMetrics,
    /// One import at a time, so that slow uploads cannot take all connections.
    importing: Arc<Semaphore>,
    /// One file of entries at a time, for the same reason.
    posting: Arc<Semaphore>,
    /// Set once the follower runs.
    extracts: Shelf,
    /// Files of extracts that are being sent.
    sending: Arc<Semaphore>,
    /// One scan over all cards at a time.
    scanning: Semaphore,
}

type Shared = Arc<Site>;

fn router(site: Site) -> Router {
    let site = Arc::new(site);
    let open = Router::new()
        .route("/", get(views::page))
        .route("/healthz", get(views::healthz))
        .route("/readyz", get(views::readyz));
    let guarded = Router::new()
        .route("/metrics", get(metrics::metrics))
        .route("/v1/status", get(views::status))
        .route("/v1/clock", get(clock::clock))
        .route("/v1/clock/confirm", post(clock::confirm))
        .route("/v1/business-date", get(night::business_date))
        .route("/v1/business-date/{step}", post(night::step))
        .route("/v1/business-date/{date}/entries", post(entries::post))
        .route("/v1/business-date/{date}/extract", get(extract::manifest))
        .route(
            "/v1/business-date/{date}/extract/{file}",
            get(extract::file),
        )
        .route("/v1/accounts/{account}", get(views::account))
        .route("/v1/cards/{card}", get(cards::cards))
        .route("/v1/trial-balance", get(views::trial_balance))
        .route("/v1/networks/totals", get(views::network_totals))
        .route(
            "/v1/networks/reconciliations",
            get(reconciliations::reconciliations),
        )
        .route("/v1/exceptions", get(views::exceptions))
        .route("/v1/import", post(import::import))
        .route_layer(axum::middleware::from_fn_with_state(
            Arc::clone(&site),
            access::with_token,
        ));
    open.merge(guarded)
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&site),
            access::from_here,
        ))
        .with_state(site)
}

impl Site {
    fn status(&self) -> Status {
        self.control.status()
    }

    /// Reads from the engine; 503 while there is none to read from. `f` looks at
    /// 256 rows at most.
    async fn read<R: Send + 'static>(
        &self,
        f: impl FnOnce(&Engine) -> R + Send + 'static,
    ) -> Result<R, Failure> {
        if self.status().phase == Phase::Recovering {
            return Err(Failure::unavailable("recovering"));
        }
        match tokio::time::timeout(ENGINE_PATIENCE, self.control.read(f)).await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(stopped)) => Err(Failure::unavailable(&stopped.to_string())),
            Err(_) => Err(Failure::unavailable(
                "the engine or its journal is too busy",
            )),
        }
    }

    /// Runs a command of the night; 503 while there is no engine to run it. One that
    /// ran into the time limit may still have its effect: asked again, it tells.
    async fn night(&self, request: gapless_engine::command::Request) -> Result<Night, Failure> {
        if self.status().phase != Phase::Ready {
            return Err(Failure::unavailable("not ready"));
        }
        match tokio::time::timeout(ENGINE_PATIENCE, self.control.night(request)).await {
            Ok(Ok(night)) => Ok(night),
            Ok(Err(stopped)) => Err(Failure::unavailable(&stopped.to_string())),
            Err(_) => Err(Failure::unavailable(
                "the engine or its journal is too busy",
            )),
        }
    }

    /// A network's configured name.
    fn network_name(&self, id: gapless_engine::ids::NetworkId) -> Option<String> {
        let found = self.networks.iter().find(|n| n.network_id() == id);
        found.map(|network| network.name.clone())
    }
}

#[cfg(test)]
mod tests;
