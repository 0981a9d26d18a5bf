//! A host on a free port that answers as a test tells it to. It encodes and
//! decodes with iso8583_rs, as the terminals do.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

pub mod admin;
pub mod ledger;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use gapless_simulators::{Message, wire};

/// What the host does with a request: the bytes to send back, or `None` to hang up.
pub type Behaviour = dyn Fn(&Message) -> Option<Vec<u8>> + Send + Sync;

pub struct FakeHost {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeHost {
    pub fn start(
        behaviour: impl Fn(&Message) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> FakeHost {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let behaviour: Arc<Behaviour> = Arc::new(behaviour);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let behaviour = Arc::clone(&behaviour);
                // Ends by itself when the terminal hangs up.
                std::thread::spawn(move || serve(stream.unwrap(), behaviour.as_ref()));
            }
        });
        FakeHost {
            address,
            stop,
            thread: Some(thread),
        }
    }

    /// A host that answers everything with the same response code.
    pub fn answering(code: &'static str) -> FakeHost {
        FakeHost::start(move |request| Some(frame(&answer(request, code))))
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for FakeHost {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the accept.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(mut stream: TcpStream, behaviour: &Behaviour) {
    let mut prefix = [0; 2];
    while stream.read_exact(&mut prefix).is_ok() {
        let mut body = vec![0; usize::from(u16::from_be_bytes(prefix))];
        if stream.read_exact(&mut body).is_err() {
            return;
        }
        let request = wire::decode(&body).unwrap();
        match behaviour(&request) {
            Some(bytes) => {
                if stream.write_all(&bytes).is_err() {
                    return;
                }
            }
            None => return,
        }
    }
}

/// The answer that echoes what it must, with that code.
pub fn answer(request: &Message, code: &str) -> Message {
    let mut answer = Message::new(&request.answer_mti());
    for de in [2, 3, 4, 7, 11, 12, 13, 32, 37, 41, 42, 49, 70, 102, 103] {
        if let Some(value) = request.get(de) {
            answer.set(de, value).unwrap();
        }
    }
    answer.set(39, code).unwrap();
    if code == "00" {
        answer.set(38, "A12345").unwrap();
    }
    answer
}

/// The message with its length in front.
pub fn frame(message: &Message) -> Vec<u8> {
    let body = wire::encode(message).unwrap();
    let mut frame = u16::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    frame.extend(body);
    frame
}
