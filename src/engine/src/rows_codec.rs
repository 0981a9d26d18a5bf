//! Encoding of rows in events (see `codec`): accounts and cards that were opened or changed.

use crate::account::Role;
use crate::bytes::{Put, Reader};
use crate::codec::{EventError, Out, put_legs, read_bool, read_currency, read_legs};
use crate::command::{AccountStatus, CardStatus};
use crate::date::Date;
use crate::event::{AccountPut, CardPut, InternalAccount, InternalOpened};
use crate::ids::{AccountIx, AccountNumber, CardIx, Expiry, PanHash};

pub(crate) fn put_internal(to: &mut Out, opened: &InternalOpened) {
    to.put(&opened.currency.0.to_le_bytes());
    to.put(&[opened.accounts.iter().flatten().count() as u8]);
    for account in opened.accounts.iter().flatten() {
        to.put(&account.ix.0.to_le_bytes());
        to.put(&account.role.to_bytes());
        to.put(account.number.as_bytes());
    }
}

pub(crate) fn read_internal(from: &mut Reader<'_>) -> Result<InternalOpened, EventError> {
    let currency = read_currency(from)?;
    let count = from.u8()?;
    if count > 4 {
        return Err(EventError::Field("count of internal accounts"));
    }
    let mut accounts = [None; 4];
    for account in accounts.iter_mut().take(usize::from(count)) {
        *account = Some(InternalAccount {
            ix: AccountIx(from.u32()?),
            role: Role::from_bytes(from.array()?)
                .filter(|role| *role != Role::Customer)
                .ok_or(EventError::Field("role"))?,
            number: read_number(from)?,
        });
    }
    Ok(InternalOpened { currency, accounts })
}

pub(crate) fn put_account(to: &mut Out, account: &AccountPut) {
    to.put(&account.ix.0.to_le_bytes());
    to.put(&[u8::from(account.opened), account.status as u8]);
    to.put(account.number.as_bytes());
    to.put(&account.currency.0.to_le_bytes());
    to.put(&account.overdraft_minor.to_le_bytes());
    to.put(&account.business_date.0.to_le_bytes());
    put_legs(to, &account.legs);
}

pub(crate) fn read_account(from: &mut Reader<'_>) -> Result<AccountPut, EventError> {
    Ok(AccountPut {
        ix: AccountIx(from.u32()?),
        opened: read_bool(from)?,
        status: match from.u8()? {
            0 => AccountStatus::Active,
            1 => AccountStatus::Blocked,
            2 => AccountStatus::Closed,
            _ => return Err(EventError::Field("account status")),
        },
        number: read_number(from)?,
        currency: read_currency(from)?,
        overdraft_minor: Some(from.i64()?)
            .filter(|overdraft| *overdraft >= 0)
            .ok_or(EventError::Field("overdraft"))?,
        business_date: Date(from.u16()?),
        legs: read_legs(from)?,
    })
}

pub(crate) fn put_card(to: &mut Out, card: &CardPut) {
    to.put(&card.ix.0.to_le_bytes());
    to.put(&[u8::from(card.opened), card.status as u8]);
    to.put(&card.pan.0.to_le_bytes());
    to.put(&card.bin.to_le_bytes());
    to.put(&card.last4.to_le_bytes());
    to.put(&card.expiry.yymm().to_le_bytes());
    to.put(&card.account.0.to_le_bytes());
}

pub(crate) fn read_card(from: &mut Reader<'_>) -> Result<CardPut, EventError> {
    Ok(CardPut {
        ix: CardIx(from.u32()?),
        opened: read_bool(from)?,
        status: match from.u8()? {
            0 => CardStatus::Active,
            1 => CardStatus::Lost,
            2 => CardStatus::Stolen,
            3 => CardStatus::Blocked,
            _ => return Err(EventError::Field("card status")),
        },
        pan: PanHash(from.u128()?),
        bin: Some(from.u32()?)
            .filter(|bin| *bin <= 999_999)
            .ok_or(EventError::Field("BIN"))?,
        last4: Some(from.u16()?)
            .filter(|last4| *last4 <= 9999)
            .ok_or(EventError::Field("last four digits"))?,
        expiry: Expiry::from_yymm(from.u16()?).ok_or(EventError::Field("expiry"))?,
        account: AccountIx(from.u32()?),
    })
}

fn read_number(from: &mut Reader<'_>) -> Result<AccountNumber, EventError> {
    AccountNumber::from_stored(from.array()?).ok_or(EventError::Field("account number"))
}
