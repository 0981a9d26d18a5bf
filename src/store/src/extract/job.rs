//! An extract under way: a piece at a time, from an instance of the core that
//! stands at the freeze, and the journal up to there.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use gapless_engine::command::{AccountStatus, Operation};
use gapless_engine::date::Date;
use gapless_engine::ids::{AccountIx, Currency, NetworkId, Seq};
use gapless_engine::iso4217::alphabetic;
use gapless_engine::{Body, ClosingRow, Engine, Event, Role};
use gapless_journal::{Disk, JournalError, Reader};

use super::manifest::{BalanceSum, MANIFEST, Manifest, Sums};
use super::table::{Format, Table};
use crate::remembered::Archive;

use super::write::{Out, TableWriter, give_names, write_whole};

/// Bytes of journal that a step goes through.
const JOURNAL_AT_ONCE: u64 = 256 << 10;
/// Accounts that a step writes.
const ACCOUNTS_AT_ONCE: u32 = 4096;

/// Which extract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The frozen date.
    pub date: Date,
    /// The event that froze it.
    pub freeze: Seq,
}

/// Why there is no extract, or not yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The disk: it may do better later.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Durable groups cannot be read now.
    #[error("the journal cannot be read: {0}")]
    Journal(JournalError),
    /// The journal or a base that it needs is gone for good.
    #[error("{0}")]
    Gone(String),
    /// What was written contradicts the engine's own totals.
    #[error("{0}")]
    Wrong(String),
}

impl From<JournalError> for Fault {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Released { first, .. } => {
                Self::Gone(format!("the journal is kept from event {first} on only"))
            }
            other => Self::Journal(other),
        }
    }
}

#[derive(Debug)]
enum Place {
    Postings(Box<Reader>, TableWriter),
    Balances(u32, TableWriter),
    Totals,
    Names,
    Done,
}

/// What one currency's postings come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    debit_count: u64,
    debit_minor: u128,
    credit_count: u64,
    credit_minor: u128,
}

/// Alphabetic codes of the few currencies that occur.
#[derive(Debug, Default)]
struct Codes(Vec<(Currency, String)>);

impl Codes {
    fn of(&mut self, currency: Currency) -> &str {
        let at = self.0.iter().position(|(of, _)| *of == currency);
        let at = at.unwrap_or_else(|| {
            self.0.push((currency, alphabetic(currency)));
            self.0.len() - 1
        });
        self.0.get(at).map_or("", |(_, code)| code.as_str())
    }
}

/// An extract under way. The engine must stand at the freeze until it is done.
#[derive(Debug)]
pub(crate) struct Job {
    target: Target,
    /// Where originals that have left memory are.
    archive: Archive,
    out: Option<Out>,
    place: Place,
    manifest: Manifest,
    tallies: BTreeMap<Currency, Tally>,
    /// Accounts, and sums over customers' and internal ones.
    balances: BTreeMap<Currency, (u64, i128, i128)>,
    codes: Codes,
}

impl Job {
    /// Begins at the first event that may be dated so. Without `out` nothing is
    /// written: only the manifest is made.
    pub(crate) fn begin(
        target: Target,
        engine: &Engine,
        disk: &Arc<dyn Disk>,
        journal: &Path,
        archive: &Archive,
        uuid: [u8; 16],
        out: Option<Out>,
    ) -> Result<Self, Fault> {
        debug_assert_eq!(engine.last_seq(), target.freeze);
        let from = engine.first_dated(target.date);
        let reader = Reader::open(Arc::clone(disk), journal, from)?;
        if let Some(Out { disk, dir }) = &out {
            disk.create_dir_all(dir)?;
            // Until the new one is there, there is no extract.
            match disk.remove(&dir.join(MANIFEST)) {
                Ok(()) => disk.sync_dir(dir)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        let postings = TableWriter::create(Table::Postings, out.as_ref())?;
        Ok(Self {
            target,
            archive: archive.clone(),
            out,
            place: Place::Postings(Box::new(reader), postings),
            manifest: Manifest::new(target.date.to_string(), target.freeze, uuid),
            tallies: BTreeMap::new(),
            balances: BTreeMap::new(),
            codes: Codes::default(),
        })
    }

    /// Which extract this is.
    pub(crate) const fn target(&self) -> Target {
        self.target
    }

    /// Does the next piece. Returns the bytes read and written, `None` when all is
    /// done. `durable` is the journal's durable sequence.
    pub(crate) fn step(&mut self, engine: &Engine, durable: Seq) -> Result<Option<u64>, Fault> {
        match std::mem::replace(&mut self.place, Place::Done) {
            Place::Postings(reader, writer) => {
                self.postings(engine, durable, reader, writer).map(Some)
            }
            Place::Balances(first, writer) => self.balances(engine, first, writer).map(Some),
            Place::Totals => {
                self.totals(engine)?;
                self.place = Place::Names;
                Ok(Some(0))
            }
            Place::Names => {
                if let Some(out) = &self.out {
                    write_whole(out, MANIFEST, &self.manifest.to_bytes()?)?;
                    let mut names: Vec<String> = Table::ALL
                        .iter()
                        .map(|table| table.file(Format::Csv))
                        .collect();
                    names.push(MANIFEST.to_owned());
                    give_names(out, &names)?;
                }
                Ok(Some(0))
            }
            Place::Done => Ok(None),
        }
    }

    /// What it has come to.
    pub(crate) fn into_manifest(self) -> Manifest {
        self.manifest
    }

    fn ended(&mut self, writer: TableWriter) -> io::Result<()> {
        let [csv, jsonl] = writer.finish()?;
        self.manifest.csv.push(csv);
        self.manifest.jsonl.push(jsonl);
        Ok(())
    }

    fn postings(
        &mut self,
        engine: &Engine,
        durable: Seq,
        mut reader: Box<Reader>,
        mut writer: TableWriter,
    ) -> Result<u64, Fault> {
        let mut read = 0;
        while read < JOURNAL_AT_ONCE && reader.position() <= self.target.freeze {
            let Some(group) = reader.next(durable)? else {
                return Err(Fault::Wrong(
                    "the journal ends before the freeze".to_owned(),
                ));
            };
            read += group.events.len() as u64;
            let mut rest = group.events;
            while !rest.is_empty() {
                let (event, after) = Event::decode(rest)
                    .map_err(|error| Fault::Wrong(format!("an event of the journal: {error}")))?;
                rest = after;
                if event.seq > self.target.freeze {
                    break;
                }
                if event.business_date() == Some(self.target.date) {
                    self.event(engine, &event, &mut writer)?;
                }
            }
        }
        let bytes = read + writer.flush()?;
        if reader.position() <= self.target.freeze {
            self.place = Place::Postings(reader, writer);
            return Ok(bytes);
        }
        self.ended(writer)?;
        self.check_tallies(engine)?;
        let balances = TableWriter::create(Table::Balances, self.out.as_ref())?;
        self.place = Place::Balances(0, balances);
        Ok(bytes)
    }

    fn event(
        &mut self,
        engine: &Engine,
        event: &Event,
        writer: &mut TableWriter,
    ) -> Result<(), Fault> {
        let legs = event.legs().as_slice();
        if legs.is_empty() {
            return Ok(());
        }
        let (settlement, network) = settles(event, self.target.date);
        let original = engine
            .original_of(event, |date, position| self.archive.slot(date, position))
            .map_err(|error| match error {
                Some(error) => Fault::Io(io::Error::new(error.kind, error)),
                None => Fault::Wrong(format!("event {} names no transaction", event.seq)),
            })?;
        for (at, leg) in (1u64..).zip(legs) {
            let party = engine
                .party(leg.account)
                .ok_or_else(|| Fault::Wrong(format!("event {} posts to no account", event.seq)))?;
            let tally = self.tallies.entry(party.currency).or_default();
            let amount = u128::from(leg.delta_minor.unsigned_abs());
            if leg.delta_minor < 0 {
                tally.debit_count += 1;
                tally.debit_minor += amount;
            } else {
                tally.credit_count += 1;
                tally.credit_minor += amount;
            }
            let code = self.codes.of(party.currency);
            writer.row(|line| {
                line.plain(event.seq)
                    .plain(at)
                    .text(party.number.as_str())
                    .text(role(party.role))
                    .text(code)
                    .plain(leg.delta_minor)
                    .plain(self.target.date)
                    .plain(settlement)
                    .plain(network.0)
                    .text(kind(event))
                    .optional(original);
            })?;
        }
        Ok(())
    }

    /// The postings must be those that the engine counted.
    fn check_tallies(&self, engine: &Engine) -> Result<(), Fault> {
        let counted: BTreeMap<Currency, Tally> = engine
            .trial_balance()
            .dates
            .iter()
            .filter(|totals| totals.business_date == self.target.date)
            .map(|totals| {
                let tally = Tally {
                    debit_count: totals.debit_count,
                    debit_minor: totals.debit_minor,
                    credit_count: totals.credit_count,
                    credit_minor: totals.credit_minor,
                };
                (totals.currency, tally)
            })
            .collect();
        if counted == self.tallies {
            return Ok(());
        }
        Err(Fault::Wrong(format!(
            "the postings of {} come to other totals than the engine has counted",
            self.target.date
        )))
    }

    fn balances(
        &mut self,
        engine: &Engine,
        first: u32,
        mut writer: TableWriter,
    ) -> Result<u64, Fault> {
        let end = engine
            .accounts_len()
            .min(first.saturating_add(ACCOUNTS_AT_ONCE));
        for ix in first..end {
            let row = engine
                .closing_row(AccountIx(ix))
                .ok_or_else(|| Fault::Wrong(format!("there is no row of account {ix}")))?;
            self.add_balance(&row);
            let code = self.codes.of(row.party.currency);
            writer.row(|line| {
                line.text(row.party.number.as_str())
                    .text(code)
                    .text(role(row.party.role))
                    .plain(row.balance_minor)
                    .plain(row.overdraft_minor)
                    .text(status(row.status));
            })?;
        }
        let bytes = writer.flush()?;
        if end < engine.accounts_len() {
            self.place = Place::Balances(end, writer);
            return Ok(bytes);
        }
        self.ended(writer)?;
        for (currency, (_, customers, internal)) in &self.balances {
            if customers.checked_add(*internal) != Some(0) {
                return Err(Fault::Wrong(format!(
                    "the closing balances in currency {currency} do not come to zero"
                )));
            }
        }
        self.place = Place::Totals;
        Ok(bytes)
    }

    fn add_balance(&mut self, row: &ClosingRow) {
        let (accounts, customers, internal) = self.balances.entry(row.party.currency).or_default();
        *accounts += 1;
        // Of at most 2^32 rows of 64 bits: in range.
        if row.party.role == Role::Customer {
            *customers += i128::from(row.balance_minor);
        } else {
            *internal += i128::from(row.balance_minor);
        }
    }

    fn totals(&mut self, engine: &Engine) -> Result<(), Fault> {
        let mut writer = TableWriter::create(Table::TrialBalance, self.out.as_ref())?;
        for (currency, tally) in &self.tallies {
            writer.row(|line| {
                line.plain(self.target.date)
                    .text(&alphabetic(*currency))
                    .plain(tally.debit_count)
                    .plain(tally.debit_minor)
                    .plain(tally.credit_count)
                    .plain(tally.credit_minor);
            })?;
        }
        self.ended(writer)?;
        let mut writer = TableWriter::create(Table::Settlement, self.out.as_ref())?;
        for totals in engine.network_totals() {
            writer.row(|line| {
                line.plain(totals.network.0)
                    .plain(totals.settlement_date)
                    .text(&alphabetic(totals.currency));
                for tally in [
                    totals.debits,
                    totals.credits,
                    totals.debit_reversals,
                    totals.credit_reversals,
                    totals.transfers,
                    totals.transfer_reversals,
                ] {
                    line.plain(tally.count).plain(tally.amount_minor);
                }
                line.plain(totals.inquiries);
            })?;
        }
        self.ended(writer)?;
        self.manifest.trial_balance = self.tallies.iter().map(sums).collect();
        self.manifest.balances = self
            .balances
            .iter()
            .map(|(currency, (accounts, customers, internal))| {
                let sum = BalanceSum {
                    accounts: *accounts,
                    customers_minor: customers.to_string(),
                    internal_minor: internal.to_string(),
                };
                (alphabetic(*currency), sum)
            })
            .collect();
        Ok(())
    }
}

fn sums((currency, tally): (&Currency, &Tally)) -> (String, Sums) {
    let sums = Sums {
        debit_count: tally.debit_count,
        debit_minor: tally.debit_minor.to_string(),
        credit_count: tally.credit_count,
        credit_minor: tally.credit_minor.to_string(),
    };
    (alphabetic(*currency), sums)
}

/// Settlement date and network of what an event posts.
const fn settles(event: &Event, business_date: Date) -> (Date, NetworkId) {
    match &event.body {
        Body::Transaction(t) => (t.settlement_date, t.network),
        Body::Reversal(r) => (r.settlement_date, r.network),
        _ => (business_date, NetworkId::OWN_TERMINALS),
    }
}

const fn kind(event: &Event) -> &'static str {
    match &event.body {
        Body::Transaction(t) => match t.operation {
            Operation::Purchase => "purchase",
            Operation::Cash => "cash",
            Operation::PurchaseWithCashback => "purchase_with_cashback",
            Operation::Refund => "refund",
            Operation::Transfer => "transfer",
            Operation::InquiryAvailable | Operation::InquiryBalance => "inquiry",
        },
        Body::Reversal(_) => "reversal",
        Body::AccountPut(_) => "opening",
        Body::Entry(_) => "entry",
        _ => "other",
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

const fn status(status: AccountStatus) -> &'static str {
    match status {
        AccountStatus::Active => "active",
        AccountStatus::Blocked => "blocked",
        AccountStatus::Closed => "closed",
    }
}
