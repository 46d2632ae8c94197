//! What those see of a node who watch it.

use std::{ops::Bound, time::Instant};

use super::{Core, Limits};
use crate::{
    id::{MessageId, NodeId, SessionId, TopicName},
    proto::{Deliveries, Entry, Position, Session, TopicKey},
};

/// How a node keeps up with a peer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Lag {
    /// How many operations of this node's journal the peer has not said to have stored.
    pub operations: u64,
    /// How many frames wait to be sent to it, those of the journal apart.
    pub queued: usize,
}

impl Core {
    /// The sessions behind `after`, by id; all, if it is none.
    pub fn sessions_after(&self, after: Option<SessionId>) -> impl Iterator<Item = &Session> {
        self.replica.sessions_after(after)
    }

    /// How much this node keeps, and for how long.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What sessions were given by this node, as long as that is counted.
    pub fn deliveries(&self) -> Deliveries {
        self.flight.counted()
    }

    /// Counts what sessions are given from now on, or no longer.
    pub fn count_deliveries(&mut self, on: bool) {
        self.flight.set_counting(on);
    }

    /// The message that was published here since this was last asked, the last of them.
    pub fn take_published(&mut self) -> Option<MessageId> {
        self.published.take()
    }

    /// When a message was stored here, if that is remembered.
    pub fn stored_at(&self, id: MessageId) -> Option<Instant> {
        self.replica.topics().ledger.line(id).map(|line| line.stored)
    }

    /// How many sessions are to get a message and have not said to have it, as far as this node has
    /// heard. It looks at all members of the topic.
    pub fn waiting(&self, topic: TopicKey, entry: &Entry) -> usize {
        self.lacking(topic, entry.to(), entry.id(), SessionId::from_bits(0)).count()
    }

    /// How many sessions belong to this node and have no client at the moment.
    pub fn detached(&self) -> usize {
        self.deadlines.len()
    }

    /// How many sessions are attached to this node.
    pub fn attached(&self) -> usize {
        self.attached.len()
    }

    /// How this node keeps up with `peer`.
    pub fn lag_of(&self, peer: NodeId) -> Lag {
        let Some(known) = self.peers.get(&peer) else { return Lag::default() };
        let next = self.replica.applied().get(self.id);
        let operations = next.get().saturating_sub(known.have.get(self.id).get());
        let queued = known.control.len() + known.snapshots.len() + known.posted.len();
        Lag { operations, queued }
    }

    /// How many messages of a topic a session is to get, of the newest `within`, as far as this node
    /// has heard.
    pub fn pending_in(&self, topic: TopicKey, session: SessionId, within: usize) -> usize {
        let topic = self.replica.topics().get(topic);
        let Some(member) = topic.members.get(&session) else { return 0 };
        let is_due = |until: Option<&Position>, id| until.is_none_or(|until| until.covers(id));
        let pending = topic.log.iter().rev().take(within).filter(|entry| {
            let id = entry.id();
            !member.acknowledged.covers(id)
                && is_due(member.until.as_ref(), id)
                && entry.to().include(session)
        });
        pending.count()
    }

    /// The topics from there on, by name.
    pub fn topics_from(&self, from: Bound<&str>) -> impl Iterator<Item = (&TopicName, TopicKey)> {
        self.replica.topics().range((from, Bound::Unbounded))
    }
}
