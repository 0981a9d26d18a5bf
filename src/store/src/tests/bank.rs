//! A bank with random business, whose events go through a real journal.
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::remembered::{Archive, Extents, Remembered};
use crate::{
    Dirs, Follower, FollowerError, FollowerHandle, FollowerOptions, InlineFollower, LoadOptions,
    LoadStateError, Loaded, Replica, StoreOptions,
};
use gapless_engine::command::{
    AccountStatus, Amount, CardStatus, Class, Command, Genesis, Identity, Operation, Original,
    PostEntry, PutAccount, PutCard, Reconcile, Request, Reversal, Transaction,
};
use gapless_engine::date::Date;
use gapless_engine::ids::{AccountNumber, Currency, Expiry, NetworkId, PanHash};
use gapless_engine::{Answer, Body, Capacity, Engine, Event, Figures, Options, Phase, Record};
use gapless_journal::{
    Batch, Disk, FileJournal, HelperMode, Journal, JournalOptions, Port, Recent, Recovered, Verdict,
};

pub const KRW: Currency = Currency(410);
pub const CAPACITY: Capacity = Capacity {
    accounts: 4_096,
    cards: 4_096,
    remembered: 65_536,
};
/// Remembered transactions in memory of a tight house.
pub const TIGHT: u32 = 200;
const START: u64 = 1_795_000_000_000_000;

/// A small generator: the same seed gives the same business.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.roll() % n
    }
}

pub fn pan(card: u64) -> PanHash {
    PanHash(u128::from(card) << 64 | u128::from(card.wrapping_mul(0x1234_5678_9abc_def1)))
}

pub fn account(number: u64) -> AccountNumber {
    AccountNumber::new(format!("{}", 1_000_000_000 + number).as_bytes()).unwrap()
}

/// Directories of one data directory: journal and bases on `disk`, sled on the real one.
#[derive(Debug)]
pub struct House {
    pub disk: Arc<dyn Disk>,
    pub dirs: Dirs,
    pub options: StoreOptions,
    pub capacity: Capacity,
    /// Size of a journal segment in bytes.
    pub segment: u64,
    /// Whether the journal is cut when the follower allows it.
    pub cut: bool,
}

impl House {
    /// With sled in `dir`, and journal and bases on `disk`, below the same path.
    pub fn new(disk: Arc<dyn Disk>, dir: &Path) -> Self {
        Self {
            disk,
            dirs: Dirs::within(dir),
            options: quick(),
            capacity: CAPACITY,
            segment: 1 << 20,
            cut: false,
        }
    }

    /// With little memory for what is remembered, and small files for the rest.
    pub fn tight(mut self) -> Self {
        self.options.remembered_in_memory = TIGHT;
        self.options.remembered_per_file = 32;
        self
    }

    pub fn without_rows(mut self) -> Self {
        self.dirs.rows = None;
        self
    }

    pub fn rows(&self) -> PathBuf {
        self.dirs.rows.clone().unwrap()
    }

    pub fn open(&self) -> Recovered {
        // No helper thread: what the simulated disk holds depends on the test alone.
        let options = JournalOptions {
            helper: HelperMode::Inline,
            ..JournalOptions::small(self.dirs.journal.clone(), self.segment)
        };
        Journal::open(Arc::clone(&self.disk), options).unwrap()
    }

    /// As [`Self::start`], where the disk may fail.
    pub fn try_start(&self) -> Option<Bank> {
        let options = JournalOptions {
            helper: HelperMode::Inline,
            ..JournalOptions::small(self.dirs.journal.clone(), self.segment)
        };
        let recovered = Journal::open(Arc::clone(&self.disk), options).ok()?;
        let options = LoadOptions::new(&recovered, self.capacity, self.options.clone());
        let loaded = crate::load(&self.disk, &self.dirs, &options).ok()?;
        Some(Bank::new(self, recovered, loaded))
    }

    /// Starts as the daemon does: journal, load, follower.
    pub fn start(&self) -> Result<Bank, LoadStateError> {
        let recovered = self.open();
        let options = LoadOptions::new(&recovered, self.capacity, self.options.clone());
        let loaded = crate::load(&self.disk, &self.dirs, &options)?;
        Ok(Bank::new(self, recovered, loaded))
    }
}

/// Without a pace: tests wait for events, not for time.
pub fn quick() -> StoreOptions {
    StoreOptions {
        checkpoint_every: Duration::ZERO,
        checkpoint_bytes_per_s: u64::MAX,
        base_bytes_per_s: u64::MAX,
        min_free_bytes: 0,
        retry_after: Duration::from_millis(1),
        ..StoreOptions::default()
    }
}

/// A running bank: live engine, journal, and what the follower needs.
pub struct Bank {
    pub live: Engine,
    pub journal: FileJournal,
    pub uuid: [u8; 16],
    pub durable: Arc<AtomicU64>,
    pub released: Arc<AtomicU64>,
    pub loaded: LoadedFrom,
    replica: Option<Replica>,
    pub archive: Archive,
    /// Blocks that requests needed out of files.
    pub fetched: usize,
    /// What the follower says that the live engine may let go of.
    pub spilled: Arc<Mutex<Vec<(Date, u32)>>>,
    disk: Arc<dyn Disk>,
    dirs: Dirs,
    options: StoreOptions,
    cut: bool,
    batch_id: u64,
    stan: u64,
    /// Whether days end while it trades, and what is old is forgotten.
    pub nights: bool,
    /// Bytes of events that it has made durable.
    pub event_bytes: u64,
    time_us: u64,
    sent: Vec<Transaction>,
}

pub struct LoadedFrom {
    pub source: crate::Source,
    pub replayed: u64,
    pub notes: Vec<String>,
}

impl Bank {
    fn new(house: &House, recovered: Recovered, mut loaded: Loaded) -> Self {
        // It may run without a follower to put records into files for it.
        loaded.live.hold_in_memory(u32::MAX);
        let head = recovered.head;
        assert_eq!(loaded.live.last_seq(), head);
        assert_eq!(
            loaded.live.state_hash(),
            loaded.follower.engine().state_hash()
        );
        gapless_engine::audit(&loaded.live).unwrap();
        gapless_engine::audit(loaded.follower.engine()).unwrap();
        Self {
            nights: true,
            event_bytes: 0,
            time_us: START + head * 1_000,
            stan: head,
            live: loaded.live,
            uuid: recovered.uuid,
            journal: recovered.journal,
            durable: Arc::new(AtomicU64::new(head)),
            released: Arc::new(AtomicU64::new(0)),
            loaded: LoadedFrom {
                source: loaded.source,
                replayed: loaded.replayed,
                notes: loaded.notes,
            },
            replica: Some(loaded.follower),
            archive: loaded.archive,
            fetched: 0,
            spilled: Arc::default(),
            disk: Arc::clone(&house.disk),
            dirs: house.dirs.clone(),
            options: house.options.clone(),
            cut: house.cut,
            batch_id: 0,
            sent: Vec::new(),
        }
    }

    pub fn follow(&mut self) -> FollowerHandle {
        Follower::start(self.follower_options()).unwrap()
    }

    /// Puts the follower's instance back to the newest base before `seq`, where a live
    /// one would have been.
    pub fn set_back(&mut self, house: &House, seq: u64) {
        let mut engine = Engine::loader(Options {
            indexed: false,
            capacity: house.capacity,
        });
        let bases = crate::base::list(&*house.disk, &house.dirs.bases, false).unwrap();
        let base = bases.iter().find(|base| base.0 < seq).unwrap();
        crate::base::read(&*house.disk, &house.dirs.bases.join(base.file()), |item| {
            crate::load::feed(&mut engine, None, item)
        })
        .unwrap();
        let engine = engine.finish().unwrap();
        let dirty = crate::state::all_dirty(&engine);
        self.replica = Some(Replica {
            engine,
            dirty,
            rows: None,
            mark: 0,
            mark_files: Extents::default(),
            remembered: self.remembered(),
            base: None,
        });
    }

    /// Files, with nothing in them.
    pub fn remembered(&self) -> Remembered {
        Remembered::new(self.archive.clone(), &self.options)
    }

    /// A follower without a thread.
    pub fn follow_inline(&mut self) -> Result<InlineFollower, FollowerError> {
        InlineFollower::new(self.follower_options())
    }

    fn follower_options(&mut self) -> FollowerOptions {
        let (durable, released) = (Arc::clone(&self.durable), Arc::clone(&self.released));
        let told = Arc::clone(&self.spilled);
        let retention = self.cut.then(|| self.journal.retention());
        FollowerOptions {
            disk: Arc::clone(&self.disk),
            dirs: self.dirs.clone(),
            store: self.options.clone(),
            uuid: self.uuid,
            replica: self.replica.take().unwrap(),
            durable: Box::new(move || durable.load(Ordering::Acquire)),
            recent: Recent::default(),
            release_before: Box::new(move |seq| {
                released.fetch_max(seq, Ordering::AcqRel);
                if let Some(retention) = &retention {
                    retention.release_before(seq);
                }
            }),
            spilled: Box::new(move |date, until| told.lock().unwrap().push((date, until))),
        }
    }

    pub fn head(&self) -> u64 {
        self.live.last_seq()
    }

    /// Runs requests and makes their events durable as one group.
    pub fn group(&mut self, requests: &[Request]) {
        let first = self.head() + 1;
        let mut events = Vec::new();
        for request in requests {
            self.time_us += 1_000;
            self.let_go();
            let command = Command {
                time_us: self.time_us,
                day: gapless_engine::date::Date(20_000),
                request: *request,
            };
            while self.live.execute(&command, &mut events) == Answer::Wanting {
                let wanted = self.live.wanted();
                self.fetched += wanted.len();
                for (block, bytes) in self.archive.fetch(&wanted) {
                    self.live.lend(block, bytes.as_deref());
                }
            }
        }
        self.append(first, &events);
    }

    /// The live engine lets go of what the follower has put into files.
    pub fn let_go(&mut self) {
        for (date, until) in std::mem::take(&mut *self.spilled.lock().unwrap()) {
            while self.live.spill(date, until, 500).is_none() {}
        }
    }

    /// Makes encoded events durable as they are.
    pub fn append(&mut self, first: u64, events: &[u8]) {
        let last = self.head();
        if last < first {
            return;
        }
        self.batch_id += 1;
        self.event_bytes += events.len() as u64;
        let verdict = self.journal.submit(Batch {
            term: self.journal.term(),
            expected_head: first - 1,
            batch_id: self.batch_id,
            first,
            last,
            events,
        });
        assert!(matches!(verdict, Verdict::Durable), "{verdict:?}");
        self.durable.store(last, Ordering::Release);
    }

    /// Makes an attested hash durable that is not the live engine's.
    pub fn spoil_attest(&mut self) {
        let first = self.head() + 1;
        let mut event = Event {
            seq: first,
            time_us: self.live.last_time_us(),
            body: Body::Attest {
                state_hash: !self.live.state_hash(),
            },
        };
        let mut events = Vec::new();
        event.encode(&mut events);
        event.body = Body::Attest {
            state_hash: self.live.state_hash(),
        };
        self.live.apply(&event);
        self.append(first, &events);
    }

    /// Genesis, internal accounts, and `n` customers with a card each.
    pub fn found(&mut self, n: u64) {
        let business_date = Date::from_ymd(2026, 11, 22).unwrap();
        self.group(&[
            Request::Genesis(Genesis {
                business_date,
                key_check: 7,
            }),
            Request::OpenInternal {
                network: NetworkId(0),
                currency: KRW,
            },
            Request::OpenInternal {
                network: NetworkId(1),
                currency: KRW,
            },
        ]);
        let accounts: Vec<_> = (0..n).map(put_account).collect();
        accounts.chunks(256).for_each(|chunk| self.group(chunk));
        let cards: Vec<_> = (0..n).map(put_card).collect();
        cards.chunks(256).for_each(|chunk| self.group(chunk));
    }

    /// `groups` groups of random business among the first `customers` cards.
    pub fn trade(&mut self, dice: &mut Dice, groups: u64, customers: u64) {
        for _ in 0..groups {
            let size = 1 + dice.below(40);
            let requests: Vec<_> = (0..size).map(|_| self.deal(dice, customers)).collect();
            self.group(&requests);
        }
    }

    /// So many whole nights, a group for each step; returns the sequence of the last seal.
    pub fn pass_nights(&mut self, nights: u16) -> u64 {
        for _ in 0..nights {
            let date = self.live.business().closing;
            self.group(&[Request::Cutover { date }]);
            self.group(&[Request::Freeze { date }]);
            let entries = self.live.entries(date);
            self.group(&[Request::Seal { date, entries }]);
            assert_eq!(self.live.business().closing, date.next());
        }
        self.head()
    }

    fn deal(&mut self, dice: &mut Dice, customers: u64) -> Request {
        self.stan += 1;
        match dice.below(20) {
            0 => Request::Attest,
            1 if !self.sent.is_empty() => {
                // A repeat, or an advice in the footsteps of a request.
                let at = dice.below(self.sent.len() as u64) as usize;
                let mut again = self.sent[at];
                if dice.below(2) == 0 {
                    again.class = Class::FinancialAdvice;
                    again.identity.key ^= 1 << 20;
                }
                Request::Transaction(again)
            }
            2..=4 if !self.sent.is_empty() => {
                let at = dice.below(self.sent.len() as u64) as usize;
                Request::Reversal(self.reversal_of(&self.sent[at]))
            }
            5 => {
                // A reversal of something that comes later, or never.
                let later = self.transaction(dice, customers);
                let reversal = self.reversal_of(&later);
                self.sent.push(later);
                Request::Reversal(reversal)
            }
            6 => {
                let mut row = put_account(dice.below(customers + 8));
                if let Request::PutAccount(account) = &mut row {
                    account.overdraft_minor = dice.below(1_000) as i64;
                }
                row
            }
            7 => put_card(dice.below(customers + 4)),
            8 if self.nights && dice.below(3) == 0 => self.reconciliation(dice),
            8 if self.nights => self.night_step(dice, customers),
            _ => {
                let transaction = self.transaction(dice, customers);
                if self.sent.len() < 400 {
                    self.sent.push(transaction);
                } else {
                    let at = dice.below(400) as usize;
                    self.sent[at] = transaction;
                }
                Request::Transaction(transaction)
            }
        }
    }

    fn reconciliation(&self, dice: &mut Dice) -> Request {
        let network = NetworkId(1);
        let theirs = Figures::NONE
            .with(76, dice.below(9) as i64)
            .unwrap_or(Figures::NONE);
        match (dice.below(3), self.live.asked(network)) {
            (0, Some(asked)) => Request::ReconciliationAnswered {
                network,
                asked: asked.seq,
                verdict: None,
                theirs,
            },
            (0, None) => Request::AskReconciliation { network },
            (1, _) => Request::CutoverAnnounced {
                network,
                closed: self
                    .live
                    .unannounced(network)
                    .map_or(self.live.business().closing, |due| due.closed),
            },
            _ => Request::Reconcile(Reconcile {
                identity: Identity {
                    key: dice.roll(),
                    ..Identity::default()
                },
                network,
                settlement: self.live.business().closing.month_day(),
                currency: Some(KRW),
                theirs,
            }),
        }
    }

    /// The next step of a day's end, or an entry of the batch.
    fn night_step(&self, dice: &mut Dice, customers: u64) -> Request {
        let dates = self.live.business();
        let date = dates.closing;
        match dates.phase {
            None if dice.below(4) == 0 => Request::OpenBatch { currency: KRW },
            None if dice.below(4) == 0 => Request::NetworkCutover {
                network: NetworkId(1),
                date: date.next(),
                not_before_us: 0,
            },
            None | Some(Phase::Early) => Request::Cutover { date },
            Some(Phase::Grace) => Request::Freeze { date },
            Some(Phase::Frozen) if dice.below(2) == 0 => Request::PostEntry(PostEntry {
                id: u128::from(self.stan) << 64 | u128::from(dice.below(u64::MAX)),
                account: account(dice.below(customers)),
                amount_minor: 1 + dice.below(50) as i64,
                currency: KRW,
                date,
            }),
            Some(Phase::Frozen) => Request::Seal {
                date,
                entries: self.live.entries(date),
            },
        }
    }

    fn transaction(&self, dice: &mut Dice, customers: u64) -> Transaction {
        let card = dice.below(customers);
        let operation = [
            Operation::Purchase,
            Operation::Purchase,
            Operation::Cash,
            Operation::Refund,
            Operation::InquiryAvailable,
            Operation::Transfer,
        ][dice.below(6) as usize];
        let transfer = operation == Operation::Transfer;
        Transaction {
            identity: Identity {
                key: dice.roll(),
                locator: (self.stan as u32).wrapping_mul(0x9e37_79b9) ^ card as u32,
                transmitted: 33 * 86_400 + (self.stan % 80_000) as u32,
                rrn: dice.roll() as u16,
                acquirer: 3,
                forwarder: 0,
            },
            class: if dice.below(8) == 0 {
                Class::FinancialAdvice
            } else {
                Class::FinancialRequest
            },
            network: NetworkId(dice.below(2) as u16),
            operation,
            pan: Some(pan(card)),
            expiry: None,
            from: None,
            to: transfer.then(|| account(dice.below(customers))),
            amount: Amount {
                minor: 1 + dice.below(30_000),
                currency: KRW,
            },
            billing: None,
            cashback_minor: 0,
            settlement: None,
            refusal: None,
        }
    }

    fn reversal_of(&self, original: &Transaction) -> Reversal {
        let mut identity = original.identity;
        identity.key = identity.key.rotate_left(17) ^ self.stan;
        Reversal {
            identity,
            network: original.network,
            pan: original.pan,
            original: Original {
                class: Some(original.class),
                locator: Some(original.identity.locator),
                transmitted: original.identity.transmitted,
                rrn: original.identity.rrn,
                acquirer: 0,
                forwarder: 0,
            },
            amount: None,
            settlement: None,
        }
    }
}

pub fn put_account(number: u64) -> Request {
    Request::PutAccount(PutAccount {
        number: account(number),
        currency: KRW,
        balance_minor: 100_000,
        overdraft_minor: 0,
        status: AccountStatus::Active,
    })
}

pub fn put_card(card: u64) -> Request {
    Request::PutCard(PutCard {
        pan: pan(card),
        bin: 941_000,
        last4: (card % 10_000) as u16,
        expiry: Expiry {
            year: 30,
            month: 12,
        },
        account: account(card),
        status: CardStatus::Active,
    })
}

/// The state that the journal alone gives.
pub fn replayed(house: &House, capacity: Capacity) -> Engine {
    let mut engine = Engine::new(Options {
        indexed: false,
        capacity,
    });
    let mut reader =
        gapless_journal::Reader::open(Arc::clone(&house.disk), house.dirs.journal.clone(), 1)
            .unwrap();
    let head = gapless_journal::scan(&*house.disk, &house.dirs.journal)
        .unwrap()
        .unwrap()
        .head;
    while let Some(group) = reader.next(head).unwrap() {
        let mut rest = group.events;
        while !rest.is_empty() {
            let (event, after) = Event::decode(rest).unwrap();
            engine.check(&event).unwrap();
            engine.apply(&event);
            rest = after;
        }
    }
    engine
}

/// Copies a directory with everything in it, as a crash at this moment would leave it.
pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A directory for sled: in memory where there is such, since nothing here depends on the disk.
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    }
    .unwrap()
}

/// A journal and bases in memory, sled in `room`, and a founded bank that has traded.
pub fn traded(sim: &gapless_journal::sim::SimDisk, room: &Path, seed: u64) -> (House, Bank) {
    let house = House::new(Arc::new(sim.clone()), room);
    let mut bank = house.start().unwrap();
    bank.found(60);
    bank.trade(&mut Dice::new(seed), 10, 60);
    (house, bank)
}

/// All that is remembered, to the byte, and the hash of all else. The mark "reversed" of
/// records is part of it.
pub fn image(engine: &Engine) -> (u64, Vec<[u8; Record::BYTES]>) {
    let records = engine
        .generations()
        .flat_map(|(date, len)| engine.record_bytes(date, 0..len));
    (engine.state_hash(), records.collect())
}

/// Opens a database that was closed a moment ago: sled gives its lock back from a
/// thread of its own.
pub fn open_sled(dir: impl AsRef<Path>) -> sled::Db {
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        match sled::open(dir.as_ref()) {
            Ok(db) => return db,
            Err(sled::Error::Io(error))
                if error.to_string().contains("lock") && std::time::Instant::now() < patience =>
            {
                std::thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
    }
}
