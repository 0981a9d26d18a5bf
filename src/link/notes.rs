//! What is counted and logged of messages that came and of answers that left.

use std::net::SocketAddr;
use std::time::Duration;

use gapless_engine::code::ResponseCode;
use gapless_iso8583::Mti;

use super::connection::LinkShared;
use super::session::{Given, Note, Taken};
use crate::telemetry::{FrameFault, KeptBack, OwnOutcome};

/// Counts and logs what became of outcomes. Answers that are alike, as those to what
/// one read brought mostly are, are counted together: at [`Self::end`].
pub(super) struct GivenNotes<'l> {
    link: &'l LinkShared,
    peer: SocketAddr,
    alike: Option<(Mti, ResponseCode, Duration)>,
    count: u64,
}

impl<'l> GivenNotes<'l> {
    pub(super) const fn new(link: &'l LinkShared, peer: SocketAddr) -> Self {
        Self {
            link,
            peer,
            alike: None,
            count: 0,
        }
    }

    pub(super) fn note(&mut self, given: Given) {
        let LinkShared { metrics, log, .. } = self.link;
        match given {
            Given::Answered { mti, code, waited } => {
                let answer = Some((mti, code, waited));
                if self.alike != answer {
                    self.tell();
                    self.alike = answer;
                }
                self.count += 1;
            }
            Given::Late(waited) => {
                metrics.kept_back(KeptBack::Late);
                let late_ms = waited.as_millis();
                log.warn(
                    self.peer,
                    &format_args!("an answer came after {late_ms} ms: kept back"),
                );
            }
            Given::Failed(note) => log.warn(self.peer, &note),
            Given::Unknown => {}
        }
    }

    fn tell(&mut self) {
        if let Some((mti, code, waited)) = self.alike.take() {
            let answers = std::mem::take(&mut self.count);
            let metrics = &self.link.metrics;
            metrics.answered_some(mti.value(), code.number(), answers);
            metrics
                .answer_seconds
                .record_some(waited.as_secs_f64(), answers);
        }
    }

    pub(super) fn end(mut self) {
        self.tell();
    }
}

/// Counts and logs what became of a message that came.
pub(super) fn note_taken(link: &LinkShared, peer: SocketAddr, taken: Taken) {
    let LinkShared { metrics, log, .. } = link;
    let note = match taken {
        Taken::Submit(..) => return,
        Taken::Replied(replied) => {
            let (message, outcome) = (replied.message, replied.outcome);
            metrics.own_message(message, outcome);
            if outcome != OwnOutcome::Accepted {
                let (message, outcome) = (message.as_str(), outcome.as_str());
                log.warn(
                    peer,
                    &format_args!("the answer to our {message}: {outcome}"),
                );
            }
            return;
        }
        Taken::Answered { mti, code, note } => {
            metrics.answered(mti.value(), code.number());
            match note {
                Some(note) => note,
                None => return,
            }
        }
        Taken::Ignored(note) => note,
    };
    match note {
        Note::Malformed(_) | Note::Fault { .. } => metrics.frame_refused(FrameFault::Format),
        Note::Unreadable(_) | Note::NoStan(_) => metrics.frame_refused(FrameFault::Unreadable),
        Note::NotForUs(_) => metrics.frame_refused(FrameFault::Unexpected),
        Note::Refused(why) => metrics.refused(why),
        Note::Unsayable(_) | Note::Unframed(_) => {}
    }
    log.warn(peer, &note);
}
