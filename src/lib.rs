//! Gapless: a debit-card authorisation switch that never closes.

pub mod adapter;
