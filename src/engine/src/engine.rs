//! The engine: its state, how it is read, and the three steps of a command.

use crate::account::AccountRow;
use crate::apply::Stamp;
use crate::business::DateState;
use crate::card::CardRow;
use crate::code::ResponseCode;
use crate::command::{Command, Genesis, Request, Transaction};
use crate::date::Date;
use crate::event::{Answer, Event, TransactionEvent};
use crate::exception::Exceptions;
use crate::ids::{AccountIx, AccountNumber, CardIx, Currency, NetworkId, PanHash, Seq, TimeUs};
use crate::index::Index;
use crate::invariants::Breach;
use crate::limits::{Capacity, KEPT_ROWS_LOG2};
use crate::memory::Memory;
use crate::mix;
use crate::night::Night;
use crate::outcome::{NightRefusal, Outcome, PutOutcome, PutRefusal};
use crate::pans::Pans;
use crate::reconcile::Books;
use crate::table::{Chunked, Reserved, UNTOLD};
use crate::totals::Totals;

/// How an engine is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether it can look up and decide. `false` for the follower and for what
    /// only replays: the look-up tables are left out.
    pub indexed: bool,
    /// How much it holds at most.
    pub capacity: Capacity,
}

/// What `decide` comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// As in `Body`: the large variant is the frequent one.
#[allow(clippy::large_enum_variant)]
pub enum Decision {
    /// Something happens.
    Event(Event),
    /// Nothing happens: a repeat, a 94, a row that is there already, a refusal.
    Answer(Answer),
}

/// How many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Rows of accounts, internal ones included.
    pub accounts: u32,
    /// Rows of cards.
    pub cards: u32,
    /// Slots in use for remembered transactions.
    pub remembered: u32,
    /// Exceptions since genesis.
    pub exceptions: u64,
    /// Commands that failed their check since this process started.
    pub breaches: u64,
}

/// The bank's internal accounts of one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CurrencyAccounts {
    pub currency: Currency,
    pub position: AccountIx,
    pub suspense: AccountIx,
    pub opening: AccountIx,
    /// Sum over customers' and over internal rows.
    pub customers_minor: i128,
    pub internal_minor: i128,
}

/// Sums that make up the state hash: changed with each row, never recomputed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hashes {
    /// Over what never changes in account rows.
    pub fixed: u64,
    /// Over balances (closing and opening date together), holds, overdraft, status.
    pub live: u64,
    /// Over the opening date's buffers.
    pub next: u64,
    /// Over cards.
    pub cards: u64,
    /// Rolled over remembered transactions and the marks on them, in order.
    pub rolled: u64,
}

/// The deterministic core. See the crate's documentation.
#[derive(Debug)]
pub struct Engine {
    pub(crate) options: Options,
    pub(crate) genesis: Option<Genesis>,
    pub(crate) dates: DateState,
    pub(crate) night: Night,
    pub(crate) books: Books,
    /// The default date and its year and month (YYMM), which follow from `dates`.
    pub(crate) today: (Date, u16),
    pub(crate) last_seq: Seq,
    pub(crate) last_time_us: TimeUs,
    pub(crate) accounts: Chunked<AccountRow, KEPT_ROWS_LOG2>,
    pub(crate) cards: Chunked<CardRow, KEPT_ROWS_LOG2>,
    pub(crate) by_number: Option<Index>,
    pub(crate) by_pan: Option<Pans>,
    /// In the order of opening: a currency's place is its slot.
    pub(crate) currencies: Vec<CurrencyAccounts>,
    /// By network and currency.
    pub(crate) settlements: Vec<((NetworkId, Currency), AccountIx)>,
    pub(crate) memory: Memory,
    pub(crate) totals: Totals,
    pub(crate) exceptions: Exceptions,
    pub(crate) hashes: Hashes,
    pub(crate) consistent_from: Seq,
    pub(crate) divergence: Option<Seq>,
    pub(crate) breaches: u64,
    pub(crate) last_breach: Option<Breach>,
}

impl Engine {
    /// An empty engine. Lays out and touches the look-up tables (if `indexed`).
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self::new_in(options, UNTOLD)
    }

    /// As [`Engine::new`]; `reserved` is told where the look-up tables will be.
    #[must_use]
    pub fn new_in(options: Options, reserved: Reserved) -> Self {
        let Capacity {
            accounts, cards, ..
        } = options.capacity;
        Self {
            options,
            genesis: None,
            dates: DateState::Open { date: Date(0) },
            night: Night::new(),
            books: Books::default(),
            today: (Date(0), 0),
            last_seq: 0,
            last_time_us: 0,
            accounts: Chunked::with_capacity(accounts),
            cards: Chunked::with_capacity(cards),
            by_number: options
                .indexed
                .then(|| Index::with_capacity(accounts, reserved)),
            by_pan: options
                .indexed
                .then(|| Pans::with_capacity(cards, reserved)),
            currencies: Vec::with_capacity(crate::limits::MAX_CURRENCIES),
            settlements: Vec::with_capacity(crate::limits::MAX_SETTLEMENT_ACCOUNTS),
            memory: Memory::new(options.capacity, options.indexed, reserved),
            totals: Totals::default(),
            exceptions: Exceptions::new(),
            hashes: Hashes::default(),
            consistent_from: 0,
            divergence: None,
            breaches: 0,
            last_breach: None,
        }
    }

    /// Decides, checks, applies, and appends the encoded event to `log` if there
    /// is one. An event that would break an invariant has no effect: 96.
    pub fn execute(&mut self, command: &Command, log: &mut Vec<u8>) -> Answer {
        if let Request::Transaction(transaction) = &command.request
            && self.can_decide()
        {
            return self.execute_transaction(command, transaction, log);
        }
        let event = match self.decide(command) {
            Decision::Answer(Answer::Wanting) => return self.wanting(&command.request),
            Decision::Answer(answer) => return answer,
            Decision::Event(event) => event,
        };
        self.foresee(&event);
        let checked = self.check(&event);
        if self.memory.notes.any() {
            return self.wanting(&command.request);
        }
        if let Err(breach) = checked {
            self.breaches = self.breaches.saturating_add(1);
            self.last_breach = Some(breach);
            return self.malfunction(&command.request);
        }
        self.apply(&event);
        event.encode(log);
        event.outcome()
    }

    /// The hot path of [`Self::execute`]: the same steps, but the event stays
    /// where it was made (each copy of one costs as much as a cache miss).
    #[inline]
    fn execute_transaction(
        &mut self,
        command: &Command,
        transaction: &Transaction,
        log: &mut Vec<u8>,
    ) -> Answer {
        let mut event = TransactionEvent::blank(transaction);
        let decided = self.decide_transaction(transaction, command.day, &mut event);
        if self.memory.notes.any() {
            return self.wanting(&command.request);
        }
        if let Err(answer) = decided {
            return answer;
        }
        let stamp = Stamp {
            seq: self.last_seq.wrapping_add(1),
            time_us: command.time_us.max(self.last_time_us),
        };
        let consistent = self.is_consistent();
        if self.memory.spilled > 0 {
            self.foresee_transaction(&event);
        }
        let checked = self.check_transaction(stamp.seq, &event, consistent);
        if self.memory.notes.any() {
            return self.wanting(&command.request);
        }
        if let Err(breach) = checked {
            self.breaches = self.breaches.saturating_add(1);
            self.last_breach = Some(breach);
            return self.refusal(ResponseCode::Malfunction);
        }
        self.apply_transaction(stamp, &event);
        crate::codec::encode_transaction(log, stamp.seq, stamp.time_us, &event);
        Answer::Message(event.outcome(stamp.seq))
    }

    /// What was looked at is not at hand: it comes from a file, or cannot be read, and
    /// then nobody may guess.
    #[cold]
    fn wanting(&mut self, request: &Request) -> Answer {
        if self.memory.notes.is_unreadable() {
            self.memory.notes.take();
            self.memory.lent.forget_unreadable();
            return self.malfunction(request);
        }
        Answer::Wanting
    }

    fn malfunction(&self, request: &Request) -> Answer {
        match request {
            Request::Transaction(_) | Request::Reversal(_) | Request::Reconcile(_) => {
                self.refusal(ResponseCode::Malfunction)
            }
            Request::PutAccount(_)
            | Request::PutCard(_)
            | Request::OpenInternal { .. }
            | Request::OpenBatch { .. } => {
                Answer::Put(PutOutcome::Refused(PutRefusal::AmountOutOfBounds))
            }
            Request::Cutover { .. }
            | Request::Freeze { .. }
            | Request::Seal { .. }
            | Request::OpenEarly { .. }
            | Request::NetworkCutover { .. }
            | Request::PostEntry(_)
            | Request::AskReconciliation { .. }
            | Request::ReconciliationAnswered { .. }
            | Request::CutoverAnnounced { .. } => self.night_refused(NightRefusal::Malfunction),
            Request::Genesis(_) | Request::Attest => Answer::Done,
        }
    }

    /// An answer with no event behind it.
    pub(crate) fn refusal(&self, code: ResponseCode) -> Answer {
        let date = self.dates.default_date();
        Answer::Message(Outcome {
            code,
            seq: 0,
            durable_at: self.last_seq,
            business_date: date,
            settlement_date: date,
            balances: None,
            is_repeat: false,
        })
    }

    /// A hash of the whole state: O(1) in the number of rows and records. Equal
    /// for the live engine, a replay and a follower at the same sequence.
    #[must_use]
    pub fn state_hash(&self) -> u64 {
        let mut hash = mix::mix6([
            self.hashes.fixed,
            self.hashes.live,
            self.hashes.next,
            self.hashes.cards,
            self.hashes.rolled,
            self.last_seq,
        ]);
        hash = mix::mix2(hash, self.last_time_us);
        hash = mix::mix2(
            hash,
            // Zero while one date is open.
            self.dates.phase().map_or(0, |phase| phase as u64) << 32
                | u64::from(self.dates.closing().0) << 16
                | u64::from(self.dates.opening().0),
        );
        hash = self.books.hash(self.night.hash(hash));
        for totals in &self.totals.dates {
            hash = mix::mix6([
                hash,
                u64::from(totals.business_date.0) << 16 | u64::from(totals.currency.0),
                totals.debit_minor as u64,
                totals.credit_minor as u64,
                totals.debit_count,
                totals.credit_count,
            ]);
        }
        for totals in &self.totals.networks {
            let (network, date, currency) = totals.key();
            hash = mix::mix2(
                hash,
                u64::from(network.0) << 32 | u64::from(date.0) << 16 | u64::from(currency.0),
            );
            for tally in [
                totals.debits,
                totals.credits,
                totals.debit_reversals,
                totals.credit_reversals,
                totals.transfers,
                totals.transfer_reversals,
            ] {
                hash = mix::mix6([
                    hash,
                    tally.count,
                    tally.amount_minor as u64,
                    totals.inquiries,
                    0,
                    0,
                ]);
            }
        }
        hash
    }

    /// From this sequence on the rows belong together: rows may have been stored
    /// ahead of the mark that the rest was loaded at. `check` and the hash count
    /// from here.
    #[must_use]
    pub const fn consistent_from(&self) -> Seq {
        self.consistent_from
    }

    /// Whether the rows belong together.
    #[inline]
    pub(crate) const fn is_consistent(&self) -> bool {
        self.last_seq >= self.consistent_from
    }

    /// Position of the account with this number. Only an indexed engine finds any.
    #[must_use]
    #[inline]
    pub fn find_account(&self, number: &AccountNumber) -> Option<AccountIx> {
        self.by_number
            .as_ref()?
            .candidates(mix::mix_bytes(number.as_bytes()))
            .find(|ix| {
                self.accounts
                    .get(*ix)
                    .is_some_and(|row| row.number_bytes() == number.as_bytes())
            })
            .map(AccountIx)
    }

    /// Position of the card with this PAN. Only an indexed engine finds any.
    #[must_use]
    #[inline]
    pub fn find_card(&self, pan: PanHash) -> Option<CardIx> {
        self.by_pan.as_ref()?.find(pan_hash(pan), |ix| {
            self.cards.get(ix.0).is_some_and(|row| row.pan() == pan)
        })
    }

    /// The accounts of a currency, if the bank keeps books in it.
    #[inline]
    pub(crate) fn currency(&self, currency: Currency) -> Option<&CurrencyAccounts> {
        self.currencies
            .iter()
            .find(|slot| slot.currency == currency)
    }

    /// Place of a currency.
    pub(crate) fn slot(&self, currency: Currency) -> Option<u8> {
        let at = self
            .currencies
            .iter()
            .position(|slot| slot.currency == currency)?;
        u8::try_from(at).ok()
    }

    /// The settlement account of a network in a currency.
    #[inline]
    pub(crate) fn settlement(&self, network: NetworkId, currency: Currency) -> Option<AccountIx> {
        let key = (network, currency);
        let at = self
            .settlements
            .binary_search_by_key(&key, |(key, _)| *key)
            .ok()?;
        self.settlements.get(at).map(|(_, ix)| *ix)
    }
}

/// Where a PAN is looked up.
#[inline]
pub(crate) const fn pan_hash(pan: PanHash) -> u64 {
    (pan.0 >> 64) as u64 ^ pan.0 as u64
}
