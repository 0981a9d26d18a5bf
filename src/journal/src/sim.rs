//! A disk in memory whose faults follow from seeds, for tests and simulations
//! of everything that stands on [`Disk`].
//!
//! It keeps what programs see apart from what a power loss leaves:
//! - written sectors (512 B) are volatile until a sync of their file; a power
//!   loss keeps an arbitrary subset of them;
//! - created, renamed and removed names are volatile until a sync of the
//!   directory; a power loss keeps a prefix or a subset of the changes;
//! - a failed sync of a directory leaves a part of the changes durable; with
//!   the log of a journaling file system gone, nothing can be changed until
//!   the power comes back, else a later sync writes the rest. A file system
//!   that forgets changes of names and goes on is not simulated;
//! - a failed sync of a file loses what it was to write: the bytes may still read back,
//!   and a later sync succeeds without writing them, as Linux does it.
//!
//! The same seeds and the same order of operations give the same disk.

mod file;
mod world;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskDir, DiskFile, DiskLock, OpenMode};
pub(crate) use file::next;
use world::{Act, World};

/// Something that goes wrong. Operations are counted from the moment when the
/// fault is armed: 1 is the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The n-th operation fails with EIO and does nothing.
    Eio {
        /// n.
        at: u64,
    },
    /// The n-th write stops half-way with EIO.
    TornWrite {
        /// n, counting writes only.
        at: u64,
    },
    /// The n-th file sync fails: an arbitrary part of the unsynced sectors
    /// got written, and no later sync will write the others.
    SyncFails {
        /// n, counting file syncs only.
        at: u64,
        /// Whether the lost bytes still read back until the power goes.
        reads_back: bool,
    },
    /// The n-th sync of a directory fails: a part of the changes of names got
    /// written.
    DirSyncFails {
        /// n, counting syncs of directories only.
        at: u64,
        /// Whether the file system takes no change any more until the power
        /// goes (as ext4 and XFS do once their log fails), or goes on, and a
        /// later sync writes the rest.
        shuts_down: bool,
    },
    /// The power goes during the n-th operation; everything fails until
    /// [`SimDisk::power_loss`].
    PowerCut {
        /// n.
        at: u64,
    },
}

/// The disk. Clones share it.
#[derive(Clone)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimDisk")
    }
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new(0)
    }
}

impl SimDisk {
    /// An empty disk without faults. `seed` decides what a failed sync keeps.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            world: Arc::new(Mutex::new(World::new(seed))),
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Arms a fault for operations on any file.
    pub fn arm(&self, fault: Fault) {
        self.world().arm(String::new(), fault);
    }

    /// Arms a fault that counts only operations on files whose name then starts
    /// with `prefix`.
    pub fn arm_for(&self, prefix: &str, fault: Fault) {
        self.world().arm(prefix.to_owned(), fault);
    }

    /// Forgets all armed faults.
    pub fn disarm(&self) {
        self.world().disarm();
    }

    /// Limits the bytes of all files together. What is there already stays.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.world().set_capacity(bytes, false);
    }

    /// As [`set_capacity`](Self::set_capacity), but unseen by
    /// [`Disk::free_bytes`], like a quota.
    pub fn set_quota(&self, bytes: Option<u64>) {
        self.world().set_capacity(bytes, true);
    }

    /// Bytes of all files together.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.world().used()
    }

    /// Operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.world().operations()
    }

    /// Cuts the power and brings it back: of what was not synced, `seed`
    /// decides what is still there. Open files and locks are gone; armed
    /// faults too.
    pub fn power_loss(&self, seed: u64) {
        self.world().power_loss(seed);
    }

    /// As if the process had been killed: open files and locks are gone, and
    /// every byte written is still there.
    pub fn process_loss(&self) {
        self.world().process_loss();
    }

    /// Whether the file system takes no change until the power has been off.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.world().is_shut_down()
    }

    /// A disk of its own with the same contents and no open files.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            world: Arc::new(Mutex::new(self.world().fork())),
        }
    }

    /// The contents of a file, if it exists.
    #[must_use]
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        self.world().contents(path)
    }

    /// Replaces or creates a file, durably, whatever faults are armed.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        self.world().put(path, bytes);
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: u64,
    power: u64,
    writable: bool,
}

#[derive(Debug)]
struct SimDir {
    disk: SimDisk,
    path: PathBuf,
    power: u64,
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    power: u64,
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let mut world = self.world();
        let act = if mode == OpenMode::Read {
            Act::Read
        } else {
            Act::Change
        };
        world.act(&name_of(path), act)?;
        let inode = world.open(path, mode)?;
        Ok(Box::new(SimFile {
            disk: self.clone(),
            inode,
            power: world.power(),
            writable: mode != OpenMode::Read,
        }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut world = self.world();
        world.act(&name_of(dir), Act::Read)?;
        world.list(dir)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.act(&name_of(path), Act::Change)?;
        world.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.act(&name_of(to), Act::Change)?;
        world.rename(from, to)
    }

    fn open_dir(&self, dir: &Path) -> io::Result<Box<dyn DiskDir>> {
        let world = self.world();
        world.check_dir(dir)?;
        Ok(Box::new(SimDir {
            disk: self.clone(),
            path: dir.to_path_buf(),
            power: world.power(),
        }))
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.world();
        let act = match world.check_dir(dir) {
            Ok(()) => Act::Read,
            Err(_) => Act::Change,
        };
        world.act(&name_of(dir), act)?;
        world.create_dir_all(dir);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let mut world = self.world();
        world.act(&name_of(path), Act::Change)?;
        world.lock(path)?;
        Ok(Box::new(SimLock {
            disk: self.clone(),
            path: path.to_path_buf(),
            power: world.power(),
        }))
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let mut world = self.world();
        world.act(&name_of(dir), Act::Read)?;
        Ok(world.free())
    }
}

impl SimFile {
    /// Runs `work` on the file unless a fault or the power prevents it.
    fn run<T>(
        &self,
        act: Act,
        work: impl FnOnce(&mut World, u64) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut world = self.disk.world();
        world.check_power(self.power)?;
        let name = world.name(self.inode);
        world.act(&name, act)?;
        work(&mut world, self.inode)
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.run(Act::Read, |world, inode| world.read(inode, buf, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut world = self.disk.world();
        world.check_power(self.power)?;
        world.write(self.inode, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.disk.world();
        world.check_power(self.power)?;
        world.sync(self.inode)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.run(Act::Change, |world, inode| world.set_len(inode, bytes))
    }

    fn len(&self) -> io::Result<u64> {
        self.run(Act::Read, |world, inode| world.len(inode))
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.world().close(self.inode, self.power);
    }
}

impl DiskDir for SimDir {
    fn sync(&self) -> io::Result<()> {
        let mut world = self.disk.world();
        world.check_power(self.power)?;
        world.sync_dir(&self.path)
    }
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.world().unlock(&self.path, self.power);
    }
}
