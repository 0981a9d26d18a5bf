//! The one place that knows both ISO 8583 and the engine: message to request,
//! outcome to response, DE 39.

mod keys;

pub use keys::{KeyError, PanKeys};
