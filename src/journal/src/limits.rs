//! Every bound of the journal, named in one place, and the options that set
//! them.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::JournalError;
use crate::port::Seq;

/// Version of the on-disk formats (segment header, frame, identity file).
pub const FORMAT_VERSION: u16 = 1;
/// What a disk writes whole or not at all, in bytes.
pub const SECTOR_BYTES: usize = 512;
/// Bytes of a segment's header: one sector, so that it is never torn.
pub const SEGMENT_HEADER_BYTES: usize = SECTOR_BYTES;
/// Bytes of a frame's header.
pub const FRAME_HEADER_BYTES: usize = 64;
/// Frames start at multiples of this many bytes, which makes the search for
/// frames behind a damaged place cheap.
pub const FRAME_ALIGN: usize = 8;
/// Upper limit of a group's payload in bytes, whatever the options say.
pub const MAX_GROUP_BYTES: usize = 1 << 20;
/// Default size of a segment file in bytes.
pub const DEFAULT_SEGMENT_BYTES: u64 = 64 << 20;
/// Largest segment file that options may ask for, in bytes.
pub const MAX_SEGMENT_BYTES: u64 = 1 << 30;
/// Default bound on bytes that wait for the journal thread or its sync.
pub const DEFAULT_MAX_PENDING_BYTES: usize = 4 << 20;
/// Bytes of durable groups that a daemon holds in memory for its follower: a third of a
/// second of full load.
pub const RECENT_BYTES: usize = 16 << 20;
/// Default bytes zeroed between two syncs when a segment is prepared: bigger
/// bursts stall the journal thread's own sync.
pub const DEFAULT_ZERO_SLICE_BYTES: usize = 256 << 10;
/// Default number of segments kept back for reversals and advices.
pub const DEFAULT_RESERVE_SEGMENTS: usize = 1;
/// Default bytes that may already be decided when the room shrinks.
pub const DEFAULT_HEADROOM_BYTES: u64 = 6 << 20;
/// Bytes that a reader fetches at once.
pub const READ_CHUNK_BYTES: usize = 256 << 10;

/// Bytes of the largest frame with a payload of `payload` bytes.
#[must_use]
pub const fn frame_bytes(payload: usize) -> usize {
    (FRAME_HEADER_BYTES + payload).next_multiple_of(FRAME_ALIGN)
}

const _: () = {
    assert!(SEGMENT_HEADER_BYTES.is_multiple_of(FRAME_ALIGN));
    assert!(FRAME_HEADER_BYTES.is_multiple_of(FRAME_ALIGN));
    assert!(
        DEFAULT_SEGMENT_BYTES >= (SEGMENT_HEADER_BYTES + 8 * frame_bytes(MAX_GROUP_BYTES)) as u64
    );
    assert!(DEFAULT_SEGMENT_BYTES.is_multiple_of(SECTOR_BYTES as u64));
    assert!(MAX_SEGMENT_BYTES >= DEFAULT_SEGMENT_BYTES);
    assert!(DEFAULT_MAX_PENDING_BYTES >= 2 * MAX_GROUP_BYTES);
    // What is pending when the room shrinks must still fit.
    assert!(
        DEFAULT_HEADROOM_BYTES >= (DEFAULT_MAX_PENDING_BYTES + frame_bytes(MAX_GROUP_BYTES)) as u64
    );
    assert!(DEFAULT_HEADROOM_BYTES <= DEFAULT_SEGMENT_BYTES / 4);
    assert!(DEFAULT_ZERO_SLICE_BYTES.is_multiple_of(SECTOR_BYTES));
    assert!(DEFAULT_RESERVE_SEGMENTS >= 1);
    // Sizes are added in u32 and usize without a check.
    assert!(MAX_GROUP_BYTES < u32::MAX as usize / 4);
};

/// Who does the helper's work: segments ahead of use, release of old ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelperMode {
    /// A thread of its own.
    Thread,
    /// Whoever calls the journal, all that there is to do at once, so that a
    /// simulation's order of operations is always the same. It stalls
    /// commits; never for production.
    Inline,
    /// Whoever calls the journal, a step at a time between the journal's own
    /// operations on the disk, how many where follows from the seed: any
    /// order in which a thread could have taken them, and the same again for
    /// the same seed. Never for production.
    Stepped(u64),
}

/// How a journal is laid out on disk.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// Directory that holds the journal and nothing else.
    pub dir: PathBuf,
    /// Size of a segment file in bytes; a multiple of [`SECTOR_BYTES`].
    pub segment_bytes: u64,
    /// Largest payload of one group in bytes, at most [`MAX_GROUP_BYTES`].
    pub max_group_bytes: usize,
    /// Segments kept ready for reversals and advices when the disk is full;
    /// at least one.
    pub reserve_segments: usize,
    /// Bytes that may already be decided, but not written, when
    /// [`Room`](crate::Room) changes: the bound on what waits for the journal
    /// plus one group. A value above a quarter of a segment counts as that
    /// quarter.
    pub headroom_bytes: u64,
    /// Bytes written between two syncs while a segment is zeroed; four times
    /// as many once the segment in use is half full.
    pub zero_slice_bytes: usize,
    /// Whether a recycled segment is zeroed again before use. Off saves
    /// writing; old frames in it are told apart by their checksums' seed
    /// either way.
    pub zero_recycled: bool,
    /// How long the helper thread waits before it tries again after a failure
    /// (no space, mostly).
    pub retry_interval: Duration,
    /// How long a group that fits nowhere waits for space before the journal
    /// gives up. Reached only by a caller that ignores
    /// [`Room::Full`](crate::Room::Full).
    pub full_wait: Duration,
    /// Segments that end before this sequence get only their headers checked
    /// at opening: a caller that replays from here verifies the rest by
    /// reading it. 0 or 1 checks everything.
    pub verify_from: Seq,
    /// Who prepares segments ahead of use and releases old ones.
    pub helper: HelperMode,
    /// The identity of a journal that is created; random if `None`.
    pub uuid: Option<[u8; 16]>,
}

impl JournalOptions {
    /// Defaults for production in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: DEFAULT_SEGMENT_BYTES,
            max_group_bytes: MAX_GROUP_BYTES,
            reserve_segments: DEFAULT_RESERVE_SEGMENTS,
            headroom_bytes: DEFAULT_HEADROOM_BYTES,
            zero_slice_bytes: DEFAULT_ZERO_SLICE_BYTES,
            zero_recycled: true,
            retry_interval: Duration::from_secs(1),
            full_wait: Duration::from_secs(5),
            verify_from: 0,
            helper: HelperMode::Thread,
            uuid: None,
        }
    }

    /// Options with segments of `segment_bytes` and groups that fit them, for
    /// tests and small devices. Rounds up to a size that can work.
    #[must_use]
    pub fn small(dir: impl Into<PathBuf>, segment_bytes: u64) -> Self {
        let segment_bytes = segment_bytes
            .next_multiple_of(SECTOR_BYTES as u64)
            .clamp(4 * SECTOR_BYTES as u64, MAX_SEGMENT_BYTES);
        let group = usize::try_from(segment_bytes / 4).unwrap_or(MAX_GROUP_BYTES);
        Self {
            segment_bytes,
            max_group_bytes: group.min(MAX_GROUP_BYTES),
            zero_slice_bytes: 64 << 10,
            ..Self::new(dir)
        }
    }

    /// Bytes of the largest frame that these options allow.
    pub(crate) fn max_frame_bytes(&self) -> u64 {
        frame_bytes(self.max_group_bytes) as u64
    }

    /// Bytes that a segment file of `file_bytes` is sure to take: its last
    /// frame may not fit the rest.
    pub(crate) fn sure_bytes(&self, file_bytes: u64) -> u64 {
        file_bytes
            .saturating_sub(SEGMENT_HEADER_BYTES as u64)
            .saturating_sub(self.max_frame_bytes())
    }

    /// [`Self::headroom_bytes`] with its cap.
    pub(crate) fn headroom(&self) -> u64 {
        self.headroom_bytes.min(self.segment_bytes / 4)
    }

    /// Refuses options that cannot work.
    pub(crate) fn validate(&self) -> Result<(), JournalError> {
        let bad = |what| Err(JournalError::BadOptions { what });
        if self.max_group_bytes == 0 || self.max_group_bytes > MAX_GROUP_BYTES {
            return bad("max_group_bytes must be between 1 and 1 MiB");
        }
        if !self.segment_bytes.is_multiple_of(SECTOR_BYTES as u64) {
            return bad("segment_bytes must be a multiple of 512");
        }
        if self.segment_bytes > MAX_SEGMENT_BYTES {
            return bad("segment_bytes must be at most 1 GiB");
        }
        if self.segment_bytes < SEGMENT_HEADER_BYTES as u64 + 2 * self.max_frame_bytes() {
            return bad("segment_bytes must hold two groups of max_group_bytes");
        }
        if self.reserve_segments == 0 {
            return bad("reserve_segments must be at least 1");
        }
        if self.zero_slice_bytes == 0 {
            return bad("zero_slice_bytes must be at least 1");
        }
        Ok(())
    }
}
