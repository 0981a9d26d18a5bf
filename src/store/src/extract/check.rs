//! Reads an extract back, a piece at a time, against its manifest.

use std::io;

use gapless_journal::{DiskFile, OpenMode};
use sha2::{Digest, Sha256};

use super::job::Target;
use super::manifest::Manifest;
use super::write::Out;
use crate::codec::hex;

/// Bytes that a step reads.
const AT_ONCE: usize = 1 << 20;

/// A check under way. The JSON lines follow from the CSV lines, and are not read.
#[derive(Debug)]
pub(crate) struct Check {
    target: Target,
    out: Out,
    manifest: Manifest,
    /// The next file.
    next: usize,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    file: Box<dyn DiskFile>,
    read: u64,
    sha256: Sha256,
}

impl Check {
    /// Of the extract in `out`, if there is a manifest of this date, freeze and journal.
    pub(crate) fn begin(target: Target, uuid: [u8; 16], out: Out) -> Option<Self> {
        let manifest = Manifest::read(&*out.disk, &out.dir)?;
        manifest
            .is_of(&target.date.to_string(), target.freeze, uuid)
            .then_some(Self {
                target,
                out,
                manifest,
                next: 0,
                current: None,
            })
    }

    /// Which extract this is.
    pub(crate) const fn target(&self) -> Target {
        self.target
    }

    /// Reads the next piece; `None` when all is as the manifest says.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] for a file that differs, and what the disk says.
    pub(crate) fn step(&mut self) -> io::Result<Option<u64>> {
        let Some(entry) = self.manifest.csv.get(self.next) else {
            return Ok(None);
        };
        let differs = || {
            let path = self.out.dir.join(&entry.name);
            let what = format!("{} is not what its manifest says", path.display());
            io::Error::new(io::ErrorKind::InvalidData, what)
        };
        let current = match &mut self.current {
            Some(current) => current,
            slot @ None => {
                let path = self.out.dir.join(&entry.name);
                let file = self.out.disk.open(&path, OpenMode::Read)?;
                if file.len()? != entry.bytes {
                    return Err(differs());
                }
                slot.insert(Current {
                    file,
                    read: 0,
                    sha256: Sha256::new(),
                })
            }
        };
        let mut piece = vec![0; AT_ONCE];
        let read = current.file.read_at(&mut piece, current.read)?;
        current.sha256.update(piece.get(..read).unwrap_or_default());
        current.read += read as u64;
        if read < AT_ONCE {
            let sha256 = hex(&std::mem::take(&mut current.sha256).finalize());
            if current.read != entry.bytes || sha256 != entry.sha256 {
                return Err(differs());
            }
            self.current = None;
            self.next += 1;
        }
        Ok(Some(read as u64))
    }

    /// What the extract consists of.
    pub(crate) fn into_manifest(self) -> Manifest {
        self.manifest
    }
}
