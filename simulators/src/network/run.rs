//! A network's run, from what it is to do to its report.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use jiff::Zoned;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use thiserror::Error;

use super::driver::Driver;
use super::event::Event;
use super::line::Input;
use super::profile::Profile;
use super::report::{Counts, Report};
use super::session::{Memory, Session};
use super::state::NetworkFile;
use super::traffic::{Mix, Traffic};
use crate::card::REGULAR_CARDS;
use crate::state::StateError;
use crate::wire;

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
    pub(super) options: Options,
    pub(super) tell: Sender<Input>,
    pub(super) hear: Receiver<Input>,
    pub(super) session: Session,
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
        let mut driver = Driver::new(self);
        if let Some(file) = &file {
            file.save(driver.network.session.memory(), true)?;
        }
        let ran = driver.run(observer);
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
}
