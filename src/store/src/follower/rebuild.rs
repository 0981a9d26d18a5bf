//! A third instance of the core on its way to a freeze that lies behind: from a
//! base file at or before it, or from nothing, and the journal.

use std::sync::Arc;

use gapless_engine::ids::Seq;
use gapless_engine::{Capacity, Engine, Event, Options};
use gapless_journal::{Disk, Reader};

use crate::base::{self, BaseName};
use crate::extract::{Fault, Target};
use crate::load::give;
use crate::options::Dirs;
use crate::remembered::Remembered;

/// Events that a step replays.
const EVENTS_AT_ONCE: u64 = 2_000;

/// An instance on its way.
#[derive(Debug)]
pub(crate) struct Rebuild {
    target: Target,
    disk: Arc<dyn Disk>,
    dirs: Dirs,
    uuid: [u8; 16],
    options: Options,
    /// Of no generation yet.
    empty: Remembered,
    remembered: Remembered,
    under_way: Option<(Engine, Reader)>,
    /// Bases from here on have turned out to be of no use.
    below: Seq,
    /// Why, for whoever hears that nothing is left.
    notes: Vec<String>,
}

impl Rebuild {
    pub(crate) fn new(
        target: Target,
        disk: &Arc<dyn Disk>,
        dirs: &Dirs,
        uuid: [u8; 16],
        capacity: Capacity,
        remembered: Remembered,
    ) -> Self {
        Self {
            target,
            disk: Arc::clone(disk),
            dirs: dirs.clone(),
            uuid,
            options: Options {
                indexed: false,
                capacity,
            },
            empty: remembered.clone(),
            remembered,
            under_way: None,
            below: target.freeze + 1,
            notes: Vec::new(),
        }
    }

    pub(crate) const fn target(&self) -> Target {
        self.target
    }

    /// Goes on. Bytes of journal read, and the instance once it stands at the freeze.
    pub(crate) fn step(&mut self, durable: Seq) -> Result<(u64, Option<Engine>), Fault> {
        let Some((mut engine, mut reader)) = self.under_way.take() else {
            self.under_way = Some(self.start()?);
            return Ok((0, None));
        };
        let begun_at = engine.last_seq();
        let mut read = 0;
        while engine.last_seq() < self.target.freeze
            && engine.last_seq() - begun_at < EVENTS_AT_ONCE
        {
            let Some(group) = reader.next(durable)? else {
                return Err(Fault::Gone("the journal ends before the freeze".to_owned()));
            };
            read += group.events.len() as u64;
            let freeze = self.target.freeze;
            if let Err(what) = replay(&mut engine, &mut self.remembered, group.events, freeze) {
                self.give_up_on(what);
                return Ok((read, None));
            }
        }
        if engine.last_seq() == self.target.freeze {
            return Ok((read, Some(engine)));
        }
        self.under_way = Some((engine, reader));
        Ok((read, None))
    }

    /// The base that was begun from leads elsewhere than the journal: an older one may do.
    fn give_up_on(&mut self, what: String) {
        tracing::error!(%what, base = self.below, "a base file does not lead to the freeze");
        self.notes.push(what);
    }

    /// The newest source below [`Self::below`].
    fn start(&mut self) -> Result<(Engine, Reader), Fault> {
        for name in base::list(&*self.disk, &self.dirs.bases, false)? {
            if name.0 >= self.below {
                continue;
            }
            self.below = name.0;
            match self.load(name) {
                Ok(engine) => {
                    let reader = Reader::open(
                        Arc::clone(&self.disk),
                        self.dirs.journal.clone(),
                        name.0 + 1,
                    )?;
                    return Ok((engine, reader));
                }
                Err(what) => self.notes.push(what),
            }
        }
        if self.below == 0 {
            return Err(Fault::Gone(self.notes.join("; ")));
        }
        self.below = 0;
        match Reader::open(Arc::clone(&self.disk), self.dirs.journal.clone(), 1) {
            Ok(reader) => {
                self.remembered = self.empty.clone();
                Ok((Engine::new(self.options), reader))
            }
            Err(error) => {
                let fault = Fault::from(error);
                let Fault::Gone(what) = fault else {
                    return Err(fault);
                };
                self.notes.push(what);
                let why = self.notes.join("; ");
                Err(Fault::Gone(format!(
                    "no base file at or before the freeze is left: {why}"
                )))
            }
        }
    }

    fn load(&mut self, name: BaseName) -> Result<Engine, String> {
        let path = self.dirs.bases.join(name.file());
        let mut loader = Engine::loader(self.options);
        self.remembered = self.empty.clone();
        let remembered = &mut self.remembered;
        let header = base::read(&*self.disk, &path, |item| {
            give(&mut [&mut loader], remembered, item).map_err(|error| error.to_string())
        })
        .map_err(|error| error.to_string())?;
        let engine = remembered
            .finish(loader)
            .map_err(|error| error.to_string())?;
        if header.uuid != self.uuid
            || engine.last_seq() != name.0
            || engine.state_hash() != header.state_hash
        {
            return Err(format!("{}: it is not what it names", path.display()));
        }
        Ok(engine)
    }
}

/// Applies events up to the freeze, each held against the invariants.
fn replay(
    engine: &mut Engine,
    remembered: &mut Remembered,
    mut rest: &[u8],
    freeze: Seq,
) -> Result<(), String> {
    while !rest.is_empty() && engine.last_seq() < freeze {
        let (event, after) = Event::decode(rest).map_err(|error| error.to_string())?;
        rest = after;
        if event.seq <= engine.last_seq() {
            continue;
        }
        remembered
            .archive
            .checked(engine, &event, true)
            .map_err(|error| error.to_string())?
            .map_err(|breach| breach.to_string())?;
        engine.apply(&event);
        remembered
            .ease(&mut [engine])
            .map_err(|error| error.to_string())?;
        if let Some(seq) = engine.divergence() {
            return Err(format!("the state at event {seq} is not the one attested"));
        }
    }
    Ok(())
}
