//! What comes from the host: answers, and messages of its own.

use std::time::{Duration, Instant};

use jiff::civil::Date;

use super::item::{Counted, Job, Key, Undoes, key_of_answer};
use super::{Held, Line, Session, TOTALS_PATIENCE};
use crate::fields::FieldError;
use crate::message::Message;
use crate::network::book::Figures;
use crate::network::clerk::{answer, mmdd};
use crate::network::event::{Event, Reconciled};
use crate::network::traffic::Fate;

const APPROVED: &str = "00";
/// Not now: send it again later.
const TRY_AGAIN: [&str; 2] = ["91", "96"];

impl Session {
    /// Takes a message from the host.
    pub fn received(&mut self, now: Instant, message: &Message) {
        let function = message.mti().chars().nth(2);
        if matches!(function, Some('0' | '2')) {
            return self.host_begins(now, message);
        }
        let found = key_of_answer(message).filter(|key| {
            self.waiting
                .get(key)
                .is_some_and(|item| item.stored.message.is_answered_by(message).is_ok())
        });
        match found {
            Some(key) => {
                self.counts.answer(now);
                if self.quiet {
                    self.counts.pause();
                }
                self.settle(now, key, message);
            }
            // To something that was given up, or has been answered.
            None => self.counts.report.extra_answers += 1,
        }
    }

    fn settle(&mut self, now: Instant, key: Key, message: &Message) {
        let Some(item) = self.waiting.get_mut(&key) else {
            return;
        };
        let code = message.response_code().unwrap_or_default().to_owned();
        let approval = message.get(38).map(str::to_owned);
        item.answers_due = item.answers_due.saturating_sub(1);
        let more_to_come = item.answers_due > 0;
        if let Some((first, first_approval)) = &item.settled {
            let same = *first == code && *first_approval == approval;
            let mti = item.stored.message.mti().to_owned();
            self.counts.report.extra_answers += 1;
            if !more_to_come {
                self.waiting.remove(&key);
            }
            if !same {
                self.problem(format!("a repeat ({mti}) got another answer: {code}"));
            }
            return;
        }
        let must_arrive = matches!(item.stored.job, Job::Advice(..) | Job::Reversal(_));
        if must_arrive && TRY_AGAIN.contains(&code.as_str()) {
            // It stays, and is sent again when it is due.
            item.answers_due = 0;
            return;
        }
        item.settled = Some((code.clone(), approval.clone()));
        let job = item.stored.job.clone();
        let date = item.stored.date;
        let original = item.stored.message.clone();
        let latency = now.saturating_duration_since(item.first_sent);
        if item.forwarded {
            item.forwarded = false;
            self.forwarding = self.forwarding.saturating_sub(1);
            self.forwarded += 1;
            self.counts.report.stand_in.forwarded += 1;
            self.tell_forwarded();
        }
        if !more_to_come {
            self.waiting.remove(&key);
        }
        self.closed(date, &job);
        match job {
            Job::Request(counted, fate) => {
                self.answered(counted, &code, latency);
                if code == APPROVED {
                    self.same_date(date, message);
                    self.approved(now, date, counted, fate, (&original, approval));
                }
            }
            Job::Advice(counted, fate) if code == APPROVED => {
                self.same_date(date, message);
                self.approved(now, date, counted, fate, (&original, approval));
            }
            Job::Reversal(undoes) if code == APPROVED => {
                if let Undoes::Counted(counted) = undoes {
                    let figures = self.figures(date, &original);
                    figures.count_reversal(counted.kind, counted.minor);
                }
            }
            Job::Advice(..) | Job::Reversal(_) => {
                self.problem(format!("{} was answered {code}", original.mti()));
            }
            other => self.managed(now, other, date, &code, message),
        }
    }

    fn answered(&mut self, counted: Counted, code: &str, latency: Duration) {
        self.counts.transaction(code, latency);
        self.events.push(Event::Answered {
            kind: counted.kind,
            code: code.to_owned(),
            latency,
        });
    }

    fn approved(
        &mut self,
        now: Instant,
        date: Date,
        counted: Counted,
        fate: Fate,
        (original, approval): (&Message, Option<String>),
    ) {
        let figures = self.figures(date, original);
        figures.count(counted.kind, counted.minor);
        match fate {
            Fate::Stands | Fate::Impatient => {}
            Fate::ReversedFirst => {
                self.problem("approved, though its reversal had come first".to_owned());
            }
            Fate::Cancelled => {
                self.counts.report.sent.reversals += 1;
                let undoes = Undoes::Counted(counted);
                self.reverse(now, original, approval.as_deref(), undoes);
            }
            Fate::CancelledLate => self.held.push(Held {
                original: original.clone(),
                approval,
                counted,
            }),
        }
    }

    /// The figures that a message of that date counts in. They are to be compared
    /// again if they have been.
    fn figures(&mut self, date: Date, message: &Message) -> &mut Figures {
        self.memory.reconciled.remove(&date);
        let currency = message.get(49).unwrap_or_default();
        self.memory.books.of_mut(date, currency)
    }

    /// The host must settle on the date that we named.
    fn same_date(&mut self, date: Date, answer: &Message) {
        let (ours, theirs) = (mmdd(date), answer.get(15).unwrap_or("none"));
        if ours != theirs {
            self.problem(format!(
                "{} settles on {theirs}, not on {ours}",
                answer.mti()
            ));
        }
    }

    /// The store is empty, and all of it has been acknowledged.
    fn tell_forwarded(&mut self) {
        if self.stored.is_empty() && self.forwarding == 0 {
            let advices = std::mem::take(&mut self.forwarded);
            self.events.push(Event::Forwarded { advices });
        }
    }

    fn managed(&mut self, now: Instant, job: Job, date: Date, code: &str, answer: &Message) {
        match job {
            Job::SignOn if code == APPROVED => {
                self.line = Line::Up;
                self.next_echo = Some(now + self.profile.echo_every);
                self.events.push(Event::SignedOn);
            }
            Job::SignOn => {
                self.problem(format!("the sign-on was answered {code}"));
                self.hang_up = Some("no sign-on".to_owned());
            }
            Job::SignOff => self.signed_off = true,
            Job::Totals(currency, ours) => {
                let reconciled = Reconciled {
                    date,
                    currency,
                    ours,
                    response_code: Some(code.to_owned()),
                    settlement_code: answer.get(66).map(str::to_owned),
                    differences: ours.differences(answer),
                };
                self.reconciled(reconciled);
            }
            _ if code == APPROVED => {}
            other => self.problem(format!("{other:?} was answered {code}")),
        }
    }

    fn reconciled(&mut self, one: Reconciled) {
        self.events.push(Event::Reconciled(Box::new(one.clone())));
        self.counts.report.reconciled.push(one);
    }

    /// A message of the host's own.
    fn host_begins(&mut self, now: Instant, message: &Message) {
        match message.mti().get(..2) {
            Some("08") => {
                if message.get(70) == Some("201") {
                    self.events.push(Event::HostCutOver {
                        named: message.get(15).map(str::to_owned),
                    });
                }
                self.reply(answer(message, APPROVED));
            }
            Some("05") => self.host_asks.push((now, message.clone())),
            _ => {
                self.problem(format!("the host sent a {}", message.mti()));
                self.reply(answer(message, "12"));
            }
        }
    }

    fn reply(&mut self, made: Result<Message, FieldError>) {
        match made {
            Ok(message) => self.outbox.push(message),
            Err(error) => self.problem(format!("an answer that cannot be sent: {error}")),
        }
    }

    /// Answers the host's own totals, as soon as ours are whole.
    pub(super) fn answer_host(&mut self, now: Instant) {
        for (came, message) in std::mem::take(&mut self.host_asks) {
            let date = message
                .get(15)
                .and_then(|named| nearest(self.memory.date, named));
            let Some(date) = date else {
                self.reply(answer(&message, "30"));
                continue;
            };
            if self.open_items(date) > 0 && now < came + TOTALS_PATIENCE {
                self.host_asks.push((came, message));
                continue;
            }
            let currency = message.get(50).unwrap_or_default().to_owned();
            let ours = self.memory.books.of(date, &currency);
            let differences = ours.differences(&message);
            let code = if differences.is_empty() { "1" } else { "2" };
            let made = answer(&message, APPROVED).and_then(|mut answer| {
                ours.write(&mut answer)?;
                answer.set(66, code)?;
                Ok(answer)
            });
            self.reply(made);
            self.reconciled(Reconciled {
                date,
                currency,
                ours,
                response_code: None,
                settlement_code: Some(code.to_owned()),
                differences,
            });
        }
    }
}

/// The day with that month and day (MMDD) that is nearest to `date`.
fn nearest(date: Date, mmdd: &str) -> Option<Date> {
    let month: i8 = mmdd.get(..2)?.parse().ok()?;
    let day: i8 = mmdd.get(2..)?.parse().ok()?;
    let away = |other: &Date| {
        date.until(*other)
            .map(|span| span.get_days().unsigned_abs())
            .unwrap_or(u32::MAX)
    };
    (-1..=1)
        .filter_map(|years| Date::new(date.year() + years, month, day).ok())
        .min_by_key(away)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn a_month_and_day_is_the_nearest_such_day() {
        let new_year = date(2027, 1, 2);
        assert_eq!(nearest(new_year, "1231"), Some(date(2026, 12, 31)));
        assert_eq!(nearest(new_year, "0103"), Some(date(2027, 1, 3)));
        let eve = date(2027, 12, 31);
        assert_eq!(nearest(eve, "0101"), Some(date(2028, 1, 1)));
        assert_eq!(nearest(date(2028, 3, 1), "0229"), Some(date(2028, 2, 29)));
        for none in ["0230", "1301", "12", "x1x1"] {
            assert_eq!(nearest(eve, none), None, "{none}");
        }
    }
}
