//! A sighting: an address at which there may be a member of this cluster.

use std::net::SocketAddr;

use crate::id::NodeId;

/// An address worth dialing.
///
/// It is a hint, and may be wrong, old, repeated or our own: the handshake tells who is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Sighting {
    /// Who is said to be there, if that is known.
    pub(crate) node: Option<NodeId>,
    /// The address of the node's QUIC endpoint.
    pub(crate) addr: SocketAddr,
}
