//! Requests (0200) and advices (0220).

use super::find::{Details, normal_identity, terms};
use super::relatives::{Relatives, seen};
use crate::account::{AccountRow, Role};
use crate::card::CardRow;
use crate::code::ResponseCode;
use crate::command::AccountStatus;
use crate::command::{CardStatus, Class, Operation, Transaction};
use crate::date::Date;
use crate::engine::{Engine, pan_hash};
use crate::event::{Answer, Counted, TransactionEvent};
use crate::exception::ExceptionKind;
use crate::ids::{AccountIx, AccountNumber, CardIx, NetworkId};
use crate::legs::{Legs, TooMuch};
use crate::limits::{MAX_AMOUNT_MINOR, MAX_SLOTS_PER_EVENT};
use crate::outcome::Balances;
use crate::record::flags;

type Known<'a> = (CardIx, &'a CardRow);

impl Engine {
    /// The whole way of a request or an advice: repeat, room, tombstone, rules.
    /// Fills `event`, which is [`TransactionEvent::blank`].
    #[inline]
    pub(crate) fn decide_transaction(
        &self,
        t: &Transaction,
        day: Date,
        event: &mut TransactionEvent,
    ) -> Result<(), Answer> {
        event.identity = normal_identity(&t.identity);
        self.fetch(event.identity.locator, t.pan.map(pan_hash));
        event.terms = terms(t);
        let details = Details::from(&event.identity);
        let mut relatives = self.relatives(t, event, &details)?;
        if self.is_full(t.class) {
            return Err(self.refusal(ResponseCode::IssuerUnavailable));
        }
        let card = t
            .pan
            .and_then(|pan| self.find_card(pan))
            .and_then(|ix| Some((ix, self.cards.get(ix.0)?)));
        if let Some((ix, row)) = card {
            event.card = Some(ix);
            event.prev = self.newest_reference(row);
            if row.has_loose_tombstone() {
                let waits = self.loose_tombstone(row, &details, t.class);
                relatives.add(seen::TOMBSTONE, waits);
            }
        }
        (event.business_date, event.settlement_date) = self.dates_of(t.network, t.settlement);
        // More than 12 digits is declined, and what is kept has 12.
        event.amount.minor = t.amount.minor.min(MAX_AMOUNT_MINOR);
        event.code = if relatives.has(seen::TOMBSTONE) {
            ResponseCode::DoNotHonour
        } else if relatives.has(seen::ADVISED)
            || (relatives.has(seen::HIDDEN) && t.class == Class::FinancialRequest)
        {
            // The network stood in and has told us: this request came too late,
            // and its money has moved. Or it shares card, STAN, DE 7 and DE 37 with
            // so many others that nobody could say which of them is reversed.
            ResponseCode::Duplicate
        } else if t.class == Class::FinancialAdvice {
            self.accept(t, card, relatives, event)
        } else {
            match self.authorise(t, day, card, event) {
                Ok(()) => ResponseCode::Approved,
                Err(code) => code,
            }
        };
        if !event.code.is_approved() {
            // Whatever was written before a later rule declined.
            event.legs.clear();
            event.balances = None;
        }
        if let Some(opening) = self.leans(&event.legs, event.business_date) {
            // All legs together, so that the closing date stays what it can bear.
            event.business_date = opening;
            if t.network == NetworkId::OWN_TERMINALS {
                event.settlement_date = opening;
            }
        }
        if event.linked.is_some() {
            event.corrects = self.counted_elsewhere(t, event);
        }
        Ok(())
    }

    /// Whether there is no room to remember another message of this class.
    pub(crate) const fn is_full(&self, class: Class) -> bool {
        let room = match class {
            Class::FinancialRequest => self.memory.room(),
            Class::FinancialAdvice | Class::Reversal => self.memory.room_with_reserve(),
        };
        room < MAX_SLOTS_PER_EVENT
    }

    /// Whether a reversal that had lost its STAN waits for this message.
    fn loose_tombstone(&self, card: &CardRow, details: &Details, class: Class) -> bool {
        self.chain(card).any(|(_, _, record)| {
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
    /// | 05 | its reversal came first (before all these) |
    /// | 94 | its advice came first, or it cannot be told from many others (likewise) |
    /// | 12 | DE 49 is no currency of the bank's (or of this network's settlement) |
    /// | 13 | amount zero or over 12 digits; cashback above the amount |
    /// | 14 | card unknown, or none where one is needed |
    /// | 41, 43, 57 | card lost, stolen, blocked |
    /// | 54 | card past the end of its month by the bank's calendar, or DE 14 is another |
    /// | 77 | from account unknown, internal, or closed (transfer) |
    /// | 76 | to account missing, unknown, internal, closed, or the from account itself |
    /// | 78 | the card's account is closed |
    /// | 57 | DE 102 is not the card's own account; an account is blocked |
    /// | 12 | neither DE 49 nor DE 51 is the account's currency; transfer between currencies |
    /// | 57, 61 | the link's own rules |
    /// | 51 | available is less than the amount |
    ///
    /// Inquiries need no amount: for them 13 and both 12 are left out.
    #[inline]
    fn authorise(
        &self,
        t: &Transaction,
        day: Date,
        card: Option<Known<'_>>,
        event: &mut TransactionEvent,
    ) -> Result<(), ResponseCode> {
        self.authorise_amount(t)?;
        if card.is_none() && (t.pan.is_some() || t.operation != Operation::Transfer) {
            return Err(ResponseCode::NoSuchCard);
        }
        if let Some((_, card)) = card {
            self.authorise_card(t, card, day)?;
        }
        let (ix, row, to) = self.authorise_accounts(t, card)?;
        if t.operation.is_inquiry() {
            event.balances = Some(self.authorise_inquiry(t, row)?);
            return Ok(());
        }
        match to {
            Some((to, to_row)) => {
                if row.currency != to_row.currency || row.currency != t.amount.currency {
                    return Err(ResponseCode::InvalidTransaction);
                }
                // At most 12 digits.
                event.legs.set_pair(ix, to, t.amount.minor as i64);
            }
            None => self
                .network_legs(t, ix, row, &mut event.legs)
                .ok_or(ResponseCode::InvalidTransaction)?,
        }
        if let Some(refusal) = t.refusal {
            return Err(refusal);
        }
        let delta = event.legs.delta_of(ix);
        let available = row
            .view(self.dates.closing())
            .available()
            .ok_or(ResponseCode::InsufficientFunds)?;
        if delta < 0 && available < -delta {
            return Err(ResponseCode::InsufficientFunds);
        }
        Ok(())
    }

    #[inline]
    fn authorise_card(
        &self,
        t: &Transaction,
        card: &CardRow,
        day: Date,
    ) -> Result<(), ResponseCode> {
        match card.status() {
            CardStatus::Active => {}
            CardStatus::Lost => return Err(ResponseCode::LostCard),
            CardStatus::Stolen => return Err(ResponseCode::StolenCard),
            CardStatus::Blocked => return Err(ResponseCode::NotPermittedToCardholder),
        }
        let month = match self.today {
            (date, month) if date == day => month,
            _ => day.yymm(),
        };
        let expiry = card.expiry_yymm();
        if month > expiry || t.expiry.is_some_and(|sent| sent.yymm() != expiry) {
            return Err(ResponseCode::ExpiredCard);
        }
        Ok(())
    }

    #[inline]
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
    #[inline]
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
    ) -> Result<Balances, ResponseCode> {
        if let Some(refusal) = t.refusal {
            return Err(refusal);
        }
        let view = row.view(self.dates.closing());
        let (Some(ledger_minor), Some(available_minor)) = (view.ledger(), view.available()) else {
            return Err(ResponseCode::InvalidAccount);
        };
        Ok(Balances {
            currency: row.currency,
            ledger_minor,
            available_minor,
        })
    }

    /// A customer's account by its number: internal accounts are not theirs to name.
    fn customer(&self, number: &AccountNumber) -> Option<AccountIx> {
        let ix = self.find_account(number)?;
        self.accounts.get(ix.0)?.is_customer().then_some(ix)
    }

    /// Postings between a customer's account and a network, into empty `legs`.
    /// `None` when no amount is in the account's currency.
    #[inline]
    fn network_legs(
        &self,
        t: &Transaction,
        ix: AccountIx,
        row: &AccountRow,
        legs: &mut Legs,
    ) -> Option<()> {
        let settlement = self.settlement(t.network, t.amount.currency)?;
        let amount = signed(t, t.amount.minor)?;
        if t.amount.currency == row.currency {
            legs.set_pair(ix, settlement, amount);
            return Some(());
        }
        let billing = t
            .billing
            .filter(|billing| billing.currency == row.currency && billing.minor > 0)?;
        let (theirs, ours) = (
            self.currency(t.amount.currency)?.position,
            self.currency(row.currency)?.position,
        );
        // Per currency the sum is zero: the bank's position carries the exchange.
        legs.set_pair(ix, ours, signed(t, billing.minor)?);
        legs.add(theirs, -amount).ok()?;
        legs.add(settlement, amount).ok()
    }

    /// The rules for an advice: the network has answered already, so it is
    /// accepted, into overdraft if need be; what fits no account goes to the
    /// suspense account and becomes an exception.
    fn accept(
        &self,
        t: &Transaction,
        card: Option<Known<'_>>,
        relatives: Relatives,
        event: &mut TransactionEvent,
    ) -> ResponseCode {
        if t.amount.minor > MAX_AMOUNT_MINOR
            || t.billing
                .is_some_and(|billing| billing.minor > MAX_AMOUNT_MINOR)
        {
            return ResponseCode::InvalidAmount;
        }
        if t.operation.is_inquiry() {
            return ResponseCode::Approved;
        }
        if relatives.has(seen::HIDDEN)
            || (relatives.request.is_some() && relatives.has(seen::CORRECTED))
        {
            event.exception = Some(ExceptionKind::AdviceAgain);
            return ResponseCode::Approved;
        }
        let before = self.memory.legs(relatives.request);
        let wanted = if t.operation == Operation::Transfer {
            self.transfer_legs(t, card, &before)
        } else {
            self.advice_legs(t, card, &before)
        };
        match wanted {
            None => event.exception = Some(ExceptionKind::AdviceUnknownCurrency),
            Some((wanted, exception)) => match difference(&wanted, &before) {
                Err(TooMuch) => event.exception = Some(ExceptionKind::AdviceAgain),
                Ok(legs) => {
                    event.legs = legs;
                    event.linked = relatives.request;
                    event.exception = exception;
                }
            },
        }
        ResponseCode::Approved
    }

    /// What the request that an advice corrects was counted as, if that is on another
    /// settlement date or in another currency.
    fn counted_elsewhere(&self, t: &Transaction, event: &TransactionEvent) -> Option<Counted> {
        let (generation, record) = self.memory.get(event.linked)?;
        let day = i32::from(generation.date.0) + record.settlement_offset();
        let settlement_date = Date(u16::try_from(day).ok()?);
        let legs = self.memory.legs(event.linked);
        let transfer = t.operation == Operation::Transfer;
        let (currency, minor) = legs.as_slice().iter().find_map(|leg| {
            let row = self.accounts.get(leg.account.0)?;
            if transfer {
                (leg.delta_minor > 0).then_some((row.currency, leg.delta_minor))
            } else {
                let settles = row.role() == Role::Settlement(t.network);
                settles.then_some((row.currency, leg.delta_minor))
            }
        })?;
        let same = settlement_date == event.settlement_date && currency == t.amount.currency;
        (!same).then_some(Counted {
            settlement_date,
            currency,
            minor,
        })
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
                let mut legs = Legs::EMPTY;
                match self.network_legs(t, ix, row, &mut legs) {
                    Some(()) => return Some((legs, None)),
                    None => ExceptionKind::AdviceOtherCurrency,
                }
            }
            (None, Some(_)) => ExceptionKind::AdviceNoAccount,
            (None, None) => ExceptionKind::AdviceUnknownCard,
        };
        let amount = signed(t, t.amount.minor)?;
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

/// What the network gains: negative for a refund.
#[inline]
fn signed(t: &Transaction, minor: u64) -> Option<i64> {
    let minor = i64::try_from(minor).ok()?;
    Some(if t.operation == Operation::Refund {
        -minor
    } else {
        minor
    })
}
