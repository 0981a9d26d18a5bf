//! Events: what the journal holds. An event carries all of a command's effects
//! and its outcome, so that replay never decides again.

use crate::account::Role;
use crate::code::ResponseCode;
use crate::command::{AccountStatus, CardStatus, Class, Genesis, Identity, Operation};
use crate::command::{Amount, Transaction};
use crate::date::Date;
use crate::exception::ExceptionKind;
use crate::ids::{
    AccountIx, AccountNumber, CardIx, Currency, Expiry, NetworkId, PanHash, Seq, TimeUs,
};
use crate::legs::Legs;
use crate::night::EntrySums;
use crate::outcome::{Balances, NightOutcome, Outcome, PutOutcome};
use crate::reconcile::{Figures, Origin, Verdict};
use crate::record::RecordRef;

/// One entry of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place in the order; the first is 1, and there are no gaps.
    pub seq: Seq,
    /// Engine time; never runs backwards.
    pub time_us: TimeUs,
    /// What happened.
    pub body: Body,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// The large variant is the frequent one: a box would cost an allocation per message.
#[allow(clippy::large_enum_variant)]
pub enum Body {
    /// The journal began.
    Genesis(Genesis),
    /// Internal accounts were opened.
    InternalOpened(InternalOpened),
    /// An account was opened or changed.
    AccountPut(AccountPut),
    /// A card was opened or changed.
    CardPut(CardPut),
    /// A financial request or advice was answered.
    Transaction(TransactionEvent),
    /// A reversal was answered.
    Reversal(ReversalEvent),
    /// The state hash before this event.
    Attest {
        /// [`crate::Engine::state_hash`] of the live engine.
        state_hash: u64,
    },
    /// A network was ahead: the day after this date is open beside it.
    OpenedEarly {
        /// The date that closes next.
        date: Date,
    },
    /// The bank has cut over.
    Cutover {
        /// The date that closes.
        date: Date,
    },
    /// The date takes batch entries only from here on.
    Freeze {
        /// The date that closes.
        date: Date,
    },
    /// The date is final.
    Seal(SealEvent),
    /// A network has cut over.
    NetworkCutover(NetworkCutoverEvent),
    /// The batch has posted an entry.
    Entry(EntryEvent),
    /// Figures were compared with a network's.
    Reconciliation(ReconciliationEvent),
    /// This side asks a network to reconcile.
    ReconciliationAsked(ReconciliationAsked),
    /// A network has acknowledged the bank's cutover.
    CutoverAnnounced {
        /// The network.
        network: NetworkId,
        /// The date that the bank's cutover closed.
        closed: Date,
    },
}

/// Figures were compared with a network's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconciliationEvent {
    /// Who asked.
    pub origin: Origin,
    /// What the network's message is recognised by; zeros where we asked.
    pub identity: Identity,
    /// With which network.
    pub network: NetworkId,
    /// Of which settlement date.
    pub settlement_date: Date,
    /// In which currency.
    pub currency: Currency,
    /// What came of it.
    pub verdict: Verdict,
    /// Our figures.
    pub ours: Figures,
    /// The network's.
    pub theirs: Figures,
}

/// This side asks a network to reconcile a settlement date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconciliationAsked {
    /// The network.
    pub network: NetworkId,
    /// Of which settlement date.
    pub settlement_date: Date,
    /// In which currency.
    pub currency: Currency,
    /// Our figures, as they are sent.
    pub ours: Figures,
}

/// A date became final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealEvent {
    /// It.
    pub date: Date,
    /// What the batch posted to it.
    pub entries: EntrySums,
}

/// A network has a new settlement date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkCutoverEvent {
    /// The network.
    pub network: NetworkId,
    /// Its settlement date from here on.
    pub date: Date,
    /// Whether this opened the bank's next date.
    pub opens: bool,
}

/// An entry of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryEvent {
    /// Its id, as it is remembered.
    pub identity: Identity,
    /// The frozen date.
    pub business_date: Date,
    /// Customer's account and batch account.
    pub legs: Legs,
}

/// One internal account that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InternalAccount {
    /// Its row.
    pub ix: AccountIx,
    /// Settlement, position, suspense or opening.
    pub role: Role,
    /// Its number.
    pub number: AccountNumber,
}

/// Internal accounts of one currency that were opened together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InternalOpened {
    /// Their currency.
    pub currency: Currency,
    /// Those that were not there yet.
    pub accounts: [Option<InternalAccount>; 4],
}

/// An account that was opened or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountPut {
    /// Its row.
    pub ix: AccountIx,
    /// Opened by this event; else status and overdraft changed.
    pub opened: bool,
    /// Its number.
    pub number: AccountNumber,
    /// Its currency.
    pub currency: Currency,
    /// Allowed overdraft, minor units.
    pub overdraft_minor: i64,
    /// Its status.
    pub status: AccountStatus,
    /// The date of `legs`.
    pub business_date: Date,
    /// The opening balance, against the opening contra account.
    pub legs: Legs,
}

/// A card that was opened or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardPut {
    /// Its row.
    pub ix: CardIx,
    /// Opened by this event; else expiry, account or status changed.
    pub opened: bool,
    /// Keyed hash of its PAN.
    pub pan: PanHash,
    /// First six digits.
    pub bin: u32,
    /// Last four digits.
    pub last4: u16,
    /// Its expiry.
    pub expiry: Expiry,
    /// The account that it draws on.
    pub account: AccountIx,
    /// Its status.
    pub status: CardStatus,
}

/// A financial request or advice, approved or declined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionEvent {
    /// What it is recognised by.
    pub identity: Identity,
    /// Fingerprint of what was asked: a repeat that asks for something else is a 94.
    pub terms: u16,
    /// Request or advice.
    pub class: Class,
    /// What it does.
    pub operation: Operation,
    /// From which network.
    pub network: NetworkId,
    /// DE 39.
    pub code: ResponseCode,
    /// The bank's ledger date, one for all legs.
    pub business_date: Date,
    /// The network's date.
    pub settlement_date: Date,
    /// The card, when it is known.
    pub card: Option<CardIx>,
    /// The card's newest remembered transaction before this one.
    pub prev: RecordRef,
    /// DE 4 and 49.
    pub amount: Amount,
    /// What is posted.
    pub legs: Legs,
    /// DE 54 as answered.
    pub balances: Option<Balances>,
    /// The request that this advice corrects.
    pub linked: RecordRef,
    /// What that request was counted as in the network's totals, if the advice does
    /// not simply add to the same ones.
    pub corrects: Option<Counted>,
    /// What somebody should look at.
    pub exception: Option<ExceptionKind>,
}

/// Which totals of its network an item was counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The settlement date.
    pub settlement_date: Date,
    /// The currency of the settlement account; of a transfer, its own.
    pub currency: Currency,
    /// What the settlement account gained, minor units; of a transfer, its amount.
    pub minor: i64,
}

/// What a reversal found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Finding {
    /// Its original, whose remaining effect is undone by this event's legs.
    Reversed = 1,
    /// Its original, reversed before: no effect.
    AlreadyReversed = 2,
    /// Its original, which had been declined or had no effect: it is marked.
    NoEffect = 3,
    /// Nothing: a tombstone waits for the original.
    Unknown = 4,
    /// The tombstone of an earlier reversal of the same original.
    Tombstone = 5,
    /// Something that does not fit: an exception, no posting.
    Unclear = 6,
}

/// What waits for an original that came after its reversal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// Of the original; 0 when its STAN is lost: then it lies in the card's chain.
    pub locator: u32,
    /// The original's class, if known.
    pub class: Option<Class>,
    /// The original's DE 7; 0 = absent.
    pub transmitted: u32,
    /// The original's DE 37; 0 = absent.
    pub rrn: u16,
    /// The original's DE 32; 0 = absent.
    pub acquirer: u8,
    /// The original's DE 33; 0 = absent.
    pub forwarder: u8,
}

/// A reversal: always acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReversalEvent {
    /// What it is recognised by.
    pub identity: Identity,
    /// From which network.
    pub network: NetworkId,
    /// The bank's ledger date of the legs.
    pub business_date: Date,
    /// The network's date.
    pub settlement_date: Date,
    /// The card, when it is known.
    pub card: Option<CardIx>,
    /// The card's newest remembered transaction before this one (only for a
    /// tombstone that lies in the card's chain).
    pub prev: RecordRef,
    /// What was found.
    pub finding: Finding,
    /// The original, when one was found.
    pub original: RecordRef,
    /// The advice that corrected the original, or the request that the original corrected.
    pub linked: RecordRef,
    /// What the original did, when one was found.
    pub operation: Option<Operation>,
    /// DE 4 and 49 of the original when one was found, else as sent (0 when not sent).
    pub amount: Amount,
    /// The original's remaining effect, negated.
    pub legs: Legs,
    /// What waits for the original.
    pub tombstone: Option<Tombstone>,
    /// What somebody should look at.
    pub exception: Option<ExceptionKind>,
}

/// What a command gets back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To a transaction or a reversal.
    Message(Outcome),
    /// To an administrative command.
    Put(PutOutcome),
    /// To a command of the night.
    Night(NightOutcome),
    /// Nothing to say.
    Done,
    /// Nothing is decided: what was remembered before must be fetched from files
    /// first. [`crate::Engine::wanted`] tells which, [`crate::Engine::lend`] takes it;
    /// then the command comes again.
    Wanting,
}

/// A row that an event changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// An account's.
    Account(AccountIx),
    /// A card's.
    Card(CardIx),
}

impl Event {
    /// The answer as it was given when the event was decided.
    #[must_use]
    pub fn outcome(&self) -> Answer {
        match &self.body {
            Body::Transaction(t) => Answer::Message(t.outcome(self.seq)),
            Body::Reversal(r) => Answer::Message(Outcome {
                code: ResponseCode::Approved,
                seq: self.seq,
                durable_at: self.seq,
                business_date: r.business_date,
                settlement_date: r.settlement_date,
                balances: None,
                is_repeat: false,
            }),
            Body::Reconciliation(r) if r.origin == Origin::Theirs => {
                Answer::Message(r.outcome(self.seq))
            }
            Body::AccountPut(AccountPut { opened, .. }) | Body::CardPut(CardPut { opened, .. }) => {
                Answer::Put(if *opened {
                    PutOutcome::Opened
                } else {
                    PutOutcome::Changed
                })
            }
            Body::InternalOpened(_) => Answer::Put(PutOutcome::Opened),
            Body::OpenedEarly { .. }
            | Body::Cutover { .. }
            | Body::Freeze { .. }
            | Body::Seal(_)
            | Body::NetworkCutover(_)
            | Body::Entry(_)
            | Body::Reconciliation(_)
            | Body::ReconciliationAsked(_)
            | Body::CutoverAnnounced { .. } => Answer::Night(NightOutcome::Done {
                seq: self.seq,
                is_repeat: false,
            }),
            Body::Genesis(_) | Body::Attest { .. } => Answer::Done,
        }
    }

    /// What is posted.
    #[must_use]
    pub const fn legs(&self) -> &Legs {
        match &self.body {
            Body::Transaction(t) => &t.legs,
            Body::Reversal(r) => &r.legs,
            Body::AccountPut(a) => &a.legs,
            Body::Entry(e) => &e.legs,
            _ => &Legs::EMPTY,
        }
    }

    /// The date of the postings, if the event has one.
    #[must_use]
    pub const fn business_date(&self) -> Option<Date> {
        match &self.body {
            Body::Transaction(t) => Some(t.business_date),
            Body::Reversal(r) => Some(r.business_date),
            Body::AccountPut(a) => Some(a.business_date),
            Body::Entry(e) => Some(e.business_date),
            _ => None,
        }
    }

    /// Calls `f` with each row that this event changes (some perhaps twice).
    pub fn touched(&self, mut f: impl FnMut(Row)) {
        for leg in self.legs().as_slice() {
            f(Row::Account(leg.account));
        }
        match &self.body {
            Body::InternalOpened(opened) => {
                for account in opened.accounts.iter().flatten() {
                    f(Row::Account(account.ix));
                }
            }
            Body::AccountPut(a) => f(Row::Account(a.ix)),
            Body::CardPut(c) => f(Row::Card(c.ix)),
            Body::Transaction(t) => {
                if let Some(card) = t.card {
                    f(Row::Card(card));
                }
            }
            Body::Reversal(r) => {
                if let Some(card) = r.card
                    && r.chained_tombstone()
                {
                    f(Row::Card(card));
                }
            }
            _ => {}
        }
    }
}

impl Tombstone {
    /// What it is remembered by.
    pub(crate) const fn identity(&self) -> Identity {
        Identity {
            key: 0,
            locator: self.locator,
            transmitted: self.transmitted,
            rrn: self.rrn,
            acquirer: self.acquirer,
            forwarder: self.forwarder,
        }
    }
}

impl Event {
    /// No event yet: to be filled in place.
    pub const BLANK: Self = Self {
        seq: 0,
        time_us: 0,
        body: Body::Attest { state_hash: 0 },
    };
}

impl TransactionEvent {
    /// No transaction yet: to be filled in place.
    pub(crate) const BLANK: Self = Self {
        identity: Identity {
            key: 0,
            locator: 0,
            transmitted: 0,
            rrn: 0,
            acquirer: 0,
            forwarder: 0,
        },
        terms: 0,
        class: Class::FinancialRequest,
        operation: Operation::Purchase,
        network: NetworkId(0),
        code: ResponseCode::Approved,
        business_date: Date(0),
        settlement_date: Date(0),
        card: None,
        prev: RecordRef::NONE,
        amount: Amount {
            minor: 0,
            currency: Currency(0),
        },
        legs: Legs::EMPTY,
        balances: None,
        linked: RecordRef::NONE,
        corrects: None,
        exception: None,
    };

    /// An approval without effect, to be filled in place.
    #[inline]
    pub(crate) const fn blank(t: &Transaction) -> Self {
        Self {
            identity: t.identity,
            terms: 0,
            class: t.class,
            operation: t.operation,
            network: t.network,
            code: ResponseCode::Approved,
            business_date: Date(0),
            settlement_date: Date(0),
            card: None,
            prev: RecordRef::NONE,
            amount: t.amount,
            legs: Legs::EMPTY,
            balances: None,
            linked: RecordRef::NONE,
            corrects: None,
            exception: None,
        }
    }

    /// The answer as it was given when the event was decided.
    #[inline]
    pub(crate) const fn outcome(&self, seq: Seq) -> Outcome {
        Outcome {
            code: self.code,
            seq,
            durable_at: seq,
            business_date: self.business_date,
            settlement_date: self.settlement_date,
            balances: self.balances,
            is_repeat: false,
        }
    }
}

impl ReconciliationEvent {
    /// The answer as it was given; the figures are found by the sequence.
    pub(crate) const fn outcome(&self, seq: Seq) -> Outcome {
        Outcome {
            code: ResponseCode::Approved,
            seq,
            durable_at: seq,
            business_date: self.settlement_date,
            settlement_date: self.settlement_date,
            balances: None,
            is_repeat: false,
        }
    }
}

impl ReversalEvent {
    /// Whether its tombstone lies in the card's chain, since the STAN is lost.
    pub(crate) const fn chained_tombstone(&self) -> bool {
        matches!(self.tombstone, Some(Tombstone { locator: 0, .. }))
    }
}

impl Finding {
    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Reversed),
            2 => Some(Self::AlreadyReversed),
            3 => Some(Self::NoEffect),
            4 => Some(Self::Unknown),
            5 => Some(Self::Tombstone),
            6 => Some(Self::Unclear),
            _ => None,
        }
    }
}
