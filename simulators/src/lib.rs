//! Shared by the simulators: the iso8583_rs specification and the wire.
