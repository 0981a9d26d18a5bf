//! Who may ask, and what slow clients may take. There is no engine behind it:
//! the daemon is still recovering.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Admin;
use crate::adapter::PanKeys;
use crate::config::Config;
use crate::runner::{Control, Phase};
use crate::telemetry::Telemetry;

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

struct Site {
    admin: Admin,
    control: Control,
    _folder: tempfile::TempDir,
}

fn site(keys_of_admin: &str) -> Site {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "a-token-for-tests\n").unwrap();
    let text = format!("[admin]\nlisten = \"127.0.0.1:0\"\n{keys_of_admin}");
    let config = Config::from_text(&folder.path().join("g.toml"), &text).unwrap();
    let (control, _) = Control::new();
    let admin = Admin::start(
        &config,
        control.clone(),
        Arc::new(PanKeys::from_bytes(&[7; 32])),
        Arc::new(Telemetry::new()),
        super::Shelf::default(),
    )
    .unwrap();
    Site {
        admin,
        control,
        _folder: folder,
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Status and answer to a request of one head, without a body.
fn ask(site: &Site, request: &str, headers: &str) -> (u16, String) {
    let mut stream = connect(site.admin.address());
    write!(
        stream,
        "{request} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

#[test]
#[rustfmt::skip] // one case a line
fn tokens() {
    let site = site("token_file = \"token\"");
    let check = |path: &str, headers: &str, expected: u16| {
        let (status, answer) = ask(&site, &format!("GET {path}"), headers);
        assert_eq!(status, expected, "{path} {headers}: {answer}");
        let asks = answer.to_ascii_lowercase().contains("www-authenticate: bearer");
        assert_eq!(asks, expected == 401, "{answer}");
    };
    for path in ["/metrics", "/v1/status"] {
        check(path, "", 401);
        check(path, "authorization: a-token-for-tests\r\n", 401);
        check(path, "authorization: Basic a-token-for-tests\r\n", 401);
        check(path, "authorization: Bearer \r\n", 401);
        check(path, "authorization: Bearer a-token-for-test\r\n", 401);
        check(path, "authorization: Bearer a-token-for-testt\r\n", 401);
        check(path, "authorization: Bearer a-token-for-tests2\r\n", 401);
        check(path, "authorization: Bearer a-token-for-tests\r\n", 200);
        check(path, "authorization: bearer a-token-for-tests\r\n", 200);
    }
    check("/healthz", "", 200);
    check("/readyz", "", 503);
    check("/", "", 200);
    check("/v1/accounts/1", "", 401);
    check("/v1/cards/1", "", 401);
    check("/v1/business-date", "", 401);
    check("/v1/trial-balance", "", 401);
    check("/v1/networks/totals", "", 401);
    check("/v1/networks/reconciliations", "", 401);
    check("/v1/exceptions", "", 401);
    // Which paths there are is no secret.
    check("/v1/nothing", "", 404);
    assert_eq!(ask(&site, "POST /v1/import?kind=cards", "content-length: 0\r\n").0, 401);
}

#[test]
#[rustfmt::skip] // one case a line
fn web_pages_do_not_reach_it() {
    let site = site("");
    let check = |request: &str, headers: &str, expected: u16| {
        let (status, answer) = ask(&site, request, headers);
        assert_eq!(status, expected, "{request} {headers}: {answer}");
    };
    check("GET /v1/status", "host: 127.0.0.1:8580\r\n", 200);
    check("GET /v1/status", "host: [::1]:8580\r\n", 200);
    check("GET /v1/status", "host: LOCALHOST\r\n", 200);
    check("GET /v1/status", "host: bank.example\r\n", 403);
    check("GET /v1/status", "host: 127.0.0.1.bank.example\r\n", 403);
    check("GET /v1/status", "host: localhost.bank.example:80\r\n", 403);
    check("POST /v1/import?kind=cards", "host: localhost\r\norigin: http://bank.example\r\ncontent-length: 0\r\n", 403);
    check("POST /v1/import?kind=cards", "host: localhost\r\ncontent-length: 0\r\n", 503);
}

#[test]
fn before_it_is_ready_and_after() {
    let site = site("");
    let ready = || ask(&site, "GET /readyz", "");
    let (status, answer) = ready();
    assert_eq!(status, 503);
    assert!(
        answer.ends_with(r#"{"ready":false,"error":"recovering"}"#),
        "{answer}"
    );
    let (status, answer) = ask(&site, "GET /v1/accounts/1", "");
    assert_eq!(status, 503);
    assert!(answer.ends_with(r#"{"error":"recovering"}"#), "{answer}");
    let (status, answer) = ask(&site, "GET /metrics", "");
    assert_eq!(status, 200);
    assert!(answer.contains("\ngapless_ready 0\n"), "{answer}");
    assert_eq!(ask(&site, "GET /healthz", "").0, 200);

    site.control.gauges().set_phase(Phase::Ready);
    assert_eq!(ready().0, 200);
    assert!(
        ask(&site, "GET /metrics", "")
            .1
            .contains("\ngapless_ready 1\n")
    );
    // The engine's side is gone in this test: told, not waited for.
    assert_eq!(ask(&site, "GET /v1/accounts/1", "").0, 503);
    site.control.gauges().set_phase(Phase::Draining);
    let (status, answer) = ready();
    assert_eq!(status, 503);
    assert!(answer.contains("draining"), "{answer}");
    let import = "POST /v1/import?kind=cards";
    let (status, answer) = ask(&site, import, "content-length: 0\r\n");
    assert_eq!(status, 503);
    assert!(answer.ends_with(r#"{"error":"draining"}"#), "{answer}");
}

#[test]
fn errors_are_json() {
    let site = site("");
    for (request, status, error) in [
        ("GET /nothing", 404, "there is no such path"),
        ("POST /metrics", 405, "this path has no such method"),
        ("GET /v1/import", 405, "this path has no such method"),
    ] {
        let (found, answer) = ask(&site, request, "content-length: 0\r\n");
        assert_eq!(found, status, "{request}: {answer}");
        assert!(
            answer.ends_with(&format!(r#"{{"error":"{error}"}}"#)),
            "{answer}"
        );
    }
    let (status, answer) = ask(&site, "GET /", "");
    assert_eq!(status, 200);
    assert!(
        answer.contains("content-security-policy: default-src 'none'"),
        "{answer}"
    );
}

/// Whether the peer closes: end of file or a reset, within our patience.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

#[test]
fn clients_that_hold_connections_lose_them_and_others_come_through() {
    let site = site("max_connections = 4\nread_timeout_s = 1");
    let address = site.admin.address();
    let mut silent = connect(address);
    let mut half = connect(address);
    half.write_all(b"GET /healthz HTTP/1.1\r\nx: ").unwrap();
    // One that asks and then stays: idle connections are closed as well.
    let mut idle = connect(address);
    idle.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
    // One that sends its head byte by byte, and never an end.
    let mut drip = connect(address);
    drip.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    let dripping = std::thread::spawn(move || {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if drip.write_all(b"x").is_err() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    });
    // All four places are taken, so that this one waits for one of them.
    assert_eq!(ask(&site, "GET /healthz", "").0, 200);
    for stream in [&mut silent, &mut half, &mut idle] {
        assert!(is_closed(stream));
    }
    assert!(dripping.join().unwrap(), "the dripping client was cut off");
}

#[test]
fn a_head_too_long_is_refused() {
    let site = site("");
    let mut stream = connect(site.admin.address());
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    // It may be closed before all of it is written.
    let _ = stream.write_all(long.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    assert_eq!(ask(&site, "GET /healthz", "").0, 200);
}

#[test]
fn stopping_does_not_wait_for_idle_clients() {
    let site = site("read_timeout_s = 3600");
    let mut idle = connect(site.admin.address());
    idle.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
    assert_ne!(idle.read(&mut [0; 1024]).unwrap(), 0);
    let began = Instant::now();
    drop(site);
    assert!(is_closed(&mut idle));
    assert!(began.elapsed() < PATIENCE);
}

#[test]
fn a_taken_address_is_told() {
    let site = site("");
    let text = format!("[admin]\nlisten = \"{}\"", site.admin.address());
    let config = Config::from_text(Path::new("g.toml"), &text).unwrap();
    let error = Admin::start(
        &config,
        site.control.clone(),
        Arc::new(PanKeys::from_bytes(&[7; 32])),
        Arc::new(Telemetry::new()),
        super::Shelf::default(),
    )
    .unwrap_err()
    .to_string();
    let expected = format!("admin: {}: Address already in use", site.admin.address());
    assert!(error.starts_with(&expected), "{error}");
}
