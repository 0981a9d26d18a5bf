//! What the simulated disk holds, and what of it is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::Fault;
use super::file::{FileData, Rng};
use crate::disk::OpenMode;
use crate::limits::SECTOR_BYTES;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

/// Kinds of operation that faults tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Write,
    Sync,
    SyncDir,
    /// Whatever else changes something.
    Change,
    Read,
}

/// What a fault does to the operation that it hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hit {
    Fail,
    Half,
    SyncFails { reads_back: bool },
    DirSyncFails { shuts_down: bool },
    PowerCut,
}

/// A change of names that is not durable yet.
#[derive(Clone, Debug)]
enum Change {
    Link(PathBuf, u64),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Clone, Debug)]
struct Armed {
    prefix: String,
    fault: Fault,
    seen: u64,
}

#[derive(Debug)]
pub(super) struct World {
    rng: Rng,
    files: BTreeMap<u64, FileData>,
    last_inode: u64,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    changes: Vec<Change>,
    dirs: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    armed: Vec<Armed>,
    capacity: Option<u64>,
    capacity_hidden: bool,
    operations: u64,
    /// Files opened before the last loss do not work any more.
    power: u64,
    off: bool,
    /// The file system takes no change until the power has been off.
    shut_down: bool,
}

fn to_usize(n: u64) -> io::Result<usize> {
    usize::try_from(n).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn apply(names: &mut BTreeMap<PathBuf, u64>, change: &Change) {
    match change {
        Change::Link(path, inode) => {
            names.insert(path.clone(), *inode);
        }
        Change::Unlink(path) => {
            names.remove(path);
        }
        Change::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
    }
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Rng(seed),
            files: BTreeMap::new(),
            last_inode: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            dirs: BTreeSet::new(),
            locks: BTreeSet::new(),
            armed: Vec::new(),
            capacity: None,
            capacity_hidden: false,
            operations: 0,
            power: 0,
            off: false,
            shut_down: false,
        }
    }

    pub(super) fn fork(&self) -> Self {
        let mut files = self.files.clone();
        for file in files.values_mut() {
            file.opens = 0;
        }
        Self {
            rng: self.rng.clone(),
            files,
            last_inode: self.last_inode,
            names: self.names.clone(),
            durable_names: self.durable_names.clone(),
            changes: self.changes.clone(),
            dirs: self.dirs.clone(),
            locks: BTreeSet::new(),
            armed: Vec::new(),
            capacity: self.capacity,
            capacity_hidden: self.capacity_hidden,
            operations: 0,
            power: 0,
            off: false,
            shut_down: self.shut_down,
        }
    }

    pub(super) fn arm(&mut self, prefix: String, fault: Fault) {
        self.armed.push(Armed {
            prefix,
            fault,
            seen: 0,
        });
    }

    pub(super) fn disarm(&mut self) {
        self.armed.clear();
    }

    pub(super) fn set_capacity(&mut self, bytes: Option<u64>, hidden: bool) {
        self.capacity = bytes;
        self.capacity_hidden = hidden;
    }

    pub(super) fn is_shut_down(&self) -> bool {
        self.shut_down
    }

    pub(super) fn operations(&self) -> u64 {
        self.operations
    }

    pub(super) fn power(&self) -> u64 {
        self.power
    }

    pub(super) fn check_power(&self, power: u64) -> io::Result<()> {
        if self.off || power != self.power {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        Ok(())
    }

    /// Counts an operation and says what hits it.
    fn hit(&mut self, name: &str, act: Act) -> io::Result<Option<Hit>> {
        if self.off {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.operations += 1;
        if self.shut_down && act != Act::Read {
            return Err(io::Error::from_raw_os_error(EROFS));
        }
        let mut hit = None;
        self.armed.retain_mut(|armed| {
            if !name.starts_with(&armed.prefix) {
                return true;
            }
            let (counts, at, effect) = match armed.fault {
                Fault::Eio { at } => (true, at, Hit::Fail),
                Fault::TornWrite { at } => (act == Act::Write, at, Hit::Half),
                Fault::SyncFails { at, reads_back } => {
                    (act == Act::Sync, at, Hit::SyncFails { reads_back })
                }
                Fault::DirSyncFails { at, shuts_down } => {
                    (act == Act::SyncDir, at, Hit::DirSyncFails { shuts_down })
                }
                Fault::PowerCut { at } => (true, at, Hit::PowerCut),
            };
            armed.seen += u64::from(counts);
            if counts && armed.seen >= at {
                hit = Some(effect);
                return false;
            }
            true
        });
        if hit == Some(Hit::PowerCut) {
            self.off = true;
        }
        Ok(hit)
    }

    /// Counts an operation that a fault can only prevent.
    pub(super) fn act(&mut self, name: &str, act: Act) -> io::Result<()> {
        match self.hit(name, act)? {
            None => Ok(()),
            Some(_) => Err(io::Error::from_raw_os_error(EIO)),
        }
    }

    fn file(&mut self, inode: u64) -> io::Result<&mut FileData> {
        self.files
            .get_mut(&inode)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn inode(&self, path: &Path) -> io::Result<u64> {
        self.names
            .get(path)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.names, &change);
        self.changes.push(change);
    }

    pub(super) fn open(&mut self, path: &Path, mode: OpenMode) -> io::Result<u64> {
        let inode = self.find_or_create(path, mode)?;
        self.file(inode)?.opens += 1;
        Ok(inode)
    }

    fn find_or_create(&mut self, path: &Path, mode: OpenMode) -> io::Result<u64> {
        let found = self.names.get(path).copied();
        match (mode, found) {
            (OpenMode::CreateNew, Some(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            (OpenMode::Read | OpenMode::Write, None) => Err(io::ErrorKind::NotFound.into()),
            (_, Some(inode)) => Ok(inode),
            (OpenMode::Create | OpenMode::CreateNew, None) => {
                let parent = path.parent().unwrap_or(path);
                if !self.dirs.contains(parent) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                self.last_inode += 1;
                let inode = self.last_inode;
                self.files.insert(inode, FileData::default());
                self.change(Change::Link(path.to_path_buf(), inode));
                Ok(inode)
            }
        }
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.check_dir(dir)?;
        Ok(self
            .names
            .keys()
            .filter(|path| path.parent() == Some(dir))
            .map(|path| super::name_of(path))
            .collect())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.inode(path)?;
        self.change(Change::Unlink(path.to_path_buf()));
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.inode(from)?;
        self.change(Change::Rename(from.to_path_buf(), to.to_path_buf()));
        Ok(())
    }

    pub(super) fn check_dir(&self, dir: &Path) -> io::Result<()> {
        if !self.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        let hit = self.hit(&super::name_of(dir), Act::SyncDir)?;
        self.check_dir(dir)?;
        let inside = |path: &Path| path.parent() == Some(dir);
        let (mut now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.changes)
            .into_iter()
            .partition(|change| match change {
                Change::Link(path, _) | Change::Unlink(path) => inside(path),
                Change::Rename(from, to) => inside(from) || inside(to),
            });
        self.changes = later;
        match hit {
            None => {}
            Some(Hit::DirSyncFails { shuts_down }) => {
                // Changes reach a log in their order.
                let written = self.rng.below(now.len() as u64 + 1);
                let rest = now.split_off(to_usize(written)?);
                drop(self.changes.splice(0..0, rest));
                self.shut_down = shuts_down;
            }
            Some(_) => drop(self.changes.splice(0..0, std::mem::take(&mut now))),
        }
        for change in now {
            apply(&mut self.durable_names, &change);
        }
        if hit.is_some() {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.forget_unnamed();
        Ok(())
    }

    /// Frees files that nobody can reach any more.
    fn forget_unnamed(&mut self) {
        if !self.changes.is_empty() {
            return;
        }
        let named: BTreeSet<u64> = self
            .names
            .values()
            .chain(self.durable_names.values())
            .copied()
            .collect();
        self.files
            .retain(|inode, file| file.opens > 0 || named.contains(inode));
    }

    /// One handle fewer on a file.
    pub(super) fn close(&mut self, inode: u64, power: u64) {
        if power == self.power
            && let Some(file) = self.files.get_mut(&inode)
        {
            file.opens = file.opens.saturating_sub(1);
            if file.opens == 0 {
                self.forget_unnamed();
            }
        }
    }

    pub(super) fn create_dir_all(&mut self, dir: &Path) {
        for ancestor in dir.ancestors() {
            self.dirs.insert(ancestor.to_path_buf());
        }
    }

    pub(super) fn lock(&mut self, path: &Path) -> io::Result<()> {
        if !self.locks.insert(path.to_path_buf()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    }

    pub(super) fn unlock(&mut self, path: &Path, power: u64) {
        if power == self.power {
            self.locks.remove(path);
        }
    }

    pub(super) fn used(&self) -> u64 {
        self.names
            .values()
            .filter_map(|inode| self.files.get(inode))
            .map(|file| file.seen.len() as u64)
            .sum()
    }

    fn room(&self) -> u64 {
        self.capacity
            .map_or(u64::MAX, |bytes| bytes.saturating_sub(self.used()))
    }

    pub(super) fn free(&self) -> u64 {
        if self.capacity_hidden {
            u64::MAX
        } else {
            self.room()
        }
    }

    pub(super) fn read(&mut self, inode: u64, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let file = self.file(inode)?;
        let start = to_usize(offset)?.min(file.seen.len());
        let rest = file.seen.get(start..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }

    /// The name that an open file has now.
    pub(super) fn name(&self, inode: u64) -> String {
        if self.armed.is_empty() {
            return String::new();
        }
        self.names
            .iter()
            .find(|(_, named)| **named == inode)
            .map(|(path, _)| super::name_of(path))
            .unwrap_or_default()
    }

    pub(super) fn write(&mut self, inode: u64, bytes: &[u8], offset: u64) -> io::Result<()> {
        let hit = {
            let name = self.name(inode);
            self.hit(&name, Act::Write)?
        };
        if matches!(
            hit,
            Some(Hit::Fail | Hit::SyncFails { .. } | Hit::DirSyncFails { .. })
        ) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let start = to_usize(offset)?;
        let room = self.room();
        let half = self.rng.below(bytes.len() as u64 + 1);
        let file = self.file(inode)?;
        let growth = (start + bytes.len()).saturating_sub(file.seen.len()) as u64;
        let mut keep = bytes.len();
        if growth > room {
            keep = keep.saturating_sub(to_usize(growth - room)?);
        }
        if hit.is_some() {
            keep = keep.min(to_usize(half)?);
        }
        file.write(bytes.get(..keep).unwrap_or_default(), start);
        if hit.is_some() {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        if keep < bytes.len() {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        Ok(())
    }

    pub(super) fn sync(&mut self, inode: u64) -> io::Result<()> {
        let hit = {
            let name = self.name(inode);
            self.hit(&name, Act::Sync)?
        };
        let mut rng = self.rng.clone();
        let file = self.file(inode)?;
        match hit {
            None => {
                file.sync();
                return Ok(());
            }
            Some(Hit::SyncFails { reads_back }) => file.fail_sync(&mut rng, reads_back),
            Some(_) => {}
        }
        self.rng.next();
        Err(io::Error::from_raw_os_error(EIO))
    }

    pub(super) fn set_len(&mut self, inode: u64, bytes: u64) -> io::Result<()> {
        let room = self.room();
        let bytes = to_usize(bytes)?;
        let file = self.file(inode)?;
        if bytes.saturating_sub(file.seen.len()) as u64 > room {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        let old = file.seen.len();
        file.seen.resize(bytes, 0);
        for sector in old.min(bytes) / SECTOR_BYTES..bytes.div_ceil(SECTOR_BYTES) {
            file.dirty.insert(sector as u64);
        }
        Ok(())
    }

    pub(super) fn len(&mut self, inode: u64) -> io::Result<u64> {
        Ok(self.file(inode)?.seen.len() as u64)
    }

    pub(super) fn power_loss(&mut self, seed: u64) {
        let mut rng = Rng(seed);
        self.shut_down = false;
        let changes = std::mem::take(&mut self.changes);
        let prefix = rng.chance(2);
        let kept = rng.below(changes.len() as u64 + 1);
        for (at, change) in changes.iter().enumerate() {
            let survives = if prefix {
                (at as u64) < kept
            } else {
                rng.chance(2)
            };
            if survives {
                apply(&mut self.durable_names, change);
            }
        }
        self.names.clone_from(&self.durable_names);
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        self.files.retain(|inode, _| named.contains(inode));
        for file in self.files.values_mut() {
            file.lose_power(&mut rng);
        }
        self.process_loss();
    }

    pub(super) fn process_loss(&mut self) {
        self.power += 1;
        self.off = false;
        self.locks.clear();
        self.armed.clear();
        for file in self.files.values_mut() {
            file.opens = 0;
        }
        self.forget_unnamed();
    }

    pub(super) fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let inode = self.names.get(path)?;
        self.files.get(inode).map(|file| file.seen.clone())
    }

    pub(super) fn put(&mut self, path: &Path, bytes: &[u8]) {
        if let Some(dir) = path.parent() {
            self.create_dir_all(dir);
        }
        for change in std::mem::take(&mut self.changes) {
            apply(&mut self.durable_names, &change);
        }
        self.last_inode += 1;
        let inode = self.last_inode;
        self.files.insert(
            inode,
            FileData {
                seen: bytes.to_vec(),
                durable: bytes.to_vec(),
                ..FileData::default()
            },
        );
        self.names.insert(path.to_path_buf(), inode);
        self.durable_names.insert(path.to_path_buf(), inode);
    }
}
