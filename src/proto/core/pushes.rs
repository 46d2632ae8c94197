//! Pushes: what clients send that must be handled, whatever dies.
//!
//! A push is accepted by an operation that holds it whole, acknowledged to its client once that is
//! stored as [`Durability`] asks, and open until the handler has returned. The node that owns the
//! session tells the handler; if it dies before the handler has returned, the next owner does.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{AttachmentKey, Core, Event, PostKey, Refused, check_message};
use crate::{
    id::{MessageId, PushKey, Seq, SessionId},
    message::Message,
    proto::{CloseReason, Durability, Inbox, Level, Op, OpenPush, Recipients},
};

/// How long to wait for peers to come back, once there are fewer than a push should be stored on:
/// longer than a death goes unnoticed. Then what is there will do.
const SHORT_FOR: Duration = Duration::from_secs(2);

/// How many pushes of one client wait to be acknowledged, those that it sent again among them. At
/// the limit it is not read from until some are stored.
const MAX_UNSTORED: usize = 1_024;

/// How long after a client came back its pushes wait for earlier ones, which it does not send again
/// because another node has acknowledged them, and which this node has not heard of: what accepted
/// them may be on its way, or on the disk of a node that is about to start. Then the client may
/// overtake itself.
pub(super) const PATIENT_FOR: Duration = Duration::from_secs(3);

/// What became of a push.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Push {
    /// It is accepted, now or before. An [`Acknowledgement`] will be [read](Core::read).
    Accepted,
    /// It cannot be taken yet: too many are open, or the session is being taken over.
    /// [`Core::poll_wakes`] names the attachment when it may be tried again.
    Later,
    /// It is not taken, and never will be.
    Refused(Refused),
}

/// A push is stored, and need not be sent again.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Acknowledgement {
    /// What its client calls it.
    pub key: PushKey,
    /// How well it is stored.
    pub level: Level,
    /// How many nodes have stored it, as far as this one has heard, this one included.
    pub nodes: usize,
}

/// A push that is to be acknowledged once all is stored that lies before `next` in this node's
/// journal.
#[derive(Debug)]
struct Unstored {
    next: Seq,
    /// Of one that was accepted before, and perhaps by another node: how much had happened by now,
    /// in whichever journal.
    recorded: Option<u64>,
    attachment: AttachmentKey,
    /// The post that it came with, and is acknowledged with.
    post: Option<PostKey>,
    key: PushKey,
}

/// What is on its way between clients and their handlers.
#[derive(Debug, Default)]
pub(super) struct Pushes {
    /// In the order of this node's journal.
    unstored: VecDeque<Unstored>,
    /// Until when peers are waited for, there being fewer than a push should be stored on.
    short_until: Option<Instant>,
    /// The attachments whose pushes wait for others to be handled.
    waiting: BTreeMap<SessionId, AttachmentKey>,
    /// The sessions of which a push waits for earlier ones, and until when.
    patient: BTreeSet<(Instant, SessionId)>,
    /// The sessions to be closed once their handlers have been told of everything.
    pub(super) closing: BTreeMap<SessionId, CloseReason>,
}

impl Core {
    /// A client sent something that must not be lost.
    pub fn push(
        &mut self,
        attachment: AttachmentKey,
        key: &PushKey,
        message: &Message,
        now: Instant,
    ) -> Push {
        self.push_for(attachment, None, key, message, now)
    }

    /// As [`push`](Self::push), perhaps by a post, which is told of its acknowledgement then.
    pub(super) fn push_for(
        &mut self,
        attachment: AttachmentKey,
        post: Option<PostKey>,
        key: &PushKey,
        message: &Message,
        now: Instant,
    ) -> Push {
        let Some(session) = self.session_of(attachment) else {
            return Push::Refused(Refused::NoSession);
        };
        if let Err(refused) = check_message(message, &Recipients::Everyone) {
            return Push::Refused(refused);
        }
        let Some(inbox) = self.replica.inbox(session) else {
            return Push::Refused(Refused::NoSession);
        };
        let unstored = self.attachments.get(attachment).map_or(0, |it| it.unstored);
        if self.leaving || self.is_taking_over(session) || unstored >= MAX_UNSTORED {
            return Push::Later;
        }
        let is_known = inbox.has(key, now);
        if !is_known {
            let due = self.attachments.get(attachment).and_then(|it| it.patient_until);
            if let Some(due) = due.filter(|due| now < *due && inbox.lacks_before(key)) {
                self.pushes.patient.insert((due, session));
                return Push::Later;
            }
            if !inbox.has_room() {
                self.pushes.waiting.insert(session, attachment);
                return Push::Later;
            }
            let (key, message) = (key.clone(), message.clone());
            self.commit(Op::Accepted { session, key, message }, now);
        }
        if is_known {
            self.follow_acceptance(session, key, now);
        }
        let next = self.replica.applied().get(self.id);
        let recorded = is_known.then(|| self.recorded());
        let key = key.clone();
        self.pushes.unstored.push_back(Unstored { next, recorded, attachment, post, key });
        if let Some(it) = self.attachments.get_mut(attachment) {
            it.unstored += 1;
        }
        self.acknowledge_pushes(now);
        Push::Accepted
    }

    /// A push was accepted before, perhaps by another node: who has stored what this node does next
    /// is to have stored that.
    fn follow_acceptance(&mut self, session: SessionId, key: &PushKey, now: Instant) {
        let inbox = self.replica.inbox(session);
        let open = inbox.and_then(|inbox| inbox.open().find(|push| push.key == *key));
        if let Some(id) = open.map(|push| push.id) {
            self.follow_journal(id.origin, id.seq.next(), now);
        }
        self.follow_handled(session, now);
        let dead: Vec<_> = self.dead.keys().copied().collect();
        for origin in dead {
            let next = self.replica.applied().get(origin);
            self.follow_journal(origin, next, now);
        }
    }

    /// The handler can be told of a session's next push, and is about to be. `None` if it must not
    /// be: it was told of all, or another node does that, or did until now and is being asked, or will
    /// because this one is about to leave.
    ///
    /// A handler that is told of one at a time is told in the order in which the client sent them,
    /// also where its session was another node's for a while. What it does about this one comes after
    /// what was done about those before, for everybody, and after what accepted this one.
    pub fn begin_push(&mut self, session: SessionId, now: Instant) -> Option<(PushKey, Message)> {
        let owner = self.replica.session(session)?.claim.node;
        if owner != self.id || self.is_taking_over(session) || self.leaving {
            return None;
        }
        let OpenPush { key, id, message, .. } = self.replica.begin_push(session)?.clone();
        // Who has not heard of the push could not note what it led to.
        if !self.replica.is_retired(id.origin) {
            self.follow_journal(id.origin, id.seq.next(), now);
        }
        self.follow_handled(session, now);
        Some((key, message))
    }

    /// Who has what this node does next is to know which pushes of a session were handled.
    fn follow_handled(&mut self, session: SessionId, now: Instant) {
        for (origin, next) in self.replica.take_handled(session).iter() {
            self.follow_journal(origin, next, now);
        }
    }

    /// The handler has returned from a push. Once this node is about to leave, what the handler did
    /// may have been refused: then the next owner's is told of the push again.
    pub fn finish_push(&mut self, session: SessionId, key: &PushKey, now: Instant) {
        if self.leaving {
            return;
        }
        let is_open = |core: &Self| {
            let inbox = core.replica.inbox(session);
            inbox.is_some_and(|inbox| inbox.open().any(|push| push.key == *key))
        };
        if is_open(self) {
            self.commit(Op::Handled { session, key: key.clone() }, now);
        }
        if let Some(attachment) = self.pushes.waiting.remove(&session) {
            self.wakes.push(attachment);
        }
        if let Some(&reason) = self.pushes.closing.get(&session) {
            self.close_when_idle(session, reason, now);
        }
    }

    /// Ends a session once its handler has been told of everything that its client has pushed.
    pub(super) fn close_when_idle(
        &mut self,
        session: SessionId,
        reason: CloseReason,
        now: Instant,
    ) {
        let is_own = self.replica.session(session).is_some_and(|it| it.claim.node == self.id);
        let is_idle = self.replica.inbox(session).is_none_or(|inbox| inbox.is_idle());
        if is_own && !is_idle {
            self.pushes.closing.insert(session, reason);
        } else {
            self.pushes.closing.remove(&session);
            self.close(session, reason, now);
        }
    }

    /// Ends the sessions that wait for pushes of which another node said that they are handled.
    pub(super) fn close_idle(&mut self, now: Instant) {
        for (session, reason) in self.pushes.closing.clone() {
            if self.replica.inbox(session).is_none_or(Inbox::is_idle) {
                self.close_when_idle(session, reason, now);
            }
        }
    }

    /// A client that this node waited for is another's to wait for: what this node was about to give
    /// up once its handler returns, it gives up no longer. A client that is done stays so.
    pub(super) fn forget_giving_up(&mut self, session: SessionId) {
        if let Some(CloseReason::Abandoned(_)) = self.pushes.closing.get(&session) {
            self.pushes.closing.remove(&session);
        }
    }

    /// Has the handler told of a push, if this node is the one to do it.
    pub(super) fn tell_of_push(&mut self, session: SessionId, key: PushKey) {
        self.wake_if_patient(session);
        if let Some(known) = self.replica.session(session)
            && known.claim.node == self.id
            && !self.is_taking_over(session)
        {
            self.events.push_back(Event::Pushed { session: known.clone(), key });
        }
    }

    /// Has the handler told of all pushes that are open.
    pub(super) fn tell_of_pushes(&mut self, session: SessionId) {
        let inbox = self.replica.inbox(session).into_iter();
        let open: Vec<_> =
            inbox.flat_map(|inbox| inbox.open().map(|push| push.key.clone())).collect();
        for key in open {
            self.tell_of_push(session, key);
        }
    }

    /// There are more live peers than before, or fewer, of which the last may return.
    pub(super) fn handle_reachable(&mut self, may_return: bool, now: Instant) {
        if self.live.len() >= self.limits.durability.peers() {
            self.pushes.short_until = None;
        } else if may_return {
            self.pushes.short_until = Some(now + SHORT_FOR);
        }
        self.acknowledge_pushes(now);
    }

    /// When pushes are to be acknowledged though they are not stored as they should be, or to be
    /// taken though earlier ones are missing.
    pub(super) fn pushes_due(&self) -> Option<Instant> {
        let short = self.pushes.short_until.filter(|_| !self.pushes.unstored.is_empty());
        let patient = self.pushes.patient.first().map(|&(due, _)| due);
        short.into_iter().chain(patient).min()
    }

    /// A push of a session was heard of, for which later ones may wait.
    fn wake_if_patient(&mut self, session: SessionId) {
        if !self.pushes.patient.is_empty()
            && let Some(key) = self.attachment_of(session)
            && let Some(due) = self.attachments.get(key).and_then(|it| it.patient_until)
            && self.pushes.patient.remove(&(due, session))
        {
            self.wake_session(session);
        }
    }

    /// Wakes those whose pushes wait for earlier ones, and have until `due`, or all.
    pub(super) fn wake_patient(&mut self, due: Option<Instant>) {
        while let Some(&(until, session)) = self.pushes.patient.first()
            && due.is_none_or(|due| until <= due)
        {
            self.pushes.patient.pop_first();
            self.wake_session(session);
        }
    }

    /// Acknowledges what is stored as it should be.
    pub(super) fn acknowledge_pushes(&mut self, now: Instant) {
        if self.pushes.unstored.is_empty() {
            return;
        }
        self.pushes.short_until.take_if(|until| *until <= now);
        let stored = self.stored_as_asked();
        let waits_for_disk = self.limits.durability == Durability::Disk && self.durable.is_some();
        while let Some(push) = self.pushes.unstored.front()
            && push.next <= stored
            && (!waits_for_disk || push.recorded.is_none_or(|recorded| self.has_stored(recorded)))
            && let Some(push) = self.pushes.unstored.pop_front()
        {
            let Unstored { next, recorded, attachment, post, key } = push;
            let acknowledgement = self.acknowledgement(key, next, recorded);
            let told = match post {
                Some(post) => {
                    self.note_stored(post, acknowledgement);
                    None
                }
                None => Some(acknowledgement),
            };
            if let Some(it) = self.attachments.get_mut(attachment) {
                it.unstored -= 1;
                it.acknowledged.extend(told);
                it.waiting = false;
                self.wakes.push(attachment);
            }
        }
    }

    fn acknowledgement(&self, key: PushKey, next: Seq, recorded: Option<u64>) -> Acknowledgement {
        let last = MessageId::new(self.id, Seq::new(next.get().saturating_sub(1)));
        let nodes = 1 + self.stored_on(last);
        let is_on_disk = self.durable.is_some_and(|durable| durable >= next)
            && recorded.is_none_or(|recorded| self.has_stored(recorded));
        let level = match nodes {
            _ if is_on_disk => Level::Disk,
            1 => Level::Local,
            _ => Level::Replicated,
        };
        Acknowledgement { key, level, nodes }
    }

    /// The end of what is stored of this node's journal as well as it should be, or as well as it
    /// can be.
    fn stored_as_asked(&self) -> Seq {
        let own = self.replica.applied().get(self.id);
        let stored = match self.limits.durability.peers().min(self.live.len()) {
            _ if self.pushes.short_until.is_some() => Seq::FIRST,
            0 => own,
            reachable => self.stored_on_peers(reachable),
        };
        match self.limits.durability {
            // Once the disk has failed, what is acknowledged says that it is not there.
            Durability::Disk => stored.min(self.durable.unwrap_or(own)),
            Durability::Local | Durability::Replicated(_) => stored,
        }
    }

    /// The end of what at least this many live peers have stored of this node's journal.
    fn stored_on_peers(&self, peers: usize) -> Seq {
        let live = self.live.iter().filter_map(|node| self.peers.get(node));
        let mut ends: Vec<_> = live.map(|peer| peer.have.get(self.id)).collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        ends.get(peers - 1).copied().unwrap_or(Seq::FIRST)
    }
}
