//! The rules, one line each: message, DE 39, and balances after (ledger, or
//! ledger/available). A card cX draws on account X. Opening balances: A 1000, B
//! 500, U 1000 (USD), BLOCKED 1000, CLOSED 1000, OD 0 with an overdraft of 500.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod common;
use common::Bank;

#[test]
fn approvals_move_money_between_customer_and_network() {
    Bank::open().run(
        "
        purchase cA 300         #1 -> 00 A=700/700 GL-SETTLE-0001-410=300
        cash     cA 200         #2 -> 00 A=500/500 GL-SETTLE-0001-410=500
        cashback cA 100 #3 cashback=40 -> 00 A=400 GL-SETTLE-0001-410=600
        refund   cA 50          #4 -> 00 A=450 GL-SETTLE-0001-410=550
        purchase cA 450 #5 network=0 -> 00 A=0/0 GL-SETTLE-0000-410=450 GL-SETTLE-0001-410=550
        purchase cU 999USD      #6 -> 00 U=1 GL-SETTLE-0001-840=999
        purchase cOD 500        #7 -> 00 OD=-500/0
        transfer cB 200 #8 to=A -> 00 B=300 A=200
        transfer cB 100 #9 from=B to=OD -> 00 B=200 OD=-400/100
        transfer -  50 #10 from=A to=B -> 00 A=150 B=250
        ",
    );
}

#[test]
fn inquiries_tell_ledger_and_available() {
    Bank::open().run(
        "
        inquiry cA 0     #1 -> 00 de54=1000/1000
        balance cOD 0    #2 -> 00 de54=0/500
        purchase cA 1    #3 -> 00 A=999
        // A repeat tells what was told first; a new one tells the new balance.
        inquiry cA 0     #1 -> 00 repeat de54=1000/1000
        balance cOD 0    #2 -> 00 repeat de54=0/500
        inquiry cA 0     #4 -> 00 de54=999/999
        // No amount and no currency are needed.
        inquiry cA 0JPY  #5 -> 00 de54=999/999
        inquiry cU 5EUR  #6 -> 00 de54=1000/1000
        inquiry lost 0   #7 -> 41
        inquiry cBLOCKED 0 #8 -> 57
        inquiry cCLOSED 0  #9 -> 78
        inquiry nocard 0  #10 -> 14
        ",
    );
}

#[test]
fn wide_inquiries_are_remembered_too() {
    let mut bank = Bank::open();
    // More than 40 bits between ledger and available.
    bank.account(
        "RICH",
        common::KRW,
        -1,
        999_999_999_999,
        gapless_engine::command::AccountStatus::Active,
    );
    bank.card(
        "cRICH",
        "RICH",
        3012,
        gapless_engine::command::CardStatus::Active,
    );
    bank.run(
        "
        inquiry cRICH 0   #1 -> 00 de54=-1/999999999998
        purchase cRICH 10 #2 -> 00 RICH=-11
        inquiry cRICH 0   #1 -> 00 repeat de54=-1/999999999998
        reverse cRICH #3 of #1 -> 00
        inquiry cRICH 0   #1 -> 05 repeat
        ",
    );
}

#[test]
fn each_decline_has_no_effect() {
    Bank::open().run(
        "
        purchase cA 300JPY            #1 -> 12 A=1000
        purchase cA 0                 #2 -> 13 A=1000
        purchase cA 1000000000000     #3 -> 13 A=1000
        cashback cA 100 #4 cashback=101 -> 13 A=1000
        purchase nocard 10            #5 -> 14
        purchase - 10                 #6 -> 14
        transfer nocard 10 #7 from=A to=B -> 14
        purchase lost 10              #8 -> 41 A=1000
        purchase stolen 10            #9 -> 43 A=1000
        purchase barred 10           #10 -> 57 A=1000
        purchase expired 10          #11 -> 54 A=1000
        purchase lastmonth 10        #12 -> 00 A=990
        purchase cA 10 #13 expiry=3011 -> 54 A=990
        purchase cA 10 #14 expiry=3012 -> 00 A=980
        transfer cA 10 #15 from=NONE to=B -> 77
        transfer - 10  #16 to=B      -> 77
        transfer - 10  #17 from=GL-SUSPENSE-410 to=B -> 77
        transfer - 10  #18 from=CLOSED to=B -> 77
        transfer cA 10 #19 to=NONE   -> 76
        transfer cA 10 #20           -> 76
        transfer cA 10 #21 to=CLOSED -> 76
        transfer cA 10 #22 to=A      -> 76 A=980
        transfer cA 10 #23 to=GL-SETTLE-0001-410 -> 76
        purchase cCLOSED 10          #24 -> 78 CLOSED=1000
        purchase cA 10 #25 from=NONE -> 77
        purchase cA 10 #26 from=B    -> 57 A=980 B=500
        transfer cA 10 #27 from=B to=A -> 57 A=980 B=500
        purchase cBLOCKED 10         #28 -> 57 BLOCKED=1000
        refund   cBLOCKED 10         #29 -> 57 BLOCKED=1000
        transfer cA 10 #30 to=BLOCKED -> 57 A=980
        purchase cA 10USD            #31 -> 12 A=980
        purchase cU 10               #32 -> 12 U=1000
        transfer cA 10 #33 to=U      -> 12 A=980 U=1000
        transfer cU 10 #34 to=A      -> 12 A=980 U=1000
        purchase cA 10 #35 refusal=57 -> 57 A=980
        purchase cA 10 #36 refusal=61 -> 61 A=980
        purchase cA 10 #41 network=7 -> 12 A=980
        purchase cA 981              #37 -> 51 A=980/980
        purchase cOD 501             #38 -> 51 OD=0/500
        transfer cB 501 #39 to=A     -> 51 B=500
        refund   cA 10               #40 -> 00 A=990
        ",
    );
}

#[test]
fn the_most_telling_reason_comes_first() {
    Bank::open().run(
        "
        // Each line breaks the rule that answers and some that come after it.
        purchase nocard 0JPY  #1 refusal=61 -> 12
        purchase nocard 0     #2 refusal=61 -> 13
        purchase nocard 9999  #3 refusal=61 -> 14
        purchase lost 9999    #4 refusal=61 expiry=2001 -> 41
        purchase barred 9999  #5 refusal=61 expiry=2001 -> 57
        purchase expired 9999 #6 refusal=61 from=NONE -> 54
        transfer cA 9999USD   #7 refusal=61 from=NONE to=NONE -> 77
        transfer cA 9999USD   #8 refusal=61 from=B to=NONE -> 76
        purchase cCLOSED 9999USD #9 refusal=61 from=B -> 78
        purchase cBLOCKED 9999USD #10 refusal=61 -> 57
        purchase cA 9999USD   #11 refusal=61 -> 12
        purchase cA 9999      #12 refusal=61 -> 61
        purchase cA 9999      #13 -> 51
        ",
    );
}

#[test]
fn repeats_are_answered_as_the_first_time() {
    Bank::open().run(
        "
        purchase cA 300  #1 -> 00 A=700
        purchase cA 300  #1 -> 00 repeat A=700
        purchase cA 300  #1 -> 00 repeat A=700
        purchase cA 701  #2 -> 51 A=700
        refund   cA 100  #3 -> 00 A=800
        // A decline stays one, though there is money by now.
        purchase cA 701  #2 -> 51 repeat A=800
        // A refusal by the link's rules is remembered whatever the rules say by now.
        purchase cA 10 #4 refusal=61 -> 61 A=800
        purchase cA 10 #4            -> 61 repeat A=800
        purchase cA 300 #1 refusal=57 -> 00 repeat A=800
        purchase nocard 5 #5 -> 14
        purchase nocard 5 #5 -> 14 repeat
        advice-purchase cA 5 #6 -> 00 A=795
        advice-purchase cA 5 #6 -> 00 repeat A=795
        ",
    );
}

#[test]
fn the_same_key_with_something_else_is_a_94() {
    Bank::open().run(
        "
        purchase cA 300    #1 -> 00 A=700
        purchase cA 301    #1 -> 94 A=700
        cash     cA 300    #1 -> 94 A=700
        purchase cA 300USD #1 -> 94 A=700
        purchase cA 300    #1 from=A -> 94 A=700
        purchase cA 300    #1 billing=1USD -> 94 A=700
        cashback cA 300    #1 cashback=1 -> 94 A=700
        transfer cB 10 #2 to=A -> 00 B=490
        transfer cB 10 #2 to=OD -> 94 B=490 OD=0
        purchase cA 300    #1 -> 00 repeat A=710
        // Another terminal, acquirer, time, RRN or network: another message.
        purchase cA 1 #1 terminal=2 -> 00 A=709
        purchase cA 1 #1 acquirer=8 -> 00 A=708
        purchase cA 1 #1 de7=77     -> 00 A=707
        purchase cA 1 #1 rrn=77     -> 00 A=706
        purchase cA 1 #1 network=0  -> 00 A=705
        ",
    );
}

#[test]
fn reversals_undo_once_and_are_always_acknowledged() {
    Bank::open().run(
        "
        purchase cA 300 #1 -> 00 A=700 GL-SETTLE-0001-410=300
        reverse cA #2 of #1 -> 00 A=1000 GL-SETTLE-0001-410=0
        reverse cA #2 of #1 -> 00 repeat A=1000
        reverse cA #3 of #1 -> 00 A=1000
        reverse cA #2 of #1 advice -> 00 A=1000
        // Once reversed, a repeat of the original is declined.
        purchase cA 300 #1 -> 05 repeat A=1000
        refund cA 100 #4 -> 00 A=1100
        reverse cA #5 of #4 amount=100 -> 00 A=1000
        transfer cA 100 #6 to=B -> 00 A=900 B=600
        reverse cA #7 of #6 -> 00 A=1000 B=500
        transfer - 100 #8 from=B to=A -> 00 B=400
        reverse - #9 of #8 -> 00 A=1000 B=500
        // A declined original has no effect to undo, and stays what it was.
        purchase cA 5000 #10 -> 51
        reverse cA #11 of #10 -> 00 A=1000
        purchase cA 5000 #10 -> 51 repeat
        // What was refunded may have been spent: a reversal posts all the same.
        refund cOD 100 #12 -> 00 OD=100
        purchase cOD 600 #13 -> 00 OD=-500/0
        reverse cOD #14 of #12 -> 00 OD=-600/-100
        inquiry cA 0 #15 -> 00 de54=1000/1000
        reverse cA #16 of #15 -> 00
        ",
    );
}

#[test]
fn a_reversal_before_its_original() {
    Bank::open().run(
        "
        reverse cA #2 of #1 -> 00 A=1000
        reverse cA #2 of #1 -> 00 repeat
        reverse cA #3 of #1 -> 00
        purchase cA 300 #1 -> 05 A=1000
        purchase cA 300 #1 -> 05 repeat
        reverse cA #4 of #1 -> 00 A=1000
        // Another message of the same card is not touched.
        purchase cA 300 #5 -> 00 A=700
        // Same STAN on another day.
        purchase cA 100 #1 de7=500 rrn=500 -> 00 A=600
        // An advice is declined as well, if the tombstone is its own.
        reverse cA #7 of #6 oclass=220 -> 00
        advice-purchase cA 10 #6 -> 05 A=600
        reverse cA #9 of #8 oclass=220 -> 00
        purchase cA 10 #8 -> 00 A=590
        // Lost parts of DE 90 match whatever comes.
        reverse cA #11 of #10 ode7=0 orrn=0 oacquirer=0 -> 00
        purchase cA 10 #10 -> 05 A=590
        // An unknown card leaves a tombstone too.
        reverse nocard #13 of #12 -> 00
        purchase nocard 10 #12 -> 05
        ",
    );
}

#[test]
fn reversals_that_do_not_fit() {
    Bank::open().run(
        "
        purchase cA 300 #1 -> 00 A=700
        reverse cA #2 of #1 amount=299 -> 00 exception=ReversalAmountDiffers A=700
        reverse cA #3 of #1 amount=300USD -> 00 exception=ReversalAmountDiffers A=700
        reverse cA #4 of #1 ode7=77 -> 00 exception=ReversalHalfFits A=700
        reverse cA #5 of #1 orrn=77 -> 00 exception=ReversalHalfFits A=700
        reverse cA #6 of #1 oclass=220 -> 00 exception=ReversalHalfFits A=700
        // The same once more, by another message: its tombstone is there.
        reverse cA #7 of #1 ode7=77 -> 00 A=700
        // What was named so, should it come after all, is declined.
        purchase cA 10 #1 de7=77 -> 05 A=700
        reverse cA #8 of #1 amount=300 oclass=200 -> 00 A=1000
        // Two originals with one STAN.
        purchase cB 10 #20 -> 00 B=490
        purchase cB 20 #20 terminal=2 -> 00 B=470
        reverse cB #21 of #20 -> 00 exception=ReversalFitsSeveral B=470
        purchase cB 30 #22 -> 00 B=440
        purchase cB 40 #22 de7=99 rrn=99 -> 00 B=400
        reverse cB #23 of #22 ode7=0 orrn=0 -> 00 exception=ReversalFitsSeveral B=400
        reverse cB #24 of #22 ode7=99 orrn=0 -> 00 B=440
        reverse cB #25 of #22 -> 00 B=470
        ",
    );
}

#[test]
fn a_reversal_never_finds_a_strangers_transaction() {
    // Time and RRN are lost, and the locators of two cards happen to be equal.
    Bank::open().run(
        "
        purchase cB 100 #1 -> 00 B=400
        reverse cA #2 of #1 meets=cB ode7=0 orrn=0 oacquirer=0 -> 00 A=1000 B=400
        purchase cB 100 #3 -> 00 B=300
        reverse nocard #4 of #3 meets=cB ode7=0 orrn=0 oacquirer=0 -> 00 B=300
        transfer cB 50 #5 to=A -> 00 B=250 A=1050
        reverse cB #6 of #5 ode7=0 orrn=0 oacquirer=0 -> 00 B=300 A=1000
        ",
    );
}

#[test]
fn a_request_that_comes_after_its_advice_does_not_post_again() {
    Bank::open().run(
        "
        advice-purchase cA 100 #1 -> 00 A=900
        purchase        cA 100 #1 -> 94 remembered A=900
        purchase        cA 100 #1 -> 94 repeat A=900
        reverse cA #2 of #1 oclass=220 -> 00 A=1000
        // Once the advice is undone the request stands alone; of another time it always did.
        advice-purchase cA 100 #3 -> 00 A=900
        reverse cA #4 of #3 oclass=220 -> 00 A=1000
        purchase        cA 100 #3 -> 00 A=900
        purchase        cA 100 #1 de7=77 rrn=77 -> 00 A=800
        ",
    );
}

#[test]
fn a_walk_along_a_card_that_is_cut_short_is_told() {
    let mut bank = Bank::open();
    bank.run("purchase cA 1 #1 -> 00 A=999");
    for other in 0..80 {
        bank.run(&format!("inquiry cA 0 #{} -> 00", 100 + other));
    }
    bank.run("reverse cA #2 of #1 lost -> 00 exception=ReversalNamesNothing A=999");
}

#[test]
fn reversals_that_have_lost_the_stan() {
    Bank::open().run(
        "
        purchase cA 100 #1 -> 00 A=900
        purchase cA 200 #2 -> 00 A=700
        purchase cA 300 #3 -> 00 A=400
        reverse cA #10 of #2 lost -> 00 A=600
        purchase cA 200 #2 -> 05 repeat A=600
        reverse cA #11 of #1 lost ode7=0 -> 00 A=700
        reverse cA #12 of #3 lost orrn=0 -> 00 A=1000
        reverse cA #13 of #3 lost ode7=0 orrn=0 -> 00 exception=ReversalNamesNothing A=1000
        reverse - #14 of #3 lost -> 00 exception=ReversalNamesNothing
        // Before its original: the tombstone lies in the card's chain.
        reverse cA #15 of #4 lost -> 00
        reverse cA #16 of #4 lost -> 00
        purchase cA 10 #5 -> 00 A=990
        purchase cA 10 #4 -> 05 A=990
        // The RRN fits and the time does not.
        purchase cB 10 #30 -> 00 B=490
        reverse cB #31 of #30 lost ode7=99 -> 00 exception=ReversalHalfFits B=490
        // One RRN, two transactions.
        purchase cB 10 #32 rrn=7 -> 00 B=480
        purchase cB 20 #33 rrn=7 -> 00 B=460
        reverse cB #34 of #32 lost ode7=0 orrn=7 -> 00 exception=ReversalFitsSeveral B=460
        // Of another network.
        purchase cB 60 #40 network=0 -> 00 B=400
        reverse cB #41 of #40 lost network=1 -> 00 B=400
        reverse cB #42 of #40 lost network=0 -> 00 B=460
        ",
    );
}

#[test]
fn advices_are_accepted() {
    Bank::open().run(
        "
        advice-purchase cA 1500    #1 -> 00 A=-500/-500
        advice-refund   cA 600     #2 -> 00 A=100
        advice-purchase cBLOCKED 10 #3 -> 00 BLOCKED=990
        advice-purchase lost 10    #4 -> 00 A=90
        advice-purchase expired 10 #5 refusal=61 expiry=2001 -> 00 A=80
        advice-purchase cA 0       #6 -> 00 A=80
        advice-purchase cCLOSED 10 #7 -> 00 exception=AdviceNoAccount CLOSED=1000 GL-SUSPENSE-410=-10
        advice-purchase nocard 10  #8 -> 00 exception=AdviceUnknownCard GL-SUSPENSE-410=-20
        advice-refund   nocard 10  #9 -> 00 exception=AdviceUnknownCard GL-SUSPENSE-410=-10
        advice-purchase cA 10USD  #10 -> 00 exception=AdviceOtherCurrency A=80 GL-SUSPENSE-840=-10
        advice-purchase cA 10JPY  #11 -> 00 exception=AdviceUnknownCurrency A=80
        advice-inquiry  cA 0      #12 -> 00
        advice-transfer cB 100 #13 to=A -> 00 A=180 B=400
        advice-transfer cB 100 #14 to=NONE -> 00 exception=AdviceNoAccount B=300 GL-SUSPENSE-410=90
        advice-transfer cU 5   #15 to=A -> 00 exception=AdviceNoAccount A=185 U=1000 GL-SUSPENSE-410=85
        // Their reversals undo them where they posted.
        reverse nocard #20 of #8 -> 00 GL-SUSPENSE-410=95
        reverse cB #21 of #14 -> 00 B=400 GL-SUSPENSE-410=-5
        reverse cA #22 of #1 -> 00 A=1685
        ",
    );
}

#[test]
fn an_advice_posts_only_the_difference_to_its_request() {
    Bank::open().run(
        "
        purchase        cA 100 #1 -> 00 A=900 GL-SETTLE-0001-410=100
        advice-purchase cA 120 #1 -> 00 A=880 GL-SETTLE-0001-410=120
        advice-purchase cA 120 #1 -> 00 repeat A=880
        // The reversal of either undoes what remains of both, once.
        reverse cA #2 of #1 oclass=200 amount=120 -> 00 A=1000 GL-SETTLE-0001-410=0
        reverse cA #3 of #1 oclass=220 -> 00 A=1000
        purchase        cA 100 #1 -> 05 repeat
        advice-purchase cA 120 #1 -> 05 repeat
        purchase        cA 100 #4 -> 00 A=900
        advice-purchase cA 100 #4 -> 00 A=900
        reverse cA #5 of #4 oclass=220 -> 00 A=1000
        purchase        cA 100 #6 -> 00 A=900
        advice-purchase cA 30  #6 -> 00 A=970
        reverse cA #7 of #6 -> 00 A=1000
        purchase        cA 100 #8 -> 00 A=900
        advice-purchase cA 0   #8 -> 00 A=1000
        reverse cA #9 of #8 -> 00 A=1000
        // A declined request, or a reversed one, leaves the advice to post in full.
        purchase        cA 5000 #10 -> 51
        advice-purchase cA 500  #10 -> 00 A=500
        reverse cA #11 of #10 oclass=220 -> 00 A=1000
        purchase        cA 100 #12 -> 00 A=900
        reverse cA #13 of #12 oclass=200 -> 00 A=1000
        advice-purchase cA 100 #12 -> 00 A=900
        // Another operation, RRN or time is another transaction.
        purchase        cB 100 #14 -> 00 B=400
        advice-cash     cB 100 #14 terminal=3 -> 00 B=300
        advice-purchase cB 100 #14 rrn=99 -> 00 B=200
        // A second advice for one request is not posted.
        advice-purchase cB 150 #14 -> 00 B=150
        advice-purchase cB 160 #14 terminal=2 -> 00 exception=AdviceAgain B=150
        transfer        cB 10 #15 to=A -> 00 B=140 A=910
        advice-transfer cB 15 #15 to=A -> 00 B=135 A=915
        reverse cB #16 of #15 -> 00 B=150 A=900
        ",
    );
}

#[test]
fn other_currencies_go_through_position_accounts() {
    Bank::open().run(
        "
        purchase cA 10USD #1 billing=130KRW -> 00 A=870 GL-SETTLE-0001-840=10 GL-POSITION-840=-10 GL-POSITION-410=130
        purchase cA 10USD #1 billing=130KRW -> 00 repeat A=870
        purchase cA 10USD #1 billing=131KRW -> 94 A=870
        purchase cA 10USD #2 billing=9EUR -> 12 A=870
        purchase cA 10USD #3 billing=0KRW -> 12 A=870
        purchase cA 10USD #4 billing=871KRW -> 51 A=870
        // DE 49 is the account's currency: DE 6 does not count.
        purchase cA 10KRW #5 billing=1USD -> 00 A=860
        refund cA 5USD #6 billing=65KRW -> 00 A=925 GL-SETTLE-0001-840=5 GL-POSITION-840=-5 GL-POSITION-410=65
        reverse cA #7 of #1 amount=130KRW -> 00 exception=ReversalAmountDiffers A=925
        reverse cA #8 of #1 amount=10USD -> 00 A=1055 GL-SETTLE-0001-840=-5 GL-POSITION-840=5 GL-POSITION-410=-65
        reverse cA #9 of #6 -> 00 A=990 GL-SETTLE-0001-840=0 GL-POSITION-840=0 GL-POSITION-410=0
        advice-purchase cA 10USD #10 billing=1300KRW -> 00 A=-310
        // An advice corrects the rate, the amount, or the currency itself.
        purchase        cB 10USD #11 billing=130KRW -> 00 B=370
        advice-purchase cB 10USD #11 billing=135KRW -> 00 B=365 GL-POSITION-410=1435
        reverse cB #12 of #11 -> 00 B=500 GL-POSITION-410=1300
        purchase        cB 10USD #13 billing=130KRW -> 00 B=370
        advice-purchase cB 9EUR  #13 billing=131KRW -> 00 B=369 GL-SETTLE-0001-978=9 GL-SETTLE-0001-840=10 GL-POSITION-840=-10
        reverse cB #14 of #13 -> 00 B=500 GL-SETTLE-0001-978=0
        ",
    );
}

#[test]
fn settlement_dates() {
    Bank::open().run(
        "
        purchase cA 1 #1           -> 00 sdate=2026-03-15
        purchase cA 1 #2 de15=0316 -> 00 sdate=2026-03-16
        purchase cA 1 #2 de15=0317 -> 00 repeat sdate=2026-03-16
        purchase cA 1 #3 de15=0231 -> 00 sdate=2026-03-15
        purchase cA 1 #4 de15=0901 -> 00 sdate=2026-03-15
        purchase cA 1 #5 de15=0316 network=0 -> 00 sdate=2026-03-15
        ",
    );
}
