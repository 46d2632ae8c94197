//! What each operation changes.

use std::{collections::btree_map::Entry, time::Instant};

use super::{Change, Known, MAX_EARLY, Replica, Tombstone};
use crate::{
    id::{MessageId, NodeId, SessionId, TopicName},
    proto::{
        CloseReason, Closed, Closure, Membership, Op, OpenPush, Position, Presence, SessionState,
        Stamp, TopicKey,
    },
};

impl Replica {
    pub(super) fn fold(&mut self, id: MessageId, op: Op, now: Instant) {
        if let Some(session) = op.concerned()
            && !self.sessions.contains_key(&session)
        {
            self.put_aside(session, id, op);
            return;
        }
        let stamp = |epoch| Stamp::new(epoch, id.origin, id.seq);
        match op {
            Op::SessionClaimed(mut state) => {
                for (_, member) in &mut state.memberships {
                    member.carried = Some(state.session.claim);
                }
                self.fold_claim(state, now);
            }
            Op::SessionReady { session } => {
                if let Some(known) = self.sessions.get_mut(&session) {
                    known.session.ready = true;
                }
            }
            Op::SessionDetached { session, epoch, why } => {
                if let Some(known) = self.sessions.get_mut(&session)
                    && (known.session.claim.epoch, known.session.claim.node) == (epoch, id.origin)
                {
                    known.session.presence = Presence::Detached(why);
                }
            }
            Op::SessionClosed { session, owner, reason } => {
                self.fold_close(session, Closed { owner, reason, by: id }, now);
            }
            Op::Departed { session, topic, left } => self.fold_departure(session, topic, left),
            Op::Joined { session, epoch, topic, from } => {
                self.merge_member(session, &topic, Membership::new(stamp(epoch), from));
            }
            Op::Left { session, epoch, topic, until } => {
                self.fold_leave(session, &topic, stamp(epoch), until);
            }
            Op::Accepted { session, key, message } => {
                if let Some(known) = self.sessions.get_mut(&session)
                    && known.inbox.accept(OpenPush::new(key.clone(), id, message), now)
                {
                    self.changes.push_back(Change::Pushed { session, key });
                }
            }
            Op::Handled { session, key } => {
                if let Some(known) = self.sessions.get_mut(&session) {
                    known.inbox.finish(&key, id, now);
                }
            }
            Op::Resumed { topic } => self.changes.push_back(Change::Resumed(topic)),
            Op::TopicClosure { topic, turn, is_closed } => {
                self.fold_closure(&topic, Closure::new(turn, id, is_closed));
            }
            Op::Withdrawn { topic, id, from } => self.fold_withdrawal(&topic, id, &from),
            Op::Follows { .. } | Op::Published { .. } | Op::Unknown => {}
        }
    }

    pub(super) fn fold_closure(&mut self, topic: &TopicName, closure: Closure) {
        let is_news = topic.private_session().is_none() && self.closures.merge(topic, closure);
        if is_news && closure.is_closed {
            self.changes.push_back(Change::TopicClosed);
        }
    }

    pub(super) fn fold_claim(&mut self, state: SessionState, now: Instant) {
        let id = state.session.id;
        if !self.tombstones.contains_key(&id) {
            self.upsert(state);
            self.fold_early(id, now);
        }
    }

    /// A close ends every claim, earlier or later: the outcome is the same in whatever order they
    /// are heard of.
    pub(super) fn fold_close(&mut self, id: SessionId, closed: Closed, now: Instant) {
        let session = self.sessions.get(&id).map(|known| known.session.clone());
        self.remove_session(id, Some(closed.owner), closed.reason);
        self.early.retain(|&(early, _)| early != id);
        self.early_ops.retain(|(early, ..)| *early != id);
        if let Entry::Vacant(none) = self.tombstones.entry(id) {
            none.insert(Tombstone { closed, session, since: now });
            self.tombstone_order.push_back((now, id));
        }
    }

    /// Keeps what was heard of a session before the session was: a handler that ran on a node which
    /// does not own it may have let it join a topic.
    fn put_aside(&mut self, session: SessionId, id: MessageId, op: Op) {
        if !self.tombstones.contains_key(&session) {
            self.early_ops.push_back((session, id, op));
            if self.early_ops.len() > MAX_EARLY {
                self.early_ops.pop_front();
            }
        }
    }

    /// A leave that finds no member is that of one which another node has let depart, for an earlier
    /// leave: it has had all, and departs for this one as well.
    pub(super) fn fold_leave(
        &mut self,
        id: SessionId,
        topic: &TopicName,
        stamp: Stamp,
        until: Position,
    ) {
        let key = self.topics.find(topic);
        let member = key.and_then(|key| self.topics.get(key).members.get(&id));
        let acknowledged = member.map_or_else(|| until.clone(), |here| here.acknowledged.clone());
        self.merge_member(
            id,
            topic,
            Membership { stamp, carried: None, until: Some(until), acknowledged },
        );
    }

    pub(super) fn fold_departure(&mut self, session: SessionId, topic: TopicName, left: Stamp) {
        if let Some(key) = self.topics.find(&topic)
            && let Some(member) = self.topics.get(key).members.get(&session)
            && member.stamp <= left
        {
            self.remove_member(session, key);
        }
        if let Some(known) = self.sessions.get_mut(&session) {
            known.depart(topic, left);
        }
    }

    /// Learns of a session, or more of it.
    pub(super) fn upsert(&mut self, state: SessionState) {
        let SessionState { session, memberships, departed } = state;
        let id = session.id;
        let is_new = !self.sessions.contains_key(&id);
        let known = self.sessions.entry(id).or_insert_with(|| Known::new(session.clone()));
        let (ready, before) = (known.session.ready || session.ready, known.session.claim);
        if session.claim == before && session.presence != Presence::Attached {
            known.session.presence = session.presence;
        }
        if session.claim > before {
            known.session = session;
        }
        known.session.ready = ready;
        let claim = known.session.claim;
        if is_new || claim > before {
            let lost = (!is_new).then_some(before.node);
            self.change_owner(lost, Some(claim.node));
            self.changes.push_back(Change::Claimed { session: id, lost });
        }
        for (topic, left) in departed {
            self.fold_departure(id, topic, left);
        }
        for (topic, member) in memberships {
            // Nobody leaves a private topic; and its first message may have been heard of before the
            // session was.
            let is_here = self.find_member(id, &topic) || topic.private_session().is_some();
            if is_new || is_here || !member.stamp.is_known_at(&self.known) {
                self.merge_member(id, &topic, member);
            }
        }
        if let Some(at) = self.early.iter().position(|&(early, _)| early == id)
            && let Some((_, first)) = self.early.remove(at)
        {
            let private = self.topics.open(&TopicName::private(id));
            self.join_private(id, private, first);
        }
    }

    pub(super) fn find_member(&self, session: SessionId, topic: &TopicName) -> bool {
        let key = self.topics.find(topic);
        key.is_some_and(|key| self.topics.get(key).members.contains_key(&session))
    }

    pub(super) fn merge_member(
        &mut self,
        session: SessionId,
        topic: &TopicName,
        mut member: Membership,
    ) {
        self.strip(&mut member.acknowledged);
        if let Some(until) = &mut member.until {
            self.strip(until);
        }
        let Some(known) = self.sessions.get_mut(&session) else {
            return; // It is closed: its owner claimed it before it let it join.
        };
        if known.departed.iter().any(|(left, stamp)| left == topic && member.stamp <= *stamp) {
            return; // It has ended since.
        }
        let key = self.topics.open(topic);
        if !self.topics.get(key).members.contains_key(&session) {
            known.topics.push(key);
            self.topics.handle_late_reader(key, &member.acknowledged);
        }
        self.topics.get_mut(key).admit(session, member);
        self.changes.push_back(Change::MembershipChanged { session, topic: key });
    }

    pub(super) fn remove_member(&mut self, session: SessionId, topic: TopicKey) {
        self.topics.get_mut(topic).dismiss(session);
        if let Some(known) = self.sessions.get_mut(&session) {
            known.topics.retain(|&key| key != topic);
        }
        self.changes.push_back(Change::MembershipChanged { session, topic });
    }

    /// Folds what was heard of a session before the session was.
    fn fold_early(&mut self, session: SessionId, now: Instant) {
        let early = std::mem::take(&mut self.early_ops);
        for (concerned, id, op) in early {
            match concerned == session {
                true => self.fold(id, op, now),
                false => self.early_ops.push_back((concerned, id, op)),
            }
        }
    }

    /// Removes a session, whose handler `owner` is to tell: who owns it, if that was not said.
    pub(super) fn remove_session(
        &mut self,
        id: SessionId,
        owner: Option<NodeId>,
        reason: CloseReason,
    ) {
        let Some(Known { session, topics, .. }) = self.sessions.remove(&id) else {
            return;
        };
        for key in topics {
            self.topics.get_mut(key).dismiss(id);
        }
        self.change_owner(Some(session.claim.node), None);
        let owner = owner.unwrap_or(session.claim.node);
        self.changes.push_back(Change::Closed { session, owner, reason });
    }
}
