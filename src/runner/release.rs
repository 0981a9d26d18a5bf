//! The tasks of the engine's thread beside the links: releasing what has become
//! durable, administrative jobs, and the look at the wall clock.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use super::clock::{self, WallClock};
use super::core::EngineHandle;

/// Both directions between this thread and the journal's; never ends.
///
/// Wakes links and askers once per durable group: `durable` is notified by the journal
/// thread, which does nothing else for them (it never writes a socket). And tells the
/// journal thread to take what links have handed over.
pub async fn release_durable(engine: EngineHandle, durable: Arc<Notify>) {
    let release = async {
        loop {
            durable.notified().await;
            engine.shared.release();
        }
    };
    tokio::join!(release, close_groups(&engine));
}

/// Closes groups when nobody is ready to add to them.
///
/// Telling the journal thread with each link's read would send the first of a crowd to
/// the disk alone, and all others would wait for that. So it is told in this task's turn,
/// which comes when every connection that was ready has had its own. Nothing is waited
/// for: a lone request's turn is followed by this one.
async fn close_groups(engine: &EngineHandle) {
    let shared = &engine.shared;
    loop {
        shared.gathered.notified().await;
        shared.core.borrow_mut().kick();
    }
}

/// Looks at the wall clock every second and tells of jumps.
pub async fn watch_wall_clock(engine: EngineHandle) {
    let mut every = tokio::time::interval(clock::LOOK_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if let WallClock::Jumped { by_us } = engine.look_at_wall_clock(clock::wall_us()) {
            tracing::error!(
                by_us,
                "the wall clock differs from engine time, which goes on by the monotonic clock; \
                 timed steps wait until it is put right, or confirmed with `gapless clock confirm`"
            );
        }
    }
}
