//! `gapless serve`: the daemon, until a signal.

use std::io;
use std::path::Path;
use std::thread;

use gapless_store::LoadStateError;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{EXIT_FAILED, Failure, Serve, say};
use crate::config::{Config, LogFormat};
use crate::{RunError, Running, telemetry};

/// Drains and stops at SIGINT and SIGTERM; the second one ends it at once.
pub(super) fn serve(arguments: Serve) -> Result<(), Failure> {
    let mut config = Config::load(&arguments.config).map_err(Failure::usage)?;
    if let Some(data_dir) = arguments.data_dir {
        config.data_dir = data_dir;
    }
    telemetry::init_logs(&config.log.level, config.log.format == LogFormat::Json)
        .map_err(Failure::usage)?;
    let shutdown = CancellationToken::new();
    stop_on_signals(shutdown.clone())
        .map_err(|why| Failure::failed(format_args!("signals can't be awaited: {why}")))?;
    crate::run(&config, &shutdown, announce).map_err(|why| failure(&arguments.config, why))
}

/// A bound below what is stored already is the configuration's fault.
fn failure(file: &Path, why: RunError) -> Failure {
    let RunError::State(LoadStateError::Capacity { what, .. }) = &why else {
        return Failure::failed(why);
    };
    let key = match *what {
        "accounts" | "cards" => what,
        _ => "remembered_transactions",
    };
    Failure::usage(Config::wrong(file, "engine", key, &why.to_string()))
}

/// For whoever started it: where it listens, and that it is ready.
fn announce(running: Running) {
    for (name, address) in running.links {
        say(format_args!("listening link={name} addr={address}"));
    }
    say(format_args!("listening admin addr={}", running.admin));
    say("ready");
}

fn stop_on_signals(shutdown: CancellationToken) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    // Registered before anything else starts: from here on no signal just ends it.
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(either(&mut interrupt, &mut terminate));
            shutdown.cancel();
            runtime.block_on(either(&mut interrupt, &mut terminate));
            tracing::warn!("a second signal: not waiting for what is in flight");
            std::process::exit(i32::from(EXIT_FAILED));
        })?;
    Ok(())
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
