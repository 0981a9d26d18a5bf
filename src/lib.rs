//! Gapless: a debit-card authorisation switch that never closes.

pub mod adapter;
pub mod cli;
pub mod admin;
pub mod config;
pub mod daemon;
pub mod import;
pub mod telemetry;
pub mod link;
pub mod runner;

pub use daemon::{RunError, Running, run};
