//! A small bank with one terminal's session, and a message's way from its frame
//! to its framed answer, without socket and journal.

use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::adapter::{Adapter, Intake, PanKeys, Rules};
use crate::link::session::{Given, Session, SessionLimits, Taken};
use gapless_engine::command::{
    AccountStatus, CardStatus, Command, Genesis, PutAccount, PutCard, Request,
};
use gapless_engine::date::Date;
use gapless_engine::ids::{AccountNumber, Currency, Expiry, NetworkId};
use gapless_engine::{Answer, Capacity, Engine, Options};
use gapless_iso8583::{Dialect, Framing, LengthForm, Mti, Scratch};

const KRW: Currency = Currency(410);

/// A small bank, and a terminal's session with it.
pub struct Bank {
    pub engine: Engine,
    pub dialect: Arc<Dialect>,
    pub adapter: Rc<Adapter>,
    session: Session,
    cards: u64,
    sent: u64,
}

impl Bank {
    /// With so many cards, each with its account, and room for so many payments.
    pub fn open(cards: u64, transactions: u64) -> Self {
        let keys = Arc::new(PanKeys::from_bytes(&[7; 32]));
        let mut engine = Engine::new(Options {
            indexed: true,
            capacity: Capacity {
                accounts: cards as u32 + 16,
                cards: cards as u32,
                remembered: transactions as u32 + 16,
            },
        });
        let mut log = Vec::new();
        let first = [
            Request::Genesis(Genesis {
                business_date: Date(20_500),
                key_check: keys.key_check(),
            }),
            Request::OpenInternal {
                network: NetworkId::OWN_TERMINALS,
                currency: KRW,
            },
        ];
        let rows = (0..cards).flat_map(|card| {
            let number = (1_000_000_000 + card).to_string();
            let number = AccountNumber::new(number.as_bytes()).unwrap();
            [
                Request::PutAccount(PutAccount {
                    number,
                    currency: KRW,
                    balance_minor: 100_000_000,
                    overdraft_minor: 0,
                    status: AccountStatus::Active,
                }),
                Request::PutCard(PutCard {
                    pan: keys.pan_hash(pan(card).as_bytes()),
                    bin: 941_000,
                    last4: (card % 10_000) as u16,
                    expiry: Expiry {
                        year: 90,
                        month: 12,
                    },
                    account: number,
                    status: CardStatus::Active,
                }),
            ]
        });
        for request in first.into_iter().chain(rows) {
            engine.execute(
                &Command {
                    time_us: 0,
                    day: Date(20_500),
                    request,
                },
                &mut log,
            );
            log.clear();
        }
        let dialect = Dialect::builtin("iso87-ascii").unwrap();
        let rules = Rules::own_terminals(KRW);
        let adapter = Rc::new(Adapter::new(keys, Arc::clone(&dialect), rules));
        let limits = SessionLimits {
            max_in_flight: 1024,
            answer_limit: None,
            sign_on_required: false,
        };
        let framing = Framing::new(LengthForm::Binary2);
        Self {
            engine,
            session: Session::new(Rc::clone(&adapter), framing, limits),
            dialect,
            adapter,
            cards,
            sent: 0,
        }
    }

    /// New purchases, each on another card.
    pub fn frames(&mut self, messages: u64) -> Vec<Vec<u8>> {
        let first = self.sent;
        self.sent += messages;
        (first..self.sent)
            .map(|n| purchase(&self.dialect, self.cards, n))
            .collect()
    }

    /// What the engine is asked by them.
    pub fn requests(&self, frames: &[Vec<u8>]) -> Vec<Request> {
        let mut scratch = Scratch::new();
        frames
            .iter()
            .map(|frame| {
                let message = self.dialect.decode(frame).unwrap();
                match self.adapter.intake(&message, &mut scratch) {
                    Intake::Engine(request) => request,
                    other => panic!("{other:?}"),
                }
            })
            .collect()
    }
}

fn pan(card: u64) -> String {
    format!("941000{card:010}")
}

fn purchase(dialect: &Dialect, cards: u64, n: u64) -> Vec<u8> {
    let mut frame = Vec::new();
    let card = n.wrapping_mul(7_919) % cards;
    dialect
        .builder(&mut frame, Mti::new(200).unwrap())
        .text(2, pan(card).as_bytes())
        .text(3, b"000000")
        .number(4, 10)
        .number(7, 1_122_090_000 + n / 1_000_000)
        .number(11, n % 1_000_000)
        .text(12, b"180305")
        .text(13, b"1122")
        .text(14, b"9012")
        .text(18, b"5411")
        .text(22, b"051")
        .text(25, b"00")
        .text(32, b"12345678901")
        .text(37, format!("{n:012}").as_bytes())
        .text(41, b"TERM0001")
        .text(42, b"MERCHANT0000001")
        .text(43, b"CORNER SHOP            SEOUL          KR")
        .text(49, b"410")
        .finish()
        .unwrap();
    frame
}

/// Decides, checks, applies each, and encodes its event; all of them are approved.
pub fn engine_alone(engine: &mut Engine, requests: &[Request]) {
    let mut log = Vec::with_capacity(1 << 16);
    for (n, request) in requests.iter().enumerate() {
        if n % 64 == 0 {
            log.clear();
        }
        let command = Command {
            time_us: engine.last_time_us() + 1,
            day: Date(20_500),
            request: *request,
        };
        match engine.execute(&command, &mut log) {
            Answer::Message(outcome) => assert!(outcome.code.is_approved(), "{outcome:?}"),
            other => panic!("{other:?}"),
        }
    }
}

/// As a connection does it: sixteen messages a read, then their answers, all of
/// them approvals.
pub fn whole_way(bank: &mut Bank, frames: &[Vec<u8>]) {
    let (mut log, mut out) = (Vec::with_capacity(1 << 16), Vec::with_capacity(1 << 16));
    let today = bank.engine.business().default;
    let mut outcomes = Vec::with_capacity(16);
    for read in frames.chunks(16) {
        log.clear();
        out.clear();
        let now = Instant::now();
        for frame in read {
            let Taken::Submit(tag, request) = bank.session.take(frame, None, now, today, &mut out)
            else {
                panic!("a purchase goes to the engine");
            };
            let time_us = bank.engine.last_time_us() + 1;
            match bank.engine.execute(
                &Command {
                    time_us,
                    day: Date(20_500),
                    request,
                },
                &mut log,
            ) {
                Answer::Message(outcome) => outcomes.push((tag, outcome)),
                other => panic!("{other:?}"),
            }
        }
        for (tag, outcome) in outcomes.drain(..) {
            assert!(outcome.code.is_approved(), "{outcome:?}");
            let given = bank.session.give(tag, &outcome, now, &mut out);
            assert!(matches!(given, Given::Answered { .. }));
        }
        black_box(&out);
    }
}
