//! Children under way, with their folders: whoever ends this program, none of them
//! stays.
//!
//! A child belongs to the whole program, not to a function's frame, so that a
//! signal can end it whatever the program is at: loading, running, waiting.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tempfile::TempDir;

/// One child with its folder; ended and gone when it is dropped.
#[derive(Debug)]
struct Running {
    child: Child,
    /// Taken away after the child has ended.
    _dir: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its data is thrown away: there is nothing to drain for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

static RUNNING: Mutex<BTreeMap<u64, Running>> = Mutex::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(0);

fn running() -> MutexGuard<'static, BTreeMap<u64, Running>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child's place; dropping it ends the child.
#[derive(Debug)]
pub(crate) struct Key(u64);

impl Drop for Key {
    fn drop(&mut self) {
        // Under the lock: a signal finds it whole or not at all.
        let mut running = running();
        running.remove(&self.0);
    }
}

/// Starts what `command` makes of a temporary folder in `disk`, and shows the
/// child and the folder to `look`, once.
///
/// # Errors
/// The folder cannot be made, the command fails to be made or to start; nothing is
/// left then.
pub(crate) fn start<T>(
    disk: &Path,
    command: impl FnOnce(&Path) -> anyhow::Result<Command>,
    look: impl FnOnce(&mut Child, &Path) -> T,
) -> anyhow::Result<(Key, T)> {
    // Held, so that no signal comes between a folder and its place in the map.
    let mut running = running();
    let dir = TempDir::new_in(disk).with_context(|| disk.display().to_string())?;
    let mut command = command(dir.path())?;
    let mut child = command
        .spawn()
        .with_context(|| command.get_program().to_string_lossy().into_owned())?;
    let seen = look(&mut child, dir.path());
    let key = NEXT.fetch_add(1, Ordering::Relaxed);
    running.insert(key, Running { child, _dir: dir });
    Ok((Key(key), seen))
}

/// From now on SIGINT and SIGTERM end all children, take their folders away, and
/// end this program with the status that shells give such an end: 130, 143.
///
/// # Errors
/// The system gives no handler or no thread.
pub(crate) fn end_on_signals() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let Some(signal) = signals.forever().next() else {
                return;
            };
            // Never given back: nothing is started any more.
            let mut running = running();
            running.clear();
            std::process::exit(128 + signal);
        })?;
    Ok(())
}
