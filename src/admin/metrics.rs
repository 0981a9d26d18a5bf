//! `GET /metrics`

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use gapless_engine::{Engine, Phase as DatePhase};
use gapless_journal::Room;

use super::Shared;
use crate::runner::Phase;

pub(super) async fn metrics(State(site): State<Shared>) -> impl IntoResponse {
    let status = site.status();
    let gauges = &site.daemon;
    gauges.ready.set(u8::from(status.phase == Phase::Ready));
    set(&gauges.head_sequence, status.head);
    set(&gauges.durable_sequence, status.durable);
    set(
        &gauges.follower_lag_events,
        status.durable.saturating_sub(status.follower.applied),
    );
    gauges
        .follower_faulty
        .set(u8::from(status.follower.is_faulty));
    gauges.journal_room.set(match status.room {
        Room::Normal => 2u8,
        Room::Reserved => 1,
        Room::Full => 0,
    });
    set(&gauges.clock_jumps, status.clock_jumps);
    gauges.clock_off.set(u8::from(status.clock_is_off));
    set(&gauges.cutover_overdue_s, status.cutover_overdue_s);
    // Not there while recovering; then the rest is shown without it.
    let look = |engine: &Engine| {
        let in_memory = engine.records_in_memory();
        let rolled_forward = engine.rolled_forward();
        (
            engine.counts(),
            in_memory,
            engine.business(),
            rolled_forward,
        )
    };
    set(&gauges.remembered_fetched, status.fetched.0);
    set(&gauges.remembered_unreadable, status.fetched.1);
    if let Ok((counts, in_memory, business, rolled_forward)) = site.read(look).await {
        gauges.accounts.set(counts.accounts);
        gauges.cards.set(counts.cards);
        gauges.remembered.set(counts.remembered);
        gauges.remembered_in_memory.set(in_memory);
        set(&gauges.exceptions, counts.exceptions);
        set(&gauges.breaches, counts.breaches);
        gauges.business_date_days.set(business.default.0);
        gauges.date_state.set(match business.phase {
            None => 0u8,
            Some(DatePhase::Early) => 1,
            Some(DatePhase::Grace) => 2,
            Some(DatePhase::Frozen) => 3,
        });
        set(&gauges.rolled_forward, rolled_forward);
    }
    let text = site.telemetry.render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

/// Prometheus knows floating-point numbers only; ours are whole and far below 2^53.
#[allow(clippy::cast_precision_loss)]
fn set(gauge: &metrics::Gauge, value: u64) {
    gauge.set(value as f64);
}
