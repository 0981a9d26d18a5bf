//! A bank of any size, with its journal, store and follower, for measuring.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gapless::config::StoreConfig;
use gapless_engine::command::{
    AccountStatus, Amount, CardStatus, Class, Command, Genesis, Identity, Operation, PutAccount,
    PutCard, Request, Transaction,
};
use gapless_engine::date::Date;
use gapless_engine::ids::{AccountNumber, Currency, Expiry, NetworkId, PanHash};
use gapless_engine::{Answer, Capacity, Engine};
use gapless_journal::{
    CommitterOptions, Disk, Hooks, InlineCommitter, Journal, JournalOptions, RealDisk,
    RetentionHandle,
};
use gapless_store::{
    Archive, Dirs, Follower, FollowerHandle, FollowerOptions, InlineFollower, LoadOptions, Replica,
    Source, StoreOptions,
};

pub const KRW: Currency = Currency(410);
/// Events of one group: a busy daemon's.
const GROUP: u64 = 256;

/// What a bank tells whoever watches it.
pub const COMMAND: &str = "a command";
pub const LETTING_GO: &str = "letting go of 128 records";
pub const LENDING: &str = "taking in what was fetched";

/// Where everything is.
pub struct House {
    pub disk: Arc<dyn Disk>,
    pub dirs: Dirs,
    pub options: StoreOptions,
    pub capacity: Capacity,
    /// Durable groups handed on in memory, in bytes: none unless a bench is about them.
    pub recent_bytes: usize,
}

impl House {
    /// For `n` accounts and cards, and twice as many transactions.
    pub fn new(dir: &Path, n: u64) -> Self {
        let rows = u32::try_from(n).unwrap() + 64;
        let shipped = StoreConfig::default();
        Self {
            disk: Arc::new(RealDisk),
            dirs: Dirs::within(dir),
            // sled as it is configured by default.
            options: StoreOptions {
                sled_cache_bytes: u64::from(shipped.cache_mib) << 20,
                checkpoint_every: Duration::from_millis(shipped.checkpoint_every_ms),
                ..StoreOptions::default()
            },
            capacity: Capacity {
                accounts: rows,
                cards: rows,
                remembered: 2 * rows,
            },
            recent_bytes: 0,
        }
    }
}

/// A running bank.
pub struct Bank {
    pub live: Engine,
    pub source: Source,
    pub replayed: u64,
    /// Opening the journal (its scan, its next segments).
    pub open_time: Duration,
    /// Loading and replay.
    pub load_time: Duration,
    committer: InlineCommitter,
    retention: RetentionHandle,
    uuid: [u8; 16],
    replica: Option<Replica>,
    disk: Arc<dyn Disk>,
    dirs: Dirs,
    options: StoreOptions,
    time_us: u64,
    customers: u64,
    /// What the follower has put into files, for the live engine to let go of.
    pub spilled: Arc<Mutex<Vec<(Date, u32)>>>,
    pub archive: Archive,
    /// Blocks that commands needed.
    pub fetched: u64,
    /// Called before and after each thing that the engine does in one go.
    pub watch: Option<Watch>,
}

/// With whether it begins, and what it is.
pub type Watch = Box<dyn FnMut(bool, &'static str)>;

impl Bank {
    /// Opens the journal and recovers.
    pub fn start(house: &House) -> Self {
        let started = Instant::now();
        let mut options = JournalOptions::new(house.dirs.journal.clone());
        // What is replayed is verified by reading it.
        options.verify_from = u64::MAX;
        let recovered = Journal::open(Arc::clone(&house.disk), options).unwrap();
        let open_time = started.elapsed();
        let options = LoadOptions::new(&recovered, house.capacity, house.options.clone());
        let loaded = gapless_store::load(&house.disk, &house.dirs, &options).unwrap();
        let load_time = started.elapsed() - open_time;
        Self {
            open_time,
            load_time,
            time_us: loaded.live.last_time_us().max(1_795_000_000_000_000),
            customers: u64::from(loaded.live.cards_len()),
            live: loaded.live,
            source: loaded.source,
            replayed: loaded.replayed,
            retention: recovered.journal.retention(),
            committer: InlineCommitter::new(
                Box::new(recovered.journal),
                recovered.head,
                Hooks::new(|_| (), |_| ()),
                CommitterOptions {
                    recent_bytes: house.recent_bytes,
                    ..CommitterOptions::default()
                },
            ),
            uuid: recovered.uuid,
            replica: Some(loaded.follower),
            disk: Arc::clone(&house.disk),
            dirs: house.dirs.clone(),
            options: house.options.clone(),
            spilled: Arc::default(),
            archive: loaded.archive,
            fetched: 0,
            watch: None,
        }
    }

    /// Starts the follower.
    pub fn follow(&mut self) -> FollowerHandle {
        Follower::start(self.follower_options()).unwrap()
    }

    /// The follower without its thread.
    pub fn follow_inline(&mut self) -> InlineFollower {
        InlineFollower::new(self.follower_options()).unwrap()
    }

    fn follower_options(&mut self) -> FollowerOptions {
        let durable = self.committer.durable_handle();
        let retention = self.retention.clone();
        let spilled = Arc::clone(&self.spilled);
        FollowerOptions {
            disk: Arc::clone(&self.disk),
            dirs: self.dirs.clone(),
            store: self.options.clone(),
            uuid: self.uuid,
            replica: self.replica.take().unwrap(),
            durable: Box::new(move || durable.get()),
            recent: self.committer.recent(),
            release_before: Box::new(move |seq| retention.release_before(seq)),
            spilled: Box::new(move |date, until| spilled.lock().unwrap().push((date, until))),
        }
    }

    /// The last sequence.
    pub fn head(&self) -> u64 {
        self.live.last_seq()
    }

    fn tell(&mut self, begins: bool, what: &'static str) {
        if let Some(watch) = &mut self.watch {
            watch(begins, what);
        }
    }

    /// Lets go of what is in files, as the daemon's runner does: 128 slots in one go.
    pub fn let_go(&mut self) {
        let told = std::mem::take(&mut *self.spilled.lock().unwrap());
        for (date, until) in told {
            loop {
                self.tell(true, LETTING_GO);
                let freed = self.live.spill(date, until, 128);
                self.tell(false, LETTING_GO);
                if let Some(freed) = freed {
                    // Another thread's work in the daemon.
                    drop(freed);
                    break;
                }
            }
        }
    }

    /// One command; what it needs out of files is fetched first. Returns how many blocks.
    pub fn execute(&mut self, request: &Request, events: &mut Vec<u8>) -> (Answer, usize) {
        let command = Command {
            time_us: self.time_us,
            day: Date(20_500),
            request: *request,
        };
        let mut fetched = 0;
        loop {
            self.tell(true, COMMAND);
            let answer = self.live.execute(&command, events);
            self.tell(false, COMMAND);
            if answer != Answer::Wanting {
                return (answer, fetched);
            }
            let blocks = self.archive.fetch(&self.live.wanted());
            fetched += blocks.len();
            self.tell(true, LENDING);
            for (block, bytes) in &blocks {
                self.live.lend(*block, bytes.as_deref());
            }
            self.tell(false, LENDING);
        }
    }

    fn group(&mut self, requests: impl Iterator<Item = Request>) {
        let first = self.head() + 1;
        let mut events = Vec::with_capacity(64 << 10);
        for request in requests {
            self.time_us += 10;
            self.fetched += self.execute(&request, &mut events).1 as u64;
        }
        self.let_go();
        let last = self.head();
        if last < first {
            return;
        }
        let appender = self.committer.appender();
        appender
            .append(last, |to| to.extend_from_slice(&events))
            .unwrap();
        assert!(self.committer.commit().unwrap());
    }

    /// Genesis and `n` customers with an account and a card each.
    pub fn found(&mut self, n: u64) {
        let business_date = Date::from_ymd(2026, 11, 22).unwrap();
        self.group(
            [
                Request::Genesis(Genesis {
                    business_date,
                    key_check: 7,
                }),
                Request::OpenInternal {
                    network: NetworkId(0),
                    currency: KRW,
                },
            ]
            .into_iter(),
        );
        for first in (0..n).step_by(GROUP as usize) {
            self.group((first..n.min(first + GROUP)).map(put_account));
        }
        for first in (0..n).step_by(GROUP as usize) {
            self.group((first..n.min(first + GROUP)).map(put_card));
        }
        self.customers = n;
    }

    /// One command, durable.
    #[allow(dead_code)] // Not every bench has a night.
    pub fn command(&mut self, request: Request) {
        self.group([request].into_iter());
    }

    /// `n` purchases by scattered cards.
    pub fn purchases(&mut self, n: u64) {
        let (base, customers) = (self.head(), self.customers);
        for first in (0..n).step_by(GROUP as usize) {
            self.group(
                (first..n.min(first + GROUP)).map(|number| purchase(base + number, customers)),
            );
        }
    }
}

/// A permutation-like scatter.
fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn account(number: u64) -> AccountNumber {
    AccountNumber::new(format!("{}", 1_000_000_000 + number).as_bytes()).unwrap()
}

fn pan(card: u64) -> PanHash {
    PanHash(u128::from(scatter(card)) << 64 | u128::from(scatter(!card)))
}

pub fn put_account(number: u64) -> Request {
    Request::PutAccount(PutAccount {
        number: account(number),
        currency: KRW,
        balance_minor: 100_000_000,
        overdraft_minor: 0,
        status: AccountStatus::Active,
    })
}

pub fn put_card(card: u64) -> Request {
    Request::PutCard(PutCard {
        pan: pan(card),
        bin: 941_000,
        last4: u16::try_from(card % 10_000).unwrap(),
        expiry: Expiry {
            year: 30,
            month: 12,
        },
        account: account(card),
        status: CardStatus::Active,
    })
}

pub fn purchase(number: u64, customers: u64) -> Request {
    let roll = scatter(number);
    Request::Transaction(Transaction {
        identity: Identity {
            key: roll,
            locator: (roll >> 16) as u32 | 1,
            transmitted: 33 * 86_400 + (number % 80_000) as u32,
            rrn: roll as u16,
            acquirer: 3,
            forwarder: 0,
        },
        class: Class::FinancialRequest,
        network: NetworkId(0),
        operation: Operation::Purchase,
        pan: Some(pan(roll % customers)),
        expiry: None,
        from: None,
        to: None,
        amount: Amount {
            minor: 1_000 + roll % 5_000,
            currency: KRW,
        },
        billing: None,
        cashback_minor: 0,
        settlement: None,
        refusal: None,
    })
}
