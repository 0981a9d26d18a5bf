//! The demo's bank: its configuration, and its daemon as a process of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use jiff::Zoned;
use jiff::tz::TimeZone;
use rustix::process::{Pid, Signal, kill_process};

/// The bank's calendar.
const ZONE: &str = "Asia/Seoul";
/// Loading the demo data takes a second or two.
const START_PATIENCE: Duration = Duration::from_secs(60);
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// When the bank's day ends, and how long late items still get the closing date.
#[derive(Clone, Copy, Debug)]
pub struct Evening {
    /// From now to the bank's cutover, which its own clock orders.
    pub cutover_in: Duration,
    /// From the cutover to the freeze.
    pub grace: Duration,
}

/// The configuration: as `config/networks.toml`, with the evening near, and ports
/// that are free.
fn configuration(evening: Evening, now: &Zoned) -> anyhow::Result<String> {
    let cutover = now.checked_add(evening.cutover_in)?.time();
    // In this repository: the demo runs from a clone.
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    let link = |name: &str, more: &str| {
        format!(
            "[[links]]\nname = \"{name}\"\nlisten = \"127.0.0.1:0\"\ndialect = \"iso87-ascii\"\n{more}\n"
        )
    };
    Ok(format!(
        "demo_data = {demo:?}\ndialects = {dialects:?}\n\
         [bank]\nzone = \"{ZONE}\"\ncutover = \"{:02}:{:02}:{:02}\"\ngrace_s = {}\nearly_s = 3600\n\
         currencies = [\"KRW\", \"USD\"]\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n\
         [log]\nlevel = \"info\"\nformat = \"text\"\n\
         [[networks]]\nname = \"east\"\nid = 1\ncutover_date = \"new\"\n\
         [[networks]]\nname = \"west\"\nid = 2\ncutover_date = \"ended\"\n{}{}{}",
        cutover.hour(),
        cutover.minute(),
        cutover.second(),
        evening.grace.as_secs(),
        link("pos", "framing = { length = \"binary2\" }"),
        link(
            "east",
            "network = \"east\"\nframing = { length = \"binary2\" }\nsign_on_required = true"
        ),
        link(
            "west",
            "network = \"west\"\nframing = { length = \"ascii4\" }\nsign_on_required = true"
        ),
        demo = config.join("demo"),
        dialects = config.join("dialects"),
    ))
}

/// A running daemon; killed when dropped.
pub struct Daemon {
    child: Child,
    lines: Receiver<String>,
    folder: PathBuf,
    /// Of the links, by name.
    pub links: BTreeMap<String, SocketAddr>,
    /// Of the admin HTTP.
    pub admin: SocketAddr,
}

impl Daemon {
    /// Starts it in `folder`, and waits until it is ready.
    ///
    /// # Errors
    /// It cannot be started, or ends before it is ready: with the end of its log.
    pub fn start(folder: &Path, evening: Evening) -> anyhow::Result<Self> {
        let now = Zoned::now().with_time_zone(TimeZone::get(ZONE)?);
        let config = folder.join("demo.toml");
        std::fs::write(&config, configuration(evening, &now)?)
            .with_context(|| format!("writing {}", config.display()))?;
        let mut child = own("serve")?
            .arg("--config")
            .arg(&config)
            .arg("--data-dir")
            .arg(folder.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.join("daemon.log"))?)
            .spawn()
            .context("starting the daemon")?;
        let stdout = child.stdout.take().context("the daemon's output")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Nobody may be interested any more.
                let _ = sender.send(line);
            }
        });
        let mut daemon = Self {
            child,
            lines,
            folder: folder.to_owned(),
            links: BTreeMap::new(),
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        daemon.hear_addresses()?;
        Ok(daemon)
    }

    fn hear_addresses(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + START_PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                bail!("the daemon did not become ready\n{}", self.log_tail());
            };
            if line == "ready" {
                return Ok(());
            }
            let Some((who, address)) = line.split_once(" addr=") else {
                continue;
            };
            let address: SocketAddr = address
                .parse()
                .with_context(|| format!("the daemon said {line:?}"))?;
            if who == "listening admin" {
                self.admin = address;
            } else if let Some(link) = who.strip_prefix("listening link=") {
                self.links.insert(link.to_owned(), address);
            }
        }
    }

    /// Where a link listens.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn link(&self, name: &str) -> anyhow::Result<SocketAddr> {
        self.links
            .get(name)
            .copied()
            .with_context(|| format!("the daemon has no link {name}"))
    }

    /// Lets it drain and stop.
    ///
    /// # Errors
    /// It does not, or not with status 0.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).context("stopping the daemon")?;
        let until = Instant::now() + STOP_PATIENCE;
        // Its output ends when it does.
        while self
            .lines
            .recv_timeout(until.saturating_duration_since(Instant::now()))
            .is_ok()
        {}
        let status = self.wait(until)?;
        if !status.success() {
            bail!("the daemon stopped with {status}\n{}", self.log_tail());
        }
        Ok(())
    }

    fn wait(&mut self, until: Instant) -> anyhow::Result<ExitStatus> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > until {
                bail!("the daemon does not stop\n{}", self.log_tail());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.folder.join("daemon.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(10);
        lines.get(from..).unwrap_or_default().join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This very program as the command `gapless`: what is shown is the real daemon
/// in a process of its own, and nothing beside this binary needs to be built.
fn own(command: &str) -> anyhow::Result<Command> {
    let mut own = Command::new(std::env::current_exe().context("finding this program")?);
    own.arg(command);
    Ok(own)
}

/// What `gapless verify` says, line by line, and whether all is well.
///
/// # Errors
/// It cannot be started.
pub fn verify(folder: &Path) -> anyhow::Result<(bool, Vec<String>)> {
    let output = own("verify")?
        .arg("--data-dir")
        .arg(folder.join("data"))
        .stdin(Stdio::null())
        .output()
        .context("starting gapless verify")?;
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    let lines = said.lines().map(str::to_owned).collect();
    Ok((output.status.success(), lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_evening_is_where_it_was_asked_for() {
        let now: Zoned = "2026-11-25T23:59:50+09:00[Asia/Seoul]".parse().unwrap();
        let evening = Evening {
            cutover_in: Duration::from_secs(14),
            grace: Duration::from_secs(4),
        };
        let text = configuration(evening, &now).unwrap();
        assert!(
            text.contains("cutover = \"00:00:04\"\ngrace_s = 4\n"),
            "{text}"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("demo.toml");
        std::fs::write(&file, &text).unwrap();
        let config = gapless::config::Config::load(&file).unwrap();
        assert_eq!(config.links.len(), 3);
    }
}
