//! What a message is recognised by, and what a reversal says of its original
//! (FIELD.md, "Matching" and DE 90).

use gapless_engine::command::{Identity, Original};
use gapless_engine::ids::{AccountNumber, NetworkId, PanHash};
use gapless_iso8583::{Message, OriginalData, Scratch};

use super::fault::Fault;
use super::keys::PanKeys;
use super::tables;

/// Whose money a message is about, as far as it says so.
#[derive(Clone, Copy)]
pub(super) enum Holder {
    /// A card: DE 2, or the PAN of track 2.
    Card(PanHash),
    /// DE 102 of a message without a card.
    Account(AccountNumber),
    /// Neither: a reversal whose sender has lost it.
    Unknown,
}

impl Holder {
    pub(super) fn pan(&self) -> Option<PanHash> {
        match self {
            Self::Card(pan) => Some(*pan),
            Self::Account(_) | Self::Unknown => None,
        }
    }
}

/// What one hash is for. Hashes of different purposes must not be comparable:
/// else a DE 37 could stand in for a DE 32.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Purpose {
    Key = 1,
    Locator = 2,
    Reference = 3,
    Acquirer = 4,
    Forwarder = 5,
}

/// Parts of one hash, at most: MTI, network, holder, DE 7, 11, 32, 37, 41.
const PARTS: usize = 8;
/// Longest part that goes in as it is: DE 102. Longer ones, which only a
/// dialect of one's own can have, go in as their hash.
const LONGEST_PART: usize = AccountNumber::MAX_LEN;
const DIGEST_ROOM: usize = 1 + PARTS * (1 + LONGEST_PART);

/// Gathers the parts of one hash on the stack, each with its length before it,
/// so that no two lists of parts read alike.
struct Digest<'k> {
    keys: &'k PanKeys,
    bytes: [u8; DIGEST_ROOM],
    length: usize,
}

impl<'k> Digest<'k> {
    fn new(keys: &'k PanKeys, purpose: Purpose) -> Self {
        let mut bytes = [0; DIGEST_ROOM];
        if let Some(first) = bytes.first_mut() {
            *first = purpose as u8;
        }
        Self {
            keys,
            bytes,
            length: 1,
        }
    }

    #[inline(always)]
    fn add(&mut self, part: &[u8]) -> &mut Self {
        if part.len() > LONGEST_PART {
            let hash = self.keys.hash64(part).to_le_bytes();
            self.put(u8::MAX, &hash);
        } else {
            // At most LONGEST, which is below 255.
            self.put(part.len() as u8, part);
        }
        self
    }

    #[inline(always)]
    fn put(&mut self, length: u8, part: &[u8]) {
        let end = self.length + 1 + part.len();
        if let Some([first, room @ ..]) = self.bytes.get_mut(self.length..end) {
            *first = length;
            room.copy_from_slice(part);
            self.length = end;
        }
    }

    fn add_holder(&mut self, holder: &Holder) -> &mut Self {
        match holder {
            Holder::Card(pan) => self.add(&pan.0.to_le_bytes()),
            Holder::Account(number) => self.add(number.as_str().as_bytes()),
            Holder::Unknown => self.add(b""),
        }
    }

    fn hash(&self) -> u64 {
        self.keys
            .hash64(self.bytes.get(..self.length).unwrap_or(&self.bytes))
    }
}

const _: () = assert!(LONGEST_PART < u8::MAX as usize);

/// Makes identities for the messages of one link.
pub(super) struct Recogniser<'a> {
    pub(super) keys: &'a PanKeys,
    pub(super) network: NetworkId,
    pub(super) original_data: OriginalData,
}

impl Recogniser<'_> {
    /// The message's own identity. DE 7 and 11 must be there.
    pub(super) fn identity(
        &self,
        message: &Message<'_>,
        holder: &Holder,
        scratch: &mut Scratch,
    ) -> Result<Identity, Fault> {
        let transmission = number(message, 7)?.ok_or(Fault::missing(7))?;
        let stan = number(message, 11)?.ok_or(Fault::missing(11))?;
        let sent_at = pack_time(transmission).ok_or(Fault::invalid(7))?;
        let acquirer = number(message, 32)?.unwrap_or(0);
        let forwarder = number(message, 33)?.unwrap_or(0);

        let mut key = Digest::new(self.keys, Purpose::Key);
        key.add(&message.mti().without_repeat().ascii())
            .add(&self.network.0.to_le_bytes())
            .add_holder(holder)
            .add(&transmission.to_le_bytes())
            .add(&stan.to_le_bytes())
            .add(&acquirer.to_le_bytes());
        let reference = text(message, 37, scratch)?;
        key.add(reference);
        let rrn = self.reference(reference);
        key.add(text(message, 41, scratch)?);
        Ok(Identity {
            key: key.hash(),
            locator: match holder {
                // Without a holder nobody can be looked up by it; half of the key
                // spreads such messages, which are remembered all the same.
                Holder::Unknown => key.hash() as u32,
                _ => self.locator(holder, stan),
            },
            // A reversal names its original by this time.
            transmitted: self.named_time(message)?.unwrap_or(sent_at),
            rrn,
            acquirer: self.institution(Purpose::Acquirer, acquirer),
            forwarder: self.institution(Purpose::Forwarder, forwarder),
        })
    }

    /// The time by which a reversal names this message, if it is not DE 7: DE 12
    /// (1993), or DE 13 and 12. 0 where they are absent or no clock shows them.
    fn named_time(&self, message: &Message<'_>) -> Result<Option<u32>, Fault> {
        let OriginalData {
            time_digits,
            local_time,
            ..
        } = self.original_data;
        if time_digits != 12 && !local_time {
            return Ok(None);
        }
        let time = number(message, 12)?;
        let time = match (time_digits, number(message, 13)?) {
            (12, _) => time,
            (_, date) => time
                .zip(date)
                .and_then(|(time, date)| date.checked_mul(1_000_000)?.checked_add(time)),
        };
        Ok(Some(time.and_then(pack_time).unwrap_or(0)))
    }

    /// What a reversal says of its original: its original data element, or
    /// without one the message itself, since STAN, time and reference number
    /// then are the original's.
    pub(super) fn original(
        &self,
        message: &Message<'_>,
        holder: &Holder,
        own: &Identity,
        scratch: &mut Scratch,
    ) -> Result<Original, Fault> {
        let field = self.original_data.field;
        let known = !matches!(holder, Holder::Unknown);
        if !message.has(field) {
            return Ok(Original {
                class: None,
                locator: known.then_some(own.locator),
                transmitted: own.transmitted,
                rrn: own.rrn,
                acquirer: own.acquirer,
                forwarder: own.forwarder,
            });
        }
        let digits = text(message, field, scratch)?;
        let parts = Parts::read(digits, self.original_data).ok_or(Fault::invalid(field))?;
        Ok(Original {
            class: tables::original_class(parts.mti),
            locator: (known && parts.stan != 0).then(|| self.locator(holder, parts.stan)),
            // A time that no clock shows is as good as lost: the other parts decide.
            transmitted: pack_time(parts.time).unwrap_or(0),
            rrn: own.rrn,
            acquirer: self.institution(Purpose::Acquirer, parts.acquirer),
            forwarder: self.institution(Purpose::Forwarder, parts.forwarder),
        })
    }

    fn locator(&self, holder: &Holder, stan: u64) -> u32 {
        if let Holder::Card(PanHash(pan)) = holder
            && let Some(hash) = self.keys.fold(
                *pan as u64 ^ stan,
                (*pan >> 64) as u64 ^ u64::from(self.network.0) << 8 ^ Purpose::Locator as u64,
            )
        {
            return hash as u32;
        }
        let hash = Digest::new(self.keys, Purpose::Locator)
            .add(&self.network.0.to_le_bytes())
            .add_holder(holder)
            .add(&stan.to_le_bytes())
            .hash();
        // Half of a good hash is a good hash.
        hash as u32
    }

    /// 0 when absent or blank, which no other reference number gives.
    fn reference(&self, reference: &[u8]) -> u16 {
        if reference.iter().all(|byte| matches!(byte, b' ' | b'0')) {
            return 0;
        }
        let short = two_words(reference).and_then(|[a, b]| {
            let length = (reference.len() as u64) << 8;
            self.keys.fold(a, b ^ length ^ Purpose::Reference as u64)
        });
        let hash = short.unwrap_or_else(|| {
            Digest::new(self.keys, Purpose::Reference)
                .add(reference)
                .hash()
        });
        u16::try_from(hash % u64::from(u16::MAX) + 1).unwrap_or(u16::MAX)
    }

    /// DE 32 and 33 are numbers of up to eleven digits; in DE 90 they stand
    /// filled with zeros, so it is the number that counts. 0 when absent.
    fn institution(&self, purpose: Purpose, number: u64) -> u8 {
        if number == 0 {
            return 0;
        }
        let hash = self.keys.fold(number, purpose as u64).unwrap_or_else(|| {
            Digest::new(self.keys, purpose)
                .add(&number.to_le_bytes())
                .hash()
        });
        u8::try_from(hash % u64::from(u8::MAX) + 1).unwrap_or(u8::MAX)
    }
}

/// Up to twelve characters as two words; the lower half of the second is free.
fn two_words(text: &[u8]) -> Option<[u64; 2]> {
    let mut words = [0; 12];
    words.get_mut(..text.len())?.copy_from_slice(text);
    let (first, rest) = words.split_first_chunk::<8>()?;
    let rest = u32::from_le_bytes(*rest.first_chunk::<4>()?);
    Some([u64::from_le_bytes(*first), u64::from(rest) << 32])
}

/// The parts of an original data element; 0 where the sender has lost one.
#[derive(Debug, PartialEq, Eq)]
struct Parts {
    mti: u16,
    stan: u64,
    time: u64,
    acquirer: u64,
    forwarder: u64,
}

impl Parts {
    /// DE 90 (MDS): MTI 4, STAN 6, DE 7 10, DE 32 11, DE 33 11. DE 56 of 1993:
    /// MTI 4, STAN 6, DE 12 12, DE 32 after two digits of length.
    fn read(digits: &[u8], form: OriginalData) -> Option<Self> {
        let (mti, rest) = take_number(digits, 4)?;
        let (stan, rest) = take_number(rest, 6)?;
        let (time, rest) = take_number(rest, usize::from(form.time_digits))?;
        let (acquirer, rest) = if form.fixed_institutions {
            take_number(rest, 11)?
        } else {
            match take_number(rest, 2) {
                Some((length, rest)) => take_number(rest, usize::try_from(length).ok()?)?,
                None if rest.is_empty() => (0, rest),
                None => return None,
            }
        };
        let (forwarder, rest) = if form.fixed_institutions {
            take_number(rest, 11)?
        } else {
            (0, rest)
        };
        rest.is_empty().then_some(Self {
            mti: u16::try_from(mti).ok()?,
            stan,
            time,
            acquirer,
            forwarder,
        })
    }
}

/// The first so many digits as a number, and the rest. No digits are 0.
pub(super) fn take_number(digits: &[u8], length: usize) -> Option<(u64, &[u8])> {
    let (first, rest) = digits.split_at_checked(length)?;
    let number = first.iter().try_fold(0u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })?;
    Some((number, rest))
}

/// A time MMDDhhmmss (more digits before it are left out) as the engine has
/// it: `((month * 31 + day) * 86400 + second of the day) + 1`; `None` for what
/// no clock shows.
fn pack_time(time: u64) -> Option<u32> {
    let two = |unit: u64| u32::try_from(time / unit % 100).unwrap_or(0);
    let (month, day) = (two(100_000_000), two(1_000_000));
    let (hour, minute, second) = (two(10_000), two(100), two(1));
    // 60 is a leap second.
    let possible = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 60;
    possible.then(|| (month * 31 + day) * 86_400 + hour * 3_600 + minute * 60 + second + 1)
}

/// A field as a number; a fault when it is there and is none.
pub(super) fn number(message: &Message<'_>, field: u8) -> Result<Option<u64>, Fault> {
    message.number(field).map_err(|_| Fault::invalid(field))
}

/// A field's characters, empty when absent.
pub(super) fn text<'b, 'a: 'b>(
    message: &Message<'a>,
    field: u8,
    scratch: &'b mut Scratch,
) -> Result<&'b [u8], Fault> {
    match message.text(field, scratch) {
        Ok(text) => Ok(text.unwrap_or_default()),
        Err(_) => Err(Fault::invalid(field)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DE_90: OriginalData = OriginalData {
        field: 90,
        time_digits: 10,
        fixed_institutions: true,
        local_time: false,
    };
    const DE_56: OriginalData = OriginalData {
        field: 56,
        time_digits: 12,
        fixed_institutions: false,
        local_time: false,
    };

    #[test]
    fn original_data_by_parts() {
        let parts = |mti, stan, time, acquirer, forwarder| {
            Some(Parts {
                mti,
                stan,
                time,
                acquirer,
                forwarder,
            })
        };
        for (form, digits, expected) in [
            (
                DE_90,
                "020012345611220903050000000012300000000456",
                parts(200, 123_456, 1_122_090_305, 123, 456),
            ),
            (
                DE_90,
                "000000000000000000000000000000000000000000",
                parts(0, 0, 0, 0, 0),
            ),
            (DE_90, "02001234561122090305000000001230000000045", None),
            (DE_90, "0200123456112209030500000000123000000004560", None),
            (DE_90, "0200X23456112209030500000000123000000004560", None),
            (
                DE_56,
                "120012345626112209030503123",
                parts(1200, 123_456, 261_122_090_305, 123, 0),
            ),
            (
                DE_56,
                "1200123456261122090305",
                parts(1200, 123_456, 261_122_090_305, 0, 0),
            ),
            (DE_56, "120012345626112209030504123", None),
            (DE_56, "12001234562611220903050", None),
            (DE_56, "1200123456261122090305021234", None),
        ] {
            assert_eq!(Parts::read(digits.as_bytes(), form), expected, "{digits}");
        }
    }

    #[test]
    fn times_of_the_clock_only() {
        let packed =
            |month: u32, day: u32, seconds: u32| Some((month * 31 + day) * 86_400 + seconds + 1);
        for (time, expected) in [
            (1_122_090_305, packed(11, 22, 9 * 3_600 + 3 * 60 + 5)),
            (261_122_090_305, packed(11, 22, 9 * 3_600 + 3 * 60 + 5)),
            (101_000_000, packed(1, 1, 0)),
            (1_231_235_960, packed(12, 31, 86_400)),
            (0, None),
            (1_322_090_305, None),
            (1_100_090_305, None),
            (1_132_090_305, None),
            (1_122_240_305, None),
            (1_122_096_005, None),
            (1_122_090_361, None),
        ] {
            assert_eq!(pack_time(time), expected, "{time}");
        }
    }
}
