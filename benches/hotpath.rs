//! A message's way without socket and journal: an approved 0200 from its frame
//! to its 0210, beside the codec alone (decode, and build the same answer).
//!
//! Plain measurements of thread CPU time, the median of a few rounds. What the
//! session adds to the codec and the engine must stay small: both are printed,
//! and the sum has a limit.
//!
//! `cargo bench --bench hotpath`

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::float_arithmetic
)]

#[path = "support/goals.rs"]
#[allow(dead_code)] // Shared with the other benches.
mod goals;

use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use gapless::adapter::{Adapter, Intake, PanKeys, Rules};
use gapless::link::session::{Given, Session, SessionLimits, Taken};
use gapless_engine::command::{
    AccountStatus, CardStatus, Command, Genesis, PutAccount, PutCard, Request,
};
use gapless_engine::date::Date;
use gapless_engine::ids::{AccountNumber, Currency, Expiry, NetworkId};
use gapless_engine::{Answer, Capacity, Engine, Options};
use gapless_iso8583::{Dialect, FieldSet, Framing, LengthForm, Mti, Scratch};

const KRW: Currency = Currency(410);
const CARDS: u64 = 10_000;
const ROUNDS: usize = 7;
/// Issue 2's figures are per step; this one is the sum, with room for a slow machine.
const LIMIT_NS: f64 = 3_000.0;
const ECHO: FieldSet = FieldSet::of(&[2, 3, 4, 7, 11, 12, 13, 32, 37, 41, 42, 49]);

fn main() {
    let messages = if goals::quick() { 2_000 } else { 100_000 };
    let mut bank = Bank::open(messages * (ROUNDS as u64 + 1));
    let mut figures = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        let frames = bank.frames(messages);
        figures[0].push(per_message(messages, || codec_alone(&bank, &frames)));
        figures[1].push(per_message(messages, || intake_alone(&bank, &frames)));
        let requests = bank.requests(&frames);
        // The engine alone must not decide what the whole way decides later.
        let mut apart = Bank::open(messages);
        figures[2].push(per_message(messages, || {
            engine_alone(&mut apart.engine, &requests)
        }));
        figures[3].push(per_message(messages, || whole_way(&mut bank, &frames)));
    }
    let [codec, intake, engine, whole] = figures.map(median);
    println!("hotpath: codec alone (decode, build the answer)  {codec:7.0} ns a message");
    println!("hotpath: decode and intake                       {intake:7.0} ns");
    println!("hotpath: engine alone (10,000 accounts)          {engine:7.0} ns");
    println!("hotpath: frame to framed answer, with the engine {whole:7.0} ns");
    println!(
        "hotpath: the session and the adapter add         {:7.0} ns; whole to codec {:.1}",
        whole - codec - engine,
        whole / codec
    );
    let mut goals = goals::Goals::new();
    goals.at_most("hotpath: frame to framed answer", whole, LIMIT_NS, "ns");
    goals.finish();
}

/// Nanoseconds of this thread's CPU time per message.
fn per_message(messages: u64, work: impl FnOnce()) -> f64 {
    let now = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let start = now();
    work();
    (now() - start) / messages as f64
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// A small bank, and a terminal's session with it.
struct Bank {
    engine: Engine,
    dialect: Arc<Dialect>,
    adapter: Rc<Adapter>,
    session: Session,
    sent: u64,
}

impl Bank {
    fn open(transactions: u64) -> Self {
        let keys = Arc::new(PanKeys::from_bytes(&[7; 32]));
        let mut engine = Engine::new(Options {
            indexed: true,
            capacity: Capacity {
                accounts: CARDS as u32 + 16,
                cards: CARDS as u32,
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
        let rows = (0..CARDS).flat_map(|card| {
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
                    day: gapless_engine::date::Date(20_500),
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
            sent: 0,
        }
    }

    /// New purchases, each on another card.
    fn frames(&mut self, messages: u64) -> Vec<Vec<u8>> {
        let first = self.sent;
        self.sent += messages;
        (first..self.sent)
            .map(|n| purchase(&self.dialect, n))
            .collect()
    }

    fn requests(&self, frames: &[Vec<u8>]) -> Vec<Request> {
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

fn purchase(dialect: &Dialect, n: u64) -> Vec<u8> {
    let mut frame = Vec::new();
    let card = n.wrapping_mul(7_919) % CARDS;
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

fn codec_alone(bank: &Bank, frames: &[Vec<u8>]) {
    let mut out = Vec::with_capacity(4096);
    for frame in frames {
        out.clear();
        let message = bank.dialect.decode(frame).unwrap();
        bank.dialect
            .builder(&mut out, message.mti().response())
            .echo_until(&message, &ECHO, 15)
            .text(15, b"1122")
            .echo_until(&message, &ECHO, 38)
            .text(38, b"000042")
            .text(39, b"00")
            .echo_rest(&message, &ECHO)
            .finish()
            .unwrap();
        black_box(&out);
    }
}

fn intake_alone(bank: &Bank, frames: &[Vec<u8>]) {
    let mut scratch = Scratch::new();
    for frame in frames {
        let message = bank.dialect.decode(frame).unwrap();
        black_box(bank.adapter.intake(&message, &mut scratch));
    }
}

fn engine_alone(engine: &mut Engine, requests: &[Request]) {
    let mut log = Vec::with_capacity(1 << 16);
    for (n, request) in requests.iter().enumerate() {
        if n % 64 == 0 {
            log.clear();
        }
        let command = Command {
            time_us: n as u64,
            day: gapless_engine::date::Date(20_500),
            request: *request,
        };
        black_box(engine.execute(&command, &mut log));
    }
}

/// As a connection does it: sixteen messages a read, then their answers.
fn whole_way(bank: &mut Bank, frames: &[Vec<u8>]) {
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
                    day: gapless_engine::date::Date(20_500),
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
