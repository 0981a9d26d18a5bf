//! TLS files, looked into before a port is bound: whether they are there, are
//! what they must be, and belong together.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::locate::{Source, at};
use super::{ConfigError, TlsConfig};

/// With whole paths. Shows nothing of a key.
pub(super) fn check(
    source: &Source<'_>,
    link: usize,
    tls: TlsConfig,
) -> Result<TlsConfig, ConfigError> {
    let wrong = |key: &str, what: String| source.error(at!["links", link, "tls", key], what);
    let certificate = source.folder().join(tls.certificate);
    let chain = certificates(&certificate).map_err(|what| wrong("certificate", what))?;
    let key = source.folder().join(tls.key);
    let private =
        PrivateKeyDer::from_pem_file(&key).map_err(|why| wrong("key", told(&key, &why)))?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain, private, &provider).map_err(|why| {
        wrong(
            "key",
            format!("{} with its certificate: {why}", key.display()),
        )
    })?;
    let client_ca = match tls.client_ca {
        None => None,
        Some(path) => {
            let path = source.folder().join(path);
            authority(&path).map_err(|what| wrong("client_ca", what))?;
            Some(path)
        }
    };
    Ok(TlsConfig {
        certificate,
        key,
        client_ca,
    })
}

fn authority(path: &Path) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|why| format!("{}: {why}", path.display()))?;
    }
    Ok(())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|why| told(path, &why))?;
    if found.is_empty() {
        return Err(format!("{}: no certificate in it", path.display()));
    }
    Ok(found)
}

fn told(path: &Path, why: &PemError) -> String {
    match why {
        PemError::Io(why) => format!("{} cannot be read: {why}", path.display()),
        why => format!("{}: {why}", path.display()),
    }
}
