//! A bank in a folder of its own: configuration, demo data, data directory.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::daemon::Daemon;
use super::iso::pan;

/// An account that the terminals use, with its card.
#[derive(Clone, Debug)]
pub struct Account {
    pub number: String,
    pub pan: String,
    /// Balance before the first message, in minor units.
    pub opening: i64,
}

/// What the terminals know of the bank.
#[derive(Clone, Debug)]
pub struct World {
    pub accounts: Vec<Account>,
    /// Accounts that nobody uses, so that the import has something to do.
    pub idle: usize,
}

impl World {
    /// So many rich accounts, poor ones (for declines), and idle ones.
    pub fn new(rich: usize, poor: usize, idle: usize) -> Self {
        let account = |at: usize| Account {
            number: format!("{}", 1_000_000_000 + at),
            pan: pan(&format!("941000{at:09}")),
            opening: if at < rich { 100_000_000 } else { 5_000 },
        };
        Self {
            accounts: (0..rich + poor).map(account).collect(),
            idle,
        }
    }

    /// A PAN that no account has, with the account's index in it.
    pub fn unknown_pan(&self, account: usize) -> String {
        pan(&format!("943000{account:09}"))
    }

    /// Balances before the first message.
    pub fn openings(&self) -> Vec<i64> {
        self.accounts
            .iter()
            .map(|account| account.opening)
            .collect()
    }

    /// The numbers and balances of the accounts that nobody uses.
    pub fn idle_accounts(&self) -> impl Iterator<Item = (String, i64)> {
        let first = self.accounts.len();
        (first..first + self.idle).map(|at| (format!("{}", 1_000_000_000 + at), at as i64))
    }

    /// The import files, as `demo_data` wants them.
    fn write(&self, folder: &Path) {
        let mut accounts = "account,currency,balance_minor,overdraft_minor,status\n".to_owned();
        let mut cards = "pan,expiry,account,status\n".to_owned();
        for account in &self.accounts {
            writeln!(
                accounts,
                "{},KRW,{},0,active",
                account.number, account.opening
            )
            .unwrap();
            writeln!(cards, "{},3012,{},active", account.pan, account.number).unwrap();
        }
        for (number, balance) in self.idle_accounts() {
            writeln!(accounts, "{number},KRW,{balance},0,active").unwrap();
        }
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("accounts.csv"), accounts).unwrap();
        fs::write(folder.join("cards.csv"), cards).unwrap();
    }
}

/// What a test may want otherwise.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Base files after so many events, however large the last one was.
    pub base_after_events: u64,
    /// From the beginning of one checkpoint of the store to the next.
    pub checkpoint_every_ms: u64,
    /// Where the data directory is; in the site's folder if not said.
    pub data_dir: Option<PathBuf>,
    /// More lines for the table `[engine]`.
    pub engine: String,
    /// More lines for the table `[bank]`.
    pub bank: String,
    /// More lines for the table `[journal]`.
    pub journal: String,
    /// More lines for the table `[store]`.
    pub store: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            base_after_events: 1_000_000,
            checkpoint_every_ms: 20,
            data_dir: None,
            engine: String::new(),
            bank: String::new(),
            journal: String::new(),
            store: String::new(),
        }
    }
}

/// The bank's folder; gone when dropped, unless the test has failed and
/// `GAPLESS_KEEP` is set.
pub struct Site {
    pub world: World,
    folder: TempDir,
    data_dir: PathBuf,
}

impl Site {
    /// Lays it out; no daemon is started yet.
    pub fn new(world: World, settings: &Settings) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("gapless-")
            .tempdir()
            .unwrap();
        world.write(&folder.path().join("demo"));
        let data_dir = settings
            .data_dir
            .clone()
            .unwrap_or_else(|| folder.path().join("data"));
        let site = Self {
            world,
            folder,
            data_dir,
        };
        site.configure(settings);
        site
    }

    /// Writes the configuration anew, for the next start.
    pub fn configure(&self, settings: &Settings) {
        let data_dir = &self.data_dir;
        let dialects = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/dialects");
        let Settings {
            base_after_events,
            checkpoint_every_ms,
            engine,
            bank,
            journal,
            store,
            ..
        } = settings;
        let config = format!(
            r#"
data_dir = {data_dir:?}
demo_data = "demo"
dialects = {dialects:?}

[bank]
currencies = ["KRW"]
{bank}

[engine]
accounts = 65_536
cards = 65_536
remembered_transactions = 262_144
attest_every = 1_000
{engine}

[journal]
segment_mib = 4
{journal}

[store]
checkpoint_every_ms = {checkpoint_every_ms}
base_after_events = {base_after_events}
base_after_mib = 64
base_growth_mib = 0
cache_mib = 8
{store}

[admin]
listen = "127.0.0.1:0"

[[links]]
name = "pos"
listen = "127.0.0.1:0"
dialect = "iso87-ascii"
framing = "binary2"
# A busy machine is no fault here.
answer_limit_ms = 0
"#
        );
        fs::write(self.config(), config).unwrap();
    }

    /// Journal, store and keys.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("gapless.toml")
    }

    /// Where the daemon's log goes.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// `gapless` with these arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gapless"));
        command.args(arguments).current_dir(self.folder.path());
        command
    }

    /// Starts the daemon; it may not be ready yet.
    pub fn start(&self) -> Daemon {
        let mut command = self.command(&["serve"]);
        command.arg("--config").arg(self.config());
        Daemon::start(command, &self.log())
    }

    /// `gapless verify` on the data directory.
    pub fn verify(&self) -> Output {
        let mut command = self.command(&["verify"]);
        command.arg("--data-dir").arg(&self.data_dir);
        command.output().unwrap()
    }

    /// `gapless verify` finds nothing.
    pub fn assert_verified(&self) {
        let output = self.verify();
        assert!(
            output.status.success(),
            "gapless verify: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("GAPLESS_KEEP").is_some() {
            self.folder.disable_cleanup(true);
            eprintln!("kept for a look: {}", self.folder.path().display());
        }
    }
}
