//! The one place that knows both ISO 8583 and the engine: message to request,
//! outcome to response, DE 39.
//!
//! No I/O here: [`Adapter::intake`] says what to do with a message, and
//! [`Adapter::respond`] and [`Adapter::answer`] append the answer to a buffer.
//! Neither allocates. What differs between versions of the standard comes from
//! the dialect's semantics; the tables stand in `tables.rs`.

mod fault;
mod identity;
mod intake;
mod keys;
mod originate;
mod reconcile;
mod respond;
mod tables;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::sync::Arc;

use gapless_engine::code::ResponseCode;
use gapless_engine::command::{Operation, Request};
use gapless_engine::date::{Date, MonthDay};
use gapless_engine::ids::{Currency, NetworkId, TimeUs};
use gapless_iso8583::{Dialect, FieldSet, Message, Semantics};

pub use fault::{Fault, FaultKind};
pub use keys::{KeyError, PanKeys};
pub use originate::{Outgoing, Purpose, Reply};
pub use tables::Management;

/// Every operation that DE 3 can ask for.
pub const OPERATIONS: [Operation; 7] = [
    Operation::Purchase,
    Operation::Cash,
    Operation::PurchaseWithCashback,
    Operation::Refund,
    Operation::InquiryAvailable,
    Operation::InquiryBalance,
    Operation::Transfer,
];

/// What one link allows, from its configuration.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The network behind the link, or the bank's own terminals.
    pub network: NetworkId,
    /// Whether DE 15 of the network's cutover message names the date that has ended.
    pub cutover_names_ended: bool,
    /// Operations that may be asked for; others are declined 57.
    pub allow: Vec<Operation>,
    /// Whether a transfer may come without a card; else it is declined 57.
    pub cardless_transfers: bool,
    /// Amounts above it are declined 61, by currency, in minor units.
    pub max_amount_minor: Vec<(Currency, u64)>,
    /// The bank's currencies by their letters, for senders that write those.
    pub currencies: Vec<([u8; 3], Currency)>,
    /// What an inquiry that names no currency is taken to ask in.
    pub default_currency: Currency,
}

impl Rules {
    /// The bank's own terminals, with everything allowed and no limits.
    #[must_use]
    pub fn own_terminals(default_currency: Currency) -> Self {
        Self {
            network: NetworkId::OWN_TERMINALS,
            cutover_names_ended: false,
            allow: OPERATIONS.to_vec(),
            cardless_transfers: true,
            max_amount_minor: Vec::new(),
            currencies: Vec::new(),
            default_currency,
        }
    }
}

/// Translates for one link; made once at start, shared by its connections.
#[derive(Debug)]
pub struct Adapter {
    keys: Arc<PanKeys>,
    dialect: Arc<Dialect>,
    semantics: Semantics,
    rules: Rules,
    transaction_echo: FieldSet,
    reversal_echo: FieldSet,
    reconciliation_echo: FieldSet,
    management_echo: FieldSet,
    /// The date told last, and its digits: the same one nearly always.
    told_date: Cell<(Date, [u8; 6])>,
}

/// What to do with a message.
#[derive(Debug)]
pub enum Intake {
    /// The engine decides.
    Engine(Request),
    /// Network management, well-formed: the session decides.
    Management(Management),
    /// A network has a new settlement date; the engine decides.
    NetworkCutover(NetworkCutover),
    /// Refused at once; no state would change that.
    Answer(Refusal),
    /// Nothing to answer.
    Ignore(Ignored),
}

/// A network's cutover message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkCutover {
    network: NetworkId,
    sent: MonthDay,
    names_ended: bool,
}

impl NetworkCutover {
    /// As a request: the sent day is the nearest such to `today`; the one that it
    /// names, or the day after it, is the network's new date. How early that may
    /// open the bank's next date is for the runner to say. `None` for an impossible day.
    #[must_use]
    pub fn request(&self, today: Date) -> Option<Request> {
        let named = today.nearest(self.sent)?;
        Some(Request::NetworkCutover {
            network: self.network,
            date: if self.names_ended {
                named.next()
            } else {
                named
            },
            not_before_us: TimeUs::MAX,
        })
    }
}

/// A refusal that the message alone calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// DE 39.
    pub code: ResponseCode,
    /// For 30: the field that is to blame.
    pub fault: Option<Fault>,
}

/// Why a message gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// It is an answer itself, to something that was never asked.
    #[error("a response to nothing that was asked")]
    Response,
    /// Nothing answers this message type.
    #[error("a message type that has no answer")]
    MessageType,
}

impl Adapter {
    /// An adapter for a link of this dialect with these rules.
    #[must_use]
    pub fn new(keys: Arc<PanKeys>, dialect: Arc<Dialect>, rules: Rules) -> Self {
        let semantics = *dialect.semantics();
        let echo = |class| tables::echo(semantics.version, class);
        Self {
            transaction_echo: echo(2),
            reversal_echo: echo(4),
            reconciliation_echo: echo(5),
            management_echo: echo(8),
            told_date: Cell::new((Date(0), respond::yymmdd(Date(0)))),
            keys,
            semantics,
            rules,
            dialect,
        }
    }

    /// The network behind the link, or the bank's own terminals.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        self.rules.network
    }

    /// The link's dialect.
    #[must_use]
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// Whether a message that could not be read to its end, or that says what
    /// it may not, can be answered so that its sender can match the answer: a
    /// request or an advice with a system trace audit number, DE 11.
    #[must_use]
    pub fn may_answer(&self, partial: &Message<'_>) -> bool {
        use tables::Kind;
        let kind = tables::kind(partial.mti(), self.semantics.version);
        !matches!(kind, Kind::Response | Kind::Unanswerable) && partial.has(11)
    }
}
