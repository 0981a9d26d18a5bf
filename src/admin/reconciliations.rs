//! Reconciliations with networks: what was compared, and where the two sides differ.

use axum::Json;
use axum::extract::State;
use gapless_engine::ids::NetworkId;
use gapless_engine::{Figures, Origin, Reconciliation, Verdict};
use serde_json::{Value, json};

use super::Shared;
use super::answer::Failure;
use crate::config::Network;
use crate::config::currency::alphabetic;
use crate::runner::MAX_ROWS;

/// The newest reconciliations of each network, in order, 256 at most, and the
/// questions of ours that are open.
pub(super) async fn reconciliations(State(site): State<Shared>) -> Result<Json<Value>, Failure> {
    let networks: Vec<NetworkId> = site.networks.iter().map(Network::network_id).collect();
    let (done, open) = site
        .read(move |engine| {
            let mut done: Vec<Reconciliation> = engine.reconciliations().copied().collect();
            done.sort_by_key(|one| one.seq);
            let from = done.len().saturating_sub(MAX_ROWS);
            let asked = |network: &NetworkId| Some((*network, *engine.asked(*network)?));
            let open: Vec<_> = networks.iter().filter_map(asked).collect();
            (done.split_off(from), open)
        })
        .await?;
    let done: Vec<Value> = done
        .iter()
        .map(|one| {
            json!({
                "sequence": one.seq,
                "asked_by": asked_by(one.origin),
                "network_id": one.network.0,
                "network": site.network_name(one.network),
                "settlement_date": one.settlement_date.to_string(),
                "currency": alphabetic(one.currency),
                "result": match one.verdict {
                    Verdict::InBalance => "in-balance",
                    Verdict::OutOfBalance => "out-of-balance",
                    Verdict::Received => "received",
                    Verdict::Refused => "refused",
                },
                "ours": figures(&one.ours),
                "theirs": figures(&one.theirs),
            })
        })
        .collect();
    let open: Vec<Value> = open
        .iter()
        .map(|(network, asked)| {
            json!({
                "sequence": asked.seq,
                "network_id": network.0,
                "network": site.network_name(*network),
                "settlement_date": asked.settlement_date.to_string(),
                "currency": alphabetic(asked.currency),
                "ours": figures(&asked.ours),
            })
        })
        .collect();
    Ok(Json(json!({ "reconciliations": done, "unanswered": open })))
}

/// By the number of their elements; DE 97 is signed, a debit negative.
fn figures(figures: &Figures) -> Value {
    let all = figures.iter();
    Value::Object(
        all.map(|(element, value)| (element.to_string(), value.into()))
            .collect(),
    )
}

const fn asked_by(origin: Origin) -> &'static str {
    match origin {
        Origin::Theirs => "network",
        Origin::Ours => "bank",
    }
}

/// Both sides' figures, where they differ; DE 97 is signed, a debit negative.
pub(super) fn differences(done: &Reconciliation) -> Value {
    let differences: Vec<Value> = done
        .theirs
        .differences(&done.ours)
        .map(
            |(element, theirs, ours)| json!({ "element": element, "theirs": theirs, "ours": ours }),
        )
        .collect();
    json!({
        "asked_by": asked_by(done.origin),
        "settlement_date": done.settlement_date.to_string(),
        "differences": differences,
    })
}
