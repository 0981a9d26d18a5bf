//! A network's run: its clock, its line, and the session between them.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use thiserror::Error;

use super::event::Event;
use super::line::{Input, Line, connect};
use super::profile::Profile;
use super::report::{Counts, Report};
use super::session::{Memory, Session};
use super::state::NetworkFile;
use super::traffic::{Mix, Traffic};
use crate::card::REGULAR_CARDS;
use crate::state::StateError;
use crate::wire;

/// Pause between two attempts to connect.
const REDIAL: Duration = Duration::from_millis(200);
/// An attempt may take so long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The host must answer the sign-off within this; it is a courtesy.
const FAREWELL: Duration = Duration::from_secs(2);
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// The longest sleep, so that nothing is overslept by much.
const NAP: Duration = Duration::from_millis(50);

/// When a network cuts over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cutover {
    /// So long after its traffic has begun.
    After(Duration),
    /// At that time of its zone.
    At(Time),
}

/// The network cuts its own line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// So long after its traffic has begun,
    pub after: Duration,
    /// for so long.
    pub lasts: Duration,
}

/// What a network is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which network.
    pub profile: Profile,
    /// Transactions a second, whatever the host does.
    pub rate: u32,
    /// How long traffic goes on; without it until [`Control::stop`].
    pub lasts: Option<Duration>,
    /// When it cuts over.
    pub cutover: Option<Cutover>,
    /// When it loses its line.
    pub outage: Option<Outage>,
    /// Its settlement date, rather than what it remembers or the calendar says.
    pub date: Option<Date>,
    /// The first so many demo cards are used.
    pub cards: u32,
    /// What is asked for how often.
    pub mix: Mix,
    /// Traffic is the same for the same seed.
    pub seed: u64,
    /// Whether the date that is not over is compared at the end, too.
    pub reconcile_current: bool,
    /// The host must take the first sign-on within this.
    pub start_within: Duration,
    /// After the traffic, missing answers are waited for so long.
    pub patience: Duration,
    /// What it remembers between two runs; nothing without a file.
    pub file: Option<NetworkFile>,
}

impl Options {
    /// Ten seconds of 100 transactions a second, nothing remembered.
    pub fn new(profile: Profile) -> Options {
        Options {
            profile,
            rate: 100,
            lasts: Some(Duration::from_secs(10)),
            cutover: None,
            outage: None,
            date: None,
            cards: REGULAR_CARDS,
            mix: Mix::default(),
            seed: 1,
            reconcile_current: true,
            start_within: Duration::from_secs(10),
            patience: Duration::from_secs(60),
            file: None,
        }
    }
}

/// Why there is no report.
#[derive(Debug, Error)]
pub enum RunError {
    /// The host could not be signed on to.
    #[error("no host at {address}: {reason}")]
    NoHost {
        /// Where it should be.
        address: String,
        /// What happened last.
        reason: String,
    },
    /// What was remembered cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The options, or iso8583_rs, cannot be used.
    #[error("{0}")]
    Setup(String),
}

/// Steers a running network from another thread.
#[derive(Clone, Debug)]
pub struct Control(Sender<Input>);

impl Control {
    /// Ends the traffic; what is under way is still settled and reported.
    pub fn stop(&self) {
        let _ = self.0.send(Input::Stop);
    }

    /// Cuts over now.
    pub fn cut_over(&self) {
        let _ = self.0.send(Input::CutOver);
    }

    /// Loses its line for so long.
    pub fn lose_line(&self, lasts: Duration) {
        let _ = self.0.send(Input::LoseLine(lasts));
    }
}

/// Runs a network to its end, and tells `observer` what happens.
///
/// # Errors
/// [`RunError`]: the host is not there, or the options cannot be used.
pub fn run(options: Options, observer: &mut dyn FnMut(&Event)) -> Result<Report, RunError> {
    Network::new(options)?.run(observer)
}

/// A network before its run.
pub struct Network {
    options: Options,
    tell: Sender<Input>,
    hear: Receiver<Input>,
    session: Session,
    /// The run before was cut off.
    cut_off: bool,
}

impl Network {
    /// Reads what it remembers.
    ///
    /// # Errors
    /// [`RunError::State`], [`RunError::Setup`].
    pub fn new(options: Options) -> Result<Network, RunError> {
        if options.rate == 0 {
            return Err(RunError::Setup("the rate must not be zero".to_owned()));
        }
        wire::prepare().map_err(RunError::Setup)?;
        let setup = |e: &dyn std::fmt::Display| RunError::Setup(e.to_string());
        let remembered = match &options.file {
            Some(file) => file.load()?,
            None => None,
        };
        let today = settlement_date(&options, &Zoned::now()).map_err(|e| setup(&e))?;
        let cut_off = remembered.as_ref().is_some_and(|(_, running)| *running);
        let mut memory = match remembered {
            Some((memory, _)) => memory,
            None => Memory::new(today),
        };
        memory.date = options.date.unwrap_or(memory.date.max(today));
        let traffic = Traffic::new(
            options.seed,
            options.mix,
            options.cards,
            options.profile.transfers,
        );
        let counts = Counts::new(&options.profile.name, options.seed).map_err(|e| setup(&e))?;
        let session = Session::new(options.profile.clone(), traffic, memory, counts);
        let (tell, hear) = channel();
        Ok(Network {
            options,
            tell,
            hear,
            session,
            cut_off,
        })
    }

    /// A handle for other threads.
    pub fn control(&self) -> Control {
        Control(self.tell.clone())
    }

    /// Whether the last run was cut off: what it did after its start is in the
    /// host's totals and not in ours.
    pub fn was_cut_off(&self) -> bool {
        self.cut_off
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn run(self, observer: &mut dyn FnMut(&Event)) -> Result<Report, RunError> {
        let file = self.options.file.clone();
        let now = Instant::now();
        let mut driver = Driver {
            cut_over_at: None,
            outage_at: None,
            redial_at: now,
            dialing: false,
            line: None,
            number: 0,
            last_reason: "it did not answer".to_owned(),
            phase: Phase::Starting {
                until: now + self.options.start_within,
            },
            progress_at: now,
            network: self,
        };
        if let Some(file) = &file {
            file.save(driver.network.session.memory(), true)?;
        }
        let ran = driver.run(observer);
        driver.line = None;
        let (report, memory) = driver.network.session.close(Instant::now());
        if let Some(file) = &file {
            file.save(&memory, false)?;
        }
        ran.map(|()| report)
    }
}

/// The settlement date at that time, for a network that remembers none: a cutover
/// before noon ends the day before, one from noon on ends that same day.
fn settlement_date(options: &Options, now: &Zoned) -> Result<Date, jiff::Error> {
    let now = now.with_time_zone(TimeZone::get(&options.profile.zone)?);
    let today = now.date();
    let Some(Cutover::At(time)) = options.cutover else {
        return Ok(today);
    };
    let passed = now.time() >= time;
    match (time.hour() < 12, passed) {
        (true, true) | (false, false) => Ok(today),
        (true, false) => today.yesterday(),
        (false, true) => today.tomorrow(),
    }
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

struct Driver {
    network: Network,
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
    fn run(&mut self, observer: &mut dyn FnMut(&Event)) -> Result<(), RunError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::{date, time};

    fn seoul(text: &str) -> Zoned {
        format!("{text}[Asia/Seoul]").parse().unwrap()
    }

    #[test]
    fn the_first_settlement_date_follows_from_the_cutover() {
        let mut options = Options::new(Profile::named("east").unwrap());
        // cutover, now, settlement date in November 2026
        let table = [
            (None, "2026-11-26T23:59:59", 26),
            (Some(time(23, 30, 0, 0)), "2026-11-26T23:29:59", 26),
            (Some(time(23, 30, 0, 0)), "2026-11-26T23:30:00", 27),
            (Some(time(0, 30, 0, 0)), "2026-11-26T00:29:59", 25),
            (Some(time(0, 30, 0, 0)), "2026-11-26T00:30:00", 26),
            (Some(time(0, 30, 0, 0)), "2026-11-26T23:59:59", 26),
        ];
        for (cutover, now, day) in table {
            options.cutover = cutover.map(Cutover::At);
            let got = settlement_date(&options, &seoul(now)).unwrap();
            assert_eq!(got, date(2026, 11, day), "{cutover:?} at {now}");
        }
        options.cutover = Some(Cutover::After(Duration::from_secs(1)));
        // The zone's day, wherever this runs: 15:00 UTC is midnight in Seoul.
        let utc: Zoned = "2026-11-26T15:00:00[UTC]".parse().unwrap();
        let got = settlement_date(&options, &utc).unwrap();
        assert_eq!(got, date(2026, 11, 27));
    }

    #[test]
    fn a_cutover_at_a_time_is_the_next_one() {
        let from = |now: &str, at| {
            let now = seoul(now).timestamp();
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
