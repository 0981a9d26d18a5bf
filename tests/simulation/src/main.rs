//! The simulation from a shell: one seed, a campaign, the mutations.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gapless_simulation::campaign::{Campaign, explain, run_seed};
use indicatif::{ProgressBar, ProgressStyle};

/// Seeded simulation of the whole switch. Without a command: a campaign of seeds.
#[derive(Debug, Parser)]
#[command(name = "simulation", args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Steps of each seed: things that happen.
    #[arg(long, default_value_t = 1_500)]
    steps: u64,
    /// One seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: every step.
    #[arg(long)]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Builds the product with one deliberate mutation after the other, and shows that
    /// each is caught.
    Mutations {
        /// Only those with this in their name.
        #[arg(long)]
        only: Vec<String>,
        /// How many seeds each may take until it is caught.
        #[arg(long, default_value_t = 300)]
        seeds: u64,
        /// Steps of each seed.
        #[arg(long, default_value_t = 1_500)]
        steps: u64,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Command::Mutations { only, seeds, steps }) = &args.command {
        let below = gapless_simulation::mutations::workspace().join("target/mutations");
        let tell = |line| println!("{line}");
        return match gapless_simulation::mutations::run(&below, only, *seeds, *steps, tell) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                println!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    match args.seed {
        Some(seed) => one(seed, args.steps, args.verbose),
        None => campaign(&args),
    }
}

fn one(seed: u64, steps: u64, verbose: bool) -> ExitCode {
    match run_seed(seed, steps, verbose) {
        Ok(report) => {
            for line in &report.trace {
                println!("{line}");
            }
            println!(
                "{}seed {seed}: {} steps, nothing failed; state {:016x}",
                report.coverage, report.steps, report.hash
            );
            ExitCode::SUCCESS
        }
        Err(failed) if verbose => {
            println!("{}\nseed {seed} fails at {failed}", failed.trace.join("\n"));
            ExitCode::FAILURE
        }
        Err(failed) => {
            println!("{}", explain(&failed, steps));
            ExitCode::FAILURE
        }
    }
}

fn campaign(args: &Args) -> ExitCode {
    let bar = ProgressBar::new(args.seeds);
    if let Ok(style) = ProgressStyle::with_template(
        "{bar:40} {pos}/{len} seeds, {per_sec}, {elapsed} (about {eta} to go)",
    ) {
        bar.set_style(style);
    }
    let campaign = Campaign {
        from: args.from,
        seeds: args.seeds,
        steps: args.steps,
        threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    };
    let summary = campaign.run(|done| bar.set_position(done));
    bar.finish_and_clear();
    print!("{}", summary.coverage);
    println!("{} seeds, {} steps", summary.seeds, summary.steps);
    if let Some(failed) = summary.failed {
        println!("{}", explain(&failed, args.steps));
        return ExitCode::FAILURE;
    }
    let missing = summary.coverage.missing();
    if !missing.is_empty() {
        println!("never exercised: {}", missing.join("; "));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
