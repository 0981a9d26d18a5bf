//! Load tester for ISO 8583 hosts.
//!
//! In an open loop requests arrive by a schedule, whatever the host does, and a
//! latency counts from the intended send time, so that a stall is felt by all who
//! would have come during it. In a closed loop each connection keeps a number of
//! requests in flight.
//!
//! An answer is matched on DE 11, 37 and 41; STAN alone is never a key. A run
//! always ends: whatever the host does is counted and shown. Once warm, a
//! message costs no allocation.

pub mod admin;
pub mod assertion;
pub mod audit;
mod bank;
pub mod bars;
pub mod baseline;
mod board;
mod card_files;
pub mod cards;
mod choice;
pub mod cli;
mod clock;
pub mod commands;
pub mod compare;
mod connection;
pub mod cpu;
mod flight;
pub mod goal;
pub mod host;
pub mod ledger;
pub mod measure;
pub mod mix;
mod mix_file;
pub mod night;
pub mod open_loop;
pub mod overload;
mod pace;
pub mod page;
pub mod phases;
pub mod plan;
pub mod plot;
mod progress;
pub mod report;
mod request;
mod rng;
mod running;
pub mod saturation;
pub mod schedule;
pub mod soak;
pub mod stats;
mod stream;
mod tally;
pub mod timeline;
pub mod variants;
pub use stream::Tls;
