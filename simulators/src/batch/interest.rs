//! Interest and fees of one day, in integers.
//!
//! **Rule.** Interest is `balance × rate / 365` of the annual rate in basis points
//! (1/10,000), by the day count actual/365: the divisor is 365 in leap years too.
//! Each account gets the whole minor units of its interest. What is cut off is
//! not lost: the cut-off parts of all accounts of a currency and side are added,
//! and the whole units in their sum go, one each, to the accounts with the largest
//! parts (equal ones in the order of the extract). So the entries of a currency
//! and side sum up to exactly the whole units of its total interest.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use super::extract::Balance;

/// Basis points of a year in one day: 10,000 × 365.
const DIVISOR: u128 = 3_650_000;

/// What the bank pays and charges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rates {
    /// Basis points a year on a positive closing balance.
    pub credit_bp: u32,
    /// Basis points a year on a negative one.
    pub overdraft_bp: u32,
    /// Minor units a day for a negative closing balance, whatever the currency.
    pub overdraft_fee_minor: u32,
}

impl Default for Rates {
    /// 1 %, 8 %, 100 minor units.
    fn default() -> Rates {
        Rates {
            credit_bp: 100,
            overdraft_bp: 800,
            overdraft_fee_minor: 100,
        }
    }
}

/// Which rule made an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Interest on a positive balance: to the customer.
    Interest,
    /// Interest on a negative balance: from the customer.
    OverdraftInterest,
    /// The fee for a negative balance: from the customer.
    OverdraftFee,
}

impl Rule {
    /// Part of the entry's id.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Interest => "interest",
            Rule::OverdraftInterest => "overdraft-interest",
            Rule::OverdraftFee => "overdraft-fee",
        }
    }
}

/// An entry: which account (its place among the balances), and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub at: usize,
    pub rule: Rule,
    /// Positive to the customer.
    pub minor: i64,
}

/// The day's entries, in the order of the balances.
///
/// # Errors
/// A text: an amount beyond 64 bits.
pub(super) fn entries(balances: &[Balance], rates: &Rates) -> Result<Vec<Entry>, String> {
    let mut sides: BTreeMap<(&str, Rule), Vec<(usize, u128)>> = BTreeMap::new();
    let mut made = Vec::new();
    for (at, balance) in balances.iter().enumerate() {
        let rule = match balance.closing_minor {
            0 => continue,
            1.. => Rule::Interest,
            _ => Rule::OverdraftInterest,
        };
        let basis_points = match rule {
            Rule::Interest => rates.credit_bp,
            _ => rates.overdraft_bp,
        };
        let parts = balance
            .closing_minor
            .unsigned_abs()
            .checked_mul(u128::from(basis_points))
            .ok_or("a balance beyond all bounds")?;
        sides
            .entry((&balance.currency, rule))
            .or_default()
            .push((at, parts));
        if rule == Rule::OverdraftInterest && rates.overdraft_fee_minor > 0 {
            made.push(Entry {
                at,
                rule: Rule::OverdraftFee,
                minor: -i64::from(rates.overdraft_fee_minor),
            });
        }
    }
    for ((_, rule), parts) in sides {
        for (at, units) in apportion(&parts, DIVISOR) {
            let minor = i64::try_from(units).map_err(|_| "interest beyond all bounds")?;
            if minor != 0 {
                let minor = if rule == Rule::Interest {
                    minor
                } else {
                    -minor
                };
                made.push(Entry { at, rule, minor });
            }
        }
    }
    made.sort_by_key(|entry| (entry.at, entry.rule));
    Ok(made)
}

/// Whole units for each of the parts: rounded down, and the units in the sum of
/// what was cut off to the largest cut-offs.
fn apportion(parts: &[(usize, u128)], divisor: u128) -> Vec<(usize, u128)> {
    let mut units: Vec<(usize, u128)> = Vec::with_capacity(parts.len());
    let mut cut_off: Vec<(u128, usize)> = Vec::with_capacity(parts.len());
    let mut rest: u128 = 0;
    for (place, (at, part)) in parts.iter().enumerate() {
        units.push((*at, part / divisor));
        cut_off.push((part % divisor, place));
        // Each is below the divisor: far within 128 bits.
        rest += part % divisor;
    }
    // Fewer than there are accounts, since each cut-off is below one unit.
    let more = usize::try_from(rest / divisor).unwrap_or(parts.len());
    cut_off.sort_unstable_by_key(|(part, place)| (Reverse(*part), *place));
    for (_, place) in cut_off.iter().take(more) {
        if let Some((_, unit)) = units.get_mut(*place) {
            *unit += 1;
        }
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(currency: &str, closing_minor: i128) -> Balance {
        Balance {
            account: "1".to_owned(),
            currency: currency.to_owned(),
            closing_minor,
        }
    }

    fn made(balances: &[Balance], rates: Rates) -> Vec<(usize, &'static str, i64)> {
        entries(balances, &rates)
            .unwrap()
            .into_iter()
            .map(|entry| (entry.at, entry.rule.name(), entry.minor))
            .collect()
    }

    #[test]
    fn interest_is_a_365th_of_the_year_and_what_is_cut_off_is_not_lost() {
        // 1 % of 100,000,000 a year is 1,000,000: 2,739 and 265/365 a day.
        let one = balance("KRW", 100_000_000);
        assert_eq!(
            made(std::slice::from_ref(&one), Rates::default()),
            [(0, "interest", 2_739)]
        );
        // Three of them have 8,219 and 65/365: two get one more.
        let three = [one.clone(), one.clone(), one.clone()];
        assert_eq!(
            made(&three, Rates::default()),
            [
                (0, "interest", 2_740),
                (1, "interest", 2_740),
                (2, "interest", 2_739)
            ]
        );
        // The largest cut-off goes first, wherever it stands: 0.4, 0.3, 0.9 of a
        // unit make one, and the third gets it.
        let parts = [(0, 4), (1, 3), (2, 9)];
        assert_eq!(apportion(&parts, 10), [(0, 0), (1, 0), (2, 1)]);
        assert_eq!(apportion(&[], 10), []);
    }

    #[test]
    fn the_sum_is_exact_for_any_balances() {
        let balances: Vec<Balance> = (0..1_000)
            .map(|n: i128| balance("KRW", n * n * 7_919 + 13))
            .collect();
        let total: u128 = balances
            .iter()
            .map(|b| b.closing_minor.unsigned_abs() * 100)
            .sum();
        let sum: i64 = made(&balances, Rates::default()).iter().map(|e| e.2).sum();
        assert_eq!(u128::try_from(sum).unwrap(), total / DIVISOR);
    }

    #[test]
    fn currencies_and_sides_are_apart() {
        let balances = [
            balance("KRW", 1_000_000),
            balance("USD", -1_000_000),
            balance("KRW", 0),
            balance("KRW", -1_000_000),
        ];
        assert_eq!(
            made(&balances, Rates::default()),
            [
                (0, "interest", 27),
                (1, "overdraft-interest", -219),
                (1, "overdraft-fee", -100),
                (3, "overdraft-interest", -219),
                (3, "overdraft-fee", -100),
            ]
        );
        let nothing = Rates {
            credit_bp: 0,
            overdraft_bp: 0,
            overdraft_fee_minor: 0,
        };
        assert_eq!(made(&balances, nothing), []);
    }

    #[test]
    fn a_balance_beyond_all_bounds_is_an_error() {
        let balances = [balance("KRW", i128::MAX)];
        assert!(entries(&balances, &Rates::default()).is_err());
    }
}
