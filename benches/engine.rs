//! The engine's speed, memory and longest pause, against what issue 2 asks for.
//!
//! Plain measurements with thread CPU time: what counts here are the quietest of
//! a few rounds (neighbours in the caches can only add), the longest single step
//! and resident memory, each with its limit, so that this is a program with goals
//! rather than a sampler. Every
//! figure of time is printed beside a baseline of the same run, since machines
//! differ: a random read-modify-write of two cache lines in a table of the same size.
//!
//! `cargo bench --bench engine`; with `GAPLESS_BENCH_ACCOUNTS=100000` on a small machine.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::float_arithmetic
)]

#[path = "support/goals.rs"]
#[allow(dead_code)] // Shared with the other benches.
mod goals;

use gapless_engine::command::*;
use gapless_engine::date::Date;
use gapless_engine::ids::*;
use gapless_engine::{Answer, Capacity, Engine, Event, Options};
use goals::Goals;
use std::hint::black_box;

const KRW: Currency = Currency(410);
const NETWORK: NetworkId = NetworkId(1);
/// Purchases per measured round.
const ROUND: u64 = 200_000;
const ROUNDS: usize = 7;
const BATCH: usize = 400;
/// Messages that one read of a busy link brings.
const READ: usize = 16;
/// A look-up bucket, a card and an account, if each were named by the one before.
const DEPENDENT: usize = 3;

fn main() {
    let quick = goals::quick();
    let mut goals = Goals::new();
    let accounts = std::env::var("GAPLESS_BENCH_ACCOUNTS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(if quick { 20_000 } else { 1_000_000 });
    if std::env::var_os("GAPLESS_BENCH_SPEED_ONLY").is_none() {
        memory_and_pause(accounts, &mut goals);
    }
    speed(accounts, quick, &mut goals);
    crowd(quick, &mut goals);
    goals.finish();
}

/// Microseconds of CPU time of this thread.
fn cpu_us() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

/// A number that looks random, the same in every run.
fn scatter(n: u64) -> u64 {
    let mut x = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn pan(n: u64) -> PanHash {
    PanHash(u128::from(scatter(n)) << 64 | u128::from(scatter(!n)))
}

fn number(n: u64) -> AccountNumber {
    AccountNumber::new((1_000_000_000 + n).to_string().as_bytes()).unwrap()
}

fn purchase(n: u64, accounts: u64) -> Command {
    let card = scatter(n ^ 0x5555) % accounts;
    let key = scatter(n.wrapping_mul(3));
    Command {
        time_us: n,
        day: gapless_engine::date::Date(20_500),
        request: Request::Transaction(Transaction {
            identity: Identity {
                key,
                locator: (key >> 7) as u32,
                transmitted: 32 * 86_400 + 1 + (n % 86_400) as u32,
                rrn: n as u16,
                acquirer: 9,
                forwarder: 0,
            },
            class: Class::FinancialRequest,
            network: NETWORK,
            operation: Operation::Purchase,
            pan: Some(pan(card)),
            expiry: None,
            from: None,
            to: None,
            amount: Amount {
                minor: 1000,
                currency: KRW,
            },
            billing: None,
            cashback_minor: 0,
            settlement: None,
            refusal: None,
        }),
    }
}

/// The commands that open the bank.
fn opening(accounts: u64) -> impl Iterator<Item = Request> {
    let first = [
        Request::Genesis(Genesis {
            business_date: Date(20_500),
            key_check: 1,
        }),
        Request::OpenInternal {
            network: NETWORK,
            currency: KRW,
        },
    ];
    let account = |n| {
        Request::PutAccount(PutAccount {
            number: number(n),
            currency: KRW,
            balance_minor: 100_000_000,
            overdraft_minor: 0,
            status: AccountStatus::Active,
        })
    };
    let card = |n| {
        Request::PutCard(PutCard {
            pan: pan(n),
            bin: 941_000,
            last4: (n % 10_000) as u16,
            expiry: Expiry {
                year: 90,
                month: 12,
            },
            account: number(n),
            status: CardStatus::Active,
        })
    };
    first
        .into_iter()
        .chain((0..accounts).map(account))
        .chain((0..accounts).map(card))
}

fn options(accounts: u64, remembered: u64, indexed: bool) -> Options {
    Options {
        indexed,
        capacity: Capacity {
            accounts: accounts as u32 + 16,
            cards: accounts as u32,
            remembered: remembered as u32,
        },
    }
}

/// Executes, keeps the longest step, and lets a follower apply the same events.
struct Pair {
    live: Engine,
    follower: Engine,
    log: Vec<u8>,
    longest_us: [f64; 2],
}

impl Pair {
    fn execute(&mut self, command: &Command) -> Answer {
        self.log.clear();
        let start = cpu_us();
        let answer = self.live.execute(command, &mut self.log);
        let took = cpu_us() - start;
        self.longest_us[0] = self.longest_us[0].max(took);
        if let Ok((event, _)) = Event::decode(&self.log) {
            let start = cpu_us();
            self.follower.apply(&event);
            let took = cpu_us() - start;
            self.longest_us[1] = self.longest_us[1].max(took);
        }
        answer
    }
}

/// From empty to full tables: bytes per account and per remembered transaction
/// (live engine and follower together), and the longest step.
fn memory_and_pause(accounts: u64, goals: &mut Goals) {
    let transactions = accounts * 2;
    let start = resident_bytes();
    let mut pair = Pair {
        live: Engine::new(options(accounts, transactions, true)),
        follower: Engine::new(options(accounts, transactions, false)),
        log: Vec::with_capacity(4096),
        longest_us: [0.0; 2],
    };
    // As in the daemon.
    gapless_pages::touch_ahead(0..0);
    pair.live.tell_of_records(gapless_pages::touch_ahead);
    pair.follower.tell_of_records(gapless_pages::touch_ahead);
    // The look-up table of transactions is laid out at once: counted with them.
    let tables = resident_bytes();
    for request in opening(accounts) {
        pair.execute(&Command {
            time_us: 0,
            day: gapless_engine::date::Date(20_500),
            request,
        });
    }
    let opened = resident_bytes();
    for n in 0..transactions - 4 {
        let answer = pair.execute(&purchase(n, accounts));
        if let Answer::Message(outcome) = answer {
            assert!(outcome.code.is_approved(), "{n}: {outcome:?}");
        }
    }
    let full = resident_bytes();
    assert_eq!(pair.live.state_hash(), pair.follower.state_hash());
    // Of the tables laid out at the start: 8 bytes per account and transaction, 12.8 per card.
    let (of_accounts, of_transactions) = (20.8 * accounts as f64, 8.0 * transactions as f64);
    let laid_out = (tables - start) as f64 / (of_accounts + of_transactions);
    let per_account = ((opened - tables) as f64 + laid_out * of_accounts) / accounts as f64;
    let per_transaction =
        ((full - opened) as f64 + laid_out * of_transactions) / transactions as f64;
    // The store's share comes on top, see the bench "memory": 400 in all.
    let what = "engine: memory per account and card, two instances";
    goals.at_most(what, per_account, 260.0, "bytes");
    let what = "engine: memory per remembered transaction, two instances";
    goals.at_most(what, per_transaction, 100.0, "bytes");
    let [live, follower] = pair.longest_us;
    println!("longest step from empty to full: {live:.1} us live, {follower:.1} us follower");
    // Whatever interrupts the thread counts too; the bench "pauses" tells it apart.
    let what = "engine: longest step from empty to full tables";
    goals.at_most(what, live.max(follower), 1000.0, "us");
}

/// Of the rounds, that with the least from outside in it; and the one in the middle.
fn quietest(mut of: Vec<f64>) -> (f64, f64) {
    of.sort_by(f64::total_cmp);
    (of[0], of[of.len() / 2])
}

fn execute_approved(engine: &mut Engine, command: &Command, log: &mut Vec<u8>) {
    if let Answer::Message(outcome) = engine.execute(black_box(command), log) {
        assert!(outcome.code.is_approved());
    }
}

/// What this machine takes for reads that wait for one another, in a table as
/// large as the rows: a measure of the machine's memory at that moment.
fn chase(accounts: u64) -> f64 {
    let lines = accounts * 2;
    let table: Vec<[u64; 8]> = (0..lines).map(|n| [scatter(n) % lines; 8]).collect();
    let walks = 100_000;
    let round = |round: u64| {
        let start = cpu_us();
        let mut sum = 0;
        for n in round * walks..(round + 1) * walks {
            // Each walk starts anew, and after the one before it has ended.
            let mut at = (scatter(n) ^ (sum & 1)) % lines;
            for _ in 0..DEPENDENT {
                at = table[at as usize][0];
            }
            sum += at;
        }
        black_box(sum);
        (cpu_us() - start) / walks as f64
    };
    quietest((0..ROUNDS as u64).map(round).collect()).0
}

/// A purchase of one card, whose STAN counts up or stays as it was.
fn of_one_card(n: u64, counts_up: bool) -> Command {
    let mut command = purchase(n, 1);
    if let Request::Transaction(t) = &mut command.request {
        t.identity.transmitted = 32 * 86_400 + 1 + n as u32;
        t.amount.minor = 1;
        if !counts_up {
            t.identity.locator = 7;
        }
    }
    command
}

/// What a peer costs that sends the same card and STAN for ever, so that one look-up
/// could find all that it sent: `decide` for its next message after a hundred
/// thousand, beside the same card's with STANs that count up, and beside the first.
fn crowd(quick: bool, goals: &mut Goals) {
    let (sent, asked) = if quick {
        (2_000, 400)
    } else {
        (100_000, 20_000)
    };
    let bank = |sent: u64, counts_up: bool| {
        let mut engine = Engine::new(options(1, 150_000, true));
        let mut log = Vec::new();
        let payments = (0..sent).map(|n| of_one_card(n, counts_up).request);
        for (n, request) in (0..).zip(opening(1).chain(payments)) {
            log.clear();
            engine.execute(
                &Command {
                    time_us: n,
                    day: gapless_engine::date::Date(20_500),
                    request,
                },
                &mut log,
            );
        }
        engine
    };
    let engines = [bank(0, false), bank(sent, true), bank(sent, false)];
    let mut spent = [vec![], vec![], vec![]];
    for round in 0..ROUNDS as u64 {
        for (at, (engine, spent)) in engines.iter().zip(&mut spent).enumerate() {
            let from = sent + round * asked;
            let mut took = 0.0;
            for batch in (from..from + asked).step_by(BATCH) {
                let commands: [Command; BATCH] =
                    std::array::from_fn(|n| of_one_card(batch + n as u64, at == 1));
                let start = cpu_us();
                for command in &commands {
                    black_box(engine.decide(black_box(command)));
                }
                took += cpu_us() - start;
            }
            spent.push(took * 1e3 / asked as f64);
        }
    }
    let [first, counted, crowd] = spent.map(|rounds| quietest(rounds).0);
    println!(
        "deciding for one card: the first message {first:.0} ns; after {sent} with STANs that count \
         up {counted:.0} ns; after {sent} with one STAN {crowd:.0} ns, {:.2} times the first",
        crowd / first
    );
    let what =
        format!("engine: decide after {sent} of one card and STAN, beside STANs that count up");
    goals.at_most(&what, crowd / counted, 2.0, "times");
}

/// The engine as a daemon has it that has started anew: loaded, its tables in large pages
/// where the system has them, which an import beside payments cannot wait for.
fn started_anew(engine: &Engine) -> Engine {
    let small = std::env::var_os("GAPLESS_BENCH_SMALL_PAGES").is_some();
    let told: gapless_engine::Reserved = if small { |_| {} } else { gapless_pages::prefer };
    let mut loader = Engine::loader_in(engine.options(), told);
    loader.residue(&engine.residue()).unwrap();
    for ix in (0..engine.accounts_len()).map(AccountIx) {
        let row = engine.account_row(ix).unwrap().to_bytes();
        loader.account(ix, &row).unwrap();
    }
    for ix in (0..engine.cards_len()).map(CardIx) {
        let row = engine.card_row(ix).unwrap().to_bytes();
        loader.card(ix, &row).unwrap();
    }
    let mut engine = loader.finish().unwrap();
    engine.tables().for_each(gapless_pages::settle);
    engine.tell_of_records(gapless_pages::touch_ahead);
    engine
}

/// Time per purchase and per replayed event, with 1 M accounts at random.
fn speed(accounts: u64, quick: bool, goals: &mut Goals) {
    let rounds = if quick { 1 } else { ROUNDS };
    let transactions = ROUND * (rounds as u64 + 1);
    let mut engine = Engine::new(options(accounts, transactions, true));
    let mut log = Vec::new();
    for request in opening(accounts) {
        engine.execute(
            &Command {
                time_us: 0,
                day: gapless_engine::date::Date(20_500),
                request,
            },
            &mut log,
        );
    }
    let mut engine = started_anew(&engine);
    let opening_bytes = log.len();
    let mut group = Vec::with_capacity(1 << 20);
    let (mut alone, mut batched, mut baseline) = (vec![], vec![], vec![]);
    // Two cache lines of a table as large as the rows of accounts and cards.
    let mut table = vec![1u64; accounts as usize * 16];
    for round in 0..rounds as u64 {
        let (mut spent, mut spent_batched) = (0.0, 0.0);
        for batch in (round * ROUND..(round + 1) * ROUND).step_by(BATCH) {
            // Made outside the measured time; enough of them that reading the
            // clock does not count.
            let commands: [Command; BATCH] =
                std::array::from_fn(|n| purchase(batch + n as u64, accounts));
            let (first, second) = commands.split_at(BATCH / 2);
            let start = cpu_us();
            for command in first {
                execute_approved(&mut engine, command, &mut group);
            }
            let between = cpu_us();
            for read in second.chunks(READ) {
                engine.prepare(black_box(read).iter().map(|command| &command.request));
                for command in read {
                    execute_approved(&mut engine, command, &mut group);
                }
            }
            spent_batched += cpu_us() - between;
            spent += between - start;
            if group.len() > 1 << 19 {
                group.clear();
            }
        }
        alone.push(spent / (ROUND / 2) as f64);
        batched.push(spent_batched / (ROUND / 2) as f64);
        let start = cpu_us();
        let lines = accounts as usize * 2;
        for n in round * ROUND..(round + 1) * ROUND {
            let at = scatter(n) as usize;
            for line in [at % lines, (at >> 24) % lines] {
                table[line * 8] = table[line * 8].wrapping_mul(31).wrapping_add(n);
            }
        }
        black_box(&table);
        baseline.push((cpu_us() - start) / ROUND as f64);
    }
    let (alone, batched) = (quietest(alone), quietest(batched));
    let (baseline, _) = quietest(baseline);
    let chase = chase(accounts);
    println!(
        "baseline, two cache lines read, changed, written: {:.0} ns",
        baseline * 1e3
    );
    println!(
        "baseline, {DEPENDENT} dependent reads: {:.0} ns",
        chase * 1e3
    );
    for (how, (best, middle)) in [("one by one", alone), ("in reads of sixteen", batched)] {
        println!(
            "an approved purchase, {how}: {:.0} ns, the middle round {:.0} ns, {:.1} times the two cache \
             lines, {:.1} times the dependent reads",
            best * 1e3,
            middle * 1e3,
            best / baseline,
            best / chase
        );
        let what = format!("engine: decide + check + apply, {accounts} accounts at random, {how}");
        goals.at_most(&what, best * 1e3, 500.0, "ns");
    }

    // Replay: the same commands, their events in one buffer, as recovery reads them.
    let mut second = Engine::new(options(accounts, transactions, true));
    let mut log = Vec::with_capacity(opening_bytes + ROUND as usize * rounds * 110);
    for request in opening(accounts) {
        second.execute(
            &Command {
                time_us: 0,
                day: gapless_engine::date::Date(20_500),
                request,
            },
            &mut log,
        );
    }
    let opened = log.len();
    let events = ROUND * rounds as u64;
    for n in 0..events {
        second.execute(&purchase(n, accounts), &mut log);
    }
    println!(
        "{:.1} bytes per purchase in the journal",
        (log.len() - opened) as f64 / events as f64
    );
    for (who, indexed) in [
        ("recovery (with look-up tables)", true),
        ("follower", false),
    ] {
        let mut replayed = Engine::new(options(accounts, transactions, indexed));
        let mut rest = &log[..];
        let start = cpu_us();
        let mut at_opening = start;
        while !rest.is_empty() {
            if log.len() - rest.len() == opened {
                at_opening = cpu_us();
            }
            let (event, tail) = Event::decode(rest).unwrap();
            replayed.apply(&event);
            rest = tail;
        }
        let per_second = events as f64 / (cpu_us() - at_opening);
        let what = format!("engine: replay, {who}");
        goals.at_least(&what, per_second, 1.0, "M events/s");
        assert_eq!(replayed.state_hash(), second.state_hash());
    }
}
