//! A small bank, and one-line rules that a banker can read.
//!
//! A line: `MESSAGE -> CODE [EXPECTATION ...]`. A message:
//! `OPERATION CARD AMOUNT[CURRENCY] #STAN [key=value ...]`, for example
//! `purchase c1 300 #1 -> 00 A=700/700`. Operations: purchase, cash, cashback,
//! refund, inquiry, balance, transfer; `advice-` before one makes it 0220.
//! `reverse CARD #STAN of #ORIGINAL` is an 0400. A card `-` is none. The same
//! message again, word for word, is a retransmission. `run` executes lines and
//! panics with the line that does not hold.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing
)]

pub mod requests;
pub mod stored;

use gapless_engine::command::*;
use gapless_engine::date::{Date, MonthDay};
use gapless_engine::ids::*;
use gapless_engine::outcome::{NightOutcome, Outcome, PutOutcome};
use gapless_engine::{
    Answer, Capacity, DateState, Decision, Engine, EntrySums, Options, Phase, audit,
};

pub const KRW: Currency = Currency(410);
pub const USD: Currency = Currency(840);
pub const EUR: Currency = Currency(978);
/// No books are kept in it.
pub const JPY: Currency = Currency(392);
pub const NETWORK: NetworkId = NetworkId(1);

pub fn today() -> Date {
    Date::from_ymd(2026, 3, 15).unwrap()
}

pub const INDEXED: Options = Options {
    indexed: true,
    capacity: Capacity::SMALL,
};

pub fn hash(parts: &[u64]) -> u64 {
    parts.iter().fold(0xcbf2_9ce4_8422_2325, |acc, part| {
        let mixed = (acc ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    })
}

pub fn number(text: &str) -> AccountNumber {
    AccountNumber::new(text.as_bytes()).unwrap()
}

pub fn pan(card: &str) -> PanHash {
    let h = hash(&card.bytes().map(u64::from).collect::<Vec<_>>());
    PanHash(u128::from(h) << 64 | u128::from(h.rotate_left(17)))
}

/// An engine with its journal.
pub struct Bank {
    pub engine: Engine,
    pub log: Vec<u8>,
    pub time_us: u64,
    /// The calendar day: stays as it is unless a test moves it.
    pub day: Date,
}

impl Bank {
    pub fn empty(options: Options) -> Self {
        Self {
            engine: Engine::new(options),
            log: Vec::new(),
            time_us: 1_000_000,
            day: today(),
        }
    }

    /// Genesis and internal accounts.
    pub fn founded(options: Options) -> Self {
        let mut bank = Self::empty(options);
        bank.ask(Request::Genesis(Genesis {
            business_date: today(),
            key_check: 7,
        }));
        for network in [NetworkId::OWN_TERMINALS, NETWORK] {
            for currency in [KRW, USD, EUR] {
                let opened = bank.ask(Request::OpenInternal { network, currency });
                assert_eq!(opened, Answer::Put(PutOutcome::Opened));
            }
        }
        bank
    }

    /// The bank of the rule tables: accounts A, B (KRW), U (USD), BLOCKED,
    /// CLOSED, OD (overdraft 500); one card each (cA, cB, ...) and four bad ones on A.
    pub fn open() -> Self {
        let mut bank = Self::founded(INDEXED);
        use AccountStatus::{Active, Blocked, Closed};
        for (name, currency, balance, overdraft, status) in [
            ("A", KRW, 1000, 0, Active),
            ("B", KRW, 500, 0, Active),
            ("U", USD, 1000, 0, Active),
            ("BLOCKED", KRW, 1000, 0, Blocked),
            ("CLOSED", KRW, 1000, 0, Closed),
            ("OD", KRW, 0, 500, Active),
        ] {
            bank.account(name, currency, balance, overdraft, status);
            bank.card(&format!("c{name}"), name, 3012, CardStatus::Active);
        }
        bank.card("lost", "A", 3012, CardStatus::Lost);
        bank.card("stolen", "A", 3012, CardStatus::Stolen);
        bank.card("barred", "A", 3012, CardStatus::Blocked);
        bank.card("expired", "A", 2602, CardStatus::Active);
        bank.card("lastmonth", "A", 2603, CardStatus::Active);
        bank
    }

    pub fn account(
        &mut self,
        name: &str,
        currency: Currency,
        balance_minor: i64,
        overdraft_minor: i64,
        status: AccountStatus,
    ) -> Answer {
        self.ask(Request::PutAccount(PutAccount {
            number: number(name),
            currency,
            balance_minor,
            overdraft_minor,
            status,
        }))
    }

    pub fn card(&mut self, name: &str, account: &str, yymm: u16, status: CardStatus) -> Answer {
        self.ask(Request::PutCard(PutCard {
            pan: pan(name),
            bin: 941_000,
            last4: 1234,
            expiry: Expiry::from_yymm(yymm).unwrap(),
            account: number(account),
            status,
        }))
    }

    pub fn ask(&mut self, request: Request) -> Answer {
        self.time_us += 10;
        let command = Command {
            time_us: self.time_us,
            day: self.day,
            request,
        };
        // `execute` has a short way of its own for transactions: it must come to
        // what `decide` and the event's encoding come to.
        let decided = self.engine.decide(&command);
        let (start, breaches) = (self.log.len(), self.engine.counts().breaches);
        let answer = self.engine.execute(&command, &mut self.log);
        let mut expected = vec![];
        match decided {
            _ if self.engine.counts().breaches > breaches => {}
            Decision::Answer(expected) => assert_eq!(answer, expected),
            Decision::Event(event) => {
                event.encode(&mut expected);
                assert_eq!(answer, event.outcome());
            }
        }
        assert!(self.log[start..] == expected, "{request:?}");
        answer
    }

    pub fn message(&mut self, line: &str) -> Outcome {
        match self.ask(parse(line)) {
            Answer::Message(outcome) => outcome,
            other => panic!("{line}: {other:?}"),
        }
    }

    pub fn ledger(&self, name: &str) -> i64 {
        self.engine
            .account_by_number(&number(name))
            .unwrap_or_else(|| panic!("account {name}"))
            .ledger_minor
    }

    /// A command of the night: what it came to, in a word, and the state.
    pub fn night(&mut self, request: Request) -> (String, DateState) {
        let answer = self.ask(request);
        let word = match answer {
            Answer::Night(NightOutcome::Done { is_repeat, .. }) => {
                if is_repeat { "repeat" } else { "done" }.to_owned()
            }
            Answer::Night(NightOutcome::Refused { why, state }) => {
                assert_eq!(state, self.engine.business().state);
                assert!(!why.to_string().is_empty());
                let debug = format!("{why:?}");
                debug
                    .split([' ', '(', '{'])
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            }
            Answer::Put(PutOutcome::Opened) => "done".to_owned(),
            Answer::Put(PutOutcome::Unchanged) => "repeat".to_owned(),
            other => panic!("{request:?}: {other:?}"),
        };
        (word, self.engine.business().state)
    }

    /// `WORD [STATE] [ACCOUNT=BALANCE ...]`; a state is `open D`, `early D`, `grace D` or `frozen D`.
    fn check_night(&mut self, line: &str, request: Request, expected: &str) {
        let before = (self.engine.last_seq(), self.engine.state_hash());
        let (word, state) = self.night(request);
        let mut words = expected.split_whitespace().peekable();
        assert_eq!(Some(word.as_str()), words.next(), "{line}");
        if word == "done" {
            assert_eq!(self.engine.last_seq(), before.0 + 1, "{line}");
        } else {
            let after = (self.engine.last_seq(), self.engine.state_hash());
            assert_eq!(after, before, "{line}: no effect");
        }
        while let Some(word) = words.next() {
            if let Some((account, balance)) = word.split_once('=') {
                assert_eq!(self.ledger(account).to_string(), balance, "{line}");
                continue;
            }
            let closing = day(words.next().unwrap());
            assert_eq!(state.closing(), closing, "{line}");
            let phase = match word {
                "open" => None,
                "early" => Some(Phase::Early),
                "grace" => Some(Phase::Grace),
                "frozen" => Some(Phase::Frozen),
                other => panic!("{line}: {other}"),
            };
            assert_eq!(state.phase(), phase, "{line}");
        }
    }

    /// Executes the lines and holds each to what it says; then audits.
    pub fn run(&mut self, lines: &str) {
        for line in lines.lines().map(str::trim) {
            if line.is_empty() || line.starts_with("//") {
                continue;
            }
            self.check(line);
            audit(&self.engine).unwrap_or_else(|breach| panic!("{line}\n  audit: {breach}"));
        }
        assert_eq!(self.engine.counts().breaches, 0);
    }

    fn check(&mut self, line: &str) {
        let (message, expected) = line.split_once("->").unwrap_or_else(|| panic!("{line}"));
        if let Some(request) = parse_night(message) {
            return self.check_night(line, request, expected);
        }
        let exceptions = self.engine.counts().exceptions;
        let before = self.engine.last_seq();
        let outcome = self.message(message);
        let mut words = expected.split_whitespace();
        let code: u8 = words.next().unwrap().parse().unwrap();
        assert_eq!(outcome.code.number(), code, "{line}\n  {outcome:?}");
        let approved = outcome.code.is_approved();
        assert_eq!(outcome.approval().is_some(), approved, "{line}");
        let mut named_exception = false;
        let mut repeat = false;
        let mut silent = code == 94 || code == 91;
        for word in words {
            match word.split_once('=') {
                None if word == "repeat" => repeat = true,
                None if word == "noevent" => silent = true,
                None if word == "remembered" => silent = false,
                Some(("de54", balances)) => {
                    let told = outcome
                        .balances
                        .unwrap_or_else(|| panic!("{line}: no DE 54"));
                    let told = format!("{}/{}", told.ledger_minor, told.available_minor);
                    assert_eq!(told, balances, "{line}");
                }
                Some(("exception", kind)) => {
                    named_exception = true;
                    let newest = self.engine.exceptions().last().unwrap();
                    assert_eq!(format!("{:?}", newest.kind), kind, "{line}");
                }
                Some(("sdate", date)) if date.starts_with('D') => {
                    assert_eq!(outcome.settlement_date, day(date), "{line}\n  {outcome:?}");
                }
                Some(("sdate", date)) => {
                    assert_eq!(outcome.settlement_date.to_string(), date, "{line}");
                }
                Some(("bdate", date)) => {
                    assert_eq!(outcome.business_date, day(date), "{line}\n  {outcome:?}");
                }
                Some((account, balances)) => {
                    let view = self
                        .engine
                        .account_by_number(&number(account))
                        .unwrap_or_else(|| panic!("{line}: no account {account}"));
                    let found = if balances.contains('/') {
                        format!("{}/{}", view.ledger_minor, view.available_minor)
                    } else {
                        view.ledger_minor.to_string()
                    };
                    assert_eq!(found, balances, "{line}\n  account {account}");
                }
                None => panic!("{line}: {word}"),
            }
        }
        assert_eq!(outcome.is_repeat, repeat, "{line}\n  {outcome:?}");
        let added = self.engine.counts().exceptions - exceptions;
        assert_eq!(added, u64::from(named_exception), "{line}: exceptions");
        // A repeat has no effect; everything else is journaled.
        let events = self.engine.last_seq() - before;
        assert_eq!(events, u64::from(!(repeat || silent)), "{line}: events");
        assert!(outcome.durable_at <= self.engine.last_seq(), "{line}");
        if outcome.seq != 0 {
            assert!(outcome.durable_at >= outcome.seq, "{line}");
        }
    }
}

fn amount(text: &str) -> Amount {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let currency = match text.get(digits.len()..).unwrap() {
        "" | "KRW" => KRW,
        "USD" => USD,
        "EUR" => EUR,
        "JPY" => JPY,
        other => panic!("currency {other}"),
    };
    Amount {
        minor: digits.parse().unwrap_or_else(|_| panic!("amount {text}")),
        currency,
    }
}

fn stan(word: &str) -> u64 {
    word.strip_prefix('#')
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_else(|| panic!("STAN {word}"))
}

/// DE 7 of a message: one per STAN unless a line says otherwise.
fn transmitted(stan: u64) -> u32 {
    (3 * 31 + 15) * 86_400 + stan as u32 + 1
}

pub fn locator(network: NetworkId, card: &str, stan: u64) -> u32 {
    hash(&[u64::from(network.0), pan(card).0 as u64, stan]) as u32
}

struct Words<'a> {
    pairs: Vec<(&'a str, &'a str)>,
    flags: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn new(words: impl Iterator<Item = &'a str>) -> Self {
        let (mut pairs, mut flags) = (vec![], vec![]);
        for word in words {
            match word.split_once('=') {
                Some(pair) => pairs.push(pair),
                None => flags.push(word),
            }
        }
        Self { pairs, flags }
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.pairs.iter().find(|(k, _)| *k == key).map(|(_, v)| *v)
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.get(key).map(|v| v.parse().unwrap())
    }
}

/// `D`, `D+1`, `D-3`: from the first date of these banks.
pub fn day(text: &str) -> Date {
    let rest = text
        .strip_prefix('D')
        .unwrap_or_else(|| panic!("day {text}"));
    let offset: i32 = if rest.is_empty() {
        0
    } else {
        rest.parse().unwrap()
    };
    Date(u16::try_from(i32::from(today().0) + offset).unwrap())
}

pub fn entry_id(id: &str) -> u128 {
    let h = hash(&id.bytes().map(u64::from).collect::<Vec<_>>());
    u128::from(hash(&[h])) << 64 | u128::from(hash(&[h, 1]))
}

/// `cutover D`, `freeze D`, `seal D [KRW:COUNT:SUM ...]`, `early D [notbefore=US]`,
/// `netcutover NETWORK D [notbefore=US]`, `batch KRW`,
/// `entry ID ACCOUNT AMOUNT[CURRENCY] D`.
pub fn parse_night(line: &str) -> Option<Request> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (what, rest) = words.split_first()?;
    let not_before_us = rest
        .iter()
        .find_map(|word| word.strip_prefix("notbefore="))
        .map_or(0, |us| us.parse().unwrap());
    Some(match (*what, rest) {
        ("cutover", [date]) => Request::Cutover { date: day(date) },
        ("freeze", [date]) => Request::Freeze { date: day(date) },
        ("seal", [date, sums @ ..]) => {
            let mut entries = EntrySums::EMPTY;
            for sum in sums {
                let parts: Vec<&str> = sum.split(':').collect();
                let currency = amount(&format!("0{}", parts[0])).currency;
                entries = entries
                    .with(
                        currency,
                        parts[1].parse().unwrap(),
                        parts[2].parse().unwrap(),
                    )
                    .unwrap();
            }
            Request::Seal {
                date: day(date),
                entries,
            }
        }
        ("early", [date, ..]) => Request::OpenEarly {
            date: day(date),
            not_before_us,
        },
        ("netcutover", [network, date, ..]) => Request::NetworkCutover {
            network: NetworkId(network.parse().unwrap()),
            date: day(date),
            not_before_us,
        },
        ("batch", [currency]) => Request::OpenBatch {
            currency: amount(&format!("0{currency}")).currency,
        },
        ("entry", [id, account, sum, date]) => {
            let (sign, digits) = match sum.strip_prefix('-') {
                Some(digits) => (-1, digits),
                None => (1, *sum),
            };
            let sum = amount(digits);
            Request::PostEntry(PostEntry {
                id: entry_id(id),
                account: number(account),
                amount_minor: sign * i64::try_from(sum.minor).unwrap(),
                currency: sum.currency,
                date: day(date),
            })
        }
        _ => return None,
    })
}

/// Reads a message from a line.
pub fn parse(line: &str) -> Request {
    let mut words = line.split_whitespace();
    let what = words.next().unwrap();
    if what == "reverse" {
        return parse_reversal(words);
    }
    let (class, operation) = match what.strip_prefix("advice-") {
        Some(operation) => (Class::FinancialAdvice, operation),
        None => (Class::FinancialRequest, what),
    };
    let operation = match operation {
        "purchase" => Operation::Purchase,
        "cash" => Operation::Cash,
        "cashback" => Operation::PurchaseWithCashback,
        "refund" => Operation::Refund,
        "inquiry" => Operation::InquiryAvailable,
        "balance" => Operation::InquiryBalance,
        "transfer" => Operation::Transfer,
        other => panic!("{line}: {other}"),
    };
    let card = words.next().unwrap();
    let amount = amount(words.next().unwrap());
    let stan = stan(words.next().unwrap());
    let words = Words::new(words);
    let network = NetworkId(words.number("network").unwrap_or(1) as u16);
    let identity = identity(class, network, card, stan, &words);
    Request::Transaction(Transaction {
        identity,
        class,
        network,
        operation,
        pan: (card != "-").then(|| pan(card)),
        expiry: words
            .number("expiry")
            .map(|yymm| Expiry::from_yymm(yymm as u16).unwrap()),
        from: words.get("from").map(number),
        to: words.get("to").map(number),
        amount,
        billing: words.get("billing").map(self::amount),
        cashback_minor: words.number("cashback").unwrap_or(0),
        settlement: words.number("de15").map(|mmdd| MonthDay {
            month: (mmdd / 100) as u8,
            day: (mmdd % 100) as u8,
        }),
        refusal: words
            .number("refusal")
            .map(|code| gapless_engine::code::ResponseCode::from_number(code as u8).unwrap()),
    })
}

fn identity(
    class: Class,
    network: NetworkId,
    card: &str,
    stan: u64,
    words: &Words<'_>,
) -> Identity {
    let transmitted = words.number("de7").map_or_else(
        || transmitted(stan),
        |de7| if de7 == 0 { 0 } else { transmitted(de7) },
    );
    let rrn = words.number("rrn").unwrap_or(stan) as u16;
    let acquirer = words.number("acquirer").unwrap_or(9) as u8;
    let terminal = words.number("terminal").unwrap_or(1);
    // 0400 and 0420 are of one class here, but two messages.
    let message = u64::from(words.flags.contains(&"advice"));
    Identity {
        key: hash(&[
            class as u64,
            message,
            u64::from(network.0),
            pan(card).0 as u64,
            u64::from(transmitted),
            stan,
            u64::from(acquirer),
            u64::from(rrn),
            terminal,
        ]),
        locator: locator(network, card, stan),
        transmitted,
        rrn,
        acquirer,
        forwarder: 0,
    }
}

/// `reverse CARD #STAN of #ORIGINAL`; DE 90 as the original had it, unless
/// `odate`, `orrn`, `oacquirer`, `oclass` say otherwise (0 = lost); the word
/// `lost` for a lost STAN, `advice` for 0420; `amount` if DE 4 is sent.
fn parse_reversal<'a>(mut words: impl Iterator<Item = &'a str>) -> Request {
    let card = words.next().unwrap();
    let own = stan(words.next().unwrap());
    assert_eq!(words.next(), Some("of"));
    let original = stan(words.next().unwrap());
    let words = Words::new(words);
    let network = NetworkId(words.number("network").unwrap_or(1) as u16);
    Request::Reversal(Reversal {
        identity: identity(Class::Reversal, network, card, own, &words),
        network,
        pan: (card != "-").then(|| pan(card)),
        original: Original {
            class: match words.number("oclass") {
                None => None,
                Some(200) => Some(Class::FinancialRequest),
                Some(220) => Some(Class::FinancialAdvice),
                Some(other) => panic!("class {other}"),
            },
            // "meets=cB": the locator, a hash, happens to be that of another card's message.
            locator: (!words.flags.contains(&"lost"))
                .then(|| locator(network, words.get("meets").unwrap_or(card), original)),
            transmitted: match words.number("ode7") {
                None => transmitted(original),
                Some(0) => 0,
                Some(other) => transmitted(other),
            },
            rrn: words.number("orrn").unwrap_or(original) as u16,
            acquirer: words.number("oacquirer").unwrap_or(9) as u8,
            forwarder: 0,
        },
        amount: words.get("amount").map(amount),
        settlement: words.number("de15").map(|mmdd| MonthDay {
            month: (mmdd / 100) as u8,
            day: (mmdd % 100) as u8,
        }),
    })
}
