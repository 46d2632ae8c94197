//! Taking a session over from the node that owned it, so that nothing is lost or out of order.
//!
//! ```text
//!   claim           Released from the last owner          all that it did is here
//!   ------> asking -----------------------------> waiting ------------------------> done
//!             |  the last owner is dead or not heard of      ^
//!             +----------------------------------------------+
//! ```
//!
//! While asking, for [`ASK_FOR`] at most, the client is not written to: the last owner knows best
//! how far it has read. Until it is done, for [`WAIT_FOR`] at most, the client is not read from: what
//! it says next must come after what it said on its last node, for everybody. The first operation
//! that follows says so to all others ([`Op::Follows`]), who put it off until they know that, too.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use super::{Core, Ended};
use crate::{
    id::{MessageId, NodeId, Seq, SessionId},
    proto::{Op, Presence, Released, SessionState, Stamp, wire::Encoded},
};

/// How long the last owner of a session is waited for to say how far its client has read.
const ASK_FOR: Duration = Duration::from_millis(250);

/// How long a client is not read from, waiting for what its last node did on its behalf: longer than
/// a death goes unnoticed.
const WAIT_FOR: Duration = Duration::from_secs(3);

/// How long an operation is waited for that others follow, once its node is dead: then nobody has it.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);

/// How many operations of one origin are put off until what they follow is here. At the limit a
/// further one is dropped: its sender sends it again.
const MAX_PUT_OFF: usize = 4_096;

/// One session that is being taken over.
#[derive(Debug)]
struct Takeover {
    /// Who owned it.
    from: NodeId,
    /// When it was claimed.
    since: Instant,
    /// What the last owner said: all that it did for the session lies before.
    next: Option<Seq>,
    /// Whether the client is not written to.
    asking: bool,
    /// When this node will not wait any longer for what it waits for.
    due: Instant,
}

/// The sessions that are being taken over, and what is put off.
#[derive(Debug, Default)]
pub(super) struct Takeovers {
    sessions: BTreeMap<SessionId, Takeover>,
    /// The same by who owned them, in the order of what they wait for: those first to whom that was not
    /// said.
    by_owner: BTreeMap<NodeId, BTreeSet<(Option<Seq>, SessionId)>>,
    dues: BTreeSet<(Instant, SessionId)>,
    /// Of each journal, what this node's own is said to follow.
    followed: BTreeMap<NodeId, Seq>,
    /// Of each origin, what waits for what it follows.
    put_off: BTreeMap<NodeId, VecDeque<(MessageId, Op, Encoded)>>,
}

impl Takeovers {
    /// Whether a session's client is not written to.
    pub(super) fn holds_reading(&self, session: SessionId) -> bool {
        !self.sessions.is_empty() && self.sessions.get(&session).is_some_and(|it| it.asking)
    }

    /// Whether a session's client is not read from.
    pub(super) fn holds(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    /// When something is waited for no longer.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.dues.first().map(|&(due, _)| due)
    }

    /// Keeps an operation until what it follows is here, as far as it comes in order.
    pub(super) fn put_off(&mut self, id: MessageId, op: Op, encoded: Encoded) {
        let waiting = self.put_off.entry(id.origin).or_default();
        let is_next = waiting.back().is_none_or(|(last, ..)| last.seq.next() == id.seq);
        if is_next && waiting.len() < MAX_PUT_OFF {
            waiting.push_back((id, op, encoded));
        }
    }

    /// Whether operations of an origin are kept until what they follow is here.
    pub(super) fn puts_off(&self, origin: NodeId) -> bool {
        self.put_off.contains_key(&origin)
    }

    /// The nodes whose operations others wait for here, now or once they have waited for others: each
    /// is waited for for a while only, and all at the same time.
    pub(super) fn waited_for(&self) -> impl Iterator<Item = NodeId> {
        self.put_off.values().flatten().filter_map(|(_, op, _)| match op {
            Op::Follows { after } => Some(after.origin),
            _ => None,
        })
    }

    fn insert(&mut self, session: SessionId, takeover: Takeover) {
        self.remove(session);
        self.by_owner.entry(takeover.from).or_default().insert((takeover.next, session));
        self.dues.insert((takeover.due, session));
        self.sessions.insert(session, takeover);
    }

    fn remove(&mut self, session: SessionId) -> Option<Takeover> {
        let takeover = self.sessions.remove(&session)?;
        self.dues.remove(&(takeover.due, session));
        if let Some(sessions) = self.by_owner.get_mut(&takeover.from) {
            sessions.remove(&(takeover.next, session));
            if sessions.is_empty() {
                self.by_owner.remove(&takeover.from);
            }
        }
        Some(takeover)
    }

    /// The last owner has said what a session waits for.
    fn set_next(&mut self, session: SessionId, next: Option<Seq>) {
        if let Some(takeover) = self.remove(session) {
            self.insert(session, Takeover { next, ..takeover });
        }
    }

    /// Those from which others differ only in that they wait for what comes later: of the sessions that
    /// `owner` had, one of those to whom nothing was said, and the first of the others.
    fn first_of(&self, owner: NodeId) -> [Option<SessionId>; 2] {
        let Some(sessions) = self.by_owner.get(&owner) else {
            return [None; 2];
        };
        let untold = sessions.first().filter(|(next, _)| next.is_none());
        let told = sessions.range((Some(Seq::FIRST), SessionId::from_bits(0))..).next();
        [untold, told].map(|first| first.map(|&(_, session)| session))
    }
}

impl Core {
    /// Whether a client must not be read from yet: what it said on its last node may still be on its
    /// way. [`poll_wakes`](Self::poll_wakes) names its attachment once it may be.
    pub fn is_taking_over(&self, session: SessionId) -> bool {
        self.takeovers.holds(session)
    }

    /// A session that was this node's was claimed, by another node or by this one again.
    pub(super) fn handle_lost_claim(&mut self, session: SessionId, now: Instant) {
        self.clear_deadline(session);
        let Some(state) = self.replica.state_of(session) else {
            return;
        };
        if state.session.claim.node == self.id {
            return;
        }
        self.forget_giving_up(session);
        if self.keeps(&state) {
            let last_owner = state.session.claim.node;
            self.claim(state, Presence::Attached, now);
            self.take_over(session, last_owner, now);
        } else {
            self.confirm_implied(session);
            self.end_attachment(session, Ended::Superseded);
            self.release(session, now);
        }
    }

    /// Whether a session that others claimed is still this node's, because its client is here.
    ///
    /// Who took this node for dead adopted the session, but its client has been here all along. A node
    /// that is dead has no client. And of two claims that know nothing of each other, the one that is
    /// heard of late may well be the older one: so who loses by the number of its node claims again,
    /// and then has it, as the other's claim is older now.
    fn keeps(&self, state: &SessionState) -> bool {
        let claim = state.session.claim;
        let Some(&key) = self.attached.get(&state.session.id) else {
            return false;
        };
        let ours = self.attachments.get(key).map(|attachment| attachment.epoch);
        state.session.presence != Presence::Attached
            || !self.live.contains(&claim.node)
            || ours == Some(claim.epoch)
    }

    pub(super) fn claim(&mut self, mut state: SessionState, presence: Presence, now: Instant) {
        let seq = self.replica.applied().get(self.id);
        state.session.claim = Stamp::new(state.session.claim.epoch.next(), self.id, seq);
        state.session.presence = presence;
        let (session, epoch) = (state.session.id, state.session.claim.epoch);
        self.commit(Op::SessionClaimed(state), now);
        if let Some(&key) = self.attached.get(&session)
            && let Some(attachment) = self.attachments.get_mut(key)
        {
            attachment.epoch = epoch;
        }
    }

    /// This node has claimed a session that `from` owned.
    pub(super) fn take_over(&mut self, session: SessionId, from: NodeId, now: Instant) {
        let asking = self.live.contains(&from) && self.is_linked(from);
        let due = now + if asking { ASK_FOR } else { WAIT_FOR };
        let takeover = Takeover { from, since: now, next: None, asking, due };
        self.takeovers.insert(session, takeover);
        self.check_takeover(session, now);
    }

    /// Another node has claimed a session that was this node's: it is told all that this node knew.
    ///
    /// Who was still taking it over itself passes on what it waits for, if it knows that. If it does
    /// not, it says at least how far the client has read, once it knows that best: or a client that
    /// goes on from node to node would find each asking in vain, for as long as it does.
    pub(super) fn release(&mut self, session: SessionId, now: Instant) {
        let Some(state) = self.replica.state_of(session) else {
            return;
        };
        let claim = state.session.claim;
        let mut waits = false;
        if let Some(takeover) = self.takeovers.remove(state.session.id)
            && takeover.from != claim.node
        {
            match takeover.next {
                Some(next) => self.follow_journal(takeover.from, next, now),
                None if takeover.asking => return, // It was not written to.
                None => waits = true,
            }
        }
        let positions = state.memberships.iter();
        let positions =
            positions.map(|(topic, member)| (topic.clone(), member.acknowledged.clone()));
        let next = (!waits).then(|| self.replica.applied().get(self.id));
        let released = Released::new(state.session.id, claim.epoch, next, positions.collect());
        if self.is_linked(claim.node) {
            self.push_control(claim.node, Encoded::released(&released));
        }
    }

    /// The last owner of a session says what it knew.
    pub(super) fn handle_released(&mut self, peer: NodeId, released: Released, now: Instant) {
        let session = released.session;
        let is_current = self.replica.session(session).is_some_and(|known| {
            (known.claim.node, known.claim.epoch) == (self.id, released.epoch)
        });
        let takeover = self.takeovers.sessions.get(&session);
        if takeover.is_none_or(|it| !is_current || it.from != peer) {
            return;
        }
        self.takeovers.set_next(session, released.next);
        for (topic, mut position) in released.positions {
            self.replica.strip(&mut position);
            if let Some(topic) = self.replica.topics().find(&topic) {
                self.handle_acknowledged(session, vec![(topic, position)]);
                if let Some(key) = self.attachment_of(session) {
                    self.follow(key, session, topic);
                }
            }
        }
        self.end_asking(session);
        self.check_takeover(session, now);
    }

    /// Sees which takeovers are done, now that more is known.
    pub(super) fn check_takeovers(&mut self, now: Instant) {
        let owners: Vec<_> = self.takeovers.by_owner.keys().copied().collect();
        for owner in owners {
            // While the first waits all others do, of which there may be very many.
            for which in 0..2 {
                while let Some(session) = self.takeovers.first_of(owner)[which]
                    && self.check_takeover(session, now)
                {}
            }
        }
    }

    /// Waits no longer for what should have come by now.
    pub(super) fn expire_takeovers(&mut self, now: Instant) {
        while let Some(&(due, session)) = self.takeovers.dues.first()
            && due <= now
        {
            let is_asking = self.takeovers.holds_reading(session);
            match self.takeovers.remove(session) {
                Some(takeover) if is_asking => {
                    let due = takeover.since + WAIT_FOR;
                    self.takeovers.insert(session, Takeover { asking: false, due, ..takeover });
                    self.wake_session(session);
                }
                Some(takeover) => self.end_takeover(session, takeover.from, now),
                None => {}
            }
        }
    }

    /// Whether an operation must wait for another that it follows.
    pub(super) fn must_wait(&self, id: MessageId, op: &Op, now: Instant) -> bool {
        if self.takeovers.put_off.get(&id.origin).is_some_and(|waiting| !waiting.is_empty()) {
            return true;
        }
        let Op::Follows { after } = op else {
            return false;
        };
        let is_next = id.seq == self.replica.applied().get(id.origin);
        is_next && !self.replica.applied().covers(*after) && !self.is_given_up(*after, now)
    }

    /// Applies what was put off for what will never come.
    pub(super) fn give_up_waiting(&mut self, now: Instant) {
        let before = self.replica.applied().clone();
        self.apply_put_off(now);
        if *self.replica.applied() != before {
            self.handle_progress_made(now);
        }
    }

    /// Applies what was put off, as far as what it follows is here.
    pub(super) fn apply_put_off(&mut self, now: Instant) {
        let mut is_moving = true;
        while std::mem::take(&mut is_moving) {
            let origins: Vec<_> = self.takeovers.put_off.keys().copied().collect();
            for origin in origins {
                is_moving |= self.apply_put_off_of(origin, now);
            }
        }
    }

    /// Applies what was put off of one origin. Whether there was something.
    fn apply_put_off_of(&mut self, origin: NodeId, now: Instant) -> bool {
        let mut waiting = self.takeovers.put_off.remove(&origin).unwrap_or_default();
        let mut has_moved = false;
        while let Some((id, op, encoded)) = waiting.pop_front() {
            if self.must_wait(id, &op, now) {
                waiting.push_front((id, op, encoded));
                break;
            }
            has_moved |= self.apply(id, op, encoded, now);
        }
        if !waiting.is_empty() {
            self.takeovers.put_off.insert(origin, waiting);
        }
        has_moved
    }

    /// Whether an operation that is missing will never come: its node has been dead for long, and no
    /// other that is there has it.
    fn is_given_up(&self, id: MessageId, now: Instant) -> bool {
        let since = self.dead.get(&id.origin);
        let is_dead_for = |long| since.is_some_and(|&it| now.saturating_duration_since(it) >= long);
        let live = self.live.iter().filter_map(|node| self.peers.get(node));
        let is_coming = live.filter(|peer| peer.linked).any(|peer| peer.have.covers(id));
        // By then, who had it has forgotten it with its origin.
        let is_forgotten = is_dead_for(self.limits.dead_kept.max(GIVE_UP_AFTER));
        let is_lost = is_dead_for(GIVE_UP_AFTER) && !is_coming;
        self.replica.is_retired(id.origin) || is_forgotten || is_lost
    }

    /// Whether a takeover is done; ends it if so.
    fn check_takeover(&mut self, session: SessionId, now: Instant) -> bool {
        let Some(Takeover { from, next, .. }) = self.takeovers.sessions.get(&session) else {
            return true;
        };
        let (from, here) = (*from, self.replica.applied().get(*from));
        let is_done = match next {
            Some(next) => here >= *next,
            None if self.live.contains(&from) => false,
            None => self.live.iter().all(|node| {
                self.peers.get(node).is_some_and(|peer| peer.linked && peer.have.get(from) <= here)
            }),
        };
        if is_done {
            self.takeovers.remove(session);
            self.end_takeover(session, from, now);
        }
        is_done
    }

    /// Nothing more is waited for: what follows, follows.
    fn end_takeover(&mut self, session: SessionId, from: NodeId, now: Instant) {
        self.follow_journal(from, self.replica.applied().get(from), now);
        self.tell_of_pushes(session);
        self.wake_session(session);
    }

    /// Says, unless it is said already, that what this node does from now on comes after what
    /// `origin` did before `next`.
    pub(super) fn follow_journal(&mut self, origin: NodeId, next: Seq, now: Instant) {
        if origin == self.id {
            return;
        }
        let followed = self.takeovers.followed.entry(origin).or_default();
        if *followed < next {
            *followed = next;
            let after = MessageId::new(origin, Seq::new(next.get() - 1));
            self.commit(Op::Follows { after }, now);
        }
    }

    fn end_asking(&mut self, session: SessionId) {
        if let Some(takeover) = self.takeovers.remove(session) {
            let due = takeover.since + WAIT_FOR;
            self.takeovers.insert(session, Takeover { asking: false, due, ..takeover });
            self.wake_session(session);
        }
    }

    /// Wakes a session's attachment, whatever it waits for.
    pub(super) fn wake_session(&mut self, session: SessionId) {
        if let Some(key) = self.attachment_of(session) {
            self.wakes.push(key);
            if let Some(attachment) = self.attachments.get_mut(key) {
                attachment.waiting = false;
            }
        }
    }

    /// Forgets what concerns an origin that is dead and forgotten.
    pub(super) fn forget_followed(&mut self, origin: NodeId) {
        self.takeovers.followed.remove(&origin);
        self.takeovers.put_off.remove(&origin);
    }
}
