//! From bytes to a [`Message`].

use crate::classes;
use crate::dialect::{BitmapForm, Dialect, MtiForm};
use crate::ebcdic;
use crate::error::{DecodeError, DecodeFailure, Expected};
use crate::field_set::FieldSet;
use crate::message::{Message, hex_value};
use crate::mti::Mti;
use crate::rule::{Class, Code, Pad, Prefix, Quick, Rule};
use crate::span::Span;
use crate::{LAST_FIELD, MAX_MESSAGE_BYTES};

impl Dialect {
    /// Reads a message: MTI, bitmaps and every field to the last byte.
    ///
    /// `frame` is a message body, without the frame's length and TPDU (see
    /// [`Framing::cut`](crate::Framing::cut)). Values stay where they are; each
    /// is checked for length, character class and padding.
    ///
    /// # Errors
    /// The first fault, with field, offset and what was expected, and every
    /// field that could be read: all before it, and, where the fault lies in a
    /// value whose length is clear, those after it that are whole. So a message
    /// with a wrong amount can still be answered.
    #[inline]
    pub fn decode<'a>(&self, frame: &'a [u8]) -> Result<Message<'a>, DecodeFailure<'a>> {
        let mut message = Message::default();
        self.decode_into(frame, &mut message)?;
        Ok(message)
    }

    /// As [`decode`](Dialect::decode), in place: a message is some 330 bytes, and moving
    /// what was just written is dear.
    ///
    /// # Errors
    /// As there; `message` has no field then.
    #[inline]
    pub fn decode_into<'a>(
        &self,
        frame: &'a [u8],
        message: &mut Message<'a>,
    ) -> Result<(), DecodeFailure<'a>> {
        message.begin(frame, self.wire_format);
        read(self, frame, message).map_err(|error| fail(error, std::mem::take(message)))
    }
}

#[cold]
fn fail(error: DecodeError, partial: Message<'_>) -> DecodeFailure<'_> {
    let partial = Box::new(partial);
    DecodeFailure { error, partial }
}

/// A fault at an offset, before it is known to which field it belongs.
struct Fault {
    offset: usize,
    expected: Expected,
}

impl Fault {
    fn in_field(self, field: u8) -> DecodeError {
        DecodeError {
            field,
            offset: self.offset,
            expected: self.expected,
        }
    }
}

#[inline(never)]
fn read<'a>(
    dialect: &Dialect,
    frame: &'a [u8],
    message: &mut Message<'a>,
) -> Result<(), DecodeError> {
    let in_field = |field: u8| move |fault: Fault| fault.in_field(field);
    if frame.len() > MAX_MESSAGE_BYTES {
        return Err(in_field(0)(Fault {
            offset: MAX_MESSAGE_BYTES,
            expected: Expected::MessageOfAtMost(MAX_MESSAGE_BYTES),
        }));
    }
    let mut at = 0;
    let mti = read_mti(dialect.mti_form, frame, &mut at).map_err(in_field(0))?;
    message.set_mti(mti);
    let mut words = [0; 3];
    let [first, second, third] = &mut words;
    *first = read_bitmap(dialect.bitmap_form, frame, &mut at).map_err(in_field(1))?;
    if *first >> 63 == 1 {
        *second = read_bitmap(dialect.bitmap_form, frame, &mut at).map_err(in_field(1))?;
        *first &= u64::MAX >> 1;
        if dialect.tertiary_bitmap && *second >> 63 == 1 {
            *third = read_bitmap(dialect.bitmap_form, frame, &mut at).map_err(in_field(65))?;
            *second &= u64::MAX >> 1;
        }
    }
    let fields = FieldSet::from_words(words);
    if quick_fields(dialect, frame, fields, at, message) {
        return Ok(());
    }
    message.clear();
    full_fields(dialect, frame, fields, at, message)
}

/// Reads all fields, checking neighbours of one class together. `false` says
/// no more than that something is wrong somewhere.
#[inline(always)]
fn quick_fields<'a>(
    dialect: &Dialect,
    frame: &'a [u8],
    fields: FieldSet,
    at: usize,
    message: &mut Message<'a>,
) -> bool {
    let [first, second, third] = fields.words();
    let mut walk = Walk {
        dialect,
        frame,
        at,
        run: at,
        kind: Quick::None,
        count: 0,
    };
    if !walk.word(0, first, message) {
        return false;
    }
    if second | third != 0 && !walk.upper_words(second, third, message) {
        return false;
    }
    message.close(fields);
    walk.at == frame.len() && quick_run(walk.kind, frame, walk.run, walk.at)
}

/// A walk over fields that are checked in runs.
struct Walk<'d, 'a> {
    dialect: &'d Dialect,
    frame: &'a [u8],
    /// Where the next field begins.
    at: usize,
    /// Fields from here on are of class `kind`, and still to be checked.
    run: usize,
    kind: Quick,
    /// Fields so far.
    count: u8,
}

impl<'a> Walk<'_, 'a> {
    /// Reads the fields of one bitmap, of which `base` fields come before.
    #[inline(always)]
    fn word(&mut self, base: u8, word: u64, message: &mut Message<'a>) -> bool {
        // Lowest bit first is cheaper to walk than highest bit first.
        let mut rest = word.reverse_bits();
        while rest != 0 {
            let field = base + rest.trailing_zeros() as u8 + 1;
            rest &= rest - 1;
            let rule = self.dialect.rule(field);
            if rule.quick != self.kind {
                if !quick_run(self.kind, self.frame, self.run, self.at) {
                    return false;
                }
                self.kind = rule.quick;
                self.run = self.at;
            }
            // An offset beyond the frame is noticed when its run is checked.
            let span = if rule.prefix == Prefix::Fixed && self.kind != Quick::None {
                let span = rule.span.at(self.at);
                self.at += rule.span.bytes();
                span
            } else if self.kind != Quick::None {
                let Some(span) = quick_variable(rule, self.frame, self.at) else {
                    return false;
                };
                self.at = span.start() + span.bytes();
                span
            } else {
                let Ok(span) = full_field(rule, self.frame, self.at) else {
                    return false;
                };
                self.at = span.start() + span.bytes();
                self.run = self.at;
                span
            };
            self.count = message.push(self.count, field, span);
        }
        true
    }

    #[inline(never)]
    fn upper_words(&mut self, second: u64, third: u64, message: &mut Message<'a>) -> bool {
        self.word(64, second, message) && self.word(128, third, message)
    }
}

/// Kept out of the loop over fields, which needs the registers.
#[inline(never)]
fn quick_run(kind: Quick, frame: &[u8], from: usize, to: usize) -> bool {
    frame
        .get(from..to)
        .is_some_and(|run| classes::quick(kind, run))
}

/// A field with two or three digits of length, in the character set of its
/// value. The digits are checked here, since not every class is as strict.
#[inline(always)]
fn quick_variable(rule: &Rule, frame: &[u8], at: usize) -> Option<Span> {
    let rest = frame.get(at..)?;
    let zero = match rule.prefix {
        Prefix::Ebcdic(_) => 0xf0,
        _ => b'0',
    };
    let (length, prefix) = match (rule.span.prefix(), rest) {
        (2, [tens, ones, ..]) => {
            let (tens, ones) = (tens.wrapping_sub(zero), ones.wrapping_sub(zero));
            if tens > 9 || ones > 9 {
                return None;
            }
            (usize::from(tens) * 10 + usize::from(ones), 2)
        }
        (3, [hundreds, tens, ones, ..]) => {
            let [hundreds, tens, ones] = [*hundreds, *tens, *ones].map(|b| b.wrapping_sub(zero));
            if hundreds > 9 || tens > 9 || ones > 9 {
                return None;
            }
            let length = usize::from(hundreds) * 100 + usize::from(tens) * 10;
            (length + usize::from(ones), 3)
        }
        _ => return None,
    };
    (length <= rule.span.bytes()).then(|| rule.span.of(length).at(at + prefix))
}

/// Reads all fields one by one, up to a fault that hides where the next one begins.
#[cold]
#[inline(never)]
fn full_fields<'a>(
    dialect: &Dialect,
    frame: &'a [u8],
    fields: FieldSet,
    mut at: usize,
    message: &mut Message<'a>,
) -> Result<(), DecodeError> {
    let mut last = 1;
    let mut count = 0;
    let (mut whole, mut wrong) = (FieldSet::EMPTY, FieldSet::EMPTY);
    let mut first = None;
    for field in fields.iter() {
        let rule = dialect.rule(field);
        match full_field(rule, frame, at) {
            Ok(span) => {
                at = span.start() + span.bytes();
                count = message.push(count, field, span);
                whole.insert(field);
            }
            Err(fault) => {
                let fault = fault.in_field(field);
                let end = value_end(rule, frame, at);
                first = first.or(Some(fault));
                wrong.insert(field);
                match end {
                    Some(end) => at = end,
                    None => break,
                }
            }
        }
        last = field;
    }
    message.close(whole);
    message.skip(wrong);
    if let Some(error) = first {
        return Err(error);
    }
    if at == frame.len() {
        return Ok(());
    }
    let fault = Fault {
        offset: at,
        expected: Expected::End {
            trailing: frame.len() - at,
        },
    };
    Err(fault.in_field(last))
}

/// Where a field of wrong content ends, if its length is clear.
fn value_end(rule: &Rule, frame: &[u8], mut at: usize) -> Option<usize> {
    if matches!(rule.code(), Code::Undefined) {
        return None;
    }
    let (_, bytes) = read_length(rule, frame, &mut at).ok()?;
    let end = at.checked_add(bytes)?;
    (end <= frame.len()).then_some(end)
}

/// Takes so many bytes at the offset and moves it on.
#[inline(always)]
fn take<'a>(frame: &'a [u8], at: &mut usize, bytes: usize) -> Result<&'a [u8], Fault> {
    match frame.get(*at..).and_then(|rest| rest.get(..bytes)) {
        Some(taken) => {
            *at += bytes;
            Ok(taken)
        }
        None => Err(short(frame, *at, bytes)),
    }
}

/// As [`take`], with the number of bytes known to the compiler.
#[inline(always)]
fn take_array<const N: usize>(frame: &[u8], at: &mut usize) -> Result<[u8; N], Fault> {
    match frame.get(*at..).and_then(|rest| rest.first_chunk::<N>()) {
        Some(taken) => {
            *at += N;
            Ok(*taken)
        }
        None => Err(short(frame, *at, N)),
    }
}

#[cold]
fn short(frame: &[u8], offset: usize, needed: usize) -> Fault {
    Fault {
        offset,
        expected: Expected::Bytes {
            needed,
            left: frame.len().saturating_sub(offset),
        },
    }
}

#[inline(always)]
fn read_mti(form: MtiForm, frame: &[u8], at: &mut usize) -> Result<Mti, Fault> {
    let offset = *at;
    let mti = match form {
        MtiForm::Ascii => Mti::from_ascii(take_array(frame, at)?),
        MtiForm::Ebcdic => Mti::from_ascii(take_array(frame, at)?.map(ebcdic::to_ascii)),
        MtiForm::Packed => Mti::from_packed(take_array(frame, at)?),
    };
    mti.ok_or(Fault {
        offset,
        expected: Expected::MtiDigits,
    })
}

#[inline(always)]
fn read_bitmap(form: BitmapForm, frame: &[u8], at: &mut usize) -> Result<u64, Fault> {
    let offset = *at;
    match form {
        BitmapForm::Binary => Ok(u64::from_be_bytes(take_array(frame, at)?)),
        BitmapForm::Hex => hex_word(offset, take_array(frame, at)?),
        BitmapForm::HexEbcdic => hex_word(offset, take_array(frame, at)?.map(ebcdic::to_ascii)),
    }
}

fn hex_word(offset: usize, digits: [u8; 16]) -> Result<u64, Fault> {
    let mut word = 0;
    for (place, digit) in digits.into_iter().enumerate() {
        let Some(nibble) = hex_value(digit) else {
            return Err(Fault {
                offset: offset + place,
                expected: Expected::HexDigit,
            });
        };
        word = word << 4 | u64::from(nibble);
    }
    Ok(word)
}

/// Reads a field of any kind.
#[inline(never)]
fn full_field(rule: &Rule, frame: &[u8], mut at: usize) -> Result<Span, Fault> {
    let (units, bytes) = read_length(rule, frame, &mut at)?;
    let value = frame.get(at..).and_then(|rest| rest.get(..bytes));
    let value = value.ok_or_else(|| short(frame, at, bytes))?;
    let padded = check(rule, at, value, units)?;
    Ok(rule.span.of(bytes).at(at).with_pad(padded))
}

#[cold]
fn undefined(offset: usize) -> Fault {
    Fault {
        offset,
        expected: Expected::DefinedField,
    }
}

/// Reads a length prefix: units of the value, and its bytes on the wire.
#[inline(always)]
fn read_length(rule: &Rule, frame: &[u8], at: &mut usize) -> Result<(usize, usize), Fault> {
    let offset = *at;
    let length = match rule.prefix {
        Prefix::Fixed => return Ok((usize::from(rule.max), rule.span.bytes())),
        Prefix::Ascii(2) => {
            let [tens, ones] = take_array(frame, at)?;
            let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
            if tens > 9 || ones > 9 {
                return Err(bad_length(offset));
            }
            usize::from(tens) * 10 + usize::from(ones)
        }
        Prefix::Ascii(digits) => length_digits(frame, at, digits, b'0')?,
        Prefix::Ebcdic(digits) => length_digits(frame, at, digits, 0xf0)?,
        Prefix::Packed(bytes) => {
            let mut length = 0;
            for &byte in take(frame, at, usize::from(bytes))? {
                let (high, low) = (byte >> 4, byte & 15);
                if high > 9 || low > 9 {
                    return Err(bad_length(offset));
                }
                length = length * 100 + usize::from(high) * 10 + usize::from(low);
            }
            length
        }
        Prefix::Binary(bytes) => take(frame, at, usize::from(bytes))?
            .iter()
            .fold(0, |length, &byte| length << 8 | usize::from(byte)),
    };
    let max = usize::from(rule.max);
    if rule.counts_bytes {
        return length_in_bytes(rule, frame, *at, offset, length);
    }
    if length > max {
        return Err(too_long(offset, max, length));
    }
    Ok((length, Rule::wire_bytes(rule.code(), length)))
}

#[inline(always)]
fn length_digits(frame: &[u8], at: &mut usize, digits: u8, zero: u8) -> Result<usize, Fault> {
    let offset = *at;
    let mut length = 0;
    for &digit in take(frame, at, usize::from(digits))? {
        let digit = digit.wrapping_sub(zero);
        if digit > 9 {
            return Err(bad_length(offset));
        }
        length = length * 10 + usize::from(digit);
    }
    Ok(length)
}

#[cold]
fn bad_length(offset: usize) -> Fault {
    Fault {
        offset,
        expected: Expected::LengthDigits,
    }
}

#[cold]
fn too_long(offset: usize, max: usize, got: usize) -> Fault {
    Fault {
        offset,
        expected: Expected::Length { max, got },
    }
}

/// A prefix that counts bytes on the wire: how many units are in them.
fn length_in_bytes(
    rule: &Rule,
    frame: &[u8],
    start: usize,
    offset: usize,
    bytes: usize,
) -> Result<(usize, usize), Fault> {
    let max = Rule::wire_bytes(rule.code(), usize::from(rule.max));
    if bytes > max {
        return Err(too_long(offset, max, bytes));
    }
    let units = match rule.code() {
        Code::Hex | Code::HexEbcdic => {
            if bytes % 2 == 1 {
                return Err(Fault {
                    offset,
                    expected: Expected::WholeUnits,
                });
            }
            bytes / 2
        }
        // A pad nibble behind shows itself; one in front is a leading zero
        // unless the field would be too long with it.
        Code::PackedRight => {
            let end = start.saturating_add(bytes);
            let last = end.checked_sub(1).and_then(|last| frame.get(last));
            let padded = bytes > 0 && last.is_some_and(|byte| byte & 15 == 15);
            bytes * 2 - usize::from(padded)
        }
        Code::PackedLeft => (bytes * 2).min(usize::from(rule.max)),
        _ => bytes,
    };
    if units > usize::from(rule.max) {
        return Err(too_long(offset, usize::from(rule.max), units));
    }
    Ok((units, bytes))
}

/// Checks a value in full; whether it has a pad nibble.
fn check(rule: &Rule, start: usize, value: &[u8], units: usize) -> Result<bool, Fault> {
    match rule.code() {
        Code::Ascii if classes::ascii(rule.class, value) => Ok(false),
        Code::Ascii => Err(bad_ascii(rule, start, value)),
        Code::Ebcdic => check_ebcdic(rule.class, start, value).map(|()| false),
        Code::PackedLeft | Code::PackedRight => check_packed(rule, start, value, units),
        Code::Hex => check_hex(start, value, |byte| byte).map(|()| false),
        Code::HexEbcdic => check_hex(start, value, ebcdic::to_ascii).map(|()| false),
        Code::SignedAscii | Code::SignedEbcdic | Code::SignedPacked => {
            check_signed(rule, start, value, units)
        }
        Code::Bytes => Ok(false),
        Code::Undefined => Err(undefined(start)),
    }
}

fn check_ebcdic(class: Class, start: usize, value: &[u8]) -> Result<(), Fault> {
    if class == Class::N && classes::ebcdic_digits(value) {
        return Ok(());
    }
    match value.iter().position(|&byte| {
        let ascii = ebcdic::to_ascii(byte);
        ascii == 0 || !class.holds(ascii)
    }) {
        None => Ok(()),
        Some(place) => Err(Fault {
            offset: start + place,
            expected: Expected::Class(class),
        }),
    }
}

/// Packed digits: nibbles of the class, and the pad nibble, if any, 0 or F.
fn check_packed(rule: &Rule, start: usize, value: &[u8], units: usize) -> Result<bool, Fault> {
    let padded = units % 2 == 1;
    let class = rule.class;
    if !padded && class == Class::N && classes::packed_digits(value) {
        return Ok(false);
    }
    let last = value.len().saturating_sub(1);
    for (place, &byte) in value.iter().enumerate() {
        let pad_high = padded && rule.code() != Code::PackedRight && place == 0;
        let pad_low = padded && rule.code() == Code::PackedRight && place == last;
        for (nibble, is_pad) in [(byte >> 4, pad_high), (byte & 15, pad_low)] {
            let expected = match (is_pad, class) {
                (true, _) if nibble == 0 || (nibble == 15 && rule.pad == Pad::RightF) => continue,
                (true, _) => Expected::PadNibble,
                (false, Class::Z) => continue,
                (false, _) if nibble <= 9 => continue,
                (false, _) => Expected::Class(class),
            };
            return Err(Fault {
                offset: start + place,
                expected,
            });
        }
    }
    Ok(padded)
}

fn check_hex(start: usize, value: &[u8], ascii: impl Fn(u8) -> u8) -> Result<(), Fault> {
    match value
        .iter()
        .position(|&byte| hex_value(ascii(byte)).is_none())
    {
        None => Ok(()),
        Some(place) => Err(Fault {
            offset: start + place,
            expected: Expected::HexDigit,
        }),
    }
}

fn check_signed(rule: &Rule, start: usize, value: &[u8], units: usize) -> Result<bool, Fault> {
    let (sign, digits) = match value.split_first() {
        Some((&sign, digits)) => (sign, digits),
        None => (0, value),
    };
    let sign = if rule.code() == Code::SignedEbcdic {
        ebcdic::to_ascii(sign)
    } else {
        sign
    };
    if !matches!(sign, b'C' | b'D') {
        return Err(Fault {
            offset: start,
            expected: Expected::Sign,
        });
    }
    match rule.code() {
        Code::SignedPacked => check_packed(rule, start + 1, digits, units),
        Code::SignedEbcdic => check_ebcdic(rule.class, start + 1, digits).map(|()| false),
        _ if classes::digits(digits) => Ok(false),
        _ => Err(bad_ascii(rule, start + 1, digits)),
    }
}

#[cold]
fn bad_ascii(rule: &Rule, start: usize, value: &[u8]) -> Fault {
    let place = value.iter().position(|&byte| !rule.class.holds(byte));
    Fault {
        offset: start + place.unwrap_or(0),
        expected: Expected::Class(rule.class),
    }
}

const _: () = assert!(LAST_FIELD == 192 && MAX_MESSAGE_BYTES == u16::MAX as usize);
