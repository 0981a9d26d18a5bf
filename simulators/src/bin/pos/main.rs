//! POS terminal simulator.
fn main() {}
