//! What a message should be answered, by FIELD.md, DESIGN.md and docs/connecting.md.

use std::rc::Rc;

use super::calendar;
use super::model::{
    Account, Dates, Day, Effect, Figures, Kind, Known, Legs, Model, Parts, Status, Terms,
    own_account, pair, settlement_account, sum,
};
use crate::message::Msg;
use crate::plan::LinkPlan;

/// Transactions of one card that are looked through when a STAN is lost.
pub(super) const LOOK_BACK: usize = 64;

/// An answer, as the auditor expects it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// DE 39.
    pub code: u8,
    /// Whether DE 38 is there.
    pub approval: bool,
    /// The bank's date.
    pub date: Day,
    /// DE 15; `None` where there is none.
    pub settlement: Option<Day>,
    /// DE 54: currency, ledger, available.
    pub balances: Option<(u16, i64, i64)>,
    /// The events that must be durable before it leaves.
    pub depends: u64,
    /// The event that this answer stands for: a repeat has its original's. 0 for none.
    pub of: u64,
    /// DE 66, and the bank's figures.
    pub figures: Option<(u8, Figures)>,
    /// For the summary: what this was.
    pub note: &'static str,
}

/// What a message comes to.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The answer.
    pub expected: Expected,
    /// What happens.
    pub effect: Option<Effect>,
}

/// What the core is not even asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The core decides.
    Core,
    /// A network's cutover.
    Cutover,
    /// Answered at once with this code.
    Answer(u8),
}

/// Sorts messages that need no state, by docs/connecting.md.
#[must_use]
pub fn door(message: &Msg, link: &LinkPlan) -> Door {
    let missing = |fields: &[u8]| {
        fields
            .iter()
            .any(|field| !message.fields.contains_key(field))
    };
    match message.kind() {
        800 => match message.number(70) {
            Some(1 | 2 | 301) => Door::Answer(0),
            Some(201) if link.network == 0 => Door::Answer(12),
            Some(201) => Door::Cutover,
            _ => Door::Answer(12),
        },
        200 | 220 => {
            let Some(operation) = operation(message) else {
                return Door::Answer(if missing(&[3]) { 30 } else { 12 });
            };
            let inquiry = matches!(operation, 30 | 31);
            if inquiry && message.kind() == 220 {
                return Door::Answer(12);
            }
            if missing(&[7, 11]) || (!inquiry && missing(&[4, 49])) {
                return Door::Answer(30);
            }
            let transfer = operation == 40;
            let nobody = missing(&[2]) && (!transfer || missing(&[102]));
            if nobody || (transfer && missing(&[103])) {
                return Door::Answer(30);
            }
            Door::Core
        }
        500 | 520 if link.network == 0 => Door::Answer(12),
        500 | 520 => Door::Core,
        400 | 420 => {
            if message
                .get(95)
                .get(..12)
                .is_some_and(|new| new != "000000000000")
            {
                return Door::Answer(12);
            }
            if missing(&[7, 11]) {
                return Door::Answer(30);
            }
            Door::Core
        }
        _ => Door::Answer(12),
    }
}

fn operation(message: &Msg) -> Option<u64> {
    let code = message.get(3).get(..2)?.parse().ok()?;
    matches!(code, 0 | 1 | 9 | 20 | 30 | 31 | 40).then_some(code)
}

pub(super) fn currency(message: &Msg, field: u8) -> Option<u16> {
    message.number(field).map(|code| code as u16)
}

fn rc(text: &str) -> Rc<str> {
    Rc::from(text)
}

impl Model {
    /// What a 02xx or 04xx comes to.
    #[must_use]
    pub fn judge(&self, message: &Msg, link: &LinkPlan) -> Verdict {
        let mut known = self.read(message, link);
        if let Some(place) = self.same(&known) {
            return self.again(place, &known);
        }
        let sent = (link.network != 0)
            .then(|| calendar::nearest(message.get(15), self.dates.default()))
            .flatten();
        (known.date, known.settlement) = self.dates_of(link.network, sent);
        match message.kind() {
            400 | 420 => self.judge_reversal(message, known),
            _ => self.judge_transaction(message, link, known),
        }
    }

    /// Whether a message of this network opens the next date, if it is near enough.
    #[must_use]
    pub fn would_open(&self, message: &Msg, network: u16) -> bool {
        let Dates::Open(day) = self.dates else {
            return false;
        };
        network != 0
            && matches!(message.kind(), 200 | 220 | 400 | 420)
            && message.get(15) == calendar::month_day(day + 1)
    }

    fn read(&self, message: &Msg, link: &LinkPlan) -> Known {
        let (holder, by_card) = match (message.get(2), message.get(102)) {
            ("", account) => (account, false),
            (pan, _) => (pan, true),
        };
        let kind = match message.kind() {
            200 => Kind::Request,
            220 => Kind::Advice,
            _ => Kind::Reversal,
        };
        Known {
            seq: self.seq + 1,
            date: 0,
            settlement: 0,
            kind,
            mti: message.kind(),
            network: link.network,
            holder: rc(holder),
            by_card,
            stan: message.number(11).unwrap_or(0),
            terminal: rc(message.get(41)),
            parts: Parts {
                time: message.number(7).unwrap_or(0),
                rrn: rc(message.get(37)),
                acquirer: message.number(32).unwrap_or(0),
                forwarder: message.number(33).unwrap_or(0),
            },
            terms: Terms {
                operation: operation(message).unwrap_or(0),
                amount: message.number(4).unwrap_or(0),
                currency: currency(message, 49).unwrap_or(link.default_currency),
                cashback: cashback(message),
                billing: message
                    .number(6)
                    .and_then(|minor| Some((minor, currency(message, 51)?))),
                from: rc(message.get(102)),
                to: rc(message.get(103)),
            },
            code: 0,
            legs: Rc::default(),
            balances: None,
            reversed: None,
            corrects: None,
            forgotten: false,
        }
    }

    pub(super) fn beside(
        &self,
        network: u16,
        holder: &Rc<str>,
        stan: u64,
    ) -> impl Iterator<Item = usize> {
        self.at
            .get(&(network, Rc::clone(holder), stan))
            .into_iter()
            .flatten()
            .copied()
            .filter(|place| !self.known[*place].forgotten)
    }

    /// This very message, if it is remembered.
    fn same(&self, new: &Known) -> Option<usize> {
        self.beside(new.network, &new.holder, new.stan)
            .find(|place| {
                let old = &self.known[*place];
                !matches!(old.kind, Kind::Awaited(_))
                    && old.mti == new.mti
                    && old.terminal == new.terminal
                    && old.parts.time == new.parts.time
                    && old.parts.rrn == new.parts.rrn
                    && old.parts.acquirer == new.parts.acquirer
            })
    }

    /// The first answer again; declined once reversed; 94 with other terms.
    fn again(&self, place: usize, new: &Known) -> Verdict {
        let old = &self.known[place];
        let asks = old.kind != Kind::Reversal;
        let mut expected = Expected {
            code: old.code,
            approval: asks && old.code == 0,
            date: old.date,
            settlement: Some(old.settlement),
            balances: old.balances,
            depends: old.seq.max(old.reversed.unwrap_or(0)),
            of: old.seq,
            figures: None,
            note: "repeat",
        };
        if asks && old.terms != new.terms {
            expected = Expected {
                code: 94,
                approval: false,
                date: self.dates.default(),
                settlement: Some(self.dates.default()),
                balances: None,
                depends: old.seq,
                of: 0,
                figures: None,
                note: "same key, other terms",
            };
        } else if old.code == 0 && asks && old.reversed.is_some() {
            expected.code = 5;
            expected.approval = false;
            expected.balances = None;
            expected.note = "repeat of what was reversed";
        }
        Verdict {
            expected,
            effect: None,
        }
    }

    /// Business and settlement date.
    fn dates_of(&self, network: u16, sent: Option<Day>) -> (Day, Day) {
        let default = self.dates.default();
        if network == 0 {
            return (default, default);
        }
        let current = self
            .clocks
            .get(&network)
            .copied()
            .filter(|day| (day - default).abs() <= 60);
        let mut wishes = [sent, current].into_iter().flatten();
        let business = wishes.find(|day| self.dates.takes(*day)).unwrap_or(default);
        (business, sent.or(current).unwrap_or(default))
    }

    pub(super) fn answer(&self, known: &Known, note: &'static str) -> Expected {
        Expected {
            code: known.code,
            approval: known.code == 0 && known.kind != Kind::Reversal,
            date: known.date,
            settlement: Some(known.settlement),
            balances: known.balances,
            depends: self.seq + 1,
            of: self.seq + 1,
            figures: None,
            note,
        }
    }

    fn judge_transaction(&self, message: &Msg, link: &LinkPlan, mut known: Known) -> Verdict {
        let mut note = "transaction";
        let mut exception = false;
        let mut legs = Legs::new();
        let beside = self.relatives(&known);
        if beside.awaited || self.awaited_loosely(&known) {
            known.code = 5;
            note = "original after its reversal";
        } else if beside.advised {
            known.code = 94;
            note = "request after its advice";
        } else if known.kind == Kind::Advice {
            let (posts, corrects, look) = self.accept(&known, &beside);
            known.corrects = corrects;
            exception = look;
            note = match (corrects.is_some(), look) {
                (_, true) => "advice with an exception",
                (true, false) => "advice that corrects its request",
                (false, false) => "advice",
            };
            legs = posts;
        } else {
            match self.authorise(message, link, &known) {
                Ok((posts, balances)) => {
                    legs = posts;
                    known.balances = balances;
                }
                Err(code) => known.code = code,
            }
        }
        if known.kind == Kind::Advice && self.overdrawn_by(&legs) {
            note = "advice into overdraft";
        }
        if let Some(later) = self.leans(&legs, known.date) {
            known.date = later;
            note = "debit that would lean on the next date's money";
            if known.network == 0 {
                known.settlement = later;
            }
        }
        known.legs = Rc::new(legs);
        Verdict {
            expected: self.answer(&known, note),
            effect: Some(Effect::Transaction(known, exception)),
        }
    }

    fn overdrawn_by(&self, legs: &Legs) -> bool {
        legs.iter().any(|(number, amount)| {
            let account = &self.accounts[number];
            account.customer && *amount < 0 && account.available() + i128::from(*amount) < 0
        })
    }

    /// The opening date, when a debit of the closing one would take what only
    /// arrived on the opening one.
    fn leans(&self, legs: &Legs, date: Day) -> Option<Day> {
        let two = !matches!(self.dates, Dates::Open(_));
        let closing = self.dates.closing();
        let leans = two
            && date == closing
            && legs.iter().any(|(number, amount)| {
                let account = &self.accounts[number];
                let own = account.closing(closing) + i128::from(account.overdraft);
                account.customer
                    && *amount < 0
                    && account.beyond(closing) > 0
                    && own + i128::from(*amount) < 0
            });
        leans.then_some(closing + 1)
    }

    fn relatives(&self, new: &Known) -> Beside {
        let mut beside = Beside::default();
        let advice = new.kind == Kind::Advice;
        for place in self.beside(new.network, &new.holder, new.stan) {
            let old = &self.known[place];
            let (same, differs) = new.parts.compare(&old.parts);
            if differs {
                continue;
            }
            let same_operation = old.terms.operation == new.terms.operation;
            match old.kind {
                Kind::Awaited(which) => beside.awaited |= which.is_none_or(|is| is == advice),
                Kind::Reversal => {}
                Kind::Request if advice && same => {
                    if old.code == 0 && old.reversed.is_none() && same_operation {
                        beside.request = Some(place);
                    }
                }
                Kind::Advice if same && !advice => {
                    beside.advised |= same_operation && old.reversed.is_none();
                }
                Kind::Advice if same => beside.corrected |= old.corrects.is_some(),
                Kind::Request | Kind::Advice => {}
            }
        }
        beside
    }

    /// A card's messages, newest first, as far as they are looked through.
    pub(super) fn chain(&self, pan: &str) -> impl Iterator<Item = usize> {
        self.chains
            .get(pan)
            .into_iter()
            .flatten()
            .rev()
            .copied()
            .take_while(|place| !self.known[*place].forgotten)
            .take(LOOK_BACK)
    }

    fn awaited_loosely(&self, new: &Known) -> bool {
        let advice = new.kind == Kind::Advice;
        new.by_card
            && self.chain(&new.holder).any(|place| {
                let old = &self.known[place];
                matches!(old.kind, Kind::Awaited(which) if which.is_none_or(|is| is == advice))
                    && old.stan == 0
                    && new.parts.compare(&old.parts) == (true, false)
            })
    }

    pub(super) fn card_account(&self, known: &Known) -> Option<Rc<str>> {
        let card = self.cards.get(&known.holder).filter(|_| known.by_card)?;
        Some(Rc::clone(&card.account))
    }

    pub(super) fn customer(&self, number: &Rc<str>) -> Option<&Account> {
        self.accounts.get(number).filter(|account| account.customer)
    }

    /// docs/connecting.md, in the order in which the first reason wins.
    #[allow(clippy::type_complexity)]
    fn authorise(
        &self,
        message: &Msg,
        link: &LinkPlan,
        known: &Known,
    ) -> Result<(Legs, Option<(u16, i64, i64)>), u8> {
        let terms = &known.terms;
        let inquiry = matches!(terms.operation, 30 | 31);
        let transfer = terms.operation == 40;
        if !inquiry {
            let books = match transfer {
                true => self.currencies.contains(&terms.currency),
                false => self.settles.contains(&(known.network, terms.currency)),
            };
            if !books {
                return Err(12);
            }
            if terms.amount == 0 || terms.cashback > terms.amount {
                return Err(13);
            }
        }
        let card = self.cards.get(&known.holder).filter(|_| known.by_card);
        if card.is_none() && (known.by_card || !transfer) {
            return Err(14);
        }
        if let Some(card) = card {
            match card.status {
                Status::Lost => return Err(41),
                Status::Stolen => return Err(43),
                Status::Blocked => return Err(57),
                Status::Active | Status::Closed => {}
            }
            let other = message
                .number(14)
                .is_some_and(|sent| sent != u64::from(card.expiry));
            if calendar::year_month(self.today) > card.expiry || other {
                return Err(54);
            }
        }
        let named = !terms.from.is_empty();
        if named && self.customer(&terms.from).is_none() {
            return Err(77);
        }
        let own = card.map(|card| Rc::clone(&card.account));
        let from = match (&own, transfer && named) {
            (Some(own), false) => Rc::clone(own),
            (_, true) => Rc::clone(&terms.from),
            (None, false) => return Err(77),
        };
        let payer = &self.accounts[&from];
        if payer.status == Status::Closed {
            return Err(if transfer { 77 } else { 78 });
        }
        let payee = transfer
            .then(|| {
                self.customer(&terms.to)
                    .filter(|account| terms.to != from && account.status != Status::Closed)
                    .ok_or(76)
            })
            .transpose()?;
        let foreign = named && own.is_some_and(|own| own != terms.from);
        let blocked = |account: &Account| account.status == Status::Blocked;
        if foreign || blocked(payer) || payee.is_some_and(blocked) {
            return Err(57);
        }
        if inquiry {
            self.link_rules(link, known)?;
            let (ledger, available) = (payer.ledger() as i64, payer.available() as i64);
            return Ok((Legs::new(), Some((payer.currency, ledger, available))));
        }
        let legs = match payee {
            Some(payee) if payer.currency == payee.currency && payer.currency == terms.currency => {
                pair(&from, &terms.to, terms.amount as i64)
            }
            Some(_) => return Err(12),
            None => self.with_network(known, &from).ok_or(12)?,
        };
        self.link_rules(link, known)?;
        let takes = legs.get(&from).copied().unwrap_or(0);
        if takes < 0 && payer.available() + i128::from(takes) < 0 {
            return Err(51);
        }
        Ok((legs, None))
    }

    fn link_rules(&self, link: &LinkPlan, known: &Known) -> Result<(), u8> {
        let terms = &known.terms;
        if !link.allow.contains(&terms.operation) || (!known.by_card && !link.cardless) {
            return Err(57);
        }
        let limit = link.max_amount.get(&terms.currency);
        let inquiry = matches!(terms.operation, 30 | 31);
        match limit {
            Some(limit) if terms.amount > *limit && !inquiry => Err(61),
            _ => Ok(()),
        }
    }

    /// Postings between a customer and a network, in DE 49's currency or in DE 51's.
    fn with_network(&self, known: &Known, account: &Rc<str>) -> Option<Legs> {
        let terms = &known.terms;
        let theirs = settlement_account(known.network, terms.currency);
        self.accounts.get(&theirs)?;
        let sign = |minor: u64| match terms.operation {
            20 => -(minor as i64),
            _ => minor as i64,
        };
        let currency = self.accounts[account].currency;
        if currency == terms.currency {
            return Some(pair(account, &theirs, sign(terms.amount)));
        }
        let (minor, _) = terms
            .billing
            .filter(|(minor, of)| *of == currency && *minor > 0)?;
        let (out, into) = (
            own_account("POSITION", terms.currency),
            own_account("POSITION", currency),
        );
        let (home, abroad) = (sign(minor), sign(terms.amount));
        Some(sum([
            (account, -home),
            (&into, home),
            (&out, -abroad),
            (&theirs, abroad),
        ]))
    }

    /// An advice is accepted: what it still posts, what it corrects, and whether
    /// somebody should look.
    fn accept(&self, known: &Known, beside: &Beside) -> (Legs, Option<usize>, bool) {
        if beside.request.is_some() && beside.corrected {
            return (Legs::new(), None, true);
        }
        let terms = &known.terms;
        let before = beside
            .request
            .map_or_else(Rc::default, |place| Rc::clone(&self.known[place].legs));
        let network = known.network;
        let transfer = terms.operation == 40;
        let books = self.currencies.contains(&terms.currency)
            && (transfer || self.settles.contains(&(network, terms.currency)));
        if !books {
            return (Legs::new(), None, true);
        }
        let suspense = own_account("SUSPENSE", terms.currency);
        let (wanted, look) = if transfer {
            self.advised_transfer(known, &before, &suspense)
        } else {
            self.advised(known, &before, &suspense)
        };
        let undone = before.iter().map(|(account, amount)| (account, -amount));
        let legs = sum(wanted
            .iter()
            .map(|(account, amount)| (account, *amount))
            .chain(undone));
        (legs, beside.request, look)
    }

    fn advised(&self, known: &Known, before: &Legs, suspense: &Rc<str>) -> (Legs, bool) {
        let posted = before.keys().find(|number| self.customer(number).is_some());
        let account = posted.cloned().or_else(|| self.card_account(known));
        let open = account.filter(|number| self.accounts[number].status != Status::Closed);
        if let Some(account) = open {
            if known.terms.amount == 0 {
                return (Legs::new(), false);
            }
            if let Some(legs) = self.with_network(known, &account) {
                return (legs, false);
            }
        }
        let amount = match known.terms.operation {
            20 => -(known.terms.amount as i64),
            _ => known.terms.amount as i64,
        };
        let theirs = settlement_account(known.network, known.terms.currency);
        (pair(suspense, &theirs, amount), true)
    }

    fn advised_transfer(&self, known: &Known, before: &Legs, suspense: &Rc<str>) -> (Legs, bool) {
        let terms = &known.terms;
        let fits = |number: &Rc<str>| {
            self.accounts.get(number).is_some_and(|account| {
                account.currency == terms.currency && account.status != Status::Closed
            })
        };
        let side = |debit: bool, name: &Rc<str>, own: Option<Rc<str>>| {
            let posted = before
                .iter()
                .find(|(_, amount)| (**amount < 0) == debit)
                .map(|(account, _)| Rc::clone(account));
            let named = match name.is_empty() {
                true => own,
                false => self.customer(name).map(|_| Rc::clone(name)),
            };
            posted.or(named).filter(fits)
        };
        let from = side(true, &terms.from, self.card_account(known));
        let to = side(false, &terms.to, None);
        let look = from.is_none() || to.is_none();
        let (from, to) = (
            from.unwrap_or_else(|| Rc::clone(suspense)),
            to.unwrap_or_else(|| Rc::clone(suspense)),
        );
        (pair(&from, &to, terms.amount as i64), look)
    }
}

/// What is remembered beside a new message.
#[derive(Default)]
struct Beside {
    awaited: bool,
    request: Option<usize>,
    corrected: bool,
    advised: bool,
}

/// DE 54's group of type 40.
fn cashback(message: &Msg) -> u64 {
    message
        .get(54)
        .as_bytes()
        .chunks(20)
        .filter(|group| group.get(2..4) == Some(b"40"))
        .filter_map(|group| std::str::from_utf8(group.get(8..20)?).ok()?.parse().ok())
        .next()
        .unwrap_or(0)
}
