//! Whether money is right: the shadow ledger beside the host's own books.
//!
//! Before a run the balances of the accounts are read, and the trial balance;
//! after it the host's figures must be what requests and answers say. Of many
//! accounts a sample is compared one by one; the sum over all customers and the
//! sum of all postings are compared whatever their number.

use std::collections::BTreeMap;
use std::thread;

use anyhow::{Context, anyhow, ensure};
use serde_json::Value;

use crate::admin::Admin;
use crate::cards::Cards;
use crate::ledger::Ledger;

/// Accounts that are compared one by one.
pub const MAX_WATCHED: u32 = 20_000;

/// Differences that are told one by one.
const MAX_TOLD: usize = 10;

/// Connections that read accounts at a time.
const READERS: usize = 4;

/// Books before a run.
#[derive(Clone, Debug)]
pub struct Opening {
    currency: String,
    /// Ledger balances of the accounts that are compared, by index.
    balances: BTreeMap<u32, i64>,
    books: Books,
}

/// The host's trial balance, as far as it is compared.
#[derive(Clone, Debug)]
struct Books {
    balanced: bool,
    customers_minor: i128,
    /// By business date.
    debits_minor: BTreeMap<String, i128>,
}

/// An account that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name.
    pub account: String,
    /// What it had before.
    pub opening_minor: i64,
    /// What it must have: least and most, different if requests went unanswered.
    pub expected_minor: (i64, i64),
    /// What it has; `None`: it is gone.
    pub found_minor: Option<i64>,
    /// Postings by answers.
    pub postings: u64,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (least, most) = self.expected_minor;
        write!(
            f,
            "account {}: had {}, must have {}",
            self.account,
            self.opening_minor,
            between(least.into(), most.into())
        )?;
        match self.found_minor {
            Some(found) => write!(f, ", has {found}")?,
            None => write!(f, ", is gone")?,
        }
        write!(f, " ({} postings)", self.postings)
    }
}

/// `5`, or `5 to 7`.
fn between(least: i128, most: i128) -> String {
    if least == most {
        least.to_string()
    } else {
        format!("{least} to {most}")
    }
}

/// What the comparison brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Accounts that the run touched.
    pub touched: u32,
    /// Of these, compared one by one.
    pub compared: u32,
    /// Accounts that differ.
    pub different: u32,
    /// The first of them.
    pub differences: Vec<Difference>,
    /// What else is not right, in words.
    pub faults: Vec<String>,
    /// What could not be compared, and why.
    pub notes: Vec<String>,
    /// Money that the answers moved, in minor units.
    pub moved_minor: u64,
}

impl Audit {
    /// Whether money is right.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.different == 0 && self.faults.is_empty()
    }

    /// A few lines.
    #[must_use]
    pub fn told(&self) -> String {
        let mut lines = vec![format!(
            "{}: {} of {} touched accounts compared, {} different; {} minor units moved",
            if self.is_right() {
                "money is right"
            } else {
                "MONEY IS NOT RIGHT"
            },
            crate::report::grouped(self.compared.into()),
            crate::report::grouped(self.touched.into()),
            self.different,
            crate::report::grouped(self.moved_minor),
        )];
        lines.extend(self.differences.iter().map(ToString::to_string));
        lines.extend(self.faults.iter().cloned());
        lines.extend(self.notes.iter().cloned());
        lines.join("\n  ")
    }
}

impl Opening {
    /// The accounts' currency, ISO 4217 alphabetic.
    #[must_use]
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// Reads the books before a run.
    ///
    /// # Errors
    /// The host does not answer, or an account is not there or in another currency.
    pub fn read(admin: &Admin, cards: &Cards) -> anyhow::Result<Self> {
        let all = cards.accounts();
        // Evenly spread over all of them.
        let stride = all.div_ceil(MAX_WATCHED).max(1);
        let watched: Vec<u32> = (0..all).step_by(stride as usize).collect();
        let mut currency = None;
        let mut balances = BTreeMap::new();
        for (index, account) in accounts(admin, cards, &watched)? {
            let name = cards.account_name(index);
            let account = account.with_context(|| format!("the host has no account {name}"))?;
            let known = currency.get_or_insert_with(|| account.currency.clone());
            ensure!(
                *known == account.currency,
                "account {name} is in {}, others in {known}: one run has one currency",
                account.currency
            );
            balances.insert(index, account.ledger_minor);
        }
        let currency = currency.context("there is no account")?;
        let books = Books::read(admin, &currency)?;
        Ok(Self {
            currency,
            balances,
            books,
        })
    }

    /// Reads the books after a run and compares. `batch`: what an external batch
    /// has posted in the meantime and the ledger does not know: single accounts
    /// cannot be compared then.
    ///
    /// # Errors
    /// The host does not answer.
    pub fn compare(
        &self,
        admin: &Admin,
        cards: &Cards,
        ledger: &Ledger,
        batch: Option<i128>,
    ) -> anyhow::Result<Audit> {
        let mut audit = Audit {
            moved_minor: ledger.moved_minor,
            ..Audit::default()
        };
        if ledger.overflowed {
            audit
                .faults
                .push("sums have left 63 bits: nothing can be compared".to_owned());
            return Ok(audit);
        }
        let touched: Vec<u32> = ledger.touched().collect();
        audit.touched = u32::try_from(touched.len()).unwrap_or(u32::MAX);
        if batch.is_none() {
            self.compare_accounts(admin, cards, ledger, &touched, &mut audit)?;
        } else {
            audit.notes.push(
                "an external batch has posted entries: give --night-entries FILE, and single \
                 accounts are compared too"
                    .to_owned(),
            );
        }
        self.compare_sums(
            &Books::read(admin, &self.currency)?,
            ledger,
            batch,
            &touched,
            &mut audit,
        );
        Ok(audit)
    }

    fn compare_accounts(
        &self,
        admin: &Admin,
        cards: &Cards,
        ledger: &Ledger,
        touched: &[u32],
        audit: &mut Audit,
    ) -> anyhow::Result<()> {
        let known = |index: &&u32| self.balances.contains_key(index);
        let watched: Vec<u32> = touched.iter().filter(known).copied().collect();
        audit.compared = u32::try_from(watched.len()).unwrap_or(u32::MAX);
        for (index, account) in accounts(admin, cards, &watched)? {
            let opening_minor = self.balances.get(&index).copied().unwrap_or(0);
            let (change, doubt) = ledger.account(index);
            let certain = opening_minor.saturating_add(change.net_minor);
            let expected_minor = (
                certain.saturating_add(doubt.low_minor),
                certain.saturating_add(doubt.high_minor),
            );
            let found_minor = account.map(|account| account.ledger_minor);
            let fits = found_minor
                .is_some_and(|found| (expected_minor.0..=expected_minor.1).contains(&found));
            if fits {
                continue;
            }
            audit.different += 1;
            if audit.differences.len() < MAX_TOLD {
                audit.differences.push(Difference {
                    account: cards.account_name(index).to_string(),
                    opening_minor,
                    expected_minor,
                    found_minor,
                    postings: change.postings,
                });
            }
        }
        Ok(())
    }

    fn compare_sums(
        &self,
        now: &Books,
        ledger: &Ledger,
        batch: Option<i128>,
        touched: &[u32],
        audit: &mut Audit,
    ) {
        if !now.balanced {
            audit
                .faults
                .push("the host's trial balance does not balance".to_owned());
        }
        let outside = i128::from(ledger.outside_minor) + batch.unwrap_or(0);
        let (mut least, mut most) = (outside, outside);
        for index in touched {
            let (change, doubt) = ledger.account(*index);
            least += i128::from(change.net_minor) + i128::from(doubt.low_minor);
            most += i128::from(change.net_minor) + i128::from(doubt.high_minor);
        }
        let moved = now.customers_minor - self.books.customers_minor;
        if !(least..=most).contains(&moved) {
            audit.faults.push(format!(
                "all customers together must have {} minor units more than before, have {moved}",
                between(least, most)
            ));
        }
        if batch.is_some() {
            return;
        }
        let mut debits = 0;
        for (date, sum) in &now.debits_minor {
            debits += sum - self.books.debits_minor.get(date).copied().unwrap_or(0);
        }
        let gone = self
            .books
            .debits_minor
            .keys()
            .find(|date| !now.debits_minor.contains_key(*date));
        if let Some(date) = gone {
            audit.notes.push(format!(
                "the trial balance tells no more of {date}: the sum of all postings is not compared"
            ));
            return;
        }
        let (least, most) = (
            i128::from(ledger.moved_minor),
            i128::from(ledger.moved_minor) + i128::from(ledger.doubtful_minor),
        );
        if !(least..=most).contains(&debits) {
            audit.faults.push(format!(
                "debits of {} minor units must have been posted, {debits} were",
                between(least, most)
            ));
        }
    }
}

impl Books {
    fn read(admin: &Admin, currency: &str) -> anyhow::Result<Self> {
        let value = admin.trial_balance()?;
        Self::of(&value, currency).ok_or_else(|| anyhow!("the trial balance cannot be read"))
    }

    fn of(value: &Value, currency: &str) -> Option<Self> {
        let of_currency =
            |line: &&Value| line.get("currency").and_then(Value::as_str) == Some(currency);
        let customers = value
            .get("currencies")?
            .as_array()?
            .iter()
            .find(of_currency)?;
        let mut debits_minor = BTreeMap::new();
        for line in value.get("dates")?.as_array()?.iter().filter(of_currency) {
            let date = line.get("business_date")?.as_str()?.to_owned();
            debits_minor.insert(date, integer(line.get("debit_minor")?)?);
        }
        Some(Self {
            balanced: value.get("balanced")?.as_bool()?,
            customers_minor: integer(customers.get("customers_minor")?)?,
            debits_minor,
        })
    }
}

/// A whole number of any size that JSON may bring: as a number or as text.
fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => number.to_string().parse().ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Reads accounts, several at a time.
fn accounts(
    admin: &Admin,
    cards: &Cards,
    indexes: &[u32],
) -> anyhow::Result<Vec<(u32, Option<crate::admin::Account>)>> {
    let share = indexes.len().div_ceil(READERS).max(1);
    thread::scope(|scope| {
        let readers: Vec<_> = indexes
            .chunks(share)
            .map(|indexes| {
                scope.spawn(move || {
                    indexes
                        .iter()
                        .map(|index| {
                            let name = cards.account_name(*index).to_string();
                            Ok((*index, admin.account(&name)?))
                        })
                        .collect::<anyhow::Result<Vec<_>>>()
                })
            })
            .collect();
        let mut all = Vec::with_capacity(indexes.len());
        for reader in readers {
            all.extend(reader.join().map_err(|_| anyhow!("a reader has died"))??);
        }
        Ok(all)
    })
}
