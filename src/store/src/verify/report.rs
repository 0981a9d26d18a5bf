//! What a verification tells a human.

use std::fmt;

use gapless_engine::TrialBalance;
use gapless_engine::date::Date;
use gapless_engine::ids::Seq;

use super::extracts::Found;
use crate::codec::hex;

/// What was verified. `Display` gives lines for a human.
#[derive(Clone, Debug)]
pub struct Report {
    /// The journal's identity.
    pub uuid: [u8; 16],
    /// Sequence of the base that everything was recomputed from; 0 = the first event.
    pub from: Seq,
    /// The journal's last event.
    pub head: Seq,
    /// Events replayed, each held against the invariants.
    pub events: u64,
    /// State hashes in the journal that the recomputed state was held against.
    pub attested: u64,
    /// Base files that were compared row by row.
    pub bases: Vec<Seq>,
    /// The mark of sled's rows, if there are any.
    pub rows: Option<Seq>,
    /// Dates that were sealed on the way, with the accounts whose closing balance was
    /// recomputed and is the next date's opening balance.
    pub sealed: Vec<(Date, u32)>,
    pub(super) extracts: Vec<Found>,
    /// State hash at the end.
    pub state_hash: u64,
    /// Accounts, cards and remembered transactions at the end.
    pub counts: (u32, u32, u32),
    /// Debits against credits at the end.
    pub trial_balance: TrialBalance,
    /// What is worth knowing and no breach.
    pub notes: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (accounts, cards, remembered) = self.counts;
        writeln!(f, "journal {}: events up to {}", hex(&self.uuid), self.head)?;
        match self.from {
            0 => writeln!(f, "recomputed from the first event")?,
            seq => writeln!(f, "recomputed from the base file at event {seq}")?,
        }
        writeln!(
            f,
            "{} events, each held against the invariants",
            self.events
        )?;
        writeln!(f, "{} attested state hashes, all equal", self.attested)?;
        for seq in &self.bases {
            writeln!(f, "base file at event {seq}: equal row by row")?;
        }
        match self.rows {
            Some(mark) => writeln!(
                f,
                "sled's rows (mark {mark}): equal row by row after replay"
            )?,
            None => writeln!(f, "sled's rows: none")?,
        }
        for (date, accounts) in &self.sealed {
            writeln!(
                f,
                "{date}: totals and closing balances of {accounts} accounts recomputed from the postings, equal to what {} opened with",
                date.next()
            )?;
        }
        for found in &self.extracts {
            let Found {
                date, freeze, rows, ..
            } = found;
            writeln!(
                f,
                "extract of {date} (freeze at event {freeze}, {rows} rows): {}",
                if found.recomputed {
                    "recomputed, equal to the byte"
                } else {
                    "as its manifest says; its freeze is before what was recomputed"
                }
            )?;
        }
        writeln!(
            f,
            "balances of the open dates recomputed from the postings, equal"
        )?;
        writeln!(
            f,
            "{accounts} accounts, {cards} cards, {remembered} remembered transactions"
        )?;
        for date in &self.trial_balance.dates {
            writeln!(
                f,
                "{} {}: debits {} ({}), credits {} ({})",
                date.business_date,
                date.currency,
                date.debit_minor,
                date.debit_count,
                date.credit_minor,
                date.credit_count
            )?;
        }
        for sum in &self.trial_balance.currencies {
            writeln!(
                f,
                "{}: customers {}, internal {}, together {}",
                sum.currency,
                sum.customers_minor,
                sum.internal_minor,
                sum.customers_minor + sum.internal_minor
            )?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        write!(f, "state hash {:016x}", self.state_hash)
    }
}
