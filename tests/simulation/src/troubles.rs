//! What goes wrong, and how the switch comes back.

use gapless_engine::ids::AccountIx;
use gapless_engine::{Body, Engine, Event};
use gapless_journal::sim::Fault;
use gapless_store::Source;

use crate::auditor::model::{Dates, Effect, Legs};
use crate::auditor::{Failure, failure};
use crate::coverage::FETCHED;
use crate::node::{CAPACITY, Node, dirs};
use crate::world::{Happening, S, World};

/// Wall clock and engine time further apart than this: a jump.
const JUMP_US: u64 = 500_000;
/// A wall clock further than this ahead of the journal is not believed at a start.
const STANDSTILL_US: u64 = 72 * 3_600 * S;
/// State hashes kept for a comparison after a start.
const HASHES: usize = 512;

impl World {
    /// Starts the switch. On a disk that refuses it tries again later.
    pub(crate) fn start(&mut self) -> Result<(), Failure> {
        if self.node.is_some() {
            return Ok(());
        }
        let wall_us = self.wall_us();
        let steps = self.rng.next();
        let node = Node::start(&self.plan, &self.disk, &self.ticks, wall_us, steps);
        let (node, started) = match node {
            Ok(started) => started,
            Err(error) => {
                if !self.disk_troubled {
                    return failure(9, format!("it does not start: {error}"));
                }
                self.tell(|_| format!("    start refused: {error}"));
                self.coverage.saw("start refused by the disk");
                if self.rng.percent(50) {
                    // Perhaps it lost power meanwhile.
                    let seed = self.rng.next();
                    self.disk.power_loss(seed);
                    self.coverage.saw("power lost in a start");
                } else {
                    self.disk.process_loss();
                }
                self.mend();
                let wait = self.rng.within(1, 60) * S;
                self.after(wait, Happening::Start);
                return Ok(());
            }
        };
        self.lives += 1;
        self.tell(|_| format!("    started: {started:?}"));
        if started.torn {
            self.coverage.saw("torn tail");
        }
        match started.source {
            Source::Rows(_) => self.coverage.saw("start from rows"),
            Source::Base(_) => self.coverage.saw("start from a base file"),
            Source::Journal => self.coverage.saw("start from the journal"),
        }
        if started.head < self.auditor.model.seq {
            self.coverage.saw("events lost that nobody was told of");
        }
        self.auditor.recovered(started.head)?;
        self.hashes.split_off(&(started.head + 1));
        self.read_to = self.read_to.min(started.head);
        self.attested_at = started.head;
        self.recovered_as_it_was(&node, started.head)?;
        // Engine time never runs backwards, and does not follow a clock that is days ahead.
        let newest_us = node.look(Engine::last_time_us);
        let ahead_us = wall_us.saturating_sub(newest_us);
        let believed =
            wall_us + JUMP_US >= newest_us && (newest_us == 0 || ahead_us <= STANDSTILL_US);
        let from_us = if believed {
            wall_us.max(newest_us)
        } else {
            newest_us
        };
        self.clock = (self.now_us, from_us);
        if ahead_us > 0 && !believed {
            self.coverage.saw("clock: not believed at a start");
        }
        self.node = Some(node);
        self.commit_due = false;
        self.set_up()?;
        let down_since = self.down_since.take().unwrap_or(self.now_us);
        let closing = self.auditor.model.dates.closing();
        let due = self.plan.hours.cutover_us(closing);
        if due > down_since && due < self.now_us {
            self.coverage.saw("down over a cutover");
        }
        if self.node.is_some() {
            self.tick()?;
            self.schedule_tick();
        }
        for link in 0..self.connections.len() {
            let wait = self.rng.below(2 * S);
            self.after(wait, Happening::Connect(link));
        }
        Ok(())
    }

    /// State after a start: as the books have it, twice, and by the hash as it was.
    fn recovered_as_it_was(&mut self, node: &Node, head: u64) -> Result<(), Failure> {
        node.look(|engine| self.auditor.compare_all(engine))?;
        let live = node.look(Engine::state_hash);
        let Some(follower) = node.follower() else {
            return failure(10, "no follower");
        };
        if follower.engine().state_hash() != live {
            return failure(10, "the two instances differ after a start");
        }
        match self.hashes.get(&head) {
            Some(before) if *before != live => failure(
                10,
                format!("the state at event {head} is another after a start"),
            ),
            _ => Ok(()),
        }
    }

    /// The journal thread's turn, and what follows from it.
    pub(crate) fn commit(&mut self) -> Result<(), Failure> {
        let Some(node) = &mut self.node else {
            return Ok(());
        };
        if !node.commit() {
            self.fail_stop();
            return Ok(());
        }
        let durable = node.durable();
        self.auditor.durable(durable)?;
        self.read_back()?;
        self.release()?;
        self.follow()?;
        self.commit_soon();
        while self.hashes.len() > HASHES {
            self.hashes.pop_first();
        }
        Ok(())
    }

    /// What became durable, from the journal's files: dates and postings as expected.
    fn read_back(&mut self) -> Result<(), Failure> {
        let Some(node) = &mut self.node else {
            return Ok(());
        };
        let from = self.read_to + 1;
        for event in node.new_events(from) {
            if event.seq <= self.read_to {
                continue;
            }
            if event.seq != self.read_to + 1 {
                return failure(10, format!("event {} follows {}", event.seq, self.read_to));
            }
            self.read_to = event.seq;
            let found = node.look(|engine| postings(engine, &event))?;
            let Some((day, legs)) = self.auditor.posting(event.seq) else {
                continue;
            };
            if found != **legs {
                let what = format!("event {} posts {found:?}, expected {legs:?}", event.seq);
                return failure(14, what);
            }
            let date = event.business_date().map(|date| i32::from(date.0));
            if !legs.is_empty() && date != Some(*day) {
                let what = format!("event {} is dated {date:?}, expected {day}", event.seq);
                return failure(2, what);
            }
        }
        Ok(())
    }

    /// The follower gets a few turns, now and then.
    fn follow(&mut self) -> Result<(), Failure> {
        if self.rng.percent(60) {
            return Ok(());
        }
        let turns = self.rng.below(40);
        let Some(node) = &mut self.node else {
            return Ok(());
        };
        let before = node
            .follower()
            .map_or(0, |follower| follower.status().bases);
        for _ in 0..turns {
            match node.follow() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    if self.disk_troubled {
                        break;
                    }
                    return failure(10, format!("the follower stopped: {error}"));
                }
            }
        }
        if let Some(follower) = node.follower() {
            let bases = follower.status().bases;
            self.coverage.add("base file written", bases - before);
            let engine = follower.engine();
            if let Some(live) = self.hashes.get(&engine.last_seq())
                && *live != engine.state_hash()
            {
                let what = format!("the follower differs at event {}", engine.last_seq());
                return failure(10, what);
            }
        }
        Ok(())
    }

    /// Everything against everything.
    pub(crate) fn audit(&mut self) -> Result<(), Failure> {
        if let Some(node) = &self.node {
            node.look(|engine| self.auditor.compare_all(engine))?;
        }
        Ok(())
    }

    /// Base and journal, recomputed by the product's own verification.
    pub(crate) fn verify(&mut self) -> Result<(), Failure> {
        let disk = std::sync::Arc::new(self.disk.fork());
        let disk: std::sync::Arc<dyn gapless_journal::Disk> = disk;
        match gapless_store::verify(&disk, &dirs(), CAPACITY) {
            Ok(_) => Ok(()),
            Err(error) => failure(12, error.to_string()),
        }
    }

    /// The log failed: the switch stops by itself, and is started again.
    fn fail_stop(&mut self) {
        self.tell(|_| "    the journal failed".to_owned());
        self.coverage.saw("stopped, since the journal failed");
        self.gone();
        let wait = self.rng.within(1, 30) * S;
        self.after(wait, Happening::Start);
    }

    /// The process, or the machine, dies now.
    pub(crate) fn lose(&mut self, power: bool) {
        if power {
            let seed = self.rng.next();
            self.disk.power_loss(seed);
            self.coverage.saw("power lost");
        } else {
            self.disk.process_loss();
            self.coverage.saw("process killed");
        }
        self.gone();
    }

    fn gone(&mut self) {
        if let Some(node) = self.node.take() {
            self.coverage.add(FETCHED, node.fetched());
        }
        self.down_since = Some(self.now_us);
        self.pending.clear();
        self.commit_due = false;
        for connection in &mut self.connections {
            connection.id = 0;
            connection.signed = false;
        }
        let dates = self.auditor.model.dates;
        self.coverage.saw(match dates {
            Dates::Open(_) => "crash while open",
            Dates::Early(_) => "crash while early",
            Dates::Grace(_) => "crash while grace",
            Dates::Frozen(_) => "crash while frozen",
        });
    }

    /// A crash at some place, and a start some time later.
    fn crash(&mut self) -> Result<(), Failure> {
        let kind = self.rng.weighted(&[30, 25, 25, 10]);
        match kind {
            0 => self.lose(false),
            1 => self.lose(true),
            2 => {
                self.doomed = true;
                return Ok(());
            }
            _ => {
                let at = self.rng.within(1, 12);
                self.disk.arm_for("base-", Fault::PowerCut { at });
                if let Some(node) = &mut self.node
                    && let Some(follower) = node.follower()
                {
                    let wanted = follower.status().applied;
                    follower.nudge_base(wanted);
                    for _ in 0..60 {
                        if !matches!(node.follow(), Ok(true)) {
                            break;
                        }
                    }
                }
                self.coverage.saw("power lost in a base file");
                self.lose(true);
            }
        }
        self.start_some_time_later();
        Ok(())
    }

    /// In the middle of a group's write or sync.
    pub(crate) fn crash_in_commit(&mut self) -> Result<(), Failure> {
        self.doomed = false;
        let at = self.rng.within(1, 3);
        self.disk.arm(Fault::PowerCut { at });
        if let Some(node) = &mut self.node {
            node.commit();
        }
        let power = self.rng.percent(60);
        self.coverage.saw(if power {
            "power lost in a commit"
        } else {
            "process killed in a commit"
        });
        self.lose(power);
        self.start_some_time_later();
        Ok(())
    }

    fn start_some_time_later(&mut self) {
        let down = match self.rng.weighted(&[64, 20, 8, 8]) {
            0 => self.rng.within(1, 50) * (S / 10),
            1 => self.rng.within(60, 1_200) * S,
            2 => self.rng.within(2, 14) * 3_600 * S,
            _ => *self.rng.pick(&[60, 72, 96]) * 3_600 * S,
        };
        if self.rng.percent(12) {
            let at = self.rng.within(1, 60);
            self.disk_troubled = true;
            self.disk.arm(Fault::PowerCut { at });
        }
        self.after(down, Happening::Start);
    }

    /// Something goes wrong, perhaps.
    pub(crate) fn trouble(&mut self) -> Result<(), Failure> {
        let gap = self.gap_to_trouble();
        self.after(gap, Happening::Trouble);
        let troubles = self.plan.troubles;
        let weights = [
            troubles.crashes,
            troubles.disk,
            troubles.full,
            troubles.cuts,
            troubles.clock,
        ];
        if self.node.is_none() || weights.iter().sum::<u64>() == 0 {
            return Ok(());
        }
        match self.rng.weighted(&weights) {
            0 => return self.crash(),
            1 => self.disk_fault(),
            2 => {
                self.coverage.saw("disk: full");
                self.disk_troubled = true;
                let room = self.rng.below(3 * self.plan.segment_bytes);
                self.disk.set_capacity(Some(self.disk.used_bytes() + room));
                let wait = self.rng.within(5, 600) * S;
                self.after(wait, Happening::Mended);
            }
            3 => {
                self.coverage.saw("connection cut");
                let link = self.rng.below(self.connections.len() as u64) as usize;
                self.cut(link);
            }
            _ => {
                self.coverage.saw("clock: jumped");
                let by = self.rng.within(1, 7_200) as i64 * S as i64;
                self.wall_off_us = if self.rng.percent(50) { by } else { -by };
                self.tick()?;
                let wait = self.rng.within(5, 3_600) * S;
                self.after(wait, Happening::Mended);
            }
        }
        Ok(())
    }

    /// Troubles come more often when a date ends.
    fn gap_to_trouble(&mut self) -> u64 {
        let dates = self.auditor.model.dates;
        let due = self.plan.hours.cutover_us(dates.closing());
        let near = due.abs_diff(self.now_us) < 2_700 * S;
        match (near, dates) {
            (true, _) | (false, Dates::Grace(_) | Dates::Early(_)) => self.rng.within(10, 600) * S,
            _ => self.rng.within(600, 14_400) * S * self.plan.sparse.min(4),
        }
    }

    fn disk_fault(&mut self) {
        self.coverage.saw("disk: failed operation");
        self.disk_troubled = true;
        let at = self.rng.within(1, 12);
        let reads_back = self.rng.percent(50);
        self.disk.arm(match self.rng.below(3) {
            0 => Fault::Eio { at },
            1 => Fault::TornWrite { at },
            _ => Fault::SyncFails { at, reads_back },
        });
        let wait = self.rng.within(1, 300) * S;
        self.after(wait, Happening::Mended);
    }

    /// Disk and clock are well again.
    pub(crate) fn mend(&mut self) {
        self.disk.disarm();
        self.disk.set_capacity(None);
        self.disk_troubled = false;
        self.wall_off_us = 0;
    }

    /// The daemon looks at the wall clock, and does what is due.
    pub(crate) fn tick(&mut self) -> Result<(), Failure> {
        let wall_us = self.wall_us();
        let Some(node) = &self.node else {
            return Ok(());
        };
        node.look_at_wall_clock(wall_us);
        let now_us = node.now_us();
        let (since, from_us) = self.clock;
        let off = wall_us.abs_diff(from_us + (self.now_us - since)) > JUMP_US;
        if !off {
            self.clock = (self.now_us, wall_us);
        }
        if node.is_steady() == off {
            let what = format!("clock is {wall_us}, engine time {now_us}, off: {off}");
            return failure(0, what);
        }
        node.fire();
        if !off {
            self.expect_fired(now_us);
        }
        self.compare()
    }

    /// An operator sees that the wall clock is right, and says so.
    pub(crate) fn confirm_clock(&mut self) -> Result<(), Failure> {
        let wall_us = self.wall_us();
        if let Some(node) = &self.node
            && self.wall_off_us == 0
            && !node.is_steady()
        {
            if !node.confirm_clock(wall_us) {
                return failure(0, "a clock that is right is not confirmed");
            }
            self.clock = (self.now_us, wall_us);
            self.coverage.saw("clock: confirmed");
            self.tick()?;
            self.schedule_tick();
        }
        Ok(())
    }

    fn expect_fired(&mut self, now_us: u64) {
        loop {
            let hours = &self.plan.hours;
            let dates = self.auditor.model.dates;
            let day = dates.closing();
            let overdue = now_us >= hours.cutover_us(day + 1);
            match dates {
                Dates::Open(_) | Dates::Early(_) if now_us >= hours.cutover_us(day) => {
                    if overdue {
                        self.coverage.saw("night: two days behind");
                    }
                    self.happened(Effect::Cutover(now_us));
                    self.coverage.saw("cutover by clock");
                }
                Dates::Grace(_) => {
                    let cutover = self.auditor.model.days[&day].cutover_us.unwrap_or(0);
                    if now_us < cutover + hours.grace_s * S {
                        return;
                    }
                    self.happened(Effect::Freeze);
                    self.attest_now();
                    self.coverage.saw("freeze by clock");
                }
                Dates::Frozen(_) => {
                    if overdue {
                        self.coverage.saw("night: overrun");
                    }
                    return;
                }
                _ => return,
            }
            self.attest();
        }
    }
}

/// What an event posts, by account number.
fn postings(engine: &Engine, event: &Event) -> Result<Legs, Failure> {
    let mut legs = Legs::new();
    if matches!(event.body, Body::Genesis(_)) {
        return Ok(legs);
    }
    for leg in event.legs().as_slice() {
        let Some(number) = engine
            .account_row(AccountIx(leg.account.0))
            .and_then(|row| row.number())
        else {
            return failure(1, format!("event {} posts to nobody", event.seq));
        };
        legs.insert(number.as_str().into(), leg.delta_minor);
    }
    Ok(legs)
}
