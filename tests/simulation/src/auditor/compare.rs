//! The live engine's books against the auditor's.

use std::collections::BTreeMap;
use std::rc::Rc;

use gapless_engine::command::AccountStatus;
use gapless_engine::ids::{AccountIx, AccountNumber};
use gapless_engine::{AccountRow, DateState, Engine, Phase};

use super::model::{Account, Dates, Model, Money, Status, Tally};
use super::{Failure, failure};

/// Networks' totals are kept for so many days beyond a seal, at least.
const TOTALS_DAYS: i32 = 5;

/// What is cheap: after each step.
pub fn step(model: &Model, engine: &Engine, touched: &[Rc<str>]) -> Result<(), Failure> {
    sequence_and_dates(model, engine)?;
    for number in touched {
        let ix = AccountNumber::new(number.as_bytes()).and_then(|n| engine.find_account(&n));
        let Some(row) = ix.and_then(|ix| engine.account_row(ix)) else {
            return failure(6, format!("account {number} is not there"));
        };
        account(model, number, &model.accounts[number], row)?;
    }
    date_totals(model, engine)?;
    network_totals(model, engine)
}

/// Everything.
pub fn everything(model: &Model, engine: &Engine) -> Result<(), Failure> {
    sequence_and_dates(model, engine)?;
    let mut seen = 0;
    for ix in 0..engine.accounts_len() {
        let row = engine.account_row(AccountIx(ix)).unwrap();
        let number = row.number().map(|n| n.to_string()).unwrap_or_default();
        let Some(expected) = model.accounts.get(number.as_str()) else {
            return failure(12, format!("account {number} was never opened"));
        };
        account(model, &number, expected, row)?;
        seen += 1;
    }
    if seen != model.accounts.len() {
        let what = format!("{seen} accounts of {}", model.accounts.len());
        return failure(12, what);
    }
    if engine.cards_len() as usize != model.cards.len() {
        return failure(12, format!("{} cards", engine.cards_len()));
    }
    date_totals(model, engine)?;
    network_totals(model, engine)?;
    sums(model, engine)?;
    gapless_engine::audit(engine).or_else(|breach| failure(10, breach.to_string()))
}

fn dates(engine: &Engine) -> Result<Dates, Failure> {
    Ok(match engine.business().state {
        DateState::Open { date } => Dates::Open(date.0.into()),
        DateState::Dual {
            closing,
            opening,
            phase,
        } => {
            if opening.0 != closing.0 + 1 {
                return failure(4, format!("{closing} and {opening} are open"));
            }
            let day = closing.0.into();
            match phase {
                Phase::Early => Dates::Early(day),
                Phase::Grace => Dates::Grace(day),
                Phase::Frozen => Dates::Frozen(day),
            }
        }
    })
}

fn sequence_and_dates(model: &Model, engine: &Engine) -> Result<(), Failure> {
    let there = dates(engine)?;
    if there != model.dates {
        let what = format!("dates are {there:?}, expected {:?}", model.dates);
        return failure(4, what);
    }
    if engine.last_seq() != model.seq {
        return failure(
            8,
            format!("event {} where {} is right", engine.last_seq(), model.seq),
        );
    }
    if engine.counts().breaches != 0 {
        let what = format!("a command failed its check: {:?}", engine.last_breach());
        return failure(0, what);
    }
    if engine.counts().exceptions != model.exceptions {
        let there = engine.counts().exceptions;
        return failure(
            0,
            format!("{there} exceptions, expected {}", model.exceptions),
        );
    }
    if engine.rolled_forward() != model.rolled {
        let there = engine.rolled_forward();
        return failure(
            0,
            format!("{there} rolled forward, expected {}", model.rolled),
        );
    }
    let clocks: BTreeMap<u16, i32> = engine
        .network_clocks()
        .iter()
        .map(|clock| (clock.network.0, clock.date.0.into()))
        .collect();
    if clocks != model.clocks {
        let what = format!(
            "networks' dates are {clocks:?}, expected {:?}",
            model.clocks
        );
        return failure(11, what);
    }
    Ok(())
}

fn account(
    model: &Model,
    number: &str,
    expected: &Account,
    row: &AccountRow,
) -> Result<(), Failure> {
    let closing = model.dates.closing();
    let view = row.view(gapless_engine::date::Date(closing as u16));
    let (balance, next) = (expected.closing(closing), expected.beyond(closing));
    if Money::from(view.balance) != balance {
        let what = format!(
            "account {number} closes with {} on day {closing}, recomputed {balance}",
            view.balance
        );
        return failure(5, what);
    }
    if Money::from(view.next) != next {
        let what = format!(
            "account {number} has {} beyond, recomputed {next}",
            view.next
        );
        return failure(6, what);
    }
    if view.held != 0 {
        return failure(13, format!("account {number} holds {}", view.held));
    }
    let status = match row.status() {
        AccountStatus::Active => Status::Active,
        AccountStatus::Blocked => Status::Blocked,
        AccountStatus::Closed => Status::Closed,
    };
    if status != expected.status || view.overdraft != expected.overdraft {
        return failure(12, format!("account {number} has other terms"));
    }
    Ok(())
}

fn date_totals(model: &Model, engine: &Engine) -> Result<(), Failure> {
    let trial = engine.trial_balance();
    for totals in &trial.dates {
        if totals.debit_minor != totals.credit_minor {
            return failure(1, format!("{totals:?}"));
        }
        let key = (totals.business_date.0.into(), totals.currency.0);
        let there = (
            totals.debit_minor as Money,
            totals.credit_minor as Money,
            totals.debit_count,
            totals.credit_count,
        );
        let expected = model.date_totals.get(&key).copied().unwrap_or_default();
        if there != expected {
            return failure(2, format!("{key:?}: {there:?}, recomputed {expected:?}"));
        }
    }
    let oldest = model.dates.closing() - 1;
    for key in model.date_totals.keys().filter(|key| key.0 >= oldest) {
        let there = trial
            .dates
            .iter()
            .any(|totals| (i32::from(totals.business_date.0), totals.currency.0) == *key);
        if !there {
            return failure(12, format!("no totals of {key:?}"));
        }
    }
    Ok(())
}

fn network_totals(model: &Model, engine: &Engine) -> Result<(), Failure> {
    let oldest = model.dates.closing() - TOTALS_DAYS;
    let mut seen = 0;
    for totals in engine.network_totals() {
        let day = i32::from(totals.settlement_date.0);
        if day < oldest {
            continue;
        }
        seen += 1;
        let key = (totals.network.0, day, totals.currency.0);
        let expected = model.net_totals.get(&key).copied().unwrap_or_default();
        let tally = |tally: &gapless_engine::Tally| -> Tally { (tally.count, tally.amount_minor) };
        let there = super::model::NetTotals {
            debits: [tally(&totals.debits), tally(&totals.debit_reversals)],
            credits: [tally(&totals.credits), tally(&totals.credit_reversals)],
            transfers: [tally(&totals.transfers), tally(&totals.transfer_reversals)],
            inquiries: totals.inquiries,
        };
        if there != expected {
            return failure(
                12,
                format!("totals of {key:?}: {there:?}, recomputed {expected:?}"),
            );
        }
    }
    let expected = model
        .net_totals
        .keys()
        .filter(|key| key.1 >= oldest)
        .count();
    if seen != expected {
        return failure(12, format!("{seen} network totals, expected {expected}"));
    }
    Ok(())
}

fn sums(model: &Model, engine: &Engine) -> Result<(), Failure> {
    for sum in engine.trial_balance().currencies {
        let of = |customer: bool| -> Money {
            model
                .accounts
                .values()
                .filter(|account| account.currency == sum.currency.0)
                .filter(|account| account.customer == customer)
                .map(Account::ledger)
                .sum()
        };
        if (sum.customers_minor, sum.internal_minor) != (of(true), of(false)) {
            return failure(12, format!("sums over accounts: {sum:?}"));
        }
    }
    Ok(())
}
