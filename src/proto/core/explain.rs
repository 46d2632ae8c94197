//! Why a session got a message, or did not, as far as one node can tell.

use std::time::Instant;

use super::{Core, Happened};
use crate::{
    id::{MessageId, NodeId, Seq, SessionId, TopicName},
    proto::{
        CloseReason, Kept, Membership, NodeEvent, Op, Presence, Seat, Session, Step, Testimony,
        TopicKey, What,
    },
};

/// What a question is about.
#[derive(Clone, Copy)]
struct Asked<'a> {
    message: MessageId,
    session: SessionId,
    topic: Option<&'a TopicName>,
    /// Where the topic is, if it is open.
    key: Option<TopicKey>,
}

impl Core {
    /// What this node can say of whether a session got a message, and why. If it has not heard of the
    /// message, it may be told by `topic` where that was published. `calendar` is when an instant was
    /// or is, in milliseconds since the Unix epoch.
    ///
    /// It costs a look at all that is remembered of what happened, and at the messages of the topic.
    pub fn testify(
        &self,
        message: MessageId,
        session: SessionId,
        topic: Option<&TopicName>,
        calendar: impl Fn(Instant) -> u64,
    ) -> Testimony {
        let topics = self.replica.topics();
        let line = topics.ledger.line(message);
        let topic = line.map(|line| &line.topic).or(topic);
        let key = topic.and_then(|topic| topics.find(topic));
        let asked = Asked { message, session, topic, key };
        let known = self.replica.session(session);
        let member = self.member(asked);
        let kept = match line.map(|line| line.ending) {
            Some(Some(ending)) => Kept::Ended(ending),
            Some(None) => Kept::Still,
            None if self.replica.known().covers(message) => Kept::Forgotten,
            None => Kept::Unheard,
        };
        let is_alive = |node| node == self.id || self.live.contains(&node);
        let has = |peer: &_| self.peers.get(peer).is_some_and(|peer| peer.have.covers(message));
        let lost = key.map(|key| topics.get(key).log.lost());
        Testimony {
            node: self.id,
            message,
            session,
            kept,
            topic: topic.cloned(),
            stored_ms: line.map(|line| calendar(line.stored)),
            origin_lives: is_alive(message.origin),
            stored_on: self.live.iter().filter(|peer| has(*peer)).copied().collect(),
            is_for: self.is_for(asked),
            knows_origin: self.has_heard_of(message.origin),
            is_withdrawn: topic
                .is_some_and(|topic| self.replica.is_withdrawn_from(topic, message, session)),
            owner: known.map(|known| known.claim.node),
            away: known.and_then(|known| match known.presence {
                Presence::Detached(why) => Some(why),
                Presence::Attached => None,
            }),
            closed: self.replica.closed(session).map(|closed| closed.reason),
            seat: self.seat(asked),
            is_past: member.is_some_and(|member| member.acknowledged.covers(message)),
            is_given: self.is_given(asked),
            is_lost: kept == Kept::Forgotten && lost.is_some_and(|lost| lost.covers(message)),
            is_complete: line.is_some_and(|line| self.flight.covers(line.stored)),
            complete_ms: self.flight.since().map(&calendar),
            remembers_given: line.is_some_and(|line| self.flight.covers_given(line.stored)),
            remembers_withheld: self.flight.covers_withheld(line.map(|line| line.stored)),
            steps: self.steps(asked, calendar),
        }
    }

    /// Whether a node is a member, was one of late, or has had its operations heard.
    fn has_heard_of(&self, node: NodeId) -> bool {
        let has_done_something = self.replica.known().get(node) > Seq::FIRST;
        has_done_something
            || node == self.id
            || self.peers.contains_key(&node)
            || self.replica.is_retired(node)
    }

    fn member(&self, asked: Asked<'_>) -> Option<&Membership> {
        let topic = self.replica.topics().get(asked.key?);
        topic.members.get(&asked.session).map(Box::as_ref)
    }

    /// Whether a message is for a session, if that is in its topic.
    fn is_for(&self, Asked { message, session, topic, .. }: Asked<'_>) -> Option<bool> {
        if topic.and_then(TopicName::private_session).is_some_and(|private| private != session) {
            return Some(false);
        }
        if let Some((_, to)) = self.find(message) {
            return Some(to.include(session));
        }
        let line = self.replica.topics().ledger.line(message)?;
        line.to.as_ref().map(|to| to.include(session))
    }

    /// Whether a session was in the topic when a message was published there.
    fn seat(&self, asked: Asked<'_>) -> Seat {
        let Some(topic) = asked.topic else {
            return Seat::Unknown;
        };
        if topic.private_session() == Some(asked.session) {
            return Seat::In;
        }
        let line = self.replica.topics().ledger.line(asked.message);
        // A join that was heard of by what a later owner said may have been at any time.
        let is_vague = |happened: &Happened| matches!(happened, Happened::Joined { topic, from: None } if Some(topic) == asked.topic);
        let is_complete = line.is_some_and(|line| self.flight.covers(line.stored))
            && !self.flight.of(asked.session).any(|event| is_vague(&event.happened));
        match self.seat_told(asked, is_complete) {
            Seat::Unknown => {}
            told => return told,
        }
        match self.member(asked) {
            Some(Membership { until: Some(until), .. }) if !until.covers(asked.message) => {
                Seat::Left
            }
            // It joined before all that is remembered, and so before the message.
            Some(_) if is_complete => Seat::In,
            Some(member) if !member.acknowledged.covers(asked.message) => Seat::In,
            Some(_) => Seat::Unknown,
            None => self.seat_of_departed(asked, topic, is_complete),
        }
    }

    /// The same, by what is remembered of who joined and left.
    fn seat_told(&self, asked: Asked<'_>, is_complete: bool) -> Seat {
        let (mut seat, mut is_in, mut is_new) = (Seat::Unknown, None, false);
        for event in self.flight.of(asked.session) {
            match &event.happened {
                Happened::Attached { resumed: false, .. } => is_new = true,
                Happened::Joined { topic, from } if Some(topic) == asked.topic => {
                    is_in = from.as_ref().map(|from| !from.covers(asked.message));
                    match is_in {
                        Some(true) => seat = Seat::In,
                        // Unless it may have been in it before, and left.
                        Some(false) if seat == Seat::Unknown && (is_complete || is_new) => {
                            seat = Seat::Behind;
                        }
                        _ => {}
                    }
                }
                Happened::Left { topic, until } if Some(topic) == asked.topic => {
                    // Who leaves and is not known to have joined, did so before all that is known.
                    let was_in = is_in.take().unwrap_or(is_complete);
                    match (was_in, until.covers(asked.message)) {
                        (true, true) => return Seat::In,
                        (true, false) => seat = Seat::Left,
                        (false, _) => {}
                    }
                }
                _ => {}
            }
        }
        seat
    }

    /// The same, of a session that is not in the topic, nor known to have been of late.
    fn seat_of_departed(&self, asked: Asked<'_>, topic: &TopicName, is_complete: bool) -> Seat {
        match self.replica.departed(asked.session, topic) {
            Some(_) if is_complete => Seat::Left,
            Some(left) if left.node == asked.message.origin && left.seq < asked.message.seq => {
                Seat::Left
            }
            Some(_) => Seat::Unknown,
            None if is_complete && self.knows_all_of(asked.session) => Seat::Never,
            None => Seat::Unknown,
        }
    }

    /// Whether no join of a session can be forgotten: it is known, or all that happened to it is
    /// remembered. What was known of one that is over is not.
    fn knows_all_of(&self, session: SessionId) -> bool {
        let mut events = self.flight.of(session).map(|event| &event.happened);
        self.replica.session(session).is_some()
            || events.any(|it| matches!(it, Happened::Attached { resumed: false, .. }))
    }

    /// Whether a session's connection was given a message, or what lies behind it.
    fn is_given(&self, Asked { message, session, key, .. }: Asked<'_>) -> bool {
        let attachment = self.attachment_of(session).and_then(|at| self.attachments.get(at));
        let given = attachment.zip(key).and_then(|(attachment, key)| attachment.given(key));
        given.is_some_and(|given| given.covers(message))
    }

    /// What is remembered of the way of a message to a session.
    fn steps(&self, asked: Asked<'_>, calendar: impl Fn(Instant) -> u64) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut tell = |at, what| steps.push((at, what));
        if let Some(line) = self.replica.topics().ledger.line(asked.message) {
            let is_own = asked.message.origin == self.id;
            tell(line.stored, if is_own { What::Accepted } else { What::Stored });
            if let (Some(at), Some(ending)) = (line.ended, line.ending) {
                tell(at, What::Ended(ending));
            }
        }
        for event in self.flight.of(asked.session) {
            if let Some(what) = what(&event.happened, asked) {
                tell(event.at, what);
            }
        }
        if let Some(delivered) = self.flight.delivered(asked.session, asked.message) {
            tell(delivered.given, if delivered.is_withheld { What::Withheld } else { What::Given });
            let confirmed = delivered.confirmed.filter(|_| !delivered.is_withheld);
            confirmed.into_iter().for_each(|at| tell(at, What::Confirmed));
        }
        steps.sort_by_key(|&(at, _)| at);
        let mut spare = steps.len().saturating_sub(Testimony::MAX_STEPS);
        steps.retain(|(_, what)| {
            let is_spare = spare > 0 && what.is_presence();
            spare -= usize::from(is_spare);
            !is_spare
        });
        steps.drain(..steps.len().saturating_sub(Testimony::MAX_STEPS));
        let step = |(at, what)| Step::new(calendar(at), self.id, what);
        steps.into_iter().map(step).collect()
    }

    /// A node's operation is about to be applied.
    pub(super) fn note_op(&mut self, node: NodeId, op: &Op) {
        match op {
            Op::Joined { session, topic, from, .. } => {
                let from = Some(Box::new(from.clone()));
                self.flight.record(*session, Happened::Joined { topic: topic.clone(), from });
            }
            Op::Left { session, topic, until, .. } => {
                let until = Box::new(until.clone());
                self.flight.record(*session, Happened::Left { topic: topic.clone(), until });
            }
            Op::SessionClaimed(state) => {
                if state.session.presence == Presence::Attached {
                    let Session { id, ref path, .. } = state.session;
                    let resumed = self.replica.session(id).is_some();
                    self.tell(|| {
                        let path = path.as_ref().into();
                        NodeEvent::SessionAttached { session: id, node, path, resumed }
                    });
                }
                for (topic, _) in &state.memberships {
                    if self.membership_of(state.session.id, topic).is_none() {
                        self.flight.find_member(state.session.id, topic);
                    }
                }
            }
            Op::SessionDetached { session, epoch, why } => {
                let claim = self.replica.session(*session).map(|known| known.claim);
                if claim.is_some_and(|claim| (claim.epoch, claim.node) == (*epoch, node)) {
                    let (session, why) = (*session, *why);
                    self.tell(|| NodeEvent::SessionDetached { session, node, why });
                }
            }
            _ => {}
        }
    }

    /// Messages that a session's connection was given were withheld from it.
    pub fn note_withheld(&mut self, session: SessionId, messages: Vec<MessageId>) {
        self.flight.withhold(session, messages.into_iter());
    }

    /// A session is over.
    pub(super) fn note_closed(&mut self, session: &Session, reason: CloseReason) {
        self.flight.record(session.id, Happened::Closed(reason));
        let (session, node) = (session.id, session.claim.node);
        self.tell(|| NodeEvent::SessionClosed { session, node, reason });
    }

    fn tell(&mut self, event: impl FnOnce() -> NodeEvent) {
        self.replica.topics_mut().ledger.events.tell(event);
    }

    /// A session that was this node's was claimed.
    pub(super) fn note_claimed(&mut self, session: SessionId) {
        let by = self.replica.session(session).map(|session| session.claim.node);
        if let Some(by) = by.filter(|by| *by != self.id) {
            self.flight.record(session, Happened::Claimed { by });
        }
    }
}

/// What something that happened to a session is to a message.
fn what(happened: &Happened, Asked { message, topic: asked, .. }: Asked<'_>) -> Option<What> {
    match happened {
        Happened::Attached { resumed, from } => {
            Some(What::Attached { resumed: *resumed, from: *from })
        }
        Happened::Detached(why) => Some(What::Detached(*why)),
        Happened::Claimed { by } => Some(What::Claimed { by: *by }),
        Happened::Adopted { from } => Some(What::Adopted { from: *from }),
        Happened::Closed(reason) => Some(What::Closed(*reason)),
        Happened::Joined { topic, from } if Some(topic) == asked => {
            Some(What::Joined { behind: from.as_ref().map(|from| from.covers(message)) })
        }
        Happened::Left { topic, until } if Some(topic) == asked => {
            Some(What::Left { before: !until.covers(message) })
        }
        Happened::Gap(gap) if Some(&gap.topic) == asked => {
            Some(What::Gap { over: gap.to.covers(message) && !gap.from.covers(message) })
        }
        Happened::Gap(_) | Happened::Joined { .. } | Happened::Left { .. } => None,
    }
}
