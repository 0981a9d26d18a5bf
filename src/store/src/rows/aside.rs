//! Sets a damaged or abandoned sled directory aside, and keeps only a few such.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Directories kept for a look at what happened.
const KEPT: usize = 2;
const INFIX: &str = ".damaged-";

/// Renames `dir` to `<dir>.damaged-<n>` and removes the oldest beyond those kept.
/// `None` if there was nothing to set aside.
pub(crate) fn set_aside(dir: &Path) -> io::Result<Option<PathBuf>> {
    if !dir.try_exists()? {
        return Ok(None);
    }
    let mut numbers = numbers(dir)?;
    let next = numbers.last().map_or(1, |last| last + 1);
    let target = name(dir, next);
    fs::rename(dir, &target)?;
    numbers.push(next);
    let surplus = numbers.len().saturating_sub(KEPT);
    for number in numbers.iter().take(surplus) {
        fs::remove_dir_all(name(dir, *number))?;
    }
    Ok(Some(target))
}

fn name(dir: &Path, number: u64) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(format!("{INFIX}{number}"));
    PathBuf::from(name)
}

/// Numbers in use, ascending.
fn numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let (Some(parent), Some(stem)) = (dir.parent(), dir.file_name().and_then(|n| n.to_str()))
    else {
        return Ok(Vec::new());
    };
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let mut numbers = Vec::new();
    for entry in fs::read_dir(parent)? {
        let file_name = entry?.file_name();
        let number = file_name
            .to_str()
            .and_then(|name| name.strip_prefix(stem))
            .and_then(|name| name.strip_prefix(INFIX))
            .and_then(|number| number.parse::<u64>().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest_two() {
        let room = tempfile::tempdir().unwrap();
        let dir = room.path().join("sled");
        assert_eq!(set_aside(&dir).unwrap(), None);
        for round in 1..=4u64 {
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("db"), round.to_string()).unwrap();
            assert_eq!(set_aside(&dir).unwrap(), Some(name(&dir, round)));
        }
        assert_eq!(numbers(&dir).unwrap(), [3, 4]);
        assert_eq!(fs::read_to_string(name(&dir, 4).join("db")).unwrap(), "4");
    }
}
