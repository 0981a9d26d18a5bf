//! POS terminal simulator: one command for each transaction, and scenarios.

mod args;
mod exit;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use args::{AdviceOf, Cli, Command, ReverseArgs};
use gapless_simulators::dump::dump;
use gapless_simulators::order::OrderError;
use gapless_simulators::scenario::{RunError, Scenario, StepReport};
use gapless_simulators::state::{StateError, StateFile};
use gapless_simulators::{ExchangeError, Kind, Message, Order, Terminal, Till, codes, quiet};

/// Why a command ends without an answer, with its exit status.
struct Failure {
    status: u8,
    text: String,
}

impl Failure {
    fn usage(text: impl ToString) -> Failure {
        Failure {
            status: exit::USAGE,
            text: text.to_string(),
        }
    }
}

impl From<ExchangeError> for Failure {
    fn from(error: ExchangeError) -> Failure {
        Failure {
            status: exit::of_error(&error),
            text: error.to_string(),
        }
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Failure {
        Failure {
            status: exit::STATE,
            text: format!("{error}; --no-state does without"),
        }
    }
}

impl From<OrderError> for Failure {
    fn from(error: OrderError) -> Failure {
        Failure::usage(error)
    }
}

fn main() -> ExitCode {
    let cli: Cli = match quiet::arguments() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    quiet::hide_panics("pos");
    let result = quiet::prepare()
        .map_err(Failure::usage)
        .and_then(|()| perform(&cli));
    match result {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            eprintln!("pos: {}", failure.text);
            ExitCode::from(failure.status)
        }
    }
}

fn perform(cli: &Cli) -> Result<u8, Failure> {
    let payment = |args: &args::PaymentArgs, kind| args.order(kind).map_err(Failure::usage);
    let order = match &cli.command {
        Command::Purchase(args) => payment(args, Kind::Purchase)?,
        Command::Cash(args) => payment(args, Kind::Cash)?,
        Command::Refund(args) => payment(args, Kind::Refund)?,
        Command::Cashback {
            payment: args,
            cashback,
        } => Order {
            cashback_minor: Some(*cashback),
            ..payment(args, Kind::Cashback)?
        },
        Command::Balance { card, available } => {
            let kind = if *available {
                Kind::Available
            } else {
                Kind::Balance
            };
            Order {
                card: Some(card.card().map_err(Failure::usage)?),
                ..Order::new(kind)
            }
        }
        Command::Transfer {
            payment: args,
            from,
            to,
        } => Order {
            from: from.clone(),
            to: Some(to.clone()),
            ..payment(args, Kind::Transfer)?
        },
        Command::Advice { payment: args, of } => {
            let kind = match of {
                AdviceOf::Purchase => Kind::Purchase,
                AdviceOf::Cash => Kind::Cash,
                AdviceOf::Refund => Kind::Refund,
            };
            Order {
                advice: true,
                ..payment(args, kind)?
            }
        }
        Command::Echo => Order::new(Kind::Echo),
        Command::SignOn => Order::new(Kind::SignOn),
        Command::SignOff => Order::new(Kind::SignOff),
        Command::Reverse(args) => {
            let request = reversal(cli, args)?;
            return exchange(cli, &request);
        }
        Command::Repeat => {
            let request = repeat(cli)?;
            return exchange(cli, &request);
        }
        Command::Run { files, verbose } => return run_all(cli, files, *verbose),
    };
    let request = order.message(&mut till(cli, 1)?)?;
    exchange(cli, &request)
}

fn state_file(cli: &Cli) -> Option<StateFile> {
    let args = &cli.terminal;
    match &args.state {
        _ if args.no_state => None,
        Some(path) => Some(StateFile::at(path)),
        None => Some(StateFile::of_terminal(&args.terminal)),
    }
}

/// A till with `count` numbers of its own.
fn till(cli: &Cli, count: usize) -> Result<Till, Failure> {
    let profile = cli.terminal.profile();
    Ok(match state_file(cli) {
        Some(file) => Till::numbered_from(profile, file.update(|state| state.take_stans(count))?),
        None => Till::new(profile),
    })
}

fn reversal(cli: &Cli, args: &ReverseArgs) -> Result<Message, Failure> {
    let stan = args.stan.map(|stan| format!("{stan:06}"));
    let (original, approval) = match &args.de7 {
        Some(de7) => (described(cli, args, de7)?, args.approval.clone()),
        None => {
            let missing = || Failure::usage("no such message to reverse in the terminal's state");
            let file = state_file(cli).ok_or_else(missing)?;
            let sent = file.update(|state| state.last_financial(stan.as_deref()).cloned())?;
            let sent = sent.ok_or_else(missing)?;
            (sent.request, sent.approval)
        }
    };
    let mut request = till(cli, 1)?
        .reversal(&original, approval.as_deref(), args.final_amount)
        .map_err(Failure::usage)?;
    if args.advice {
        request.set_mti("0420");
    }
    Ok(request)
}

/// The original as the command line describes it.
fn described(cli: &Cli, args: &ReverseArgs, de7: &str) -> Result<Message, Failure> {
    let order = Order {
        card: Some(args.card.card().map_err(Failure::usage)?),
        amount_minor: args.amount,
        ..Order::new(Kind::Purchase)
    };
    let mut original = order.message(&mut Till::new(cli.terminal.profile()))?;
    original.set_mti(&args.original_mti);
    original.unset(12).unset(13).unset(37);
    let stan = args.stan.unwrap_or_default().to_string();
    let set = |original: &mut Message| {
        original
            .set(3, &args.processing)?
            .set(7, de7)?
            .set(11, &stan)?;
        if let Some(rrn) = &args.rrn {
            original.set(37, rrn)?;
        }
        Ok::<_, gapless_simulators::fields::FieldError>(())
    };
    set(&mut original).map_err(Failure::usage)?;
    Ok(original)
}

fn repeat(cli: &Cli) -> Result<Message, Failure> {
    let missing = || Failure::usage("no message to repeat in the terminal's state");
    let file = state_file(cli).ok_or_else(missing)?;
    let last = file.update(|state| state.last().cloned())?;
    Ok(last.ok_or_else(missing)?.request.repeat())
}

fn connect(cli: &Cli, till: Till) -> Result<Terminal, Failure> {
    let line = &cli.line;
    Ok(Terminal::open(
        &line.address(),
        till,
        line.timeout(),
        line.tls().as_ref(),
    )?)
}

/// Sends a request, shows both messages and the verdict.
fn exchange(cli: &Cli, request: &Message) -> Result<u8, Failure> {
    let mut terminal = connect(cli, Till::new(cli.terminal.profile()))?;
    let file = state_file(cli);
    if let Some(file) = &file {
        // Before it is sent: a message without an answer is the very one that
        // must be reversed or repeated.
        file.update(|state| state.record(request))?;
    }
    say(&format!("{}\n{}", heading("->", request), dump(request)));
    let done = terminal.exchange_timed(request)?;
    let answer = &done.answer;
    if let Some(file) = &file {
        file.update(|state| state.answered(request, answer))?;
    }
    for why in &done.stray {
        say(&format!(
            "\n(passed over a message that is not the answer: {why})\n"
        ));
    }
    say(&format!("\n{}\n{}", heading("<-", answer), dump(answer)));
    say(&format!("\n{}\n", verdict(answer, done.round_trip)));
    Ok(exit::of_response(answer.response_code()))
}

fn heading(arrow: &str, message: &Message) -> String {
    let what = match (message.get(3), message.get(70)) {
        (Some(code), _) => codes::processing(code),
        (None, Some(code)) => codes::network(code),
        (None, None) => "message",
    };
    format!("{arrow} {what}")
}

fn verdict(answer: &Message, round_trip: Duration) -> String {
    let time = milliseconds(round_trip);
    match answer.response_code() {
        Some(code) => format!("{code} {}, {time}", codes::response(code)),
        None => format!("no response code, {time}"),
    }
}

/// Writes to standard output. A reader who has gone (`pos ... | head`) must not
/// change the exit status, so errors are passed over.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// As people read it, down to hundredths.
fn milliseconds(time: Duration) -> String {
    let hundredths = time.as_micros() / 10;
    format!("{}.{:02} ms", hundredths / 100, hundredths % 100)
}

/// Reads all files before it runs the first, and ends at the first that fails.
fn run_all(cli: &Cli, files: &[PathBuf], verbose: bool) -> Result<u8, Failure> {
    let load = |file: &PathBuf| Scenario::load(file).map_err(Failure::usage);
    let scenarios = files.iter().map(load).collect::<Result<Vec<_>, _>>()?;
    for scenario in &scenarios {
        let status = run(cli, scenario, verbose)?;
        if status != exit::OK {
            return Ok(status);
        }
    }
    Ok(exit::OK)
}

fn run(cli: &Cli, scenario: &Scenario, verbose: bool) -> Result<u8, Failure> {
    let mut terminal = connect(cli, till(cli, scenario.len())?)?;
    say(&format!("{}\n", scenario.title()));
    let result = scenario.run(&mut terminal, |report| show_step(report, verbose));
    match result {
        Ok(()) => {
            say(&format!("passed: {} steps\n", scenario.len()));
            Ok(exit::OK)
        }
        Err(RunError::Exchange {
            error,
            number,
            name,
        }) => Err(Failure {
            status: exit::of_error(&error),
            text: format!("step {number} ({name}): {error}"),
        }),
        Err(RunError::Unbuildable {
            number,
            name,
            reason,
        }) => Err(Failure {
            status: exit::STEP_FAILED,
            text: format!("step {number} ({name}): {reason}"),
        }),
        Err(error) => {
            say(&format!("{error}\n"));
            Ok(exit::STEP_FAILED)
        }
    }
}

fn show_step(report: &StepReport, verbose: bool) {
    let passed = report.mismatches.is_empty();
    let mark = if passed { "ok    " } else { "FAILED" };
    let way = match &report.answer {
        None => format!("{} held", report.request.mti()),
        Some((answer, time)) => format!(
            "{} -> {} {}, {}",
            report.request.mti(),
            answer.mti(),
            answer.response_code().unwrap_or("--"),
            milliseconds(*time)
        ),
    };
    say(&format!(
        "{:>3}  {mark}  {:<56} {way}\n",
        report.number, report.name
    ));
    if verbose || !passed {
        say(&dump(&report.request));
        if let Some((answer, _)) = &report.answer {
            say(&dump(answer));
        }
    }
    for mismatch in &report.mismatches {
        say(&format!(
            "     {}: expected {}, got {}\n",
            mismatch.field, mismatch.expected, mismatch.got
        ));
    }
}
