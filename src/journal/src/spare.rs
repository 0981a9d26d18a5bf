//! Making a spare: a file of zeros, all of it durable, that needs nothing but
//! a name to become a segment.

use std::io;
use std::path::PathBuf;

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{IoContext, JournalError};
use crate::layout;
use crate::limits::{DEFAULT_ZERO_SLICE_BYTES, JournalOptions};
use crate::pool::{Draft, Prepared};

/// Nobody asks for memory, and touches it, for each slice.
static ZEROS: [u8; DEFAULT_ZERO_SLICE_BYTES] = [0; DEFAULT_ZERO_SLICE_BYTES];

/// A spare on its way.
#[derive(Debug)]
pub(crate) struct SpareMaker {
    draft: PathBuf,
    /// The spare's number.
    number: u64,
    /// Bytes that the file takes already.
    pub held: u64,
    fresh: bool,
    zero: bool,
    file: Option<Box<dyn DiskFile>>,
    /// Zeroed and synced so far.
    at: u64,
}

/// What a step led to.
#[derive(Debug)]
pub(crate) enum Made {
    Part(SpareMaker),
    Spare(Prepared),
    /// Stopped half-way: the draft stays, as it would after a crash.
    Stopped,
}

impl SpareMaker {
    /// Begins with a recycled or a new file.
    pub(crate) fn new(options: &JournalOptions, recycled: Option<Draft>, number: u64) -> Self {
        let held = recycled.as_ref().map_or(0, |draft| draft.file_bytes);
        let (draft, fresh, whole) = match recycled {
            Some(draft) => (draft.path, false, draft.whole),
            None => (layout::draft_path(&options.dir, number), true, false),
        };
        Self {
            draft,
            number,
            held,
            fresh,
            zero: options.zero_recycled || !whole,
            file: None,
            at: 0,
        }
    }

    /// Opens the file, zeroes and syncs one slice of it, or names it a spare.
    /// `pace` is asked for each slice's bytes; `None` stops. A file on which
    /// anything failed is removed, never tried again.
    pub(crate) fn step(
        self,
        disk: &dyn Disk,
        options: &JournalOptions,
        pace: &dyn Fn() -> Option<usize>,
    ) -> Result<Made, JournalError> {
        // Asked before a byte is written, so that a full disk is not stirred
        // at every attempt.
        if self.fresh && self.file.is_none() {
            let dir = &options.dir;
            if disk.free_bytes(dir).at("measure", dir)? < options.segment_bytes {
                return Err(JournalError::NoSpace { dir: dir.clone() });
            }
        }
        let draft = self.draft.clone();
        let made = self.advance(disk, options, pace);
        if made.is_err()
            && let Err(error) = disk.remove(&draft)
            && error.kind() != io::ErrorKind::NotFound
        {
            // The first error matters more; the next start removes the draft.
            return made;
        }
        made
    }

    fn advance(
        mut self,
        disk: &dyn Disk,
        options: &JournalOptions,
        pace: &dyn Fn() -> Option<usize>,
    ) -> Result<Made, JournalError> {
        let file_bytes = options.segment_bytes;
        let Some(file) = self.file.take() else {
            let mode = if self.fresh {
                OpenMode::CreateNew
            } else {
                OpenMode::Write
            };
            self.file = Some(disk.open(&self.draft, mode).at("open", &self.draft)?);
            return Ok(Made::Part(self));
        };
        if self.zero && self.at < file_bytes {
            let Some(slice) = pace() else {
                return Ok(Made::Stopped);
            };
            let n = usize::try_from(file_bytes - self.at).map_or(slice, |left| left.min(slice));
            let end = self.at + n.max(1) as u64;
            while self.at < end {
                let left = usize::try_from(end - self.at).unwrap_or(usize::MAX);
                let zeros = ZEROS.get(..left).unwrap_or(&ZEROS);
                file.write_at(zeros, self.at).at("write", &self.draft)?;
                self.at += zeros.len() as u64;
            }
            file.sync_data().at("sync", &self.draft)?;
            self.file = Some(file);
            return Ok(Made::Part(self));
        }
        if self.zero {
            file.sync_all().at("sync", &self.draft)?;
        }
        let path = layout::spare_path(&options.dir, self.number);
        disk.rename(&self.draft, &path).at("rename", &self.draft)?;
        Ok(Made::Spare(Prepared {
            file,
            path,
            file_bytes,
        }))
    }
}
