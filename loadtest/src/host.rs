//! Hosts as child processes: the baselines out of this program, and the daemon,
//! each with what it needs in a temporary folder, gone when it is dropped, or when a
//! signal ends the program.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};

use crate::admin::Admin;
use crate::cards::Cards;
use crate::running;

/// How long a host may take until it listens: zeroing its files, loading.
const PATIENCE: Duration = Duration::from_secs(120);

/// What it says on standard error, in its folder.
const LOG: &str = "log";

/// Rows of one import.
const IMPORT_ROWS: u32 = 200_000;

/// Opening balance of every account: more than any run spends.
const OPENING_MINOR: u64 = 100_000_000_000;

/// Where the address of a PostgreSQL server stands, which may have a password in
/// it: arguments can be read by others.
pub const POSTGRES: &str = "GAPLESS_LOADTEST_POSTGRES";

/// What of the daemon's configuration is not as shipped.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `journal.test_events_per_s`; 0: the journal is not throttled.
    pub events_per_s: u32,
    /// `engine.max_journal_wait_ms`; `None`: as shipped.
    pub journal_wait_ms: Option<u32>,
    /// Whether `store.checkpoints` is off.
    pub without_checkpoints: bool,
    /// `store.checkpoint_every_ms`; `None`: as shipped.
    pub checkpoint_every_ms: Option<u32>,
}

/// A host that runs as a child.
#[derive(Debug)]
pub struct Host {
    /// Where it takes messages.
    pub address: SocketAddr,
    /// Where its admin side is, if it has one.
    pub admin: Option<SocketAddr>,
    pid: u32,
    dir: PathBuf,
    /// Ends it.
    _key: running::Key,
}

impl Host {
    /// A baseline of this program: `null` or `null-durable`. Its file lies in
    /// `disk`.
    ///
    /// # Errors
    /// It cannot be started, or ends before it listens.
    pub fn baseline(kind: &str, disk: &Path) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("this program's path")?;
        Self::start(disk, "listening addr=", |dir| {
            let mut command = Command::new(own);
            command.args(["baseline", kind, "--dir"]).arg(dir);
            Ok(command)
        })
    }

    /// The naive peer of this program, on a PostgreSQL server.
    ///
    /// # Errors
    /// It cannot be started, or ends before it listens.
    pub fn postgres(url: &str, cards: u32, disk: &Path) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("this program's path")?;
        Self::start(disk, "listening addr=", |_| {
            let mut command = Command::new(own);
            command
                .args(["baseline", "postgres", "--cards", &cards.to_string()])
                .env(POSTGRES, url);
            Ok(command)
        })
    }

    /// The daemon, with these cards imported and one link in iso87-ascii.
    ///
    /// # Errors
    /// It cannot be started, ends before it is ready, or refuses the import.
    pub fn daemon(
        program: &Path,
        disk: &Path,
        cards: &Cards,
        settings: &Settings,
    ) -> anyhow::Result<Self> {
        let host = Self::start(disk, "ready", |dir| {
            let config = dir.join("gapless.toml");
            std::fs::write(&config, configuration(cards.count(), settings))
                .with_context(|| config.display().to_string())?;
            let mut command = Command::new(program);
            command
                .arg("serve")
                .arg("--config")
                .arg(&config)
                .arg("--data-dir")
                .arg(dir.join("data"));
            Ok(command)
        })?;
        import(&host.admin()?, cards)?;
        Ok(host)
    }

    fn start(
        disk: &Path,
        last: &str,
        command: impl FnOnce(&Path) -> anyhow::Result<Command>,
    ) -> anyhow::Result<Self> {
        let mut program = String::new();
        let (key, (pid, dir, lines)) = running::start(
            disk,
            |dir| {
                let log = dir.join(LOG);
                let errors = File::create(&log).with_context(|| log.display().to_string())?;
                let mut command = command(dir)?;
                program = command.get_program().to_string_lossy().into_owned();
                command
                    .stdin(Stdio::null())
                    .stdout(Stdio::piped())
                    .stderr(errors);
                Ok(command)
            },
            |child, dir| {
                let lines = child.stdout.take().map(read_lines);
                (child.id(), dir.to_path_buf(), lines)
            },
        )?;
        let mut host = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin: None,
            pid,
            dir,
            _key: key,
        };
        let lines = lines.context("its standard output")?;
        let until = Instant::now() + PATIENCE;
        let mut address = None;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = lines.recv_timeout(left) else {
                let told = std::fs::read_to_string(host.dir.join(LOG)).unwrap_or_default();
                let told = told.lines().last().unwrap_or("it said nothing");
                bail!("{program} did not come up: {told}");
            };
            if let Some((what, place)) = line.rsplit_once("addr=") {
                let place = place.trim().parse().with_context(|| line.clone())?;
                if what.contains("admin") {
                    host.admin = Some(place);
                } else {
                    address = Some(place);
                }
            }
            if line.starts_with(last) {
                break;
            }
        }
        host.address = address.with_context(|| format!("{program} named no address"))?;
        Ok(host)
    }

    /// Its process.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Its folder: data, configuration, log.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its admin side.
    ///
    /// # Errors
    /// It has none.
    pub fn admin(&self) -> anyhow::Result<Admin> {
        let address = self.admin.context("the host named no admin address")?;
        Admin::new(&format!("http://{address}"), None)
    }
}

/// Lines as they come; the channel breaks when there are no more.
fn read_lines(output: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Read to the end even when nobody listens any more: a full pipe
            // would stop the host.
            let _ = sender.send(line);
        }
    });
    lines
}

fn configuration(cards: u32, settings: &Settings) -> String {
    let room = cards.saturating_add(1_024);
    let wait = settings
        .journal_wait_ms
        .map_or(String::new(), |ms| format!("max_journal_wait_ms = {ms}\n"));
    let every = settings
        .checkpoint_every_ms
        .map_or(String::new(), |ms| format!("checkpoint_every_ms = {ms}\n"));
    format!(
        "[engine]\naccounts = {room}\ncards = {room}\n{wait}\
         [journal]\ntest_events_per_s = {events_per_s}\n\
         [store]\ncheckpoints = {checkpoints}\n{every}\
         [admin]\nlisten = \"127.0.0.1:0\"\n\
         [log]\nlevel = \"warn\"\n\
         [[links]]\nname = \"load\"\nlisten = \"127.0.0.1:0\"\ndialect = \"iso87-ascii\"\n\
         max_connections = 4_096\nmax_in_flight = 65_536\nanswer_limit_ms = 0\n",
        events_per_s = settings.events_per_s,
        checkpoints = !settings.without_checkpoints,
    )
}

fn import(admin: &Admin, cards: &Cards) -> anyhow::Result<()> {
    for kind in [
        "account,currency,balance_minor,overdraft_minor,status",
        "pan,expiry,account,status",
    ] {
        let is_cards = kind.starts_with("pan");
        let rows = if is_cards {
            cards.count()
        } else {
            cards.accounts()
        };
        for first in (0..rows).step_by(IMPORT_ROWS as usize) {
            let mut csv = format!("{kind}\n");
            for index in first..rows.min(first.saturating_add(IMPORT_ROWS)) {
                // Writing to a string does not fail.
                let _ = if is_cards {
                    let pan = cards.pan(index);
                    let account = cards.account_name(cards.account_of(index));
                    writeln!(csv, "{pan},3012,{account},active")
                } else {
                    let account = cards.account_name(index);
                    writeln!(csv, "{account},KRW,{OPENING_MINOR},0,active")
                };
            }
            admin.import(csv.as_bytes()).context("import")?;
        }
    }
    Ok(())
}

/// The daemon's program: the one named, or the one built from this workspace,
/// which cargo makes new if need be.
///
/// # Errors
/// There is none, and none can be built.
pub fn program(named: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(path) = named {
        ensure!(path.is_file(), "--gapless {}: no such file", path.display());
        return Ok(path.clone());
    }
    let own = std::env::current_exe().context("this program's path")?;
    let folder = own.parent().context("this program's folder")?;
    let sibling = folder.join("gapless");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    // Under `cargo run` cargo says where it is.
    if let (Some(cargo), Some(workspace)) = (std::env::var_os("CARGO"), workspace)
        && workspace.join("Cargo.toml").is_file()
    {
        eprintln!("building gapless (nothing to do if it is up to date)");
        let mut build = Command::new(cargo);
        build.args([
            "build",
            "--quiet",
            "--package",
            "gapless",
            "--bin",
            "gapless",
        ]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let done = build
            .current_dir(workspace)
            .status()
            .context("cargo build")?;
        ensure!(done.success(), "cargo build has failed");
    }
    if sibling.is_file() {
        return Ok(sibling);
    }
    Err(anyhow!(
        "{}: there is no daemon; build it, or name it with --gapless",
        sibling.display()
    ))
}

/// The disk that is judged, if none is named: where this workspace or this
/// program lies, since a temporary folder may be memory.
///
/// # Errors
/// The working directory cannot be read.
pub fn default_disk() -> anyhow::Result<PathBuf> {
    std::env::current_dir().context("working directory")
}

/// Whether a folder can be written to.
///
/// # Errors
/// It cannot, with its path.
pub fn check_disk(disk: &Path) -> anyhow::Result<()> {
    tempfile::tempfile_in(disk)
        .map(drop)
        .with_context(|| disk.display().to_string())
}
