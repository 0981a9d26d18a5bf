//! A session with one peer, without its socket: messages in, answers out.
//!
//! Sans-IO: time comes with each call, answers go to a buffer, and whatever is
//! worth a log line or a count is returned. The connection does the rest.

mod own;

use std::rc::Rc;
use std::time::{Duration, Instant};

use gapless_engine::Reconciliation;
use gapless_engine::code::ResponseCode;
use gapless_engine::command::Request;
use gapless_engine::date::Date;
use gapless_engine::ids::Seq;
use gapless_engine::outcome::Outcome;
use gapless_iso8583::{
    BuildError, DecodeError, FrameError, Framing, Message, Mti, Scratch, Tpdu, swap_tpdu,
};

pub use self::own::{Attend, Duties, Replied};
use super::in_flight::InFlight;
use crate::adapter::{Adapter, Fault, Ignored, Intake, Management};
use crate::telemetry::Refusal;

/// What a session takes from the link's configuration.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// Most requests that wait for their answers; further ones are refused with 91.
    pub max_in_flight: u32,
    /// An answer later than this after its request was read is kept back.
    pub answer_limit: Option<Duration>,
    /// Whether an 0800 sign-on must come before anything else.
    pub sign_on_required: bool,
}

/// Whether transactions may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signed {
    /// The peer has said nothing, and need not.
    NotNeeded,
    /// The peer must sign on first.
    NotYet,
    On,
    Off,
}

/// A session with one peer.
#[derive(Debug)]
pub struct Session {
    adapter: Rc<Adapter>,
    /// For answers.
    framing: Framing,
    limits: SessionLimits,
    signed: Signed,
    in_flight: InFlight,
    scratch: Scratch,
    own: own::Own,
}

/// What became of a message.
#[derive(Debug)]
pub enum Taken {
    /// It waits under this tag: the engine must decide.
    Submit(u32, Request),
    /// Its answer is in the buffer.
    Answered {
        /// The message's type.
        mti: Mti,
        /// DE 39.
        code: ResponseCode,
        /// What is worth a log line.
        note: Option<Note>,
    },
    /// It answers a message of ours.
    Replied(Replied),
    /// It gets no answer.
    Ignored(Note),
}

/// What is worth a log line or a count. Says where, never what stood there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Note {
    /// It could not be read to its end.
    #[error("malformed: {0}")]
    Malformed(DecodeError),
    /// As [`Note::Malformed`], and not even type and STAN could be read.
    #[error("malformed, and can't be answered: {0}")]
    Unreadable(DecodeError),
    /// It could be read, but a field is missing or impossible.
    #[error("format error: DE {}{}: {}", fault.field, at(*offset), fault.what)]
    Fault {
        /// The field, and what is wrong with it.
        fault: Fault,
        /// Where its value begins in the message, if it is there.
        offset: Option<usize>,
    },
    /// It has no STAN to match an answer by.
    #[error("can't be answered: {0}")]
    NoStan(Fault),
    /// It needs no answer.
    #[error("{0}")]
    NotForUs(Ignored),
    /// Refused at the door: 91 and no effect.
    #[error("refused: {}", .0.as_str())]
    Refused(Refusal),
    /// The dialect has no way to say the answer.
    #[error("the answer can't be built: {0}")]
    Unsayable(BuildError),
    /// The answer is longer than the framing allows.
    #[error("the answer can't be framed: {0}")]
    Unframed(FrameError),
}

fn at(offset: Option<usize>) -> String {
    offset.map_or_else(String::new, |offset| format!(", offset {offset}"))
}

/// What became of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// Its answer is in the buffer.
    Answered {
        /// The request's type.
        mti: Mti,
        /// DE 39.
        code: ResponseCode,
        /// From reading the request to now.
        waited: Duration,
    },
    /// Kept back: the peer has given up by now, and its reversal is on its way.
    Late(Duration),
    /// It can't be answered, though its effect stays.
    Failed(Note),
    /// Nobody waits under this tag.
    Unknown,
}

/// Why nothing was written.
enum WriteError {
    Build(BuildError),
    Frame(FrameError),
}

impl From<WriteError> for Note {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Build(error) => Self::Unsayable(error),
            WriteError::Frame(error) => Self::Unframed(error),
        }
    }
}

/// What an answer may have beyond its request: a second bitmap, DE 15, 38, 39 and
/// 54, or all figures of a reconciliation. The limit of the configuration is for what a peer sends.
const ANSWER_GROWTH_BYTES: usize = 512;

/// Second digit of the MTI.
const RECONCILIATION: u8 = 5;

impl Session {
    /// A session that has just begun.
    #[must_use]
    pub fn new(adapter: Rc<Adapter>, framing: Framing, limits: SessionLimits) -> Self {
        Self {
            adapter,
            framing: Framing {
                max_frame_bytes: framing.max_frame_bytes.saturating_add(ANSWER_GROWTH_BYTES),
                ..framing
            },
            limits,
            signed: if limits.sign_on_required {
                Signed::NotYet
            } else {
                Signed::NotNeeded
            },
            in_flight: InFlight::new(limits.max_in_flight),
            scratch: Scratch::new(),
            own: own::Own::none(),
        }
    }

    /// Takes one message (a frame's body). `today` is the date that a
    /// transaction would take now; answers that the engine has no part in
    /// carry it.
    pub fn take(
        &mut self,
        body: &[u8],
        tpdu: Option<Tpdu>,
        now: Instant,
        today: Date,
        out: &mut Vec<u8>,
    ) -> Taken {
        self.own.heard(tpdu, now);
        let adapter = Rc::clone(&self.adapter);
        let mut message = Message::default();
        if let Err(failure) = adapter.dialect().decode_into(body, &mut message) {
            let partial = &*failure.partial;
            if !adapter.may_answer(partial) {
                return Taken::Ignored(Note::Unreadable(failure.error));
            }
            let note = Some(Note::Malformed(failure.error));
            return self.answer(partial, tpdu, ResponseCode::FormatError, note, today, out);
        }
        if self.own.waits()
            && message.mti().is_response()
            && let Some(replied) = self.replied(&message, now)
        {
            return Taken::Replied(replied);
        }
        match adapter.intake(&message, &mut self.scratch) {
            Intake::Engine(request) => self.submit(&message, tpdu, now, request, today, out),
            Intake::NetworkCutover(cutover) => match cutover.request(today) {
                Some(request) => self.submit(&message, tpdu, now, request, today, out),
                // A day that is none is as wrong as one that is missing.
                None => {
                    let code = ResponseCode::FormatError;
                    self.answer(&message, tpdu, code, None, today, out)
                }
            },
            Intake::Management(purpose) => {
                self.sign(purpose, now);
                self.answer(&message, tpdu, ResponseCode::Approved, None, today, out)
            }
            Intake::Answer(refusal) => match refusal.fault {
                Some(fault) if !adapter.may_answer(&message) => Taken::Ignored(Note::NoStan(fault)),
                fault => {
                    let note = fault.map(|fault| Note::Fault {
                        fault,
                        offset: message.offset(fault.field),
                    });
                    self.answer(&message, tpdu, refusal.code, note, today, out)
                }
            },
            Intake::Ignore(why) => Taken::Ignored(Note::NotForUs(why)),
        }
    }

    /// Keeps a message until its request is decided, or refuses it at the door.
    #[inline(always)]
    fn submit(
        &mut self,
        message: &Message<'_>,
        tpdu: Option<Tpdu>,
        now: Instant,
        request: Request,
        today: Date,
        out: &mut Vec<u8>,
    ) -> Taken {
        let refusal = if !self.is_open() {
            Refusal::NotSignedOn
        } else if let Some(tag) = self.in_flight.insert(message, tpdu, now) {
            return Taken::Submit(tag, request);
        } else {
            Refusal::LinkLimit
        };
        let (code, note) = (ResponseCode::IssuerUnavailable, Note::Refused(refusal));
        self.answer(message, tpdu, code, Some(note), today, out)
    }

    fn sign(&mut self, purpose: Management, now: Instant) {
        self.signed = match purpose {
            Management::SignOn => Signed::On,
            Management::SignOff => Signed::Off,
            Management::Echo | Management::Cutover => return,
        };
        self.own.signed(now);
    }

    /// Answers 91 to a request that was not taken after all.
    pub fn refuse(&mut self, tag: u32, why: Refusal, today: Date, out: &mut Vec<u8>) -> Taken {
        let note = Note::Refused(why);
        let Some(waiting) = self.in_flight.get(tag) else {
            return Taken::Ignored(note);
        };
        let (message, code) = (waiting.message(), ResponseCode::IssuerUnavailable);
        let taken = self.answer(&message, waiting.tpdu, code, Some(note), today, out);
        self.in_flight.remove(tag);
        taken
    }

    /// As [`Session::give_with`], where no reconciliations can come.
    pub fn give(&mut self, tag: u32, outcome: &Outcome, now: Instant, out: &mut Vec<u8>) -> Given {
        self.give_with(tag, outcome, now, out, |_| None)
    }

    /// Answers a request that the engine decided and that is durable.
    /// `reconciliation` finds what a reconciliation came to, by its sequence.
    pub fn give_with(
        &mut self,
        tag: u32,
        outcome: &Outcome,
        now: Instant,
        out: &mut Vec<u8>,
        reconciliation: impl FnOnce(Seq) -> Option<Reconciliation>,
    ) -> Given {
        let Some(waiting) = self.in_flight.get(tag) else {
            return Given::Unknown;
        };
        let waited = now.saturating_duration_since(waiting.read_at);
        let given = if self.limits.answer_limit.is_some_and(|limit| waited > limit) {
            Given::Late(waited)
        } else {
            let message = waiting.message();
            let mti = message.mti();
            let written = self.write(waiting.tpdu, out, |adapter, out| {
                if mti.class() == RECONCILIATION && outcome.code.is_approved() {
                    return match reconciliation(outcome.seq) {
                        Some(done) => adapter.respond_reconciled(&message, &done, out),
                        // Forgotten since: 64 others of this network came.
                        None => adapter
                            .answer(
                                &message,
                                ResponseCode::Malfunction,
                                outcome.settlement_date,
                                out,
                            )
                            .map(|()| ResponseCode::Malfunction),
                    };
                }
                adapter.respond(&message, outcome, out)
            });
            match written {
                Ok(code) => Given::Answered { mti, code, waited },
                Err(error) => Given::Failed(error.into()),
            }
        };
        self.in_flight.remove(tag);
        given
    }

    /// Requests that wait for their answers.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.len()
    }

    /// Gives memory back that an idle session does not need.
    pub fn shrink(&mut self) {
        self.in_flight.shrink();
        self.scratch = Scratch::new();
    }

    fn answer(
        &self,
        request: &Message<'_>,
        tpdu: Option<Tpdu>,
        code: ResponseCode,
        note: Option<Note>,
        today: Date,
        out: &mut Vec<u8>,
    ) -> Taken {
        let written = self.write(tpdu, out, |adapter, out| {
            adapter.answer(request, code, today, out)
        });
        match written {
            Ok(()) => Taken::Answered {
                mti: request.mti(),
                code,
                note,
            },
            Err(error) => Taken::Ignored(error.into()),
        }
    }

    /// Writes one frame, or nothing.
    fn write<T>(
        &self,
        tpdu: Option<Tpdu>,
        out: &mut Vec<u8>,
        body: impl FnOnce(&Adapter, &mut Vec<u8>) -> Result<T, BuildError>,
    ) -> Result<T, WriteError> {
        let mark = self.framing.begin(out, tpdu.map(swap_tpdu));
        match body(&self.adapter, out) {
            Ok(said) => match self.framing.end(out, mark) {
                Ok(()) => Ok(said),
                Err(error) => {
                    out.truncate(mark.start());
                    Err(WriteError::Frame(error))
                }
            },
            Err(error) => {
                out.truncate(mark.start());
                Err(WriteError::Build(error))
            }
        }
    }
}

#[cfg(test)]
mod own_tests;
#[cfg(test)]
mod tests;
