//! Messages that this side sends of itself to networks: echo, the bank's cutover,
//! its own reconciliation. And their answers.

use gapless_engine::date::Date;
use gapless_engine::ids::{Seq, TimeUs};
use gapless_engine::{Announcement, Asked, Figures, Verdict};
use gapless_iso8583::{BuildError, Message, Mti, Scratch, Version};

use super::Adapter;
use super::fault::Fault;
use super::identity::{number, take_number, text};
use super::reconcile::{date_field, figures, put_currency, put_figures};
use super::tables::{self, Management, RESPONSE_CODE, SETTLEMENT_DATE};

/// What a message of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Whether anybody is there.
    Echo,
    /// The bank has cut over.
    Announce(Announcement),
    /// Our totals of a settlement date, to be compared.
    Reconcile(Asked),
}

/// A message of ours. What it is recognised by follows from its event, so that it
/// is the same one after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// What for.
    pub purpose: Purpose,
    /// DE 11.
    stan: u64,
    /// DE 7, MMDDhhmmss, UTC.
    transmitted: u64,
}

/// What the answer to a message of ours says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Whether the peer does as asked: DE 39.
    pub accepted: bool,
    /// What it says of our figures.
    pub verdict: Option<Verdict>,
    /// Its own figures, as far as it sent them.
    pub theirs: Figures,
}

impl Outgoing {
    /// An echo; `count` makes it another one than the last.
    #[must_use]
    pub fn echo(count: u64, now_us: TimeUs) -> Self {
        Self::new(Purpose::Echo, count, now_us)
    }

    /// The bank's cutover.
    #[must_use]
    pub fn announce(due: Announcement) -> Self {
        Self::new(Purpose::Announce(due), due.seq, due.time_us)
    }

    /// Our reconciliation.
    #[must_use]
    pub fn reconcile(asked: Asked) -> Self {
        Self::new(Purpose::Reconcile(asked), asked.seq, asked.time_us)
    }

    fn new(purpose: Purpose, seq: Seq, time_us: TimeUs) -> Self {
        Self {
            purpose,
            // Six digits, never all zero.
            stan: seq % 999_999 + 1,
            transmitted: transmission(time_us),
        }
    }
}

/// Engine time as DE 7, MMDDhhmmss, UTC.
fn transmission(time_us: TimeUs) -> u64 {
    let seconds = time_us / 1_000_000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (_, month, day) = Date(u16::try_from(days).unwrap_or(u16::MAX)).ymd();
    let time = second / 3_600 * 10_000 + second / 60 % 60 * 100 + second % 60;
    (u64::from(month) * 100 + u64::from(day)) * 1_000_000 + time
}

impl Adapter {
    /// The type of a message of ours: 0800, 0500 (1993: 1804, 1520), or its repeat.
    fn own_mti(&self, purpose: &Purpose, is_repeat: bool) -> Mti {
        let first = match (self.semantics.version, purpose) {
            (Version::V1987, Purpose::Reconcile(_)) => 500,
            (Version::V1987, _) => 800,
            (Version::V1993, Purpose::Reconcile(_)) => 1_520,
            (Version::V1993, _) => 1_804,
        };
        Mti::new(first + u16::from(is_repeat)).unwrap_or(Mti::UNKNOWN)
    }

    /// DE 70, or the function code DE 24 of 1993.
    fn own_code(&self, purpose: &Purpose) -> Option<u64> {
        let version = self.semantics.version;
        match purpose {
            Purpose::Echo => Some(tables::management_code(Management::Echo, version)),
            Purpose::Announce(_) => Some(tables::management_code(Management::Cutover, version)),
            Purpose::Reconcile(_) => tables::reconciliation_code(version),
        }
    }

    /// Appends a message of ours.
    ///
    /// # Errors
    /// The dialect can't say it; nothing was appended.
    pub fn originate(
        &self,
        message: &Outgoing,
        is_repeat: bool,
        out: &mut Vec<u8>,
    ) -> Result<Mti, BuildError> {
        let mti = self.own_mti(&message.purpose, is_repeat);
        let code_field = self.semantics.network_code;
        let code = self.own_code(&message.purpose);
        let mut builder = self.dialect.builder(out, mti);
        builder.number(7, message.transmitted);
        builder.number(11, message.stan);
        let date_field = date_field(self.semantics.version);
        match &message.purpose {
            Purpose::Echo => {}
            Purpose::Announce(due) => {
                let named = if self.rules.cutover_names_ended {
                    due.closed
                } else {
                    due.closed.next()
                };
                self.put_date(&mut builder, SETTLEMENT_DATE, named);
            }
            Purpose::Reconcile(asked) if date_field < code_field => {
                self.put_date(&mut builder, date_field, asked.settlement_date);
            }
            Purpose::Reconcile(_) => {}
        }
        if let Some(code) = code {
            builder.number(code_field, code);
        }
        if let Purpose::Reconcile(asked) = &message.purpose {
            if date_field > code_field {
                self.put_date(&mut builder, date_field, asked.settlement_date);
            }
            put_currency(&mut builder, asked.currency);
            put_figures(&mut builder, &asked.ours);
        }
        builder.finish().map(|_| mti)
    }

    /// Whether a message is the answer to one of ours: by its type, DE 11, and DE 7
    /// and the code (DE 70, or 24 in 1993) as far as it has them, but never by DE 11
    /// alone; a reconciliation's by date and currency as well.
    #[must_use]
    pub fn is_answer(&self, message: &Message<'_>, sent: &Outgoing) -> bool {
        let has = |field, value| number(message, field) == Ok(Some(value));
        let fits = |field, value| !message.has(field) || has(field, value);
        let field = self.semantics.network_code;
        let code = self.own_code(&sent.purpose);
        message.mti() == self.own_mti(&sent.purpose, false).response()
            && has(11, sent.stan)
            && (message.has(7) || (code.is_some() && message.has(field)))
            && fits(7, sent.transmitted)
            && code.is_none_or(|code| fits(field, code))
    }

    /// What the answer to one of ours says.
    ///
    /// # Errors
    /// A field that says nothing that it may say.
    pub fn reply(
        &self,
        message: &Message<'_>,
        sent: &Outgoing,
        scratch: &mut Scratch,
    ) -> Result<Reply, Fault> {
        let code = text(message, RESPONSE_CODE, scratch)?;
        let digits = usize::from(self.semantics.action_code_digits);
        let action = take_number(code, digits)
            .ok_or(Fault::invalid(RESPONSE_CODE))?
            .0;
        let action = u16::try_from(action).unwrap_or(u16::MAX);
        let class = message.mti().class();
        let accepted = match self.semantics.version {
            Version::V1987 => action == 0,
            // Approvals, and the class's own: 5xx, 8xx.
            Version::V1993 => action < 100 || action / 100 == u16::from(class),
        };
        let mut reply = Reply {
            accepted,
            verdict: None,
            theirs: Figures::NONE,
        };
        if let Purpose::Reconcile(_) = sent.purpose {
            reply.theirs = figures(message)?;
            reply.verdict = match (accepted, self.verdict(message, action)?) {
                (false, _) => Some(Verdict::Refused),
                (true, Some(verdict)) => Some(verdict),
                // It says nothing: then its figures do, if there are any.
                (true, None) => (reply.theirs == Figures::NONE).then_some(Verdict::Received),
            };
        }
        Ok(reply)
    }
}
