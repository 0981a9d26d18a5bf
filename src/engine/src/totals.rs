//! Running totals: per business date and currency (the trial balance), and per
//! network, settlement date and currency (what DE 74-89 will report).

use crate::command::Operation;
use crate::date::Date;
use crate::ids::{Currency, NetworkId};

/// Debits and credits of one business date in one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTotals {
    /// The business date.
    pub business_date: Date,
    /// The currency.
    pub currency: Currency,
    /// Sum of what accounts lost, minor units.
    pub debit_minor: u128,
    /// Sum of what accounts gained, minor units.
    pub credit_minor: u128,
    /// Postings that took.
    pub debit_count: u64,
    /// Postings that gave.
    pub credit_count: u64,
}

/// Sum over all accounts of one currency: must be zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrencySum {
    /// The currency.
    pub currency: Currency,
    /// Sum over customers' accounts, minor units.
    pub customers_minor: i128,
    /// Sum over the bank's internal accounts, minor units.
    pub internal_minor: i128,
}

/// Debits against credits, as an auditor asks for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialBalance {
    /// By business date and currency.
    pub dates: Vec<DateTotals>,
    /// By currency, over all accounts.
    pub currencies: Vec<CurrencySum>,
}

impl TrialBalance {
    /// Whether debits equal credits everywhere and every currency's accounts sum to zero.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.dates
            .iter()
            .all(|date| date.debit_minor == date.credit_minor)
            && self
                .currencies
                .iter()
                .all(|sum| sum.customers_minor.checked_add(sum.internal_minor) == Some(0))
    }
}

/// A count and the sum of the amounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// Minor units. Signed: an advice may correct a request downwards.
    pub amount_minor: i128,
}

impl Tally {
    pub(crate) const fn add(&mut self, count: u64, amount_minor: i128) {
        self.count = self.count.saturating_add(count);
        self.amount_minor = self.amount_minor.saturating_add(amount_minor);
    }

    /// One that was counted with this amount is counted elsewhere.
    const fn take_back(&mut self, amount_minor: i128) {
        self.count = self.count.saturating_sub(1);
        self.amount_minor = self.amount_minor.saturating_sub(amount_minor);
    }
}

/// Totals of one network, settlement date and currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkTotals {
    /// The network.
    pub network: NetworkId,
    /// Its settlement date.
    pub settlement_date: Date,
    /// The currency of the settlement account.
    pub currency: Currency,
    /// Purchases and cash (DE 76, 88).
    pub debits: Tally,
    /// Refunds (DE 74, 86).
    pub credits: Tally,
    /// Reversals of debits (DE 77, 89).
    pub debit_reversals: Tally,
    /// Reversals of credits (DE 75, 87).
    pub credit_reversals: Tally,
    /// Transfers (DE 78).
    pub transfers: Tally,
    /// Reversals of transfers (DE 79).
    pub transfer_reversals: Tally,
    /// Balance inquiries (DE 80).
    pub inquiries: u64,
}

impl NetworkTotals {
    pub(crate) const fn new(
        (network, settlement_date, currency): (NetworkId, Date, Currency),
    ) -> Self {
        const ZERO: Tally = Tally {
            count: 0,
            amount_minor: 0,
        };
        Self {
            network,
            settlement_date,
            currency,
            debits: ZERO,
            credits: ZERO,
            debit_reversals: ZERO,
            credit_reversals: ZERO,
            transfers: ZERO,
            transfer_reversals: ZERO,
            inquiries: 0,
        }
    }

    /// Counts items of an approved operation; `minor` is what the settlement account
    /// gained, of a transfer its amount.
    pub(crate) fn count(&mut self, operation: Operation, count: u64, minor: i64) {
        match self.side(operation) {
            Some((tally, sign)) => tally.add(count, sign * i128::from(minor)),
            None => self.inquiries = self.inquiries.saturating_add(count),
        }
    }

    /// Takes an item back that was counted here: an advice has taken its place.
    pub(crate) fn uncount(&mut self, operation: Operation, minor: i64) {
        if let Some((tally, sign)) = self.side(operation) {
            tally.take_back(sign * i128::from(minor));
        }
    }

    /// Where an operation counts, and in which direction; inquiries have no amount.
    const fn side(&mut self, operation: Operation) -> Option<(&mut Tally, i128)> {
        match operation {
            Operation::Purchase | Operation::Cash | Operation::PurchaseWithCashback => {
                Some((&mut self.debits, 1))
            }
            Operation::Refund => Some((&mut self.credits, -1)),
            Operation::Transfer => Some((&mut self.transfers, 1)),
            Operation::InquiryAvailable | Operation::InquiryBalance => None,
        }
    }

    pub(crate) const fn key(&self) -> (NetworkId, Date, Currency) {
        (self.network, self.settlement_date, self.currency)
    }
}

/// All running totals: sorted, and few, so that they are searched and not hashed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub dates: Vec<DateTotals>,
    pub networks: Vec<NetworkTotals>,
}

impl Totals {
    /// Drops the totals of dates up to and with `last`.
    pub fn forget(&mut self, last: Date) {
        self.dates.retain(|totals| totals.business_date > last);
        self.networks.retain(|totals| totals.settlement_date > last);
    }

    /// The totals of a date and currency.
    #[inline]
    pub fn date_mut(&mut self, date: Date, currency: Currency) -> Option<&mut DateTotals> {
        let key = (date, currency);
        // The newest date's last currency, which for most banks is all there is.
        let last = self.dates.len().wrapping_sub(1);
        if let Some(totals) = self.dates.get(last)
            && (totals.business_date, totals.currency) == key
        {
            return self.dates.get_mut(last);
        }
        let at = match self
            .dates
            .binary_search_by_key(&key, |totals| (totals.business_date, totals.currency))
        {
            Ok(at) => at,
            Err(at) => {
                self.dates.insert(
                    at,
                    DateTotals {
                        business_date: date,
                        currency,
                        debit_minor: 0,
                        credit_minor: 0,
                        debit_count: 0,
                        credit_count: 0,
                    },
                );
                at
            }
        };
        self.dates.get_mut(at)
    }

    /// The totals of a network, settlement date and currency, if there are any.
    pub fn network(&self, key: (NetworkId, Date, Currency)) -> Option<&NetworkTotals> {
        let at = self
            .networks
            .binary_search_by_key(&key, NetworkTotals::key)
            .ok()?;
        self.networks.get(at)
    }

    /// The same, to be changed; those that were dropped stay so.
    pub fn kept_network_mut(
        &mut self,
        key: (NetworkId, Date, Currency),
    ) -> Option<&mut NetworkTotals> {
        let at = self
            .networks
            .binary_search_by_key(&key, NetworkTotals::key)
            .ok()?;
        self.networks.get_mut(at)
    }

    /// The totals of a network, settlement date and currency.
    #[inline]
    pub fn network_mut(&mut self, key: (NetworkId, Date, Currency)) -> Option<&mut NetworkTotals> {
        let at = match self.networks.binary_search_by_key(&key, NetworkTotals::key) {
            Ok(at) => at,
            Err(at) => {
                self.networks.insert(at, NetworkTotals::new(key));
                at
            }
        };
        self.networks.get_mut(at)
    }
}
