//! Requests as a terminal writes them, straight into the connection's buffer.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use gapless_iso8583::{Builder, Message, Mti, Scratch, Version};

use crate::choice::Choice;
use crate::clock::WireClock;
use crate::ledger::Order;
use crate::mix::Kind;
use crate::plan::Plan;
use crate::rng::Rng;

/// Where TPDUs are asked for: identifier 60, as transactions have it.
const TPDU: [u8; 5] = [0x60, 0, 0, 0, 0];

/// What DE 37 has room for.
const RRN_LIMIT: u64 = 1_000_000_000_000;

/// DE 32 of every message.
const ACQUIRER: u64 = 941_000;

/// Approved transactions that a connection remembers for reversals and repeats.
const REMEMBERED: usize = 64;

/// A request on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// DE 11 and DE 37.
    pub(crate) stan: u32,
    pub(crate) rrn: u64,
    /// When it was to be sent, since the run began.
    pub(crate) intended_ns: u64,
    pub(crate) order: Order,
    mti: Mti,
    /// YYMMDDhhmmss of DE 7, 12 and 13.
    time: [u8; 12],
    /// A repeat: DE 39 of the first answer.
    pub(crate) expected_code: Option<u64>,
}

/// What an answer says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) mti: Mti,
    pub(crate) stan: u64,
    pub(crate) rrn: u64,
    /// DE 39; 0 where an echo is what was asked for.
    pub(crate) code: u64,
}

impl Sent {
    /// Whether this answer's MTI is the request's. An echo's is the same.
    pub(crate) fn is_answered_by(&self, mti: Mti) -> bool {
        mti == self.mti.response() || mti == self.mti
    }

    #[cfg(test)]
    pub(crate) fn example(kind: Kind, stan: u32, rrn: u64, intended_ns: u64) -> Self {
        Self {
            stan,
            rrn,
            intended_ns,
            order: Order {
                kind,
                of: kind,
                card: 0,
                account: 0,
                payee: 0,
                amount_minor: 1,
            },
            mti: mti(Version::V1987, 200),
            time: [b'0'; 12],
            expected_code: None,
        }
    }
}

/// An approved transaction.
#[derive(Clone, Copy, Debug)]
struct Original {
    sent: Sent,
    code: u64,
}

/// Writes the requests of one connection, which is one terminal.
pub(crate) struct Requests {
    plan: Arc<Plan>,
    version: Version,
    terminal: [u8; 8],
    clock: WireClock,
    rrn: u64,
    rng: Rng,
    choice: Choice,
    cards: u32,
    originals: Vec<Original>,
    remembers: bool,
}

impl Requests {
    pub(crate) fn new(plan: &Arc<Plan>, connection: u32) -> Self {
        let mut terminal = *b"LT000000";
        put_digits(&mut terminal, 6, u64::from(connection));
        // Microseconds: a terminal sends less than one message in each, so that
        // no later run meets an earlier one's numbers.
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_us = since.map_or(0, |since| since.as_micros());
        let mut rng = Rng::new(plan.seed.wrapping_add(u64::from(connection) << 32));
        let cards = plan.cards.count();
        Self {
            plan: Arc::clone(plan),
            version: plan.dialect.semantics().version,
            terminal,
            clock: WireClock::new(),
            rrn: u64::try_from(now_us % u128::from(RRN_LIMIT)).unwrap_or(0),
            rng: Rng::new(rng.next()),
            choice: Choice::new(cards, plan.zipf),
            cards,
            originals: Vec::with_capacity(REMEMBERED),
            remembers: plan.mix.has(Kind::Reversal) || plan.mix.has(Kind::Repeat),
        }
    }

    /// Before a batch of requests: looks at the clock once.
    pub(crate) fn begin(&mut self) {
        self.clock.look();
    }

    /// Appends the next request in its frame. `stan` is for a new message; a
    /// repeat has its first message's.
    ///
    /// # Errors
    /// The dialect cannot carry it; nothing is appended.
    pub(crate) fn write(
        &mut self,
        stan: u32,
        intended_ns: u64,
        out: &mut Vec<u8>,
    ) -> anyhow::Result<Sent> {
        let kind = self.plan.mix.pick(&mut self.rng);
        self.write_kind(kind, stan, intended_ns, out)
    }

    /// As [`Requests::write`], of this type. Where there is nothing to reverse or
    /// to repeat, it is a purchase.
    pub(crate) fn write_kind(
        &mut self,
        kind: Kind,
        stan: u32,
        intended_ns: u64,
        out: &mut Vec<u8>,
    ) -> anyhow::Result<Sent> {
        let original = kind.follows().then(|| self.take_original()).flatten();
        let sent = match (kind, original) {
            (Kind::Repeat, Some(original)) => Sent {
                intended_ns,
                mti: mti(self.version, repeated(original.sent.mti)),
                expected_code: Some(original.code),
                order: Order {
                    kind,
                    of: original.sent.order.kind,
                    ..original.sent.order
                },
                ..original.sent
            },
            (Kind::Reversal, Some(original)) => Sent {
                stan,
                rrn: original.sent.rrn,
                intended_ns,
                mti: mti(self.version, 420),
                time: self.now(),
                expected_code: None,
                order: Order {
                    kind,
                    of: original.sent.order.kind,
                    ..original.sent.order
                },
            },
            (kind, _) => self.new_message(kind, stan, intended_ns),
        };
        self.append(&sent, original.map(|original| original.sent), out)
            .with_context(|| kind.name())?;
        Ok(sent)
    }

    fn new_message(&mut self, kind: Kind, stan: u32, intended_ns: u64) -> Sent {
        let kind = if kind.follows() { Kind::Purchase } else { kind };
        let card = self.choice.next(self.cards, &mut self.rng);
        // Another card: the cards are a ring.
        let step = 1 + self.rng.below(self.cards.saturating_sub(1).max(1));
        let payee = (u64::from(card) + u64::from(step)).checked_rem(self.cards.into());
        let payee = payee.and_then(|payee| u32::try_from(payee).ok());
        let amount_minor = match kind {
            Kind::Balance => 0,
            _ => self.plan.amount.draw(&mut self.rng),
        };
        self.rrn = (self.rrn + 1) % RRN_LIMIT;
        let number = if kind == Kind::Advice { 220 } else { 200 };
        let cards = &self.plan.cards;
        Sent {
            stan,
            rrn: self.rrn,
            intended_ns,
            order: Order {
                kind,
                of: kind,
                card,
                account: cards.account_of(card),
                payee: cards.account_of(payee.unwrap_or(0)),
                amount_minor,
            },
            mti: mti(self.version, number),
            time: self.now(),
            expected_code: None,
        }
    }

    fn now(&self) -> [u8; 12] {
        *self.clock.full()
    }

    fn append(&self, sent: &Sent, original: Option<Sent>, out: &mut Vec<u8>) -> anyhow::Result<()> {
        let plan = &*self.plan;
        let tpdu = plan.framing.tpdu.then_some(TPDU);
        let mark = plan.framing.begin(out, tpdu);
        let mut message = plan.dialect.builder(out, sent.mti);
        self.put_fields(&mut message, sent);
        if sent.order.kind == Kind::Reversal
            && let Some(original) = original
        {
            self.put_original(&mut message, &original);
        } else if sent.order.of == Kind::Transfer {
            message
                .text(102, plan.cards.account_name(sent.order.account).bytes())
                .text(103, plan.cards.account_name(sent.order.payee).bytes());
        }
        let built = message.finish();
        drop(message);
        if let Err(error) = built {
            out.truncate(mark.start());
            return Err(error.into());
        }
        plan.framing.end(out, mark)?;
        Ok(())
    }

    /// What every type has, up to DE 49.
    fn put_fields(&self, message: &mut Builder<'_, '_>, sent: &Sent) {
        let plan = &*self.plan;
        let order = &sent.order;
        let mut rrn = [b'0'; 12];
        put_digits(&mut rrn, 12, sent.rrn);
        let time = WireClock::at(sent.time);
        message
            .text(2, plan.cards.pan(order.card).bytes())
            .text(3, order.of.processing_code())
            .number(4, order.amount_minor)
            .text(7, time.transmission())
            .number(11, u64::from(sent.stan));
        let expiry = plan.cards.expiry(order.card);
        match self.version {
            Version::V1987 => message
                .text(12, time.time())
                .text(13, time.date())
                .text(14, &expiry)
                .text(18, b"5411")
                .text(22, b"051")
                .text(25, b"00"),
            Version::V1993 => message
                .text(12, time.full())
                .text(14, &expiry)
                .text(22, b"510101511344")
                .text(24, function_code(order.kind)),
        };
        message
            .number(32, ACQUIRER)
            .text(37, &rrn)
            .text(41, &self.terminal)
            .text(42, b"LOADTEST")
            .number(49, u64::from(plan.currency));
    }

    /// DE 90 (1993: DE 56): which message is reversed.
    fn put_original(&self, message: &mut Builder<'_, '_>, original: &Sent) {
        let form = self.plan.dialect.semantics().original_data;
        let mut digits = [b'0'; 42];
        let time = WireClock::at(original.time);
        let local = [time.date(), time.time()].concat();
        let when = match (form.local_time, form.time_digits) {
            (true, _) => local.as_slice(),
            (false, 12) => time.full(),
            (false, _) => time.transmission(),
        };
        let mut acquirer = [b'0'; 11];
        put_digits(&mut acquirer, 11, ACQUIRER);
        let mut stan = [b'0'; 6];
        put_digits(&mut stan, 6, original.stan.into());
        let own = ACQUIRER.to_string();
        let institutions: [&[u8]; 2] = if form.fixed_institutions {
            [&acquirer, &[b'0'; 11]]
        } else {
            [b"06", own.as_bytes()]
        };
        let parts = [
            &original.mti.ascii()[..],
            &stan,
            when,
            institutions[0],
            institutions[1],
        ];
        let mut length = 0;
        for byte in parts.into_iter().flatten() {
            if let Some(place) = digits.get_mut(length) {
                *place = *byte;
                length += 1;
            }
        }
        message.text(form.field, digits.get(..length).unwrap_or_default());
    }

    /// One of those remembered, which is remembered no more.
    fn take_original(&mut self) -> Option<Original> {
        let count = u32::try_from(self.originals.len()).ok()?;
        (count > 0).then(|| {
            let place = self.rng.below(count);
            self.originals.swap_remove(place as usize)
        })
    }

    /// A request was approved: it may be reversed, or repeated.
    pub(crate) fn approved(&mut self, sent: &Sent, code: u64) {
        if self.remembers
            && !sent.order.kind.follows()
            && sent.order.kind != Kind::Balance
            && self.originals.len() < REMEMBERED
        {
            self.originals.push(Original { sent: *sent, code });
        }
    }

    /// What the message says, if it is an answer to this terminal.
    pub(crate) fn read_answer(
        &self,
        message: &Message<'_>,
        scratch: &mut Scratch,
    ) -> Option<Answer> {
        let mti = message.mti();
        if !mti.is_response() && !self.plan.echo {
            return None;
        }
        let terminal = message.text(41, scratch).ok()??;
        if terminal != self.terminal {
            return None;
        }
        let code = match message.number(39).ok()? {
            Some(code) => code,
            None if self.plan.echo => 0,
            None => return None,
        };
        Some(Answer {
            mti,
            stan: message.number(11).ok()??,
            rrn: message.number(37).ok()??,
            code,
        })
    }
}

const fn function_code(kind: Kind) -> &'static [u8; 3] {
    match kind {
        Kind::Reversal => b"400",
        _ => b"200",
    }
}

/// With the version's digit.
fn mti(version: Version, number: u16) -> Mti {
    let thousands = match version {
        Version::V1987 => 0,
        Version::V1993 => 1_000,
    };
    Mti::new(thousands + number).unwrap_or_default()
}

/// 0201 of 0200, without the version's digit.
const fn repeated(mti: Mti) -> u16 {
    mti.value() % 1_000 + 1
}

/// Writes a number into the last `digits` places.
fn put_digits(place: &mut [u8], digits: usize, number: u64) {
    let mut rest = number;
    for digit in place.iter_mut().rev().take(digits) {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// Whether every type of the mix can be written in the dialect.
///
/// # Errors
/// The first that cannot.
pub(crate) fn try_out(plan: &Arc<Plan>) -> anyhow::Result<()> {
    let mut requests = Requests::new(plan, 0);
    let mut out = Vec::new();
    for kind in Kind::ALL {
        if !plan.mix.has(kind) {
            continue;
        }
        if kind.follows() {
            let first = requests.new_message(Kind::Purchase, 1, 0);
            requests.approved(&first, 0);
        }
        requests
            .write_kind(kind, 1, 0, &mut out)
            .with_context(|| format!("dialect {}", plan.dialect.name()))?;
    }
    Ok(())
}
