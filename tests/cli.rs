//! The command line: exit statuses, and what is told where.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn gapless(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gapless"));
    command.args(arguments).current_dir(folder);
    command.stdin(Stdio::null());
    command
}

/// Exit status, standard output, standard error.
fn run_in(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    told(&gapless(folder, arguments).output().unwrap())
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    run_in(Path::new(env!("CARGO_MANIFEST_DIR")), arguments)
}

fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code().expect("ended by itself"),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn a_wrong_command_line_is_64() {
    for arguments in [
        &["--nonsense"][..],
        &["nonsense"],
        &["serve", "more"],
        &["check-config"],
        &["dump"],
        &["health", "--url", "ftp://x"],
        &["health", "--url", "http://127.0.0.1/"],
        &["make-certs"],
        &["night"],
        &["night", "cutover"],
        &["night", "seal", "2026-03-15", "--posted", "KRW:1"],
        &[
            "night",
            "seal",
            "2026-03-15",
            "--posted",
            "KRW:1:5",
            "--posted",
            "KRW:1:5",
        ],
        &["night", "status", "--url", "ftp://x"],
        &["--config", "x", "check-config", "y"],
    ] {
        let (status, out, err) = run(arguments);
        assert_eq!((status, out.as_str()), (64, ""), "{arguments:?}: {err}");
        assert!(!err.is_empty());
    }
    for arguments in [&["--help"][..], &["--version"], &["dump", "--help"]] {
        let (status, out, err) = run(arguments);
        assert_eq!((status, err.as_str()), (0, ""), "{arguments:?}");
        assert!(!out.is_empty());
    }
}

#[test]
fn check_config_says_what_a_file_amounts_to() {
    let (status, out, err) = run(&["check-config", "config/gapless.toml"]);
    assert_eq!((status, err.as_str()), (0, ""));
    let expected = "config/gapless.toml is right
  bank     Asia/Seoul, accounts in KRW, USD
  data     data, demo data from config/demo when it is new
  admin    127.0.0.1:8580 without a token
  link     pos-ascii 127.0.0.1:8583 iso87-ascii Binary2 own terminals
  link     pos-bcd 127.0.0.1:8584 iso87-bcd Binary2 TPDU own terminals
  link     pos-hex 127.0.0.1:8585 iso87-ascii-hex Binary2 own terminals
";
    assert_eq!(out, expected);
}

/// One line with file, line and key; status 64; no port bound, no folder made.
#[test]
fn a_wrong_configuration_is_64_before_anything_happens() {
    let folder = tempfile::tempdir().unwrap();
    // Taken: a daemon that got as far as binding would tell of it.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!(
        "[[links]]\nname = \"a\"\nlisten = \"{}\"\ndialect = \"iso88\"\n",
        taken.local_addr().unwrap()
    );
    fs::write(folder.path().join("g.toml"), text).unwrap();
    for arguments in [
        &["check-config", "g.toml"][..],
        &["--config", "g.toml"],
        &["serve", "--config", "g.toml", "--data-dir", "elsewhere"],
    ] {
        let (status, out, err) = run_in(folder.path(), arguments);
        assert_eq!((status, out.as_str()), (64, ""), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
        let begin = "gapless: g.toml:4: links[0].dialect: unknown dialect \"iso88\"";
        assert!(err.starts_with(begin), "{err}");
    }
    let (status, _, err) = run_in(folder.path(), &[]);
    assert_eq!(status, 64);
    assert_eq!(
        err,
        "gapless: config/gapless.toml: cannot be read: No such file or directory (os error 2)\n"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// An 0800 echo of iso87-ascii: bitmaps binary, DE 7, 11, 70.
const ECHO: &str =
    "30383030 8220000000000000 0400000000000000 31313232313032303330 303030303432 333031";

#[test]
fn dump_shows_a_message_field_by_field() {
    let (status, out, err) = run(&["dump", ECHO, "--dialect", "iso87-ascii"]);
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "MTI 0800  iso87-ascii");
    let values: Vec<(&str, &str)> = lines[1..]
        .iter()
        .map(|line| {
            (
                line.split_whitespace().next().unwrap(),
                line.rsplit(' ').next().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        values,
        [("7", "[1122102030]"), ("11", "[000042]"), ("70", "[301]")]
    );

    // The same with its length and a TPDU in front.
    let bare: String = ECHO.split_whitespace().collect();
    let framed = format!("{:04x}6000010002{bare}", bare.len() / 2 + 5);
    let (status, again, _) = run(&["dump", &framed, "--framed", "--tpdu"]);
    assert_eq!((status, &again), (0, &out));
    let framed = format!("{:04x}{bare}", bare.len() / 2 + 2);
    let (status, again, _) = run(&["dump", &framed, "--framed=binary2", "--inclusive"]);
    assert_eq!((status, &again), (0, &out));

    // From standard input.
    let mut child = gapless(Path::new("."), &["dump", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(ECHO.as_bytes())
        .unwrap();
    assert_eq!(told(&child.wait_with_output().unwrap()).1, out);
}

#[test]
fn dump_tells_of_damage_and_shows_no_card() {
    // An 0200 with DE 2, 3 and a DE 4 that is cut off.
    let pan = "9410000000000005";
    let digits: String = pan.bytes().map(|b| format!("{b:02x}")).collect();
    let damaged = format!("303230307000000000000000 3136{digits} 303030303030 3030");
    let (status, out, err) = run(&["dump", &damaged]);
    assert_eq!(status, 65);
    assert!(
        out.starts_with("MTI 0200") && out.contains("941000"),
        "{out}"
    );
    assert!(
        err.starts_with("gapless: ") && err.contains("DE 4, offset 36"),
        "{err}"
    );
    for text in [&out, &err] {
        assert!(
            !text.contains(pan) && !text.contains("000000000005"),
            "{text}"
        );
    }
    for (arguments, error) in [
        (
            &["dump", "303"][..],
            "FRAMEHEX: an even number of hexadecimal digits expected",
        ),
        (
            &["dump", "xy"],
            "FRAMEHEX: an even number of hexadecimal digits expected",
        ),
        (
            &["dump", "0000", "--framed"],
            "a keep-alive: there is no message in it",
        ),
        (
            &["dump", "000530", "--framed"],
            "the frame ends early: at least 4 bytes are missing",
        ),
        (
            &["dump", "00013030", "--framed"],
            "1 bytes follow the frame",
        ),
    ] {
        let (status, out, err) = run(arguments);
        assert_eq!((status, out.as_str()), (65, ""));
        assert_eq!(err, format!("gapless: {error}\n"));
    }
    let (status, _, err) = run(&["dump", "00", "--dialect", "iso88"]);
    assert!(
        status == 64 && err.contains("unknown dialect \"iso88\""),
        "{err}"
    );
}

#[test]
fn health_is_0_or_1() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        for answer in [
            "200 OK\r\ncontent-length: 15\r\n\r\n{\"status\":\"ok\"}",
            "503 Service Unavailable\r\n\r\n{\"error\":\n\"recovering\"}",
            "nonsense",
        ] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = String::new();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            while !head.ends_with("\r\n\r\n") {
                assert_ne!(lines.read_line(&mut head).unwrap(), 0);
            }
            assert!(head.starts_with("GET /readyz HTTP/1.1\r\n"), "{head}");
            write!(stream, "HTTP/1.1 {answer}").unwrap();
        }
    });
    let url = format!("http://{address}/readyz");
    assert_eq!(
        run(&["health", "--url", &url]),
        (0, "{\"status\":\"ok\"}\n".to_owned(), String::new())
    );
    let (status, _, err) = run(&["health", "--url", &url]);
    assert_eq!(status, 1);
    assert!(
        err.ends_with("status \"503\": {\"error\": \"recovering\"}\n"),
        "{err}"
    );
    assert_eq!(run(&["health", "--url", &url]).0, 1);
    server.join().unwrap();
    // Nobody listens there any more.
    assert_eq!(run(&["health", "--url", &url]).0, 1);
}

#[test]
fn night_is_0_or_65_with_the_dates_as_they_are() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), "a-token-for-tests\n").unwrap();
    let frozen = r#""phase":"frozen","closing":"2026-03-15","opening":"2026-03-16"}"#;
    let exchanges = [
        (
            &["status"][..],
            "GET /v1/business-date HTTP/1.1",
            "",
            "200 OK\r\n\r\n{}".to_owned(),
            (0, "{}\n", String::new()),
        ),
        (
            &["cutover", "2026-03-15", "--token-file", "token"],
            "POST /v1/business-date/cutover HTTP/1.1",
            r#"{"date":"2026-03-15"}"#,
            "200 OK\r\n\r\n{}".to_owned(),
            (0, "{}\n", String::new()),
        ),
        (
            &["freeze", "2026-03-16"],
            "POST /v1/business-date/freeze HTTP/1.1",
            r#"{"date":"2026-03-16"}"#,
            format!("409 Conflict\r\n\r\n{{\"error\":\"no\",{frozen}"),
            (
                65,
                "",
                "gapless: no (open are 2026-03-15, frozen, and 2026-03-16)\n".to_owned(),
            ),
        ),
        (
            &[
                "seal",
                "2026-03-15",
                "--posted",
                "KRW:2:-7",
                "--posted",
                "USD:1:5",
            ],
            "POST /v1/business-date/seal HTTP/1.1",
            r#"{"date":"2026-03-15","entries":{"KRW":2,"USD":1},"sum_minor":{"KRW":-7,"USD":5}}"#,
            "503 Busy\r\n\r\nbusy".to_owned(),
            (
                1,
                "",
                format!("gapless: {url}/v1/business-date/seal: status \"503\": busy\n"),
            ),
        ),
    ];
    for (arguments, first, body, answer, expected) in exchanges {
        let (told, head) = std::thread::scope(|scope| {
            let server = scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    assert_ne!(lines.read_line(&mut head).unwrap(), 0);
                }
                let mut asked = vec![0; body.len()];
                lines.read_exact(&mut asked).unwrap();
                assert_eq!(String::from_utf8(asked).unwrap(), body);
                write!(stream, "HTTP/1.1 {answer}").unwrap();
                head
            });
            let all = [&["night"], arguments, &["--url", &url]].concat();
            (run_in(folder.path(), &all), server.join().unwrap())
        });
        assert!(head.starts_with(first), "{head}");
        let with_token = head.contains("Authorization: Bearer a-token-for-tests\r\n");
        assert_eq!(with_token, arguments.contains(&"token"), "{head}");
        let (status, out, err) = expected;
        assert_eq!(told, (status, out.to_owned(), err));
    }
}

#[test]
fn make_certs_makes_a_server_and_a_client_that_the_ca_vouches_for() {
    let folder = tempfile::tempdir().unwrap();
    let (status, out, err) = run_in(
        folder.path(),
        &[
            "make-certs",
            "--out",
            "certs",
            "--host",
            "pos.example",
            "--host",
            "10.0.0.1",
        ],
    );
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(out.lines().count(), 6);
    let certs = folder.path().join("certs");
    for (name, mode) in [("ca", 0o600), ("server", 0o600), ("client", 0o600)] {
        let key = certs.join(format!("{name}.key"));
        let metadata = fs::metadata(key).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{name}");
    }
    handshake(&certs, "pos.example");
    handshake(&certs, "10.0.0.1");

    let before = fs::read(certs.join("ca.key")).unwrap();
    let (status, _, err) = run_in(folder.path(), &["make-certs", "--out", "certs"]);
    assert_eq!(status, 1);
    assert!(err.contains("File exists"), "{err}");
    assert_eq!(
        fs::read(certs.join("ca.key")).unwrap(),
        before,
        "never overwritten"
    );
}

/// A TLS handshake in memory, both sides asking for the other's certificate.
fn handshake(certs: &Path, host: &str) {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use std::sync::Arc;
    let certificate = |name: &str| {
        vec![CertificateDer::from_pem_file(certs.join(format!("{name}.pem"))).unwrap()]
    };
    let key = |name: &str| PrivateKeyDer::from_pem_file(certs.join(format!("{name}.key"))).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate("ca").remove(0)).unwrap();
    let roots = Arc::new(roots);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::clone(&roots),
        Arc::clone(&provider),
    )
    .build()
    .unwrap();
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificate("server"), key("server"))
        .unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(certificate("client"), key("client"))
        .unwrap();
    let mut server = rustls::ServerConnection::new(Arc::new(server)).unwrap();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(client), name).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &wire[..]).unwrap();
        server.process_new_packets().unwrap();
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut &wire[..]).unwrap();
        client.process_new_packets().unwrap();
    }
    assert_eq!(server.peer_certificates().unwrap().len(), 1);
}

/// The daemon as a process; killed when the test fails.
struct Daemon {
    child: Child,
    admin: SocketAddr,
}

impl Daemon {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = gapless(folder, arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = Vec::new();
        while told.last().is_none_or(|line| line != "ready") {
            let Some(line) = lines.next() else {
                panic!("not ready: {told:?} {:?}", child.wait_with_output());
            };
            told.push(line.unwrap());
        }
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(
            told[0].starts_with("listening link=pos addr=127.0.0.1:"),
            "{told:?}"
        );
        let admin = told[1].strip_prefix("listening admin addr=").unwrap();
        let admin = admin.parse().unwrap();
        Self { child, admin }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Exit status and log.
    fn ended(mut self) -> (Option<i32>, String) {
        let mut log = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut log)
            .unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_config(folder: &Path, more: &str) {
    let text = format!(
        "[engine]\naccounts = 1_024\ncards = 1_024\nremembered_transactions = 1_024\n\
         [journal]\nsegment_mib = 4\n[admin]\nlisten = \"127.0.0.1:0\"\n{more}\n\
         [[links]]\nname = \"pos\"\nlisten = \"127.0.0.1:0\"\ndialect = \"iso87-ascii\"\n"
    );
    fs::write(folder.join("g.toml"), text).unwrap();
}

fn verify(folder: &Path) -> (i32, String, String) {
    run_in(folder, &["verify", "--data-dir", "here/data"])
}

#[test]
fn verify_tells_when_there_is_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (status, out, err) = verify(folder.path());
    assert_eq!((status, out.as_str()), (1, ""));
    assert_eq!(
        err,
        "gapless: here/data: there is no journal in here/data/journal\n"
    );
}

#[test]
fn it_serves_until_a_signal_and_stops_with_0() {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path(), "[log]\nformat = \"json\"");
    let arguments = ["--config", "g.toml", "--data-dir", "here/data"];
    for signal in [Signal::TERM, Signal::INT] {
        let daemon = Daemon::start(folder.path(), &arguments);
        let url = format!("http://{}/readyz", daemon.admin);
        assert_eq!(run(&["health", "--url", &url]).0, 0);
        let (status, _, err) = verify(folder.path());
        assert!(status == 1 && err.contains("a running daemon has"), "{err}");
        // A client that is connected and silent does not hold it up.
        let mut idle = TcpStream::connect(daemon.admin).unwrap();
        idle.set_read_timeout(Some(PATIENCE)).unwrap();
        daemon.signal(signal);
        let (status, log) = daemon.ended();
        assert_eq!(status, Some(0), "{log}");
        assert!(log.contains("draining"), "{log}");
        assert!(
            log.lines().all(|line| line.starts_with('{')),
            "JSON lines: {log}"
        );
        assert_eq!(idle.read(&mut [0; 1]).unwrap_or(0), 0);
    }
    let (status, out, err) = verify(folder.path());
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("recomputed from the first event"), "{out}");
    assert!(folder.path().join("here/data").is_dir());
    assert!(
        !folder.path().join("data").exists(),
        "the flag wins over the file"
    );
}

#[test]
fn bounds_below_what_is_stored_are_64_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--config", "g.toml", "--data-dir", "here/data"];
    let currencies = "[bank]\ncurrencies = [\"KRW\", \"USD\", \"EUR\", \"JPY\", \"GBP\"]";
    let write = |accounts: &str| {
        write_config(folder.path(), currencies);
        let file = folder.path().join("g.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, text.replacen("1_024", accounts, 1)).unwrap();
    };
    let start_and_stop = || {
        let daemon = Daemon::start(folder.path(), &arguments);
        daemon.signal(Signal::TERM);
        let (status, log) = daemon.ended();
        assert_eq!(status, Some(0), "{log}");
        assert!(!log.contains("set aside"), "{log}");
    };
    write("1_024");
    start_and_stop();
    write("16");
    let (status, out, err) = run_in(folder.path(), &arguments);
    assert_eq!((status, out.as_str()), (64, ""), "{err}");
    assert_eq!(
        err.lines().last(),
        Some("gapless: g.toml:2: engine.accounts: more accounts are stored than the configured 16"),
        "{err}"
    );
    write("1_024");
    start_and_stop();
}

#[test]
fn a_port_that_is_taken_is_1_and_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    write_config(folder.path(), "[log]\nlevel = \"off\"");
    let text = fs::read_to_string(folder.path().join("g.toml")).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    fs::write(
        folder.path().join("g.toml"),
        text.replacen("127.0.0.1:0", &address, 1),
    )
    .unwrap();
    let (status, out, err) = run_in(folder.path(), &["--config", "g.toml"]);
    assert_eq!((status, out.as_str()), (1, ""));
    assert_eq!(
        err,
        format!("gapless: admin: {address}: Address already in use (os error 98)\n")
    );
}
