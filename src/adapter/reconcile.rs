//! Reconciliation messages, 05xx: a network's into requests, and their answers.

use gapless_engine::code::ResponseCode;
use gapless_engine::command::Reconcile;
use gapless_engine::ids::{Currency, NetworkId};
use gapless_engine::{Figures, NET, Reconciliation, Verdict};
use gapless_iso8583::{BuildError, Builder, Message, Scratch, Side, Version};

use super::Adapter;
use super::fault::Fault;
use super::identity::{Holder, number};
use super::intake::{INVALID_TRANSACTION, Stop, month_day};
use super::respond::put_digits;
use super::tables::{self, CURRENCY, RESPONSE_CODE};

impl Adapter {
    /// 0500, 0520 and their repeats: DE 15 (1993: 28, if it is there) is the date
    /// that the figures cover. Terminals have no totals of their own: 12.
    pub(super) fn reconcile(
        &self,
        message: &Message<'_>,
        scratch: &mut Scratch,
    ) -> Result<Reconcile, Stop> {
        if self.rules.network == NetworkId::OWN_TERMINALS {
            return Err(INVALID_TRANSACTION);
        }
        let field = tables::covered_date(self.semantics.version, message);
        if !message.has(field) {
            return Err(Fault::missing(field).into());
        }
        let identity = self
            .recogniser()
            .identity(message, &Holder::Unknown, scratch)?;
        Ok(Reconcile {
            identity,
            network: self.rules.network,
            settlement: month_day(message, field)?.ok_or(Fault::invalid(field))?,
            currency: self.currency(message, CURRENCY, scratch)?,
            theirs: figures(message)?,
        })
    }

    /// Appends the answer to a reconciliation that was compared: both DE 66 (1993:
    /// the action code) and our own figures.
    ///
    /// # Errors
    /// The dialect can't say it; nothing was appended.
    pub fn respond_reconciled(
        &self,
        request: &Message<'_>,
        done: &Reconciliation,
        out: &mut Vec<u8>,
    ) -> Result<ResponseCode, BuildError> {
        let echo = &self.reconciliation_echo;
        let mut builder = self.dialect.builder(out, request.mti().response());
        builder.echo_until(request, echo, RESPONSE_CODE);
        let differs = done.verdict == Verdict::OutOfBalance;
        match self.semantics.settlement_code {
            None if differs => {
                let code = u64::from(tables::OUT_OF_BALANCE);
                builder.number(RESPONSE_CODE, code);
            }
            _ => self.put_code(&mut builder, ResponseCode::Approved, 5),
        }
        builder.echo_until(request, echo, CURRENCY);
        if request.has(CURRENCY) {
            builder.echo(request, CURRENCY);
        } else {
            put_currency(&mut builder, done.currency);
        }
        if let Some(field) = self.semantics.settlement_code {
            builder.number(field, if differs { 2 } else { 1 });
        }
        put_counts(&mut builder, &done.ours);
        builder.echo_until(request, echo, NET);
        put_net(&mut builder, &done.ours);
        builder.echo_rest(request, echo).finish()?;
        Ok(ResponseCode::Approved)
    }

    /// What DE 66, or the action code of 1993, of an accepted answer says.
    pub(super) fn verdict(
        &self,
        message: &Message<'_>,
        action: u16,
    ) -> Result<Option<Verdict>, Fault> {
        Ok(match self.semantics.settlement_code {
            None => match action {
                tables::IN_BALANCE => Some(Verdict::InBalance),
                tables::OUT_OF_BALANCE => Some(Verdict::OutOfBalance),
                _ => None,
            },
            Some(field) => match number(message, field)? {
                Some(1) => Some(Verdict::InBalance),
                Some(2) => Some(Verdict::OutOfBalance),
                Some(9) => Some(Verdict::Received),
                Some(_) => return Err(Fault::invalid(field)),
                None => None,
            },
        })
    }
}

/// DE 74 to 89 and 97, as far as they are there.
pub(super) fn figures(message: &Message<'_>) -> Result<Figures, Fault> {
    let mut all = Figures::NONE;
    for element in Figures::elements().filter(|element| message.has(*element)) {
        let invalid = Fault::invalid(element);
        let value = if element == NET {
            let signed = message.signed(element).map_err(|_| invalid)?;
            signed.and_then(|(side, magnitude)| {
                let magnitude = i64::try_from(magnitude).ok()?;
                Some(match side {
                    Side::Credit => magnitude,
                    Side::Debit => -magnitude,
                })
            })
        } else {
            number(message, element)?.and_then(|value| i64::try_from(value).ok())
        };
        all = value
            .and_then(|value| all.with(element, value))
            .ok_or(invalid)?;
    }
    Ok(all)
}

/// DE 50, three digits.
pub(super) fn put_currency(builder: &mut Builder<'_, '_>, currency: Currency) {
    let mut digits = [0; 3];
    put_digits(&mut digits, currency.0.into());
    builder.text(CURRENCY, &digits);
}

pub(super) fn put_figures(builder: &mut Builder<'_, '_>, figures: &Figures) {
    put_counts(builder, figures);
    put_net(builder, figures);
}

/// DE 74 to 89.
fn put_counts(builder: &mut Builder<'_, '_>, figures: &Figures) {
    for (element, value) in figures.iter().filter(|(element, _)| *element != NET) {
        builder.number(element, value.unsigned_abs());
    }
}

/// DE 97.
fn put_net(builder: &mut Builder<'_, '_>, figures: &Figures) {
    if let Some(net) = figures.get(NET) {
        let side = if net < 0 { Side::Debit } else { Side::Credit };
        builder.signed(NET, side, net.unsigned_abs());
    }
}

/// The field of the date that figures cover, in messages that this side sends.
pub(super) const fn date_field(version: Version) -> u8 {
    match version {
        Version::V1987 => tables::SETTLEMENT_DATE,
        Version::V1993 => tables::RECONCILIATION_DATE_93,
    }
}
