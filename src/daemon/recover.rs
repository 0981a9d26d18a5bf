//! From a data directory to a live engine, a follower and a journal that goes on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gapless_engine::{Capacity, Engine};
use gapless_journal::{Disk, FileJournal, Journal, JournalOptions, RealDisk};
use gapless_store::{Archive, Dirs, LoadOptions, Replica, StoreOptions, load};

use super::RunError;
use crate::config::Config;

/// What recovery gives.
pub(super) struct Recovered {
    pub disk: Arc<dyn Disk>,
    pub dirs: Dirs,
    pub store: StoreOptions,
    pub journal: FileJournal,
    pub uuid: [u8; 16],
    /// Highest sequence in the journal.
    pub head: u64,
    pub live: Engine,
    pub follower: Replica,
    /// Remembered transactions that have left memory.
    pub archive: Archive,
}

/// Opens the journal (which locks the data directory) and loads the state.
pub(super) fn recover(config: &Config, data_dir: &Path) -> Result<Recovered, RunError> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut dirs = Dirs::within(data_dir);
    if !config.store.checkpoints
        && let Some(rows) = dirs.rows.take()
        && rows.exists()
    {
        tracing::warn!(
            rows = %rows.display(),
            "rows of before are neither read nor written (store.checkpoints = false)"
        );
    }
    let store = store_options(config);
    let recovered = Journal::open(Arc::clone(&disk), journal_options(config, &dirs))?;
    if let Some(cut) = &recovered.cut {
        tracing::warn!(
            file = %cut.file.display(), offset = cut.offset, bytes = cut.bytes,
            "a torn tail was cut off; nothing in it was ever answered"
        );
    }
    let capacity = capacity(config);
    let options = LoadOptions {
        reserved: gapless_pages::prefer,
        ..LoadOptions::new(&recovered, capacity, store.clone())
    };
    let mut loaded = load(&disk, &dirs, &options)?;
    for engine in [&loaded.live, loaded.follower.engine()] {
        engine.tables().for_each(gapless_pages::settle);
    }
    // Its thread starts now, rather than with a payment.
    gapless_pages::touch_ahead(0..0);
    loaded.live.tell_of_records(gapless_pages::touch_ahead);
    loaded.follower.tell_of_records(gapless_pages::touch_ahead);
    tracing::info!(
        head = recovered.head,
        source = %loaded.source,
        replayed = loaded.replayed,
        "recovered"
    );
    Ok(Recovered {
        disk,
        dirs,
        store,
        head: recovered.head,
        uuid: recovered.uuid,
        journal: recovered.journal,
        live: loaded.live,
        follower: loaded.follower,
        archive: loaded.archive,
    })
}

fn capacity(config: &Config) -> Capacity {
    Capacity {
        accounts: config.engine.accounts,
        cards: config.engine.cards,
        remembered: config.engine.remembered_transactions,
    }
}

fn journal_options(config: &Config, dirs: &Dirs) -> JournalOptions {
    let mut options = JournalOptions::new(&dirs.journal);
    options.segment_bytes = u64::from(config.journal.segment_mib) << 20;
    options.reserve_segments = usize::try_from(config.journal.reserve_segments).unwrap_or(1);
    // What is decided when the disk turns out to be full must still fit.
    options.headroom_bytes = config
        .engine
        .max_pending_journal_bytes
        .saturating_add(2 << 20);
    options
}

fn store_options(config: &Config) -> StoreOptions {
    let engine = &config.engine;
    let in_memory = engine
        .remembered_in_memory
        .unwrap_or(engine.remembered_transactions);
    let mut options = StoreOptions {
        checkpoint_every: Duration::from_millis(config.store.checkpoint_every_ms),
        base_after_bytes: config.store.base_after_mib << 20,
        base_after_events: config.store.base_after_events,
        base_after_growth: config.store.base_growth_mib << 20,
        sled_cache_bytes: u64::from(config.store.cache_mib) << 20,
        ..StoreOptions::default()
    };
    options.hold_in_memory(in_memory, engine.remembered_transactions);
    options
}
