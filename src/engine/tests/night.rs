//! The night, in tables that a banker can read. D is the first business date,
//! 2026-03-15; network 1 is a card network, network 0 the bank's own terminals.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing
)]

mod common;
use common::*;
use gapless_engine::command::{AccountStatus, CardStatus, Genesis, Request};
use gapless_engine::date::Date;
use gapless_engine::*;

fn bank(lines: &str) -> Bank {
    let mut bank = Bank::open();
    bank.run(lines);
    bank
}

#[test]
fn each_step_names_its_date_and_repeats_its_first_result() {
    bank(
        "
        freeze D     -> NotCutOver open D
        seal D       -> NotCutOver open D
        cutover D+1  -> OtherDate open D
        cutover D-1  -> Sealed open D
        cutover D    -> done grace D
        cutover D    -> repeat grace D
        cutover D+1  -> OtherDate grace D
        seal D       -> NotFrozen grace D
        freeze D+1   -> OtherDate grace D
        freeze D     -> done frozen D
        freeze D     -> repeat frozen D
        cutover D    -> repeat frozen D
        cutover D+1  -> OtherDate frozen D
        seal D+1     -> OtherDate frozen D
        seal D KRW:1:5 -> EntriesDiffer frozen D
        seal D       -> done open D+1
        seal D       -> repeat open D+1
        seal D KRW:1:5 -> EntriesDiffer open D+1
        freeze D     -> repeat open D+1
        cutover D    -> repeat open D+1
        cutover D+2  -> OtherDate open D+1
        // A date that is overdue follows at once, in its turn.
        cutover D+1  -> done grace D+1
        freeze D+1   -> done frozen D+1
        seal D+1     -> done open D+2
        seal D       -> repeat open D+2
        ",
    );
}

#[test]
fn the_next_date_opens_early_only_near_the_banks_cutover() {
    bank(
        "
        netcutover 1 D+1 notbefore=999999999 -> done open D
        early D notbefore=999999999          -> TooEarly open D
        purchase cA 1 #1                     -> 00 bdate=D sdate=D+1
        early D+1                            -> OtherDate open D
        early D                              -> done early D
        early D                              -> AlreadyDone early D
        purchase cA 1 #2                     -> 00 bdate=D+1 sdate=D+1
        purchase cA 1 #3 network=0           -> 00 bdate=D sdate=D
        freeze D                             -> NotCutOver early D
        seal D                               -> NotCutOver early D
        cutover D                            -> done grace D
        early D                              -> AlreadyDone grace D
        ",
    );
}

#[test]
fn networks_have_clocks_of_their_own() {
    bank(
        "
        netcutover 0 D+1  -> NetworkDate open D
        netcutover 7 D+1  -> NetworkDate open D
        netcutover 1 D+99 -> NetworkDate open D
        // A wrong date a week and more ahead must not refuse all right ones until then.
        netcutover 1 D+8  -> NetworkDate open D
        netcutover 1 D notbefore=999999999 -> done open D
        netcutover 1 D    -> repeat open D
        netcutover 1 D-1  -> NetworkDateBack open D
        // The message again, now late enough to open the next date.
        netcutover 1 D+1 notbefore=999999999 -> done open D
        netcutover 1 D+1 notbefore=999999999 -> repeat open D
        netcutover 1 D+1  -> done early D
        netcutover 1 D+1  -> repeat early D
        // Ahead by more than the open dates: its clock, not the bank's.
        netcutover 1 D+2  -> done early D
        purchase cA 1 #1  -> 00 bdate=D sdate=D+2
        ",
    );
}

/// What an item gets, by phase: DE 15, then the network's date, then the default.
#[test]
fn which_date_an_item_gets() {
    const OPEN: &str = "";
    const EARLY: &str = "early D -> done early D";
    const GRACE: &str = "cutover D -> done grace D";
    const FROZEN: &str = "cutover D -> done grace D\nfreeze D -> done frozen D";
    // item, then business/settlement date in: open, early, grace, frozen
    let rows = [
        ("network=0", ["D/D", "D/D", "D+1/D+1", "D+1/D+1"]),
        // The bank's own terminals have no say.
        ("network=0 de15=0316", ["D/D", "D/D", "D+1/D+1", "D+1/D+1"]),
        ("network=0 de15=0315", ["D/D", "D/D", "D+1/D+1", "D+1/D+1"]),
        ("", ["D/D", "D/D", "D+1/D+1", "D+1/D+1"]),
        ("de15=0315", ["D/D", "D/D", "D/D", "D+1/D"]),
        ("de15=0316", ["D/D+1", "D+1/D+1", "D+1/D+1", "D+1/D+1"]),
        // Neither sealed nor future dates are open.
        ("de15=0314", ["D/D-1", "D/D-1", "D+1/D-1", "D+1/D-1"]),
        ("de15=0317", ["D/D+2", "D/D+2", "D+1/D+2", "D+1/D+2"]),
        // Impossible, or far away: as good as absent.
        ("de15=0231", ["D/D", "D/D", "D+1/D+1", "D+1/D+1"]),
        ("de15=0915", ["D/D", "D/D", "D+1/D+1", "D+1/D+1"]),
    ];
    let with_clock = [
        // Network 1 is on D.
        ("D", "", ["D/D", "D/D", "D/D", "D+1/D"]),
        ("D", "de15=0316", ["D/D+1", "D+1/D+1", "D+1/D+1", "D+1/D+1"]),
        ("D", "de15=0314", ["D/D-1", "D/D-1", "D/D-1", "D+1/D-1"]),
        // Network 1 is on D+1.
        ("D+1", "", ["D/D+1", "D+1/D+1", "D+1/D+1", "D+1/D+1"]),
        ("D+1", "de15=0315", ["D/D", "D/D", "D/D", "D+1/D"]),
        (
            "D+1",
            "de15=0314",
            ["D/D-1", "D+1/D-1", "D+1/D-1", "D+1/D-1"],
        ),
        // Network 1 has long stopped telling.
        ("D-9", "", ["D/D-9", "D/D-9", "D+1/D-9", "D+1/D-9"]),
    ];
    let rows = rows.map(|(item, dates)| (None, item, dates));
    let with_clock = with_clock.map(|(clock, item, dates)| (Some(clock), item, dates));
    for (clock, item, dates) in rows.into_iter().chain(with_clock) {
        for (phase, dates) in [OPEN, EARLY, GRACE, FROZEN].into_iter().zip(dates) {
            let mut bank = Bank::open();
            if let Some(clock) = clock {
                bank.run(&format!("netcutover 1 {clock} notbefore=999999999 -> done"));
            }
            bank.run(phase);
            let (business, settlement) = dates.split_once('/').unwrap();
            let rolled = bank.engine.rolled_forward();
            // Every kind of message alike; an advice is never declined for a date.
            for (kind, code) in [
                ("purchase cA 1 #1", "00"),
                ("cash cA 1 #2", "00"),
                ("refund cA 1 #3", "00"),
                ("transfer cA 1 #4 to=B", "00"),
                ("balance cA 0 #5", "00"),
                ("purchase cA 999999 #6", "51"),
                ("advice-purchase cA 1 #7", "00"),
                ("advice-purchase cOD 9999 #8", "00"),
                ("reverse cA #9 of #99", "00"),
            ] {
                bank.run(&format!(
                    "{kind} {item} -> {code} bdate={business} sdate={settlement}"
                ));
            }
            let is_late = day(settlement) < day(business);
            let counted = bank.engine.rolled_forward() - rolled;
            // Those that posted: purchase, cash, refund, transfer, two advices.
            assert_eq!(counted, if is_late { 6 } else { 0 }, "{phase} {item}");
        }
    }
}

#[test]
fn a_reversal_prefers_its_originals_date() {
    bank(
        "
        purchase cA 100 #1        -> 00 bdate=D
        purchase cA 50 #2         -> 00 bdate=D
        purchase cA 20 #3         -> 00 bdate=D
        early D                   -> done early D
        purchase cA 10 #4 de15=0316 -> 00 bdate=D+1
        reverse cA #11 of #4      -> 00 bdate=D+1 A=830
        cutover D                 -> done grace D
        reverse cA #12 of #1      -> 00 bdate=D A=930
        reverse cA #12 of #1      -> 00 bdate=D repeat A=930
        // Even when it says otherwise: the original's date comes first.
        reverse cA #13 of #2 de15=0316 -> 00 bdate=D A=980
        freeze D                  -> done frozen D
        reverse cA #14 of #3      -> 00 bdate=D+1 A=1000
        seal D                    -> done open D+1
        reverse cA #14 of #3      -> 00 bdate=D+1 repeat A=1000
        purchase cA 100 #1        -> 05 bdate=D repeat
        ",
    );
}

#[test]
fn a_debit_that_the_closing_date_cannot_bear_takes_the_next_date_whole() {
    bank(
        "
        cutover D                      -> done grace D
        refund cOD 1000 #1             -> 00 bdate=D+1 OD=1000/1500
        // D alone has the overdraft of 500.
        purchase cOD 500 #2 de15=0315  -> 00 bdate=D sdate=D OD=500/1000
        purchase cOD 1 #3 de15=0315    -> 00 bdate=D+1 sdate=D OD=499/999
        transfer cOD 10 #4 to=B de15=0315 -> 00 bdate=D+1 B=510
        advice-purchase cOD 5 #5 de15=0315 -> 00 bdate=D+1 OD=484
        // What neither date can bear is declined as ever, and where D bears it, D has it.
        purchase cOD 9999 #6 de15=0315 -> 51 bdate=D
        purchase cA 1000 #7 de15=0315  -> 00 bdate=D A=0
        // No money came on D+1: an advice overdraws the date that it belongs to.
        advice-purchase cA 5 #8 de15=0315 -> 00 bdate=D A=-5
        ",
    );
}

#[test]
fn entries_of_the_batch() {
    bank(
        "
        batch KRW           -> done
        batch KRW           -> repeat
        batch USD           -> done
        entry e1 A 7 D      -> NotFrozen open D
        cutover D           -> done grace D
        entry e1 A 7 D      -> NotFrozen grace D
        purchase cA 100 #1  -> 00 bdate=D+1 A=900
        freeze D            -> done frozen D
        entry e1 A 7 D      -> done A=907
        entry e1 A 7 D      -> repeat A=907
        entry e1 A 8 D      -> EntryDiffers A=907
        entry e1 A -7 D     -> EntryDiffers A=907
        entry e1 B 7 D      -> EntryDiffers A=907
        entry e2 A 7 D+1    -> OtherDate
        entry e2 A 7 D-1    -> Sealed
        entry e2 NOBODY 7 D -> UnknownAccount
        entry e2 GL-SUSPENSE-410 7 D -> UnknownAccount
        entry e2 A 7USD D   -> OtherCurrency
        entry e2 A 0 D      -> AmountOutOfBounds
        entry e2 A 9999999999999 D -> AmountOutOfBounds
        // Bank entries may overdraw, and reach blocked and closed accounts.
        entry e2 B -600 D   -> done B=-100
        entry e3 CLOSED 5 D -> done CLOSED=1005
        entry e4 U 5USD D   -> done U=1005
        seal D                       -> EntriesDiffer frozen D
        seal D KRW:3:-588            -> EntriesDiffer frozen D
        seal D KRW:3:-587 USD:1:5    -> EntriesDiffer frozen D
        seal D KRW:3:-588 USD:1:6    -> EntriesDiffer frozen D
        seal D KRW:3:-588 USD:1:5    -> done open D+1
        seal D KRW:3:-588 USD:1:5    -> repeat open D+1
        entry e1 A 7 D      -> repeat A=907
        entry e9 A 7 D      -> Sealed A=907
        // An id is of its date.
        cutover D+1         -> done
        freeze D+1          -> done
        entry e1 A 7 D+1    -> done A=914
        seal D+1 KRW:1:7    -> done open D+2
        ",
    );
}

/// The frozen date stays as it is, whatever customers do meanwhile.
#[test]
fn the_closing_balance_of_a_date_is_the_opening_balance_of_the_next() {
    let mut bank = bank(
        "
        purchase cA 100 #1 -> 00
        cutover D          -> done
        purchase cA 10 #2 de15=0315 -> 00 bdate=D
        purchase cA 200 #3 -> 00 bdate=D+1
        freeze D           -> done
        ",
    );
    let closing = |bank: &Bank, date: Date| -> Vec<i64> {
        (0..bank.engine.accounts_len())
            .map(|ix| {
                let row = bank.engine.account_row(ids::AccountIx(ix)).unwrap();
                row.view(date).balance
            })
            .collect()
    };
    let frozen = closing(&bank, day("D"));
    bank.run(
        "
        purchase cA 5 #4 de15=0315 -> 00 bdate=D+1
        transfer cA 50 #5 to=B     -> 00 bdate=D+1
        reverse cA #6 of #1        -> 00 bdate=D+1
        ",
    );
    assert_eq!(closing(&bank, day("D")), frozen);
    let live = bank.ledger("A");
    bank.run("seal D -> done open D+1");
    assert_eq!(bank.ledger("A"), live, "a seal moves no money");
    // Undo what is dated D+1: what is left is what D closed with.
    bank.run(
        "
        reverse cA #7 of #3  -> 00 bdate=D+1
        reverse cA #8 of #4  -> 00 bdate=D+1
        reverse cA #9 of #5  -> 00 bdate=D+1
        purchase cA 100 #10  -> 00 bdate=D+1
        ",
    );
    assert_eq!(closing(&bank, day("D+1")), frozen);
}

/// The request is dropped with its date, the advice that corrected it a day later is
/// not: half of what they did is not undone, and somebody looks.
#[test]
fn a_reversal_that_finds_only_the_advice_posts_nothing_and_is_an_exception() {
    let mut bank = Bank::open();
    let night = |bank: &mut Bank, date: &str| {
        bank.run(&format!(
            "cutover {date} -> done\n freeze {date} -> done\n seal {date} -> done"
        ));
    };
    bank.run("purchase cA 100 #1 -> 00 bdate=D A=900");
    night(&mut bank, "D");
    bank.run("advice-purchase cA 130 #1 -> 00 bdate=D+1 A=870");
    for date in ["D+1", "D+2", "D+3", "D+4"] {
        night(&mut bank, date);
    }
    bank.run("reverse cA #2 of #1 -> 00 exception=ReversalHalfFits A=870");
}

/// An advice has the date after that of the request that it corrects, and their reversal
/// the request's. When that date is forgotten, the advice is still reversed: at a start as
/// well.
#[test]
fn a_mark_outlives_the_reversal_that_made_it() {
    let mut bank = bank(
        "
        cutover D                           -> done
        purchase cA 100 #1 de15=0315        -> 00 bdate=D A=900
        advice-purchase cA 130 #1           -> 00 bdate=D+1 A=870
        reverse cA #2 of #1                 -> 00 bdate=D A=1000
        freeze D                            -> done
        seal D                              -> done
        ",
    );
    for date in ["D+1", "D+2", "D+3", "D+4"] {
        bank.run(&format!(
            "cutover {date} -> done\n freeze {date} -> done\n seal {date} -> done"
        ));
    }
    let dates: Vec<Date> = bank.engine.generations().map(|(date, _)| date).collect();
    assert_eq!(dates, [day("D+1")], "D is forgotten");
    let mut loaded = stored::reload(&bank.engine, &bank.engine, 1, INDEXED);
    assert!(stored::image(&loaded) == stored::image(&bank.engine));
    std::mem::swap(&mut bank.engine, &mut loaded);
    // Its repeat is declined, and nothing is given back again.
    bank.run("advice-purchase cA 130 #1 -> 05 repeat A=1000");
    bank.run("reverse cA #3 of #1 -> 00 exception=ReversalHalfFits A=1000");
    assert_eq!(audit(&bank.engine), Ok(()));
    // With its date the mark is gone from what is stored.
    let with = bank.engine.residue();
    bank.run("cutover D+5 -> done\n freeze D+5 -> done\n seal D+5 -> done");
    let without = bank.engine.residue();
    assert_eq!((with[0], without[0]), (4, 2), "versions of the residue");
}

/// A transfer, its repeat, its reversal, that one's repeat; cutover, freeze and seal
/// between any two of them. Both legs have one date, and the money is back at the end.
#[test]
fn both_legs_of_a_transfer_have_one_date_at_every_interleaving() {
    let messages = [
        "transfer - 100 #1 network=0 from=A to=B",
        "transfer - 100 #1 network=0 from=A to=B",
        "reverse - #2 of #1 network=0",
        "reverse - #2 of #1 network=0",
    ];
    let steps = ["cutover D", "freeze D", "seal D"];
    let mut seen = std::collections::BTreeSet::new();
    for (cutover, freeze, seal) in places(messages.len()) {
        let mut bank = Bank::open();
        let before = bank.engine.trial_balance();
        let mut dates = vec![];
        for at in 0..=messages.len() {
            for (step, place) in steps.iter().zip([cutover, freeze, seal]) {
                if place == at {
                    bank.run(&format!("{step} -> done"));
                }
            }
            let Some(message) = messages.get(at) else {
                break;
            };
            let outcome = bank.message(message);
            assert!(outcome.business_date >= today());
            dates.push(outcome.business_date.0 - today().0);
            audit(&bank.engine).unwrap();
            for totals in bank.engine.trial_balance().dates {
                assert_eq!(totals.debit_minor, totals.credit_minor, "{totals:?}");
                assert_eq!(totals.debit_count, totals.credit_count, "{totals:?}");
            }
        }
        assert_eq!(dates[0], dates[1], "a repeat has its first date");
        assert_eq!(dates[2], dates[3], "a repeat has its first date");
        // The transfer is of D unless the bank had cut over; the reversal goes with
        // it as long as D takes customers' items.
        assert_eq!(dates[0], u16::from(cutover == 0));
        let expected = if dates[0] == 0 && freeze > 2 { 0 } else { 1 };
        assert_eq!(dates[2], expected, "{cutover} {freeze} {seal}");
        assert_eq!((bank.ledger("A"), bank.ledger("B")), (1000, 500));
        assert_eq!(bank.engine.trial_balance().currencies, before.currencies);
        seen.insert((dates[0], dates[2]));
    }
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        [(0, 0), (0, 1), (1, 1)]
    );
}

/// Where three steps can fall among `messages` messages.
fn places(messages: usize) -> Vec<(usize, usize, usize)> {
    let mut all = vec![];
    for cutover in 0..=messages {
        for freeze in cutover..=messages {
            all.extend((freeze..=messages).map(|seal| (cutover, freeze, seal)));
        }
    }
    all
}

/// The naive way: each leg asks for the date by itself. With the cutover between the
/// two, the day that ends has a debit without its credit. The engine cannot do this:
/// an event has one date for all its legs, and half a transfer fails its check.
#[test]
fn the_naive_way_breaks_the_day_and_the_engine_has_no_way_to_go_it() {
    let mut broken = 0;
    for cutover_after in 0..=2 {
        let mut dates = Bank::open();
        let mut ledger = std::collections::BTreeMap::<Date, i64>::new();
        for (leg, amount) in [-100, 100].into_iter().enumerate() {
            if cutover_after == leg {
                dates.run("cutover D -> done");
            }
            let date = dates.engine.business().default;
            *ledger.entry(date).or_default() += amount;
        }
        broken += usize::from(ledger.values().any(|sum| *sum != 0));
    }
    assert_eq!(broken, 1, "only a cutover between the legs shows it");

    let bank = Bank::open();
    let decision = bank.engine.decide(&command::Command {
        time_us: bank.time_us,
        day: bank.day,
        request: parse("transfer - 100 #1 network=0 from=A to=B"),
    });
    let Decision::Event(whole) = decision else {
        panic!();
    };
    assert_eq!(bank.engine.check(&whole), Ok(()));
    // Take the second leg off, in the journal's own bytes.
    let mut bytes = vec![];
    whole.encode(&mut bytes);
    const LEG: usize = 12;
    let count_at = bytes.len() - 2 * LEG - 1;
    assert_eq!(bytes[count_at], 2);
    bytes[count_at] = 1;
    bytes.truncate(bytes.len() - LEG);
    let len = (bytes.len() as u16).to_le_bytes();
    bytes[2..4].copy_from_slice(&len);
    let (half, _) = Event::decode(&bytes).unwrap();
    assert_eq!(half.legs().as_slice().len(), 1);
    assert_eq!(bank.engine.check(&half), Err(Breach::Unbalanced(KRW)));
}

#[test]
fn what_is_remembered_goes_at_the_fourth_later_seal() {
    let mut bank = bank("purchase cA 1 #1 -> 00 A=999\npurchase cA 2 #2 -> 00 A=997");
    for night in 0..4 {
        bank.run(&format!(
            "cutover D+{night} -> done\nfreeze D+{night} -> done\nseal D+{night} -> done open D+{}",
            night + 1
        ));
    }
    bank.run("purchase cA 1 #1 -> 00 bdate=D repeat A=997");
    // A late reversal, four days after: it posts on the open date.
    bank.run("reverse cA #3 of #1 -> 00 bdate=D+4 A=998");
    let remembered = bank.engine.counts().remembered;
    bank.run("cutover D+4 -> done\nfreeze D+4 -> done\nseal D+4 -> done open D+5");
    assert_eq!(bank.engine.counts().remembered, remembered - 2);
    // Too late now: the original is gone, and its reversal waits for it in vain.
    bank.run("reverse cA #4 of #2 -> 00 bdate=D+5 A=998");
    assert!(bank.engine.generations().all(|(date, _)| date > today()));
    // Nothing of a sealed date is a card's chain any more.
    bank.run("reverse cA #5 of #2 lost -> 00 bdate=D+5 A=998");
}

/// A year of nights in small tables: places are given back, look-ups find what they
/// should, and replay comes to the same state.
#[test]
fn a_hundred_nights() {
    let mut bank = Bank::open();
    for night in 0..100u32 {
        let stan = |n: u32| 1000 * (night + 1) + n;
        for n in 0..400 {
            let line = format!("purchase cA 1 #{} network=0", stan(n));
            assert!(bank.message(&line).code.is_approved());
            if n % 50 == 0 {
                assert!(bank.message(&line).is_repeat);
            }
            let undo = format!("reverse cA #{} of #{} network=0", stan(n) + 500, stan(n));
            assert!(bank.message(&undo).code.is_approved());
        }
        assert_eq!(bank.ledger("A"), 1000);
        for step in ["cutover", "freeze", "seal"] {
            bank.run(&format!("{step} D+{night} -> done"));
        }
    }
    assert!(bank.engine.counts().remembered <= 4 * 800);
    assert_eq!(bank.engine.day_ends().len(), 16);
    assert!(bank.engine.trial_balance().dates.len() <= 3 * 9);
    let mut replay = Engine::new(Options {
        indexed: false,
        ..INDEXED
    });
    let mut rest = &bank.log[..];
    while !rest.is_empty() {
        let (event, tail) = Event::decode(rest).unwrap();
        assert_eq!(replay.check(&event), Ok(()));
        replay.apply(&event);
        rest = tail;
    }
    assert_eq!(replay.state_hash(), bank.engine.state_hash());
    assert_eq!(replay.residue(), bank.engine.residue());
    audit(&replay).unwrap();
}

/// A card that is used every ninth day: its chain ends where memory ends, and never
/// leads to another card's transaction that took the number of a forgotten one.
#[test]
fn a_card_that_is_seldom_used_has_no_strangers_in_its_chain() {
    let mut bank = Bank::open();
    for night in 0..40 {
        let stan = 100 * (night + 1);
        if night % 9 == 0 {
            bank.run(&format!("purchase cA 1 #{stan} -> 00"));
        }
        bank.run(&format!("purchase cB 1 #{} -> 00", stan + 1));
        // The STAN is lost: only the card's own chain may find it.
        let own = bank.ledger("A");
        bank.run(&format!(
            "reverse cA #{} of #{} lost -> 00 A={own}",
            stan + 2,
            stan + 1
        ));
        bank.run(&format!(
            "cutover D+{night} -> done\nfreeze D+{night} -> done\nseal D+{night} -> done"
        ));
    }
}

/// DE 15 has no year: over the year's end and around 29 February, with a network
/// before the bank and one after it, each date stays what it is.
#[test]
#[rustfmt::skip] // one case a line
fn dates_without_a_year_at_the_ends_of_years_and_of_february() {
    // bank's date, network's date, DE 15 sent; settlement and business date of the item,
    // with the bank on the date, and after its cutover
    for (bank, network, de15, settlement, on_the_date, after_cutover) in [
        // The network is ahead, behind, and says nothing or the other date.
        ((2026, 12, 31), (2027, 1, 1),   None,       (2027, 1, 1),   (2027, 1, 1),   (2027, 1, 1)),
        ((2026, 12, 31), (2026, 12, 31), None,       (2026, 12, 31), (2026, 12, 31), (2026, 12, 31)),
        ((2026, 12, 31), (2026, 12, 30), None,       (2026, 12, 30), (2026, 12, 31), (2027, 1, 1)),
        ((2026, 12, 31), (2026, 12, 31), Some(101),  (2027, 1, 1),   (2026, 12, 31), (2027, 1, 1)),
        ((2026, 12, 31), (2027, 1, 1),   Some(1231), (2026, 12, 31), (2026, 12, 31), (2026, 12, 31)),
        ((2027, 1, 1),   (2027, 1, 1),   Some(1231), (2026, 12, 31), (2027, 1, 1),   (2027, 1, 1)),
        ((2028, 2, 28),  (2028, 2, 29),  None,       (2028, 2, 29),  (2028, 2, 29),  (2028, 2, 29)),
        ((2028, 2, 28),  (2028, 2, 28),  Some(229),  (2028, 2, 29),  (2028, 2, 28),  (2028, 2, 29)),
        ((2028, 2, 29),  (2028, 2, 29),  Some(301),  (2028, 3, 1),   (2028, 2, 29),  (2028, 3, 1)),
        ((2028, 2, 29),  (2028, 3, 1),   Some(229),  (2028, 2, 29),  (2028, 2, 29),  (2028, 2, 29)),
        ((2028, 3, 1),   (2028, 3, 1),   Some(229),  (2028, 2, 29),  (2028, 3, 1),   (2028, 3, 1)),
        // 29 February of a year without one, and a day that is none: as good as absent.
        ((2026, 2, 28),  (2026, 2, 28),  Some(229),  (2026, 2, 28),  (2026, 2, 28),  (2026, 2, 28)),
        ((2026, 2, 28),  (2026, 3, 1),   Some(231),  (2026, 3, 1),   (2026, 3, 1),   (2026, 3, 1)),
    ] {
        let date = |(year, month, day)| Date::from_ymd(year, month, day).unwrap();
        let (today, clock) = (date(bank), date(network));
        for (cut_over, business) in [(false, on_the_date), (true, after_cutover)] {
            let mut bank = Bank::empty(INDEXED);
            let genesis = Genesis { business_date: today, key_check: 7 };
            bank.ask(Request::Genesis(genesis));
            bank.ask(Request::OpenInternal { network: NETWORK, currency: KRW });
            bank.account("A", KRW, 1000, 0, AccountStatus::Active);
            bank.card("cA", "A", 3012, CardStatus::Active);
            let network = NETWORK;
            bank.ask(Request::NetworkCutover { network, date: clock, not_before_us: 0 });
            // A network that is ahead of the bank has opened the bank's next date.
            let early = bank.engine.business().phase == Some(Phase::Early);
            assert_eq!(early, clock == today.next());
            if cut_over {
                bank.ask(Request::Cutover { date: today });
            }
            let sent = de15.map_or_else(String::new, |de15| format!(" de15={de15}"));
            let rolled = bank.engine.rolled_forward();
            for (stan, kind) in (1..).zip(["purchase", "advice-purchase"]) {
                let outcome = bank.message(&format!("{kind} cA 1 #{stan}{sent}"));
                let seen = (outcome.code.number(), outcome.settlement_date, outcome.business_date);
                let told = format!("{kind} {sent}, the bank on {today}, the network on {clock}");
                assert_eq!(seen, (0, date(settlement), date(business)), "{told}");
            }
            let later = date(settlement) < date(business);
            let counted = bank.engine.rolled_forward() - rolled;
            assert_eq!(counted, 2 * u64::from(later), "roll-forwards are counted");
            let totals: Vec<_> = bank.engine.network_totals().collect();
            assert_eq!(totals.len(), 1);
            assert_eq!((totals[0].settlement_date, totals[0].debits.count), (date(settlement), 2));
        }
    }
}

/// A card is good until its month is over by the calendar: neither a cutover before
/// midnight nor one that is late makes a difference to it.
#[test]
fn a_night_at_a_months_end_expires_no_card() {
    let (mut with, mut without) = (Bank::open(), Bank::open());
    // D is 15 March, so that D+16 is the last of the month.
    for n in 0..16 {
        with.run(&format!(
            "cutover D+{n} -> done\nfreeze D+{n} -> done\nseal D+{n} -> done open D+{}",
            n + 1
        ));
    }
    for bank in [&mut with, &mut without] {
        bank.day = Date::from_ymd(2026, 3, 31).unwrap();
        bank.run("purchase lastmonth 1 #1 -> 00 A=999");
    }
    // The bank cuts over at half past eleven.
    with.run(
        "
        cutover D+16              -> done grace D+16
        purchase lastmonth 1 #2   -> 00 bdate=D+17
        freeze D+16               -> done frozen D+16
        balance lastmonth 0 #3    -> 00 de54=998/998 bdate=D+17
        ",
    );
    without.run(
        "
        purchase lastmonth 1 #2   -> 00 bdate=D
        balance lastmonth 0 #3    -> 00 de54=998/998
        ",
    );
    // Midnight: now it has expired, whichever date is open.
    for bank in [&mut with, &mut without] {
        bank.day = bank.day.next();
        bank.run(
            "
            purchase lastmonth 1 #4 -> 54 A=998
            purchase lastmonth 1 #2 -> 00 repeat A=998
            purchase cA 1 #5        -> 00 A=997
            ",
        );
    }
    with.run("seal D+16 -> done open D+17\npurchase lastmonth 1 #6 -> 54 A=997");
}
