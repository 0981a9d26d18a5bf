//! A typical 0200 of seventeen fields and its 0210: by the codec, and by code
//! written for this one layout, which is what the codec is measured by.

use gapless_iso8583::{Dialect, FieldSet, Message, Mti};

/// The request, as field and value in ASCII.
pub const REQUEST: [(u8, &[u8]); 17] = [
    (2, b"9410000000000018"),
    (3, b"000000"),
    (4, b"000000012500"),
    (7, b"1122104530"),
    (11, b"000123"),
    (12, b"194530"),
    (13, b"1122"),
    (14, b"3012"),
    (18, b"5411"),
    (22, b"051"),
    (25, b"00"),
    (32, b"12345678901"),
    (37, b"632610000123"),
    (41, b"TERM0001"),
    (42, b"MERCHANT0000001"),
    (43, b"CORNER SHOP            SEOUL          KR"),
    (49, b"410"),
];

/// What the response returns as it came.
const ECHO: FieldSet = FieldSet::of(&[2, 3, 4, 7, 11, 12, 13, 32, 37, 41, 42, 49]);
const SETTLEMENT_DATE: &[u8] = b"1122";
const APPROVAL: &[u8] = b"A00042";
const APPROVED: &[u8] = b"00";

/// The request's frame, if the dialect can say it.
pub fn request(dialect: &Dialect) -> Option<Vec<u8>> {
    let mut frame = Vec::new();
    let mut builder = dialect.builder(&mut frame, Mti::new(200)?);
    for (field, value) in REQUEST {
        builder.text(field, value);
    }
    builder.finish().ok()?;
    drop(builder);
    Some(frame)
}

/// Reads a request and builds its response with the codec.
pub fn codec(dialect: &Dialect, frame: &[u8], out: &mut Vec<u8>) -> Option<u64> {
    let mut message = Message::default();
    dialect.decode_into(frame, &mut message).ok()?;
    let amount = message.number(4).ok()??;
    dialect
        .builder(out, message.mti().response())
        .echo_until(&message, &ECHO, 15)
        .text(15, SETTLEMENT_DATE)
        .echo_until(&message, &ECHO, 38)
        .text(38, APPROVAL)
        .text(39, APPROVED)
        .echo_rest(&message, &ECHO)
        .finish()
        .ok()?;
    Some(amount)
}

/// The same by hand, for exactly this layout in ASCII with binary bitmaps:
/// every value is located, and checked for its class.
mod by_hand {
    pub struct Request<'a> {
        pan: &'a [u8],
        processing_code: &'a [u8],
        amount: &'a [u8],
        transmitted: &'a [u8],
        stan: &'a [u8],
        time: &'a [u8],
        date: &'a [u8],
        acquirer: &'a [u8],
        reference: &'a [u8],
        terminal: &'a [u8],
        merchant: &'a [u8],
        currency: &'a [u8],
    }

    fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
        let (taken, after) = rest.split_at_checked(bytes)?;
        *rest = after;
        Some(taken)
    }

    fn digits<'a>(rest: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
        take(rest, bytes).filter(|value| value.iter().all(u8::is_ascii_digit))
    }

    fn text<'a>(rest: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
        take(rest, bytes).filter(|value| value.iter().all(|byte| matches!(byte, b' '..=b'~')))
    }

    fn alphanumeric<'a>(rest: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
        take(rest, bytes).filter(|value| {
            value
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || *byte == b' ')
        })
    }

    fn counted<'a>(rest: &mut &'a [u8], max: usize) -> Option<&'a [u8]> {
        let [tens, ones] = take(rest, 2)? else {
            return None;
        };
        if !tens.is_ascii_digit() || !ones.is_ascii_digit() {
            return None;
        }
        let length = usize::from(tens - b'0') * 10 + usize::from(ones - b'0');
        if length > max {
            return None;
        }
        digits(rest, length)
    }

    const fn bitmap(fields: &[u8]) -> [u8; 8] {
        super::FieldSet::of(fields).words()[0].to_be_bytes()
    }

    const REQUEST_BITMAP: [u8; 8] = bitmap(&[
        2, 3, 4, 7, 11, 12, 13, 14, 18, 22, 25, 32, 37, 41, 42, 43, 49,
    ]);
    const RESPONSE_BITMAP: [u8; 8] =
        bitmap(&[2, 3, 4, 7, 11, 12, 13, 15, 32, 37, 38, 39, 41, 42, 49]);

    pub fn scan(frame: &[u8]) -> Option<Request<'_>> {
        let mut rest = frame;
        if take(&mut rest, 4)? != b"0200" || take(&mut rest, 8)? != REQUEST_BITMAP {
            return None;
        }
        let rest = &mut rest;
        let pan = counted(rest, 19)?;
        let processing_code = digits(rest, 6)?;
        let amount = digits(rest, 12)?;
        let transmitted = digits(rest, 10)?;
        let stan = digits(rest, 6)?;
        let time = digits(rest, 6)?;
        let date = digits(rest, 4)?;
        digits(rest, 4)?;
        digits(rest, 4)?;
        digits(rest, 3)?;
        digits(rest, 2)?;
        let acquirer = counted(rest, 11)?;
        let reference = alphanumeric(rest, 12)?;
        let terminal = text(rest, 8)?;
        let merchant = text(rest, 15)?;
        text(rest, 40)?;
        let currency = alphanumeric(rest, 3)?;
        rest.is_empty().then_some(Request {
            pan,
            processing_code,
            amount,
            transmitted,
            stan,
            time,
            date,
            acquirer,
            reference,
            terminal,
            merchant,
            currency,
        })
    }

    pub fn amount(request: &Request<'_>) -> u64 {
        request
            .amount
            .iter()
            .fold(0, |amount, digit| amount * 10 + u64::from(digit - b'0'))
    }

    fn put_counted(value: &[u8], out: &mut Vec<u8>) {
        let length = value.len() as u8;
        out.extend_from_slice(&[b'0' + length / 10, b'0' + length % 10]);
        out.extend_from_slice(value);
    }

    pub fn build(request: &Request<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"0210");
        out.extend_from_slice(&RESPONSE_BITMAP);
        put_counted(request.pan, out);
        out.extend_from_slice(request.processing_code);
        out.extend_from_slice(request.amount);
        out.extend_from_slice(request.transmitted);
        out.extend_from_slice(request.stan);
        out.extend_from_slice(request.time);
        out.extend_from_slice(request.date);
        out.extend_from_slice(super::SETTLEMENT_DATE);
        put_counted(request.acquirer, out);
        out.extend_from_slice(request.reference);
        out.extend_from_slice(super::APPROVAL);
        out.extend_from_slice(super::APPROVED);
        out.extend_from_slice(request.terminal);
        out.extend_from_slice(request.merchant);
        out.extend_from_slice(request.currency);
    }
}

/// Reads a request and builds its response by hand.
pub fn hand_written(frame: &[u8], out: &mut Vec<u8>) -> Option<u64> {
    let request = by_hand::scan(frame)?;
    by_hand::build(&request, out);
    Some(by_hand::amount(&request))
}
