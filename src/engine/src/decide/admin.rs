//! Administrative commands: opening internal accounts, rows of import files.

use crate::account::{Role, is_internal_number};
use crate::card::CardTerms;
use crate::code::ResponseCode;
use crate::command::{PutAccount, PutCard, Request};
use crate::engine::Engine;
use crate::event::{AccountPut, Answer, Body, CardPut, InternalAccount, InternalOpened};
use crate::ids::{AccountIx, CardIx, Currency, NetworkId};
use crate::legs::Legs;
use crate::limits::{MAX_AMOUNT_MINOR, MAX_CURRENCIES, MAX_SETTLEMENT_ACCOUNTS};
use crate::outcome::{NightRefusal, PutOutcome, PutRefusal};

const fn refused(why: PutRefusal) -> Answer {
    Answer::Put(PutOutcome::Refused(why))
}

impl Engine {
    /// What a command gets from an engine that has no genesis yet, or no look-up tables.
    pub(super) fn not_ready(&self, request: &Request) -> Answer {
        match request {
            Request::Transaction(_) | Request::Reversal(_) | Request::Reconcile(_) => {
                self.refusal(ResponseCode::IssuerUnavailable)
            }
            Request::OpenInternal { .. }
            | Request::OpenBatch { .. }
            | Request::PutAccount(_)
            | Request::PutCard(_) => refused(PutRefusal::CapacityReached),
            Request::Cutover { .. }
            | Request::Freeze { .. }
            | Request::Seal { .. }
            | Request::OpenEarly { .. }
            | Request::NetworkCutover { .. }
            | Request::PostEntry(_)
            | Request::AskReconciliation { .. }
            | Request::ReconciliationAnswered { .. }
            | Request::CutoverAnnounced { .. } => self.night_refused(NightRefusal::NotReady),
            Request::Genesis(_) | Request::Attest => Answer::Done,
        }
    }

    pub(super) fn decide_internal(
        &self,
        network: NetworkId,
        currency: Currency,
    ) -> Result<Body, Answer> {
        if currency.0 == 0 || currency.0 > 999 {
            return Err(refused(PutRefusal::UnknownCurrency));
        }
        let known = self.currency(currency).is_some();
        let settled = self.settlement(network, currency).is_some();
        if known && settled {
            return Err(Answer::Put(PutOutcome::Unchanged));
        }
        let wanted = [
            (!known).then_some(Role::Position),
            (!known).then_some(Role::Suspense),
            (!known).then_some(Role::Opening),
            (!settled).then_some(Role::Settlement(network)),
        ];
        let mut next = self.accounts.len();
        let mut accounts = [None; 4];
        for (to, role) in accounts.iter_mut().zip(wanted.into_iter().flatten()) {
            let number = role.number(currency).ok_or(refused(PutRefusal::Internal))?;
            *to = Some(InternalAccount {
                ix: AccountIx(next),
                role,
                number,
            });
            next = next.saturating_add(1);
        }
        if next > self.options.capacity.accounts
            || (!known && self.currencies.len() >= MAX_CURRENCIES)
            || self.settlements.len() >= MAX_SETTLEMENT_ACCOUNTS
        {
            return Err(refused(PutRefusal::CapacityReached));
        }
        Ok(Body::InternalOpened(InternalOpened { currency, accounts }))
    }

    pub(super) fn decide_account(&self, put: &PutAccount) -> Result<Body, Answer> {
        if is_internal_number(&put.number) {
            return Err(refused(PutRefusal::Internal));
        }
        if put.balance_minor.unsigned_abs() > MAX_AMOUNT_MINOR
            || !(0..=MAX_AMOUNT_MINOR as i64).contains(&put.overdraft_minor)
        {
            return Err(refused(PutRefusal::AmountOutOfBounds));
        }
        let mut event = AccountPut {
            ix: AccountIx(self.accounts.len()),
            opened: true,
            number: put.number,
            currency: put.currency,
            overdraft_minor: put.overdraft_minor,
            status: put.status,
            business_date: self.dates.default_date(),
            legs: Legs::EMPTY,
        };
        if let Some(ix) = self.find_account(&put.number)
            && let Some(row) = self.accounts.get(ix.0)
        {
            if row.currency != put.currency {
                return Err(refused(PutRefusal::OtherCurrency));
            }
            if row.overdraft == put.overdraft_minor && row.status() == put.status {
                return Err(Answer::Put(PutOutcome::Unchanged));
            }
            event.ix = ix;
            event.opened = false;
            return Ok(Body::AccountPut(event));
        }
        let internal = self
            .currency(put.currency)
            .ok_or(refused(PutRefusal::UnknownCurrency))?;
        if self.accounts.len() >= self.options.capacity.accounts {
            return Err(refused(PutRefusal::CapacityReached));
        }
        if put.balance_minor != 0 {
            event.legs = Legs::pair(internal.opening, event.ix, put.balance_minor);
        }
        Ok(Body::AccountPut(event))
    }

    pub(super) fn decide_card(&self, put: &PutCard) -> Result<Body, Answer> {
        if is_internal_number(&put.account) {
            return Err(refused(PutRefusal::Internal));
        }
        let account = self
            .find_account(&put.account)
            .ok_or(refused(PutRefusal::UnknownAccount))?;
        // Display digits only: what does not fit is cut, not refused.
        let terms = CardTerms {
            bin: put.bin % 1_000_000,
            last4: put.last4 % 10_000,
            expiry: put.expiry,
            account,
            status: put.status,
        };
        let there = self.find_card(put.pan);
        if let Some(ix) = there
            && let Some(row) = self.cards.get(ix.0)
            && row.terms() == terms
        {
            return Err(Answer::Put(PutOutcome::Unchanged));
        }
        if there.is_none() && self.cards.len() >= self.options.capacity.cards {
            return Err(refused(PutRefusal::CapacityReached));
        }
        Ok(Body::CardPut(CardPut {
            ix: there.unwrap_or(CardIx(self.cards.len())),
            opened: there.is_none(),
            pan: put.pan,
            bin: terms.bin,
            last4: terms.last4,
            expiry: terms.expiry,
            account,
            status: terms.status,
        }))
    }
}
