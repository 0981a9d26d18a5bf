//! Card-network simulator: a run of traffic with its night, and single messages.

mod args;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use args::{Cli, Command, NetworkArgs, RunArgs};
use gapless_simulators::dump::dump;
use gapless_simulators::network::{
    Control, Event, Memory, Network, NetworkFile, Once, OnceError, Profile, Reconciled, RunError,
    Spoken, speak_once,
};
use gapless_simulators::state::StateError;
use gapless_simulators::{codes, quiet};
use jiff::Zoned;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const OK: u8 = 0;
const NOT_GOOD: u8 = 1;
const USAGE: u8 = 64;
const NO_ANSWER: u8 = 101;
const NO_CONNECTION: u8 = 102;
const STATE: u8 = 105;
/// Single messages wait so long for the connection, and for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Status of a process that a second Ctrl-C ends.
const INTERRUPTED: i32 = 130;

/// Why a command ends early, with its exit status.
struct Failure(u8, String);

impl From<StateError> for Failure {
    fn from(error: StateError) -> Failure {
        Failure(STATE, error.to_string())
    }
}

impl From<OnceError> for Failure {
    fn from(error: OnceError) -> Failure {
        let status = match error {
            OnceError::NoHost { .. } | OnceError::SignOn(_) => NO_CONNECTION,
            OnceError::NoAnswer(_) => NO_ANSWER,
            OnceError::Message(_) => USAGE,
        };
        Failure(status, error.to_string())
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Failure {
        let status = match error {
            RunError::NoHost { .. } => NO_CONNECTION,
            RunError::State(_) => STATE,
            RunError::Setup(_) => USAGE,
        };
        Failure(status, error.to_string())
    }
}

fn main() -> ExitCode {
    let cli: Cli = match quiet::arguments() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    quiet::hide_panics("network");
    let result = quiet::prepare()
        .map_err(|e| Failure(USAGE, e))
        .and_then(|()| perform(&cli));
    match result {
        Ok(status) => ExitCode::from(status),
        Err(Failure(status, text)) => {
            eprintln!("network: {text}");
            ExitCode::from(status)
        }
    }
}

fn perform(cli: &Cli) -> Result<u8, Failure> {
    let profile = cli.network.profile().map_err(|e| Failure(USAGE, e))?;
    match &cli.command {
        Command::Run(args) => run(&cli.network, args, profile),
        Command::SignOn => say_once(&profile, &Once::SignOn),
        Command::SignOff => say_once(&profile, &Once::SignOff),
        Command::Echo => say_once(&profile, &Once::Echo),
        Command::Cutover { date } => cut_over(&cli.network, &profile, *date),
        Command::Reconcile { date } => reconcile(&cli.network, &profile, *date),
    }
}

fn run(network: &NetworkArgs, args: &RunArgs, profile: Profile) -> Result<u8, Failure> {
    let file = network.file(&profile);
    if args.forget
        && let Some(file) = &file
    {
        file.forget()?;
    }
    let name = profile.name.clone();
    let mut options = args.options(profile).map_err(|e| Failure(USAGE, e))?;
    options.file = file;
    let network = Network::new(options)?;
    if network.was_cut_off() {
        eprintln!(
            "network: the last run was cut off: its figures are not in the totals (--forget)"
        );
    }
    stop_on_signal(network.control()).map_err(|e| Failure(USAGE, e.to_string()))?;
    let report = network.run(&mut |event| show(&name, event))?;
    print(&report.to_string());
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&report).unwrap_or_default();
        std::fs::write(path, json + "\n")
            .map_err(|e| Failure(USAGE, format!("{}: {e}", path.display())))?;
    }
    Ok(if report.is_good() { OK } else { NOT_GOOD })
}

/// The first signal ends the traffic, and the second the process.
fn stop_on_signal(control: Control) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        for (at, _) in signals.forever().enumerate() {
            if at > 0 {
                std::process::exit(INTERRUPTED);
            }
            control.stop();
        }
    });
    Ok(())
}

fn show(name: &str, event: &Event) {
    match event {
        Event::SignedOn => print(&format!("{name}: signed on\n")),
        Event::StandingIn { why } => print(&format!("{name}: standing in ({why})\n")),
        Event::Forwarded { advices } => {
            print(&format!("{name}: {advices} stored messages acknowledged\n"));
        }
        Event::CutOver { date } => {
            print(&format!(
                "{name}: cut over, settlement date {date} begins\n"
            ));
        }
        Event::HostCutOver { named } => print(&format!(
            "{name}: the host has cut over, DE 15 {}\n",
            named.as_deref().unwrap_or("missing")
        )),
        Event::Reconciled(one) => print(&format!("{name}: {one}")),
        Event::Problem(what) => print(&format!("{name}: PROBLEM {what}\n")),
        Event::Progress(now) if now.elapsed.as_millis() > 0 => {
            let line = format!(
                "{name}: {:>4} s  {}  sent {:>8}  answered {:>8}  waiting {:>5}  stored {:>5}",
                now.elapsed.as_secs(),
                now.settlement_date,
                now.sent,
                now.answered,
                now.waiting,
                now.stored
            );
            // For people only: it writes over itself.
            if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
                eprint!("\r{line}\r");
            }
        }
        Event::Progress(_) | Event::Answered { .. } => {}
    }
}

/// Sends one message, and shows it and its answer.
fn say_once(profile: &Profile, what: &Once) -> Result<u8, Failure> {
    let spoken = speak_once(profile, what, TIMEOUT)?;
    show_spoken(&spoken);
    Ok(match spoken.answer.response_code() {
        Some("00") => OK,
        _ => NOT_GOOD,
    })
}

fn show_spoken(spoken: &Spoken) {
    let code = spoken.answer.response_code().unwrap_or("--");
    print(&format!(
        "-> {}\n<- {}\n{code} {}, {} us\n",
        dump(&spoken.request),
        dump(&spoken.answer),
        codes::response(code),
        spoken.round_trip.as_micros()
    ));
}

/// What the network remembers; of a new one if nothing.
fn memory(file: Option<&NetworkFile>, profile: &Profile) -> Result<Memory, Failure> {
    let remembered = match file {
        Some(file) => file.load()?,
        None => None,
    };
    let zone = TimeZone::get(&profile.zone).map_err(|e| Failure(USAGE, e.to_string()))?;
    let today = Zoned::now().with_time_zone(zone).date();
    Ok(match remembered {
        Some((mut memory, _)) => {
            memory.date = memory.date.max(today);
            memory
        }
        None => Memory::new(today),
    })
}

fn cut_over(network: &NetworkArgs, profile: &Profile, date: Option<Date>) -> Result<u8, Failure> {
    let file = network.file(profile);
    let mut memory = memory(file.as_ref(), profile)?;
    let next = memory.date.tomorrow();
    let new = match date {
        Some(date) => date,
        None => next.map_err(|e| Failure(USAGE, e.to_string()))?,
    };
    let status = say_once(profile, &Once::Cutover(new))?;
    if let Some(file) = file
        && status == OK
    {
        memory.date = new;
        file.save(&memory, false)?;
    }
    Ok(status)
}

fn reconcile(network: &NetworkArgs, profile: &Profile, date: Date) -> Result<u8, Failure> {
    let file = network.file(profile);
    let books = memory(file.as_ref(), profile)?.books;
    let mut currencies = books.currencies(date);
    if currencies.is_empty() {
        // Nothing is remembered of it: then the host must have nothing either.
        currencies.push("410".to_owned());
    }
    let mut status = OK;
    for currency in currencies {
        let ours = books.of(date, &currency);
        let spoken = speak_once(
            profile,
            &Once::Totals(date, currency.clone(), ours),
            TIMEOUT,
        )?;
        show_spoken(&spoken);
        let answer = &spoken.answer;
        let one = Reconciled {
            date,
            currency,
            ours,
            response_code: answer.response_code().map(str::to_owned),
            settlement_code: answer.get(66).map(str::to_owned),
            differences: ours.differences(answer),
        };
        print(&one.to_string());
        if !one.in_balance() {
            status = NOT_GOOD;
        }
    }
    Ok(status)
}

/// A reader who has gone must not change the exit status.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
