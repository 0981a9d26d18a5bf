//! The command line of `pos`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use gapless_simulators::currency::Currency;
use gapless_simulators::tls::TlsOptions;
use gapless_simulators::{Card, DemoCard, Kind, Order, Profile, card::IndexTooLong};

const EXIT_CODES: &str = "\
Exit status:
  0         approved (DE 39 = 00), or the scenario passed
  1 to 99   DE 39, where it is a number (51: insufficient funds)
  1         of `run`: a step's answer was not as expected
  64        the command line or the scenario file is wrong; nothing was sent
  101       no answer in time, or the host hung up
  102       no connection to the host
  103       a malformed answer
  104       an answer without numeric DE 39 (or with 64, which means usage here)
  105       the state file cannot be used";

/// A terminal of the bank's own, speaking ISO 8583:1987 (ASCII, binary bitmaps,
/// 2-byte big-endian length) through the crate iso8583_rs.
#[derive(Debug, Parser)]
#[command(name = "pos", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub line: LineArgs,
    #[command(flatten)]
    pub terminal: TerminalArgs,
    #[command(subcommand)]
    pub command: Command,
}

/// Where the host is, and how to reach it.
#[derive(Debug, Args)]
pub struct LineArgs {
    /// Host to connect to
    #[arg(long, global = true, default_value = "127.0.0.1")]
    pub host: String,
    /// Its port
    #[arg(long, global = true, default_value_t = 8583)]
    pub port: u16,
    /// Seconds to wait for the connection, and for an answer
    #[arg(long, global = true, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Use TLS
    #[arg(long, global = true, requires = "ca")]
    tls: bool,
    /// PEM file with the certificates to trust
    #[arg(long, global = true, requires = "tls", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// PEM file with the terminal's own certificate
    #[arg(long, global = true, requires = "key", value_name = "FILE")]
    cert: Option<PathBuf>,
    /// PEM file with that certificate's key
    #[arg(long, global = true, requires = "cert", value_name = "FILE")]
    key: Option<PathBuf>,
    /// Name in the host's certificate [default: --host]
    #[arg(long, global = true, value_name = "NAME")]
    server_name: Option<String>,
}

impl LineArgs {
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    pub fn tls(&self) -> Option<TlsOptions> {
        let ca = self.ca.clone().filter(|_| self.tls)?;
        Some(TlsOptions {
            ca,
            identity: self.cert.clone().zip(self.key.clone()),
            server_name: self
                .server_name
                .clone()
                .unwrap_or_else(|| self.host.clone()),
        })
    }
}

/// Who the terminal is.
#[derive(Debug, Args)]
pub struct TerminalArgs {
    /// Terminal id (DE 41)
    #[arg(long, global = true, default_value = "POS00001")]
    pub terminal: String,
    /// Merchant id (DE 42)
    #[arg(long, global = true, value_name = "ID")]
    merchant: Option<String>,
    /// Acquirer id (DE 32)
    #[arg(long, global = true, value_name = "ID")]
    acquirer: Option<String>,
    /// Forwarder id (DE 33)
    #[arg(long, global = true, value_name = "ID")]
    forwarder: Option<String>,
    /// Currency (DE 49), numeric or alphabetic: 410, KRW, 840, USD
    #[arg(long, global = true, default_value = "KRW", value_parser = currency)]
    currency: Currency,
    /// File for the next number and the last messages, card numbers included,
    /// readable by its owner alone [default: gapless/pos-TERMINAL.toml in the user's state folder]
    #[arg(long, global = true, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Keep no state: numbers come from the clock
    #[arg(long, global = true, conflicts_with = "state")]
    pub no_state: bool,
}

impl TerminalArgs {
    pub fn profile(&self) -> Profile {
        let mut profile = Profile::of_terminal(&self.terminal);
        profile.currency = self.currency.clone();
        profile.forwarder.clone_from(&self.forwarder);
        if let Some(merchant) = &self.merchant {
            profile.merchant.clone_from(merchant);
        }
        if let Some(acquirer) = &self.acquirer {
            profile.acquirer = Some(acquirer.clone());
        }
        profile
    }
}

fn currency(code: &str) -> Result<Currency, String> {
    Currency::parse(code).ok_or_else(|| "use three digits or a code such as KRW".to_owned())
}

/// A card and what is read from it.
#[derive(Debug, Args)]
pub struct CardArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Expiry, YYMM (DE 14) [default: the demo card's own, else not sent]
    #[arg(long, value_name = "YYMM")]
    expiry: Option<String>,
}

/// Which card: exactly one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct WhichArgs {
    /// Card number
    #[arg(long)]
    pan: Option<String>,
    /// Regular demo card by index, 0 to 9999
    #[arg(long, value_name = "INDEX")]
    card: Option<u32>,
    /// Special demo card by index, 0 to 7: see config/demo/README.md
    #[arg(long, value_name = "INDEX")]
    special: Option<u32>,
}

fn choose(
    pan: Option<&str>,
    card: Option<u32>,
    special: Option<u32>,
) -> Result<Card, IndexTooLong> {
    match (card, special) {
        (Some(index), _) => DemoCard::regular(index),
        (None, Some(index)) => DemoCard::special(index),
        (None, None) => Ok(Card::of_pan(pan.unwrap_or_default())),
    }
}

impl CardArgs {
    pub fn card(&self) -> Result<Card, IndexTooLong> {
        let which = &self.which;
        let mut card = choose(which.pan.as_deref(), which.card, which.special)?;
        if let Some(expiry) = &self.expiry {
            card.expiry = Some(expiry.clone());
        }
        Ok(card)
    }
}

/// A card and an amount.
#[derive(Debug, Args)]
pub struct PaymentArgs {
    #[command(flatten)]
    pub card: CardArgs,
    /// Amount in minor units (cents, won)
    #[arg(long, value_name = "MINOR")]
    amount: u64,
}

impl PaymentArgs {
    pub fn order(&self, kind: Kind) -> Result<Order, IndexTooLong> {
        Ok(Order {
            card: Some(self.card.card()?),
            amount_minor: Some(self.amount),
            ..Order::new(kind)
        })
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum AdviceOf {
    Purchase,
    Cash,
    Refund,
}

/// What to reverse: the last financial message of the state file, or the one
/// with --stan there, or one described here with --de7, --stan, card and amount.
#[derive(Debug, Args)]
pub struct ReverseArgs {
    /// Send it as an advice (0420)
    #[arg(long)]
    pub advice: bool,
    /// The amount that really was dispensed, in minor units: a partial reversal (DE 95)
    #[arg(long, value_name = "MINOR")]
    pub final_amount: Option<u64>,
    /// DE 11 of the original
    #[arg(long, value_name = "NUMBER")]
    pub stan: Option<u32>,
    /// DE 7 of the original, MMDDhhmmss; the state file is not asked then
    #[arg(long, value_name = "TIME", requires_all = ["stan", "which_original", "original_amount"])]
    pub de7: Option<String>,
    /// DE 37 of the original
    #[arg(long, requires = "de7")]
    pub rrn: Option<String>,
    /// DE 38 of the answer to the original
    #[arg(long, requires = "de7")]
    pub approval: Option<String>,
    /// Message type of the original
    #[arg(long, requires = "de7", default_value = "0200")]
    pub original_mti: String,
    /// DE 3 of the original
    #[arg(long, requires = "de7", default_value = "000000", value_name = "CODE")]
    pub processing: String,
    #[command(flatten)]
    pub card: OriginalCardArgs,
    /// Amount of the original, in minor units
    #[arg(
        long = "amount",
        id = "original_amount",
        requires = "de7",
        value_name = "MINOR"
    )]
    pub amount: Option<u64>,
}

/// The original's card.
#[derive(Debug, Args)]
#[group(id = "which_original", required = false, multiple = false)]
pub struct OriginalCardArgs {
    /// Card number of the original
    #[arg(
        long = "pan",
        id = "original_pan",
        requires = "de7",
        value_name = "PAN"
    )]
    pan: Option<String>,
    /// Regular demo card of the original
    #[arg(
        long = "card",
        id = "original_card",
        requires = "de7",
        value_name = "INDEX"
    )]
    card: Option<u32>,
    /// Special demo card of the original
    #[arg(
        long = "special",
        id = "original_special",
        requires = "de7",
        value_name = "INDEX"
    )]
    special: Option<u32>,
}

impl OriginalCardArgs {
    pub fn card(&self) -> Result<Card, IndexTooLong> {
        choose(self.pan.as_deref(), self.card, self.special)
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Purchase (0200, processing code 00)
    Purchase(PaymentArgs),
    /// Cash withdrawal (01)
    Cash(PaymentArgs),
    /// Purchase with cashback (09): --amount is the total
    Cashback {
        #[command(flatten)]
        payment: PaymentArgs,
        /// The cash part, in minor units
        #[arg(long, value_name = "MINOR")]
        cashback: u64,
    },
    /// Refund (20)
    Refund(PaymentArgs),
    /// Balance inquiry (31)
    Balance {
        #[command(flatten)]
        card: CardArgs,
        /// Ask for the available balance only (30)
        #[arg(long)]
        available: bool,
    },
    /// On-us transfer (40)
    Transfer {
        #[command(flatten)]
        payment: PaymentArgs,
        /// Account to debit (DE 102) [default: the demo card's own]
        #[arg(long, value_name = "ACCOUNT")]
        from: Option<String>,
        /// Account to credit (DE 103)
        #[arg(long, value_name = "ACCOUNT")]
        to: String,
    },
    /// Financial advice (0220): already done, to be force-posted
    Advice {
        #[command(flatten)]
        payment: PaymentArgs,
        /// What was done
        #[arg(long, value_enum, default_value = "purchase")]
        of: AdviceOf,
    },
    /// Reversal (0400) of an earlier transaction
    Reverse(Box<ReverseArgs>),
    /// The last message again, as a repeat (0201, 0221, 0401, 0421)
    Repeat,
    /// Echo test (0800, DE 70 = 301)
    Echo,
    /// Sign-on (0800, DE 70 = 001)
    SignOn,
    /// Sign-off (0800, DE 70 = 002)
    SignOff,
    /// Run scenario files: see simulators/scenarios/README.md
    Run {
        /// The scenarios, in TOML
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Show every message, not only those of a step that fails
        #[arg(long, short)]
        verbose: bool,
    },
}
