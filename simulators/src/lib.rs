//! Terminals of the bank's own, for trying and testing the switch.
//!
//! They encode and decode with the crate `iso8583_rs` and share nothing with
//! the daemon, neither codec nor engine, so that every exchange is also an
//! interoperability test. The dialect is ISO 8583:1987 ASCII with binary bitmaps
//! and a 2-byte big-endian length prefix.
//!
//! ```no_run
//! use gapless_simulators::{DemoCard, Terminal};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut terminal = Terminal::connect("127.0.0.1:8583")?;
//! let request = terminal.till.purchase(&DemoCard::regular(17)?, 12_500)?;
//! let answer = terminal.exchange(&request)?;
//! assert_eq!(answer.response_code(), Some("00"));
//! # Ok(())
//! # }
//! ```

// Tests' support speaks of this crate as integration tests do.
#[cfg(test)]
extern crate self as gapless_simulators;

pub mod amounts;
pub mod batch;
pub mod card;
pub mod codes;
pub mod connection;
pub mod currency;
pub mod dump;
pub mod fields;
pub mod message;
pub mod network;
pub mod order;
pub mod quiet;
pub mod scenario;
pub mod state;
pub mod terminal;
pub mod tls;
pub mod wire;

pub use card::{Card, DemoCard};
pub use connection::{Connection, Exchange, ExchangeError};
pub use message::Message;
pub use order::{Kind, Order};
pub use terminal::{Network, OriginalData, Profile, Terminal, Till};
