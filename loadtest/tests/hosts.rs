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
use gapless_loadtest::open_loop::{self, Control};
use gapless_loadtest::stats::{Stats, Wire};

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

/// What a run counted: requests, and what happened on connections.
#[derive(Debug)]
struct Ran {
    stats: Stats,
    wire: Wire,
    longest_gap_us: u64,
}

impl std::ops::Deref for Ran {
    type Target = Stats;

    fn deref(&self) -> &Stats {
        &self.stats
    }
}

fn run(address: SocketAddr, arguments: &[&str]) -> Ran {
    let target = address.to_string();
    let base = ["gapless-loadtest", "run", "--target", &target];
    let Command::Run(arguments) = Cli::try_parse_from(base.iter().chain(arguments))
        .unwrap()
        .command
    else {
        panic!("run was asked for");
    };
    let plan = arguments.plan().unwrap();
    let control = Control::new(&plan);
    let mut last = None;
    let outcome = open_loop::run(&plan, &control, |now| last = Some(now.clone())).unwrap();
    let stats = outcome.total().unwrap();
    assert_eq!(
        stats.offered,
        stats.answered_all() + stats.lost + stats.not_sent,
        "every request is accounted for: {stats:?}"
    );
    // What was shown on the way comes to the same.
    let sums = last.unwrap().sums;
    assert_eq!(sums, outcome.sums);
    assert_eq!(sums.accepted, stats.accepted);
    assert_eq!(sums.sent(), stats.offered - stats.not_sent);
    Ran {
        stats,
        wire: outcome.wire.clone(),
        longest_gap_us: outcome.timeline.longest_gap_us(0, u64::MAX / 2),
    }
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
        assert_eq!(stats.answered_all(), 1_001, "{dialect}");
        let declines = 1_001 - stats.accepted;
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
    assert!(stats.accepted > 100, "{stats:?}");
    assert_eq!((stats.accepted, stats.wire.connected), (stats.offered, 3));
}

#[test]
fn a_host_that_is_not_there() {
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let stats = run(address, &["--requests", "10", "--connections", "2"]);
    assert_eq!((stats.offered, stats.not_sent), (10, 10));
    assert!(stats.wire.connected == 0 && stats.wire.refused > 0);
    let troubles = stats.wire.troubles();
    assert!(troubles[0].0.starts_with("connect: "), "{troubles:?}");
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
    assert_eq!(stats.offered, 100);
    assert!(stats.wire.broken >= 10 && stats.accepted >= 50, "{stats:?}");
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
        assert!(stats.wire.garbage > 0, "{stats:?}");
        assert_eq!(stats.answered_all(), 0);
        assert_eq!(stats.wire.broken == 0, in_frames, "{stats:?}");
        assert!(!stats.wire.troubles().is_empty());
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
    assert_eq!((stats.lost, stats.answered_all()), (8, 0));
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
        (stats.wire.unmatched, stats.lost, stats.accepted),
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
    assert_eq!(stats.accepted, 50);
}

#[test]
fn the_open_loop_keeps_its_schedule() {
    for (spacing, least, most) in [("even", 2_000, 2_000), ("poisson", 1_750, 2_250)] {
        let address = host(|stream| {
            answering(ASCII, |_, request, out| {
                respond(ASCII, request, out, b"00", None);
            })(stream);
        });
        let stats = run(
            address,
            &[
                "--rate",
                "2000",
                "--seconds",
                "1",
                "--connections",
                "4",
                "--spacing",
                spacing,
            ],
        );
        assert!((least..=most).contains(&stats.offered), "{}", stats.offered);
        assert_eq!(stats.accepted, stats.offered);
    }
}

#[test]
fn a_stall_is_felt_by_all_who_were_due_in_it() {
    // Answers nothing from its 100th request on, for half a second.
    let address = host(|stream| {
        answering(ASCII, |count, request, out| {
            if count == 100 {
                thread::sleep(std::time::Duration::from_millis(500));
            }
            respond(ASCII, request, out, b"00", None);
        })(stream);
    });
    let stats = run(
        address,
        &["--rate", "500", "--seconds", "1", "--connections", "1"],
    );
    assert_eq!((stats.offered, stats.accepted), (500, 500));
    // Half of them were due while it stood still: the median of a closed loop
    // would not have seen it. A busy machine can only add.
    let waited_long = stats.latency_ns(0.65);
    assert!(waited_long > 50_000_000, "{waited_long}");
    assert!(stats.longest_ns() >= 490_000_000);
    assert!(stats.longest_gap_us >= 490_000, "{}", stats.longest_gap_us);
}

#[test]
fn an_open_loop_against_nobody_ends() {
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let stats = run(
        address,
        &[
            "--rate",
            "1000",
            "--seconds",
            "1",
            "--timeout-ms",
            "100",
            "--connections",
            "3",
        ],
    );
    assert_eq!((stats.offered, stats.not_sent), (1_000, 1_000));
}

#[test]
fn late_is_not_lost() {
    let address = host(|stream| {
        answering(ASCII, |_, request, out| {
            thread::sleep(std::time::Duration::from_millis(300));
            respond(ASCII, request, out, b"00", None);
        })(stream);
    });
    // Late from 200 ms on, lost from 400 ms on: the host takes 300 and more.
    let stats = run(
        address,
        &[
            "--requests",
            "1",
            "--connections",
            "1",
            "--in-flight",
            "1",
            "--timeout-ms",
            "200",
        ],
    );
    assert_eq!(stats.late + stats.lost, 1);
    assert_eq!(stats.accepted, 0);
}

#[test]
fn refusals_and_faults_are_no_declines() {
    for (code, refused, faulty) in [(b"91", 40, 0), (b"96", 0, 40)] {
        let address = host(move |stream| {
            answering(ASCII, |_, request, out| {
                respond(ASCII, request, out, code, None);
            })(stream);
        });
        let stats = run(address, &["--requests", "40", "--connections", "2"]);
        assert_eq!(
            (stats.refused, stats.faulty, stats.declined),
            (refused, faulty, 0)
        );
    }
}

#[test]
fn repeats_must_be_answered_as_the_first_time() {
    // Every third answer declines, whatever was asked.
    let address = host(|stream| {
        answering(ASCII, |count, request, out| {
            let code = if count % 3 == 2 { b"51" } else { b"00" };
            respond(ASCII, request, out, code, None);
        })(stream);
    });
    let mix = "purchase=1,reversal=1,repeat=1,advice=1";
    let stats = run(
        address,
        &["--requests", "600", "--connections", "1", "--mix", mix],
    );
    assert_eq!(stats.answered_all(), 600);
    assert!(stats.wire.contradicted > 10, "{:?}", stats.wire);
}
