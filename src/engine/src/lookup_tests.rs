//! The look-up of remembered transactions against a plain walk over all of them.

use crate::code::ResponseCode;
use crate::command::{Class, Identity, Operation};
use crate::date::Date;
use crate::limits::{CROWD, Capacity};
use crate::lookup::{Names, Sight};
use crate::memory::Memory;
use crate::record::{Parts, Record, RecordRef, flags};
use proptest::prelude::*;
use std::ops::ControlFlow;

const DATE: Date = Date(20_000);
/// One day's, then the next day's, and none before the third seal after.
const DAYS: u16 = 6;

/// Few of each part, so that all lengths of a name are crowded. A key of its own for
/// each message, as the adapter makes them; tombstones have none.
fn identity(n: u64, [locator, time, rrn]: [u8; 3]) -> Identity {
    Identity {
        key: (n + 1) << 16,
        locator: 1 + u32::from(locator),
        transmitted: [0, 32 * 86_400 + 1, 32 * 86_400 + 2][usize::from(time)],
        rrn: rrn.into(),
        acquirer: 3,
        forwarder: 0,
    }
}

fn record(identity: Identity, flags: u8) -> Record {
    Record::pack(&Parts {
        identity,
        terms: 0,
        seq_delta: 0,
        settlement_offset: 0,
        amount: 1,
        code: ResponseCode::Approved,
        class: Class::FinancialRequest,
        operation: Operation::Purchase,
        currency_slot: 0,
        flags,
        debit: 0,
        credit: 0,
        prev: RecordRef::NONE,
    })
}

/// All that is remembered, with references.
fn all(memory: &Memory) -> impl Iterator<Item = (RecordRef, &Record)> {
    memory.generations.iter().flat_map(|generation| {
        (0..)
            .zip(generation.records.iter())
            .map(|(position, record)| (RecordRef::new(generation.date, position), record))
    })
}

fn fits<T: PartialEq + Default>(a: T, b: T) -> bool {
    a == T::default() || b == T::default() || a == b
}

/// Looks everything up, and all that is not there; the longest look-up.
fn compare(memory: &Memory, asked: &[Identity]) -> Result<usize, TestCaseError> {
    let mut longest = 0;
    for identity in asked {
        let there = all(memory)
            .find(|(_, record)| record.is_same_message(identity, Class::FinancialRequest));
        let found = memory.message(identity, Class::FinancialRequest);
        prop_assert_eq!(found.map(|f| f.0), there.map(|t| t.0), "{:?}", identity);
        let names = Names::from(identity);
        let mut seen = vec![];
        let sight = memory.relatives(&names, |reference, _, _| {
            seen.push(reference);
            ControlFlow::<(), _>::Continue(())
        });
        longest = longest.max(seen.len());
        let plainly: Vec<_> = all(memory)
            .filter(|(_, record)| {
                record.locator() == identity.locator
                    && !record.has(flags::ENTRY)
                    && fits(record.transmitted(), identity.transmitted)
                    && fits(record.rrn(), identity.rrn)
            })
            .map(|(reference, _)| reference)
            .collect();
        let hidden = plainly.iter().filter(|one| !seen.contains(one)).count();
        if sight != ControlFlow::Continue(Sight::Crowd) {
            prop_assert_eq!(hidden, 0, "{:?} sees not all of {:?}", identity, plainly);
        } else {
            prop_assert!(plainly.len() >= CROWD || identity.transmitted == 0);
        }
        seen.sort();
        let shown = seen.len();
        seen.dedup();
        prop_assert_eq!(seen.len(), shown, "shown twice");
    }
    Ok(longest)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn whatever_comes_is_found_and_no_look_up_is_long(
        messages in prop::collection::vec(
            (prop_oneof![5 => Just(0u8), 1 => 0..3u8], 0..3u8, 0..3u8, 0..20u8, 0..8u8), 1..600
        ),
    ) {
        let mut memory = Memory::new(Capacity::SMALL, true, crate::table::UNTOLD);
        let mut asked = vec![];
        let mut day = 0;
        for (n, (locator, time, rrn, night, kind)) in (0..).zip(messages) {
            if night == 0 && day < DAYS - 1 {
                // References of a number are used again only when it is free.
                day += 1;
            }
            let identity = identity(n, [locator, time, rrn]);
            // Late ones of the day before come among those of the day.
            let date = Date(DATE.0 + day - u16::from(night == 1 && day > 0));
            let flags = if kind == 0 { flags::ENTRY } else { 0 };
            let reference = memory.append(date, n, record(identity, flags));
            prop_assert!(reference.is_some());
            if kind == 0 {
                let found = memory.entry(&identity, date).map(|found| found.0);
                prop_assert_eq!(found, Some(reference));
            }
            asked.push(identity);
        }
        asked.truncate(120);
        // For each length of a name, absent parts as well: eight of each day.
        let lists = 1 + 2 + 4 + 1;
        let longest = compare(&memory, &asked)?;
        prop_assert!(longest <= lists * CROWD * usize::from(DAYS), "{}", longest);

        // Loaded: in the same places, as far as that can be seen.
        let mut loaded = Memory::new(Capacity::SMALL, true, crate::table::UNTOLD);
        for generation in &memory.generations {
            for record in generation.records.iter() {
                loaded.push_loaded(generation.date, *record).unwrap();
            }
            let len = generation.records.len();
            loaded.cut_loaded(generation.date, generation.base_seq, len);
            prop_assert_eq!(loaded.enter_loaded(generation.date, 0, len), len);
        }
        let seen = |memory: &Memory, names: &Names| {
            let mut seen = vec![];
            let sight = memory.relatives(names, |reference, _, _| {
                seen.push(reference);
                ControlFlow::<(), _>::Continue(())
            });
            seen.sort();
            (seen, sight)
        };
        for identity in &asked {
            prop_assert_eq!(seen(&memory, &identity.into()), seen(&loaded, &identity.into()));
        }

        // Forgotten, from the first day on: the rest is found as before, and in the
        // end nothing is left in the table.
        for last in 0..DAYS {
            memory.forget(Date(DATE.0 + last));
            loaded.forget(Date(DATE.0 + last));
            compare(&memory, &asked)?;
            for identity in &asked {
                prop_assert_eq!(seen(&memory, &identity.into()), seen(&loaded, &identity.into()));
            }
            memory.sweep(u32::MAX);
        }
        prop_assert!(memory.index().is_some_and(crate::index::Index::is_empty));
    }
}
