//! The recovery scan: what is live, what is proven durable, what is torn, and
//! what is damage. Reads only.

use std::path::{Path, PathBuf};

use crate::disk::{Disk, OpenMode};
use crate::error::{IoContext, JournalError};
use crate::format::{Fault, FrameHeader, SegmentEnd, SegmentHeader, Uuid};
use crate::frames::FrameWalk;
use crate::layout::{self, IdentityState, Listing};
use crate::limits::{FORMAT_VERSION, SEGMENT_HEADER_BYTES};
use crate::port::Seq;

/// How far the incarnation jumps when the identity file is lost: further than
/// anybody will have tried to start since the last segment was opened.
const LOST_IDENTITY_JUMP: u64 = 1024;

/// A torn tail that was cut: bytes of a group that never became durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The file.
    pub file: PathBuf,
    /// Where the good groups end.
    pub offset: u64,
    /// Bytes in use behind it.
    pub bytes: u64,
}

/// A live segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LiveSegment {
    pub header: SegmentHeader,
    pub file_bytes: u64,
}

/// A group behind the last watermark: it may exist in the page cache alone.
#[derive(Clone, Debug)]
pub(crate) struct TailGroup {
    pub first: Seq,
    pub last: Seq,
    pub batch_id: u64,
    pub events: Vec<u8>,
}

/// What a directory with a journal in it holds.
#[derive(Debug)]
pub(crate) struct Scan {
    pub uuid: Uuid,
    /// Live segments in order; at least one.
    pub segments: Vec<LiveSegment>,
    /// End of the last live segment, good frames only.
    pub end: SegmentEnd,
    /// End of what is proven durable. The next start's segment follows it;
    /// its number is the last segment's own if nothing in that is proven.
    pub proven: SegmentEnd,
    pub tail: Vec<TailGroup>,
    /// Prepared segments behind the last live one.
    pub unused: Vec<u64>,
    pub cut: Option<TornTail>,
    /// An incarnation that no life before has used.
    pub next_incarnation: u64,
    pub groups: u64,
}

impl Scan {
    /// The oldest kept sequence.
    pub(crate) fn first(&self) -> Seq {
        self.segments
            .first()
            .map_or(1, |segment| segment.header.first())
    }
}

/// A segment file's header, or why there is none.
type HeaderState = Result<SegmentHeader, Fault>;

struct Scanner<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    verify_from: Seq,
    groups: u64,
    buf: Vec<u8>,
}

/// Scans `dir`; `None` means that there is no journal yet.
pub(crate) fn scan_dir(
    disk: &dyn Disk,
    dir: &Path,
    listing: &Listing,
    identity: IdentityState,
    verify_from: Seq,
) -> Result<Option<Scan>, JournalError> {
    let mut scanner = Scanner {
        disk,
        dir,
        verify_from,
        groups: 0,
        buf: Vec::new(),
    };
    scanner.scan(listing, identity)
}

/// Reads a segment's header and length.
pub(crate) fn read_header(
    disk: &dyn Disk,
    path: &Path,
) -> Result<(HeaderState, u64), JournalError> {
    let file = disk.open(path, OpenMode::Read).at("open", path)?;
    let bytes = layout::read_up_to(&*file, path, 0, SEGMENT_HEADER_BYTES)?;
    match SegmentHeader::decode(&bytes) {
        Err(Fault::Version(found)) => Err(JournalError::UnknownVersion {
            file: path.to_path_buf(),
            found,
            known: FORMAT_VERSION,
        }),
        state => Ok((state, file.len().at("measure", path)?)),
    }
}

fn corrupt(file: PathBuf, offset: u64, what: &'static str) -> JournalError {
    JournalError::Corrupt { file, offset, what }
}

fn fault_text(fault: Fault) -> &'static str {
    match fault {
        Fault::Blank => "nothing is written here",
        Fault::Short(_) => "the file ends here",
        Fault::Version(_) => "unknown version",
        Fault::Bad(what) => what,
    }
}

impl Scanner<'_> {
    fn path(&self, number: u64) -> PathBuf {
        layout::segment_path(self.dir, number)
    }

    fn scan(
        &mut self,
        listing: &Listing,
        identity: IdentityState,
    ) -> Result<Option<Scan>, JournalError> {
        let numbers = &listing.segments;
        let Some(lowest) = numbers.first().copied() else {
            return match identity {
                IdentityState::Absent => Ok(None),
                // The identity is written after the first segment is durable.
                _ => Err(JournalError::MissingSegment { file: self.path(1) }),
            };
        };
        for (number, expected) in numbers.iter().zip(lowest..) {
            if *number != expected {
                return Err(JournalError::MissingSegment {
                    file: self.path(expected),
                });
            }
        }
        let mut headers = Vec::with_capacity(numbers.len());
        for number in numbers {
            headers.push((*number, read_header(self.disk, &self.path(*number))?));
        }
        let known = match identity {
            IdentityState::Found { identity, .. } => Some(identity.uuid),
            _ => None,
        };
        let Some(uuid) = known.or_else(|| {
            headers
                .iter()
                .find_map(|(_, (state, _))| state.ok().map(|header| header.uuid))
        }) else {
            return self.unidentified(numbers, identity);
        };
        let (segments, unused) = self.live(&uuid, &headers)?;
        self.verify_all(&segments)?;
        let mut scan = self.last_segment(uuid, segments, unused)?;
        scan.next_incarnation = next_incarnation(identity, &headers);
        Ok(Some(scan))
    }

    /// Neither identity nor any header can be read. That is a journal whose
    /// very first start was interrupted, if there is nothing else in it.
    fn unidentified(
        &self,
        numbers: &[u64],
        identity: IdentityState,
    ) -> Result<Option<Scan>, JournalError> {
        let first = self.path(numbers.first().copied().unwrap_or(1));
        let lone = numbers == [1] && identity == IdentityState::Absent;
        if lone {
            let file = self.disk.open(&first, OpenMode::Read).at("open", &first)?;
            let walk = FrameWalk::new(file, first.clone(), Vec::new());
            let start = walk.offset();
            if walk.search(&[0; 16], 0, Seq::MAX)?.used_until == start {
                return Ok(None);
            }
        }
        Err(corrupt(first, 0, "no header and no identity can be read"))
    }

    /// Splits the files into live segments, whose headers form a chain, and
    /// prepared ones behind them.
    fn live(
        &self,
        uuid: &Uuid,
        headers: &[(u64, (HeaderState, u64))],
    ) -> Result<(Vec<LiveSegment>, Vec<u64>), JournalError> {
        // A recycled file may still carry the header of its earlier number.
        let valid =
            |number: u64, state: &HeaderState| state.ok().filter(|header| header.number == number);
        let mut segments: Vec<LiveSegment> = Vec::new();
        let mut unused = Vec::new();
        for (number, (state, file_bytes)) in headers {
            let header = valid(*number, state);
            // A file has its whole length before it gets a segment's name.
            let least = header.map_or(SEGMENT_HEADER_BYTES as u64, |header| header.file_bytes);
            if *file_bytes < least {
                return Err(corrupt(
                    self.path(*number),
                    *file_bytes,
                    "the file is shorter than it was made",
                ));
            }
            let Some(header) = header else {
                unused.push(*number);
                continue;
            };
            if header.uuid != *uuid {
                return Err(JournalError::Foreign {
                    file: self.path(*number),
                });
            }
            if let Some(blank) = unused.first() {
                // A later segment's header is a later watermark.
                return Err(corrupt(
                    self.path(*blank),
                    0,
                    "the segment's header is damaged",
                ));
            }
            if let Some(before) = segments.last() {
                let previous = header.previous;
                let joins = previous.number == before.header.number
                    && previous.incarnation == before.header.incarnation
                    && previous.offset >= SEGMENT_HEADER_BYTES as u64
                    && previous.last >= before.header.previous.last;
                if !joins {
                    return Err(corrupt(
                        self.path(*number),
                        0,
                        "the header names another predecessor",
                    ));
                }
            }
            segments.push(LiveSegment {
                header,
                file_bytes: *file_bytes,
            });
        }
        if segments.is_empty() {
            let lowest = unused.first().copied().unwrap_or(1);
            return Err(corrupt(
                self.path(lowest),
                0,
                "the segment's header is damaged",
            ));
        }
        Ok((segments, unused))
    }

    fn walk(&mut self, number: u64) -> Result<FrameWalk, JournalError> {
        let path = self.path(number);
        let file = self.disk.open(&path, OpenMode::Read).at("open", &path)?;
        Ok(FrameWalk::new(file, path, std::mem::take(&mut self.buf)))
    }

    /// Checks every frame of all segments but the last against the end that
    /// the next header names.
    fn verify_all(&mut self, segments: &[LiveSegment]) -> Result<(), JournalError> {
        for pair in segments.windows(2) {
            let [segment, next] = pair else { continue };
            let end = next.header.previous;
            if end.last < self.verify_from {
                continue;
            }
            let mut walk = self.walk(segment.header.number)?;
            let mut chain = Chain::new(&segment.header);
            while walk.offset() < end.offset {
                match walk
                    .decode(chain.seed)?
                    .and_then(|frame| chain.check(frame))
                {
                    Ok(frame) => walk.advance(&frame),
                    Err(fault) => return Err(damaged(&walk, fault)),
                }
                self.groups += 1;
            }
            if walk.offset() != end.offset || chain.last != end.last || chain.crc != end.crc {
                return Err(corrupt(
                    walk.path().to_path_buf(),
                    walk.offset(),
                    "the segment ends otherwise than the next one says",
                ));
            }
            self.buf = walk.into_buf();
        }
        Ok(())
    }

    /// Finds the end of the last live segment.
    fn last_segment(
        &mut self,
        uuid: Uuid,
        segments: Vec<LiveSegment>,
        unused: Vec<u64>,
    ) -> Result<Scan, JournalError> {
        let Some(header) = segments.last().map(|segment| segment.header) else {
            return Err(JournalError::MissingSegment { file: self.path(1) });
        };
        let mut walk = self.walk(header.number)?;
        let mut chain = Chain::new(&header);
        let mut proven = header.previous;
        let mut tail: Vec<(TailGroup, SegmentEnd)> = Vec::new();
        let fault = loop {
            match walk
                .decode(chain.seed)?
                .and_then(|frame| chain.check(frame))
            {
                Ok(frame) => {
                    // What this watermark covers needs no copy.
                    while let Some((group, end)) = tail.first()
                        && group.last <= frame.watermark
                    {
                        proven = *end;
                        tail.remove(0);
                    }
                    if frame.last < frame.first {
                        // A closing frame: nothing but its watermark.
                        walk.advance(&frame);
                        continue;
                    }
                    let group = TailGroup {
                        first: frame.first,
                        last: frame.last,
                        batch_id: frame.batch_id,
                        events: walk.payload(&frame).to_vec(),
                    };
                    walk.advance(&frame);
                    tail.push((group, chain.end(walk.offset())));
                    self.groups += 1;
                }
                Err(fault) => break fault,
            }
        };
        let end = chain.end(walk.offset());
        let cut = self.beyond(&uuid, walk, end, fault, &unused)?;
        Ok(Scan {
            uuid,
            segments,
            end,
            proven,
            tail: tail.into_iter().map(|(group, _)| group).collect(),
            unused,
            cut,
            next_incarnation: 0,
            groups: self.groups,
        })
    }

    /// Decides whether what follows the last good group is a torn tail or
    /// damage.
    fn beyond(
        &mut self,
        uuid: &Uuid,
        walk: FrameWalk,
        end: SegmentEnd,
        fault: Fault,
        unused: &[u64],
    ) -> Result<Option<TornTail>, JournalError> {
        let (path, offset) = (walk.path().to_path_buf(), walk.offset());
        if let Fault::Version(found) = fault {
            return Err(JournalError::UnknownVersion {
                file: path,
                found,
                known: FORMAT_VERSION,
            });
        }
        let mut cut = None;
        let found = walk.search(uuid, end.number, end.last)?;
        if found.covered {
            return Err(corrupt(path, offset, fault_text(fault)));
        }
        if found.used_until > offset {
            cut = Some(TornTail {
                file: path.clone(),
                offset,
                bytes: found.used_until - offset,
            });
        }
        for number in unused {
            let walk = self.walk(*number)?;
            let file = walk.path().to_path_buf();
            let start = walk.offset();
            let found = walk.search(uuid, *number, end.last)?;
            if found.covered {
                return Err(corrupt(file, 0, "the segment's header is damaged"));
            }
            if cut.is_none() && found.used_until > start {
                cut = Some(TornTail {
                    file,
                    offset: 0,
                    bytes: found.used_until,
                });
            }
        }
        Ok(cut)
    }
}

fn damaged(walk: &FrameWalk, fault: Fault) -> JournalError {
    match fault {
        Fault::Version(found) => JournalError::UnknownVersion {
            file: walk.path().to_path_buf(),
            found,
            known: FORMAT_VERSION,
        },
        fault => corrupt(walk.path().to_path_buf(), walk.offset(), fault_text(fault)),
    }
}

fn next_incarnation(identity: IdentityState, headers: &[(u64, (HeaderState, u64))]) -> u64 {
    let seen = headers
        .iter()
        .filter_map(|(_, (state, _))| state.ok().map(|header| header.incarnation))
        .max()
        .unwrap_or(0);
    match identity {
        IdentityState::Found { identity, doubtful } => {
            identity.incarnation.max(seen) + 1 + u64::from(doubtful)
        }
        // The identity is written before `open` returns for the first time.
        IdentityState::Absent | IdentityState::Damaged => seen + LOST_IDENTITY_JUMP,
    }
}

/// What the next frame of a segment must fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    pub seed: u32,
    pub number: u64,
    pub incarnation: u64,
    pub last: Seq,
    pub crc: u32,
}

impl Chain {
    /// At the start of a segment.
    pub(crate) fn new(header: &SegmentHeader) -> Self {
        Self {
            seed: header.seed(),
            number: header.number,
            incarnation: header.incarnation,
            last: header.previous.last,
            crc: header.previous.crc,
        }
    }

    /// Accepts the frame if it follows, and goes on behind it.
    pub(crate) fn check(&mut self, frame: FrameHeader) -> Result<FrameHeader, Fault> {
        if frame.incarnation != self.incarnation {
            return Err(Fault::Bad("frame of another incarnation"));
        }
        if frame.previous_crc != self.crc {
            return Err(Fault::Bad("frame does not follow the group before it"));
        }
        if frame.first != self.last + 1 {
            return Err(Fault::Bad("frame does not follow the sequence before it"));
        }
        self.last = frame.last;
        self.crc = frame.crc;
        Ok(frame)
    }

    fn end(&self, offset: u64) -> SegmentEnd {
        SegmentEnd {
            number: self.number,
            incarnation: self.incarnation,
            offset,
            last: self.last,
            crc: self.crc,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_does_not_follow_is_refused() {
        let good = FrameHeader {
            crc: 77,
            previous_crc: 5,
            length: 8,
            first: 11,
            last: 12,
            watermark: 10,
            incarnation: 3,
            batch_id: 1,
        };
        let chain = Chain {
            seed: 0,
            number: 1,
            incarnation: 3,
            last: 10,
            crc: 5,
        };
        let accepts = |frame: FrameHeader| chain.clone().check(frame).is_ok();
        assert!(accepts(good));
        assert!(!accepts(FrameHeader {
            incarnation: 2,
            ..good
        }));
        assert!(!accepts(FrameHeader {
            previous_crc: 6,
            ..good
        }));
        assert!(!accepts(FrameHeader { first: 12, ..good }));
        assert!(!accepts(FrameHeader { first: 10, ..good }));
        let mut after = chain;
        after.check(good).unwrap();
        assert_eq!((after.last, after.crc), (12, 77));
    }
}
