//! Requests (0200) and advices (0220).

use super::find::{Details, normal_identity, terms};
use crate::account::AccountRow;
use crate::card::CardRow;
use crate::code::ResponseCode;
use crate::command::AccountStatus;
use crate::command::{Amount, CardStatus, Class, Operation, Transaction};
use crate::date::Date;
use crate::engine::Engine;
use crate::event::{Answer, Body, TransactionEvent};
use crate::exception::ExceptionKind;
use crate::ids::{AccountIx, AccountNumber, CardIx};
use crate::legs::{Legs, TooMuch};
use crate::limits::{MAX_AMOUNT_MINOR, MAX_SLOTS_PER_EVENT};
use crate::outcome::Balances;
use crate::record::{RecordRef, flags};

/// What a transaction comes to.
struct Verdict {
    code: ResponseCode,
    legs: Legs,
    balances: Option<Balances>,
    linked: RecordRef,
    exception: Option<ExceptionKind>,
}

impl Verdict {
    const fn declined(code: ResponseCode) -> Self {
        Self {
            code,
            legs: Legs::EMPTY,
            balances: None,
            linked: RecordRef::NONE,
            exception: None,
        }
    }

    const fn approved(legs: Legs) -> Self {
        Self {
            legs,
            ..Self::declined(ResponseCode::Approved)
        }
    }

    const fn with_exception(mut self, kind: ExceptionKind) -> Self {
        self.exception = Some(kind);
        self
    }
}

/// What the look-up of a message's relatives found.
#[derive(Clone, Copy)]
struct Relatives {
    /// Its reversal came first.
    tombstone: bool,
    /// For an advice: the approved request of the same transaction.
    request: RecordRef,
    /// For an advice: another advice has corrected that request already.
    corrected: bool,
}

type Known<'a> = (CardIx, &'a CardRow);

impl Engine {
    /// The whole way of a request or an advice: repeat, room, tombstone, rules.
    #[inline]
    pub(super) fn decide_transaction(&self, t: &Transaction) -> Result<Body, Answer> {
        let identity = normal_identity(&t.identity);
        let terms = terms(t);
        let details = Details::from(&identity);
        let mut relatives = Relatives {
            tombstone: false,
            request: RecordRef::NONE,
            corrected: false,
        };
        for (reference, generation, record) in self.memory.by_locator(identity.locator) {
            if record.is_same_message(&identity, t.class) {
                return Err(self.repeat(reference, generation, record, terms));
            }
            let (same, differs) = details.compare(record);
            if differs {
                continue;
            }
            if record.has(flags::TOMBSTONE) {
                // A tombstone of class "reversal" waits for any class.
                relatives.tombstone |= record
                    .class()
                    .is_some_and(|class| class == Class::Reversal || class == t.class);
            } else if t.class == Class::FinancialAdvice && same {
                if record.class() == Some(Class::FinancialRequest)
                    && record.code().is_approved()
                    && !record.has(flags::REVERSED)
                    && record.operation() == t.operation
                {
                    relatives.request = reference;
                }
                relatives.corrected |= self.memory.link(reference).is_some();
            }
        }
        if self.is_full(t.class) {
            return Err(self.refusal(ResponseCode::IssuerUnavailable));
        }
        let card = t
            .pan
            .and_then(|pan| self.find_card(pan))
            .and_then(|ix| Some((ix, self.cards.get(ix.0)?)));
        if let Some((_, row)) = card
            && row.has_loose_tombstone()
        {
            relatives.tombstone |= self.loose_tombstone(row, &details, t.class);
        }
        let business_date = self.dates.default_date();
        let verdict = if relatives.tombstone {
            Verdict::declined(ResponseCode::DoNotHonour)
        } else if t.class == Class::FinancialAdvice {
            self.accept(t, card, relatives)
        } else {
            match self.authorise(t, card, business_date) {
                Ok(verdict) => verdict,
                Err(code) => Verdict::declined(code),
            }
        };
        Ok(Body::Transaction(TransactionEvent {
            identity,
            terms,
            class: t.class,
            operation: t.operation,
            network: t.network,
            code: verdict.code,
            business_date,
            settlement_date: self.settlement_date(t.network, t.settlement, business_date),
            card: card.map(|(ix, _)| ix),
            prev: card.map_or(RecordRef::NONE, |(_, row)| row.newest),
            amount: Amount {
                // More than 12 digits is declined, and what is kept has 12.
                minor: t.amount.minor.min(MAX_AMOUNT_MINOR),
                currency: t.amount.currency,
            },
            legs: verdict.legs,
            balances: verdict.balances,
            linked: verdict.linked,
            exception: verdict.exception,
        }))
    }

    /// Whether there is no room to remember another message of this class.
    pub(super) const fn is_full(&self, class: Class) -> bool {
        let room = match class {
            Class::FinancialRequest => self.memory.room(),
            Class::FinancialAdvice | Class::Reversal => self.memory.room_with_reserve(),
        };
        room < MAX_SLOTS_PER_EVENT
    }

    /// Whether a reversal that had lost its STAN waits for this message.
    fn loose_tombstone(&self, card: &CardRow, details: &Details, class: Class) -> bool {
        self.chain(card.newest).any(|(_, _, record)| {
            record.has(flags::TOMBSTONE)
                && record.locator() == 0
                && record
                    .class()
                    .is_some_and(|waits| waits == Class::Reversal || waits == class)
                && details.compare(record) == (true, false)
        })
    }

    /// The rules for a request, in the one order of precedence; the first that
    /// is broken gives DE 39:
    ///
    /// | | |
    /// | --- | --- |
    /// | 12 | DE 49 is no currency of the bank's (or of this network's settlement) |
    /// | 13 | amount zero or over 12 digits; cashback above the amount |
    /// | 14 | card unknown, or none where one is needed |
    /// | 41, 43, 57 | card lost, stolen, blocked |
    /// | 54 | card past the end of its month by the business date, or DE 14 is another |
    /// | 77 | from account unknown, internal, or closed (transfer) |
    /// | 76 | to account missing, unknown, internal, closed, or the from account itself |
    /// | 78 | the card's account is closed |
    /// | 57 | DE 102 is not the card's own account; an account is blocked |
    /// | 12 | neither DE 49 nor DE 51 is the account's currency; transfer between currencies |
    /// | 57, 61 | the link's own rules |
    /// | 51 | available is less than the amount |
    ///
    /// Inquiries need no amount: for them 13 and both 12 are left out.
    fn authorise(
        &self,
        t: &Transaction,
        card: Option<Known<'_>>,
        business_date: Date,
    ) -> Result<Verdict, ResponseCode> {
        self.authorise_amount(t)?;
        if card.is_none() && (t.pan.is_some() || t.operation != Operation::Transfer) {
            return Err(ResponseCode::NoSuchCard);
        }
        if let Some((_, card)) = card {
            authorise_card(t, card, business_date)?;
        }
        let (ix, row, to) = self.authorise_accounts(t, card)?;
        if t.operation.is_inquiry() {
            return self.authorise_inquiry(t, row);
        }
        let legs = match to {
            Some((to, to_row)) => {
                if row.currency != to_row.currency || row.currency != t.amount.currency {
                    return Err(ResponseCode::InvalidTransaction);
                }
                // At most 12 digits.
                Legs::pair(ix, to, t.amount.minor as i64)
            }
            None => self
                .network_legs(t, ix, row)
                .ok_or(ResponseCode::InvalidTransaction)?,
        };
        if let Some(refusal) = t.refusal {
            return Err(refusal);
        }
        let delta = legs.delta_of(ix);
        let available = row
            .view(self.dates.closing())
            .available()
            .ok_or(ResponseCode::InsufficientFunds)?;
        if delta < 0 && available < -delta {
            return Err(ResponseCode::InsufficientFunds);
        }
        Ok(Verdict::approved(legs))
    }

    fn authorise_amount(&self, t: &Transaction) -> Result<(), ResponseCode> {
        if t.operation.is_inquiry() {
            return Ok(());
        }
        let currency = t.amount.currency;
        let configured = if t.operation == Operation::Transfer {
            self.currency(currency).is_some()
        } else {
            self.settlement(t.network, currency).is_some()
        };
        if !configured {
            return Err(ResponseCode::InvalidTransaction);
        }
        let too_much = t.amount.minor > MAX_AMOUNT_MINOR
            || t.billing
                .is_some_and(|billing| billing.minor > MAX_AMOUNT_MINOR);
        if t.amount.minor == 0 || too_much || t.cashback_minor > t.amount.minor {
            return Err(ResponseCode::InvalidAmount);
        }
        Ok(())
    }

    /// The account that pays or is asked about, and for a transfer the one that gets.
    #[allow(clippy::type_complexity)]
    fn authorise_accounts(
        &self,
        t: &Transaction,
        card: Option<Known<'_>>,
    ) -> Result<(AccountIx, &AccountRow, Option<(AccountIx, &AccountRow)>), ResponseCode> {
        let own = card.map(|(_, card)| card.account);
        let named = match &t.from {
            Some(number) => Some(
                self.customer(number)
                    .ok_or(ResponseCode::InvalidFromAccount)?,
            ),
            None => None,
        };
        let is_transfer = t.operation == Operation::Transfer;
        // With a card, money moves on the card's account (below, DE 102 must be it).
        let ix = if is_transfer { named.or(own) } else { own };
        let ix = ix.ok_or(ResponseCode::InvalidFromAccount)?;
        let row = self
            .accounts
            .get(ix.0)
            .ok_or(ResponseCode::InvalidAccount)?;
        if row.status() == AccountStatus::Closed {
            return Err(if is_transfer {
                ResponseCode::InvalidFromAccount
            } else {
                ResponseCode::InvalidAccount
            });
        }
        let to = if is_transfer {
            let to =
                t.to.as_ref()
                    .and_then(|number| self.customer(number))
                    .filter(|to| *to != ix)
                    .and_then(|to| Some((to, self.accounts.get(to.0)?)))
                    .filter(|(_, row)| row.status() != AccountStatus::Closed);
            Some(to.ok_or(ResponseCode::InvalidToAccount)?)
        } else {
            None
        };
        let foreign = own.is_some() && named.is_some() && named != own;
        let blocked = |row: &AccountRow| row.status() == AccountStatus::Blocked;
        if foreign || blocked(row) || to.is_some_and(|(_, row)| blocked(row)) {
            return Err(ResponseCode::NotPermittedToCardholder);
        }
        Ok((ix, row, to))
    }

    fn authorise_inquiry(
        &self,
        t: &Transaction,
        row: &AccountRow,
    ) -> Result<Verdict, ResponseCode> {
        if let Some(refusal) = t.refusal {
            return Err(refusal);
        }
        let view = row.view(self.dates.closing());
        let (Some(ledger_minor), Some(available_minor)) = (view.ledger(), view.available()) else {
            return Err(ResponseCode::InvalidAccount);
        };
        Ok(Verdict {
            balances: Some(Balances {
                currency: row.currency,
                ledger_minor,
                available_minor,
            }),
            ..Verdict::approved(Legs::EMPTY)
        })
    }

    /// A customer's account by its number: internal accounts are not theirs to name.
    fn customer(&self, number: &AccountNumber) -> Option<AccountIx> {
        let ix = self.find_account(number)?;
        self.accounts.get(ix.0)?.is_customer().then_some(ix)
    }

    /// Postings between a customer's account and a network. `None` when no
    /// amount is in the account's currency.
    fn network_legs(&self, t: &Transaction, ix: AccountIx, row: &AccountRow) -> Option<Legs> {
        let settlement = self.settlement(t.network, t.amount.currency)?;
        let sign = if t.operation == Operation::Refund {
            -1
        } else {
            1
        };
        let amount = i64::try_from(t.amount.minor).ok()?.checked_mul(sign)?;
        if t.amount.currency == row.currency {
            return Some(Legs::pair(ix, settlement, amount));
        }
        let billing = t
            .billing
            .filter(|billing| billing.currency == row.currency && billing.minor > 0)?;
        let own = i64::try_from(billing.minor).ok()?.checked_mul(sign)?;
        let (theirs, ours) = (
            self.currency(t.amount.currency)?.position,
            self.currency(row.currency)?.position,
        );
        // Per currency the sum is zero: the bank's position carries the exchange.
        let mut legs = Legs::pair(ix, ours, own);
        legs.add_all(&Legs::pair(theirs, settlement, amount)).ok()?;
        Some(legs)
    }

    /// The rules for an advice: the network has answered already, so it is
    /// accepted, into overdraft if need be; what fits no account goes to the
    /// suspense account and becomes an exception.
    fn accept(&self, t: &Transaction, card: Option<Known<'_>>, relatives: Relatives) -> Verdict {
        if t.amount.minor > MAX_AMOUNT_MINOR
            || t.billing
                .is_some_and(|billing| billing.minor > MAX_AMOUNT_MINOR)
        {
            return Verdict::declined(ResponseCode::InvalidAmount);
        }
        if t.operation.is_inquiry() {
            return Verdict::approved(Legs::EMPTY);
        }
        if relatives.request.is_some() && relatives.corrected {
            return Verdict::approved(Legs::EMPTY).with_exception(ExceptionKind::AdviceAgain);
        }
        let before = self.memory.legs(relatives.request);
        let accounts = if t.operation == Operation::Transfer {
            self.transfer_legs(t, card, &before)
        } else {
            self.advice_legs(t, card, &before)
        };
        let Some((wanted, exception)) = accounts else {
            return Verdict::approved(Legs::EMPTY)
                .with_exception(ExceptionKind::AdviceUnknownCurrency);
        };
        let legs = match difference(&wanted, &before) {
            Ok(legs) => legs,
            Err(TooMuch) => {
                return Verdict::approved(Legs::EMPTY).with_exception(ExceptionKind::AdviceAgain);
            }
        };
        Verdict {
            linked: relatives.request,
            exception,
            ..Verdict::approved(legs)
        }
    }

    /// Postings of an advice that settles with a network. `None` when the bank
    /// keeps no books in its currency.
    fn advice_legs(
        &self,
        t: &Transaction,
        card: Option<Known<'_>>,
        before: &Legs,
    ) -> Option<(Legs, Option<ExceptionKind>)> {
        let settlement = self.settlement(t.network, t.amount.currency)?;
        let suspense = self.currency(t.amount.currency)?.suspense;
        // Where its request posted, else the card's account.
        let posted = before
            .as_slice()
            .iter()
            .find(|leg| {
                self.accounts
                    .get(leg.account.0)
                    .is_some_and(AccountRow::is_customer)
            })
            .map(|leg| leg.account);
        let account = posted.or(card.map(|(_, card)| card.account));
        let row = account.and_then(|ix| Some((ix, self.accounts.get(ix.0)?)));
        let open = row.filter(|(_, row)| row.status() != AccountStatus::Closed);
        let exception = match (open, row) {
            (Some((ix, row)), _) => {
                if t.amount.minor == 0 {
                    return Some((Legs::EMPTY, None));
                }
                match self.network_legs(t, ix, row) {
                    Some(legs) => return Some((legs, None)),
                    None => ExceptionKind::AdviceOtherCurrency,
                }
            }
            (None, Some(_)) => ExceptionKind::AdviceNoAccount,
            (None, None) => ExceptionKind::AdviceUnknownCard,
        };
        let sign = if t.operation == Operation::Refund {
            -1
        } else {
            1
        };
        let amount = i64::try_from(t.amount.minor).ok()?.checked_mul(sign)?;
        let mut legs = Legs::EMPTY;
        if amount != 0 {
            legs.add_all(&Legs::pair(suspense, settlement, amount))
                .ok()?;
        }
        Some((legs, Some(exception)))
    }

    /// Postings of an advised transfer: a side that has no account is taken by suspense.
    fn transfer_legs(
        &self,
        t: &Transaction,
        card: Option<Known<'_>>,
        before: &Legs,
    ) -> Option<(Legs, Option<ExceptionKind>)> {
        let suspense = self.currency(t.amount.currency)?.suspense;
        let side = |debit: bool, number: Option<&AccountNumber>, own: Option<AccountIx>| {
            let posted = before
                .as_slice()
                .iter()
                .find(|leg| (leg.delta_minor < 0) == debit)
                .map(|leg| leg.account);
            let named = match number {
                Some(number) => self.customer(number),
                None => own,
            };
            posted.or(named).filter(|ix| {
                self.accounts.get(ix.0).is_some_and(|row| {
                    row.currency == t.amount.currency && row.status() != AccountStatus::Closed
                })
            })
        };
        let from = side(true, t.from.as_ref(), card.map(|(_, card)| card.account));
        let to = side(false, t.to.as_ref(), None);
        let exception = (from.is_none() || to.is_none()).then_some(ExceptionKind::AdviceNoAccount);
        let amount = i64::try_from(t.amount.minor).ok()?;
        let mut legs = Legs::EMPTY;
        legs.add(from.unwrap_or(suspense), -amount).ok()?;
        legs.add(to.unwrap_or(suspense), amount).ok()?;
        Some((legs, exception))
    }
}

/// What is still to be posted.
fn difference(wanted: &Legs, before: &Legs) -> Result<Legs, TooMuch> {
    if before.is_empty() {
        return Ok(*wanted);
    }
    let mut legs = *wanted;
    legs.add_all(&before.negated()?)?;
    Ok(legs)
}

fn authorise_card(
    t: &Transaction,
    card: &CardRow,
    business_date: Date,
) -> Result<(), ResponseCode> {
    match card.status() {
        CardStatus::Active => {}
        CardStatus::Lost => return Err(ResponseCode::LostCard),
        CardStatus::Stolen => return Err(ResponseCode::StolenCard),
        CardStatus::Blocked => return Err(ResponseCode::NotPermittedToCardholder),
    }
    let (year, month, _) = business_date.ymd();
    let today = year.saturating_sub(2000) * 100 + u16::from(month);
    let expiry = card.expiry_yymm();
    if today > expiry || t.expiry.is_some_and(|sent| sent.yymm() != expiry) {
        return Err(ResponseCode::ExpiredCard);
    }
    Ok(())
}
