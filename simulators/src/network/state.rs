//! What a network remembers between two runs, in a file of its owner's alone:
//! stored advices carry card numbers.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::session::Memory;
use crate::state::StateError;

const OWNER_ONLY: u32 = 0o600;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    /// A run has begun and not ended: its figures are in nobody's books.
    running: bool,
    memory: Memory,
}

/// Where a network's memory lies.
#[derive(Clone, Debug)]
pub struct NetworkFile {
    path: PathBuf,
}

impl NetworkFile {
    /// The file at that path, which need not exist yet.
    pub fn at(path: &Path) -> NetworkFile {
        NetworkFile {
            path: path.to_owned(),
        }
    }

    /// The default place: `gapless/network-NAME.json` in the user's state folder.
    pub fn of_network(name: &str) -> NetworkFile {
        NetworkFile {
            path: crate::state::folder().join(format!("network-{name}.json")),
        }
    }

    /// What was remembered, and whether the run before was cut off; nothing if
    /// there was none.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn load(&self) -> Result<Option<(Memory, bool)>, StateError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed(error)),
        };
        let content: Content =
            serde_json::from_slice(&text).map_err(|error| StateError::Damaged {
                path: self.path.clone(),
                // The error's own text may hold a part of the file.
                reason: format!("line {}, column {}", error.line(), error.column()),
            })?;
        Ok(Some((content.memory, content.running)))
    }

    /// Removes it, if it is there.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn forget(&self) -> Result<(), StateError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed(error)),
            _ => Ok(()),
        }
    }

    /// Writes it, in one step.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn save(&self, memory: &Memory, running: bool) -> Result<(), StateError> {
        let content = Content {
            running,
            memory: memory.clone(),
        };
        self.write(&content).map_err(|error| self.failed(error))
    }

    fn write(&self, content: &Content) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let beside = self.path.with_extension("new");
        // The mode holds for a new file alone.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(OWNER_ONLY)
            .open(&beside)?;
        serde_json::to_writer(&mut file, content).map_err(io::Error::from)?;
        file.flush()?;
        fs::rename(&beside, &self.path)
    }

    fn failed(&self, error: io::Error) -> StateError {
        StateError::Io {
            path: self.path.clone(),
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn memory_survives_and_is_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/network-east.json");
        let file = NetworkFile::at(&path);
        assert!(file.load().unwrap().is_none());
        let mut memory = Memory::new(date(2026, 11, 26));
        memory.reconciled.insert(date(2026, 11, 25));
        for running in [true, false] {
            file.save(&memory, running).unwrap();
            let (again, was_running) = file.load().unwrap().unwrap();
            assert_eq!((again.date, was_running), (memory.date, running));
            assert_eq!(again.reconciled, memory.reconciled);
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, OWNER_ONLY);
        fs::write(&path, "4111111111111111").unwrap();
        let error = file.load().unwrap_err().to_string();
        assert!(!error.contains("4111"), "{error}");
    }
}
