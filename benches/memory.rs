//! Memory: bytes per account and per remembered transaction, with both
//! instances of the core, sled and the follower on, as the system counts them.
//!
//! `cargo bench --bench memory [-- --quick]`. Every figure comes from a process
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

use std::process::Command;

use bank::{Bank, House};
use gapless_engine::Capacity;

/// Accounts (with a card each) and transactions of one measurement.
type Size = (u64, u64);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|arg| arg == "--child") {
        child((args[at + 1].parse().unwrap(), args[at + 2].parse().unwrap()));
        return;
    }
    let quick = args.iter().any(|arg| arg == "--quick" || arg == "--test");
    let n = if quick { 50_000 } else { 1_000_000 };
    let empty = measure((0, 0));
    let imported = measure((n, 0));
    let traded = measure((n, n));
    println!("resident: empty {} MB, {n} accounts and cards {} MB, and {n} transactions {} MB", mb(empty), mb(imported), mb(traded));
    let account = (imported - empty) as f64 / n as f64;
    let transaction = (traded - imported) as f64 / n as f64;
    println!("bytes per account with its card: {account:.0} (goal 400: {})", verdict(account <= 400.0));
    println!("bytes per remembered transaction: {transaction:.0} (goal 100: {})", verdict(transaction <= 100.0));
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

fn mb(bytes: i64) -> i64 {
    bytes >> 20
}

/// Resident bytes of a process with a bank of this size.
fn measure((accounts, transactions): Size) -> i64 {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--child", &accounts.to_string(), &transactions.to_string()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.trim().parse().unwrap()
}

fn child((accounts, transactions): Size) {
    let room = tempfile::tempdir().unwrap();
    let mut house = House::new(room.path(), accounts);
    let rows = u32::try_from(accounts).unwrap() + 64;
    house.capacity = Capacity {
        accounts: rows,
        cards: rows,
        remembered: u32::try_from(transactions).unwrap() + 64,
    };
    let mut bank = Bank::start(&house);
    let follower = bank.follow();
    bank.found(accounts);
    bank.purchases(transactions);
    let head = bank.head();
    follower.wait_checkpoint(head).unwrap();
    println!("{}", resident());
    follower.stop(false).unwrap();
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}
