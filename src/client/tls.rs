//! TLS for clients: certificates from files, which are read again when they change.

use std::{path::PathBuf, sync::Arc};

use parking_lot::Mutex;
use rustls::{
    ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use crate::runtime::{Stamps, Tasks};

/// Where a certificate and its key are, as PEM.
///
/// Both files are read again when one of them changes, so that a certificate can be renewed while
/// clients are served: who connects from then on gets the new one. What cannot be used changes
/// nothing and is warned of; so first write the key, then the certificate, or replace both at once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsFiles {
    certificates: PathBuf,
    key: PathBuf,
}

impl TlsFiles {
    /// The node's certificate, followed by those that it takes to check it, and its key: PKCS#8,
    /// PKCS#1 or SEC1, not encrypted.
    pub fn new(certificates: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificates: certificates.into(), key: key.into() }
    }

    fn load(&self) -> Result<ServerConfig, TlsError> {
        let chain = CertificateDer::pem_file_iter(&self.certificates)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|source| TlsError::Pem { path: self.certificates.clone(), source })?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|source| TlsError::Pem { path: self.key.clone(), source })?;
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
        let mut config = builder.with_single_cert(chain, key)?;
        config.alpn_protocols = [HTTP2, HTTP1].map(<[u8]>::to_vec).to_vec();
        Ok(config)
    }

    fn stamps(&self) -> Stamps {
        Stamps::of([&*self.certificates, &*self.key])
    }
}

/// Why a certificate cannot be used. What was used before is used on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or holds no PEM of what it should. Another file helps.
    #[error("cannot read {path}: {source}", path = path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The certificate and the key are not of each other, or of a kind that is not known. Others
    /// help.
    #[error("cannot use the certificate: {0}")]
    Certificate(#[from] rustls::Error),
}

/// The certificate that is in use.
#[derive(Debug)]
pub(crate) struct Tls {
    files: TlsFiles,
    config: Mutex<Arc<ServerConfig>>,
}

impl Tls {
    /// The certificate of these files, and a task that looks after them until the node ends.
    pub(crate) fn watch(files: TlsFiles, tasks: &Tasks) -> Result<Arc<Self>, TlsError> {
        let stamps = files.stamps();
        let config = Mutex::new(Arc::new(files.load()?));
        let tls = Arc::new(Self { files, config });
        let (watched, ending) = (Arc::downgrade(&tls), tasks.clone());
        tasks.spawn(tracing::Span::current(), async move {
            let mut stamps = stamps;
            loop {
                tokio::select! {
                    biased;
                    () = ending.cancelled() => return,
                    () = ending.look_due() => {}
                }
                match watched.upgrade() {
                    Some(tls) => tls.look(&mut stamps),
                    None => return,
                }
            }
        });
        Ok(tls)
    }

    /// Who shakes hands with the next client, and offers it HTTP/2 or not.
    pub(crate) fn acceptor(&self, offers_http2: bool) -> TlsAcceptor {
        let config = Arc::clone(&self.config.lock());
        if offers_http2 {
            return TlsAcceptor::from(config);
        }
        let mut config = ServerConfig::clone(&config);
        config.alpn_protocols = vec![HTTP1.to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// Takes the files as they are, if they have changed.
    fn look(&self, stamps: &mut Stamps) {
        let now = self.files.stamps();
        if now == *stamps {
            return;
        }
        *stamps = now;
        match self.files.load() {
            Ok(config) => {
                *self.config.lock() = Arc::new(config);
                info!(path = %self.files.certificates.display(), "a new certificate is in use");
            }
            Err(error) => warn!(%error, "the certificate has changed, and the old one is used on"),
        }
    }
}

/// What is spoken over TLS (RFC 7301).
pub(super) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";
