//! Watches: who waits for what becomes of a message is told, and what concerns others is no reason
//! to look.
//!
//! # Invariants
//!
//! 1. A message that is watched until it is settled has a *laggard*: a session that has yet to get
//!    it. Only news of that session, and the message's end, are reasons to look again.
//! 2. A message that is watched until nodes have stored it is lacked by a live node. Only what peers
//!    say of that very message, and what becomes of them, are reasons to look again.

use std::collections::{BTreeMap, BTreeSet};

use super::Core;
use crate::{
    id::{MessageId, NodeId, Seq, SessionId},
    proto::{DropCause, Ending, Position, Recipients, TopicKey},
};

/// By which a watch is named, on one node.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct WatchKey {
    id: MessageId,
    number: u64,
}

/// What a watch came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// The message is stored as widely as was asked for, or as it can be.
    Stored {
        /// How many other live nodes have it.
        nodes: usize,
        /// Whether fewer than asked for have it, which are all that there are.
        short: bool,
    },
    /// The message is on this node's disk.
    OnDisk,
    /// The message will not get to this node's disk: it has none that works, or another node
    /// published the message.
    NotOnDisk,
    /// Every session that was to get the message has it or is gone, or the message is gone: `None`
    /// if it went so long ago that this node does not remember how.
    Settled(Option<Ending>),
}

/// The watches of a node.
#[derive(Debug, Default)]
pub(super) struct Watches {
    made: u64,
    settling: BTreeMap<WatchKey, Settling>,
    laggards: BTreeSet<(SessionId, WatchKey)>,
    /// How many nodes are to have stored a message.
    storing: BTreeMap<WatchKey, usize>,
    /// The messages of this node that are on their way to its disk.
    drying: BTreeSet<WatchKey>,
    verdicts: Vec<(WatchKey, Verdict)>,
    /// How often a message was looked for.
    #[cfg(test)]
    pub(super) looks: usize,
}

/// A message that is watched until it is settled.
#[derive(Debug)]
struct Settling {
    topic: TopicKey,
    to: Recipients,
    laggard: SessionId,
}

impl Watches {
    fn make(&mut self, id: MessageId) -> WatchKey {
        self.made += 1;
        WatchKey { id, number: self.made }
    }
}

/// How a message ended that was taken back from all.
const WITHDRAWN: Ending = Ending::Dropped(DropCause::Withdrawn);

/// Below all sessions.
const FIRST_SESSION: SessionId = SessionId::from_bits(0);

impl Core {
    /// Watches a message until every session that was to get it has it or is gone, or it is.
    pub fn watch_settled(&mut self, id: MessageId) -> WatchKey {
        let key = self.watches.make(id);
        let ended = self.replica.topics().ledger.line(id).map(|line| line.ending);
        let ended = if self.is_withdrawn(id) { Some(Some(WITHDRAWN)) } else { ended };
        match (ended, self.find(id)) {
            (Some(None), Some((topic, to))) => {
                self.replica.topics_mut().ledger.watch(id);
                let settling = Settling { topic, to, laggard: FIRST_SESSION };
                self.watches.settling.insert(key, settling);
                self.look_for_laggard(key);
            }
            (ended, _) => self.watches.verdicts.push((key, Verdict::Settled(ended.flatten()))),
        }
        key
    }

    /// Watches a message until so many other live nodes have stored it, or all that there are.
    pub fn watch_stored(&mut self, id: MessageId, nodes: usize) -> WatchKey {
        let key = self.watches.make(id);
        self.watches.storing.insert(key, nodes);
        self.look_for_nodes(key);
        key
    }

    /// Watches a message until it is on this node's disk.
    pub fn watch_durable(&mut self, id: MessageId) -> WatchKey {
        let key = self.watches.make(id);
        if id.origin == self.id {
            self.watches.drying.insert(key);
            self.look_at_disk();
        } else {
            self.watches.verdicts.push((key, Verdict::NotOnDisk));
        }
        key
    }

    /// Nobody waits for this any more.
    pub fn unwatch(&mut self, key: WatchKey) {
        self.watches.storing.remove(&key);
        self.watches.drying.remove(&key);
        self.end_settling(key);
        self.watches.verdicts.retain(|(over, _)| *over != key);
    }

    /// The watches that came to something.
    pub fn poll_verdicts(&mut self) -> Vec<(WatchKey, Verdict)> {
        std::mem::take(&mut self.watches.verdicts)
    }

    /// A message that is kept: its topic, and whom it is for. The newest are found first.
    pub(super) fn find(&self, id: MessageId) -> Option<(TopicKey, Recipients)> {
        let line = self.replica.topics().ledger.line(id)?;
        let key = self.replica.topics().find(&line.topic)?;
        let entry = self.replica.topics().get(key).log.find(id)?;
        Some((key, entry.to().clone()))
    }

    /// The sessions from `from` on that are to get a message and have not acknowledged it.
    pub(super) fn lacking(
        &self,
        topic: TopicKey,
        to: &Recipients,
        id: MessageId,
        from: SessionId,
    ) -> impl Iterator<Item = SessionId> {
        let topic = self.replica.topics().try_get(topic);
        let members = topic.into_iter().flat_map(move |topic| topic.members.range(from..));
        let lacks = members.filter(move |(session, member)| {
            !member.acknowledged.covers(id)
                && to.include(**session)
                && member.until.as_ref().is_none_or(|until| until.covers(id))
        });
        lacks.map(|(&session, _)| session)
    }

    /// There is news of how far a session has come, or of what it reads.
    pub(super) fn look_at_session(&mut self, session: SessionId) {
        if self.watches.laggards.is_empty() {
            return;
        }
        let from = WatchKey { id: MessageId::new(NodeId::from_bits(0), Seq::FIRST), number: 0 };
        let waiting = self.watches.laggards.range((session, from)..);
        let waiting = waiting.take_while(|(laggard, _)| *laggard == session);
        let keys: Vec<_> = waiting.map(|&(_, key)| key).collect();
        keys.into_iter().for_each(|key| self.look_for_laggard(key));
    }

    /// A peer that had stored `before` has stored `have`.
    pub(super) fn look_at_stored(&mut self, before: &Position, have: &Position) {
        if self.watches.storing.is_empty() {
            return;
        }
        for (origin, next) in have.iter().filter(|&(origin, next)| next > before.get(origin)) {
            let at = |seq| WatchKey { id: MessageId::new(origin, seq), number: 0 };
            let news = self.watches.storing.range(at(before.get(origin))..at(next));
            let keys: Vec<_> = news.map(|(&key, _)| key).collect();
            keys.into_iter().for_each(|key| self.look_for_nodes(key));
        }
    }

    /// Another node is reachable, or no longer.
    pub(super) fn look_at_nodes(&mut self) {
        let keys: Vec<_> = self.watches.storing.keys().copied().collect();
        keys.into_iter().for_each(|key| self.look_for_nodes(key));
    }

    /// More is on the disk than before, or the disk has failed.
    pub(super) fn look_at_disk(&mut self) {
        while let Some(&key) = self.watches.drying.first() {
            let verdict = match self.is_on_disk(key.id) {
                true => Verdict::OnDisk,
                false if self.durable.is_some() => return, // And so are those behind it.
                false => Verdict::NotOnDisk,
            };
            self.watches.drying.remove(&key);
            self.watches.verdicts.push((key, verdict));
        }
    }

    /// Messages may have gone.
    pub(super) fn look_at_ended(&mut self) {
        for (id, how) in self.replica.topics_mut().ledger.poll_news() {
            let from = WatchKey { id, number: 0 };
            let of_message = self.watches.settling.range(from..);
            let of_message = of_message.take_while(|(key, _)| key.id == id);
            let keys: Vec<_> = of_message.map(|(&key, _)| key).collect();
            for key in keys {
                self.end_settling(key);
                self.watches.verdicts.push((key, Verdict::Settled(Some(how))));
            }
        }
    }

    /// A message is for fewer than before, or for nobody.
    pub(super) fn look_at_withdrawn(&mut self, id: MessageId) {
        let from = WatchKey { id, number: 0 };
        let of_message = self.watches.settling.range(from..).take_while(|(key, _)| key.id == id);
        let keys: Vec<_> = of_message.map(|(&key, _)| key).collect();
        let Some((_, to)) = self.find(id) else { return };
        for key in keys {
            if self.is_withdrawn(id) {
                self.end_settling(key);
                self.watches.verdicts.push((key, Verdict::Settled(Some(WITHDRAWN))));
            } else if let Some(settling) = self.watches.settling.get_mut(&key) {
                settling.to = to.clone();
                self.look_for_laggard(key);
            }
        }
    }

    /// Whether a message is kept that was taken back from all who had not got it.
    pub(super) fn is_withdrawn(&self, id: MessageId) -> bool {
        let key = self.find(id).map(|(key, _)| key);
        key.is_some_and(|key| self.replica.topics().get(key).log.is_withdrawn(id))
    }

    /// Looks for a session that lacks a message, from where the last one was found.
    fn look_for_laggard(&mut self, key: WatchKey) {
        let Some(Settling { topic, to, laggard }) = self.watches.settling.get(&key) else {
            return;
        };
        let (topic, before) = (*topic, *laggard);
        // Once there is none, those are looked at again that have joined meanwhile.
        let next = [before, FIRST_SESSION];
        let mut next = next.iter().filter_map(|&from| self.lacking(topic, to, key.id, from).next());
        let next = next.next();
        #[cfg(test)]
        {
            self.watches.looks += 1;
        }
        self.watches.laggards.remove(&(before, key));
        match (next, self.watches.settling.get_mut(&key)) {
            (Some(session), Some(settling)) => {
                settling.laggard = session;
                self.watches.laggards.insert((session, key));
            }
            _ => {
                self.end_settling(key);
                let acknowledged = Verdict::Settled(Some(Ending::Acknowledged));
                self.watches.verdicts.push((key, acknowledged));
            }
        }
    }

    fn look_for_nodes(&mut self, key: WatchKey) {
        let Some(&asked) = self.watches.storing.get(&key) else {
            return;
        };
        let nodes = self.stored_on(key.id);
        if nodes >= asked || nodes == self.live.len() {
            self.watches.storing.remove(&key);
            self.watches.verdicts.push((key, Verdict::Stored { nodes, short: nodes < asked }));
        }
    }

    fn end_settling(&mut self, key: WatchKey) {
        if let Some(settling) = self.watches.settling.remove(&key) {
            self.watches.laggards.remove(&(settling.laggard, key));
            let from = WatchKey { id: key.id, number: 0 };
            let next = self.watches.settling.range(from..).next();
            if next.is_none_or(|(next, _)| next.id != key.id) {
                self.replica.topics_mut().ledger.unwatch(key.id);
            }
        }
    }
}
