//! The daemon as a process: started, awaited, killed.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::PATIENCE;

/// Where the daemon listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// The one link.
    pub link: SocketAddr,
    /// HTTP.
    pub admin: SocketAddr,
}

/// A running daemon; killed when dropped.
pub struct Daemon {
    child: Child,
    lines: Receiver<String>,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command`, its log appended to a file.
    pub fn start(mut command: Command, log: &Path) -> Self {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .unwrap();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // Nobody may be interested any more.
                let _ = sender.send(line);
            }
        });
        Self {
            child,
            lines,
            log: log.to_owned(),
        }
    }

    /// Waits until it says that it is ready; where it listens.
    pub fn ready(&mut self) -> Addresses {
        self.try_ready().unwrap_or_else(|| {
            let status = self.child.wait();
            panic!(
                "the daemon ended before it was ready: {status:?}\n{}",
                self.log_tail()
            )
        })
    }

    /// As [`Daemon::ready`]; `None` if it ends before.
    pub fn try_ready(&mut self) -> Option<Addresses> {
        let patient_until = Instant::now() + PATIENCE;
        let (mut link, mut admin) = (None, None);
        loop {
            let left = patient_until.saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("not ready within {PATIENCE:?}\n{}", self.log_tail())
                }
            };
            if line == "ready" {
                return Some(Addresses {
                    link: link.expect("a line that tells the link's address"),
                    admin: admin.expect("a line that tells the admin address"),
                });
            }
            let address = || {
                line.split("addr=")
                    .nth(1)
                    .and_then(|rest| rest.parse().ok())
            };
            if line.starts_with("listening link=") {
                link = address();
            } else if line.starts_with("listening admin") {
                admin = address();
            }
        }
    }

    /// SIGKILL, now. What it was doing is left as it stood.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; it goes on until it has drained.
    pub fn terminate(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let patient_until = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < patient_until,
                "still there after {PATIENCE:?}\n{}",
                self.log_tail()
            );
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// SIGTERM, and it must end with status 0.
    pub fn stop(mut self) {
        self.terminate();
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "after SIGTERM\n{}", self.log_tail());
    }

    /// Whether it is still there.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only if it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
