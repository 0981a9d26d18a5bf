//! The socket: a thread that reads, and a writer for whole messages.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use super::framing::Framing;
use crate::message::Message;
use crate::wire;

const READ_CHUNK: usize = 65_536;
/// A host that takes nothing for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a run hears: from its line's threads, and from whoever steers it. The number says which line, since an old one's
/// last words may come after the new one is there.
pub(crate) enum Input {
    /// A connection was made, or not.
    Connected(u64, Result<TcpStream, String>),
    /// A message came.
    Message(u64, Message),
    /// What came was no message; the line goes on.
    Malformed(u64, String),
    /// Nothing more will come.
    Closed(u64, String),
    /// End the traffic.
    Stop,
    /// Cut over now.
    CutOver,
    /// Lose the line for so long.
    LoseLine(Duration),
}

/// An open line. Closed when dropped.
pub(crate) struct Line {
    stream: TcpStream,
    framing: Framing,
    reader: Option<JoinHandle<()>>,
    buffer: Vec<u8>,
}

/// Connects in a thread of its own, so that the network's clock goes on.
pub(crate) fn connect(address: &str, number: u64, timeout: Duration, tell: Sender<Input>) {
    let address = address.to_owned();
    std::thread::spawn(move || {
        let made = connect_now(&address, timeout);
        // Nobody may be waiting any more.
        let _ = tell.send(Input::Connected(number, made));
    });
}

fn connect_now(address: &str, timeout: Duration) -> Result<TcpStream, String> {
    let mut reason = "the name has no address".to_owned();
    for candidate in address.to_socket_addrs().map_err(|e| e.to_string())? {
        match TcpStream::connect_timeout(&candidate, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(|e| e.to_string())?;
                return Ok(stream);
            }
            Err(error) => reason = error.to_string(),
        }
    }
    Err(reason)
}

impl Line {
    /// A line over that connection; its thread reads from here on.
    pub fn new(
        stream: TcpStream,
        framing: Framing,
        number: u64,
        tell: Sender<Input>,
    ) -> Result<Line, String> {
        stream
            .set_write_timeout(Some(WRITE_TIMEOUT))
            .map_err(|e| e.to_string())?;
        let reading = stream.try_clone().map_err(|e| e.to_string())?;
        let reader = std::thread::spawn(move || {
            let why = read(reading, framing, number, &tell);
            let _ = tell.send(Input::Closed(number, why));
        });
        Ok(Line {
            stream,
            framing,
            reader: Some(reader),
            buffer: Vec::new(),
        })
    }

    /// Sends messages, in one write.
    ///
    /// # Errors
    /// Why the line is of no more use.
    pub fn send(&mut self, messages: &[Message]) -> Result<(), String> {
        self.buffer.clear();
        for message in messages {
            let body = wire::encode(message).map_err(|e| e.to_string())?;
            self.framing
                .put(&body, &mut self.buffer)
                .map_err(|e| e.to_string())?;
        }
        self.stream
            .write_all(&self.buffer)
            .map_err(|e| e.to_string())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Fails only if it is closed already. It wakes the reader.
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// Reads until the end, and says what the end was.
fn read(mut stream: TcpStream, framing: Framing, number: u64, tell: &Sender<Input>) -> String {
    let mut received = Vec::new();
    let mut chunk = vec![0; READ_CHUNK];
    loop {
        loop {
            let input = match framing.take(&mut received) {
                Ok(None) => break,
                Ok(Some(body)) if body.is_empty() => continue,
                Ok(Some(body)) => match wire::decode(&body) {
                    Ok(message) => Input::Message(number, message),
                    Err(error) => Input::Malformed(number, error.to_string()),
                },
                Err(error) => return error.to_string(),
            };
            if tell.send(input).is_err() {
                return String::new();
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) => return "the host closed the connection".to_owned(),
            Ok(n) => received.extend_from_slice(chunk.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return error.to_string(),
        }
    }
}
