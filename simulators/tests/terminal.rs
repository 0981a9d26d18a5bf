//! A terminal's line to a host that behaves well, badly, or not at all.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::Duration;

use gapless_simulators::{DemoCard, ExchangeError, Message, Profile, Terminal, Till};
use support::{FakeHost, answer, frame};

/// Long enough for a busy machine, where an answer is sure to come.
const PATIENT: Duration = Duration::from_secs(30);
/// For answers that are sure not to come.
const SHORT: Duration = Duration::from_millis(50);

fn terminal(host: &FakeHost, timeout: Duration) -> Terminal {
    let till = Till::new(Profile::of_terminal("TEST0001"));
    Terminal::open(&host.address(), till, timeout, None).unwrap()
}

fn purchase(terminal: &mut Terminal) -> Message {
    terminal
        .till
        .purchase(&DemoCard::regular(17).unwrap(), 12_500)
        .unwrap()
}

#[test]
fn a_purchase_gets_its_answer() {
    let host = FakeHost::answering("00");
    let mut terminal = Terminal::connect(&host.address()).unwrap();
    let request = purchase(&mut terminal);
    let answer = terminal.exchange(&request).unwrap();
    assert_eq!((answer.mti(), answer.response_code()), ("0210", Some("00")));
    assert_eq!(answer.get(37), request.get(37));
}

#[test]
fn keep_alives_and_other_peoples_answers_are_passed_over() {
    let host = FakeHost::start(|request| {
        let mut bytes = vec![0, 0, 0, 0];
        let mut other = answer(request, "51");
        other.set(37, "SOMEBODY").unwrap();
        bytes.extend(frame(&other));
        let mut stan_alone = Message::new("0210");
        stan_alone
            .set(11, request.get(11).unwrap())
            .unwrap()
            .set(39, "51")
            .unwrap();
        bytes.extend(frame(&stan_alone));
        bytes.extend([0, 0]);
        bytes.extend(frame(&answer(request, "00")));
        Some(bytes)
    });
    let mut terminal = terminal(&host, PATIENT);
    let request = purchase(&mut terminal);
    let done = terminal.exchange_timed(&request).unwrap();
    assert_eq!(done.answer.response_code(), Some("00"));
    assert_eq!(done.stray.len(), 2);
}

#[test]
fn an_answer_in_single_bytes_is_put_together() {
    let host = FakeHost::start(|request| Some(frame(&answer(request, "00"))));
    // The relay cuts what passes it into single bytes.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = listener.local_addr().unwrap().to_string();
    let upstream = host.address();
    let thread = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut near, _) = listener.accept().unwrap();
        near.set_nodelay(true).unwrap();
        let mut far = std::net::TcpStream::connect(upstream).unwrap();
        let mut buffer = [0; 4096];
        let n = near.read(&mut buffer).unwrap();
        far.write_all(buffer.get(..n).unwrap()).unwrap();
        let n = far.read(&mut buffer).unwrap();
        for byte in buffer.get(..n).unwrap() {
            near.write_all(&[*byte]).unwrap();
        }
    });
    let mut terminal = Terminal::connect(&relay).unwrap();
    let request = purchase(&mut terminal);
    assert_eq!(
        terminal.exchange(&request).unwrap().response_code(),
        Some("00")
    );
    thread.join().unwrap();
}

#[test]
fn silence_ends_at_the_deadline() {
    let host = FakeHost::start(|_| Some(vec![]));
    let mut terminal = terminal(&host, SHORT);
    let request = purchase(&mut terminal);
    let error = terminal.exchange(&request).unwrap_err();
    assert!(matches!(error, ExchangeError::NoAnswer { .. }), "{error}");
}

#[test]
fn keep_alives_without_end_do_not_hold_a_terminal() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let host = std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = listener.accept().unwrap();
        while stream.write_all(&[0; 64]).is_ok() {}
    });
    let till = Till::new(Profile::default());
    let mut terminal = Terminal::open(&address, till, SHORT, None).unwrap();
    let request = purchase(&mut terminal);
    let error = terminal.exchange(&request).unwrap_err();
    assert!(matches!(error, ExchangeError::NoAnswer { .. }), "{error}");
    drop(terminal);
    host.join().unwrap();
}

#[test]
fn half_an_answer_is_no_answer() {
    let host = FakeHost::start(|request| {
        let mut bytes = frame(&answer(request, "00"));
        bytes.truncate(bytes.len() - 1);
        Some(bytes)
    });
    let mut terminal = terminal(&host, SHORT);
    let request = purchase(&mut terminal);
    let error = terminal.exchange(&request).unwrap_err();
    assert!(matches!(error, ExchangeError::NoAnswer { .. }), "{error}");
}

#[test]
fn a_host_that_hangs_up_is_told_from_a_silent_one() {
    let host = FakeHost::start(|_| None);
    let mut terminal = terminal(&host, PATIENT);
    let request = purchase(&mut terminal);
    let error = terminal.exchange(&request).unwrap_err();
    assert!(matches!(error, ExchangeError::Closed), "{error}");
}

#[test]
fn garbage_is_a_malformed_answer_with_its_place() {
    let host = FakeHost::start(|_| Some(b"\x00\x0b0210garbage".to_vec()));
    let mut terminal = terminal(&host, PATIENT);
    let request = purchase(&mut terminal);
    let error = terminal.exchange(&request).unwrap_err();
    assert_eq!(
        error.to_string(),
        "malformed answer: bitmap at offset 4: expected 8 bytes"
    );
}

#[test]
fn nobody_there_is_a_failed_connection() {
    // A port that was free a moment ago, and that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = Terminal::connect(&port.to_string()).unwrap_err();
    assert!(matches!(error, ExchangeError::Connect { .. }), "{error}");
}
