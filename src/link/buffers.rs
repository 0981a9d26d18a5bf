//! What a connection has read and not yet understood, and written and not yet sent.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What one read takes at most. It bounds the work of one turn: some eighty
/// messages, which is some hundred microseconds.
const READ_BYTES: usize = 16 << 10;

/// The bytes of one read, shared by all connections of a thread: a connection
/// uses them up before it yields, so that idle ones need no buffer of their own.
#[derive(Clone)]
pub(super) struct SharedRead(Rc<RefCell<Box<[u8]>>>);

impl SharedRead {
    pub(super) fn new() -> Self {
        Self(Rc::new(RefCell::new(vec![0; READ_BYTES].into())))
    }
}

/// Bytes read. Between two reads only a frame that has not come whole is kept.
pub(super) struct Inbox {
    shared: SharedRead,
    /// Bytes of the shared buffer that are this connection's until it yields.
    fresh: usize,
    partial: Vec<u8>,
}

impl Inbox {
    pub(super) fn new(shared: SharedRead) -> Self {
        Self {
            shared,
            fresh: 0,
            partial: Vec::new(),
        }
    }

    /// Reads once; how many bytes, 0 at the end of the stream. Whatever was read
    /// must be used by [`Inbox::consume`] before the task yields.
    pub(super) fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut bytes = self.shared.0.borrow_mut();
        let mut room = ReadBuf::new(&mut bytes);
        ready!(Pin::new(stream).poll_read(context, &mut room))?;
        self.fresh = room.filled().len();
        Poll::Ready(Ok(self.fresh))
    }

    /// Shows all bytes to `eat`, which tells how many it has used and how it
    /// ended; the rest is kept.
    pub(super) fn consume<T>(&mut self, eat: impl FnOnce(&[u8]) -> (usize, T)) -> (usize, T) {
        let shared = self.shared.0.borrow();
        let fresh = shared.get(..self.fresh).unwrap_or_default();
        self.fresh = 0;
        if self.partial.is_empty() {
            let (used, end) = eat(fresh);
            let rest = fresh.get(used..).unwrap_or_default();
            self.partial.extend_from_slice(rest);
            return (used, end);
        }
        self.partial.extend_from_slice(fresh);
        let (used, end) = eat(&self.partial);
        self.partial.drain(..used.min(self.partial.len()));
        (used, end)
    }

    /// Bytes of a frame that has not come whole.
    pub(super) fn partial(&self) -> usize {
        self.partial.len()
    }

    /// Bytes that the last read has filled, if it has filled them all: more
    /// may be waiting.
    pub(super) fn is_filled(bytes: usize) -> bool {
        bytes == READ_BYTES
    }

    /// Gives memory back.
    pub(super) fn shrink(&mut self) {
        self.partial.shrink_to_fit();
    }
}

/// Answers written but not yet sent.
#[derive(Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
    /// Whether the stream may hold bytes that it has taken (TLS records do).
    unflushed: bool,
}

impl Outbox {
    /// Where answers are appended.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Bytes not yet sent.
    pub(super) fn unsent(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Whether everything has left.
    pub(super) fn is_clear(&self) -> bool {
        self.unsent() == 0 && !self.unflushed
    }

    /// Sends what can be sent; ready with the number of bytes that left as soon
    /// as some have, or nothing is left to send.
    pub(super) fn poll_send<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut sent = 0;
        while let Some(unsent) = self.bytes.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut *stream).poll_write(context, unsent)? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(written) => {
                    self.sent += written;
                    sent += written;
                    self.unflushed = true;
                }
                Poll::Pending => {
                    self.forget_sent();
                    return if sent > 0 {
                        Poll::Ready(Ok(sent))
                    } else {
                        Poll::Pending
                    };
                }
            }
        }
        self.bytes.clear();
        self.sent = 0;
        if self.unflushed {
            match Pin::new(stream).poll_flush(context)? {
                Poll::Ready(()) => self.unflushed = false,
                Poll::Pending if sent == 0 => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        Poll::Ready(Ok(sent))
    }

    /// Moves the unsent bytes to the front when they are the smaller part, so
    /// that a slow reader's buffer does not creep.
    fn forget_sent(&mut self) {
        if self.sent > self.unsent() {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Gives memory back.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
    }
}
