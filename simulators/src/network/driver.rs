//! A network at work: its clock, its line, and the session between them.

use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::event::Event;
use super::line::{Input, Line, connect};
use super::run::{Cutover, Network, RunError};

/// Pause between two attempts to connect.
const REDIAL: Duration = Duration::from_millis(200);
/// An attempt may take so long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The host must answer the sign-off within this; it is a courtesy.
const FAREWELL: Duration = Duration::from_secs(2);
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// The longest sleep, so that nothing is overslept by much.
const NAP: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Until the first sign-on.
    Starting {
        until: Instant,
    },
    /// Traffic: since when, and how many transactions so far.
    Traffic {
        since: Instant,
        made: u64,
    },
    /// No new transactions; answers are waited for.
    Draining {
        until: Instant,
    },
    /// The current date's totals are compared.
    Comparing {
        until: Instant,
    },
    /// The last message is on its way.
    SigningOff {
        until: Instant,
    },
    Over,
}

pub(super) struct Driver {
    pub network: Network,
    phase: Phase,
    line: Option<Line>,
    /// Of the line, to tell an old one's last words from the new one's.
    number: u64,
    dialing: bool,
    redial_at: Instant,
    last_reason: String,
    cut_over_at: Option<Instant>,
    outage_at: Option<(Instant, Duration)>,
    progress_at: Instant,
}

impl Driver {
    /// A network that is about to connect.
    pub fn new(network: Network) -> Driver {
        let now = Instant::now();
        Driver {
            phase: Phase::Starting {
                until: now + network.options.start_within,
            },
            network,
            line: None,
            number: 0,
            dialing: false,
            redial_at: now,
            last_reason: "it did not answer".to_owned(),
            cut_over_at: None,
            outage_at: None,
            progress_at: now,
        }
    }

    /// Goes on until all is said, and hangs up.
    pub fn run(&mut self, observer: &mut dyn FnMut(&Event)) -> Result<(), RunError> {
        let ran = self.work(observer);
        self.line = None;
        ran
    }

    fn work(&mut self, observer: &mut dyn FnMut(&Event)) -> Result<(), RunError> {
        loop {
            let now = Instant::now();
            self.dial(now);
            self.keep_appointments(now)?;
            self.make_traffic(now);
            self.network.session.tick(now);
            self.next_phase(now)?;
            self.flush();
            for event in self.network.session.take_events() {
                observer(&event);
            }
            if now >= self.progress_at {
                self.progress_at = now + PROGRESS_EVERY;
                observer(&Event::Progress(self.network.session.progress(now)));
            }
            if matches!(self.phase, Phase::Over) {
                return Ok(());
            }
            let wait = self.next_due(now).saturating_duration_since(Instant::now());
            self.hear(wait);
        }
    }

    /// Sends what is in the outbox, and gives a useless line up.
    fn flush(&mut self) {
        let messages = self.network.session.take_outbox();
        if let Some(line) = &mut self.line
            && !messages.is_empty()
            && let Err(why) = line.send(&messages)
        {
            self.lose(&why, false);
        }
        if let Some(why) = self.network.session.take_hang_up() {
            self.lose(&why, false);
        }
    }

    fn lose(&mut self, why: &str, by_will: bool) {
        self.line = None;
        why.clone_into(&mut self.last_reason);
        self.network.session.lost(why, by_will);
        self.redial_at = self.redial_at.max(Instant::now() + REDIAL);
    }

    fn dial(&mut self, now: Instant) {
        if self.line.is_none() && !self.dialing && now >= self.redial_at {
            self.dialing = true;
            self.number += 1;
            let address = &self.network.options.profile.address;
            connect(
                address,
                self.number,
                CONNECT_TIMEOUT,
                self.network.tell.clone(),
            );
        }
    }

    /// Cutover and outage, each at its time.
    fn keep_appointments(&mut self, now: Instant) -> Result<(), RunError> {
        let session = &mut self.network.session;
        if let Phase::Starting { .. } = self.phase
            && session.is_up()
        {
            let options = &self.network.options;
            self.phase = Phase::Traffic {
                since: now,
                made: 0,
            };
            session.start(now);
            self.cut_over_at = match options.cutover {
                None => None,
                Some(Cutover::After(wait)) => Some(now + wait),
                Some(Cutover::At(time)) => {
                    let wait = until(time, &options.profile.zone, Timestamp::now())
                        .map_err(|e| RunError::Setup(e.to_string()))?;
                    Some(now + wait)
                }
            };
            self.outage_at = options
                .outage
                .map(|outage| (now + outage.after, outage.lasts));
        }
        if self.cut_over_at.is_some_and(|at| at <= now) {
            self.cut_over_at = None;
            session.cut_over(now);
        }
        if let Some((at, lasts)) = self.outage_at
            && at <= now
        {
            self.outage_at = None;
            self.lose_by_will(now, lasts);
        }
        Ok(())
    }

    fn lose_by_will(&mut self, now: Instant, lasts: Duration) {
        // What the session had to say before is still said.
        self.flush();
        self.redial_at = now + lasts;
        self.lose("cut by the network itself", true);
    }

    fn make_traffic(&mut self, now: Instant) {
        let rate = self.network.options.rate;
        if let Phase::Traffic { since, made } = &mut self.phase {
            loop {
                let due = at_rate(*since, *made, rate);
                if due > now {
                    return;
                }
                *made += 1;
                self.network.session.transact(now, due);
            }
        }
    }

    fn next_phase(&mut self, now: Instant) -> Result<(), RunError> {
        let session = &mut self.network.session;
        match self.phase {
            Phase::Starting { until } if now >= until => {
                return Err(RunError::NoHost {
                    address: self.network.options.profile.address.clone(),
                    reason: self.last_reason.clone(),
                });
            }
            Phase::Traffic { since, .. } => {
                let lasts = self.network.options.lasts;
                if lasts.is_some_and(|lasts| now >= since + lasts) {
                    self.end_traffic(now);
                }
            }
            Phase::Draining { until } if session.is_drained() => {
                if self.network.options.reconcile_current {
                    session.reconcile_current(now);
                }
                self.phase = Phase::Comparing { until };
            }
            Phase::Comparing { .. } if session.is_drained() => {
                session.sign_off(now);
                self.phase = Phase::SigningOff {
                    until: now + FAREWELL,
                };
            }
            Phase::SigningOff { .. } if session.is_signed_off() => self.phase = Phase::Over,
            Phase::Draining { until }
            | Phase::Comparing { until }
            | Phase::SigningOff { until }
                if now >= until =>
            {
                self.phase = Phase::Over;
            }
            _ => {}
        }
        Ok(())
    }

    fn end_traffic(&mut self, now: Instant) {
        self.network.session.end_traffic(now);
        // A line that the network itself keeps down comes back first.
        let from = self.redial_at.max(now);
        self.phase = Phase::Draining {
            until: from + self.network.options.patience,
        };
        self.cut_over_at = None;
        self.outage_at = None;
    }

    fn next_due(&self, now: Instant) -> Instant {
        let traffic = match self.phase {
            Phase::Traffic { since, made } => Some(at_rate(since, made, self.network.options.rate)),
            _ => None,
        };
        let appointments = [
            traffic,
            self.network.session.next_due(),
            self.cut_over_at,
            self.outage_at.map(|(at, _)| at),
            Some(now + NAP),
        ];
        appointments.into_iter().flatten().min().unwrap_or(now)
    }

    /// Waits for input, and takes what else is there.
    fn hear(&mut self, wait: Duration) {
        match self.network.hear.recv_timeout(wait) {
            Ok(input) => self.take(input),
            // We hold a sender ourselves: it cannot be disconnected.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
        while let Ok(input) = self.network.hear.try_recv() {
            self.take(input);
        }
    }

    fn take(&mut self, input: Input) {
        let now = Instant::now();
        match input {
            Input::Connected(number, made) if number == self.number => {
                self.dialing = false;
                let framing = self.network.options.profile.framing;
                let line = made.and_then(|stream| {
                    Line::new(stream, framing, number, self.network.tell.clone())
                });
                match line {
                    Ok(line) => {
                        self.line = Some(line);
                        self.network.session.connected(now);
                    }
                    Err(why) => {
                        self.last_reason = why;
                        self.redial_at = now + REDIAL;
                    }
                }
            }
            Input::Message(number, message) if number == self.number => {
                self.network.session.received(now, &message);
            }
            Input::Malformed(number, what) if number == self.number => {
                self.network.session.malformed(&what);
            }
            Input::Closed(number, why) if number == self.number && self.line.is_some() => {
                self.lose(&why, false);
            }
            Input::Stop => {
                if let Phase::Starting { .. } | Phase::Traffic { .. } = self.phase {
                    self.end_traffic(now);
                }
            }
            Input::CutOver => self.network.session.cut_over(now),
            Input::LoseLine(lasts) => self.lose_by_will(now, lasts),
            // An old line's last words.
            _ => {}
        }
    }
}

/// When the transaction of that number is due.
fn at_rate(since: Instant, number: u64, rate: u32) -> Instant {
    const SECOND_NS: u64 = 1_000_000_000;
    since + Duration::from_nanos(number.saturating_mul(SECOND_NS) / u64::from(rate))
}

/// How long until that time comes next in the zone.
fn until(time: Time, zone: &str, now: Timestamp) -> Result<Duration, jiff::Error> {
    let now = now.to_zoned(TimeZone::get(zone)?);
    let mut next = now
        .date()
        .to_zoned(now.time_zone().clone())?
        .with()
        .time(time)
        .build()?;
    if next <= now {
        next = next.tomorrow()?;
    }
    Ok(next
        .timestamp()
        .duration_since(now.timestamp())
        .unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::time;

    #[test]
    fn a_cutover_at_a_time_is_the_next_one() {
        let from = |now: &str, at| {
            let now: jiff::Zoned = format!("{now}[Asia/Seoul]").parse().unwrap();
            let now = now.timestamp();
            until(at, "Asia/Seoul", now).unwrap().as_secs()
        };
        assert_eq!(from("2026-11-26T23:00:00", time(23, 30, 0, 0)), 1_800);
        assert_eq!(from("2026-11-26T23:30:00", time(23, 30, 0, 0)), 86_400);
        assert_eq!(from("2026-11-26T23:30:00", time(0, 30, 5, 0)), 3_605);
    }

    #[test]
    fn transactions_are_due_at_a_steady_rate() {
        let since = Instant::now();
        let due = |number, rate| at_rate(since, number, rate).duration_since(since);
        assert_eq!(due(0, 300), Duration::ZERO);
        assert_eq!(due(300, 300), Duration::from_secs(1));
        assert_eq!(due(1, 300), Duration::from_nanos(3_333_333));
        assert_eq!(due(u64::MAX, 1_000_000), due(u64::MAX - 1, 1_000_000));
    }
}
