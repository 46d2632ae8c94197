//! Certificates from files, which are read again when they change.

use std::path::{Path, PathBuf};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject};
use thiserror::Error;

use crate::{
    cluster::identity::{Identity, IdentityError},
    runtime::Stamps,
};

/// Where certificates and a key are, as PEM.
#[derive(Clone, Debug)]
pub(crate) struct PkiFiles {
    authorities: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl PkiFiles {
    pub(super) fn new(authorities: PathBuf, certificate: PathBuf, key: PathBuf) -> Self {
        Self { authorities, certificate, key }
    }

    /// Reads the files. What is in them is fit for a node of `cluster`, today.
    pub(crate) fn load(&self, cluster: &str) -> Result<Identity, PkiError> {
        let authorities = certificates(&self.authorities)?;
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|source| PkiError::Pem { path: self.key.clone(), source })?;
        let unfit = |source| PkiError::Unfit { path: self.certificate.clone(), source };
        let identity = Identity::check(authorities, chain, key, cluster).map_err(unfit)?;
        // Whether the key is of that certificate.
        identity.server_config().map_err(unfit)?;
        Ok(identity)
    }

    /// When the files were changed last.
    pub(crate) fn stamps(&self) -> Stamps {
        Stamps::of([&*self.authorities, &*self.certificate, &*self.key])
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let read: Vec<_> = read.map_err(|source| PkiError::Pem { path: path.into(), source })?;
    match read.is_empty() {
        true => Err(PkiError::Pem { path: path.into(), source: pem::Error::NoItemsFound }),
        false => Ok(read),
    }
}

/// Why there is no certificate.
#[derive(Debug, Error)]
pub(crate) enum PkiError {
    /// Trying again does not help.
    #[error("no certificate can be made of the secret")]
    Made(#[source] IdentityError),
    /// Trying again helps once the file is another.
    #[error("cannot read {}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// Trying again helps once the certificate is another.
    #[error("no node of this cluster would accept the certificate in {}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: IdentityError,
    },
}
