//! Every key of a cluster, derived from its secret and its name.
//!
//! All nodes derive the same keys. A key is named by a label, so that none can be had from another,
//! and by the cluster, so that two clusters which share a secret share nothing else.

use std::{fmt, net::SocketAddr};

use ring::{
    aead::{CHACHA20_POLY1305, LessSafeKey, UnboundKey},
    hkdf::{HKDF_SHA256, KeyType, Prk, Salt},
    hmac,
};

use crate::cluster::secret::Secret;

/// The keys of a cluster. Its debug form shows none of them.
#[derive(Clone)]
pub(crate) struct Keys {
    cluster: String,
    root: Prk,
    beacon: LessSafeKey,
    tag: [u8; TAG_BYTES],
}

impl Keys {
    /// The keys of the cluster with this secret and this name.
    pub(crate) fn derive(secret: &Secret, cluster: &str) -> Self {
        let root = Salt::new(HKDF_SHA256, SALT).extract(secret.as_bytes());
        let beacon: [u8; 32] = expand(&root, cluster, b"beacon", b"");
        let beacon = UnboundKey::new(&CHACHA20_POLY1305, &beacon).expect("a key has 32 bytes");
        Self {
            cluster: cluster.to_owned(),
            beacon: LessSafeKey::new(beacon),
            tag: expand(&root, cluster, b"tag", b""),
            root,
        }
    }

    /// The name of the cluster.
    pub(crate) fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The key that seals beacons.
    pub(super) fn beacon(&self) -> &LessSafeKey {
        &self.beacon
    }

    /// What tells the cluster's beacons from others' before any of them is decrypted.
    pub(super) fn tag(&self) -> [u8; TAG_BYTES] {
        self.tag
    }

    /// The private key of the cluster's certificate authority.
    pub(super) fn authority(&self) -> [u8; 32] {
        self.expand(b"authority", b"")
    }

    /// The key of the stateless resets that a node at `addr` sends.
    ///
    /// A node that is restarted at the same address thus tells peers that its former self is gone.
    pub(super) fn reset(&self, addr: SocketAddr) -> hmac::Key {
        let key: [u8; 32] = self.expand(b"reset", addr.to_string().as_bytes());
        hmac::Key::new(hmac::HMAC_SHA256, &key)
    }

    /// The key that seals the cookies of browsers.
    pub(super) fn cookies(&self) -> [u8; 32] {
        self.expand(b"cookies", b"")
    }

    /// The key of the connection ids that a node at `addr` hands out.
    pub(super) fn connection_ids(&self, addr: SocketAddr) -> u64 {
        u64::from_le_bytes(self.expand(b"connection ids", addr.to_string().as_bytes()))
    }

    fn expand<const N: usize>(&self, label: &[u8], more: &[u8]) -> [u8; N] {
        expand(&self.root, &self.cluster, label, more)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// Derives a key. Labels hold no zero byte, so no two of them run into each other.
fn expand<const N: usize>(root: &Prk, cluster: &str, label: &[u8], more: &[u8]) -> [u8; N] {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let length = u32::try_from(cluster.len()).expect("a name is short").to_be_bytes();
    let mut key = [0; N];
    root.expand(&[label, b"\0", &length, cluster.as_bytes(), more], Length(N))
        .and_then(|okm| okm.fill(&mut key))
        .expect("a key is much shorter than what can be derived");
    key
}

/// The length of a cluster's tag.
pub(super) const TAG_BYTES: usize = 8;

const SALT: &[u8] = b"exosphere/v1";

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(secret: u8, cluster: &str) -> Keys {
        Keys::derive(&Secret::from_bytes(vec![secret; 32]).unwrap(), cluster)
    }

    #[test]
    fn the_same_secret_and_name_make_the_same_keys() {
        assert_eq!(keys(1, "chat").tag(), keys(1, "chat").tag());
        assert_eq!(keys(1, "chat").authority(), keys(1, "chat").authority());
    }

    #[test]
    fn another_secret_or_name_or_address_makes_other_keys() {
        let (a, b) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:11".parse().unwrap());
        assert_ne!(keys(1, "chat").tag(), keys(2, "chat").tag());
        assert_ne!(keys(1, "chat").authority(), keys(1, "chats").authority());
        assert_ne!(keys(1, "chat").connection_ids(a), keys(1, "chat").connection_ids(b));
        assert_ne!(keys(1, "x1").connection_ids(a), keys(1, "x").connection_ids(b));
    }

    #[test]
    fn keys_are_not_shown() {
        assert_eq!(format!("{:?}", keys(1, "chat")), "Keys { cluster: \"chat\", .. }");
    }
}
