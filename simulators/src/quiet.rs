//! What the simulators' commands have in common: their arguments, and what they
//! keep off the screen.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::wire;

/// The status for a command line that is wrong (sysexits.h).
const USAGE: u8 = 64;

/// The command line.
///
/// # Errors
/// The status to leave with: help was shown (0), or the line is wrong (64), and
/// that has been said.
pub fn arguments<C: Parser>() -> Result<C, ExitCode> {
    C::try_parse().map_err(|e| {
        let _ = e.print();
        ExitCode::from(if e.use_stderr() { USAGE } else { 0 })
    })
}

/// A panic's text may hold parts of a message, so only its place is told.
pub fn hide_panics(name: &'static str) {
    std::panic::set_hook(Box::new(move |panic| {
        if let Some(place) = panic.location() {
            eprintln!("{name}: internal error at {place}");
        }
    }));
}

/// Sets iso8583_rs up with standard output turned away: it prints the current
/// folder and the name of its specification file, which are nobody's business.
///
/// # Errors
/// A text that says what failed.
pub fn prepare() -> Result<(), String> {
    let silence = || -> std::io::Result<_> {
        let output = rustix::io::dup(rustix::stdio::stdout())?;
        let nowhere = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdout(nowhere)?;
        Ok(output)
    };
    let output = silence();
    let prepared = wire::prepare();
    let _ = std::io::stdout().flush();
    if let Ok(output) = output {
        rustix::stdio::dup2_stdout(output).map_err(|e| format!("standard output: {e}"))?;
    }
    prepared
}
