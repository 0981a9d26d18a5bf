//! The night: cutover, freeze, seal, networks' clocks, the batch's entries.

use crate::account::Role;
use crate::business::Step;
use crate::command::PostEntry;
use crate::date::Date;
use crate::engine::Engine;
use crate::event::{
    Answer, Body, EntryEvent, InternalAccount, InternalOpened, NetworkCutoverEvent, SealEvent,
};
use crate::ids::{AccountIx, Currency, NetworkId, Seq, TimeUs};
use crate::invariants as inv;
use crate::legs::Legs;
use crate::limits::{MAX_AMOUNT_MINOR, NETWORK_AHEAD_DAYS, SETTLEMENT_REACH_DAYS};
use crate::night::EntrySums;
use crate::outcome::{NightOutcome, NightRefusal, PutOutcome, PutRefusal};
use crate::record::flags;

const fn repeat(seq: Seq) -> Answer {
    Answer::Night(NightOutcome::Done {
        seq,
        is_repeat: true,
    })
}

impl Engine {
    /// A refusal, with the state.
    pub(crate) const fn night_refused(&self, why: NightRefusal) -> Answer {
        Answer::Night(NightOutcome::Refused {
            why,
            state: self.dates,
        })
    }

    pub(super) fn decide_cutover(&self, date: Date) -> Result<Body, Answer> {
        self.decide_step(Step::Cutover, date)?;
        Ok(Body::Cutover { date })
    }

    pub(super) fn decide_freeze(&self, date: Date) -> Result<Body, Answer> {
        self.decide_step(Step::Freeze, date)?;
        Ok(Body::Freeze { date })
    }

    pub(super) fn decide_seal(&self, date: Date, entries: EntrySums) -> Result<Body, Answer> {
        let posted = self.night.entries(date);
        let differs = posted.difference(&entries).map(|currency| {
            self.night_refused(NightRefusal::EntriesDiffer {
                named: entries.of(currency),
                posted: posted.of(currency),
            })
        });
        match (self.decide_step(Step::Seal, date), differs) {
            (Ok(()), None) => {}
            (Ok(()), Some(differs)) => return Err(differs),
            // A repeat that names other entries is no repeat.
            (Err(Answer::Night(NightOutcome::Done { .. })), Some(differs)) => return Err(differs),
            (Err(answer), _) => return Err(answer),
        }
        for totals in &self.totals.dates {
            if totals.business_date == date && inv::debits_equal_credits(totals).is_err() {
                return Err(self.night_refused(NightRefusal::Unbalanced(totals.currency)));
            }
        }
        if self.breaches > 0 {
            return Err(self.night_refused(NightRefusal::Breached(self.breaches)));
        }
        Ok(Body::Seal(SealEvent {
            date,
            entries: posted,
        }))
    }

    /// Whether a step may be taken now; its first result when it has been taken.
    fn decide_step(&self, step: Step, date: Date) -> Result<(), Answer> {
        if let Some(day) = self.night.day(date) {
            let seq = match step {
                Step::OpenEarly => 0,
                Step::Cutover => day.cutover,
                Step::Freeze => day.freeze,
                Step::Seal => day.seal,
            };
            if seq != 0 {
                return Err(repeat(seq));
            }
        }
        self.dates
            .after(step, date)
            .map(|_| ())
            .map_err(|why| self.night_refused(why))
    }

    pub(super) fn decide_open_early(
        &self,
        time_us: TimeUs,
        date: Date,
        not_before_us: TimeUs,
    ) -> Result<Body, Answer> {
        self.decide_step(Step::OpenEarly, date)?;
        if time_us < not_before_us {
            return Err(self.night_refused(NightRefusal::TooEarly));
        }
        Ok(Body::OpenedEarly { date })
    }

    pub(super) fn decide_network_cutover(
        &self,
        time_us: TimeUs,
        network: NetworkId,
        date: Date,
        not_before_us: TimeUs,
    ) -> Result<Body, Answer> {
        let reach = date.0.abs_diff(self.dates.default_date().0);
        let known = self.settlements.iter().any(|((of, _), _)| *of == network);
        let too_far = if date > self.dates.default_date() {
            reach > NETWORK_AHEAD_DAYS
        } else {
            reach > SETTLEMENT_REACH_DAYS
        };
        if network == NetworkId::OWN_TERMINALS || !known || too_far {
            return Err(self.night_refused(NightRefusal::NetworkDate { named: date }));
        }
        let closing = self.dates.closing();
        // A clock that is ahead of the bank by more than a day opens nothing either:
        // the open dates are neighbours.
        let opens = date == closing.next()
            && time_us >= not_before_us
            && self.dates.after(Step::OpenEarly, closing).is_ok();
        if let Some(clock) = self.night.clock(network) {
            if date < clock.date {
                return Err(self.night_refused(NightRefusal::NetworkDateBack {
                    current: clock.date,
                }));
            }
            if date == clock.date && !opens {
                return Err(repeat(clock.seq));
            }
        }
        Ok(Body::NetworkCutover(NetworkCutoverEvent {
            network,
            date,
            opens,
        }))
    }

    pub(super) fn decide_batch_account(&self, currency: Currency) -> Result<Body, Answer> {
        let refused = |why| Answer::Put(PutOutcome::Refused(why));
        if self.currency(currency).is_none() {
            return Err(refused(PutRefusal::UnknownCurrency));
        }
        if self.night.batch_account(currency).is_some() {
            return Err(Answer::Put(PutOutcome::Unchanged));
        }
        if self.accounts.len() >= self.options.capacity.accounts {
            return Err(refused(PutRefusal::CapacityReached));
        }
        let role = Role::Batch;
        let number = role.number(currency).ok_or(refused(PutRefusal::Internal))?;
        let account = InternalAccount {
            ix: AccountIx(self.accounts.len()),
            role,
            number,
        };
        Ok(Body::InternalOpened(InternalOpened {
            currency,
            accounts: [Some(account), None, None, None],
        }))
    }

    pub(super) fn decide_entry(&self, entry: &PostEntry) -> Result<Body, Answer> {
        let refused = |why| self.night_refused(why);
        let identity = entry.identity();
        let account = self
            .find_account(&entry.account)
            .filter(|ix| self.accounts.get(ix.0).is_some_and(|row| row.is_customer()))
            .ok_or(refused(NightRefusal::UnknownAccount));
        let legs = account.and_then(|ix| self.entry_legs(entry, ix));
        if let Some((reference, generation, record)) = self.memory.entry(&identity, entry.date) {
            let same = legs.is_ok_and(|legs| {
                record.has(flags::POSTED) && {
                    let posted = self.memory.legs(reference);
                    legs.as_slice()
                        .iter()
                        .all(|leg| posted.delta_of(leg.account) == leg.delta_minor)
                }
            });
            return Err(if same {
                repeat(crate::memory::seq_of(generation, record))
            } else {
                refused(NightRefusal::EntryDiffers)
            });
        }
        if !self.dates.takes_entries(entry.date) {
            let closing = self.dates.closing();
            return Err(refused(if entry.date < closing {
                NightRefusal::Sealed { named: entry.date }
            } else if entry.date > closing {
                NightRefusal::OtherDate {
                    named: entry.date,
                    closing,
                }
            } else {
                NightRefusal::NotFrozen { closing }
            }));
        }
        let legs = legs?;
        // As requests: the reserve is the advices'.
        if self.is_full(crate::command::Class::FinancialRequest) {
            return Err(refused(NightRefusal::CapacityReached));
        }
        for leg in legs.as_slice() {
            let row = self.accounts.get(leg.account.0);
            let fits = row.is_some_and(|row| {
                inv::in_range(&row.view(self.dates.closing()), leg.delta_minor).is_ok()
            });
            if !fits {
                return Err(refused(NightRefusal::AmountOutOfBounds));
            }
        }
        if self
            .night
            .entries(entry.date)
            .with(entry.currency, 1, entry.amount_minor)
            .is_none()
        {
            return Err(refused(NightRefusal::UnknownCurrency));
        }
        Ok(Body::Entry(EntryEvent {
            identity,
            business_date: entry.date,
            legs,
        }))
    }

    fn entry_legs(&self, entry: &PostEntry, account: AccountIx) -> Result<Legs, Answer> {
        let row = self
            .accounts
            .get(account.0)
            .ok_or(self.night_refused(NightRefusal::UnknownAccount))?;
        if row.currency != entry.currency {
            return Err(self.night_refused(NightRefusal::OtherCurrency(row.currency)));
        }
        let batch = self
            .night
            .batch_account(entry.currency)
            .ok_or(self.night_refused(NightRefusal::UnknownCurrency))?;
        if entry.amount_minor == 0 || entry.amount_minor.unsigned_abs() > MAX_AMOUNT_MINOR {
            return Err(self.night_refused(NightRefusal::AmountOutOfBounds));
        }
        Ok(Legs::pair(batch, account, entry.amount_minor))
    }
}
