//! Peers' side of the world, and what becomes of their messages in the switch.

use gapless_engine::outcome::Outcome;
use gapless_journal::Room;

use crate::auditor::calendar::month_day;
use crate::auditor::model::{Dates, Day, Effect};
use crate::auditor::networks;
use crate::auditor::rules::{self, Door};
use crate::auditor::{Expected, Failure, failure};
use crate::message::Msg;
use crate::node::Fate;
use crate::traffic::{Next, Sent};
use crate::world::{Happening, S, World};

/// Events that wait for the journal from which on "busy" is believed.
const BUSY_EVENTS: u64 = 20;

impl World {
    /// Peers send a few messages, close to each other.
    pub(crate) fn act(&mut self) -> Result<(), Failure> {
        for _ in 0..1 + self.rng.weighted(&[50, 20, 10, 10, 5, 5]) {
            let link = self.rng.below(self.plan.links.len() as u64) as usize;
            self.send_something(link);
        }
        let gap = self.gap_us();
        self.after(gap, Happening::Act);
        Ok(())
    }

    /// Denser around the bank's cutover and while a date ends.
    fn gap_us(&mut self) -> u64 {
        let closing = self.auditor.model.dates.closing();
        let due = self.plan.hours.cutover_us(closing);
        let apart_s = due.abs_diff(self.now_us) / S;
        let ms = match (self.auditor.model.dates, apart_s) {
            (_, 0..180) => self.rng.within(20, 12_000),
            (Dates::Grace(_), _) => self.rng.within(1_000, 60_000),
            (_, 180..2_700) => self.rng.within(5_000, 200_000),
            (Dates::Frozen(_), 2_700..7_000) => self.rng.within(1_000, 200_000),
            _ => self.rng.within(60_000, 7_200_000),
        };
        ms * 1_000 * self.plan.sparse.min(12)
    }

    fn send_something(&mut self, link: usize) {
        let network = self.plan.links[link].network;
        let day = self.day_of(network);
        if self.connections[link].id == 0 {
            if network != 0 && self.rng.percent(50) {
                let plan = self.plan.links[link].clone();
                let advice = self
                    .traffic
                    .transaction(&self.plan, &plan, self.now_us, day, true);
                let at = self.remember(link, advice, true);
                self.connections[link].stored.push(at);
            }
            return;
        }
        if self.rng.percent(1) {
            let code = if self.rng.percent(50) { 301 } else { 2 };
            self.manage(link, code);
            if code == 2 {
                let wait = self.rng.within(5, 120) * S;
                self.after(wait, Happening::SignOn(link));
            }
            return;
        }
        let (plan, now_us) = (&self.plan, self.now_us);
        match self.traffic.next(plan, link, now_us, day, &self.sent) {
            Next::New(message) => {
                let original = matches!(message.kind(), 200 | 220);
                let at = self.remember(link, message, original);
                self.send(link, at);
            }
            Next::Spoiled(message) => {
                let at = self.remember(link, message, false);
                self.send(link, at);
            }
            Next::Again(at) => self.send_again(link, at),
            Next::Reversed(later, reversal) => {
                let at = self.remember(link, reversal, false);
                self.send(link, at);
                let at = self.remember(link, later, true);
                let late = self.rng.below(2) * self.rng.below(3_600) * S;
                let wait = late + self.rng.below(S);
                // Not sent before; then it is.
                self.after(wait, Happening::TimeOut(at));
            }
        }
    }

    /// A network's settlement date, as it sees it.
    pub(crate) fn day_of(&self, network: u16) -> Day {
        self.plan
            .networks
            .iter()
            .position(|plan| plan.id == network)
            .map_or(self.auditor.model.dates.default(), |at| {
                self.network_days[at]
            })
    }

    pub(crate) fn manage(&mut self, link: usize, code: u16) {
        let message = self.traffic.management(code, self.now_us);
        let at = self.remember(link, message, false);
        self.send(link, at);
    }

    pub(crate) fn remember(&mut self, link: usize, message: Msg, original: bool) -> usize {
        self.sent.push(Sent {
            message,
            link,
            answered: None,
            tries: 0,
            original,
        });
        self.sent.len() - 1
    }

    /// Puts a message on its way, perhaps together with a second copy.
    pub(crate) fn send(&mut self, link: usize, at: usize) {
        let id = self.connections[link].id;
        let sent = &mut self.sent[at];
        sent.tries += 1;
        let mut message = sent.message.clone();
        if sent.tries > 1 {
            message.mti += 1;
        }
        if id == 0 {
            // Noticed, and tried again later.
            self.wait_for(at);
            return;
        }
        let delay = self.delay_us();
        self.after(delay, Happening::Arrive(id, vec![(at, message.clone())]));
        if self.rng.percent(self.plan.troubles.duplicates) {
            let delay = self.delay_us();
            self.after(delay, Happening::Arrive(id, vec![(at, message)]));
        }
        self.wait_for(at);
    }

    fn wait_for(&mut self, at: usize) {
        if !matches!(self.sent[at].message.kind(), 800) {
            let wait = self.rng.within(5, 40) * S;
            self.after(wait, Happening::TimeOut(at));
        }
    }

    fn send_again(&mut self, link: usize, at: usize) {
        self.sent[at].tries = self.sent[at].tries.max(1);
        self.send(link, at);
    }

    fn delay_us(&mut self) -> u64 {
        match self.rng.percent(80) {
            true => self.rng.below(3_000),
            false => self.rng.below(self.plan.troubles.delay_ms * 1_000),
        }
    }

    /// Nobody answered: again, or a reversal, or never mind.
    pub(crate) fn time_out(&mut self, at: usize) {
        let sent = &self.sent[at];
        let unanswered = matches!(sent.answered, None | Some(91));
        if !unanswered || sent.tries >= 5 {
            return;
        }
        let link = sent.link;
        if sent.original && sent.tries >= 2 && self.rng.percent(50) {
            let (day, plan) = (self.day_of(self.plan.links[link].network), &self.plan);
            let old = self.sent[at].message.clone();
            let rules = plan.links[link].clone();
            let reversal = self
                .traffic
                .reversal(&self.plan, &rules, &old, self.now_us, day);
            self.sent[at].tries = 5;
            let at = self.remember(link, reversal, false);
            self.send(link, at);
            return;
        }
        self.send(link, at);
    }

    pub(crate) fn answered(&mut self, id: u64, at: usize, code: u8) {
        let there = self.connections.iter().any(|of| of.id == id);
        if !there {
            return;
        }
        let first = self.sent[at].answered.is_none_or(|before| before == 91);
        if first {
            self.sent[at].answered = Some(code);
        }
        if code == 91 && first && self.sent[at].message.kind() != 800 {
            let wait = self.rng.within(1, 20) * S;
            self.after(wait, Happening::TimeOut(at));
        }
    }

    pub(crate) fn connect(&mut self, link: usize) {
        if self.connections[link].id != 0 || self.node.is_none() {
            return;
        }
        let id = self.new_connection();
        if let Some(node) = &mut self.node {
            node.connect(id, link);
        }
        let connection = &mut self.connections[link];
        connection.id = id;
        connection.signed = !self.plan.links[link].sign_on;
        connection.waiting = 0;
        let stored = std::mem::take(&mut connection.stored);
        if self.plan.links[link].sign_on {
            self.manage(link, 1);
        }
        for at in stored {
            self.coverage.saw("stored advice sent");
            self.send(link, at);
        }
    }

    /// A connection is cut: what is under way on it is lost, effects stay.
    pub(crate) fn cut(&mut self, link: usize) {
        let id = std::mem::take(&mut self.connections[link].id);
        if id == 0 {
            return;
        }
        if let Some(node) = &mut self.node {
            node.disconnect(id);
        }
        self.pending.retain(|(of, _), _| *of != id);
        let wait = self.rng.within(1, 600) * S;
        self.after(wait, Happening::Connect(link));
    }

    fn link_of(&self, id: u64) -> Option<usize> {
        self.connections.iter().position(|of| of.id == id)
    }

    /// Messages reach the switch.
    pub(crate) fn arrive(&mut self, id: u64, messages: Vec<(usize, Msg)>) -> Result<(), Failure> {
        let Some(link) = self.link_of(id).filter(|_| id != 0) else {
            return Ok(());
        };
        let messages = self.with_company(link, messages);
        let Some(node) = &mut self.node else {
            return Ok(());
        };
        let form = self.plan.links[link].form.clone();
        let mut bytes = Vec::new();
        for (_, message) in &messages {
            form.write(message, &mut bytes);
        }
        let room = node.room();
        let today = self.auditor.model.dates.default();
        // A read may end anywhere.
        let half = match self.rng.percent(30) {
            true => self.rng.below(bytes.len() as u64) as usize,
            false => 0,
        };
        let mut out = Vec::new();
        let mut fates = Vec::new();
        for part in [&bytes[..half], &bytes[half..]] {
            let more = node.deliver(id, part, &mut out);
            fates.extend(more.or_else(|error| failure(0, error))?);
        }
        if fates.len() != messages.len() {
            return failure(
                0,
                format!("{} messages, {} fates", messages.len(), fates.len()),
            );
        }
        let mut answers = form
            .read(&mut out)
            .or_else(|error| failure(0, error))?
            .into_iter();
        let mut taken = Vec::new();
        for ((at, message), fate) in messages.into_iter().zip(fates) {
            match self.at_the_door(link, &message, &fate, room)? {
                Some(tag) => taken.push((tag, at, message)),
                None => {
                    if let Fate::Answered(code, _) = fate {
                        let Some(answer) = answers.next() else {
                            return failure(0, "an answer is missing");
                        };
                        check_echo(&message, &answer, code)?;
                        self.cover_code(code);
                        let delay = self.delay_us();
                        self.after(delay, Happening::Answer(id, at, code));
                    } else {
                        self.sent[at].answered = Some(99);
                    }
                }
            }
        }
        if taken.is_empty() {
            return Ok(());
        }
        for (tag, at, message) in taken {
            let expected = self.expect(link, &message, today);
            self.tell(|_| format!("    {message} -> {expected:?}"));
            self.coverage.saw(expected.note);
            self.pending.insert((id, tag), (at, expected));
        }
        if let Some(node) = &mut self.node {
            node.flush(id);
        }
        self.attest();
        self.compare()?;
        self.release()
    }

    /// What else comes with the same read.
    fn with_company(&mut self, link: usize, mut messages: Vec<(usize, Msg)>) -> Vec<(usize, Msg)> {
        if self.rng.percent(15) {
            let network = self.plan.links[link].network;
            let day = self.day_of(network);
            for _ in 0..self.rng.within(1, 6) {
                let next = self
                    .traffic
                    .next(&self.plan, link, self.now_us, day, &self.sent);
                if let Next::New(message) = next {
                    let original = matches!(message.kind(), 200 | 220);
                    let at = self.remember(link, message.clone(), original);
                    self.sent[at].tries = 1;
                    self.wait_for(at);
                    messages.push((at, message));
                }
            }
        }
        messages
    }

    /// Whether the core was rightly asked, or rightly not. The tag if it was.
    fn at_the_door(
        &mut self,
        link: usize,
        message: &Msg,
        fate: &Fate,
        room: Room,
    ) -> Result<Option<u32>, Failure> {
        let plan = &self.plan.links[link];
        let connection = &mut self.connections[link];
        let wrong = |what: &str| failure(0, format!("{what}: {message} -> {fate:?}"));
        match (rules::door(message, plan), fate) {
            (Door::Answer(30), Fate::Ignored) if message.get(11).is_empty() => Ok(None),
            (Door::Answer(code), Fate::Answered(is, false)) if code == *is => {
                if message.kind() == 800 && code == 0 {
                    match message.number(70) {
                        Some(1) => connection.signed = true,
                        Some(2) => connection.signed = false,
                        _ => {}
                    }
                }
                Ok(None)
            }
            (Door::Core | Door::Cutover, Fate::Core(tag)) => {
                if !connection.signed {
                    return wrong("taken before the sign-on");
                }
                connection.waiting += 1;
                Ok(Some(*tag))
            }
            (Door::Core | Door::Cutover, Fate::Answered(91, true)) => {
                let requests = message.kind() == 200;
                let waiting = self.auditor.model.seq - self.auditor.durable;
                let full = match room {
                    Room::Normal => false,
                    Room::Reserved => requests,
                    Room::Full => true,
                };
                let allowed = !connection.signed
                    || connection.waiting >= plan.max_in_flight
                    || full
                    || waiting > BUSY_EVENTS
                    || self
                        .node
                        .as_ref()
                        .is_some_and(crate::node::Node::has_failed);
                if allowed {
                    Ok(None)
                } else {
                    wrong("refused for no reason")
                }
            }
            _ => wrong("the wrong way"),
        }
    }

    /// What the core must answer to what it takes next.
    fn expect(&mut self, link: usize, message: &Msg, today: Day) -> Expected {
        let (now_us, steady) = match &self.node {
            Some(node) => (node.now_us(), node.is_steady()),
            None => (0, false),
        };
        let closing = self.auditor.model.dates.closing();
        let near = steady && now_us >= self.plan.hours.early_us(closing);
        let network = self.plan.links[link].network;
        if message.kind() == 800 {
            let ended = self.plan.network(network).is_some_and(|of| of.names_ended);
            let verdict = self
                .auditor
                .model
                .judge_cutover(message, network, ended, today, near);
            if let Some(Effect::Network(_, _, true)) = verdict.effect {
                self.coverage.saw("early opening by a network's cutover");
            }
            return self.auditor.took_as(verdict);
        }
        if near && self.auditor.model.would_open(message, network) {
            self.happened(Effect::Early);
            self.coverage.saw("early opening by a message");
        }
        self.auditor.model.today = self.plan.hours.today(now_us);
        let plan = &self.plan.links[link];
        self.auditor.took(message, plan)
    }

    /// Answers leave.
    pub(crate) fn release(&mut self) -> Result<(), Failure> {
        for link in 0..self.connections.len() {
            let id = self.connections[link].id;
            let Some(node) = self.node.as_mut().filter(|_| id != 0) else {
                continue;
            };
            let mut out = Vec::new();
            let leaving = node.release(id, &mut out);
            let answers = self.plan.links[link].form.read(&mut out);
            let mut answers = answers.or_else(|error| failure(0, error))?.into_iter();
            for one in leaving {
                self.connections[link].waiting -= 1;
                let Some((at, expected)) = self.pending.remove(&(id, one.tag)) else {
                    return failure(0, "an answer to nothing that was asked");
                };
                check_outcome(&self.sent[at].message, &expected, &one.outcome)?;
                if one.late {
                    self.coverage.saw("answer kept back, too late");
                    continue;
                }
                let Some(answer) = answers.next() else {
                    return failure(0, "an answer is missing");
                };
                let message = &self.sent[at].message;
                check_echo(message, &answer, expected.code)?;
                check_answer(message, &expected, &answer)?;
                self.auditor.gives(&expected, answer.get(38))?;
                self.cover_code(expected.code);
                let delay = self.delay_us();
                self.after(delay, Happening::Answer(id, at, expected.code));
            }
        }
        Ok(())
    }

    fn cover_code(&mut self, code: u8) {
        self.coverage.saw(&format!("answer {code:02}"));
    }

    /// A network's date ends: it says so, or just goes on with the next one.
    pub(crate) fn network_day(&mut self, network: usize) {
        let plan = self.plan.networks[network].clone();
        let ended = self.network_days[network];
        self.network_days[network] = ended + 1;
        self.next_network_day(network);
        let wait = self.rng.within(1, 7_200) * S;
        self.after(wait, Happening::Reconcile(network, ended));
        let link = self
            .plan
            .links
            .iter()
            .position(|link| link.network == plan.id);
        let Some(link) = link.filter(|_| plan.tells) else {
            return;
        };
        let day = if plan.names_ended { ended } else { ended + 1 };
        let message = self
            .traffic
            .management(201, self.now_us)
            .with(15, month_day(day));
        let at = self.remember(link, message, false);
        self.send(link, at);
        if self.rng.percent(30) {
            self.send_again(link, at);
        }
    }
}

impl World {
    /// A network asks whether both sides have the same figures of a date.
    pub(crate) fn reconcile(&mut self, network: usize, day: Day) {
        let plan = self.plan.networks[network].clone();
        let link = self
            .plan
            .links
            .iter()
            .position(|link| link.network == plan.id);
        let Some(link) = link else {
            return;
        };
        for currency in plan.currencies {
            let figures = self.auditor.model.figures(plan.id, day, currency);
            let mut message = self
                .traffic
                .management(0, self.now_us)
                .without(70)
                .with(15, month_day(day))
                .with(50, format!("{currency:03}"));
            message.mti = if self.rng.percent(50) { 500 } else { 520 };
            let wrong = self.rng.percent(15);
            for (element, value) in figures.unwrap_or_default() {
                let off = i64::from(wrong && matches!(element, 76 | 88));
                message = message.with(element, networks::figure(element, value + off));
            }
            let at = self.remember(link, message, false);
            self.send(link, at);
            if self.rng.percent(20) {
                self.send_again(link, at);
            }
        }
    }
}

fn check_outcome(message: &Msg, expected: &Expected, outcome: &Outcome) -> Result<(), Failure> {
    let date = Day::from(outcome.business_date.0);
    let settlement = Day::from(outcome.settlement_date.0);
    let balances = outcome
        .balances
        .map(|b| (b.currency.0, b.ledger_minor, b.available_minor));
    let same = outcome.code.number() == expected.code
        && (matches!(expected.code, 94 | 96) || message.kind() >= 500 || date == expected.date)
        && expected.settlement.is_none_or(|day| day == settlement)
        && balances == expected.balances;
    if same {
        return Ok(());
    }
    failure(8, format!("{message}: {outcome:?}, expected {expected:?}"))
}

/// What every answer has from its request.
fn check_echo(message: &Msg, answer: &Msg, code: u8) -> Result<(), Failure> {
    let wrong = |what: String| failure(8, format!("{what}: {message} -> {answer}"));
    if answer.mti != message.kind() + 10 {
        return wrong("MTI".to_owned());
    }
    if answer.get(39) != format!("{code:02}") || code == 90 {
        return wrong(format!("DE 39, expected {code:02}"));
    }
    for field in [2, 3, 4, 7, 11, 32, 37, 41, 49, 90, 102, 103] {
        let echoed = answer.get(field) == message.get(field);
        let management = message.kind() >= 500 && !matches!(field, 7 | 11);
        if !echoed && !management && message.kind() != 300 {
            return wrong(format!("DE {field}"));
        }
    }
    Ok(())
}

pub(crate) fn check_answer(
    message: &Msg,
    expected: &Expected,
    answer: &Msg,
) -> Result<(), Failure> {
    let wrong = |what: &str| failure(8, format!("{what}: {message} -> {answer}, {expected:?}"));
    if expected.approval == answer.get(38).is_empty() {
        return wrong("DE 38");
    }
    if let Some(day) = expected.settlement
        && answer.get(15) != month_day(day)
    {
        return wrong("DE 15");
    }
    let amounts = expected
        .balances
        .map_or_else(String::new, |(currency, ledger, available)| {
            let kind = message.get(3).get(2..4).unwrap_or("00");
            let group = |of: &str, minor: i64| {
                let side = if minor < 0 { 'D' } else { 'C' };
                format!("{kind}{of}{currency:03}{side}{:012}", minor.unsigned_abs())
            };
            format!("{}{}", group("01", ledger), group("02", available))
        });
    if answer.get(54) != amounts {
        return wrong("DE 54");
    }
    if let Some((verdict, figures)) = &expected.figures {
        if answer.number(66) != Some(u64::from(*verdict)) {
            return wrong("DE 66");
        }
        for (element, value) in figures {
            if answer.get(*element) != networks::figure(*element, *value) {
                return wrong(&format!("DE {element}"));
            }
        }
    }
    Ok(())
}
