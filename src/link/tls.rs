//! TLS on a link: the server's certificate, and the clients' if they need one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsConfig;

/// Why a link's TLS files can't be used. Shows nothing of a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read, or is no PEM of what it must hold.
    #[error("{path}: {why}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Certificate and key can't be used together, or the clients' authority is none.
    #[error("{certificate}: {why}", certificate = .certificate.display())]
    Unusable {
        /// The server's certificate.
        certificate: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// TLS 1.2 and 1.3 with this configuration.
pub(super) fn acceptor(config: &TlsConfig) -> Result<TlsAcceptor, TlsError> {
    let unusable = |why: &dyn std::fmt::Display| TlsError::Unusable {
        certificate: config.certificate.clone(),
        why: why.to_string(),
    };
    // Named here, so that nothing depends on a default of the whole process.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|why| unusable(&why))?;
    let builder = match &config.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|why| file(path, &why))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|why| file(path, &why))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = certificates(&config.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&config.key).map_err(|why| file(&config.key, &why))?;
    let server = builder
        .with_single_cert(chain, key)
        .map_err(|why| unusable(&why))?;
    Ok(TlsAcceptor::from(Arc::new(server)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|why| file(path, &why))?;
    if found.is_empty() {
        return Err(file(path, &"no certificate in it"));
    }
    Ok(found)
}

fn file(path: &Path, why: &dyn std::fmt::Display) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        why: why.to_string(),
    }
}
