//! A network's host in a few lines of bookkeeping, without a line.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use gapless_simulators::network::Figures;
use gapless_simulators::{Kind, Message};

/// What the host knows of a transaction.
#[derive(Default)]
struct Known {
    approved: bool,
    reversed: bool,
}

/// Approves everything once, keeps totals by DE 15, and remembers its answers.
#[derive(Default)]
pub struct Host {
    answers: BTreeMap<(String, String), Message>,
    known: BTreeMap<String, Known>,
    pub totals: BTreeMap<String, Figures>,
    /// Types of what came, in order.
    pub heard: Vec<String>,
    /// Answers everything of this type with this code.
    pub refuses: Option<(&'static str, &'static str)>,
}

impl Host {
    pub fn hear(&mut self, message: &Message) -> Message {
        self.heard.push(message.mti().to_owned());
        if let Some((mti, code)) = self.refuses
            && message.mti() == mti
        {
            return answer(message, code);
        }
        let stan = message.get(11).unwrap().to_owned();
        let key = (message.answer_mti(), stan.clone());
        if let Some(answer) = self.answers.get(&key) {
            return answer.clone();
        }
        let mut answer = answer(message, "00");
        let figures = self
            .totals
            .entry(message.get(15).unwrap_or_default().to_owned())
            .or_default();
        match message.mti().get(..3).unwrap() {
            "020" | "022" => {
                let kind = kind_of(message);
                let minor = message.get(4).unwrap().parse().unwrap();
                let known = self.known.entry(stan).or_default();
                if known.reversed {
                    answer.set(39, "05").unwrap();
                } else if !known.approved {
                    known.approved = true;
                    figures.count(kind, minor);
                }
            }
            "040" | "042" => {
                let original = message.get(90).unwrap()[4..10].to_owned();
                let known = self.known.entry(original).or_default();
                if known.approved && !known.reversed {
                    let minor = message.get(4).unwrap().parse().unwrap();
                    figures.count_reversal(kind_of(message), minor);
                }
                known.reversed = true;
            }
            "050" | "052" => {
                let same = figures.differences(message).is_empty();
                figures.write(&mut answer).unwrap();
                answer.set(66, if same { "1" } else { "2" }).unwrap();
            }
            _ => {}
        }
        self.answers.insert(key, answer.clone());
        answer
    }

    pub fn heard_times(&self, mti: &str) -> usize {
        self.heard.iter().filter(|heard| *heard == mti).count()
    }
}

fn kind_of(message: &Message) -> Kind {
    match message.get(3).unwrap().get(..2).unwrap() {
        "20" => Kind::Refund,
        "40" => Kind::Transfer,
        "31" => Kind::Balance,
        _ => Kind::Purchase,
    }
}

/// The answer that returns what it must, with that code.
fn answer(request: &Message, code: &str) -> Message {
    let mut answer = Message::new(&request.answer_mti());
    for de in [2, 7, 11, 15, 32, 37, 41, 50, 70] {
        if let Some(value) = request.get(de) {
            answer.set(de, value).unwrap();
        }
    }
    answer.set(39, code).unwrap();
    answer
}
