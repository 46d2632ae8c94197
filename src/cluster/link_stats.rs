//! How a link does.

use std::{net::SocketAddr, time::Duration};

use quinn::Connection;

use crate::id::NodeId;

/// How the link to a peer does, as QUIC counts it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkStats {
    pub(crate) peer: NodeId,
    pub(crate) addr: SocketAddr,
    pub(crate) round_trip: Duration,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) lost_packets: u64,
}

impl LinkStats {
    pub(super) fn of(peer: NodeId, connection: &Connection) -> Self {
        let stats = connection.stats();
        Self {
            peer,
            addr: connection.remote_address(),
            round_trip: stats.path.rtt,
            sent_bytes: stats.udp_tx.bytes,
            received_bytes: stats.udp_rx.bytes,
            lost_packets: stats.path.lost_packets,
        }
    }
}
