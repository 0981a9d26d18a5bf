//! The wire and a durable write: each request's bytes are on disk before they
//! come back.
//!
//! Whatever gathered while the last sync ran is the next group: one `pwrite` into
//! a file that was zeroed before, one `fdatasync`. One job a socket read. This is
//! the least that any durable host must do; it is code of its own, so that the
//! daemon's journal is not compared with itself.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use anyhow::Context as _;
use gapless_iso8583::Framing;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::{Input, serve};

/// The file is written round and round.
const FILE_BYTES: u64 = 256 << 20;
const ZEROES: usize = 1 << 20;

/// Bytes that have been written are taken out of the buffer when there are so many.
const MAX_WRITTEN: usize = 256 << 10;

/// What gathers while a sync runs.
#[derive(Default)]
struct Gathering {
    /// Its number, from 1 on.
    number: u64,
    bytes: Vec<u8>,
    /// Connections that have something in it.
    touched: Vec<usize>,
}

struct Journal {
    gathering: Mutex<Gathering>,
    something: Condvar,
    /// Number of the newest group on disk.
    durable: AtomicU64,
    /// Connections to be told.
    told: Mutex<Vec<usize>>,
    news: Notify,
}

/// Serves until the process ends.
///
/// # Errors
/// The address cannot be listened on, the file cannot be made, or the machine
/// gives no runtime or thread.
pub fn run(
    listen: SocketAddr,
    framing: Framing,
    dir: &Path,
    listening: impl FnOnce(SocketAddr),
) -> anyhow::Result<()> {
    let path = dir.join("null-durable.bin");
    let file = zeroed(&path).with_context(|| path.display().to_string())?;
    let journal = Arc::new(Journal {
        gathering: Mutex::new(Gathering {
            number: 1,
            ..Gathering::default()
        }),
        something: Condvar::new(),
        durable: AtomicU64::new(0),
        told: Mutex::new(Vec::new()),
        news: Notify::new(),
    });
    let writer = Arc::clone(&journal);
    thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || {
            let error = write_groups(&writer, &file);
            // A failed write or sync is fatal: what is durable is not known.
            eprintln!("gapless-loadtest: null-durable: {error}");
            std::process::exit(1);
        })
        .context("thread")?;
    let wakers: Rc<RefCell<Vec<Option<Waker>>>> = Rc::default();
    let number = Cell::new(0);
    let (tell, wake) = (Arc::clone(&journal), Rc::clone(&wakers));
    serve(
        listen,
        listening,
        || {
            tokio::task::spawn_local(tell_all(tell, wake));
            std::future::ready(Ok(()))
        },
        |stream| {
            let own = number.replace(number.get() + 1);
            wakers.borrow_mut().push(None);
            let mut peer = Peer {
                stream,
                framing,
                number: own,
                journal: Arc::clone(&journal),
                wakers: Rc::clone(&wakers),
                input: Input::new(),
                waiting: VecDeque::new(),
                out: Vec::new(),
                written: 0,
            };
            async move { poll_fn(|cx| peer.poll(cx)).await }
        },
    )
}

fn zeroed(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    let zeroes = vec![0; ZEROES];
    for offset in (0..FILE_BYTES).step_by(ZEROES) {
        file.write_all_at(&zeroes, offset)?;
    }
    file.sync_all()?;
    Ok(file)
}

/// The journal's thread; returns with what failed.
fn write_groups(journal: &Journal, file: &File) -> io::Error {
    let mut group = Gathering::default();
    let mut offset = 0;
    loop {
        {
            let mut gathering = lock(&journal.gathering);
            while gathering.bytes.is_empty() {
                gathering = journal
                    .something
                    .wait(gathering)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            group.bytes.clear();
            group.touched.clear();
            group.number = gathering.number + 1;
            std::mem::swap(&mut *gathering, &mut group);
        }
        let bytes = group.bytes.len() as u64;
        if offset + bytes > FILE_BYTES {
            offset = 0;
        }
        if let Err(error) = file.write_all_at(&group.bytes, offset) {
            return error;
        }
        if let Err(error) = file.sync_data() {
            return error;
        }
        offset += bytes;
        journal.durable.store(group.number, Ordering::Release);
        lock(&journal.told).append(&mut group.touched);
        journal.news.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes each connection once that has something on disk now.
async fn tell_all(journal: Arc<Journal>, wakers: Rc<RefCell<Vec<Option<Waker>>>>) {
    let mut told = Vec::new();
    loop {
        journal.news.notified().await;
        std::mem::swap(&mut *lock(&journal.told), &mut told);
        let wakers = wakers.borrow();
        for number in told.drain(..) {
            if let Some(Some(waker)) = wakers.get(number) {
                waker.wake_by_ref();
            }
        }
    }
}

struct Peer {
    stream: TcpStream,
    framing: Framing,
    number: usize,
    journal: Arc<Journal>,
    wakers: Rc<RefCell<Vec<Option<Waker>>>>,
    input: Input,
    /// Group, and where its bytes end in `out`.
    waiting: VecDeque<(u64, usize)>,
    out: Vec<u8>,
    written: usize,
}

impl Peer {
    /// Ready when the peer has gone.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(place) = self.wakers.borrow_mut().get_mut(self.number)
            && !place
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            *place = Some(cx.waker().clone());
        }
        if !self.write(cx) {
            return Poll::Ready(());
        }
        loop {
            let mut buffer = ReadBuf::new(self.input.room());
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            let bytes = buffer.filled().len();
            if bytes == 0 {
                return Poll::Ready(());
            }
            self.input.came(bytes);
            let Some(whole) = self.input.whole(&self.framing) else {
                return Poll::Ready(());
            };
            if whole > 0 {
                self.submit(whole);
            }
        }
    }

    /// Into the group that gathers.
    fn submit(&mut self, whole: usize) {
        let frames = self.input.get(whole);
        self.out.extend_from_slice(frames);
        let was_empty = {
            let mut gathering = lock(&self.journal.gathering);
            let was_empty = gathering.bytes.is_empty();
            gathering.bytes.extend_from_slice(frames);
            gathering.touched.push(self.number);
            self.waiting.push_back((gathering.number, self.out.len()));
            was_empty
        };
        if was_empty {
            self.journal.something.notify_one();
        }
        self.input.drop_first(whole);
    }

    /// Writes what is durable; `false`: the peer has gone.
    fn write(&mut self, cx: &mut Context<'_>) -> bool {
        let durable = self.journal.durable.load(Ordering::Acquire);
        let done = self.waiting.partition_point(|(group, _)| *group <= durable);
        let last = done.checked_sub(1).and_then(|last| self.waiting.get(last));
        let end = last.map_or(self.written, |(_, end)| *end);
        while let Some(rest) = self.out.get(self.written..end)
            && !rest.is_empty()
        {
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Pending => return true,
                Poll::Ready(Ok(0) | Err(_)) => return false,
                Poll::Ready(Ok(written)) => self.written += written,
            }
        }
        self.waiting.drain(..done);
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        } else if self.written > MAX_WRITTEN {
            self.out.drain(..self.written);
            for (_, end) in &mut self.waiting {
                *end -= self.written;
            }
            self.written = 0;
        }
        true
    }
}
