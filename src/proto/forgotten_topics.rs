//! What is remembered of topics that were forgotten.

use std::collections::BTreeMap;

use super::{Position, gone::Gone};
use crate::id::{NodeId, Seq, TopicName};

/// What is gone of topics that nobody was in any more, as far as this node knew: to who was in one all
/// the same, on a node that was not heard of, it must be told when that topic is opened again.
///
/// Private topics are not among them: they go with their sessions.
#[derive(Debug, Default)]
pub(super) struct ForgottenTopics {
    topics: BTreeMap<TopicName, (u64, Gone)>,
    /// The topics, in the order in which they were forgotten.
    order: BTreeMap<u64, TopicName>,
    turn: u64,
}

impl ForgottenTopics {
    /// How many topics are remembered. Beyond that what is gone of the one that was forgotten first is
    /// known no more.
    const MAX: usize = 4_096;

    /// A topic is forgotten.
    pub(super) fn remember(&mut self, topic: &TopicName, gone: Gone) {
        if gone.is_nothing() || topic.private_session().is_some() {
            return;
        }
        self.take(topic);
        self.topics.insert(topic.clone(), (self.turn, gone));
        self.order.insert(self.turn, topic.clone());
        self.turn += 1;
        if self.order.len() > Self::MAX
            && let Some((_, first)) = self.order.pop_first()
        {
            self.topics.remove(&first);
        }
    }

    /// A topic is opened, of which this is gone.
    pub(super) fn take(&mut self, topic: &TopicName) -> Gone {
        let Some((turn, gone)) = self.topics.remove(topic) else {
            return Gone::default();
        };
        self.order.remove(&turn);
        gone
    }

    /// Another node has lost of such a topic what came from `origin` before `before`.
    pub(super) fn handle_lost(&mut self, topic: &TopicName, origin: NodeId, before: Seq) {
        let mut gone = self.take(topic);
        gone.lost.advance(origin, before);
        self.remember(topic, gone);
    }

    /// Up to where messages of each are lost.
    pub(super) fn lost(&self) -> impl Iterator<Item = (&TopicName, &Position)> {
        self.topics.iter().map(|(topic, (_, gone))| (topic, &gone.lost))
    }

    /// Forgets an origin that no message is left of.
    pub(super) fn forget(&mut self, origin: NodeId) {
        let order = &mut self.order;
        self.topics.retain(|_, (turn, gone)| {
            gone.forget(origin);
            if gone.is_nothing() {
                order.remove(turn);
            }
            !gone.is_nothing()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: NodeId = NodeId::from_bits(1);

    fn topic(number: usize) -> TopicName {
        TopicName::parse(&format!("/{number}")).unwrap()
    }

    fn lost(upto: u64) -> Gone {
        let mut gone = Gone::default();
        gone.lost.advance(ORIGIN, Seq::new(upto));
        gone
    }

    #[test]
    fn what_is_gone_is_there_when_a_topic_is_opened_again_and_then_it_is_told_once() {
        let mut forgotten = ForgottenTopics::default();
        forgotten.remember(&topic(1), lost(7));
        forgotten.handle_lost(&topic(1), ORIGIN, Seq::new(9));
        assert_eq!(forgotten.take(&topic(1)).lost.get(ORIGIN), Seq::new(9));
        assert!(forgotten.take(&topic(1)).is_nothing());
        assert!(forgotten.order.is_empty());
    }

    #[test]
    fn no_more_is_kept_than_the_limit_and_nothing_of_whom_nothing_is_left() {
        let mut forgotten = ForgottenTopics::default();
        for number in 0..=ForgottenTopics::MAX {
            forgotten.remember(&topic(number), lost(7));
        }
        assert_eq!((forgotten.lost().count(), forgotten.order.len()), (4_096, 4_096));
        assert!(forgotten.take(&topic(0)).is_nothing(), "it was forgotten first");
        forgotten.forget(ORIGIN);
        assert_eq!((forgotten.lost().count(), forgotten.order.len()), (0, 0));
    }

    #[test]
    fn of_private_topics_nothing_is_kept() {
        let mut forgotten = ForgottenTopics::default();
        let session = crate::id::SessionId::from_bits(1);
        forgotten.remember(&TopicName::private(session), lost(7));
        assert_eq!(forgotten.lost().count(), 0);
    }
}
