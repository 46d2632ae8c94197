//! The key that a node makes when it starts. Its id is the fingerprint of that key.
//!
//! A certificate says that somebody may be a node of the cluster. Which of the nodes it is, it says
//! itself, in its greeting, and proves it: it signs what only the two ends of this very connection
//! know. So nobody can say to be another node, whatever certificates or secrets it has, and nobody
//! has to remember who was there before. To find a second key for an id takes 2^64 attempts.

use quinn::Connection;
use ring::{
    digest,
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};

use crate::{cluster::dice, id::NodeId, proto::wire::Proof};

/// The key of one node, which is new at each start.
#[derive(Debug)]
pub(crate) struct NodeKey(Ed25519KeyPair);

impl NodeKey {
    /// A new key.
    pub(crate) fn generate() -> Self {
        Self::from_seed(dice::bytes())
    }

    fn from_seed(seed: [u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed);
        Self(pair.expect("any 32 bytes are a private key"))
    }

    /// The id of the node that has this key.
    pub(crate) fn id(&self) -> NodeId {
        fingerprint(self.0.public_key().as_ref())
    }

    /// Proves to whoever is at the other end of a connection that this node is here.
    pub(super) fn prove(&self, binding: &Binding) -> Proof {
        let mut proof = [0; Proof::BYTES];
        let (key, signature) = proof.split_at_mut(32);
        key.copy_from_slice(self.0.public_key().as_ref());
        signature.copy_from_slice(self.0.sign(&binding.0).as_ref());
        Proof::from_bytes(proof)
    }
}

/// Who it is that proves, if it does.
pub(super) fn verify(proof: &Proof, binding: &Binding) -> Option<NodeId> {
    let key = UnparsedPublicKey::new(&ED25519, proof.key());
    key.verify(&binding.0, proof.signature()).ok()?;
    Some(fingerprint(proof.key()))
}

/// What only the two ends of a connection know, as one of them signs it.
pub(super) struct Binding([u8; 32]);

impl Binding {
    /// What is signed by the end of `connection` that dialed, or by the other. The two differ, so
    /// that nobody can be answered with its own proof.
    pub(super) fn of(connection: &Connection, dialed: bool) -> Self {
        let end: &[u8] = if dialed { b"dialed" } else { b"accepted" };
        let mut binding = [0; 32];
        connection
            .export_keying_material(&mut binding, EXPORTER, end)
            .expect("the handshake is over, and 32 bytes can be had");
        Self(binding)
    }
}

fn fingerprint(public_key: &[u8]) -> NodeId {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(FINGERPRINT);
    context.update(public_key);
    let digest = context.finish();
    let first = digest.as_ref().first_chunk().expect("a digest has 32 bytes");
    NodeId::from_bits(u64::from_be_bytes(*first))
}

/// What is exported from the connection to be signed (RFC 8446, section 7.5).
const EXPORTER: &[u8] = b"EXPORTER-exosphere-node";

/// What stands before a key when its fingerprint is taken.
const FINGERPRINT: &[u8] = b"exosphere node";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_proves_who_it_is_on_one_connection_and_no_other() {
        let key = NodeKey::from_seed([7; 32]);
        let (here, elsewhere) = (Binding([1; 32]), Binding([2; 32]));
        let proof = key.prove(&here);
        assert_eq!(verify(&proof, &here), Some(key.id()));
        assert_eq!(verify(&proof, &elsewhere), None);
        assert_ne!(key.id(), NodeKey::generate().id());
    }

    #[test]
    fn a_proof_that_was_touched_anywhere_is_none() {
        let (key, binding) = (NodeKey::from_seed([7; 32]), Binding([1; 32]));
        let proof = key.prove(&binding);
        let whole = [proof.key(), proof.signature()].concat();
        for at in 0..Proof::BYTES {
            let mut touched: [u8; Proof::BYTES] = whole.clone().try_into().unwrap();
            touched[at] ^= 1;
            assert_eq!(verify(&Proof::from_bytes(touched), &binding), None, "byte {at}");
        }
    }
}
