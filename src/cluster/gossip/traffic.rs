//! How much gossip there is.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How much gossip there is, counted as it comes and goes.
#[derive(Debug, Default)]
pub(super) struct Counts {
    sent: AtomicU64,
    sent_bytes: AtomicU64,
    received: AtomicU64,
    received_bytes: AtomicU64,
}

impl Counts {
    pub(super) fn handle_sent(&self, bytes: usize) {
        self.sent.fetch_add(1, Relaxed);
        self.sent_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn handle_received(&self, bytes: usize) {
        self.received.fetch_add(1, Relaxed);
        self.received_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn read(&self) -> GossipTraffic {
        GossipTraffic {
            sent: self.sent.load(Relaxed),
            sent_bytes: self.sent_bytes.load(Relaxed),
            received: self.received.load(Relaxed),
            received_bytes: self.received_bytes.load(Relaxed),
        }
    }
}

/// How much gossip there was since the node was started, before it is compressed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct GossipTraffic {
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received: u64,
    pub(crate) received_bytes: u64,
}
