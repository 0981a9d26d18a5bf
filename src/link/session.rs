//! A session with one peer, without its socket: messages in, answers out.
//!
//! Sans-IO: time comes with each call, answers go to a buffer, and whatever is
//! worth a log line or a count is returned. The connection does the rest.

use std::rc::Rc;
use std::time::{Duration, Instant};

use gapless_engine::code::ResponseCode;
use gapless_engine::command::Request;
use gapless_engine::date::Date;
use gapless_engine::outcome::Outcome;
use gapless_iso8583::{
    BuildError, DecodeError, FrameError, Framing, Message, Mti, Scratch, Tpdu, swap_tpdu,
};

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
    framing: Framing,
    limits: SessionLimits,
    signed: Signed,
    in_flight: InFlight,
    scratch: Scratch,
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
    #[error("format error: {0}")]
    Fault(Fault),
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

impl Session {
    /// A session that has just begun.
    #[must_use]
    pub fn new(adapter: Rc<Adapter>, framing: Framing, limits: SessionLimits) -> Self {
        Self {
            adapter,
            framing,
            limits,
            signed: if limits.sign_on_required {
                Signed::NotYet
            } else {
                Signed::NotNeeded
            },
            in_flight: InFlight::new(limits.max_in_flight),
            scratch: Scratch::new(),
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
        let adapter = Rc::clone(&self.adapter);
        let message = match adapter.dialect().decode(body) {
            Ok(message) => message,
            Err(failure) => {
                let partial = &*failure.partial;
                if !adapter.may_answer(partial) {
                    return Taken::Ignored(Note::Unreadable(failure.error));
                }
                let note = Some(Note::Malformed(failure.error));
                return self.answer(partial, tpdu, ResponseCode::FormatError, note, today, out);
            }
        };
        match adapter.intake(&message, &mut self.scratch) {
            Intake::Engine(request) => {
                let refusal = match self.signed {
                    Signed::NotYet | Signed::Off => Refusal::NotSignedOn,
                    Signed::On | Signed::NotNeeded => {
                        match self.in_flight.insert(body, tpdu, now) {
                            Some(tag) => return Taken::Submit(tag, request),
                            None => Refusal::LinkLimit,
                        }
                    }
                };
                let note = Some(Note::Refused(refusal));
                self.answer(
                    &message,
                    tpdu,
                    ResponseCode::IssuerUnavailable,
                    note,
                    today,
                    out,
                )
            }
            Intake::Management(purpose) => {
                match purpose {
                    Management::SignOn => self.signed = Signed::On,
                    Management::SignOff => self.signed = Signed::Off,
                    Management::Echo => {}
                }
                self.answer(&message, tpdu, ResponseCode::Approved, None, today, out)
            }
            Intake::Answer(refusal) => match refusal.fault {
                Some(fault) if !adapter.may_answer(&message) => Taken::Ignored(Note::NoStan(fault)),
                fault => {
                    let note = fault.map(Note::Fault);
                    self.answer(&message, tpdu, refusal.code, note, today, out)
                }
            },
            Intake::Ignore(why) => Taken::Ignored(Note::NotForUs(why)),
        }
    }

    /// Answers 91 to a request that was not taken after all.
    pub fn refuse(&mut self, tag: u32, why: Refusal, today: Date, out: &mut Vec<u8>) -> Taken {
        let note = Note::Refused(why);
        let Some(waiting) = self.in_flight.take(tag) else {
            return Taken::Ignored(note);
        };
        let adapter = Rc::clone(&self.adapter);
        let taken = match adapter.dialect().decode(&waiting.body) {
            Ok(message) => {
                let code = ResponseCode::IssuerUnavailable;
                self.answer(&message, waiting.tpdu, code, Some(note), today, out)
            }
            // It could be read when it came, and nobody has written to it since.
            Err(failure) => Taken::Ignored(Note::Unreadable(failure.error)),
        };
        self.in_flight.recycle(waiting);
        taken
    }

    /// Answers a request that the engine decided and that is durable.
    pub fn give(&mut self, tag: u32, outcome: &Outcome, now: Instant, out: &mut Vec<u8>) -> Given {
        let Some(waiting) = self.in_flight.take(tag) else {
            return Given::Unknown;
        };
        let waited = now.saturating_duration_since(waiting.read_at);
        let given = if self.limits.answer_limit.is_some_and(|limit| waited > limit) {
            Given::Late(waited)
        } else {
            match self.adapter.dialect().decode(&waiting.body) {
                Ok(message) => {
                    let mti = message.mti();
                    let written = self.write(waiting.tpdu, out, |adapter, out| {
                        adapter.respond(&message, outcome, out)
                    });
                    match written {
                        Ok(code) => Given::Answered { mti, code, waited },
                        Err(error) => Given::Failed(error.into()),
                    }
                }
                Err(failure) => Given::Failed(Note::Unreadable(failure.error)),
            }
        };
        self.in_flight.recycle(waiting);
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
mod tests {
    use std::sync::Arc;

    use gapless_engine::ids::Currency;
    use gapless_iso8583::{Cut, Dialect, LengthForm};

    use super::*;
    use crate::adapter::{PanKeys, Rules};

    const PAN: &str = "9410000000000018";
    const TPDU: Tpdu = [0x60, 0, 1, 0x80, 2];

    fn today() -> Date {
        Date::from_ymd(2026, 11, 22).unwrap()
    }

    fn session(change: impl FnOnce(&mut SessionLimits)) -> Session {
        let mut limits = SessionLimits {
            max_in_flight: 2,
            answer_limit: Some(Duration::from_secs(5)),
            sign_on_required: false,
        };
        change(&mut limits);
        let adapter = Adapter::new(
            Arc::new(PanKeys::from_bytes(&[7; 32])),
            Dialect::builtin("iso87-bcd").unwrap(),
            Rules::own_terminals(Currency(410)),
        );
        let framing = Framing {
            tpdu: true,
            ..Framing::new(LengthForm::Binary2)
        };
        Session::new(Rc::new(adapter), framing, limits)
    }

    fn message(mti: u16, fields: &[(u8, &str)]) -> Vec<u8> {
        let dialect = Dialect::builtin("iso87-bcd").unwrap();
        let mut bytes = Vec::new();
        {
            let mut builder = dialect.builder(&mut bytes, Mti::new(mti).unwrap());
            for (field, text) in fields {
                builder.text(*field, text.as_bytes());
            }
            builder.finish().unwrap();
        }
        bytes
    }

    fn purchase(stan: &str) -> Vec<u8> {
        let fields = [
            (2, PAN),
            (3, "000000"),
            (4, "000000010000"),
            (7, "1122090305"),
            (11, stan),
            (49, "410"),
        ];
        message(200, &fields)
    }

    fn management(code: &str) -> Vec<u8> {
        message(800, &[(7, "1122090305"), (11, "000009"), (70, code)])
    }

    /// Takes a message; the answers' MTI, STAN and DE 39.
    fn exchange(session: &mut Session, body: &[u8]) -> (Taken, Vec<(u16, u64, u64)>) {
        let mut out = Vec::new();
        let taken = session.take(body, Some(TPDU), Instant::now(), today(), &mut out);
        (taken, answers(session, &out))
    }

    fn answers(session: &Session, mut out: &[u8]) -> Vec<(u16, u64, u64)> {
        let mut found = Vec::new();
        while !out.is_empty() {
            let Ok(Cut::Frame {
                tpdu,
                body,
                consumed,
            }) = session.framing.cut(out)
            else {
                panic!("no whole frame in {} bytes", out.len());
            };
            assert_eq!(
                tpdu,
                Some(swap_tpdu(TPDU)),
                "destination and source change places"
            );
            let message = session.adapter.dialect().decode(&out[body]).unwrap();
            let number = |field| message.number(field).unwrap().unwrap();
            found.push((message.mti().value(), number(11), number(39)));
            out = &out[consumed..];
        }
        found
    }

    fn approved() -> Outcome {
        Outcome {
            code: ResponseCode::Approved,
            seq: 1,
            durable_at: 1,
            business_date: today(),
            settlement_date: today(),
            balances: None,
            is_repeat: false,
        }
    }

    fn tag(taken: &Taken) -> u32 {
        match taken {
            Taken::Submit(tag, _) => *tag,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn answers_go_to_their_requests_in_any_order() {
        let mut session = session(|_| {});
        let first = tag(&exchange(&mut session, &purchase("000001")).0);
        let second = tag(&exchange(&mut session, &purchase("000002")).0);
        let mut out = Vec::new();
        let now = Instant::now();
        for tag in [second, first] {
            let given = session.give(tag, &approved(), now, &mut out);
            let Given::Answered { mti, code, .. } = given else {
                panic!("{given:?}");
            };
            assert_eq!((mti.value(), code), (200, ResponseCode::Approved));
        }
        assert_eq!(answers(&session, &out), [(210, 2, 0), (210, 1, 0)]);
        assert_eq!(
            session.give(first, &approved(), now, &mut out),
            Given::Unknown
        );
        assert_eq!(session.in_flight(), 0);
    }

    #[test]
    fn above_the_limit_91_and_no_effect_but_an_echo_is_answered() {
        let mut session = session(|_| {});
        let first = tag(&exchange(&mut session, &purchase("000001")).0);
        exchange(&mut session, &purchase("000002"));
        let (taken, said) = exchange(&mut session, &purchase("000003"));
        assert_eq!(said, [(210, 3, 91)]);
        let Taken::Answered {
            note: Some(note), ..
        } = taken
        else {
            panic!("{taken:?}");
        };
        assert_eq!(note, Note::Refused(Refusal::LinkLimit));
        assert_eq!(exchange(&mut session, &management("301")).1, [(810, 9, 0)]);

        let mut out = Vec::new();
        session.give(first, &approved(), Instant::now(), &mut out);
        tag(&exchange(&mut session, &purchase("000004")).0);
    }

    #[test]
    fn refused_behind_the_door_91_and_the_place_is_free_again() {
        let mut session = session(|limits| limits.max_in_flight = 1);
        let first = tag(&exchange(&mut session, &purchase("000001")).0);
        let mut out = Vec::new();
        session.refuse(first, Refusal::Busy, today(), &mut out);
        assert_eq!(answers(&session, &out), [(210, 1, 91)]);
        tag(&exchange(&mut session, &purchase("000002")).0);
    }

    #[test]
    fn a_late_answer_is_kept_back() {
        let mut session = session(|_| {});
        let began = Instant::now();
        let mut out = Vec::new();
        for (waited_ms, late) in [(5_000, false), (5_001, true)] {
            let taken = session.take(&purchase("000001"), None, began, today(), &mut out);
            let now = began + Duration::from_millis(waited_ms);
            let given = session.give(tag(&taken), &approved(), now, &mut out);
            assert_eq!(matches!(given, Given::Late(_)), late, "{given:?}");
            assert_eq!(out.is_empty(), late);
            out.clear();
        }
    }

    #[test]
    fn sign_on_where_it_is_required_and_sign_off_anywhere() {
        for (required, steps) in [
            (
                true,
                &[
                    ("200", 91),
                    ("001", 0),
                    ("200", -1),
                    ("002", 0),
                    ("200", 91),
                ][..],
            ),
            (true, &[("301", 0), ("200", 91)]),
            (
                false,
                &[
                    ("200", -1),
                    ("002", 0),
                    ("200", 91),
                    ("001", 0),
                    ("200", -1),
                ],
            ),
        ] {
            let mut session = session(|limits| limits.sign_on_required = required);
            for (step, expected) in steps {
                let body = match *step {
                    "200" => purchase("000009"),
                    code => management(code),
                };
                let (taken, said) = exchange(&mut session, &body);
                if *expected < 0 {
                    tag(&taken);
                } else {
                    assert_eq!(said.len(), 1);
                    assert_eq!(said[0].2 as i32, *expected, "{step} of {steps:?}");
                }
            }
        }
    }

    #[test]
    fn bad_messages_are_answered_if_they_can_be_matched() {
        let mut session = session(|_| {});
        let whole = purchase("000001");
        for (what, body, said, note) in [
            (
                "cut behind the STAN",
                &whole[..whole.len() - 1],
                &[(210, 1, 30)][..],
                "malformed: DE 49",
            ),
            (
                "cut before it",
                &whole[..20],
                &[],
                "malformed, and can't be answered: DE ",
            ),
            (
                "no message at all",
                b"GET / HTTP/1.1",
                &[],
                "malformed, and can't be answered: ",
            ),
            (
                "an answer",
                &message(210, &[(11, "000001")]),
                &[],
                "a response to nothing that was asked",
            ),
            (
                "no STAN",
                &message(200, &[(3, "000000")]),
                &[],
                "can't be answered: DE ",
            ),
            (
                "no DE 3",
                &message(200, &[(11, "000001")]),
                &[(210, 1, 30)],
                "format error: DE 3: missing",
            ),
        ] {
            let (taken, answered) = exchange(&mut session, body);
            assert_eq!(answered, said, "{what}");
            let shown = match taken {
                Taken::Answered {
                    note: Some(note), ..
                }
                | Taken::Ignored(note) => note.to_string(),
                other => panic!("{what}: {other:?}"),
            };
            assert!(shown.starts_with(note), "{what}: {shown}");
            assert!(!shown.contains("941000"), "{what}: {shown}");
        }
        assert_eq!(session.in_flight(), 0);
    }
}
