//! Twin runs: the same traffic through two switches, of which one lives through a night.
//!
//! The messages are made once. Both switches get them in the same order; the one with
//! the night is cut over, frozen and sealed meanwhile, and its networks cut over from
//! half an hour before the bank to half an hour after it, while the other one stays on
//! one date. Each network then asks for reconciliation with the
//! figures that the auditor has, and must hear that both sides are in balance.

use gapless_engine::EntrySums;
use gapless_engine::command::Request;
use gapless_engine::date::Date;
use gapless_journal::sim::SimDisk;

use crate::auditor::Auditor;
use crate::auditor::calendar::month_day;
use crate::auditor::model::{Day, Effect};
use crate::auditor::networks::figure;
use crate::bank::founding;
use crate::message::Msg;
use crate::node::{Fate, Node, Ticks};
use crate::peers::check_answer;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::traffic::{Next, Sent, Traffic};

/// Messages of one run, at least.
const MESSAGES: u64 = 120;
const S: u64 = 1_000_000;
/// A run begins so long before the bank's cutover.
const BEFORE_US: u64 = 3_000 * S;

/// What of an answer must be the same: DE 39, 4, 54.
pub type Said = (String, String, String);

/// The two runs.
#[derive(Debug)]
pub struct Twin {
    /// What the switch with the night said.
    pub with_night: Vec<Said>,
    /// What the other one said.
    pub without: Vec<Said>,
    /// Steps of the night that were taken.
    pub night_steps: usize,
    /// Reconciliations that were answered with DE 66 = 1.
    pub in_balance: usize,
}

/// Something to send, when and by which link.
struct Planned {
    after_s: i64,
    link: usize,
    network: u16,
    message: Msg,
}

/// Runs both.
///
/// # Errors
/// What went wrong, other than different answers.
pub fn night_and_day(seed: u64) -> Result<Twin, String> {
    let mut plan = Plan::new(seed);
    plan.hours.grace_s = 300;
    plan.hours.early_s = 3_600;
    plan.attest_every = u64::MAX;
    for link in &mut plan.links {
        link.sign_on = false;
        link.max_in_flight = 64;
    }
    let planned = traffic(&plan);
    let (with_night, night_steps, in_balance) = Run::new(&plan, true)?.live(&planned)?;
    let (without, _, _) = Run::new(&plan, false)?.live(&planned)?;
    Ok(Twin {
        with_night,
        without,
        night_steps,
        in_balance,
    })
}

/// From forty minutes before the bank's cutover to forty minutes after it.
fn traffic(plan: &Plan) -> Vec<Planned> {
    let mut rng = Rng::new(plan.seed, 9);
    let mut traffic = Traffic::new(plan.seed);
    let mut sent: Vec<Sent> = Vec::new();
    let mut planned = Vec::new();
    let day = plan.hours.today(plan.start_us);
    let due_us = plan.hours.cutover_us(day);
    let mut after_s = -2_400i64;
    while after_s < 2_400 || (planned.len() as u64) < MESSAGES {
        after_s += rng.within(1, 60) as i64;
        let link = rng.below(plan.links.len() as u64) as usize;
        let network = plan.links[link].network;
        let own_day = network_day(plan, network, day, after_s);
        let now_us = due_us.saturating_add_signed(after_s * S as i64);
        let mut push = |message: Msg, sent: &mut Vec<Sent>| {
            let original = matches!(message.kind(), 200 | 220);
            // The night's own dates are put in when it is sent.
            planned.push(Planned {
                after_s,
                link,
                network,
                message: message.clone().without(15),
            });
            sent.push(Sent {
                message,
                link,
                answered: None,
                tries: 1,
                original,
            });
        };
        match traffic.next(plan, link, now_us, own_day, &sent) {
            Next::New(message) => push(message, &mut sent),
            Next::Again(at) => {
                let mut message = sent[at].message.clone();
                message.mti += 1;
                planned.push(Planned {
                    after_s,
                    link,
                    network,
                    message: message.without(15),
                });
            }
            Next::Reversed(later, reversal) => {
                push(reversal, &mut sent);
                push(later, &mut sent);
            }
            Next::Spoiled(_) => {}
        }
    }
    planned
}

fn network_day(plan: &Plan, network: u16, day: Day, after_s: i64) -> Day {
    let offset = plan.network(network).map_or(0, |plan| plan.offset_s);
    day + Day::from(after_s >= offset)
}

struct Run<'p> {
    plan: &'p Plan,
    night: bool,
    node: Node,
    auditor: Auditor,
    ticks: Ticks,
    day: Day,
    steps: usize,
}

impl<'p> Run<'p> {
    fn new(plan: &'p Plan, night: bool) -> Result<Self, String> {
        let day = plan.hours.today(plan.start_us);
        let due_us = plan.hours.cutover_us(day);
        let ticks = Ticks::default();
        let disk = SimDisk::new(plan.seed);
        let (mut node, _) = Node::start(plan, &disk, &ticks, due_us - BEFORE_US, 1)?;
        let mut auditor = Auditor::default();
        for chunk in founding(plan, &auditor.model, day).chunks(8) {
            let requests: Vec<_> = chunk.iter().map(|(request, _)| *request).collect();
            node.put(&requests);
            node.commit();
            for (_, effect) in chunk {
                effect
                    .iter()
                    .for_each(|effect| auditor.happened(effect.clone()));
            }
        }
        for link in 0..plan.links.len() {
            node.connect(link as u64 + 1, link);
        }
        Ok(Self {
            plan,
            night,
            node,
            auditor,
            ticks,
            day,
            steps: 0,
        })
    }

    /// What is due of the night at this time, seconds after the bank's cutover.
    fn night_steps(&mut self, after_s: i64) -> Result<(), String> {
        let date = Date(self.day as u16);
        let seal = Request::Seal {
            date,
            entries: EntrySums::EMPTY,
        };
        let steps = [
            (0, Request::Cutover { date }, Effect::Cutover(0)),
            (300, Request::Freeze { date }, Effect::Freeze),
            (900, seal, Effect::Seal),
        ];
        for (at, (due_s, request, effect)) in steps.iter().enumerate() {
            if at == self.steps && after_s >= *due_s {
                self.node.night(request)?;
                self.auditor.happened(effect.clone());
                if at > 0 {
                    self.auditor.happened(Effect::Attest);
                }
                self.steps += 1;
            }
        }
        self.node.commit();
        Ok(())
    }

    fn live(mut self, planned: &[Planned]) -> Result<(Vec<Said>, usize, usize), String> {
        let mut said = Vec::new();
        let mut told: Vec<u16> = Vec::new();
        for one in planned {
            let mut message = one.message.clone();
            let since = BEFORE_US.saturating_add_signed(one.after_s * S as i64);
            self.ticks.set(since);
            if self.night {
                self.night_steps(one.after_s)?;
                let day = network_day(self.plan, one.network, self.day, one.after_s);
                if one.network != 0 {
                    if day > self.day && !told.contains(&one.network) {
                        told.push(one.network);
                        self.tell_cutover(one, day)?;
                    }
                    message = message.with(15, month_day(day));
                }
            }
            let answer = self.ask(one.link, &message)?;
            let field = |field| answer.get(field).to_owned();
            said.push((field(39), field(4), field(54)));
        }
        let in_balance = self.reconcile()?;
        Ok((said, self.steps, in_balance))
    }

    /// A network's cutover message.
    fn tell_cutover(&mut self, one: &Planned, day: Day) -> Result<(), String> {
        let Some(network) = self.plan.network(one.network).filter(|plan| plan.tells) else {
            return Ok(());
        };
        let named = if network.names_ended { day - 1 } else { day };
        let message = Msg::new(800)
            .with(7, one.message.get(7))
            .with(11, format!("{:06}", 990_000 + u32::from(one.network)))
            .with(15, month_day(named))
            .with(70, "201");
        let answer = self.ask(one.link, &message)?;
        match answer.get(39) {
            "00" => Ok(()),
            other => Err(format!("a network's cutover is answered {other}")),
        }
    }

    /// Asks the switch, and the auditor.
    fn ask(&mut self, link: usize, message: &Msg) -> Result<Msg, String> {
        let id = link as u64 + 1;
        let plan = &self.plan.links[link];
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        plan.form.write(message, &mut bytes);
        let today = self.auditor.model.dates.default();
        let fates = self.node.deliver(id, &bytes, &mut out)?;
        let mut expected = None;
        if matches!(fates.first(), Some(Fate::Core(_))) {
            self.auditor.model.today = self.plan.hours.today(self.node.now_us());
            let closing = self.auditor.model.dates.closing();
            let near = self.node.now_us() >= self.plan.hours.early_us(closing);
            if near && self.auditor.model.would_open(message, plan.network) {
                self.auditor.happened(Effect::Early);
            }
            expected = Some(if message.kind() == 800 {
                let network = self.plan.network(plan.network);
                let ended = network.is_some_and(|of| of.names_ended);
                let model = &self.auditor.model;
                let verdict = model.judge_cutover(message, plan.network, ended, today, near);
                self.auditor.took_as(verdict)
            } else {
                self.auditor.took(message, plan)
            });
            self.node.flush(id);
            self.node.commit();
            self.node.release(id, &mut out);
        }
        let mut answers = plan.form.read(&mut out)?;
        let answer = answers
            .pop()
            .ok_or_else(|| format!("no answer to {message}"))?;
        if let Some(expected) = &expected {
            check_answer(message, expected, &answer).map_err(|error| error.to_string())?;
        }
        Ok(answer)
    }

    /// Each network asks for all its dates: all must be in balance.
    fn reconcile(&mut self) -> Result<usize, String> {
        let keys: Vec<_> = self.auditor.model.net_totals.keys().copied().collect();
        let mut in_balance = 0;
        for (number, (network, day, currency)) in (1u32..).zip(keys) {
            let link = self
                .plan
                .links
                .iter()
                .position(|link| link.network == network);
            let figures = self.auditor.model.figures(network, day, currency);
            let (Some(link), Some(figures), 1..) = (link, figures, network) else {
                continue;
            };
            let mut message = Msg::new(500)
                .with(7, "0101000000")
                .with(11, format!("{number:06}"))
                .with(15, month_day(day))
                .with(50, format!("{currency:03}"));
            for (element, value) in figures {
                message = message.with(element, figure(element, value));
            }
            let answer = self.ask(link, &message)?;
            if answer.get(66) != "1" {
                return Err(format!("out of balance: {message} -> {answer}"));
            }
            in_balance += 1;
        }
        Ok(in_balance)
    }
}
