//! What an operator decides for the whole cluster: messages are taken back, topics are closed and
//! opened, clients are to connect anew.

use std::time::Instant;

use super::{Core, Ended, Event, Refused};
use crate::{
    id::{MessageId, SessionId, TopicName},
    proto::{Closures, Detachment, Op, Recipients, TopicKey},
};

impl Core {
    /// Takes a message back from those in `from` who have not got it yet.
    ///
    /// # Errors
    ///
    /// [`Refused`]: nothing changed. This node must keep the message.
    pub fn withdraw(
        &mut self,
        topic: &TopicName,
        id: MessageId,
        from: Recipients,
        now: Instant,
    ) -> Result<(), Refused> {
        self.check_staying()?;
        let topics = self.replica.topics();
        let log = topics.find(topic).map(|key| &topics.get(key).log);
        let it = log.and_then(|log| log.withdrawal(id, &from)).ok_or(Refused::NoMessage)?;
        if it.named > Recipients::MAX_NAMED {
            return Err(Refused::TooManyRecipients { named: it.named });
        }
        if it.is_news {
            self.commit(Op::Withdrawn { topic: topic.clone(), id, from }, now);
        }
        Ok(())
    }

    /// Closes a topic, or opens it again. Harmless if it is so already.
    ///
    /// # Errors
    ///
    /// [`Refused`]: nothing changed.
    pub fn set_closed(
        &mut self,
        topic: &TopicName,
        is_closed: bool,
        now: Instant,
    ) -> Result<(), Refused> {
        self.check_staying()?;
        let closures = self.replica.closures();
        if closures.are_closed(topic) == is_closed {
            return Ok(());
        }
        let before = closures.get(topic);
        if before.is_none() && !closures.have_room() {
            return Err(Refused::TooManyClosed);
        }
        let turn = before.map_or(0, |closure| closure.turn.saturating_add(1));
        self.commit(Op::TopicClosure { topic: topic.clone(), turn, is_closed }, now);
        Ok(())
    }

    /// Ends the connections of a topic's sessions, wherever they are, for their clients to come back;
    /// of a session's private topic, that of the session.
    ///
    /// # Errors
    ///
    /// [`Refused`]: nothing happened.
    pub fn resume(&mut self, topic: &TopicName, now: Instant) -> Result<(), Refused> {
        self.check_staying()?;
        let session = topic.private_session();
        if session.is_some_and(|session| self.replica.session(session).is_none()) {
            return Err(Refused::NoSession);
        }
        self.commit(Op::Resumed { topic: topic.clone() }, now);
        Ok(())
    }

    /// The clients of a topic's sessions that are connected here are to connect anew.
    pub(super) fn handle_resumed(&mut self, topic: &TopicName, now: Instant) {
        let sessions: Vec<_> = match topic.private_session() {
            Some(session) => vec![session],
            None => self.members_of(topic),
        };
        for session in sessions {
            let Some(key) = self.attachment_of(session) else { continue };
            self.detach(key, Detachment::Resumed, self.limits.session_kept, now);
            self.events.push_back(Event::AttachmentEnded { key, why: Ended::Resumed });
        }
    }

    /// Lets the sessions of this node leave the topics that are closed.
    pub(super) fn leave_closed(&mut self, now: Instant) {
        let topics = self.replica.topics();
        let closed = self.replica.closures().closed().filter_map(|name| topics.find(name));
        let closed: Vec<_> = closed.collect();
        for topic in closed {
            self.empty(topic, now);
        }
    }

    /// Lets the sessions of this node leave a topic.
    fn empty(&mut self, topic: TopicKey, now: Instant) {
        let topic = self.replica.topics().get(topic);
        let staying = topic.members.iter().filter(|(_, member)| member.until.is_none());
        let own = staying.filter_map(|(&id, _)| {
            let session = self.replica.session(id)?;
            (session.claim.node == self.id).then_some((id, session.claim.epoch))
        });
        let (own, name): (Vec<_>, _) = (own.collect(), topic.name.clone());
        for (session, epoch) in own {
            let until = self.replica.applied().clone();
            self.commit(Op::Left { session, epoch, topic: name.clone(), until }, now);
        }
    }

    fn members_of(&self, topic: &TopicName) -> Vec<SessionId> {
        let topics = self.replica.topics();
        let members = topics.find(topic).map(|key| &topics.get(key).members);
        members.into_iter().flat_map(|members| members.keys().copied()).collect()
    }

    /// Whether a topic is closed.
    pub fn is_closed(&self, topic: &TopicName) -> bool {
        let closures: &Closures = self.replica.closures();
        closures.are_closed(topic)
    }
}
