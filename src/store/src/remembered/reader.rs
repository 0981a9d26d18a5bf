//! The thread that reads files of remembered transactions for the engine, which must
//! not wait for a disk; it also gives back the memory that records have left.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use gapless_engine::{BlockRef, Freed};

use super::file::{Archive, FetchedBlock};

/// Called on the reader's thread with what was read.
type Then = Box<dyn FnOnce(Vec<FetchedBlock>) + Send>;

enum Work {
    Fetch(Vec<BlockRef>, Then),
    Free(Freed),
    Stop,
}

/// The thread. Dropping it stops it, after what it was asked before.
#[derive(Debug)]
pub struct RecordReader {
    work: Sender<Work>,
    thread: Option<JoinHandle<()>>,
}

/// Asks the thread.
#[derive(Clone, Debug)]
pub struct Records {
    work: Sender<Work>,
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Work")
    }
}

impl RecordReader {
    /// Starts the thread `records`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(archive: Archive) -> io::Result<Self> {
        let (work, todo) = channel();
        let thread = std::thread::Builder::new()
            .name("records".to_owned())
            .spawn(move || run(&archive, &todo))?;
        Ok(Self {
            work,
            thread: Some(thread),
        })
    }

    /// For whoever asks it.
    #[must_use]
    pub fn records(&self) -> Records {
        Records {
            work: self.work.clone(),
        }
    }
}

fn run(archive: &Archive, todo: &Receiver<Work>) {
    while let Ok(work) = todo.recv() {
        match work {
            Work::Fetch(blocks, then) => then(archive.fetch(&blocks)),
            Work::Free(freed) => drop(freed),
            Work::Stop => return,
        }
    }
}

impl Drop for RecordReader {
    fn drop(&mut self) {
        // It has ended already if this fails.
        let _ = self.work.send(Work::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Records {
    /// Reads blocks and hands them to `then`, on the thread. After the thread has
    /// ended, nothing happens.
    pub fn fetch(
        &self,
        blocks: Vec<BlockRef>,
        then: impl FnOnce(Vec<FetchedBlock>) + Send + 'static,
    ) {
        let _ = self.work.send(Work::Fetch(blocks, Box::new(then)));
    }

    /// Gives back memory.
    pub fn free(&self, freed: Freed) {
        if !freed.is_empty() {
            let _ = self.work.send(Work::Free(freed));
        }
    }
}
