//! The deterministic core: commands in, events and outcomes out.
//!
//! No I/O, no clock, no randomness. [`Engine::decide`] is pure, [`Engine::check`]
//! refuses what would break an invariant, and [`Engine::apply`] is the only thing
//! that changes state, live and in replay alike.

mod account;
mod apply;
mod apply_message;
mod apply_night;
mod apply_reconcile;
mod apply_rows;
mod audit;
mod business;
mod bytes;
mod card;
mod check;
mod closing;
pub mod code;
mod codec;
pub mod command;
pub mod date;
mod decide;
mod engine;
mod event;
mod exception;
pub mod ids;
mod index;
pub mod invariants;
pub mod iso4217;
mod legs;
pub mod limits;
mod loader;
mod lookup;
#[cfg(test)]
mod lookup_tests;
mod memory;
mod mix;
mod night;
mod night_codec;
#[cfg(test)]
mod night_tests;
pub mod outcome;
mod pans;
mod prepare;
mod recall;
mod reconcile;
mod reconcile_codec;
mod record;
mod residue;
mod rows_codec;
mod spill;
mod table;
mod totals;
mod views;

pub use account::{AccountRow, AccountView, Role, RowError, RowView, is_internal_number};
pub use audit::audit;
pub use business::{BusinessDates, DateState, Phase, Step};
pub use card::{CardRow, CardView};
pub use closing::{ClosingRow, Party};
pub use codec::EventError;
pub use engine::{Counts, Decision, Engine, Options};
pub use event::{
    AccountPut, Answer, Body, CardPut, Counted, EntryEvent, Event, Finding, InternalAccount,
    InternalOpened, NetworkCutoverEvent, ReconciliationAsked, ReconciliationEvent, ReversalEvent,
    Row, SealEvent, Tombstone, TransactionEvent,
};
pub use exception::{Exception, ExceptionKind};
pub use invariants::Breach;
pub use legs::{Leg, Legs};
pub use limits::Capacity;
pub use loader::{LoadError, Loader};
pub use night::{DayEnd, EntrySum, EntrySums, NetworkClock};
pub use recall::Recall;
pub use reconcile::{Announcement, Asked, Figures, NET, Origin, Reconciliation, Verdict};
pub use record::{Record, RecordRef};
pub use spill::{BLOCK_SLOTS, BlockRef, Freed};
pub use table::Reserved;
pub use totals::{CurrencySum, DateTotals, NetworkTotals, Tally, TrialBalance};
