//! Reads groups in order, for recovery and for a live tail.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, OpenMode};
use crate::error::{IoContext, JournalError};
use crate::format::{Fault, FrameHeader, SegmentHeader};
use crate::frames::FrameWalk;
use crate::layout;
use crate::limits::FORMAT_VERSION;
use crate::port::Seq;
use crate::scan::{Chain, read_header};

/// One group of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    /// Sequence of the first event.
    pub first: Seq,
    /// Sequence of the last event.
    pub last: Seq,
    /// What was durable when the group was written.
    pub watermark: Seq,
    /// The encoded events, as they were appended.
    pub events: &'a [u8],
}

/// Reads the groups of a journal's live chain in order.
///
/// It takes no lock and changes nothing, so it may follow a journal that is
/// being written. It never shows anything beyond the durable sequence that it
/// is given, and everything that it shows was checked.
#[derive(Debug)]
pub struct Reader {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// The last sequence that the caller has.
    done: Seq,
    header: SegmentHeader,
    chain: Chain,
    walk: FrameWalk,
    /// Where this segment's live part ends, once the next one says so.
    end: Option<SegmentHeader>,
}

impl Reader {
    /// Opens the journal in `dir` so that the first group returned is the one
    /// that holds `from` (it may begin before it; 0 counts as 1).
    ///
    /// # Errors
    /// [`JournalError::Released`] if `from` is no longer kept; damage and I/O
    /// errors with their place.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: impl Into<PathBuf>,
        from: Seq,
    ) -> Result<Self, JournalError> {
        let dir = dir.into();
        let from = from.max(1);
        let numbers = layout::list(&*disk, &dir)?.segments;
        let mut first = None;
        for number in numbers.iter().rev() {
            let path = layout::segment_path(&dir, *number);
            let Ok(header) = read_header(&*disk, &path)?.0 else {
                continue;
            };
            if header.number != *number {
                continue;
            }
            first = Some(header.first());
            if header.first() <= from {
                return Self::enter(disk, dir, header, from - 1, Vec::new());
            }
        }
        match first {
            Some(first) => Err(JournalError::Released { from, first }),
            None => Err(JournalError::MissingSegment {
                file: layout::segment_path(&dir, 1),
            }),
        }
    }

    fn enter(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        header: SegmentHeader,
        done: Seq,
        buf: Vec<u8>,
    ) -> Result<Self, JournalError> {
        let path = layout::segment_path(&dir, header.number);
        let file = disk.open(&path, OpenMode::Read).at("open", &path)?;
        let mut reader = Self {
            chain: Chain::new(&header),
            walk: FrameWalk::new(file, path, buf),
            end: None,
            disk,
            dir,
            done,
            header,
        };
        reader.end = reader.successor()?;
        Ok(reader)
    }

    /// The next segment's header, if it has begun.
    fn successor(&self) -> Result<Option<SegmentHeader>, JournalError> {
        let number = self.header.number + 1;
        let path = layout::segment_path(&self.dir, number);
        let state = match read_header(&*self.disk, &path) {
            Ok((state, _)) => state,
            Err(JournalError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        Ok(state.ok().filter(|next| {
            next.number == number
                && next.uuid == self.header.uuid
                && next.previous.number == self.header.number
                && next.previous.incarnation == self.header.incarnation
        }))
    }

    /// The sequence that the next group must hold.
    #[must_use]
    pub fn position(&self) -> Seq {
        self.done + 1
    }

    /// The next group, if all of it is at most `durable`.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] if what is durable cannot be read.
    pub fn next(&mut self, durable: Seq) -> Result<Option<Group<'_>>, JournalError> {
        loop {
            // Nothing is read that the journal thread may still be writing.
            if self.done >= durable {
                return Ok(None);
            }
            let Some(frame) = self.frame()? else {
                self.follow()?;
                continue;
            };
            if frame.last > durable {
                return Ok(None);
            }
            let before = self.chain;
            if let Err(fault) = self.chain.check(frame) {
                self.chain = before;
                return Err(self.damaged(fault));
            }
            if frame.last <= self.done {
                self.walk.advance(&frame);
                continue;
            }
            self.done = frame.last;
            return Ok(Some(self.show(frame)));
        }
    }

    fn show(&mut self, frame: FrameHeader) -> Group<'_> {
        self.walk.advance(&frame);
        Group {
            first: frame.first,
            last: frame.last,
            watermark: frame.watermark,
            events: self.walk.passed(&frame),
        }
    }

    /// The frame at the current place; `None` at the segment's end.
    fn frame(&mut self) -> Result<Option<FrameHeader>, JournalError> {
        for attempt in 0..2 {
            if let Some(next) = &self.end
                && self.walk.offset() >= next.previous.offset
            {
                return Ok(None);
            }
            match self.walk.decode(self.chain.seed)? {
                Ok(frame) => return Ok(Some(frame)),
                Err(fault) if attempt == 1 => return Err(self.damaged(fault)),
                Err(_) => {
                    // Read ahead of the writer, or the segment has ended.
                    self.walk.refresh();
                    self.end = self.successor()?;
                }
            }
        }
        Ok(None)
    }

    /// Goes on with the next segment.
    fn follow(&mut self) -> Result<(), JournalError> {
        let Some(next) = self.end else {
            return Err(self.damaged(Fault::Blank));
        };
        let end = next.previous;
        if self.walk.offset() != end.offset
            || self.chain.last != end.last
            || self.chain.crc != end.crc
        {
            return Err(self.damaged(Fault::Bad(
                "the segment ends otherwise than the next one says",
            )));
        }
        let path = layout::segment_path(&self.dir, next.number);
        let file = self.disk.open(&path, OpenMode::Read).at("open", &path)?;
        self.walk.replace(file, path);
        self.chain = Chain::new(&next);
        self.header = next;
        self.end = self.successor()?;
        Ok(())
    }

    fn damaged(&self, fault: Fault) -> JournalError {
        let file = self.walk.path().to_path_buf();
        let offset = self.walk.offset();
        match fault {
            Fault::Version(found) => JournalError::UnknownVersion {
                file,
                found,
                known: FORMAT_VERSION,
            },
            Fault::Blank => corrupt(file, offset, "nothing is written here"),
            Fault::Short(_) => corrupt(file, offset, "the file ends here"),
            Fault::Bad(what) => corrupt(file, offset, what),
        }
    }

    /// The journal's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

fn corrupt(file: PathBuf, offset: u64, what: &'static str) -> JournalError {
    JournalError::Corrupt { file, offset, what }
}
