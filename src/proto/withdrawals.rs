//! Which messages were taken back of late, and from whom.

use std::collections::{BTreeMap, VecDeque};

use super::Recipients;
use crate::id::{MessageId, TopicName};

/// What was taken back last, whether the messages are kept here, are gone, or were not heard of yet: they
/// may come later, and who keeps them yet may have missed what took them back.
#[derive(Debug, Default)]
pub(super) struct Withdrawals {
    taken: BTreeMap<MessageId, (TopicName, Recipients)>,
    /// The messages, in the order in which they were first taken back.
    order: VecDeque<MessageId>,
    /// How many sessions are named, all in all.
    named: usize,
}

impl Withdrawals {
    /// How many messages are remembered. Beyond that the one that was taken back first is forgotten.
    pub(super) const MAX: usize = 1_024;

    /// How many sessions may be named, all in all. Beyond that it is the same.
    pub(super) const MAX_NAMED: usize = 64 * Recipients::MAX_NAMED;

    /// Learns that a message was taken back from those in `from`. Of one message, no more can be named
    /// than one withdrawal names.
    pub(super) fn learn(&mut self, topic: &TopicName, id: MessageId, from: &Recipients) {
        match self.taken.get_mut(&id) {
            Some((known, before)) if known == topic => {
                let both = before.with(from);
                if both.named() <= Recipients::MAX_NAMED {
                    self.named = self.named - before.named() + both.named();
                    *before = both;
                }
            }
            Some(_) => {}
            None => {
                self.named += from.named();
                self.taken.insert(id, (topic.clone(), from.clone()));
                self.order.push_back(id);
            }
        }
        while self.order.len() > Self::MAX || self.named > Self::MAX_NAMED {
            let first = self.order.pop_front().expect("something is named");
            let (_, from) = self.taken.remove(&first).expect("all in order are there");
            self.named -= from.named();
        }
    }

    /// From whom a message of a topic was taken back.
    pub(super) fn of(&self, topic: &TopicName, id: MessageId) -> Option<&Recipients> {
        let (known, from) = self.taken.get(&id)?;
        (known == topic).then_some(from)
    }

    /// What was taken back from whom, by message.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&TopicName, MessageId, &Recipients)> {
        self.taken.iter().map(|(&id, (topic, from))| (topic, id, from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{NodeId, Seq, SessionId};

    fn id(seq: u64) -> MessageId {
        MessageId::new(NodeId::from_bits(1), Seq::new(seq))
    }

    fn topic(name: &str) -> TopicName {
        TopicName::parse(name).unwrap()
    }

    fn sessions(range: std::ops::Range<u128>) -> Recipients {
        Recipients::only(range.map(SessionId::from_bits))
    }

    #[test]
    fn what_is_taken_back_twice_is_taken_back_from_both() {
        let mut withdrawals = Withdrawals::default();
        withdrawals.learn(&topic("/a"), id(1), &sessions(1..2));
        withdrawals.learn(&topic("/a"), id(1), &sessions(2..3));
        withdrawals.learn(&topic("/b"), id(1), &Recipients::Everyone);
        assert_eq!(withdrawals.of(&topic("/a"), id(1)), Some(&sessions(1..3)));
        assert_eq!(withdrawals.of(&topic("/b"), id(1)), None, "it was published elsewhere");
        assert_eq!(withdrawals.named, 2);
    }

    #[test]
    fn the_oldest_are_forgotten_beyond_each_limit() {
        let mut withdrawals = Withdrawals::default();
        for seq in 0..Withdrawals::MAX as u64 + 1 {
            withdrawals.learn(&topic("/a"), id(seq), &Recipients::Everyone);
        }
        assert_eq!(withdrawals.iter().count(), Withdrawals::MAX);
        assert_eq!(withdrawals.of(&topic("/a"), id(0)), None);
        let many = Recipients::MAX_NAMED as u128;
        for seq in 2_000..2_065 {
            withdrawals.learn(&topic("/a"), id(seq), &sessions(0..many));
        }
        assert_eq!((withdrawals.named, withdrawals.iter().count()), (Withdrawals::MAX_NAMED, 64));
    }
}
