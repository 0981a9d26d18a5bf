//! Walks the frames of one segment file with large reads and one buffer.

use std::path::{Path, PathBuf};

use crate::disk::DiskFile;
use crate::error::{IoContext, JournalError};
use crate::format::{FRAME_MAGIC, Fault, FrameHeader, Uuid, frame_seed};
use crate::limits::{
    FRAME_ALIGN, FRAME_HEADER_BYTES, MAX_GROUP_BYTES, READ_CHUNK_BYTES, SEGMENT_HEADER_BYTES,
    frame_bytes,
};
use crate::port::Seq;

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
        loop {
            // A frame that starts in the first half of the window is in it whole.
            self.fill(frame_bytes(MAX_GROUP_BYTES) + READ_CHUNK_BYTES)?;
            let window = self.window();
            if window.is_empty() {
                return Ok(beyond);
            }
            if let Some(at) = window.iter().rposition(|byte| *byte != 0) {
                let until = self.offset + at as u64 + 1;
                beyond.used_until = beyond.used_until.max(until);
            }
            let step = window.len().min(READ_CHUNK_BYTES);
            for at in (0..step).step_by(FRAME_ALIGN) {
                let bytes = window.get(at..).unwrap_or_default();
                if bytes.starts_with(&FRAME_MAGIC) && covers(uuid, number, last, bytes) {
                    beyond.covered = true;
                    return Ok(beyond);
                }
            }
            self.start += step;
            self.offset += step as u64;
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

fn covers(uuid: &Uuid, number: u64, last: Seq, bytes: &[u8]) -> bool {
    let Ok((header, _)) = FrameHeader::peek(bytes) else {
        return false;
    };
    // The cheap test first. A watermark of any life tells the truth, so the
    // frame's own incarnation is good enough.
    header.watermark > last
        && FrameHeader::decode(frame_seed(uuid, number, header.incarnation), bytes).is_ok()
}
