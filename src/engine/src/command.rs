//! What comes in: fixed-size commands. The adapter makes them from ISO 8583
//! messages, the admin side from import files; the engine never sees a message.

use crate::code::ResponseCode;
use crate::date::{Date, MonthDay};
use crate::ids::{AccountNumber, Currency, Expiry, NetworkId, PanHash, Seq, TimeUs};
use crate::night::EntrySums;
use crate::reconcile::{Figures, Verdict};

/// A command with the time at which the runner took it.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Engine time; never runs backwards.
    pub time_us: TimeUs,
    /// The bank's calendar day at that time. Cards expire by it: whatever business
    /// dates are open, a card is good until its month is over.
    pub day: Date,
    /// What to do.
    pub request: Request,
}

/// What a command asks for.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    /// 0200, 0220 and their repeats.
    Transaction(Transaction),
    /// 0400, 0420 and their repeats.
    Reversal(Reversal),
    /// First command of a new journal.
    Genesis(Genesis),
    /// A network's or the bank's internal accounts for one currency (settlement,
    /// suspense, position, opening contra): opened once, then a no-op.
    OpenInternal {
        /// Whose settlement account.
        network: NetworkId,
        /// Of which currency.
        currency: Currency,
    },
    /// One row of an accounts file.
    PutAccount(PutAccount),
    /// One row of a cards file.
    PutCard(PutCard),
    /// Writes the state hash into the journal, for replay to prove itself against.
    Attest,
    /// The bank's cutover. Repeated, it gets its first result.
    Cutover {
        /// The date that it closes.
        date: Date,
    },
    /// The end of the closing date's grace. Repeated, it gets its first result.
    Freeze {
        /// The date that it closes.
        date: Date,
    },
    /// The end of the batch: the date is final. Repeated, it gets its first result.
    Seal {
        /// The date that it closes.
        date: Date,
        /// What the batch says that it has posted.
        entries: EntrySums,
    },
    /// A network's message of the next date came before the bank's cutover.
    OpenEarly {
        /// The date that closes next; the day after it opens.
        date: Date,
        /// From when on it may: the bank's cutover less the configured bound.
        not_before_us: TimeUs,
    },
    /// A network's cutover. Opens the next date when it is that, and early enough.
    NetworkCutover {
        /// Which network.
        network: NetworkId,
        /// Its new settlement date.
        date: Date,
        /// From when on it may open the bank's next date.
        not_before_us: TimeUs,
    },
    /// Opens the contra account of batch entries in a currency: once, then a no-op.
    OpenBatch {
        /// Of which currency.
        currency: Currency,
    },
    /// One entry of the batch: interest, a fee.
    PostEntry(PostEntry),
    /// 0500, 0520 and their repeats.
    Reconcile(Reconcile),
    /// The next settlement date of a network is to be reconciled by us: freezes the
    /// figures that our 0500 says. A no-op when nothing is due or one is unanswered.
    AskReconciliation {
        /// Which network.
        network: NetworkId,
    },
    /// The answer to our 0500.
    ReconciliationAnswered {
        /// Which network.
        network: NetworkId,
        /// The event of [`Request::AskReconciliation`] that it answers.
        asked: Seq,
        /// What the network says; `None`: it does not, and its figures decide.
        verdict: Option<Verdict>,
        /// Its figures, as far as it sent them.
        theirs: Figures,
    },
    /// A network has acknowledged the bank's cutover.
    CutoverAnnounced {
        /// Which network.
        network: NetworkId,
        /// The date that it closed.
        closed: Date,
    },
}

/// A network's reconciliation of one settlement date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconcile {
    /// What it is recognised by.
    pub identity: Identity,
    /// From which network.
    pub network: NetworkId,
    /// DE 15: the date that the figures cover.
    pub settlement: MonthDay,
    /// DE 50, if sent; else the only one in which there are totals.
    pub currency: Option<Currency>,
    /// DE 74 to 89 and 97, as far as sent.
    pub theirs: Figures,
}

/// Hashes that recognise a message and its relatives; all keyed, made by the
/// adapter, 0 where the element is absent. Matching rules: FIELD.md, "Matching".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Of MTI without the repeat digit, network, DE 2 (or 102 where there is no
    /// card), 7, 11, 32, 37 and 41: equal for a message and its retransmissions only.
    pub key: u64,
    /// Of network, DE 2 (or 102) and a STAN: where originals are looked up.
    pub locator: u32,
    /// DE 7 packed: `((month * 31 + day) * 86400 + second of the day) + 1`; 0 = absent.
    pub transmitted: u32,
    /// Of DE 37, the retrieval reference number.
    pub rrn: u16,
    /// Of DE 32.
    pub acquirer: u8,
    /// Of DE 33.
    pub forwarder: u8,
}

/// Message class, the second digit of the MTI with the advice bit of the third.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    /// 0200
    FinancialRequest = 1,
    /// 0220: must be accepted.
    FinancialAdvice = 2,
    /// 0400 and 0420: must be accepted.
    Reversal = 3,
}

/// What a transaction does, digits 1 and 2 of DE 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// 00
    Purchase = 0,
    /// 01
    Cash = 1,
    /// 09
    PurchaseWithCashback = 9,
    /// 20
    Refund = 20,
    /// 30: available funds.
    InquiryAvailable = 30,
    /// 31: balance.
    InquiryBalance = 31,
    /// 40: on-us, DE 102 to DE 103.
    Transfer = 40,
}

/// An amount in minor units with its currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// At most 12 digits (DE 4).
    pub minor: u64,
    /// ISO 4217 numeric.
    pub currency: Currency,
}

/// A financial request or advice.
#[derive(Clone, Copy, Debug)]
pub struct Transaction {
    /// What it is recognised by.
    pub identity: Identity,
    /// Request or advice.
    pub class: Class,
    /// From which network.
    pub network: NetworkId,
    /// What it does.
    pub operation: Operation,
    /// DE 2, hashed; `None` for a transfer between accounts without a card.
    pub pan: Option<PanHash>,
    /// DE 14, if sent.
    pub expiry: Option<Expiry>,
    /// DE 102, if sent.
    pub from: Option<AccountNumber>,
    /// DE 103, if sent.
    pub to: Option<AccountNumber>,
    /// DE 4 and 49.
    pub amount: Amount,
    /// DE 6 and 51, if sent.
    pub billing: Option<Amount>,
    /// DE 54's cashback part (amount type 40), included in `amount`.
    pub cashback_minor: u64,
    /// DE 15, if a network sent it. Terminals have no say.
    pub settlement: Option<MonthDay>,
    /// A refusal that the link's own rules call for (57, 61). It comes after the
    /// duplicate check, since a repeat is answered as the first time whatever
    /// the configuration says by now. Advices take no notice of it.
    pub refusal: Option<ResponseCode>,
}

/// A full reversal.
#[derive(Clone, Copy, Debug)]
pub struct Reversal {
    /// The reversal message's own identity.
    pub identity: Identity,
    /// From which network.
    pub network: NetworkId,
    /// DE 2, hashed, if sent.
    pub pan: Option<PanHash>,
    /// What DE 90 (or, without it, the message itself) says of the original.
    pub original: Original,
    /// DE 4 and 49, if sent: must be the original's to fit.
    pub amount: Option<Amount>,
    /// DE 15, if a network sent it.
    pub settlement: Option<MonthDay>,
}

/// What is known of a reversal's original. Parts may be absent when the sender
/// has lost them; what is there must match (FIELD.md, DE 90).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Original {
    /// MTI class, if DE 90 names one.
    pub class: Option<Class>,
    /// Of network, DE 2 (or 102) and the original's STAN; `None` when the STAN is lost.
    pub locator: Option<u32>,
    /// DE 7 of the original, packed as in [`Identity`]; 0 = absent.
    pub transmitted: u32,
    /// Of DE 37, the same through the life of a transaction; 0 = absent.
    pub rrn: u16,
    /// Of DE 32; 0 = absent.
    pub acquirer: u8,
    /// Of DE 33; 0 = absent.
    pub forwarder: u8,
}

/// The start of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The first open business date.
    pub business_date: Date,
    /// Check value of the PAN-hash key: another key would find no card.
    pub key_check: u64,
}

/// Status of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AccountStatus {
    /// In use.
    Active = 0,
    /// Customers' requests are declined 57 (credits and debits); advices post.
    Blocked = 1,
    /// Customers' requests are declined 78 (77 or 76 as a side of a transfer).
    Closed = 2,
}

/// Status of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CardStatus {
    /// In use.
    Active = 0,
    /// Declined 41.
    Lost = 1,
    /// Declined 43.
    Stolen = 2,
    /// Declined 57.
    Blocked = 3,
}

/// One entry of the batch, against the bank's batch account of its currency.
/// Idempotent by date and id: the same again gets its first result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostEntry {
    /// Hash of the entry's id; all 128 bits should be well mixed.
    pub id: u128,
    /// A customer's account.
    pub account: AccountNumber,
    /// Minor units, signed: positive is what the account gains.
    pub amount_minor: i64,
    /// Must be the account's.
    pub currency: Currency,
    /// The frozen date.
    pub date: Date,
}

impl PostEntry {
    /// What it is recognised by, together with its date.
    pub(crate) const fn identity(&self) -> Identity {
        let locator = self.id as u32;
        Identity {
            key: (self.id >> 64) as u64,
            // 0 stands for none.
            locator: if locator == 0 { 1 } else { locator },
            transmitted: 0,
            rrn: (self.id >> 32) as u16,
            acquirer: (self.id >> 48) as u8,
            forwarder: 0,
        }
    }
}

/// An account to open, or to change when there is one of this number already:
/// then status and overdraft are taken over, the balance is left alone (it
/// lives from postings only), and another currency is refused.
#[derive(Clone, Copy, Debug)]
pub struct PutAccount {
    /// Its number.
    pub number: AccountNumber,
    /// Its one currency.
    pub currency: Currency,
    /// Opening balance, signed: posted against the currency's opening contra account.
    pub balance_minor: i64,
    /// Allowed overdraft, not negative.
    pub overdraft_minor: i64,
    /// Its status.
    pub status: AccountStatus,
}

/// A card to open, or to change when its PAN is known already (expiry, account, status).
#[derive(Clone, Copy, Debug)]
pub struct PutCard {
    /// Keyed hash of the PAN.
    pub pan: PanHash,
    /// First six digits, for display (PCI DSS 3.4.1).
    pub bin: u32,
    /// Last four digits, for display.
    pub last4: u16,
    /// Its expiry.
    pub expiry: Expiry,
    /// The account that it draws on; must be there.
    pub account: AccountNumber,
    /// Its status.
    pub status: CardStatus,
}

impl Class {
    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::FinancialRequest),
            2 => Some(Self::FinancialAdvice),
            3 => Some(Self::Reversal),
            _ => None,
        }
    }
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 7] = [
        Self::Purchase,
        Self::Cash,
        Self::PurchaseWithCashback,
        Self::Refund,
        Self::InquiryAvailable,
        Self::InquiryBalance,
        Self::Transfer,
    ];

    /// The operation with these first two digits of DE 3.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Purchase),
            1 => Some(Self::Cash),
            9 => Some(Self::PurchaseWithCashback),
            20 => Some(Self::Refund),
            30 => Some(Self::InquiryAvailable),
            31 => Some(Self::InquiryBalance),
            40 => Some(Self::Transfer),
            _ => None,
        }
    }

    /// Whether it only asks.
    #[must_use]
    pub const fn is_inquiry(self) -> bool {
        matches!(self, Self::InquiryAvailable | Self::InquiryBalance)
    }
}
