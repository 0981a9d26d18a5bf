//! What a terminal is asked to do, before it is a message: the command line and
//! scenario files both end here.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::card::Card;
use crate::currency::Currency;
use crate::fields::FieldError;
use crate::message::Message;
use crate::terminal::{Network, Till};

/// A transaction or network function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// 00
    Purchase,
    /// 01
    Cash,
    /// 09
    Cashback,
    /// 20
    Refund,
    /// 31, ledger and available
    Balance,
    /// 30, available
    Available,
    /// 40
    Transfer,
    /// 0800, DE 70 = 301
    Echo,
    /// 0800, DE 70 = 001
    SignOn,
    /// 0800, DE 70 = 002
    SignOff,
}

/// A transaction with what it needs; which parts it needs depends on the kind.
#[derive(Clone, Debug)]
pub struct Order {
    /// What to do.
    pub kind: Kind,
    /// Send it as an advice (0220): already done, to be force-posted.
    pub advice: bool,
    /// With which card; network functions need none.
    pub card: Option<Card>,
    /// Minor units; the total for a cashback; balance inquiries need none.
    pub amount_minor: Option<u64>,
    /// The cash part of a cashback.
    pub cashback_minor: Option<u64>,
    /// DE 102; the card's own account if it is known and this is not given.
    pub from: Option<String>,
    /// DE 103.
    pub to: Option<String>,
    /// Instead of the terminal's own.
    pub currency: Option<Currency>,
}

/// An order that cannot be made a message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OrderError {
    /// Something that this kind needs was not given.
    #[error("{0} is needed")]
    Missing(&'static str),
    /// A value does not fit.
    #[error(transparent)]
    Field(#[from] FieldError),
}

impl Order {
    /// An order of that kind with nothing else set.
    pub fn new(kind: Kind) -> Order {
        Order {
            kind,
            advice: false,
            card: None,
            amount_minor: None,
            cashback_minor: None,
            from: None,
            to: None,
            currency: None,
        }
    }

    /// The order as this till's next message.
    ///
    /// # Errors
    /// [`OrderError`].
    pub fn message(&self, till: &mut Till) -> Result<Message, OrderError> {
        match self.kind {
            Kind::Echo => return Ok(till.network(Network::Echo)?),
            Kind::SignOn => return Ok(till.network(Network::SignOn)?),
            Kind::SignOff => return Ok(till.network(Network::SignOff)?),
            _ => {}
        }
        let own = till.profile.currency.clone();
        if let Some(currency) = &self.currency {
            till.profile.currency = currency.clone();
        }
        let built = self.financial(till);
        till.profile.currency = own;
        let mut message = built?;
        if self.advice {
            message.set_mti("0220");
        }
        Ok(message)
    }

    fn financial(&self, till: &mut Till) -> Result<Message, OrderError> {
        let card = self.card.as_ref().ok_or(OrderError::Missing("a card"))?;
        let amount = || self.amount_minor.ok_or(OrderError::Missing("an amount"));
        Ok(match self.kind {
            Kind::Cash => till.cash(card, amount()?)?,
            Kind::Cashback => {
                let part = self
                    .cashback_minor
                    .ok_or(OrderError::Missing("a cashback part"))?;
                till.cashback(card, amount()?, part)?
            }
            Kind::Refund => till.refund(card, amount()?)?,
            Kind::Balance => till.balance(card, false)?,
            Kind::Available => till.balance(card, true)?,
            Kind::Transfer => {
                let from = self.from.as_ref().or(card.account.as_ref());
                let from = from.ok_or(OrderError::Missing("the account to transfer from"))?;
                let to = self.to.as_ref();
                let to = to.ok_or(OrderError::Missing("the account to transfer to"))?;
                till.transfer(card, amount()?, from, to)?
            }
            _ => till.purchase(card, amount()?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::DemoCard;
    use crate::terminal::Profile;

    fn order(kind: Kind) -> Order {
        Order {
            card: Some(DemoCard::regular(17).unwrap()),
            amount_minor: Some(5),
            ..Order::new(kind)
        }
    }

    #[test]
    fn each_kind_asks_for_what_it_needs() {
        let mut till = Till::new(Profile::default());
        let missing = [
            (Order::new(Kind::Purchase), "a card"),
            (
                Order {
                    amount_minor: None,
                    ..order(Kind::Purchase)
                },
                "an amount",
            ),
            (order(Kind::Cashback), "a cashback part"),
            (order(Kind::Transfer), "the account to transfer to"),
        ];
        for (order, what) in missing {
            assert_eq!(order.message(&mut till), Err(OrderError::Missing(what)));
        }
        assert!(Order::new(Kind::Echo).message(&mut till).is_ok());
    }

    #[test]
    fn currency_and_advice_are_the_orders_own() {
        let mut till = Till::new(Profile::default());
        let usd = Order {
            currency: Currency::parse("USD"),
            advice: true,
            ..order(Kind::Cash)
        };
        let message = usd.message(&mut till).unwrap();
        assert_eq!((message.mti(), message.get(49)), ("0220", Some("840")));
        let next = order(Kind::Cash).message(&mut till).unwrap();
        assert_eq!((next.mti(), next.get(49)), ("0200", Some("410")));
    }

    #[test]
    fn a_transfer_starts_at_the_cards_account_unless_told() {
        let mut till = Till::new(Profile::default());
        let to = Order {
            to: Some("1000000018".to_owned()),
            ..order(Kind::Transfer)
        };
        assert_eq!(to.message(&mut till).unwrap().get(102), Some("1000000017"));
        let other = Order {
            from: Some("1000000001".to_owned()),
            ..to
        };
        assert_eq!(
            other.message(&mut till).unwrap().get(102),
            Some("1000000001")
        );
    }
}
