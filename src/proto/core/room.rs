//! Whether what a client or the application begins is taken: there may be no room for it, or no
//! time left to hand it over.
//!
//! What other nodes have begun is taken in any case: all nodes must come to know the same.

use super::{Core, Refused};
use crate::{
    id::{SessionId, TopicName},
    proto::Holder,
};

impl Core {
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

    /// Whether a topic is open, or may be opened.
    pub(super) fn check_topic(&self, topic: &TopicName) -> Result<(), Refused> {
        let topics = self.replica.topics();
        let is_open = || topics.find(topic).is_some() || topic.private_session().is_some();
        match topics.named() < self.limits.topics || is_open() {
            true => Ok(()),
            false => Err(Refused::NoRoom),
        }
    }
}
