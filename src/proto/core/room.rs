//! Whether what a client or the application begins is taken: there may be no room for it, or no
//! time left to hand it over.
//!
//! What other nodes have begun is taken in any case: all nodes must come to know the same.

use std::time::Instant;

use super::{Core, Limits, Refused};
use crate::{
    id::{SessionId, TopicName},
    proto::Holder,
};

impl Core {
    /// Keeps to these limits from now on, but for those of journals, which stay. What is beyond them goes
    /// at once; sessions that are there are too many for no limit.
    pub fn set_limits(&mut self, limits: Limits, now: Instant) {
        self.limits = Limits { tail: self.limits.tail, ..limits };
        for topic in self.replica.topics_mut().set_limits(limits.log) {
            self.wake_readers(topic);
        }
        self.handle_changes(now);
    }

    /// This node is about to leave: from now on it accepts nothing that peers would not get. What it
    /// has accepted, they have once it [is handed over](Self::is_handed_over).
    pub fn begin_leaving(&mut self) {
        self.leaving = true;
    }

    /// Whether anything is accepted still.
    pub(super) fn check_staying(&self) -> Result<(), Refused> {
        match self.leaving {
            true => Err(Refused::Leaving),
            false => Ok(()),
        }
    }

    /// Whether a client may be attached that asks for this session, or for a new one: see
    /// [`attach`](Self::attach).
    pub fn has_room_for_session(
        &self,
        asked: Option<SessionId>,
        path: &str,
        holder: &Holder,
    ) -> bool {
        let is_there = |session| self.replica.session_of(session, path, holder).is_some();
        self.replica.session_count() < self.limits.sessions || asked.is_some_and(is_there)
    }

    /// Gives up the session whose client has been away for the longest, if that of any is.
    pub fn give_up_longest_gone(&mut self, now: Instant) {
        if let Some(&(_, session)) = self.deadlines.first() {
            self.clear_deadline(session);
            self.close_abandoned(session, now);
        }
    }

    /// Whether a topic is there, or may be, and is not closed.
    pub(super) fn check_topic(&self, topic: &TopicName) -> Result<(), Refused> {
        if self.is_closed(topic) {
            return Err(Refused::TopicClosed);
        }
        let topics = self.replica.topics();
        let is_open = || topics.find(topic).is_some() || topic.private_session().is_some();
        match topics.named() < self.limits.topics || is_open() {
            true => Ok(()),
            false => Err(Refused::NoRoom),
        }
    }
}
