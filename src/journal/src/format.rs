//! The bytes on disk, version 1. Everything is little-endian.
//!
//! A segment starts with one sector of header; frames follow, each at a
//! multiple of eight bytes, without gaps. In all three formats magic, checksum
//! and version stay where they are in every later version, so that a newer
//! file is told apart from a damaged one.

use crate::limits::{
    FORMAT_VERSION, FRAME_HEADER_BYTES, MAX_GROUP_BYTES, SEGMENT_HEADER_BYTES, frame_bytes,
};
use crate::port::Seq;

/// First bytes of a frame.
pub(crate) const FRAME_MAGIC: [u8; 8] = *b"\xABgapFrm\n";
/// First bytes of a segment.
pub(crate) const SEGMENT_MAGIC: [u8; 8] = *b"\xABgapSeg\n";
/// First bytes of a slot of the identity file.
pub(crate) const IDENTITY_MAGIC: [u8; 8] = *b"\xABgapIdn\n";

/// Offset of the checksum in all formats.
const CRC_AT: usize = 8;
/// Offset of what the checksum covers besides the magic.
const BODY_AT: usize = 12;
/// Bytes of one slot of the identity file: its own disk block each, so that a
/// failed write of one leaves the other alone.
pub(crate) const IDENTITY_SLOT_BYTES: usize = 4096;
const IDENTITY_BYTES: usize = 40;

const _: () = assert!(IDENTITY_BYTES <= IDENTITY_SLOT_BYTES);

/// The journal's identity.
pub(crate) type Uuid = [u8; 16];

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// There is nothing of ours here.
    Blank,
    /// More bytes are needed to tell, this many in all.
    Short(usize),
    /// Another version wrote this, and its checksum holds.
    Version(u16),
    /// Damaged or of another life.
    Bad(&'static str),
}

/// A reader that hands out numbers and never indexes.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

/// The checksum of `bytes` without its own field.
fn checksum(seed: u32, bytes: &[u8]) -> u32 {
    let head = bytes.get(..CRC_AT).unwrap_or_default();
    let body = bytes.get(BODY_AT..).unwrap_or_default();
    crc32c::crc32c_append(crc32c::crc32c_append(seed, head), body)
}

fn put_checksum(seed: u32, bytes: &mut [u8]) -> u32 {
    let crc = checksum(seed, bytes);
    if let Some(field) = bytes.get_mut(CRC_AT..BODY_AT) {
        field.copy_from_slice(&crc.to_le_bytes());
    }
    crc
}

/// Where a frame's checksum starts from: with another journal, segment or
/// life, the same bytes do not pass.
pub(crate) fn frame_seed(uuid: &Uuid, segment: u64, incarnation: u64) -> u32 {
    let crc = crc32c::crc32c(uuid);
    let crc = crc32c::crc32c_append(crc, &segment.to_le_bytes());
    crc32c::crc32c_append(crc, &incarnation.to_le_bytes())
}

/// Header of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// CRC32C over the whole frame.
    pub crc: u32,
    /// CRC32C of the group before.
    pub previous_crc: u32,
    /// Payload bytes.
    pub length: u32,
    /// First sequence.
    pub first: Seq,
    /// Last sequence.
    pub last: Seq,
    /// What was durable when this was written.
    pub watermark: Seq,
    /// Term of the writer.
    pub incarnation: u64,
    /// The writer's name for the group.
    pub batch_id: u64,
}

impl FrameHeader {
    /// Bytes of the whole frame.
    pub(crate) fn frame_bytes(&self) -> usize {
        frame_bytes(self.length as usize)
    }

    /// Appends the frame to `out`; returns its checksum. `crc` and `length`
    /// are filled in.
    pub(crate) fn encode(&self, seed: u32, payload: &[u8], out: &mut Vec<u8>) -> u32 {
        let start = out.len();
        // Callers keep groups below MAX_GROUP_BYTES, which fits.
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&FRAME_MAGIC);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.previous_crc.to_le_bytes());
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&(FRAME_HEADER_BYTES as u16).to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        for number in [
            self.first,
            self.last,
            self.watermark,
            self.incarnation,
            self.batch_id,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(payload);
        out.resize(start + frame_bytes(payload.len()), 0);
        put_checksum(seed, out.get_mut(start..).unwrap_or_default())
    }

    /// Reads the fields without any check but magic and length.
    pub(crate) fn peek(bytes: &[u8]) -> Result<(Self, u16), Fault> {
        let mut input = Input(bytes);
        if bytes.len() < FRAME_HEADER_BYTES {
            return Err(Fault::Short(FRAME_HEADER_BYTES));
        }
        if input.take::<8>() != Some(FRAME_MAGIC) {
            return Err(Fault::Blank);
        }
        let fields = (|| {
            let crc = input.u32()?;
            let previous_crc = input.u32()?;
            let version = input.u16()?;
            let header_bytes = input.u16()?;
            let length = input.u32()?;
            let header = Self {
                crc,
                previous_crc,
                length,
                first: input.u64()?,
                last: input.u64()?,
                watermark: input.u64()?,
                incarnation: input.u64()?,
                batch_id: input.u64()?,
            };
            Some((header, version, header_bytes))
        })();
        let Some((header, version, header_bytes)) = fields else {
            return Err(Fault::Short(FRAME_HEADER_BYTES));
        };
        if header.length as usize > MAX_GROUP_BYTES {
            return Err(Fault::Bad("frame length out of range"));
        }
        if version == FORMAT_VERSION && usize::from(header_bytes) != FRAME_HEADER_BYTES {
            return Err(Fault::Bad("frame header length out of range"));
        }
        Ok((header, version))
    }

    /// Reads and checks the frame at the start of `bytes`.
    pub(crate) fn decode(seed: u32, bytes: &[u8]) -> Result<Self, Fault> {
        let (header, version) = Self::peek(bytes)?;
        let total = header.frame_bytes();
        let Some(frame) = bytes.get(..total) else {
            return Err(Fault::Short(total));
        };
        if checksum(seed, frame) != header.crc {
            return Err(Fault::Bad("frame checksum does not match"));
        }
        if version != FORMAT_VERSION {
            return Err(Fault::Version(version));
        }
        // A frame without events closes a journal: it only carries the
        // watermark, so `last` is the sequence before it.
        let before = header.first.wrapping_sub(1);
        let empty = header.last == before && header.length == 0;
        if header.first == 0 || header.watermark > before || (header.last < header.first && !empty)
        {
            return Err(Fault::Bad("frame sequences out of order"));
        }
        Ok(header)
    }
}

/// Where a segment's live part ends, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct SegmentEnd {
    /// Number of the segment; 0 for none.
    pub number: u64,
    /// Its incarnation.
    pub incarnation: u64,
    /// Offset behind the last live frame.
    pub offset: u64,
    /// Last sequence.
    pub last: Seq,
    /// CRC32C of the last frame.
    pub crc: u32,
}

/// Header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// The journal.
    pub uuid: Uuid,
    /// Number of this segment, which its name has too.
    pub number: u64,
    /// Term of the start that opened it.
    pub incarnation: u64,
    /// Length of the file. It is durable before the file gets its name, so a
    /// shorter one has lost something.
    pub file_bytes: u64,
    /// End of the segment before.
    pub previous: SegmentEnd,
}

impl SegmentHeader {
    /// Sequence of the first event that this segment may hold.
    pub(crate) fn first(&self) -> Seq {
        self.previous.last.saturating_add(1)
    }

    /// Seed of its frames.
    pub(crate) fn seed(&self) -> u32 {
        frame_seed(&self.uuid, self.number, self.incarnation)
    }

    /// Appends the header to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&SEGMENT_MAGIC);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&(SEGMENT_HEADER_BYTES as u16).to_le_bytes());
        out.extend_from_slice(&self.uuid);
        for number in [
            self.number,
            self.incarnation,
            self.file_bytes,
            self.previous.number,
            self.previous.incarnation,
            self.previous.offset,
            self.previous.last,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.previous.crc.to_le_bytes());
        out.resize(start + SEGMENT_HEADER_BYTES, 0);
        put_checksum(0, out.get_mut(start..).unwrap_or_default());
    }

    /// Reads and checks a header.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let Some(bytes) = bytes.get(..SEGMENT_HEADER_BYTES) else {
            return Err(Fault::Short(SEGMENT_HEADER_BYTES));
        };
        let mut input = Input(bytes);
        if input.take::<8>() != Some(SEGMENT_MAGIC) {
            return Err(Fault::Blank);
        }
        if input.u32() != Some(checksum(0, bytes)) {
            return Err(Fault::Bad("segment header checksum does not match"));
        }
        let (version, header_bytes) = (input.u16(), input.u16());
        if version != Some(FORMAT_VERSION) {
            return Err(Fault::Version(version.unwrap_or_default()));
        }
        if header_bytes != Some(SEGMENT_HEADER_BYTES as u16) {
            return Err(Fault::Bad("segment header length out of range"));
        }
        (|| {
            Some(Self {
                uuid: input.take()?,
                number: input.u64()?,
                incarnation: input.u64()?,
                file_bytes: input.u64()?,
                previous: SegmentEnd {
                    number: input.u64()?,
                    incarnation: input.u64()?,
                    offset: input.u64()?,
                    last: input.u64()?,
                    crc: input.u32()?,
                },
            })
        })()
        .ok_or(Fault::Short(SEGMENT_HEADER_BYTES))
    }
}

/// One slot of the identity file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The journal.
    pub uuid: Uuid,
    /// The latest incarnation ever begun. It is durable before anything is
    /// written under it, so that no two lives share a number.
    pub incarnation: u64,
}

impl Identity {
    /// One slot's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(IDENTITY_SLOT_BYTES);
        out.extend_from_slice(&IDENTITY_MAGIC);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&(IDENTITY_BYTES as u16).to_le_bytes());
        out.extend_from_slice(&self.uuid);
        out.extend_from_slice(&self.incarnation.to_le_bytes());
        put_checksum(0, &mut out);
        out.resize(IDENTITY_SLOT_BYTES, 0);
        out
    }

    /// Reads one slot.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let Some(bytes) = bytes.get(..IDENTITY_BYTES) else {
            return Err(Fault::Short(IDENTITY_BYTES));
        };
        let mut input = Input(bytes);
        if input.take::<8>() != Some(IDENTITY_MAGIC) {
            return Err(Fault::Blank);
        }
        if input.u32() != Some(checksum(0, bytes)) {
            return Err(Fault::Bad("identity checksum does not match"));
        }
        let version = input.u16().unwrap_or_default();
        if version != FORMAT_VERSION {
            return Err(Fault::Version(version));
        }
        input.u16();
        (|| {
            Some(Self {
                uuid: input.take()?,
                incarnation: input.u64()?,
            })
        })()
        .ok_or(Fault::Short(IDENTITY_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: Uuid = [9; 16];

    fn frame(first: Seq, last: Seq, watermark: Seq, payload: &[u8]) -> Vec<u8> {
        let header = FrameHeader {
            crc: 0,
            previous_crc: 1,
            length: 0,
            first,
            last,
            watermark,
            incarnation: 4,
            batch_id: 6,
        };
        let mut out = Vec::new();
        header.encode(frame_seed(&UUID, 2, 4), payload, &mut out);
        out
    }

    #[test]
    fn a_frame_reads_back_under_its_own_seed_only() {
        let bytes = frame(3, 5, 2, b"events");
        assert_eq!(bytes.len(), 72);
        let header = FrameHeader::decode(frame_seed(&UUID, 2, 4), &bytes).unwrap();
        assert_eq!(
            (header.first, header.last, header.watermark, header.length),
            (3, 5, 2, 6)
        );
        for seed in [
            frame_seed(&[8; 16], 2, 4),
            frame_seed(&UUID, 3, 4),
            frame_seed(&UUID, 2, 5),
        ] {
            let fault = FrameHeader::decode(seed, &bytes).unwrap_err();
            assert_eq!(fault, Fault::Bad("frame checksum does not match"));
        }
    }

    #[test]
    fn sequences_that_cannot_be_are_refused_though_the_checksum_holds() {
        // first, last, watermark, payload, accepted
        let table: [(Seq, Seq, Seq, &[u8], bool); 7] = [
            (1, 1, 0, b"e", true),
            (5, 9, 4, b"e", true),
            (0, 0, 0, b"e", false),
            (5, 3, 2, b"e", false),
            (5, 9, 5, b"e", false),
            (5, 4, 4, b"", true),
            (5, 4, 4, b"e", false),
        ];
        for (first, last, watermark, payload, accepted) in table {
            let bytes = frame(first, last, watermark, payload);
            let decoded = FrameHeader::decode(frame_seed(&UUID, 2, 4), &bytes);
            assert_eq!(decoded.is_ok(), accepted, "{first} {last} {watermark}");
        }
    }

    #[test]
    fn every_flipped_bit_of_every_format_is_noticed() {
        let mut segment = Vec::new();
        let header = SegmentHeader {
            uuid: UUID,
            number: 2,
            incarnation: 4,
            file_bytes: 4096,
            previous: SegmentEnd::default(),
        };
        header.encode(&mut segment);
        assert_eq!(SegmentHeader::decode(&segment), Ok(header));
        let identity = Identity {
            uuid: UUID,
            incarnation: 4,
        };
        let slot = identity.encode();
        assert_eq!(Identity::decode(&slot), Ok(identity));
        let frame = frame(3, 5, 2, b"events");
        let seed = frame_seed(&UUID, 2, 4);
        let flips = |bytes: &[u8], bits: usize, accepts: &dyn Fn(&[u8]) -> bool| {
            for bit in 0..bits {
                let mut bytes = bytes.to_vec();
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(!accepts(&bytes), "bit {bit}");
            }
        };
        flips(&frame, frame.len() * 8, &|bytes| {
            FrameHeader::decode(seed, bytes).is_ok()
        });
        flips(&segment, segment.len() * 8, &|bytes| {
            SegmentHeader::decode(bytes).is_ok()
        });
        flips(&slot, IDENTITY_BYTES * 8, &|bytes| {
            Identity::decode(bytes).is_ok()
        });
    }
}
