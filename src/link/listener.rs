//! A link's listener: accepts connections up to the link's limit.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gapless_engine::ids::Currency;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use super::buffers::SharedRead;
use super::connection::{Connection, LinkShared};
use super::log::LinkLog;
use super::port::Decider;
use super::session::{Duties, SessionLimits};
use super::tls::{self, TlsError};
use crate::adapter::{Adapter, OPERATIONS, PanKeys, Rules};
use crate::config::{self, Bank, CutoverDate, LinkConfig};
use crate::telemetry::{ConnectionEnd, LinkMetrics};

/// Connections that the system holds until they are accepted.
const BACKLOG: i32 = 1024;
/// A peer that has vanished without a word is found out after about a minute.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
/// Pause after a failed accept: mostly there are too many open files, and they
/// do not become fewer by asking.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A link that listens.
pub struct Link {
    socket: TcpListener,
    address: SocketAddr,
    shared: Rc<LinkShared>,
    tls: Option<TlsAcceptor>,
}

/// Why a link can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address can't be listened on.
    #[error("link {link:?}: {address}: {error}")]
    Listen {
        /// The link's name.
        link: String,
        /// Its address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// Its TLS files can't be used.
    #[error("link {link:?}: {error}")]
    Tls {
        /// The link's name.
        link: String,
        /// What is wrong with which.
        error: TlsError,
    },
}

impl Link {
    /// Reads the link's TLS files and begins to listen. Peers can connect from
    /// now on; they are served by [`Link::serve`]. Needs a tokio runtime.
    ///
    /// # Errors
    /// The TLS files or the address can't be used.
    pub fn open(
        config: &LinkConfig,
        bank: &Bank,
        keys: Arc<PanKeys>,
        metrics: LinkMetrics,
    ) -> Result<Self, LinkError> {
        let link = || config.name.clone();
        let tls = match &config.tls {
            None => None,
            Some(files) => match tls::acceptor(files) {
                Ok(acceptor) => Some(acceptor),
                Err(error) => {
                    let link = link();
                    return Err(LinkError::Tls { link, error });
                }
            },
        };
        let not_listening = |error| LinkError::Listen {
            link: link(),
            address: config.listen,
            error,
        };
        let socket = listen(config.listen).map_err(not_listening)?;
        let address = socket.local_addr().map_err(not_listening)?;
        let adapter = Adapter::new(keys, Arc::clone(&config.dialect), rules(config, bank));
        Ok(Self {
            socket,
            address,
            shared: Rc::new(shared(config, adapter, metrics)),
            tls,
        })
    }

    /// Where it listens: the real port, if the configuration asked for any.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts and serves connections until the decider stops; returns when
    /// the last one is over. Must run within a `LocalSet`.
    pub async fn serve<D: Decider>(self, decider: D) {
        let Self {
            socket,
            shared,
            tls,
            ..
        } = self;
        let connections = TaskTracker::new();
        let stopping = decider.stopping();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopping.cancelled() => break,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let Some(place) = Place::take(&shared, peer) else {
                        continue;
                    };
                    let (decider, tls) = (decider.clone(), tls.clone());
                    connections.spawn_local(serve_one(place, decider, tls, stream, peer));
                }
                Err(error) => {
                    tracing::error!(link = shared.log.link(), %error, "can't accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        // Nobody is accepted any more; whoever is here is answered first.
        drop(socket);
        connections.close();
        connections.wait().await;
    }
}

/// One of a link's connections, counted until it is dropped.
struct Place {
    link: Rc<LinkShared>,
}

impl Place {
    /// `None` at the limit.
    fn take(link: &Rc<LinkShared>, peer: SocketAddr) -> Option<Self> {
        let open = link.open.get();
        if open >= link.max_connections {
            link.metrics.connection_ended(ConnectionEnd::TooMany);
            let what = format_args!("{open} connections are open, the limit");
            link.log.closed(peer, &what);
            return None;
        }
        link.open.set(open + 1);
        link.metrics.connections.increment(1.0);
        link.metrics.connections_opened.increment(1);
        Some(Self {
            link: Rc::clone(link),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.link.open.set(self.link.open.get().saturating_sub(1));
        self.link.metrics.connections.decrement(1.0);
    }
}

async fn serve_one<D: Decider>(
    place: Place,
    decider: D,
    tls: Option<TlsAcceptor>,
    stream: TcpStream,
    peer: SocketAddr,
) {
    let link = &place.link;
    let name = link.log.link();
    tracing::debug!(link = name, %peer, "connected");
    if let Err(error) = tune(&stream) {
        // It can be served all the same, only slower.
        tracing::debug!(link = name, %peer, %error, "socket options");
    }
    let stopping = decider.stopping();
    let connection = Connection::new(Rc::clone(link), decider, peer);
    let end = match tls {
        None => connection.run(stream).await,
        Some(acceptor) => {
            let agreed = tokio::time::timeout(link.frame_timeout, acceptor.accept(stream));
            let agreed = tokio::select! {
                biased;
                () = stopping.cancelled() => return over(link, peer, ConnectionEnd::Stopping),
                agreed = agreed => agreed,
            };
            let why = match agreed {
                Ok(Ok(stream)) => {
                    let end = Box::pin(connection.run(stream)).await;
                    return over(link, peer, end);
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it took too long".to_owned(),
            };
            link.log
                .closed(peer, &format_args!("TLS was not agreed: {why}"));
            ConnectionEnd::Tls
        }
    };
    over(link, peer, end);
}

fn over(link: &LinkShared, peer: SocketAddr, end: ConnectionEnd) {
    link.metrics.connection_ended(end);
    tracing::debug!(link = link.log.link(), %peer, end = end.as_str(), "disconnected");
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restarted daemon takes its port back at once.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    // Without it an answer waits for the peer's acknowledgement of the one before.
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

fn shared(config: &LinkConfig, adapter: Adapter, metrics: LinkMetrics) -> LinkShared {
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
    LinkShared {
        adapter: Rc::new(adapter),
        framing: config.framing,
        session: SessionLimits {
            max_in_flight: config.max_in_flight,
            answer_limit: (config.answer_limit_ms > 0)
                .then(|| Duration::from_millis(u64::from(config.answer_limit_ms))),
            sign_on_required: config.sign_on_required,
        },
        network: config.network_id,
        duties: duties(&config.duties),
        idle_timeout: (config.idle_timeout_s > 0).then(|| seconds(config.idle_timeout_s)),
        frame_timeout: seconds(config.frame_timeout_s),
        slow_reader_timeout: seconds(config.slow_reader_timeout_s),
        max_unsent_bytes: config.max_unsent_bytes as usize,
        max_connections: config.max_connections,
        open: Cell::new(0),
        read: SharedRead::new(),
        log: LinkLog::new(&config.name),
        metrics,
    }
}

/// What the network's profile asks of this side, as sessions have it.
fn duties(profile: &config::Duties) -> Duties {
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
    Duties {
        announce: profile.announce_cutover,
        reconcile: profile.reconcile,
        echo_after: (profile.echo_after_s > 0).then(|| seconds(profile.echo_after_s)),
        reply_wait: seconds(profile.reply_wait_s),
    }
}

/// The link's rules as the adapter has them.
fn rules(config: &LinkConfig, bank: &Bank) -> Rules {
    Rules {
        network: config.network_id,
        cutover_names_ended: config.cutover_date == CutoverDate::Ended,
        allow: OPERATIONS
            .into_iter()
            .filter(|operation| config.allows(*operation))
            .collect(),
        cardless_transfers: config.cardless_transfers,
        max_amount_minor: config
            .max_amount_minor
            .iter()
            .map(|(code, limit)| (code.currency(), *limit))
            .collect(),
        currencies: bank
            .currencies
            .iter()
            .filter_map(|code| Some((code.as_str().as_bytes().try_into().ok()?, code.currency())))
            .collect(),
        default_currency: bank
            .currencies
            .first()
            .map_or(Currency(0), |code| code.currency()),
    }
}
