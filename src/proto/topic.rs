//! A topic, as one node knows it: its log, and who reads it.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use super::{LogLimits, Membership, Position, Stamp, TopicLog, gone::Gone};
use crate::id::{Seq, SessionId, TopicName};

/// A topic's place among those of its node. It means nothing elsewhere.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TopicKey(pub(super) usize);

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
    /// Those among them that have left, and are members still for what was published before.
    leaving: BTreeSet<SessionId>,
}

impl Topic {
    pub(super) fn new(name: TopicName, limits: LogLimits, gone: Gone) -> Self {
        let log = TopicLog::new(limits, gone);
        Self { name, log, members: BTreeMap::new(), leaving: BTreeSet::new() }
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
        let left = self.leaving.iter().filter_map(|id| self.members.get_key_value(id));
        let over = left.filter(|&(&session, member)| self.is_over(session, member, applied));
        over.map(|(&session, member)| (session, member.stamp)).collect()
    }

    /// Whether time alone may change something: there is something to drop, or somebody to depart.
    pub(super) fn awaits_time(&self) -> bool {
        self.is_being_left() || !self.log.is_empty()
    }

    /// Whether somebody has left it, and is a member still.
    pub(super) fn is_being_left(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Learns of a membership, or more of it.
    pub(super) fn admit(&mut self, session: SessionId, member: Membership) {
        let has_left = match self.members.entry(session) {
            Entry::Occupied(mut here) => {
                here.get_mut().merge(member);
                here.get().until.is_some()
            }
            Entry::Vacant(none) => none.insert(Box::new(member)).until.is_some(),
        };
        match has_left {
            true => self.leaving.insert(session),
            false => self.leaving.remove(&session),
        };
    }

    /// A session is no member any more.
    pub(super) fn dismiss(&mut self, session: SessionId) {
        self.members.remove(&session);
        self.leaving.remove(&session);
    }

    /// Whether nothing would be missed if it were forgotten.
    pub fn is_idle(&self) -> bool {
        self.members.is_empty() && self.log.is_empty()
    }
}
