//! The wire alone: a request comes back as soon as it is whole.

use std::io::ErrorKind;
use std::net::SocketAddr;

use gapless_iso8583::Framing;
use tokio::net::TcpStream;

use super::{Input, serve};

/// Serves until the process ends.
///
/// # Errors
/// The address cannot be listened on, or the machine gives no runtime.
pub fn run(
    listen: SocketAddr,
    framing: Framing,
    listening: impl FnOnce(SocketAddr),
) -> anyhow::Result<()> {
    serve(
        listen,
        listening,
        || std::future::ready(Ok(())),
        |stream| echo(stream, framing),
    )
}

async fn echo(stream: TcpStream, framing: Framing) {
    let mut input = Input::new();
    loop {
        if stream.readable().await.is_err() {
            return;
        }
        match stream.try_read(input.room()) {
            Ok(0) => return,
            Ok(bytes) => input.came(bytes),
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(_) => return,
        }
        let Some(whole) = input.whole(&framing) else {
            return;
        };
        let mut rest = input.get(whole);
        while !rest.is_empty() {
            match stream.try_write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if stream.writable().await.is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
        input.drop_first(whole);
    }
}
