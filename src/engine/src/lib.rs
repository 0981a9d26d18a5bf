//! The deterministic core: commands in, events and outcomes out.
