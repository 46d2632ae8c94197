//! What became of a node's messages: where each is, and how the last ones ended.
//!
//! # Invariants
//!
//! 1. Every message in a log of this node is in `lines`, as one that has not ended.
//! 2. Of those that have ended, at most [`MAX_ENDED`] are remembered: `ended` names them, oldest
//!    first.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

use super::{Accounting, DropCause, Ending, Entry, Position, Recipients, news::News};
use crate::id::{MessageId, NodeId, TopicName};

/// How many messages are remembered that have ended. At the limit the first that ended is
/// forgotten. They take 120 bytes each, or 8 MiB.
const MAX_ENDED: usize = 65_536;

/// How many sessions may be named by a message of which it is remembered whom it was for, once it has
/// ended. They take 16 bytes each, or 4 MiB if all messages name so many.
const MAX_NAMED: usize = 4;

/// A message, as it stands in the ledger.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Where it was published.
    pub(super) topic: TopicName,
    /// How it ended, if it has.
    pub(super) ending: Option<Ending>,
    /// When it was stored here.
    pub(super) stored: Instant,
    /// When it ended, if it has, as nearly as was looked.
    pub(super) ended: Option<Instant>,
    /// Whom it was for, if it has ended and that is remembered.
    pub(super) to: Option<Recipients>,
}

/// What became of a node's messages.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Whose ledger it is.
    own: NodeId,
    /// What became of all messages that were stored here, whether their topics are open still or not.
    total: Accounting,
    /// What those that are kept cost together, in bytes.
    bytes: usize,
    lines: BTreeMap<MessageId, Line>,
    ended: VecDeque<MessageId>,
    /// The messages of which somebody wants to hear when they end.
    watched: BTreeSet<MessageId>,
    /// Those among them that have ended, until somebody asks.
    news: Vec<(MessageId, Ending)>,
    /// When time was last told.
    now: Option<Instant>,
    /// What is told to those who follow what happens.
    pub(super) events: News,
}

impl Ledger {
    /// The ledger of node `own`, in which nothing stands.
    pub(super) fn new(own: NodeId) -> Self {
        Self {
            own,
            total: Accounting::default(),
            bytes: 0,
            lines: BTreeMap::new(),
            ended: VecDeque::new(),
            watched: BTreeSet::new(),
            news: Vec::new(),
            now: None,
            events: News::default(),
        }
    }

    /// What happens next happens now.
    pub(super) fn set_now(&mut self, now: Instant) {
        self.now = Some(now);
    }

    /// A message is stored.
    pub(super) fn open(&mut self, topic: &TopicName, id: MessageId, now: Instant) {
        self.set_now(now);
        let (topic, ending, ended, to) = (topic.clone(), None, None, None);
        self.lines.insert(id, Line { topic, ending, stored: now, ended, to });
    }

    /// A message enters a log.
    pub(super) fn push(&mut self, entry: &Entry) {
        self.total.count(self.is_own(entry.id()), |tally| {
            tally.accepted += 1;
            tally.pending += 1;
        });
        self.bytes += entry.cost();
    }

    /// A message leaves its log.
    pub(super) fn pop(&mut self, entry: &Entry) {
        self.total.count(self.is_own(entry.id()), |tally| tally.pending -= 1);
        self.bytes -= entry.cost();
    }

    /// So many messages are in the logs, and so many of them were published here.
    pub(super) fn set_pending(&mut self, (stored, published): (u64, u64)) {
        (self.total.stored.pending, self.total.published.pending) = (stored, published);
    }

    /// A message is replaced in its log by what is left of it.
    pub(super) fn replace(&mut self, entry: &Entry, left: &Entry) {
        self.bytes = self.bytes - entry.cost() + left.cost();
    }

    /// A message is kept no longer.
    pub(super) fn end(&mut self, entry: &Entry, how: Ending) {
        let id = entry.id();
        self.total.count(self.is_own(id), |tally| tally.end(how));
        if how != Ending::Acknowledged {
            self.events.drop_one(entry.topic(), how);
        }
        if self.watched.remove(&id) {
            self.news.push((id, how));
        }
        if let Some(line) = self.lines.get_mut(&id) {
            (line.ending, line.ended) = (Some(how), self.now);
            line.to = (entry.to().named() <= MAX_NAMED).then(|| entry.to().clone());
            self.ended.push_back(id);
        }
        while self.ended.len() > MAX_ENDED
            && let Some(oldest) = self.ended.pop_front()
        {
            // Unless it came once more, with an origin that was forgotten and has come back.
            if self.lines.get(&oldest).is_some_and(|line| line.ending.is_some()) {
                self.lines.remove(&oldest);
            }
        }
    }

    /// What ended as acknowledged of `topic`, behind `from` and before `upto`, did so too soon. Says
    /// which, as far as it is remembered.
    pub(super) fn revoke(
        &mut self,
        topic: &TopicName,
        from: &Position,
        upto: &Position,
    ) -> Vec<MessageId> {
        let mut revoked = Vec::new();
        for &id in self.ended.iter().filter(|&&id| upto.covers(id) && !from.covers(id)) {
            if let Some(line) = self.lines.get_mut(&id)
                && line.topic == *topic
                && line.ending == Some(Ending::Acknowledged)
            {
                line.ending = Some(Ending::Dropped(DropCause::Unheard));
                self.total.count(id.origin == self.own, |tally| tally.revoke(1));
                revoked.push(id);
            }
        }
        revoked
    }

    /// Somebody wants to hear when a message ends, which has not yet.
    pub(super) fn watch(&mut self, id: MessageId) {
        self.watched.insert(id);
    }

    /// Nobody wants to hear of a message any more.
    pub(super) fn unwatch(&mut self, id: MessageId) {
        self.watched.remove(&id);
    }

    /// The messages that have ended and that somebody wanted to hear of.
    pub(super) fn poll_news(&mut self) -> Vec<(MessageId, Ending)> {
        std::mem::take(&mut self.news)
    }

    /// Whether the node published a message itself.
    pub(super) fn is_own(&self, id: MessageId) -> bool {
        id.origin == self.own
    }

    /// What became of all messages that were stored here.
    pub(super) fn total(&self) -> Accounting {
        self.total
    }

    /// How many messages are kept.
    pub(super) fn messages(&self) -> usize {
        usize::try_from(self.total.stored.pending).unwrap_or(usize::MAX)
    }

    /// What all messages that are kept cost together, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What became of a message, if that is remembered.
    pub(super) fn line(&self, id: MessageId) -> Option<&Line> {
        self.lines.get(&id)
    }

    /// How many messages are remembered that have ended.
    pub(super) fn ended(&self) -> usize {
        self.ended.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Seq, SessionId};

    fn id(seq: usize) -> MessageId {
        MessageId::new(NodeId::from_bits(1), Seq::new(seq as u64))
    }

    #[expect(clippy::disallowed_methods, reason = "some instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn whom_a_message_was_for_is_remembered_if_it_names_few() {
        let mut ledger = Ledger::new(NodeId::from_bits(1));
        let topic = TopicName::parse("/a").unwrap();
        let named = |count| Recipients::only((0..count).map(SessionId::from_bits));
        for (seq, to) in [Recipients::Everyone, named(4), named(5)].into_iter().enumerate() {
            ledger.open(&topic, id(seq), start());
            ledger.end(&Entry::new(id(seq), topic.clone(), to, "m".into()), Ending::Expired);
        }
        let to = |seq| ledger.line(id(seq)).unwrap().to.clone();
        assert_eq!((to(0), to(1)), (Some(Recipients::Everyone), Some(named(4))));
        assert_eq!(to(2), None);
    }

    #[test]
    fn only_the_last_that_ended_are_remembered_and_all_that_have_not() {
        let mut ledger = Ledger::new(NodeId::from_bits(1));
        let topic = TopicName::parse("/a").unwrap();
        let entry = |seq, to| Entry::new(id(seq), topic.clone(), to, "m".into());
        for seq in 0..=MAX_ENDED + 1 {
            ledger.open(&topic, id(seq), start());
        }
        for seq in 1..=MAX_ENDED + 1 {
            ledger.end(&entry(seq, Recipients::Everyone), Ending::Expired);
        }
        assert_eq!((ledger.ended(), ledger.lines.len()), (MAX_ENDED, MAX_ENDED + 1));
        assert!(ledger.line(id(0)).unwrap().ending.is_none());
        assert!(ledger.line(id(1)).is_none());
        assert_eq!(ledger.line(id(2)).unwrap().ending, Some(Ending::Expired));
    }
}
