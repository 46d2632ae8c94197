//! Attachments: who reads what, and how far its client has come.

use std::{collections::BTreeSet, time::Instant};

use super::{AttachmentKey, Core, Ended, Event, Happened, Lane};
use crate::{
    id::{SessionId, TopicName},
    proto::{
        Batch, Budget, Detachment, Mark, NodeEvent, Position, SlowConsumers, TopicKey,
        attachment::Attachment,
    },
};

impl Core {
    /// Takes what an attachment is to write next, as far as `budget` goes. Unless there is
    /// [more](Batch::more), the attachment waits from now on: [`poll_wakes`](Self::poll_wakes) will
    /// name it once there is.
    pub fn read(&mut self, key: AttachmentKey, budget: Budget) -> Batch {
        let mut batch = Batch::default();
        self.read_into(key, budget, &mut batch);
        batch
    }

    /// As [`read`](Self::read), into a batch that is empty, and perhaps was used before.
    pub fn read_into(&mut self, key: AttachmentKey, budget: Budget, batch: &mut Batch) {
        (batch.more, batch.is_late) = (false, false);
        if let Some(attachment) = self.attachments.get_mut(key) {
            batch.acknowledged.append(&mut attachment.acknowledged);
            let topic = |topic| self.replica.topics().get(topic);
            // Who is overtaken is closed at the next sweep, and told of no gap before that.
            let is_slow = self.limits.slow_consumers == SlowConsumers::Close
                && attachment.is_overtaken(topic);
            if is_slow || self.takeovers.holds_reading(attachment.session) {
                attachment.waiting = true;
                return;
            }
            attachment.read(topic, budget, batch);
            attachment.waiting = !batch.more;
            let (session, skipped) = (attachment.session, attachment.skip());
            let given = batch.entries.iter().map(|entry| entry.id());
            let mark = (key.number(), attachment.last_mark().get());
            self.flight.give(session, mark, given);
            if batch.is_late {
                self.flight.overtake();
            }
            for gap in &batch.gaps {
                self.flight.record(session, Happened::Gap(Box::new(gap.clone())));
                let event = || NodeEvent::Gap { session, topic: gap.topic.clone() };
                self.replica.topics_mut().ledger.events.tell(event);
            }
            self.handle_acknowledged(session, skipped);
        }
    }

    /// Nothing of what an attachment has just [read](Self::read_into) was for its client after all: it counts
    /// as what the client has, once that has what was written before.
    pub fn forgo(&mut self, key: AttachmentKey) {
        if let Some(attachment) = self.attachments.get_mut(key) {
            let (session, skipped) = (attachment.session, attachment.forgo());
            self.handle_acknowledged(session, skipped);
        }
    }

    /// A mark behind all that an attachment has taken, unless one is under way or nothing is new.
    ///
    /// Once the client has confirmed that it has everything written before the mark, in whatever
    /// way its transport can, hand the mark to [`acknowledge`](Self::acknowledge).
    pub fn mark(&mut self, key: AttachmentKey) -> Option<Mark> {
        self.attachments.get_mut(key).and_then(Attachment::mark)
    }

    /// What the mark under way stands for in `topic`, if the attachment reads that: what its client
    /// will have once it has confirmed the mark, and can hand back when it comes again.
    pub fn marked(&self, key: AttachmentKey, topic: &TopicName) -> Option<&Position> {
        self.attachments.get(key)?.marked(self.replica.topics().find(topic)?)
    }

    /// Where in `topic` an attachment is with everything that it has taken, if it reads that: what its
    /// client can hand back when it comes again and has all of it.
    pub fn given(&self, key: AttachmentKey, topic: &TopicName) -> Option<&Position> {
        self.attachments.get(key)?.given(self.replica.topics().find(topic)?)
    }

    /// An attachment's client has everything that was written before `mark`.
    ///
    /// A mark that is not under way, because a client made it up, changes nothing.
    pub fn acknowledge(&mut self, key: AttachmentKey, mark: Mark) {
        let Some(attachment) = self.attachments.get_mut(key) else {
            return;
        };
        let session = attachment.session;
        let messages = attachment.marked_messages();
        let (confirmed, skipped) = (attachment.confirm(mark), attachment.skip());
        if !confirmed.is_empty() {
            self.flight.confirm(session, (key.number(), mark.get()), messages);
        }
        self.handle_acknowledged(session, confirmed);
        self.handle_acknowledged(session, skipped);
    }

    /// Whether a client that comes back, to whichever node, shows by that alone that it has everything
    /// before the mark under way, as one that polls does once it has fetched an answer.
    pub fn set_implied(&mut self, key: AttachmentKey, implied: bool) {
        if let Some(attachment) = self.attachments.get_mut(key) {
            attachment.implied = implied;
        }
    }

    /// A session's client is back on another node.
    pub(super) fn confirm_implied(&mut self, session: SessionId) {
        let Some(key) = self.attachment_of(session) else { return };
        if let Some(attachment) = self.attachments.get_mut(key) {
            let (messages, mark) = (attachment.marked_messages(), attachment.last_mark());
            let implied = attachment.confirm_implied();
            if !implied.is_empty() {
                self.flight.confirm(session, (key.number(), mark.get()), messages);
            }
            self.handle_acknowledged(session, implied);
        }
    }

    /// The attachment of a session on this node, if it has one.
    pub fn attachment_of(&self, session: SessionId) -> Option<AttachmentKey> {
        self.attached.get(&session).copied()
    }

    /// Whose an attachment is, if it is not over.
    pub fn session_of(&self, key: AttachmentKey) -> Option<SessionId> {
        self.attachments.get(key).map(|attachment| attachment.session)
    }

    pub(super) fn add_attachment(&mut self, session: SessionId) -> AttachmentKey {
        let epoch = self.replica.session(session).map(|known| known.claim.epoch);
        let key = self.attachments.insert(Attachment::new(session, epoch.unwrap_or_default()));
        self.attached.insert(session, key);
        key
    }

    pub(super) fn remove_attachment(&mut self, key: AttachmentKey) {
        let Some(attachment) = self.attachments.remove(key) else {
            return;
        };
        self.attached.remove(&attachment.session);
        for topic in attachment.topics() {
            self.remove_reader(topic, key);
        }
    }

    /// Ends a session's attachment on this node, if it has one.
    pub(super) fn end_attachment(&mut self, session: SessionId, why: Ended) {
        if let Some(key) = self.attachment_of(session) {
            self.remove_attachment(key);
            self.events.push_back(Event::AttachmentEnded { key, why });
        }
    }

    /// Closes the connections of clients that do not read as fast as is published.
    pub(super) fn close_slow(&mut self, now: Instant) {
        if self.limits.slow_consumers == SlowConsumers::Gap {
            return;
        }
        let topic = |topic| self.replica.topics().get(topic);
        let is_slow = |key: &AttachmentKey| {
            self.attachments.get(*key).is_some_and(|attachment| attachment.is_overtaken(topic))
        };
        let has_lost = |key: TopicKey| *topic(key).log.lost() != Position::new();
        let readers = self.readers.iter().filter(|&(&topic, _)| has_lost(topic));
        let readers = readers.flat_map(|(_, keys)| keys);
        let slow: BTreeSet<_> = readers.copied().filter(is_slow).collect();
        for key in slow {
            self.flight.overtake();
            self.detach(key, Detachment::Slow, self.limits.session_kept, now);
            self.events.push_back(Event::AttachmentEnded { key, why: Ended::Slow });
        }
    }

    /// Lets an attachment read `topic`, or no longer, as its session's membership says.
    pub(super) fn follow(&mut self, key: AttachmentKey, session: SessionId, topic: TopicKey) {
        let Some(attachment) = self.attachments.get_mut(key) else {
            return;
        };
        let known = self.replica.topics().try_get(topic);
        match known.and_then(|topic| topic.members.get(&session)) {
            Some(member) => {
                attachment.follow(topic, member);
                self.readers.entry(topic).or_default().insert(key);
                self.wake(key);
            }
            None => {
                attachment.unfollow(topic);
                self.remove_reader(topic, key);
            }
        }
    }

    pub(super) fn wake_readers(&mut self, topic: TopicKey) {
        for &key in self.readers.get(&topic).into_iter().flatten() {
            if let Some(attachment) = self.attachments.get_mut(key)
                && std::mem::take(&mut attachment.waiting)
            {
                self.wakes.push(key);
            }
        }
    }

    /// Sees to it that peers hear how far this node's sessions have read `topic`.
    pub(super) fn report(&mut self, topic: TopicKey) {
        self.note_progress(topic);
        for peer in self.peers.values_mut().filter(|peer| peer.linked) {
            peer.reports_due.insert(topic);
            self.lanes_due.insert(Lane::Progress);
        }
    }

    pub(super) fn handle_acknowledged(
        &mut self,
        session: SessionId,
        positions: Vec<(TopicKey, Position)>,
    ) {
        for (topic, position) in positions {
            if self.replica.acknowledge(session, topic, &position) {
                self.look_at_session(session);
                self.report(topic);
            }
        }
    }

    pub(super) fn wake(&mut self, key: AttachmentKey) {
        if let Some(attachment) = self.attachments.get_mut(key)
            && std::mem::take(&mut attachment.waiting)
        {
            self.wakes.push(key);
        }
    }

    fn remove_reader(&mut self, topic: TopicKey, key: AttachmentKey) {
        if let Some(readers) = self.readers.get_mut(&topic) {
            readers.remove(&key);
            if readers.is_empty() {
                self.readers.remove(&topic);
            }
        }
    }
}
