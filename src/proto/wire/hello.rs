//! The frame that opens a link, and what two nodes must agree on.

use std::{fmt, net::SocketAddr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Proof;
use crate::{id::NodeId, proto::Position};

/// The versions of the protocol that a node speaks, both ends included.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ProtocolRange {
    /// The oldest.
    pub min: u16,
    /// The newest.
    pub max: u16,
}

impl ProtocolRange {
    /// What this version of the library speaks.
    pub const OURS: Self = Self { min: 1, max: 1 };

    /// The versions from `min` to `max`.
    pub const fn new(min: u16, max: u16) -> Self {
        Self { min, max }
    }

    /// Reads `min-max`.
    pub fn parse(text: &str) -> Option<Self> {
        let (min, max) = text.split_once('-')?;
        let range = Self { min: min.parse().ok()?, max: max.parse().ok()? };
        (range.min <= range.max).then_some(range)
    }

    /// The newest version that both speak.
    ///
    /// # Errors
    ///
    /// [`Refusal::Version`] if there is none.
    pub fn agree(self, other: Self) -> Result<u16, Refusal> {
        let version = self.max.min(other.max);
        match version >= self.min.max(other.min) {
            true => Ok(version),
            false => Err(Refusal::Version { ours: self, theirs: other }),
        }
    }
}

impl fmt::Display for ProtocolRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.min, self.max)
    }
}

impl Default for ProtocolRange {
    fn default() -> Self {
        Self::OURS
    }
}

/// The first frame on a link, both ways.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Hello {
    /// The versions that the sender speaks.
    pub protocol: ProtocolRange,
    /// The cluster that it is of.
    pub cluster: String,
    /// The sender, which must be who it proves to be.
    pub node: NodeId,
    /// Where it can be reached.
    pub addr: SocketAddr,
    /// What it has stored.
    pub have: Position,
    /// That it is who it says.
    pub proof: Proof,
}

impl Hello {
    /// What `node` of `cluster` says of itself.
    pub fn new(
        cluster: &str,
        node: NodeId,
        addr: SocketAddr,
        have: Position,
        proof: Proof,
    ) -> Self {
        let cluster = cluster.to_owned();
        Self { protocol: ProtocolRange::OURS, cluster, node, addr, have, proof }
    }

    /// The same of a node that speaks these versions.
    #[must_use]
    pub fn speaking(self, protocol: ProtocolRange) -> Self {
        Self { protocol, ..self }
    }

    /// Whether this node may talk with who sent `theirs`, and in which version. `proven` is who the
    /// proof of theirs is by, if it holds on this connection.
    ///
    /// # Errors
    ///
    /// [`Refusal`] says why not. The link is to be closed with [`Refusal::code`].
    pub fn meet(&self, theirs: &Self, proven: Option<NodeId>) -> Result<u16, Refusal> {
        if theirs.cluster != self.cluster {
            return Err(Refusal::Cluster { theirs: theirs.cluster.clone() });
        }
        if proven != Some(theirs.node) {
            return Err(Refusal::Identity { claimed: theirs.node });
        }
        if theirs.node == self.node {
            return Err(Refusal::Oneself);
        }
        self.protocol.agree(theirs.protocol)
    }
}

/// Why a link is refused. Nothing of the peer's was taken over.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// The peer is of another cluster. Trying again does not help.
    #[error("the peer is of the cluster {theirs:?}")]
    Cluster {
        /// Its cluster.
        theirs: String,
    },
    /// The peer is not who it says it is.
    #[error("the peer says that it is {claimed}, and does not prove it")]
    Identity {
        /// Who it says it is.
        claimed: NodeId,
    },
    /// The peer is this very node: it dialed its own address.
    #[error("the peer is this node itself")]
    Oneself,
    /// There is no version that both speak. Upgrading the older node helps.
    #[error("the peer speaks versions {}-{} of the protocol, this node {}-{}",
        theirs.min, theirs.max, ours.min, ours.max)]
    Version {
        /// What this node speaks.
        ours: ProtocolRange,
        /// What the peer speaks.
        theirs: ProtocolRange,
    },
}

impl Refusal {
    /// The code that the connection is closed with.
    pub fn code(&self) -> u32 {
        match self {
            Self::Version { .. } => 0x20,
            Self::Cluster { .. } => 0x21,
            Self::Identity { .. } => 0x22,
            Self::Oneself => 0x23,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nodes_speak_the_newest_version_that_both_know() {
        let range = ProtocolRange::new;
        assert_eq!(range(1, 3).agree(range(2, 5)), Ok(3));
        assert_eq!(range(2, 5).agree(range(1, 2)), Ok(2));
        assert!(range(3, 5).agree(range(1, 2)).is_err());
    }

    #[test]
    fn a_stranger_is_refused() {
        let (me, other) = (NodeId::from_bits(1), NodeId::from_bits(2));
        let addr = SocketAddr::from(([127, 0, 0, 1], 5701));
        let proof = Proof::from_bytes([7; Proof::BYTES]);
        let hello = |cluster, node| Hello::new(cluster, node, addr, Position::new(), proof);
        let mine = hello("chat", me);
        let proven = Some(other);
        assert_eq!(mine.meet(&hello("chat", other), proven), Ok(1));
        assert!(matches!(mine.meet(&hello("x", other), proven), Err(Refusal::Cluster { .. })));
        for proven in [None, Some(me)] {
            let claimed = mine.meet(&hello("chat", other), proven);
            assert_eq!(claimed, Err(Refusal::Identity { claimed: other }));
        }
        assert_eq!(mine.meet(&hello("chat", me), Some(me)), Err(Refusal::Oneself));
        let mut newer = hello("chat", other);
        newer.protocol = ProtocolRange::new(2, 9);
        assert!(matches!(mine.meet(&newer, proven), Err(Refusal::Version { .. })));
    }
}
