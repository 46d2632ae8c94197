//! Who a node is, as a certificate: a member of this cluster, under this id.
//!
//! Every node derives the same certificate authority from the cluster's secret, so none has to be
//! set up, and signs a certificate for a key that it makes when it starts. Both ends of a
//! connection show theirs, and the ordinary verifiers of the TLS library check them. Another secret
//! or another cluster is another authority, so such a handshake ends before any byte of ours is
//! exchanged.

use std::{fmt, sync::Arc};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, SanType, date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, ring::default_provider},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};
use thiserror::Error;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::{
    cluster::{keys::Keys, secret::encode},
    id::NodeId,
};

/// The certificates of one node, and the key that proves them its own.
pub(crate) struct Identity {
    authority: CertificateDer<'static>,
    leaf: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Makes the identity of `node`, as a member of the cluster with these keys.
    pub(crate) fn new(keys: &Keys, node: NodeId) -> Result<Self, IdentityError> {
        let authority_key = KeyPair::try_from(&ed25519_pkcs8(keys.authority()))?;
        let params = authority_params(keys.cluster());
        let authority = params.self_signed(&authority_key)?.der().clone();
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let leaf = leaf_params(keys.cluster(), node)?;
        let leaf = leaf.signed_by(&key, &Issuer::new(params, authority_key))?;
        Ok(Self {
            authority,
            leaf: leaf.der().clone(),
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        })
    }

    /// How this node answers handshakes.
    pub(super) fn server_config(&self) -> Result<QuicServerConfig, IdentityError> {
        let provider = Arc::new(default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(self.roots()?, provider.clone()).build()?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![self.leaf.clone()], self.key.clone_key())?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        Ok(QuicServerConfig::try_from(config).expect("TLS 1.3 has the suite that QUIC begins with"))
    }

    /// How this node begins handshakes.
    pub(super) fn client_config(&self) -> Result<QuicClientConfig, IdentityError> {
        let provider: Arc<CryptoProvider> = Arc::new(default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(vec![self.leaf.clone()], self.key.clone_key())?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        Ok(QuicClientConfig::try_from(config).expect("TLS 1.3 has the suite that QUIC begins with"))
    }

    /// The certificate of the cluster's authority.
    #[cfg(test)]
    pub(super) fn authority_for_tests(&self) -> CertificateDer<'static> {
        self.authority.clone()
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, IdentityError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone())?;
        Ok(Arc::new(roots))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// Who is at the other end of a connection, whose handshake must be over.
///
/// The handshake proved that it is a member; this reads which.
pub(crate) fn peer_identity(
    connection: &quinn::Connection,
    cluster: &str,
) -> Result<NodeId, PeerIdentityError> {
    let shown = connection.peer_identity().ok_or(PeerIdentityError::Missing)?;
    let shown = shown.downcast::<Vec<CertificateDer<'static>>>();
    let chain = shown.map_err(|_| PeerIdentityError::Missing)?;
    read_identity(chain.first().ok_or(PeerIdentityError::Missing)?, cluster)
}

/// Reads the id in a certificate. Accepts any bytes: what names no node is an error.
fn read_identity(leaf: &[u8], cluster: &str) -> Result<NodeId, PeerIdentityError> {
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| PeerIdentityError::Unreadable)?;
    let names = leaf.subject_alternative_name().map_err(|_| PeerIdentityError::Unreadable)?;
    let names = names.ok_or(PeerIdentityError::Nameless)?;
    let uri = names.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix(SCHEME),
        _ => None,
    });
    let (named, node) =
        uri.and_then(|uri| uri.split_once('/')).ok_or(PeerIdentityError::Nameless)?;
    if named != encode(cluster) {
        return Err(PeerIdentityError::OtherCluster);
    }
    node.parse().map_err(|_| PeerIdentityError::Nameless)
}

/// The authority's certificate, in which everything is fixed, so that every node makes the same.
fn authority_params(cluster: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(&format!("exosphere {cluster}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.serial_number = Some(1u64.into());
    set_lifetime(&mut params);
    params
}

fn leaf_params(cluster: &str, node: NodeId) -> Result<CertificateParams, IdentityError> {
    let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned()])?;
    let uri = format!("{SCHEME}{}/{node}", encode(cluster));
    params.distinguished_name = common_name(&node.to_string());
    params.subject_alt_names.push(SanType::URI(uri.try_into()?));
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    set_lifetime(&mut params);
    Ok(params)
}

/// Long enough that no clock, however wrong, matters: who may be a member is up to the secret.
fn set_lifetime(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// An Ed25519 key in the form that libraries read (RFC 8410, section 7).
fn ed25519_pkcs8(key: [u8; 32]) -> PrivatePkcs8KeyDer<'static> {
    const HEAD: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    [&HEAD[..], &key].concat().into()
}

/// Why a node has no certificates. It was not started, and trying again does not help.
#[derive(Debug, Error)]
pub(crate) enum IdentityError {
    /// The certificates could not be made.
    #[error("this node's certificate cannot be made")]
    Certificate(#[from] rcgen::Error),
    /// The certificates could not be used.
    #[error("this node's certificate cannot be used")]
    Tls(#[from] rustls::Error),
    /// The verifier of peers could not be made.
    #[error("the certificates of peers cannot be verified")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// Why a peer is nobody. Its connection is of no use, and dialing it again does not help.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum PeerIdentityError {
    /// The handshake is not over, or was without certificates.
    #[error("the peer showed no certificate")]
    Missing,
    /// The bytes are no certificate.
    #[error("the peer's certificate cannot be read")]
    Unreadable,
    /// The certificate is no node's.
    #[error("the peer's certificate names no node")]
    Nameless,
    /// The certificate is of a member of another cluster.
    #[error("the peer's certificate names another cluster")]
    OtherCluster,
}

/// The name that every node's certificate is valid for.
pub(crate) const SERVER_NAME: &str = "exosphere";

/// The major version of what is spoken on a connection between nodes.
const ALPN: &[u8] = b"exo/1";

const SCHEME: &str = "exo://";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::secret::Secret;

    fn keys(secret: u8, cluster: &str) -> Keys {
        Keys::derive(&Secret::from_bytes(vec![secret; 32]).unwrap(), cluster)
    }

    fn identity(secret: u8, cluster: &str, node: u64) -> Identity {
        Identity::new(&keys(secret, cluster), NodeId::from_bits(node)).unwrap()
    }

    #[test]
    fn every_node_derives_the_same_authority() {
        let (a, b) = (identity(1, "chat", 1), identity(1, "chat", 2));
        assert_eq!(a.authority, b.authority);
        assert_ne!(a.leaf, b.leaf);
        assert_ne!(a.authority, identity(2, "chat", 1).authority);
        assert_ne!(a.authority, identity(1, "game", 1).authority);
    }

    #[test]
    fn a_certificate_names_its_node_and_its_cluster() {
        for cluster in ["chat", "caf\u{e9} / 50%"] {
            let leaf = identity(1, cluster, 0xab).leaf;
            assert_eq!(read_identity(&leaf, cluster), Ok(NodeId::from_bits(0xab)));
            assert_eq!(read_identity(&leaf, "game"), Err(PeerIdentityError::OtherCluster));
        }
    }

    #[test]
    fn what_names_no_node_is_refused() {
        let authority = identity(1, "chat", 1).authority;
        assert_eq!(read_identity(b"junk", "chat"), Err(PeerIdentityError::Unreadable));
        assert_eq!(read_identity(&authority, "chat"), Err(PeerIdentityError::Nameless));
    }

    #[test]
    fn both_sides_of_a_handshake_can_be_configured() {
        let identity = identity(1, "chat", 1);
        assert!(identity.server_config().is_ok());
        assert!(identity.client_config().is_ok());
    }
}
