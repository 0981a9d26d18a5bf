//! The switch without its threads and sockets: the daemon's own session, adapter,
//! runner, engine, journal and follower, each driven from here on a simulated disk.
//!
//! What stands in for the daemon's threads: [`Node::commit`] is the journal thread's
//! turn, [`Node::follow`] the follower's, [`Node::deliver`] and [`Node::release`] are
//! what a connection does between its reads and writes.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gapless::adapter::{Adapter, OPERATIONS, PanKeys, Rules};
use gapless::config::{Bank, CutoverTime};
use gapless::daemon::night::Schedule;
use gapless::link::Port;
use gapless::link::session::{Given, Note, Session, SessionLimits, Taken};
use gapless::runner::clock::Clock;
use gapless::runner::{EngineHandle, Fatal, Gauges, JournalEnds, LinkPort, RunnerOptions};
use gapless_engine::command::Request;
use gapless_engine::date::Date;
use gapless_engine::ids::{Currency, NetworkId};
use gapless_engine::outcome::Outcome;
use gapless_engine::{Answer, Capacity, Engine, Event};
use gapless_iso8583::Cut;
use gapless_journal::sim::SimDisk;
use gapless_journal::{
    CommitterOptions, Disk, HelperMode, Hooks, InlineCommitter, Journal, JournalOptions, Reader,
    Room, RoomHandle,
};
use gapless_store::{
    Dirs, ExtractState, FollowerOptions, Format, InlineFollower, LoadOptions, Source, StoreOptions,
    Table, load,
};
use tokio_util::sync::CancellationToken;

use crate::auditor::model::Day;
use crate::message::Msg;
use crate::plan::{LinkPlan, Plan};

/// Room for the small banks of simulations.
pub const CAPACITY: Capacity = Capacity {
    accounts: 128,
    cards: 64,
    remembered: 8_192,
};

/// Bytes that may wait for the journal, and how they relate to a segment: as in the
/// daemon, what is decided when the disk turns out to be full still fits.
struct Bounds {
    group: usize,
    pending: usize,
    reserved: usize,
}

impl Bounds {
    const fn new(segment_bytes: u64) -> Self {
        let segment = segment_bytes as usize;
        Self {
            group: segment / 16,
            pending: segment / 8,
            reserved: segment / 8 + segment / 32,
        }
    }
}

/// Where the switch has its data, on the simulated disk.
#[must_use]
pub fn dirs() -> Dirs {
    Dirs {
        rows: None,
        ..Dirs::within("/data".as_ref())
    }
}

/// The simulated monotonic clock: microseconds since some instant.
#[derive(Clone, Debug)]
pub struct Ticks {
    origin: Instant,
    us: Rc<Cell<u64>>,
}

impl Default for Ticks {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            us: Rc::default(),
        }
    }
}

impl Ticks {
    /// Time moves on to this.
    pub fn set(&self, us: u64) {
        self.us.set(us);
    }

    /// As an instant.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.origin + Duration::from_micros(self.us.get())
    }
}

/// What a start found.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    /// The journal's last event.
    pub head: u64,
    /// Whether something torn was cut off.
    pub torn: bool,
    /// Where the state came from.
    pub source: Source,
}

/// What became of a message that was delivered.
#[derive(Debug)]
pub enum Fate {
    /// The core took it under this tag.
    Core(u32),
    /// Answered at once, with DE 39; whether it was refused at the door.
    Answered(u8, bool),
    /// Not answered.
    Ignored,
}

/// An extract, as the batch has it.
#[derive(Clone, Debug)]
pub struct Extract {
    /// Closing balances, minor units.
    pub balances: BTreeMap<String, i64>,
    /// Of each file.
    pub sha256: Vec<String>,
}

/// An answer that leaves.
#[derive(Debug)]
pub struct Leaving {
    /// The tag of its request.
    pub tag: u32,
    /// What the core said.
    pub outcome: Outcome,
    /// Whether it was kept back, since it is too late.
    pub late: bool,
}

struct Connection {
    session: Session,
    port: LinkPort,
    link: usize,
    unread: Vec<u8>,
}

/// The switch while it runs.
pub struct Node {
    handle: EngineHandle,
    committer: InlineCommitter,
    follower: Option<InlineFollower>,
    /// What the follower has put into files.
    in_files: std::sync::mpsc::Receiver<(Date, u32)>,
    /// Blocks that were read from them.
    fetched: Rc<Cell<u64>>,
    fatal: Fatal,
    room: RoomHandle,
    schedule: Schedule,
    adapters: Vec<Rc<Adapter>>,
    connections: BTreeMap<u64, Connection>,
    reader: Option<Reader>,
    disk: SimDisk,
    ticks: Ticks,
    links: Vec<LinkPlan>,
}

/// The bank as its configuration has it.
#[must_use]
pub fn bank(plan: &Plan) -> Bank {
    Bank {
        zone: plan.zone.to_owned(),
        cutover: CutoverTime {
            hour: plan.hours.hour as u8,
            minute: plan.hours.minute as u8,
            second: 0,
        },
        grace_s: plan.hours.grace_s as u32,
        early_s: plan.hours.early_s as u32,
        ..Bank::default()
    }
}

fn adapter(keys: &Arc<PanKeys>, plan: &Plan, link: &LinkPlan) -> Adapter {
    let allowed = |code: u64| link.allow.contains(&code);
    let rules = Rules {
        network: NetworkId(link.network),
        cutover_names_ended: plan
            .network(link.network)
            .is_some_and(|network| network.names_ended),
        allow: OPERATIONS
            .into_iter()
            .filter(|operation| allowed(*operation as u64))
            .collect(),
        cardless_transfers: link.cardless,
        max_amount_minor: link
            .max_amount
            .iter()
            .map(|(currency, limit)| (Currency(*currency), *limit))
            .collect(),
        ..Rules::own_terminals(Currency(link.default_currency))
    };
    Adapter::new(Arc::clone(keys), Arc::clone(&link.form.dialect), rules)
}

/// The key of every simulation: the same messages have the same hashes.
#[must_use]
pub fn keys() -> Arc<PanKeys> {
    Arc::new(PanKeys::from_bytes(&[7; 32]))
}

impl Node {
    /// Opens the journal and recovers, as the daemon does. `steps` decides in which
    /// order the journal's helper does its work.
    ///
    /// # Errors
    /// Why it does not start; the text is for people.
    pub fn start(
        plan: &Plan,
        disk: &SimDisk,
        ticks: &Ticks,
        wall_us: u64,
        steps: u64,
    ) -> Result<(Self, Started), String> {
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let dirs = dirs();
        let bounds = Bounds::new(plan.segment_bytes);
        let options = JournalOptions {
            helper: HelperMode::Stepped(steps),
            uuid: Some(*b"simulated bank's"),
            max_group_bytes: bounds.group,
            headroom_bytes: (bounds.reserved + bounds.group) as u64,
            full_wait: Duration::ZERO,
            retry_interval: Duration::ZERO,
            ..JournalOptions::small(&dirs.journal, plan.segment_bytes)
        };
        let recovered = Journal::open(Arc::clone(&shared), options).map_err(|e| e.to_string())?;
        let store = StoreOptions {
            base_after_events: plan.base_after_events,
            base_after_growth: if plan.base_after_growth { u64::MAX } else { 0 },
            base_bytes_per_s: u64::MAX,
            min_free_bytes: 0,
            retry_after: Duration::ZERO,
            remembered_in_memory: plan.in_memory,
            remembered_per_file: 32,
            ..StoreOptions::default()
        };
        let mut loaded = load(
            &shared,
            &dirs,
            &LoadOptions::new(&recovered, CAPACITY, store.clone()),
        )
        .map_err(|e| e.to_string())?;
        // The follower's turns come when they come: nothing is refused for want of one.
        loaded.live.hold_in_memory(u32::MAX);
        let (spilled, in_files) = std::sync::mpsc::channel();
        let started = Started {
            head: recovered.head,
            torn: recovered.cut.is_some(),
            source: loaded.source,
        };
        let room = recovered.journal.room_handle();
        let retention = recovered.journal.retention();
        let fatal = Fatal::default();
        let told = fatal.clone();
        let committer = InlineCommitter::new(
            Box::new(recovered.journal),
            recovered.head,
            Hooks::new(|_| (), move |error| told.happened(error.to_string())),
            CommitterOptions {
                max_pending_bytes: bounds.reserved + 4 * Event::MAX_BYTES,
                // Half of the lives follow out of memory, the others by reading.
                recent_bytes: if steps.is_multiple_of(2) { 4_096 } else { 0 },
                ..CommitterOptions::default()
            },
        );
        let durable = committer.durable_handle();
        let followed = durable.clone();
        let follower = InlineFollower::new(FollowerOptions {
            disk: Arc::clone(&shared),
            dirs: dirs.clone(),
            store,
            uuid: recovered.uuid,
            replica: loaded.follower,
            durable: Box::new(move || followed.get()),
            recent: committer.recent(),
            release_before: Box::new(move |seq| retention.release_before(seq)),
            spilled: Box::new(move |date, until| {
                // Gone only with everything else.
                let _ = spilled.send((date, until));
            }),
        })
        .map_err(|e| e.to_string())?;
        let (clock, _) = Clock::start(wall_us, loaded.live.last_time_us(), ticks.now());
        let handle = EngineHandle::new(
            loaded.live,
            JournalEnds {
                appender: committer.appender(),
                durable,
                room: room.clone(),
            },
            clock,
            RunnerOptions {
                max_pending_journal_bytes: bounds.pending,
                max_pending_reserved_bytes: bounds.reserved,
                // Its groups become durable when its seed says so, not at a rate.
                max_pending_wait: None,
                attest_every: plan.attest_every,
            },
            CancellationToken::new(),
            fatal.clone(),
            Arc::new(Gauges::default()),
        );
        let fetched = Rc::new(Cell::new(0));
        {
            // It is there at once: the journal's order is what the auditor follows.
            let (weak, fetched) = (handle.downgrade(), Rc::clone(&fetched));
            let archive = loaded.archive;
            handle.records_from(move |ticket, blocks| {
                fetched.set(fetched.get() + blocks.len() as u64);
                if let Some(handle) = weak.upgrade() {
                    handle.lend(ticket, &archive.fetch(&blocks));
                }
            });
        }
        let time = ticks.clone();
        handle.ticks_from(move || time.now());
        let schedule = |plan: &Plan| Schedule::new(&bank(plan)).map_err(|e| e.to_string());
        let hours = schedule(plan)?;
        handle.opens_early(move |date| hours.early_from_us(date));
        let days = schedule(plan)?;
        handle.calendar(move |time_us| days.day_at(time_us));
        let keys = keys();
        let node = Self {
            handle,
            committer,
            follower: Some(follower),
            in_files,
            fetched,
            fatal,
            room,
            schedule: schedule(plan)?,
            adapters: plan
                .links
                .iter()
                .map(|link| Rc::new(adapter(&keys, plan, link)))
                .collect(),
            connections: BTreeMap::new(),
            reader: None,
            disk: disk.clone(),
            ticks: ticks.clone(),
            links: plan.links.clone(),
        };
        Ok((node, started))
    }

    /// A connection on a link, named by the caller.
    pub fn connect(&mut self, id: u64, link: usize) {
        let plan = &self.links[link];
        let limits = SessionLimits {
            max_in_flight: plan.max_in_flight,
            answer_limit: plan.answer_limit_s.map(Duration::from_secs),
            sign_on_required: plan.sign_on,
        };
        let connection = Connection {
            session: Session::new(Rc::clone(&self.adapters[link]), plan.form.framing, limits),
            port: self.handle.connect(),
            link,
            unread: Vec::new(),
        };
        self.connections.insert(id, connection);
    }

    /// The connection is gone; effects stay.
    pub fn disconnect(&mut self, id: u64) {
        self.connections.remove(&id);
    }

    /// Bytes arrive on a connection: each message's fate, in order. Answers that wait
    /// for nobody go to `out`. The core decides at [`Self::flush`].
    ///
    /// # Errors
    /// The bytes are no frames.
    pub fn deliver(
        &mut self,
        id: u64,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Vec<Fate>, String> {
        let today = self.handle.business().default;
        let now = self.ticks.now();
        let Some(connection) = self.connections.get_mut(&id) else {
            return Ok(Vec::new());
        };
        let framing = self.links[connection.link].form.framing;
        connection.unread.extend_from_slice(bytes);
        let mut fates = Vec::new();
        let mut from = 0;
        loop {
            let rest = &connection.unread[from..];
            let (tpdu, body, consumed) = match framing.cut(rest).map_err(|e| e.to_string())? {
                Cut::NeedMore { .. } => break,
                Cut::KeepAlive { consumed } => {
                    from += consumed;
                    continue;
                }
                Cut::Frame {
                    tpdu,
                    body,
                    consumed,
                } => (tpdu, body, consumed),
            };
            let mut taken = connection.session.take(&rest[body], tpdu, now, today, out);
            if let Taken::Submit(tag, request) = &taken
                && let Err(why) = Port::submit(&mut connection.port, *tag, request)
            {
                taken = connection.session.refuse(*tag, why, today, out);
            }
            fates.push(match taken {
                Taken::Submit(tag, _) => Fate::Core(tag),
                Taken::Answered { code, note, .. } => {
                    Fate::Answered(code.number(), matches!(note, Some(Note::Refused(_))))
                }
                Taken::Replied(_) | Taken::Ignored(_) => Fate::Ignored,
            });
            from += consumed;
        }
        connection.unread.drain(..from);
        Ok(fates)
    }

    /// End of what one read brought: the core decides.
    pub fn flush(&mut self, id: u64) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.port.flush();
        }
    }

    /// The journal thread's turn. `false` when the log failed.
    pub fn commit(&mut self) -> bool {
        self.committer.commit().is_ok()
    }

    /// The newest durable event, as the journal tells it.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.committer.durable_handle().get()
    }

    /// Answers that may leave on a connection: their bytes go to `out`.
    pub fn release(&mut self, id: u64, out: &mut Vec<u8>) -> Vec<Leaving> {
        let now = self.ticks.now();
        let mut leaving = Vec::new();
        if let Some(connection) = self.connections.get_mut(&id) {
            while let Some((tag, outcome)) = connection.port.take_released() {
                let port = &connection.port;
                let find = |seq| Port::reconciliation(port, seq);
                let session = &mut connection.session;
                let given = session.give_with(tag, &outcome, now, out, find);
                leaving.push(Leaving {
                    tag,
                    outcome,
                    late: !matches!(given, Given::Answered { .. }),
                });
            }
        }
        leaving
    }

    /// A turn of the follower's; `false` when it had nothing to do.
    ///
    /// # Errors
    /// Why it stopped.
    pub fn follow(&mut self) -> Result<bool, String> {
        let Some(follower) = &mut self.follower else {
            return Ok(false);
        };
        let turned = follower.turn().map_err(|e| e.to_string());
        if turned.is_err() {
            // As in the daemon: payments go on without it.
            self.follower = None;
        }
        while let Ok((date, until)) = self.in_files.try_recv() {
            while self.handle.spill_some(date, until).is_none() {}
        }
        turned
    }

    /// Blocks of remembered transactions that were fetched from files.
    #[must_use]
    pub fn fetched(&self) -> u64 {
        self.fetched.get()
    }

    /// The follower, while it runs.
    #[must_use]
    pub const fn follower(&self) -> Option<&InlineFollower> {
        self.follower.as_ref()
    }

    /// The extract of a frozen date, if it is ready: its balances by account, and the
    /// checksums of its files.
    ///
    /// # Errors
    /// It cannot be read, or holds what it should not.
    pub fn extract(&self, day: Day) -> Result<Option<Extract>, String> {
        let date = gapless_engine::date::Date(day as u16);
        let Some(shelf) = self.follower.as_ref().and_then(InlineFollower::extracts) else {
            return Ok(None);
        };
        let Some(ExtractState::Ready(manifest)) = shelf.state(date) else {
            return Ok(None);
        };
        let reader = shelf.open(&manifest, date, Table::Balances, Format::Csv);
        let mut reader = reader.map_err(|e| e.to_string())?;
        let mut text = Vec::new();
        while let Some(piece) = reader.next_piece().map_err(|e| e.to_string())? {
            text.extend_from_slice(&piece);
        }
        let text = String::from_utf8(text).map_err(|e| e.to_string())?;
        let mut balances = BTreeMap::new();
        for line in text.lines().skip(1) {
            let mut columns = line.split(',');
            let number = columns.next().unwrap_or_default().to_owned();
            let balance = columns.nth(2).and_then(|text| text.parse().ok());
            let balance = balance.ok_or_else(|| format!("no balance in {line}"))?;
            balances.insert(number, balance);
        }
        let files = manifest.files(Format::Csv).iter();
        Ok(Some(Extract {
            balances,
            sha256: files.map(|file| file.sha256.clone()).collect(),
        }))
    }

    /// The bank's clock: cutover and freeze, when they are due.
    pub fn fire(&self) {
        self.schedule.fire(&self.handle);
    }

    /// A command of the night. Whether it is done, whether it was before, and the
    /// event that must be durable before it is told; or why not.
    pub fn night(&self, request: &Request) -> Result<(bool, u64), String> {
        use gapless_engine::outcome::NightOutcome;
        let (night, seq) = self.handle.night(request);
        match night.outcome {
            NightOutcome::Done { is_repeat, .. } => Ok((is_repeat, seq)),
            NightOutcome::Refused { why, .. } => Err(why.to_string()),
        }
    }

    /// Administrative commands.
    pub fn put(&self, requests: &[Request]) -> Vec<Answer> {
        self.handle.put(requests).0
    }

    /// Looks at the wall clock.
    pub fn look_at_wall_clock(&self, wall_us: u64) {
        self.handle.look_at_wall_clock(wall_us);
    }

    /// Somebody says that the wall clock is right.
    pub fn confirm_clock(&self, wall_us: u64) -> bool {
        self.handle.confirm_clock(wall_us, wall_us)
    }

    /// Engine time.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.handle.now_us()
    }

    /// Whether timed steps may fire.
    #[must_use]
    pub fn is_steady(&self) -> bool {
        self.handle.clock_is_steady()
    }

    /// Space for the journal.
    #[must_use]
    pub fn room(&self) -> Room {
        self.room.room()
    }

    /// Whether it has given up.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.fatal.has_happened()
    }

    /// The live engine.
    pub fn look<R>(&self, f: impl FnOnce(&Engine) -> R) -> R {
        self.handle.look(f)
    }

    /// Events that became durable since the last call, from the journal's files. On
    /// an error of the disk they come with a later call.
    pub fn new_events(&mut self, from: u64) -> Vec<Event> {
        let durable = self.durable();
        let mut events = Vec::new();
        if self.reader.is_none() {
            let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
            self.reader = Reader::open(disk, dirs().journal, from).ok();
        }
        let Some(reader) = &mut self.reader else {
            return events;
        };
        loop {
            match reader.next(durable) {
                Ok(Some(group)) => {
                    let mut rest = group.events;
                    while !rest.is_empty() {
                        let (event, after) = Event::decode(rest).unwrap();
                        rest = after;
                        events.push(event);
                    }
                }
                Ok(None) => break,
                Err(_) => {
                    self.reader = None;
                    break;
                }
            }
        }
        events
    }

    /// Writes a message as a link does.
    pub fn write(&self, link: usize, message: &Msg, out: &mut Vec<u8>) {
        self.links[link].form.write(message, out);
    }
}
