//! A copy of sled's directory to look at: sled repairs what it opens.

use std::io;
use std::path::{Path, PathBuf};

/// Added to the directory's name.
const COPY_SUFFIX: &str = ".verify";

/// A copy of a directory that goes away with its owner.
pub(super) struct CopyOf(pub(super) PathBuf);

impl CopyOf {
    pub(super) fn make(dir: &Path) -> io::Result<Self> {
        let mut name = dir.as_os_str().to_owned();
        name.push(COPY_SUFFIX);
        let copy = Self(PathBuf::from(name));
        if copy.0.try_exists()? {
            std::fs::remove_dir_all(&copy.0)?;
        }
        copy_all(dir, &copy.0)?;
        Ok(copy)
    }
}

impl Drop for CopyOf {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(copy = %self.0.display(), %error, "a copy of sled's directory cannot be removed");
        }
    }
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
