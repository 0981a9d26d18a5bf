//! Writing messages.

use crate::dialect::{BitmapForm, Dialect, MtiForm};
use crate::error::{BuildError, BuildReason};
use crate::field_set::FieldSet;
use crate::message::{Message, Side};
use crate::mti::Mti;
use crate::rule::{Class, Code, Pad, Prefix, Quick, Rule};
use crate::{LAST_FIELD, MAX_MESSAGE_BYTES};
use crate::{classes, ebcdic};

impl Dialect {
    /// Begins a message at the end of a buffer. Fields follow in ascending
    /// order; [`finish`](Builder::finish) completes it. A builder that fails,
    /// or is dropped unfinished, leaves the buffer as it was.
    #[inline]
    pub fn builder<'d, 'o>(&'d self, out: &'o mut Vec<u8>, mti: Mti) -> Builder<'d, 'o> {
        let start = out.len();
        match self.mti_form {
            MtiForm::Ascii => out.extend_from_slice(&mti.ascii()),
            MtiForm::Ebcdic => out.extend_from_slice(&mti.ascii().map(ebcdic::from_ascii)),
            MtiForm::Packed => out.extend_from_slice(&mti.packed()),
        }
        let bitmaps = out.len();
        match self.bitmap_form {
            BitmapForm::Binary => out.extend_from_slice(&[0; 8]),
            BitmapForm::Hex | BitmapForm::HexEbcdic => out.extend_from_slice(&[0; 16]),
        }
        Builder {
            dialect: self,
            out,
            start,
            bitmaps,
            fields: FieldSet::EMPTY,
            last: 1,
            bitmap_count: 1,
            error: None,
            finished: false,
        }
    }
}

/// A message being written. Each method adds one field and returns the builder;
/// the first error is kept, and [`finish`](Builder::finish) returns it.
#[derive(Debug)]
pub struct Builder<'d, 'o> {
    dialect: &'d Dialect,
    out: &'o mut Vec<u8>,
    /// Where the message began.
    start: usize,
    /// Where its bitmaps begin.
    bitmaps: usize,
    fields: FieldSet,
    last: u8,
    /// Bitmaps that the buffer has room for.
    bitmap_count: u8,
    error: Option<BuildError>,
    finished: bool,
}

impl Builder<'_, '_> {
    /// Adds a field exactly as another message of the same dialect has it. If
    /// that message does not have it, nothing is added.
    #[inline]
    pub fn echo(&mut self, from: &Message<'_>, field: u8) -> &mut Self {
        if let Some(span) = from.span(field) {
            if from.dialect() != self.dialect.wire_format {
                return self.fail(field, BuildReason::OtherDialect);
            }
            if self.admit(field) {
                let (rest, bytes) = from.wire(span);
                put_start(rest, bytes, self.out);
            }
        }
        self
    }

    /// Adds, as [`echo`](Builder::echo) does, every field of the set that the
    /// other message has, that comes after the last one written, and that
    /// comes before `end`. Neighbours are copied together.
    ///
    /// So one constant set of what a response returns can be laid around what
    /// is new in it: `echo_until(&request, &ECHO, 38)`, `text(38, …)`,
    /// `echo_rest(&request, &ECHO)`.
    pub fn echo_until(&mut self, from: &Message<'_>, fields: &FieldSet, end: u8) -> &mut Self {
        if from.dialect() != self.dialect.wire_format {
            let asked = fields.and(&from.present());
            return match asked.iter().next() {
                Some(field) => self.fail(field, BuildReason::OtherDialect),
                None => self,
            };
        }
        let ([a, b, c], [x, y, z]) = (fields.words(), from.present().words());
        let [i, j, k] = from.on_wire().words();
        self.echo_word(from, 0, a & x, i, end);
        if b & y | c & z != 0 {
            self.echo_word(from, 64, b & y, j, end);
            self.echo_word(from, 128, c & z, k, end);
        }
        self
    }

    /// Adds every field of the set that the other message has and that comes
    /// after the last one written; see [`echo_until`](Builder::echo_until).
    pub fn echo_rest(&mut self, from: &Message<'_>, fields: &FieldSet) -> &mut Self {
        self.echo_until(from, fields, LAST_FIELD + 1)
    }

    /// Echoes fields of one bitmap, in as few copies as they stand together:
    /// whatever else is on the wire between two of them parts them.
    #[inline(always)]
    fn echo_word(&mut self, from: &Message<'_>, base: u8, both: u64, on_wire: u64, end: u8) {
        let after = u64::MAX.unbounded_shr(u32::from(self.last.saturating_sub(base)));
        let before = u64::MAX.unbounded_shr(u32::from(end.saturating_sub(base + 1)));
        let mut wanted = both & after & !before;
        if wanted == 0 || self.error.is_some() {
            return;
        }
        let others = on_wire & !wanted;
        self.make_room(base / 64 + 1);
        self.fields.insert_word(base, wanted);
        self.last = base + 64 - wanted.trailing_zeros() as u8;
        while wanted != 0 {
            let first = wanted.leading_zeros();
            let next_other = others & u64::MAX >> first;
            let run = wanted & !u64::MAX.unbounded_shr(next_other.leading_zeros());
            wanted &= !run;
            let last = 63 - run.trailing_zeros();
            let first = from.span(base + first as u8 + 1);
            let last = from.span(base + last as u8 + 1);
            if let (Some(first), Some(last)) = (first, last) {
                let (rest, _) = from.wire(first);
                let bytes = last.start() + last.bytes() + first.prefix() - first.start();
                put_start(rest, bytes, self.out);
            }
        }
    }

    /// Adds a field from ASCII digits or characters, converted to the field's
    /// encoding and padded to its length. Track data may have `D` or `=` as
    /// its separator.
    #[inline(always)]
    pub fn text(&mut self, field: u8, text: &[u8]) -> &mut Self {
        let rule = self.dialect.rule(field);
        // A value that needs neither padding nor converting, as most do that a
        // response adds; made where its length is known.
        let whole = rule.prefix == Prefix::Fixed && text.len() == usize::from(rule.max);
        let good = match rule.quick {
            Quick::Digits => classes::digits(text),
            Quick::Alphanumeric => classes::alphanumeric(text),
            _ => false,
        };
        if !whole || !good {
            return self.any_text(field, text);
        }
        if self.admit(field) {
            self.out.extend_from_slice(text);
        }
        self
    }

    #[inline(never)]
    fn any_text(&mut self, field: u8, text: &[u8]) -> &mut Self {
        let rule = self.dialect.rule(field);
        match check_text(rule, text) {
            Ok(fill) => {
                if self.admit(field) {
                    put_text(rule, fill, text, self.out);
                }
                self
            }
            Err(reason) => self.fail(field, reason),
        }
    }

    /// Adds a field from a number: zeros in front up to the field's length,
    /// none if its length varies.
    pub fn number(&mut self, field: u8, number: u64) -> &mut Self {
        let mut digits = [0; 20];
        let digits = decimal(number, &mut digits);
        self.any_text(field, digits)
    }

    /// Adds an amount of class x+n.
    pub fn signed(&mut self, field: u8, side: Side, magnitude: u64) -> &mut Self {
        let rule = self.dialect.rule(field);
        let mut digits = [0; 20];
        let digits = decimal(magnitude, &mut digits);
        if !matches!(
            rule.code(),
            Code::SignedAscii | Code::SignedEbcdic | Code::SignedPacked
        ) {
            return self.fail(field, kind_or_undefined(rule));
        }
        match check_length(rule, digits.len(), true) {
            Ok(fill) => {
                if self.admit(field) {
                    put_signed(rule, fill, side.letter(), digits, self.out);
                }
                self
            }
            Err(reason) => self.fail(field, reason),
        }
    }

    /// Adds a binary field from its bytes.
    pub fn bytes(&mut self, field: u8, bytes: &[u8]) -> &mut Self {
        let rule = self.dialect.rule(field);
        if !matches!(rule.code(), Code::Bytes | Code::Hex | Code::HexEbcdic) {
            return self.fail(field, kind_or_undefined(rule));
        }
        match check_length(rule, bytes.len(), false) {
            Ok(_) => {
                if self.admit(field) {
                    put_length(rule, bytes.len(), self.out);
                    put_bytes(rule.code(), bytes, self.out);
                }
                self
            }
            Err(reason) => self.fail(field, reason),
        }
    }

    /// Completes the message: its bitmaps. Returns its length in bytes.
    ///
    /// # Errors
    /// The first field that could not be written. The buffer is then as it was
    /// before the message was begun.
    #[inline]
    pub fn finish(&mut self) -> Result<usize, BuildError> {
        if self.error.is_none() && self.out.len() - self.start > MAX_MESSAGE_BYTES {
            self.fail(self.last, BuildReason::MessageTooLong);
        }
        if let Some(error) = self.error {
            return Err(error);
        }
        let [mut first, mut second, third] = self.fields.words();
        if self.bitmap_count > 2 {
            second |= 1 << 63;
        }
        if self.bitmap_count > 1 {
            first |= 1 << 63;
        }
        let words = [first, second, third];
        let words = words
            .get(..usize::from(self.bitmap_count))
            .unwrap_or(&words);
        let room = self.out.get_mut(self.bitmaps..).unwrap_or_default();
        match self.dialect.bitmap_form {
            BitmapForm::Binary => {
                let (places, _) = room.as_chunks_mut::<8>();
                for (place, word) in places.iter_mut().zip(words) {
                    *place = word.to_be_bytes();
                }
            }
            BitmapForm::Hex => put_hex_words(words, room, |digit| digit),
            BitmapForm::HexEbcdic => put_hex_words(words, room, ebcdic::from_ascii),
        }
        self.finished = true;
        Ok(self.out.len() - self.start)
    }

    /// Whether the field may come next; makes room for its bitmap.
    #[inline(always)]
    fn admit(&mut self, field: u8) -> bool {
        if self.error.is_some() {
            return false;
        }
        if field <= self.last {
            self.fail(field, BuildReason::Order);
            return false;
        }
        self.make_room((field - 1) / 64 + 1);
        self.last = field;
        self.fields.insert(field);
        true
    }

    #[inline(always)]
    fn make_room(&mut self, bitmaps: u8) {
        if bitmaps > self.bitmap_count {
            self.widen(bitmaps);
        }
    }

    /// Moves the fields written so far to make room for more bitmaps.
    #[cold]
    fn widen(&mut self, bitmaps: u8) {
        let each = match self.dialect.bitmap_form {
            BitmapForm::Binary => 8,
            BitmapForm::Hex | BitmapForm::HexEbcdic => 16,
        };
        let from = self.bitmaps + each * usize::from(self.bitmap_count);
        let more = each * usize::from(bitmaps - self.bitmap_count);
        let end = self.out.len();
        self.out.resize(end + more, 0);
        self.out.copy_within(from..end, from + more);
        self.bitmap_count = bitmaps;
    }

    #[cold]
    fn fail(&mut self, field: u8, reason: BuildReason) -> &mut Self {
        if self.error.is_none() {
            self.error = Some(BuildError { field, reason });
            self.out.truncate(self.start);
        }
        self
    }
}

impl Drop for Builder<'_, '_> {
    /// Half a message must not reach a peer.
    fn drop(&mut self) {
        if !self.finished {
            self.out.truncate(self.start);
        }
    }
}

fn kind_or_undefined(rule: &Rule) -> BuildReason {
    match rule.code() {
        Code::Undefined => BuildReason::Undefined,
        _ => BuildReason::Kind,
    }
}

/// Pad units that a value of so many units needs.
fn check_length(rule: &Rule, units: usize, may_pad: bool) -> Result<usize, BuildReason> {
    let max = usize::from(rule.max);
    if units > max {
        return Err(BuildReason::TooLong { max, got: units });
    }
    if rule.prefix != Prefix::Fixed || units == max {
        return Ok(0);
    }
    if !may_pad || rule.pad == Pad::None {
        return Err(BuildReason::TooShort {
            length: max,
            got: units,
        });
    }
    Ok(max - units)
}

/// Checks a text for its field; how many pad units it needs.
fn check_text(rule: &Rule, text: &[u8]) -> Result<usize, BuildReason> {
    let class = rule.class;
    let text = match rule.code() {
        Code::Undefined => return Err(BuildReason::Undefined),
        Code::Bytes | Code::Hex | Code::HexEbcdic => return Err(BuildReason::Kind),
        Code::SignedAscii | Code::SignedEbcdic | Code::SignedPacked => match text.split_first() {
            Some((b'C' | b'D', digits)) => digits,
            _ => return Err(BuildReason::Class(class)),
        },
        _ => text,
    };
    if !classes::ascii(class, text) {
        return Err(BuildReason::Class(class));
    }
    check_length(rule, text.len(), true)
}

fn put_text(rule: &Rule, fill: usize, text: &[u8], out: &mut Vec<u8>) {
    match (rule.code(), text.split_first()) {
        (Code::SignedAscii | Code::SignedEbcdic | Code::SignedPacked, Some((&sign, digits))) => {
            return put_signed(rule, fill, sign, digits, out);
        }
        _ => put_length(rule, text.len() + fill, out),
    }
    let begin = out.len();
    match rule.code() {
        Code::PackedLeft => put_packed(text, fill, true, 0, out),
        Code::PackedRight => {
            let pad = if rule.pad == Pad::RightF { 15 } else { 0 };
            put_packed(text, fill, false, pad, out);
        }
        _ => {
            let (blank, in_front) = match (rule.class, rule.pad) {
                (Class::N | Class::Z, _) => (b'0', true),
                (_, Pad::LeftBlank) => (b' ', true),
                _ => (b' ', false),
            };
            if in_front {
                out.resize(begin + fill, blank);
                out.extend_from_slice(text);
            } else {
                out.extend_from_slice(text);
                out.resize(out.len() + fill, blank);
            }
        }
    }
    if rule.code() == Code::Ebcdic {
        to_ebcdic(out, begin);
    }
}

fn put_signed(rule: &Rule, fill: usize, sign: u8, digits: &[u8], out: &mut Vec<u8>) {
    put_length(rule, digits.len() + fill, out);
    let begin = out.len();
    out.push(sign);
    if rule.code() == Code::SignedPacked {
        put_packed(digits, fill, true, 0, out);
        return;
    }
    out.resize(out.len() + fill, b'0');
    out.extend_from_slice(digits);
    if rule.code() == Code::SignedEbcdic {
        to_ebcdic(out, begin);
    }
}

fn to_ebcdic(out: &mut [u8], begin: usize) {
    for byte in out.get_mut(begin..).unwrap_or_default() {
        *byte = ebcdic::from_ascii(*byte);
    }
}

/// Packs zeros and then the text's digits, two a byte; an odd number of them
/// gets a pad nibble in front or behind. `=` and the other track characters
/// pack as their low four bits, `D` as 13.
fn put_packed(text: &[u8], fill: usize, pad_front: bool, pad: u8, out: &mut Vec<u8>) {
    let odd = (text.len() + fill) % 2;
    let (front, behind) = if pad_front { (odd, 0) } else { (0, odd) };
    let nibble = |&byte: &u8| if byte == b'D' { 13 } else { byte & 15 };
    let mut nibbles = std::iter::repeat_n(0, front + fill)
        .chain(text.iter().map(nibble))
        .chain(std::iter::repeat_n(pad, behind));
    while let (Some(high), Some(low)) = (nibbles.next(), nibbles.next()) {
        out.push(high << 4 | low);
    }
}

fn put_bytes(code: Code, bytes: &[u8], out: &mut Vec<u8>) {
    let begin = out.len();
    if code == Code::Bytes {
        out.extend_from_slice(bytes);
        return;
    }
    out.extend(
        bytes
            .iter()
            .flat_map(|&byte| [hex_digit(byte >> 4), hex_digit(byte & 15)]),
    );
    if code == Code::HexEbcdic {
        to_ebcdic(out, begin);
    }
}

const fn hex_digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'A' - 10 + nibble,
    }
}

fn put_hex_words(words: &[u64], room: &mut [u8], digit: impl Fn(u8) -> u8) {
    let nibbles = words.iter().flat_map(|word| {
        (0..16)
            .rev()
            .map(move |place| (word >> (4 * place) & 15) as u8)
    });
    for (place, nibble) in room.iter_mut().zip(nibbles) {
        *place = digit(hex_digit(nibble));
    }
}

/// Appends the first `bytes` of `rest`. A short value goes as one copy of a
/// length that the compiler knows, of which what is too much is taken back.
#[inline(always)]
fn put_start(rest: &[u8], bytes: usize, out: &mut Vec<u8>) {
    let end = out.len() + bytes;
    if let (true, Some(chunk)) = (bytes <= 16, rest.first_chunk::<16>()) {
        out.extend_from_slice(chunk);
        out.truncate(end);
    } else if let (true, Some(chunk)) = (bytes <= 64, rest.first_chunk::<64>()) {
        out.extend_from_slice(chunk);
        out.truncate(end);
    } else {
        out.extend_from_slice(rest.get(..bytes).unwrap_or(rest));
    }
}

/// Writes a length prefix for so many units.
#[inline(always)]
fn put_length(rule: &Rule, units: usize, out: &mut Vec<u8>) {
    let length = if rule.counts_bytes {
        Rule::wire_bytes(rule.code(), units)
    } else {
        units
    };
    // The dialect's rules hold no maximum that its prefix cannot say.
    match rule.prefix {
        Prefix::Fixed => {}
        Prefix::Ascii(digits) => put_digits(length, digits, |digit| b'0' + digit, out),
        Prefix::Ebcdic(digits) => put_digits(length, digits, |digit| 0xf0 + digit, out),
        Prefix::Packed(bytes) => {
            for place in (0..u32::from(bytes)).rev() {
                let pair = length / 100_usize.pow(place) % 100;
                out.push((pair / 10) as u8 * 16 + (pair % 10) as u8);
            }
        }
        Prefix::Binary(bytes) => {
            for place in (0..u32::from(bytes)).rev() {
                out.push((length >> (8 * place)) as u8);
            }
        }
    }
}

fn put_digits(length: usize, digits: u8, form: impl Fn(u8) -> u8, out: &mut Vec<u8>) {
    for place in (0..u32::from(digits)).rev() {
        out.push(form((length / 10_usize.pow(place) % 10) as u8));
    }
}

/// A number's decimal digits without leading zeros.
fn decimal(mut number: u64, room: &mut [u8; 20]) -> &[u8] {
    let mut begin = room.len();
    for place in room.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
        begin -= 1;
        if number == 0 {
            break;
        }
    }
    room.get(begin..).unwrap_or_default()
}

const _: () = assert!(LAST_FIELD as usize == 3 * 64);
