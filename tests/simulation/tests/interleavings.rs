//! One transfer against one night, in every order. The naive way, in which each leg asks
//! for the date by itself, puts the two legs on different dates at some of them (the
//! residual five-second gap of FIELD.md, "Failures to learn from"); ours at none.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use std::collections::BTreeMap;

use gapless_engine::code::ResponseCode;
use gapless_engine::command::{
    AccountStatus, Amount, Class, Command, Genesis, Identity, Operation, Original, PutAccount,
    Request, Reversal, Transaction,
};
use gapless_engine::date::Date;
use gapless_engine::ids::{AccountNumber, Currency, NetworkId};
use gapless_engine::{Answer, Body, Capacity, Engine, EntrySums, Event, Options};

const KRW: Currency = Currency(410);
const NETWORK: NetworkId = NetworkId(1);
const DAY: Date = Date(20_800);
const AMOUNT: i64 = 300;
/// As many engines are made as there are orders.
const SMALL: Capacity = Capacity {
    accounts: 16,
    cards: 1,
    remembered: 64,
};

/// Every way to put two sequences into one, each in its own order.
fn merges<T: Copy>(a: &[T], b: &[T]) -> Vec<Vec<T>> {
    let (Some((first_a, rest_a)), Some((first_b, rest_b))) = (a.split_first(), b.split_first())
    else {
        return vec![[a, b].concat()];
    };
    let with = |first: T, rest: Vec<Vec<T>>| {
        rest.into_iter().map(move |mut tail| {
            tail.insert(0, first);
            tail
        })
    };
    with(*first_a, merges(rest_a, b))
        .chain(with(*first_b, merges(a, rest_b)))
        .collect()
}

/// Every order of a few things.
fn orders<T: Copy>(of: &[T]) -> Vec<Vec<T>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    (0..of.len())
        .flat_map(|at| {
            let mut rest = of.to_vec();
            let first = rest.remove(at);
            orders(&rest).into_iter().map(move |mut tail| {
                tail.insert(0, first);
                tail
            })
        })
        .collect()
}

/// A ledger that asks for the date at each leg: what it takes to go wrong.
#[derive(Default)]
struct Naive {
    today: i64,
    /// By date: debits, credits.
    dates: BTreeMap<i64, (i64, i64)>,
}

#[derive(Clone, Copy)]
enum NaiveStep {
    Debit,
    Credit,
    Cutover,
}

impl Naive {
    fn step(&mut self, step: NaiveStep) {
        match step {
            NaiveStep::Debit => self.dates.entry(self.today).or_default().0 += AMOUNT,
            NaiveStep::Credit => self.dates.entry(self.today).or_default().1 += AMOUNT,
            NaiveStep::Cutover => self.today += 1,
        }
    }
}

#[test]
fn a_date_asked_for_at_each_leg_breaks_around_the_cutover() {
    use NaiveStep::{Credit, Cutover, Debit};
    let broken = merges(&[Debit, Credit], &[Cutover])
        .into_iter()
        .filter(|order| {
            let mut naive = Naive::default();
            order.iter().for_each(|step| naive.step(*step));
            naive
                .dates
                .values()
                .any(|(debits, credits)| debits != credits)
        })
        .count();
    assert_eq!(broken, 1, "the cutover between the two legs, and only that");
}

/// What may happen to one transfer, and to the bank's date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Transfer,
    Repeat,
    Reversal,
    ReversalAgain,
    OpenEarly,
    Cutover,
    Freeze,
    Seal,
}

fn identity(key: u64, stan: u32) -> Identity {
    Identity {
        key: key << 20,
        locator: stan,
        transmitted: 33 * 86_400 + 1,
        rrn: 7,
        acquirer: 0,
        forwarder: 0,
    }
}

fn number(text: &str) -> AccountNumber {
    AccountNumber::new(text.as_bytes()).unwrap()
}

fn request(step: Step, settlement: Option<Date>) -> Request {
    let settlement = settlement.map(Date::month_day);
    let amount = Amount {
        minor: AMOUNT as u64,
        currency: KRW,
    };
    match step {
        Step::Transfer | Step::Repeat => Request::Transaction(Transaction {
            identity: identity(1, 1),
            class: Class::FinancialRequest,
            network: NETWORK,
            operation: Operation::Transfer,
            pan: None,
            expiry: None,
            from: Some(number("A")),
            to: Some(number("B")),
            amount,
            billing: None,
            cashback_minor: 0,
            settlement,
            refusal: None,
        }),
        Step::Reversal | Step::ReversalAgain => Request::Reversal(Reversal {
            identity: identity(2, 2),
            network: NETWORK,
            pan: None,
            original: Original {
                class: Some(Class::FinancialRequest),
                locator: Some(1),
                transmitted: identity(1, 1).transmitted,
                rrn: 7,
                acquirer: 0,
                forwarder: 0,
            },
            amount: Some(amount),
            settlement,
        }),
        Step::OpenEarly => Request::OpenEarly {
            date: DAY,
            not_before_us: 0,
        },
        Step::Cutover => Request::Cutover { date: DAY },
        Step::Freeze => Request::Freeze { date: DAY },
        Step::Seal => Request::Seal {
            date: DAY,
            entries: EntrySums::EMPTY,
        },
    }
}

const fn command(request: Request) -> Command {
    Command {
        time_us: 1,
        day: DAY,
        request,
    }
}

/// A bank with two accounts; `a` is what the payer has on the first date.
fn bank(a: i64) -> Engine {
    let mut engine = Engine::new(Options {
        indexed: true,
        capacity: SMALL,
    });
    let account = |name: &str, balance_minor| {
        Request::PutAccount(PutAccount {
            number: number(name),
            currency: KRW,
            balance_minor,
            overdraft_minor: 0,
            status: AccountStatus::Active,
        })
    };
    for request in [
        Request::Genesis(Genesis {
            business_date: DAY,
            key_check: 1,
        }),
        Request::OpenInternal {
            network: NETWORK,
            currency: KRW,
        },
        account("A", a),
        account("B", 0),
    ] {
        engine.execute(&command(request), &mut Vec::new());
    }
    engine
}

/// Runs one order, and checks all that may be asked of it.
fn run(order: &[Step], settlement: Option<Date>) {
    let mut engine = bank(AMOUNT);
    let told = |what: &str| format!("{what}: {order:?}, {settlement:?}");
    let mut log = Vec::new();
    for step in order {
        match engine.execute(&command(request(*step, settlement)), &mut log) {
            Answer::Message(outcome) => {
                // A reversal is always accepted; after it, in whichever order the two
                // came, the transfer is declined, and before it approved.
                let asks = matches!(step, Step::Transfer | Step::Repeat);
                let reversed = order
                    .iter()
                    .take_while(|other| *other != step)
                    .any(|other| matches!(other, Step::Reversal | Step::ReversalAgain));
                let expected = if asks && reversed {
                    ResponseCode::DoNotHonour
                } else {
                    ResponseCode::Approved
                };
                assert_eq!(outcome.code, expected, "{}", told("another answer"));
            }
            Answer::Night(_) => {}
            other => panic!("{}", told(&format!("{other:?}"))),
        }
        assert!(engine.trial_balance().balances(), "{}", told("a leg alone"));
        gapless_engine::audit(&engine).unwrap();
    }
    let mut rest = log.as_slice();
    let mut posted = Vec::new();
    let mut sealed = false;
    while !rest.is_empty() {
        let (event, after) = Event::decode(rest).unwrap();
        rest = after;
        sealed |= matches!(event.body, Body::Seal(_));
        if !event.legs().is_empty() {
            let date = event.business_date().unwrap();
            assert!(
                !sealed || date > DAY,
                "{}",
                told("a sealed date is posted to")
            );
            assert_eq!(event.legs().as_slice().len(), 2, "{}", told("two legs"));
            posted.push(date);
        }
    }
    // Whatever came first, in the end the money is where it was, or it never moved.
    let reversed = order.contains(&Step::Reversal);
    let balance = |name: &str| {
        let account = engine.account_by_number(&number(name)).unwrap();
        account.ledger_minor
    };
    let expected = if reversed { (AMOUNT, 0) } else { (0, AMOUNT) };
    assert_eq!(
        (balance("A"), balance("B")),
        expected,
        "{}",
        told("balances")
    );
    assert!(posted.len() <= 2, "{}", told("posted more than once"));
}

#[test]
fn both_legs_have_one_date_whatever_the_order_of_transfer_and_night() {
    use Step::{Cutover, Freeze, OpenEarly, Repeat, Reversal, ReversalAgain, Seal, Transfer};
    let nights: [&[Step]; 2] = [
        &[Cutover, Freeze, Seal],
        &[OpenEarly, Cutover, Freeze, Seal],
    ];
    let messages: [&[Step]; 3] = [
        &[Transfer, Repeat],
        &[Transfer, Reversal, Repeat],
        &[Transfer, Repeat, Reversal, ReversalAgain],
    ];
    let mut tried = 0;
    for night in nights {
        for message in messages {
            for order in orders(message) {
                for merged in merges(&order, night) {
                    for settlement in [None, Some(DAY), Some(DAY.next())] {
                        run(&merged, settlement);
                        tried += 1;
                    }
                }
            }
        }
    }
    assert!(tried > 8_000, "{tried} orders");
}
