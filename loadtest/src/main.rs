//! Load tester for ISO 8583 hosts: the command.

use std::process::ExitCode;

use clap::Parser;
use gapless_loadtest::{cli::Cli, commands};

fn main() -> ExitCode {
    commands::main(&Cli::parse())
}
