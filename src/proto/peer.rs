//! Another node, as this one sees it: what it has, and what it is to be sent.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

use super::{
    Position, TopicKey,
    handed_on::HandedOn,
    progress::Report,
    wire::{Encoded, SnapshotPart},
};
use crate::id::{NodeId, Seq, TopicName};

/// The streams of a link, each way, by priority. Order is kept within one only.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Lane {
    /// Requests, which are small.
    Control,
    /// What is stored and how far sessions have read.
    Progress,
    /// Operations, and what is to become some.
    Journal,
    /// Snapshots, which may be large.
    Snapshot,
}

impl Lane {
    /// All lanes, the most urgent first.
    pub const ALL: [Self; 4] = [Self::Control, Self::Progress, Self::Journal, Self::Snapshot];
}

/// A snapshot that was queued for a peer. What it holds need not be sent until it is there, or lost.
#[derive(Debug)]
pub(super) struct Offer {
    /// What the peer will know then.
    pub(super) view: Position,
    /// When it was queued.
    pub(super) since: Instant,
}

/// A snapshot on its way in: its parts may arrive in any order.
#[derive(Debug)]
pub(super) struct Arriving {
    /// Which of its sender's snapshots it is: the parts of two, even of the same state, do not mix.
    pub(super) number: u64,
    pub(super) parts: BTreeMap<u32, SnapshotPart>,
    /// How many parts there are, and what the sender knew, once the last part is here.
    pub(super) end: Option<(u32, Position)>,
    pub(super) bytes: usize,
}

/// A peer.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// Whether there is a link to it.
    pub(super) linked: bool,
    /// What it has stored, as far as it has said.
    pub(super) have: Position,
    /// What it had stored of this node's journal when that was last looked at.
    pub(super) stored_before: Option<Seq>,
    /// What is sent to it: this node's journal, and those that it asked for, each with the operation
    /// that is next.
    pub(super) sending: BTreeMap<NodeId, Seq>,
    /// The last snapshot for it.
    pub(super) offer: Option<Offer>,
    pub(super) control: VecDeque<Encoded>,
    pub(super) snapshots: VecDeque<Encoded>,
    /// What became of posts that it has handed on.
    pub(super) posted: VecDeque<Encoded>,
    pub(super) handed_on: HandedOn,
    pub(super) have_due: bool,
    pub(super) reports_due: BTreeSet<TopicKey>,
    /// When the next reports may be sent.
    pub(super) reports_at: Option<Instant>,
    /// Reports that speak of operations which are still to come.
    pub(super) held_reports: BTreeMap<TopicName, Report>,
    /// Its newest snapshot, while that is on its way in.
    pub(super) arriving: Option<Arriving>,
}

impl Peer {
    /// The link is gone, and everything on it.
    pub(super) fn handle_link_down(&mut self) {
        let have = std::mem::take(&mut self.have);
        *self = Self { have, ..Self::default() };
    }

    /// `origin` is dead and forgotten: nothing of it is waited for any more.
    pub(super) fn forget(&mut self, origin: NodeId) {
        self.have.forget(origin);
        self.sending.remove(&origin);
    }
}
