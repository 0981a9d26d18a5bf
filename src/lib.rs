//! Gapless: a debit-card authorisation switch that never closes.

pub mod adapter;
pub mod config;
pub mod import;
pub mod telemetry;
pub mod link;
