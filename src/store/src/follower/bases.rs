//! The base files there are: which are verified, which may go.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gapless_engine::ids::Seq;
use gapless_journal::Disk;

use crate::base::{self, BaseError, BaseName};

/// Verified bases kept. The journal is kept from the older one on.
const KEPT: usize = 2;

/// The directory of base files.
#[derive(Debug)]
pub(crate) struct Bases {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    uuid: [u8; 16],
    /// Newest first.
    there: Vec<BaseName>,
}

impl Bases {
    /// Lists the directory, and removes leftovers of an interrupted write.
    pub(crate) fn open(disk: &Arc<dyn Disk>, dir: &Path, uuid: [u8; 16]) -> io::Result<Self> {
        let there = base::list(&**disk, dir, true)?;
        Ok(Self {
            disk: Arc::clone(disk),
            dir: dir.to_path_buf(),
            uuid,
            there,
        })
    }

    pub(crate) fn newest(&self) -> Option<Seq> {
        self.there.first().map(|base| base.0)
    }

    /// Takes in a base that was just given its name: reads it and its
    /// predecessor back, sets aside what is damaged, and removes what two good
    /// ones make superfluous. Returns the sequence of the older of the two: the
    /// journal up to there is not needed any more.
    pub(crate) fn settle(&mut self, new: Seq) -> io::Result<Option<Seq>> {
        let new = BaseName(new);
        self.there.retain(|base| *base != new);
        self.there.insert(0, new);
        self.there.sort_unstable_by(|a, b| b.cmp(a));
        let mut good = Vec::new();
        while let Some(base) = self.there.get(good.len()).copied()
            && good.len() < KEPT
        {
            match self.verify(base) {
                Ok(()) => good.push(base),
                Err(BaseError::Io { source, .. }) if base == new => return Err(source),
                Err(error) => {
                    tracing::error!(%error, "a base file is of no use and is set aside");
                    base::set_aside(&*self.disk, &self.dir, base)?;
                    self.there.retain(|there| *there != base);
                }
            }
        }
        if good.len() < KEPT {
            return Ok(None);
        }
        for base in self.there.split_off(KEPT) {
            self.disk.remove(&self.dir.join(base.file()))?;
        }
        self.disk.sync_dir(&self.dir)?;
        Ok(good.last().map(|base| base.0))
    }

    fn verify(&self, base: BaseName) -> Result<(), BaseError> {
        let path = self.dir.join(base.file());
        let header = base::read(&*self.disk, &path, |_| Ok(()))?;
        if header.uuid != self.uuid || header.seq != base.0 {
            let what = "it belongs to another journal or another sequence".to_owned();
            return Err(BaseError::Refused { file: path, what });
        }
        Ok(())
    }
}
