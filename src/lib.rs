//! Gapless: a debit-card authorisation switch that never closes.

pub mod adapter;
pub mod admin;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod import;
pub mod link;
pub mod runner;
pub mod telemetry;

pub use daemon::{RunError, Running, run};
