//! Streams of requests in which messages meet.

use super::*;
use gapless_engine::*;
use proptest::prelude::*;

const CURRENCIES: [Currency; 4] = [KRW, USD, EUR, JPY];
const NAMES: [&str; 5] = ["A", "B", "U", "CLOSED", "NONE"];
const CARDS: [&str; 5] = ["cA", "cB", "cU", "lost", "nocard"];

/// Few of everything, so that messages meet: repeats, reversals, advices.
pub fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        8 => transaction().prop_map(Request::Transaction),
        4 => reversal().prop_map(Request::Reversal),
        1 => (0..5usize, 0..2usize, 0..3u8, 0..1000i64, 0..2000i64).prop_map(|(name, currency, status, overdraft_minor, balance_minor)| {
            Request::PutAccount(PutAccount {
                number: number(NAMES[name]),
                currency: CURRENCIES[currency],
                balance_minor: balance_minor - 500,
                overdraft_minor,
                status: [AccountStatus::Active, AccountStatus::Blocked, AccountStatus::Closed][usize::from(status)],
            })
        }),
        1 => (0..5usize, 0..5usize, 0..3u8).prop_map(|(card, account, status)| {
            Request::PutCard(PutCard {
                pan: pan(CARDS[card]),
                bin: 941_000,
                last4: 1,
                expiry: Expiry { year: 30, month: 12 },
                account: number(NAMES[account]),
                status: [CardStatus::Active, CardStatus::Lost, CardStatus::Blocked][usize::from(status)],
            })
        }),
        1 => Just(Request::Attest),
        4 => night_step(),
        2 => reconciliation(),
        1 => (0..3u16, 0..4usize).prop_map(|(network, currency)| Request::OpenInternal {
            network: NetworkId(network),
            currency: CURRENCIES[currency],
        }),
    ]
}

/// Stands for the date that closes next, whichever that is by then.
const CLOSING: Date = Date(0);

/// Steps of the night: mostly the right date, in whatever order.
pub fn night_step() -> impl Strategy<Value = Request> {
    let date = || prop_oneof![6 => Just(CLOSING), 1 => (0..4u16).prop_map(|n| Date(today().0 + n))];
    prop_oneof![
        2 => date().prop_map(|date| Request::Cutover { date }),
        3 => date().prop_map(|date| Request::Freeze { date }),
        3 => (date(), 0..4u32).prop_map(|(date, count)| Request::Seal {
            date,
            entries: EntrySums::EMPTY.with(KRW, count, 0).unwrap(),
        }),
        1 => (date(), any::<bool>()).prop_map(|(date, early)| Request::OpenEarly {
            date,
            not_before_us: if early { u64::MAX } else { 0 },
        }),
        1 => (0..3u16, 0..5u16, any::<bool>()).prop_map(|(network, n, early)| Request::NetworkCutover {
            network: NetworkId(network),
            date: Date(today().0 + n),
            not_before_us: if early { u64::MAX } else { 0 },
        }),
        3 => (0..2usize).prop_map(|currency| Request::OpenBatch { currency: CURRENCIES[currency] }),
        6 => (date(), 0..6u32, 0..5usize, 0..8usize, -3..4i64).prop_map(
            |(date, id, name, odd, amount_minor)| {
                // Mostly the account's own currency.
                let own = if NAMES[name] == "U" { USD } else { KRW };
                Request::PostEntry(PostEntry {
                    id: entry_id(&id.to_string()),
                    account: number(NAMES[name]),
                    amount_minor,
                    currency: CURRENCIES.get(odd).copied().unwrap_or(own),
                    date,
                })
            }
        ),
    ]
}

/// What a network asks of us and we of it, in whatever order.
pub fn reconciliation() -> impl Strategy<Value = Request> {
    let network = || (0..2u16).prop_map(NetworkId);
    let figures = || {
        let nothing = Figures::NONE.with(81, 0).unwrap();
        let some = (0..3i64, 0..2000i64).prop_map(|(count, net)| {
            let counted = Figures::NONE.with(76, count).unwrap();
            counted.with(NET, -net).unwrap()
        });
        prop_oneof![1 => Just(nothing), 2 => some]
    };
    let verdict = prop_oneof![
        Just(None),
        Just(Some(Verdict::InBalance)),
        Just(Some(Verdict::OutOfBalance)),
        Just(Some(Verdict::Refused)),
    ];
    prop_oneof![
        3 => (network(), 0..9u64, 0..3u16, 0..4usize, figures()).prop_map(
            |(network, stan, n, currency, theirs)| Request::Reconcile(Reconcile {
                identity: Identity { key: hash(&[500, stan]), ..Identity::default() },
                network,
                settlement: Date(today().0 + n).month_day(),
                currency: CURRENCIES.get(currency).copied().filter(|_| stan % 3 != 0),
                theirs,
            })
        ),
        2 => network().prop_map(|network| Request::AskReconciliation { network }),
        2 => (network(), verdict, figures()).prop_map(|(network, verdict, theirs)| {
            Request::ReconciliationAnswered { network, asked: ANY, verdict, theirs }
        }),
        1 => network().prop_map(|network| Request::CutoverAnnounced { network, closed: CLOSING }),
    ]
}

/// Stands for the question that is open, whichever that is by then.
const ANY: Seq = 0;

/// Puts the closing date in where it is meant, and into most seals what was posted.
pub fn aimed(bank: &Bank, mut request: Request) -> Request {
    let closing = bank.engine.business().closing;
    if let Request::ReconciliationAnswered { network, asked, .. } = &mut request {
        *asked = bank.engine.asked(*network).map_or(ANY, |open| open.seq);
    }
    if let Request::CutoverAnnounced { network, closed } = &mut request
        && let Some(due) = bank.engine.unannounced(*network)
    {
        *closed = due.closed;
    }
    let date = match &mut request {
        Request::Cutover { date }
        | Request::Freeze { date }
        | Request::OpenEarly { date, .. }
        | Request::Seal { date, .. }
        | Request::PostEntry(PostEntry { date, .. }) => date,
        _ => return request,
    };
    if *date == CLOSING {
        *date = closing;
    }
    if let Request::Seal { entries, .. } = &mut request
        && entries.of(KRW).count < 3
    {
        *entries = bank.engine.entries(closing);
    }
    request
}

pub fn identity(class: u64) -> impl Strategy<Value = (Identity, u64, usize)> {
    let card = prop_oneof![4 => 0..2usize, 1 => 0..5usize];
    (0..5u64, card, 0..3u32, 0..3u16, 0..2u64).prop_map(move |(stan, card, when, rrn, terminal)| {
        let transmitted = [0, 32 * 86_400 + 5, 9_000_000][when as usize];
        let identity = Identity {
            key: hash(&[
                class,
                card as u64,
                stan,
                u64::from(when),
                u64::from(rrn),
                terminal,
            ]),
            locator: locator(NETWORK, CARDS[card], stan),
            transmitted,
            rrn,
            acquirer: 0,
            forwarder: 0,
        };
        (identity, stan, card)
    })
}

pub fn amount() -> impl Strategy<Value = Amount> {
    let minor = prop_oneof![
        4 => 0..400u64,
        1 => Just(999_999_999_999),
        1 => any::<u64>(),
    ];
    (minor, 0..4usize).prop_map(|(minor, currency)| Amount {
        minor,
        currency: CURRENCIES[currency],
    })
}

pub fn transaction() -> impl Strategy<Value = Transaction> {
    (
        any::<bool>(),
        identity(1),
        prop_oneof![2 => Just(0usize), 1 => 0..7usize],
        amount(),
        prop::option::weighted(0.3, amount()),
        prop::option::weighted(0.4, 0..5usize),
        prop::option::weighted(0.4, 0..5usize),
        prop::option::weighted(0.2, (0..14u8, 0..33u8)),
        0..20u8,
    )
        .prop_map(
            |(
                advice,
                (identity, _, card),
                operation,
                amount,
                billing,
                from,
                to,
                settlement,
                odd,
            )| Transaction {
                identity: Identity {
                    key: identity.key ^ u64::from(advice) << 40,
                    ..identity
                },
                class: if advice {
                    Class::FinancialAdvice
                } else {
                    Class::FinancialRequest
                },
                network: NetworkId(u16::from(odd < 17)),
                operation: Operation::ALL[operation],
                pan: (odd != 19).then(|| pan(CARDS[card])),
                expiry: None,
                from: from.map(|n| number(NAMES[n])),
                to: to.map(|n| number(NAMES[n])),
                amount,
                billing,
                cashback_minor: u64::from(odd == 18),
                settlement: settlement
                    .map(|(month, day)| gapless_engine::date::MonthDay { month, day }),
                refusal: None,
            },
        )
}

pub fn reversal() -> impl Strategy<Value = Reversal> {
    (
        identity(3),
        identity(1),
        prop::option::weighted(0.3, any::<bool>()),
        prop::option::weighted(0.8, Just(())),
        prop::option::weighted(0.2, amount()),
    )
        .prop_map(
            |((own, _, card), (original, stan, _), class, stan_known, amount)| Reversal {
                identity: own,
                network: NETWORK,
                pan: Some(pan(CARDS[card])),
                original: Original {
                    class: class.map(|advice| {
                        if advice {
                            Class::FinancialAdvice
                        } else {
                            Class::FinancialRequest
                        }
                    }),
                    locator: stan_known.map(|()| locator(NETWORK, CARDS[card], stan)),
                    transmitted: original.transmitted,
                    rrn: original.rrn,
                    acquirer: 0,
                    forwarder: 0,
                },
                amount,
                settlement: None,
            },
        )
}
