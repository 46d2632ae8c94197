//! The topics of a node.
//!
//! # Invariants
//!
//! 1. `names` names each topic in `slots`, and `private` counts those of single sessions.
//! 2. Every topic that was changed since it was last looked at, that keeps messages, or that somebody
//!    is about to depart from is in `due`: of the others there is nothing to trim and nothing to
//!    forget, however many they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
    time::Instant,
};

use super::{
    Accounting, DropCause, Ending, Entry, LogLimits, NodeEvent, Position, Recipients, Topic,
    TopicKey, forgotten_topics::ForgottenTopics, ledger::Ledger,
};
use crate::id::{MessageId, NodeId, Seq, TopicName};

/// The topics of a node.
#[derive(Debug)]
pub struct Topics {
    slots: Vec<Option<Topic>>,
    free: Vec<usize>,
    names: BTreeMap<TopicName, TopicKey>,
    /// How many of them are private.
    private: usize,
    /// The topics to be looked at.
    due: BTreeSet<TopicKey>,
    pub(super) ledger: Ledger,
    forgotten: ForgottenTopics,
    limits: LogLimits,
}

impl Topics {
    /// No topic yet, on node `own`. Those to come keep to `limits`.
    pub fn new(own: NodeId, limits: LogLimits) -> Self {
        let (names, ledger) = (BTreeMap::new(), Ledger::new(own));
        let forgotten = ForgottenTopics::default();
        let (slots, free, due) = (Vec::new(), Vec::new(), BTreeSet::new());
        Self { slots, free, names, private: 0, due, ledger, forgotten, limits }
    }

    /// The topic called `name`, which is made if there is none.
    pub fn open(&mut self, name: &TopicName) -> TopicKey {
        if let Some(&key) = self.names.get(name) {
            return key;
        }
        let topic = Some(Topic::new(name.clone(), self.limits, self.forgotten.take(name)));
        let key = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = topic;
                TopicKey(slot)
            }
            None => {
                self.slots.push(topic);
                TopicKey(self.slots.len() - 1)
            }
        };
        self.names.insert(name.clone(), key);
        if name.private_session().is_none() {
            self.ledger.events.tell(|| NodeEvent::TopicOpened(name.clone()));
        }
        self.private += usize::from(name.private_session().is_some());
        self.change(key);
        key
    }

    /// The topics to be looked at, of which each is to be [settled](Self::settle) then.
    pub(super) fn take_due(&mut self) -> BTreeSet<TopicKey> {
        std::mem::take(&mut self.due)
    }

    /// A topic was looked at: it is forgotten if nobody would miss it, and looked at again if time may
    /// change something.
    pub(super) fn settle(&mut self, key: TopicKey) {
        self.close_idle(key);
        if self.try_get(key).is_some_and(Topic::awaits_time) {
            self.change(key);
        }
    }

    fn close_idle(&mut self, key: TopicKey) {
        if let Some(slot) = self.slots.get_mut(key.0)
            && slot.as_ref().is_some_and(Topic::is_idle)
            && let Some(topic) = slot.take()
        {
            self.due.remove(&key);
            self.names.remove(&topic.name);
            self.forgotten.remember(&topic.name, topic.log.gone());
            if topic.name.private_session().is_none() {
                self.ledger.events.tell(|| NodeEvent::TopicClosed(topic.name.clone()));
            }
            self.private -= usize::from(topic.name.private_session().is_some());
            self.free.push(key.0);
        }
    }

    /// Another node had lost of a topic what came from `origin` before `before`, and so it is lost here
    /// too.
    pub(super) fn handle_lost(&mut self, topic: &TopicName, origin: NodeId, before: Seq) {
        if self.find(topic).is_none() && topic.private_session().is_none() {
            self.forgotten.handle_lost(topic, origin, before);
            return;
        }
        let key = self.open(topic);
        self.get_mut(key).log.handle_lost(origin, before);
    }

    /// Up to where messages are lost of topics that were forgotten.
    pub(super) fn forgotten_lost(&self) -> impl Iterator<Item = (&TopicName, &Position)> {
        self.forgotten.lost().filter(|(_, lost)| **lost != Position::new())
    }

    /// Forgets an origin that no message is left of.
    pub(super) fn forget(&mut self, origin: NodeId) {
        self.slots.iter_mut().flatten().for_each(|topic| topic.log.forget(origin));
        self.forgotten.forget(origin);
    }

    /// Stores a message, which was not here before.
    pub fn store(&mut self, key: TopicKey, entry: Arc<Entry>, now: Instant) {
        let (topic, ledger) = self.change(key);
        ledger.open(&topic.name, entry.id(), now);
        topic.log.push(entry, now, ledger);
    }

    /// Lets all topics keep to these limits from now on. Says which had to drop something.
    pub fn set_limits(&mut self, limits: LogLimits) -> Vec<TopicKey> {
        self.limits = limits;
        let mut shrunk = Vec::new();
        for (at, slot) in self.slots.iter_mut().enumerate() {
            if let Some(topic) = slot
                && topic.log.set_limits(limits, &mut self.ledger)
            {
                shrunk.push(TopicKey(at));
            }
        }
        shrunk
    }

    /// Takes a message back from those in `from`. Says whether that is news.
    pub fn withdraw(&mut self, key: TopicKey, id: MessageId, from: &Recipients) -> bool {
        let (topic, ledger) = self.change(key);
        topic.log.withdraw(id, from, ledger)
    }

    /// Drops what everybody has of a topic, and what has waited for too long: `settled` is what its
    /// sessions have, if it has any, and `stable` what all nodes have.
    pub fn trim(
        &mut self,
        key: TopicKey,
        settled: Option<&Position>,
        stable: &Position,
        now: Instant,
    ) {
        let (topic, ledger) = self.change(key);
        ledger.set_now(now);
        topic.log.trim(settled, stable, now, ledger);
    }

    /// Drops a topic's oldest messages until they cost `bytes` or less, because all topics together
    /// cost too much.
    pub fn shrink(&mut self, key: TopicKey, bytes: usize) {
        let (topic, ledger) = self.change(key);
        while topic.log.bytes() > bytes {
            topic.log.lose(Ending::Dropped(DropCause::NodeBytes), ledger);
        }
    }

    /// Somebody reads a topic from `from` on, of whom this node hears only now.
    pub fn handle_late_reader(&mut self, key: TopicKey, from: &Position) {
        let (topic, ledger) = self.change(key);
        topic.log.handle_late_reader(&topic.name, from, ledger);
    }

    /// What became of all messages, of the topics that are closed as well.
    pub fn accounting(&self) -> Accounting {
        self.ledger.total()
    }

    /// What all messages that are kept cost together, in bytes.
    pub fn bytes(&self) -> usize {
        self.ledger.bytes()
    }

    /// Counts anew what is kept, where it is kept: what is there no more, and did not end, is missing in
    /// the accounts from then on.
    pub(super) fn recount(&mut self) {
        let logs = self.due.iter().filter_map(|&key| Some(&self.try_get(key)?.log));
        let kept = logs.fold((0, 0), |(stored, published), log| {
            let Accounting { stored: all, published: own } = log.accounting();
            (stored + all.pending, published + own.pending)
        });
        self.ledger.set_pending(kept);
    }

    /// Whether somebody has left a topic, and is a member of it still.
    pub(super) fn are_being_left(&self) -> bool {
        let topics = self.due.iter().filter_map(|&key| self.try_get(key));
        topics.into_iter().any(Topic::is_being_left)
    }

    /// How many messages are kept, in all topics.
    pub fn messages(&self) -> usize {
        self.ledger.messages()
    }

    /// The topics that keep messages.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = TopicKey> {
        let is_unsettled = |key: &TopicKey| self.try_get(*key).is_some_and(|it| !it.log.is_empty());
        self.due.iter().copied().filter(is_unsettled)
    }

    /// The topic at `key`.
    ///
    /// # Panics
    ///
    /// If it was closed: who holds a key is a member, or has just opened the topic.
    pub fn get(&self, key: TopicKey) -> &Topic {
        self.slots[key.0].as_ref().expect("a key in use is of an open topic")
    }

    /// The topic at `key`, to be changed.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub fn get_mut(&mut self, key: TopicKey) -> &mut Topic {
        self.change(key).0
    }

    /// The topic at `key`, to be changed, and to be looked at after that.
    fn change(&mut self, key: TopicKey) -> (&mut Topic, &mut Ledger) {
        let topic = self.slots[key.0].as_mut().expect("a key in use is of an open topic");
        self.due.insert(key);
        (topic, &mut self.ledger)
    }

    /// The topic at `key`, if it is still open.
    pub fn try_get(&self, key: TopicKey) -> Option<&Topic> {
        self.slots.get(key.0)?.as_ref()
    }

    /// The topic at `key`, to be changed, if it is still open.
    pub fn try_get_mut(&mut self, key: TopicKey) -> Option<&mut Topic> {
        self.try_get(key)?;
        Some(self.get_mut(key))
    }

    /// The key of the topic called `name`.
    pub fn find(&self, name: &TopicName) -> Option<TopicKey> {
        self.names.get(name).copied()
    }

    /// All topics, by name.
    pub fn iter(&self) -> impl Iterator<Item = (TopicKey, &Topic)> {
        self.names.values().map(|&key| (key, self.get(key)))
    }

    /// The topics of a range of names, by name.
    pub fn range(
        &self,
        names: (Bound<&str>, Bound<&str>),
    ) -> impl Iterator<Item = (&TopicName, TopicKey)> {
        self.names.range::<str, _>(names).map(|(name, &key)| (name, key))
    }

    /// The keys of all topics, by name.
    pub fn keys(&self) -> Vec<TopicKey> {
        self.names.values().copied().collect()
    }

    /// How many topics there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// How many topics there are that are no session's own.
    pub fn named(&self) -> usize {
        self.names.len() - self.private
    }

    /// Whether there is no topic.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::Seq,
        proto::{TopicLog, gone::Gone},
    };

    #[expect(clippy::disallowed_methods, reason = "some instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    /// Goal: a message that is gone from its log without having ended is missing in the accounts, whoever
    /// made it vanish.
    #[test]
    fn what_is_gone_in_silence_is_missing_in_the_accounts() {
        let own = NodeId::from_bits(1);
        let mut topics = Topics::new(own, LogLimits::default());
        let name = TopicName::parse("/a").unwrap();
        let key = topics.open(&name);
        let id = MessageId::new(own, Seq::FIRST);
        let entry = Entry::new(id, name, Recipients::Everyone, "m".into());
        topics.store(key, Arc::new(entry), start());
        topics.recount();
        assert_eq!((topics.messages(), topics.accounting().unaccounted()), (1, 0));
        topics.get_mut(key).log = TopicLog::new(LogLimits::default(), Gone::default());
        topics.recount();
        assert_eq!((topics.messages(), topics.accounting().unaccounted()), (0, 1));
    }
}
