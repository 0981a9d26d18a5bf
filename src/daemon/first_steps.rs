//! What a recovered engine needs before links open: its genesis if the journal
//! is new, the bank's internal accounts, and demo data if it is asked for.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gapless_engine::command::{Genesis, Request};
use gapless_engine::ids::{NetworkId, TimeUs};
use gapless_engine::outcome::PutOutcome;
use gapless_engine::{Answer, Engine};

use super::RunError;
use super::night::Schedule;
use crate::adapter::PanKeys;
use crate::config::Config;
use crate::import;
use crate::runner::EngineHandle;

/// There while demo data is being loaded: a daemon that was killed meanwhile
/// loads it again (rows that are there already stay as they are).
const DEMO_MARKER: &str = "demo-data-incomplete";

/// Notes that demo data is wanted, if the data directory is new.
pub(super) fn mark_demo(data_dir: &Path, config: &Config, new: bool) -> Result<bool, RunError> {
    let marker = data_dir.join(DEMO_MARKER);
    if config.demo_data.is_none() {
        return Ok(false);
    }
    if new {
        File::create(&marker)
            .and_then(|file| file.sync_all())
            .and_then(|()| sync_folder(data_dir))
            .map_err(|error| RunError::Io(marker.clone(), error))?;
    }
    Ok(marker.exists())
}

/// The journal's first event, or the check that this key made its hashes.
pub(super) fn begin(
    engine: &EngineHandle,
    schedule: &Schedule,
    keys: &PanKeys,
    now_us: TimeUs,
) -> Result<(), RunError> {
    let key_check = keys.key_check();
    match engine.look(Engine::genesis) {
        Some(genesis) if genesis.key_check == key_check => Ok(()),
        Some(_) => Err(RunError::OtherKey),
        None => {
            let business_date = schedule.open_date(now_us)?;
            engine.put(&[Request::Genesis(Genesis {
                business_date,
                key_check,
            })]);
            tracing::info!(%business_date, "a new journal begins");
            Ok(())
        }
    }
}

/// Settlement, suspense, position and opening accounts, for the bank's own
/// terminals and each network, and the batch's account: in each currency.
pub(super) fn open_internal(engine: &EngineHandle, config: &Config) -> Result<(), RunError> {
    let networks: Vec<NetworkId> = std::iter::once(NetworkId::OWN_TERMINALS)
        .chain(
            config
                .networks
                .iter()
                .map(crate::config::Network::network_id),
        )
        .collect();
    for currency in config.bank.currencies.iter().map(|code| code.currency()) {
        let of_networks = networks.iter().map(|network| Request::OpenInternal {
            network: *network,
            currency,
        });
        let batch = Request::OpenBatch { currency };
        for request in of_networks.chain([batch]) {
            let (answers, _) = engine.put(&[request]);
            if let Some(Answer::Put(PutOutcome::Refused(why))) = answers.first() {
                return Err(RunError::Internal(why.to_string()));
            }
        }
    }
    Ok(())
}

/// Loads the demo files, durable before the marker goes.
pub(super) async fn load_demo(
    engine: &EngineHandle,
    data_dir: &Path,
    folder: &Path,
    keys: &Arc<PanKeys>,
) -> Result<(), RunError> {
    let mut rows = 0usize;
    for batch in import::load_demo(folder, keys)? {
        let batch = batch?;
        let (answers, seq) = engine.put(&batch);
        for answer in &answers {
            if let Answer::Put(PutOutcome::Refused(why)) = answer {
                return Err(RunError::Demo(folder.to_owned(), why.to_string()));
            }
        }
        rows += answers.len();
        // A batch at a time: never more than the journal takes.
        engine.durable_at(seq).await;
    }
    let marker = data_dir.join(DEMO_MARKER);
    fs::remove_file(&marker)
        .and_then(|()| sync_folder(data_dir))
        .map_err(|error| RunError::Io(marker, error))?;
    tracing::info!(rows, folder = %folder.display(), "demo data loaded");
    Ok(())
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Refuses a data directory that has lost a part, before anything is made in it:
/// a new journal or key beside old data would stand in the way of a restored one.
pub(super) fn check_whole(data_dir: &Path) -> Result<(), RunError> {
    let holds = |folder: &str, wanted: fn(&str) -> bool| {
        fs::read_dir(data_dir.join(folder)).is_ok_and(|entries| {
            entries
                .flatten()
                .any(|entry| entry.file_name().to_str().is_some_and(wanted))
        })
    };
    let any = |_: &str| true;
    let journal = holds("journal", |name| name.ends_with(".seg"));
    if journal && !data_dir.join("keys").join("pan.key").exists() {
        return Err(RunError::Lost {
            data_dir: data_dir.to_owned(),
            what: "keys/pan.key is missing, and without it no card is found",
        });
    }
    if !journal && (holds("base", any) || holds("sled", any)) {
        return Err(RunError::Lost {
            data_dir: data_dir.to_owned(),
            what: "journal/ is missing or empty, though there are base files or rows",
        });
    }
    Ok(())
}

/// Makes the data directory, for this user only; whether it held anything.
pub(super) fn make_data_dir(data_dir: &Path) -> Result<bool, RunError> {
    use std::os::unix::fs::DirBuilderExt;
    let failed = |error| RunError::Io(PathBuf::from(data_dir), error);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .map_err(failed)?;
    let empty = fs::read_dir(data_dir).map_err(failed)?.next().is_none();
    Ok(empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_that_lost_a_part_is_refused_and_left_alone() {
        let room = tempfile::tempdir().unwrap();
        let data = room.path();
        let lost = || match check_whole(data) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        assert_eq!(lost(), "");
        fs::create_dir_all(data.join("base")).unwrap();
        fs::create_dir_all(data.join("journal")).unwrap();
        assert_eq!(lost(), "", "empty folders are no data");
        fs::write(data.join("base/base-1"), "").unwrap();
        assert!(
            lost().contains("journal/ is missing or empty"),
            "{}",
            lost()
        );
        fs::write(data.join("journal/journal-1.seg"), "").unwrap();
        assert!(lost().contains("keys/pan.key is missing"), "{}", lost());
        fs::create_dir_all(data.join("keys")).unwrap();
        fs::write(data.join("keys/pan.key"), "").unwrap();
        assert_eq!(lost(), "");
    }
}
