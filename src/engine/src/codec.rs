//! Encoding of events, format version 1. Old versions stay readable: a fixture
//! of each is checked in and decoded by a test.
//!
//! Layout, little-endian: format (1), kind (1), length of the whole (2), seq
//! (8), time (8), then the body: fixed fields first, then the parts that a byte
//! of flags announces, in the order of the flags.

use crate::bytes::{Filler, Put, Reader, Short};
use crate::code::ResponseCode;
use crate::command::{Amount, Class, Genesis, Identity, Operation};
use crate::date::Date;
use crate::event::{
    Body, Counted, Event, Finding, ReversalEvent, Row, Tombstone, TransactionEvent,
};
use crate::exception::ExceptionKind;
use crate::ids::{AccountIx, CardIx, Currency, NetworkId, Seq, TimeUs};
use crate::legs::{Leg, Legs};
use crate::limits::{MAX_AMOUNT_MINOR, MAX_LEGS};
use crate::night_codec;
use crate::outcome::Balances;
use crate::reconcile_codec;
use crate::record::RecordRef;
use crate::rows_codec;

const FORMAT: u8 = 1;
const HEADER: usize = 20;
const LENGTH_AT: usize = 2;
/// Of a transaction's body: identity, terms, kinds and code, network, dates, amount.
const TRANSACTION_FIXED: usize = 20 + 2 + 4 + 2 + 4 + 10;
/// Where in it the byte of flags is.
const TRANSACTION_PARTS_AT: usize = 20 + 2 + 3;
/// Of a posting: account and amount.
const LEG: usize = 4 + 8;

const KIND_GENESIS: u8 = 1;
const KIND_INTERNAL: u8 = 2;
const KIND_ACCOUNT: u8 = 3;
const KIND_CARD: u8 = 4;
const KIND_TRANSACTION: u8 = 5;
const KIND_REVERSAL: u8 = 6;
const KIND_ATTEST: u8 = 7;
const KIND_OPENED_EARLY: u8 = 8;
const KIND_CUTOVER: u8 = 9;
const KIND_FREEZE: u8 = 10;
const KIND_SEAL: u8 = 11;
const KIND_NETWORK_CUTOVER: u8 = 12;
const KIND_ENTRY: u8 = 13;
const KIND_RECONCILIATION: u8 = 14;
const KIND_RECONCILIATION_ASKED: u8 = 15;
const KIND_CUTOVER_ANNOUNCED: u8 = 16;

const PART_CARD: u8 = 1;
const PART_BALANCES: u8 = 2;
const PART_LINKED: u8 = 4;
const PART_EXCEPTION: u8 = 8;
const PART_ORIGINAL: u8 = 16;
const PART_TOMBSTONE: u8 = 32;
const PART_CORRECTS: u8 = 64;

/// Why bytes are no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The bytes end before the event does, or the event has bytes left over.
    #[error("the event's length does not fit its content")]
    Length,
    /// Written by another version of the program.
    #[error("unknown event format {0}")]
    Format(u8),
    /// No such kind.
    #[error("unknown kind of event {0}")]
    Kind(u8),
    /// A field is out of its range.
    #[error("the event's {0} is out of range")]
    Field(&'static str),
}

impl From<Short> for EventError {
    fn from(_: Short) -> Self {
        Self::Length
    }
}

pub(crate) type Out = Vec<u8>;

impl Event {
    /// The longest event: a reconciliation with all figures of both sides has 246 bytes.
    pub const MAX_BYTES: usize = 256;

    /// Appends the encoded event.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let kind = match &self.body {
            Body::Genesis(_) => KIND_GENESIS,
            Body::InternalOpened(_) => KIND_INTERNAL,
            Body::AccountPut(_) => KIND_ACCOUNT,
            Body::CardPut(_) => KIND_CARD,
            Body::Transaction(_) => KIND_TRANSACTION,
            Body::Reversal(_) => KIND_REVERSAL,
            Body::Attest { .. } => KIND_ATTEST,
            Body::OpenedEarly { .. } => KIND_OPENED_EARLY,
            Body::Cutover { .. } => KIND_CUTOVER,
            Body::Freeze { .. } => KIND_FREEZE,
            Body::Seal(_) => KIND_SEAL,
            Body::NetworkCutover(_) => KIND_NETWORK_CUTOVER,
            Body::Entry(_) => KIND_ENTRY,
            Body::Reconciliation(_) => KIND_RECONCILIATION,
            Body::ReconciliationAsked(_) => KIND_RECONCILIATION_ASKED,
            Body::CutoverAnnounced { .. } => KIND_CUTOVER_ANNOUNCED,
        };
        let start = put_header(out, kind, self.seq, self.time_us);
        match &self.body {
            Body::Genesis(genesis) => {
                out.put(&genesis.business_date.0.to_le_bytes());
                out.put(&genesis.key_check.to_le_bytes());
            }
            Body::InternalOpened(opened) => rows_codec::put_internal(out, opened),
            Body::AccountPut(account) => rows_codec::put_account(out, account),
            Body::CardPut(card) => rows_codec::put_card(out, card),
            Body::Transaction(transaction) => put_transaction(out, transaction),
            Body::Reversal(reversal) => put_reversal(out, reversal),
            Body::Attest { state_hash } => out.put(&state_hash.to_le_bytes()),
            Body::OpenedEarly { date } | Body::Cutover { date } | Body::Freeze { date } => {
                out.put(&date.0.to_le_bytes());
            }
            Body::Seal(seal) => night_codec::put_seal(out, seal),
            Body::NetworkCutover(cutover) => night_codec::put_network_cutover(out, cutover),
            Body::Entry(entry) => night_codec::put_entry(out, entry),
            Body::Reconciliation(r) => reconcile_codec::put_reconciliation(out, r),
            Body::ReconciliationAsked(asked) => reconcile_codec::put_asked(out, asked),
            Body::CutoverAnnounced { network, closed } => {
                out.put(&network.0.to_le_bytes());
                out.put(&closed.0.to_le_bytes());
            }
        }
        put_length(out, start);
    }

    /// Reads one event off the front; every field is validated.
    ///
    /// # Errors
    /// [`EventError`] says what is wrong.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), EventError> {
        let mut event = Self::BLANK;
        let rest = event.decode_from(bytes)?;
        Ok((event, rest))
    }

    /// As [`Self::decode`], in place, and returns what is behind the event: for whoever
    /// reads one after the other, since moving a transaction costs as much as reading it.
    ///
    /// # Errors
    /// [`EventError`] says what is wrong; this is no event then.
    #[inline]
    pub fn decode_from<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], EventError> {
        let mut from = Reader::new(bytes);
        let [format, kind] = from.array()?;
        if format != FORMAT {
            return Err(EventError::Format(format));
        }
        let len = usize::from(from.u16()?);
        let body_len = len.checked_sub(HEADER).ok_or(EventError::Length)?;
        if len > Self::MAX_BYTES {
            return Err(EventError::Length);
        }
        let seq = from.u64()?;
        let time_us = from.u64()?;
        if seq == 0 {
            return Err(EventError::Field("sequence"));
        }
        let mut body = Reader::new(from.sub(body_len)?);
        self.seq = seq;
        self.time_us = time_us;
        if kind == KIND_TRANSACTION {
            if !matches!(self.body, Body::Transaction(_)) {
                self.body = Body::Transaction(TransactionEvent::BLANK);
            }
            if let Body::Transaction(transaction) = &mut self.body {
                read_transaction(&mut body, transaction)?;
            }
        } else {
            self.body = read_other(kind, &mut body)?;
        }
        body.end()?;
        Ok(bytes.get(len..).unwrap_or_default())
    }

    /// Calls `f` with the rows that the event at the front will change, if it is a
    /// transaction, and returns what is behind it. A mere look ahead: nothing is
    /// validated, and what makes no sense is taken for the end.
    #[inline]
    pub(crate) fn glance(bytes: &[u8], mut f: impl FnMut(Row)) -> Option<&[u8]> {
        let [_, kind, low, high] = *bytes.first_chunk()?;
        let len = usize::from(u16::from_le_bytes([low, high]));
        let (event, rest) = bytes.split_at_checked(len)?;
        let (_, body) = event.split_at_checked(HEADER)?;
        if kind == KIND_TRANSACTION {
            let (fixed, body) = body.split_at_checked(TRANSACTION_FIXED)?;
            let (count, body) = body.split_first()?;
            let (legs, body) = body.split_at_checked(usize::from(*count) * LEG)?;
            for leg in legs.chunks_exact(LEG) {
                f(Row::Account(AccountIx(u32::from_le_bytes(
                    *leg.first_chunk()?,
                ))));
            }
            if fixed.get(TRANSACTION_PARTS_AT)? & PART_CARD != 0 {
                f(Row::Card(CardIx(u32::from_le_bytes(*body.first_chunk()?))));
            }
        }
        Some(rest)
    }
}

/// The body of an event that is no transaction.
fn read_other(kind: u8, body: &mut Reader<'_>) -> Result<Body, EventError> {
    Ok(match kind {
        KIND_GENESIS => Body::Genesis(Genesis {
            business_date: Date(body.u16()?),
            key_check: body.u64()?,
        }),
        KIND_INTERNAL => Body::InternalOpened(rows_codec::read_internal(body)?),
        KIND_ACCOUNT => Body::AccountPut(rows_codec::read_account(body)?),
        KIND_CARD => Body::CardPut(rows_codec::read_card(body)?),
        KIND_REVERSAL => Body::Reversal(read_reversal(body)?),
        KIND_ATTEST => Body::Attest {
            state_hash: body.u64()?,
        },
        KIND_OPENED_EARLY => Body::OpenedEarly {
            date: Date(body.u16()?),
        },
        KIND_CUTOVER => Body::Cutover {
            date: Date(body.u16()?),
        },
        KIND_FREEZE => Body::Freeze {
            date: Date(body.u16()?),
        },
        KIND_SEAL => Body::Seal(night_codec::read_seal(body)?),
        KIND_NETWORK_CUTOVER => Body::NetworkCutover(night_codec::read_network_cutover(body)?),
        KIND_ENTRY => Body::Entry(night_codec::read_entry(body)?),
        KIND_RECONCILIATION => Body::Reconciliation(reconcile_codec::read_reconciliation(body)?),
        KIND_RECONCILIATION_ASKED => Body::ReconciliationAsked(reconcile_codec::read_asked(body)?),
        KIND_CUTOVER_ANNOUNCED => Body::CutoverAnnounced {
            network: NetworkId(body.u16()?),
            closed: Date(body.u16()?),
        },
        other => return Err(EventError::Kind(other)),
    })
}

/// As [`Event::encode`], for a transaction that is not wrapped in an event.
#[inline]
pub(crate) fn encode_transaction(
    out: &mut Vec<u8>,
    seq: Seq,
    time_us: TimeUs,
    transaction: &TransactionEvent,
) {
    let start = put_header(out, KIND_TRANSACTION, seq, time_us);
    put_transaction(out, transaction);
    put_length(out, start);
}

/// The header, with the length left open; gives where the event starts.
#[inline]
fn put_header(out: &mut Vec<u8>, kind: u8, seq: Seq, time_us: TimeUs) -> usize {
    out.reserve(Event::MAX_BYTES);
    let start = out.len();
    let mut header = Filler::<HEADER>::new();
    header.put(&[FORMAT, kind, 0, 0]);
    header.put(&seq.to_le_bytes());
    header.put(&time_us.to_le_bytes());
    out.put(&header.bytes);
    start
}

#[inline]
fn put_length(out: &mut [u8], start: usize) {
    // Fits: MAX_BYTES is far below 64 KiB.
    let len = (out.len() - start) as u16;
    if let Some(to) = out
        .get_mut(start + LENGTH_AT..)
        .and_then(<[u8]>::first_chunk_mut)
    {
        *to = len.to_le_bytes();
    }
}

#[inline]
pub(crate) fn put_identity(to: &mut impl Put, identity: &Identity) {
    to.put(&identity.key.to_le_bytes());
    to.put(&identity.locator.to_le_bytes());
    to.put(&identity.transmitted.to_le_bytes());
    to.put(&identity.rrn.to_le_bytes());
    to.put(&[identity.acquirer, identity.forwarder]);
}

#[inline]
pub(crate) fn read_identity(from: &mut Reader<'_>) -> Result<Identity, EventError> {
    Ok(Identity {
        key: from.u64()?,
        locator: from.u32()?,
        transmitted: read_transmitted(from)?,
        rrn: from.u16()?,
        acquirer: from.u8()?,
        forwarder: from.u8()?,
    })
}

#[inline]
fn put_transaction(to: &mut Out, t: &TransactionEvent) {
    let parts = flag(PART_CARD, t.card.is_some())
        | flag(PART_BALANCES, t.balances.is_some())
        | flag(PART_LINKED, t.linked.is_some())
        | flag(PART_EXCEPTION, t.exception.is_some())
        | flag(PART_CORRECTS, t.corrects.is_some());
    // Gathered first: appending asks for room each time.
    let mut fixed = Filler::<TRANSACTION_FIXED>::new();
    put_identity(&mut fixed, &t.identity);
    fixed.put(&t.terms.to_le_bytes());
    fixed.put(&[t.class as u8, t.operation as u8, t.code.number(), parts]);
    fixed.put(&t.network.0.to_le_bytes());
    fixed.put(&t.business_date.0.to_le_bytes());
    fixed.put(&t.settlement_date.0.to_le_bytes());
    put_amount(&mut fixed, t.amount);
    to.put(&fixed.bytes);
    put_legs(to, &t.legs);
    if let Some(card) = t.card {
        let mut chained = Filler::<8>::new();
        chained.put(&card.0.to_le_bytes());
        chained.put(&t.prev.0.to_le_bytes());
        to.put(&chained.bytes);
    }
    if let Some(balances) = t.balances {
        to.put(&balances.currency.0.to_le_bytes());
        to.put(&balances.ledger_minor.to_le_bytes());
        to.put(&balances.available_minor.to_le_bytes());
    }
    if t.linked.is_some() {
        to.put(&t.linked.0.to_le_bytes());
    }
    if let Some(exception) = t.exception {
        to.put(&[exception as u8]);
    }
    if let Some(counted) = t.corrects {
        to.put(&counted.settlement_date.0.to_le_bytes());
        to.put(&counted.currency.0.to_le_bytes());
        to.put(&counted.minor.to_le_bytes());
    }
}

#[inline]
fn read_transaction(from: &mut Reader<'_>, t: &mut TransactionEvent) -> Result<(), EventError> {
    // Its length is looked at once.
    let mut fixed = Reader::new(from.sub(TRANSACTION_FIXED)?);
    t.identity = read_identity(&mut fixed)?;
    t.terms = fixed.u16()?;
    let [class, operation, code, parts] = fixed.array()?;
    if parts & !(PART_CARD | PART_BALANCES | PART_LINKED | PART_EXCEPTION | PART_CORRECTS) != 0 {
        return Err(EventError::Field("parts"));
    }
    t.class = Class::from_number(class)
        .filter(|class| *class != Class::Reversal)
        .ok_or(EventError::Field("class"))?;
    t.operation = Operation::from_number(operation).ok_or(EventError::Field("operation"))?;
    t.code = ResponseCode::from_number(code).ok_or(EventError::Field("response code"))?;
    t.network = NetworkId(fixed.u16()?);
    t.business_date = Date(fixed.u16()?);
    t.settlement_date = Date(fixed.u16()?);
    t.amount = read_amount(&mut fixed)?;
    read_legs_into(from, &mut t.legs)?;
    t.card = None;
    t.prev = RecordRef::NONE;
    t.balances = None;
    t.linked = RecordRef::NONE;
    t.corrects = None;
    t.exception = None;
    if parts & PART_CARD != 0 {
        t.card = Some(CardIx(from.u32()?));
        t.prev = RecordRef(from.u32()?);
    }
    if parts & PART_BALANCES != 0 {
        t.balances = Some(Balances {
            currency: read_currency(from)?,
            ledger_minor: from.i64()?,
            available_minor: from.i64()?,
        });
    }
    if parts & PART_LINKED != 0 {
        t.linked = read_reference(from)?;
    }
    if parts & PART_EXCEPTION != 0 {
        t.exception = Some(read_exception(from)?);
    }
    if parts & PART_CORRECTS != 0 {
        t.corrects = Some(Counted {
            settlement_date: Date(from.u16()?),
            currency: read_currency(from)?,
            minor: from.i64()?,
        });
    }
    Ok(())
}

fn put_reversal(to: &mut Out, r: &ReversalEvent) {
    let parts = flag(PART_CARD, r.card.is_some())
        | flag(PART_LINKED, r.linked.is_some())
        | flag(PART_EXCEPTION, r.exception.is_some())
        | flag(PART_ORIGINAL, r.original.is_some())
        | flag(PART_TOMBSTONE, r.tombstone.is_some());
    put_identity(to, &r.identity);
    to.put(&[
        r.finding as u8,
        // 255: not known.
        r.operation.map_or(u8::MAX, |operation| operation as u8),
        parts,
    ]);
    to.put(&r.network.0.to_le_bytes());
    to.put(&r.business_date.0.to_le_bytes());
    to.put(&r.settlement_date.0.to_le_bytes());
    put_amount(to, r.amount);
    put_legs(to, &r.legs);
    if let Some(card) = r.card {
        to.put(&card.0.to_le_bytes());
        to.put(&r.prev.0.to_le_bytes());
    }
    if r.linked.is_some() {
        to.put(&r.linked.0.to_le_bytes());
    }
    if let Some(exception) = r.exception {
        to.put(&[exception as u8]);
    }
    if r.original.is_some() {
        to.put(&r.original.0.to_le_bytes());
    }
    if let Some(tombstone) = &r.tombstone {
        to.put(&tombstone.locator.to_le_bytes());
        to.put(&[tombstone.class.map_or(0, |class| class as u8)]);
        to.put(&tombstone.transmitted.to_le_bytes());
        to.put(&tombstone.rrn.to_le_bytes());
        to.put(&[tombstone.acquirer, tombstone.forwarder]);
    }
}

fn read_reversal(from: &mut Reader<'_>) -> Result<ReversalEvent, EventError> {
    let identity = read_identity(from)?;
    let [finding, operation, parts] = from.array()?;
    if parts & !(PART_CARD | PART_LINKED | PART_EXCEPTION | PART_ORIGINAL | PART_TOMBSTONE) != 0 {
        return Err(EventError::Field("parts"));
    }
    let mut r = ReversalEvent {
        identity,
        finding: Finding::from_number(finding).ok_or(EventError::Field("finding"))?,
        operation: match operation {
            u8::MAX => None,
            number => Some(Operation::from_number(number).ok_or(EventError::Field("operation"))?),
        },
        network: NetworkId(from.u16()?),
        business_date: Date(from.u16()?),
        settlement_date: Date(from.u16()?),
        amount: read_amount(from)?,
        legs: read_legs(from)?,
        card: None,
        prev: RecordRef::NONE,
        original: RecordRef::NONE,
        linked: RecordRef::NONE,
        tombstone: None,
        exception: None,
    };
    if parts & PART_CARD != 0 {
        r.card = Some(CardIx(from.u32()?));
        r.prev = RecordRef(from.u32()?);
    }
    if parts & PART_LINKED != 0 {
        r.linked = read_reference(from)?;
    }
    if parts & PART_EXCEPTION != 0 {
        r.exception = Some(read_exception(from)?);
    }
    if parts & PART_ORIGINAL != 0 {
        r.original = read_reference(from)?;
    }
    if parts & PART_TOMBSTONE != 0 {
        r.tombstone = Some(Tombstone {
            locator: from.u32()?,
            class: match from.u8()? {
                0 => None,
                number => Some(
                    Class::from_number(number)
                        .filter(|class| *class != Class::Reversal)
                        .ok_or(EventError::Field("class"))?,
                ),
            },
            transmitted: read_transmitted(from)?,
            rrn: from.u16()?,
            acquirer: from.u8()?,
            forwarder: from.u8()?,
        });
    }
    Ok(r)
}

const fn flag(part: u8, there: bool) -> u8 {
    if there { part } else { 0 }
}

#[inline]
fn put_amount(to: &mut impl Put, amount: Amount) {
    to.put(&amount.minor.to_le_bytes());
    to.put(&amount.currency.0.to_le_bytes());
}

#[inline]
fn read_amount(from: &mut Reader<'_>) -> Result<Amount, EventError> {
    let minor = from.u64()?;
    if minor > MAX_AMOUNT_MINOR {
        return Err(EventError::Field("amount"));
    }
    // As the message had it, which may be no currency at all.
    let currency = Currency(from.u16()?);
    Ok(Amount { minor, currency })
}

#[inline]
pub(crate) fn put_legs(to: &mut Out, legs: &Legs) {
    let legs = legs.as_slice();
    to.put(&[legs.len() as u8]);
    for leg in legs {
        let mut filled = Filler::<LEG>::new();
        filled.put(&leg.account.0.to_le_bytes());
        filled.put(&leg.delta_minor.to_le_bytes());
        to.put(&filled.bytes);
    }
}

pub(crate) fn read_legs(from: &mut Reader<'_>) -> Result<Legs, EventError> {
    let mut legs = Legs::EMPTY;
    read_legs_into(from, &mut legs)?;
    Ok(legs)
}

#[inline]
fn read_legs_into(from: &mut Reader<'_>, legs: &mut Legs) -> Result<(), EventError> {
    let count = from.u8()?;
    if usize::from(count) > MAX_LEGS {
        return Err(EventError::Field("number of legs"));
    }
    legs.restart();
    for _ in 0..count {
        let account = AccountIx(from.u32()?);
        let delta_minor = from.i64()?;
        let again = legs.as_slice().iter().any(|leg| leg.account == account);
        if delta_minor == 0 || again {
            return Err(EventError::Field("legs"));
        }
        legs.push(Leg {
            account,
            delta_minor,
        })
        .map_err(|_| EventError::Field("legs"))?;
    }
    Ok(())
}

pub(crate) fn read_bool(from: &mut Reader<'_>) -> Result<bool, EventError> {
    match from.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(EventError::Field("yes or no")),
    }
}

pub(crate) fn read_currency(from: &mut Reader<'_>) -> Result<Currency, EventError> {
    Some(Currency(from.u16()?))
        .filter(|currency| currency.0 <= 999)
        .ok_or(EventError::Field("currency"))
}

#[inline]
fn read_transmitted(from: &mut Reader<'_>) -> Result<u32, EventError> {
    Some(from.u32()?)
        .filter(|transmitted| crate::record::is_transmitted(*transmitted))
        .ok_or(EventError::Field("transmission time"))
}

fn read_reference(from: &mut Reader<'_>) -> Result<RecordRef, EventError> {
    Some(RecordRef(from.u32()?))
        .filter(|reference| reference.is_some())
        .ok_or(EventError::Field("reference"))
}

fn read_exception(from: &mut Reader<'_>) -> Result<ExceptionKind, EventError> {
    ExceptionKind::from_number(from.u8()?).ok_or(EventError::Field("exception"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glance_names_the_rows_that_the_event_touches() {
        let mut transaction = TransactionEvent::BLANK;
        transaction
            .legs
            .set_pair(AccountIx(7), AccountIx(70_000), 5);
        for card in [None, Some(CardIx(9))] {
            transaction.card = card;
            let event = Event {
                seq: 1,
                time_us: 1,
                body: Body::Transaction(transaction),
            };
            let mut bytes = Vec::new();
            event.encode(&mut bytes);
            let len = bytes.len();
            Event {
                body: Body::Attest { state_hash: 3 },
                ..event
            }
            .encode(&mut bytes);
            let (mut seen, mut touched) = (Vec::new(), Vec::new());
            event.touched(|row| touched.push(row));
            let rest = Event::glance(&bytes, |row| seen.push(row)).unwrap();
            assert_eq!(seen, touched);
            assert_eq!(rest, &bytes[len..]);
            let behind = Event::glance(rest, |row| panic!("{row:?} by an attestation"));
            assert_eq!(behind, Some(&[][..]));
            for cut in 0..len {
                assert_eq!(Event::glance(&bytes[..cut], |_| ()), None);
            }
        }
    }

    #[test]
    fn an_event_read_in_place_leaves_nothing_of_the_one_before() {
        let mut full = TransactionEvent::BLANK;
        full.legs.set_pair(AccountIx(1), AccountIx(2), 5);
        full.card = Some(CardIx(9));
        full.linked = RecordRef(4);
        full.exception = Some(ExceptionKind::from_number(1).unwrap());
        let events = [full, TransactionEvent::BLANK].map(|transaction| Event {
            seq: 1,
            time_us: 1,
            body: Body::Transaction(transaction),
        });
        let mut bytes = Vec::new();
        events.iter().for_each(|event| event.encode(&mut bytes));
        let mut event = Event::BLANK;
        let rest = event.decode_from(&bytes).unwrap();
        assert_eq!(event, events[0]);
        assert_eq!(event.decode_from(rest), Ok(&[][..]));
        assert_eq!(event, events[1]);
    }
}
