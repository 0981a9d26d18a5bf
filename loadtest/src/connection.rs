//! One connection: writes what is due, reads what has come, and makes itself anew
//! when it breaks.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use gapless_iso8583::{Cut, Scratch};
use tokio::io::ReadBuf;
use tokio::time::{sleep, timeout};

use crate::board::Board;
use crate::flight::Flight;
use crate::plan::{Load, Plan, Until};
use crate::request::Requests;
use crate::stream::Stream;
use crate::tally::Tally;

/// After so many connections in a row that brought no answer, a run that has
/// never had one does without this connection.
const MAX_FRUITLESS: u32 = 8;

/// Pause after the first of them; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Room for what one read brings: many answers. It grows for a longer frame.
const INPUT_BYTES: usize = 32 << 10;

/// With so much unwritten, the host is not reading: nothing more is added.
const MAX_UNWRITTEN: usize = 256 << 10;

/// How a connection ended.
enum End {
    /// Nothing more to send, nothing in flight.
    Done,
    /// The peer closed it, or an error did.
    Broken(String),
}

/// What is next after a turn.
enum Turn {
    /// Nothing more to send, nothing in flight.
    Over,
    /// Nothing to read for now.
    Waiting,
    /// There may be more to read.
    More,
}

/// Everything of one connection that outlives a reconnect. The pacer puts
/// requests into it between the turns of its own task, on the same thread.
pub(crate) struct Connection {
    plan: Arc<Plan>,
    board: Arc<Board>,
    tally: Rc<RefCell<Tally>>,
    requests: Requests,
    flight: Flight,
    /// Closed loop: sends by itself.
    closed: bool,
    /// Closed loop: requests still to be sent; `None`: as time allows.
    left: Option<u64>,
    /// Nothing more will be sent.
    over: bool,
    up: bool,
    gone: bool,
    waker: Option<Waker>,
    out: Vec<u8>,
    /// Bytes of `out` that the socket has taken.
    written: usize,
    input: Vec<u8>,
    /// Bytes of `input` that have come and not been used.
    filled: usize,
    scratch: Scratch,
    /// Answers on this connection.
    fruits: u64,
}

pub(crate) type Shared = Rc<RefCell<Connection>>;

impl Connection {
    pub(crate) fn new(
        plan: &Arc<Plan>,
        board: &Arc<Board>,
        number: u32,
        tally: &Rc<RefCell<Tally>>,
    ) -> Self {
        Self {
            plan: Arc::clone(plan),
            board: Arc::clone(board),
            tally: Rc::clone(tally),
            requests: Requests::new(plan, number),
            flight: Flight::new(plan.slots()),
            closed: matches!(plan.load, Load::Closed { .. }),
            left: plan.share(number),
            over: false,
            up: false,
            gone: false,
            waker: None,
            out: Vec::with_capacity(INPUT_BYTES),
            written: 0,
            input: vec![0; INPUT_BYTES],
            filled: 0,
            scratch: Scratch::new(),
            fruits: 0,
        }
    }

    /// The host has taken it.
    pub(crate) fn connected(&mut self) {
        if !self.up {
            self.up = true;
            self.board.connection_up();
        }
    }

    /// Whether it has ended for good.
    pub(crate) const fn is_gone(&self) -> bool {
        self.gone
    }

    /// Whether a request may be put into it.
    pub(crate) fn has_room(&self) -> bool {
        self.up && self.flight.has_room() && self.out.len() - self.written < MAX_UNWRITTEN
    }

    /// Puts a request into it that is due, or was; `false`: there is no room.
    pub(crate) fn put(&mut self, intended_ns: u64, now_ns: u64) -> Result<bool, String> {
        if !self.has_room() {
            return Ok(false);
        }
        let Some(taken) = self.flight.take() else {
            return Ok(false);
        };
        match self.requests.write(taken.stan, intended_ns, &mut self.out) {
            Ok(sent) => {
                self.flight.sent(taken, sent);
                self.tally.borrow_mut().sent(intended_ns, now_ns);
                Ok(true)
            }
            Err(error) => {
                self.flight.put_back(taken);
                Err(format!("{error:#}"))
            }
        }
    }

    /// The clock's digits are made anew before a batch of requests.
    pub(crate) fn begin_batch(&mut self) {
        self.requests.begin();
    }

    /// Its task takes a turn.
    pub(crate) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Nothing more will be sent: it ends when nothing is in flight.
    pub(crate) fn finish(&mut self) {
        self.over = true;
        self.wake();
    }

    /// Gives up what was to be sent before a time.
    pub(crate) fn give_up(&mut self, until_ns: u64) {
        let tally = &self.tally;
        let before = self.flight.in_flight();
        self.flight
            .give_up(until_ns, |sent| tally.borrow_mut().lost(&sent));
        if self.flight.in_flight() < before {
            self.wake();
        }
    }

    /// Whether another request is to be sent.
    fn may_send(&self) -> bool {
        !self.over && self.left != Some(0)
    }

    fn ended(&mut self, why: &str) {
        self.up = false;
        self.board.connection_down();
        let tally = Rc::clone(&self.tally);
        self.flight
            .give_up(u64::MAX, |sent| tally.borrow_mut().lost(&sent));
        let wire = &mut tally.borrow_mut().wire;
        wire.broken += 1;
        wire.trouble(&why);
        self.out.clear();
        self.written = 0;
        self.filled = 0;
    }

    fn poll_work(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<End> {
        let known = self.waker.as_ref();
        if !known.is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
        loop {
            match self.turn(stream, cx) {
                Ok(Turn::More) => {}
                Ok(Turn::Waiting) => return Poll::Pending,
                Ok(Turn::Over) => return Poll::Ready(End::Done),
                Err(why) => return Poll::Ready(End::Broken(why)),
            }
        }
    }

    fn turn(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Result<Turn, String> {
        self.fill()?;
        self.write(stream, cx)?;
        if self.flight.in_flight() == 0 && !self.may_send() {
            return Ok(Turn::Over);
        }
        if self.read(stream, cx)? {
            Ok(Turn::More)
        } else {
            Ok(Turn::Waiting)
        }
    }

    /// Closed loop: writes as many requests as may be in flight.
    fn fill(&mut self) -> Result<(), String> {
        if !self.closed || !self.may_send() || !self.has_room() {
            return Ok(());
        }
        let now_ns = self.board.now_ns();
        self.requests.begin();
        while self.may_send() && self.put(now_ns, now_ns)? {
            self.left = self.left.map(|left| left - 1);
        }
        Ok(())
    }

    fn write(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Result<(), String> {
        while let Some(rest) = self.out.get(self.written..)
            && !rest.is_empty()
        {
            match stream.poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Err("write: the host takes nothing".to_owned()),
                Poll::Ready(Ok(bytes)) => self.written += bytes,
                Poll::Ready(Err(error)) => return Err(format!("write: {error}")),
                Poll::Pending => return Ok(()),
            }
        }
        self.out.clear();
        self.written = 0;
        match stream.poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(format!("write: {error}")),
            _ => Ok(()),
        }
    }

    /// Takes what has come, once; whether anything had.
    fn read(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Result<bool, String> {
        if self.filled == self.input.len() {
            // One frame that is longer than all the room: a frame has a bound.
            self.input.resize(self.input.len() * 2, 0);
        }
        let mut buffer = ReadBuf::new(self.input.get_mut(self.filled..).unwrap_or_default());
        match stream.poll_read(cx, &mut buffer) {
            Poll::Pending => Ok(false),
            Poll::Ready(Err(error)) => Err(format!("read: {error}")),
            Poll::Ready(Ok(())) => match buffer.filled().len() {
                0 => Err("the host closed the connection".to_owned()),
                bytes => {
                    self.filled += bytes;
                    self.take_answers().map(|()| true)
                }
            },
        }
    }

    fn take_answers(&mut self) -> Result<(), String> {
        let now_ns = self.board.now_ns();
        let mut tally = self.tally.borrow_mut();
        let mut start = 0;
        let mut any = false;
        while let Some(rest) = self.input.get(start..self.filled) {
            let (body, consumed) = match self.plan.framing.cut(rest) {
                Ok(Cut::NeedMore { .. }) => break,
                Ok(Cut::KeepAlive { consumed }) => (None, consumed),
                Ok(Cut::Frame { body, consumed, .. }) => (rest.get(body), consumed),
                Err(error) => {
                    tally.wire.garbage += 1;
                    return Err(format!("garbage: {error}"));
                }
            };
            start += consumed;
            let Some(body) = body else { continue };
            let message = match self.plan.dialect.decode(body) {
                Ok(message) => message,
                Err(failure) => {
                    tally.wire.garbage += 1;
                    tally.wire.trouble(&failure.error);
                    continue;
                }
            };
            let answer = self.requests.read_answer(&message, &mut self.scratch);
            let sent = answer.and_then(|answer| self.flight.answered(&answer));
            let (Some(sent), Some(answer)) = (sent, answer) else {
                tally.wire.unmatched += 1;
                continue;
            };
            if !any {
                any = true;
                tally.hear(now_ns);
            }
            if tally.answered(&sent, answer.code, now_ns) {
                self.requests.approved(&sent, answer.code);
            }
            self.fruits += 1;
        }
        self.input.copy_within(start..self.filled, 0);
        self.filled -= start;
        Ok(())
    }
}

/// Connects once, within the time limit.
pub(crate) async fn connect(plan: &Plan, tally: &RefCell<Tally>) -> Option<Stream> {
    let attempt = timeout(
        plan.timeout,
        Stream::connect(plan.address, plan.tls.as_ref()),
    );
    let connected = match attempt.await {
        Ok(connected) => connected,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    let wire = &mut tally.borrow_mut().wire;
    match connected {
        Ok(stream) => {
            wire.connected += 1;
            Some(stream)
        }
        Err(error) => {
            wire.refused += 1;
            wire.trouble(&format_args!("connect: {error}"));
            None
        }
    }
}

/// Works on a connection, and makes it anew if need be, until the run is over.
pub(crate) async fn drive(shared: Shared, first: Option<Stream>) {
    let (plan, tally) = {
        let connection = shared.borrow();
        (Arc::clone(&connection.plan), Rc::clone(&connection.tally))
    };
    let counted = matches!(
        plan.load,
        Load::Closed {
            until: Until::Requests(_),
            ..
        }
    );
    let mut next = first;
    let (mut fruitless, mut pause) = (0, FIRST_PAUSE);
    while shared.borrow().may_send() || next.is_some() {
        let stream = match next.take() {
            Some(stream) => Some(stream),
            None if fruitless == 0 => None,
            None => connect(&plan, &tally).await,
        };
        if let Some(mut stream) = stream {
            shared.borrow_mut().connected();
            match poll_fn(|cx| shared.borrow_mut().poll_work(&mut stream, cx)).await {
                End::Done => break,
                End::Broken(why) => shared.borrow_mut().ended(&why),
            }
        }
        if std::mem::take(&mut shared.borrow_mut().fruits) > 0 {
            (fruitless, pause) = (0, FIRST_PAUSE);
        }
        fruitless += 1;
        if fruitless > MAX_FRUITLESS && (counted || !tally.borrow().heard) {
            break;
        }
        if fruitless > 1 {
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
    finish(&shared);
}

fn finish(shared: &Shared) {
    let mut connection = shared.borrow_mut();
    if connection.up {
        connection.up = false;
        connection.board.connection_down();
    }
    connection.gone = true;
    // A count that could not be sent out.
    if let Some(left @ 1..) = connection.left
        && !connection.over
    {
        let now_ns = connection.board.now_ns();
        connection.tally.borrow_mut().not_sent(now_ns, left);
    }
}
