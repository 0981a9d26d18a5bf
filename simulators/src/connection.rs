//! A terminal's line to its host: frames of a 2-byte big-endian length and that
//! many bytes, over TCP or TLS, with a deadline on everything.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use iso8583_rs::iso8583::mli::{MLI, MLI2E};
use thiserror::Error;

use crate::message::{Message, NotTheAnswer};
use crate::tls::{TlsOptions, TlsSetupError, TlsStream};
use crate::wire::{self, DecodeError, EncodeError};

/// Bytes of the length prefix.
const PREFIX: usize = 2;
/// The longest message that the length prefix can announce.
const MAX_MESSAGE: usize = 65_535;
/// Bytes asked of the socket at once.
const READ_CHUNK: usize = 4096;
/// Messages of somebody else's that an exchange passes over before it gives up.
const MAX_STRAY: usize = 1000;

/// Why there is no answer to show.
#[derive(Debug, Error)]
pub enum ExchangeError {
    /// No connection could be made: refused, unreachable, unknown host, or TLS failed.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// Where to.
        address: String,
        /// Why not.
        reason: String,
    },
    /// TLS files or names are not usable.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// The request cannot be encoded; nothing was sent.
    #[error("cannot encode the request: {0}")]
    Encode(#[from] EncodeError),
    /// The host said nothing that belongs to the request in time.
    #[error("no answer within {} ms{}", waited.as_millis(), strays(stray))]
    NoAnswer {
        /// The time waited.
        waited: Duration,
        /// Messages that came, and were not the answer.
        stray: Vec<NotTheAnswer>,
    },
    /// The host closed the connection before it answered.
    #[error("the host closed the connection without an answer")]
    Closed,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(io::Error),
    /// The host sent something that is not a message.
    #[error("malformed answer: {0}")]
    Malformed(#[from] DecodeError),
}

fn strays(stray: &[NotTheAnswer]) -> String {
    match stray.last() {
        None => String::new(),
        Some(last) => format!(" ({} other messages came; the last: {last})", stray.len()),
    }
}

/// An answer, and how it came.
#[derive(Debug)]
pub struct Exchange {
    /// The answer that belongs to the request.
    pub answer: Message,
    /// From before the request was written until the answer was decoded.
    pub round_trip: Duration,
    /// Messages that came before it and were not the answer.
    pub stray: Vec<NotTheAnswer>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => &tls.sock,
        }
    }
}

/// An open connection to a host.
pub struct Connection {
    stream: Stream,
    address: SocketAddr,
    /// Received and not yet cut into frames.
    received: Vec<u8>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection to {}", self.address)
    }
}

impl Connection {
    /// Connects to `address` (`host:port`), within `timeout`, with TLS if asked.
    ///
    /// # Errors
    /// [`ExchangeError::Connect`], or [`ExchangeError::Tls`] for unusable TLS options.
    pub fn open(
        address: &str,
        timeout: Duration,
        tls: Option<&TlsOptions>,
    ) -> Result<Connection, ExchangeError> {
        // Before names are resolved: resolving reads the environment, and
        // setting iso8583_rs up changes it.
        wire::prepare().map_err(EncodeError::Library)?;
        let refuse = |reason: String| ExchangeError::Connect {
            address: address.to_owned(),
            reason,
        };
        let deadline = Instant::now() + timeout;
        let mut reason = "the name has no address".to_owned();
        for candidate in address
            .to_socket_addrs()
            .map_err(|e| refuse(e.to_string()))?
        {
            match TcpStream::connect_timeout(&candidate, remaining(deadline)) {
                Ok(socket) => {
                    socket
                        .set_nodelay(true)
                        .map_err(|e| refuse(e.to_string()))?;
                    let stream = match tls {
                        None => Stream::Plain(socket),
                        Some(options) => {
                            set_timeouts(&socket, deadline).map_err(|e| refuse(e.to_string()))?;
                            let session = options.open(socket).map_err(|e| match e {
                                TlsSetupError::Handshake(why) => refuse(why),
                                other => ExchangeError::Tls(other),
                            })?;
                            Stream::Tls(Box::new(session))
                        }
                    };
                    return Ok(Connection {
                        stream,
                        address: candidate,
                        received: Vec::new(),
                    });
                }
                Err(e) => reason = e.to_string(),
            }
        }
        Err(refuse(reason))
    }

    /// The host's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a message and does not wait.
    ///
    /// # Errors
    /// [`ExchangeError::Encode`] before anything is sent, or [`ExchangeError::Io`].
    pub fn send(&mut self, message: &Message, timeout: Duration) -> Result<(), ExchangeError> {
        let body = wire::encode(message)?;
        let len = body.len();
        if len > MAX_MESSAGE {
            return Err(EncodeError::Library(format!("{len} bytes do not fit a frame")).into());
        }
        let mut frame = MLI2E {}
            .create(&len)
            .map_err(|e| EncodeError::Library(e.msg))?;
        frame.extend_from_slice(&body);
        self.send_bytes(&frame, timeout)
    }

    /// Sends bytes as they are: the way to send what is no message.
    ///
    /// # Errors
    /// [`ExchangeError::Io`].
    pub fn send_bytes(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), ExchangeError> {
        set_timeouts(self.stream.socket(), Instant::now() + timeout).map_err(ExchangeError::Io)?;
        let written = match &mut self.stream {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        };
        written.map_err(ExchangeError::Io)
    }

    /// The next message, whatever it answers. Zero-length frames are keep-alives
    /// and are passed over.
    ///
    /// # Errors
    /// [`ExchangeError::NoAnswer`] at the deadline, [`ExchangeError::Closed`],
    /// [`ExchangeError::Io`], [`ExchangeError::Malformed`].
    pub fn receive(&mut self, timeout: Duration) -> Result<Message, ExchangeError> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.cut_frame()? {
                Some(frame) if frame.is_empty() => {}
                Some(frame) => return Ok(wire::decode(&frame)?),
                None => self.read_more(deadline, timeout)?,
            }
            // Also between frames that are there already: a host that sends
            // keep-alives without end must not hold us longer.
            if remaining(deadline).is_zero() {
                return Err(ExchangeError::NoAnswer {
                    waited: timeout,
                    stray: Vec::new(),
                });
            }
        }
    }

    /// Sends a request and waits for the message that belongs to it.
    ///
    /// # Errors
    /// Any [`ExchangeError`].
    pub fn exchange(
        &mut self,
        request: &Message,
        timeout: Duration,
    ) -> Result<Exchange, ExchangeError> {
        let started = Instant::now();
        let deadline = started + timeout;
        let mut stray = Vec::new();
        self.send(request, timeout)?;
        while stray.len() < MAX_STRAY {
            match self.receive(remaining(deadline)) {
                Ok(answer) => match request.is_answered_by(&answer) {
                    Ok(()) => {
                        return Ok(Exchange {
                            answer,
                            round_trip: started.elapsed(),
                            stray,
                        });
                    }
                    Err(why) => stray.push(why),
                },
                Err(ExchangeError::NoAnswer { .. }) => break,
                Err(other) => return Err(other),
            }
        }
        Err(ExchangeError::NoAnswer {
            waited: started.elapsed(),
            stray,
        })
    }

    fn cut_frame(&mut self) -> Result<Option<Vec<u8>>, ExchangeError> {
        let Some(mut prefix) = self.received.get(..PREFIX) else {
            return Ok(None);
        };
        let len = MLI2E {}
            .parse(&mut prefix)
            .map_err(|e| DecodeError::Library(e.msg))?;
        let end = PREFIX + usize::try_from(len).unwrap_or(MAX_MESSAGE);
        if self.received.len() < end {
            return Ok(None);
        }
        let frame = self.received.get(PREFIX..end).map(<[u8]>::to_vec);
        self.received.drain(..end);
        Ok(frame)
    }

    fn read_more(&mut self, deadline: Instant, timeout: Duration) -> Result<(), ExchangeError> {
        let late = || ExchangeError::NoAnswer {
            waited: timeout,
            stray: Vec::new(),
        };
        if remaining(deadline).is_zero() {
            return Err(late());
        }
        set_timeouts(self.stream.socket(), deadline).map_err(ExchangeError::Io)?;
        let mut chunk = [0; READ_CHUNK];
        let read = match &mut self.stream {
            Stream::Plain(socket) => socket.read(&mut chunk),
            Stream::Tls(tls) => tls.read(&mut chunk),
        };
        match read {
            Ok(0) => Err(ExchangeError::Closed),
            Ok(n) => {
                self.received
                    .extend_from_slice(chunk.get(..n).unwrap_or_default());
                Ok(())
            }
            Err(e) => match e.kind() {
                io::ErrorKind::Interrupted => Ok(()),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Err(late()),
                io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => {
                    Err(ExchangeError::Closed)
                }
                _ => Err(ExchangeError::Io(e)),
            },
        }
    }
}

fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// A socket timeout of zero means "none" to the system, hence the minimum.
fn set_timeouts(socket: &TcpStream, deadline: Instant) -> io::Result<()> {
    let left = Some(remaining(deadline).max(Duration::from_millis(1)));
    socket.set_read_timeout(left)?;
    socket.set_write_timeout(left)
}
