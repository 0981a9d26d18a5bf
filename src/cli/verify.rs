//! `gapless verify --data-dir DIR`

use std::path::Path;
use std::sync::Arc;

use gapless_engine::Capacity;
use gapless_journal::{Disk, RealDisk};
use gapless_store::Dirs;

use super::{Failure, say};
use crate::config::EngineConfig;

/// Recomputes all of it and compares; changes nothing. Status 1 on any breach,
/// and on data that is damaged, in use or not there.
pub(super) fn verify(data_dir: &Path) -> Result<(), Failure> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    // Whatever the daemon was configured for fits: these tables grow with what is in them.
    let capacity = Capacity {
        accounts: EngineConfig::MOST_ROWS,
        cards: EngineConfig::MOST_ROWS,
        remembered: EngineConfig::MOST_REMEMBERED,
    };
    let report = gapless_store::verify(&disk, &Dirs::within(data_dir), capacity)
        .map_err(|breach| Failure::failed(format_args!("{}: {breach}", data_dir.display())))?;
    say(report);
    Ok(())
}
