//! The deterministic core: commands in, events and outcomes out.
//!
//! No I/O, no clock, no randomness. `decide` is pure, `check` refuses what would
//! break an invariant, and `apply` is the only thing that changes state, live and in replay alike.

pub mod code;
pub mod command;
pub mod date;
pub mod ids;
pub mod outcome;
