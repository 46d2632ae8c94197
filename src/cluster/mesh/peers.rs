//! The peers that there are connections to.

use std::{collections::BTreeMap, net::SocketAddr};

use crate::{id::NodeId, proto::Position};

/// A connection to a peer, once both have said hello.
#[derive(Clone, Debug)]
pub(super) struct Established<C> {
    pub(super) connection: C,
    /// Tells this connection from all others of the process.
    pub(super) stable_id: usize,
    /// Which of the two nodes opened it.
    pub(super) initiator: NodeId,
    /// What the peer had stored when it said hello.
    pub(super) have: Position,
}

/// One peer.
#[derive(Debug)]
pub(super) struct Peer<C> {
    /// Where it says that it can be reached.
    pub(super) addr: SocketAddr,
    /// Its connections: the one to send on is the first.
    connections: Vec<Established<C>>,
}

/// The peers that there are connections to.
#[derive(Debug)]
pub(super) struct Peers<C>(BTreeMap<NodeId, Peer<C>>);

/// What to do now that the connections of a peer are others.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// Send on this connection from now on.
    SendOn(usize),
    /// Nothing else than before.
    Same,
    /// There is no connection left.
    Unlinked,
}

/// How many connections there may be to one peer. At the limit the oldest one is let go.
const MAX_CONNECTIONS: usize = 4;

impl<C> Default for Peers<C> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<C> Peers<C> {
    /// There is a new connection to `node`, which can be reached at `addr`.
    pub(super) fn add(
        &mut self,
        node: NodeId,
        addr: SocketAddr,
        established: Established<C>,
        own: NodeId,
    ) -> Next {
        let new = established.stable_id;
        let peer = self.0.entry(node).or_insert_with(|| Peer { addr, connections: Vec::new() });
        peer.addr = addr;
        // The newest of those that the lower id opened comes first: an older one may be dead.
        let is_preferred = established.initiator == own.min(node);
        let current = peer.connections.first();
        let rank = |other: &Established<C>| other.initiator == own.min(node);
        if current.is_none_or(|current| is_preferred || !rank(current)) {
            peer.connections.insert(0, established);
        } else {
            peer.connections.push(established);
        }
        peer.connections.truncate(MAX_CONNECTIONS);
        match peer.connections[0].stable_id == new {
            true => Next::SendOn(new),
            false => Next::Same,
        }
    }

    /// A connection is gone.
    pub(super) fn remove(&mut self, node: NodeId, stable_id: usize) -> Next {
        let Some(peer) = self.0.get_mut(&node) else {
            return Next::Same;
        };
        let first = peer.connections.first().map(|first| first.stable_id);
        peer.connections.retain(|established| established.stable_id != stable_id);
        match peer.connections.first().map(|first| first.stable_id) {
            None => {
                self.0.remove(&node);
                Next::Unlinked
            }
            now if now == first => Next::Same,
            Some(now) => Next::SendOn(now),
        }
    }

    /// The connection to send on, of a peer.
    pub(super) fn active(&self, node: NodeId) -> Option<&Established<C>> {
        self.0.get(&node)?.connections.first()
    }

    /// The connections of a peer that are not sent on.
    pub(super) fn spare(&self, node: NodeId) -> &[Established<C>] {
        self.0.get(&node).map_or(&[], |peer| &peer.connections[1..])
    }

    /// The connection to send on to whoever can be reached at `addr`.
    pub(super) fn at(&self, addr: SocketAddr) -> Option<&Established<C>> {
        self.0.values().find(|peer| peer.addr == addr)?.connections.first()
    }

    /// Whether there is a connection to `node`.
    pub(super) fn has(&self, node: NodeId) -> bool {
        self.0.contains_key(&node)
    }

    /// The peers and their addresses.
    pub(super) fn iter(&self) -> impl Iterator<Item = (NodeId, SocketAddr)> {
        self.0.iter().map(|(&node, peer)| (node, peer.addr))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn established(stable_id: usize, initiator: u64) -> Established<()> {
        let initiator = NodeId::from_bits(initiator);
        Established { connection: (), stable_id, initiator, have: Position::new() }
    }

    #[test]
    fn both_nodes_come_to_send_on_the_same_connection() {
        let (low, high) = (NodeId::from_bits(1), NodeId::from_bits(2));
        let addr = SocketAddr::from(([127, 0, 0, 1], 5701));
        for (own, peer) in [(low, high), (high, low)] {
            for order in [[10, 20], [20, 10]] {
                let mut peers = Peers::default();
                for id in order {
                    peers.add(peer, addr, established(id, (id / 10) as u64), own);
                }
                assert_eq!(peers.active(peer).map(|active| active.stable_id), Some(10));
                assert_eq!(peers.remove(peer, 20), Next::Same);
                assert_eq!(peers.remove(peer, 10), Next::Unlinked);
            }
        }
    }

    #[test]
    fn the_other_connection_takes_over() {
        let (own, peer) = (NodeId::from_bits(1), NodeId::from_bits(2));
        let addr = SocketAddr::from(([127, 0, 0, 1], 5701));
        let mut peers = Peers::default();
        assert_eq!(peers.add(peer, addr, established(20, 2), own), Next::SendOn(20));
        assert_eq!(peers.add(peer, addr, established(10, 1), own), Next::SendOn(10));
        assert_eq!(peers.add(peer, addr, established(21, 2), own), Next::Same);
        assert_eq!(peers.add(peer, addr, established(11, 1), own), Next::SendOn(11));
        assert_eq!(peers.remove(peer, 11), Next::SendOn(10));
    }
}
