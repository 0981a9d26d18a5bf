//! What lies in a journal's directory, by name.
//!
//! - `journal.id`: identity and latest incarnation, in two slots.
//! - `journal.lock`: locked by whoever writes.
//! - `journal-N.seg`: segment N. The highest may be prepared, but not begun.
//! - `spare-N.seg`: zeroed and synced, ready to become a segment.
//! - `draft-N.seg`: on its way to become a spare.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{IoContext, JournalError};
use crate::format::{Fault, IDENTITY_SLOT_BYTES, Identity};
use crate::limits::FORMAT_VERSION;

/// The journal's segments and helpers found in its directory, sorted.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub segments: Vec<u64>,
    pub spares: Vec<PathBuf>,
    pub drafts: Vec<PathBuf>,
    /// The highest number in a spare's or draft's name.
    pub last_spare: u64,
}

pub(crate) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("journal-{number:020}.seg"))
}

pub(crate) fn spare_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("spare-{number:020}.seg"))
}

pub(crate) fn draft_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("draft-{number:020}.seg"))
}

pub(crate) fn identity_path(dir: &Path) -> PathBuf {
    dir.join("journal.id")
}

pub(crate) fn lock_path(dir: &Path) -> PathBuf {
    dir.join("journal.lock")
}

fn numbered(name: &str, prefix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(".seg")?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Lists the directory; other files are ignored.
pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> Result<Listing, JournalError> {
    let mut listing = Listing::default();
    for name in disk.list(dir).at("list", dir)? {
        if let Some(number) = numbered(&name, "journal-") {
            listing.segments.push(number);
        } else if let Some(number) = numbered(&name, "spare-") {
            listing.last_spare = listing.last_spare.max(number);
            listing.spares.push(dir.join(name));
        } else if let Some(number) = numbered(&name, "draft-") {
            listing.last_spare = listing.last_spare.max(number);
            listing.drafts.push(dir.join(name));
        }
    }
    listing.segments.sort_unstable();
    Ok(listing)
}

/// What the identity file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdentityState {
    Absent,
    /// It is there, but neither slot can be read.
    Damaged,
    Found {
        identity: Identity,
        /// The other slot cannot be read, so a later incarnation may have
        /// been begun.
        doubtful: bool,
    },
}

/// Reads the identity file.
pub(crate) fn read_identity(disk: &dyn Disk, dir: &Path) -> Result<IdentityState, JournalError> {
    let path = identity_path(dir);
    let file = match disk.open(&path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(IdentityState::Absent),
        Err(error) => return Err(JournalError::io("open", &path, error)),
    };
    let mut best: Option<Identity> = None;
    let mut doubtful = false;
    for slot in 0..2 {
        let mut bytes = vec![0; IDENTITY_SLOT_BYTES];
        let n = file
            .read_at(&mut bytes, slot * IDENTITY_SLOT_BYTES as u64)
            .at("read", &path)?;
        bytes.truncate(n);
        match Identity::decode(&bytes) {
            Ok(found) => {
                if best.is_none_or(|best| best.incarnation < found.incarnation) {
                    best = Some(found);
                }
            }
            Err(Fault::Version(found)) => {
                return Err(JournalError::UnknownVersion {
                    file: path,
                    found,
                    known: FORMAT_VERSION,
                });
            }
            Err(_) => doubtful |= bytes.iter().any(|byte| *byte != 0),
        }
    }
    Ok(match best {
        Some(identity) => IdentityState::Found { identity, doubtful },
        None => IdentityState::Damaged,
    })
}

/// Makes `identity` durable. The slots take turns, in place, so that a full
/// disk and a power loss leave at least the last one.
pub(crate) fn write_identity(
    disk: &dyn Disk,
    dir: &Path,
    identity: &Identity,
    state: IdentityState,
) -> Result<(), JournalError> {
    let path = identity_path(dir);
    let file = disk.open(&path, OpenMode::Create).at("open", &path)?;
    let slot = identity.encode();
    let two = 2 * IDENTITY_SLOT_BYTES as u64;
    if !matches!(state, IdentityState::Found { .. }) || file.len().at("measure", &path)? < two {
        // Nothing readable there that could be lost.
        file.write_at(&slot, 0).at("write", &path)?;
        file.write_at(&slot, IDENTITY_SLOT_BYTES as u64)
            .at("write", &path)?;
        file.sync_all().at("sync", &path)?;
        return disk.sync_dir(dir).at("sync", dir);
    }
    let at = (identity.incarnation % 2) * IDENTITY_SLOT_BYTES as u64;
    file.write_at(&slot, at).at("write", &path)?;
    file.sync_data().at("sync", &path)
}

/// Reads up to `bytes` at `offset`.
pub(crate) fn read_up_to(
    file: &dyn DiskFile,
    path: &Path,
    offset: u64,
    bytes: usize,
) -> Result<Vec<u8>, JournalError> {
    let mut buf = vec![0; bytes];
    let n = file.read_at(&mut buf, offset).at("read", path)?;
    buf.truncate(n);
    Ok(buf)
}
