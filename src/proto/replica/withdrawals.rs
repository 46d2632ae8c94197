//! Messages that were taken back.

use super::{Change, Replica};
use crate::{
    id::{MessageId, SessionId, TopicName},
    proto::{Recipients, TopicKey},
};

impl Replica {
    /// A message is no longer for those in `from`: now, if it is kept, or when it comes.
    pub(super) fn fold_withdrawal(&mut self, topic: &TopicName, id: MessageId, from: &Recipients) {
        self.withdrawals.learn(topic, id, from);
        if let Some(key) = self.topics.find(topic) {
            self.withdraw(key, id, from);
        }
    }

    /// A message has come that may have been taken back before.
    pub(super) fn withdraw_early(&mut self, topic: TopicKey, id: MessageId) {
        let name = &self.topics.get(topic).name;
        if let Some(from) = self.withdrawals.of(name, id).cloned() {
            self.withdraw(topic, id, &from);
        }
    }

    /// What was taken back of late, or is still kept, and from whom.
    pub fn withdrawn(&self) -> impl Iterator<Item = (&TopicName, MessageId, &Recipients)> {
        let kept = self.topics.iter().flat_map(|(_, topic)| {
            topic.log.withdrawn().map(move |(id, from)| (&topic.name, id, from))
        });
        let is_old = |&(topic, id, _): &(_, _, _)| self.withdrawals.of(topic, id).is_none();
        self.withdrawals.iter().chain(kept.filter(is_old))
    }

    /// Whether a message of a topic was taken back from a session, while it is kept or of late.
    pub fn is_withdrawn_from(&self, topic: &TopicName, id: MessageId, session: SessionId) -> bool {
        let log = self.topics.find(topic).map(|key| &self.topics.get(key).log);
        self.withdrawals.of(topic, id).is_some_and(|from| from.include(session))
            || log.is_some_and(|log| log.is_withdrawn_from(id, session))
    }

    /// Takes a message back from those in `from`, if it is kept.
    fn withdraw(&mut self, topic: TopicKey, id: MessageId, from: &Recipients) {
        if self.topics.withdraw(topic, id, from) {
            self.changes.push_back(Change::Withdrawn { topic, id });
        }
    }
}
