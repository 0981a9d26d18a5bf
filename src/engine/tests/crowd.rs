//! A peer that never counts its STAN up: all its messages have one locator. They are
//! answered as ever, in the same way after a night and after a load, and what cannot
//! be told apart any more is acknowledged with an exception, or declined.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing
)]

mod common;
use common::stored::{events, image, reload};
use common::*;
use gapless_engine::command::*;
use gapless_engine::outcome::NightOutcome;
use gapless_engine::*;

/// Loads the bank anew from what is stored of it.
fn restart(bank: &mut Bank) {
    let loaded = reload(&bank.engine, &bank.engine, 1, INDEXED);
    assert!(image(&loaded) == image(&bank.engine));
    bank.engine = loaded;
}

/// The same lines on a bank that goes on, and on one that restarts before each.
fn both_ways(prepare: impl Fn(&mut Bank), lines: &str) {
    for restarts in [false, true] {
        let mut bank = Bank::open();
        prepare(&mut bank);
        for line in lines.lines() {
            if restarts {
                restart(&mut bank);
            }
            bank.run(line);
        }
    }
}

/// Forty purchases of 1 with STAN 7, each a second after the other.
fn by_the_second(bank: &mut Bank) {
    for n in 100..140 {
        bank.run(&format!("purchase cA 1 #7 de7={n} rrn={n} -> 00"));
    }
}

/// Forty of the same second, told apart by DE 37.
fn by_reference(bank: &mut Bank) {
    for n in 100..140 {
        bank.run(&format!("purchase cA 1 #7 de7=100 rrn={n} -> 00"));
    }
}

#[test]
fn everything_is_found_by_its_time() {
    let lines = "
        // Repeats, from the first to the last; another amount is another message.
        purchase cA 1 #7 de7=100 rrn=100 -> 00 repeat A=960
        purchase cA 1 #7 de7=107 rrn=107 -> 00 repeat A=960
        purchase cA 1 #7 de7=108 rrn=108 -> 00 repeat A=960
        purchase cA 1 #7 de7=139 rrn=139 -> 00 repeat A=960
        purchase cA 2 #7 de7=139 rrn=139 -> 94 A=960
        // Reversals, of the first and of a late one, and again.
        reverse cA #8 of #7 ode7=101 orrn=101 -> 00 A=961
        reverse cA #9 of #7 ode7=130 orrn=130 -> 00 A=962
        reverse cA #9 of #7 ode7=130 orrn=130 -> 00 repeat A=962
        reverse cA #10 of #7 ode7=130 orrn=130 -> 00 A=962
        purchase cA 1 #7 de7=130 rrn=130 -> 05 repeat A=962
        // With DE 37 lost; with DE 7 lost; with both.
        reverse cA #11 of #7 ode7=131 orrn=0 -> 00 A=963
        reverse cA #12 of #7 ode7=0 orrn=132 -> 00 A=964
        reverse cA #13 of #7 ode7=0 orrn=0 -> 00 exception=ReversalFitsSeveral A=964
        // Nothing but card and STAN fits.
        reverse cA #14 of #7 ode7=300 orrn=300 -> 00 exception=ReversalHalfFits A=964
        reverse cA #15 of #7 ode7=300 orrn=300 -> 00 A=964
        purchase cA 1 #7 de7=300 rrn=300 -> 05 A=964
        // An advice corrects its request, and a reversal undoes both.
        advice-purchase cA 3 #7 de7=135 rrn=135 -> 00 A=962
        reverse cA #16 of #7 ode7=135 orrn=135 -> 00 A=965
        advice-purchase cA 3 #7 de7=136 rrn=136 -> 00 A=963
        advice-purchase cA 4 #7 de7=136 rrn=136 terminal=2 -> 00 exception=AdviceAgain A=963
        // One that stands alone, and the request that comes too late.
        advice-purchase cA 5 #7 de7=400 rrn=400 -> 00 A=958
        purchase cA 5 #7 de7=400 rrn=400 -> 94 remembered A=958
        purchase cA 5 #7 de7=400 rrn=400 -> 94 repeat A=958
        ";
    both_ways(by_the_second, lines);
}

#[test]
fn what_shares_the_second_too_is_found_by_de_37() {
    let lines = "
        purchase cA 1 #7 de7=100 rrn=100 -> 00 repeat A=960
        purchase cA 1 #7 de7=100 rrn=112 -> 00 repeat A=960
        purchase cA 1 #7 de7=100 rrn=139 -> 00 repeat A=960
        reverse cA #8 of #7 ode7=100 orrn=139 -> 00 A=961
        purchase cA 1 #7 de7=100 rrn=139 -> 05 repeat A=961
        advice-purchase cA 3 #7 de7=100 rrn=138 -> 00 A=959
        reverse cA #9 of #7 ode7=100 orrn=138 -> 00 A=962
        // DE 90 alone does not name one of forty.
        reverse cA #10 of #7 ode7=100 orrn=0 -> 00 exception=ReversalFitsSeveral A=962
        reverse cA #10 of #7 ode7=100 orrn=0 -> 00 repeat A=962
        // But with DE 7 lost, DE 37 does.
        reverse cA #11 of #7 ode7=0 orrn=137 -> 00 A=963
        reverse cA #12 of #7 ode7=100 orrn=500 -> 00 exception=ReversalHalfFits A=963
        purchase cA 1 #7 de7=100 rrn=500 -> 05 A=963
        ";
    both_ways(by_reference, lines);
}

#[test]
fn what_shares_everything_but_the_terminal_is_declined_and_never_posted_twice() {
    let eight = |bank: &mut Bank| {
        for n in 1..=8 {
            bank.run(&format!("purchase cA 1 #7 rrn=5 terminal={n} -> 00"));
        }
        for n in 9..60 {
            bank.run(&format!(
                "purchase cA 1 #7 rrn=5 terminal={n} -> 94 remembered"
            ));
        }
    };
    let lines = "
        purchase cA 1 #7 rrn=5 terminal=1 -> 00 repeat A=992
        purchase cA 1 #7 rrn=5 terminal=8 -> 00 repeat A=992
        purchase cA 1 #7 rrn=5 terminal=59 -> 94 repeat A=992
        purchase cA 2 #7 rrn=5 terminal=59 -> 94 A=992
        reverse cA #8 of #7 orrn=5 -> 00 exception=ReversalFitsSeveral A=992
        reverse cA #8 of #7 orrn=5 -> 00 repeat A=992
        advice-purchase cA 2 #7 rrn=5 terminal=59 -> 00 exception=AdviceAgain A=992
        advice-purchase cA 2 #7 rrn=5 terminal=59 -> 00 repeat A=992
        // Another card, and the same card's next STAN, are not touched by it.
        purchase cB 1 #7 rrn=5 -> 00 B=499
        purchase cA 1 #8 rrn=5 -> 00 A=991
        reverse cA #9 of #8 orrn=5 -> 00 A=992
        ";
    both_ways(eight, lines);
}

#[test]
fn a_crowd_over_five_nights_is_forgotten_day_by_day() {
    for restarts in [false, true] {
        let mut bank = Bank::open();
        let night = |bank: &mut Bank, n: u64| {
            bank.run(&format!(
                "cutover D+{n} -> done\nfreeze D+{n} -> done\nseal D+{n} -> done"
            ));
            if restarts {
                restart(bank);
            }
        };
        // Twenty a day; the last one of each is a day of its own in DE 7 and 37.
        for n in 0..=6 {
            for at in 0..20 {
                let name = n * 20 + at;
                bank.run(&format!("purchase cA 1 #7 de7={name} rrn={name} -> 00"));
            }
            if n < 6 {
                night(&mut bank, n);
            }
        }
        // Days 2 to 6 are remembered: the fourth seal after its own forgets a day.
        bank.run(
            "
            purchase cA 1 #7 de7=59 rrn=59 -> 00 repeat A=860
            purchase cA 1 #7 de7=41 rrn=41 -> 00 repeat A=860
            purchase cA 1 #7 de7=79 rrn=79 -> 00 repeat A=860
            reverse cA #8 of #7 ode7=59 orrn=59 -> 00 A=861
            reverse cA #9 of #7 ode7=139 orrn=139 -> 00 A=862
            // Forgotten: these are new.
            purchase cA 1 #7 de7=1 rrn=1 -> 00 A=861
            purchase cA 1 #7 de7=39 rrn=39 -> 00 A=860
            reverse cA #10 of #7 ode7=19 orrn=19 -> 00 exception=ReversalHalfFits A=860
            ",
        );
        // Enough of other messages that all places of what is forgotten are given back.
        for n in 1000..1100 {
            bank.run(&format!("purchase cB 1 #{n} -> 00"));
        }
        bank.run(
            "
            purchase cA 1 #7 de7=1 rrn=1 -> 00 repeat A=860
            purchase cA 1 #7 de7=59 rrn=59 -> 05 repeat A=860
            purchase cA 1 #7 de7=135 rrn=135 -> 00 repeat A=860
            ",
        );
    }
}

#[test]
fn entries_of_a_batch_that_meet_a_crowd_are_posted_once() {
    for restarts in [false, true] {
        let mut bank = Bank::open();
        by_the_second(&mut bank);
        bank.run("batch KRW -> done\ncutover D -> done\nfreeze D -> done");
        // The lower half of an id is a hash: these meet the crowd, and each other.
        let entry = |n: u64, amount_minor| {
            Request::PostEntry(PostEntry {
                id: u128::from(n << 32) << 64 | u128::from(locator(NETWORK, "cA", 7)),
                account: number("B"),
                amount_minor,
                currency: KRW,
                date: today(),
            })
        };
        let repeated = |answer| match answer {
            Answer::Night(NightOutcome::Done { is_repeat, .. }) => Some(is_repeat),
            _ => None,
        };
        for n in 1..=40 {
            assert_eq!(repeated(bank.ask(entry(n, 1))), Some(false), "{n}");
        }
        if restarts {
            restart(&mut bank);
        }
        for n in 1..=40 {
            assert_eq!(repeated(bank.ask(entry(n, 1))), Some(true), "{n}");
            assert_eq!(repeated(bank.ask(entry(n, 2))), None, "{n}: other content");
        }
        assert_eq!(bank.ledger("B"), 540);
        bank.run(
            "
            purchase cA 1 #7 de7=139 rrn=139 -> 00 repeat A=960
            reverse cA #8 of #7 ode7=139 orrn=139 -> 00 A=961
            seal D KRW:40:40 -> done open D+1
            ",
        );
    }
}

/// A crowd in every phase of the night against its twin without one, the former
/// loaded anew on the way: the same answers.
#[test]
fn a_night_through_a_crowd_changes_no_answer() {
    let (mut with, mut without) = (Bank::open(), Bank::open());
    let night = [
        "cutover D",
        "freeze D",
        "seal D",
        "cutover D+1",
        "freeze D+1",
    ];
    for n in 0..60u64 {
        // Few of each part, so that every length of a name is crowded.
        let (time, reference) = (n % 3 + 1, n % 5 + 1);
        let lines = [
            format!("purchase cA 1 #7 de7={time} rrn={reference} terminal={n}"),
            format!("reverse cA #{} of #7 ode7={time} orrn={reference}", 100 + n),
            format!("advice-purchase cA 2 #7 de7={time} rrn={reference} terminal={n}"),
            format!("reverse cA #{} of #7 ode7=0 orrn={reference}", 200 + n),
            format!("reverse cA #{} of #7 ode7={time} orrn=0", 300 + n),
        ];
        for line in &lines {
            let (a, b) = (with.message(line), without.message(line));
            assert_eq!((a.code, a.is_repeat), (b.code, b.is_repeat), "{n}: {line}");
            assert_eq!(with.ledger("A"), without.ledger("A"), "{n}: {line}");
        }
        let exceptions = |bank: &Bank| bank.engine.counts().exceptions;
        assert_eq!(exceptions(&with), exceptions(&without), "{n}");
        if n % 10 == 5
            && let Some(step) = night.get(n as usize / 10)
        {
            with.ask(parse_night(step).unwrap());
            restart(&mut with);
        }
    }
    for bank in [&with, &without] {
        audit(&bank.engine).unwrap();
        let mut replay = Engine::new(INDEXED);
        for event in events(&bank.log) {
            assert_eq!(replay.check(&event), Ok(()));
            replay.apply(&event);
        }
        assert!(image(&replay) == image(&bank.engine));
    }
}
