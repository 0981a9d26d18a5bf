//! What sled's rows leave out: the transactions remembered at their mark. They come from
//! the newest base file, and behind it from the journal, which names each of them anyway:
//! stored as rows they would be most of what a checkpoint writes.

use std::io;
use std::sync::Arc;

use gapless_engine::date::Date;
use gapless_engine::ids::Seq;
use gapless_engine::{Event, Recall};
use gapless_journal::{Disk, JournalError, Reader};

use crate::base::{self, BaseError, BaseName, Header};
use crate::format::Item;
use crate::options::Dirs;
use crate::remembered::Extents;
use crate::rows::mark::Mark;

/// Where what was recalled came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recalled {
    /// The base file's sequence; 0 without one.
    pub(crate) base: Seq,
    /// Events of the journal behind it.
    pub(crate) events: u64,
}

/// Why the rows cannot be completed.
#[derive(Debug)]
pub(crate) enum RecallError {
    /// Another source does better: nothing is wrong.
    Older(String),
    /// This base file is of no use; an older one may be ([`Past::passed`]).
    Base(BaseName, String),
    /// Another source may do better.
    Because(String),
    /// Durable groups cannot be read.
    Journal(JournalError),
    /// Base files cannot be listed.
    Io(io::Error),
}

impl From<JournalError> for RecallError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

/// Journal and base files, and what of them may be relied on.
pub(crate) struct Past<'a> {
    pub(crate) disk: &'a Arc<dyn Disk>,
    pub(crate) dirs: &'a Dirs,
    /// The oldest sequence that the journal keeps, and its last.
    pub(crate) journal: (Seq, Seq),
    /// Base files that were found to be of no use.
    pub(crate) passed: Vec<BaseName>,
}

/// Slots of each date that were met.
#[derive(Debug, Default)]
struct Met(Vec<(Date, u32)>);

impl Met {
    fn begin(&mut self, date: Date, slots: u32) {
        self.0.push((date, slots));
    }

    fn of(&self, date: Date) -> u32 {
        let found = self.0.iter().find(|(of, _)| *of == date);
        found.map_or(0, |(_, slots)| *slots)
    }

    /// The position of the next one.
    fn next(&mut self, date: Date) -> u32 {
        if let Some((_, slots)) = self.0.iter_mut().find(|(of, _)| *of == date) {
            *slots += 1;
            return *slots - 1;
        }
        self.begin(date, 1);
        0
    }
}

impl Past<'_> {
    /// Gives `each` what was remembered at the mark of rows with this residue, in the
    /// order in which a loader takes it.
    pub(crate) fn recall(
        &self,
        mark: &Mark,
        residue: &[u8],
        mut each: impl FnMut(Item<'_>) -> Result<(), String>,
    ) -> Result<Recalled, RecallError> {
        let because = |what: String| Err(RecallError::Because(what));
        let from = self.begin(mark.seq)?;
        let Some(mut recall) = Recall::new(residue) else {
            return because("the residue cannot be read".to_owned());
        };
        let (mut met, mut files) = (Met::default(), mark.files.clone());
        if let Some(base) = from {
            let header = self.header(base, mark)?;
            for (date, extent) in &header.counts.files.0 {
                met.begin(*date, extent.slots);
                files.extend(*date, *extent);
            }
        }
        files
            .0
            .iter()
            .filter(|(date, _)| recall.keeps(*date))
            .try_for_each(|(date, extent)| each(Item::Files(*date, *extent)))
            .map_err(RecallError::Because)?;
        if let Some(base) = from {
            let mut earlier = Vec::new();
            let path = self.dirs.bases.join(base.file());
            base::read(&**self.disk, &path, |item| match item {
                Item::Record(date, _) => {
                    let is_left = met.next(date) >= files.of(date).slots;
                    if is_left && recall.keeps(date) {
                        each(item)
                    } else {
                        Ok(())
                    }
                }
                Item::Residue(residue) => {
                    earlier = residue.to_vec();
                    Ok(())
                }
                _ => Ok(()),
            })
            .map_err(broken(base))?;
            if recall.begin_behind(&earlier).is_none() {
                return because("the residue of the base file cannot be read".to_owned());
            }
        }
        let begun = from.map_or(0, |base| base.0);
        if begun < mark.seq {
            let events = (begun + 1, mark.seq);
            self.walk(events, &mut recall, &files, &mut met, &mut each)?;
        }
        for (date, due) in recall.generations() {
            let found = met.of(date);
            if found != due {
                let what = format!("{found} transactions of {date} are remembered, not {due}");
                return because(what);
            }
        }
        Ok(Recalled {
            base: begun,
            events: mark.seq - begun,
        })
    }

    /// The newest base file that was not passed over.
    fn newest(&self) -> io::Result<Option<BaseName>> {
        let bases = base::list(&**self.disk, &self.dirs.bases, false)?;
        let mut left = bases.into_iter().filter(|one| !self.passed.contains(one));
        Ok(left.next())
    }

    /// What is to be said of rows with a mark at `seq` if a base file is newer.
    pub(crate) fn newer(&self, seq: Seq) -> Option<String> {
        // What cannot be listed is told later.
        newer_than(self.newest().ok().flatten()?, seq)
    }

    /// The base file to begin with for a mark at `seq`; `None`: at the first event.
    fn begin(&self, seq: Seq) -> Result<Option<BaseName>, RecallError> {
        let (first, _) = self.journal;
        let newest = self.newest().map_err(RecallError::Io)?;
        if let Some(what) = newest.and_then(|base| newer_than(base, seq)) {
            return Err(RecallError::Older(what));
        }
        if newest.map_or(0, |base| base.0) + 1 >= first {
            return Ok(newest);
        }
        Err(RecallError::Because(format!(
            "it does not hold what was remembered, the journal is kept from event {first} on, \
             and no base file reaches up to there"
        )))
    }

    fn header(&self, base: BaseName, mark: &Mark) -> Result<Header, RecallError> {
        let path = self.dirs.bases.join(base.file());
        let header = base::header(&**self.disk, &path).map_err(broken(base))?;
        if header.uuid == mark.uuid && header.seq == base.0 {
            return Ok(header);
        }
        let path = path.display();
        let what = format!("base file {path} is of another journal or sequence");
        Err(RecallError::Base(base, what))
    }

    fn walk(
        &self,
        (from, until): (Seq, Seq),
        recall: &mut Recall,
        files: &Extents,
        met: &mut Met,
        each: &mut impl FnMut(Item<'_>) -> Result<(), String>,
    ) -> Result<(), RecallError> {
        let (_, head) = self.journal;
        let mut reader = Reader::open(Arc::clone(self.disk), self.dirs.journal.clone(), from)?;
        let mut event = Event::BLANK;
        let mut next = from;
        while next <= until {
            let Some(group) = reader.next(head)? else {
                let what = format!("the journal ends before event {next}");
                return Err(RecallError::Because(what));
            };
            let mut rest = group.events;
            while !rest.is_empty() && next <= until {
                rest = event.decode_from(rest).map_err(|error| {
                    RecallError::Because(format!("event {next} of the journal: {error}"))
                })?;
                if event.seq < next {
                    continue;
                }
                if event.seq > next {
                    let what = format!("event {} follows where {next} is due", event.seq);
                    return Err(RecallError::Because(what));
                }
                next += 1;
                recall
                    .slots(&event, |date, record| {
                        if met.next(date) >= files.of(date).slots {
                            each(Item::Slot(date, record))
                        } else {
                            Ok(())
                        }
                    })
                    .map_err(RecallError::Because)?;
            }
        }
        Ok(())
    }
}

/// What is to be said of rows with a mark at `seq` if this base file is newer.
fn newer_than(BaseName(base): BaseName, seq: Seq) -> Option<String> {
    let what =
        || format!("its mark is at event {seq}, and a newer base file is there, of event {base}");
    (base > seq).then(what)
}

fn broken(base: BaseName) -> impl Fn(BaseError) -> RecallError {
    move |error| match error {
        // It is what the loader said.
        BaseError::Refused { what, .. } => RecallError::Because(what),
        error => RecallError::Base(base, error.to_string()),
    }
}
