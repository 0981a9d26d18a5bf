//! Links over real TCP, with a double in the engine's place: what peers do to
//! the sockets, and that it stays with them.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/desk.rs"]
mod desk;

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use desk::{Peer, Server, framed, purchase};

/// A peer that sends one byte at a time is answered, and nobody waits for it.
#[test]
fn a_byte_at_a_time() {
    let server = Server::start(|_| {});
    let (mut slow, mut other) = (server.connect(), server.connect());
    for (count, byte) in framed(&purchase(1)).into_iter().enumerate() {
        slow.send(&[byte]);
        if count % 20 == 0 {
            let stan = 100 + count as u64;
            other.send(&framed(&purchase(stan)));
            assert_eq!(other.answer(), (210, stan, 0));
        }
    }
    assert_eq!(slow.answer(), (210, 1, 0));
}

#[test]
fn half_a_frame_times_out() {
    let server = Server::start(|link| link.frame_timeout_s = 1);
    let (mut half, mut other) = (server.connect(), server.connect());
    let frame = framed(&purchase(1));
    // An answer that is still to come comes before the end.
    half.send(&frame);
    half.send(&frame[..frame.len() / 2]);
    assert_eq!(half.answer(), (210, 1, 0));
    half.expect_end();
    other.send(&framed(&purchase(2)));
    assert_eq!(other.answer(), (210, 2, 0));
    server.wait_for_count("gapless_frames_refused_total", "timeout", 1);
}

/// A frame that does come whole in time may be followed by another late one.
#[test]
fn each_frame_has_its_own_time() {
    let server = Server::start(|link| link.frame_timeout_s = 2);
    let mut peer = server.connect();
    let began = Instant::now();
    let mut stan = 0;
    // Longer than the limit in all, and never a whole frame at a read's end.
    let mut ahead = framed(&purchase(stan));
    while began.elapsed() < Duration::from_millis(3_200) {
        let next = framed(&purchase(stan + 1));
        let half = ahead.len() / 2;
        peer.send(&ahead[half * usize::from(stan > 0)..]);
        peer.send(&next[..next.len() / 2]);
        assert_eq!(peer.answer(), (210, stan, 0));
        std::thread::sleep(Duration::from_millis(300));
        ahead = next;
        stan += 1;
    }
}

#[test]
fn a_frame_over_the_limit_ends_its_own_connection_only() {
    let server = Server::start(|link| link.framing.max_frame_bytes = 200);
    let mut other = server.connect();
    for length in [201u16, 65_535] {
        let mut peer = server.connect();
        peer.send(&framed(&purchase(1)));
        peer.send(&length.to_be_bytes());
        peer.send(&[b'0'; 300]);
        assert_eq!(peer.answer(), (210, 1, 0));
        peer.expect_end();
        other.send(&framed(&purchase(2)));
        assert_eq!(other.answer(), (210, 2, 0));
    }
    server.wait_for_count("gapless_frames_refused_total", "length", 2);
    server.wait_for_count("gapless_connections_ended_total", "\"frame\"", 2);
}

/// The largest length there is, allowed: what has come is kept and no more.
#[test]
fn the_largest_frame_is_taken_as_it_comes() {
    let server = Server::start(|link| {
        link.framing.max_frame_bytes = 65_535;
        link.frame_timeout_s = 30;
    });
    let mut peer = server.connect();
    let mut body = purchase(7);
    // Trailing bytes are a fault, and the answer says so once all have come.
    body.resize(65_535, b'0');
    let frame = framed(&body);
    for part in frame.chunks(1_000) {
        peer.send(part);
    }
    assert_eq!(peer.answer(), (210, 7, 30));
    peer.send(&framed(&purchase(8)));
    assert_eq!(peer.answer(), (210, 8, 0));
}

#[test]
fn garbage_harms_nobody() {
    let server = Server::start(|link| link.frame_timeout_s = 1);
    let mut other = server.connect();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..50 {
        let mut peer = server.connect();
        let bytes: Vec<u8> = (0..2_000)
            .map(|_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random as u8
            })
            .collect();
        // The link may be closed before all has left.
        let _ = peer.stream.write_all(&bytes);
        other.send(&framed(&purchase(round)));
        assert_eq!(other.answer(), (210, round, 0));
    }
    // Well-framed garbage is ignored, and its connection stays.
    let mut peer = server.connect();
    peer.send(&framed(b"GET / HTTP/1.1\r\n\r\n"));
    peer.send(&framed(&[0xff; 100]));
    peer.send(&framed(&purchase(99)));
    assert_eq!(peer.answer(), (210, 99, 0));
}

#[test]
fn malformed_messages_are_answered_30() {
    let server = Server::start(|_| {});
    let mut peer = server.connect();
    let whole = purchase(5);
    peer.send(&framed(&whole[..whole.len() - 1]));
    assert_eq!(peer.answer(), (210, 5, 30));
    // An amount that is no number, never taken for zero.
    let mut body = purchase(6);
    let amount = body.windows(12).position(|bytes| bytes == b"000000010000");
    body[amount.unwrap() + 11] = b'O';
    peer.send(&framed(&body));
    assert_eq!(peer.answer(), (210, 6, 30));
    assert_eq!(server.desk.submitted(), 0);
    peer.send(&framed(&purchase(7)));
    assert_eq!(peer.answer(), (210, 7, 0));
    server.wait_for_count("gapless_frames_refused_total", "format", 2);
}

#[test]
fn keep_alives_are_ignored() {
    let server = Server::start(|_| {});
    let mut peer = server.connect();
    peer.send(&[0; 2_000]);
    peer.send(&framed(&purchase(1)));
    peer.send(&[0; 2]);
    assert_eq!(peer.answer(), (210, 1, 0));
}

/// Both ends of all connections are in this process.
fn allow_open_files(count: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < count) {
        let current = Some(maximum.map_or(count, |maximum| maximum.min(count)));
        setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    }
}

#[test]
fn a_thousand_idle_connections_slow_nobody() {
    allow_open_files(2_500);
    let server = Server::start(|link| link.max_connections = 1_100);
    let mut idle: Vec<Peer> = (0..1_000).map(|_| server.connect()).collect();
    let mut busy = server.connect();
    for stan in 0..200 {
        busy.send(&framed(&purchase(stan)));
        assert_eq!(busy.answer(), (210, stan, 0));
    }
    for (stan, peer) in idle.iter_mut().enumerate() {
        peer.send(&framed(&purchase(stan as u64)));
    }
    for (stan, peer) in idle.iter_mut().enumerate() {
        assert_eq!(peer.answer(), (210, stan as u64, 0));
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    const COUNT: u64 = 2_000;
    let server = Server::start(|link| link.max_in_flight = COUNT as u32);
    let mut peer = server.connect();
    let burst: Vec<u8> = (0..COUNT)
        .flat_map(|stan| framed(&purchase(stan)))
        .collect();
    let mut sender = peer.stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || sender.write_all(&burst).unwrap());
    for stan in 0..COUNT {
        assert_eq!(peer.answer(), (210, stan, 0));
    }
    writing.join().unwrap();
}

#[test]
fn above_what_may_be_in_flight_91_while_reading_goes_on() {
    let server = Server::start(|link| link.max_in_flight = 3);
    server.desk.hold();
    let mut peer = server.connect();
    for stan in 0..5 {
        peer.send(&framed(&purchase(stan)));
    }
    assert_eq!(peer.answer(), (210, 3, 91));
    assert_eq!(peer.answer(), (210, 4, 91));
    assert_eq!(server.desk.submitted(), 3, "a refusal has no effect");
    server.desk.release();
    for stan in 0..3 {
        assert_eq!(peer.answer(), (210, stan, 0));
    }
    server.wait_for_count("gapless_refused_total", "link_limit", 2);
}

#[test]
fn refused_at_the_door_91() {
    let server = Server::start(|_| {});
    server.desk.refuse(true);
    let mut peer = server.connect();
    peer.send(&framed(&purchase(1)));
    assert_eq!(peer.answer(), (210, 1, 91));
    server.desk.refuse(false);
    peer.send(&framed(&purchase(2)));
    assert_eq!(peer.answer(), (210, 2, 0));
    server.wait_for_count("gapless_refused_total", "busy", 1);
}

#[test]
fn late_answers_are_kept_back() {
    let server = Server::start(|link| {
        link.answer_limit_ms = 500;
        link.slow_reader_timeout_s = 1;
    });
    server.desk.hold();
    let mut peer = server.connect();
    peer.send(&framed(&purchase(1)));
    server.desk.wait_for_submitted(1);
    std::thread::sleep(Duration::from_millis(510));
    server.desk.release();
    // Nothing comes before the answer of the next one.
    peer.send(&framed(&purchase(2)));
    assert_eq!(peer.answer(), (210, 2, 0));
    server.wait_for_count("gapless_answers_kept_back_total", "late", 1);
    // An answer that was never sent is none that the peer does not read.
    std::thread::sleep(Duration::from_millis(1_200));
    peer.send(&framed(&purchase(3)));
    assert_eq!(peer.answer(), (210, 3, 0));
}

/// A peer that sends and never reads: reading from it stops, what waits for it
/// stays bounded, and it is closed.
#[test]
fn a_peer_that_does_not_read_is_bounded_and_closed() {
    let server = Server::start(|link| {
        link.max_unsent_bytes = 8 << 10;
        link.slow_reader_timeout_s = 1;
        link.max_in_flight = 100_000;
    });
    let mut other = server.connect();
    let mut deaf = server.connect();
    let burst: Vec<u8> = (0..500).flat_map(|stan| framed(&purchase(stan))).collect();
    let sending = std::thread::spawn(move || {
        let mut sent = 0_u64;
        loop {
            match deaf.stream.write(&burst) {
                Ok(bytes) => sent += bytes as u64,
                // Some systems say one, some the other.
                Err(error) => {
                    let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
                    assert!(kinds.contains(&error.kind()), "{error}");
                    return sent;
                }
            }
        }
    });
    let mut stan = 0;
    while !sending.is_finished() {
        other.send(&framed(&purchase(stan)));
        assert_eq!(other.answer(), (210, stan, 0));
        stan += 1;
    }
    let sent = sending.join().unwrap();
    assert!(sent > 100_000, "{sent} bytes are no burst");
    server.wait_for_count("gapless_connections_ended_total", "slow_reader", 1);
}

#[test]
fn connections_above_the_limit_are_closed_and_places_come_back() {
    let server = Server::start(|link| link.max_connections = 2);
    let (mut first, mut second) = (server.connect(), server.connect());
    for (stan, peer) in [&mut first, &mut second].into_iter().enumerate() {
        peer.send(&framed(&purchase(stan as u64)));
        peer.answer();
    }
    let mut third = server.connect();
    third.expect_end();
    server.wait_for_count("gapless_connections_ended_total", "too_many", 1);
    drop(first);
    // The place is free as soon as the end has been seen.
    let mut stan = 10;
    loop {
        let mut next = server.connect();
        if next.stream.write_all(&framed(&purchase(stan))).is_ok()
            && let Some(answer) = next.try_answer()
        {
            assert_eq!(answer, (210, stan, 0));
            break;
        }
        stan += 1;
    }
    second.send(&framed(&purchase(7)));
    assert_eq!(second.answer(), (210, 7, 0));
}

#[test]
fn an_idle_connection_is_closed() {
    let server = Server::start(|link| link.idle_timeout_s = 1);
    let mut peer = server.connect();
    peer.send(&framed(&purchase(1)));
    assert_eq!(peer.answer(), (210, 1, 0));
    peer.expect_end();
    server.wait_for_count("gapless_connections_ended_total", "idle", 1);
}

/// Half-closed: the peer sends no more, but reads on.
#[test]
fn a_peer_that_has_said_all_still_gets_its_answers() {
    let server = Server::start(|_| {});
    server.desk.hold();
    let mut peer = server.connect();
    peer.send(&framed(&purchase(1)));
    peer.stream.shutdown(std::net::Shutdown::Write).unwrap();
    server.desk.wait_for_submitted(1);
    server.desk.release();
    assert_eq!(peer.answer(), (210, 1, 0));
    peer.expect_end();
}

#[test]
fn stopping_answers_what_is_in_flight_and_closes() {
    let mut server = Server::start(|_| {});
    server.desk.hold();
    let (mut busy, mut idle) = (server.connect(), server.connect());
    idle.send(&framed(&purchase(8)));
    busy.send(&framed(&purchase(9)));
    server.desk.wait_for_submitted(2);
    server.stop();
    assert!(!server.is_over(), "answers are outstanding");
    server.desk.release();
    assert_eq!(busy.answer(), (210, 9, 0));
    assert_eq!(idle.answer(), (210, 8, 0));
    busy.expect_end();
    idle.expect_end();
    server.join();
    assert!(
        std::net::TcpStream::connect(server.address).is_err(),
        "nobody is accepted any more"
    );
}

#[test]
fn a_header_comes_back_with_its_addresses_swapped() {
    let server = Server::start(|link| link.framing.tpdu = true);
    let mut peer = server.connect();
    let mut body = vec![0x60, 0x00, 0x01, 0x80, 0x02];
    body.extend(purchase(3));
    peer.send(&framed(&body));
    let mut head = [0; 7];
    peer.stream.read_exact(&mut head).unwrap();
    assert_eq!(head[2..], [0x60, 0x80, 0x02, 0x00, 0x01]);
}
