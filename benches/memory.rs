//! Memory: bytes per account and per remembered transaction, with both
//! instances of the core, sled and the follower on, as the system counts them.
//!
//! `cargo bench --bench memory`. Every figure comes from a process
//! of its own, so that nothing freed before is counted or reused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::float_arithmetic,
    missing_docs
)]

#[path = "support/bank.rs"]
#[allow(dead_code)] // Shared with the other benches.
mod bank;
#[path = "support/goals.rs"]
#[allow(dead_code)]
mod goals;
#[path = "support/process.rs"]
mod process;

use std::path::Path;

use bank::{Bank, House};
use gapless_engine::Capacity;
use process::resident;

/// Accounts (with a card each) and transactions of one measurement.
type Size = (u64, u64);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|arg| arg == "--child") {
        let size = (args[at + 1].parse().unwrap(), args[at + 2].parse().unwrap());
        child(size, args[at + 3] == "rows", Path::new(&args[at + 4]));
        return;
    }
    let n = if goals::quick() { 50_000 } else { 1_000_000 };
    let mut goals = goals::Goals::new();
    let (account, transaction) = per_item(n, "rows");
    let what = "memory: an account with its card, all in all";
    goals.at_most(what, account, 400.0, "bytes");
    let what = "memory: a remembered transaction, all in all";
    goals.at_most(what, transaction, 100.0, "bytes");
    let (account, transaction) = per_item(n, "no-rows");
    println!("without sled: {account:.0} and {transaction:.0}");
    goals.finish();
}

/// Bytes per account and per transaction, from three processes, and what a
/// restart of the last takes.
fn per_item(n: u64, rows: &str) -> (f64, f64) {
    let empty = measure((0, 0), rows, fresh().path());
    let imported = measure((n, 0), rows, fresh().path());
    let room = fresh();
    // Enough of them that what sled holds at a time counts for little.
    let transactions = 2 * n;
    let traded = measure((n, transactions), rows, room.path());
    let restarted = measure((n, transactions), rows, room.path());
    println!(
        "{rows}: resident {} MB empty, {} MB with {n} accounts and cards, {} MB with {transactions} \
         transactions too, {} MB after a restart",
        empty >> 20,
        imported >> 20,
        traded >> 20,
        restarted >> 20
    );
    (
        (imported - empty) as f64 / n as f64,
        (traded - imported) as f64 / transactions as f64,
    )
}

fn fresh() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Resident bytes of a process with a bank of this size in `dir`.
fn measure((accounts, transactions): Size, rows: &str, dir: &Path) -> i64 {
    let (accounts, transactions) = (accounts.to_string(), transactions.to_string());
    let args = [accounts.as_ref(), transactions.as_ref(), rows.as_ref()];
    let text = process::child(args.into_iter().chain([dir.as_os_str()]));
    text.trim().parse().unwrap()
}

/// Founds the bank and trades, or restarts with one that has.
fn child((accounts, transactions): Size, with_rows: bool, dir: &Path) {
    let mut house = House::new(dir, accounts);
    if !with_rows {
        house.dirs.rows = None;
    }
    let rows = u32::try_from(accounts).unwrap() + 64;
    house.capacity = Capacity {
        accounts: rows,
        cards: rows,
        remembered: u32::try_from(transactions).unwrap() + 64,
    };
    let mut bank = Bank::start(&house);
    let follower = bank.follow();
    if bank.head() == 0 {
        bank.found(accounts);
        bank.purchases(transactions);
    }
    let head = bank.head();
    follower.wait_applied(head).unwrap();
    if with_rows {
        follower.wait_checkpoint(head).unwrap();
    }
    println!("{}", resident());
    follower.stop(true).unwrap();
}
