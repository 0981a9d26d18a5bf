//! Builds a network's messages, each with the settlement date that it belongs to.

use jiff::civil::Date;

use super::book::Figures;
use super::profile::{Profile, Reconciliation};
use crate::fields::FieldError;
use crate::message::Message;
use crate::order::{Order, OrderError};
use crate::terminal::{Network, Profile as TillProfile, Till};

/// Terminals that a network's traffic comes from.
const TERMINALS: u64 = 64;
/// Elements of a message that its answer returns.
const RETURNED: [u8; 6] = [7, 11, 15, 32, 50, 70];

/// A network's message writer.
#[derive(Debug)]
pub(crate) struct Clerk {
    till: Till,
    prefix: char,
    reconciliation: Reconciliation,
}

impl Clerk {
    pub fn new(profile: &Profile) -> Clerk {
        let prefix = profile
            .name
            .chars()
            .next()
            .unwrap_or('n')
            .to_ascii_uppercase();
        let mut of_terminal = TillProfile::of_terminal(&terminal(prefix, 0));
        of_terminal.acquirer = Some(profile.acquirer.clone());
        Clerk {
            till: Till::new(of_terminal),
            prefix,
            reconciliation: profile.reconciliation,
        }
    }

    /// A transaction (0200, 0220) of some terminal; `chance` says which.
    pub fn transaction(
        &mut self,
        order: &Order,
        date: Date,
        chance: u64,
    ) -> Result<Message, OrderError> {
        self.till.profile.terminal = terminal(self.prefix, chance % TERMINALS);
        let mut message = order.message(&mut self.till)?;
        message.set(15, &mmdd(date))?;
        Ok(message)
    }

    /// A reversal (0400), or a reversal advice (0420).
    pub fn reversal(
        &mut self,
        original: &Message,
        approval: Option<&str>,
        date: Date,
        advice: bool,
    ) -> Result<Message, FieldError> {
        let mut message = self.till.reversal(original, approval, None)?;
        message.set(15, &mmdd(date))?;
        if advice {
            message.set_mti("0420");
        }
        Ok(message)
    }

    pub fn management(&mut self, function: Network) -> Result<Message, FieldError> {
        let mut message = self.till.network(function)?;
        if let Some(acquirer) = self.till.profile.acquirer.clone() {
            message.set(32, &acquirer)?;
        }
        message.unset(41);
        Ok(message)
    }

    /// A cutover that names this date in DE 15.
    pub fn cutover(&mut self, named: Date) -> Result<Message, FieldError> {
        let mut message = self.management(Network::Cutover)?;
        message.set(15, &mmdd(named))?;
        Ok(message)
    }

    /// A settlement date's totals (0500, or 0520 where the profile says so).
    pub fn totals(
        &mut self,
        date: Date,
        currency: &str,
        figures: &Figures,
    ) -> Result<Message, FieldError> {
        let mut message = self.management(Network::Echo)?;
        message.set_mti(match self.reconciliation {
            Reconciliation::Request => "0500",
            Reconciliation::Advice => "0520",
        });
        message
            .unset(12)
            .unset(13)
            .unset(70)
            .set(15, &mmdd(date))?
            .set(50, currency)?;
        figures.write(&mut message)?;
        Ok(message)
    }
}

/// The answer to a message of the host's, for the caller to fill.
pub(crate) fn answer(request: &Message, code: &str) -> Result<Message, FieldError> {
    let mut answer = Message::new(&request.answer_mti());
    for de in RETURNED {
        if let Some(value) = request.get(de) {
            answer.set(de, value)?;
        }
    }
    answer.set(39, code)?;
    Ok(answer)
}

fn terminal(prefix: char, number: u64) -> String {
    format!("{prefix}{number:07}")
}

/// A date as DE 15 has it.
pub(crate) fn mmdd(date: Date) -> String {
    format!("{:02}{:02}", date.month(), date.day())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::DemoCard;
    use crate::order::Kind;
    use jiff::civil::date;

    fn shown(message: &Message, elements: &[u8]) -> String {
        let values: Vec<String> = elements
            .iter()
            .map(|de| format!("{de}={}", message.get(*de).unwrap_or("-").trim()))
            .collect();
        format!("{} {}", message.mti(), values.join(" "))
    }

    #[test]
    fn messages_carry_what_a_network_says() {
        let mut clerk = Clerk::new(&Profile::named("west").unwrap());
        let day = date(2028, 2, 29);
        let order = Order {
            card: Some(DemoCard::regular(17).unwrap()),
            amount_minor: Some(700),
            ..Order::new(Kind::Cash)
        };
        let cash = clerk.transaction(&order, day, 65).unwrap();
        assert_eq!(
            shown(&cash, &[3, 4, 15, 32, 41, 49]),
            "0200 3=010000 4=000000000700 15=0229 32=410200 41=W0000001 49=410"
        );
        for de in [7, 11, 12, 13, 37] {
            assert!(cash.get(de).is_some(), "DE {de}");
        }
        let next = day.tomorrow().unwrap();
        let reversal = clerk.reversal(&cash, Some("A1"), next, true).unwrap();
        assert_eq!(
            shown(&reversal, &[4, 15, 32, 38, 41]),
            "0420 4=000000000700 15=0301 32=410200 38=A1 41=W0000001"
        );
        assert!(reversal.get(90).unwrap().starts_with("0200"));
        let cutover = clerk.cutover(day).unwrap();
        assert_eq!(shown(&cutover, &[15, 70]), "0800 15=0229 70=201");
        let totals = clerk.totals(day, "410", &Figures::default()).unwrap();
        assert_eq!(
            shown(&totals, &[12, 15, 41, 50, 66, 70, 80]),
            "0520 12=- 15=0229 41=- 50=410 66=- 70=- 80=0000000000"
        );
        assert_eq!(
            shown(&answer(&totals, "00").unwrap(), &[15, 39, 50, 74]),
            "0530 15=0229 39=00 50=410 74=-"
        );
    }
}
