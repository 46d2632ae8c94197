//! A link between two nodes.

use serde::{Deserialize, Serialize};

/// A link between two nodes, as one of them sees it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct LinkReport {
    /// The id of the node that says so.
    pub from: String,
    /// The id of its peer.
    pub to: String,
    /// Where the peer sends from.
    pub address: String,
    /// How long it takes to the peer and back, in microseconds.
    pub rtt_us: u64,
    /// How many operations of its journal the peer has not said to have stored.
    pub lag: u64,
    /// How many frames wait to be sent, those of the journal apart.
    pub queued: usize,
    /// Bytes sent, in datagrams.
    pub sent_bytes: u64,
    /// Bytes received, in datagrams.
    pub received_bytes: u64,
    /// Packets that were lost, and sent again.
    pub lost_packets: u64,
}
