//! What makes a node one of its cluster, as the application says it, and what comes of that.

mod credentials;
mod pki;

use std::{fmt, path::PathBuf};

use thiserror::Error;

use crate::cluster::secret::{InvalidSecret, Secret, SecretError};

pub(crate) use credentials::Credentials;
pub(crate) use pki::{PkiError, PkiFiles};

/// How the nodes of a cluster prove to each other that they are its nodes.
///
/// Whatever it is, nodes talk over TLS 1.3, both show a certificate, and no node can say to be
/// another that is there. Its debug form shows no secret.
///
/// # Examples
///
/// ```
/// use exosphere::{Node, Security};
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let secret = std::env::var("CHAT_SECRET")?;
/// let builder = Node::builder("chat").security(Security::secret(secret));
/// # drop(builder);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Security(Kind);

#[derive(Clone)]
enum Kind {
    Auto,
    Secrets(Vec<Source>),
    Pki { files: PkiFiles, sealing: Vec<Source> },
    Mixed(Mixed),
}

/// Where a secret comes from.
#[derive(Clone)]
enum Source {
    Bytes(Vec<u8>),
    File(PathBuf),
    Passphrase(String),
}

impl Security {
    /// What it is, in a word.
    pub(crate) fn name(&self) -> &'static str {
        match &self.0 {
            Kind::Auto => "auto",
            Kind::Secrets(_) => "secret",
            Kind::Pki { .. } | Kind::Mixed(_) => "pki",
        }
    }

    /// A secret of this user's on this machine, in a file that is made if it is missing:
    /// `$XDG_RUNTIME_DIR/exosphere/<cluster>.secret`, or, without that variable,
    /// `$HOME/.local/state/exosphere/<cluster>.secret`. The default.
    ///
    /// No other machine knows it, so a node that others can reach does not start with it.
    pub fn auto() -> Self {
        Self(Kind::Auto)
    }

    /// A secret that all nodes are given: 16 to 1,024 bytes, which must be random, as their
    /// certificates can be got by anybody who dials one, and tried against guesses.
    pub fn secret(secret: impl Into<Vec<u8>>) -> Self {
        Self(Kind::Secrets(vec![Source::Bytes(secret.into())]))
    }

    /// The same, in a file, all of whose bytes are the secret. Nobody but its owner may be able to
    /// read it. It is made, with a new secret, if it is missing.
    pub fn secret_file(path: impl Into<PathBuf>) -> Self {
        Self(Kind::Secrets(vec![Source::File(path.into())]))
    }

    /// A secret that all nodes are given, and that a person has chosen: at least 12 bytes.
    ///
    /// It is stretched by Argon2id (64 MiB of memory, 3 passes, 4 lanes), which takes a part of a
    /// second when the node starts. A good passphrase is still worth less than random bytes.
    pub fn passphrase(passphrase: impl Into<String>) -> Self {
        Self(Kind::Secrets(vec![Source::Passphrase(passphrase.into())]))
    }

    /// Certificates of an authority of yours, in files of PEM: those of the authorities whose nodes
    /// are let in; the node's own, followed by those that it takes to check it; and its key.
    ///
    /// A node's certificate is for the DNS name `exosphere` and the URI `exo://<cluster>/node`, and
    /// may be used by servers and clients. In the URI, what is no letter, digit, `-` or `_` is `%`
    /// and two digits. Several nodes may have the same certificate.
    ///
    /// The files are looked at every five seconds. What has changed is used from the next connection
    /// on, and if it cannot be used, which is warned of, what was used before still is. Certificates
    /// are not revoked: let them be valid for days, and renew them.
    pub fn pki(
        authorities: impl Into<PathBuf>,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        let files = PkiFiles::new(authorities.into(), certificate.into(), key.into());
        Self(Kind::Pki { files, sealing: Vec::new() })
    }

    /// Lets in who has the secret of `other`, too, so that a secret can be changed while the cluster
    /// runs: with the old one and accepting the new one, then with the new one and accepting the old
    /// one, then with the new one, restarting every node each time. A node may have four at most.
    ///
    /// For secrets only: a file of authorities may hold several.
    #[must_use]
    pub fn accepting(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Kind::Secrets(mut own), Kind::Secrets(others)) => {
                own.extend(others);
                Self(Kind::Secrets(own))
            }
            _ => Self(Kind::Mixed(Mixed::Accepting)),
        }
    }

    /// Where there are certificates, the secret that seals what everybody can see: beacons of
    /// [`Discovery::multicast`](crate::Discovery::multicast), and the cookies of
    /// [`Builder::browser_cookies`](crate::Builder::browser_cookies). It lets nobody in.
    #[must_use]
    pub fn sealing(self, secret: Self) -> Self {
        match (self.0, secret.0) {
            (Kind::Pki { files, .. }, Kind::Secrets(sealing)) => Self(Kind::Pki { files, sealing }),
            _ => Self(Kind::Mixed(Mixed::Sealing)),
        }
    }

    /// Whether nodes of other machines can have the same.
    pub(crate) fn is_shared(&self) -> bool {
        !matches!(self.0, Kind::Auto)
    }

    /// Reads the files and derives the keys. It may take a second, in which it does not return.
    pub(crate) fn load(&self, cluster: &str) -> Result<Credentials, SecurityError> {
        match &self.0 {
            Kind::Auto => {
                let secret = Secret::load_or_create(&Secret::default_path(cluster)?)?;
                Credentials::of_secrets(&[secret], cluster)
            }
            Kind::Secrets(sources) => {
                Credentials::of_secrets(&load_all(sources, cluster)?, cluster)
            }
            Kind::Pki { files, sealing } => {
                Credentials::of_files(files, &load_all(sealing, cluster)?, cluster)
            }
            Kind::Mixed(mixed) => Err((*mixed).into()),
        }
    }
}

impl Default for Security {
    fn default() -> Self {
        Self::auto()
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Auto => f.write_str("Security::auto()"),
            Kind::Secrets(secrets) => write!(f, "Security of {} secrets", secrets.len()),
            Kind::Pki { files, .. } => f.debug_tuple("Security").field(files).finish(),
            Kind::Mixed(mixed) => f.debug_tuple("Security").field(mixed).finish(),
        }
    }
}

impl Source {
    fn load(&self, cluster: &str) -> Result<Secret, SecurityError> {
        match self {
            Self::Bytes(bytes) => Ok(Secret::from_bytes(bytes.clone())?),
            Self::File(path) => Ok(Secret::load_or_create(path)?),
            Self::Passphrase(passphrase) => Ok(Secret::from_passphrase(passphrase, cluster)?),
        }
    }
}

fn load_all(sources: &[Source], cluster: &str) -> Result<Vec<Secret>, SecurityError> {
    match sources.len() {
        0..=MAX_SECRETS => sources.iter().map(|source| source.load(cluster)).collect(),
        count => Err(SecurityError::TooMany { count }),
    }
}

/// Two that do not go together.
#[derive(Clone, Copy, Debug, Error)]
pub(crate) enum Mixed {
    #[error("`accepting` is of a secret, and another secret")]
    Accepting,
    #[error("`sealing` is of certificates, and a secret")]
    Sealing,
}

/// Why a node has nothing to show. It was not started.
#[derive(Debug, Error)]
pub(crate) enum SecurityError {
    /// Trying again does not help.
    #[error("the secret that was given is none")]
    Given(#[from] InvalidSecret),
    /// Trying again does not help.
    #[error(transparent)]
    Mixed(#[from] Mixed),
    /// Trying again helps once the files are others.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// Its own says what helps.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Trying again does not help.
    #[error("{count} secrets were given, and a node may have {MAX_SECRETS}")]
    TooMany {
        /// How many.
        count: usize,
    },
}

/// How many secrets a node may have: one that it shows, and those that it accepts meanwhile.
const MAX_SECRETS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(security: &Security) -> String {
        security.load("chat").unwrap_err().to_string()
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let secret = || Security::secret([7; 16]);
        let pki = || Security::pki("ca", "certificate", "key");
        for security in [Security::auto(), pki()] {
            assert!(refused(&security.accepting(secret())).contains("accepting"));
        }
        assert!(refused(&secret().accepting(pki())).contains("accepting"));
        assert!(refused(&secret().sealing(secret())).contains("sealing"));
        assert!(refused(&pki().sealing(Security::auto())).contains("sealing"));
    }

    #[test]
    fn a_node_has_four_secrets_at_most_each_of_them_good() {
        let secrets = |count| {
            let first = Security::secret([0; 16]);
            (1..count).fold(first, |all, n| all.accepting(Security::secret([n; 16])))
        };
        assert_eq!(secrets(4).load("chat").unwrap().shared.len(), 4);
        assert!(refused(&secrets(5)).contains("5 secrets"));
        assert!(refused(&secrets(2).accepting(Security::secret([7; 15]))).contains("is none"));
    }

    #[test]
    fn no_secret_is_shown() {
        let security = Security::secret("0123456789abcdef").accepting(Security::passphrase("abc"));
        assert_eq!(format!("{security:?}"), "Security of 2 secrets");
    }
}
