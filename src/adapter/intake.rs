//! Messages to requests.

use gapless_engine::code::ResponseCode;
use gapless_engine::command::{Amount, Class, Operation, Request, Reversal, Transaction};
use gapless_engine::date::MonthDay;
use gapless_engine::ids::{AccountNumber, Currency, Expiry, NetworkId};
use gapless_engine::iso4217;
use gapless_iso8583::{Message, Scratch};

use super::fault::Fault;
use super::identity::{Holder, Recogniser, number, take_number, text};
use super::tables::{self, Kind};
use super::{Adapter, Ignored, Intake, Management, NetworkCutover, Refusal};

/// Length of a PAN, DE 2: n..19. Shorter ones than this are no card numbers.
const PAN_DIGITS: std::ops::RangeInclusive<usize> = 8..=19;
/// DE 54: groups of 20 characters, at most 6 (FIELD.md).
const AMOUNT_GROUP: usize = 20;
const AMOUNT_GROUPS: usize = 6;

/// Why a message can't be a request.
pub(super) enum Stop {
    /// 30, with the field to blame.
    Fault(Fault),
    /// Another code, which no state decides.
    Code(ResponseCode),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

pub(super) const INVALID_TRANSACTION: Stop = Stop::Code(ResponseCode::InvalidTransaction);

impl Adapter {
    /// What to do with a message that the codec could read.
    pub fn intake(&self, message: &Message<'_>, scratch: &mut Scratch) -> Intake {
        let request = match tables::kind(message.mti(), self.semantics.version) {
            Kind::Financial(class) => self
                .transaction(message, class, scratch)
                .map(Request::Transaction),
            Kind::Reversal => self.reversal(message, scratch).map(Request::Reversal),
            Kind::Reconciliation => self.reconcile(message, scratch).map(Request::Reconcile),
            Kind::Management => return self.management(message),
            Kind::Unknown => Err(INVALID_TRANSACTION),
            Kind::Response => return Intake::Ignore(Ignored::Response),
            Kind::Unanswerable => return Intake::Ignore(Ignored::MessageType),
        };
        match request {
            Ok(request) => Intake::Engine(request),
            Err(stop) => Intake::Answer(stop.into()),
        }
    }

    fn management(&self, message: &Message<'_>) -> Intake {
        let field = self.semantics.network_code;
        let refuse = |stop: Stop| Intake::Answer(stop.into());
        match number(message, field) {
            Err(fault) => refuse(fault.into()),
            Ok(None) => refuse(Fault::missing(field).into()),
            Ok(Some(code)) => match tables::management(code, self.semantics.version) {
                Some(Management::Cutover) => self.network_cutover(message),
                Some(purpose) => Intake::Management(purpose),
                None => refuse(INVALID_TRANSACTION),
            },
        }
    }

    /// Terminals have no settlement date of their own.
    fn network_cutover(&self, message: &Message<'_>) -> Intake {
        let refuse = |stop: Stop| Intake::Answer(stop.into());
        if self.rules.network == NetworkId::OWN_TERMINALS {
            return refuse(INVALID_TRANSACTION);
        }
        match self.settlement(message) {
            Err(fault) => refuse(fault.into()),
            Ok(None) => refuse(Fault::missing(tables::SETTLEMENT_DATE).into()),
            Ok(Some(sent)) => Intake::NetworkCutover(NetworkCutover {
                network: self.rules.network,
                sent,
                names_ended: self.rules.cutover_names_ended,
            }),
        }
    }

    fn transaction(
        &self,
        message: &Message<'_>,
        class: Class,
        scratch: &mut Scratch,
    ) -> Result<Transaction, Stop> {
        let processing = number(message, 3)?.ok_or(Fault::missing(3))?;
        let operation = tables::operation(processing / 10_000).ok_or(INVALID_TRANSACTION)?;
        if is_inquiry(operation) && class == Class::FinancialAdvice {
            // Nothing can have happened that would have to be accepted.
            return Err(INVALID_TRANSACTION);
        }
        let amount = if is_inquiry(operation) {
            Amount {
                minor: number(message, 4)?.unwrap_or(0),
                currency: match self.currency(message, 49, scratch)? {
                    // It is not needed, but it must be one.
                    Some(currency)
                        if currency != self.rules.default_currency
                            && !iso4217::is_known(currency) =>
                    {
                        return Err(INVALID_TRANSACTION);
                    }
                    Some(currency) => currency,
                    None => self.rules.default_currency,
                },
            }
        } else {
            self.amount(message, scratch)?
        };
        let from = account(message, 102, scratch)?;
        let to = account(message, 103, scratch)?;
        let is_transfer = operation == Operation::Transfer;
        if is_transfer && to.is_none() {
            return Err(Fault::missing(103).into());
        }
        let holder = match (self.card(message, scratch)?, from) {
            (Some(card), _) => card,
            (None, Some(account)) if is_transfer => Holder::Account(account),
            (None, _) => return Err(Fault::missing(2).into()),
        };
        let identity = self.recogniser().identity(message, &holder, scratch)?;
        Ok(Transaction {
            identity,
            class,
            network: self.rules.network,
            operation,
            pan: holder.pan(),
            expiry: expiry(message)?,
            from,
            to,
            amount,
            billing: self.billing(message, scratch)?,
            cashback_minor: if operation == Operation::PurchaseWithCashback {
                cashback(message, amount.currency, scratch)?
            } else {
                0
            },
            settlement: self.settlement(message)?,
            refusal: self.refusal(operation, &holder, amount),
        })
    }

    fn reversal(&self, message: &Message<'_>, scratch: &mut Scratch) -> Result<Reversal, Stop> {
        self.refuse_partial(message, scratch)?;
        let holder = match self.card(message, scratch)? {
            Some(card) => card,
            None => match account(message, 102, scratch)? {
                Some(account) => Holder::Account(account),
                // The sender may have lost it; a reversal must be accepted all the same.
                None => Holder::Unknown,
            },
        };
        let recogniser = self.recogniser();
        let identity = recogniser.identity(message, &holder, scratch)?;
        let original = recogniser.original(message, &holder, &identity, scratch)?;
        let minor = number(message, 4)?;
        let currency = self.currency(message, 49, scratch)?;
        Ok(Reversal {
            identity,
            network: self.rules.network,
            pan: holder.pan(),
            original,
            amount: minor
                .zip(currency)
                .map(|(minor, currency)| Amount { minor, currency }),
            settlement: self.settlement(message)?,
        })
    }

    /// A partial reversal taken for a full one would give back too much, so it
    /// is refused as long as only full ones are known here. Replacement amounts
    /// of zero mean a full one (NCHL).
    fn refuse_partial(&self, message: &Message<'_>, scratch: &mut Scratch) -> Result<(), Stop> {
        if let Some(field) = self.semantics.replacement_amounts {
            let digits = text(message, field, scratch)?;
            let actual = match digits {
                [] => 0,
                digits => take_number(digits, 12).ok_or(Fault::invalid(field))?.0,
            };
            if actual != 0 {
                return Err(INVALID_TRANSACTION);
            }
        }
        if let Some(field) = self.semantics.original_amounts {
            let digits = text(message, field, scratch)?;
            if !digits.is_empty() {
                let (original, _) = take_number(digits, 12).ok_or(Fault::invalid(field))?;
                if number(message, 4)?.is_some_and(|minor| minor != original) {
                    return Err(INVALID_TRANSACTION);
                }
            }
        }
        Ok(())
    }

    /// DE 2, or the PAN of DE 35 where there is no DE 2.
    fn card(&self, message: &Message<'_>, scratch: &mut Scratch) -> Result<Option<Holder>, Fault> {
        let (field, pan) = if message.has(2) {
            (2, text(message, 2, scratch)?)
        } else if message.has(35) {
            let track = text(message, 35, scratch)?;
            let end = track.iter().position(|byte| matches!(byte, b'=' | b'D'));
            let pan = end.and_then(|end| track.get(..end));
            (35, pan.ok_or(Fault::invalid(35))?)
        } else {
            return Ok(None);
        };
        if !PAN_DIGITS.contains(&pan.len()) || !pan.iter().all(u8::is_ascii_digit) {
            return Err(Fault::invalid(field));
        }
        Ok(Some(Holder::Card(self.keys.pan_hash(pan))))
    }

    /// DE 4 and 49, which must be there.
    fn amount(&self, message: &Message<'_>, scratch: &mut Scratch) -> Result<Amount, Stop> {
        Ok(Amount {
            minor: number(message, 4)?.ok_or(Fault::missing(4))?,
            currency: self
                .currency(message, 49, scratch)?
                .ok_or(Fault::missing(49))?,
        })
    }

    /// DE 6 and 51, if both are there.
    fn billing(
        &self,
        message: &Message<'_>,
        scratch: &mut Scratch,
    ) -> Result<Option<Amount>, Stop> {
        let minor = number(message, 6)?;
        let currency = self.currency(message, 51, scratch)?;
        Ok(minor
            .zip(currency)
            .map(|(minor, currency)| Amount { minor, currency }))
    }

    /// A currency by its number, or by its letters if it is one of the bank's
    /// (ISO 8583: a 3 or n 3). Other letters: 12.
    pub(super) fn currency(
        &self,
        message: &Message<'_>,
        field: u8,
        scratch: &mut Scratch,
    ) -> Result<Option<Currency>, Stop> {
        if !message.has(field) {
            return Ok(None);
        }
        let code = text(message, field, scratch)?;
        let numeric = take_number(code, 3).filter(|(_, rest)| rest.is_empty());
        if let Some((number, _)) = numeric {
            return Ok(u16::try_from(number).ok().map(Currency));
        }
        if code.len() != 3 || !code.iter().all(u8::is_ascii_uppercase) {
            return Err(Fault::invalid(field).into());
        }
        let known = &self.rules.currencies;
        match known.iter().find(|(letters, _)| letters == code) {
            Some((_, currency)) => Ok(Some(*currency)),
            None => Err(INVALID_TRANSACTION),
        }
    }

    /// DE 15, from networks only: MMDD, or its last four digits in 1993. 0000
    /// and other impossible days count as absent; the engine finds the year.
    fn settlement(&self, message: &Message<'_>) -> Result<Option<MonthDay>, Fault> {
        if self.rules.network == NetworkId::OWN_TERMINALS {
            return Ok(None);
        }
        month_day(message, tables::SETTLEMENT_DATE)
    }

    /// What the link's own rules refuse. It is the engine that answers it, after
    /// the duplicate check.
    fn refusal(
        &self,
        operation: Operation,
        holder: &Holder,
        amount: Amount,
    ) -> Option<ResponseCode> {
        let rules = &self.rules;
        let cardless = matches!(holder, Holder::Account(_));
        if !rules.allow.contains(&operation) || (cardless && !rules.cardless_transfers) {
            return Some(ResponseCode::NotPermittedToCardholder);
        }
        let limit = rules
            .max_amount_minor
            .iter()
            .find(|(currency, _)| *currency == amount.currency);
        match limit {
            // An inquiry's amount moves nothing.
            Some((_, limit)) if amount.minor > *limit && !is_inquiry(operation) => {
                Some(ResponseCode::ExceedsAmountLimit)
            }
            _ => None,
        }
    }

    pub(super) fn recogniser(&self) -> Recogniser<'_> {
        Recogniser {
            keys: &self.keys,
            network: self.rules.network,
            original_data: self.semantics.original_data,
        }
    }
}

/// A date element as MMDD; `None` where it is absent or 0000.
pub(super) fn month_day(message: &Message<'_>, field: u8) -> Result<Option<MonthDay>, Fault> {
    Ok(number(message, field)?.and_then(|date| {
        let month = u8::try_from(date / 100 % 100).ok()?;
        let day = u8::try_from(date % 100).ok()?;
        (month != 0 && day != 0).then_some(MonthDay { month, day })
    }))
}

impl From<Stop> for Refusal {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Fault(fault) => Self {
                code: ResponseCode::FormatError,
                fault: Some(fault),
            },
            Stop::Code(code) => Self { code, fault: None },
        }
    }
}

fn is_inquiry(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::InquiryAvailable | Operation::InquiryBalance
    )
}

/// DE 102 or 103.
fn account(
    message: &Message<'_>,
    field: u8,
    scratch: &mut Scratch,
) -> Result<Option<AccountNumber>, Fault> {
    if !message.has(field) {
        return Ok(None);
    }
    AccountNumber::new(text(message, field, scratch)?)
        .map(Some)
        .ok_or(Fault::invalid(field))
}

/// DE 14, YYMM.
fn expiry(message: &Message<'_>) -> Result<Option<Expiry>, Fault> {
    match number(message, 14)? {
        None => Ok(None),
        Some(yymm) => u16::try_from(yymm)
            .ok()
            .and_then(Expiry::from_yymm)
            .map(Some)
            .ok_or(Fault::invalid(14)),
    }
}

/// The cashback in DE 54: amount type 40 (MDS), a debit in the transaction's
/// currency. 0 without one.
fn cashback(
    message: &Message<'_>,
    currency: Currency,
    scratch: &mut Scratch,
) -> Result<u64, Fault> {
    const FIELD: u8 = tables::ADDITIONAL_AMOUNTS;
    let invalid = Fault::invalid(FIELD);
    let groups = text(message, FIELD, scratch)?;
    if groups.len() % AMOUNT_GROUP != 0 || groups.len() > AMOUNT_GROUP * AMOUNT_GROUPS {
        return Err(invalid);
    }
    let mut found = None;
    for group in groups.chunks_exact(AMOUNT_GROUP) {
        // Account type 2, amount type 2, currency 3, C or D, amount 12.
        let (_, rest) = take_number(group, 2).ok_or(invalid)?;
        let (kind, rest) = take_number(rest, 2).ok_or(invalid)?;
        let (of, rest) = take_number(rest, 3).ok_or(invalid)?;
        let (side, rest) = rest.split_first().ok_or(invalid)?;
        let (minor, _) = take_number(rest, 12).ok_or(invalid)?;
        if kind != 40 {
            continue;
        }
        let fits = of == u64::from(currency.0) && matches!(side, b'C' | b'D');
        if !fits || found.is_some() {
            return Err(invalid);
        }
        found = Some(minor);
    }
    Ok(found.unwrap_or(0))
}
