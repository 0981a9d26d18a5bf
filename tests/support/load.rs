//! Terminals at work over TCP.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::iso::Iso;
use super::site::World;
use super::terminal::Terminal;

/// A connection with what it has read and not yet used.
pub struct Line {
    stream: TcpStream,
    read: Vec<u8>,
}

/// The peer is gone.
#[derive(Debug)]
pub struct Lost;

impl Line {
    /// Connects; the daemon must be there.
    pub fn open(address: SocketAddr) -> Result<Self, Lost> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(|_| Lost)?;
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Ok(Self {
            stream,
            read: Vec::new(),
        })
    }

    /// Sends frames.
    pub fn send(&mut self, frames: &[u8]) -> Result<(), Lost> {
        self.stream.write_all(frames).map_err(|error| lost(&error))
    }

    /// The next message; waits for it.
    pub fn receive(&mut self) -> Result<Iso, Lost> {
        loop {
            if let Some(message) = Iso::take(&mut self.read) {
                return Ok(message);
            }
            self.fill()?;
        }
    }

    /// Another message that has already been read.
    fn received(&mut self) -> Option<Iso> {
        Iso::take(&mut self.read)
    }

    fn fill(&mut self) -> Result<(), Lost> {
        let mut piece = [0; 16 << 10];
        match self.stream.read(&mut piece) {
            Ok(0) => Err(Lost),
            Ok(bytes) => {
                self.read.extend_from_slice(&piece[..bytes]);
                Ok(())
            }
            Err(error) => Err(lost(&error)),
        }
    }

    /// Sends one message and waits for its answer.
    pub fn ask(&mut self, message: &Iso) -> Result<Iso, Lost> {
        let mut frame = Vec::new();
        message.frame(&mut frame);
        self.send(&frame)?;
        self.receive()
    }
}

/// A daemon that is there and says nothing has failed; one that is gone was killed.
fn lost(error: &std::io::Error) -> Lost {
    let silent = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
    assert!(!silent, "no answer within {PATIENCE:?}");
    Lost
}

/// How one terminal works.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Messages under way at a time.
    pub window: usize,
    /// Messages in all; then it waits for its answers and leaves.
    pub messages: u64,
}

/// Terminals at work, each in a thread of its own.
pub struct Load {
    answers: Receiver<u64>,
    answered: u64,
    threads: Vec<JoinHandle<Result<Terminal, String>>>,
    enough: std::sync::Arc<AtomicBool>,
}

impl Load {
    /// Sets terminals to work.
    pub fn start(
        world: &World,
        address: SocketAddr,
        terminals: Vec<Terminal>,
        pace: impl Fn(usize) -> Pace,
    ) -> Self {
        let (sender, answers) = channel();
        let enough = std::sync::Arc::new(AtomicBool::new(false));
        let threads = terminals
            .into_iter()
            .enumerate()
            .map(|(at, mut terminal)| {
                let (world, sender, pace) = (world.clone(), sender.clone(), pace(at));
                let enough = enough.clone();
                thread::spawn(move || {
                    work(&world, address, &mut terminal, pace, &sender, &enough)?;
                    Ok(terminal)
                })
            })
            .collect();
        Self {
            answers,
            answered: 0,
            threads,
            enough,
        }
    }

    /// Waits until so many answers have come in all; false if the terminals
    /// have all gone before.
    pub fn wait_for_answers(&mut self, count: u64) -> bool {
        self.wait_until(|answered| answered >= count)
    }

    /// Waits until `happened` says so; it is asked after every few answers, or
    /// milliseconds. False if the terminals have all gone before.
    pub fn wait_until(&mut self, mut happened: impl FnMut(u64) -> bool) -> bool {
        let patient_until = Instant::now() + PATIENCE;
        loop {
            if happened(self.answered) {
                return true;
            }
            assert!(
                Instant::now() < patient_until,
                "it has not happened within {PATIENCE:?}"
            );
            match self.answers.recv_timeout(Duration::from_millis(1)) {
                Ok(answers) => self.answered += answers,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return happened(self.answered),
            }
        }
    }

    /// Answers seen so far.
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// Terminals send nothing more, and leave when all is answered.
    pub fn enough(&self) {
        self.enough.store(true, Ordering::Relaxed);
    }

    /// Waits for the terminals to leave: done, or their connection lost.
    pub fn join(self) -> Vec<Terminal> {
        let results: Vec<_> = self
            .threads
            .into_iter()
            .map(|thread| thread.join().expect("a terminal's thread"))
            .collect();
        results
            .into_iter()
            .map(|result| result.unwrap_or_else(|why| panic!("{why}")))
            .collect()
    }
}

fn work(
    world: &World,
    address: SocketAddr,
    terminal: &mut Terminal,
    pace: Pace,
    answers: &Sender<u64>,
    enough: &AtomicBool,
) -> Result<(), String> {
    let done = work_until_lost(world, address, terminal, pace, answers, enough);
    terminal.connection_lost();
    match done {
        Ok(()) => Ok(()),
        Err(Trouble::Lost) => Ok(()),
        Err(Trouble::Wrong(why)) => Err(why),
    }
}

enum Trouble {
    Lost,
    Wrong(String),
}

impl From<Lost> for Trouble {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

fn work_until_lost(
    world: &World,
    address: SocketAddr,
    terminal: &mut Terminal,
    pace: Pace,
    answers: &Sender<u64>,
    enough: &AtomicBool,
) -> Result<(), Trouble> {
    let mut line = Line::open(address)?;
    let mut left = pace.messages;
    let mut frames = Vec::new();
    loop {
        if enough.load(Ordering::Relaxed) {
            left = 0;
        }
        frames.clear();
        while left > 0 && terminal.in_flight() < pace.window {
            terminal.send_next(world, &mut frames);
            left -= 1;
        }
        line.send(&frames)?;
        if terminal.in_flight() == 0 {
            return Ok(());
        }
        let mut message = line.receive()?;
        let mut taken = 0;
        loop {
            terminal.take_answer(&message).map_err(Trouble::Wrong)?;
            taken += 1;
            match line.received() {
                Some(next) => message = next,
                None => break,
            }
        }
        // Whoever counts may have seen enough.
        let _ = answers.send(taken);
    }
}

/// Repeats everything unanswered until it is answered: now each has had exactly
/// one effect. 91 is no answer, so it is asked again, a little later each time.
pub fn settle(address: SocketAddr, terminal: &mut Terminal) {
    let patient_until = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(1);
    loop {
        let open = terminal.unanswered();
        if open.is_empty() {
            return;
        }
        repeat(address, terminal, &open);
        if terminal.unanswered().is_empty() {
            return;
        }
        assert!(Instant::now() < patient_until, "91 for {PATIENCE:?}");
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}

/// Sends repeats of these entries, and judges the answers.
pub fn repeat(address: SocketAddr, terminal: &mut Terminal, entries: &[usize]) {
    let mut line = Line::open(address).expect("a daemon that is ready");
    for some in entries.chunks(32) {
        let mut frames = Vec::new();
        for entry in some {
            terminal.send(*entry, true, &mut frames);
        }
        line.send(&frames).expect("a daemon that stays");
        while terminal.in_flight() > 0 {
            let answer = line.receive().expect("a daemon that stays");
            terminal
                .take_answer(&answer)
                .unwrap_or_else(|why| panic!("{why}"));
        }
    }
}
