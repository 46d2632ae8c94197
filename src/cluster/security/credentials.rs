//! What a node has to show, once files were read and keys derived.

use ring::digest;

use super::{PkiError, PkiFiles, SecurityError};
use crate::cluster::{identity::Identity, keys::Keys, secret::Secret};

/// What a node shows to its peers, and seals what it says to everybody with.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) identity: Identity,
    /// The keys that all nodes have. The first seal, and what any has sealed is opened. There are
    /// none where there are certificates and no secret.
    pub(crate) shared: Vec<Keys>,
    /// The keys of this node's own port.
    pub(crate) own: Keys,
    /// The files to look after.
    pub(crate) files: Option<PkiFiles>,
}

impl Credentials {
    pub(super) fn of_secrets(secrets: &[Secret], cluster: &str) -> Result<Self, SecurityError> {
        let shared = derive(secrets, cluster);
        let identity = Identity::derive(&shared).map_err(PkiError::Made)?;
        let own = shared[0].clone();
        Ok(Self { identity, shared, own, files: None })
    }

    pub(super) fn of_files(
        files: &PkiFiles,
        sealing: &[Secret],
        cluster: &str,
    ) -> Result<Self, SecurityError> {
        let identity = files.load(cluster)?;
        // Nobody but this node, and those that have its certificate, can make them.
        let key = digest::digest(&digest::SHA256, identity.private_key());
        let own = Secret::from_bytes(key.as_ref().to_vec())?;
        let own = Keys::derive(&own, cluster);
        Ok(Self { identity, shared: derive(sealing, cluster), own, files: Some(files.clone()) })
    }
}

fn derive(secrets: &[Secret], cluster: &str) -> Vec<Keys> {
    secrets.iter().map(|secret| Keys::derive(secret, cluster)).collect()
}
