//! What shows that a node may be one of its cluster: a certificate, and who issues those of others.
//!
//! Most often every node derives the same certificate authority from the cluster's secret, so none
//! has to be set up, and signs a certificate for a key that it makes when it starts. Else both come
//! from files. Both ends of a connection show theirs, and the ordinary verifiers of the TLS library
//! check them. Another secret or another cluster is another authority, so such a handshake ends
//! before any byte of ours is exchanged.
//!
//! A certificate names a cluster and the role of a node in it. Which node it is, that node proves by
//! its [`node_key`](super::node_key).

use std::{fmt, sync::Arc};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, SanType, date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::{Resumption, WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::{CryptoProvider, ring::default_provider},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};
use thiserror::Error;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::cluster::{dice, keys::Keys, secret::encode};

/// The certificates that one node shows and accepts, and the key that proves them its own.
pub(crate) struct Identity {
    /// Who issues the certificates of nodes.
    authorities: Vec<CertificateDer<'static>>,
    /// The node's own certificate, and those that it takes to check it.
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Makes an identity for a node that has these keys: it shows what the first issue, and accepts
    /// what any do.
    pub(crate) fn derive(keys: &[Keys]) -> Result<Self, IdentityError> {
        let mut authorities = Vec::new();
        for keys in keys {
            let (_, authority) = authority(keys)?;
            authorities.push(authority);
        }
        let first = keys.first().ok_or(IdentityError::Empty)?;
        let (issuer, _) = authority(first)?;
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let leaf = leaf_params(first.cluster())?.signed_by(&key, &issuer)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Ok(Self { authorities, chain: vec![leaf.der().clone()], key })
    }

    /// The identity of these certificates, if a peer that has the same authorities would accept it
    /// for a node of `cluster`.
    pub(crate) fn check(
        authorities: Vec<CertificateDer<'static>>,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        cluster: &str,
    ) -> Result<Self, IdentityError> {
        let identity = Self { authorities, chain, key };
        let (leaf, others) = identity.chain.split_first().ok_or(IdentityError::Empty)?;
        let (roots, provider) = (identity.roots()?, provider());
        let server = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone());
        let name = ServerName::try_from(SERVER_NAME).expect("it is a name");
        server.build()?.verify_server_cert(leaf, others, &name, &[], UnixTime::now())?;
        let client = WebPkiClientVerifier::builder_with_provider(roots, provider);
        client.build()?.verify_client_cert(leaf, others, UnixTime::now())?;
        check_role(leaf, cluster)?;
        Ok(identity)
    }

    /// How this node answers handshakes.
    pub(super) fn server_config(&self) -> Result<QuicServerConfig, IdentityError> {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(self.roots()?, provider()).build()?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        Ok(QuicServerConfig::try_from(config).expect("TLS 1.3 has the suite that QUIC begins with"))
    }

    /// How this node begins handshakes.
    pub(super) fn client_config(&self) -> Result<QuicClientConfig, IdentityError> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        Ok(QuicClientConfig::try_from(config).expect("TLS 1.3 has the suite that QUIC begins with"))
    }

    /// The private key of the node's own certificate.
    pub(super) fn private_key(&self) -> &[u8] {
        self.key.secret_der()
    }

    /// The certificate of the cluster's first authority.
    #[cfg(test)]
    pub(super) fn authority_for_tests(&self) -> CertificateDer<'static> {
        self.authorities[0].clone()
    }

    /// The identity of a node that has these keys, but for what is changed in its certificate.
    #[cfg(test)]
    pub(super) fn for_tests(keys: &Keys, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (issuer, authority) = authority(keys).unwrap();
        let mut params = leaf_params(keys.cluster()).unwrap();
        change(&mut params);
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let chain = vec![params.signed_by(&key, &issuer).unwrap().der().clone()];
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Self { authorities: vec![authority], chain, key }
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, IdentityError> {
        let mut roots = RootCertStore::empty();
        for authority in &self.authorities {
            roots.add(authority.clone())?;
        }
        Ok(Arc::new(roots))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// Checks that who is at the other end of a connection, whose handshake must be over, is certified
/// to be a node of `cluster`.
pub(crate) fn check_peer(
    connection: &quinn::Connection,
    cluster: &str,
) -> Result<(), PeerIdentityError> {
    let shown = connection.peer_identity().ok_or(PeerIdentityError::Missing)?;
    let shown = shown.downcast::<Vec<CertificateDer<'static>>>();
    let chain = shown.map_err(|_| PeerIdentityError::Missing)?;
    check_role(chain.first().ok_or(PeerIdentityError::Missing)?, cluster)
}

/// Checks what a certificate is for. Accepts any bytes: what is no node's is an error.
fn check_role(leaf: &[u8], cluster: &str) -> Result<(), PeerIdentityError> {
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| PeerIdentityError::Unreadable)?;
    let names = leaf.subject_alternative_name().map_err(|_| PeerIdentityError::Unreadable)?;
    let names = names.ok_or(PeerIdentityError::Nameless)?;
    let mut roles = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) if uri.starts_with(SCHEME) => Some(*uri),
        _ => None,
    });
    let wanted = role(cluster);
    let first = roles.next().ok_or(PeerIdentityError::Nameless)?;
    match first == wanted || roles.any(|role| role == wanted) {
        true => Ok(()),
        false => Err(PeerIdentityError::OtherRole),
    }
}

/// What stands in the certificate of a node of `cluster`.
fn role(cluster: &str) -> String {
    format!("{SCHEME}{}/node", encode(cluster))
}

/// The authority of a secret, in which everything is fixed, so that every node makes the same.
fn authority(
    keys: &Keys,
) -> Result<(Issuer<'static, KeyPair>, CertificateDer<'static>), IdentityError> {
    let key = KeyPair::try_from(&ed25519_pkcs8(keys.authority()))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(&format!("exosphere {}", keys.cluster()));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.serial_number = Some(1u64.into());
    set_lifetime(&mut params);
    let certificate = params.self_signed(&key)?.der().clone();
    Ok((Issuer::new(params, key), certificate))
}

fn leaf_params(cluster: &str) -> Result<CertificateParams, IdentityError> {
    let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned()])?;
    params.serial_number = Some(u64::from_le_bytes(dice::bytes()).into());
    params.distinguished_name = common_name(&format!("node of {cluster}"));
    params.subject_alt_names.push(SanType::URI(role(cluster).try_into()?));
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

fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

/// Why a node has no certificates. Trying again does not help.
#[derive(Debug, Error)]
pub(crate) enum IdentityError {
    /// The certificates could not be made.
    #[error("this node's certificate cannot be made")]
    Certificate(#[from] rcgen::Error),
    /// There is neither a secret nor a certificate.
    #[error("there is no certificate")]
    Empty,
    /// The certificate is for something else.
    #[error(transparent)]
    Role(#[from] PeerIdentityError),
    /// The certificates could not be used.
    #[error("this node's certificate cannot be used")]
    Tls(#[from] rustls::Error),
    /// The verifier of peers could not be made.
    #[error("the certificates of peers cannot be verified")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// Why a certificate is no node's. A connection with who shows it is of no use, and dialing it again
/// does not help.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum PeerIdentityError {
    /// The handshake is not over, or was without certificates.
    #[error("no certificate was shown")]
    Missing,
    /// The bytes are no certificate.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// The certificate is no node's.
    #[error("the certificate has no URI of the form exo://CLUSTER/node")]
    Nameless,
    /// The certificate is of another cluster, or for another role.
    #[error("the certificate's URI names another cluster than this, or another role than `node`")]
    OtherRole,
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

    fn identity(secret: u8, cluster: &str) -> Identity {
        Identity::derive(&[keys(secret, cluster)]).unwrap()
    }

    #[test]
    fn every_node_derives_the_same_authority() {
        let (a, b) = (identity(1, "chat"), identity(1, "chat"));
        assert_eq!(a.authorities, b.authorities);
        assert_ne!(a.chain, b.chain);
        assert_ne!(a.authorities, identity(2, "chat").authorities);
        assert_ne!(a.authorities, identity(1, "game").authorities);
    }

    #[test]
    fn a_certificate_names_its_cluster_and_the_role_of_a_node() {
        for cluster in ["chat", "caf\u{e9} / 50%"] {
            let leaf = &identity(1, cluster).chain[0];
            assert_eq!(check_role(leaf, cluster), Ok(()));
            assert_eq!(check_role(leaf, "game"), Err(PeerIdentityError::OtherRole));
        }
    }

    #[test]
    fn one_of_several_roles_is_enough_and_another_is_not() {
        let leaf = |uris: &[&str]| {
            let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned()]).unwrap();
            let names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()));
            params.subject_alt_names.extend(names);
            let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
            params.self_signed(&key).unwrap().der().clone()
        };
        let role = |uris: &[&str]| check_role(&leaf(uris), "chat");
        assert_eq!(role(&["spiffe://x/y", "exo://chat/admin", "exo://chat/node"]), Ok(()));
        let other = Err(PeerIdentityError::OtherRole);
        for uri in ["exo://chat/admin", "exo://chat/node/", "exo://chat", "exo://chats/node"] {
            assert_eq!(role(&[uri]), other, "{uri}");
        }
        assert_eq!(role(&["spiffe://x/y"]), Err(PeerIdentityError::Nameless));
    }

    #[test]
    fn what_is_no_certificate_of_a_node_is_refused() {
        let authority = &identity(1, "chat").authorities[0];
        assert_eq!(check_role(b"junk", "chat"), Err(PeerIdentityError::Unreadable));
        assert_eq!(check_role(authority, "chat"), Err(PeerIdentityError::Nameless));
    }

    #[test]
    fn what_peers_would_refuse_is_refused_at_once() {
        let (ours, theirs) = (identity(1, "chat"), identity(2, "chat"));
        let check = |authorities: &Identity, cluster| {
            let Identity { chain, key, .. } = &ours;
            Identity::check(
                authorities.authorities.clone(),
                chain.clone(),
                key.clone_key(),
                cluster,
            )
        };
        assert!(check(&ours, "chat").is_ok());
        assert!(matches!(check(&theirs, "chat"), Err(IdentityError::Tls(_))));
        assert!(matches!(check(&ours, "game"), Err(IdentityError::Role(_))));
    }

    #[test]
    fn both_sides_of_a_handshake_can_be_configured() {
        let identity = Identity::derive(&[keys(1, "chat"), keys(2, "chat")]).unwrap();
        assert!(identity.server_config().is_ok());
        assert!(identity.client_config().is_ok());
    }
}
