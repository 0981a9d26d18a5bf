//! A daemon in the test's own process, with a shipped configuration, on ports and
//! in a data directory of its own.
#![allow(dead_code, reason = "each test uses its part")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;

use gapless::config::Config;
use gapless::{RunError, Running};
use gapless_simulators::{Profile, Terminal};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A running daemon; stopped when dropped.
pub struct Daemon {
    pub running: Running,
    shutdown: CancellationToken,
    thread: Option<JoinHandle<Result<(), RunError>>>,
    config: Config,
    data: Option<TempDir>,
}

impl Daemon {
    /// With that file of `config/`, new.
    pub fn start(name: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut config = Config::load(&root().join("config").join(name)).unwrap();
        config.data_dir = data.path().join("data");
        config.admin.listen.set_port(0);
        for link in &mut config.links {
            link.listen.set_port(0);
        }
        Self::start_with(config, data)
    }

    fn start_with(config: Config, data: TempDir) -> Self {
        let shutdown = CancellationToken::new();
        let (tell, started) = mpsc::channel();
        let token = shutdown.clone();
        let given = config.clone();
        let thread = std::thread::spawn(move || {
            gapless::run(&given, &token, move |running| tell.send(running).unwrap())
        });
        // Ends with an error if the daemon gave up instead.
        let running = started.recv().expect("the daemon starts");
        Self {
            running,
            shutdown,
            thread: Some(thread),
            config,
            data: Some(data),
        }
    }

    /// Stops it, and starts it again on the same ports with what it left.
    pub fn restart(mut self) -> Self {
        let mut config = self.config.clone();
        for link in &mut config.links {
            link.listen = self.link(&link.name);
        }
        config.admin.listen = self.running.admin;
        self.end();
        Self::start_with(config, self.data.take().unwrap())
    }

    /// Stops it; what it leaves is in the folder's `data`.
    pub fn stop(mut self) -> TempDir {
        self.end();
        self.data.take().unwrap()
    }

    fn end(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join().expect("no panic");
            if !std::thread::panicking() {
                ended.expect("the daemon drains and stops");
            }
        }
    }

    pub fn link(&self, name: &str) -> SocketAddr {
        self.running
            .links
            .iter()
            .find(|link| link.0 == name)
            .unwrap()
            .1
    }

    pub fn terminal(&self, id: &str) -> Terminal {
        let address = self.link("pos-ascii").to_string();
        Terminal::connect_as(&address, Profile::of_terminal(id)).unwrap()
    }

    pub fn get(&self, path: &str) -> Value {
        ureq::get(format!("http://{}{path}", self.running.admin))
            .call()
            .unwrap()
            .body_mut()
            .read_json()
            .unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
