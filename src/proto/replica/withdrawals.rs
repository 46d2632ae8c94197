//! Messages that were taken back.

use super::{Change, MAX_EARLY, Replica};
use crate::{
    id::{MessageId, TopicName},
    proto::{Recipients, TopicKey},
};

impl Replica {
    /// A message is no longer for those in `from`. What is taken back before it is heard of is
    /// remembered.
    pub(super) fn fold_withdrawal(&mut self, topic: &TopicName, id: MessageId, from: Recipients) {
        if self.known.covers(id) {
            self.withdraw(topic, id, &from);
            return;
        }
        self.early_withdrawals.push_back((topic.clone(), id, from));
        if self.early_withdrawals.len() > MAX_EARLY {
            self.early_withdrawals.pop_front();
        }
    }

    /// Takes a message back from those in `from`, if it is kept.
    pub(super) fn withdraw(&mut self, topic: &TopicName, id: MessageId, from: &Recipients) {
        if let Some(key) = self.topics.find(topic)
            && self.topics.withdraw(key, id, from)
        {
            self.changes.push_back(Change::Withdrawn { topic: key, id });
        }
    }

    /// A message has come that may have been taken back before.
    pub(super) fn withdraw_early(&mut self, topic: TopicKey, id: MessageId) {
        if self.early_withdrawals.is_empty() {
            return;
        }
        let early = std::mem::take(&mut self.early_withdrawals);
        for (name, withdrawn, from) in early {
            match withdrawn == id {
                true if self.topics.get(topic).name == name => self.withdraw(&name, id, &from),
                true => {}
                false => self.early_withdrawals.push_back((name, withdrawn, from)),
            }
        }
    }

    /// What was taken back that is still kept, or was not heard of yet, and from whom.
    pub fn withdrawn(&self) -> impl Iterator<Item = (&TopicName, MessageId, &Recipients)> {
        let kept = self.topics.iter().flat_map(|(_, topic)| {
            topic.log.withdrawn().map(move |(id, from)| (&topic.name, id, from))
        });
        let early = self.early_withdrawals.iter().map(|(topic, id, from)| (topic, *id, from));
        kept.chain(early)
    }
}
