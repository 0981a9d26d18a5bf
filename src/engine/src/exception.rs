//! Exceptions: what was accepted but somebody should look at.

use crate::ids::{Currency, NetworkId, Seq, TimeUs};
use crate::limits::EXCEPTIONS_KEPT;

/// Why somebody should look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExceptionKind {
    /// An advice for a card that is not ours: on the suspense account.
    AdviceUnknownCard = 1,
    /// An advice for an account that is unknown or closed: on the suspense account.
    AdviceNoAccount = 2,
    /// An advice in neither DE 49 nor DE 51 the account's currency: on the suspense account.
    AdviceOtherCurrency = 3,
    /// An advice in a currency in which the bank keeps no books: accepted, not posted.
    AdviceUnknownCurrency = 4,
    /// A reversal whose amount is not the original's: acknowledged, not posted.
    ReversalAmountDiffers = 5,
    /// A reversal that fits several originals, or names its own so little that it
    /// cannot be told from many others: acknowledged, not posted.
    ReversalFitsSeveral = 6,
    /// A reversal of which half fits an original: acknowledged, not posted.
    ReversalHalfFits = 7,
    /// A reversal that names nothing to find its original by: acknowledged, not posted.
    ReversalNamesNothing = 8,
    /// A second advice for a request that one has corrected, or one whose request
    /// cannot be told from many others: accepted, not posted.
    AdviceAgain = 9,
    /// A reconciliation out of balance: both sides' figures are kept with it.
    ReconciliationDiffers = 10,
    /// A network would not reconcile what we sent.
    ReconciliationRefused = 11,
}

impl ExceptionKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::AdviceUnknownCard,
        Self::AdviceNoAccount,
        Self::AdviceOtherCurrency,
        Self::AdviceUnknownCurrency,
        Self::ReversalAmountDiffers,
        Self::ReversalFitsSeveral,
        Self::ReversalHalfFits,
        Self::ReversalNamesNothing,
        Self::AdviceAgain,
        Self::ReconciliationDiffers,
        Self::ReconciliationRefused,
    ];

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// One exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// The event that it came with.
    pub seq: Seq,
    /// When.
    pub time_us: TimeUs,
    /// Why.
    pub kind: ExceptionKind,
    /// From which network.
    pub network: NetworkId,
    /// DE 4 as sent, minor units; 0 when not sent.
    pub amount_minor: u64,
    /// DE 49 as sent.
    pub currency: Currency,
}

/// The newest exceptions, oldest first, and how many there were in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exceptions {
    pub newest: std::collections::VecDeque<Exception>,
    pub total: u64,
}

impl Exceptions {
    pub fn new() -> Self {
        Self {
            newest: std::collections::VecDeque::with_capacity(EXCEPTIONS_KEPT),
            total: 0,
        }
    }

    pub fn push(&mut self, exception: Exception) {
        if self.newest.len() >= EXCEPTIONS_KEPT {
            self.newest.pop_front();
        }
        self.newest.push_back(exception);
        self.total = self.total.saturating_add(1);
    }
}
