//! One connection: keeps its requests in flight until the run is over.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::{Duration, Instant};

use gapless_iso8583::{Cut, Scratch};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};

use crate::flight::Flight;
use crate::plan::{Plan, Until};
use crate::request::Requests;
use crate::stats::Stats;

/// After so many connections in a row that brought no answer, a run does
/// without this one.
const MAX_FRUITLESS: u32 = 8;

/// Pause after the first of them; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Room for what one read brings. Many answers; more than any one frame.
const INPUT_BYTES: usize = 64 << 10;

/// How a connection ended.
enum End {
    /// Nothing more to send, nothing in flight.
    Done,
    /// The peer closed it, or an error did.
    Broken(String),
}

/// Everything of one connection that outlives a reconnect.
struct Client<'p> {
    plan: &'p Plan,
    requests: Requests<'p>,
    flight: Flight,
    /// Requests still to be sent; `None`: as time allows.
    left: Option<u64>,
    stop_at: Option<Instant>,
    out: Vec<u8>,
    /// Bytes of `out` that the socket has taken.
    written: usize,
    input: Vec<u8>,
    scratch: Scratch,
    stats: &'p RefCell<Stats>,
    /// Answers on this connection.
    fruits: u64,
}

/// Connects, again if need be, and works until the run is over.
pub(crate) async fn drive(plan: &Plan, number: u32, stats: &Rc<RefCell<Stats>>, started: Instant) {
    let stop_at = match plan.until {
        Until::Elapsed(time) => Some(started + time),
        Until::Requests(_) => None,
    };
    let mut client = Client {
        plan,
        requests: Requests::new(plan, number),
        flight: Flight::new(plan.in_flight),
        left: plan.share(number),
        stop_at,
        out: Vec::with_capacity(INPUT_BYTES),
        written: 0,
        input: Vec::with_capacity(INPUT_BYTES),
        scratch: Scratch::new(),
        stats,
        fruits: 0,
    };
    let mut fruitless = 0;
    let mut pause = FIRST_PAUSE;
    while client.may_send(Instant::now()) {
        client.fruits = 0;
        match client.connect().await {
            Some(stream) => match client.work(&stream).await {
                End::Done => return,
                End::Broken(why) => client.connection_ended(&why),
            },
            None => client.stats.borrow_mut().refused += 1,
        }
        if client.fruits > 0 {
            (fruitless, pause) = (0, FIRST_PAUSE);
            continue;
        }
        fruitless += 1;
        if fruitless == MAX_FRUITLESS {
            break;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    client.stats.borrow_mut().not_sent += client.left.unwrap_or(0);
}

impl Client<'_> {
    async fn connect(&self) -> Option<TcpStream> {
        let attempt = timeout(self.plan.timeout, TcpStream::connect(self.plan.address)).await;
        let connected = match attempt {
            Ok(Ok(stream)) => stream.set_nodelay(true).map(|()| stream),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ErrorKind::TimedOut.into()),
        };
        let mut stats = self.stats.borrow_mut();
        match connected {
            Ok(stream) => {
                stats.connected += 1;
                Some(stream)
            }
            Err(error) => {
                stats.trouble(&format_args!("connect: {error}"));
                None
            }
        }
    }

    fn connection_ended(&mut self, why: &str) {
        let mut stats = self.stats.borrow_mut();
        stats.lost += self.flight.give_up_all();
        stats.broken += 1;
        stats.trouble(&why);
        self.out.clear();
        self.written = 0;
        self.input.clear();
    }

    /// Whether another request is to be sent.
    fn may_send(&self, now: Instant) -> bool {
        self.left != Some(0) && self.stop_at.is_none_or(|stop_at| now < stop_at)
    }

    async fn work(&mut self, stream: &TcpStream) -> End {
        let mut tick = ticks(self.plan.timeout);
        loop {
            let now = Instant::now();
            if let Err(why) = self.fill(now) {
                return End::Broken(why);
            }
            if let Err(why) = self.write(stream) {
                return End::Broken(why);
            }
            if self.flight.in_flight() == 0 && !self.may_send(now) {
                return End::Done;
            }
            let unwritten = self.written < self.out.len();
            let interest = if unwritten {
                Interest::READABLE | Interest::WRITABLE
            } else {
                Interest::READABLE
            };
            tokio::select! {
                biased;
                ready = stream.ready(interest) => match ready {
                    Ok(ready) if ready.is_readable() || ready.is_read_closed() => {
                        if let Err(why) = self.read(stream) {
                            return End::Broken(why);
                        }
                    }
                    Ok(_) => {}
                    Err(error) => return End::Broken(error.to_string()),
                },
                _ = tick.tick() => {
                    let given_up = self.flight.give_up(Instant::now(), self.plan.timeout);
                    self.stats.borrow_mut().timed_out += given_up;
                }
            }
        }
    }

    /// Writes as many requests as may be in flight into the buffer.
    fn fill(&mut self, now: Instant) -> Result<(), String> {
        if !self.may_send(now) {
            return Ok(());
        }
        self.requests.begin();
        let mut sent = 0;
        while self.left != Some(0)
            && let Some(slot) = self.flight.take()
        {
            let rrn = self
                .requests
                .write(slot.stan, &mut self.out)
                .map_err(|error| format!("{error:#}"))?;
            self.flight.sent(slot, rrn, now);
            self.left = self.left.map(|left| left - 1);
            sent += 1;
        }
        self.stats.borrow_mut().sent += sent;
        Ok(())
    }

    fn write(&mut self, stream: &TcpStream) -> Result<(), String> {
        while let Some(rest) = self.out.get(self.written..)
            && !rest.is_empty()
        {
            match stream.try_write(rest) {
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(format!("write: {error}")),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Takes what has come, once.
    fn read(&mut self, stream: &TcpStream) -> Result<(), String> {
        match stream.try_read_buf(&mut self.input) {
            Ok(0) => Err("the host closed the connection".to_owned()),
            Ok(_) => self.take_answers(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(format!("read: {error}")),
        }
    }

    fn take_answers(&mut self) -> Result<(), String> {
        let now = Instant::now();
        let mut stats = self.stats.borrow_mut();
        let mut start = 0;
        while let Some(rest) = self.input.get(start..) {
            let (body, consumed) = match self.plan.framing.cut(rest) {
                Ok(Cut::NeedMore { .. }) => break,
                Ok(Cut::KeepAlive { consumed }) => (None, consumed),
                Ok(Cut::Frame { body, consumed, .. }) => (rest.get(body), consumed),
                Err(error) => {
                    stats.garbage += 1;
                    return Err(format!("garbage: {error}"));
                }
            };
            start += consumed;
            let Some(body) = body else { continue };
            let message = match self.plan.dialect.decode(body) {
                Ok(message) => message,
                Err(failure) => {
                    stats.garbage += 1;
                    stats.trouble(&failure.error);
                    continue;
                }
            };
            let answer = self.requests.read_answer(&message, &mut self.scratch);
            let sent = answer.and_then(|(stan, rrn, _)| self.flight.answered(stan, rrn));
            match (sent, answer) {
                (Some(sent), Some((_, _, code))) => {
                    stats.answered(code, now.saturating_duration_since(sent));
                    self.fruits += 1;
                }
                _ => stats.unmatched += 1,
            }
        }
        self.input.drain(..start);
        Ok(())
    }
}

/// How often to look for what must be given up.
fn ticks(timeout: Duration) -> Interval {
    let period = (timeout / 4).clamp(Duration::from_millis(1), Duration::from_millis(100));
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
