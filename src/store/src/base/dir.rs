//! Names of base files.

use std::io;
use std::path::Path;

use gapless_engine::ids::Seq;
use gapless_journal::Disk;

/// A base file by its sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BaseName(pub(crate) Seq);

impl BaseName {
    /// Its name when whole. Digits are padded, so that names sort as sequences do.
    pub(crate) fn file(self) -> String {
        format!("base-{:020}", self.0)
    }

    /// Its name while it is being written.
    pub(crate) fn temporary(self) -> String {
        format!("{}{TEMPORARY}", self.file())
    }

    fn parse(name: &str) -> Option<Self> {
        let digits = name.strip_prefix("base-")?;
        (digits.len() == 20).then(|| digits.parse().ok().map(Self))?
    }
}

const TEMPORARY: &str = ".tmp";

const DAMAGED: &str = ".damaged";
/// Damaged base files kept for a look at what happened.
const DAMAGED_KEPT: usize = 2;

/// Sets a damaged base aside, and removes the oldest such beyond those kept.
pub(crate) fn set_aside(disk: &dyn Disk, dir: &Path, base: BaseName) -> io::Result<()> {
    let name = format!("{}{DAMAGED}", base.file());
    disk.rename(&dir.join(base.file()), &dir.join(name))?;
    let mut damaged = disk.list(dir)?;
    damaged.retain(|name| name.starts_with("base-") && name.ends_with(DAMAGED));
    let surplus = damaged.len().saturating_sub(DAMAGED_KEPT);
    for name in damaged.iter().take(surplus) {
        disk.remove(&dir.join(name))?;
    }
    disk.sync_dir(dir)
}

/// Base files in `dir`, newest first; leftovers of an interrupted write are removed on the way.
pub(crate) fn list(disk: &dyn Disk, dir: &Path, tidy: bool) -> io::Result<Vec<BaseName>> {
    let names = match disk.list(dir) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut bases = Vec::new();
    for name in names {
        if let Some(base) = BaseName::parse(&name) {
            bases.push(base);
        } else if tidy && name.starts_with("base-") && name.ends_with(TEMPORARY) {
            disk.remove(&dir.join(&name))?;
        }
    }
    bases.sort_unstable_by(|a, b| b.cmp(a));
    Ok(bases)
}
