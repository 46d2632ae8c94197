//! A topic, as one node knows it: its log, and who reads it.

use std::{collections::BTreeMap, ops::Bound, sync::Arc, time::Instant};

use super::{
    Accounting, DropCause, Ending, Entry, LogLimits, Membership, NodeEvent, Position, Recipients,
    Stamp, TopicLog, forgotten_topics::ForgottenTopics, gone::Gone, ledger::Ledger,
};
use crate::id::{MessageId, NodeId, Seq, SessionId, TopicName};

/// A topic's place among those of its node. It means nothing elsewhere.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TopicKey(usize);

/// A topic.
#[derive(Debug)]
#[non_exhaustive]
pub struct Topic {
    /// Its name.
    pub name: TopicName,
    /// Its messages.
    pub log: TopicLog,
    /// The sessions that read it, on whichever nodes they are. They are boxed, as a map has room for
    /// eleven from the first on, and many a topic has one.
    pub members: BTreeMap<SessionId, Box<Membership>>,
    /// Whether some member may have left, and is a member still for what was published before.
    pub leaving: bool,
}

impl Topic {
    fn new(name: TopicName, limits: LogLimits, gone: Gone) -> Self {
        let log = TopicLog::new(limits, gone);
        Self { name, log, members: BTreeMap::new(), leaving: false }
    }

    /// What every session that was to get it has; `None` if there is no session.
    pub fn settled(&self) -> Option<Position> {
        let mut members = self.members.values().map(|member| &member.acknowledged);
        let mut settled = members.next()?.clone();
        members.for_each(|acknowledged| settled.meet(acknowledged));
        Some(settled)
    }

    /// Whether a member has left and has had all that it was still to get, or was told that it will
    /// not get it, as far as a node can tell that has seen `applied`.
    fn is_over(&self, session: SessionId, member: &Membership, applied: &Position) -> bool {
        let Some(until) = &member.until else {
            return false;
        };
        let has = |id| member.acknowledged.covers(id) || !until.covers(id);
        let was_told = |(origin, lost): (_, Seq)| {
            member.acknowledged.get(origin) >= lost.min(until.get(origin))
        };
        applied.includes(until)
            && self.log.lost().iter().all(was_told)
            && self.log.iter().all(|entry| has(entry.id()) || !entry.to().include(session))
    }

    /// The members that have left, and have had all that they were still to get.
    pub fn departed(&self, applied: &Position) -> Vec<(SessionId, Stamp)> {
        let left = self.members.iter().filter(|_| self.leaving);
        let over = left.filter(|&(&session, member)| self.is_over(session, member, applied));
        over.map(|(&session, member)| (session, member.stamp)).collect()
    }

    /// Whether nothing would be missed if it were forgotten.
    pub fn is_idle(&self) -> bool {
        self.members.is_empty() && self.log.is_empty()
    }
}

/// The topics of a node.
#[derive(Debug)]
pub struct Topics {
    slots: Vec<Option<Topic>>,
    free: Vec<usize>,
    names: BTreeMap<TopicName, TopicKey>,
    /// How many of them are private.
    private: usize,
    pub(super) ledger: Ledger,
    forgotten: ForgottenTopics,
    limits: LogLimits,
}

impl Topics {
    /// No topic yet, on node `own`. Those to come keep to `limits`.
    pub fn new(own: NodeId, limits: LogLimits) -> Self {
        let (names, ledger) = (BTreeMap::new(), Ledger::new(own));
        let forgotten = ForgottenTopics::default();
        Self { slots: Vec::new(), free: Vec::new(), names, private: 0, ledger, forgotten, limits }
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
        key
    }

    /// Forgets a topic that nobody would miss.
    pub fn close_idle(&mut self, key: TopicKey) {
        if let Some(slot) = self.slots.get_mut(key.0)
            && slot.as_ref().is_some_and(Topic::is_idle)
            && let Some(topic) = slot.take()
        {
            self.ledger.close(topic.log.accounting());
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
        let topic = self.slots[key.0].as_mut().expect("a key in use is of an open topic");
        self.ledger.open(&topic.name, entry.id(), now);
        topic.log.push(entry, now, &mut self.ledger);
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
        let topic = self.slots[key.0].as_mut().expect("a key in use is of an open topic");
        topic.log.withdraw(id, from, &mut self.ledger)
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
        let topic = self.slots[key.0].as_mut().expect("a key in use is of an open topic");
        self.ledger.set_now(now);
        topic.log.trim(settled, stable, now, &mut self.ledger);
    }

    /// Drops a topic's oldest messages until they cost `bytes` or less, because all topics together
    /// cost too much.
    pub fn shrink(&mut self, key: TopicKey, bytes: usize) {
        let topic = self.slots[key.0].as_mut().expect("a key in use is of an open topic");
        while topic.log.bytes() > bytes {
            topic.log.lose(Ending::Dropped(DropCause::NodeBytes), &mut self.ledger);
        }
    }

    /// Somebody reads a topic from `from` on, of whom this node hears only now.
    pub fn handle_late_reader(&mut self, key: TopicKey, from: &Position) {
        let topic = self.slots[key.0].as_mut().expect("a key in use is of an open topic");
        topic.log.handle_late_reader(&topic.name, from, &mut self.ledger);
    }

    /// What became of all messages, of the topics that are closed as well.
    pub fn accounting(&self) -> Accounting {
        let open = self.slots.iter().flatten().map(|topic| topic.log.accounting());
        open.chain([self.ledger.closed()]).sum()
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
        self.slots[key.0].as_mut().expect("a key in use is of an open topic")
    }

    /// The topic at `key`, if it is still open.
    pub fn try_get(&self, key: TopicKey) -> Option<&Topic> {
        self.slots.get(key.0)?.as_ref()
    }

    /// The topic at `key`, to be changed, if it is still open.
    pub fn try_get_mut(&mut self, key: TopicKey) -> Option<&mut Topic> {
        self.slots.get_mut(key.0)?.as_mut()
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
    pub fn range<'a>(
        &'a self,
        names: (Bound<&'a TopicName>, Bound<&'a TopicName>),
    ) -> impl Iterator<Item = (&'a TopicName, TopicKey)> {
        self.names.range::<TopicName, _>(names).map(|(name, &key)| (name, key))
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
