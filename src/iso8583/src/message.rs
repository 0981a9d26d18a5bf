//! A decoded message: spans into the frame that it was read from.

use std::fmt;

use crate::error::FieldError;
use crate::field_set::{FieldSet, Fields};
use crate::mti::Mti;
use crate::rule::Code;
use crate::span::Span;
use crate::{classes, ebcdic};

/// Fields that a message holds without a list of its own on the heap. The
/// busiest ordinary requests have about twenty; only one with more allocates, once.
const INLINE_FIELDS: usize = 24;

/// Which way an amount of class x+n moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// C.
    Credit,
    /// D.
    Debit,
}

impl Side {
    /// The letter on the wire.
    pub const fn letter(self) -> u8 {
        match self {
            Side::Credit => b'C',
            Side::Debit => b'D',
        }
    }
}

/// Room for values that must be converted to be read. Reuse one for many
/// fields and messages: it grows to the longest value and stays there.
#[derive(Clone, Default)]
pub struct Scratch {
    buffer: Vec<u8>,
}

impl Scratch {
    /// An empty scratch; allocates at its first use only.
    pub const fn new() -> Scratch {
        Scratch { buffer: Vec::new() }
    }
}

impl fmt::Debug for Scratch {
    /// Says nothing of the content, which may be a card number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scratch")
    }
}

/// A message read from a frame, borrowing it. Values are copied nowhere; every
/// one has been checked against its field's rule.
#[derive(Clone)]
pub struct Message<'a> {
    pub(crate) frame: &'a [u8],
    present: FieldSet,
    /// In the frame, but of wrong content; empty but after a failed decode.
    skipped: FieldSet,
    dialect: u32,
    mti: Mti,
    /// By field up to 64: which span is its own, counted from 1; 0 for an
    /// absent one.
    places: [u8; 65],
    spans: [Span; INLINE_FIELDS],
    more: Vec<Span>,
}

/// Where the fields of a message are, without the message: whoever keeps its bytes
/// need not decode them again. About 350 bytes; made anew in place, see
/// [`Message::layout`].
#[derive(Clone, Debug)]
pub struct Layout(Message<'static>);

impl Default for Layout {
    /// Of no message: it shows no field.
    fn default() -> Self {
        Self(Message::default())
    }
}

impl Default for Message<'_> {
    /// None: it has no field. For [`Dialect::decode_into`](crate::Dialect::decode_into).
    #[inline(always)]
    fn default() -> Self {
        Message {
            frame: &[],
            present: FieldSet::EMPTY,
            skipped: FieldSet::EMPTY,
            dialect: 0,
            mti: Mti::UNKNOWN,
            places: [0; 65],
            spans: [Span::NONE; INLINE_FIELDS],
            more: Vec::new(),
        }
    }
}

impl Layout {
    /// The message again, over a copy of the bytes that it was decoded from. Over
    /// other bytes it shows nonsense, or fields as absent or empty; it does not fail.
    #[must_use]
    #[inline]
    pub fn of<'a>(&self, frame: &'a [u8]) -> Message<'a> {
        Message {
            frame,
            ..self.0.clone()
        }
    }
}

impl<'a> Message<'a> {
    /// The bytes that it was decoded from.
    #[must_use]
    #[inline]
    pub fn frame(&self) -> &'a [u8] {
        self.frame
    }

    /// Writes down where its fields are.
    #[inline]
    pub fn layout(&self, to: &mut Layout) {
        let Self {
            frame: _,
            present,
            skipped,
            dialect,
            mti,
            places,
            spans,
            more,
        } = self;
        let Layout(message) = to;
        (message.present, message.skipped) = (*present, *skipped);
        (message.dialect, message.mti) = (*dialect, *mti);
        message.places = *places;
        message.spans = *spans;
        message.more.clone_from(more);
    }

    /// Makes it one of this frame, without a field so far.
    #[inline(always)]
    pub(crate) fn begin(&mut self, frame: &'a [u8], dialect: u32) {
        self.frame = frame;
        self.dialect = dialect;
        self.mti = Mti::UNKNOWN;
        if !self.on_wire().is_empty() {
            self.clear();
        }
    }

    #[inline(always)]
    pub(crate) fn set_mti(&mut self, mti: Mti) {
        self.mti = mti;
    }

    /// Adds the span of the next field, after `count` others; returns how many
    /// there are now. Fields come in ascending order, and
    /// [`close`](Message::close) follows the last.
    #[inline(always)]
    pub(crate) fn push(&mut self, count: u8, field: u8, span: Span) -> u8 {
        match self.spans.get_mut(usize::from(count)) {
            Some(slot) => *slot = span,
            None => self.more.push(span),
        }
        if let Some(place) = self.places.get_mut(usize::from(field)) {
            *place = count + 1;
        }
        count + 1
    }

    /// Says which fields have been pushed.
    #[inline(always)]
    pub(crate) fn close(&mut self, present: FieldSet) {
        self.present = present;
    }

    /// Says which fields stand in the frame and were not pushed, since their
    /// content is wrong.
    pub(crate) fn skip(&mut self, skipped: FieldSet) {
        self.skipped = skipped;
    }

    /// All fields that stand in the frame, wrong ones included.
    #[inline(always)]
    pub(crate) fn on_wire(&self) -> FieldSet {
        self.present.or(&self.skipped)
    }

    /// Forgets all fields.
    pub(crate) fn clear(&mut self) {
        self.present = FieldSet::EMPTY;
        self.skipped = FieldSet::EMPTY;
        self.places = [0; 65];
        self.more.clear();
    }

    /// Which wire format the message was read with.
    #[inline(always)]
    pub(crate) fn dialect(&self) -> u32 {
        self.dialect
    }

    #[inline(always)]
    pub(crate) fn span(&self, field: u8) -> Option<Span> {
        let place = match self.places.get(usize::from(field)) {
            Some(&place) => usize::from(place).checked_sub(1)?,
            None if self.present.has(field) => self.present.below(field).len(),
            None => return None,
        };
        match self.spans.get(place) {
            Some(span) => Some(*span),
            None => self.more.get(place - INLINE_FIELDS).copied(),
        }
    }

    #[inline(always)]
    pub(crate) fn value(&self, span: Span) -> &'a [u8] {
        let start = span.start();
        self.frame
            .get(start..start + span.bytes())
            .unwrap_or_default()
    }

    /// The frame from the field's length prefix on, and how much of it is
    /// prefix and value.
    #[inline(always)]
    pub(crate) fn wire(&self, span: Span) -> (&'a [u8], usize) {
        let rest = self.frame.get(span.start() - span.prefix()..);
        (rest.unwrap_or_default(), span.prefix() + span.bytes())
    }

    /// The message type indicator.
    #[inline]
    pub fn mti(&self) -> Mti {
        self.mti
    }

    /// Whether the message has the field. Bitmaps (1, 65) are not fields.
    #[inline]
    pub fn has(&self, field: u8) -> bool {
        self.present.has(field)
    }

    /// The fields that the message has, ascending.
    pub fn fields(&self) -> Fields {
        self.present.iter()
    }

    /// The fields that the message has, as a set.
    #[inline]
    pub fn present(&self) -> FieldSet {
        self.present
    }

    /// A value as it stands on the wire, without its length prefix.
    #[inline]
    pub fn raw(&self, field: u8) -> Option<&'a [u8]> {
        self.span(field).map(|span| self.value(span))
    }

    /// Where a field's value begins in the frame, behind its length prefix.
    #[must_use]
    pub fn offset(&self, field: u8) -> Option<usize> {
        self.span(field).map(|span| span.start())
    }

    /// A value of digits as a number, whatever its encoding; `None` if the
    /// field is absent.
    ///
    /// # Errors
    /// Anything but digits, nothing at all, an amount with a sign (see
    /// [`signed`](Message::signed)), or a number above 64 bits. Never zero in
    /// place of what cannot be read.
    #[inline]
    pub fn number(&self, field: u8) -> Result<Option<u64>, FieldError> {
        let Some(span) = self.span(field) else {
            return Ok(None);
        };
        let value = self.value(span);
        match span.code() {
            Code::Ascii => match self.short_decimal(span, b'0') {
                Some(number) => Ok(number),
                None => decimal(field, value, b'0'),
            },
            Code::Ebcdic => decimal(field, value, 0xf0),
            Code::PackedLeft => packed_decimal(field, value, false),
            Code::PackedRight => packed_decimal(field, value, span.padded()),
            _ => Err(FieldError::NotNumeric(field)),
        }
        .map(Some)
    }

    /// Up to sixteen digits, as most numbers are: eight at a time, with whatever stands
    /// before them in the frame masked out. `None` says that it takes a closer look.
    #[inline(always)]
    fn short_decimal(&self, span: Span, zero: u8) -> Option<u64> {
        let (bytes, end) = (span.bytes(), span.start() + span.bytes());
        let ends = self.frame.get(..end)?;
        let (before, last) = ends.split_last_chunk::<8>()?;
        match bytes {
            1..=8 => last_digits(*last, bytes, zero),
            9..=16 => {
                let first = last_digits(*before.last_chunk::<8>()?, bytes - 8, zero)?;
                Some(first * 100_000_000 + last_digits(*last, 8, zero)?)
            }
            _ => None,
        }
    }

    /// An amount of class x+n: its side and its magnitude; `None` if the field
    /// is absent.
    ///
    /// # Errors
    /// The field is of another class, or above 64 bits.
    pub fn signed(&self, field: u8) -> Result<Option<(Side, u64)>, FieldError> {
        let Some(span) = self.span(field) else {
            return Ok(None);
        };
        let Some((&sign, digits)) = self.value(span).split_first() else {
            return Err(FieldError::NotSigned(field));
        };
        let (sign, magnitude) = match span.code() {
            Code::SignedAscii => (sign, decimal(field, digits, b'0')?),
            Code::SignedEbcdic => (ebcdic::to_ascii(sign), decimal(field, digits, 0xf0)?),
            Code::SignedPacked => (sign, packed_decimal(field, digits, false)?),
            _ => return Err(FieldError::NotSigned(field)),
        };
        match sign {
            b'C' => Ok(Some((Side::Credit, magnitude))),
            b'D' => Ok(Some((Side::Debit, magnitude))),
            _ => Err(FieldError::NotSigned(field)),
        }
    }

    /// A value as ASCII digits and characters whatever its encoding, padding
    /// of the field's full length included; the bytes of a binary field. `None`
    /// if the field is absent.
    ///
    /// Borrows from the frame where nothing needs converting, else from the
    /// scratch. The separator of packed track data comes as `=`.
    ///
    /// # Errors
    /// None today: what has been decoded can be shown. Callers must not rely
    /// on that, since a dialect may bring an encoding that can fail.
    #[inline]
    pub fn text<'b>(
        &self,
        field: u8,
        scratch: &'b mut Scratch,
    ) -> Result<Option<&'b [u8]>, FieldError>
    where
        'a: 'b,
    {
        let Some(span) = self.span(field) else {
            return Ok(None);
        };
        let value = self.value(span);
        match span.code() {
            Code::Ascii | Code::Bytes | Code::SignedAscii => Ok(Some(value)),
            _ => {
                scratch.buffer.clear();
                convert(span, value, &mut scratch.buffer);
                Ok(Some(&scratch.buffer))
            }
        }
    }
}

impl fmt::Debug for Message<'_> {
    /// MTI and field numbers; never a value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("mti", &self.mti)
            .field("fields", &self.fields().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Appends a value that is not ASCII on the wire.
fn convert(span: Span, value: &[u8], out: &mut Vec<u8>) {
    match span.code() {
        Code::Ascii | Code::Bytes | Code::SignedAscii | Code::Undefined => {
            out.extend_from_slice(value);
        }
        Code::Ebcdic | Code::SignedEbcdic => out.extend(value.iter().map(|&b| ebcdic::to_ascii(b))),
        Code::PackedLeft => unpack(value, span.padded(), false, out),
        Code::PackedRight => unpack(value, false, span.padded(), out),
        Code::SignedPacked => {
            if let Some((&sign, digits)) = value.split_first() {
                out.push(sign);
                unpack(digits, span.padded(), false, out);
            }
        }
        Code::Hex => unhex(value, |byte| byte, out),
        Code::HexEbcdic => unhex(value, ebcdic::to_ascii, out),
    }
}

/// Nibbles as the characters 0x30 to 0x3f: digits, and `=` for the D of a
/// track.
fn unpack(value: &[u8], pad_first: bool, pad_last: bool, out: &mut Vec<u8>) {
    let begin = out.len();
    out.extend(
        value
            .iter()
            .flat_map(|&byte| [b'0' + (byte >> 4), b'0' + (byte & 15)]),
    );
    if pad_last {
        out.pop();
    }
    if pad_first && out.len() > begin {
        out.remove(begin);
    }
}

fn unhex(value: &[u8], ascii: impl Fn(u8) -> u8, out: &mut Vec<u8>) {
    let (pairs, _) = value.as_chunks::<2>();
    out.extend(pairs.iter().map(|&[high, low]| {
        let nibble = |byte: u8| hex_value(ascii(byte)).unwrap_or(0);
        nibble(high) << 4 | nibble(low)
    }));
}

/// The value of a hexadecimal digit of either case.
#[inline(always)]
pub(crate) const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Digits of a character set whose zero is `zero`.
#[inline(always)]
fn decimal(field: u8, digits: &[u8], zero: u8) -> Result<u64, FieldError> {
    let (eights, rest) = digits.as_chunks::<8>();
    if digits.is_empty() {
        return Err(FieldError::NotNumeric(field));
    }
    // Nineteen digits always fit, so only longer values need to look.
    let checked = digits.len() > 19;
    let mut number: u64 = 0;
    for eight in eights {
        let value = eight_digits(*eight, zero).ok_or(FieldError::NotNumeric(field))?;
        number =
            push_digits(number, 100_000_000, value, checked).ok_or(FieldError::TooLarge(field))?;
    }
    for digit in rest {
        let digit = digit.wrapping_sub(zero);
        if digit > 9 {
            return Err(FieldError::NotNumeric(field));
        }
        number = push_digits(number, 10, u64::from(digit), checked)
            .ok_or(FieldError::TooLarge(field))?;
    }
    Ok(number)
}

/// Eight digits at once: pairs, then fours, then all of them.
#[inline(always)]
fn eight_digits(digits: [u8; 8], zero: u8) -> Option<u64> {
    last_digits(digits, 8, zero)
}

/// The last of eight digits, one to eight of them; the other bytes may be anything.
#[inline(always)]
fn last_digits(digits: [u8; 8], count: usize, zero: u8) -> Option<u64> {
    let zeros = 0x0101_0101_0101_0101 * u64::from(zero);
    // The first of the bytes are the lowest of the word.
    let counted = u64::MAX << (8 * (8 - count));
    let values = (u64::from_le_bytes(digits) ^ zeros) & counted;
    if !classes::digit_values(values) {
        return None;
    }
    let pairs = (values * 10 + (values >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

#[inline(always)]
fn push_digits(number: u64, shift: u64, digits: u64, checked: bool) -> Option<u64> {
    if checked {
        number.checked_mul(shift)?.checked_add(digits)
    } else {
        Some(number * shift + digits)
    }
}

/// Packed digits; the pad nibble in front is zero by rule or dropped.
#[inline(always)]
fn packed_decimal(field: u8, bytes: &[u8], pad_last: bool) -> Result<u64, FieldError> {
    if bytes.is_empty() {
        return Err(FieldError::NotNumeric(field));
    }
    let mut number: u64 = 0;
    let checked = bytes.len() > 9;
    let last = bytes.len() - 1;
    for (at, &byte) in bytes.iter().enumerate() {
        let (high, low) = (byte >> 4, byte & 15);
        let drop_low = pad_last && at == last;
        if high > 9 || (low > 9 && !drop_low) {
            return Err(FieldError::NotNumeric(field));
        }
        let digits = u64::from(if drop_low { high } else { high * 10 + low });
        let shift = if drop_low { 10 } else { 100 };
        number = push_digits(number, shift, digits, checked).ok_or(FieldError::TooLarge(field))?;
    }
    Ok(number)
}
