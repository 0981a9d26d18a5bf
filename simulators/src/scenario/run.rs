//! Taking a step: build, send, compare, capture.

use std::time::Duration;

use super::expect::Place;
use super::model::{Minor, Send, Step};
use super::{Memory, RunError};
use crate::message::Message;
use crate::order::Order;
use crate::terminal::{Terminal, Till};

/// How a step went.
#[derive(Clone, Debug)]
pub struct StepReport {
    /// From 1.
    pub number: usize,
    /// The step's name.
    pub name: String,
    /// What was sent (or built, if the step holds it).
    pub request: Message,
    /// What came back, and how long it took; nothing for a step that holds.
    pub answer: Option<(Message, Duration)>,
    /// What was not as expected; empty when the step passed.
    pub mismatches: Vec<Mismatch>,
}

/// A place in the answer that was not as expected. Secrets are masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The place, with its name.
    pub field: String,
    /// What should have stood there.
    pub expected: String,
    /// What stood there.
    pub got: String,
}

pub(super) fn take(
    step: &Step,
    number: usize,
    terminal: &mut Terminal,
    memory: &mut Memory,
) -> Result<StepReport, RunError> {
    let unbuildable = |reason| RunError::Unbuildable {
        number,
        name: step.name.clone(),
        reason,
    };
    let request = build(&step.send, &mut terminal.till, memory).map_err(unbuildable)?;
    let mut report = StepReport {
        number,
        name: step.name.clone(),
        request: request.clone(),
        answer: None,
        mismatches: Vec::new(),
    };
    let mut approval = None;
    if !step.hold {
        let done = terminal
            .exchange_timed(&request)
            .map_err(|error| RunError::Exchange {
                number,
                name: step.name.clone(),
                error,
            })?;
        report.mismatches = compare(step, &done.answer, memory).map_err(unbuildable)?;
        approval = done.answer.get(38).map(str::to_owned);
        report.answer = Some((done.answer, done.round_trip));
    }
    // A delivered message was remembered under its own id when it was built, but
    // its approval is known only now.
    for id in [&step.id, &step.send.deliver].into_iter().flatten() {
        memory
            .sent
            .insert(id.clone(), (request.clone(), approval.clone()));
    }
    Ok(report)
}

/// Compares the answer with what the step expects, and captures what it asks for.
fn compare(step: &Step, answer: &Message, memory: &mut Memory) -> Result<Vec<Mismatch>, String> {
    let mut mismatches = Vec::new();
    let shown = |place: &Place, value: Option<&str>| match value {
        Some(value) => place.show(value.trim_end()),
        None => "nothing".to_owned(),
    };
    for (place, expect) in &step.expect {
        let value = place.value(answer);
        if let Some(expected) = expect.check(place, value.as_deref(), &memory.values)? {
            mismatches.push(Mismatch {
                field: place.to_string(),
                expected,
                got: shown(place, value.as_deref()),
            });
        }
    }
    for (name, place) in &step.capture {
        match place.value(answer) {
            Some(value) => {
                memory
                    .values
                    .insert(name.clone(), value.trim_end().to_owned());
            }
            None => mismatches.push(Mismatch {
                field: place.to_string(),
                expected: format!("something to capture as ${name}"),
                got: shown(place, None),
            }),
        }
    }
    Ok(mismatches)
}

fn build(send: &Send, till: &mut Till, memory: &Memory) -> Result<Message, String> {
    let earlier = |id: &String| {
        memory
            .sent
            .get(id)
            .ok_or_else(|| format!("the step {id:?} has sent nothing"))
    };
    let mut message = if let Some(id) = &send.repeat_of {
        earlier(id)?.0.repeat()
    } else if let Some(id) = &send.deliver {
        earlier(id)?.0.clone()
    } else if let Some(id) = &send.reverse_of {
        let (original, approval) = earlier(id)?;
        let partial = minor(send.final_amount.as_ref(), memory)?;
        let mut reversal = till
            .reversal(original, approval.as_deref(), partial)
            .map_err(|e| e.to_string())?;
        if send.advice {
            reversal.set_mti("0420");
        }
        reversal
    } else if send.command.is_some() {
        order(send, memory)?.message(till)?
    } else {
        till.blank("0200").map_err(|e| e.to_string())?
    };
    if let Some(mti) = &send.mti {
        message.set_mti(mti);
    }
    for (number, text) in &send.fields {
        let value = text.0.fill(&memory.values)?;
        message.set(number.0, &value).map_err(|e| e.to_string())?;
    }
    for (number, text) in &send.raw {
        message.set_unchecked(number.0, &text.0.fill(&memory.values)?);
    }
    for de in &send.unset {
        message.unset(*de);
    }
    Ok(message)
}

fn order(send: &Send, memory: &Memory) -> Result<Order, String> {
    let kind = send.command.ok_or("send has no command")?;
    let account = |text: &Option<super::model::Text>| {
        text.as_ref()
            .map(|text| text.0.fill(&memory.values))
            .transpose()
    };
    Ok(Order {
        advice: send.advice,
        card: send.card()?,
        amount_minor: minor(send.amount.as_ref(), memory)?,
        cashback_minor: minor(send.cashback.as_ref(), memory)?,
        from: account(&send.from)?,
        to: account(&send.to)?,
        currency: send.currency()?,
        ..Order::new(kind)
    })
}

fn minor(amount: Option<&Minor>, memory: &Memory) -> Result<Option<u64>, String> {
    let Some(amount) = amount else {
        return Ok(None);
    };
    let value = amount.0.value(&memory.values)?;
    u64::try_from(value)
        .map(Some)
        .map_err(|_| format!("{value} is no amount to send"))
}
