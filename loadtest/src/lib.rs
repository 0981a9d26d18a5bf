//! Load tester for ISO 8583 hosts, in a closed loop: each of several
//! connections keeps a number of requests in flight and sends the next one when
//! an answer comes.
//!
//! An answer is matched on DE 11, 37 and 41; STAN alone is never a key. A run
//! always ends: whatever the host does is counted and shown. Once warm, a
//! message costs no allocation.

pub mod cards;
pub mod cli;
mod client;
mod clock;
mod flight;
pub mod mix;
pub mod plan;
pub mod report;
mod request;
mod rng;
pub mod run;
pub mod stats;
