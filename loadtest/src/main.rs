//! Load tester for ISO 8583 hosts.
fn main() {}
