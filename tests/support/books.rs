//! The daemon's books, by admin HTTP, against the terminals' shadow ledger.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::PATIENCE;
use super::site::World;
use super::terminal::Terminal;

/// GET of a JSON document.
pub fn get(admin: SocketAddr, path: &str) -> Value {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .build()
        .into();
    let mut response = agent
        .get(format!("http://{admin}{path}"))
        .call()
        .unwrap_or_else(|error| panic!("GET {path}: {error}"));
    response.body_mut().read_json().unwrap()
}

/// The status of a GET, with no patience: 0 if nothing answers.
pub fn status(admin: SocketAddr, path: &str) -> u16 {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(5)))
        .http_status_as_error(false)
        .build()
        .into();
    agent
        .get(format!("http://{admin}{path}"))
        .call()
        .map_or(0, |response| response.status().as_u16())
}

/// An account's ledger balance.
pub fn balance(admin: SocketAddr, account: &str) -> i64 {
    let found = get(admin, &format!("/v1/accounts/{account}"));
    assert_eq!(found["held_minor"], 0, "{found}");
    found["ledger_minor"]
        .as_i64()
        .unwrap_or_else(|| panic!("ledger_minor of {found}"))
}

/// What the accounts must hold by what was answered.
pub fn shadow(world: &World, terminals: &[Terminal]) -> Vec<i64> {
    let mut balances = world.openings();
    for terminal in terminals {
        terminal.post(&mut balances);
    }
    balances
}

/// Every account holds what the shadow ledger says, and the trial balance is even.
pub fn assert_even(admin: SocketAddr, world: &World, terminals: &[Terminal]) {
    let expected = shadow(world, terminals);
    let wrong: Vec<String> = world
        .accounts
        .iter()
        .zip(&expected)
        .filter_map(|(account, expected)| {
            let found = balance(admin, &account.number);
            (found != *expected).then(|| format!("{}: {found}, must be {expected}", account.number))
        })
        .collect();
    assert!(wrong.is_empty(), "balances:\n{}", wrong.join("\n"));
    let trial = get(admin, "/v1/trial-balance");
    assert_eq!(trial["balanced"], true, "{trial}");
    // All of them together, so that nothing has gone where nobody looks.
    let idle: i64 = world.idle_accounts().map(|(_, opening)| opening).sum();
    let all = expected.iter().sum::<i64>() + idle;
    let currencies = trial["currencies"]
        .as_array()
        .expect("a list of currencies");
    let won = currencies.iter().find(|line| line["currency"] == "KRW");
    assert_eq!(
        won.map(|line| &line["customers_minor"]),
        Some(&all.into()),
        "{trial}"
    );
}

/// Some of the accounts that nobody uses still hold their opening balance.
pub fn assert_idle_untouched(admin: SocketAddr, world: &World, every: usize) {
    for (number, opening) in world.idle_accounts().step_by(every) {
        assert_eq!(balance(admin, &number), opening, "account {number}");
    }
}
