//! A message costs no allocation, so that the load generator is not the limit.
//!
//! The same run with more requests must not allocate more; the host runs in this
//! process and is held to the same.
#![allow(
    unsafe_code,
    reason = "an allocator that counts cannot be written without"
)]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use clap::Parser;
use gapless_iso8583::{Cut, Dialect, Framing, LengthForm};
use gapless_loadtest::cli::{Cli, Command};
use gapless_loadtest::open_loop::{self, Control};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, bytes) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const FRAMING: Framing = Framing::new(LengthForm::Binary2);

/// Approves everything, out of two buffers.
fn approve(mut stream: TcpStream) {
    let dialect = Dialect::builtin("iso87-ascii").unwrap();
    let mut input = Vec::with_capacity(1 << 16);
    let mut out = Vec::with_capacity(1 << 16);
    let mut piece = vec![0; 1 << 14];
    while let Ok(bytes @ 1..) = stream.read(&mut piece) {
        input.extend_from_slice(&piece[..bytes]);
        let mut start = 0;
        while let Cut::Frame { body, consumed, .. } = FRAMING.cut(&input[start..]).unwrap() {
            let request = dialect.decode(&input[start..][body]).unwrap();
            let mark = FRAMING.begin(&mut out, None);
            let mut answer = dialect.builder(&mut out, request.mti().response());
            answer.echo(&request, 11).echo(&request, 37).text(39, b"00");
            answer.echo(&request, 41).finish().unwrap();
            drop(answer);
            FRAMING.end(&mut out, mark).unwrap();
            start += consumed;
        }
        input.drain(..start);
        if stream.write_all(&out).is_err() {
            return;
        }
        out.clear();
    }
}

/// Allocations of a whole run, host included.
fn allocations(target: &str, requests: u64, load: &[&str]) -> u64 {
    let base = ["gapless-loadtest", "run", "--target", target];
    let always = ["--connections", "2", "--in-flight", "16"];
    let arguments = base.iter().chain(&always).chain(load);
    let Command::Run(arguments) = Cli::try_parse_from(arguments).unwrap().command else {
        panic!("run was asked for");
    };
    let plan = arguments.plan().unwrap();
    let control = Control::new(&plan);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let outcome = open_loop::run(&plan, &control, |_| {}).unwrap();
    let after = ALLOCATIONS.load(Ordering::Relaxed);
    assert_eq!(outcome.sums.accepted, requests);
    after - before
}

#[test]
fn more_messages_cost_no_more_allocations() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || approve(stream.unwrap()));
        }
    });
    let closed =
        |requests: u64| allocations(&target, requests, &["--requests", &requests.to_string()]);
    // Warm: whatever is made once is made.
    closed(1_000);
    let few = closed(1_000);
    let more = closed(51_000).saturating_sub(few);
    assert!(more < 500, "{more} allocations for 50,000 messages");
    assert!(few > 10, "the allocator does not count: {few}");
    // The open loop lasts the same, with ten times the messages.
    let open = |rate: u64| {
        allocations(
            &target,
            rate,
            &["--rate", &rate.to_string(), "--seconds", "1"],
        )
    };
    let few = open(1_000);
    let more = open(10_000).saturating_sub(few);
    assert!(more < 500, "{more} allocations for 9,000 messages");
}
