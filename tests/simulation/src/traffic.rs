//! What peers send: terminals and networks, with everything that goes wrong in the
//! field between two of their messages.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use gapless::adapter::{Adapter, Intake, Rules};
use gapless_engine::command::Request;
use gapless_engine::ids::Currency;
use gapless_iso8583::{Dialect, Scratch};

use crate::auditor::calendar::{month_day, transmission};
use crate::auditor::model::Day;
use crate::message::{Form, Msg};
use crate::plan::{LinkPlan, Plan, pan};
use crate::rng::Rng;

/// Messages that are looked back at for repeats and reversals.
const HISTORY: usize = 400;

/// A message that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// As first sent.
    pub message: Msg,
    /// By which link.
    pub link: usize,
    /// DE 39 of the first answer that came.
    pub answered: Option<u8>,
    /// How often it was sent.
    pub tries: u32,
    /// A 02xx of its own, not a reversal or management.
    pub original: bool,
}

/// What is sent next.
#[derive(Debug)]
pub enum Next {
    /// Something new.
    New(Msg),
    /// A former one again.
    Again(usize),
    /// Something new that cannot be right.
    Spoiled(Msg),
    /// Something new, whose reversal goes first.
    Reversed(Msg, Msg),
}

/// References (DE 37) that a run has.
const REFERENCES: usize = 12_000;

/// The n-th reference. The product keeps sixteen bits of each, and where a reversal has
/// lost all else two of them may meet: these do not, so that the auditor may compare
/// them whole.
fn reference(number: u64) -> String {
    static ALL: OnceLock<Vec<u64>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let dialect = Dialect::builtin("iso87-ascii").unwrap();
        let rules = Rules::own_terminals(Currency(410));
        let adapter = Adapter::new(crate::node::keys(), dialect, rules);
        let form = Form::builtin(0);
        let mut scratch = Scratch::new();
        let mut seen = BTreeSet::new();
        let told_apart = |number: &u64| {
            let message = Msg::new(400)
                .with(7, "0101000000")
                .with(11, "000001")
                .with(37, format!("{number:012}"));
            let mut bytes = Vec::new();
            form.write(&message, &mut bytes);
            let message = adapter.dialect().decode(&bytes[2..]).unwrap();
            match adapter.intake(&message, &mut scratch) {
                Intake::Engine(Request::Reversal(reversal)) => seen.insert(reversal.identity.rrn),
                _ => false,
            }
        };
        (100_000..).filter(told_apart).take(REFERENCES).collect()
    });
    format!("{:012}", all[number as usize % REFERENCES])
}

/// Makes messages. Same stream, same messages.
#[derive(Debug)]
pub struct Traffic {
    rng: Rng,
    numbers: u64,
}

impl Traffic {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed, 2),
            numbers: 0,
        }
    }

    /// What a link sends next. `day` is its network's settlement date.
    pub fn next(&mut self, plan: &Plan, link: usize, now_us: u64, day: Day, sent: &[Sent]) -> Next {
        let from = sent.len().saturating_sub(HISTORY);
        let network = plan.links[link].network;
        let mine: Vec<usize> = (from..sent.len())
            .filter(|at| sent[*at].original && plan.links[sent[*at].link].network == network)
            .collect();
        let weights = if mine.is_empty() {
            [60, 0, 0, 6, 0, 0, 0, 2]
        } else {
            [60, 8, 12, 6, 6, 3, 3, 2]
        };
        let links = &plan.links[link];
        let choice = self.rng.weighted(&weights);
        if choice == 0 || mine.is_empty() && choice != 3 {
            return Next::New(self.transaction(plan, links, now_us, day, false));
        }
        match choice {
            1 => Next::Again(*self.rng.pick(&mine)),
            2 => {
                let old = &sent[*self.rng.pick(&mine)].message;
                Next::New(self.reversal(plan, links, old, now_us, day))
            }
            3 => {
                let later = self.transaction(plan, links, now_us, day, false);
                let reversal = self.reversal(plan, links, &later, now_us, day);
                Next::Reversed(later, reversal)
            }
            4 => {
                // The other class of the same transaction.
                let mut other = sent[*self.rng.pick(&mine)].message.clone();
                other.mti = if other.mti == 200 { 220 } else { 200 };
                if self.rng.percent(40) {
                    other = self.other_amount(other);
                }
                Next::New(other)
            }
            5 => {
                let old = sent[*self.rng.pick(&mine)].message.clone();
                Next::New(self.other_amount(old))
            }
            6 => {
                // A STAN that was used before by the same card.
                let old = &sent[*self.rng.pick(&mine)].message;
                let mut new = self.transaction(plan, links, now_us, day, false);
                for field in [2, 11, 102] {
                    if let Some(value) = old.fields.get(&field)
                        && new.fields.contains_key(&field)
                    {
                        new.fields.insert(field, value.clone());
                    }
                }
                Next::New(new)
            }
            _ => {
                let good = self.transaction(plan, links, now_us, day, false);
                Next::Spoiled(self.spoiled(good))
            }
        }
    }

    fn other_amount(&mut self, message: Msg) -> Msg {
        let amount = message.number(4).unwrap_or(0) + 1 + self.rng.below(500);
        match message.fields.contains_key(&4) {
            true => message.with(4, format!("{amount:012}")),
            false => message,
        }
    }

    fn spoiled(&mut self, message: Msg) -> Msg {
        match self.rng.below(6) {
            0 => message.without(49),
            1 => message.without(11).without(7),
            2 => message.without(3),
            3 => message.with(3, "990000"),
            4 => message.without(2).without(102),
            _ => Msg {
                mti: 300,
                ..message
            },
        }
    }

    /// An advice, or a request, of a transaction that is new. What a network answers
    /// itself while it cannot reach the bank is an advice.
    pub fn transaction(
        &mut self,
        plan: &Plan,
        link: &LinkPlan,
        now_us: u64,
        day: Day,
        stand_in: bool,
    ) -> Msg {
        self.numbers += 1;
        let number = self.numbers;
        let rng = &mut self.rng;
        let advice = stand_in || rng.percent(15);
        let operation = match advice {
            true => *rng.pick(&[0, 0, 0, 1, 20, 40]),
            false => *rng.pick(&[0, 0, 0, 0, 1, 1, 9, 20, 20, 30, 31, 40, 40, 40]),
        };
        let card = rng.below(plan.cards.len() as u64) as usize;
        let currency = match rng.below(12) {
            0 => *rng.pick(&[840, 414, 392]),
            _ => 410,
        };
        let amount = match rng.below(20) {
            0 => 0,
            1 => 1 + rng.below(200_000),
            _ => 1 + rng.below(12_000),
        };
        let mut message = Msg::new(if advice { 220 } else { 200 })
            .with(3, format!("{operation:02}0000"))
            .with(7, transmission(now_us))
            .with(11, format!("{:06}", number % 999_983 + 1))
            .with(41, format!("TERM{:04}", rng.below(20)))
            .with(42, "MERCHANT0000001");
        if !matches!(operation, 30 | 31) || rng.percent(50) {
            message = message
                .with(4, format!("{amount:012}"))
                .with(49, format!("{currency:03}"));
        }
        if !rng.percent(8) {
            message = message.with(37, reference(number));
        }
        if rng.percent(70) {
            message = message.with(32, (*rng.pick(&["123", "4567", "89"])).to_owned());
        }
        if rng.percent(10) {
            message = message.with(33, "777");
        }
        message = self.accounts(plan, message, operation, card);
        message = self.extras(message, operation, amount, currency, card, plan);
        self.dated(plan, link, day, message)
    }

    fn accounts(&mut self, plan: &Plan, message: Msg, operation: u64, card: usize) -> Msg {
        let rng = &mut self.rng;
        let account = |rng: &mut Rng| match rng.below(15) {
            0 => "4711".to_owned(),
            1 => "GL-SUSPENSE-410".to_owned(),
            _ => rng.pick(&plan.accounts).number.clone(),
        };
        let known = match rng.percent(3) {
            true => pan(5_000 + rng.below(5)),
            false => plan.cards[card].pan.clone(),
        };
        if operation != 40 {
            let named = rng.percent(5);
            let message = message.with(2, known);
            return match named {
                true => message.with(102, account(rng)),
                false => message,
            };
        }
        let message = match rng.below(3) {
            0 => message.with(102, account(rng)),
            1 => message.with(2, known),
            _ => message
                .with(2, known)
                .with(102, plan.cards[card].account.clone()),
        };
        message.with(103, account(rng))
    }

    fn extras(
        &mut self,
        mut message: Msg,
        operation: u64,
        amount: u64,
        currency: u16,
        card: usize,
        plan: &Plan,
    ) -> Msg {
        let rng = &mut self.rng;
        if rng.percent(10) && message.fields.contains_key(&2) {
            let expiry = match rng.percent(80) {
                true => plan.cards[card].expiry,
                false => 2_911,
            };
            message = message.with(14, format!("{expiry:04}"));
        }
        if operation == 9 {
            let cash = match rng.percent(90) {
                true => amount / 2,
                false => amount + 1,
            };
            message = message.with(54, format!("0040{currency:03}D{cash:012}"));
        }
        let home = plan
            .accounts
            .iter()
            .find(|account| account.number == plan.cards[card].account)
            .map_or(410, |account| account.currency);
        if home != currency && operation != 40 && rng.percent(70) {
            let billed = 1 + amount * 2;
            message = message
                .with(6, format!("{billed:012}"))
                .with(51, format!("{home:03}"));
        }
        message
    }

    /// DE 15, as the network has it, or as it should not be.
    fn dated(&mut self, plan: &Plan, link: &LinkPlan, day: Day, message: Msg) -> Msg {
        let rng = &mut self.rng;
        let often = plan
            .network(link.network)
            .map_or(5, |network| network.dated);
        if !rng.percent(often) {
            return message;
        }
        let date = match rng.below(40) {
            0 => "0231".to_owned(),
            1 => month_day(day + 1),
            2 => month_day(day - 1),
            3 => month_day(day - rng.below(5) as Day),
            4 => month_day(day + 150),
            _ => month_day(day),
        };
        message.with(15, date)
    }

    /// A reversal of a message, with as much of it as the sender still has.
    pub fn reversal(
        &mut self,
        plan: &Plan,
        link: &LinkPlan,
        old: &Msg,
        now_us: u64,
        day: Day,
    ) -> Msg {
        self.numbers += 1;
        let number = self.numbers;
        let rng = &mut self.rng;
        let mut message = Msg::new(if rng.percent(50) { 400 } else { 420 });
        for field in [2, 32, 33, 37, 41, 42, 102] {
            if let Some(value) = old.fields.get(&field) {
                message = message.with(field, value.clone());
            }
        }
        if !old.get(2).is_empty() {
            message = message.without(102);
        }
        if rng.percent(3) {
            message = message.without(2).without(102);
        }
        if let (Some(amount), true) = (old.number(4), rng.percent(80)) {
            let amount = match rng.percent(3) {
                true => amount + 1,
                false => amount,
            };
            message = message
                .with(4, format!("{amount:012}"))
                .with(49, old.get(49).to_owned());
        }
        if rng.percent(2) {
            let part = format!("{:012}{:030}", 1 + rng.below(500), 0);
            message = message.with(95, part);
        }
        let message = if rng.percent(15) {
            message
                .with(7, old.get(7).to_owned())
                .with(11, old.get(11).to_owned())
        } else {
            let lost = |rng: &mut Rng, percent: u64, part: String| match rng.percent(percent) {
                true => "0".repeat(part.len()),
                false => part,
            };
            let mti = lost(rng, 10, format!("{:04}", old.mti));
            let stan = lost(rng, 12, old.get(11).to_owned());
            let time = match rng.percent(4) {
                // Half of it fits.
                true => "0101010101".to_owned(),
                false => lost(rng, 12, old.get(7).to_owned()),
            };
            let acquirer = lost(rng, 20, format!("{:0>11}", old.get(32)));
            let forwarder = lost(rng, 20, format!("{:0>11}", old.get(33)));
            message
                .with(7, transmission(now_us))
                .with(11, format!("{:06}", number % 999_983 + 1))
                .with(90, format!("{mti}{stan}{time}{acquirer}{forwarder}"))
        };
        self.dated(plan, link, day, message)
    }

    /// A number for a message of management.
    pub fn management(&mut self, code: u16, now_us: u64) -> Msg {
        self.numbers += 1;
        Msg::new(800)
            .with(7, transmission(now_us))
            .with(11, format!("{:06}", self.numbers % 999_983 + 1))
            .with(70, format!("{code:03}"))
    }
}
