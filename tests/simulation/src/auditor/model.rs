//! The auditor's books: plain maps, kept by rules of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Days since 1970-01-01.
pub type Day = i32;
/// Minor units.
pub type Money = i128;
/// Account and what it gained.
pub type Legs = BTreeMap<Rc<str>, i64>;

/// Seals after which answers and originals are forgotten (DESIGN.md, "What is remembered").
const FORGOTTEN_AFTER: Day = 4;

/// The open dates; the day is the one that closes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dates {
    /// One date is open.
    Open(Day),
    /// A network was ahead of the bank.
    Early(Day),
    /// The bank has cut over; late items still post.
    Grace(Day),
    /// Batch entries only.
    Frozen(Day),
}

impl Dates {
    /// The date that closes next.
    #[must_use]
    pub const fn closing(self) -> Day {
        match self {
            Self::Open(day) | Self::Early(day) | Self::Grace(day) | Self::Frozen(day) => day,
        }
    }

    /// The date of an item that names none.
    #[must_use]
    pub const fn default(self) -> Day {
        match self {
            Self::Open(day) | Self::Early(day) => day,
            Self::Grace(day) | Self::Frozen(day) => day + 1,
        }
    }

    /// Whether customers' items may have this date.
    #[must_use]
    pub fn takes(self, day: Day) -> bool {
        match self {
            Self::Open(open) => day == open,
            Self::Early(closing) | Self::Grace(closing) => day == closing || day == closing + 1,
            Self::Frozen(closing) => day == closing + 1,
        }
    }

    /// In a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::Early(_) => "early",
            Self::Grace(_) => "grace",
            Self::Frozen(_) => "frozen",
        }
    }
}

/// A customer's status of account, or a card's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// In use.
    Active,
    /// Accounts and cards.
    Blocked,
    /// Accounts.
    Closed,
    /// Cards.
    Lost,
    /// Cards.
    Stolen,
}

/// An account: what it gained, by date.
#[derive(Clone, Debug)]
pub struct Account {
    /// ISO 4217, numeric.
    pub currency: u16,
    /// A customer's, not the bank's own.
    pub customer: bool,
    /// Allowed overdraft.
    pub overdraft: i64,
    /// Its status.
    pub status: Status,
    /// What it gained, by business date.
    pub posted: BTreeMap<Day, Money>,
}

impl Account {
    /// All postings up to and with a date.
    #[must_use]
    pub fn closing(&self, day: Day) -> Money {
        self.posted.range(..=day).map(|(_, sum)| sum).sum()
    }

    /// All postings later than a date.
    #[must_use]
    pub fn beyond(&self, day: Day) -> Money {
        self.posted.range(day + 1..).map(|(_, sum)| sum).sum()
    }

    /// All postings.
    #[must_use]
    pub fn ledger(&self) -> Money {
        self.posted.values().sum()
    }

    /// What a debit may take.
    #[must_use]
    pub fn available(&self) -> Money {
        self.ledger() + Money::from(self.overdraft)
    }
}

/// A card.
#[derive(Clone, Debug)]
pub struct Card {
    /// What it draws on.
    pub account: Rc<str>,
    /// YYMM.
    pub expiry: u16,
    /// Its status.
    pub status: Status,
}

/// What kind of message is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 0200.
    Request,
    /// 0220.
    Advice,
    /// 0400, 0420.
    Reversal,
    /// An original that is still to come: of this kind, if it is known.
    Awaited(Option<bool>),
}

/// What a message is recognised by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// DE 7; 0 = absent.
    pub time: u64,
    /// DE 37; empty = absent.
    pub rrn: Rc<str>,
    /// DE 32; 0 = absent.
    pub acquirer: u64,
    /// DE 33; 0 = absent.
    pub forwarder: u64,
}

impl Parts {
    /// Whether time or reference is there on both sides and equal; whether anything
    /// that is there on both sides differs.
    #[must_use]
    pub fn compare(&self, other: &Self) -> (bool, bool) {
        let number = |a: u64, b: u64| (a != 0 && a == b, a != 0 && b != 0 && a != b);
        let (time, not_time) = number(self.time, other.time);
        let both = !self.rrn.is_empty() && !other.rrn.is_empty();
        let (rrn, not_rrn) = (both && self.rrn == other.rrn, both && self.rrn != other.rrn);
        let (_, not_acquirer) = number(self.acquirer, other.acquirer);
        let (_, not_forwarder) = number(self.forwarder, other.forwarder);
        (
            time || rrn,
            not_time || not_rrn || not_acquirer || not_forwarder,
        )
    }
}

/// What a transaction asks for: the same message with other terms is a 94.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// First two digits of DE 3.
    pub operation: u64,
    /// DE 4.
    pub amount: u64,
    /// DE 49.
    pub currency: u16,
    /// DE 54, type 40.
    pub cashback: u64,
    /// DE 6 and 51.
    pub billing: Option<(u64, u16)>,
    /// DE 102.
    pub from: Rc<str>,
    /// DE 103.
    pub to: Rc<str>,
}

/// A remembered message.
#[derive(Clone, Debug)]
pub struct Known {
    /// The event that answered it first.
    pub seq: u64,
    /// Its business date.
    pub date: Day,
    /// Its settlement date.
    pub settlement: Day,
    /// What it is.
    pub kind: Kind,
    /// MTI without the repeat digit.
    pub mti: u16,
    /// From which network.
    pub network: u16,
    /// PAN, or DE 102.
    pub holder: Rc<str>,
    /// Whether the holder is a PAN.
    pub by_card: bool,
    /// DE 11; 0 = lost.
    pub stan: u64,
    /// DE 41.
    pub terminal: Rc<str>,
    /// DE 7, 37, 32, 33.
    pub parts: Parts,
    /// What it asks for.
    pub terms: Terms,
    /// DE 39.
    pub code: u8,
    /// What it posted.
    pub legs: Rc<Legs>,
    /// DE 54 as answered: currency, ledger, available.
    pub balances: Option<(u16, i64, i64)>,
    /// Set by a reversal: the event that did.
    pub reversed: Option<u64>,
    /// The request that this advice corrects.
    pub corrects: Option<usize>,
    /// Its generation was dropped.
    pub forgotten: bool,
}

/// Count and sum.
pub type Tally = (u64, Money);

/// Totals of a network, settlement date and currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetTotals {
    /// Debits, their reversals.
    pub debits: [Tally; 2],
    /// Credits, their reversals.
    pub credits: [Tally; 2],
    /// Transfers, their reversals.
    pub transfers: [Tally; 2],
    /// Inquiries.
    pub inquiries: u64,
}

/// How far the end of a date has got.
#[derive(Clone, Debug, Default)]
pub struct DayEnd {
    /// When its cutover was, engine time.
    pub cutover_us: Option<u64>,
    /// Frozen.
    pub frozen: bool,
    /// Sealed.
    pub sealed: bool,
    /// Batch entries by currency: count, sum.
    pub entries: BTreeMap<u16, (u32, i64)>,
}

/// Something that the core took and that had an effect: one event in the journal.
#[derive(Clone, Debug)]
// The large variant is the frequent one.
#[allow(clippy::large_enum_variant)]
pub enum Effect {
    /// First day.
    Genesis(Day),
    /// A network's accounts in a currency.
    Internal(u16, u16),
    /// The batch's contra account.
    Batch(u16),
    /// An account opened or changed; the opening balance is for new ones.
    Account(Rc<str>, Account, i64),
    /// A card opened or changed.
    Card(Rc<str>, Card),
    /// A hash was attested.
    Attest,
    /// The next date opened.
    Early,
    /// The bank cut over at this time.
    Cutover(u64),
    /// The closing date froze.
    Freeze,
    /// The closing date is final.
    Seal,
    /// A network's new date, and whether it opened the bank's.
    Network(u16, Day, bool),
    /// A batch entry: date, id, account, amount.
    Entry(Day, u128, Rc<str>, i64),
    /// A transaction; whether somebody should look.
    Transaction(Known, bool),
    /// A reconciliation that was compared.
    Reconciled(Reconciled),
    /// A reversal, with the originals that it marks, and one that it now waits for.
    Reversal(Box<ReversalEffect>),
}

/// Figures of a reconciliation, by element.
pub type Figures = BTreeMap<u8, i64>;

/// A reconciliation.
#[derive(Clone, Debug)]
pub struct Reconciled {
    /// What it is recognised by: network, MTI, DE 7, DE 11.
    pub message: (u16, u16, u64, u64),
    /// The event.
    pub seq: u64,
    /// Of which settlement date.
    pub day: Day,
    /// DE 66.
    pub verdict: u8,
    /// The bank's figures.
    pub ours: Figures,
}

/// A reversal's effect.
#[derive(Clone, Debug)]
pub struct ReversalEffect {
    /// The message itself.
    pub known: Known,
    /// Originals that are reversed from here on.
    pub marks: Vec<usize>,
    /// Whether it undid anything.
    pub undoes: bool,
    /// What it waits for.
    pub awaited: Option<Known>,
    /// Whether somebody should look.
    pub exception: bool,
}

/// The books.
#[derive(Clone, Debug)]
pub struct Model {
    /// Events so far.
    pub seq: u64,
    /// The open dates.
    pub dates: Dates,
    /// The bank's calendar day when the core took what it took last: cards expire by it.
    pub today: Day,
    /// By number.
    pub accounts: BTreeMap<Rc<str>, Account>,
    /// By PAN.
    pub cards: BTreeMap<Rc<str>, Card>,
    /// Currencies of the bank.
    pub currencies: BTreeSet<u16>,
    /// Network and currency.
    pub settles: BTreeSet<(u16, u16)>,
    /// Currencies in which the batch may post.
    pub batches: BTreeSet<u16>,
    /// Networks' current dates.
    pub clocks: BTreeMap<u16, Day>,
    /// Ends of days.
    pub days: BTreeMap<Day, DayEnd>,
    /// Everything remembered, in order.
    pub known: Vec<Known>,
    /// By network, holder, STAN.
    pub at: BTreeMap<(u16, Rc<str>, u64), Vec<usize>>,
    /// Per PAN, in order; what a lost STAN is looked for in.
    pub chains: BTreeMap<Rc<str>, Vec<usize>>,
    /// Batch entries by date and id.
    pub entries: BTreeMap<(Day, u128), (Rc<str>, i64)>,
    /// By business date and currency: sums of debits and credits, their counts.
    pub date_totals: BTreeMap<(Day, u16), (Money, Money, u64, u64)>,
    /// By network, settlement date, currency.
    pub net_totals: BTreeMap<(u16, Day, u16), NetTotals>,
    /// Reconciliations, in order.
    pub reconciled: Vec<Reconciled>,
    /// What each account closed with, by frozen date.
    pub frozen: BTreeMap<Day, BTreeMap<Rc<str>, Money>>,
    /// Items that took a later date than their network's.
    pub rolled: u64,
    /// Items that somebody should look at.
    pub exceptions: u64,
    /// What the last event posted, and on which date.
    pub last_posting: (Day, Rc<Legs>),
}

impl Default for Model {
    fn default() -> Self {
        Self {
            seq: 0,
            dates: Dates::Open(0),
            today: 0,
            accounts: BTreeMap::new(),
            cards: BTreeMap::new(),
            currencies: BTreeSet::new(),
            settles: BTreeSet::new(),
            batches: BTreeSet::new(),
            clocks: BTreeMap::new(),
            days: BTreeMap::new(),
            known: Vec::new(),
            at: BTreeMap::new(),
            chains: BTreeMap::new(),
            entries: BTreeMap::new(),
            date_totals: BTreeMap::new(),
            net_totals: BTreeMap::new(),
            reconciled: Vec::new(),
            frozen: BTreeMap::new(),
            rolled: 0,
            exceptions: 0,
            last_posting: (0, Rc::default()),
        }
    }
}

/// The bank's own account of a network in a currency.
#[must_use]
pub fn settlement_account(network: u16, currency: u16) -> Rc<str> {
    format!("GL-SETTLE-{network:04}-{currency:03}").into()
}

/// The bank's own account for a purpose in a currency.
#[must_use]
pub fn own_account(purpose: &str, currency: u16) -> Rc<str> {
    format!("GL-{purpose}-{currency:03}").into()
}

impl Model {
    /// The effect happens: one event.
    pub fn apply(&mut self, effect: &Effect) {
        self.seq += 1;
        self.last_posting = (0, Rc::default());
        match effect {
            Effect::Genesis(day) => self.dates = Dates::Open(*day),
            Effect::Internal(network, currency) => self.open_internal(*network, *currency),
            Effect::Batch(currency) => {
                self.batches.insert(*currency);
                self.open_own(own_account("BATCH", *currency), *currency);
            }
            Effect::Account(number, account, opening) => {
                self.put_account(number, account, *opening);
            }
            Effect::Card(pan, card) => {
                if self.cards.insert(Rc::clone(pan), card.clone()).is_none() {
                    self.chains.insert(Rc::clone(pan), Vec::new());
                }
            }
            Effect::Attest => {}
            Effect::Early => self.dates = Dates::Early(self.dates.closing()),
            Effect::Cutover(time_us) => {
                let day = self.dates.closing();
                self.dates = Dates::Grace(day);
                self.days.entry(day).or_default().cutover_us = Some(*time_us);
            }
            Effect::Freeze => {
                let day = self.dates.closing();
                self.dates = Dates::Frozen(day);
                let closing = self.accounts.iter();
                let closing = closing.map(|(number, row)| (Rc::clone(number), row.closing(day)));
                self.frozen.insert(day, closing.collect());
                self.days.entry(day).or_default().frozen = true;
            }
            Effect::Seal => self.seal(),
            Effect::Network(network, day, opens) => {
                self.clocks.insert(*network, *day);
                if *opens {
                    self.dates = Dates::Early(self.dates.closing());
                }
            }
            Effect::Entry(day, id, account, amount) => self.entry(*day, *id, account, *amount),
            Effect::Transaction(known, exception) => {
                self.exceptions += u64::from(*exception);
                self.post(known.date, &known.legs);
                self.count_transaction(known);
                self.count_rolled(known);
                self.remember(known.clone());
            }
            Effect::Reversal(reversal) => self.reverse(reversal),
            Effect::Reconciled(done) => {
                self.exceptions += u64::from(done.verdict == 2);
                self.reconciled.push(Reconciled {
                    seq: self.seq,
                    ..done.clone()
                });
            }
        }
    }

    fn open_own(&mut self, number: Rc<str>, currency: u16) {
        self.accounts.entry(number).or_insert(Account {
            currency,
            customer: false,
            overdraft: 0,
            status: Status::Active,
            posted: BTreeMap::new(),
        });
    }

    fn open_internal(&mut self, network: u16, currency: u16) {
        for purpose in ["POSITION", "SUSPENSE", "OPENING"] {
            self.open_own(own_account(purpose, currency), currency);
        }
        self.open_own(settlement_account(network, currency), currency);
        self.currencies.insert(currency);
        self.settles.insert((network, currency));
    }

    fn put_account(&mut self, number: &Rc<str>, account: &Account, opening: i64) {
        if let Some(there) = self.accounts.get_mut(number) {
            there.overdraft = account.overdraft;
            there.status = account.status;
            return;
        }
        self.accounts.insert(Rc::clone(number), account.clone());
        let contra = own_account("OPENING", account.currency);
        let legs = pair(&contra, number, opening);
        self.post(self.dates.default(), &Rc::new(legs));
    }

    fn entry(&mut self, day: Day, id: u128, account: &Rc<str>, amount: i64) {
        let currency = self.accounts[account].currency;
        let legs = pair(&own_account("BATCH", currency), account, amount);
        self.post(day, &Rc::new(legs));
        self.entries.insert((day, id), (Rc::clone(account), amount));
        let entries = &mut self.days.entry(day).or_default().entries;
        let sums = entries.entry(currency).or_default();
        sums.0 += 1;
        sums.1 += amount;
    }

    fn seal(&mut self) {
        let day = self.dates.closing();
        self.dates = Dates::Open(day + 1);
        self.days.entry(day).or_default().sealed = true;
        let last = day - FORGOTTEN_AFTER;
        for known in &mut self.known {
            known.forgotten |= known.date <= last;
        }
        self.entries.retain(|(day, _), _| *day > last);
    }

    fn reverse(&mut self, reversal: &ReversalEffect) {
        self.exceptions += u64::from(reversal.exception);
        self.post(reversal.known.date, &reversal.known.legs);
        for mark in &reversal.marks {
            self.known[*mark].reversed = Some(self.seq);
        }
        if reversal.undoes {
            self.count_reversal(reversal);
        }
        self.count_rolled(&reversal.known);
        self.remember(reversal.known.clone());
        if let Some(awaited) = &reversal.awaited {
            self.remember(awaited.clone());
        }
    }

    fn remember(&mut self, mut known: Known) {
        known.seq = self.seq;
        let place = self.known.len();
        let loose = matches!(known.kind, Kind::Awaited(_)) && known.stan == 0;
        if !loose {
            self.at
                .entry((known.network, Rc::clone(&known.holder), known.stan))
                .or_default()
                .push(place);
        }
        let chained = match known.kind {
            Kind::Request | Kind::Advice => true,
            Kind::Reversal => false,
            Kind::Awaited(_) => loose,
        };
        if chained
            && known.by_card
            && let Some(chain) = self.chains.get_mut(&known.holder)
        {
            chain.push(place);
        }
        self.known.push(known);
    }

    fn post(&mut self, day: Day, legs: &Rc<Legs>) {
        for (number, amount) in legs.iter() {
            let account = self.accounts.get_mut(number).unwrap();
            *account.posted.entry(day).or_default() += Money::from(*amount);
            let totals = self.date_totals.entry((day, account.currency)).or_default();
            if *amount < 0 {
                totals.0 -= Money::from(*amount);
                totals.2 += 1;
            } else {
                totals.1 += Money::from(*amount);
                totals.3 += 1;
            }
        }
        self.last_posting = (day, Rc::clone(legs));
    }

    /// The currency that a message settles in, and what its network gained.
    fn settled(&self, known: &Known, sent: u16) -> (u16, Money) {
        self.settles
            .iter()
            .filter(|(network, _)| *network == known.network)
            .find_map(|(network, currency)| {
                let gained = known.legs.get(&settlement_account(*network, *currency))?;
                Some((*currency, Money::from(*gained)))
            })
            .unwrap_or((sent, 0))
    }

    fn count_transaction(&mut self, known: &Known) {
        if known.code != 0 {
            return;
        }
        if let Some(request) = known.corrects {
            return self.count_correction(known, &self.known[request].clone());
        }
        let sent = known
            .balances
            .map_or(known.terms.currency, |(currency, _, _)| currency);
        let (currency, gained) = self.settled(known, sent);
        let key = (known.network, known.settlement, currency);
        let totals = self.net_totals.entry(key).or_default();
        match known.terms.operation {
            0 | 1 | 9 => add(&mut totals.debits[0], 1, gained),
            20 => add(&mut totals.credits[0], 1, -gained),
            40 => add(&mut totals.transfers[0], 1, known.terms.amount.into()),
            _ => totals.inquiries += 1,
        }
    }

    /// The network knows of the advice alone: the request is taken out of where it
    /// was counted, and the advice counts whole, on its own date and in its currency.
    fn count_correction(&mut self, advice: &Known, request: &Known) {
        let transfer = advice.terms.operation == 40;
        let (was_in, was) = if transfer {
            (request.terms.currency, request.terms.amount.into())
        } else {
            self.settled(request, request.terms.currency)
        };
        let currency = advice.terms.currency;
        let posted = advice
            .legs
            .get(&settlement_account(advice.network, currency))
            .map_or(0, |gained| Money::from(*gained));
        let whole = if transfer {
            advice.terms.amount.into()
        } else if currency == was_in {
            posted + was
        } else {
            posted
        };
        for (settlement, currency, count, amount) in [
            (request.settlement, was_in, -1, -was),
            (advice.settlement, currency, 1, whole),
        ] {
            let key = (advice.network, settlement, currency);
            let totals = self.net_totals.entry(key).or_default();
            let (tally, amount) = match advice.terms.operation {
                20 => (&mut totals.credits[0], -amount),
                40 => (&mut totals.transfers[0], amount),
                _ => (&mut totals.debits[0], amount),
            };
            tally.0 = tally.0.wrapping_add_signed(count);
            tally.1 += amount;
        }
    }

    fn count_reversal(&mut self, reversal: &ReversalEffect) {
        let known = &reversal.known;
        let (currency, gained) = self.settled(known, known.terms.currency);
        let key = (known.network, known.settlement, currency);
        let totals = self.net_totals.entry(key).or_default();
        match known.terms.operation {
            20 => add(&mut totals.credits[1], 1, gained),
            40 => add(&mut totals.transfers[1], 1, Money::from(known.terms.amount)),
            _ => add(&mut totals.debits[1], 1, -gained),
        }
    }

    /// A network's figures of a settlement date: DE 74 to 80, 86 to 89, 97. `None`
    /// when one of them cannot be said, being negative.
    #[must_use]
    pub fn figures(&self, network: u16, day: Day, currency: u16) -> Option<Figures> {
        let totals = self
            .net_totals
            .get(&(network, day, currency))
            .copied()
            .unwrap_or_default();
        let [debits, debits_back] = totals.debits;
        let [credits, credits_back] = totals.credits;
        let [transfers, transfers_back] = totals.transfers;
        let amounts = [credits.1, credits_back.1, debits.1, debits_back.1];
        if amounts.iter().any(|amount| *amount < 0) {
            return None;
        }
        let net = credits.1 - credits_back.1 - debits.1 + debits_back.1;
        let all = [
            (74, credits.0.into()),
            (75, credits_back.0.into()),
            (76, debits.0.into()),
            (77, debits_back.0.into()),
            (78, transfers.0.into()),
            (79, transfers_back.0.into()),
            (80, totals.inquiries.into()),
            (86, credits.1),
            (87, credits_back.1),
            (88, debits.1),
            (89, debits_back.1),
            (97, net),
        ];
        Some(all.map(|(element, value)| (element, value as i64)).into())
    }

    fn count_rolled(&mut self, known: &Known) {
        if known.network != 0 && !known.legs.is_empty() && known.settlement < known.date {
            self.rolled += 1;
        }
    }
}

fn add(tally: &mut Tally, count: u64, amount: Money) {
    tally.0 += count;
    tally.1 += amount;
}

/// What one account loses another one gains.
#[must_use]
pub fn pair(loses: &Rc<str>, gains: &Rc<str>, amount: i64) -> Legs {
    sum([(loses, -amount), (gains, amount)])
}

/// By account, without those that neither gain nor lose.
pub fn sum<'a>(legs: impl IntoIterator<Item = (&'a Rc<str>, i64)>) -> Legs {
    let mut all = Legs::new();
    for (account, amount) in legs {
        *all.entry(Rc::clone(account)).or_default() += amount;
    }
    all.retain(|_, amount| *amount != 0);
    all
}
