//! Outcomes to responses.

use gapless_engine::code::ResponseCode;
use gapless_engine::date::Date;
use gapless_engine::outcome::{Balances, Outcome};
use gapless_iso8583::{BuildError, Builder, Message};

use super::Adapter;
use super::tables::{self, ADDITIONAL_AMOUNTS, APPROVAL_CODE, RESPONSE_CODE, SETTLEMENT_DATE};

/// What an answer says beside what it echoes.
#[derive(Clone, Copy)]
struct Says {
    code: ResponseCode,
    settlement: Option<Date>,
    approval: Option<[u8; 6]>,
    amounts: Option<[u8; 40]>,
}

impl Adapter {
    /// Appends the answer to a request that the engine decided.
    ///
    /// A balance of more than twelve digits can't be said in DE 54: the answer
    /// is then 96 without any, since a cut number would be a wrong one. The
    /// code that really was answered is returned.
    ///
    /// # Errors
    /// The dialect can't say it; nothing was appended.
    pub fn respond(
        &self,
        request: &Message<'_>,
        outcome: &Outcome,
        out: &mut Vec<u8>,
    ) -> Result<ResponseCode, BuildError> {
        let mut says = Says {
            code: outcome.code,
            settlement: is_dated(request).then_some(outcome.settlement_date),
            approval: None,
            amounts: None,
        };
        if let Some(balances) = outcome.balances {
            match additional_amounts(request, balances) {
                Some(amounts) => says.amounts = Some(amounts),
                None => says.code = ResponseCode::Malfunction,
            }
        }
        // A reversal's acknowledgement approves nothing anew.
        if says.code.is_approved() && request.mti().class() == 2 {
            says.approval = outcome.approval();
        }
        self.write(request, says, out)?;
        Ok(says.code)
    }

    /// Appends an answer that no state decides: a refusal at the door, a format
    /// error (with what could be read of the message), or network management.
    /// `today` is the date that a transaction would take now; network
    /// management carries none.
    ///
    /// # Errors
    /// The dialect can't say it; nothing was appended.
    pub fn answer(
        &self,
        request: &Message<'_>,
        code: ResponseCode,
        today: Date,
        out: &mut Vec<u8>,
    ) -> Result<(), BuildError> {
        let says = Says {
            code,
            settlement: is_dated(request).then_some(today),
            approval: None,
            amounts: None,
        };
        self.write(request, says, out)
    }

    fn write(
        &self,
        request: &Message<'_>,
        says: Says,
        out: &mut Vec<u8>,
    ) -> Result<(), BuildError> {
        let class = request.mti().class();
        let echo = match class {
            4 => &self.reversal_echo,
            5 => &self.reconciliation_echo,
            8 => &self.management_echo,
            _ => &self.transaction_echo,
        };
        let mut builder = self.dialect.builder(out, request.mti().response());
        builder.echo_until(request, echo, SETTLEMENT_DATE);
        if let Some(date) = says.settlement {
            self.put_date(&mut builder, SETTLEMENT_DATE, date);
        }
        builder.echo_until(request, echo, APPROVAL_CODE);
        if let Some(approval) = says.approval {
            builder.text(APPROVAL_CODE, &approval);
        }
        self.put_code(&mut builder, says.code, class);
        builder.echo_until(request, echo, ADDITIONAL_AMOUNTS);
        if let Some(amounts) = says.amounts {
            builder.text(ADDITIONAL_AMOUNTS, &amounts);
        }
        builder.echo_rest(request, echo).finish().map(|_| ())
    }

    /// MMDD, or YYMMDD in 1993.
    pub(super) fn put_date(&self, builder: &mut Builder<'_, '_>, field: u8, date: Date) {
        let (told, mut digits) = self.told_date.get();
        if told != date {
            digits = yymmdd(date);
            self.told_date.set((date, digits));
        }
        let [_, _, mmdd @ ..] = &digits;
        match self.semantics.settlement_date_digits {
            6 => builder.text(field, &digits),
            _ => builder.text(field, mmdd),
        };
    }

    pub(super) fn put_code(&self, builder: &mut Builder<'_, '_>, code: ResponseCode, class: u8) {
        let mut digits = [0; 3];
        let [_, two @ ..] = &mut digits;
        if self.semantics.action_code_digits == 3 {
            put_digits(&mut digits, u64::from(tables::action_code(code, class)));
            builder.text(RESPONSE_CODE, &digits);
        } else {
            put_digits(two, u64::from(code.number()));
            builder.text(RESPONSE_CODE, two);
        }
    }
}

pub(super) fn yymmdd(date: Date) -> [u8; 6] {
    let (year, month, day) = date.ymd();
    let mut digits = [0; 6];
    put_digits(
        &mut digits,
        u64::from(year % 100) * 10_000 + u64::from(month) * 100 + u64::from(day),
    );
    digits
}

/// Whether its answer tells the settlement date: network management has none, and a
/// reconciliation gets its own back.
fn is_dated(request: &Message<'_>) -> bool {
    !matches!(request.mti().class(), 5 | 8)
}

/// Writes the last digits of a number, as many as there is room for; the rest
/// of the number.
pub(super) fn put_digits(room: &mut [u8], number: u64) -> u64 {
    let mut rest = number;
    for digit in room.iter_mut().rev() {
        // Below ten, so no bit is lost.
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    rest
}

/// DE 54 with the ledger balance (01) and the available balance (02) of the
/// account type in DE 3; `None` if one has more than twelve digits.
fn additional_amounts(request: &Message<'_>, balances: Balances) -> Option<[u8; 40]> {
    let processing = request.number(3).ok().flatten().unwrap_or(0);
    let account_type = processing / 100 % 100;
    let mut groups = [0; 40];
    let (ledger, available) = groups.split_at_mut(20);
    let kinds = [
        (ledger, 1, balances.ledger_minor),
        (available, 2, balances.available_minor),
    ];
    for (group, kind, minor) in kinds {
        let (head, amount) = group.split_at_mut(8);
        let (numbers, side) = head.split_at_mut(7);
        let numbered = (account_type * 100 + kind) * 1_000 + u64::from(balances.currency.0);
        if put_digits(numbers, numbered) != 0 || put_digits(amount, minor.unsigned_abs()) != 0 {
            return None;
        }
        side.fill(if minor < 0 { b'D' } else { b'C' });
    }
    Some(groups)
}
