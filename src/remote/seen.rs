//! Which messages have come before.
//!
//! A node sends the messages that one node published to one topic in the order in which they were
//! published, so one number for each topic and origin tells what is new. Only what a push led to may
//! be published twice, under two names, where a node was wrongly taken for dead: both have the
//! same cause.

use std::num::NonZeroUsize;

use super::recent::Recent;
use crate::id::{MessageId, NodeId, Seq, TopicName};

/// Which messages have come before.
#[derive(Debug)]
pub(super) struct Seen {
    /// The next message that is new.
    next: Recent<(TopicName, NodeId), Seq>,
    causes: Recent<String, ()>,
}

impl Seen {
    /// How many pairs of a topic and a node that publishes to it are remembered.
    const ORIGINS: NonZeroUsize = NonZeroUsize::new(16_384).expect("it is not zero");

    /// How many causes are remembered.
    const CAUSES: NonZeroUsize = NonZeroUsize::new(16_384).expect("it is not zero");

    pub(super) fn new() -> Self {
        Self { next: Recent::new(Self::ORIGINS), causes: Recent::new(Self::CAUSES) }
    }

    /// A message came. Whether it is new.
    pub(super) fn take(&mut self, topic: &TopicName, id: MessageId, cause: Option<String>) -> bool {
        self.is_next(topic, id) && cause.is_none_or(|cause| self.is_first_of(cause))
    }

    fn is_next(&mut self, topic: &TopicName, id: MessageId) -> bool {
        let origin = (topic.clone(), id.origin);
        match self.next.get_mut(&origin) {
            Some(next) if id.seq < *next => return false,
            Some(next) => *next = id.seq.next(),
            None => self.next.insert(origin, id.seq.next()),
        }
        true
    }

    fn is_first_of(&mut self, cause: String) -> bool {
        if self.causes.get_mut(&cause).is_some() {
            return false;
        }
        self.causes.insert(cause, ());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> TopicName {
        TopicName::parse(name).unwrap()
    }

    fn id(origin: u64, seq: u64) -> MessageId {
        MessageId::new(NodeId::from_bits(origin), Seq::new(seq))
    }

    #[test]
    fn a_message_is_new_once_for_each_topic_and_origin() {
        let mut seen = Seen::new();
        let (a, b) = (topic("a"), topic("b"));
        assert!(seen.take(&a, id(1, 5), None));
        assert!(!seen.take(&a, id(1, 5), None));
        assert!(!seen.take(&a, id(1, 4), None), "what is older came before, or never will");
        assert!(seen.take(&a, id(2, 4), None));
        assert!(seen.take(&b, id(1, 4), None));
        assert!(seen.take(&a, id(1, 9), None));
    }

    #[test]
    fn what_was_published_twice_for_one_cause_is_new_once() {
        let mut seen = Seen::new();
        let cause = || Some("s/e.1/0".to_owned());
        assert!(seen.take(&topic("a"), id(1, 5), cause()));
        assert!(!seen.take(&topic("a"), id(2, 7), cause()));
        assert!(!seen.take(&topic("a"), id(2, 7), None), "it has come before by now");
        for other in 0..16_384 {
            assert!(seen.take(&topic("a"), id(3, other), Some(other.to_string())));
        }
        assert!(seen.take(&topic("a"), id(2, 8), cause()), "the oldest cause is forgotten");
    }
}
