//! A network's own totals, by settlement date and currency, and their comparison
//! with what its host says (FIELD.md, Reconciliation).

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::fields::FieldError;
use crate::message::Message;
use crate::order::Kind;

/// A count and the sum of its amounts in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// Minor units.
    pub minor: u128,
}

impl Tally {
    fn add(&mut self, minor: u64) {
        self.count += 1;
        self.minor += u128::from(minor);
    }
}

/// What one settlement date has moved in one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Refunds: DE 74 and 86.
    pub credits: Tally,
    /// Reversals of refunds: DE 75 and 87.
    pub credit_reversals: Tally,
    /// Purchases and cash: DE 76 and 88.
    pub debits: Tally,
    /// Reversals of them: DE 77 and 89.
    pub debit_reversals: Tally,
    /// Transfers: DE 78.
    pub transfers: u64,
    /// Reversals of transfers: DE 79.
    pub transfer_reversals: u64,
    /// Balance inquiries: DE 80.
    pub inquiries: u64,
}

/// Elements that carry figures, in the order in which differences are told.
const FIGURES: [u8; 12] = [74, 75, 76, 77, 78, 79, 80, 86, 87, 88, 89, 97];

impl Figures {
    /// Counts an approved item.
    pub fn count(&mut self, kind: Kind, minor: u64) {
        match kind {
            Kind::Refund => self.credits.add(minor),
            Kind::Transfer => self.transfers += 1,
            Kind::Balance | Kind::Available => self.inquiries += 1,
            _ => self.debits.add(minor),
        }
    }

    /// Counts the reversal of an item that had an effect.
    pub fn count_reversal(&mut self, kind: Kind, minor: u64) {
        match kind {
            Kind::Refund => self.credit_reversals.add(minor),
            Kind::Transfer => self.transfer_reversals += 1,
            Kind::Balance | Kind::Available => {}
            _ => self.debit_reversals.add(minor),
        }
    }

    /// DE 97: what flows to cardholders (C) or from them (D), and how much.
    fn net(&self) -> (char, u128) {
        let credit = self.credits.minor + self.debit_reversals.minor;
        let debit = self.debits.minor + self.credit_reversals.minor;
        match credit.checked_sub(debit) {
            Some(net) => ('C', net),
            None => ('D', debit - credit),
        }
    }

    /// The figure of an element, as it stands there.
    fn element(&self, de: u8) -> String {
        match de {
            74 => format!("{:010}", self.credits.count),
            75 => format!("{:010}", self.credit_reversals.count),
            76 => format!("{:010}", self.debits.count),
            77 => format!("{:010}", self.debit_reversals.count),
            78 => format!("{:010}", self.transfers),
            79 => format!("{:010}", self.transfer_reversals),
            80 => format!("{:010}", self.inquiries),
            86 => format!("{:016}", self.credits.minor),
            87 => format!("{:016}", self.credit_reversals.minor),
            88 => format!("{:016}", self.debits.minor),
            89 => format!("{:016}", self.debit_reversals.minor),
            _ => {
                let (sign, net) = self.net();
                format!("{sign}{net:016}")
            }
        }
    }

    /// Writes DE 74-80, 86-89 and 97.
    ///
    /// # Errors
    /// [`FieldError`]: a sum has more than sixteen digits.
    pub fn write(&self, message: &mut Message) -> Result<(), FieldError> {
        for de in FIGURES {
            message.set(de, &self.element(de))?;
        }
        Ok(())
    }

    /// What a message says otherwise; empty when all figures are there and the same.
    pub fn differences(&self, message: &Message) -> Vec<Difference> {
        let differs = |de: &u8| {
            let theirs = message.get(*de).unwrap_or("missing");
            let ours = self.element(*de);
            // A net of nothing has no direction.
            let same = ours == theirs || (*de == 97 && is_zero(&ours) && is_zero(theirs));
            (!same).then(|| Difference {
                de: *de,
                ours,
                theirs: theirs.to_owned(),
            })
        };
        FIGURES.iter().filter_map(differs).collect()
    }
}

fn is_zero(net: &str) -> bool {
    net.len() == 17 && net.bytes().skip(1).all(|b| b == b'0')
}

/// An element of a reconciliation that the two sides have differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The element.
    pub de: u8,
    /// The network's figure.
    pub ours: String,
    /// The host's, or `missing`.
    pub theirs: String,
}

/// The totals of all settlement dates that the network has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    days: BTreeMap<Date, BTreeMap<String, Figures>>,
}

impl Books {
    /// The figures of a date and currency (three digits, as DE 50), for counting.
    pub fn of_mut(&mut self, date: Date, currency: &str) -> &mut Figures {
        let day = self.days.entry(date).or_default();
        if !day.contains_key(currency) {
            day.insert(currency.to_owned(), Figures::default());
        }
        day.entry(currency.to_owned()).or_default()
    }

    /// The figures of a date and currency; zeros where nothing was counted.
    pub fn of(&self, date: Date, currency: &str) -> Figures {
        self.days
            .get(&date)
            .and_then(|day| day.get(currency))
            .copied()
            .unwrap_or_default()
    }

    /// Dates with figures, oldest first.
    pub fn dates(&self) -> impl Iterator<Item = Date> {
        self.days.keys().copied()
    }

    /// Currencies with figures on that date.
    pub fn currencies(&self, date: Date) -> Vec<String> {
        self.days
            .get(&date)
            .map(|day| day.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Drops dates before `first`.
    pub fn forget_before(&mut self, first: Date) {
        self.days = self.days.split_off(&first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn figures_go_to_their_elements() {
        let mut figures = Figures::default();
        // kind, amount, reversed as well
        for (kind, minor, reversed) in [
            (Kind::Purchase, 1_000, true),
            (Kind::Cash, 200, false),
            (Kind::Cashback, 30, false),
            (Kind::Refund, 400, true),
            (Kind::Refund, 5, false),
            (Kind::Transfer, 70_000, true),
            (Kind::Transfer, 1, false),
            (Kind::Balance, 0, true),
        ] {
            figures.count(kind, minor);
            if reversed {
                figures.count_reversal(kind, minor);
            }
        }
        let mut message = Message::new("0500");
        figures.write(&mut message).unwrap();
        let told: Vec<String> = message
            .fields()
            .map(|(de, v)| format!("{de}={v}"))
            .collect();
        assert_eq!(
            told,
            [
                "74=0000000002",
                "75=0000000001",
                "76=0000000003",
                "77=0000000001",
                "78=0000000002",
                "79=0000000001",
                "80=0000000001",
                "86=0000000000000405",
                "87=0000000000000400",
                "88=0000000000001230",
                "89=0000000000001000",
                "97=D0000000000000225",
            ]
        );
        assert_eq!(figures.differences(&message), []);
        message.set(76, "4").unwrap();
        message.unset(80);
        let told: Vec<(u8, String)> = figures
            .differences(&message)
            .into_iter()
            .map(|d| (d.de, d.theirs))
            .collect();
        assert_eq!(
            told,
            [(76, "0000000004".to_owned()), (80, "missing".to_owned())]
        );
    }

    #[test]
    fn a_net_of_nothing_has_no_direction() {
        let figures = Figures::default();
        let mut message = Message::new("0510");
        figures.write(&mut message).unwrap();
        message.set(97, "D0000000000000000").unwrap();
        assert_eq!(figures.differences(&message), []);
        message.set(97, "D0000000000000001").unwrap();
        assert_eq!(figures.differences(&message).len(), 1);
    }

    #[test]
    fn books_keep_dates_and_currencies_apart() {
        let mut books = Books::default();
        let (first, second) = (date(2026, 11, 30), date(2026, 12, 1));
        books.of_mut(first, "410").count(Kind::Cash, 7);
        books.of_mut(second, "410").count(Kind::Cash, 8);
        books.of_mut(second, "840").count(Kind::Cash, 9);
        assert_eq!(books.of(first, "410").debits, Tally { count: 1, minor: 7 });
        assert_eq!(books.of(first, "840"), Figures::default());
        assert_eq!(books.currencies(second), ["410", "840"]);
        let text = serde_json::to_string(&books).unwrap();
        assert_eq!(serde_json::from_str::<Books>(&text).unwrap(), books);
        books.forget_before(second);
        assert_eq!(books.dates().collect::<Vec<_>>(), [second]);
    }
}
