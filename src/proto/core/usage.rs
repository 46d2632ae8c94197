//! How much a node holds.

use super::Core;

/// How much a node holds at a moment, for those who watch it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Usage {
    /// Messages, in all topics.
    pub messages: usize,
    /// What all messages cost together, in bytes.
    pub log_bytes: usize,
    /// Messages of which it is remembered how they ended.
    pub ended: usize,
    /// The most operations that are kept of any journal.
    pub tail_ops: usize,
    /// The most requests that wait for any peer.
    pub requests: usize,
    /// The most frames of a snapshot that wait for any peer.
    pub snapshot_frames: usize,
    /// The most parts of a snapshot that have come from any peer, and wait for the rest.
    pub arriving_parts: usize,
    /// The most reports of any peer that speak of operations which are still to come.
    pub held_reports: usize,
    /// What is remembered to have happened to sessions: how many things.
    pub remembered: usize,
    /// What is remembered of deliveries: how many, and how many confirmations.
    pub remembered_deliveries: usize,
}

impl Core {
    /// How much this node holds.
    pub fn usage(&self) -> Usage {
        let topics = self.replica.topics();
        let (messages, log_bytes) = (topics.messages(), topics.bytes());
        let mut usage = Usage { messages, log_bytes, ..Usage::default() };
        (usage.remembered, usage.remembered_deliveries) = self.flight.lengths();
        usage.ended = topics.ledger.ended();
        for tail in self.tails.values() {
            usage.tail_ops = usage.tail_ops.max(tail.len());
        }
        for peer in self.peers.values() {
            let arriving = peer.arriving.as_ref().map_or(0, |snapshot| snapshot.parts.len());
            usage.requests = usage.requests.max(peer.control.len());
            usage.snapshot_frames = usage.snapshot_frames.max(peer.snapshots.len());
            usage.arriving_parts = usage.arriving_parts.max(arriving);
            usage.held_reports = usage.held_reports.max(peer.held_reports.len());
        }
        usage
    }
}
