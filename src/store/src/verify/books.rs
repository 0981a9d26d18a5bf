//! Books of the verification's own: each account's balance by date, from postings
//! alone, to be held against what the engine carries from one date to the next.

use std::collections::BTreeMap;

use gapless_engine::date::Date;
use gapless_engine::ids::{AccountIx, Currency};
use gapless_engine::{Body, DateTotals, Engine, Event};

/// Debits, credits, and how many of each.
type Totals = (u128, u128, u64, u64);

/// Balances and totals, posting by posting.
pub(super) struct Books {
    closing: Date,
    /// By account: the closing date's balance, and what is dated after it.
    rows: Vec<(i64, i64)>,
    totals: BTreeMap<(Date, Currency), Totals>,
    /// Sealed on the way, with the accounts that were compared.
    pub sealed: Vec<(Date, u32)>,
}

fn of(engine: &Engine, ix: u32) -> Option<(i64, i64)> {
    let row = engine.account_row(AccountIx(ix))?;
    let view = row.view(engine.business().closing);
    Some((view.balance, view.next))
}

fn key(totals: &DateTotals) -> (Date, Currency) {
    (totals.business_date, totals.currency)
}

fn sums(totals: &DateTotals) -> Totals {
    (
        totals.debit_minor,
        totals.credit_minor,
        totals.debit_count,
        totals.credit_count,
    )
}

impl Books {
    /// Begins with what a base file says, or with nothing.
    pub fn begin(engine: &Engine) -> Self {
        let trial_balance = engine.trial_balance();
        Self {
            closing: engine.business().closing,
            rows: (0..engine.accounts_len())
                .map(|ix| of(engine, ix).unwrap_or_default())
                .collect(),
            totals: trial_balance
                .dates
                .iter()
                .map(|totals| (key(totals), sums(totals)))
                .collect(),
            sealed: Vec::new(),
        }
    }

    /// Enters an event, which the engine has just applied.
    pub fn enter(&mut self, engine: &Engine, event: &Event) -> Result<(), String> {
        match &event.body {
            Body::Genesis(genesis) => self.closing = genesis.business_date,
            Body::Freeze { date } => self.compare(engine, &format!("at the freeze of {date}"))?,
            Body::Seal(seal) => return self.seal(engine, seal.date),
            _ => {}
        }
        let legs = event.legs().as_slice();
        let Some(date) = event.business_date().filter(|_| !legs.is_empty()) else {
            return Ok(());
        };
        for leg in legs {
            let at = leg.account.0 as usize;
            if self.rows.len() <= at {
                self.rows.resize(at + 1, (0, 0));
            }
            let row = self.rows.get_mut(at).ok_or("an account out of range")?;
            let side = if date == self.closing {
                &mut row.0
            } else if date == self.closing.next() {
                &mut row.1
            } else {
                return Err(format!("a posting dated {date}, which is not open"));
            };
            *side = side
                .checked_add(leg.delta_minor)
                .ok_or("a balance out of range")?;
            let party = engine.party(leg.account).ok_or("a posting to no account")?;
            let amount = u128::from(leg.delta_minor.unsigned_abs());
            let totals = self.totals.entry((date, party.currency)).or_default();
            if leg.delta_minor < 0 {
                totals.0 += amount;
                totals.2 += 1;
            } else {
                totals.1 += amount;
                totals.3 += 1;
            }
        }
        Ok(())
    }

    /// Every account: the balance of the closing date, and what is dated after it.
    pub fn compare(&self, engine: &Engine, when: &str) -> Result<(), String> {
        for ix in 0..engine.accounts_len() {
            let due = self.rows.get(ix as usize).copied().unwrap_or_default();
            let found = of(engine, ix);
            if found != Some(due) {
                return Err(format!(
                    "account row {ix} {when}: its postings come to {due:?} (closing date, after it), the row says {found:?}"
                ));
            }
        }
        Ok(())
    }

    /// Invariants 1, 5 and 12: the date's totals, and each account's closing balance
    /// against the opening balance of the next date.
    fn seal(&mut self, engine: &Engine, date: Date) -> Result<(), String> {
        let opening = date.next();
        for ix in 0..engine.accounts_len() {
            let (closing, after) = self.rows.get(ix as usize).copied().unwrap_or_default();
            // All that is dated after the sealed date is the open date's by now.
            let found = of(engine, ix).and_then(|(balance, next)| {
                (next == 0).then(|| balance.checked_sub(after)).flatten()
            });
            if found != Some(closing) {
                return Err(format!(
                    "account row {ix}: the closing balance of {date} is {closing}, {opening} opens with {found:?}"
                ));
            }
        }
        for totals in engine.trial_balance().dates {
            let due = self.totals.get(&key(&totals)).copied().unwrap_or_default();
            if totals.business_date == date && sums(&totals) != due {
                return Err(format!(
                    "the postings of {date} in currency {} come to other totals than were kept",
                    totals.currency
                ));
            }
        }
        for row in &mut self.rows {
            row.0 = row.0.checked_add(row.1).ok_or("a balance out of range")?;
            row.1 = 0;
        }
        self.totals.retain(|(of, _), _| *of > date);
        self.closing = opening;
        self.sealed.push((date, engine.accounts_len()));
        Ok(())
    }
}
