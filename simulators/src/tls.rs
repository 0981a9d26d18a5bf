//! TLS for a terminal's line, from files in PEM.

use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use thiserror::Error;

pub(crate) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// Which certificates to trust and to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// PEM file with the authorities (or the very certificate) to trust. There
    /// is no default: a bank's host is not signed by a browser's authorities.
    pub ca: PathBuf,
    /// PEM files with our own certificate chain and its key, if the host asks.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name that the host's certificate must carry.
    pub server_name: String,
}

/// TLS options that cannot be used, or a handshake that failed.
#[derive(Debug, Error)]
pub enum TlsSetupError {
    /// A file is missing or holds no usable PEM.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The server name is neither a DNS name nor an address.
    #[error("{0:?} is not a server name")]
    ServerName(String),
    /// rustls refused the certificates.
    #[error("TLS: {0}")]
    Config(#[from] rustls::Error),
    /// The handshake failed.
    #[error("TLS: {0}")]
    Handshake(String),
}

impl TlsOptions {
    /// Makes the handshake. The socket's timeouts apply.
    pub(crate) fn open(&self, mut socket: TcpStream) -> Result<TlsStream, TlsSetupError> {
        let name = ServerName::try_from(self.server_name.clone())
            .map_err(|_| TlsSetupError::ServerName(self.server_name.clone()))?;
        let mut session = ClientConnection::new(Arc::new(self.config()?), name)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket).map_err(|e| {
                TlsSetupError::Handshake(match e.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                        "no handshake in time".to_owned()
                    }
                    _ => e.to_string(),
                })
            })?;
        }
        Ok(StreamOwned::new(session, socket))
    }

    fn config(&self) -> Result<ClientConfig, TlsSetupError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca)? {
            roots.add(certificate)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => {
                let key_der = PrivateKeyDer::from_pem_file(key).map_err(|e| unusable(key, &e))?;
                Ok(builder.with_client_auth_cert(certificates(chain)?, key_der)?)
            }
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsSetupError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| unusable(path, &e))?;
    if found.is_empty() {
        return Err(unusable(path, &"no certificate in it"));
    }
    Ok(found)
}

fn unusable(path: &Path, reason: &dyn ToString) -> TlsSetupError {
    TlsSetupError::File {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
