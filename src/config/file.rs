//! The file as it is written, before it is checked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use gapless_iso8583::{Framing, LengthForm};
use serde::Deserialize;

use super::{
    Bank, CurrencyCode, EngineConfig, JournalConfig, LogConfig, Network, OperationName,
    StoreConfig, TlsConfig,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileConfig {
    #[serde(default = "default_data_dir")]
    pub data_dir: PathBuf,
    #[serde(default)]
    pub demo_data: Option<PathBuf>,
    #[serde(default = "default_dialects")]
    pub dialects: PathBuf,
    #[serde(default)]
    pub bank: Bank,
    #[serde(default)]
    pub engine: EngineConfig,
    #[serde(default)]
    pub journal: JournalConfig,
    #[serde(default)]
    pub store: StoreConfig,
    #[serde(default)]
    pub admin: FileAdmin,
    #[serde(default)]
    pub networks: Vec<Network>,
    #[serde(default)]
    pub links: Vec<FileLink>,
    #[serde(default)]
    pub log: LogConfig,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileAdmin {
    pub listen: SocketAddr,
    pub token_file: Option<PathBuf>,
    pub token_env: Option<String>,
    pub max_connections: u32,
    pub read_timeout_s: u32,
    pub max_import_mib: u32,
}

impl Default for FileAdmin {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8580)),
            token_file: None,
            token_env: None,
            max_connections: 64,
            read_timeout_s: 10,
            max_import_mib: 1024,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileLink {
    pub name: String,
    pub listen: SocketAddr,
    pub dialect: String,
    #[serde(default = "default_framing")]
    pub framing: Framing,
    #[serde(default)]
    pub network: Option<String>,
    #[serde(default = "default_max_connections")]
    pub max_connections: u32,
    #[serde(default = "default_max_in_flight")]
    pub max_in_flight: u32,
    #[serde(default = "default_idle_timeout_s")]
    pub idle_timeout_s: u32,
    #[serde(default = "default_frame_timeout_s")]
    pub frame_timeout_s: u32,
    #[serde(default = "default_answer_limit_ms")]
    pub answer_limit_ms: u32,
    #[serde(default = "default_max_unsent_bytes")]
    pub max_unsent_bytes: u32,
    #[serde(default = "default_slow_reader_timeout_s")]
    pub slow_reader_timeout_s: u32,
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    #[serde(default = "default_allow")]
    pub allow: Vec<OperationName>,
    #[serde(default)]
    pub cardless_transfers: Option<bool>,
    #[serde(default)]
    pub max_amount_minor: BTreeMap<CurrencyCode, u64>,
    #[serde(default)]
    pub sign_on_required: bool,
}

fn default_data_dir() -> PathBuf {
    PathBuf::from("data")
}

fn default_dialects() -> PathBuf {
    PathBuf::from("dialects")
}

const fn default_framing() -> Framing {
    Framing::new(LengthForm::Binary2)
}

const fn default_max_connections() -> u32 {
    1_024
}

const fn default_max_in_flight() -> u32 {
    1_024
}

const fn default_idle_timeout_s() -> u32 {
    600
}

const fn default_frame_timeout_s() -> u32 {
    5
}

/// FIELD.md, "Time limits": the shortest of the networks' limits.
const fn default_answer_limit_ms() -> u32 {
    5_000
}

const fn default_max_unsent_bytes() -> u32 {
    256 << 10
}

const fn default_slow_reader_timeout_s() -> u32 {
    10
}

fn default_allow() -> Vec<OperationName> {
    OperationName::ALL.to_vec()
}
