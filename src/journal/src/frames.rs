//! Walks the frames of one segment file with large reads and one buffer.

use std::path::{Path, PathBuf};

use crate::disk::DiskFile;
use crate::error::{IoContext, JournalError};
use crate::format::{FRAME_MAGIC, Fault, FrameHeader, Uuid, frame_seed};
use crate::limits::{FRAME_ALIGN, FRAME_HEADER_BYTES, READ_CHUNK_BYTES, SEGMENT_HEADER_BYTES};
use crate::port::Seq;

/// How much is looked at together for being zero.
const BLOCK_BYTES: usize = 4096;
/// Compared with a block in one call, which is fast without optimisation too.
static ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

const _: () = assert!(BLOCK_BYTES.is_multiple_of(FRAME_ALIGN));

/// A window on a file that moves forward.
#[derive(Debug)]
pub(crate) struct FrameWalk {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    /// Bytes of the file from `offset` on are `buf[start..end]`.
    buf: Vec<u8>,
    start: usize,
    end: usize,
    offset: u64,
}

impl FrameWalk {
    /// Starts at the first frame. `buf` is a buffer to use again.
    pub(crate) fn new(file: Box<dyn DiskFile>, path: PathBuf, buf: Vec<u8>) -> Self {
        Self {
            file,
            path,
            buf,
            start: 0,
            end: 0,
            offset: SEGMENT_HEADER_BYTES as u64,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Offset of the next frame in the file.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes to the first frame of another file, with the same buffer.
    pub(crate) fn replace(&mut self, file: Box<dyn DiskFile>, path: PathBuf) {
        self.file = file;
        self.path = path;
        self.offset = SEGMENT_HEADER_BYTES as u64;
        self.refresh();
    }

    /// Gives the buffer back.
    pub(crate) fn into_buf(self) -> Vec<u8> {
        self.buf
    }

    /// Forgets what was read ahead: the file may have grown meanwhile.
    pub(crate) fn refresh(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    fn window(&self) -> &[u8] {
        self.buf.get(self.start..self.end).unwrap_or_default()
    }

    /// Reads until the window has `bytes`, or the file ends.
    fn fill(&mut self, bytes: usize) -> Result<(), JournalError> {
        if self.end - self.start >= bytes {
            return Ok(());
        }
        self.buf.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        // A segment's length never changes, so a small one needs no large
        // buffer.
        let left = self
            .file
            .len()
            .at("measure", &self.path)?
            .saturating_sub(self.offset);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let want = bytes.max(READ_CHUNK_BYTES).min(left);
        if self.buf.len() < want {
            self.buf.resize(want, 0);
        }
        let at = self.offset + self.end as u64;
        let free = self.buf.get_mut(self.end..).unwrap_or_default();
        let n = self.file.read_at(free, at).at("read", &self.path)?;
        self.end += n;
        Ok(())
    }

    /// Reads and checks the frame at the offset; [`frame`](Self::frame) then
    /// shows it and [`advance`](Self::advance) goes behind it.
    pub(crate) fn decode(&mut self, seed: u32) -> Result<Result<FrameHeader, Fault>, JournalError> {
        let mut want = FRAME_HEADER_BYTES;
        loop {
            self.fill(want)?;
            match FrameHeader::decode(seed, self.window()) {
                Err(Fault::Short(need)) if need > want => want = need,
                other => return Ok(other),
            }
        }
    }

    /// The payload of the frame that was just decoded.
    pub(crate) fn payload(&self, header: &FrameHeader) -> &[u8] {
        self.window()
            .get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + header.length as usize)
            .unwrap_or_default()
    }

    /// Goes behind the frame that was just decoded.
    pub(crate) fn advance(&mut self, header: &FrameHeader) {
        let bytes = header.frame_bytes();
        self.start = (self.start + bytes).min(self.end);
        self.offset += bytes as u64;
    }

    /// The payload of the frame that was advanced behind last; the window has
    /// not moved since.
    pub(crate) fn passed(&self, header: &FrameHeader) -> &[u8] {
        let start = self.start.saturating_sub(header.frame_bytes()) + FRAME_HEADER_BYTES;
        self.buf
            .get(start..start + header.length as usize)
            .unwrap_or_default()
    }

    /// Looks at everything behind the offset: whether a valid frame with a
    /// watermark above `last` is there, and where the last byte that is not
    /// zero ends.
    pub(crate) fn search(
        mut self,
        uuid: &Uuid,
        number: u64,
        last: Seq,
    ) -> Result<Beyond, JournalError> {
        let mut beyond = Beyond {
            covered: false,
            used_until: self.offset,
        };
        self.refresh();
        loop {
            self.fill(READ_CHUNK_BYTES)?;
            let window = self.window();
            if window.is_empty() {
                return Ok(beyond);
            }
            for (at, block) in (0..).step_by(BLOCK_BYTES).zip(window.chunks(BLOCK_BYTES)) {
                // Nearly all of it is zero, so that is what must be fast.
                if ZEROS.starts_with(block) {
                    continue;
                }
                let used = block.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
                beyond.used_until = self.offset + (at + used) as u64;
                for (inside, word) in (0..).step_by(FRAME_ALIGN).zip(block.chunks(FRAME_ALIGN)) {
                    if word == FRAME_MAGIC && self.covers(uuid, number, last, at + inside)? {
                        beyond.covered = true;
                        return Ok(beyond);
                    }
                }
            }
            self.offset += self.end as u64;
            self.refresh();
        }
    }

    /// Whether the frame at `at` in the window is valid and says that more
    /// than `last` was durable.
    fn covers(&self, uuid: &Uuid, number: u64, last: Seq, at: usize) -> Result<bool, JournalError> {
        let mut bytes = self.window().get(at..).unwrap_or_default();
        let mut read;
        loop {
            // A watermark of any life tells the truth, so the frame's own
            // incarnation is good enough.
            let decoded = FrameHeader::peek(bytes).and_then(|(header, _)| {
                if header.watermark <= last {
                    return Err(Fault::Blank);
                }
                FrameHeader::decode(frame_seed(uuid, number, header.incarnation), bytes)
            });
            let Err(Fault::Short(need)) = decoded else {
                return Ok(decoded.is_ok());
            };
            let offset = self.offset + at as u64;
            read = crate::layout::read_up_to(&*self.file, &self.path, offset, need)?;
            if read.len() < need {
                return Ok(false);
            }
            bytes = &read;
        }
    }
}

/// What lies behind the last good frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beyond {
    /// A valid frame says that more than the good frames was durable.
    pub covered: bool,
    /// Offset behind the last byte that is not zero.
    pub used_until: u64,
}
