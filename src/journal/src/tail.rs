//! Follows the durable groups: those of lately out of memory, others by reading.

use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::JournalError;
use crate::port::Seq;
use crate::reader::Reader;
use crate::recent::{Recent, Took};

/// The live end of a log, for one who applies it event by event.
#[derive(Debug)]
pub struct Tail {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    recent: Recent,
    /// While what comes next is not at hand.
    reader: Option<Reader>,
    /// The last sequence that the caller has.
    done: Seq,
}

impl Tail {
    /// Follows from the group that holds `from` on (it may begin before it).
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: impl Into<PathBuf>,
        from: Seq,
        recent: Recent,
    ) -> Result<Self, JournalError> {
        let dir = dir.into();
        let reader = Reader::open(Arc::clone(&disk), dir.clone(), from)?;
        Ok(Self {
            disk,
            dir,
            recent,
            reader: Some(reader),
            done: from.saturating_sub(1),
        })
    }

    /// Puts the next groups' events in place of what is in `events`; `false` when
    /// nothing more is durable. Hand in the same buffer each time: it is passed on.
    ///
    /// # Errors
    /// [`JournalError::Corrupt`] if what is durable cannot be read.
    pub fn next(&mut self, durable: Seq, events: &mut Vec<u8>) -> Result<bool, JournalError> {
        match self.recent.take(self.done + 1, durable, events) {
            Took::Nothing => return Ok(false),
            Took::Groups { last, .. } => {
                self.done = last;
                self.reader = None;
                return Ok(true);
            }
            Took::Missed => {}
        }
        let reader = match &mut self.reader {
            Some(reader) => reader,
            slot @ None => slot.insert(Reader::open(
                Arc::clone(&self.disk),
                self.dir.clone(),
                self.done + 1,
            )?),
        };
        let Some(group) = reader.next(durable)? else {
            return Ok(false);
        };
        self.done = group.last;
        events.clear();
        events.extend_from_slice(group.events);
        Ok(true)
    }
}
