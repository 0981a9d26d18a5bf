//! Load tester for ISO 8583 hosts: the command.

use std::process::ExitCode;

use clap::Parser;
use gapless_loadtest::cli::{Cli, Command};
use gapless_loadtest::{plan::Plan, report, run};

fn main() -> ExitCode {
    let Command::Run(arguments) = Cli::parse().command;
    let plan = match Plan::new(&arguments) {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("gapless-loadtest: {why:#}");
            return ExitCode::from(2);
        }
    };
    print!("{}", report::heading(&plan));
    match run::run(&plan) {
        Ok(result) => {
            print!("{}", report::table(&result));
            // A host that approves nothing was not measured.
            ExitCode::from(u8::from(result.stats.approved() == 0))
        }
        Err(why) => {
            eprintln!("gapless-loadtest: {why:#}");
            ExitCode::FAILURE
        }
    }
}
