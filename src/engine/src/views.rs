//! How an engine is read: accounts, cards, dates, totals, what is remembered.

use crate::account::{AccountRow, AccountView};
use crate::business::BusinessDates;
use crate::card::{CardRow, CardView};
use crate::command::Genesis;
use crate::date::Date;
use crate::engine::{Counts, Engine, Options};
use crate::event::{Event, Row};
use crate::exception::Exception;
use crate::ids::{AccountIx, AccountNumber, CardIx, PanHash, Seq, TimeUs};
use crate::invariants::Breach;
use crate::night::{DayEnd, EntrySums, NetworkClock};
use crate::record::Record;
use crate::totals::{CurrencySum, NetworkTotals, TrialBalance};

impl Engine {
    /// Sequence of the last event; 0 before the first.
    #[must_use]
    pub const fn last_seq(&self) -> Seq {
        self.last_seq
    }

    /// Time of the last event.
    #[must_use]
    pub const fn last_time_us(&self) -> TimeUs {
        self.last_time_us
    }

    /// How it was set up.
    #[must_use]
    pub const fn options(&self) -> Options {
        self.options
    }

    /// First business date and check value of the PAN-hash key; `None` before genesis.
    #[must_use]
    pub const fn genesis(&self) -> Option<Genesis> {
        self.genesis
    }

    /// The first attested sequence at which this engine's state was another than
    /// the live engine's. The owner stops on it.
    #[must_use]
    pub const fn divergence(&self) -> Option<Seq> {
        self.divergence
    }

    /// What the last command that failed its check would have broken.
    #[must_use]
    pub const fn last_breach(&self) -> Option<Breach> {
        self.last_breach
    }

    /// The business dates. Before genesis: 1970-01-01.
    #[must_use]
    pub fn business(&self) -> BusinessDates {
        self.dates.into()
    }

    /// How far the ends of the closing date and of the last sealed ones have got, oldest first.
    #[must_use]
    pub fn day_ends(&self) -> &[DayEnd] {
        &self.night.days
    }

    /// What the batch has posted to a date.
    #[must_use]
    pub fn entries(&self, date: Date) -> EntrySums {
        self.night.entries(date)
    }

    /// Networks that have told their settlement date, in order.
    #[must_use]
    pub fn network_clocks(&self) -> &[NetworkClock] {
        &self.night.clocks
    }

    /// Postings that took a later business date than their settlement date, since genesis.
    #[must_use]
    pub const fn rolled_forward(&self) -> u64 {
        self.night.rolled_forward
    }

    /// Slots that requests may still take among the remembered transactions; at
    /// 0 they are refused with 91.
    #[must_use]
    pub const fn remembered_room(&self) -> u32 {
        self.memory.room()
    }

    /// An account by its number. Only an indexed engine finds any.
    #[must_use]
    pub fn account_by_number(&self, number: &AccountNumber) -> Option<AccountView> {
        self.account(self.find_account(number)?)
    }

    /// An account by its position.
    #[must_use]
    pub fn account(&self, ix: AccountIx) -> Option<AccountView> {
        let row = self.accounts.get(ix.0)?;
        let view = row.view(self.dates.closing());
        Some(AccountView {
            number: row.number()?,
            currency: row.currency,
            ledger_minor: view.ledger()?,
            // Out of range only for an internal account without bounds.
            available_minor: view.available().unwrap_or(i64::MAX),
            held_minor: view.held,
            overdraft_minor: view.overdraft,
            status: row.status(),
            role: row.role(),
            business_date: self.dates.default_date(),
            last_seq: row.last_seq,
        })
    }

    /// A card by its PAN. Only an indexed engine finds any.
    #[must_use]
    pub fn card_by_pan(&self, pan: PanHash) -> Option<CardView> {
        self.card(self.find_card(pan)?)
    }

    /// A card by the token that a view of it named.
    #[must_use]
    pub fn card_by_token(&self, token: u64) -> Option<CardView> {
        // The lower half is the row's place; the rest proves that it is this card's.
        let ix = CardIx(token as u32);
        let row = self.cards.get(ix.0)?;
        (row.token(ix) == token).then(|| self.card(ix))?
    }

    /// A card by its position.
    #[must_use]
    pub fn card(&self, ix: CardIx) -> Option<CardView> {
        let row = self.cards.get(ix.0)?;
        Some(CardView {
            ix,
            bin: row.bin(),
            last4: row.last4(),
            expiry: row.expiry(),
            status: row.status(),
            account: self.accounts.get(row.account.0)?.number()?,
            token: row.token(ix),
        })
    }

    /// Cards by position, for bounded scans.
    pub fn cards(&self, range: std::ops::Range<u32>) -> impl Iterator<Item = CardView> {
        let end = range.end.min(self.cards.len());
        (range.start..end).filter_map(|ix| self.card(CardIx(ix)))
    }

    /// Debits against credits, and sums over accounts.
    #[must_use]
    pub fn trial_balance(&self) -> TrialBalance {
        TrialBalance {
            dates: self.totals.dates.clone(),
            currencies: self
                .currencies
                .iter()
                .map(|slot| CurrencySum {
                    currency: slot.currency,
                    customers_minor: slot.customers_minor,
                    internal_minor: slot.internal_minor,
                })
                .collect(),
        }
    }

    /// Totals by network, settlement date and currency, in that order.
    pub fn network_totals(&self) -> impl Iterator<Item = &NetworkTotals> {
        self.totals.networks.iter()
    }

    /// The newest exceptions, oldest first (at most [`crate::limits::EXCEPTIONS_KEPT`]).
    pub fn exceptions(&self) -> impl Iterator<Item = &Exception> {
        self.exceptions.newest.iter()
    }

    /// How many there are of everything.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        Counts {
            accounts: self.accounts.len(),
            cards: self.cards.len(),
            remembered: self.memory.used,
            exceptions: self.exceptions.total,
            breaches: self.breaches,
        }
    }

    /// Rows of accounts.
    #[must_use]
    pub const fn accounts_len(&self) -> u32 {
        self.accounts.len()
    }

    /// Rows of cards.
    #[must_use]
    pub const fn cards_len(&self) -> u32 {
        self.cards.len()
    }

    /// An account's row.
    #[must_use]
    pub fn account_row(&self, ix: AccountIx) -> Option<&AccountRow> {
        self.accounts.get(ix.0)
    }

    /// A card's row.
    #[must_use]
    pub fn card_row(&self, ix: CardIx) -> Option<&CardRow> {
        self.cards.get(ix.0)
    }

    /// Calls `f` with each row that an event changes (some perhaps twice).
    pub fn touched(event: &Event, f: impl FnMut(Row)) {
        event.touched(f);
    }

    /// Generations of remembered transactions, oldest first, with their lengths in slots.
    pub fn generations(&self) -> impl Iterator<Item = (Date, u32)> {
        self.memory
            .generations
            .iter()
            .map(|generation| (generation.date, generation.records.len()))
    }

    /// Slots of a generation as stored: [`Record::BYTES`] each, in order; none of those
    /// that are spilled.
    pub fn record_bytes(
        &self,
        date: Date,
        range: std::ops::Range<u32>,
    ) -> impl Iterator<Item = [u8; Record::BYTES]> {
        self.memory
            .generation(date)
            .into_iter()
            .flat_map(move |generation| {
                let end = range.end.min(generation.records.len());
                (range.start.max(generation.spilled.slots)..end)
                    .filter_map(|position| generation.records.get(position))
                    .map(Record::to_bytes)
            })
    }
}
