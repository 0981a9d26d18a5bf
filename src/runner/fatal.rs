//! The one way in which the daemon gives up: the log failed, or memory and log
//! no longer agree. The process stops and recovers from the log when started again.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

/// Remembers the first fatal fault and tells whoever waits for it.
#[derive(Clone, Debug, Default)]
pub struct Fatal {
    reason: Arc<OnceLock<String>>,
    token: CancellationToken,
}

impl Fatal {
    /// Reports a fault; the first one is kept.
    pub fn happened(&self, reason: String) {
        if self.reason.set(reason).is_ok() {
            self.token.cancel();
        }
    }

    /// Whether a fault has been reported.
    #[must_use]
    pub fn has_happened(&self) -> bool {
        // Asked before every message: one atomic load, where the token takes a lock.
        self.reason.get().is_some()
    }

    /// Waits for a fault and tells what it was. Cancel-safe.
    pub async fn wait(&self) -> String {
        self.token.cancelled().await;
        self.reason.get().cloned().unwrap_or_default()
    }
}
