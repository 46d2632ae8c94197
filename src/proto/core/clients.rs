//! Clients come, and come back.

use std::time::Instant;

use super::{Attached, Core, Ended, Happened, PATIENT_FOR};
use crate::{
    id::{Epoch, Seq, SessionId, TopicName},
    proto::{Holder, Position, Presence, Session, SessionState, Stamp},
};

impl Core {
    /// A client is connected to `path`, and shows that it is `holder`. It comes back as `asked` if
    /// that session is known, was of the same path, and belongs to it; otherwise it is new, belongs
    /// to `holder`, and is called `fresh`.
    ///
    /// A session has one attachment: an older one, here or elsewhere, is ended.
    pub fn attach(
        &mut self,
        asked: Option<SessionId>,
        fresh: SessionId,
        path: &str,
        holder: &Holder,
        now: Instant,
    ) -> Attached {
        let usable = asked.and_then(|id| self.replica.session_of(id, path, holder));
        let known = usable.and_then(|session| self.replica.state_of(session.id));
        let resumed = known.is_some();
        let state = known.unwrap_or_else(|| SessionState {
            session: Session {
                id: fresh,
                claim: Stamp::new(Epoch::default(), self.id, Seq::FIRST),
                presence: Presence::Attached,
                ready: false,
                path: path.into(),
                holder: holder.clone(),
            },
            memberships: Vec::new(),
            departed: Vec::new(),
        });
        let (session, ready_due) = (state.session.id, !state.session.ready);
        let last_owner = state.session.claim.node;
        let is_dead = last_owner != self.id && !self.live.contains(&last_owner);
        let was_gone = resumed && (is_dead || state.session.presence != Presence::Attached);
        self.end_attachment(session, Ended::Superseded);
        self.pushes.closing.remove(&session);
        self.claim(state, Presence::Attached, now);
        let key = self.add_attachment(session);
        let from = Some(last_owner).filter(|last| resumed && *last != self.id);
        self.flight.record(session, Happened::Attached { resumed, from });
        for topic in self.replica.topics_of(session).to_vec() {
            self.follow(key, session, topic);
        }
        if resumed && last_owner != self.id {
            self.take_over(session, last_owner, now);
        }
        if resumed && let Some(attachment) = self.attachments.get_mut(key) {
            attachment.patient_until = Some(now + PATIENT_FOR);
        }
        Attached { key, session, resumed, ready_due, was_gone }
    }

    /// A client that is back says that it has everything of `topic` below `position`, which can be
    /// more than this node had heard. If its session is a new one, which has not joined `topic`, that
    /// is where it begins once it does.
    pub fn resume_at(&mut self, session: SessionId, topic: &TopicName, position: &Position) {
        let mut position = position.clone();
        position.meet(self.replica.applied());
        if self.membership_of(session, topic).is_none() {
            let key = self.attachment_of(session);
            if let Some(attachment) = key.and_then(|key| self.attachments.get_mut(key)) {
                attachment.resumes = Some(Box::new((topic.clone(), position)));
            }
            return;
        }
        let Some(key) = self.replica.topics().find(topic) else {
            return;
        };
        if self.replica.acknowledge(session, key, &position) {
            self.look_at_session(session);
            self.report(key);
            if let Some(attachment) = self.attachment_of(session) {
                self.follow(attachment, session, key);
            }
        }
    }
}
