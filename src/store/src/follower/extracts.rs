//! The extracts that are kept: written at the freeze from the follower's own
//! instance, which stands still meanwhile; checked; made anew in a third instance,
//! from a base at or before the freeze and the journal, when a crash or damage has
//! left none.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use gapless_engine::Engine;
use gapless_engine::date::Date;
use gapless_engine::ids::Seq;
use gapless_journal::Disk;

use super::pace::Pace;
use super::rebuild::Rebuild;
use super::rows::Driven;
use crate::extract::{
    Check, ExtractState, Extracts, Fault, Format, Job, MANIFEST, Out, Table, Target, dir_of,
    temporary,
};
use crate::options::{Dirs, StoreOptions};
use crate::remembered::{Archive, Remembered};

/// What is being done.
#[derive(Debug)]
enum Active {
    /// Written from the follower's own instance.
    Live(Job),
    /// Read back.
    Check(Check),
    /// A third instance on its way to the freeze.
    Rebuild(Box<Rebuild>),
    /// Written from the third instance.
    Rebuilt(Job, Box<Engine>),
}

impl Active {
    const fn target(&self) -> Target {
        match self {
            Self::Live(job) | Self::Rebuilt(job, _) => job.target(),
            Self::Check(check) => check.target(),
            Self::Rebuild(rebuild) => rebuild.target(),
        }
    }
}

/// Writes and keeps the extracts.
#[derive(Debug)]
pub(crate) struct Desk {
    disk: Arc<dyn Disk>,
    dirs: Dirs,
    limits: StoreOptions,
    uuid: [u8; 16],
    shelf: Arc<Extracts>,
    /// To be checked, and made anew if need be.
    todo: BTreeSet<Date>,
    active: Option<Active>,
    archive: Archive,
    pace: Pace,
    retry_at: Option<Instant>,
}

impl Desk {
    /// Looks after the extracts of every date that `engine` keeps.
    pub(crate) fn new(
        disk: &Arc<dyn Disk>,
        dirs: &Dirs,
        limits: &StoreOptions,
        uuid: [u8; 16],
        engine: &Engine,
        archive: &Archive,
        now: Instant,
    ) -> Self {
        let shelf = Arc::new(Extracts::new(Arc::clone(disk), dirs.extracts.clone()));
        let mut desk = Self {
            disk: Arc::clone(disk),
            dirs: dirs.clone(),
            limits: limits.clone(),
            uuid,
            shelf,
            todo: BTreeSet::new(),
            active: None,
            archive: archive.clone(),
            pace: Pace::new(limits.base_bytes_per_s, now),
            retry_at: None,
        };
        for day in engine.kept_day_ends() {
            desk.shelf.set(day.date, ExtractState::Writing);
            desk.todo.insert(day.date);
        }
        desk.drop_old(engine);
        desk
    }

    /// For whoever reads extracts.
    pub(crate) fn shelf(&self) -> Arc<Extracts> {
        Arc::clone(&self.shelf)
    }

    /// Whether the follower's own instance must not change now.
    pub(crate) const fn holds(&self) -> bool {
        matches!(self.active, Some(Active::Live(_)))
    }

    /// Whether a third instance is at work, which may need files that nobody else does.
    pub(crate) const fn is_rebuilding(&self) -> bool {
        matches!(self.active, Some(Active::Rebuild(_) | Active::Rebuilt(..)))
    }

    /// The follower's instance has come to the freeze of `date`.
    pub(crate) fn frozen(&mut self, engine: &Engine, date: Date) {
        let target = Target {
            date,
            freeze: engine.last_seq(),
        };
        if let Some(active) = self.active.take() {
            // It can wait; this instance cannot.
            self.todo.insert(active.target().date);
        }
        self.shelf.set(date, ExtractState::Writing);
        match self.begin(target, engine) {
            Ok(job) => self.active = Some(Active::Live(job)),
            Err(fault) => self.failed(target, &fault, Instant::now()),
        }
    }

    /// A date was sealed: what is kept for so many seals only goes.
    pub(crate) fn sealed(&mut self, engine: &Engine) {
        self.drop_old(engine);
    }

    /// The follower's instance will change whatever happens.
    pub(crate) fn let_go(&mut self) {
        if let Some(Active::Live(job)) = &self.active {
            self.todo.insert(job.target().date);
            self.active = None;
        }
    }

    /// Freezes whose extract is not known to be on disk: what it is made from stays.
    pub(crate) fn unverified(&self, engine: &Engine) -> Vec<Seq> {
        engine
            .kept_day_ends()
            .filter(|day| {
                matches!(
                    self.shelf.state(day.date),
                    None | Some(ExtractState::Writing)
                )
            })
            .map(|day| day.freeze)
            .collect()
    }

    fn out(&self, date: Date) -> Out {
        Out {
            disk: Arc::clone(&self.disk),
            dir: dir_of(&self.dirs.extracts, date),
        }
    }

    fn begin(&self, target: Target, engine: &Engine) -> Result<Job, Fault> {
        if !self.has_room() {
            return Err(io::Error::from(io::ErrorKind::StorageFull).into());
        }
        Job::begin(
            target,
            engine,
            &self.disk,
            &self.dirs.journal,
            &self.archive,
            self.uuid,
            Some(self.out(target.date)),
        )
    }

    fn has_room(&self) -> bool {
        super::worker::has_room(&*self.disk, &self.dirs, &self.limits, 0)
    }

    /// Goes on by one piece. `engine` is the follower's own, and stands at the freeze
    /// while [`Self::holds`].
    pub(crate) fn drive(&mut self, engine: &Engine, durable: Seq, now: Instant) -> Driven {
        while let Some(date) = self.shelf.take_damaged() {
            self.todo.insert(date);
        }
        if self.active.is_none() {
            if self.todo.is_empty() {
                return Driven::Idle(None);
            }
            if let Some(retry_at) = self.retry_at.filter(|at| now < *at) {
                return Driven::Idle(Some(retry_at));
            }
            self.take_up(engine, now);
        }
        if now < self.pace.free_at() {
            return Driven::Idle(Some(self.pace.free_at()));
        }
        let Some(active) = self.active.take() else {
            return Driven::Idle(self.retry_at.filter(|at| now < *at));
        };
        let target = active.target();
        match self.advance(active, engine, durable) {
            Ok(bytes) => {
                self.pace.spent(bytes, now);
                Driven::Wrote(bytes)
            }
            Err(fault) => {
                self.failed(target, &fault, now);
                Driven::Wrote(0)
            }
        }
    }

    /// Begins with the oldest date that there is something to do for.
    fn take_up(&mut self, engine: &Engine, now: Instant) {
        let Some(date) = self.todo.pop_first() else {
            return;
        };
        let Some(day) = engine.kept_day_ends().find(|day| day.date == date) else {
            return;
        };
        let target = Target {
            date,
            freeze: day.freeze,
        };
        self.active = match Check::begin(target, self.uuid, self.out(date)) {
            Some(check) => Some(Active::Check(check)),
            None if self.has_room() => Some(self.rebuild(target, engine)),
            None => {
                self.todo.insert(date);
                self.retry_at = now.checked_add(self.limits.retry_after);
                None
            }
        };
    }

    fn rebuild(&self, target: Target, engine: &Engine) -> Active {
        tracing::info!(date = %target.date, freeze = target.freeze, "an extract is made from a base file and the journal");
        Active::Rebuild(Box::new(Rebuild::new(
            target,
            &self.disk,
            &self.dirs,
            self.uuid,
            engine.options().capacity,
            Remembered::new(self.archive.clone(), &self.limits),
        )))
    }

    fn advance(&mut self, active: Active, engine: &Engine, durable: Seq) -> Result<u64, Fault> {
        match active {
            Active::Live(mut job) => {
                if let Some(bytes) = self.step(&mut job, engine, durable)? {
                    self.active = Some(Active::Live(job));
                    return Ok(bytes);
                }
                self.written(job.target())
            }
            Active::Rebuilt(mut job, third) => {
                if let Some(bytes) = self.step(&mut job, &third, durable)? {
                    self.active = Some(Active::Rebuilt(job, third));
                    return Ok(bytes);
                }
                self.written(job.target())
            }
            Active::Rebuild(mut rebuild) => {
                let target = rebuild.target();
                let (read, there) = rebuild.step(durable)?;
                self.active = Some(match there {
                    None => Active::Rebuild(rebuild),
                    Some(third) => {
                        let job = self.begin(target, &third)?;
                        Active::Rebuilt(job, Box::new(third))
                    }
                });
                Ok(read)
            }
            Active::Check(mut check) => match check.step() {
                Ok(Some(bytes)) => {
                    self.active = Some(Active::Check(check));
                    Ok(bytes)
                }
                Ok(None) => {
                    let target = check.target();
                    tracing::info!(date = %target.date, freeze = target.freeze, "extract written and verified");
                    let manifest = Arc::new(check.into_manifest());
                    self.shelf.set(target.date, ExtractState::Ready(manifest));
                    Ok(0)
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::InvalidData | io::ErrorKind::NotFound
                    ) =>
                {
                    tracing::error!(%error, date = %check.target().date, "an extract is damaged");
                    self.active = Some(self.rebuild(check.target(), engine));
                    Ok(0)
                }
                Err(error) => Err(error.into()),
            },
        }
    }

    fn step(&self, job: &mut Job, engine: &Engine, durable: Seq) -> Result<Option<u64>, Fault> {
        // The journal needs the rest.
        if !self.has_room() {
            return Err(io::Error::from(io::ErrorKind::StorageFull).into());
        }
        job.step(engine, durable)
    }

    /// All is written and has its name: it is read back before it counts.
    fn written(&mut self, target: Target) -> Result<u64, Fault> {
        let check = Check::begin(target, self.uuid, self.out(target.date)).ok_or_else(|| {
            Fault::Io(io::Error::other(
                "the manifest does not read back as written",
            ))
        })?;
        self.active = Some(Active::Check(check));
        Ok(0)
    }

    fn failed(&mut self, target: Target, fault: &Fault, now: Instant) {
        let Target { date, freeze } = target;
        match fault {
            Fault::Io(_) | Fault::Journal(_) => {
                tracing::error!(%date, freeze, error = %fault, "an extract could not be written; it is tried again");
                self.todo.insert(date);
                self.retry_at = now.checked_add(self.limits.retry_after);
            }
            Fault::Gone(why) => {
                tracing::error!(%date, freeze, why, "an extract cannot be made any more");
                self.shelf
                    .set(date, ExtractState::Gone(why.as_str().into()));
            }
            Fault::Wrong(why) => {
                tracing::error!(%date, freeze, why, "an extract is not written, since it would be wrong");
                self.shelf
                    .set(date, ExtractState::Gone(why.as_str().into()));
            }
        }
        // What is unfinished takes space that others need.
        let dir = self.out(date).dir;
        for name in Table::ALL.iter().map(|table| table.file(Format::Csv)) {
            self.remove(&dir.join(temporary(&name)));
        }
        self.remove(&dir.join(temporary(MANIFEST)));
    }

    fn remove(&self, path: &std::path::Path) {
        match self.disk.remove(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "a file of an extract cannot be removed");
            }
        }
    }

    /// Removes the extracts of dates that are no longer kept.
    fn drop_old(&mut self, engine: &Engine) {
        let kept: BTreeSet<Date> = engine.kept_day_ends().map(|day| day.date).collect();
        self.todo.retain(|date| kept.contains(date));
        if let Some(active) = &self.active
            && !kept.contains(&active.target().date)
        {
            self.active = None;
        }
        for date in self.shelf.dates() {
            if !kept.contains(&date) {
                self.shelf.remove(date);
            }
        }
        let old: Vec<PathBuf> = engine
            .day_ends()
            .iter()
            .filter(|day| day.seal != 0 && !kept.contains(&day.date))
            .map(|day| dir_of(&self.dirs.extracts, day.date))
            .collect();
        for dir in old {
            let Ok(names) = self.disk.list(&dir) else {
                continue;
            };
            // The manifest first: what is left after a crash is no extract.
            self.remove(&dir.join(MANIFEST));
            for name in names.iter().filter(|name| *name != MANIFEST) {
                self.remove(&dir.join(name));
            }
            if let Err(error) = self.disk.remove_dir(&dir) {
                tracing::debug!(dir = %dir.display(), %error, "an old extract's directory stays");
            }
        }
    }
}
