//! A seeded simulation of the whole switch: session, adapter, runner, engine, journal
//! and follower as they are, with simulated clocks, disk and links, one thread, and an
//! auditor that predicts each answer from its own books. The same seed is the same run.
//!
//! [docs/simulation.md](../../../docs/simulation.md) says what it does and how to use it.

// It is a test: what it does not expect ends it, and its campaign tells the seed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

pub mod auditor;
mod bank;
pub mod campaign;
pub mod coverage;
pub mod message;
pub mod mutations;
pub mod node;
mod peers;
pub mod plan;
pub mod rng;
pub mod traffic;
mod troubles;
pub mod twins;
mod world;

pub use world::{Failed, Report, run};
