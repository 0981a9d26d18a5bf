//! Requests as a terminal writes them, straight into the connection's buffer.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use gapless_iso8583::{Builder, Message, Mti, Scratch, Version};

use crate::clock::WireClock;
use crate::mix::Kind;
use crate::plan::Plan;
use crate::rng::Rng;

/// Where TPDUs are asked for: identifier 60, as transactions have it.
const TPDU: [u8; 5] = [0x60, 0, 0, 0, 0];

/// What DE 37 has room for.
const RRN_LIMIT: u64 = 1_000_000_000_000;

/// Writes the requests of one connection, which is one terminal.
pub(crate) struct Requests<'p> {
    plan: &'p Plan,
    mti: Mti,
    terminal: [u8; 8],
    clock: WireClock,
    rrn: u64,
    rng: Rng,
}

impl<'p> Requests<'p> {
    pub(crate) fn new(plan: &'p Plan, connection: u32) -> Self {
        let mut terminal = *b"LT000000";
        put_digits(&mut terminal, 6, u64::from(connection));
        // Microseconds: a terminal sends less than one message in each, so that
        // no later run meets an earlier one's numbers.
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_us = since.map_or(0, |since| since.as_micros());
        let mti = match plan.dialect.semantics().version {
            Version::V1987 => 200,
            Version::V1993 => 1200,
        };
        let mut rng = Rng::new(plan.seed.wrapping_add(u64::from(connection) << 32));
        Self {
            plan,
            mti: Mti::new(mti).unwrap_or_default(),
            terminal,
            clock: WireClock::new(),
            rrn: u64::try_from(now_us % u128::from(RRN_LIMIT)).unwrap_or(0),
            rng: Rng::new(rng.next()),
        }
    }

    /// Before a batch of requests: looks at the clock once.
    pub(crate) fn begin(&mut self) {
        self.clock.look();
    }

    /// Appends the next request in its frame; its DE 37.
    ///
    /// # Errors
    /// The dialect cannot carry it; nothing is appended.
    pub(crate) fn write(&mut self, stan: u32, out: &mut Vec<u8>) -> anyhow::Result<u64> {
        let kind = self.plan.mix.pick(&mut self.rng);
        self.write_kind(kind, stan, out)
    }

    /// As [`Requests::write`], of this type.
    pub(crate) fn write_kind(
        &mut self,
        kind: Kind,
        stan: u32,
        out: &mut Vec<u8>,
    ) -> anyhow::Result<u64> {
        let plan = self.plan;
        let cards = plan.cards;
        let card = self.rng.below(cards.count);
        let step = 1 + self.rng.below(cards.count.saturating_sub(1).max(1));
        let payee = (u64::from(card) + u64::from(step)).checked_rem(u64::from(cards.count));
        self.rrn = (self.rrn + 1) % RRN_LIMIT;
        let tpdu = plan.framing.tpdu.then_some(TPDU);
        let mark = plan.framing.begin(out, tpdu);
        let mut message = plan.dialect.builder(out, self.mti);
        self.put_fields(&mut message, kind, card, stan);
        if kind == Kind::Transfer {
            message
                .number(102, cards.account(card))
                .number(103, cards.first_account + payee.unwrap_or(0));
        }
        let built = message.finish();
        drop(message);
        if let Err(error) = built {
            out.truncate(mark.start());
            return Err(error).with_context(|| kind.name());
        }
        plan.framing.end(out, mark).with_context(|| kind.name())?;
        Ok(self.rrn)
    }

    /// What every type has.
    fn put_fields(&self, message: &mut Builder<'_, '_>, kind: Kind, card: u32, stan: u32) {
        let plan = self.plan;
        let amount = match kind {
            Kind::Balance => 0,
            _ => plan.amount_minor,
        };
        let mut rrn = [b'0'; 12];
        put_digits(&mut rrn, 12, self.rrn);
        message
            .text(2, &plan.cards.pan(card))
            .text(3, kind.processing_code())
            .number(4, amount)
            .text(7, self.clock.transmission())
            .number(11, u64::from(stan));
        match plan.dialect.semantics().version {
            Version::V1987 => message
                .text(12, self.clock.time())
                .text(13, self.clock.date())
                .text(14, b"3012")
                .text(18, b"5411")
                .text(22, b"051")
                .text(25, b"00"),
            Version::V1993 => message
                .text(12, self.clock.full())
                .text(14, b"3012")
                .text(22, b"510101511344")
                .text(24, b"200"),
        };
        message
            .text(32, b"941000")
            .text(37, &rrn)
            .text(41, &self.terminal)
            .text(42, b"LOADTEST")
            .number(49, u64::from(plan.currency));
    }

    /// DE 11, 37 and the response code, if the message is an answer to this
    /// terminal.
    pub(crate) fn read_answer(
        &self,
        message: &Message<'_>,
        scratch: &mut Scratch,
    ) -> Option<(u64, u64, u64)> {
        if message.mti() != self.mti.response() {
            return None;
        }
        let terminal = message.text(41, scratch).ok()??;
        if terminal != self.terminal {
            return None;
        }
        let stan = message.number(11).ok()??;
        let rrn = message.number(37).ok()??;
        let code = message.number(39).ok()??;
        Some((stan, rrn, code))
    }
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
pub(crate) fn try_out(plan: &Plan) -> anyhow::Result<()> {
    let mut requests = Requests::new(plan, 0);
    let mut out = Vec::new();
    for kind in Kind::ALL {
        if kind == Kind::Transfer && plan.mix.has_no_transfer() {
            continue;
        }
        requests
            .write_kind(kind, 1, &mut out)
            .with_context(|| format!("dialect {}", plan.dialect.name()))?;
    }
    Ok(())
}
