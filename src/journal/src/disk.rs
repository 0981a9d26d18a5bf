//! The few file operations that journal and store need, behind a trait, so
//! that tests and simulations can replace the disk.

mod real;

use std::fmt;
use std::io;
use std::path::Path;

pub use real::RealDisk;

/// How [`Disk::open`] opens a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Existing file, reading only.
    Read,
    /// Existing file, reading and writing.
    Write,
    /// Reading and writing; created empty if absent, kept as it is otherwise.
    Create,
    /// Reading and writing; an error if the file exists.
    CreateNew,
}

/// A disk. Directories and renames are durable only after
/// [`sync_dir`](Self::sync_dir).
pub trait Disk: Send + Sync + fmt::Debug + 'static {
    /// Opens a file.
    ///
    /// # Errors
    /// As the system reports them: `NotFound`, `AlreadyExists`, `StorageFull`.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>>;

    /// Names of the plain files in `dir`, sorted.
    ///
    /// # Errors
    /// As the system reports them.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the system reports them.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Renames a file, replacing `to` if it exists.
    ///
    /// # Errors
    /// As the system reports them.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Opens a directory, to sync it again and again.
    ///
    /// # Errors
    /// As the system reports them.
    fn open_dir(&self, dir: &Path) -> io::Result<Box<dyn DiskDir>>;

    /// Makes the directory's entries durable.
    ///
    /// # Errors
    /// As the system reports them.
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.open_dir(dir)?.sync()
    }

    /// Creates a directory and its parents, durably.
    ///
    /// # Errors
    /// As the system reports them.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Removes an empty directory. A disk that cannot need not.
    ///
    /// # Errors
    /// As the system reports them; `Unsupported` where it cannot.
    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let _ = dir;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Takes an exclusive lock on a file (created if absent) until the guard
    /// is dropped or the process ends.
    ///
    /// # Errors
    /// `WouldBlock` if somebody else holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>>;

    /// Bytes that new files in `dir` may still take.
    ///
    /// # Errors
    /// As the system reports them.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// An open file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Reads at `offset` until `buf` is full or the file ends; returns the
    /// bytes read.
    ///
    /// # Errors
    /// As the system reports them.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// As the system reports them; part of it may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes contents (and the length) durable.
    ///
    /// # Errors
    /// As the system reports them; afterwards nobody knows what is durable.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes contents and metadata durable.
    ///
    /// # Errors
    /// As for [`sync_data`](Self::sync_data).
    fn sync_all(&self) -> io::Result<()>;

    /// Sets the length in bytes; new bytes are zero.
    ///
    /// # Errors
    /// As the system reports them.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Length in bytes.
    ///
    /// # Errors
    /// As the system reports them.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// As the system reports them.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// An open directory.
pub trait DiskDir: Send + Sync + fmt::Debug {
    /// Makes its entries durable: names created, renamed and removed.
    ///
    /// # Errors
    /// As the system reports them; afterwards nobody knows which changes of
    /// names are durable.
    fn sync(&self) -> io::Result<()>;
}

/// Holds a lock until dropped.
pub trait DiskLock: Send + Sync + fmt::Debug {}
