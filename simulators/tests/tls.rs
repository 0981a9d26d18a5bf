//! A terminal's line over TLS, with and without a certificate of its own.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use gapless_simulators::tls::TlsOptions;
use gapless_simulators::{ExchangeError, Network, Profile, Terminal, Till, wire};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use support::{answer, frame};

fn certificate(name: &str) -> CertifiedKey<KeyPair> {
    generate_simple_self_signed([name.to_owned()]).unwrap()
}

/// A host that serves one connection and one message, if the handshake succeeds.
fn host(
    own: &CertifiedKey<KeyPair>,
    client: Option<&CertifiedKey<KeyPair>>,
) -> (String, JoinHandle<()>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let mut roots = RootCertStore::empty();
            roots.add(client.cert.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let config = builder
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let session = ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = StreamOwned::new(session, socket);
        let mut prefix = [0; 2];
        if stream.read_exact(&mut prefix).is_err() {
            return;
        }
        let mut body = vec![0; usize::from(u16::from_be_bytes(prefix))];
        stream.read_exact(&mut body).unwrap();
        let request = wire::decode(&body).unwrap();
        stream.write_all(&frame(&answer(&request, "00"))).unwrap();
    });
    (address, thread)
}

fn write(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn echo(address: &str, options: &TlsOptions) -> Result<String, ExchangeError> {
    let till = Till::new(Profile::default());
    let mut terminal = Terminal::open(address, till, Terminal::TIMEOUT, Some(options))?;
    let request = terminal.till.network(Network::Echo).unwrap();
    let answer = terminal.exchange(&request)?;
    Ok(answer.response_code().unwrap_or_default().to_owned())
}

#[test]
fn an_exchange_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let own = certificate("switch.bank.test");
    let (address, thread) = host(&own, None);
    let options = TlsOptions {
        ca: write(folder.path(), "ca.pem", &own.cert.pem()),
        identity: None,
        server_name: "switch.bank.test".to_owned(),
    };
    assert_eq!(echo(&address, &options).unwrap(), "00");
    thread.join().unwrap();
}

#[test]
fn a_host_that_asks_who_we_are() {
    let folder = tempfile::tempdir().unwrap();
    let (own, client) = (
        certificate("switch.bank.test"),
        certificate("terminal.bank.test"),
    );
    let (address, thread) = host(&own, Some(&client));
    let options = TlsOptions {
        ca: write(folder.path(), "ca.pem", &own.cert.pem()),
        identity: Some((
            write(folder.path(), "cert.pem", &client.cert.pem()),
            write(
                folder.path(),
                "key.pem",
                &client.signing_key.serialize_pem(),
            ),
        )),
        server_name: "switch.bank.test".to_owned(),
    };
    assert_eq!(echo(&address, &options).unwrap(), "00");
    thread.join().unwrap();
}

#[test]
fn the_host_of_another_name_is_not_talked_to() {
    let folder = tempfile::tempdir().unwrap();
    let own = certificate("switch.bank.test");
    let (address, thread) = host(&own, None);
    let options = TlsOptions {
        ca: write(folder.path(), "ca.pem", &own.cert.pem()),
        identity: None,
        server_name: "other.bank.test".to_owned(),
    };
    let error = echo(&address, &options).unwrap_err();
    assert!(matches!(error, ExchangeError::Connect { .. }), "{error}");
    thread.join().unwrap();
}

#[test]
fn a_host_that_somebody_else_vouches_for_is_not_talked_to() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (
        certificate("switch.bank.test"),
        certificate("switch.bank.test"),
    );
    let (address, thread) = host(&own, None);
    let options = TlsOptions {
        ca: write(folder.path(), "ca.pem", &other.cert.pem()),
        identity: None,
        server_name: "switch.bank.test".to_owned(),
    };
    let error = echo(&address, &options).unwrap_err();
    assert!(matches!(error, ExchangeError::Connect { .. }), "{error}");
    thread.join().unwrap();
}

#[test]
fn files_that_are_no_pem_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let own = certificate("switch.bank.test");
    let (address, thread) = host(&own, None);
    let options = TlsOptions {
        ca: write(folder.path(), "ca.pem", "no certificate"),
        identity: None,
        server_name: "switch.bank.test".to_owned(),
    };
    let error = echo(&address, &options).unwrap_err();
    assert!(matches!(error, ExchangeError::Tls(_)), "{error}");
    assert!(
        error.to_string().contains("ca.pem: no certificate in it"),
        "{error}"
    );
    thread.join().unwrap();
}
