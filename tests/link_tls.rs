//! Links over TLS: the server's certificate, and the clients' where they need one.
#![allow(
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/desk.rs"]
mod desk;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use desk::{Peer, Server, framed, purchase};
use gapless::config::TlsConfig;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion, version,
};

/// An authority that signs for this test only.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn sign(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    fn pem(&self) -> String {
        self.0.pem()
    }
}

fn put(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path
}

/// A TLS link with a certificate for "localhost".
fn serve(dir: &Path, server: &Authority, clients: Option<&Authority>) -> Server {
    let identity = server.sign("localhost");
    let tls = TlsConfig {
        certificate: put(dir, "server.pem", &identity.certificate),
        key: put(dir, "server.key", &identity.key),
        client_ca: clients.map(|clients| put(dir, "clients.pem", &clients.pem())),
    };
    Server::start(|link| {
        link.tls = Some(tls);
        link.frame_timeout_s = 1;
    })
}

fn connect(
    server: &Server,
    trusted: &Authority,
    own: Option<Identity>,
    version: &'static SupportedProtocolVersion,
) -> Peer<StreamOwned<ClientConnection, TcpStream>> {
    use rustls::pki_types::pem::PemObject;
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(trusted.pem().as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = vec![CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    Peer {
        stream: StreamOwned::new(connection, server.connect().stream),
    }
}

#[test]
fn transactions_over_both_versions() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let server = serve(dir.path(), &authority, None);
    for version in [&version::TLS12, &version::TLS13] {
        let mut peer = connect(&server, &authority, None, version);
        let burst: Vec<u8> = (0..90).flat_map(|stan| framed(&purchase(stan))).collect();
        peer.send(&burst);
        for stan in 0..90 {
            assert_eq!(peer.answer(), (210, stan, 0));
        }
        peer.stream.conn.send_close_notify();
        peer.stream.flush().unwrap();
        peer.expect_end();
    }
    server.wait_for_count("gapless_connections_ended_total", "closed", 2);
}

#[test]
fn clients_are_asked_for_their_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let (authority, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let server = serve(dir.path(), &authority, Some(&clients));
    let known = Some(clients.sign("terminal"));
    let mut peer = connect(&server, &authority, known, &version::TLS13);
    peer.send(&framed(&purchase(1)));
    assert_eq!(peer.answer(), (210, 1, 0));

    for stranger in [None, Some(others.sign("terminal"))] {
        let mut peer = connect(&server, &authority, stranger, &version::TLS13);
        // In TLS 1.3 a client learns of the refusal when it reads.
        let _ = peer.stream.write_all(&framed(&purchase(2)));
        assert!(peer.stream.read_exact(&mut [0; 1]).is_err());
    }
    server.wait_for_count("gapless_connections_ended_total", "tls", 2);
    assert_eq!(server.desk.submitted(), 1);
    peer.send(&framed(&purchase(3)));
    assert_eq!(peer.answer(), (210, 3, 0));
}

#[test]
fn a_peer_that_never_says_hello_or_speaks_plainly_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let server = serve(dir.path(), &authority, None);
    let mut silent = server.connect();
    let mut plain = server.connect();
    plain.send(&framed(&purchase(1)));
    // An alert comes first.
    let mut alert = Vec::new();
    let _ = plain.stream.read_to_end(&mut alert);
    silent.expect_end();
    server.wait_for_count("gapless_connections_ended_total", "tls", 2);
    assert_eq!(server.desk.submitted(), 0);
}

/// The last answers of a connection that the link ends must arrive, and the end
/// be told from a cut wire.
#[test]
fn stopping_says_good_bye() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let server = serve(dir.path(), &authority, None);
    server.desk.hold();
    let mut peer = connect(&server, &authority, None, &version::TLS13);
    peer.send(&framed(&purchase(1)));
    server.desk.wait_for_submitted(1);
    server.stop();
    server.desk.release();
    assert_eq!(peer.answer(), (210, 1, 0));
    assert_eq!(peer.stream.read(&mut [0; 1]).unwrap(), 0, "a clean end");
}
