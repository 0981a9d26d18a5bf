//! One connection: its socket, its deadlines, and the loop that joins them to
//! the session and to whoever decides.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use gapless_engine::command::Request;
use gapless_engine::ids::NetworkId;
use gapless_iso8583::{Cut, FrameError, Framing};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::buffers::{Inbox, Outbox, SharedRead};
use super::log::LinkLog;
use super::notes::{GivenNotes, note_taken};
use super::port::{Decider, Duty, Port};
use super::session::{Attend, Duties, Session, SessionLimits, Taken};
use crate::adapter::{Adapter, Outgoing};
use crate::telemetry::{ConnectionEnd, FrameFault, KeptBack, LinkMetrics, OwnMessage, OwnOutcome};

/// A connection that has been quiet for this long keeps no buffers.
const SHRINK_AFTER: Duration = Duration::from_secs(5);
/// How long a closed connection is read from, so that bytes which nobody will
/// look at do not make the system throw away our last answers with a reset.
const LINGER: Duration = Duration::from_millis(250);
/// ... and how many such bytes.
const LINGER_BYTES: usize = 1 << 20;
/// Of commands that a connection gives by itself; no request in flight has it.
const OWN_TAG: u32 = u32::MAX;
/// "Never", for timers.
const FAR: Duration = Duration::from_secs(365 * 86_400);

/// What all connections of a link share.
pub(super) struct LinkShared {
    pub(super) adapter: Rc<Adapter>,
    pub(super) framing: Framing,
    pub(super) session: SessionLimits,
    pub(super) network: NetworkId,
    pub(super) duties: Duties,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) frame_timeout: Duration,
    pub(super) slow_reader_timeout: Duration,
    pub(super) max_unsent_bytes: usize,
    pub(super) max_connections: u32,
    pub(super) open: Cell<u32>,
    pub(super) read: SharedRead,
    pub(super) log: LinkLog,
    pub(super) metrics: LinkMetrics,
}

/// One connection, without its socket.
pub(super) struct Connection<D: Decider> {
    link: Rc<LinkShared>,
    decider: D,
    peer: SocketAddr,
    session: Session,
    inbox: Inbox,
    outbox: Outbox,
    clock: Clock,
    /// Set when no more is read: what is in flight is answered, then it is over.
    ending: Option<ConnectionEnd>,
    /// What the gauge of requests under way has been told.
    gauged: u32,
}

/// When what was last seen; deadlines follow from it.
struct Clock {
    active: Instant,
    frame_begun: Option<Instant>,
    blocked: Option<Instant>,
    shrunk: bool,
}

/// Why a connection ends at once.
enum Over {
    Socket(io::Error),
    SlowReader,
}

impl<D: Decider> Connection<D> {
    pub(super) fn new(link: Rc<LinkShared>, decider: D, peer: SocketAddr) -> Self {
        let session = Session::new(Rc::clone(&link.adapter), link.framing, link.session)
            .with_duties(link.duties, Instant::now().into_std());
        let inbox = Inbox::new(link.read.clone());
        Self {
            link,
            decider,
            peer,
            session,
            inbox,
            outbox: Outbox::default(),
            clock: Clock {
                active: Instant::now(),
                frame_begun: None,
                blocked: None,
                shrunk: true,
            },
            ending: None,
            gauged: 0,
        }
    }

    /// Serves the peer until either side ends it; how it ended.
    pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        mut self,
        mut stream: S,
    ) -> ConnectionEnd {
        let mut port = self.decider.connect();
        let end = match self.serve(&mut stream, &mut port).await {
            Ok(end) => {
                self.part(&mut stream, end).await;
                end
            }
            Err(Over::SlowReader) => {
                let waiting = self.outbox.unsent();
                let what = format_args!("the peer does not read, {waiting} bytes wait");
                self.link.log.closed(self.peer, &what);
                ConnectionEnd::SlowReader
            }
            Err(Over::Socket(error)) => {
                tracing::debug!(link = self.link.log.link(), peer = %self.peer, %error, "connection lost");
                ConnectionEnd::Error
            }
        };
        for _ in 0..port.outstanding() {
            self.link.metrics.kept_back(KeptBack::NoPeer);
        }
        self.link
            .metrics
            .in_flight
            .decrement(f64::from(self.gauged));
        end
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        port: &mut D::Port,
    ) -> Result<ConnectionEnd, Over> {
        let mut stopping = pin!(self.decider.stopping().cancelled_owned());
        let mut timer = pin!(sleep_until(self.deadline()));
        loop {
            self.give_released(port);
            if let Some(end) = self.ending
                && port.outstanding() == 0
                && self.outbox.is_clear()
            {
                return Ok(end);
            }
            self.arm(timer.as_mut());
            let (going_on, has_room) = (self.ending.is_none(), self.has_room());
            // Answers come first, so that a peer that always sends is also answered.
            tokio::select! {
                biased;
                () = &mut stopping, if going_on => self.ending = Some(ConnectionEnd::Stopping),
                () = port.released(), if has_room => {}
                seen = io(stream, &mut self.inbox, &mut self.outbox, going_on && has_room) => {
                    let seen = seen.map_err(Over::Socket)?;
                    self.sent(&seen);
                    if let Some(bytes) = seen.read {
                        self.read(bytes, port);
                        if Inbox::is_filled(bytes) {
                            // More waits here; the others come first.
                            tokio::task::yield_now().await;
                        }
                    }
                }
                () = &mut timer => self.on_time(port)?,
            }
        }
    }

    /// Whether more answers may be written: else reading stops as well, since
    /// this peer does not read.
    fn has_room(&self) -> bool {
        self.outbox.unsent() <= self.link.max_unsent_bytes
    }

    /// Writes the answers that may leave.
    fn give_released(&mut self, port: &mut D::Port) {
        let mut now = None;
        let mut notes = GivenNotes::new(&self.link, self.peer);
        while self.has_room()
            && let Some((tag, outcome)) = port.take_released()
        {
            // One look at the clock for all that one group released.
            let now = *now.get_or_insert_with(|| Instant::now().into_std());
            if tag == OWN_TAG {
                // Without an effect there is no more to see than before.
                if outcome.code.is_approved() {
                    self.session.look_again(now);
                }
                continue;
            }
            let find = |seq| port.reconciliation(seq);
            let given = self
                .session
                .give_with(tag, &outcome, now, self.outbox.room(), find);
            notes.note(given);
        }
        notes.end();
        if now.is_some() {
            self.note_unsent();
            self.gauge_in_flight();
        }
    }

    /// Takes in what one read brought; 0 bytes are the end of the stream.
    fn read(&mut self, bytes: usize, port: &mut D::Port) {
        if bytes == 0 {
            if self.inbox.partial() > 0 {
                let what = "the peer ended in the middle of a frame";
                self.link.log.closed(self.peer, &what);
            }
            self.ending = Some(ConnectionEnd::Closed);
            return;
        }
        self.link.metrics.read_bytes.increment(bytes as u64);
        let now = Instant::now();
        let was_partial = self.inbox.partial() > 0;
        let (used, cut) = self.take_frames(now, port);
        port.flush();
        if !self.session.is_open() {
            port.leave_duty();
        }
        self.clock.active = now;
        self.clock.shrunk = false;
        self.note_unsent();
        if let Err(error) = cut {
            self.link.metrics.frame_refused(FrameFault::Length);
            self.link.log.closed(self.peer, &error);
            self.ending = Some(ConnectionEnd::Frame);
        }
        if self.inbox.partial() == 0 {
            self.clock.frame_begun = None;
        } else if used > 0 || !was_partial {
            self.clock.frame_begun = Some(now);
        }
        self.gauge_in_flight();
    }

    /// Cuts and takes the frames that have come whole; bytes used, and how it ended.
    fn take_frames(&mut self, now: Instant, port: &mut D::Port) -> (usize, Result<(), FrameError>) {
        let today = self.decider.today();
        let read_at = now.into_std();
        let (link, peer) = (&self.link, self.peer);
        let (session, outbox) = (&mut self.session, &mut self.outbox);
        self.inbox.consume(|bytes| {
            let mut used = 0;
            loop {
                let rest = bytes.get(used..).unwrap_or_default();
                let (tpdu, body, consumed) = match link.framing.cut(rest) {
                    Err(error) => return (used, Err(error)),
                    Ok(Cut::NeedMore { .. }) => return (used, Ok(())),
                    Ok(Cut::KeepAlive { consumed }) => {
                        used += consumed;
                        continue;
                    }
                    Ok(Cut::Frame {
                        tpdu,
                        body,
                        consumed,
                    }) => (tpdu, rest.get(body).unwrap_or_default(), consumed),
                };
                used += consumed;
                let mut taken = session.take(body, tpdu, read_at, today, outbox.room());
                if let Taken::Replied(replied) = &taken
                    && let Some(request) = &replied.request
                {
                    // Not taken, it is sent again, and answered again.
                    let _ = port.submit(OWN_TAG, request);
                }
                if let Taken::Submit(tag, request) = &taken {
                    let Err(why) = port.submit(*tag, request) else {
                        continue;
                    };
                    taken = session.refuse(*tag, why, today, outbox.room());
                }
                note_taken(link, peer, taken);
            }
        })
    }

    /// From now on answers wait for the peer, if there are any and none did.
    fn note_unsent(&mut self) {
        if !self.outbox.is_clear() && self.clock.blocked.is_none() {
            self.clock.blocked = Some(Instant::now());
        }
    }

    fn sent(&mut self, seen: &Io) {
        if seen.sent == 0 && !self.outbox.is_clear() {
            return;
        }
        self.link.metrics.written_bytes.increment(seen.sent as u64);
        if self.outbox.is_clear() {
            self.clock.blocked = None;
        } else if self.has_room() {
            // Slow, but it reads.
            self.clock.blocked = Some(Instant::now());
        }
    }

    /// The next time at which something is due.
    fn deadline(&self) -> Instant {
        let LinkShared {
            idle_timeout,
            frame_timeout,
            slow_reader_timeout,
            ..
        } = *self.link;
        let Clock {
            active,
            frame_begun,
            blocked,
            shrunk,
        } = self.clock;
        let reading = self.ending.is_none();
        let due = [
            blocked.map(|since| since + slow_reader_timeout),
            frame_begun
                .filter(|_| reading)
                .map(|since| since + frame_timeout),
            idle_timeout.filter(|_| reading).map(|idle| active + idle),
            (!shrunk).then(|| active + SHRINK_AFTER),
            self.session
                .attend_at()
                .filter(|_| reading && self.has_room())
                .map(Instant::from_std),
        ];
        due.into_iter()
            .flatten()
            .min()
            .unwrap_or_else(|| active + FAR)
    }

    /// Sets the timer, but only to an earlier time: deadlines mostly move away,
    /// and a timer that fires too early costs less than one set per message.
    fn arm(&self, timer: Pin<&mut Sleep>) {
        let due = self.deadline();
        if timer.is_elapsed() || due < timer.deadline() {
            timer.reset(due);
        }
    }

    fn on_time(&mut self, port: &mut D::Port) -> Result<(), Over> {
        let now = Instant::now();
        let is_due =
            |since: Option<Instant>, limit: Duration| since.is_some_and(|at| at + limit <= now);
        if is_due(self.clock.blocked, self.link.slow_reader_timeout) {
            return Err(Over::SlowReader);
        }
        if is_due(Some(self.clock.active), SHRINK_AFTER) && !self.clock.shrunk {
            self.clock.shrunk = true;
            self.session.shrink();
            self.inbox.shrink();
            self.outbox.shrink();
        }
        if self.ending.is_some() {
            return Ok(());
        }
        if is_due(self.clock.frame_begun, self.link.frame_timeout) {
            self.link.metrics.frame_refused(FrameFault::Timeout);
            let bytes = self.inbox.partial();
            let what = format_args!("{bytes} bytes of a frame came, and then no more");
            self.link.log.closed(self.peer, &what);
            self.ending = Some(ConnectionEnd::Frame);
        } else if let Some(idle) = self.link.idle_timeout
            && is_due(Some(self.clock.active), idle)
        {
            self.ending = Some(ConnectionEnd::Idle);
        } else if self.has_room() {
            self.attend(now, port);
        }
        Ok(())
    }

    /// Sends what this side has to say of itself, if anything is due.
    fn attend(&mut self, now: Instant, port: &mut D::Port) {
        let (link, at) = (Rc::clone(&self.link), now.into_std());
        let mut attended = self.session.attend(at, port.now_us(), self.outbox.room());
        if matches!(attended, Attend::Look) {
            attended = match port.duty(link.network, &link.duties) {
                None => {
                    port.leave_duty();
                    Attend::Nothing
                }
                Some(Duty::Announce(due)) => {
                    let message = Outgoing::announce(due);
                    self.session.send(message, at, self.outbox.room())
                }
                Some(Duty::Reconcile(asked)) => {
                    self.session.send_asked(asked, at, self.outbox.room())
                }
                Some(Duty::Ask) => {
                    let network = link.network;
                    if port
                        .submit(OWN_TAG, &Request::AskReconciliation { network })
                        .is_ok()
                    {
                        self.session.asks();
                        port.flush();
                    }
                    Attend::Nothing
                }
            };
        }
        match attended {
            Attend::Nothing | Attend::Look => {}
            Attend::Sent(message, outcome) => {
                link.metrics.own_message(message, outcome);
                self.note_unsent();
            }
            Attend::Failed(message, note) => {
                link.metrics.own_message(message, OwnOutcome::Failed);
                link.log.warn(self.peer, &note);
                port.leave_duty();
            }
            Attend::GaveUp(message) => {
                link.metrics.own_message(message, OwnOutcome::Unanswered);
                let what = message.as_str();
                let what = format_args!("no answer to our {what}, however often it was sent");
                if message == OwnMessage::Echo {
                    link.log.closed(self.peer, &what);
                    self.ending = Some(ConnectionEnd::NoEcho);
                } else {
                    link.log.warn(self.peer, &what);
                }
                port.leave_duty();
            }
        }
    }

    fn gauge_in_flight(&mut self) {
        let now = self.session.in_flight();
        let gauge = &self.link.metrics.in_flight;
        if now >= self.gauged {
            gauge.increment(f64::from(now - self.gauged));
        } else {
            gauge.decrement(f64::from(self.gauged - now));
        }
        self.gauged = now;
    }

    /// Says good-bye: no more answers come, and what the peer still sends is
    /// thrown away for a moment, lest the system reset the connection and with
    /// it our last answers.
    async fn part<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        end: ConnectionEnd,
    ) {
        let leave = async {
            if stream.shutdown().await.is_err() || end == ConnectionEnd::Closed {
                return;
            }
            let mut thrown_away = 0;
            let mut bytes = [0; 1024];
            while thrown_away < LINGER_BYTES {
                match stream.read(&mut bytes).await {
                    Ok(0) | Err(_) => return,
                    Ok(read) => thrown_away += read,
                }
            }
        };
        // Over either way.
        let _ = timeout(LINGER, leave).await;
    }
}

/// What the socket did.
struct Io {
    /// Bytes that left.
    sent: usize,
    /// Bytes that came, 0 at the end of the stream; `None` if none could.
    read: Option<usize>,
}

/// Sends and reads what can be sent and read. Cancel-safe: it does nothing
/// before it is ready.
async fn io<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    inbox: &mut Inbox,
    outbox: &mut Outbox,
    want_read: bool,
) -> io::Result<Io> {
    poll_fn(|context: &mut Context<'_>| {
        let sent = if outbox.is_clear() {
            None
        } else {
            match outbox.poll_send(stream, context)? {
                Poll::Ready(sent) => Some(sent),
                Poll::Pending => None,
            }
        };
        let read = if want_read {
            match inbox.poll_read(stream, context)? {
                Poll::Ready(read) => Some(read),
                Poll::Pending => None,
            }
        } else {
            None
        };
        if sent.is_none() && read.is_none() {
            return Poll::Pending;
        }
        Poll::Ready(Ok(Io {
            sent: sent.unwrap_or(0),
            read,
        }))
    })
    .await
}
