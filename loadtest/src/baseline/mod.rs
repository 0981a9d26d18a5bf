//! Servers to compare with, in the same run: what the wire alone costs, and what
//! the wire and a durable write cost.
//!
//! The first two cut the same frames as any host and understand nothing of them;
//! the third does what a bank would write first. A request comes back as it came.

pub mod durable;
pub mod null;
pub mod postgres;

use std::net::SocketAddr;

use anyhow::Context;
use gapless_iso8583::{Cut, Framing};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

/// Room for what one read brings.
const INPUT_BYTES: usize = 64 << 10;

/// Bytes that have come, and the whole frames among them.
struct Input {
    bytes: Vec<u8>,
    filled: usize,
}

impl Input {
    fn new() -> Self {
        Self {
            bytes: vec![0; INPUT_BYTES],
            filled: 0,
        }
    }

    /// Room for more; it grows for a frame longer than all of it.
    fn room(&mut self) -> &mut [u8] {
        if self.filled == self.bytes.len() {
            self.bytes.resize(self.filled * 2, 0);
        }
        self.bytes.get_mut(self.filled..).unwrap_or_default()
    }

    fn came(&mut self, bytes: usize) {
        self.filled += bytes;
    }

    /// How many bytes of whole frames there are; `None`: what came is no frame.
    fn whole(&self, framing: &Framing) -> Option<usize> {
        let mut whole = 0;
        while let Some(rest) = self.bytes.get(whole..self.filled) {
            match framing.cut(rest) {
                Ok(Cut::NeedMore { .. }) => break,
                Ok(Cut::KeepAlive { consumed } | Cut::Frame { consumed, .. }) => whole += consumed,
                Err(_) => return None,
            }
        }
        Some(whole)
    }

    fn get(&self, whole: usize) -> &[u8] {
        self.bytes.get(..whole).unwrap_or_default()
    }

    fn drop_first(&mut self, whole: usize) {
        self.bytes.copy_within(whole..self.filled, 0);
        self.filled -= whole;
    }
}

/// Accepts for ever, on one thread with one runtime, and says where.
///
/// # Errors
/// The address cannot be listened on, or the machine gives no runtime.
fn serve<P, F>(
    listen: SocketAddr,
    listening: impl FnOnce(SocketAddr),
    prepare: impl FnOnce() -> P,
    treat: impl Fn(TcpStream) -> F,
) -> anyhow::Result<()>
where
    P: Future<Output = anyhow::Result<()>>,
    F: Future<Output = ()> + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("runtime")?;
    let accept = async {
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("--listen {listen}"))?;
        prepare().await?;
        listening(listener.local_addr().context("address")?);
        loop {
            let (stream, _) = listener.accept().await.context("accept")?;
            stream.set_nodelay(true).context("accept")?;
            tokio::task::spawn_local(treat(stream));
        }
    };
    runtime.block_on(LocalSet::new().run_until(accept))
}
