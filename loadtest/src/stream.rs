//! A connection's bytes, with or without TLS.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::Context as _;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How to speak TLS: whom to trust, and who the host must be.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// Trusts what the authority's PEM file has signed, expects this name (or
    /// address) in the certificate, and shows its own certificate if asked to.
    ///
    /// # Errors
    /// A file that cannot be read or has no certificate, with its path; a key
    /// that does not fit; a name that is none.
    pub fn new(authority: &Path, name: &str, own: Option<(&Path, &Path)>) -> anyhow::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in certificates(authority)? {
            roots
                .add(certificate)
                .with_context(|| authority.display().to_string())?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("TLS versions")?
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let secret =
                    PrivateKeyDer::from_pem_file(key).with_context(|| key.display().to_string())?;
                builder
                    .with_client_auth_cert(certificates(certificate)?, secret)
                    .with_context(|| key.display().to_string())?
            }
        };
        let name = ServerName::try_from(name.to_owned())
            .with_context(|| format!("{name:?} is no host name"))?;
        Ok(Self {
            config: Arc::new(config),
            name,
        })
    }
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .with_context(|| path.display().to_string())?
        .collect();
    let found = found.with_context(|| path.display().to_string())?;
    anyhow::ensure!(!found.is_empty(), "{}: no certificate", path.display());
    Ok(found)
}

/// A connection.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(crate) async fn connect(address: SocketAddr, tls: Option<&Tls>) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        match tls {
            None => Ok(Self::Plain(stream)),
            Some(tls) => TlsConnector::from(Arc::clone(&tls.config))
                .connect(tls.name.clone(), stream)
                .await
                .map(|stream| Self::Tls(Box::new(stream))),
        }
    }

    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    /// TLS keeps records back that the socket did not take.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }
}
