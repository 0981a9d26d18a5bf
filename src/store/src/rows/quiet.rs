//! sled 0.34.7 panics on what a disk may hold. Such a panic is caught, and told
//! as one log line instead of a panic message on stderr.

use std::panic;
use std::sync::Once;

/// Name of the thread that alone calls sled.
pub(crate) const ROWS_THREAD: &str = "gapless-rows";
/// How sled names its own threads.
const SLED_THREADS: &str = "sled-io-";

/// Puts a hook before the present one that keeps the panics of sled's threads off stderr.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let thread = std::thread::current();
            let of_sled = thread
                .name()
                .is_some_and(|name| name == ROWS_THREAD || name.starts_with(SLED_THREADS));
            if of_sled {
                // The place only: a message of sled's may print keys and values.
                let place = info
                    .location()
                    .map_or_else(String::new, ToString::to_string);
                tracing::warn!(place, "sled gave up on what it read or on its disk");
            } else {
                next(info);
            }
        }));
    });
}
