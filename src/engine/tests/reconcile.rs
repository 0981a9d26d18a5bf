//! Reconciliation with networks, as tables that a settlement clerk could read.
//!
//! `recon #STAN D [KRW] [DE=VALUE ...] -> balance|differs|CODE [repeat] [DE=VALUE ...]`:
//! what network 1 sends of date D, and what we answer, with our figures. `ask`, and
//! `answered VERDICT [DE=VALUE ...]`, are our own 0500 and its answer.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing
)]

mod common;
use common::*;
use gapless_engine::command::*;
use gapless_engine::ids::*;
use gapless_engine::outcome::NightOutcome;
use gapless_engine::*;

fn figures(words: &[&str]) -> Figures {
    words.iter().fold(Figures::NONE, |figures, word| {
        let (element, value) = word.split_once('=').unwrap_or_else(|| panic!("{word}"));
        let (element, value) = (element.parse().unwrap(), value.parse().unwrap());
        figures.with(element, value).unwrap()
    })
}

fn currency(word: &str) -> Option<Currency> {
    match word {
        "KRW" => Some(KRW),
        "USD" => Some(USD),
        "JPY" => Some(JPY),
        _ => None,
    }
}

fn reconcile(words: &[&str]) -> Request {
    let stan: u64 = words[0].strip_prefix('#').unwrap().parse().unwrap();
    let currency = words.get(2).copied().and_then(currency);
    let rest = &words[2 + usize::from(currency.is_some())..];
    Request::Reconcile(Reconcile {
        identity: Identity {
            key: hash(&[500, stan]),
            locator: stan as u32,
            transmitted: (3 * 31 + 15) * 86_400 + stan as u32 + 1,
            ..Identity::default()
        },
        network: NETWORK,
        settlement: day(words[1]).month_day(),
        currency,
        theirs: figures(rest),
    })
}

/// The elements that a table names must be so; a bank has more.
fn must_say(line: &str, figures: &Figures, expected: &[&str]) {
    for word in expected {
        let (element, value) = word.split_once('=').unwrap();
        let element: u8 = element.parse().unwrap();
        let found = figures.get(element).map(|found| found.to_string());
        assert_eq!(found.as_deref(), Some(value), "{line}\n  DE {element}");
    }
}

fn run(bank: &mut Bank, lines: &str) {
    for line in lines.lines().map(str::trim) {
        let (message, expected) = line.split_once("->").unwrap_or((line, ""));
        let words: Vec<&str> = message.split_whitespace().collect();
        let expected: Vec<&str> = expected.split_whitespace().collect();
        match words.first() {
            Some(&"recon") => check_recon(bank, line, reconcile(&words[1..]), &expected),
            Some(&"ask") => {
                let before = bank.engine.last_seq();
                bank.ask(Request::AskReconciliation { network: NETWORK });
                let asked = bank.engine.asked(NETWORK).copied();
                let new = bank.engine.last_seq() > before;
                match expected[0] {
                    "nothing" => assert!(!new, "{line}"),
                    date => {
                        let asked = asked.unwrap();
                        assert!(new && asked.seq == bank.engine.last_seq(), "{line}");
                        assert_eq!(asked.settlement_date, day(date), "{line}");
                        assert_eq!(Some(asked.currency), currency(expected[1]), "{line}");
                        must_say(line, &asked.ours, &expected[2..]);
                    }
                }
            }
            Some(&"answered") => check_answered(bank, line, &words, &expected),
            Some(&"announced") => {
                let answer = bank.ask(Request::CutoverAnnounced {
                    network: NETWORK,
                    closed: day(words[1]),
                });
                let done = matches!(answer, Answer::Night(NightOutcome::Done { .. }));
                assert_eq!(done, expected[0] == "done", "{line}");
            }
            _ => bank.run(line),
        }
        audit(&bank.engine).unwrap_or_else(|breach| panic!("{line}\n  {breach}"));
    }
    assert_eq!(bank.engine.counts().breaches, 0);
}

fn check_recon(bank: &mut Bank, line: &str, request: Request, expected: &[&str]) {
    let (seq, exceptions) = (bank.engine.last_seq(), bank.engine.counts().exceptions);
    let Answer::Message(outcome) = bank.ask(request) else {
        panic!("{line}");
    };
    let (word, rest) = expected.split_first().unwrap();
    if let Ok(code) = word.parse::<u8>() {
        assert_eq!(outcome.code.number(), code, "{line}");
        assert_eq!(bank.engine.last_seq(), seq, "{line}: no effect");
        return;
    }
    assert_eq!(outcome.code.number(), 0, "{line}");
    let repeat = rest.first() == Some(&"repeat");
    assert_eq!(outcome.is_repeat, repeat, "{line}");
    let done = *bank.engine.reconciliation(outcome.seq).unwrap();
    let verdict = match *word {
        "balance" => Verdict::InBalance,
        "differs" => Verdict::OutOfBalance,
        other => panic!("{other}"),
    };
    assert_eq!(done.verdict, verdict, "{line}\n  {done:?}");
    must_say(line, &done.ours, &rest[usize::from(repeat)..]);
    assert_eq!(bank.engine.last_seq(), seq + u64::from(!repeat), "{line}");
    let added = bank.engine.counts().exceptions - exceptions;
    let expected = u64::from(*word == "differs" && !repeat);
    assert_eq!(added, expected, "{line}: exceptions");
}

fn check_answered(bank: &mut Bank, line: &str, words: &[&str], expected: &[&str]) {
    let asked = bank.engine.asked(NETWORK).unwrap().seq;
    let exceptions = bank.engine.counts().exceptions;
    bank.ask(Request::ReconciliationAnswered {
        network: NETWORK,
        asked,
        verdict: match words[1] {
            "66=1" => Some(Verdict::InBalance),
            "66=2" => Some(Verdict::OutOfBalance),
            "66=9" => Some(Verdict::Received),
            "refused" => Some(Verdict::Refused),
            "00" => None,
            other => panic!("{other}"),
        },
        theirs: figures(&words[2..]),
    });
    assert_eq!(bank.engine.asked(NETWORK), None, "{line}");
    let added = bank.engine.counts().exceptions - exceptions;
    assert_eq!(added, u64::from(expected != ["fine"]), "{line}");
    if let [kind] = expected
        && *kind != "fine"
    {
        let newest = bank.engine.exceptions().last().unwrap();
        assert_eq!(format!("{:?}", newest.kind), *kind, "{line}");
        let done = bank.engine.reconciliation(newest.seq).unwrap();
        assert_eq!(done.theirs, figures(&words[2..]), "{line}");
    }
}

fn bank(lines: &str) -> Bank {
    let mut bank = Bank::open();
    run(&mut bank, lines);
    replayed(&bank);
    bank
}

/// Replay equals live, and so does what a checkpoint keeps.
fn replayed(bank: &Bank) {
    let mut again = Engine::new(INDEXED);
    let mut rest = &bank.log[..];
    while !rest.is_empty() {
        let (event, tail) = Event::decode(rest).unwrap();
        again.check(&event).unwrap();
        again.apply(&event);
        rest = tail;
    }
    assert_eq!(again.state_hash(), bank.engine.state_hash());
    assert_eq!(again.residue(), bank.engine.residue());
    let live: Vec<_> = bank.engine.reconciliations().collect();
    assert_eq!(again.reconciliations().collect::<Vec<_>>(), live);
}

#[test]
fn what_counts_is_what_the_network_sees() {
    bank(
        "
        netcutover 1 D notbefore=999999999 -> done open D
        recon #901 D KRW                       -> balance 74=0 76=0 88=0 97=0
        purchase cA 300 #1                     -> 00
        purchase cA 300 #1                     -> 00 repeat
        purchase cA 99999 #2                   -> 51
        cash cB 50 #3                          -> 00
        refund cA 20 #4                        -> 00
        inquiry cA 0 #5                        -> 00
        transfer cA 7 #6 to=B                  -> 00
        // An advice that nobody asked before counts as itself.
        advice-purchase cA 11 #7               -> 00
        // One that corrects a request: one debit, of the advice's amount.
        purchase cB 100 #8                     -> 00
        advice-purchase cB 90 #8               -> 00
        // Accepted on the suspense account: the network counts it as well.
        advice-purchase nocard 5 #9            -> 00 exception=AdviceUnknownCard
        reverse cA #10 of #1                   -> 00
        reverse cA #10 of #1                   -> 00 repeat
        // Nothing to undo: a declined and an unknown original.
        reverse cA #11 of #2                   -> 00
        reverse cA #12 of #77                  -> 00
        reverse cA #13 of #4                   -> 00
        reverse cA #14 of #6                   -> 00
        recon #902 D KRW 74=1 75=1 76=5 77=1 78=1 79=1 80=1 81=0 86=20 87=20 88=456 89=300 97=-156 -> balance
        // Those of our own terminals are none of the network's.
        purchase cA 1 #15 network=0            -> 00
        recon #903 D KRW 76=5 88=456           -> balance
        ",
    );
}

/// The network knows of one item, the advice: on its date, in its currency.
#[test]
fn a_correcting_advice_takes_its_requests_place() {
    let bank = bank(
        "
        netcutover 1 D notbefore=999999999   -> done open D
        purchase cB 100 #1                   -> 00 sdate=D
        refund cA 40 #2                      -> 00 sdate=D
        purchase cA 10USD #3 billing=130KRW  -> 00 sdate=D
        transfer cA 7 #4 to=B                -> 00 sdate=D
        purchase cA 30 #5                    -> 00 sdate=D
        recon #901 D KRW 74=1 76=2 78=1 86=40 88=130 -> balance
        recon #902 D USD 76=1 88=10          -> balance
        netcutover 1 D+1                     -> done early D
        advice-purchase cB 90 #1             -> 00 sdate=D+1 B=417
        advice-refund cA 45 #2               -> 00 sdate=D+1
        // In another currency than its request.
        advice-purchase cA 131KRW #3         -> 00 sdate=D+1
        advice-transfer cA 9 #4 to=B         -> 00 sdate=D+1
        // Of the same date: as ever.
        advice-purchase cA 25 #5 de15=0315   -> 00 sdate=D
        advice-purchase cA 25 #5 de15=0315   -> 00 repeat sdate=D
        recon #903 D KRW 74=0 76=1 78=0 86=0 88=25       -> balance
        recon #904 D USD 76=0 88=0                       -> balance
        recon #905 D+1 KRW 74=1 76=2 78=1 86=45 88=221   -> balance
        // What is reversed is the whole of it.
        reverse cB #6 of #1                  -> 00 B=509
        recon #906 D+1 KRW 76=2 77=1 88=221 89=90        -> balance
        ",
    );
    let transfers: Vec<_> = bank
        .engine
        .network_totals()
        .map(|totals| (totals.settlement_date, totals.transfers.amount_minor))
        .filter(|(_, minor)| *minor != 0)
        .collect();
    assert_eq!(transfers, [(day("D+1"), 9)]);
}

#[test]
fn a_difference_is_an_exception_with_both_sides_figures() {
    let bank = bank(
        "
        purchase cA 300 #1                  -> 00
        recon #901 D KRW 76=2 88=700 97=-700 -> differs 76=1 88=300 97=-300
        ",
    );
    let exception = *bank.engine.exceptions().last().unwrap();
    assert_eq!(exception.kind, ExceptionKind::ReconciliationDiffers);
    assert_eq!((exception.amount_minor, exception.network), (400, NETWORK));
    let done = bank.engine.reconciliation(exception.seq).unwrap();
    let differ: Vec<_> = done.theirs.differences(&done.ours).collect();
    assert_eq!(differ, [(76, 2, 1), (88, 700, 300), (97, -700, -300)]);
}

#[test]
fn a_repeat_gets_the_first_answer_and_has_one_effect() {
    bank(
        "
        purchase cA 300 #1         -> 00
        recon #901 D KRW 76=1      -> balance 76=1
        recon #902 D KRW 76=9      -> differs 76=1
        purchase cA 300 #2         -> 00
        recon #901 D KRW 76=1      -> balance repeat 76=1
        recon #902 D KRW 76=9      -> differs repeat 76=1
        // The same message with other figures, date or currency is none.
        recon #901 D KRW 76=2      -> 94
        recon #901 D KRW 76=1 77=0 -> 94
        recon #901 D+1 KRW 76=1    -> 94
        recon #901 D USD 76=1      -> 94
        ",
    );
}

#[test]
fn de_50_may_be_left_out_where_one_currency_is_meant() {
    let mut bank = Bank::founded(INDEXED);
    // No totals, three settlement accounts.
    run(&mut bank, "recon #900 D 76=0 -> 30");
    let mut bank = Bank::open();
    run(
        &mut bank,
        "
        purchase cA 300 #1                       -> 00
        recon #901 D 76=1                        -> balance
        recon #902 D+1 76=0                      -> balance
        purchase cU 3USD #2                      -> 00
        recon #903 D 76=1                        -> 30
        recon #904 D+1 76=0                      -> 30
        recon #905 D USD 76=1 88=3               -> balance
        // A currency in which the bank keeps no books: zeros.
        recon #906 D JPY 76=0                    -> balance
        recon #907 D JPY 76=1                    -> differs 76=0
        ",
    );
}

#[test]
fn each_settlement_date_by_itself_and_longer_than_the_bank_keeps_it_open() {
    bank(
        "
        netcutover 1 D notbefore=999999999 -> done open D
        purchase cA 10 #1                 -> 00 bdate=D sdate=D
        netcutover 1 D+1                  -> done early D
        purchase cA 20 #2                 -> 00 bdate=D+1 sdate=D+1
        // Late, and said so: it settles on D.
        purchase cA 30 #3 de15=0315       -> 00 bdate=D sdate=D
        cutover D                         -> done grace D
        freeze D                          -> done frozen D
        // Rolled forward for the bank, and still D's for the network.
        advice-purchase cA 40 #4 de15=0315 -> 00 bdate=D+1 sdate=D
        seal D                            -> done open D+1
        advice-purchase cA 50 #5 de15=0315 -> 00 bdate=D+1 sdate=D
        // A reversal counts on its own settlement date.
        reverse cA #6 of #1               -> 00 sdate=D+1
        recon #901 D KRW 76=4 77=0 88=130 97=-130 -> balance
        recon #902 D+1 KRW 76=1 77=1 88=20 89=10  -> balance
        cutover D+1 -> done grace D+1
        freeze D+1  -> done frozen D+1
        seal D+1    -> done open D+2
        cutover D+2 -> done grace D+2
        freeze D+2  -> done frozen D+2
        seal D+2    -> done open D+3
        cutover D+3 -> done grace D+3
        freeze D+3  -> done frozen D+3
        seal D+3    -> done open D+4
        cutover D+4 -> done grace D+4
        freeze D+4  -> done frozen D+4
        seal D+4    -> done open D+5
        cutover D+5 -> done grace D+5
        freeze D+5  -> done frozen D+5
        seal D+5    -> done open D+6
        recon #903 D KRW 76=4 88=130      -> balance 76=4 88=130
        ",
    );
}

#[test]
fn our_own_question_after_the_networks_cutover() {
    let bank = bank(
        "
        ask                                -> nothing
        purchase cA 300 #1                 -> 00
        purchase cU 3USD #2                -> 00
        // The network has told no date yet, or the date goes on.
        ask                                -> nothing
        netcutover 1 D notbefore=999999999 -> done open D
        ask                                -> nothing
        netcutover 1 D+1                   -> done early D
        ask                                -> D KRW 76=1 88=300 97=-300
        // One at a time, with its figures as they were.
        purchase cA 5 #3 de15=0315         -> 00 sdate=D
        ask                                -> nothing
        answered 66=1 76=1 88=300          -> fine
        ask                                -> D USD 76=1 88=3
        answered 66=2 76=2 88=7            -> ReconciliationDiffers
        ask                                -> nothing
        purchase cA 5 #4                   -> 00 sdate=D+1
        netcutover 1 D+2                   -> done early D
        ask                                -> D+1 KRW 76=1 88=5
        answered refused                   -> ReconciliationRefused
        purchase cA 5 #5                   -> 00 sdate=D+2
        netcutover 1 D+3                   -> done early D
        ask                                -> D+2 KRW
        answered 66=9                      -> fine
        purchase cA 5 #6                   -> 00 sdate=D+3
        netcutover 1 D+4                   -> done early D
        ask                                -> D+3 KRW 76=1
        // No DE 66: its figures tell.
        answered 00 76=2                   -> ReconciliationDiffers
        ask                                -> nothing
        ",
    );
    let (asked, unanswered) = (bank.engine.asked(NETWORK), bank.engine.to_ask(NETWORK));
    assert_eq!((asked, unanswered), (None, None));
}

#[test]
fn the_banks_cutover_is_announced_once() {
    let mut bank = Bank::open();
    assert_eq!(bank.engine.unannounced(NETWORK), None);
    run(
        &mut bank,
        "
        announced D -> nothing
        cutover D   -> done grace D
        ",
    );
    let due = bank.engine.unannounced(NETWORK).unwrap();
    assert_eq!((due.closed, due.seq), (day("D"), bank.engine.last_seq()));
    run(
        &mut bank,
        "
        announced D-1 -> nothing
        announced D   -> done
        announced D   -> nothing
        freeze D      -> done frozen D
        seal D        -> done open D+1
        cutover D+1   -> done grace D+1
        ",
    );
    let due = bank.engine.unannounced(NETWORK).unwrap();
    assert_eq!(due.closed, day("D+1"));
    replayed(&bank);
}

#[test]
fn the_newest_of_each_network_are_kept() {
    let mut bank = Bank::open();
    for stan in 0..100 {
        run(&mut bank, &format!("recon #{stan} D KRW 76=0 -> balance"));
    }
    let kept = gapless_engine::limits::RECONCILIATIONS_KEPT;
    assert_eq!(bank.engine.reconciliations().count(), kept);
    run(
        &mut bank,
        "
        recon #99 D KRW 76=0 -> balance repeat
        // Forgotten: compared again, which harms nobody.
        recon #1 D KRW 76=0  -> balance
        ",
    );
    replayed(&bank);
}
