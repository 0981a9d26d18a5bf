//! What several tests share.
#![allow(dead_code, reason = "not every test uses all of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gapless_journal::sim::SimDisk;
use gapless_journal::{
    Batch, Disk, FileJournal, HelperMode, JournalError, JournalOptions, Port, Reader, Seq, Verdict,
};

/// SplitMix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

pub const DIR: &str = "/data/journal";

/// Small segments, many of them, on a simulated disk.
pub fn sim_options(segment_bytes: u64) -> JournalOptions {
    JournalOptions {
        uuid: Some(*b"a journal's uuid"),
        helper: HelperMode::Inline,
        ..JournalOptions::small(DIR, segment_bytes)
    }
}

pub fn segment(number: u64) -> PathBuf {
    Path::new(DIR).join(format!("journal-{number:020}.seg"))
}

/// Numbers of the files with a segment's name.
pub fn segments(disk: &SimDisk) -> Vec<u64> {
    let names = disk.list(Path::new(DIR)).unwrap();
    names
        .iter()
        .filter_map(|name| name.strip_prefix("journal-")?.strip_suffix(".seg"))
        .map(|number| number.parse().unwrap())
        .collect()
}

/// One event per sequence number, which names it and the life it is of.
pub fn event(seq: Seq, life: u64, bytes: usize) -> Vec<u8> {
    let mut event = Vec::with_capacity(bytes + 16);
    event.extend(seq.to_le_bytes());
    event.extend(life.to_le_bytes());
    event.resize(bytes + 16, (seq ^ life) as u8 | 1);
    event
}

/// Submits events after `head` as one group.
pub fn submit(
    journal: &mut FileJournal,
    batch_id: u64,
    last: Seq,
    events: &[u8],
) -> Result<(), JournalError> {
    let head = journal.head();
    let verdict = journal.submit(Batch {
        term: journal.term(),
        expected_head: head,
        batch_id,
        first: head + 1,
        last,
        events,
    });
    match verdict {
        Verdict::Durable => Ok(()),
        Verdict::Failed(error) => Err(error),
        other => panic!("{other:?}"),
    }
}

/// A group as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    pub first: Seq,
    pub last: Seq,
    pub events: Vec<u8>,
}

/// Everything from `from` up to `durable`.
pub fn read_all(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    from: Seq,
    durable: Seq,
) -> Result<Vec<Owned>, JournalError> {
    let mut reader = Reader::open(Arc::clone(disk), dir, from)?;
    let mut groups = Vec::new();
    while let Some(group) = reader.next(durable)? {
        groups.push(Owned {
            first: group.first,
            last: group.last,
            events: group.events.to_vec(),
        });
    }
    Ok(groups)
}
