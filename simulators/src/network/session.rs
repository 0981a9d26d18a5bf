//! A network's side of its line, without the socket: time comes with each call,
//! messages to send gather in an outbox, and what happened in a list of events.
//!
//! What must arrive (advices, reversals, cutovers, totals) is sent again until it
//! is acknowledged. A request is asked again a few times, then given up and
//! reversed. When the line goes down, what was under way is settled by the
//! network itself: it approves what it can and tells the host by an advice with
//! the request's own DE 2, 7, 11, 32, 37 and 41, so that the host posts it once
//! whether or not it had seen the request. Inquiries and transfers, which a
//! network cannot answer, are asked again.

mod begin;
mod item;
mod settle;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use self::item::{Counted, Item, Job, Key, Stored, key_of_request};
use super::book::Books;
use super::clerk::Clerk;
use super::event::{Event, Progress};
use super::profile::Profile;
use super::report::{Counts, Report};
use super::traffic::Traffic;
use crate::message::Message;
use crate::order::Kind;
use crate::terminal::Network;

/// Stored messages under way at a time: in order, and not one by one.
const FORWARD_WINDOW: u64 = 32;
/// The host's own question about a date waits so long for what is under way.
const TOTALS_PATIENCE: Duration = Duration::from_secs(2);
/// Dates that totals are kept for.
const KEPT_DAYS: i64 = 14;

/// What a network remembers between two runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Its settlement date.
    pub date: Date,
    /// Its totals.
    pub books: Books,
    /// Dates whose totals have been compared.
    pub reconciled: BTreeSet<Date>,
    /// What its host has not acknowledged.
    pub(super) stored: Vec<Stored>,
}

impl Memory {
    /// Of a network that begins with that settlement date.
    pub fn new(date: Date) -> Memory {
        Memory {
            date,
            books: Books::default(),
            reconciled: BTreeSet::new(),
            stored: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Down,
    SigningOn,
    Up,
}

/// An approved transaction whose reversal waits.
#[derive(Debug)]
struct Held {
    original: Message,
    approval: Option<String>,
    counted: Counted,
}

pub(crate) struct Session {
    profile: Profile,
    clerk: Clerk,
    traffic: Traffic,
    memory: Memory,
    counts: Counts,
    began: Option<Instant>,
    line: Line,
    next_seq: u64,
    waiting: BTreeMap<Key, Item>,
    timers: BinaryHeap<Reverse<(Instant, Key)>>,
    stored: VecDeque<Stored>,
    /// Stored messages under way, and acknowledged since the store was empty.
    forwarding: u64,
    forwarded: u64,
    held: Vec<Held>,
    /// Items under way by settlement date.
    open: BTreeMap<Date, u64>,
    host_asks: Vec<(Instant, Message)>,
    next_echo: Option<Instant>,
    sent: u64,
    outbox: Vec<Message>,
    events: Vec<Event>,
    hang_up: Option<String>,
    signed_off: bool,
    /// No more traffic: pauses between answers mean nothing.
    quiet: bool,
}

impl Session {
    pub fn new(profile: Profile, traffic: Traffic, memory: Memory, counts: Counts) -> Session {
        let mut memory = memory;
        let stored: VecDeque<Stored> = std::mem::take(&mut memory.stored).into();
        let mut open = BTreeMap::new();
        for item in stored.iter().filter(|item| item.job.moves_totals()) {
            *open.entry(item.date).or_insert(0) += 1;
        }
        Session {
            clerk: Clerk::new(&profile),
            profile,
            traffic,
            memory,
            counts,
            began: None,
            line: Line::Down,
            next_seq: stored.iter().map(|item| item.seq + 1).max().unwrap_or(0),
            waiting: BTreeMap::new(),
            timers: BinaryHeap::new(),
            stored,
            forwarding: 0,
            forwarded: 0,
            held: Vec::new(),
            open,
            host_asks: Vec::new(),
            next_echo: None,
            sent: 0,
            outbox: Vec::new(),
            events: Vec::new(),
            hang_up: None,
            signed_off: false,
            quiet: false,
        }
    }

    /// What is remembered, but for what is under way.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The run's time begins.
    pub fn start(&mut self, now: Instant) {
        self.began = Some(now);
    }

    /// There will be no more transactions: late reversals are due.
    pub fn end_traffic(&mut self, now: Instant) {
        self.release_held(now);
        self.counts.pause();
        self.quiet = true;
    }

    /// Something came that is no message.
    pub fn malformed(&mut self, what: &str) {
        self.problem(format!("the host sent what is no message: {what}"));
    }

    /// The line is there: signs on.
    pub fn connected(&mut self, now: Instant) {
        self.line = Line::SigningOn;
        self.signed_off = false;
        match self.clerk.management(Network::SignOn) {
            Ok(message) => self.begin(now, message, Job::SignOn),
            Err(error) => self.problem(error.to_string()),
        }
    }

    /// The line is gone. `by_will`: the network itself has cut it.
    pub fn lost(&mut self, why: &str, by_will: bool) {
        if self.line == Line::Down {
            return;
        }
        if self.line == Line::Up && !self.signed_off {
            self.counts.report.stand_in.times += 1;
            self.events.push(Event::StandingIn {
                why: why.to_owned(),
            });
        }
        self.line = Line::Down;
        if by_will {
            self.counts.pause();
        }
        self.outbox.clear();
        self.timers.clear();
        self.forwarding = 0;
        self.next_echo = None;
        let under_way = std::mem::take(&mut self.waiting);
        let mut stored: Vec<Stored> = Vec::from(std::mem::take(&mut self.stored));
        for item in under_way.into_values() {
            if item.settled.is_none() {
                stored.extend(self.without_line(item));
            }
        }
        stored.sort_by_key(|item| item.seq);
        self.stored = stored.into();
    }

    /// Whether the host has taken the sign-on.
    pub fn is_up(&self) -> bool {
        self.line == Line::Up
    }

    /// Everything that is due: repeats, echoes, what is stored, totals.
    pub fn tick(&mut self, now: Instant) {
        while let Some(Reverse((at, key))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            self.overdue(now, key);
        }
        if self.line != Line::Up {
            return;
        }
        while self.forwarding < FORWARD_WINDOW {
            let Some(stored) = self.stored.pop_front() else {
                break;
            };
            self.forwarding += 1;
            self.put_under_way(now, stored, true);
        }
        if self.next_echo.is_some_and(|at| at <= now) {
            self.next_echo = Some(now + self.profile.echo_every);
            match self.clerk.management(Network::Echo) {
                Ok(message) => self.begin(now, message, Job::Echo),
                Err(error) => self.problem(error.to_string()),
            }
        }
        self.ask_for_ended_dates(now);
        self.answer_host(now);
    }

    /// When [`tick`](Session::tick) has something to do next.
    pub fn next_due(&self) -> Option<Instant> {
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        [timer, self.next_echo].into_iter().flatten().min()
    }

    /// Messages to send, in order.
    pub fn take_outbox(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.outbox)
    }

    /// What has happened since it was last asked.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Why the line should be given up, if it should.
    pub fn take_hang_up(&mut self) -> Option<String> {
        self.hang_up.take()
    }

    /// Whether everything that was sent has its answer, and nothing is stored.
    pub fn is_drained(&self) -> bool {
        self.stored.is_empty()
            && self.host_asks.is_empty()
            && self.line == Line::Up
            && self.ended_date().is_none()
            && self
                .waiting
                .values()
                .all(|item| item.settled.is_some() || matches!(item.stored.job, Job::Echo))
    }

    /// Whether the host has taken the sign-off.
    pub fn is_signed_off(&self) -> bool {
        self.signed_off
    }

    pub fn progress(&self, now: Instant) -> Progress {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        Progress {
            elapsed: self
                .began
                .map(|began| now.saturating_duration_since(began))
                .unwrap_or_default(),
            sent: self.sent,
            answered: self.counts.report.answered,
            waiting: count(self.waiting.len()),
            stored: count(self.stored.len()),
            settlement_date: self.memory.date,
            signed_on: self.is_up(),
        }
    }

    /// Ends it: the report, and what is to be remembered.
    pub fn close(mut self, now: Instant) -> (Report, Memory) {
        let unsettled = self.waiting.values().filter(|item| {
            item.settled.is_none() && !matches!(item.stored.job, Job::Echo | Job::SignOff)
        });
        let unanswered = u64::try_from(unsettled.count()).unwrap_or(u64::MAX);
        let before = self.stored.len();
        self.lost("the run is over", true);
        let taken_over = self.stored.len().saturating_sub(before);
        // What was under way is stored now, and counted as unanswered.
        self.counts.report.unanswered += unanswered;
        self.counts.report.still_stored =
            u64::try_from(self.stored.len() - taken_over).unwrap_or(u64::MAX);
        let elapsed = self
            .began
            .map(|began| now.saturating_duration_since(began))
            .unwrap_or_default();
        let mut memory = self.memory;
        memory.stored = self.stored.into();
        let oldest = memory
            .date
            .checked_sub(jiff::Span::new().days(KEPT_DAYS))
            .unwrap_or(memory.date);
        memory.books.forget_before(oldest);
        memory.reconciled = memory.reconciled.split_off(&oldest);
        (self.counts.close(elapsed), memory)
    }

    /// Puts a new message under way.
    fn begin(&mut self, now: Instant, message: Message, job: Job) {
        let stored = self.new_item(message, job);
        self.put_under_way(now, stored, false);
    }

    /// As [`begin`](Session::begin), for what a terminal asked for at `asked`: that
    /// we came to it late is a part of how long it waits.
    fn begin_asked(&mut self, (now, asked): (Instant, Instant), message: Message, job: Job) {
        let key = key_of_request(&message);
        self.begin(now, message, job);
        if let Some(item) = key.and_then(|key| self.waiting.get_mut(&key)) {
            item.first_sent = asked;
        }
    }

    fn new_item(&mut self, message: Message, job: Job) -> Stored {
        let seq = self.next_seq;
        self.next_seq += 1;
        if job.moves_totals() {
            *self.open.entry(self.memory.date).or_insert(0) += 1;
        }
        let sent = &mut self.counts.report.sent;
        match &job {
            Job::Request(..) => sent.requests += 1,
            Job::Totals(..) => sent.reconciliations += 1,
            Job::SignOn | Job::SignOff | Job::Echo | Job::Cutover => sent.management += 1,
            // Counted where it is known which they are.
            Job::Advice(..) | Job::Reversal(_) => {}
        }
        Stored {
            seq,
            message,
            job,
            date: self.memory.date,
            sent: false,
        }
    }

    fn put_under_way(&mut self, now: Instant, stored: Stored, forwarded: bool) {
        let Some(key) = key_of_request(&stored.message) else {
            self.problem(format!("a {} without a number", stored.message.mti()));
            return;
        };
        if stored.sent {
            self.counts.report.repeats += 1;
        }
        let mut item = Item {
            stored,
            first_sent: now,
            due: now + self.profile.answer_timeout,
            attempts: 1,
            answers_due: 1,
            settled: None,
            forwarded,
        };
        item.stored.sent = true;
        self.timers.push(Reverse((item.due, key)));
        self.post(item.stored.message.clone());
        // From here on it is a repeat.
        item.stored.message = item.stored.message.repeat();
        self.waiting.insert(key, item);
    }

    fn post(&mut self, message: Message) {
        self.sent += 1;
        self.outbox.push(message);
    }

    /// Sends an item again, as a repeat.
    fn again(&mut self, now: Instant, key: Key) {
        let due = now + self.profile.answer_timeout;
        let Some(item) = self.waiting.get_mut(&key) else {
            return;
        };
        item.due = due;
        item.attempts += 1;
        item.answers_due += 1;
        let message = item.stored.message.clone();
        self.counts.report.repeats += 1;
        self.timers.push(Reverse((due, key)));
        self.post(message);
    }

    /// An item's answer has not come in time.
    fn overdue(&mut self, now: Instant, key: Key) {
        let Some(item) = self.waiting.get(&key) else {
            return;
        };
        if item.due > now {
            return;
        }
        if item.settled.is_some() {
            self.waiting.remove(&key);
            return;
        }
        let may_repeat = item.attempts <= self.profile.repeats;
        match item.stored.job {
            Job::Request(..) if !may_repeat => self.give_up(now, key),
            Job::SignOn | Job::Echo if !may_repeat => {
                self.waiting.remove(&key);
                self.hang_up = Some("the host does not answer 0800".to_owned());
            }
            _ => self.again(now, key),
        }
    }

    /// One item less that the date's totals wait for.
    fn closed(&mut self, date: Date, job: &Job) {
        if job.moves_totals()
            && let Some(open) = self.open.get_mut(&date)
        {
            *open = open.saturating_sub(1);
        }
    }

    fn open_items(&self, date: Date) -> u64 {
        self.open.get(&date).copied().unwrap_or(0)
    }

    fn problem(&mut self, what: String) {
        self.events.push(Event::Problem(what.clone()));
        self.counts.problem(what);
    }
}

/// Whether a network can answer it by itself.
fn can_stand_in(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Purchase | Kind::Cash | Kind::Cashback | Kind::Refund
    )
}

#[cfg(test)]
mod tests;
