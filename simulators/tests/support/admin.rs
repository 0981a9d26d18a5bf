//! The admin HTTP of a bank that is a few rows in memory: as a daemon's where a
//! test does not tell it to be wrong.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub const DATE: &str = "2028-02-29";

/// What the bank does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wrong {
    #[default]
    Nothing,
    /// A byte of a file is another than when the manifest was made.
    Byte,
    /// A file is shorter than its manifest says.
    Short,
    /// A posting is missing, and the manifest does not show it.
    Posting,
    /// Debits are not credits.
    Unbalanced,
    /// The balances do not sum up to zero.
    Balances,
    /// The manifest is of another date.
    Date,
    /// Entries of this account are refused.
    Refuses(&'static str),
}

#[derive(Debug, Default)]
pub struct Bank {
    pub phase: &'static str,
    pub entries: BTreeMap<String, (String, i64)>,
    pub sealed: bool,
    pub wrong: Wrong,
    /// So many requests for the extract are answered 202 first.
    pub still_writing: u32,
    /// So many requests are answered 503 first.
    pub busy: u32,
    /// The extract is no longer kept.
    pub forgotten: bool,
    /// What was asked, in order.
    pub asked: Vec<String>,
}

type Shared = Arc<Mutex<Bank>>;

pub struct FakeAdmin {
    pub bank: Shared,
    address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FakeAdmin {
    /// A bank in that phase: open, early, grace, frozen.
    pub fn start(phase: &'static str) -> FakeAdmin {
        let bank: Shared = Arc::new(Mutex::new(Bank {
            phase,
            ..Bank::default()
        }));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let app = Router::new()
            .route("/v1/business-date", get(dates))
            .route("/v1/business-date/{step}", post(step))
            .route("/v1/business-date/{date}/entries", post(entries))
            .route("/v1/business-date/{date}/extract", get(manifest))
            .route("/v1/business-date/{date}/extract/{file}", get(file))
            .with_state(Arc::clone(&bank));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    served = axum::serve(listener, app) => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        FakeAdmin {
            bank,
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for FakeAdmin {
    fn drop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        let _ = self.thread.take().unwrap().join();
    }
}

/// The tables: 30 customers, one of them overdrawn, and the bank's own account.
fn table(name: &str, wrong: Wrong) -> String {
    let mut text = String::new();
    match name {
        "postings.csv" => {
            text.push_str("sequence,leg,account,role,currency,amount_minor,business_date,settlement_date,network,kind,original_sequence\n");
            for n in 0..30 {
                let skipped = wrong == Wrong::Posting && n == 7;
                let minor = 1_000 + n + i64::from(wrong == Wrong::Unbalanced && n == 7);
                if !skipped {
                    text.push_str(&format!(
                        "{n},1,{n},customer,KRW,-{minor},{DATE},{DATE},1,purchase,\n{n},2,GL,settlement,KRW,{},{DATE},{DATE},1,purchase,\n",
                        1_000 + n
                    ));
                }
            }
        }
        "balances.csv" => {
            text.push_str("account,currency,role,closing_balance_minor,overdraft_minor,status\n");
            let mut sum = 0;
            for n in 0..30 {
                let minor = if n == 3 { -5_000_000 } else { 1_000_000 * n };
                sum += minor;
                text.push_str(&format!("{n},KRW,customer,{minor},0,active\n"));
            }
            text.push_str("99,KRW,customer,0,0,closed\n");
            let sum = sum + i64::from(wrong == Wrong::Balances);
            text.push_str(&format!("GL,KRW,settlement,{},0,active\n", -sum));
        }
        "trial-balance.csv" => {
            text.push_str(
                "business_date,currency,debit_count,debit_minor,credit_count,credit_minor\n",
            );
            let debit = 30_435 + i64::from(wrong == Wrong::Unbalanced);
            text.push_str(&format!("{DATE},KRW,30,{debit},30,30435\n"));
        }
        "settlement.csv" => text.push_str("network,settlement_date\n1,2028-02-29\n"),
        _ => panic!("no table {name}"),
    }
    text
}

const TABLES: [&str; 4] = [
    "postings.csv",
    "balances.csv",
    "trial-balance.csv",
    "settlement.csv",
];

/// Notes what was asked; 503 while it is busy.
#[allow(clippy::result_large_err)]
fn enter(bank: &Shared, what: String) -> Result<std::sync::MutexGuard<'_, Bank>, Response> {
    let mut bank = bank.lock().unwrap();
    bank.asked.push(what);
    if bank.busy > 0 {
        bank.busy -= 1;
        return Err(told(503, json!({"error": "too busy"})));
    }
    Ok(bank)
}

fn told(status: u16, value: Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, value.to_string()).into_response()
}

fn dates_of(bank: &Bank) -> Value {
    let open = bank.sealed || bank.phase == "open";
    json!({
        "state": if open { "open" } else { "dual" },
        "phase": if open { Value::Null } else { json!(bank.phase) },
        "closing": if bank.sealed { "2028-03-01" } else { DATE },
        "ends": [{"date": DATE, "seal_sequence": bank.sealed.then_some(9)}],
    })
}

async fn dates(State(bank): State<Shared>) -> Response {
    match enter(&bank, "dates".to_owned()) {
        Ok(bank) => told(200, dates_of(&bank)),
        Err(busy) => busy,
    }
}

async fn step(State(bank): State<Shared>, Path(step): Path<String>, body: Bytes) -> Response {
    let mut bank = match enter(&bank, step.clone()) {
        Ok(bank) => bank,
        Err(busy) => return busy,
    };
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let repeated = bank.sealed;
    let next = match (step.as_str(), bank.phase) {
        ("cutover", "open" | "early") => "grace",
        ("freeze", "grace") => "frozen",
        ("seal", "frozen") => {
            let count = bank.entries.len();
            let sum: i64 = bank.entries.values().map(|(_, minor)| minor).sum();
            let right =
                asked["entries"]["KRW"] == json!(count) && asked["sum_minor"]["KRW"] == json!(sum);
            if !right {
                return told(
                    409,
                    json!({"error": format!("not {count} entries of {sum}")}),
                );
            }
            bank.sealed = true;
            "frozen"
        }
        (_, phase) => return told(409, json!({"error": format!("it is {phase}")})),
    };
    assert_eq!(asked["date"], DATE);
    bank.phase = next;
    told(200, json!({"step": step, "repeated": repeated}))
}

async fn entries(State(bank): State<Shared>, Path(date): Path<String>, body: Bytes) -> Response {
    let mut bank = match enter(&bank, "entries".to_owned()) {
        Ok(bank) => bank,
        Err(busy) => return busy,
    };
    if bank.phase != "frozen" || date != DATE {
        return told(409, json!({"error": "it takes no entries"}));
    }
    let text = std::str::from_utf8(&body).unwrap();
    let (mut posted, mut repeated, mut refusals) = (0, 0, Vec::new());
    for (line, row) in (1..).zip(text.lines()).skip(1) {
        let parts: Vec<&str> = row.split(',').collect();
        let entry = (parts[1].to_owned(), parts[3].parse::<i64>().unwrap());
        if matches!(bank.wrong, Wrong::Refuses(account) if account == parts[1]) {
            refusals.push(json!({"line": line, "id": parts[0], "error": "no such account"}));
            continue;
        }
        match bank.entries.get(parts[0]) {
            Some(before) if *before == entry => repeated += 1,
            Some(_) => refusals.push(json!({"line": line, "error": "posted otherwise"})),
            None if bank.sealed => refusals.push(json!({"line": line, "error": "sealed"})),
            None => {
                bank.entries.insert(parts[0].to_owned(), entry);
                posted += 1;
            }
        }
    }
    let status = if refusals.is_empty() { 200 } else { 422 };
    told(
        status,
        json!({"posted": posted, "repeated": repeated, "refused": refusals.len(), "refusals": refusals}),
    )
}

async fn manifest(State(bank): State<Shared>, Path(date): Path<String>) -> Response {
    let mut bank = match enter(&bank, "manifest".to_owned()) {
        Ok(bank) => bank,
        Err(busy) => return busy,
    };
    if bank.forgotten {
        return told(404, json!({"error": "no longer kept"}));
    }
    if bank.still_writing > 0 {
        bank.still_writing -= 1;
        return told(202, json!({"state": "writing"}));
    }
    // What is wrong with the content is in the manifest, too; what is wrong with
    // the files is not.
    let shown = match bank.wrong {
        Wrong::Byte | Wrong::Short => Wrong::Nothing,
        other => other,
    };
    let files: Vec<Value> = TABLES
        .iter()
        .map(|name| {
            let text = table(name, shown);
            json!({
                "name": name,
                "rows": text.lines().count() - 1,
                "bytes": text.len(),
                "sha256": hex::encode(Sha256::digest(text.as_bytes())),
            })
        })
        .collect();
    let date = if bank.wrong == Wrong::Date {
        "2028-02-28".to_owned()
    } else {
        date
    };
    let debit = 30_435 + u32::from(bank.wrong == Wrong::Unbalanced);
    told(
        200,
        json!({
            "date": date, "freeze_sequence": 77, "format": "csv", "files": files,
            "trial_balance": {"KRW": {"debit_minor": debit.to_string(), "credit_minor": "30435"}},
        }),
    )
}

async fn file(State(bank): State<Shared>, Path((_, name)): Path<(String, String)>) -> Response {
    let bank = match enter(&bank, name.clone()) {
        Ok(bank) => bank,
        Err(busy) => return busy,
    };
    let mut text = table(&name, bank.wrong);
    match bank.wrong {
        Wrong::Byte => text = text.replacen("1000", "1001", 1),
        Wrong::Short => {
            text.pop();
        }
        _ => {}
    }
    text.into_response()
}
