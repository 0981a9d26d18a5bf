//! Hosts of all manners: whatever they do, the run ends, and every request is
//! accounted for.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use clap::Parser;
use gapless_iso8583::{Cut, Dialect, Framing, LengthForm};
use gapless_loadtest::cli::{Cli, Command};
use gapless_loadtest::plan::Plan;
use gapless_loadtest::run;
use gapless_loadtest::stats::Stats;

const FRAMING: Framing = Framing::new(LengthForm::Binary2);

/// A host that treats every connection like this; gone with the test's process.
fn host(treat: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let treat = treat.clone();
            thread::spawn(move || treat(stream.unwrap()));
        }
    });
    address
}

/// Reads requests and sends what `answer` makes of each (its number first),
/// until the client leaves.
fn answering(
    dialect: &'static str,
    answer: impl Fn(u64, &[u8], &mut Vec<u8>),
) -> impl Fn(TcpStream) {
    move |mut stream| {
        let dialect = Dialect::builtin(dialect).unwrap();
        let (mut input, mut count) = (Vec::new(), 0);
        let mut piece = [0; 4096];
        while let Ok(bytes @ 1..) = stream.read(&mut piece) {
            input.extend_from_slice(&piece[..bytes]);
            let mut out = Vec::new();
            while let Cut::Frame { body, consumed, .. } = FRAMING.cut(&input).unwrap() {
                // Whatever is sent must be a message of its dialect.
                dialect.decode(&input[body.clone()]).unwrap();
                answer(count, &input[body], &mut out);
                count += 1;
                input.drain(..consumed);
            }
            if stream.write_all(&out).is_err() {
                return;
            }
        }
    }
}

/// The answer with this DE 39 and, where one is given, another DE 37 or DE 41.
fn respond(dialect: &str, request: &[u8], out: &mut Vec<u8>, code: &[u8], rrn: Option<&[u8]>) {
    let dialect = Dialect::builtin(dialect).unwrap();
    let request = dialect.decode(request).unwrap();
    let mark = FRAMING.begin(out, None);
    let mut builder = dialect.builder(out, request.mti().response());
    for field in [2, 3, 4, 7, 11, 12] {
        builder.echo(&request, field);
    }
    match rrn {
        None => builder.echo(&request, 37),
        Some(rrn) => builder.text(37, rrn),
    };
    builder.text(39, code).echo(&request, 41).finish().unwrap();
    drop(builder);
    FRAMING.end(out, mark).unwrap();
}

fn run(address: SocketAddr, arguments: &[&str]) -> Stats {
    let target = address.to_string();
    let base = ["gapless-loadtest", "run", "--target", &target];
    let Command::Run(arguments) = Cli::try_parse_from(base.iter().chain(arguments))
        .unwrap()
        .command;
    let plan = Plan::new(&arguments).unwrap();
    let stats = run::run(&plan).unwrap().stats;
    assert_eq!(
        stats.sent,
        stats.all_answered() + stats.timed_out + stats.lost,
        "every request is accounted for: {stats:?}"
    );
    stats
}

const ASCII: &str = "iso87-ascii";

#[test]
fn every_dialect_runs() {
    for (dialect, approved, declined) in [
        ("iso87-ascii", b"00".as_slice(), b"51".as_slice()),
        ("iso87-ascii-hex", b"00", b"51"),
        ("iso87-bcd", b"00", b"51"),
        ("iso87-ebcdic", b"00", b"51"),
        ("iso93-ascii", b"000", b"116"),
    ] {
        let address = host(move |stream| {
            answering(dialect, |count, request, out| {
                let code = if count.is_multiple_of(10) {
                    declined
                } else {
                    approved
                };
                respond(dialect, request, out, code, None);
            })(stream);
        });
        let mix = "purchase=1,cash=1,refund=1,balance=1,transfer=1";
        let stats = run(
            address,
            &[
                "--dialect",
                dialect,
                "--requests",
                "1001",
                "--connections",
                "4",
                "--mix",
                mix,
            ],
        );
        assert_eq!(stats.all_answered(), 1_001, "{dialect}");
        let declines = 1_001 - stats.approved();
        // One in ten on each of four connections, the first included.
        assert!((101..=104).contains(&declines), "{dialect}: {declines}");
        assert_eq!(stats.by_code().count(), 2, "{dialect}");
    }
}

#[test]
fn two_threads_and_a_time_limit() {
    let address = host(|stream| {
        answering(ASCII, |_, request, out| {
            respond(ASCII, request, out, b"00", None)
        })(stream);
    });
    let stats = run(
        address,
        &["--seconds", "1", "--threads", "2", "--connections", "3"],
    );
    assert!(stats.approved() > 100, "{stats:?}");
    assert_eq!((stats.approved(), stats.connected), (stats.sent, 3));
}

#[test]
fn a_host_that_is_not_there() {
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let stats = run(address, &["--requests", "10", "--connections", "2"]);
    assert_eq!((stats.sent, stats.not_sent, stats.connected), (0, 10, 0));
    assert!(stats.refused > 0);
    assert!(
        stats.troubles()[0].0.starts_with("connect: "),
        "{:?}",
        stats.troubles()
    );
}

#[test]
fn a_host_that_closes_after_some_answers() {
    let address = host(|mut stream| {
        let mut input = Vec::new();
        let mut piece = [0; 4096];
        let mut answered = 0;
        while let Ok(bytes @ 1..) = stream.read(&mut piece) {
            input.extend_from_slice(&piece[..bytes]);
            while let Cut::Frame { body, consumed, .. } = FRAMING.cut(&input).unwrap() {
                let mut out = Vec::new();
                respond(ASCII, &input[body], &mut out, b"00", None);
                stream.write_all(&out).unwrap();
                input.drain(..consumed);
                answered += 1;
                if answered == 5 {
                    return;
                }
            }
        }
    });
    let stats = run(
        address,
        &[
            "--requests",
            "100",
            "--connections",
            "1",
            "--in-flight",
            "2",
        ],
    );
    assert_eq!(stats.sent, 100);
    assert!(stats.broken >= 10 && stats.approved() >= 50, "{stats:?}");
}

#[test]
fn a_host_that_answers_garbage() {
    for (garbage, in_frames) in [
        (b"\xff\xffHTTP/1.1 400 Bad Request".as_slice(), false),
        (b"\x00\x040210".as_slice(), true),
        (b"\x00\x05GET /".as_slice(), true),
    ] {
        let address = host(move |stream| {
            answering(ASCII, |_, _, out| out.extend_from_slice(garbage))(stream);
        });
        let stats = run(
            address,
            &[
                "--requests",
                "20",
                "--connections",
                "1",
                "--in-flight",
                "4",
                "--timeout-ms",
                "200",
            ],
        );
        assert!(stats.garbage > 0, "{stats:?}");
        assert_eq!(stats.all_answered(), 0);
        assert_eq!(stats.broken == 0, in_frames, "{stats:?}");
        assert!(!stats.troubles().is_empty());
    }
}

#[test]
fn a_host_that_says_nothing() {
    let address = host(|stream| answering(ASCII, |_, _, _| {})(stream));
    let stats = run(
        address,
        &[
            "--requests",
            "8",
            "--connections",
            "2",
            "--in-flight",
            "2",
            "--timeout-ms",
            "50",
        ],
    );
    assert_eq!((stats.timed_out, stats.all_answered()), (8, 0));
}

#[test]
fn another_terminals_answer_is_not_taken() {
    // The right STAN, but another retrieval reference number.
    let address = host(|stream| {
        answering(ASCII, |_, request, out| {
            respond(ASCII, request, out, b"00", Some(b"000000000001"));
        })(stream);
    });
    let stats = run(
        address,
        &[
            "--requests",
            "4",
            "--connections",
            "1",
            "--in-flight",
            "4",
            "--timeout-ms",
            "50",
        ],
    );
    assert_eq!(
        (stats.unmatched, stats.timed_out, stats.approved()),
        (4, 4, 0)
    );
}

#[test]
fn keep_alives_are_dropped() {
    let address = host(|stream| {
        answering(ASCII, |_, request, out| {
            out.extend_from_slice(&[0, 0]);
            respond(ASCII, request, out, b"00", None);
        })(stream);
    });
    let stats = run(address, &["--requests", "50", "--connections", "1"]);
    assert_eq!(stats.approved(), 50);
}
