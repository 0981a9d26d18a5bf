//! A link whose decider is a double: it approves, holds back or refuses as told.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gapless::adapter::PanKeys;
use gapless::config::{Bank, LinkConfig, OperationName};
use gapless::link::{Decider, Link, Port};
use gapless::telemetry::{Refusal, Telemetry};
use gapless_engine::code::ResponseCode;
use gapless_engine::command::Request;
use gapless_engine::date::Date;
use gapless_engine::ids::NetworkId;
use gapless_engine::outcome::Outcome;
use gapless_iso8583::{Dialect, Framing, LengthForm, Mti};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Far longer than anything here takes: a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Decides for the link: everything is approved.
#[derive(Default)]
pub struct Desk {
    held: AtomicBool,
    refuses: AtomicBool,
    seq: AtomicUsize,
    submitted: Mutex<usize>,
    more: Condvar,
    released: Notify,
    stopping: CancellationToken,
}

impl Desk {
    /// From now on nothing becomes durable.
    pub fn hold(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    /// Everything is durable.
    pub fn release(&self) {
        self.held.store(false, Ordering::SeqCst);
        self.released.notify_waiters();
    }

    /// Whether requests are refused at the door.
    pub fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::SeqCst);
    }

    /// Requests taken so far.
    pub fn submitted(&self) -> usize {
        *self.submitted.lock().unwrap()
    }

    /// Waits until so many have been taken.
    pub fn wait_for_submitted(&self, count: usize) {
        let submitted = self.submitted.lock().unwrap();
        let (_submitted, waited) = self
            .more
            .wait_timeout_while(submitted, PATIENCE, |submitted| *submitted < count)
            .unwrap();
        assert!(!waited.timed_out(), "{count} requests were to come");
    }
}

/// The desk as links see it.
#[derive(Clone)]
struct AtDesk(Arc<Desk>);

/// One connection's place at the desk.
struct Place {
    desk: Arc<Desk>,
    outstanding: RefCell<VecDeque<(u32, Outcome)>>,
}

impl Decider for AtDesk {
    type Port = Place;

    fn connect(&self) -> Place {
        Place {
            desk: Arc::clone(&self.0),
            outstanding: RefCell::default(),
        }
    }

    fn today(&self) -> Date {
        Date::from_ymd(2026, 11, 22).unwrap()
    }

    fn stopping(&self) -> CancellationToken {
        self.0.stopping.clone()
    }
}

impl Port for Place {
    fn submit(&mut self, tag: u32, _: &Request) -> Result<(), Refusal> {
        if self.desk.refuses.load(Ordering::SeqCst) {
            return Err(Refusal::Busy);
        }
        let seq = self.desk.seq.fetch_add(1, Ordering::SeqCst) as u64 + 1;
        let today = Date::from_ymd(2026, 11, 22).unwrap();
        self.outstanding.get_mut().push_back((
            tag,
            Outcome {
                code: ResponseCode::Approved,
                seq,
                durable_at: seq,
                business_date: today,
                settlement_date: today,
                balances: None,
                is_repeat: false,
            },
        ));
        *self.desk.submitted.lock().unwrap() += 1;
        self.desk.more.notify_all();
        Ok(())
    }

    fn flush(&mut self) {}

    fn take_released(&mut self) -> Option<(u32, Outcome)> {
        if self.desk.held.load(Ordering::SeqCst) {
            return None;
        }
        self.outstanding.get_mut().pop_front()
    }

    async fn released(&self) {
        loop {
            let released = self.desk.released.notified();
            let nothing = self.outstanding.borrow().is_empty();
            if !nothing && !self.desk.held.load(Ordering::SeqCst) {
                return;
            }
            released.await;
        }
    }

    fn outstanding(&self) -> usize {
        self.outstanding.borrow().len()
    }
}

/// A link on a free port, with a thread of its own; stopped when dropped.
pub struct Server {
    pub address: SocketAddr,
    pub desk: Arc<Desk>,
    telemetry: Telemetry,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// A plain link of the default dialect, with some settings changed.
    pub fn start(change: impl FnOnce(&mut LinkConfig)) -> Self {
        let dialect = Dialect::builtin("iso87-ascii").unwrap();
        let mut config = LinkConfig {
            name: "test".to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            dialect_name: dialect.name().to_owned(),
            dialect,
            framing: Framing::new(LengthForm::Binary2),
            network: None,
            network_id: NetworkId::OWN_TERMINALS,
            cutover_date: Default::default(),
            duties: Default::default(),
            max_connections: 100,
            max_in_flight: 100,
            idle_timeout_s: 0,
            frame_timeout_s: 60,
            answer_limit_ms: 0,
            max_unsent_bytes: 256 << 10,
            slow_reader_timeout_s: 60,
            tls: None,
            allow: OperationName::ALL.to_vec(),
            cardless_transfers: true,
            max_amount_minor: Default::default(),
            sign_on_required: false,
        };
        change(&mut config);
        let (telemetry, desk) = (Telemetry::new(), Arc::new(Desk::default()));
        let metrics = telemetry.link(&config.name);
        let (ready, address) = std::sync::mpsc::channel();
        let at_desk = AtDesk(Arc::clone(&desk));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let serving = async move {
                let keys = Arc::new(PanKeys::from_bytes(&[7; 32]));
                let link = Link::open(&config, &Bank::default(), keys, metrics).unwrap();
                ready.send(link.address()).unwrap();
                link.serve(at_desk).await;
            };
            tokio::task::LocalSet::new().block_on(&runtime, serving);
        });
        Self {
            address: address.recv().unwrap(),
            desk,
            telemetry,
            thread: Some(thread),
        }
    }

    pub fn connect(&self) -> Peer<TcpStream> {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Peer { stream }
    }

    /// The sum of a metric's series whose labels hold the text.
    pub fn count(&self, metric: &str, label: &str) -> u64 {
        let text = self.telemetry.render();
        let series = text
            .lines()
            .filter(|line| line.starts_with(metric) && line.contains(label));
        series
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64)
            .sum()
    }

    /// Waits until [`Server::count`] is so much: a connection is counted as over
    /// a moment after its peer has seen the end.
    pub fn wait_for_count(&self, metric: &str, label: &str, count: u64) {
        let began = Instant::now();
        loop {
            let found = self.count(metric, label);
            if found == count {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{metric} {label}: {found}, not {count}"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Asks the link to drain.
    pub fn stop(&self) {
        self.desk.stopping.cancel();
    }

    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until the link has drained.
    pub fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        self.desk.release();
        if let Some(thread) = self.thread.take() {
            // A failed test is failing already.
            let _ = thread.join();
        }
    }
}

/// A peer of the link.
pub struct Peer<S = TcpStream> {
    pub stream: S,
}

impl<S: Read + Write> Peer<S> {
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
        self.stream.flush().unwrap();
    }

    /// The next answer's MTI, STAN and DE 39.
    pub fn answer(&mut self) -> (u16, u64, u64) {
        self.try_answer().expect("an answer, not the end")
    }

    /// As [`Peer::answer`]; `None` if the connection is over.
    pub fn try_answer(&mut self) -> Option<(u16, u64, u64)> {
        let mut head = [0; 2];
        match self.stream.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if is_over(error.kind()) => return None,
            Err(error) => panic!("{error}"),
        }
        let mut body = vec![0; usize::from(u16::from_be_bytes(head))];
        self.stream.read_exact(&mut body).unwrap();
        let dialect = Dialect::builtin("iso87-ascii").unwrap();
        let message = dialect.decode(&body).unwrap();
        let number = |field| message.number(field).unwrap().unwrap();
        Some((message.mti().value(), number(11), number(39)))
    }

    /// Waits until the other side has closed, with nothing more said.
    pub fn expect_end(&mut self) {
        let mut more = [0; 1];
        match self.stream.read(&mut more) {
            Ok(0) => {}
            Ok(_) => panic!("more came"),
            Err(error) => assert!(is_over(error.kind()), "{error}"),
        }
    }
}

fn is_over(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}

/// A 0200 purchase with this STAN.
pub fn purchase(stan: u64) -> Vec<u8> {
    let dialect = Dialect::builtin("iso87-ascii").unwrap();
    let mut bytes = Vec::new();
    dialect
        .builder(&mut bytes, Mti::new(200).unwrap())
        .text(2, b"9410000000000018")
        .text(3, b"000000")
        .number(4, 10_000)
        .text(7, b"1122090305")
        .number(11, stan)
        .text(41, b"TERM0001")
        .text(49, b"410")
        .finish()
        .unwrap();
    bytes
}

/// With its length before it.
pub fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = u16::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}
