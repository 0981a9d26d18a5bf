//! Opening: lock, recover, begin a segment of one's own.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::disk::{Disk, DiskLock, OpenMode};
use crate::error::{IoContext, JournalError};
use crate::format::{FrameHeader, Identity, SegmentEnd, SegmentHeader, Uuid};
use crate::frames::FrameWalk;
use crate::journal::{FileJournal, Opened, Segment};
use crate::layout::{self, IdentityState, Listing};
use crate::limits::{JournalOptions, MAX_GROUP_BYTES, SEGMENT_HEADER_BYTES, frame_bytes};
use crate::pool::{Draft, Kept, Pool, Prepared, Shared};
use crate::port::Seq;
use crate::scan::{Scan, TailGroup, TornTail, scan_dir};
use crate::spare::{Made, SpareMaker};

/// Opens journals.
#[derive(Clone, Copy, Debug)]
pub struct Journal;

/// An open journal, and what recovery found.
#[derive(Debug)]
pub struct Recovered {
    /// The writer.
    pub journal: FileJournal,
    /// The last sequence; 0 if there is none.
    pub head: Seq,
    /// The oldest sequence kept (`head + 1` if there is none).
    pub first: Seq,
    /// The journal's identity.
    pub uuid: [u8; 16],
    /// This start's number, higher than every one before it.
    pub incarnation: u64,
    /// What was cut off behind the last good group, if anything was. Without
    /// [`JournalOptions::zero_recycled`], old bytes there count too.
    pub cut: Option<TornTail>,
    /// Whether the journal was created.
    pub fresh: bool,
}

/// What a read-only look at a journal found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScanReport {
    /// The last sequence in a good group; 0 if there is none.
    pub head: Seq,
    /// The oldest sequence kept.
    pub first: Seq,
    /// The journal's identity.
    pub uuid: [u8; 16],
    /// Live segments.
    pub segments: usize,
    /// Groups checked.
    pub groups: u64,
    /// What the next start will cut off.
    pub cut: Option<TornTail>,
}

/// Checks the whole journal in `dir` without a lock and without changing
/// anything; `None` if there is no journal. Meant for a journal that nobody
/// writes meanwhile: of one that grows, its end may look torn or damaged.
///
/// # Errors
/// Whatever would keep [`Journal::open`] from starting, with its place.
pub fn scan(disk: &dyn Disk, dir: &Path) -> Result<Option<ScanReport>, JournalError> {
    let listing = layout::list(disk, dir)?;
    let identity = layout::read_identity(disk, dir)?;
    let scan = scan_dir(disk, dir, &listing, identity, 0)?;
    Ok(scan.map(|scan| ScanReport {
        head: scan.end.last,
        first: scan.first(),
        uuid: scan.uuid,
        segments: scan.segments.len(),
        groups: scan.groups,
        cut: scan.cut,
    }))
}

impl Journal {
    /// Opens the journal in `options.dir`, or creates it.
    ///
    /// Every start begins a segment of its own, whose header names the end of
    /// what is proven durable; groups behind that are copied into it and
    /// synced before this returns.
    ///
    /// # Errors
    /// [`JournalError::Locked`] if somebody else has it open;
    /// [`JournalError::Corrupt`] or [`JournalError::MissingSegment`] if
    /// durable groups are damaged or gone; I/O errors with their place.
    pub fn open(disk: Arc<dyn Disk>, options: JournalOptions) -> Result<Recovered, JournalError> {
        options.validate()?;
        let dir = options.dir.clone();
        disk.create_dir_all(&dir).at("create", &dir)?;
        let lock = take_lock(&*disk, &dir)?;
        // An earlier process may have been killed between a change of names
        // and the sync behind it. What is seen here must be what is there
        // after a power loss before anything is built on it: a released
        // segment's name, say, before its bytes are zeroed.
        let names = disk.open_dir(&dir).at("open", &dir)?;
        names.sync().at("sync", &dir)?;
        let listing = layout::list(&*disk, &dir)?;
        let identity = layout::read_identity(&*disk, &dir)?;
        let found = scan_dir(&*disk, &dir, &listing, identity, options.verify_from)?;
        let mut opening = Opening {
            shared: Shared::new(disk, names, options),
            listing,
            identity,
        };
        opening.collect(found.as_ref())?;
        match found {
            Some(found) => opening.resume(lock, found),
            None => opening.create(lock),
        }
    }
}

fn take_lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn DiskLock>, JournalError> {
    let path = layout::lock_path(dir);
    disk.lock(&path).map_err(|error| {
        if error.kind() == io::ErrorKind::WouldBlock {
            JournalError::Locked {
                dir: dir.to_path_buf(),
            }
        } else {
            JournalError::io("lock", &path, error)
        }
    })
}

struct Opening {
    shared: Shared,
    listing: Listing,
    identity: IdentityState,
}

/// The segment that a start begins with.
struct Begin {
    uuid: Uuid,
    incarnation: u64,
    previous: SegmentEnd,
    tail: Vec<TailGroup>,
}

impl Opening {
    fn dir(&self) -> &Path {
        &self.shared.options.dir
    }

    fn disk(&self) -> &dyn Disk {
        &*self.shared.disk
    }

    /// Puts what lies ahead of use into the pool: spares as they are, prepared
    /// but unused segments and whole drafts to be zeroed again.
    fn collect(&mut self, found: Option<&Scan>) -> Result<(), JournalError> {
        let mut pool = std::mem::take(&mut *self.shared.pool());
        pool.last_spare = self.listing.last_spare;
        for path in std::mem::take(&mut self.listing.spares) {
            if let Some(spare) = self.usable(path)? {
                self.count(spare.file_bytes);
                self.shared.add_ready(spare.file_bytes);
                pool.spares.push_back(spare);
            }
        }
        for path in std::mem::take(&mut self.listing.drafts) {
            if let Some(draft) = self.usable(path)? {
                self.count(draft.file_bytes);
                pool.drafts.push_back(Draft {
                    path: draft.path,
                    file_bytes: draft.file_bytes,
                    whole: false,
                });
            }
        }
        // The highest first, each gone for good before the next goes: a start
        // that ends half-way must leave no gap between segments.
        for number in found.iter().flat_map(|found| found.unused.iter().rev()) {
            pool.last_spare += 1;
            let path = layout::segment_path(self.dir(), *number);
            self.set_aside(&path, &mut pool)?;
        }
        *self.shared.pool() = pool;
        Ok(())
    }

    fn count(&self, bytes: u64) {
        self.shared.disk_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A file of the right size; another is removed.
    fn usable(&self, path: PathBuf) -> Result<Option<Prepared>, JournalError> {
        let file = self.disk().open(&path, OpenMode::Write).at("open", &path)?;
        let file_bytes = file.len().at("measure", &path)?;
        if file_bytes == self.shared.options.segment_bytes {
            return Ok(Some(Prepared {
                file,
                path,
                file_bytes,
            }));
        }
        self.disk().remove(&path).at("remove", &path)?;
        Ok(None)
    }

    /// Takes the segment's name from a file that never became one. The name
    /// must be gone before its bytes change; the caller's later sync of the
    /// directory comes too late for that, so it is synced here.
    fn set_aside(&self, path: &Path, pool: &mut Pool) -> Result<(), JournalError> {
        let walk = FrameWalk::new(
            self.disk().open(path, OpenMode::Read).at("open", path)?,
            path.to_path_buf(),
            Vec::new(),
        );
        let start = walk.offset();
        let header = layout::read_up_to(
            &*self.disk().open(path, OpenMode::Read).at("open", path)?,
            path,
            0,
            SEGMENT_HEADER_BYTES,
        )?;
        let blank = header.iter().all(|byte| *byte == 0)
            && walk.search(&[0; 16], 0, Seq::MAX)?.used_until == start;
        let to = if blank {
            layout::spare_path(self.dir(), pool.last_spare)
        } else {
            layout::draft_path(self.dir(), pool.last_spare)
        };
        self.disk().rename(path, &to).at("rename", path)?;
        self.shared.names.sync().at("sync", self.dir())?;
        let Some(file) = self.usable(to)? else {
            return Ok(());
        };
        self.count(file.file_bytes);
        if blank {
            self.shared.add_ready(file.file_bytes);
            pool.spares.push_back(file);
        } else {
            pool.drafts.push_back(Draft {
                path: file.path,
                file_bytes: file.file_bytes,
                whole: true,
            });
        }
        Ok(())
    }

    fn resume(mut self, lock: Box<dyn DiskLock>, found: Scan) -> Result<Recovered, JournalError> {
        let incarnation = found.next_incarnation;
        let uuid = found.uuid;
        // Durable before anything is written under it: no two lives ever
        // share an incarnation, whatever the power does.
        let identity = Identity { uuid, incarnation };
        layout::write_identity(self.disk(), self.dir(), &identity, self.identity)?;
        let head = found.end.last;
        let first = found.first();
        let number = found.proven.number + 1;
        for segment in &found.segments {
            if segment.header.number < number {
                self.keep(
                    segment.header.number,
                    segment.header.first(),
                    segment.file_bytes,
                );
            }
        }
        let begun = self.begin(Begin {
            uuid,
            incarnation,
            previous: found.proven,
            tail: found.tail,
        })?;
        Ok(Recovered {
            journal: self.start(lock, identity, begun, head)?,
            head,
            first,
            uuid,
            incarnation,
            cut: found.cut,
            fresh: false,
        })
    }

    fn create(mut self, lock: Box<dyn DiskLock>) -> Result<Recovered, JournalError> {
        let uuid = match self.shared.options.uuid {
            Some(uuid) => uuid,
            None => random_uuid(self.dir())?,
        };
        let incarnation = 1;
        let begun = self.begin(Begin {
            uuid,
            incarnation,
            previous: SegmentEnd::default(),
            tail: Vec::new(),
        })?;
        // After the first segment: an identity without one means loss.
        let identity = Identity { uuid, incarnation };
        layout::write_identity(self.disk(), self.dir(), &identity, self.identity)?;
        Ok(Recovered {
            journal: self.start(lock, identity, begun, 0)?,
            head: 0,
            first: 1,
            uuid,
            incarnation,
            cut: None,
            fresh: true,
        })
    }

    fn keep(&mut self, number: u64, first: Seq, file_bytes: u64) {
        self.count(file_bytes);
        self.shared.pool().kept.push_back(Kept {
            number,
            first,
            file_bytes,
        });
    }

    /// Writes a segment whole, header and copied tail, and only then gives it
    /// its name: either it is there with all that it must hold, or not at all.
    fn begin(&mut self, begin: Begin) -> Result<(Segment, u32), JournalError> {
        let number = begin.previous.number + 1;
        let Prepared {
            file,
            path,
            mut file_bytes,
        } = self.first_file()?;
        // A tail of larger groups than today's options allow makes it longer.
        let tail_bytes: usize = (begin.tail.iter())
            .map(|group| frame_bytes(group.events.len()))
            .sum();
        file_bytes = file_bytes.max((SEGMENT_HEADER_BYTES + tail_bytes) as u64);
        let header = SegmentHeader {
            uuid: begin.uuid,
            number,
            incarnation: begin.incarnation,
            file_bytes,
            previous: begin.previous,
        };
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        let mut crc = begin.previous.crc;
        for group in &begin.tail {
            let frame = FrameHeader {
                crc: 0,
                length: 0,
                previous_crc: crc,
                first: group.first,
                last: group.last,
                watermark: begin.previous.last,
                incarnation: begin.incarnation,
                batch_id: group.batch_id,
            };
            crc = frame.encode(header.seed(), &group.events, &mut bytes);
        }
        file.write_at(&bytes, 0).at("write", &path)?;
        file.sync_all().at("sync", &path)?;
        let name = layout::segment_path(self.dir(), number);
        self.disk().rename(&path, &name).at("rename", &path)?;
        self.shared.names.sync().at("sync", self.dir())?;
        self.keep(number, header.first(), file_bytes);
        self.shared.pool().taken = number;
        let segment = Segment {
            file,
            path: name,
            number,
            file_bytes,
            seed: header.seed(),
            offset: bytes.len() as u64,
        };
        Ok((segment, crc))
    }

    /// A spare if there is one (a full disk then does not matter), else a
    /// file made now.
    fn first_file(&mut self) -> Result<Prepared, JournalError> {
        let mut pool = self.shared.pool();
        if let Some(spare) = pool.spares.pop_front() {
            self.shared.lose_ready(spare.file_bytes);
            self.shared
                .disk_bytes
                .fetch_sub(spare.file_bytes, Ordering::Relaxed);
            return Ok(spare);
        }
        pool.last_spare += 1;
        let number = pool.last_spare;
        let recycled = pool.drafts.pop_front();
        drop(pool);
        if let Some(draft) = &recycled {
            self.shared
                .disk_bytes
                .fetch_sub(draft.file_bytes, Ordering::Relaxed);
        }
        let options = &self.shared.options;
        // Nobody else is writing yet whom larger slices could delay.
        let pace = || Some(options.zero_slice_bytes.max(MAX_GROUP_BYTES));
        let mut maker = SpareMaker::new(options, recycled, number);
        loop {
            maker = match maker.step(self.disk(), options, &pace)? {
                Made::Part(maker) => maker,
                Made::Spare(spare) => return Ok(spare),
                Made::Stopped => {
                    return Err(JournalError::NoSpace {
                        dir: options.dir.clone(),
                    });
                }
            };
        }
    }

    fn start(
        self,
        lock: Box<dyn DiskLock>,
        identity: Identity,
        (segment, previous_crc): (Segment, u32),
        head: Seq,
    ) -> Result<FileJournal, JournalError> {
        FileJournal::new(Opened {
            shared: Arc::new(self.shared),
            lock,
            uuid: identity.uuid,
            incarnation: identity.incarnation,
            segment,
            head,
            previous_crc,
        })
    }
}

fn random_uuid(dir: &Path) -> Result<Uuid, JournalError> {
    let mut uuid = [0; 16];
    let n = rustix::rand::getrandom(&mut uuid, rustix::rand::GetRandomFlags::empty())
        .map_err(io::Error::from)
        .at("draw an identity for", dir)?;
    if n != uuid.len() {
        return Err(JournalError::io(
            "draw an identity for",
            dir,
            io::ErrorKind::UnexpectedEof.into(),
        ));
    }
    Ok(uuid)
}
