//! What a session sends of itself: echo on a quiet link, the bank's cutover, our
//! reconciliation. One message at a time, its repeats, and its answer.

use std::time::{Duration, Instant};

use gapless_engine::command::Request;
use gapless_engine::ids::{NetworkId, TimeUs};
use gapless_engine::{Asked, Verdict};
use gapless_iso8583::{Message, Tpdu};

use super::{Note, Session, Signed};
use crate::adapter::{Outgoing, Purpose, Reply};
use crate::telemetry::{OwnMessage, OwnOutcome};

/// An original and three repeats (FIELD.md, "Network management": NCHL).
const ATTEMPTS: u8 = 4;
/// How often it is looked whether the network is owed something.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a peer that did not answer is left alone with it.
const REST: Duration = Duration::from_secs(60);
/// Addresses of a TPDU where the peer has shown none yet.
const NO_TPDU: Tpdu = [0x60, 0, 0, 0, 0];

/// What a network's profile asks of this side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Duties {
    /// The bank's cutover is announced.
    pub announce: bool,
    /// The network's ended settlement dates are reconciled by us.
    pub reconcile: bool,
    /// After so long without a message from the peer it is asked whether it is there.
    pub echo_after: Option<Duration>,
    /// An answer is waited for so long before the message is repeated.
    pub reply_wait: Duration,
}

impl Duties {
    const fn looks(&self) -> bool {
        self.announce || self.reconcile
    }
}

/// What this side sends, and what it waits for.
#[derive(Debug)]
pub(super) struct Own {
    duties: Duties,
    sent: Option<Sent>,
    heard_at: Instant,
    look_at: Instant,
    echoes: u64,
    /// The question that this session has just had journaled: its first sending is
    /// no repeat. One that it found may have been sent by another, or before a restart.
    asks: bool,
    tpdu: Option<Tpdu>,
}

#[derive(Debug)]
struct Sent {
    message: Outgoing,
    at: Instant,
    attempts: u8,
}

/// What a look at the clock came to.
#[derive(Debug)]
pub enum Attend {
    /// Nothing is due.
    Nothing,
    /// A message of ours is in the buffer.
    Sent(OwnMessage, OwnOutcome),
    /// It can't be said in this dialect.
    Failed(OwnMessage, Note),
    /// No answer came to any attempt. After an echo the link is down.
    GaveUp(OwnMessage),
    /// Whether the network is owed something: ask, and [`Session::send`] it.
    Look,
}

/// The answer to a message of ours.
#[derive(Debug)]
pub struct Replied {
    /// To what.
    pub message: OwnMessage,
    /// What it said.
    pub outcome: OwnOutcome,
    /// What is to be journaled of it.
    pub request: Option<Request>,
}

fn kind(purpose: &Purpose) -> OwnMessage {
    match purpose {
        Purpose::Echo => OwnMessage::Echo,
        Purpose::Announce(_) => OwnMessage::Cutover,
        Purpose::Reconcile(_) => OwnMessage::Reconciliation,
    }
}

impl Own {
    pub(super) fn none() -> Self {
        let now = Instant::now();
        Self {
            duties: Duties::default(),
            sent: None,
            heard_at: now,
            look_at: now,
            echoes: 0,
            asks: false,
            tpdu: None,
        }
    }

    /// A message has come.
    pub(super) fn heard(&mut self, tpdu: Option<Tpdu>, now: Instant) {
        self.heard_at = now;
        self.tpdu = tpdu;
    }

    /// The peer signs on or off: what is owed is looked for at once, and what was
    /// sent is sent again.
    pub(super) fn signed(&mut self, now: Instant) {
        self.sent = None;
        self.asks = false;
        self.look_at = now;
        self.heard_at = now;
    }

    /// Whether a response may be the answer to something.
    pub(super) const fn waits(&self) -> bool {
        self.sent.is_some()
    }
}

impl Session {
    /// With what the network's profile asks of this side.
    #[must_use]
    pub fn with_duties(mut self, duties: Duties, now: Instant) -> Self {
        self.own.duties = duties;
        self.own.signed(now);
        self
    }

    /// What the network's profile asks of this side.
    #[must_use]
    pub const fn duties(&self) -> &Duties {
        &self.own.duties
    }

    /// Whether transactions may come and messages of our own may go: the peer is
    /// signed on, or need not be.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.signed, Signed::On | Signed::NotNeeded)
    }

    /// When to [`attend`](Session::attend) next; `None`: there is no need to.
    #[must_use]
    pub fn attend_at(&self) -> Option<Instant> {
        let Own {
            duties,
            sent,
            heard_at,
            look_at,
            ..
        } = &self.own;
        if !self.is_open() {
            return None;
        }
        if let Some(sent) = sent {
            return Some(sent.at + duties.reply_wait);
        }
        let echo = duties.echo_after.map(|after| *heard_at + after);
        let look = duties.looks().then_some(*look_at);
        echo.into_iter().chain(look).min()
    }

    /// Does what is due at `now`; `time_us` is engine time, for DE 7.
    pub fn attend(&mut self, now: Instant, time_us: TimeUs, out: &mut Vec<u8>) -> Attend {
        if self.attend_at().is_none_or(|due| now < due) {
            return Attend::Nothing;
        }
        if let Some(sent) = &mut self.own.sent {
            let kind = kind(&sent.message.purpose);
            if kind == OwnMessage::Echo && self.own.heard_at > sent.at {
                // Somebody is there, whatever became of the echo.
                self.own.sent = None;
                return Attend::Nothing;
            }
            if sent.attempts >= ATTEMPTS {
                self.own.sent = None;
                self.own.look_at = now + REST;
                return Attend::GaveUp(kind);
            }
            sent.attempts += 1;
            sent.at = now;
            let message = sent.message;
            return self.put(&message, true, out);
        }
        if self.own.duties.looks() && now >= self.own.look_at {
            self.own.look_at = now + LOOK_EVERY;
            return Attend::Look;
        }
        self.own.echoes = self.own.echoes.wrapping_add(1);
        self.send(Outgoing::echo(self.own.echoes, time_us), now, out)
    }

    /// Looks again at once whether the network is owed something.
    pub fn look_again(&mut self, now: Instant) {
        self.own.look_at = now;
    }

    /// The next question was journaled for this session: it has not been sent before.
    pub fn asks(&mut self) {
        self.own.asks = true;
    }

    /// Sends the question that is open: as a repeat, unless this session made it.
    pub fn send_asked(&mut self, asked: Asked, now: Instant, out: &mut Vec<u8>) -> Attend {
        let is_repeat = !std::mem::take(&mut self.own.asks);
        self.begin(Outgoing::reconcile(asked), is_repeat, now, out)
    }

    /// Sends a message of ours, and waits for its answer.
    pub fn send(&mut self, message: Outgoing, now: Instant, out: &mut Vec<u8>) -> Attend {
        self.begin(message, false, now, out)
    }

    fn begin(
        &mut self,
        message: Outgoing,
        is_repeat: bool,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Attend {
        let attended = self.put(&message, is_repeat, out);
        if matches!(attended, Attend::Failed(..)) {
            self.own.look_at = now + REST;
            self.own.heard_at = now;
        } else {
            self.own.sent = Some(Sent {
                message,
                at: now,
                attempts: 1,
            });
        }
        attended
    }

    fn put(&self, message: &Outgoing, is_repeat: bool, out: &mut Vec<u8>) -> Attend {
        let kind = kind(&message.purpose);
        let tpdu = self.framing.tpdu.then(|| self.own.tpdu.unwrap_or(NO_TPDU));
        let written = self.write(tpdu, out, |adapter, out| {
            adapter.originate(message, is_repeat, out)
        });
        match written {
            Ok(_) if is_repeat => Attend::Sent(kind, OwnOutcome::Repeated),
            Ok(_) => Attend::Sent(kind, OwnOutcome::Sent),
            Err(error) => Attend::Failed(kind, error.into()),
        }
    }

    /// Takes a response, if it is the answer to what was sent.
    pub(super) fn replied(&mut self, message: &Message<'_>, now: Instant) -> Option<Replied> {
        let sent = self.own.sent.as_ref()?;
        if !self.adapter.is_answer(message, &sent.message) {
            return None;
        }
        let reply = self
            .adapter
            .reply(message, &sent.message, &mut self.scratch);
        let Ok(reply) = reply else {
            // An answer that says nothing sensible is as good as none: a repeat follows.
            return Some(Replied {
                message: kind(&sent.message.purpose),
                outcome: OwnOutcome::Malformed,
                request: None,
            });
        };
        let purpose = sent.message.purpose;
        self.own.sent = None;
        self.own.look_at = now;
        let network = self.adapter.network();
        Some(Replied {
            message: kind(&purpose),
            outcome: outcome(&reply),
            request: request(network, &purpose, &reply),
        })
    }
}

const fn outcome(reply: &Reply) -> OwnOutcome {
    match (reply.accepted, reply.verdict) {
        (false, _) => OwnOutcome::Refused,
        (true, Some(Verdict::OutOfBalance)) => OwnOutcome::OutOfBalance,
        (true, _) => OwnOutcome::Accepted,
    }
}

/// What is journaled of an answer. A refused announcement is told in the log, and
/// not made again.
fn request(network: NetworkId, purpose: &Purpose, reply: &Reply) -> Option<Request> {
    match purpose {
        Purpose::Echo => None,
        Purpose::Announce(due) => Some(Request::CutoverAnnounced {
            network,
            closed: due.closed,
        }),
        Purpose::Reconcile(asked) => Some(Request::ReconciliationAnswered {
            network,
            asked: asked.seq,
            verdict: reply.verdict,
            theirs: reply.theirs,
        }),
    }
}
