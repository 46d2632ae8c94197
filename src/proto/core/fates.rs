//! What became of a message, as far as a node can tell.

use super::Core;
use crate::{
    id::{MessageId, SessionId, TopicName},
    proto::{DropCause, Ending, Position},
};

/// What became of a message, as far as one node can tell.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fate {
    /// This node has never had it. Nodes that have more of its origin's journal may know.
    Unheard,
    /// This node keeps it.
    Pending(Pending),
    /// This node has dropped it, or it was taken back from all who had not got it.
    Ended {
        /// Where it was published.
        topic: TopicName,
        /// How it ended.
        ending: Ending,
    },
    /// This node has seen its origin's journal so far, and cannot tell: the message ended before the
    /// last 65,536 that did, or before this node was there; or there was no message of this name.
    Forgotten,
}

/// A message that a node keeps, and who has it.
///
/// A session that joined behind the message counts among those that are to get it and have it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Pending {
    /// Where it was published.
    pub topic: TopicName,
    /// How many sessions it is for, of those that are in the topic now.
    pub sessions: usize,
    /// How many of them have acknowledged it. If all have, it is only not old enough to go.
    pub acknowledged: usize,
    /// Who has not: the first [`MAX_WAITING`](Self::MAX_WAITING) of them, by name.
    pub waiting: Vec<SessionId>,
}

impl Pending {
    /// How many sessions are named that have not acknowledged a message.
    pub const MAX_WAITING: usize = 64;
}

impl Core {
    /// What became of a message.
    pub fn fate(&self, id: MessageId) -> Fate {
        let Some(line) = self.replica.topics().ledger.line(id) else {
            return match self.replica.known().covers(id) {
                true => Fate::Forgotten,
                false => Fate::Unheard,
            };
        };
        let topic = line.topic.clone();
        if let Some(ending) = line.ending {
            return Fate::Ended { topic, ending };
        }
        if self.is_withdrawn(id) {
            return Fate::Ended { topic, ending: Ending::Dropped(DropCause::Withdrawn) };
        }
        let Some((key, to)) = self.find(id) else {
            return Fate::Forgotten;
        };
        let members = self.replica.topics().get(key).members.iter();
        let is_for = |until: &Option<Position>| until.as_ref().is_none_or(|it| it.covers(id));
        let sessions = members.filter(|(id, member)| to.include(**id) && is_for(&member.until));
        let (sessions, mut lacking) = (sessions.count(), 0);
        let mut waiting = Vec::new();
        for session in self.lacking(key, &to, id, SessionId::from_bits(0)) {
            lacking += 1;
            if waiting.len() < Pending::MAX_WAITING {
                waiting.push(session);
            }
        }
        Fate::Pending(Pending { topic, sessions, acknowledged: sessions - lacking, waiting })
    }

    /// How many other live nodes have stored a message, as far as this node has heard.
    pub fn stored_on(&self, id: MessageId) -> usize {
        let has = |peer: &&_| self.peers.get(*peer).is_some_and(|peer| peer.have.covers(id));
        self.live.iter().filter(has).count()
    }

    /// Whether a message is on this node's disk, as one of its own journal.
    pub fn is_on_disk(&self, id: MessageId) -> bool {
        id.origin == self.id && self.durable.is_some_and(|durable| id.seq < durable)
    }
}
