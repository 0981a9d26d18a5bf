//! What is only looked at: state, dates, accounts, totals.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use gapless_engine::command::AccountStatus;
use gapless_engine::ids::AccountNumber;
use gapless_engine::{
    AccountView, Exception, ExceptionKind, NetworkTotals, Reconciliation, Role, Tally, TrialBalance,
};
use gapless_journal::Room;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::answer::Failure;
use super::reconciliations::differences;
use super::{Shared, Site};
use crate::config::currency::alphabetic;
use crate::runner::{MAX_ROWS, Phase};

pub(super) async fn page() -> impl IntoResponse {
    (
        [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                 connect-src 'self'; frame-ancestors 'none'",
            ),
        ],
        include_str!("page.html"),
    )
}

/// The process is there and answers.
pub(super) async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Where the daemon is in its life, in a word.
pub(super) const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Recovering => "recovering",
        Phase::Ready => "ready",
        Phase::Draining => "draining",
    }
}

/// 200 when links are open; 503 with the reason before and after.
pub(super) async fn readyz(State(site): State<Shared>) -> Response {
    let status = site.status();
    if status.phase == Phase::Ready {
        Json(json!({ "ready": true })).into_response()
    } else {
        let body = json!({ "ready": false, "error": phase(status.phase) });
        (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
    }
}

pub(super) async fn status(State(site): State<Shared>) -> Json<Value> {
    let status = site.status();
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "phase": phase(status.phase),
        "head": status.head,
        "durable": status.durable,
        "followed": status.follower.applied,
        "checkpoint": status.follower.checkpoint,
        "base": status.follower.base,
        "follower_faulty": status.follower.is_faulty,
        "journal_room": match status.room {
            Room::Normal => "normal",
            Room::Reserved => "reserve",
            Room::Full => "none",
        },
        "clock_jumps": status.clock_jumps,
        "clock_off": status.clock_is_off,
    }))
}

pub(super) async fn account(
    State(site): State<Shared>,
    Path(account): Path<String>,
) -> Result<Json<Value>, Failure> {
    let number = AccountNumber::new(account.as_bytes())
        .ok_or_else(|| Failure::bad_request("an account is 1 to 28 printable ASCII characters"))?;
    let found: Option<AccountView> = site
        .read(move |engine| engine.account_by_number(&number))
        .await?;
    let view = found.ok_or_else(|| Failure::not_found("there is no such account"))?;
    Ok(Json(json!({
        "account": view.number.as_str(),
        "currency": alphabetic(view.currency),
        "ledger_minor": view.ledger_minor,
        "available_minor": view.available_minor,
        "held_minor": view.held_minor,
        "overdraft_minor": view.overdraft_minor,
        "status": account_status(view.status),
        "role": role(view.role),
        "business_date": view.business_date.to_string(),
        "last_sequence": view.last_seq,
    })))
}

const fn account_status(status: AccountStatus) -> &'static str {
    match status {
        AccountStatus::Active => "active",
        AccountStatus::Blocked => "blocked",
        AccountStatus::Closed => "closed",
    }
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::Customer => "customer",
        Role::Settlement(_) => "settlement",
        Role::Position => "position",
        Role::Suspense => "suspense",
        Role::Opening => "opening",
        Role::Batch => "batch",
    }
}

/// Amounts may exceed 64 bits, so that these are written straight to text.
#[derive(Serialize)]
struct DateLine {
    business_date: String,
    currency: String,
    debit_minor: u128,
    credit_minor: u128,
    difference_minor: i128,
    debit_count: u64,
    credit_count: u64,
}

#[derive(Serialize)]
struct CurrencyLine {
    currency: String,
    customers_minor: i128,
    internal_minor: i128,
    sum_minor: i128,
}

#[derive(Serialize)]
pub(super) struct Trial {
    balanced: bool,
    dates: Vec<DateLine>,
    currencies: Vec<CurrencyLine>,
}

pub(super) async fn trial_balance(State(site): State<Shared>) -> Result<Json<Trial>, Failure> {
    let trial: TrialBalance = site.read(|engine| engine.trial_balance()).await?;
    let dates = trial.dates.iter().map(|line| DateLine {
        business_date: line.business_date.to_string(),
        currency: alphabetic(line.currency),
        debit_minor: line.debit_minor,
        credit_minor: line.credit_minor,
        difference_minor: line
            .credit_minor
            .wrapping_sub(line.debit_minor)
            .cast_signed(),
        debit_count: line.debit_count,
        credit_count: line.credit_count,
    });
    let currencies = trial.currencies.iter().map(|line| CurrencyLine {
        currency: alphabetic(line.currency),
        customers_minor: line.customers_minor,
        internal_minor: line.internal_minor,
        sum_minor: line.customers_minor.saturating_add(line.internal_minor),
    });
    Ok(Json(Trial {
        balanced: trial.balances(),
        dates: dates.collect(),
        currencies: currencies.collect(),
    }))
}

#[derive(Serialize)]
struct TallyLine {
    count: u64,
    amount_minor: i128,
}

impl From<Tally> for TallyLine {
    fn from(tally: Tally) -> Self {
        Self {
            count: tally.count,
            amount_minor: tally.amount_minor,
        }
    }
}

#[derive(Serialize)]
pub(super) struct NetworkLine {
    network_id: u16,
    network: Option<String>,
    settlement_date: String,
    currency: String,
    debits: TallyLine,
    credits: TallyLine,
    debit_reversals: TallyLine,
    credit_reversals: TallyLine,
    transfers: TallyLine,
    transfer_reversals: TallyLine,
    inquiries: u64,
}

#[derive(Serialize)]
pub(super) struct NetworkLines {
    totals: Vec<NetworkLine>,
    /// Whether there are older ones than those shown.
    more: bool,
}

/// The newest settlement dates of each network, 256 lines at most.
pub(super) async fn network_totals(
    State(site): State<Shared>,
) -> Result<Json<NetworkLines>, Failure> {
    let (lines, more) = site
        .read(|engine| {
            let mut lines: Vec<NetworkTotals> = engine.network_totals().copied().collect();
            lines.sort_by_key(|line| (line.settlement_date, line.network, line.currency));
            let more = lines.len() > MAX_ROWS;
            let from = lines.len().saturating_sub(MAX_ROWS);
            (lines.split_off(from), more)
        })
        .await?;
    let totals = lines.iter().map(|line| NetworkLine {
        network_id: line.network.0,
        network: site.network_name(line.network),
        settlement_date: line.settlement_date.to_string(),
        currency: alphabetic(line.currency),
        debits: line.debits.into(),
        credits: line.credits.into(),
        debit_reversals: line.debit_reversals.into(),
        credit_reversals: line.credit_reversals.into(),
        transfers: line.transfers.into(),
        transfer_reversals: line.transfer_reversals.into(),
        inquiries: line.inquiries,
    });
    Ok(Json(NetworkLines {
        totals: totals.collect(),
        more,
    }))
}

/// The newest exceptions, oldest first, 256 at most, and how many there were in all.
pub(super) async fn exceptions(State(site): State<Shared>) -> Result<Json<Value>, Failure> {
    let (newest, total) = site
        .read(|engine| {
            let all: Vec<Exception> = engine.exceptions().copied().collect();
            let from = all.len().saturating_sub(MAX_ROWS);
            let newest = all.get(from..).unwrap_or_default().iter();
            let newest: Vec<_> = newest
                .map(|line| (*line, engine.reconciliation(line.seq).copied()))
                .collect();
            (newest, engine.counts().exceptions)
        })
        .await?;
    let lines: Vec<Value> = newest
        .iter()
        .map(|(line, done)| exception(&site, line, done.as_ref()))
        .collect();
    Ok(Json(json!({ "total": total, "exceptions": lines })))
}

fn exception(site: &Site, line: &Exception, done: Option<&Reconciliation>) -> Value {
    let time = i64::try_from(line.time_us)
        .ok()
        .and_then(|us| Timestamp::from_microsecond(us).ok());
    let mut told = json!({
        "sequence": line.seq,
        "time": time.map(|time| time.to_string()),
        "kind": kind(line.kind),
        "network_id": line.network.0,
        "network": site.network_name(line.network),
        "amount_minor": line.amount_minor,
        "currency": alphabetic(line.currency),
    });
    if let (Some(done), Some(told)) = (done, told.as_object_mut()) {
        told.insert("reconciliation".to_owned(), differences(done));
    }
    told
}

/// `AdviceUnknownCard` is told as `advice-unknown-card`: the engine's own names,
/// so that a kind that it learns is told without a change here.
fn kind(kind: ExceptionKind) -> String {
    let mut text = String::new();
    for letter in format!("{kind:?}").chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}
