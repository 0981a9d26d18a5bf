//! TLS: only a host that the authority vouches for gets a message.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use clap::Parser;
use gapless_loadtest::cli::{Cli, Command};
use gapless_loadtest::open_loop::{self, Control, Outcome};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// An authority, written as a PEM file; and a host with a certificate of it that
/// sends back what it gets.
fn host(dir: &Path) -> SocketAddr {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["issuer.test".to_owned()])
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            thread::spawn(move || {
                let mut stream = StreamOwned::new(session, stream.unwrap());
                let mut bytes = [0; 4_096];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    if stream.write_all(&bytes[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn run(address: SocketAddr, authority: &Path, name: &str) -> Outcome {
    let Command::Run(arguments) = Cli::try_parse_from([
        "gapless-loadtest",
        "run",
        "--echo",
        "--target",
        &address.to_string(),
        "--requests",
        "200",
        "--connections",
        "2",
        "--in-flight",
        "4",
        "--tls-ca",
        authority.to_str().unwrap(),
        "--tls-name",
        name,
    ])
    .unwrap()
    .command
    else {
        panic!("run was asked for");
    };
    let plan = arguments.plan().unwrap();
    open_loop::run(&plan, &Control::new(&plan), |_| {}).unwrap()
}

#[test]
fn a_host_must_be_who_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let address = host(dir.path());
    let authority = dir.path().join("ca.pem");
    let outcome = run(address, &authority, "issuer.test");
    assert_eq!(outcome.sums.accepted, 200, "{:?}", outcome.wire);
    // Another name, and another authority.
    let other = tempfile::tempdir().unwrap();
    host(other.path());
    for (authority, name) in [
        (authority, "other.test"),
        (other.path().join("ca.pem"), "issuer.test"),
    ] {
        let outcome = run(address, &authority, name);
        assert_eq!((outcome.sums.sent(), outcome.sums.not_sent), (0, 200));
        let troubles = outcome.wire.troubles();
        assert!(
            troubles[0].0.contains("invalid peer certificate"),
            "{troubles:?}"
        );
    }
}
