//! The bank's side of the world: how it begins, its batch, and commands of the night.

use std::collections::BTreeMap;
use std::rc::Rc;

use gapless_engine::command::{
    AccountStatus, CardStatus, Genesis, PostEntry, PutAccount, PutCard, Request,
};
use gapless_engine::date::Date;
use gapless_engine::ids::{AccountNumber, Currency, Expiry, NetworkId};
use gapless_engine::outcome::PutOutcome;
use gapless_engine::{Answer, EntrySums};

use crate::auditor::model::{Account, Card, Dates, Day, Effect, Model, Status};
use crate::auditor::{Failure, failure};
use crate::node::keys;
use crate::plan::{CURRENCIES, Plan};
use crate::rng::Rng;
use crate::world::{Happening, S, World};

/// Rows that are put at once.
const CHUNK: usize = 8;

/// An entry of the batch.
#[derive(Clone, Debug)]
pub struct Entry {
    id: u128,
    account: String,
    amount: i64,
    currency: u16,
}

/// The batch's night.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The date that it works on.
    pub day: Day,
    entries: Vec<Entry>,
    next: usize,
    /// The switch's life in which it began: in another one it begins anew.
    life: u64,
    /// What it has been told of, by id.
    told: BTreeMap<u128, (u16, i64)>,
    /// Whether the extract is still to be read, and the checksums as first read.
    extract_due: bool,
    sha256: Vec<String>,
    twice: bool,
    wrong_sums: bool,
}

impl Batch {
    /// What there is to post.
    #[must_use]
    pub fn new(rng: &mut Rng, plan: &Plan, day: Day) -> Self {
        let entries = (0..rng.below(12))
            .map(|_| {
                let account = rng.pick(&plan.accounts);
                Entry {
                    id: u128::from(rng.next()) << 64 | u128::from(rng.next()),
                    account: account.number.clone(),
                    amount: rng.below(400) as i64 - 120,
                    currency: account.currency,
                }
            })
            .collect();
        Self {
            day,
            entries,
            next: 0,
            life: 0,
            told: BTreeMap::new(),
            extract_due: true,
            sha256: Vec::new(),
            twice: rng.percent(20),
            wrong_sums: rng.percent(25),
        }
    }
}

fn date(day: Day) -> Date {
    Date(day as u16)
}

const fn account_status(status: Status) -> AccountStatus {
    match status {
        Status::Blocked => AccountStatus::Blocked,
        Status::Closed => AccountStatus::Closed,
        _ => AccountStatus::Active,
    }
}

const fn card_status(status: Status) -> CardStatus {
    match status {
        Status::Lost => CardStatus::Lost,
        Status::Stolen => CardStatus::Stolen,
        Status::Blocked => CardStatus::Blocked,
        _ => CardStatus::Active,
    }
}

fn number(text: &str) -> AccountNumber {
    AccountNumber::new(text.as_bytes()).unwrap()
}

impl World {
    /// What a start puts in place unless it is there: genesis, the bank's own
    /// accounts, and then its customers.
    pub(crate) fn set_up(&mut self) -> Result<(), Failure> {
        let today = self.plan.hours.today(self.now_us);
        let wanted = founding(&self.plan, &self.auditor.model, today);
        for chunk in wanted.chunks(CHUNK) {
            let Some(node) = &self.node else {
                return Ok(());
            };
            let requests: Vec<_> = chunk.iter().map(|(request, _)| *request).collect();
            let answers = node.put(&requests);
            for ((request, effect), answer) in chunk.iter().zip(answers) {
                match answer {
                    Answer::Put(PutOutcome::Opened) | Answer::Done => {
                        if let Some(effect) = effect {
                            self.happened(effect.clone());
                        }
                    }
                    Answer::Put(PutOutcome::Unchanged) if effect.is_none() => {}
                    other => return failure(0, format!("{request:?} -> {other:?}")),
                }
            }
            self.attest();
            self.compare()?;
            self.commit()?;
        }
        Ok(())
    }

    /// A command of the night: done, done before, or refused, as the books have it.
    fn command(
        &mut self,
        request: &Request,
        expected: Result<Option<Effect>, &'static str>,
    ) -> Result<bool, Failure> {
        let Some(node) = &self.node else {
            return Ok(false);
        };
        let now_us = node.now_us();
        let answer = node.night(request);
        self.tell(|_| format!("    {request:?} -> {answer:?}"));
        match (&answer, expected) {
            (Ok((false, _)), Ok(Some(effect))) => {
                let effect = match effect {
                    Effect::Cutover(_) => Effect::Cutover(now_us),
                    other => other,
                };
                // The runner attests both states at once: extract and base build on them.
                let proven = matches!(effect, Effect::Freeze | Effect::Seal);
                self.happened(effect);
                if proven {
                    self.attest_now();
                }
            }
            (Ok((true, _)), Ok(None)) => self.coverage.saw("night command again"),
            (Err(_), Err(_)) => self.coverage.saw("night command refused"),
            (_, expected) => {
                let what = format!("{request:?} -> {answer:?}, expected {expected:?}");
                return failure(3, what);
            }
        }
        self.attest();
        self.compare()?;
        Ok(answer.is_ok())
    }

    fn cutover(&mut self, day: Day) -> Result<bool, Failure> {
        let model = &self.auditor.model;
        let done = model
            .days
            .get(&day)
            .is_some_and(|end| end.cutover_us.is_some());
        let expected = match model.dates {
            _ if done => Ok(None),
            Dates::Open(closing) | Dates::Early(closing) if closing == day => {
                Ok(Some(Effect::Cutover(0)))
            }
            _ => Err("another date"),
        };
        let new = matches!(expected, Ok(Some(_)));
        let done = self.command(&Request::Cutover { date: date(day) }, expected)?;
        if done && new {
            self.coverage.saw("cutover by command");
            self.schedule_tick();
        }
        Ok(done)
    }

    fn freeze(&mut self, day: Day) -> Result<bool, Failure> {
        let model = &self.auditor.model;
        let done = model.days.get(&day).is_some_and(|end| end.frozen);
        let expected = match model.dates {
            _ if done => Ok(None),
            Dates::Grace(closing) if closing == day => Ok(Some(Effect::Freeze)),
            _ => Err("another step"),
        };
        let new = matches!(expected, Ok(Some(_)));
        let done = self.command(&Request::Freeze { date: date(day) }, expected)?;
        if done && new {
            self.coverage.saw("freeze by command");
        }
        Ok(done)
    }

    fn seal(&mut self, day: Day, sums: &BTreeMap<u16, (u32, i64)>) -> Result<bool, Failure> {
        let model = &self.auditor.model;
        let end = model.days.get(&day).cloned().unwrap_or_default();
        let named = |sums: &BTreeMap<u16, (u32, i64)>| {
            let mut all = sums.clone();
            all.retain(|_, (count, _)| *count > 0);
            all
        };
        let same = named(&end.entries) == named(sums);
        let expected = match model.dates {
            _ if end.sealed && same => Ok(None),
            Dates::Frozen(closing) if closing == day && same => Ok(Some(Effect::Seal)),
            _ => Err("entries, or another step"),
        };
        let mut entries = EntrySums::EMPTY;
        for (currency, (count, sum)) in sums.iter().filter(|(_, (count, _))| *count > 0) {
            if let Some(more) = entries.with(Currency(*currency), *count, *sum) {
                entries = more;
            }
        }
        let new = matches!(expected, Ok(Some(_)));
        let request = Request::Seal {
            date: date(day),
            entries,
        };
        let frozen = self.closing_balances(day);
        let done = self.command(&request, expected)?;
        if done && new {
            self.coverage.saw("sealed");
            self.same_as_frozen(day, &frozen)?;
            self.audit()?;
            self.schedule_tick();
        } else if !done {
            self.coverage.saw("batch: seal refused");
        }
        Ok(done)
    }

    /// Invariant 5: what each account closes with, before the seal.
    fn closing_balances(&self, day: Day) -> Vec<(i64, i64)> {
        let Some(node) = &self.node else {
            return Vec::new();
        };
        node.look(|engine| {
            (0..engine.accounts_len())
                .filter_map(|ix| engine.account_row(gapless_engine::ids::AccountIx(ix)))
                .map(|row| row.view(date(day)))
                .map(|view| (view.balance, view.next))
                .collect()
        })
    }

    /// ... and opens with, after it: the next date's postings are all that is added.
    fn same_as_frozen(&self, day: Day, before: &[(i64, i64)]) -> Result<(), Failure> {
        let after = self.closing_balances(day + 1);
        let opened = after.iter().map(|(balance, _)| *balance);
        let expected = before.iter().map(|(balance, next)| balance + next);
        if opened.eq(expected) {
            return Ok(());
        }
        failure(
            5,
            format!("day {day} closed with {before:?}, then {after:?}"),
        )
    }

    fn post(&mut self, day: Day, entry: &Entry) -> Result<bool, Failure> {
        let model = &self.auditor.model;
        let account: Rc<str> = entry.account.as_str().into();
        let row = model.accounts.get(&account).filter(|row| row.customer);
        let fits = row.is_some_and(|row| row.currency == entry.currency)
            && entry.amount != 0
            && model.batches.contains(&entry.currency);
        let expected = match model.entries.get(&(day, entry.id)) {
            Some((of, amount)) if fits && *of == account && *amount == entry.amount => Ok(None),
            Some(_) => Err("the same id with other content"),
            None if !matches!(model.dates, Dates::Frozen(closing) if closing == day) => {
                Err("the date takes no entries")
            }
            None if fits => Ok(Some(Effect::Entry(day, entry.id, account, entry.amount))),
            None => Err("a bad row"),
        };
        self.coverage.saw(match expected {
            Ok(Some(_)) => "batch: entry",
            Ok(None) => "batch: entry again",
            Err(_) => "batch: entry refused",
        });
        let request = Request::PostEntry(PostEntry {
            id: entry.id,
            account: number(&entry.account),
            amount_minor: entry.amount,
            currency: Currency(entry.currency),
            date: date(day),
        });
        self.command(&request, expected)
    }

    /// The batch's next step.
    pub(crate) fn batch_step(&mut self, day: Day) -> Result<(), Failure> {
        let Some(mut batch) = self.batch.take().filter(|batch| batch.day == day) else {
            return Ok(());
        };
        let mut wait = self.rng.within(1, 20) * S;
        let mut over = false;
        if self.node.is_none() {
            wait = 5 * S;
        } else if batch.life != self.lives {
            if batch.life != 0 {
                self.coverage.saw("batch: ran again");
            }
            batch.life = self.lives;
            batch.next = 0;
            batch.told.clear();
            batch.extract_due = true;
        } else if batch.extract_due {
            self.read_extract(&mut batch)?;
        } else if batch.next < batch.entries.len() {
            self.post_some(&mut batch)?;
        } else if std::mem::take(&mut batch.twice) {
            batch.next = 0;
        } else {
            over = self.batch_seals(&mut batch)?;
        }
        self.batch = Some(batch);
        if !over {
            self.after(wait, Happening::Batch(day));
        }
        Ok(())
    }

    /// The extract is what was at the freeze, the same to the byte each time.
    fn read_extract(&mut self, batch: &mut Batch) -> Result<(), Failure> {
        let Some(node) = &mut self.node else {
            return Ok(());
        };
        for _ in 0..200 {
            if !matches!(node.follow(), Ok(true)) {
                break;
            }
        }
        if node.follower().is_none() {
            // Stopped on a bad disk: the next start has another one.
            batch.extract_due = !self.disk_troubled;
            return Ok(());
        }
        let extract = match node.extract(batch.day) {
            Ok(Some(extract)) => extract,
            // Not on disk yet; asked for again.
            Ok(None) => return Ok(()),
            Err(_) if self.disk_troubled => return Ok(()),
            Err(error) => return failure(12, error),
        };
        batch.extract_due = false;
        self.coverage.saw("batch: extract checked");
        let expected = self.auditor.model.frozen.get(&batch.day);
        let expected = expected.into_iter().flatten();
        let mut wrong = expected.filter(|(number, closing)| {
            let there = extract.balances.get(&***number);
            there.map(|minor| i128::from(*minor)) != Some(**closing)
        });
        if let Some((number, closing)) = wrong.next() {
            let there = extract.balances.get(&**number);
            let what = format!("the extract has {there:?} for {number}, at the freeze {closing}");
            return failure(12, what);
        }
        if !batch.sha256.is_empty() {
            self.coverage.saw("batch: extract read again");
            if batch.sha256 != extract.sha256 {
                return failure(12, "the extract is another than before");
            }
        }
        batch.sha256 = extract.sha256;
        Ok(())
    }

    fn post_some(&mut self, batch: &mut Batch) -> Result<(), Failure> {
        for _ in 0..self.rng.within(1, 4) {
            let Some(entry) = batch.entries.get(batch.next).cloned() else {
                break;
            };
            batch.next += 1;
            if self.rng.percent(15) {
                let mut bad = entry.clone();
                match self.rng.below(4) {
                    0 => bad.id ^= 1,
                    1 => bad.account = "4711".to_owned(),
                    2 => bad.amount += 1,
                    _ => bad.currency = 392,
                }
                let day = batch.day + self.rng.below(3) as Day - 1;
                if self.post(day, &bad)? {
                    batch.told.insert(bad.id, (bad.currency, bad.amount));
                }
            }
            if self.post(batch.day, &entry)? {
                batch.told.insert(entry.id, (entry.currency, entry.amount));
            }
        }
        Ok(())
    }

    fn batch_seals(&mut self, batch: &mut Batch) -> Result<bool, Failure> {
        let mut sums = BTreeMap::<u16, (u32, i64)>::new();
        if !matches!(self.auditor.model.dates, Dates::Frozen(day) if day == batch.day) {
            return Ok(true);
        }
        // A crash may have kept what nobody was told of.
        for ((day, id), (account, amount)) in &self.auditor.model.entries {
            if *day == batch.day && !batch.told.contains_key(id) {
                let currency = self.auditor.model.accounts[account].currency;
                batch.told.insert(*id, (currency, *amount));
            }
        }
        for (currency, amount) in batch.told.values() {
            let of = sums.entry(*currency).or_default();
            of.0 += 1;
            of.1 += amount;
        }
        if std::mem::take(&mut batch.wrong_sums) {
            sums.entry(410).or_default().0 += 1;
            self.seal(batch.day, &sums)?;
            return Ok(false);
        }
        self.seal(batch.day, &sums)
    }

    /// A command of the night, by hand: mostly one that is not due.
    pub(crate) fn operator(&mut self) -> Result<(), Failure> {
        let dates = self.auditor.model.dates;
        let closing = dates.closing();
        let due = self.plan.hours.cutover_us(closing);
        let near = due.abs_diff(self.now_us) < 3_600 * S;
        let gap = match near {
            true => self.rng.within(30, 1_800),
            false => self.rng.within(600, 20_000) * self.plan.sparse.min(4),
        };
        self.after(gap * S, Happening::Operator);
        if self.node.is_none() {
            return Ok(());
        }
        if self.rng.percent(40) {
            self.confirm_clock()?;
        }
        let other = closing + 1 - 2 * self.rng.below(2) as Day;
        let none = BTreeMap::new();
        match (self.rng.below(7), dates) {
            (0, _) => self.cutover(other)?,
            (1, _) => self.freeze(other)?,
            (2, Dates::Frozen(_)) => self.freeze(closing)?,
            (2, _) => self.seal(closing, &none)?,
            (3, _) => self.seal(other, &none)?,
            (4, Dates::Open(_) | Dates::Early(_)) if near => self.cutover(closing)?,
            (4 | 5, Dates::Grace(_)) if near => self.freeze(closing)?,
            (5, _) => self.cutover(closing - 1)?,
            _ => false,
        };
        Ok(())
    }
}

/// Requests of a start, each with its effect if it is to have one.
pub(crate) fn founding(plan: &Plan, model: &Model, today: Day) -> Vec<(Request, Option<Effect>)> {
    let mut wanted = Vec::new();
    let business_date = date(today);
    let key_check = keys().key_check();
    let genesis = Genesis {
        business_date,
        key_check,
    };
    let begun = model.seq > 0;
    wanted.push((
        Request::Genesis(genesis),
        (!begun).then_some(Effect::Genesis(today)),
    ));
    let networks = plan.networks.iter();
    let networks = networks.map(|plan| (plan.id, &plan.currencies[..]));
    for (network, currencies) in std::iter::once((0, &CURRENCIES[..])).chain(networks) {
        for currency in currencies {
            let there = model.settles.contains(&(network, *currency));
            let request = Request::OpenInternal {
                network: NetworkId(network),
                currency: Currency(*currency),
            };
            let effect = (!there).then_some(Effect::Internal(network, *currency));
            wanted.push((request, effect));
        }
    }
    for currency in CURRENCIES {
        let there = model.batches.contains(&currency);
        let request = Request::OpenBatch {
            currency: Currency(currency),
        };
        wanted.push((request, (!there).then_some(Effect::Batch(currency))));
    }
    want_customers(plan, model, &mut wanted);
    wanted
}

fn want_customers(plan: &Plan, model: &Model, wanted: &mut Vec<(Request, Option<Effect>)>) {
    let keys = keys();
    for plan in &plan.accounts {
        let there = model.accounts.contains_key(plan.number.as_str());
        let request = Request::PutAccount(PutAccount {
            number: number(&plan.number),
            currency: Currency(plan.currency),
            balance_minor: plan.balance,
            overdraft_minor: plan.overdraft,
            status: account_status(plan.status),
        });
        let account = Account {
            currency: plan.currency,
            customer: true,
            overdraft: plan.overdraft,
            status: plan.status,
            posted: BTreeMap::new(),
        };
        let effect = Effect::Account(Rc::from(plan.number.as_str()), account, plan.balance);
        wanted.push((request, (!there).then_some(effect)));
    }
    for plan in &plan.cards {
        let there = model.cards.contains_key(plan.pan.as_str());
        let request = Request::PutCard(PutCard {
            pan: keys.pan_hash(plan.pan.as_bytes()),
            bin: 941_000,
            last4: plan.pan[12..].parse().unwrap(),
            expiry: Expiry::from_yymm(plan.expiry).unwrap(),
            account: number(&plan.account),
            status: card_status(plan.status),
        });
        let card = Card {
            account: Rc::from(plan.account.as_str()),
            expiry: plan.expiry,
            status: plan.status,
        };
        let effect = Effect::Card(Rc::from(plan.pan.as_str()), card);
        wanted.push((request, (!there).then_some(effect)));
    }
}
