//! A command that is told to end leaves neither children nor folders behind.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is there.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < until, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Processes whose arguments name this folder, but for one.
fn processes(of: &Path, but: u32) -> Vec<String> {
    let of = of.to_str().unwrap();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let entry = entry.unwrap();
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let arguments = fs::read(entry.path().join("cmdline")).ok()?;
            let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
            (pid != but && arguments.contains(of)).then_some(arguments)
        })
        .collect()
}

/// A daemon that starts, tells that it has, and never becomes ready.
fn daemon_that_hangs(folder: &Path) -> std::path::PathBuf {
    let program = folder.join("daemon");
    let text = "#!/bin/sh\ntouch \"$5.started\"\nexec tail -f \"$3\"\n";
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the command, waits until all its children are there, and ends it so.
#[track_caller]
fn ends(arguments: &[&str], children: usize, signal: Signal, status: i32) {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gapless-loadtest"));
    command
        .args(arguments)
        .args(["--quiet", "--gapless"])
        .arg(daemon_that_hangs(folder.path()))
        .arg("--disk")
        .arg(&disk)
        .stdout(Stdio::null());
    let mut running = Running(command.spawn().unwrap());
    let own = running.0.id();
    wait_for("the daemon has started", || {
        let folders = fs::read_dir(&disk).unwrap();
        folders
            .filter_map(Result::ok)
            .find(|entry| entry.path().join("data.started").exists())
    });
    wait_for("its program is the one that stays", || {
        (processes(&disk, own).len() == children).then_some(())
    });
    kill_process(Pid::from_child(&running.0), signal).unwrap();
    let ended = wait_for("it ends", || running.0.try_wait().unwrap());
    assert_eq!(ended.code(), Some(status), "{ended}");
    assert_eq!(processes(&disk, own), Vec::<String>::new());
    assert_eq!(fs::read_dir(&disk).unwrap().count(), 0, "folders are left");
}

#[test]
fn ctrl_c() {
    // null, null-durable, and the daemon.
    ends(&["compare", "--quick"], 3, Signal::INT, 130);
}

#[test]
fn a_container_that_stops() {
    ends(&["soak", "--minutes", "1"], 1, Signal::TERM, 143);
}
