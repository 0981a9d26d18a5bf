//! ISO 8583 frames and messages: dialects as data, borrowed views, a builder, redaction.
