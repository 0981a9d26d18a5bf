//! One terminal's side of the story: everything it ever sent, what was
//! answered, and what that must have done to the accounts.
//!
//! A terminal sends over one connection at a time, and the daemon takes one
//! connection's messages in their order; that is what the predictions lean on.

use std::collections::{HashMap, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

use super::iso::Iso;
use super::rng::Rng;
use super::site::World;

/// Terminals of one test; each has STANs of its own, so that no reversal fits
/// two originals.
pub const MAX_TERMINALS: u64 = 16;

/// What an entry asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Purchase,
    Cash,
    Refund,
    Inquiry,
    /// DE 102 to DE 103; with the payer's card, or without one.
    Transfer,
    /// 0220, already done at the terminal: must be accepted.
    Advice,
    /// A purchase on a card that nobody issued.
    UnknownCard,
    /// Of the entry with this number.
    Reversal(usize),
}

/// How far the reversal of an entry has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reversed {
    No,
    /// Made, and perhaps taken.
    Asked,
    /// Acknowledged.
    Done,
}

/// An answer that was given and must stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// DE 39.
    pub code: String,
    /// DE 38.
    pub approval: String,
}

/// A message that was sent, or was about to be.
#[derive(Clone, Debug)]
pub struct Entry {
    pub kind: Kind,
    /// As sent the first time.
    pub message: Iso,
    /// Index of the account that pays, and of the one that gets.
    pub from: Option<usize>,
    pub to: Option<usize>,
    pub amount: i64,
    pub reversed: Reversed,
    pub answer: Option<Answer>,
}

/// What was known when a message left, for judging its answer.
struct Sent {
    entry: usize,
    reversed: Reversed,
}

/// DE 11, 37 and 41: with them and the MTI an answer finds its request.
type Key = (u16, String, String, String);

/// The terminal.
pub struct Terminal {
    pub entries: Vec<Entry>,
    /// Requests refused at the door (91), which is no answer.
    pub refused: u64,
    number: u64,
    id: String,
    count: u64,
    rng: Rng,
    in_flight: HashMap<Key, VecDeque<Sent>>,
    in_flight_count: usize,
    /// Originals whose reversal was sent before them.
    overtaken: VecDeque<usize>,
}

impl Terminal {
    /// Terminal `number`, from 1 and below [`MAX_TERMINALS`]; 0 would make the
    /// STAN 000000, which means a lost one in DE 90.
    pub fn new(number: u64, rng: Rng) -> Self {
        assert!((1..MAX_TERMINALS).contains(&number));
        Self {
            entries: Vec::new(),
            refused: 0,
            number,
            id: format!("TERM{number:04}"),
            count: 0,
            rng,
            in_flight: HashMap::new(),
            in_flight_count: 0,
            overtaken: VecDeque::new(),
        }
    }

    /// Messages sent and not answered.
    pub fn in_flight(&self) -> usize {
        self.in_flight_count
    }

    /// The connection is gone: nothing that is under way will be answered.
    pub fn connection_lost(&mut self) {
        self.in_flight.clear();
        self.in_flight_count = 0;
    }

    /// Makes up the next message and writes it.
    pub fn send_next(&mut self, world: &World, out: &mut Vec<u8>) {
        if let Some(original) = self.overtaken.pop_front() {
            return self.send(original, false, out);
        }
        match self.rng.within(0, 100) {
            0..8 => match self.recent(|entry| entry.reversible()) {
                Some(original) => self.reverse(original, out),
                None => self.send_next(world, out),
            },
            8..10 => {
                let original = self.draw(world);
                self.reverse(original, out);
                self.overtaken.push_back(original);
            }
            10..15 => match self.recent(|_| true) {
                Some(entry) => self.send(entry, true, out),
                None => self.send_next(world, out),
            },
            _ => {
                let entry = self.draw(world);
                self.send(entry, false, out);
            }
        }
    }

    /// Writes an entry's message: as the first time, or as a repeat.
    pub fn send(&mut self, entry: usize, repeat: bool, out: &mut Vec<u8>) {
        let made = &self.entries[entry];
        let mut message = made.message.clone();
        message.mti += u16::from(repeat);
        message.frame(out);
        let sent = Sent {
            entry,
            reversed: made.reversed,
        };
        let key = key(&made.message);
        self.in_flight.entry(key).or_default().push_back(sent);
        self.in_flight_count += 1;
    }

    /// Makes the reversal of an entry and sends it.
    pub fn reverse(&mut self, original: usize, out: &mut Vec<u8>) {
        let mti = if self.rng.percent(50) { 400 } else { 420 };
        let of = self.entries[original].message.clone();
        let mut message = self.stamped(mti);
        let de90 = format!("{:04}{}{}{:022}", of.mti, of.get(11), of.get(7), 0);
        for (field, value) in of.fields {
            message.fields.entry(field).or_insert(value);
        }
        // Constant through the life of a transaction (FIELD.md, DE 37).
        let rrn = self.entries[original].message.get(37).to_owned();
        let message = message.with(37, rrn).with(90, de90);
        self.entries[original].reversed = Reversed::Asked;
        self.entries.push(Entry {
            kind: Kind::Reversal(original),
            message,
            from: None,
            to: None,
            amount: 0,
            reversed: Reversed::No,
            answer: None,
        });
        self.send(self.entries.len() - 1, false, out);
    }

    /// Takes an answer, and holds it against everything known.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn take_answer(&mut self, answer: &Iso) -> Result<(), String> {
        let waiting = self.in_flight.get_mut(&key_of_answer(answer));
        let Some(sent) = waiting.and_then(VecDeque::pop_front) else {
            return Err(format!(
                "terminal {}: answer to nothing: {answer:?}",
                self.id
            ));
        };
        self.in_flight_count -= 1;
        let code = answer.get(39);
        if code == "91" {
            self.refused += 1;
            return Ok(());
        }
        let entry = &mut self.entries[sent.entry];
        let found = Answer {
            code: code.to_owned(),
            approval: answer.get(38).to_owned(),
        };
        entry.judge(&found, sent.reversed).map_err(|why| {
            format!(
                "terminal {}, {:?}: {why}; sent {:?}",
                self.id, entry.kind, entry.message
            )
        })?;
        if entry.answer.is_none() {
            entry.answer = Some(found);
        }
        if let Kind::Reversal(original) = entry.kind {
            self.entries[original].reversed = Reversed::Done;
        }
        Ok(())
    }

    /// Entries that no answer is known for, in random order: some were sent,
    /// some were only about to be.
    pub fn unanswered(&mut self) -> Vec<usize> {
        self.overtaken.clear();
        let mut open: Vec<usize> = (0..self.entries.len())
            .filter(|entry| self.entries[*entry].answer.is_none())
            .collect();
        self.rng.shuffle(&mut open);
        open
    }

    /// Adds what the answered entries must have done to the accounts' balances.
    pub fn post(&self, balances: &mut [i64]) {
        for entry in self.entries.iter().filter(|entry| entry.has_effect()) {
            if let Some(from) = entry.from {
                balances[from] -= entry.amount;
            }
            if let Some(to) = entry.to {
                balances[to] += entry.amount;
            }
        }
    }

    /// One of the last entries that fits.
    fn recent(&mut self, fits: impl Fn(&Entry) -> bool) -> Option<usize> {
        let newest = self.entries.len();
        let oldest = newest.saturating_sub(200);
        if oldest == newest {
            return None;
        }
        let start = oldest + self.rng.index(newest - oldest);
        (start..newest).find(|at| {
            let entry = &self.entries[*at];
            // What its own reversal has overtaken must wait for its turn.
            fits(entry) && !self.overtaken.contains(at)
        })
    }

    /// A new entry of a random kind, not yet sent.
    fn draw(&mut self, world: &World) -> usize {
        let kind = match self.rng.within(0, 100) {
            0..50 => Kind::Purchase,
            50..58 => Kind::Cash,
            58..70 => Kind::Refund,
            70..75 => Kind::Inquiry,
            75..92 => Kind::Transfer,
            92..97 => Kind::Advice,
            _ => Kind::UnknownCard,
        };
        self.make(world, kind)
    }

    /// A new entry of this kind on a random account, not yet sent.
    pub fn make(&mut self, world: &World, kind: Kind) -> usize {
        let account = self.rng.index(world.accounts.len());
        let amount = self.rng.within(1, 2_000) as i64;
        let (mti, processing) = match kind {
            Kind::Purchase | Kind::UnknownCard => (200, "000000"),
            Kind::Cash => (200, "010000"),
            Kind::Refund => (200, "200000"),
            Kind::Inquiry => (200, "310000"),
            Kind::Transfer => (200, "400000"),
            Kind::Advice => (220, "000000"),
            Kind::Reversal(_) => unreachable!("reversals are made from their originals"),
        };
        let (mut from, mut to, mut shown) = (Some(account), None, amount);
        let mut message = self.stamped(mti).with(3, processing).with(49, "410");
        match kind {
            Kind::Refund => (from, to) = (None, Some(account)),
            Kind::Inquiry => (from, shown) = (None, 0),
            Kind::UnknownCard => from = None,
            Kind::Transfer => {
                let step = 1 + self.rng.index(world.accounts.len() - 1);
                let payee = (account + step) % world.accounts.len();
                to = Some(payee);
                message = message
                    .with(102, world.accounts[account].number.clone())
                    .with(103, world.accounts[payee].number.clone());
            }
            _ => {}
        }
        message = message.with(4, format!("{shown:012}"));
        if kind == Kind::UnknownCard {
            message = message.with(2, world.unknown_pan(account));
        } else if kind != Kind::Transfer || self.rng.percent(50) {
            message = message.with(2, world.accounts[account].pan.clone());
        }
        self.entries.push(Entry {
            kind,
            message,
            from,
            to,
            amount,
            reversed: Reversed::No,
            answer: None,
        });
        self.entries.len() - 1
    }

    /// A message with what every one of this terminal has.
    fn stamped(&mut self, mti: u16) -> Iso {
        self.count += 1;
        let stan = (self.count * MAX_TERMINALS + self.number) % 1_000_000;
        Iso::new(mti)
            .with(7, utc_mmddhhmmss())
            .with(11, format!("{stan:06}"))
            .with(22, "051")
            .with(25, "00")
            .with(37, format!("{:02}{:010}", self.number, self.count))
            .with(41, self.id.clone())
            .with(42, "MERCHANT0000001")
    }
}

impl Entry {
    /// Whether its effect stands in the books: approved, and no reversal acknowledged.
    pub fn has_effect(&self) -> bool {
        self.reversed != Reversed::Done && self.is_approved()
    }

    /// Whether it was answered 00.
    pub fn is_approved(&self) -> bool {
        self.answer
            .as_ref()
            .is_some_and(|answer| answer.code == "00")
    }

    /// Whether a reversal of it makes sense and has not been made.
    pub fn reversible(&self) -> bool {
        self.reversed == Reversed::No
            && !matches!(
                self.kind,
                Kind::Reversal(_) | Kind::Inquiry | Kind::UnknownCard
            )
    }

    /// Whether the answer may be given, by what was known when its request left
    /// (`reversed_then`) and what was answered before.
    fn judge(&self, found: &Answer, reversed_then: Reversed) -> Result<(), String> {
        let approved = found.code == "00";
        let needs_approval = approved && !matches!(self.kind, Kind::Reversal(_));
        if needs_approval && matches!(found.approval.trim(), "" | "000000") {
            return Err(format!("approved with DE 38 {:?}", found.approval));
        }
        if let Some(first) = &self.answer {
            return match (first.code == "00", self.reversed) {
                // Once reversed, a repeat is declined; an advice is only told so.
                (true, _) if reversed_then == Reversed::Done && self.kind != Kind::Advice => {
                    (found.code == "05").then_some(())
                }
                (true, Reversed::Asked | Reversed::Done) if found.code == "05" => Some(()),
                (true, _) => (found == first).then_some(()),
                (false, _) => (found.code == first.code).then_some(()),
            }
            .ok_or_else(|| format!("{first:?} first, {found:?} to its repeat"));
        }
        let may_be_overtaken = self.reversed != Reversed::No;
        let fits = match (self.kind, found.code.as_str()) {
            (Kind::Reversal(_), code) => code == "00",
            (Kind::UnknownCard, "00") => false,
            (Kind::UnknownCard, "14") => true,
            // The reversal was there first and has been acknowledged.
            (kind, "00") if reversed_then == Reversed::Done => kind == Kind::Advice,
            (_, "00") => true,
            (_, "05") => may_be_overtaken,
            (Kind::Purchase | Kind::Cash | Kind::Transfer, "51") => true,
            _ => false,
        };
        fits.then_some(())
            .ok_or_else(|| format!("answered {found:?}"))
    }
}

fn key(message: &Iso) -> Key {
    let field = |number| message.get(number).to_owned();
    (message.mti, field(11), field(37), field(41))
}

/// An answer's key is its request's: 0210 belongs to 0200.
fn key_of_answer(answer: &Iso) -> Key {
    let (mti, stan, rrn, terminal) = key(answer);
    (mti.wrapping_sub(10), stan, rrn, terminal)
}

/// DE 7: now, in UTC.
pub fn utc_mmddhhmmss() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = jiff::Timestamp::from_second(since.as_secs() as i64).unwrap();
    now.strftime("%m%d%H%M%S").to_string()
}
