//! The residue: all state that is neither a row nor a remembered transaction.
//! Small; written with each checkpoint's mark and with each base.

use crate::business::{DateState, Phase};
use crate::bytes::{Reader, Short};
use crate::command::Genesis;
use crate::date::Date;
use crate::engine::Engine;
use crate::exception::{Exception, ExceptionKind, Exceptions};
use crate::ids::{AccountIx, Currency, NetworkId, Seq, TimeUs};
use crate::limits::{
    DAYS_KEPT, EXCEPTIONS_KEPT, MAX_CURRENCIES, MAX_GENERATIONS, MAX_SETTLEMENT_ACCOUNTS,
};
use crate::night::{DayEnd, NetworkClock, Night};
use crate::night_codec::{put_sums, read_sums};
use crate::reconcile::Books;
use crate::reconcile_codec::{read_books, write_books};
use crate::record::RecordRef;
use crate::totals::{DateTotals, NetworkTotals, Tally, Totals};

/// Version 2 adds the nights at the end, version 3 the reconciliations behind them,
/// version 4 the marks that outlive their reversals behind those. Versions 3 and 4 are
/// written only where there are any, so that a residue is the same, to the byte, as the
/// older program wrote it.
const VERSION: u8 = 4;
const WITHOUT_OUTLIVING: u8 = 3;
const WITHOUT_RECONCILIATIONS: u8 = 2;
const WITHOUT_NIGHTS: u8 = 1;

/// The residue, read back.
pub(crate) struct Residue {
    pub genesis: Option<Genesis>,
    pub dates: DateState,
    pub last_seq: Seq,
    pub last_time_us: TimeUs,
    pub accounts_len: u32,
    pub cards_len: u32,
    pub rolled: u64,
    /// Currency; position, suspense, opening.
    pub currencies: Vec<(Currency, [AccountIx; 3])>,
    pub settlements: Vec<((NetworkId, Currency), AccountIx)>,
    /// Date, first sequence, length.
    pub generations: Vec<(Date, Seq, u32)>,
    pub exceptions: Exceptions,
    pub totals: Totals,
    pub night: Night,
    pub books: Books,
    /// Marks that outlive their reversals.
    pub outliving: Vec<RecordRef>,
}

impl Engine {
    /// All state that is neither a row nor a remembered transaction, encoded.
    #[must_use]
    pub fn residue(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4096);
        let genesis = self.genesis.unwrap_or(Genesis {
            business_date: Date(0),
            key_check: 0,
        });
        let outliving = &self.memory.outliving;
        let version = if !outliving.is_empty() {
            VERSION
        } else if !self.books.networks.is_empty() {
            WITHOUT_OUTLIVING
        } else {
            WITHOUT_RECONCILIATIONS
        };
        out.extend([version, u8::from(self.genesis.is_some())]);
        out.extend(genesis.business_date.0.to_le_bytes());
        out.extend(genesis.key_check.to_le_bytes());
        out.push(match self.dates {
            DateState::Open { .. } => 0,
            DateState::Dual { phase, .. } => phase as u8,
        });
        out.extend(self.dates.closing().0.to_le_bytes());
        out.extend(self.dates.opening().0.to_le_bytes());
        for word in [self.last_seq, self.last_time_us, self.hashes.rolled] {
            out.extend(word.to_le_bytes());
        }
        out.extend(self.accounts.len().to_le_bytes());
        out.extend(self.cards.len().to_le_bytes());
        count(&mut out, self.currencies.len());
        for slot in &self.currencies {
            out.extend(slot.currency.0.to_le_bytes());
            for ix in [slot.position, slot.suspense, slot.opening] {
                out.extend(ix.0.to_le_bytes());
            }
        }
        count(&mut out, self.settlements.len());
        for ((network, currency), ix) in &self.settlements {
            out.extend(network.0.to_le_bytes());
            out.extend(currency.0.to_le_bytes());
            out.extend(ix.0.to_le_bytes());
        }
        count(&mut out, self.memory.generations.len());
        for generation in &self.memory.generations {
            out.extend(generation.date.0.to_le_bytes());
            out.extend(generation.base_seq.to_le_bytes());
            out.extend(generation.records.len().to_le_bytes());
        }
        write_exceptions(&mut out, &self.exceptions);
        write_totals(&mut out, &self.totals);
        write_night(&mut out, &self.night);
        if version >= WITHOUT_OUTLIVING {
            write_books(&mut out, &self.books);
        }
        if version == VERSION {
            count(&mut out, outliving.len());
            for reference in outliving {
                out.extend(reference.0.to_le_bytes());
            }
        }
        out
    }
}

pub(crate) fn count(out: &mut Vec<u8>, count: usize) {
    // All of these are bounded far below 32 bits.
    out.extend((count as u32).to_le_bytes());
}

fn write_exceptions(out: &mut Vec<u8>, exceptions: &Exceptions) {
    out.extend(exceptions.total.to_le_bytes());
    count(out, exceptions.newest.len());
    for exception in &exceptions.newest {
        out.extend(exception.seq.to_le_bytes());
        out.extend(exception.time_us.to_le_bytes());
        out.push(exception.kind as u8);
        out.extend(exception.network.0.to_le_bytes());
        out.extend(exception.amount_minor.to_le_bytes());
        out.extend(exception.currency.0.to_le_bytes());
    }
}

fn write_totals(out: &mut Vec<u8>, totals: &Totals) {
    count(out, totals.dates.len());
    for date in &totals.dates {
        out.extend(date.business_date.0.to_le_bytes());
        out.extend(date.currency.0.to_le_bytes());
        out.extend(date.debit_minor.to_le_bytes());
        out.extend(date.credit_minor.to_le_bytes());
        out.extend(date.debit_count.to_le_bytes());
        out.extend(date.credit_count.to_le_bytes());
    }
    count(out, totals.networks.len());
    for network in &totals.networks {
        out.extend(network.network.0.to_le_bytes());
        out.extend(network.settlement_date.0.to_le_bytes());
        out.extend(network.currency.0.to_le_bytes());
        for tally in [
            network.debits,
            network.credits,
            network.debit_reversals,
            network.credit_reversals,
            network.transfers,
            network.transfer_reversals,
        ] {
            out.extend(tally.count.to_le_bytes());
            out.extend(tally.amount_minor.to_le_bytes());
        }
        out.extend(network.inquiries.to_le_bytes());
    }
}

fn write_night(out: &mut Vec<u8>, night: &Night) {
    count(out, night.days.len());
    for day in &night.days {
        out.extend(day.date.0.to_le_bytes());
        for word in [day.cutover, day.cutover_us, day.freeze, day.seal] {
            out.extend(word.to_le_bytes());
        }
        put_sums(out, &day.entries);
    }
    count(out, night.clocks.len());
    for clock in &night.clocks {
        out.extend(clock.network.0.to_le_bytes());
        out.extend(clock.date.0.to_le_bytes());
        out.extend(clock.seq.to_le_bytes());
    }
    count(out, night.batch.len());
    for (currency, ix) in &night.batch {
        out.extend(currency.0.to_le_bytes());
        out.extend(ix.0.to_le_bytes());
    }
    out.extend(night.rolled_forward.to_le_bytes());
}

fn read_night(from: &mut Reader<'_>) -> Result<Night, Short> {
    let mut night = Night::new();
    for _ in 0..bounded(from, DAYS_KEPT)? {
        let date = Date(from.u16()?);
        let [cutover, cutover_us] = [from.u64()?, from.u64()?];
        let [freeze, seal] = [from.u64()?, from.u64()?];
        night.days.push(DayEnd {
            date,
            cutover,
            cutover_us,
            freeze,
            seal,
            entries: read_sums(from).map_err(|_| Short)?,
        });
    }
    for _ in 0..bounded(from, MAX_SETTLEMENT_ACCOUNTS)? {
        night.clocks.push(NetworkClock {
            network: NetworkId(from.u16()?),
            date: Date(from.u16()?),
            seq: from.u64()?,
        });
    }
    for _ in 0..bounded(from, MAX_CURRENCIES)? {
        night
            .batch
            .push((Currency(from.u16()?), AccountIx(from.u32()?)));
    }
    night.rolled_forward = from.u64()?;
    let ascending = night.days.is_sorted_by(|a, b| a.date < b.date)
        && night.clocks.is_sorted_by(|a, b| a.network < b.network);
    if ascending { Ok(night) } else { Err(Short) }
}

/// Reads a residue; `None` when it is not one.
pub(crate) fn read(bytes: &[u8]) -> Option<Residue> {
    read_checked(bytes).ok()?
}

/// Reads a count, and refuses one beyond its bound.
pub(crate) fn bounded(from: &mut Reader<'_>, most: usize) -> Result<u32, Short> {
    let count = from.u32()?;
    if count as usize > most {
        return Err(Short);
    }
    Ok(count)
}

fn read_checked(bytes: &[u8]) -> Result<Option<Residue>, Short> {
    let mut from = Reader::new(bytes);
    let [version, has_genesis] = from.array()?;
    if !(WITHOUT_NIGHTS..=VERSION).contains(&version) {
        return Ok(None);
    }
    let genesis = Genesis {
        business_date: Date(from.u16()?),
        key_check: from.u64()?,
    };
    let phase = from.u8()?;
    let (closing, opening) = (Date(from.u16()?), Date(from.u16()?));
    let dual = |phase| DateState::Dual {
        closing,
        opening,
        phase,
    };
    let dates = match phase {
        0 if closing == opening => DateState::Open { date: closing },
        1 => dual(Phase::Early),
        2 => dual(Phase::Grace),
        3 => dual(Phase::Frozen),
        _ => return Ok(None),
    };
    let (last_seq, last_time_us, rolled) = (from.u64()?, from.u64()?, from.u64()?);
    let (accounts_len, cards_len) = (from.u32()?, from.u32()?);
    let mut currencies = Vec::new();
    for _ in 0..bounded(&mut from, MAX_CURRENCIES)? {
        let currency = Currency(from.u16()?);
        let mut accounts = [AccountIx(0); 3];
        for account in &mut accounts {
            *account = AccountIx(from.u32()?);
        }
        currencies.push((currency, accounts));
    }
    let mut settlements = Vec::new();
    for _ in 0..bounded(&mut from, MAX_SETTLEMENT_ACCOUNTS)? {
        let key = (NetworkId(from.u16()?), Currency(from.u16()?));
        settlements.push((key, AccountIx(from.u32()?)));
    }
    let mut generations = Vec::new();
    for _ in 0..bounded(&mut from, MAX_GENERATIONS)? {
        generations.push((Date(from.u16()?), from.u64()?, from.u32()?));
    }
    let Some(exceptions) = read_exceptions(&mut from)? else {
        return Ok(None);
    };
    let totals = read_totals(&mut from)?;
    let night = if version == WITHOUT_NIGHTS {
        Night::new()
    } else {
        read_night(&mut from)?
    };
    let books = if version >= WITHOUT_OUTLIVING {
        read_books(&mut from)?
    } else {
        Books::default()
    };
    let mut outliving = Vec::new();
    if version == VERSION {
        for _ in 0..from.u32()? {
            outliving.push(RecordRef(from.u32()?));
        }
    }
    from.end()?;
    Ok(Some(Residue {
        genesis: (has_genesis != 0).then_some(genesis),
        dates,
        last_seq,
        last_time_us,
        accounts_len,
        cards_len,
        rolled,
        currencies,
        settlements,
        generations,
        exceptions,
        totals,
        night,
        books,
        outliving,
    }))
}

fn read_exceptions(from: &mut Reader<'_>) -> Result<Option<Exceptions>, Short> {
    let total = from.u64()?;
    let mut exceptions = Exceptions::new();
    for _ in 0..bounded(from, EXCEPTIONS_KEPT)? {
        let (seq, time_us) = (from.u64()?, from.u64()?);
        let Some(kind) = ExceptionKind::from_number(from.u8()?) else {
            return Ok(None);
        };
        exceptions.push(Exception {
            seq,
            time_us,
            kind,
            network: NetworkId(from.u16()?),
            amount_minor: from.u64()?,
            currency: Currency(from.u16()?),
        });
    }
    exceptions.total = total;
    Ok(Some(exceptions))
}

fn read_totals(from: &mut Reader<'_>) -> Result<Totals, Short> {
    let mut totals = Totals::default();
    for _ in 0..from.u32()? {
        totals.dates.push(DateTotals {
            business_date: Date(from.u16()?),
            currency: Currency(from.u16()?),
            debit_minor: from.u128()?,
            credit_minor: from.u128()?,
            debit_count: from.u64()?,
            credit_count: from.u64()?,
        });
    }
    for _ in 0..from.u32()? {
        let key = (
            NetworkId(from.u16()?),
            Date(from.u16()?),
            Currency(from.u16()?),
        );
        let mut tallies = [Tally::default(); 6];
        for tally in &mut tallies {
            *tally = Tally {
                count: from.u64()?,
                amount_minor: from.i128()?,
            };
        }
        let [
            debits,
            credits,
            debit_reversals,
            credit_reversals,
            transfers,
            transfer_reversals,
        ] = tallies;
        totals.networks.push(NetworkTotals {
            network: key.0,
            settlement_date: key.1,
            currency: key.2,
            debits,
            credits,
            debit_reversals,
            credit_reversals,
            transfers,
            transfer_reversals,
            inquiries: from.u64()?,
        });
    }
    Ok(totals)
}
