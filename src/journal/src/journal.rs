//! The log as a directory of segment files.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use crate::disk::{DiskFile, DiskLock};
use crate::error::{IoContext, JournalError};
use crate::format::{FrameHeader, SegmentEnd, SegmentHeader, Uuid};
use crate::helper::{self, Helper, Step};
use crate::limits::{HelperMode, SEGMENT_HEADER_BYTES, frame_bytes};
use crate::pool::{Kept, Prepared, RetentionHandle, RoomHandle, Shared};
use crate::port::{Batch, Port, Seq, Verdict};
use crate::sim;

/// The one writer of a journal directory. Dropping it stops the helper thread
/// and unlocks the directory.
#[derive(Debug)]
pub struct FileJournal {
    shared: Arc<Shared>,
    hands: Hands,
    uuid: Uuid,
    incarnation: u64,
    segment: Segment,
    head: Seq,
    previous_crc: u32,
    last_batch: u64,
    /// The frame that is being written, with the header before it if it opens
    /// a segment.
    frame: Vec<u8>,
    /// Last, so that nothing of ours is at work when somebody else may start.
    _lock: Box<dyn DiskLock>,
}

/// Who does the helper's work.
#[derive(Debug)]
enum Hands {
    Thread(JoinHandle<()>),
    Inline(Helper),
    /// With the state of the generator that says when it gets how many turns.
    Stepped(Helper, u64),
    /// At the end.
    Gone,
}

/// The segment that is being written.
#[derive(Debug)]
pub(crate) struct Segment {
    pub file: Box<dyn DiskFile>,
    pub path: PathBuf,
    pub number: u64,
    pub file_bytes: u64,
    pub seed: u32,
    /// Offset of the next frame.
    pub offset: u64,
}

/// What opening found, for [`FileJournal::new`].
#[derive(Debug)]
pub(crate) struct Opened {
    pub shared: Arc<Shared>,
    pub lock: Box<dyn DiskLock>,
    pub uuid: Uuid,
    pub incarnation: u64,
    pub segment: Segment,
    pub head: Seq,
    pub previous_crc: u32,
}

impl FileJournal {
    /// Starts the helper and waits until there is room for requests, or until
    /// it is clear that there is none.
    pub(crate) fn new(opened: Opened) -> Result<Self, JournalError> {
        let Opened {
            shared,
            lock,
            uuid,
            incarnation,
            segment,
            head,
            previous_crc,
        } = opened;
        shared.set_current(segment.file_bytes.saturating_sub(segment.offset));
        let hands = match shared.options.helper {
            HelperMode::Thread => Hands::Thread(helper::start(Arc::clone(&shared))?),
            HelperMode::Inline => Hands::Inline(Helper::default()),
            HelperMode::Stepped(seed) => Hands::Stepped(Helper::default(), seed),
        };
        let frame =
            Vec::with_capacity(SEGMENT_HEADER_BYTES + frame_bytes(shared.options.max_group_bytes));
        let mut journal = Self {
            shared,
            hands,
            uuid,
            incarnation,
            segment,
            head,
            previous_crc,
            last_batch: 0,
            frame,
            _lock: lock,
        };
        match &mut journal.hands {
            Hands::Stepped(helper, _) => helper.settle(&journal.shared),
            Hands::Inline(helper) => helper.run(&journal.shared),
            Hands::Thread(_) | Hands::Gone => journal.shared.wait_for_room(),
        }
        Ok(journal)
    }

    /// The last sequence in the log.
    #[must_use]
    pub fn head(&self) -> Seq {
        self.head
    }

    /// A handle that tells how much may still be written.
    #[must_use]
    pub fn room_handle(&self) -> RoomHandle {
        RoomHandle(Arc::clone(&self.shared))
    }

    /// A handle that gives up old segments.
    #[must_use]
    pub fn retention(&self) -> RetentionHandle {
        RetentionHandle(Arc::clone(&self.shared))
    }

    /// Takes the next segment if the frame does not fit this one. Returns the
    /// header that must be written with the frame.
    fn make_place(&mut self, bytes: usize) -> Result<Option<Segment>, JournalError> {
        if self.segment.offset + bytes as u64 <= self.segment.file_bytes {
            return Ok(None);
        }
        self.help();
        let waits = matches!(self.hands, Hands::Thread(_));
        let Prepared {
            file,
            path,
            file_bytes,
        } = self.shared.take_next(waits)?;
        self.turns();
        let number = self.segment.number + 1;
        let header = SegmentHeader {
            uuid: self.uuid,
            number,
            incarnation: self.incarnation,
            file_bytes,
            previous: SegmentEnd {
                number: self.segment.number,
                incarnation: self.incarnation,
                offset: self.segment.offset,
                last: self.head,
                crc: self.previous_crc,
            },
        };
        header.encode(&mut self.frame);
        Ok(Some(Segment {
            file,
            path,
            number,
            file_bytes,
            seed: header.seed(),
            offset: 0,
        }))
    }

    fn write(&mut self, batch: &Batch<'_>) -> Result<(), JournalError> {
        self.frame.clear();
        let begun = self.make_place(frame_bytes(batch.events.len()))?;
        let begins = begun.is_some();
        if let Some(segment) = begun {
            self.segment = segment;
        }
        let crc = self.write_frame(batch)?;
        let free = self.segment.file_bytes.saturating_sub(self.segment.offset);
        if begins {
            self.begun(batch.first, free);
        } else {
            self.shared.set_current(free);
        }
        self.head = batch.last;
        self.previous_crc = crc;
        self.last_batch = batch.batch_id;
        Ok(())
    }

    /// Writes the batch behind what the frame buffer holds already, and syncs.
    /// Returns the frame's checksum.
    fn write_frame(&mut self, batch: &Batch<'_>) -> Result<u32, JournalError> {
        let header = FrameHeader {
            crc: 0,
            length: 0,
            previous_crc: self.previous_crc,
            first: batch.first,
            last: batch.last,
            // One group is in flight at a time, so all before it is durable.
            watermark: self.head,
            incarnation: self.incarnation,
            batch_id: batch.batch_id,
        };
        let crc = header.encode(self.segment.seed, batch.events, &mut self.frame);
        self.turns();
        let segment = &self.segment;
        segment
            .file
            .write_at(&self.frame, segment.offset)
            .at("write", &segment.path)?;
        self.turns();
        let segment = &mut self.segment;
        segment.file.sync_data().at("sync", &segment.path)?;
        segment.offset += self.frame.len() as u64;
        self.turns();
        Ok(crc)
    }

    /// Ends an orderly life with a frame that carries a watermark only, so
    /// that damage to the last group is found to be damage, not taken for a
    /// torn tail.
    fn close(&mut self) -> Result<(), JournalError> {
        let fits = self.segment.offset + frame_bytes(0) as u64 <= self.segment.file_bytes;
        if self.shared.fatal().is_some() || self.head == 0 || !fits {
            return Ok(());
        }
        self.frame.clear();
        self.write_frame(&Batch {
            term: self.incarnation,
            expected_head: self.head,
            batch_id: self.last_batch,
            first: self.head + 1,
            last: self.head,
            events: &[],
        })?;
        Ok(())
    }

    /// Tells the helper that the next segment is in use.
    fn begun(&mut self, first: Seq, free: u64) {
        self.shared.begin_segment(self.segment.file_bytes, free);
        self.shared.pool().kept.push_back(Kept {
            number: self.segment.number,
            first,
            file_bytes: self.segment.file_bytes,
        });
        self.shared.work.notify_all();
        if let Hands::Inline(helper) = &mut self.hands {
            helper.run(&self.shared);
        }
    }

    /// Does what the next segment needs if no thread does it.
    fn help(&mut self) {
        match &mut self.hands {
            Hands::Inline(helper) => helper.run(&self.shared),
            Hands::Stepped(helper, _) => helper.bring_next(&self.shared),
            Hands::Thread(_) | Hands::Gone => {}
        }
    }

    /// Between two operations of the journal's own, when a simulation's
    /// helper may get a few steps in.
    fn turns(&mut self) {
        let Hands::Stepped(helper, state) = &mut self.hands else {
            return;
        };
        // Often none, so that jobs stay half-done over many groups too.
        let turns = match sim::next(state) % 16 {
            drawn @ 0..6 => drawn,
            15 => 16,
            _ => 0,
        };
        for _ in 0..turns {
            if helper.step(&self.shared) != Step::Done {
                break;
            }
        }
    }
}

impl Port for FileJournal {
    fn term(&self) -> u64 {
        self.incarnation
    }

    fn max_group_bytes(&self) -> usize {
        self.shared.options.max_group_bytes
    }

    fn submit(&mut self, batch: Batch<'_>) -> Verdict {
        if let Some(error) = self.shared.fatal() {
            return Verdict::Failed(error.clone());
        }
        let limit = self.shared.options.max_group_bytes;
        if batch.events.len() > limit {
            return Verdict::Failed(JournalError::GroupTooLarge {
                bytes: batch.events.len(),
                limit,
            });
        }
        let follows = batch.term == self.incarnation
            && batch.expected_head == self.head
            && batch.first == self.head + 1
            && batch.last >= batch.first;
        if !follows {
            return Verdict::Rejected { head: self.head };
        }
        match self.write(&batch) {
            Ok(()) => Verdict::Durable,
            Err(error) => {
                // What reached the disk is unknown. A second sync could
                // succeed and mean nothing, since the system may have dropped
                // the pages that failed.
                self.shared.fail(error.clone());
                Verdict::Failed(error)
            }
        }
    }

    fn resolve(&mut self, batch_id: u64) -> Verdict {
        match self.shared.fatal() {
            _ if batch_id <= self.last_batch => Verdict::Durable,
            Some(error) => Verdict::Failed(error.clone()),
            None => Verdict::Rejected { head: self.head },
        }
    }
}

impl Drop for FileJournal {
    fn drop(&mut self) {
        // Everything answered is durable without it.
        drop(self.close());
        self.shared.stopping.store(true, Ordering::Release);
        // Under the lock, so that the helper cannot miss it.
        let pool = self.shared.pool();
        self.shared.work.notify_all();
        drop(pool);
        match std::mem::replace(&mut self.hands, Hands::Gone) {
            // A helper that panicked has nothing left to say.
            Hands::Thread(helper) => drop(helper.join()),
            Hands::Stepped(mut helper, _) => helper.finish(&self.shared),
            Hands::Inline(_) | Hands::Gone => {}
        }
    }
}
