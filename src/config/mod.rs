//! Configuration: one TOML file, typed, read whole before a port is bound.
//!
//! Unknown keys are refused. Every error is one line, `FILE:LINE: key: what`,
//! and `gapless` leaves with exit status 64 ([`EXIT_USAGE`]). `docs/configuration.md`
//! lists every key; a test keeps the list whole.
//!
//! Relative paths in the file are relative to the file, except `data_dir`, which
//! is relative to the working directory.

mod check;
pub mod currency;
mod file;
mod locate;
mod secret;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gapless_engine::command::Operation;
use gapless_engine::ids::NetworkId;
use gapless_iso8583::{Dialect, Framing};
use serde::Deserialize;

pub use currency::CurrencyCode;
pub use locate::ConfigError;
pub use secret::Secret;

/// Exit status for a wrong command line or configuration (sysexits.h, EX_USAGE).
pub const EXIT_USAGE: u8 = 64;

/// All of the configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that it was read from.
    pub file: PathBuf,
    /// Where journal, store and keys live; relative to the working directory.
    pub data_dir: PathBuf,
    /// Folder with `accounts.csv` and `cards.csv` to load when the data directory is new.
    pub demo_data: Option<PathBuf>,
    /// The bank.
    pub bank: Bank,
    /// The engine's bounds.
    pub engine: EngineConfig,
    /// The journal's files.
    pub journal: JournalConfig,
    /// The follower's store.
    pub store: StoreConfig,
    /// The admin HTTP listener.
    pub admin: AdminConfig,
    /// Networks, by name.
    pub networks: Vec<Network>,
    /// Listeners for terminals and networks.
    pub links: Vec<LinkConfig>,
    /// Logging.
    pub log: LogConfig,
}

/// What belongs to the bank as a whole.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bank {
    /// IANA time zone of the bank's calendar days.
    pub zone: String,
    /// Currencies that accounts may be kept in; each gets internal accounts.
    pub currencies: Vec<CurrencyCode>,
    /// When the bank cuts over, HH:MM of its zone: before noon on the day after the
    /// business date, from noon on the same day.
    pub cutover: CutoverTime,
    /// So long after the cutover late items still get the closing date; then it is frozen.
    pub grace_s: u32,
    /// A network's cutover opens the next date so long before the bank's, at most.
    pub early_s: u32,
}

/// A time of day, HH:MM or HH:MM:SS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutoverTime {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59; 0 when left out.
    pub second: u8,
}

impl CutoverTime {
    fn new(text: &str) -> Option<Self> {
        let digits = |text: &str, below: u8| {
            let two = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
            let number: u8 = two.then(|| text.parse().ok())??;
            (number < below).then_some(number)
        };
        let (hour, rest) = text.split_once(':')?;
        let (minute, second) = rest.split_once(':').unwrap_or((rest, "00"));
        Some(Self {
            hour: digits(hour, 24)?,
            minute: digits(minute, 60)?,
            second: digits(second, 60)?,
        })
    }
}

impl<'de> Deserialize<'de> for CutoverTime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).ok_or_else(|| {
            serde::de::Error::custom(format_args!(
                "{text:?} is no time of day, as in \"00:00\" or \"23:30:15\""
            ))
        })
    }
}

/// The engine's bounds. Tables are chunked and pre-faulted up to them.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Most accounts, internal ones included.
    pub accounts: u32,
    /// Most cards.
    pub cards: u32,
    /// Most answers and originals remembered; when it is reached, requests are refused
    /// with 91, while advices and reversals have a reserve.
    pub remembered_transactions: u32,
    /// Most of them whose records are in memory: the oldest of what is more goes to
    /// files. `None`: all.
    pub remembered_in_memory: Option<u32>,
    /// Every so many events the state's hash is journaled, for replay to prove itself against.
    pub attest_every: u64,
    /// Most bytes decided but not yet durable; above it requests are refused with 91.
    pub max_pending_journal_bytes: u64,
    /// Longest time that an accepted request may wait for the journal, in milliseconds;
    /// those that would wait longer are refused with 91. 0: as long as it takes.
    pub max_journal_wait_ms: u32,
}

impl EngineConfig {
    /// Most accounts, and most cards, that can be configured.
    pub const MOST_ROWS: u32 = 100_000_000;
    /// Most remembered transactions that can be configured.
    pub const MOST_REMEMBERED: u32 = 200_000_000;
    /// Fewest remembered transactions that memory can be held to.
    pub const FEWEST_IN_MEMORY: u32 = 1_024;
}

/// The journal's files.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JournalConfig {
    /// Size of one segment file, in MiB.
    pub segment_mib: u32,
    /// Zeroed segments held ready beyond the one in use.
    pub reserve_segments: u32,
    /// For tests only: the journal takes at most so many events a second, as a slow
    /// disk would; 0: as many as it can.
    pub test_events_per_s: u32,
}

/// The follower's store: sled rows and base files.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// Whether changed rows are written to sled; without them a start begins from the
    /// newest base file and replays what came since.
    pub checkpoints: bool,
    /// From the beginning of one checkpoint of changed rows to the next, in milliseconds.
    pub checkpoint_every_ms: u64,
    /// A base file is written whenever the journal since the last one exceeds this, in MiB,
    pub base_after_mib: u64,
    /// ... or this many events.
    pub base_after_events: u64,
    /// Either way not before the journal has grown by the size of the last one, or by
    /// this, in MiB. 0: that size does not matter.
    pub base_growth_mib: u64,
    /// sled's cache, in MiB.
    pub cache_mib: u32,
}

/// The admin HTTP listener.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Its address; anything but loopback needs a token.
    pub listen: SocketAddr,
    /// Bearer token, from `token_file` or the environment variable named by `token_env`.
    pub token: Option<Secret>,
    /// Most connections at a time.
    pub max_connections: u32,
    /// A request's head, or the next piece of its body, must come within this.
    pub read_timeout: Duration,
    /// Largest import file, in bytes.
    pub max_import_bytes: u64,
}

/// A card network.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Its name, as links refer to it.
    pub name: String,
    /// Its number in the journal: 1 to 65535, never reused for another network.
    pub id: u16,
    /// What DE 15 of its cutover message names.
    #[serde(default)]
    pub cutover_date: CutoverDate,
    /// Whether the bank's cutover is announced to it.
    #[serde(default)]
    pub announce_cutover: bool,
    /// Whether its ended settlement dates are reconciled by us (0500).
    #[serde(default)]
    pub reconcile: bool,
    /// After so long without a message from it, it is asked whether it is there; 0: never.
    #[serde(default)]
    pub echo_after_s: u32,
    /// Its answer to a message of ours is waited for so long before it is repeated.
    #[serde(default = "default_reply_wait_s")]
    pub reply_wait_s: u32,
}

/// FIELD.md, "Time limits": points of sale.
const fn default_reply_wait_s() -> u32 {
    10
}

/// What a network's profile asks this side to send of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Duties {
    /// The bank's cutover (0800, DE 70 = 201).
    pub announce_cutover: bool,
    /// Our reconciliation (0500) of each settlement date that has ended.
    pub reconcile: bool,
    /// An echo (0800, DE 70 = 301) after so long without a message; 0: never.
    pub echo_after_s: u32,
    /// An answer is waited for so long before the message is repeated.
    pub reply_wait_s: u32,
}

/// What DE 15 of a network's cutover message (0800, DE 70 = 201) names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CutoverDate {
    /// The settlement date that begins.
    #[default]
    New,
    /// The settlement date that has just ended.
    Ended,
}

impl Network {
    /// What it asks this side to send of itself.
    #[must_use]
    pub const fn duties(&self) -> Duties {
        Duties {
            announce_cutover: self.announce_cutover,
            reconcile: self.reconcile,
            echo_after_s: self.echo_after_s,
            reply_wait_s: self.reply_wait_s,
        }
    }

    /// As the engine knows it.
    #[must_use]
    pub const fn network_id(&self) -> NetworkId {
        NetworkId(self.id)
    }
}

/// A listener for terminals or a network.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// Its name, in logs and metrics.
    pub name: String,
    /// Its address; port 0 takes any free port.
    pub listen: SocketAddr,
    /// The messages' layout, read and checked.
    pub dialect: Arc<Dialect>,
    /// The dialect's name.
    pub dialect_name: String,
    /// How messages are cut from the stream, with the largest frame.
    pub framing: Framing,
    /// The network behind it, by name; `None`: the bank's own terminals.
    pub network: Option<String>,
    /// The network's number; [`NetworkId::OWN_TERMINALS`] without one.
    pub network_id: NetworkId,
    /// What DE 15 of the network's cutover message names.
    pub cutover_date: CutoverDate,
    /// What the network's profile asks this side to send; nothing to own terminals.
    pub duties: Duties,
    /// Most connections at a time.
    pub max_connections: u32,
    /// Most unanswered requests per connection.
    pub max_in_flight: u32,
    /// A connection that has sent nothing for this long is closed; 0: never.
    pub idle_timeout_s: u32,
    /// A frame begun must be whole within this.
    pub frame_timeout_s: u32,
    /// An answer later than this after its request came is kept back and counted; 0: never.
    pub answer_limit_ms: u32,
    /// Most bytes of answers waiting for a peer that does not read; above it reading stops.
    pub max_unsent_bytes: u32,
    /// A peer that has read nothing for this long, with answers waiting, is closed.
    pub slow_reader_timeout_s: u32,
    /// TLS; plain TCP without.
    pub tls: Option<TlsConfig>,
    /// What may be asked for; anything else is declined 57.
    pub allow: Vec<OperationName>,
    /// Whether a transfer (DE 102 to 103) may come without a card.
    pub cardless_transfers: bool,
    /// Amounts above it are declined 61, by currency, in minor units.
    pub max_amount_minor: BTreeMap<CurrencyCode, u64>,
    /// Whether an 0800 sign-on must come before financial traffic.
    pub sign_on_required: bool,
}

impl LinkConfig {
    /// Whether this link's configuration allows the operation.
    #[must_use]
    pub fn allows(&self, operation: Operation) -> bool {
        self.allow.iter().any(|name| name.covers(operation))
    }
}

/// TLS on a link.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM: the server's certificate, then its chain.
    pub certificate: PathBuf,
    /// PEM: the certificate's private key.
    pub key: PathBuf,
    /// PEM: who signs the clients' certificates; clients need none without it.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

/// What a link may ask for, as the configuration writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationName {
    /// Processing code 00.
    Purchase,
    /// Processing code 01.
    Cash,
    /// Processing code 09.
    PurchaseWithCashback,
    /// Processing code 20.
    Refund,
    /// Processing codes 30 and 31.
    BalanceInquiry,
    /// Processing code 40.
    Transfer,
}

impl OperationName {
    /// Every one: the default of a link's `allow`.
    pub const ALL: [Self; 6] = [
        Self::Purchase,
        Self::Cash,
        Self::PurchaseWithCashback,
        Self::Refund,
        Self::BalanceInquiry,
        Self::Transfer,
    ];

    /// Whether the engine's operation goes by this name.
    #[must_use]
    pub const fn covers(self, operation: Operation) -> bool {
        matches!(
            (self, operation),
            (Self::Purchase, Operation::Purchase)
                | (Self::Cash, Operation::Cash)
                | (Self::PurchaseWithCashback, Operation::PurchaseWithCashback)
                | (Self::Refund, Operation::Refund)
                | (
                    Self::BalanceInquiry,
                    Operation::InquiryAvailable | Operation::InquiryBalance
                )
                | (Self::Transfer, Operation::Transfer)
        )
    }
}

/// Logging, to standard error.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter as in `info,gapless::link=debug`.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Bank {
    fn default() -> Self {
        Self {
            zone: "Asia/Seoul".to_owned(),
            currencies: CurrencyCode::from_alphabetic("KRW").into_iter().collect(),
            cutover: CutoverTime {
                hour: 0,
                minute: 0,
                second: 0,
            },
            grace_s: 300,
            early_s: 3_600,
        }
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            accounts: 1 << 20,
            cards: 1 << 20,
            remembered_transactions: 1 << 24,
            remembered_in_memory: None,
            attest_every: 100_000,
            max_pending_journal_bytes: 8 << 20,
            max_journal_wait_ms: 1_000,
        }
    }
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            segment_mib: 64,
            reserve_segments: 1,
            test_events_per_s: 0,
        }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            checkpoints: true,
            checkpoint_every_ms: 10_000,
            base_after_mib: 256,
            base_after_events: 1_000_000,
            base_growth_mib: 2_048,
            cache_mib: 4,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

impl Config {
    /// Reads and checks the whole file: types, unknown keys, and everything that
    /// can be known before a port is bound.
    ///
    /// # Errors
    /// The first thing that is wrong, in one line with file, line and key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|why| ConfigError::file(path, &why))?;
        Self::from_text(path, &text)
    }

    /// As [`Config::load`], from text that is already read; `path` is where
    /// relative paths start from, and what errors name.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_text(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let source = locate::Source::parse(path, text)?;
        check::checked(&source, source.read()?)
    }

    /// An error about a value of `file` that only shows in use, told as one that a
    /// check finds.
    #[must_use]
    pub fn wrong(file: &Path, table: &str, key: &str, what: &str) -> ConfigError {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        // It was read a moment ago; changed since, its first line has to do.
        locate::Source::parse(file, &text).map_or_else(
            |changed| changed,
            |source| source.error(locate::at![table, key], what),
        )
    }
}

/// The dialect of this name: `NAME.toml` in the folder if it is there, else one
/// of those that come with the product.
///
/// # Errors
/// What is wrong, in one line.
pub fn read_dialect(folder: &Path, name: &str) -> Result<Arc<Dialect>, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
        return Err(format!("{name:?} is no name of a dialect"));
    }
    let path = folder.join(format!("{name}.toml"));
    match std::fs::read_to_string(&path) {
        Ok(text) => Dialect::parse(name, &text)
            .map(Arc::new)
            .map_err(|why| format!("{}: {why}", path.display())),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Dialect::builtin(name)
            .ok_or_else(|| {
                format!(
                    "unknown dialect {name:?}: there is no {}, and the built-in ones are {}",
                    path.display(),
                    Dialect::BUILTIN_NAMES.join(", ")
                )
            }),
        Err(why) => Err(format!("{}: {why}", path.display())),
    }
}
